"""What stands before the detector of a run: beam stop, its arm, another shadow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.sfx.panels import DetectorPanels
from napari_xfelsort.core.simulate.sfx.settings import SfxSimulationSettings

#: Edge of the penumbra in m.
_SOFT = 1e-4


def passes(
    panels: DetectorPanels, settings: SfxSimulationSettings
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """What obstacles leave of the light, and where they are.

    They stand right before the detector, so that they are the same at every camera length.

    Returns
    -------
    ndarray of float32, size of the raw frame, or 1 when nothing is in the way
    dict
        ``radius``, ``x``, ``y`` of the beam stop and ``arm`` (its width), in m; ``angle``
        (radian) and ``offset`` (m) of an edge, or ``aperture`` (m), its radius.
    """
    random = np.random.default_rng((settings.seed, settings.run, 2))
    radius = 1e-3 * settings.beam_stop
    x0, y0 = random.normal(0.0, 0.08 * radius, 2) if radius else (0.0, 0.0)
    arm = 1e-3 * settings.beam_stop_arm
    truth = {"radius": radius, "x": float(x0), "y": float(y0), "arm": arm}
    if not radius and not arm and settings.shadow == "none":
        return np.ones(1, np.float32), truth
    clear = np.ones(panels.size, np.float32)
    reach = _reach(panels)
    angle, offset = random.uniform(0.0, 2.0 * np.pi), random.uniform(0.45, 0.8) * reach
    for panel in panels.panels:
        corner, fs, ss, _ = panel.frame
        start, down, along, height, width = panel.layout
        f, s = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
        x = corner[0] + f * fs[0] + s * ss[0]
        y = corner[1] + f * fs[1] + s * ss[1]
        part = np.ones((height, width))
        if radius:
            part *= _step(np.hypot(x - x0, y - y0) - radius)
        if arm:
            part *= _step(np.maximum(np.abs(x - x0) - 0.5 * arm, y0 - y))
        if settings.shadow == "edge":
            part *= _step(offset - (x * np.cos(angle) + y * np.sin(angle)))
            truth.update(angle=float(angle), offset=float(offset))
        elif settings.shadow == "aperture":
            part *= _step(offset - np.hypot(x, y))
            truth["aperture"] = float(offset)
        at = start + down * np.arange(height)[:, None] + along * np.arange(width)
        clear[at] = part
    return clear, truth


def _step(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(0.5 + distance / _SOFT, 0.0, 1.0)


def _reach(panels: DetectorPanels) -> float:
    corners = panels.corners(0.0)
    return float(np.hypot(corners[..., 0], corners[..., 1]).max())
