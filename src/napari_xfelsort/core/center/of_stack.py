"""The centre of a run: of one event, or of many as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.center.auto import METHODS, find_center
from napari_xfelsort.core.center.cells import Places
from napari_xfelsort.core.center.friedel import center_of_pairs
from napari_xfelsort.core.center.powder import Report, chosen_events, powder
from napari_xfelsort.core.center.result import CenterResult
from napari_xfelsort.core.errors import SettingsError, XfelsortError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.stack import EventStack

#: What `find_center_of_stack` knows: also pairs of stored peaks.
STACK_METHODS = (*METHODS, "friedel")


def find_center_of_stack(
    stack: EventStack,
    events: str | int | Sequence[int] = "powder mean",
    method: str = "auto",
    progress: Report | None = None,
) -> CenterResult:
    """Where the beam meets the detector in a run.

    Parameters
    ----------
    stack : EventStack
        With a geometry, pixels are taken to be where it says they are, to fractions of
        a pixel.
    events : str, int or sequence of int
        ``powder mean``, ``powder median`` or ``powder max`` of the run (``powder`` may be
        left out), or events, whose mean is taken.
    method : str
        As `find_center`; or ``friedel``: opposite peaks of the events, as the files store
        them.
    progress : callable, optional
        Called with the number of events read and of those to be read.

    Returns
    -------
    CenterResult
        In pixels of the assembled picture (`EventStack.assembled`). ``details["problems"]``
        are sentences about events that could not be read.

    Raises
    ------
    SettingsError
        If the method or the events are not known.
    NoEventsError
        If no event can be read.
    """
    if method not in STACK_METHODS:
        raise SettingsError(
            f"The method {method!r} is not known; the methods are {', '.join(STACK_METHODS)}."
        )
    kind, numbers = chosen_events(stack, events)
    if method == "friedel":
        return _friedel(stack, numbers, progress)
    raw, good, problems = powder(stack, kind, numbers, progress)
    if stack.geometry is None:
        picture, bad = (a.reshape(stack.assembled_shape) for a in (raw, ~good))
        result = find_center(picture, bad, method)
    else:
        geometry = stack.geometry
        picture = geometry.assemble(np.where(good, raw, np.float32(np.nan)))
        result = find_center(picture, None, method, true_places(geometry))
    details = result.details | {"events": len(numbers) - len(problems), "problems": problems}
    return replace(result, details=details)


def true_places(geometry: Geometry) -> Places:
    """Fractional rows and columns of the pixels that a geometry's picture shows, NaN in gaps."""
    x, y, _ = geometry.positions()
    return (
        geometry.assemble(geometry.grid.rows(y).astype(np.float32)),
        geometry.assemble(geometry.grid.columns(x).astype(np.float32)),
    )


def _friedel(stack: EventStack, numbers: list[int], progress: Report | None) -> CenterResult:
    found: list[NDArray[np.float64]] = []
    problems: list[str] = []
    for n, i in enumerate(numbers):
        try:
            peaks = stack.peaks(i)
        except (XfelsortError, OSError) as error:
            problems.append(str(error))
        else:
            if peaks is not None and len(peaks.fs):
                found.append(stack.picture_points(peaks.fs, peaks.ss))
        if progress is not None:
            progress(n + 1, len(numbers))
    if not found:
        result = CenterResult.unknown("friedel", "The files store no peaks of these events.")
    else:
        result = center_of_pairs(found)
    details = result.details | {"events": len(found), "problems": problems}
    return replace(result, details=details)
