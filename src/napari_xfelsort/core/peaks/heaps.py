"""Rings and streaks that are learnt over a run: peaks that heap where those of crystals do not.

Ice and the jet bring peaks that are not at one pixel, but at one distance from the beam or in one
direction. Crystals share their spacings too, so that it is not enough that many peaks of a
run are on one ring: a crystal has few of them there at once, since few of the equivalent
reflections are on Ewald's sphere together, and has others beside. So it is counted in how
many events a ring (or a sector) holds many more peaks than what is beside it lets one expect;
a row of reflections through the beam heaps as well, but in another direction in each event.
What heaps at one place in more events than chance has it is learnt. Peaks there are left out
in the events in which some of it heaps: where there is no ice, crystals keep their peaks on
its rings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.peaks.peak_list import PeakList

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

#: Width of a ring as a part of its radius; half of it is a bin.
_RING = 0.03
#: Sectors of half a turn, of which a streak is in two, and by how many a jet turns.
_SECTORS, _TURNS = 90, 5
#: Peaks that a heap has at least.
_LEAST = 6
#: Chance of a heap in an event by itself, and of so many events with one at the same place.
_CHANCE, _CHANCE_OF_EVENTS = 1e-5, 1e-5
#: Events in which there is one at least, also as a share of all: once in some hundred events a
#: crystal of high symmetry lies so that one of its rings is a heap.
_EVENTS, _SHARE = 4, 0.05
#: Heaps by chance at any place, at least.
_USUAL = 0.2
#: Bins to either side from which the number of peaks in a ring is told.
_BESIDE = 12
#: The mean of counts by that of the lower two thirds of them, about.
_CUT_OFF = 1.6


def heaped(lists: Sequence[PeakList], beam: tuple[float, float] | None) -> list[NDArray[np.bool_]]:
    """Which peaks are in a ring or a streak that was learnt over the run.

    Parameters
    ----------
    lists : sequence of PeakList
        One for each event that was read.
    beam : pair of float or None
        Row and column of the beam in the picture; None leaves streaks out.

    Returns
    -------
    list of ndarray of bool, shape (peaks,)
        One for each event; nothing is left out where the beam is not known.
    """
    drop = [np.zeros(len(peaks), bool) for peaks in lists]
    _mark(drop, [_ring_bins(peaks) for peaks in lists], around=False)
    if beam is not None:
        _mark(drop, [_sector_bins(peaks, beam) for peaks in lists], around=True)
    return drop


def beam_place(geometry: Geometry) -> tuple[float, float]:
    """Row and column of the beam in the picture of a geometry."""
    zero = np.zeros(1)
    return float(geometry.grid.rows(zero)[0]), float(geometry.grid.columns(zero)[0])


def _ring_bins(peaks: PeakList) -> NDArray[np.int64]:
    """Numbers of narrow rings: of spacings where these are known, else of radii; -1 if not."""
    known = np.isfinite(peaks.resolution).all() and (peaks.resolution > 0).all()
    value = 1e3 / peaks.resolution if known else peaks.radius  # 1/um, or pixels
    good = np.isfinite(value) & (value > 1.0)
    number = np.log(np.where(good, value, 2.0)) / (0.5 * _RING)
    return np.where(good, number, -1).astype(np.int64)


def _sector_bins(peaks: PeakList, beam: tuple[float, float]) -> NDArray[np.int64]:
    """Numbers of narrow sectors around the beam; those opposite to one another are one."""
    angle = np.arctan2(peaks.y - beam[0], peaks.x - beam[1]) % np.pi
    number = np.floor(np.nan_to_num(angle) / np.pi * _SECTORS).astype(np.int64) % _SECTORS
    return np.where(np.isfinite(angle), number, -1)


def _mark(drop: list[NDArray[np.bool_]], bins: list[NDArray[np.int64]], around: bool) -> None:
    """Mark peaks of heaps that are at one place in many events."""
    from scipy.special import pdtrc

    n = _SECTORS if around else max((int(own.max(initial=-1)) for own in bins), default=-1) + 2
    if n < 2 or not bins:
        return
    heaps = np.array([_heaps(np.bincount(own[own >= 0], minlength=n), around) for own in bins])
    # Jets turn a little between events; rings stay where they are.
    near = _wider(heaps, _TURNS if around else 1)
    events = near.sum(axis=0)
    usual = max(float(np.median(events)), _USUAL)
    often = events >= max(_EVENTS, _SHARE * len(bins))
    learnt = often & (pdtrc(np.maximum(events - 1, 0), usual) < _CHANCE_OF_EVENTS)
    for out, own, here in zip(drop, bins, heaps, strict=True):
        if (here & learnt).any():
            within = here & learnt if around else learnt
            within = within | np.roll(within, 1)  # a heap is of the bin and the next one
            out |= (own >= 0) & within[np.maximum(own, 0)]


def _wider(heaps: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Bins near which there is a heap, for each event."""
    near = heaps.copy()
    for step in range(1, reach + 1):
        near |= np.roll(heaps, step, axis=1) | np.roll(heaps, -step, axis=1)
    return near


def _heaps(counts: NDArray[np.int64], around: bool) -> NDArray[np.bool_]:
    """Pairs of bins (by the first) that hold more peaks than those beside let one expect."""
    from scipy.special import pdtrc

    both = counts + np.roll(counts, -1)
    if around:
        expected = (counts.sum() - both) * 2 / (len(counts) - 2)
    else:
        both[-1] = counts[-1]
        # Rings of ice lie near one another: the fullest bins beside do not count.
        padded = np.pad(counts, (_BESIDE, _BESIDE + 1))
        beside = np.sort(np.lib.stride_tricks.sliding_window_view(padded, 2 * _BESIDE + 2), axis=1)
        expected = 2 * _CUT_OFF * beside[:, : 2 * (len(beside[0]) // 3)].mean(axis=1)
    unlikely = pdtrc(np.maximum(both - 1, 0), np.maximum(expected, 0.5)) < _CHANCE
    return np.asarray((both >= _LEAST) & unlikely)
