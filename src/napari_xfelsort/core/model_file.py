"""The model file: a zip of a description, the classifier, and the pixels it uses.

``model.json`` says what the model is; ``weights.skops`` holds the scikit-learn
classifier; ``pixels.npy`` says which pixels of the window are used, where not all are;
``profile.npy``, ``radial.npy``, ``radius.npy``, ``vector.npy``, ``sector.npy`` and
``cell.npy`` where they are, for features that need it.
Opening one never runs anything that is in it.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import LabelError, ModelError, RegionError, SettingsError
from napari_xfelsort.core.features import FeatureExtractor, FeaturePlaces, FeatureSettings
from napari_xfelsort.core.label_journal import check_class_name
from napari_xfelsort.core.learning.calibration import Calibration
from napari_xfelsort.core.learning.judging import check_judged
from napari_xfelsort.core.region import Region, ResolvedRegion
from napari_xfelsort.core.safe_skops import load_classifier
from napari_xfelsort.core.safe_zip import DAMAGED, array_header, read_members

if TYPE_CHECKING:
    from napari_xfelsort.core.model import Model

FORMAT = "xfelmodel"
VERSION = 2
_DESCRIPTION, _WEIGHTS, _PIXELS = "model.json", "weights.skops", "pixels.npy"
#: Members that say where the pixels are, by what they say.
_PLACES = {
    name: f"{name}.npy"
    for name in (
        *("profile", "profile_positions", "radial", "radial_positions", "radius"),
        *("vector", "vector_positions", "sector", "cell"),
        *("scattering", "scattering_positions"),
    )
}
_LIMITS = {
    _DESCRIPTION: 64 * 1024**2,
    _WEIGHTS: 4 * 1024**3,
    _PIXELS: 1024**3,
    **dict.fromkeys(_PLACES.values(), 1024**3),
}
#: Pixels of a frame, and axes: more has no detector.
_MAX_PIXELS, _MAX_AXES = 2**31, 5
#: What wrong values of a description lead to.
_DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


def write_model(model: Model, path: str | os.PathLike[str], overwrite: bool) -> None:
    """Write a model file; see `Model.save`."""
    import skops.io

    description = {
        "format": FORMAT,
        "version": VERSION,
        "class_names": list(model.class_names),
        "features": model.features.to_dict(),
        "region": model.region.to_dict(),
        "raw_shape": list(model.raw_shape),
        "window": [[s.start, s.stop] for s in model.pixels.window],
        "geometry_digest": model.geometry_digest,
        "threshold": model.threshold,
        "positive": model.positive,
        "band": None if model.band is None else list(model.band),
        "margin": model.margin,
        "calibration": None if model.calibration is None else model.calibration.to_dict(),
        "metrics": model.metrics,
        "provenance": model.provenance,
        "warnings": model.warnings,
    }
    members = {
        _DESCRIPTION: json.dumps(description, indent=1, allow_nan=False).encode(),
        _WEIGHTS: skops.io.dumps(model.estimator),
    }
    if model.pixels.inside is not None:
        members[_PIXELS] = _saved(model.pixels.inside)
    for place, array in model.places.to_arrays().items():
        members[_PLACES[place]] = _saved(array)
    with (
        atomic_write(path, overwrite) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name, data in members.items():
            target.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def read_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file; see `load_model`."""
    name = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as source:
            members = read_members(source, name, lambda member: _LIMITS.get(member, 0))
    except FileNotFoundError as error:
        raise ModelError(f"There is no model file {name}.") from error
    except DAMAGED as error:
        raise ModelError(
            f"{name} is no model file, or is damaged ({error}); models are made by training and "
            "end with .xfelmodel."
        ) from error
    for part in (_DESCRIPTION, _WEIGHTS):
        if part not in members:
            raise ModelError(f"{name} is no complete model file: {part} is missing.")
    description = _description(members[_DESCRIPTION], name)
    try:
        model = _build(description, members, name)
        model.report_text()  # so that a model card never meets missing numbers
        return model
    except ModelError:
        raise
    except (*_DAMAGE, RegionError, LabelError, SettingsError) as error:
        raise ModelError(f"The description in {name} is damaged: {error!r}.") from error


def _description(data: bytes, name: str) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"The description in {name} cannot be read: {error}.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ModelError(f"{name} is no model file of this program.")
    if values.get("version") == 1 and values["version"] is not True:
        # Before there were calibration and bands of unsure events.
        return {"band": None, "margin": 0.0, "calibration": None, **values}
    if values.get("version") != VERSION:
        raise ModelError(
            f"{name} has version {values.get('version')!r} of the model file, and this program "
            f"reads version {VERSION}; use the version of the program that wrote it, or train "
            "again."
        )
    return values


def _build(values: Mapping[str, Any], members: Mapping[str, bytes], name: str) -> Model:
    from napari_xfelsort.core.model import Model

    class_names = tuple(check_class_name(label) for label in values["class_names"])
    if len(set(class_names)) != len(class_names) or len(class_names) < 2:
        raise ValueError("classes are doubled or missing")
    raw_shape, pixels = _pixels(values, members, name)
    features = FeatureSettings.from_dict(values["features"])
    places = _places(members, pixels, name)
    n_features = FeatureExtractor(features, pixels, raw_shape, places).n_features
    threshold = _optional(values["threshold"], float)
    positive = _optional(values["positive"], str)
    if positive is not None and positive not in class_names:
        raise ValueError(f"{positive!r} is no class")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"the threshold is {threshold}")
    band, margin = _unsure(values, positive)
    calibration = values["calibration"]
    if calibration is not None:
        calibration = Calibration.from_dict(calibration, len(class_names))
    provenance, metrics = dict(values["provenance"]), dict(values["metrics"])
    check_judged(metrics, len(class_names))
    return Model(
        class_names,
        load_classifier(
            members[_WEIGHTS], name, n_features, len(class_names), calibration is not None
        ),
        features,
        Region.from_dict(values["region"]),
        raw_shape,
        pixels,
        _optional(values["geometry_digest"], str),
        threshold,
        positive,
        metrics,
        provenance,
        [*map(str, values["warnings"]), *_version_note(provenance)],
        places,
        band,
        margin,
        calibration,
    )


def _unsure(
    values: Mapping[str, Any], positive: str | None
) -> tuple[tuple[float, float] | None, float]:
    margin = _optional(values["margin"], float)
    if margin is None or not 0 <= margin <= 1:
        raise ValueError(f"the margin is {margin}")
    if values["band"] is None:
        return None, margin
    low, high = (_optional(value, float) for value in values["band"])
    if positive is None or not 0 <= low <= high <= 1:
        raise ValueError(f"the band of unsure events is {low} to {high}")
    return (low, high), margin


def _pixels(
    values: Mapping[str, Any], members: Mapping[str, bytes], name: str
) -> tuple[tuple[int, ...], ResolvedRegion]:
    raw_shape = tuple(int(n) for n in values["raw_shape"])
    if len(raw_shape) > _MAX_AXES or not 0 < np.prod(raw_shape, dtype=object) <= _MAX_PIXELS:
        raise ValueError(f"the frames have shape {raw_shape}")
    region = Region.raw_window([slice(int(a), int(b)) for a, b in values["window"]])
    window = region.resolve(raw_shape, None).window
    inside = None
    if _PIXELS in members:
        inside = _inside(members[_PIXELS], ResolvedRegion(window, None).shape, name)
    return raw_shape, ResolvedRegion(window, inside)


def _inside(data: bytes, shape: tuple[int, ...], name: str) -> NDArray[np.bool_]:
    header = array_header(data, f"{_PIXELS} in {name}")
    if header.shape != shape or header.dtype != np.bool_:
        raise ValueError(f"{_PIXELS} does not fit the window")
    # Any byte but 0 and 1 would be an undefined truth value.
    raw = np.load(io.BytesIO(data), allow_pickle=False).view(np.uint8)
    inside: NDArray[np.bool_] = raw != 0
    if not inside.any():
        raise ValueError("no pixel is used")
    return inside


def _places(members: Mapping[str, bytes], pixels: ResolvedRegion, name: str) -> FeaturePlaces:
    arrays = {}
    for place, member in _PLACES.items():
        if member in members:
            header = array_header(members[member], f"{member} in {name}")
            if header.shape != pixels.shape and len(header.shape) != 1:
                raise ValueError(f"{member} does not fit the window")
            arrays[place] = np.load(io.BytesIO(members[member]), allow_pickle=False)
    return FeaturePlaces.from_arrays(arrays, pixels)


def _saved(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array), allow_pickle=False)
    return out.getvalue()


def _optional(value: Any, kind: type) -> Any:
    if value is None:
        return None
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _version_note(provenance: Mapping[str, Any]) -> list[str]:
    import sklearn

    made_with = dict(provenance.get("versions", {})).get("scikit-learn")
    if made_with == sklearn.__version__:
        return []
    return [
        f"The model was trained with scikit-learn {made_with} and is used with "
        f"{sklearn.__version__}; check its decisions on labelled events."
    ]
