"""Mask files that are ours: HDF5, reasons at /entry_1/data_1/mask, 0 for a good pixel.

CrystFEL reads them with ``mask = /entry_1/data_1/mask``, ``mask_good = 0x00`` and
``mask_bad = 0xff``.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import numpy as np

import napari_xfelsort
from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import SettingsError, UnreadableFileError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.editing import EditList
from napari_xfelsort.core.masks.making import MadeMask
from napari_xfelsort.core.masks.settings import MaskReason

DATASET = "/entry_1/data_1/mask"
_FEATURES = "/xfelsort/features"
_EDITS = "/xfelsort/edits"


def write_mask(
    mask: PixelMask,
    path: str | os.PathLike[str],
    overwrite: bool = False,
    inputs: dict[str, str] | None = None,
    edits: EditList | None = None,
) -> None:
    """Write a mask file; of a mask that was made also its features, and how it was made.

    Parameters
    ----------
    mask : PixelMask
        Raw-shaped.
    path : path
        The file.
    overwrite : bool
        Replace a file that exists.
    inputs : dict of str to str, optional
        What it was made from, to be kept beside it.
    edits : EditList, optional
        That led to it, to be kept beside it; `read_edits` reads them.

    Raises
    ------
    OutputError
        If the file exists and must not be replaced, or cannot be written.
    """
    import h5py

    with atomic_write(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        stored = file.create_dataset(
            DATASET, data=mask.reasons, chunks=_chunk(mask.reasons.shape), **_small()
        )
        stored.attrs["good"] = 0
        if isinstance(mask, MadeMask):
            for reason in MaskReason:
                stored.attrs[f"bit_{int(reason)}"] = str(reason.name).lower()
            for name, feature in mask.features.items():
                group = file.create_group(f"{_FEATURES}/{name}")
                for part, values in zip(feature._fields, feature, strict=True):
                    group.create_dataset(
                        part,
                        data=values.astype(np.float32),
                        chunks=_chunk(values.shape),
                        **_small(),
                    )
            file["/xfelsort/dark_frames"] = mask.dark_frames
            file["/xfelsort/settings"] = mask.settings.to_toml()
        if edits is not None:
            file[_EDITS] = edits.to_json()
        about = file.require_group("/xfelsort").attrs
        about["version"] = napari_xfelsort.__version__
        about["time"] = datetime.now(UTC).isoformat(timespec="seconds")
        for name, text in (inputs or {}).items():
            about[name] = text


def read_edits(path: str | os.PathLike[str]) -> EditList:
    """The manual edits that a mask file keeps; an empty list if it keeps none.

    Raises
    ------
    UnreadableFileError
        If the file is not HDF5, or its edits are damaged.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            stored = file.get(_EDITS)
            text = stored[()] if isinstance(stored, h5py.Dataset) else None
        if text is None:
            return EditList()
        return EditList.from_json(text.decode() if isinstance(text, bytes) else text)
    except (OSError, UnicodeDecodeError, SettingsError) as error:
        raise UnreadableFileError(f"The edits in {path} cannot be read: {error}") from error


def _chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """One module a chunk."""
    return (*(1,) * (len(shape) - 2), *(max(1, n) for n in shape[-2:]))


def _small() -> dict[str, Any]:
    return {"compression": "gzip", "compression_opts": 4, "shuffle": True}
