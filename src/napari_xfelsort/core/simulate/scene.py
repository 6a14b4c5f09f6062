"""One diffraction frame with a known beam centre, on any of the simulated detectors.

The frames are hard for centre finders on purpose: beam stops with arms at any angle,
shadows, one-sided absorption, gain steps of panels, vignetting about the detector and
not the beam, few counts, unmasked bad pixels, and some centres off the detector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.simulate.bragg import bragg_spots, draw_spots, on_plane
from napari_xfelsort.core.simulate.detectors import (
    DETECTOR_TYPES,
    PlaneDetector,
    plane_detector,
)
from napari_xfelsort.core.simulate.obstacles import (
    BeamStop,
    direct_beam,
    hard_shadow,
    one_sided_absorption,
    vignette,
)
from napari_xfelsort.core.simulate.optics import Optics, PixelMaps, distance_for
from napari_xfelsort.core.simulate.scattering import (
    IceRings,
    background_curve,
    log_uniform,
    long_distance_curve,
)

#: Kinds of frames: anything, or the ordinary frames of a synchrotron beamline (CCD and
#: PILATUS, beam near the middle, arms along rows or columns).
REGIMES = ("wide", "reflex")

_BACKGROUNDS = {"air": 0.25, "water": 0.4, "saxs": 0.15, "lcp": 0.2}

#: Points of the curve that pixels are interpolated in.
_TABLE = 1500


@dataclass(frozen=True, eq=False)
class Scene:
    """A simulated frame and its truth.

    Attributes
    ----------
    image : ndarray of int32, shape (side, side)
        Counts.
    mask : ndarray of bool, shape (side, side)
        True where a pixel is known to be bad: gaps and half of the bad pixels and
        columns. The beam stop, shadows and the other half are not in it.
    center : tuple of float
        Row and column of the direct beam; the first pixel's centre is (0, 0).
    detector : str
        Layout of the detector.
    truth : dict
        All that was drawn: ``regime``, ``counts`` (mean before obstacles),
        ``off_detector``, ``long_distance``, ``background``, ``ice``, ``ice_contrast``,
        ``spots``, ``stop``, ``stop_center``, ``shadow`` (kind or ""), ``absorption``,
        ``gain_spread``, ``vignette``, ``wavelength``, ``distance`` (pixels), ``tilt``
        (degrees).
    expected : ndarray of float32
        The image without noise and bad pixels, 0 in gaps.
    """

    image: NDArray[np.int32]
    mask: NDArray[np.bool_]
    center: tuple[float, float]
    detector: str
    truth: dict[str, Any]
    expected: NDArray[np.float32]


def simulate_scene(
    seed: int | np.random.Generator,
    side: int = 1024,
    detector: str | None = None,
    regime: str = "wide",
) -> Scene:
    """A frame with a known centre; equal seeds give equal frames.

    Parameters
    ----------
    seed : int or numpy.random.Generator
        Where all that is random comes from.
    side : int
        Rows and columns.
    detector : str, optional
        A layout of `plane_detector`; one of the five types when not given.
    regime : {"wide", "reflex"}
        See `REGIMES`.

    Raises
    ------
    SettingsError
        If the detector or the regime is unknown, or the side is out of range.
    """
    if regime not in REGIMES:
        raise SettingsError(f"regime is {regime!r} but must be one of {', '.join(REGIMES)}.")
    random = np.random.default_rng(seed)
    plane = plane_detector(detector or draw_layout(random, regime), side)
    truth: dict[str, Any] = {"regime": regime}
    center = _draw_center(random, side, regime, truth)
    optics = _draw_optics(random, center, side, truth)
    maps = optics.pixels(plane.shape)
    light = _scattering(random, plane, optics, maps, truth)
    expected = light * _obstacles(random, plane, center, light, truth)
    expected *= _response(random, plane, truth)
    expected[~plane.active] = 0.0
    image = np.minimum(random.poisson(expected), 2**30).astype(np.int32)
    known = _spoil(random, plane, image)
    return Scene(image, ~plane.active | known, center, plane.name, truth, expected)


def draw_layout(random: np.random.Generator, regime: str = "wide") -> str:
    """A layout: each of the five types as often; half of the CCDs are round plates."""
    types = DETECTOR_TYPES if regime == "wide" else ("ccd", "pilatus")
    kind = str(random.choice(types))
    return "plate" if kind == "ccd" and random.random() < 0.5 else kind


def _draw_center(
    random: np.random.Generator, side: int, regime: str, truth: dict[str, Any]
) -> tuple[float, float]:
    middle = 0.5 * (side - 1)
    truth["off_detector"] = False
    angle = random.uniform(0.0, 2.0 * np.pi)
    if regime == "reflex":
        # Most beams are set well, some are not: mean 15 px and 28 px root mean square of
        # 1024, as Czyzewski et al. (2021) found for the published images.
        spread = 0.044 if random.random() < 0.18 else 0.0048
        radius = float(random.rayleigh(spread))
    elif random.random() < 0.05:
        truth["off_detector"] = True
        return _off_center(random, side)
    else:
        radius = 0.15 * np.sqrt(random.random())
    radius = min(radius, 0.3) * side
    return float(middle + radius * np.sin(angle)), float(middle + radius * np.cos(angle))


def _off_center(random: np.random.Generator, side: int) -> tuple[float, float]:
    """2 to 15 % of the side beyond one of the edges."""
    outside = random.uniform(0.02, 0.15) * side
    along = random.uniform(0.0, side - 1.0)
    beyond = -0.5 - outside if random.random() < 0.5 else side - 0.5 + outside
    place = (beyond, along) if random.random() < 0.5 else (along, beyond)
    return float(place[0]), float(place[1])


def _draw_optics(
    random: np.random.Generator, center: tuple[float, float], side: int, truth: dict[str, Any]
) -> Optics:
    wavelength = float(random.uniform(0.7, 1.6))
    far = bool(random.random() < 0.15)
    d_edge = log_uniform(random, 8.0, 60.0) if far else float(random.uniform(1.5, 3.0))
    size = np.radians(0.3) * np.sqrt(random.random())
    turn = random.uniform(0.0, 2.0 * np.pi)
    tilt = float(size * np.cos(turn)), float(size * np.sin(turn))
    optics = Optics(
        center=center,
        wavelength=wavelength,
        distance=distance_for(d_edge, 0.5 * side, wavelength),
        tilt=tilt,
        polarisation=float(random.uniform(0.9, 1.0)),
    )
    truth.update(
        long_distance=far,
        wavelength=wavelength,
        distance=optics.distance,
        tilt=tuple(float(np.degrees(t)) for t in tilt),
    )
    return optics


def _scattering(
    random: np.random.Generator,
    plane: PlaneDetector,
    optics: Optics,
    maps: PixelMaps,
    truth: dict[str, Any],
) -> NDArray[np.float32]:
    """Expected counts of background, ice and crystal before anything stands in the way."""
    side = plane.shape[0]
    q_edge = optics.q_at(0.5 * side)
    grid = np.linspace(0.0, float(maps.q.max()) * 1.001, _TABLE)
    if truth["long_distance"]:
        kind, curve = "saxs", long_distance_curve(grid, q_edge, random)
    else:
        kind = str(random.choice(list(_BACKGROUNDS), p=list(_BACKGROUNDS.values())))
        curve = background_curve(kind, grid, random)
    counts = log_uniform(random, 0.25, 500.0)
    light = np.interp(maps.q, grid, curve).astype(np.float32) * maps.factor
    light *= np.float32(counts / float(light[plane.active].mean()))
    ice = bool(random.random() < 0.3) and not truth["long_distance"]
    contrast = 0.0
    if ice:
        rings = IceRings.draw(random)
        contrast = rings.contrast
        light *= 1.0 + rings.excess(maps.q, maps.azimuth)
    number = _add_crystal(random, optics, light, q_edge)
    truth.update(background=kind, counts=counts, ice=ice, ice_contrast=contrast, spots=number)
    return np.asarray(light)


def _add_crystal(
    random: np.random.Generator, optics: Optics, light: NDArray[np.float32], q_edge: float
) -> int:
    """Add the spots of a crystal (none on 15 %) to the light; how many are on the plane."""
    if random.random() < 0.15:
        return 0
    limit = q_edge * random.uniform(0.5, 1.3)
    spots = bragg_spots(optics, random, limit, b_factor=random.uniform(10.0, 40.0))
    spots = spots[on_plane(spots, (light.shape[0], light.shape[1]))]
    rows, columns = np.rint(spots[:, :2]).astype(np.int64).T
    noise = np.sqrt(light[rows, columns] + 1.0)
    spots[:, 2] *= log_uniform(random, 2.0, 60.0) * noise
    draw_spots(light, spots, float(random.uniform(0.5, 1.3)))
    return len(spots)


def _obstacles(
    random: np.random.Generator,
    plane: PlaneDetector,
    center: tuple[float, float],
    light: NDArray[np.float32],
    truth: dict[str, Any],
) -> NDArray[np.float32]:
    """What passes; a direct beam seen through or without a stop is added to the light."""
    side = plane.shape[0]
    stop = BeamStop.draw(random, center, side, 0.8 if truth["regime"] == "reflex" else 0.1)
    if truth["off_detector"]:
        stop = BeamStop("none", center, 0.0, transmission=1.0)
    if stop.kind == "transparent" or (stop.kind == "none" and random.random() < 0.4):
        # Where the stop lets something through, it is the weakened direct beam first of all.
        light += direct_beam(random, plane.shape, center) * np.quantile(light, 0.999)
    passes = stop.passes(plane.shape)
    truth.update(stop=stop.kind, stop_center=stop.center, absorption=0.0, shadow="")
    if random.random() < 0.35:
        truth["absorption"], through = one_sided_absorption(random, plane.shape, center)
        passes *= through
    if random.random() < 0.12:
        truth["shadow"], through = hard_shadow(random, plane.shape, center)
        passes *= through
    return passes


def _response(
    random: np.random.Generator, plane: PlaneDetector, truth: dict[str, Any]
) -> NDArray[np.float32]:
    """Gains of the panels and vignetting about the middle of the detector."""
    spread = random.uniform(0.01, 0.05) if random.random() < 0.5 else 0.004
    gains = 1.0 + spread * np.clip(random.standard_normal(plane.n_panels), -3.0, 3.0)
    response = plane.per_panel(gains, gap=1.0)
    depth = float(random.uniform(0.05, 0.25)) if random.random() < 0.3 else 0.0
    if depth:
        response *= vignette(plane.shape, depth)
    truth.update(gain_spread=float(spread), vignette=depth)
    return response


def _spoil(
    random: np.random.Generator, plane: PlaneDetector, image: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Put hot and dead pixels and dead columns into the image; those that are known."""
    bad = np.zeros(plane.shape, np.int8)
    number = max(1, round(image.size * log_uniform(random, 1e-5, 3e-4)))
    rows = random.integers(0, image.shape[0], number)
    columns = random.integers(0, image.shape[1], number)
    values = np.exp(random.uniform(np.log(10.0), np.log(20000.0), number))
    values[random.random(number) < 0.3] = 0.0
    image[rows, columns] = values.astype(np.int32)
    bad[rows, columns] = random.integers(1, 3, number)
    for _ in range(int(random.choice((0, 1, 2, 3), p=(0.5, 0.25, 0.15, 0.1)))):
        top, bottom, left, right = plane.windows[random.integers(plane.n_panels)]
        column = int(random.integers(left, right))
        image[top:bottom, column] = 0
        bad[top:bottom, column] = random.integers(1, 3)
    image[~plane.active] = 0
    return np.asarray(bad == 2)
