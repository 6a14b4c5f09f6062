"""The panels of any geometry as the simulation needs them: positions, obstacles, spots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry import Geometry, Panel
from napari_xfelsort.core.simulate.sfx.diffraction import Reflections

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlacedPanel:
    """One panel in the raw frame and in the laboratory.

    Attributes
    ----------
    name : str
        As in the geometry.
    layout : ndarray of int64, shape (5,)
        First pixel, steps along ss and fs in the flat raw frame, height, width.
    frame : ndarray, shape (4, 3)
        Corner, step along fs and along ss, normal times the area of a pixel; in m, z
        without camera length.
    first : pair of int
        fs and ss of its first pixel in the raw frame, the leading axes of which are laid
        below one another.
    transposed : bool
        Whether fs is the slower of the two axes in the raw frame.
    """

    name: str
    layout: NDArray[np.int64]
    frame: Array
    first: tuple[int, int]
    transposed: bool

    def at(self, offset: float) -> Array:
        """The frame with a camera length (without ``coffset``) added."""
        moved = self.frame.copy()
        moved[0, 2] += offset
        return moved

    def raw_place(self, f: Array, s: Array) -> tuple[Array, Array]:
        """fs and ss in the raw frame of points of the panel, pixel centres at integers."""
        if self.transposed:
            return self.first[0] + s, self.first[1] + f
        return self.first[0] + f, self.first[1] + s

    def own_place(self, fs: Array, ss: Array) -> tuple[Array, Array]:
        """The inverse of `raw_place`."""
        across, along = fs - self.first[0], ss - self.first[1]
        return (along, across) if self.transposed else (across, along)


class DetectorPanels:
    """All panels of a geometry.

    Parameters
    ----------
    geometry : Geometry
        Of any detector. Its own camera length and photon energy do not count.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.raw_shape = geometry.raw_shape
        self.size = math.prod(geometry.raw_shape)
        self.offset = geometry.camera_length(0.0)
        shift = [0.0 if s is None or s.value is None else s.value for s in geometry.detector_shift]
        self.panels = [_placed(p, geometry.raw_shape, shift) for p in geometry.panels.values()]
        self.active = np.zeros(geometry.raw_shape, np.bool_)
        for panel in geometry.panels.values():
            self.active[panel.raw_index] = True
        if not np.isfinite([p.frame for p in self.panels]).all():
            raise GeometryError(
                f"The geometry {geometry.source} does not say where all its panels are."
            )

    def clen(self, camera_length: float) -> float:
        """What files hold for a camera length (m): the panels' ``coffset`` is not in it."""
        return camera_length - self.offset

    def corners(self, clen: float) -> Array:
        """Corners of all panels; shape (panels, 4, 3), in m from the sample."""
        result = []
        for panel in self.panels:
            corner, fs, ss, _ = panel.at(clen)
            height, width = panel.layout[3:]
            result.append([corner + f * fs + s * ss for f in (0, width) for s in (0, height)])
        return np.array(result)

    def w_max(self, clen: float) -> float:
        """Greatest 1 - cos(2 theta) of a pixel, at most 2."""
        corners = self.corners(clen)
        if (corners[..., 2] <= 0.0).any():
            return 2.0
        lengths = np.linalg.norm(corners, axis=-1)
        return float(min(1.001 * (1.0 - corners[..., 2] / lengths).max() + 1e-9, 2.0))

    def on_panels(
        self, reflections: Reflections, clen: float, smear: float, blur: float
    ) -> list[tuple[int, NDArray[np.int64], Array]]:
        """Where spots meet panels, and their shapes in pixels.

        Parameters
        ----------
        smear : float
            Variance in m^2 that the crystal's size adds along fs and ss.
        blur : float
            Variance in pixels^2 that the sensor adds.

        Returns
        -------
        list of (panel number, reflections, spots)
            ``spots`` is what `pixel_loops.draw_spots` takes; spots beside a panel that
            reach onto it are among them.
        """
        result = []
        rays = reflections.rays
        for number, panel in enumerate(self.panels):
            corner, fs, ss, area = panel.at(clen)
            height, width = panel.layout[3:]
            normal2 = area @ area
            # Dual vectors: a point p of the panel has f = p . to_f.
            to_f, to_s = np.cross(ss, area) / normal2, np.cross(area, fs) / normal2
            facing = rays @ area
            with np.errstate(divide="ignore", invalid="ignore"):
                far = (corner @ area) / facing
                points = rays * far[:, None] - corner
                f, s = points @ to_f - 0.5, points @ to_s - 0.5
                margin = 8.0
                near = (far > 0) & (f > -margin) & (f < width + margin)
                near &= (s > -margin) & (s < height + margin)
            chosen = np.flatnonzero(near)
            if not len(chosen):
                continue
            k1, t = rays[chosen], far[chosen]
            # d(f, s) / d(k1) = t (to - k1 (n . dk) / (n . k1)) applied to the two duals.
            steps = np.stack([to_f, to_s])
            along = np.einsum("ad,nd->na", steps, k1)
            jacobian = t[:, None, None] * (
                steps - along[:, :, None] * area / facing[chosen][:, None, None]
            )
            shape = np.einsum("nai,nij,nbj->nab", jacobian, reflections.spread[chosen], jacobian)
            # A pixel adds the variance of its own width.
            blurred = blur + 1.0 / 12.0
            sizes = np.array([fs @ fs, ss @ ss])
            spots = np.column_stack(
                [
                    f[chosen],
                    s[chosen],
                    reflections.photons[chosen],
                    shape[:, 0, 0] + smear / sizes[0] + blurred,
                    shape[:, 0, 1],
                    shape[:, 1, 1] + smear / sizes[1] + blurred,
                ]
            )
            result.append((number, chosen, spots))
        return result


def _placed(panel: Panel, raw_shape: tuple[int, ...], shift: Sequence[float]) -> PlacedPanel:
    start, down, across = panel.raw_strides(raw_shape)
    pixel = 1.0 / panel.res
    fs, ss = np.array(panel.fs) * pixel, np.array(panel.ss) * pixel
    corner = np.array(
        [panel.corner[0] * pixel + shift[0], panel.corner[1] * pixel + shift[1], panel.coffset]
    )
    row, column = divmod(start, raw_shape[-1])
    return PlacedPanel(
        name=panel.name,
        layout=np.array([start, down, across, panel.height, panel.width], np.int64),
        frame=np.stack([corner, fs, ss, np.cross(fs, ss)]),
        first=(column, row),
        transposed=panel.transposed,
    )
