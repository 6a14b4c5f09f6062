"""A model whose rings follow the beam of another run."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.features.moved import moved_extractor
from napari_xfelsort.core.train_settings import VARIED_KINDS

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.model import Model

_MOVED = "The rings were moved"


def with_beam_at(
    model: Model,
    geometry: Geometry | None,
    center: tuple[float, float],
    beam: tuple[float, float] = (math.nan, math.nan),
) -> Model:
    """The model with its rings about another centre; provenance and notes say so.

    A model keeps where its rings are, whatever geometry it is given. Where the beam has
    moved since, by pixels, give it the new centre.

    Parameters
    ----------
    model : Model
        Of particle or scattering features alone, as it was trained.
    geometry : Geometry
        Of the training.
    center : tuple of float
        (y, x) of the beam in its assembled picture, as `find_center` gives it.
    beam : tuple of float
        Photon energy (eV) and camera length (m), where rings are in q.

    Raises
    ------
    ModelError
        If the model has other features, its rings were moved before, or the geometry is
        another.
    """
    if not set(model.features.kinds) <= set(VARIED_KINDS):
        raise ModelError(
            "Rings can be moved in models of features of the kinds "
            f"{' and '.join(VARIED_KINDS)} alone, not of {', '.join(model.features.kinds)}."
        )
    if geometry is None or geometry.digest != model.geometry_digest:
        raise ModelError(
            "To move the rings of a model, the geometry that it was trained with is needed."
        )
    if "beam" in model.provenance:
        raise ModelError(
            "The rings of this model were moved before; begin with the model as trained."
        )
    right, up = geometry.grid.laboratory([[float(center[0]), float(center[1])]])[0]
    shift = float(right) / geometry.pixel_size, float(up) / geometry.pixel_size
    places = moved_extractor(model.extractor, geometry, beam, shift).places
    said = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "center": [float(c) for c in center],
        "shift_pixels": list(shift),
        "model": model.digest,
    }
    note = f"{_MOVED} by {math.hypot(*shift):.2f} pixels to the beam of another run."
    return replace(
        model,
        places=places,
        provenance={**model.provenance, "beam": said},
        warnings=[*model.warnings, note],
    )
