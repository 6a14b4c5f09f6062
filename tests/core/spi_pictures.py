"""Small frames for networks of single hits: rings, and what is none."""

from __future__ import annotations

import numpy as np

from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

SHAPE = (28, 26)
BEAM = (13.5, 12.5)


def geometry(beam=BEAM, shape=SHAPE):
    return Geometry.single_panel(shape, 75e-6, beam, 0.130, 1700.0)


def frames_of(n=90, seed=0, wide=6.0):
    """Counted rings of one width, every third; of others, the rest; and which are which."""
    random = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    away = np.hypot(y - BEAM[0], x - BEAM[1])
    single = np.arange(n) % 3 == 0
    width = np.where(single, wide, random.choice([3.0, 10.0], n))
    means = 0.1 + 3 * np.exp(-(((away - width[:, None, None]) / 1.5) ** 2))
    return random.poisson(means).astype(np.float32), single


def run(n=90, seed=0, with_geometry=True):
    """A stack of such frames, and their labels."""
    frames, single = frames_of(n, seed)
    stack = EventStack(
        [ArraySource(frames, "run1.cxi")], geometry=geometry() if with_geometry else None
    )
    return stack, ["single" if one else "other" for one in single]
