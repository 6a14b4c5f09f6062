"""The events of a run from the worst on, anomaly by anomaly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def neighbour_in_rank(
    values: NDArray[np.float64], event: int | None, step: int
) -> tuple[int, int] | None:
    """The event some places further down from the worst, and its place.

    Parameters
    ----------
    values : ndarray, shape (events,)
        Probabilities; NaN where not known. Of equal ones the earlier event is worse.
    event : int or None
        From which to go on; None, or one that is not known, begins with the worst.
    step : int
        1 for the next worst, -1 for the one before it, 0 for the worst of all.

    Returns
    -------
    (int, int) or None
        The event and its place from 0 on; None when no event is known. Past an end it is
        the one at that end.
    """
    known = np.isfinite(values)
    n = int(np.count_nonzero(known))
    if not n:
        return None
    if step == 0 or event is None or not known[event]:
        return int(np.nanargmax(values)), 0
    place = place_of(values, event)
    wanted = min(max(place + step, 0), n - 1)
    if wanted == place:
        return event, place
    # A stable order of falling values, without sorting a long run for one step.
    own = values[event]
    with np.errstate(invalid="ignore"):
        if wanted > place:
            same = np.flatnonzero(values[event + 1 :] == own)
            if len(same):
                return int(event + 1 + same[0]), wanted
            return int(np.argmax(values == np.nanmax(values[values < own]))), wanted
        same = np.flatnonzero(values[:event] == own)
        if len(same):
            return int(same[-1]), wanted
        above = np.nanmin(values[values > own])
        return int(np.flatnonzero(values == above)[-1]), wanted


def place_of(values: NDArray[np.float64], event: int) -> int:
    """How many events are worse than this one."""
    with np.errstate(invalid="ignore"):
        worse = int(np.count_nonzero(values > values[event]))
    return worse + int(np.count_nonzero(values[:event] == values[event]))
