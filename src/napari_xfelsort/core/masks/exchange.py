"""Mask files of other programs: HDF5, npy, TIFF and EDF, coded as in `conventions`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import (
    OutputError,
    SettingsError,
    UnreadableFileError,
)
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.conventions import decode, encode
from napari_xfelsort.core.masks.mask_file import DATASET, is_made, read_mask

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

_HDF5 = (".h5", ".hdf5", ".nxs", ".cxi")
_TIFF = (".tif", ".tiff")
_ENDINGS = (*_HDF5, ".npy", *_TIFF, ".edf")
#: Where each convention's programs look in an HDF5 file.
DATASETS = {
    "crystfel": DATASET,
    "nxmx": "/entry/instrument/detector/pixel_mask",
    "cheetah": "/entry_1/data_1/mask",
    "euxfel": "/entry_1/data_1/mask",
    "psana": "/mask",
    "pyfai": "/mask",
}
_EDF_TYPES = {
    "signedbyte": "i1",
    "unsignedbyte": "u1",
    "signedshort": "i2",
    "unsignedshort": "u2",
    "signedinteger": "i4",
    "unsignedinteger": "u4",
    "signedlong": "i4",
    "unsignedlong": "u4",
}
_EDF_NAMES = {
    "i1": "SignedByte",
    "u1": "UnsignedByte",
    "u2": "UnsignedShort",
    "u4": "UnsignedInteger",
}
_EDF_BLOCK = 512
_EDF_LONGEST_HEADER = 1 << 16


def read_mask_as(path: str | os.PathLike[str], name: str, dataset: str | None = None) -> PixelMask:
    """The mask in a file of another program; its reasons become `MaskReason`.

    One that this program made is a `MadeMask`, with the sources of given pixels.

    Parameters
    ----------
    path : path
        HDF5 (.h5, .hdf5, .nxs, .cxi), .npy, .tif or .edf.
    name : str
        Of the conventions: how the mask is coded.
    dataset : str, optional
        Path in an HDF5 file; where the convention's programs look when omitted.

    Raises
    ------
    UnreadableFileError
        If the file cannot be read, or has no such dataset.
    SettingsError
        If the convention or the kind of file is not known, or values are no whole numbers.
    """
    ending = _ending(path)
    try:
        if ending in _HDF5:
            if name == "crystfel" and dataset in (None, DATASET) and is_made(path):
                return read_mask(path)
            values = _read_hdf5(path, dataset or _dataset(name))
        elif ending == ".npy":
            values = np.load(path, allow_pickle=False)
        elif ending in _TIFF:
            values = _read_tiff(path)
        else:
            values = _read_edf(Path(path).read_bytes())
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise UnreadableFileError(f"The mask {path} cannot be read: {error}") from error
    return decode(values, name)


def write_mask_as(
    mask: PixelMask,
    path: str | os.PathLike[str],
    name: str,
    dataset: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a mask as another program has it; the ending of the file says the kind.

    Frames of several modules are put below one another in TIFF and EDF, which hold pictures.

    Parameters
    ----------
    mask : PixelMask
        Raw-shaped, with `MaskReason` as reasons.
    path, name, dataset
        As in `read_mask_as`.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    OutputError
        If the file exists and must not be replaced, or cannot be written.
    SettingsError
        If the convention or the kind of file is not known.
    """
    ending = _ending(path)
    place = dataset or _dataset(name)
    values = encode(mask, name)
    picture = values.reshape(-1, values.shape[-1])
    with atomic_write(path, overwrite) as temporary:
        if ending in _HDF5:
            _write_hdf5(temporary, values, place)
        elif ending == ".npy":
            with open(temporary, "wb") as file:
                np.save(file, values, allow_pickle=False)
        elif ending in _TIFF:
            _write_tiff(temporary, picture)
        else:
            Path(temporary).write_bytes(_edf(picture))


def crystfel_lines(
    path: str | os.PathLike[str], dataset: str = DATASET, geometry: Geometry | None = None
) -> str:
    """Lines of a CrystFEL geometry that make it use a mask of ours.

    Parameters
    ----------
    path : path
        The mask file, as CrystFEL is to find it.
    dataset : str
        Path in it.
    geometry : Geometry, optional
        Lines for each of its panels, under the first mask number that none of them uses;
        without one, lines for the head of a file, which hold for all panels after them.

    Raises
    ------
    SettingsError
        If all eight masks of the panels are taken.
    """
    panels = {} if geometry is None else geometry.panels
    used = {spec.number for panel in panels.values() for spec in panel.masks}
    number = next((k for k in range(8) if k not in used), None)
    if number is None:
        raise SettingsError("The panels have eight masks already; CrystFEL takes no more.")
    keys = (("file", os.fspath(path)), ("data", dataset), ("goodbits", "0"), ("badbits", "0xff"))
    heads = [f"{name}/" for name in panels] or [""]
    return "".join(f"{head}mask{number}_{key} = {to}\n" for head in heads for key, to in keys)


def _ending(path: str | os.PathLike[str]) -> str:
    ending = Path(path).suffix.lower()
    if ending not in _ENDINGS:
        raise SettingsError(f"{path} is no kind of mask file; use {', '.join(_ENDINGS)}.")
    return ending


def _dataset(name: str) -> str:
    return DATASETS.get(name, DATASET)


def _read_hdf5(path: str | os.PathLike[str], dataset: str) -> NDArray[Any]:
    import h5py

    with h5py.File(path, "r") as file:
        found = file.get(dataset)
        if not isinstance(found, h5py.Dataset):
            raise KeyError(f"it has no dataset {dataset}")
        return np.asarray(found[()])


def _write_hdf5(path: Path, values: NDArray[Any], dataset: str) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        try:
            file.create_dataset(dataset, data=values, compression="gzip", shuffle=True)
        except (ValueError, TypeError) as error:
            raise OutputError(f"No mask can be written to {dataset!r}: {error}") from error


def _read_tiff(path: str | os.PathLike[str]) -> NDArray[Any]:
    import tifffile

    return np.asarray(tifffile.imread(path))


def _write_tiff(path: Path, picture: NDArray[Any]) -> None:
    import tifffile

    tifffile.imwrite(path, picture)


def _edf(values: NDArray[Any]) -> bytes:
    """An ESRF data file of one picture."""
    code = values.dtype.str[1:]
    fields = {
        "EDF_DataBlockID": "0.Image.Psd",
        "EDF_BinarySize": str(values.nbytes),
        "HeaderID": "EH:000001:000000:000000",
        "Image": "1",
        "ByteOrder": "LowByteFirst",
        "DataType": _EDF_NAMES[code],
        "Dim_1": str(values.shape[1]),
        "Dim_2": str(values.shape[0]),
        "Size": str(values.nbytes),
    }
    head = "{\n" + "".join(f"{key} = {value} ;\n" for key, value in fields.items())
    size = -(-(len(head) + 2) // _EDF_BLOCK) * _EDF_BLOCK
    data = np.ascontiguousarray(values, f"<{code}").tobytes()
    return (head.ljust(size - 2) + "}\n").encode("ascii") + data


def _read_edf(content: bytes) -> NDArray[Any]:
    """The first picture of an ESRF data file, whole numbers and not packed."""
    end = content.find(b"}\n", 0, _EDF_LONGEST_HEADER)
    if not content.lstrip().startswith(b"{") or end < 0:
        raise ValueError("it has no EDF header")
    fields = {}
    for line in content[:end].decode("latin-1").lstrip("\r\n {").split(";"):
        key, _, value = line.partition("=")
        fields[key.strip().lower()] = value.strip()
    if fields.get("compression", "none").lower() not in ("none", ""):
        raise ValueError(f"its compression {fields['compression']} is not read")
    code = _EDF_TYPES.get(fields.get("datatype", "").lower())
    if code is None:
        raise ValueError(f"values of type {fields.get('datatype')!r} are no mask")
    order = ">" if fields.get("byteorder", "").lower() == "highbytefirst" else "<"
    shape = int(fields.get("dim_2", "1")), int(fields["dim_1"])
    if min(shape) < 1:
        raise ValueError(f"a picture of {shape} is not possible")
    data = content[end + 2 :]
    wanted = shape[0] * shape[1] * int(code[1])
    if len(data) < wanted:
        raise ValueError(f"{wanted} bytes are expected and {len(data)} are there")
    return np.frombuffer(data[:wanted], order + code).reshape(shape)
