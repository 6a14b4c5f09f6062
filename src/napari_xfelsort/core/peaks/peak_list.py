"""The peaks found in one event."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.events import Peaks


@dataclass(frozen=True, eq=False)
class PeakList:
    """Peaks of one event; all arrays have shape (peaks,).

    Attributes
    ----------
    panels : tuple of str
        Names of the panels of the frame.
    panel : ndarray of int32
        Number of the panel that each peak is in.
    fs, ss : ndarray
        Place in the frame as stored, in pixels (pixel centre = integer), its leading axes
        below one another; along its faster and its slower axis.
    x, y : ndarray
        Column and row of the assembled picture, with fractions.
    radius : ndarray
        Distance from the beam in pixels; NaN when the beam is not known.
    resolution : ndarray
        d = 2 pi / q in angstrom; NaN when photon energy or camera length are not known.
    intensity : ndarray
        Sum above the background, in the frame's units.
    snr : ndarray
        Signal to noise: for poisson the square root of twice the logarithm of the ratio of
        likelihoods, for peakfinder8 intensity by deviation of the local background.
    n_pixels : ndarray of int32
        Pixels that the intensity is the sum of.
    """

    panels: tuple[str, ...]
    panel: NDArray[np.int32]
    fs: NDArray[np.float64]
    ss: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius: NDArray[np.float64]
    resolution: NDArray[np.float64]
    intensity: NDArray[np.float64]
    snr: NDArray[np.float64]
    n_pixels: NDArray[np.int32]

    @classmethod
    def empty(cls, panels: tuple[str, ...] = ()) -> PeakList:
        """No peaks."""
        none, numbers = np.empty(0), np.empty(0, np.int32)
        return cls(panels, numbers, *(none,) * 8, numbers)

    def __len__(self) -> int:
        return len(self.fs)

    def __getitem__(self, which: NDArray[Any] | slice) -> PeakList:
        """Some of the peaks: a mask, numbers or a slice."""
        arrays = {name: getattr(self, name)[which] for name in COLUMNS}
        return dataclasses.replace(self, **arrays)

    @property
    def panel_names(self) -> list[str]:
        """Name of the panel of each peak."""
        return [self.panels[k] for k in self.panel.tolist()]

    @property
    def stored(self) -> Peaks:
        """As peaks that a file stores."""
        return Peaks(self.fs, self.ss, self.intensity)


#: Arrays of a `PeakList`.
COLUMNS = tuple(f.name for f in dataclasses.fields(PeakList) if f.name != "panels")
