"""The file of a network: a zip of a description and its tensors.

``model.json`` says what the network is, ``weights.safetensors`` holds its tensors. Opening one
never runs anything that is in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_xfelsort.core.deep.model import DeepModel
from napari_xfelsort.core.deep.network_file import read_network_file, write_network_file
from napari_xfelsort.core.deep.networks import tensor_shapes
from napari_xfelsort.core.deep.settings import DeepSettings
from napari_xfelsort.core.deep.weights import read_safetensors
from napari_xfelsort.core.errors import LabelError, ModelError, SettingsError
from napari_xfelsort.core.label_journal import check_class_name

FORMAT, VERSION = "xfelmodel-network", 1
_LIMITS = 16 * 1024**2, 512 * 1024**2
_MOST_CLASSES = 100
_DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


def save_deep_model(
    model: DeepModel, path: str | os.PathLike[str], overwrite: bool = False
) -> None:
    """Write a network; see `DeepModel.save`."""
    description = {
        "format": FORMAT,
        "version": VERSION,
        "class_names": list(model.class_names),
        "settings": model.settings.to_dict(),
        "thresholds": model.thresholds.tolist(),
        "metrics": model.metrics,
        "provenance": model.provenance,
    }
    write_network_file(path, description, model.tensors, overwrite)


def load_deep_model(path: str | os.PathLike[str]) -> DeepModel:
    """Read a network of `DeepModel.save`; nothing in the file is run.

    Raises
    ------
    ModelError
        If it is no such file, is damaged, of an unknown network, or its tensors are not those
        of the network.
    MissingDependencyError
        If safetensors is not installed.
    """
    name = os.fspath(path)
    description, weights = read_network_file(path, _LIMITS, "file of a network")
    try:
        values = json.loads(description)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ModelError(f"{name} is no file of a network of this program.")
        if values.get("version") != VERSION:
            raise ModelError(
                f"{name} has version {values.get('version')!r} of the file of a network, and "
                f"this program reads version {VERSION}; use the version of the program that "
                "wrote it, or train again."
            )
        return _built(values, weights, name)
    except ModelError as error:
        raise error if name in str(error) else ModelError(f"In {name}: {error}") from error
    except (*_DAMAGE, RecursionError, LabelError, SettingsError) as error:
        raise ModelError(f"The description in {name} is damaged: {error}.") from error


def _built(values: Mapping[str, Any], weights: bytes, name: str) -> DeepModel:
    class_names = tuple(check_class_name(each) for each in values["class_names"])
    if not 1 <= len(class_names) <= _MOST_CLASSES or len(set(class_names)) < len(class_names):
        raise ValueError("classes are doubled or missing")
    if values["settings"]["architecture"] is None:
        raise ValueError("the network is not named")
    # Before the settings, which would tell of a choice and not of a network.
    tensor_shapes(values["settings"]["architecture"], 1, 1)
    settings = DeepSettings.from_dict(values["settings"])
    thresholds = np.array(values["thresholds"], np.float64)
    if thresholds.shape != (len(class_names),) or not np.isfinite(thresholds).all():
        raise ValueError("the thresholds are damaged")
    if not isinstance(values["metrics"], dict) or not isinstance(values["provenance"], dict):
        raise ValueError("the metrics are damaged")
    wanted = tensor_shapes(settings.architecture, settings.channels, len(class_names))
    try:
        tensors = read_safetensors(weights)
    except ValueError as error:
        raise ModelError(f"The weights in {name} cannot be read: {error}.") from error
    for tensor, shape in wanted.items():
        if tensor not in tensors:
            raise ModelError(f"The weights in {name} are not complete: {tensor} is missing.")
        if tensors[tensor].shape != shape:
            raise ModelError(
                f"The weights in {name} are of another network: {tensor} has shape "
                f"{tensors[tensor].shape} instead of {shape}."
            )
        if not np.isfinite(tensors[tensor]).all():
            raise ModelError(f"The weights {tensor} in {name} are not finite.")
    extra = sorted(set(tensors) - set(wanted))
    if extra:
        raise ModelError(f"The weights in {name} hold {extra[0]!r}, which no such network has.")
    return DeepModel(
        class_names, settings, tensors, thresholds, values["metrics"], values["provenance"]
    )
