"""What stands in the scattered beam: beam stops, shadows, absorption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.scattering import log_uniform

Map = NDArray[np.float32]

#: Kinds of beam stop and how often each is drawn.
STOPS = {"arm": 0.58, "disc": 0.20, "transparent": 0.10, "none": 0.12}

#: Kinds of hard shadow.
SHADOWS = ("edge", "bar", "aperture")


def offsets(shape: tuple[int, int], center: tuple[float, float]) -> tuple[Map, Map]:
    """Rows (a column vector) and columns (a row vector) counted from ``center``."""
    rows = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(center[0])
    return rows, np.arange(shape[1], dtype=np.float32)[None] - np.float32(center[1])


def soft_step(distance: Any, width: float) -> Map:
    """0 below, 1 above 0, with an edge of this width in pixels."""
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(-distance / np.float32(width), -30, 30))))


@dataclass(frozen=True)
class BeamStop:
    """A beam stop's shadow on the plane.

    Attributes
    ----------
    kind : str
        A key of `STOPS`.
    center : tuple of float
        Row and column of the middle of the stop.
    radius : float
        In pixels.
    angle : float
        Direction of the arm, from increasing columns to increasing rows, in radian.
    arm_width, arm_length : float
        In pixels; no arm when the width is 0.
    transmission : float
        What passes the stop, 0 to 1.
    """

    kind: str
    center: tuple[float, float]
    radius: float
    angle: float = 0.0
    arm_width: float = 0.0
    arm_length: float = 0.0
    transmission: float = 0.0

    @classmethod
    def draw(
        cls,
        random: np.random.Generator,
        center: tuple[float, float],
        side: int,
        upright: float = 0.1,
    ) -> BeamStop:
        """A stop that was set by hand: its middle is a little off the beam.

        Parameters
        ----------
        upright : float
            Share of arms along rows or columns.
        """
        kind = str(random.choice(list(STOPS), p=list(STOPS.values())))
        off = np.clip(random.normal(0.0, 0.003, 2), -0.008, 0.008) * side
        angle = random.uniform(0.0, 2.0 * np.pi)
        if random.random() < upright:
            angle = 0.5 * np.pi * random.integers(4)
        radius = random.uniform(0.01, 0.035) * side
        arm_width = random.uniform(0.005, 0.016) * side
        arm_length = (3.0 if random.random() < 0.85 else random.uniform(0.15, 0.5)) * side
        clear = random.uniform(0.05, 0.4) if kind == "transparent" else random.uniform(0, 0.02)
        return cls(
            kind=kind,
            center=(center[0] + float(off[0]), center[1] + float(off[1])),
            radius=0.0 if kind == "none" else float(radius),
            angle=float(angle),
            arm_width=float(arm_width) if kind == "arm" else 0.0,
            arm_length=float(arm_length) if kind == "arm" else 0.0,
            transmission=1.0 if kind == "none" else float(clear),
        )

    def passes(self, shape: tuple[int, int]) -> Map:
        """Share of the scattering that passes, for every pixel."""
        if self.kind == "none":
            return np.ones(shape, np.float32)
        rows, columns = offsets(shape, self.center)
        open_ = soft_step(np.hypot(rows, columns) - np.float32(self.radius), 0.6)
        if self.arm_width > 0.0:
            cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
            along = columns * cos + rows * sin
            across = np.abs(rows * cos - columns * sin)
            inside = soft_step(np.float32(0.5 * self.arm_width) - across, 0.6)
            inside *= soft_step(along, 0.6) * soft_step(self.arm_length - along, 0.6)
            open_ = np.minimum(open_, 1.0 - inside)
        clear = np.float32(self.transmission)
        return np.asarray(clear + (1.0 - clear) * open_)


def hard_shadow(
    random: np.random.Generator, shape: tuple[int, int], center: tuple[float, float]
) -> tuple[str, Map]:
    """The shadow of a nozzle, a holder or an aperture: its kind, and what passes it."""
    kind = str(random.choice(SHADOWS))
    side = max(shape)
    clear = random.uniform(0.0, 0.3)
    blur = random.uniform(0.7, 4.0)
    angle = random.uniform(0.0, 2.0 * np.pi)
    rows, columns = offsets(shape, center)
    along = columns * np.float32(np.cos(angle)) + rows * np.float32(np.sin(angle))
    if kind == "edge":
        dark = soft_step(along - np.float32(random.uniform(0.1, 0.4) * side), blur)
    elif kind == "bar":
        across = rows * np.float32(np.cos(angle)) - columns * np.float32(np.sin(angle))
        across = np.abs(across - np.float32(random.uniform(-0.2, 0.2) * side))
        half = np.float32(random.uniform(0.03, 0.12) * side)
        dark = soft_step(half - across, blur)
        dark *= soft_step(along - np.float32(random.uniform(0.05, 0.25) * side), blur)
    else:
        middle = random.uniform(0.0, 0.12, 2) * side * random.choice((-1.0, 1.0), 2)
        radius = np.hypot(rows - np.float32(middle[0]), columns - np.float32(middle[1]))
        dark = soft_step(radius - np.float32(random.uniform(0.35, 0.55) * side), blur)
    return kind, np.asarray(1.0 - (1.0 - np.float32(clear)) * dark)


def one_sided_absorption(
    random: np.random.Generator,
    shape: tuple[int, int],
    center: tuple[float, float],
    depths: tuple[float, float] = (0.1, 0.5),
) -> tuple[float, Map]:
    """Absorption by what is thicker on one side: the greatest loss, and what passes."""
    side = max(shape)
    depth = float(random.uniform(*depths))
    angle = random.uniform(0.0, 2.0 * np.pi)
    rows, columns = offsets(shape, center)
    along = columns * np.float32(np.cos(angle)) + rows * np.float32(np.sin(angle))
    step = soft_step(along - np.float32(random.uniform(-0.1, 0.2) * side), 0.15 * side)
    return depth, np.asarray(1.0 - np.float32(depth) * step)


def vignette(shape: tuple[int, int], depth: float) -> Map:
    """Response that falls by ``depth`` from the middle of the detector to its corner."""
    rows, columns = offsets(shape, (0.5 * (shape[0] - 1), 0.5 * (shape[1] - 1)))
    corner2 = 0.25 * (shape[0] ** 2 + shape[1] ** 2)
    return np.asarray(1.0 - np.float32(depth) * (rows**2 + columns**2) / np.float32(corner2))


def direct_beam(
    random: np.random.Generator, shape: tuple[int, int], center: tuple[float, float]
) -> Map:
    """An attenuated direct beam, relative to the brightest scattering beside it."""
    rows, columns = offsets(shape, center)
    sigma2 = np.float32(random.uniform(0.8, 3.0) ** 2)
    height = log_uniform(random, 1.0, 30.0)
    return np.asarray(
        np.float32(height) * np.exp(-0.5 * np.minimum((rows**2 + columns**2) / sigma2, 100.0))
    )
