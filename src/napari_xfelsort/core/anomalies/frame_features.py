"""The numbers that models of anomalies see of a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.arc_features import arc_features
from napari_xfelsort.core.anomalies.diffuse_features import diffuse_features
from napari_xfelsort.core.anomalies.pattern_features import (
    artifact_features,
    cloud_features,
    direction_features,
    panel_features,
    spot_features,
)
from napari_xfelsort.core.anomalies.profile_features import level_features, ring_features
from napari_xfelsort.core.anomalies.residuals import GROUPS, Optics, Residuals
from napari_xfelsort.core.anomalies.response_features import response_features
from napari_xfelsort.core.representations import frame_table, grey_picture

_KINDS = (
    level_features,
    ring_features,
    direction_features,
    panel_features,
    artifact_features,
    cloud_features,
    spot_features,
    arc_features,
    response_features,
    diffuse_features,
)
_UNKNOWN = Optics()


def frame_features(
    frame: NDArray[Any],
    center: tuple[float, float],
    mask: NDArray[np.bool_] | None = None,
    optics: Optics = _UNKNOWN,
) -> dict[str, float]:
    """All features of a frame by name, each a finite number; names are always the same.

    Parameters
    ----------
    frame : ndarray, shape (rows, columns)
        Assembled; values that are not finite are bad.
    center : (float, float)
        (y, x) of the beam in pixels; may lie off the frame.
    mask : ndarray of bool, optional
        True where bad.
    optics : Optics
        Wavelength and distance where known, for the radii of ice rings.

    Raises
    ------
    SettingsError
        If the frame is no picture, or all of it is masked.
    """
    left = Residuals(frame, center, mask, optics)
    found: dict[str, float] = {}
    for kind in _KINDS:
        found |= kind(left)
    return {name: value if np.isfinite(value) else 0.0 for name, value in found.items()}


def grey_ring_vector(
    frame: NDArray[Any], center: tuple[float, float], mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """The ring vector of the frame as a grey picture, as the models of RefleX see it.

    240 rings x 7 statistics (Czyzewski et al. 2021), of values cut at the 95th percentile
    and scaled to 0..255; shape (1680,).
    """
    grey = grey_picture(frame, mask)
    table = frame_table(grey.shape, center, mask, groups=GROUPS)
    return np.nan_to_num(table.ring_vector(grey)).astype(np.float32).ravel()
