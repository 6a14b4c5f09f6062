"""The finder that has learned: places that the Poisson finder looks at, judged by a network.

The background, the places and what is measured there are those of
`napari_xfelsort.core.peaks.poisson`, at a lower gate. What the network gives is the value of
its map at these places alone: elsewhere the map is of no use, and four million pixels would
take a hundred times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.peaks.layout import FrameLayout
from napari_xfelsort.core.peaks.poisson import Bins, PoissonLook
from napari_xfelsort.core.peaks.settings import PeakSettings
from napari_xfelsort.core.peaks.summits import Summits

if TYPE_CHECKING:
    from napari_xfelsort.core.deep.peak_net import PeakNet

#: Powers of ten by which the sum of 5 x 5 pixels is unlikely at a place that is measured.
GATE = 4.0
#: As for the best disc at a place that is judged: what is below is never a
#: peak, at any cut that is of use.
_LEAST = 5.0
#: Places that are judged at once.
_AT_ONCE = 64


class Places(NamedTuple):
    """Places of a frame that may be peaks, as a network sees them.

    Attributes
    ----------
    summits : Summits
        Where they are, and what was measured there.
    patches : ndarray of float32, shape (places, 17, 17, 4)
        As of `patch_loops.cut_patches`.
    facts : ndarray of float32, shape (places, 6)
        Of the chance, the chance without the largest pixel, the deviations, the background
        around by that of the rings, the background a pixel, and the size: logarithms.
    """

    summits: Summits
    patches: NDArray[np.float32]
    facts: NDArray[np.float32]


class LearnedLook(PoissonLook):
    """Looks for peaks in frames of one layout with a network.

    Parameters
    ----------
    layout : FrameLayout
        Of the frames.
    settings : PeakSettings
        Probability, value of a photon, most peaks.
    net : PeakNet
        The network.
    """

    def __init__(self, layout: FrameLayout, settings: PeakSettings, net: PeakNet) -> None:
        super().__init__(layout, settings)
        self.net = net

    def find(self, values: NDArray[Any], bins: Bins) -> NDArray[np.float64]:
        """Peaks of a frame; see `PoissonLook.find`."""
        summits = self.summits(values, bins, gate=GATE)
        summits = summits._replace(table=summits.table[summits.table[:, 3] >= _LEAST])
        scores = self.judge(summits, bins.numbers)
        given = self._settings.probability
        least = self.net.cut if given is None else log_odds(given)
        return summits.peaks(scores >= least, self._settings.max_n_peaks)

    def judge(self, summits: Summits, bins: NDArray[np.uint16]) -> NDArray[np.float64]:
        """Log-odds that places of a frame are peaks.

        Parameters
        ----------
        summits : Summits
            As `summits` finds them; its counts are still those of the frame.
        bins : ndarray
            As `FrameLayout.bins` makes them.
        """
        scores = [np.empty(0)]
        for start in range(0, len(summits.table), _AT_ONCE):
            part = summits._replace(table=summits.table[start : start + _AT_ONCE])
            places = seen_places(self._layout, part, bins)
            scores.append(self.net.scores(places.patches, places.facts))
        return np.concatenate(scores)


def seen_places(layout: FrameLayout, summits: Summits, bins: NDArray[np.uint16]) -> Places:
    """Places as a network sees them.

    Parameters
    ----------
    layout : FrameLayout
        Of the frame.
    summits : Summits
        The places; its counts are still those of the frame.
    bins : ndarray
        As `FrameLayout.bins` makes them.
    """
    from napari_xfelsort.core.peaks.patch_loops import CHANNELS, SIDE, cut_patches

    table, level = summits.table, summits.around.level
    patches = np.empty((len(table), SIDE, SIDE, CHANNELS), np.float32)
    ratios = np.empty(len(table))
    cut_patches(summits.counts, bins, layout.rectangles, level, table, patches, ratios)
    logarithms = (
        np.log1p(table[:, 3]) / 2,
        np.log1p(table[:, 6]) / 2,
        np.log1p(table[:, 4]) / 2,
        np.log(np.maximum(ratios, 1e-3)),
        np.log10(np.maximum(table[:, 7], 1e-9)) / 3,
        np.log(np.maximum(table[:, 5], 1.0)) / 3,
    )
    return Places(summits, patches, np.column_stack(logarithms).astype(np.float32))


def log_odds(probability: float) -> float:
    """ln(p / (1 - p)); infinite at 0 and 1."""
    if not 0.0 < probability < 1.0:
        return float("inf") if probability >= 1.0 else float("-inf")
    return float(np.log(probability) - np.log1p(-probability))
