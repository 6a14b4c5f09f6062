"""Places of a frame that may be peaks, with what was measured there, before a finder decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_xfelsort.core.peaks.poisson import Background

#: Columns that `count_peak_loops.measure` may fill, and the panel behind them.
COLUMNS = 12
PANEL = COLUMNS - 1


class Summits(NamedTuple):
    """Places that may be peaks, and the frame as counts.

    Attributes
    ----------
    counts : ndarray of float32, shape (rows, columns)
        Photons; overwritten when the same thread looks at another frame.
    around : Background
        What is expected.
    table : ndarray, shape (places, 12)
        What `count_peak_loops.measure` tells of each; the last is the number of its panel.
    """

    counts: NDArray[np.float32]
    around: Background
    table: NDArray[np.float64]

    def peaks(self, good: NDArray[np.bool_], most: int) -> NDArray[np.float64]:
        """Those of the places that are good, without parts of others.

        Parameters
        ----------
        good : ndarray of bool, shape (places,)
            Which are peaks.
        most : int
            How many at most, the most intense.

        Returns
        -------
        ndarray, shape (peaks, 6)
            As `PoissonLook.find`.
        """
        found = self.table[good]
        found = found[np.argsort(-found[:, 2], kind="stable")][:most]
        found = found[~parts_of_others(found)]
        found[:, 2] *= self.around.photon
        return found[:, [PANEL, 0, 1, 2, 4, 5]]


def parts_of_others(found: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which peaks are parts of larger ones; rows as of `Summits`, the most intense first."""
    from napari_xfelsort.core.peaks.count_peak_loops import drop_parts

    kept = np.ones(len(found), bool)
    drop_parts(found, kept)
    return ~kept
