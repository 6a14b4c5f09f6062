"""Reading zip files from strangers: bounded in memory, and nothing leaves the archive."""

from __future__ import annotations

import ast
import io
import math
import operator
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from napari_xfelsort.core.errors import ModelError

_CHUNK = 1 << 20
#: What packs better than this is no data of ours, once it is large.
_MAX_RATIO = 200
_LARGE = 64 * 1024**2
_NPY = b"\x93NUMPY\x01\x00"
_TOO_DEEP = (RecursionError, MemoryError)
#: What Python's zip reader raises at damaged archives.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    IndexError,
    RuntimeError,  # encrypted, or of an unknown version
)


class ArrayHeader(NamedTuple):
    """What a ``.npy`` member says of itself; its data have been found to be that long."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


def read_members(
    source: zipfile.ZipFile, name: str, limit: Callable[[str], int]
) -> dict[str, bytes]:
    """All members of an archive.

    Parameters
    ----------
    source : ZipFile
        The archive.
    name : str
        Its name, for messages.
    limit : callable
        Given a member's name, how many bytes it may have; 0 where it has no business.

    Raises
    ------
    ModelError
        If there is a member that has no business there, or one is too large or damaged.
    """
    members: dict[str, bytes] = {}
    for info in source.infolist():
        allowed = limit(info.filename)
        if allowed == 0 or info.filename in members:
            raise ModelError(
                f"{name} holds {info.filename!r}, which no model has; it is not opened."
            )
        packed = max(1, info.compress_size)
        if info.file_size > allowed or (
            info.file_size > _LARGE and info.file_size > _MAX_RATIO * packed
        ):
            raise ModelError(
                f"{name} claims {info.file_size / 1e6:.0f} MB for {info.filename}, which is "
                "more than a model has; it is not opened."
            )
        members[info.filename] = _read_member(source, info, name)
    return members


def _read_member(source: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    """One member, piece by piece: what it claims as its size need not be true."""
    data = io.BytesIO()
    try:
        with source.open(info) as member:
            while piece := member.read(_CHUNK):
                data.write(piece)
                if data.tell() > info.file_size:
                    break
    except DAMAGED as error:
        raise ModelError(f"{info.filename} in {name} is damaged: {error}.") from error
    if data.tell() != info.file_size:
        raise ModelError(f"{info.filename} in {name} is damaged: it has another size than said.")
    return data.getvalue()


def array_header(data: bytes, name: str) -> ArrayHeader:
    """Shape and type of a ``.npy`` file, once its length agrees with them.

    Raises
    ------
    ModelError
        If it is no such file, holds objects, or claims more than it has.
    """
    try:
        if data[:8] != _NPY:
            raise ValueError("another kind or version")
        start = 10 + int.from_bytes(data[8:10], "little")
        # Not by numpy's reader, which repairs headers of old versions by other means.
        header = ast.literal_eval(data[10:start].decode("latin-1"))
        if header.keys() != {"descr", "fortran_order", "shape"}:
            raise ValueError("other fields")
        shape = tuple(operator.index(n) for n in header["shape"])
        dtype = np.lib.format.descr_to_dtype(header["descr"])
    except (ValueError, TypeError, AttributeError, SyntaxError, *_TOO_DEEP) as error:
        raise ModelError(f"{name} is no array file.") from error
    size = len(data) - start
    if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
        raise ModelError(f"The array {name} is damaged, or holds what no model has.")
    return ArrayHeader(shape, dtype)
