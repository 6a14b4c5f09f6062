"""`PeakFinder`: the peaks of one frame, by one of the finders."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.peaks.layout import FrameLayout, same_pixels
from napari_xfelsort.core.peaks.peak_list import PeakList
from napari_xfelsort.core.peaks.poisson import Bins, PoissonLook
from napari_xfelsort.core.peaks.robust import RobustLook
from napari_xfelsort.core.peaks.settings import PeakSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

#: Rounds in which peakfinder8 leaves peaks out of the background.
_ROUNDS = 5


class _Kept(NamedTuple):
    """Bins of pixels, and the bad pixels that they were made for."""

    bad: NDArray[np.bool_] | None
    bins: Bins


class PeakFinder:
    """Finds peaks in the frames of a run; may be used from several threads, and pickled.

    Parameters
    ----------
    raw_shape : tuple of int
        Of the frames as stored.
    geometry : Geometry, optional
        Bound to frames of this shape. The Poisson finder takes squares for rings without
        it, the robust one needs none; peakfinder8 then needs frames of one module, and
        takes its middle for the beam.
    settings : PeakSettings, optional
        Which finder and how.

    Raises
    ------
    GeometryError
        If there is no geometry where one is needed, or panels are no rectangles.
    ModelError
        If the model of the learned finder cannot be read.

    Notes
    -----
    The Poisson finder is described in `napari_xfelsort.core.peaks.poisson`, the robust one
    in `napari_xfelsort.core.peaks.robust`, the learned one in
    `napari_xfelsort.core.peaks.learned`. peakfinder8 is
    that of Barty et al., J. Appl. Cryst. 47, 1118-1131 (2014), with the parameters of
    CrystFEL's indexamajig; positions are means weighted by the values themselves, as there.
    """

    def __init__(
        self,
        raw_shape: tuple[int, ...],
        geometry: Geometry | None = None,
        settings: PeakSettings | None = None,
    ) -> None:
        self.settings = settings or PeakSettings()
        as_crystfel = self.settings.finder == "peakfinder8"
        self.layout = FrameLayout(raw_shape, geometry, as_crystfel)
        if as_crystfel and self.layout.radius is None:
            self.layout.radius = _around_the_middle(self.layout)
        self._kept: _Kept | None = None
        self._look = _look(self.layout, self.settings)

    def find(
        self,
        frame: NDArray[Any],
        bad: NDArray[np.bool_] | None = None,
        photon_energy: float = math.nan,
        camera_length: float = math.nan,
    ) -> PeakList:
        """The peaks of a frame.

        Parameters
        ----------
        frame : ndarray, raw shape
            As stored.
        bad : ndarray of bool, raw shape, optional
            Pixels that must not be used. NaN are not used either.
        photon_energy, camera_length : float
            In eV and m, for the resolution of peaks only.

        Returns
        -------
        PeakList
            Panel by panel for peakfinder8, the most intense first for the others.

        Raises
        ------
        GeometryError
            If the frame has another shape.
        """
        layout = self.layout
        if frame.shape != layout.raw_shape:
            raise GeometryError(
                f"The frame has shape {frame.shape}; peaks are looked for in frames of "
                f"{layout.raw_shape}."
            )
        values = np.ascontiguousarray(frame).reshape(layout.shape)
        if values.dtype != np.int32:
            values = values.astype(np.float32, copy=False)  # two types to compile for
        bins = self._bins(None if bad is None else np.reshape(bad, layout.shape))
        if self.settings.finder == "peakfinder8":
            found = self._peakfinder8(values, bins.numbers, bins.n)
        else:
            found = self._look.find(values, bins)
        panel = found[:, 0].astype(np.int32)
        row, column = found[:, 1].copy(), found[:, 2].copy()
        place = layout.place(panel, row, column, photon_energy, camera_length)
        return PeakList(
            layout.names,
            panel,
            column,
            row,
            *place,
            found[:, 3].copy(),
            found[:, 4].copy(),
            found[:, 5].astype(np.int32),
        )

    def changed(self, settings: PeakSettings) -> PeakFinder:
        """The same with other settings; what does not depend on them is not made again."""
        old = self.settings
        if "peakfinder8" in (old.finder, settings.finder) and old.finder != settings.finder:
            return PeakFinder(self.layout.raw_shape, self.layout.geometry, settings)
        other = copy.copy(self)
        other.settings, other._look = settings, _look(self.layout, settings)
        if _of_bins(old) != _of_bins(settings):
            other._kept = None
        return other

    def _bins(self, bad: NDArray[np.bool_] | None) -> Bins:
        """Bins of the pixels, made anew when other pixels are bad."""
        kept = self._kept
        if kept is None or not same_pixels(bad, kept.bad):
            own = None if bad is None else bad.copy()
            kept = _Kept(own, self._look.bins(own))
            self._kept = kept
        return kept.bins

    def _peakfinder8(
        self, values: NDArray[Any], bins: NDArray[np.uint16], n: int
    ) -> NDArray[np.float64]:
        from napari_xfelsort.core.peaks.radial_peak_loops import (
            N_COLUMNS,
            radial_peaks,
            radial_thresholds,
        )

        s = self.settings
        mean, limit = np.zeros(n, np.float32), np.zeros(n, np.float32)
        radial_thresholds(
            values.reshape(-1), bins.reshape(-1), s.threshold, s.min_snr, _ROUNDS, mean, limit
        )
        taken = np.zeros(values.shape, np.uint8)
        found = np.empty((s.max_n_peaks, N_COLUMNS))
        count = radial_peaks(
            values,
            bins,
            self.layout.rectangles,
            mean,
            limit,
            s.min_snr,
            s.min_pix_count,
            s.max_pix_count,
            2 * s.local_bg_radius,
            taken,
            found,
        )
        return found[:count]


def _look(layout: FrameLayout, settings: PeakSettings) -> PoissonLook:
    """What looks for peaks, unless it is peakfinder8."""
    if settings.finder == "robust":
        return RobustLook(layout, settings)
    if settings.finder != "learned":
        return PoissonLook(layout, settings)
    from napari_xfelsort.core.deep.peak_net import load_peak_net
    from napari_xfelsort.core.peaks.learned import LearnedLook

    return LearnedLook(layout, settings, load_peak_net(settings.model))


def _of_bins(settings: PeakSettings) -> tuple[str, int, float, float]:
    """Settings that bins depend on."""
    return settings.finder, settings.window, settings.min_res, settings.largest_radius


def _around_the_middle(layout: FrameLayout) -> NDArray[np.float32]:
    """Distances from the middle of a frame of one module."""
    if len(layout.rectangles) != 1:
        raise GeometryError(
            "peakfinder8 needs a geometry for frames of several modules; give one, or use the "
            "finder poisson."
        )
    height, width = layout.shape
    row, column = np.ogrid[:height, :width]
    away = np.hypot(row - 0.5 * (height - 1), column - 0.5 * (width - 1))
    return np.asarray(away, np.float32)
