"""Weights of networks trained on ImageNet, from files that are on this computer."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.networks import new_tensors, torch_module
from napari_xfelsort.core.deep.settings import DeepSettings
from napari_xfelsort.core.errors import MissingDependencyError, TrainingError

#: How torchvision counts what its state dictionaries have beside tensors of ours.
_COUNTS = "num_batches_tracked"


def first_tensors(
    settings: DeepSettings, classes: int
) -> tuple[dict[str, NDArray[np.float32]], bool, str]:
    """What training starts from, whether weights were given, and a sentence about that.

    Raises
    ------
    TrainingError
        If the file of weights cannot be read, or is of another network.
    MissingDependencyError
        If a package that reads it is not installed.
    """
    own = new_tensors(settings.architecture, settings.channels, classes, settings.seed)
    if settings.weights == "none":
        return own, False, "Training starts from random weights."
    path = _kept(settings) if settings.weights == "auto" else Path(settings.weights)
    if path is None or not path.is_file():
        where = f"in {path}" if path is not None else "of ImageNet on this computer"
        return (
            own,
            False,
            (
                f"There are no weights of {settings.architecture} {where}; training starts from "
                "random ones."
            ),
        )
    given = _read(path)
    for name, values in own.items():
        if name.startswith("fc."):  # its classes are others
            continue
        own[name] = _fitting(given, name, values.shape, settings, path)
    return own, True, f"Training starts from the weights in {path}."


def _kept(settings: DeepSettings) -> Path | None:
    """Where torchvision has kept weights that it once loaded."""
    folder = Path(torch_module().hub.get_dir()) / "checkpoints"
    return next(iter(sorted(folder.glob(f"{settings.architecture}-*.pth"))), None)


def _fitting(
    given: Mapping[str, NDArray[np.float32]],
    name: str,
    shape: tuple[int, ...],
    settings: DeepSettings,
    path: Path,
) -> NDArray[np.float32]:
    if name not in given:
        raise TrainingError(
            f"{path} has no weights of {settings.architecture}: {name} is missing."
        )
    values = given[name]
    if name == "conv1.weight" and values.ndim == 4 and shape[1] == 1:
        values = values.sum(axis=1, keepdims=True)  # as if grey came in three colours
    if values.shape != shape:
        raise TrainingError(
            f"{path} has no weights of {settings.architecture}: {name} has shape "
            f"{values.shape} instead of {shape}."
        )
    if not np.isfinite(values).all():
        raise TrainingError(f"The weights {name} in {path} are not finite.")
    return np.ascontiguousarray(values, np.float32)


def _read(path: Path) -> dict[str, NDArray[np.float32]]:
    if path.suffix == ".safetensors":
        try:
            return read_safetensors(path.read_bytes())
        except (OSError, ValueError) as error:
            raise TrainingError(f"The weights in {path} cannot be read: {error}.") from error
    torch = torch_module()
    try:
        state = torch.load(os.fspath(path), map_location="cpu", weights_only=True)
        return {
            str(name): np.asarray(tensor.float().numpy())
            for name, tensor in state.items()
            if not str(name).endswith(_COUNTS)
        }
    except pickle.UnpicklingError as error:
        raise TrainingError(
            f"{path} holds more than weights, or is damaged; it is not opened."
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, AttributeError, KeyError) as error:
        raise TrainingError(f"The weights in {path} cannot be read: {error}.") from error


def read_safetensors(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Tensors in bytes of a safetensors file, by name; counts of batches are left out.

    Raises
    ------
    ValueError
        If it is no such file, or holds other than 32-bit floats.
    MissingDependencyError
        If safetensors is not installed.
    """
    module = safetensors_module()
    from safetensors import SafetensorError

    try:
        found: dict[str, Any] = module.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no safetensors file ({error})") from error
    tensors = {name: v for name, v in found.items() if not name.endswith(_COUNTS)}
    wrong = [name for name, values in tensors.items() if values.dtype != np.float32]
    if wrong:
        raise ValueError(f"{wrong[0]} is of the type {tensors[wrong[0]].dtype}, not float32")
    return tensors


def safetensors_module() -> Any:
    """What reads and writes safetensors with numpy.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingDependencyError(
            "Files of networks need safetensors, which is not installed: "
            "pip install 'napari-xfelsort[deep]'."
        ) from error
    return safetensors.numpy
