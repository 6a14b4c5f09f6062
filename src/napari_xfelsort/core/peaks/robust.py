"""The finder for any background: peaks above robust planes.

Each panel is cut into windows. A plane is fitted to each by fast least k-th order statistics
and the modified selective statistical estimator, as for masks (A. Sadri et al., J. Appl.
Cryst. 55, 1549-1561, 2022; for peaks M. Hadian-Jazi et al., J. Appl. Cryst. 50, 1705-1715,
2017): up to half of the pixels may belong to peaks, streaks or shadows. It needs neither a
geometry nor a beam centre, and the background need not be alike around the beam.

Where less than one photon is expected in a pixel, the k-th smallest residual says nothing:
most pixels are 0, and so are plane and scale. So only the slopes are taken from the planes.
The level of a window is the mean of its values without what is far above it, the noise at
least that of counted photons, and signal to noise is the root of twice the logarithm of the
likelihood ratio (for many photons the usual one), over discs of several sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.robust import WindowPlanes
from napari_xfelsort.core.masks.windows import windows_of
from napari_xfelsort.core.peaks.layout import FrameLayout
from napari_xfelsort.core.peaks.poisson import Bins, PoissonLook, is_whole

#: Numbers of windows that there are in two bytes.
_MOST_WINDOWS = 60000


class RobustLook(PoissonLook):
    """Looks for peaks above robust planes in frames of one layout; see `PoissonLook`."""

    def bins(self, bad: NDArray[np.bool_] | None) -> Bins:
        """The windows of the pixels, ``bad`` ones (rows, columns) left out.

        Raises
        ------
        SettingsError
            If there are too many windows.
        """
        settings, layout = self._settings, self._layout
        unused = layout.unused(bad, settings.min_res, settings.largest_radius)
        groups = _windows(layout, settings.window)
        n = sum(map(len, groups.values())) + 1
        if n > _MOST_WINDOWS:
            raise SettingsError(
                f"Windows of {settings.window} pixels are too small: a frame has {n - 1} of them, "
                f"and {_MOST_WINDOWS} are the most. Choose larger windows."
            )
        bins = np.full(layout.shape, n - 1, np.uint16)
        number, planes = 0, []
        for window, windows in groups.items():
            for top, left, own_top, own_left in windows.tolist():
                own = (slice(own_top, top + window[0]), slice(own_left, left + window[1]))
                bins[own] = number
                number += 1
            planes.append(WindowPlanes(windows, window, unused))
        bins[unused] = n - 1
        return Bins(bins, n, tuple(planes))

    def find(self, values: NDArray[Any], bins: Bins) -> NDArray[np.float64]:
        """Peaks of a frame; see `PoissonLook.find`."""
        from napari_xfelsort.core.peaks.plane_peak_loops import take_slopes

        flat = values.astype(np.float32)
        for planes in bins.planes:
            for some, found in planes.of(values):
                take_slopes(
                    planes.windows[some], *planes.window, *planes.places, found.planes[0],
                    found.inliers[0], flat,
                )  # fmt: skip
        return self._find(flat, bins, is_whole(values))

    def _significant(self, table: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(table[:, 4] >= self._settings.robust_snr)


def _windows(layout: FrameLayout, side: int) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Windows of all panels by their size, which is that of a panel where this is smaller."""
    groups: dict[tuple[int, int], list[NDArray[np.int64]]] = {}
    for top, bottom, left, right in layout.rectangles.tolist():
        window = min(side, bottom - top), min(side, right - left)
        windows = windows_of((bottom - top, right - left), window)
        groups.setdefault(window, []).append(windows + np.array([top, left, top, left]))
    return {window: np.concatenate(found) for window, found in groups.items()}
