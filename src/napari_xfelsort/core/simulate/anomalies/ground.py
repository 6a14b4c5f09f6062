"""What an event's anomalies are planted in: detector, beam, maps, beam stop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.anomalies.settings import ANY, AnomalySimulationSettings
from napari_xfelsort.core.simulate.detectors import PlaneDetector, plane_detector
from napari_xfelsort.core.simulate.obstacles import BeamStop
from napari_xfelsort.core.simulate.optics import Optics, PixelMaps, distance_for
from napari_xfelsort.core.simulate.scattering import log_uniform
from napari_xfelsort.core.simulate.scene import draw_layout

Map = NDArray[np.float32]

#: An anomaly is plainly there, is not there, or is so weak that one cannot be sure.
VISIBLE, ABSENT, UNSURE = 1, 0, -1

#: Lengths of anomalies in pixels are those of frames of this side.
NORMAL_SIDE = 512

#: Range of a strength when visible, and when unsure.
Ranges = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Ground:
    """One setup of an experiment.

    Attributes
    ----------
    plane : PlaneDetector
    optics : Optics
    stop : BeamStop
    """

    plane: PlaneDetector
    optics: Optics
    stop: BeamStop

    @classmethod
    def draw(cls, random: np.random.Generator, settings: AnomalySimulationSettings) -> Ground:
        """A setup like those of the published frames: the beam near the middle."""
        layout = draw_layout(random) if settings.detector == ANY else settings.detector
        side = settings.side
        plane = plane_detector(layout, side)
        off = np.clip(random.normal(0.0, 0.012, 2), -0.04, 0.04) * side
        center = 0.5 * (side - 1) + float(off[0]), 0.5 * (side - 1) + float(off[1])
        wavelength = float(random.uniform(0.9, 1.4))
        # Water's ring is inside the shorter side, whatever is drawn.
        d_edge = float(random.uniform(1.6, 2.1))
        tilt = np.radians(random.uniform(-0.2, 0.2, 2))
        optics = Optics(
            center=center,
            wavelength=wavelength,
            distance=distance_for(d_edge, 0.5 * side, wavelength),
            tilt=(float(tilt[0]), float(tilt[1])),
            polarisation=float(random.uniform(0.9, 1.0)),
        )
        return cls(plane, optics, BeamStop.draw(random, center, side, upright=0.6))

    @cached_property
    def maps(self) -> PixelMaps:
        """Scattering vector, azimuth and intensity factor of every pixel."""
        return self.optics.pixels(self.plane.shape)

    @cached_property
    def stop_passes(self) -> Map:
        """What passes the beam stop."""
        return self.stop.passes(self.plane.shape)

    @property
    def scale(self) -> float:
        """Pixels of this plane for one of a plane of `NORMAL_SIDE`."""
        return self.plane.shape[0] / NORMAL_SIDE

    def truth(self) -> dict[str, Any]:
        """The setup as plain values."""
        return {
            "detector": self.plane.name,
            "center": list(self.optics.center),
            "wavelength": self.optics.wavelength,
            "distance": self.optics.distance,
            "stop": self.stop.kind,
        }


def strength(random: np.random.Generator, state: int, ranges: Ranges) -> float:
    """A strength from the range that suits the state; 0 when absent."""
    if state == ABSENT:
        return 0.0
    low, high = ranges[0] if state == VISIBLE else ranges[1]
    return log_uniform(random, low, high)


def turned(azimuth: Map, direction: float, period: float) -> Map:
    """Angle from a direction, folded so that it repeats every ``period`` (radian)."""
    half = np.float32(0.5 * period)
    return np.asarray((azimuth - np.float32(direction) + half) % np.float32(period) - half)
