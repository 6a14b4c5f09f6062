"""Mask files that are ours: HDF5, reasons at /entry_1/data_1/mask, 0 for a good pixel.

CrystFEL reads them with ``mask = /entry_1/data_1/mask``, ``mask_good = 0x00`` and
``mask_bad = 0xff``.
"""

from __future__ import annotations

import os
import tomllib
from datetime import UTC, datetime
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

import napari_xfelsort
from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import SettingsError, UnreadableFileError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.editing import EditList
from napari_xfelsort.core.masks.made import Feature, MadeMask, MaskGroups, place_of, reason_of
from napari_xfelsort.core.masks.settings import MaskReason, MaskSettings, MaskSource

DATASET = "/entry_1/data_1/mask"
_OURS = "/xfelsort"
_FEATURES = f"{_OURS}/features"
_EDITS = f"{_OURS}/edits"
_GROUPS = f"{_OURS}/groups"


def write_mask(
    mask: PixelMask,
    path: str | os.PathLike[str],
    overwrite: bool = False,
    inputs: dict[str, str] | None = None,
    edits: EditList | None = None,
) -> None:
    """Write a mask file; of a mask that was made also all that `read_mask` gives back.

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
        That led to it, to be kept beside it; those of a `MadeMask` when omitted.

    Raises
    ------
    OutputError
        If the file exists and must not be replaced, or cannot be written.
    """
    import h5py

    with atomic_write(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        _put(file, DATASET, mask.reasons, MaskReason if isinstance(mask, MadeMask) else None)
        file[DATASET].attrs["good"] = 0
        if isinstance(mask, MadeMask):
            _write_made(file, mask)
            edits = edits or mask.edits
        if edits is not None:
            file[_EDITS] = edits.to_json()
        about = file.require_group(_OURS).attrs
        about["version"] = napari_xfelsort.__version__
        about["time"] = datetime.now(UTC).isoformat(timespec="seconds")
        for name, text in (inputs or {}).items():
            about[name] = text


def _write_made(file: Any, mask: MadeMask) -> None:
    for name, feature in mask.features.items():
        for part, values in zip(feature._fields, feature, strict=True):
            _put(file, f"{_FEATURES}/{name}/{part}", values.astype(np.float32))
    _put(file, f"{_OURS}/sources", mask.sources, MaskSource)
    if mask.separation is not None and not np.isnan(mask.separation).all():
        _put(file, f"{_OURS}/separation", mask.separation.astype(np.float32))
    if mask.unedited is not None:
        _put(file, f"{_OURS}/unedited", mask.unedited, MaskReason)
    if mask.groups is not None:
        kept: dict[str, NDArray[Any] | None] = mask.groups._asdict()
        for part, array in kept.items():
            if array is not None:
                _put(file, f"{_GROUPS}/{part}", array)
    file[f"{_OURS}/dark_frames"] = mask.dark_frames
    file[f"{_OURS}/n_ordinary"] = mask.n_ordinary
    file[f"{_OURS}/settings"] = mask.settings.to_toml()


def _put(file: Any, place: str, values: NDArray[Any], bits: type[IntFlag] | None = None) -> None:
    """A packed dataset, with the names of its bits."""
    chunk = (*(1,) * (values.ndim - 2), *(max(1, n) for n in values.shape[-2:]))
    stored = file.create_dataset(
        place, data=values, chunks=chunk, compression="gzip", compression_opts=4, shuffle=True
    )
    for bit in bits or ():
        stored.attrs[f"bit_{int(bit)}"] = str(bit.name).lower()


def read_mask(path: str | os.PathLike[str]) -> PixelMask:
    """The mask in a file that `write_mask` wrote.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    PixelMask
        A `MadeMask`, to be judged by another λ or edited again, if the file has its features;
        else reasons only.

    Raises
    ------
    UnreadableFileError
        If the file cannot be read, is no mask file of ours, or is damaged.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if not isinstance(file.get(DATASET), h5py.Dataset):
                raise UnreadableFileError(f"{path} has no mask at {DATASET} (0 = good).")
            reasons = _read(file, DATASET, None)
            if reasons is None or reasons.dtype.kind not in "iub" or reasons.ndim < 2:
                raise ValueError("it has no whole numbers of at least two axes")
            reasons = _bits(reasons)
            if f"{_OURS}/settings" not in file:
                return PixelMask(reasons)
            return _read_made(file, reasons)
    except (OSError, KeyError, ValueError, TypeError, SettingsError) as error:
        raise UnreadableFileError(f"The mask {path} cannot be read: {error}") from error


def is_made(path: str | os.PathLike[str]) -> bool:
    """Whether an HDF5 file holds a mask with what it was made of; OSError if it is none."""
    import h5py

    with h5py.File(path, "r") as file:
        return f"{_OURS}/settings" in file


def _read_made(file: Any, reasons: NDArray[np.uint8]) -> MadeMask:
    shape = reasons.shape
    features = {}
    for name in file.get(_FEATURES, ()):
        reason_of(name)
        parts = [_read(file, f"{_FEATURES}/{name}/{part}", shape) for part in Feature._fields]
        values, ratio = (np.asarray(part, np.float32) for part in parts)
        features[name] = Feature(values, ratio)
    text = _text(file[f"{_OURS}/settings"][()])
    settings = MaskSettings.from_dict(tomllib.loads(text))
    sources = _read(file, f"{_OURS}/sources", shape)
    unedited = _read(file, f"{_OURS}/unedited", shape)
    n_ordinary = file.get(f"{_OURS}/n_ordinary")
    return MadeMask(
        reasons,
        {name: features[name] for name in sorted(features, key=place_of)},
        np.asarray(file[f"{_OURS}/dark_frames"][()], bool),
        settings,
        _read(file, f"{_OURS}/separation", shape),
        np.zeros(shape, np.uint8) if sources is None else _bits(sources),
        0 if n_ordinary is None else int(n_ordinary[()]),
        _read_groups(file, shape),
        EditList.from_json(_text(file[_EDITS][()])) if _EDITS in file else None,
        None if unedited is None else _bits(unedited),
    )


def _read_groups(file: Any, shape: tuple[int, ...]) -> MaskGroups | None:
    if _GROUPS not in file:
        return None
    labels = np.asarray(file[f"{_GROUPS}/labels"][()], np.int64)
    counts = _read(file, f"{_GROUPS}/counts", shape)
    n_bad = _read(file, f"{_GROUPS}/n_bad", labels.shape)
    return MaskGroups(
        labels,
        np.asarray(n_bad, np.int64),
        np.asarray(counts, np.uint16),
        _read(file, f"{_GROUPS}/reasons", (len(labels), *shape)),
    )


def _read(file: Any, place: str, shape: tuple[int, ...] | None) -> NDArray[Any] | None:
    stored = file.get(place)
    if stored is None:
        return None
    if shape is not None and stored.shape != shape:
        raise ValueError(f"{place} is of {stored.shape}, not of {shape}")
    return np.asarray(stored[()])


def _bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """As 8 bits; what has none of them and is not 0 has all."""
    found = values.astype(np.uint8)
    found[(values != 0) & (found == 0)] = 0xFF
    return found


def _text(stored: Any) -> str:
    return stored.decode() if isinstance(stored, bytes) else str(stored)


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
        return EditList.from_json(_text(text))
    except (OSError, UnicodeDecodeError, SettingsError) as error:
        raise UnreadableFileError(f"The edits in {path} cannot be read: {error}") from error
