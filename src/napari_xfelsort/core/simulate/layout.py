"""Segmented detectors for simulation: panels in the file, and where they lie.

Both detectors have four quadrants set like the sails of a windmill around a square
beam hole; a quadrant holds modules, a module holds 2 x 2 panels (ASICs). Modules are
stacked along the slow axis of the file, as psana stores an ePix10k-2M.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError

#: x, y, z components of a direction or position, in pixels.
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Panel:
    """One panel: a rectangle of the slab, and its place in CrystFEL's laboratory frame.

    Attributes
    ----------
    name : str
        ``p<module>a<asic>``.
    min_fs, max_fs, min_ss, max_ss : int
        First and last pixel in the slab, inclusive.
    corner : tuple of float
        x and y of the outer corner of the first pixel, in pixels.
    fs, ss : Vector
        Step to the next pixel along the fast and the slow scan, in pixels.
    coffset : float
        What is added to the file's camera length, in m.
    """

    name: str
    min_fs: int
    max_fs: int
    min_ss: int
    max_ss: int
    corner: tuple[float, float]
    fs: Vector
    ss: Vector
    coffset: float

    @property
    def window(self) -> tuple[slice, slice]:
        """The panel's pixels in the slab."""
        return slice(self.min_ss, self.max_ss + 1), slice(self.min_fs, self.max_fs + 1)


@dataclass(frozen=True)
class Detector:
    """A segmented detector.

    Attributes
    ----------
    name : str
        What it is called in settings and file names.
    asic : tuple of int
        Pixels of a panel, (ss, fs).
    modules : tuple of int
        Modules of a quadrant, (upwards, outwards).
    pixel_size : float
        Edge of a pixel in m.
    hole : float
        Half the edge of the beam hole, in pixels.
    encoder : float
        Camera length that the motor's encoder reports, in mm.
    coffset : float
        What has to be added to the encoder's value, in m.
    """

    name: str
    asic: tuple[int, int]
    modules: tuple[int, int]
    pixel_size: float
    hole: float
    encoder: float
    coffset: float

    asic_gap = 3.0
    module_gap = 12.0

    @property
    def n_modules(self) -> int:
        """Modules of the whole detector."""
        return 4 * self.modules[0] * self.modules[1]

    @property
    def module_shape(self) -> tuple[int, int]:
        """Pixels of a module, (ss, fs)."""
        return 2 * self.asic[0], 2 * self.asic[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels of the slab, (ss, fs)."""
        return self.n_modules * self.module_shape[0], self.module_shape[1]

    def panels(self) -> list[Panel]:
        """All panels, in the order of the file."""
        return [panel for number in range(self.n_modules) for panel in self._module_panels(number)]

    def panel(self, name: str) -> Panel:
        """The panel of this name.

        Raises
        ------
        SettingsError
            If there is none.
        """
        for panel in self.panels():
            if panel.name == name:
                return panel
        raise SettingsError(
            f"The {self.name} detector has no panel {name!r}; its panels are p0a0 to "
            f"p{self.n_modules - 1}a3."
        )

    def _module_panels(self, number: int) -> list[Panel]:
        per_quadrant = self.modules[0] * self.modules[1]
        quadrant, place = divmod(number, per_quadrant)
        # Numbered from the outside in.
        up, out = divmod(per_quadrant - 1 - place, self.modules[1])
        height, width = (n + self.asic_gap for n in self.module_shape)
        left = self.hole + out * (width + self.module_gap)
        bottom = -self.hole + up * (height + self.module_gap)
        # A mounting error of its own for every module, the same for every run.
        turn = 0.5 * np.pi * quadrant + 0.004 * np.sin(2.0 + 3.7 * number)
        tilt = 0.003 * np.cos(1.0 + 2.3 * number)
        cos, sin = float(np.cos(turn)), float(np.sin(turn))
        fs = (cos, sin, float(tilt))
        ss = (-sin, cos, float(-0.5 * tilt))
        quarter = np.round([np.cos(0.5 * np.pi * quadrant), np.sin(0.5 * np.pi * quadrant)])
        origin_x = float(quarter[0] * left - quarter[1] * bottom)
        origin_y = float(quarter[1] * left + quarter[0] * bottom)
        panels = []
        for asic in range(4):
            row, column = divmod(asic, 2)
            along_fs = column * (self.asic[1] + self.asic_gap)
            along_ss = row * (self.asic[0] + self.asic_gap)
            min_ss = number * self.module_shape[0] + row * self.asic[0]
            min_fs = column * self.asic[1]
            corner = [
                origin + along_fs * f + along_ss * s
                for origin, f, s in zip((origin_x, origin_y, 0.0), fs, ss, strict=True)
            ]
            panels.append(
                Panel(
                    name=f"p{number}a{asic}",
                    min_fs=min_fs,
                    max_fs=min_fs + self.asic[1] - 1,
                    min_ss=min_ss,
                    max_ss=min_ss + self.asic[0] - 1,
                    corner=(corner[0], corner[1]),
                    fs=fs,
                    ss=ss,
                    coffset=self.coffset + corner[2] * self.pixel_size,
                )
            )
        return panels

    def positions(self) -> NDArray[np.float64]:
        """Pixel centres in the laboratory for the encoder's camera length.

        Returns
        -------
        ndarray, shape (3, slow, fast)
            x, y, z in m; z along the beam from the interaction point.
        """
        place = np.empty((3, *self.shape))
        for panel in self.panels():
            rows, columns = panel.window
            fast = np.arange(columns.stop - columns.start) + 0.5
            slow = np.arange(rows.stop - rows.start)[:, None] + 0.5
            start = (*panel.corner, 0.0)
            for axis in range(3):
                step = start[axis] + fast * panel.fs[axis] + slow * panel.ss[axis]
                place[axis][panel.window] = step * self.pixel_size
            place[2][panel.window] += self.encoder * 1e-3 + panel.coffset
        return place


DETECTORS = {
    detector.name: detector
    for detector in (
        Detector("small", (44, 48), (2, 1), 2e-4, 36.0, 580.0, -0.525),
        Detector("epix10k2m", (176, 192), (2, 2), 1e-4, 20.0, 580.0, -0.46),
    )
}
