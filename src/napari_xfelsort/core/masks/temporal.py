"""Mean and standard deviation of every pixel over time, in one pass and bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError


class TemporalStatistics:
    """Sums over frames that are given in blocks and not kept.

    Sums are of the difference from each pixel's first value: of whole numbers up to 16 bits
    they are exact, of others they lose no digits to a large offset.

    Parameters
    ----------
    shape : tuple of int
        Of a frame, or of one module of it.

    Attributes
    ----------
    n_frames : int
        Frames added.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = tuple(shape)
        self.n_frames = 0
        self._whole: _WholeSums | None = None
        self._real: _RealSums | None = None

    def add(self, frames: NDArray[Any]) -> None:
        """Add a block, shape (frames, ...shape).

        Raises
        ------
        SettingsError
            If the frames have another shape or are no real numbers.
        """
        frames = np.asarray(frames)
        if frames.shape[1:] != self._shape or frames.dtype.kind not in "iuf":
            raise SettingsError(
                f"Frames of {self._shape} were expected, not {frames.dtype} of {frames.shape[1:]}."
            )
        if not len(frames):
            return
        flat = np.ascontiguousarray(frames).reshape(len(frames), -1)
        if flat.dtype.kind in "iu" and flat.dtype.itemsize <= 2 and self._real is None:
            self._whole = self._whole or _WholeSums(flat[0])
            self._whole.add(flat)
        else:
            self._become_real(flat.shape[1])
            assert self._real is not None
            self._real.add(flat)
        self.n_frames += len(frames)

    def _become_real(self, n_pixels: int) -> None:
        """Go on with sums of any numbers, from those of whole numbers if there are some."""
        if self._real is None:
            self._real = _RealSums(n_pixels)
            if self._whole is not None:
                self._real.take(self._whole, self.n_frames)
                self._whole = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """Finite values of each pixel."""
        if self._real is None:
            return np.full(self._shape, self.n_frames, np.int64)
        return self._real.counts.reshape(self._shape)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each pixel; NaN where no value is finite."""
        sums = self._sums()
        if sums is None:
            return np.full(self._shape, np.nan)
        shift, first, _, n = sums
        with np.errstate(invalid="ignore", divide="ignore"):
            found = shift + first / n
        return np.where(n > 0, found, np.nan).astype(np.float64).reshape(self._shape)

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation (of n - 1) of each pixel; NaN where there are fewer than two."""
        sums = self._sums()
        if sums is None:
            return np.full(self._shape, np.nan)
        _, first, second, n = sums
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = (second - first * first / n) / (n - 1)
        found = np.sqrt(np.maximum(variance, 0))
        return np.where(n > 1, found, np.nan).astype(np.float64).reshape(self._shape)

    def _sums(self) -> tuple[Any, Any, Any, Any] | None:
        """Shift, sums, squares and counts of the flat pixels in extended precision."""
        found = self._whole if self._real is None else self._real
        if found is None:
            return None
        wide = [np.asarray(each, np.longdouble) for each in (found.shift, found.sums)]
        n = np.longdouble(self.n_frames) if self._real is None else self._real.counts
        return wide[0], wide[1], np.asarray(found.squares, np.longdouble), n + np.longdouble(0)


class _WholeSums:
    """Exact sums of whole numbers of at most 16 bits."""

    def __init__(self, first: NDArray[Any]) -> None:
        self.shift = first.copy()
        self.sums = np.zeros(first.size, np.int64)
        self.squares = np.zeros(first.size, np.int64)

    def add(self, flat: NDArray[Any]) -> None:
        from napari_xfelsort.core.masks.moment_loops import add_whole

        add_whole(flat, self.shift, self.sums, self.squares)


class _RealSums:
    """Sums of any real numbers, without those that are not finite."""

    def __init__(self, n_pixels: int) -> None:
        self.shift = np.full(n_pixels, np.nan)
        self.counts = np.zeros(n_pixels, np.int64)
        self.sums = np.zeros(n_pixels)
        self.squares = np.zeros(n_pixels)

    def take(self, whole: _WholeSums, n_frames: int) -> None:
        self.shift[:] = whole.shift
        self.counts[:] = n_frames
        self.sums[:] = whole.sums
        self.squares[:] = whole.squares

    def add(self, flat: NDArray[Any]) -> None:
        from napari_xfelsort.core.masks.moment_loops import add_real

        add_real(flat, self.shift, self.counts, self.sums, self.squares)
