"""Contrast limits that one hot pixel does not spoil."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Percentiles of the pixel values that are shown as black and white. Bragg peaks and
#: scattering near the beam are few of the pixels, so the upper one is near 100.
LOW, HIGH = 1.0, 99.8
#: Most pixels of one frame that a limit is computed from.
_SAMPLE = 200_000


def percentile_limits(
    frames: Iterable[NDArray[Any]],
    bad: NDArray[np.bool_] | None = None,
    low: float = LOW,
    high: float = HIGH,
) -> tuple[float, float]:
    """Contrast limits from percentiles of pixel values.

    Parameters
    ----------
    frames : iterable of ndarray
        Frames of one shape; values that are not finite do not count.
    bad : ndarray of bool, optional
        Pixels that do not count, True where bad; shape of a frame.
    low, high : float
        Percentiles, 0 to 100.

    Returns
    -------
    (low, high) : pair of float
        Never equal; (0, 1) when no pixel counts.
    """
    parts = []
    for frame in frames:
        values = np.asarray(frame)
        good = values[np.isfinite(values)] if bad is None else values[np.isfinite(values) & ~bad]
        parts.append(good[:: max(1, -(-good.size // _SAMPLE))])
    values = np.concatenate(parts) if parts else np.zeros(0)
    if not values.size:
        return 0.0, 1.0
    bottom, top = (float(v) for v in np.percentile(values.astype(np.float64), (low, high)))
    return bottom, top if top > bottom else bottom + max(1.0, abs(bottom) * 1e-6)
