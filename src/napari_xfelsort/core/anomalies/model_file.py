"""The file of a model of anomalies: a zip of a description and one classifier a class.

``anomalies.json`` says what the model is, ``0.skops`` and so on hold the classifiers.
Opening one never runs anything that is in it.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_xfelsort.core.anomalies.learners import FRAME_FEATURES, LEARNERS, RING_VECTOR
from napari_xfelsort.core.anomalies.training import AnomalyModel
from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import LabelError, ModelError
from napari_xfelsort.core.label_journal import check_class_name
from napari_xfelsort.core.safe_skops import load_classifier
from napari_xfelsort.core.safe_zip import DAMAGED, read_members

FORMAT, VERSION = "xfelanomalies", 1
_DESCRIPTION = "anomalies.json"
_MAX_DESCRIPTION, _MAX_CLASSIFIER = 16 * 1024**2, 1024**3
#: More than anybody needs; a file that says more is damaged.
_MOST_CLASSES, _MOST_FEATURES, _MOST_LETTERS = 100, 100_000, 200
_DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


def save_anomaly_model(
    model: AnomalyModel, path: str | os.PathLike[str], overwrite: bool = False
) -> None:
    """Write a model; ends with ``.xfelanomalies`` by custom.

    Raises
    ------
    OutputError
        If the file exists and is not to be overwritten, or cannot be written.
    """
    import skops.io

    description = {
        "format": FORMAT,
        "version": VERSION,
        "class_names": list(model.class_names),
        "features": model.features,
        "feature_names": list(model.feature_names),
        "n_features": model.n_features,
        "learners": list(model.learners),
        "thresholds": model.thresholds.tolist(),
        "metrics": model.metrics,
        "provenance": model.provenance,
    }
    with (
        atomic_write(path, overwrite) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        text = json.dumps(description, indent=1, allow_nan=False)
        target.writestr(zipfile.ZipInfo(_DESCRIPTION), text.encode(), zipfile.ZIP_DEFLATED)
        for k, classifier in enumerate(model.classifiers):
            data = skops.io.dumps(classifier)
            target.writestr(zipfile.ZipInfo(f"{k}.skops"), data, zipfile.ZIP_DEFLATED)


def load_anomaly_model(path: str | os.PathLike[str]) -> AnomalyModel:
    """Read a model of `save_anomaly_model`; nothing in the file is run.

    Raises
    ------
    ModelError
        If it is no such file, is damaged, or holds a type that no model of ours consists of.
    """
    name = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as source:
            members = read_members(source, name, _limit)
    except FileNotFoundError as error:
        raise ModelError(f"There is no model file {name}.") from error
    except DAMAGED as error:
        raise ModelError(
            f"{name} is no model of anomalies, or is damaged ({error}); they are made by "
            "xfelsort anomalies train."
        ) from error
    if _DESCRIPTION not in members:
        raise ModelError(f"{name} is no model of anomalies: {_DESCRIPTION} is missing.")
    try:
        values = json.loads(members[_DESCRIPTION])
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ModelError(f"{name} is no model of anomalies of this program.")
        if values.get("version") != VERSION:
            raise ModelError(
                f"{name} has version {values.get('version')!r} of such models, and this program "
                f"reads version {VERSION}; use the version of the program that wrote it."
            )
        return _built(values, members, name)
    except ModelError:
        raise
    except (*_DAMAGE, RecursionError, LabelError) as error:
        raise ModelError(f"The description in {name} is damaged: {error!r}.") from error


def _built(values: Mapping[str, Any], members: Mapping[str, bytes], name: str) -> AnomalyModel:
    names = tuple(check_class_name(each) for each in values["class_names"])
    n_features = values["n_features"]
    if not 1 <= len(names) <= _MOST_CLASSES or len(set(names)) < len(names):
        raise ValueError("the classes are damaged")
    if type(n_features) is not int or not 1 <= n_features <= _MOST_FEATURES:
        raise ValueError("the number of features is damaged")
    if values["features"] not in (RING_VECTOR, FRAME_FEATURES):
        raise ValueError("the features are of no known kind")
    columns = tuple(values["feature_names"])
    if len(columns) not in (0, n_features) or not all(map(_is_name, columns)):
        raise ValueError("the names of features are damaged")
    learners = tuple(values["learners"])
    thresholds = np.array(values["thresholds"], np.float64)
    if len(learners) != len(names) or not set(learners) <= set(LEARNERS):
        raise ValueError("the learners are damaged")
    if thresholds.shape != (len(names),) or not np.isfinite(thresholds).all():
        raise ValueError("the thresholds are damaged")
    if not isinstance(values["metrics"], dict) or not isinstance(values["provenance"], dict):
        raise ValueError("the metrics are damaged")
    wanted = {f"{k}.skops" for k in range(len(names))}
    if set(members) != wanted | {_DESCRIPTION}:
        raise ModelError(f"{name} does not hold one classifier for each of its classes.")
    classifiers = tuple(
        load_classifier(members[f"{k}.skops"], name, n_features, 2, calibrated=True)
        for k in range(len(names))
    )
    return AnomalyModel(
        names,
        values["features"],
        columns,
        n_features,
        classifiers,
        learners,
        thresholds,
        values["metrics"],
        values["provenance"],
    )


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= _MOST_LETTERS


def _limit(member: str) -> int:
    if member == _DESCRIPTION:
        return _MAX_DESCRIPTION
    number, _, ending = member.partition(".")
    known = ending == "skops" and number.isdecimal() and int(number[:4]) < _MOST_CLASSES
    return _MAX_CLASSIFIER if known else 0
