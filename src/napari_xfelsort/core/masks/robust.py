"""Robust Gaussian fits: of values, and of planes in the windows of an image.

The method is that of A. Sadri et al., J. Appl. Cryst. 55 (2022) 1549-1561 (robust mask
maker): the model whose k-th smallest residual is least (k half of the data), the scale by
the modified selective statistical estimator, least squares on the inliers. Of values the
least k-th residual is found exactly, from the sorted values; of planes by fast least k-th
order statistics from several starts, of which the best is kept.

The estimator's scale is too large among outliers, since those nearby are taken for
inliers. Unless `RobustSettings.clean` is off, their density just outside the inliers is
measured and taken away, and the tail of the Gaussian beyond them put back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.windows import (
    WINDOW_BYTES,
    Fitted,
    fitted,
    in_threads,
    rows_of,
    windows_of,
)
from napari_xfelsort.core.settings import Settings, setting

#: Fewer values than this are not fitted.
LEAST_VALUES = 5
#: Fewer pixels of a window than this are not fitted by a plane.
LEAST_PIXELS = 20
#: Bytes of values that are sorted at once.
_SORTED_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class RobustSettings(Settings):
    """How robust fits are made."""

    likely: float = setting(
        0.5, "share of the data that are inliers at least: k / N", minimum=0.05, maximum=0.95
    )
    iterations: int = setting(12, "steps of a plane's fit from each start", minimum=1)
    support: int = setting(
        8, "a step of a plane's fit takes at least this many pixels and four more", minimum=0
    )
    step_share: float = setting(
        0.15, "share of the pixels that a step takes, below the k-th", minimum=0, maximum=0.95
    )
    scale_lambda: float = setting(
        3.0, "an inlier is within so many scales of those before it", minimum=1.0, maximum=100.0
    )
    clean: bool = setting(True, "take what evenly spread outliers add to the scale away")
    skewed: bool = setting(
        False, "values only: the mean of the densest share, near the mode of a skewed density"
    )
    floor: float = setting(
        0.0, "least scale; 1/6 photon for photon counters", unit="ADU", minimum=0.0
    )
    all_starts: bool = setting(
        True, "planes only: try all starts, not just when the first leaves doubts"
    )


class RobustFit(NamedTuple):
    """Robust Gaussians of values.

    Attributes
    ----------
    mean, scale : ndarray of float64
        NaN where there are too few values.
    inliers : ndarray of int64
        Values within the estimator's bound; 0 where there are too few.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    inliers: NDArray[np.int64]


class Background(NamedTuple):
    """Robust planes of the windows of an image, at every pixel.

    Attributes
    ----------
    level, scale : ndarray of float64, shape (y, x)
        The plane, and the scale of the inliers around it; NaN where too few pixels of the
        window can be used.
    inliers : ndarray of int64, shape (y, x)
        Inliers of the pixel's window; 0 where there are too few.
    """

    level: NDArray[np.float64]
    scale: NDArray[np.float64]
    inliers: NDArray[np.int64]


def fit_values(
    values: NDArray[Any],
    bad: NDArray[np.bool_] | None = None,
    settings: RobustSettings | None = None,
) -> RobustFit:
    """Robust mean and scale of numbers, along the last axis.

    The result does not depend on the order of the values.

    Parameters
    ----------
    values : ndarray, shape (..., N)
        Numbers of any type; those that are not finite are left out.
    bad : ndarray of bool, broadcast to the same shape, optional
        Values to leave out.
    settings : RobustSettings, optional
        How.

    Returns
    -------
    RobustFit
        Of shape (...).

    Raises
    ------
    SettingsError
        If there is no axis of values.
    """
    chosen = settings or RobustSettings()
    values = np.asarray(values)
    if values.ndim == 0 or values.dtype.kind not in "iufb":
        raise SettingsError("A robust fit needs real numbers along an axis.")
    shape, n = values.shape[:-1], values.shape[-1]
    mean, scale = np.full(shape, np.nan), np.full(shape, np.nan)
    inliers = np.zeros(shape, np.int64)
    if mean.size and n:
        rows = values.reshape(-1, n)
        outputs = mean.reshape(-1), scale.reshape(-1), inliers.reshape(-1)
        hidden = None if bad is None else np.broadcast_to(bad, values.shape).reshape(-1, n)
        size = max(1, _SORTED_BYTES // (n * max(values.dtype.itemsize, 1)))
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            ordered, lengths = _sorted(rows[part], None if hidden is None else hidden[part])
            _fit_rows(ordered, lengths, chosen, [out[part] for out in outputs])
    return RobustFit(mean, scale, inliers)


def fit_background(
    image: NDArray[Any],
    bad: NDArray[np.bool_] | None = None,
    window: tuple[int, int] = (64, 64),
    settings: RobustSettings | None = None,
    workers: int = 1,
) -> Background:
    """Robust planes in the windows of an image.

    Windows lie side by side; the last of a row or column is moved back to fit into the
    image, and tells of the pixels that the one before does not hold.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Pixels that are not finite are left out.
    bad : ndarray of bool, same shape, optional
        Pixels to leave out.
    window : tuple of int
        Rows and columns of a window; the image itself where that is smaller.
    settings : RobustSettings, optional
        How.
    workers : int
        Threads.

    Raises
    ------
    SettingsError
        If the image has not two dimensions, or the window is less than `LEAST_PIXELS`.
    """
    from napari_xfelsort.core.masks.plane_loops import places, put_backgrounds

    chosen = settings or RobustSettings()
    image = _checked_image(image)
    hidden = _hidden(bad, image.shape)
    rows, columns = _window(window, image.shape)
    out = Background(
        np.full(image.shape, np.nan), np.full(image.shape, np.nan), np.zeros(image.shape, np.int64)
    )
    zero, given = np.zeros(image.shape, np.float32), _numbers(chosen)
    u, v = places(rows, columns)

    windows = windows_of(image.shape, (rows, columns))

    def work(part: slice) -> None:
        some = windows[part]
        found = fitted(image[np.newaxis], zero, hidden, some, (rows, columns), (u, v), given)
        parts = (found.bases[0], found.planes[0], found.scales[0], found.inliers[0])
        put_backgrounds(some, rows, columns, u, v, *parts, *out)

    in_threads(work, windows, workers)
    return out


class WindowPlanes:
    """Robust planes of some windows of frames, however they lie.

    Parameters
    ----------
    windows : ndarray of int, shape (windows, 4)
        As `windows.windows_of` makes them; all of one size, and within the frames.
    window : tuple of int
        Rows and columns of each.
    bad : ndarray of bool, shape (y, x)
        Pixels to leave out.
    settings : RobustSettings, optional
        How; by default further starts are tried only where needed.

    Attributes
    ----------
    places : pair of ndarray of float32
        Places (u across, v down) of a window's pixels from -1 to 1, row by row.
    """

    def __init__(
        self,
        windows: NDArray[np.int64],
        window: tuple[int, int],
        bad: NDArray[np.bool_],
        settings: RobustSettings | None = None,
    ) -> None:
        from napari_xfelsort.core.masks.plane_loops import places

        self.windows, self.window = windows, window
        self._bad, self._zero = bad, np.zeros(bad.shape, np.float32)
        self.places = places(*window)
        self._numbers = _numbers(settings or RobustSettings(all_starts=False))

    def of(self, frame: NDArray[Any]) -> Iterator[tuple[slice, Fitted]]:
        """Some windows after the others, with their planes; shapes are (1, windows, ...)."""
        size = max(1, WINDOW_BYTES // self.places[0].nbytes)
        for start in range(0, len(self.windows), size):
            some = slice(start, start + size)
            yield some, fitted(
                frame[np.newaxis], self._zero, self._bad, self.windows[some],
                self.window, self.places, self._numbers,
            )  # fmt: skip


class SignalToNoise:
    """Mean and spread over frames of each pixel's ratio of signal to noise.

    The signal of a pixel is what it has above the robust plane of its window in the same
    frame, the noise the scale of that window. Frames are given in blocks and not kept.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of a frame.
    offset : ndarray, optional
        Dark level of each pixel, taken from every frame; 0 when omitted.
    bad : ndarray of bool, optional
        Pixels to leave out.
    window : tuple of int
        Rows and columns of a window.
    settings : RobustSettings, optional
        How planes are fitted; by default further starts are tried only where needed.
    workers : int
        Threads. Sums do not depend on it.

    """

    def __init__(
        self,
        shape: tuple[int, int],
        offset: NDArray[Any] | None = None,
        bad: NDArray[np.bool_] | None = None,
        window: tuple[int, int] = (15, 15),
        settings: RobustSettings | None = None,
        workers: int = 1,
    ) -> None:
        from napari_xfelsort.core.masks.plane_loops import places

        self._offset = np.zeros(shape, np.float32)
        if offset is not None:
            self._offset[...] = offset
        self._bad = _hidden(bad, shape) | ~np.isfinite(self._offset)
        self._window = _window(window, shape)
        self._windows = windows_of(shape, self._window)
        self._places = places(*self._window)
        self._numbers = _numbers(settings or RobustSettings(all_starts=False))
        self._workers = workers
        # Of single precision, ratios are exact in these sums, in whatever order they come.
        self._sums = np.zeros((3, len(self._windows), self._places[0].size))

    def add(self, frames: NDArray[Any]) -> None:
        """Add a block of frames, shape (frames, y, x).

        Raises
        ------
        SettingsError
            If they have another shape.
        """
        frames = np.asarray(frames)
        if frames.ndim != 3 or frames.shape[1:] != self._offset.shape:
            raise SettingsError(
                f"Frames of {self._offset.shape} were expected, not of {frames.shape[1:]}."
            )

        def work(part: slice) -> None:
            for row in rows_of(self._windows[part], self._windows.size, part.start):
                self._add(row, frames)

        in_threads(work, self._windows, self._workers)

    def _add(self, part: slice, frames: NDArray[Any]) -> None:
        """Add frames to the sums of some windows, as many at a time as stay in the cache."""
        from napari_xfelsort.core.masks.plane_loops import add_ratios

        windows, sums = self._windows[part], self._sums[:, part]
        size = max(1, WINDOW_BYTES // (self._places[0].nbytes * len(windows)))
        for start in range(0, len(frames), size):
            some = frames[start : start + size]
            found = fitted(
                some, self._offset, self._bad, windows, self._window, self._places, self._numbers
            )
            u, v = self._places
            add_ratios(found.values, u, v, found.planes, found.scales, found.inliers, *sums)

    def _at_pixels(self, number: int) -> NDArray[np.float64]:
        """Sums of ratios, of their squares, or of frames, where pixels are."""
        rows, columns = self._window
        out = np.zeros(self._offset.shape)
        for (top, left, own_top, own_left), sums in zip(
            self._windows.tolist(), self._sums[number], strict=True
        ):
            window = sums[: rows * columns].reshape(rows, columns)
            own = window[own_top - top :, own_left - left :]
            out[own_top : top + rows, own_left : left + columns] = own
        return out

    @property
    def counts(self) -> NDArray[np.int64]:
        """Frames in which each pixel had a ratio, shape (y, x)."""
        return self._at_pixels(2).astype(np.int64)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean ratio of each pixel, shape (y, x); NaN where there is none."""
        sums, n = self._at_pixels(0), self._at_pixels(2)
        return np.where(n > 0, sums / np.maximum(n, 1), np.nan)

    @property
    def spread(self) -> NDArray[np.float64]:
        """Standard deviation over the frames; NaN where there are fewer than two."""
        sums, squares, known = (self._at_pixels(k) for k in range(3))
        n = np.maximum(known, 2)
        variance = (squares - sums**2 / n) / (n - 1)
        return np.where(known > 1, np.sqrt(np.maximum(variance, 0)), np.nan)


def _sorted(
    rows: NDArray[Any], bad: NDArray[np.bool_] | None
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Rows in order, those that do not count at the end; and how many count."""
    if rows.dtype.kind == "f":
        out = np.isinf(rows) if bad is None else np.isinf(rows) | bad
        rows = np.sort(np.where(out, np.nan, rows), axis=1)  # NaN comes last
        return rows, np.count_nonzero(~np.isnan(rows), axis=1)
    if rows.dtype.kind == "b":
        rows = rows.astype(np.uint8)
    if bad is None or not bad.any():
        return np.sort(rows, axis=1), np.full(len(rows), rows.shape[1], np.int64)
    order = np.lexsort((rows, bad), axis=1)
    return np.take_along_axis(rows, order, axis=1), np.count_nonzero(~bad, axis=1)


def _fit_rows(
    ordered: NDArray[Any], lengths: NDArray[np.int64], settings: RobustSettings, outputs: list[Any]
) -> None:
    from napari_xfelsort.core.masks.value_loops import fit_sorted

    fit_sorted(
        np.ascontiguousarray(ordered),
        lengths.astype(np.int64),
        settings.likely,
        LEAST_VALUES,
        settings.scale_lambda,
        _kept(settings),
        settings.floor,
        settings.skewed,
        *outputs,
    )


def _kept(settings: RobustSettings) -> float:
    """Variance of a Gaussian that is cut at λ; 0 when the scale is not to be cleaned."""
    if not settings.clean:
        return 0.0
    bound = settings.scale_lambda
    inside = math.erf(bound / math.sqrt(2))
    return 1 - 2 * bound * math.exp(-(bound**2) / 2) / math.sqrt(2 * math.pi) / inside


def _numbers(settings: RobustSettings) -> NDArray[np.float64]:
    """Settings for the loops over windows: likely share, least sample, least pixels, share of
    a step, iterations, λ, variance kept, floor, share of inliers below which all starts count.
    """
    return np.array(
        [
            settings.likely,
            settings.support + 4,
            LEAST_PIXELS,
            settings.step_share,
            settings.iterations,
            settings.scale_lambda,
            _kept(settings),
            settings.floor,
            2.0 if settings.all_starts else 0.7,
        ]
    )


def _checked_image(image: NDArray[Any]) -> NDArray[Any]:
    image = np.asarray(image)
    if image.ndim != 2 or image.dtype.kind not in "iuf":
        raise SettingsError("A background needs an image of real numbers.")
    return image


def _hidden(bad: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if bad is None:
        return np.zeros(shape, bool)
    if bad.shape != shape:
        raise SettingsError(f"The mask is of {bad.shape}, the image of {shape}.")
    return np.ascontiguousarray(bad, bool)


def _window(window: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    rows, columns = min(window[0], shape[0]), min(window[1], shape[1])
    if min(rows, columns) < 1 or rows * columns < LEAST_PIXELS:
        raise SettingsError(
            f"A window of {rows} x {columns} pixels is too small for a plane; it needs at least "
            f"{LEAST_PIXELS}."
        )
    return rows, columns
