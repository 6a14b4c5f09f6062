"""Files of networks: a zip of a description (JSON) and tensors (safetensors)."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.deep.weights import safetensors_module
from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.safe_zip import DAMAGED, read_members

#: Names of the two parts.
DESCRIPTION, WEIGHTS = "model.json", "weights.safetensors"


def write_network_file(
    path: str | os.PathLike[str],
    description: Mapping[str, Any],
    tensors: Mapping[str, NDArray[np.float32]],
    overwrite: bool,
) -> None:
    """Write both parts; the same values give the same bytes.

    Raises
    ------
    OutputError
        If the file exists and is not to be overwritten, or cannot be written.
    MissingDependencyError
        If safetensors is not installed.
    """
    members = {
        DESCRIPTION: json.dumps(description, indent=1, allow_nan=False).encode(),
        WEIGHTS: safetensors_module().save(dict(tensors)),
    }
    with (
        atomic_write(path, overwrite) as temporary,
        zipfile.ZipFile(temporary, "w") as target,  # weights hardly pack
    ):
        for name, data in members.items():
            target.writestr(zipfile.ZipInfo(name), data)


def read_network_file(
    path: str | os.PathLike[str], most: tuple[int, int], kind: str
) -> tuple[bytes, bytes]:
    """Description and weights of a file, as they stand there; nothing in it is run.

    Parameters
    ----------
    path : path
        The file.
    most : tuple of int
        Bytes that description and weights may have.
    kind : str
        What the file should be, for errors.

    Raises
    ------
    ModelError
        If there is no such file, it is no zip, is damaged, or a part is missing.
    """
    name = os.fspath(path)
    limits = dict(zip((DESCRIPTION, WEIGHTS), most, strict=True))
    try:
        with zipfile.ZipFile(path) as source:
            members = read_members(source, name, lambda member: limits.get(member, 0))
    except FileNotFoundError as error:
        raise ModelError(f"There is no model file {name}.") from error
    except DAMAGED as error:
        raise ModelError(f"{name} is no {kind}, or is damaged ({error}).") from error
    for part in limits:
        if part not in members:
            raise ModelError(f"{name} is no complete {kind}: {part} is missing.")
    return members[DESCRIPTION], members[WEIGHTS]
