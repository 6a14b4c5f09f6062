"""The finder that needs no parameter: what is too much for a Poisson distribution.

The background of each ring around the beam, its own brightest pixels cut off, says how many
photons a pixel is expected to have. Where the sum of 5 x 5 pixels is unlikely and larger
than all sums nearby, counts in discs of several sizes are compared with what the rings and
the pixels around let one expect there; the disc that is least likely decides, by the exact
tail of the Poisson distribution. So the threshold follows the background by itself, also
where there is less than one photon in a thousand pixels. What is one pixel only is no peak.

Frames that do not count photons are made to: values are divided by what one photon is, and
the noise of the detector stands for as many photons as have the same variance.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.peaks.layout import FrameLayout
from napari_xfelsort.core.peaks.settings import PeakSettings
from napari_xfelsort.core.peaks.summits import COLUMNS, PANEL, Summits

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.masks.robust import WindowPlanes

#: Rows taken in each round that finds the background: every eighth, every fourth, all.
_STEPS = (8, 4, 1)
#: Photons that the level of a ring is found from, if need be with rings beside it.
_ENOUGH = 100.0
#: Most rings to either side.
_BESIDE = 40
#: Deviations above its level at which values are cut off.
_CUT = 4.0
#: A variance so many times the level is not that of counted photons.
_NOT_COUNTED = 1.5
#: The rings with the least variance tell: streaks and shadows cross some of the others.
_QUIET = 0.25
#: Least variance of frames that do not count photons, in photons, and rings over which the
#: noise is made smooth.
_LEAST_NOISE, _SMOOTH = 1e-4, 31
#: Least level: one photon in a million pixels.
_DARKEST = 1e-6
#: Powers of ten by which a sum of 5 x 5 pixels is unlikely before it is looked at.
_GATE = 5.0
#: Pixels that are looked at in one frame at most.
_MOST_SUMMITS = 20000
#: As for a peak without its largest pixel: less is a single pixel.
_BESIDE_LARGEST = 3.0
#: As for a peak above what runs through it from side to side: less is a ring or an edge.
_ABOVE_RIDGE = 5.0
_PIXELS = 25


class Background(NamedTuple):
    """What is expected of the pixels of each bin, the last being those that are not used.

    Attributes
    ----------
    photon : float
        Value of one photon.
    offset : ndarray of float32, shape (bins,)
        To be added to values in photons.
    level : ndarray of float32, shape (bins,)
        Photons expected in a pixel.
    """

    photon: float
    offset: NDArray[np.float32]
    level: NDArray[np.float32]


class Bins(NamedTuple):
    """What the pixels of a frame belong to, with the bad ones left out.

    Attributes
    ----------
    numbers : ndarray of uint16, shape (rows, columns)
        Of each pixel's ring or window; the last is that of pixels that are not used.
    n : int
        Numbers that there are, with the last.
    planes : tuple of WindowPlanes
        Of the robust finder: what fits planes to the windows.
    """

    numbers: NDArray[np.uint16]
    n: int
    planes: tuple[WindowPlanes, ...] = ()


class PoissonLook:
    """Looks for peaks in frames of one layout.

    Parameters
    ----------
    layout : FrameLayout
        Of the frames.
    settings : PeakSettings
        Significance, value of a photon, most peaks.
    """

    def __init__(self, layout: FrameLayout, settings: PeakSettings) -> None:
        self._layout = layout
        self._settings = settings
        self._photon = settings.adu_per_photon or photon_of(layout.geometry)
        self._buffers = _Buffers()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_buffers": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._buffers = _Buffers()

    def bins(self, bad: NDArray[np.bool_] | None) -> Bins:
        """The rings of the pixels, ``bad`` ones (rows, columns) left out."""
        s = self._settings
        return Bins(*self._layout.bins(bad, s.min_res, s.largest_radius))

    def find(self, values: NDArray[Any], bins: Bins) -> NDArray[np.float64]:
        """Peaks of a frame: panel, row, column, intensity, signal to noise and pixels.

        Parameters
        ----------
        values : ndarray, shape (rows, columns)
            The frame.
        bins : Bins
            Made by `bins`.
        """
        return self._find(values, bins, is_whole(values))

    def _find(self, values: NDArray[Any], bins: Bins, whole: bool) -> NDArray[np.float64]:
        summits = self.summits(values, bins, whole)
        table = summits.table
        good = self._significant(table) & (table[:, 6] >= _BESIDE_LARGEST)
        return summits.peaks(good & (table[:, 8] >= _ABOVE_RIDGE), self._settings.max_n_peaks)

    def summits(
        self, values: NDArray[Any], bins: Bins, whole: bool | None = None, gate: float = _GATE
    ) -> Summits:
        """Where the sum of 5 x 5 pixels is unlikely and the largest nearby.

        Parameters
        ----------
        values : ndarray, shape (rows, columns)
            The frame.
        bins : Bins
            Made by `bins`.
        whole : bool, optional
            Whether the frame was stored as whole numbers, if ``values`` do not tell.
        gate : float
            Powers of ten by which such a sum is unlikely.
        """
        from napari_xfelsort.core.peaks import count_peak_loops as loops

        around = background(values, bins.numbers, bins.n, self._photon, whole)
        counts, sums = self._buffers.of(values.shape)
        loops.counts_of(values, bins.numbers, 1.0 / around.photon, around.offset, counts)
        limit = least_counts(_PIXELS * around.level.astype(np.float64), gate)
        limit[-1] = np.inf
        tables = [np.empty((0, COLUMNS))]
        places = np.empty((_MOST_SUMMITS, 2), np.int64)
        for k, rectangle in enumerate(self._layout.rectangles):
            loops.box_sums(counts, rectangle, sums)
            end = loops.summits(sums, bins.numbers, rectangle, limit, places, 0)
            table = np.zeros((end, COLUMNS))
            loops.measure_all(counts, bins.numbers, rectangle, around.level, places[:end], table)
            table[:, PANEL] = k
            tables.append(table)
        return Summits(counts, around, np.concatenate(tables))

    def _significant(self, table: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which summits are unlikely enough."""
        return np.asarray(table[:, 3] >= self._settings.significance)


class _Buffers(threading.local):
    """Two pictures for each thread that need not be made anew for every frame."""

    def of(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Counts and sums of a frame of this shape."""
        kept: NDArray[np.float32] | None = getattr(self, "kept", None)
        if kept is None or kept.shape[1:] != shape:
            kept = self.kept = np.zeros((2, *shape), np.float32)
        return kept


def background(
    values: NDArray[Any],
    bins: NDArray[np.uint16],
    n: int,
    photon: float | None = None,
    whole: bool | None = None,
) -> Background:
    """What is expected of the pixels of each bin of a frame.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
        The frame.
    bins, n
        As `FrameLayout.bins` makes them.
    photon : float, optional
        Value of one photon; found from how levels and variances go together if omitted.
    whole : bool, optional
        Whether the frame was stored as whole numbers, which may be counts.
    """
    from napari_xfelsort.core.peaks.count_peak_loops import bin_sums

    whole = is_whole(values) if whole is None else whole
    cap = np.full(n, np.inf, np.float32)
    mean = spread = np.zeros(n - 1)
    one = 1.0 if photon is None else photon
    for step in _STEPS:
        sums = np.zeros((n, 3))
        bin_sums(values, bins, step, cap, sums)
        mean, square = _levels(sums[:-1], one)
        spread = np.sqrt(np.maximum(square - mean**2, 0.0))
        # Counted photons have at least the deviation of their number.
        least = np.sqrt(np.maximum(mean, 0.0) * one)
        cap[:-1] = mean + _CUT * np.maximum(least, np.minimum(spread, 3.0 * least + one)) + one
        if not np.isinf(cap[:-1]).any() and photon is None and step == _STEPS[0]:
            one = _value_of_photon(whole, sums[:-1], mean, spread)
            cap[:-1] = mean + _CUT * np.maximum(spread, least) + one
    level, offset = mean / one, np.zeros(n - 1)
    if one != 1.0 or not _counted(whole, _dispersion(sums[:-1], mean, spread, _QUIET)):
        # The noise of the detector stands for photons. It is made smooth over rings, since
        # it is added to the values: what is added must not differ from pixel to pixel.
        offset = _smooth(np.maximum((spread / one) ** 2 - level, _LEAST_NOISE - level))
        level = level + offset
    level = np.maximum(level, _DARKEST)
    return Background(
        one, np.append(offset, 0.0).astype(np.float32), np.append(level, 0.0).astype(np.float32)
    )


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running median, then running mean."""
    from scipy.ndimage import median_filter, uniform_filter1d

    width = min(_SMOOTH, len(values))
    smooth = median_filter(values, width, mode="nearest")
    return np.asarray(uniform_filter1d(smooth, width, mode="nearest"))


def least_counts(expected: NDArray[np.float64], power: float) -> NDArray[np.float32]:
    """Least numbers that are less likely than ten to minus the power.

    Parameters
    ----------
    expected : ndarray, shape (n,)
        Photons expected.
    power : float
        Of the chance of that number or more.
    """
    from napari_xfelsort.core.peaks.count_peak_loops import least_numbers

    found = np.empty(len(expected), np.float32)
    least_numbers(expected, power, found)
    return found


def _levels(
    sums: NDArray[np.float64], photon: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean value and mean square of each bin, with its neighbours where photons are few."""
    n = len(sums)
    running = np.concatenate([np.zeros((1, 3)), np.cumsum(sums, axis=0)])
    result = np.zeros((n, 2))
    open_ = np.ones(n, bool)
    k = np.arange(n)
    for beside in range(_BESIDE + 1):
        within = running[np.minimum(k + beside + 1, n)] - running[np.maximum(k - beside, 0)]
        pixels, total = within[:, 0], within[:, 1]
        ready = open_ & ((np.abs(total) >= _ENOUGH * photon) | (beside == _BESIDE))
        divisor = np.maximum(pixels[ready], 1.0)
        result[ready] = within[ready, 1:] / divisor[:, None]
        open_ &= ~ready
        if not open_.any():
            break
    return result[:, 0], result[:, 1]


def _dispersion(
    sums: NDArray[np.float64],
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
    part: float = 0.5,
) -> float:
    """Ratio of variance and level that this part of the rings is below; infinite where levels
    are not above zero.
    """
    use = (sums[:, 0] > 0) & ((mean > 0) | (spread > 0))
    if not use.any():
        return 0.0
    ratio = np.full(len(mean), np.inf)
    np.divide(spread**2, mean, out=ratio, where=mean > 0)
    return float(np.quantile(ratio[use], part, method="lower"))


def _value_of_photon(
    whole: bool,
    sums: NDArray[np.float64],
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> float:
    """Value of one photon where nobody says it.

    Whole numbers whose variance is their level are counts. Else it is the ratio of variance
    and level, but no more than the deviation, which is all that noise without light has.
    """
    if _counted(whole, _dispersion(sums, mean, spread, _QUIET)):
        return 1.0
    ratio = _dispersion(sums, mean, spread)
    usual = spread[spread > 0]
    if not len(usual):
        return 1.0
    return max(min(ratio, float(np.median(usual))), 1e-12)


def _counted(whole: bool, ratio: float) -> bool:
    """Whether values are numbers of photons, whose variance and level have this ratio."""
    return whole and ratio <= _NOT_COUNTED


def is_whole(values: NDArray[Any]) -> bool:
    """Whether values are whole numbers, by some of them."""
    if values.dtype.kind in "iu":
        return True
    some = values[:: max(1, values.shape[0] // 16)]
    some = some[np.isfinite(some)]
    return bool((some == np.rint(some)).all())


def photon_of(geometry: Geometry | None) -> float | None:
    """Value of a photon by the geometry; None when it says nothing, or panels differ."""
    if geometry is None:
        return None
    known = {panel.adu_per_photon for panel in geometry.panels.values()}
    value = known.pop() if len(known) == 1 else None
    return value if value is not None and value > 0 else None
