"""The file of learnt classes of photon energy and camera length: arrays, no code."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.beam.classes import BeamClass, BeamClassifier
from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.safe_zip import DAMAGED

_VERSION = 1
_MOST_CELLS, _MOST_CLASSES = 100_000, 1000
_NAMES = ("version", "classes", "keys", "radius", "parts")


def save_beam_classes(
    model: BeamClassifier, path: str | os.PathLike[str], overwrite: bool = False
) -> None:
    """Write learnt classes; ends with ``.npz`` by custom.

    Raises
    ------
    OutputError
        If the file exists and must not be replaced, or cannot be written.
    """
    with atomic_write(path, overwrite) as temporary, temporary.open("wb") as target:
        np.savez_compressed(
            target,
            version=np.array(_VERSION),
            classes=np.array(model.classes, np.float64),
            keys=model.keys,
            radius=model.radius,
            parts=model.parts,
        )


def load_beam_classes(path: str | os.PathLike[str]) -> BeamClassifier:
    """Read classes of `save_beam_classes`; nothing in the file is run.

    Raises
    ------
    ModelError
        If it is no such file, or is damaged.
    """
    name = os.fspath(path)
    try:
        with np.load(path, allow_pickle=False) as source:
            if not isinstance(source, np.lib.npyio.NpzFile) or set(source.files) != set(_NAMES):
                raise ValueError("it holds something else")
            arrays = {key: source[key] for key in _NAMES}
        return _built(arrays)
    except FileNotFoundError as error:
        raise ModelError(f"There is no file {name}.") from error
    except (*DAMAGED, ValueError, TypeError, EOFError) as error:
        raise ModelError(
            f"{name} holds no classes of photon energy and camera length, or is damaged "
            f"({error}); they are made by xfelsort beam --train-classes."
        ) from error


def _built(arrays: dict[str, Any]) -> BeamClassifier:
    if int(arrays["version"]) != _VERSION:
        raise ValueError(f"it has version {arrays['version']}")
    pairs, keys = arrays["classes"], arrays["keys"]
    n, cells = len(pairs), len(keys)
    shapes = {
        "classes": (n, 2),
        "keys": (cells,),
        "radius": (cells,),
        "parts": (n, 2, cells),
    }
    if not (2 <= n <= _MOST_CLASSES and 1 <= cells <= _MOST_CELLS):
        raise ValueError("its numbers of classes or cells are not possible")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(f"its {name} are damaged")
    if keys.dtype != np.int64 or (np.diff(keys) <= 0).any() or (arrays["parts"] <= 0).any():
        raise ValueError("its cells are damaged")
    numbers = [arrays[name].astype(np.float64) for name in ("radius", "parts")]
    classes = tuple(BeamClass(float(energy), float(length)) for energy, length in pairs)
    return BeamClassifier(classes, keys, *numbers)
