"""Frames with known anomalies, one event at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.simulate.anomalies.artifacts import spoil
from napari_xfelsort.core.simulate.anomalies.diffuse import choose_diffuse, diffuse_scattering
from napari_xfelsort.core.simulate.anomalies.ground import (
    ABSENT,
    UNSURE,
    VISIBLE,
    Ground,
    Map,
)
from napari_xfelsort.core.simulate.anomalies.rings import background_ring, loop_scattering
from napari_xfelsort.core.simulate.anomalies.settings import AnomalySimulationSettings
from napari_xfelsort.core.simulate.anomalies.uneven import detector_response, quadrant_offsets
from napari_xfelsort.core.simulate.bragg import bragg_spots, draw_spots, on_plane
from napari_xfelsort.core.simulate.obstacles import one_sided_absorption
from napari_xfelsort.core.simulate.optics import Optics
from napari_xfelsort.core.simulate.scattering import IceRings, air, log_uniform

#: Mean counts of the smooth background, and height of the spots in units of its noise.
STRONG_LEVEL, UNSURE_LEVEL, WEAK_LEVEL = (150.0, 3000.0), (120.0, 150.0), (4.0, 120.0)
WEAK_SPOTS, UNSURE_SPOTS, STRONG_SPOTS = (0.4, 3.0), (3.0, 6.0), (6.0, 60.0)

#: Excess of the strongest ice ring: visible, unsure.
ICE = ((0.3, 8.0), (0.05, 0.2))

_TABLE = 1500
_SETUP, _EVENT, _PIXELS = 1, 2, 3


@dataclass(frozen=True, eq=False)
class AnomalyEvent:
    """A simulated frame and its anomalies.

    Attributes
    ----------
    image : ndarray of int32, shape (side, side)
        Counts.
    mask : ndarray of bool, shape (side, side)
        True where a pixel is known to be bad (gaps, half of the hot pixels).
    labels : ndarray of int8, shape (7,)
        In the order of `ANOMALIES`: 1 there, 0 not there, -1 too weak to be sure.
    optics : Optics
        Beam centre, camera length, wavelength.
    truth : dict
        All that was drawn, by anomaly and for the setup; plain values.
    expected : ndarray of float32
        The frame before noise, artifacts and hot pixels.
    """

    image: NDArray[np.int32]
    mask: NDArray[np.bool_]
    labels: NDArray[np.int8]
    optics: Optics
    truth: dict[str, Any]
    expected: Map

    @property
    def center(self) -> tuple[float, float]:
        """Row and column of the direct beam; the first pixel's centre is (0, 0)."""
        return self.optics.center

    @property
    def detector(self) -> str:
        """Layout of the detector."""
        return str(self.truth["setup"]["detector"])


class AnomalyMaker:
    """Makes the events of a run; event ``i`` depends on the settings and ``i`` alone."""

    def __init__(self, settings: AnomalySimulationSettings) -> None:
        self.settings = settings
        self._ground: Ground | None = None
        if settings.setups == "run":
            random = np.random.default_rng((settings.seed, _SETUP))
            self._ground = Ground.draw(random, settings)

    def ground(self, i: int) -> Ground:
        """The setup of event ``i``."""
        if self._ground is not None:
            return self._ground
        return Ground.draw(np.random.default_rng((self.settings.seed, _SETUP, i)), self.settings)

    def labels(self, i: int) -> NDArray[np.int8]:
        """Labels of event ``i``; see `AnomalyEvent`."""
        return self._states(np.random.default_rng((self.settings.seed, _EVENT, i)))

    def _states(self, random: np.random.Generator) -> NDArray[np.int8]:
        there = random.random(len(ANOMALIES)) < self.settings.shares()
        unsure = random.random(len(ANOMALIES)) < self.settings.unsure
        return np.where(there, VISIBLE, np.where(unsure, UNSURE, ABSENT)).astype(np.int8)

    def event(self, i: int) -> AnomalyEvent:
        """Event ``i``."""
        random = np.random.default_rng((self.settings.seed, _EVENT, i))
        labels = self._states(random)
        state = dict(zip(ANOMALIES, labels.tolist(), strict=True))
        ground = self.ground(i)
        plane = ground.plane
        truth: dict[str, Any] = {"setup": ground.truth()}
        smooth = _background(random, state, ground, truth)
        light = _light(random, state, ground, smooth, truth)
        light *= ground.stop_passes
        if random.random() < 0.15:
            truth["absorption"], passes = one_sided_absorption(
                random, plane.shape, ground.optics.center, (0.03, 0.12)
            )
            light *= passes
        response, truth["non_uniform_detector"] = detector_response(
            random, state["non_uniform_detector"], ground
        )
        light *= response
        typical = float(np.median(light[plane.active]))
        offset = quadrant_offsets(ground, truth["non_uniform_detector"], typical)
        if offset is not None:
            light = np.maximum(light + offset, 0.0)
        light[~plane.active] = 0.0
        image = np.minimum(random.poisson(light), 2**28).astype(np.int32)
        truth["artifact"] = spoil(random, state["artifact"], image, ground, typical)
        known = self._hot_pixels(random, i, image)
        image[~plane.active] = 0
        return AnomalyEvent(image, ~plane.active | known, labels, ground.optics, truth, light)

    def _hot_pixels(
        self, random: np.random.Generator, i: int, image: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """A few pixels that are always hot, the same in all of a run; half of them are known."""
        fixed = (0,) if self.settings.setups == "run" else (1, i)
        places = np.random.default_rng((self.settings.seed, _PIXELS, *fixed))
        number = int(places.poisson(1e-5 * image.size))
        rows, columns = (places.integers(0, n, number) for n in image.shape)
        image[rows, columns] = random.integers(1000, 60000, number)
        known = np.zeros(image.shape, np.bool_)
        known[rows[::2], columns[::2]] = True
        return known

    def __iter__(self) -> Iterator[AnomalyEvent]:
        return (self.event(i) for i in range(self.settings.n_events))


def simulate_anomaly_event(
    settings: AnomalySimulationSettings | None = None, i: int = 0
) -> AnomalyEvent:
    """One frame with known anomalies; for many use `AnomalyMaker`."""
    return AnomalyMaker(settings or AnomalySimulationSettings()).event(i)


def _background(
    random: np.random.Generator, state: dict[str, int], ground: Ground, truth: dict[str, Any]
) -> Map:
    """Counts of air and solvent before anything stands in the way."""
    q = ground.maps.q
    grid = np.linspace(0.0, float(q.max()) * 1.001, _TABLE)
    fall, floor = float(random.uniform(0.07, 0.16)), float(random.uniform(0.06, 0.2))
    excess, truth["background_ring"] = background_ring(random, state["background_ring"], grid)
    curve = air(grid, fall, floor) * (1.0 + excess)
    smooth = np.interp(q, grid, curve).astype(np.float32) * ground.maps.factor
    strong = state["strong_background"]
    levels = {VISIBLE: STRONG_LEVEL, UNSURE: UNSURE_LEVEL, ABSENT: WEAK_LEVEL}[strong]
    level = log_uniform(random, *levels)
    smooth *= np.float32(level / float(smooth[ground.plane.active].mean()))
    truth["air"] = {"fall": fall, "floor": floor}
    truth["strong_background"] = {"level": level}
    return np.asarray(smooth)


def _light(
    random: np.random.Generator,
    state: dict[str, int],
    ground: Ground,
    smooth: Map,
    truth: dict[str, Any],
) -> Map:
    """Background with rings, arcs, spots and diffuse scattering."""
    maps = ground.maps
    light = smooth.copy()
    truth["ice_ring"] = {}
    if state["ice_ring"] != ABSENT:
        ice = IceRings.draw(random, *(ICE[0] if state["ice_ring"] == VISIBLE else ICE[1]))
        light += smooth * ice.excess(maps.q, maps.azimuth)
        truth["ice_ring"] = {
            "contrast": ice.contrast,
            "width": ice.width,
            "cubic": ice.cubic,
            "texture": ice.texture,
        }
    arcs, passes, truth["loop_scattering"] = loop_scattering(
        random, state["loop_scattering"], ground
    )
    if arcs is not None:
        light += smooth * arcs
    kind = choose_diffuse(random, state["diffuse_scattering"])
    spots = _crystal(random, state["strong_background"], ground, smooth, kind != "", truth)
    draw_spots(light, spots, float(random.uniform(0.6, 1.2)))
    counts = float(np.median(smooth[ground.plane.active]))
    diffuse, truth["diffuse_scattering"] = diffuse_scattering(
        random, state["diffuse_scattering"], kind, ground, spots, counts
    )
    if diffuse is not None:
        light += smooth * diffuse
    if passes is not None:
        light *= passes
    return np.maximum(light, 0.0)


def _crystal(
    random: np.random.Generator,
    strong: int,
    ground: Ground,
    smooth: Map,
    wanted: bool,
    truth: dict[str, Any],
) -> NDArray[np.float64]:
    """Spots with their height in counts; none on 15 % unless they are wanted."""
    ranges = {VISIBLE: WEAK_SPOTS, UNSURE: UNSURE_SPOTS, ABSENT: STRONG_SPOTS}[strong]
    height = log_uniform(random, *ranges)
    details = truth["strong_background"]
    details["spots"] = 0
    if random.random() < 0.15 and not wanted:
        return np.empty((0, 3))
    q_edge = ground.optics.q_at(0.5 * ground.plane.shape[0])
    spots = np.empty((0, 3))
    # A large cell has few reflections at low angles only by chance: draw again.
    while len(spots) < 10:
        limit = q_edge * random.uniform(0.6, 1.2)
        spots = bragg_spots(ground.optics, random, limit, b_factor=random.uniform(10, 30))
        spots = spots[on_plane(spots, ground.plane.shape)]
    rows, columns = np.rint(spots[:, :2]).astype(np.int64).T
    relative = spots[:, 2] / np.quantile(spots[:, 2], 0.9)
    spots[:, 2] = height * relative * np.sqrt(smooth[rows, columns])
    details.update(spots=len(spots), spot_height=height)
    return spots
