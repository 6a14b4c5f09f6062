"""Plain stacks of every pixel type that occurs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mock_layouts.base import Frame, Mock, Shape, layout
from mock_layouts.broken import cxi_mock, write_cxi

DTYPES = ["?", "u1", "i1", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i2", ">u4", ">f4"]


def dtype_mock(dtype: str) -> Any:
    """Writer of a stack of one type."""

    def exotic(folder: Path) -> Mock:
        path = write_cxi(folder / "typed.cxi", dtype=dtype)
        return cxi_mock([path], dtype=dtype)

    return exotic


for _dtype in DTYPES:
    layout(f"n18_{np.dtype(_dtype).name}{'_big' if _dtype[0] == '>' else ''}")(dtype_mock(_dtype))


@layout("n18")
def enum_pixels(folder: Path) -> Mock:
    """Gain stages as an HDF5 enumeration: their numbers are shown."""
    path = folder / "enum.cxi"
    kind = h5py.enum_dtype({"HIGH": 0, "MEDIUM": 1, "LOW": 2}, basetype="u1")
    values = np.stack([np.add.outer(np.arange(40), np.arange(50)) % 3 + 0 * e for e in range(3)])
    with h5py.File(path, "w") as f:
        f.create_dataset("entry_1/data_1/data", data=values.astype("u1"), dtype=kind)

    def expected(i: int, shape: Shape) -> Frame:
        return values[i].astype("u1")

    return cxi_mock([path], 3, dtype="u1", expected=expected)


@layout("n18")
def mixed_dtypes(folder: Path) -> Mock:
    """Files of one shape and two types: the wider type serves both."""
    paths = [write_cxi(folder / "a.cxi", dtype="u2"), write_cxi(folder / "b.cxi", dtype="f4")]
    return cxi_mock(paths, 8, events=[0, 1, 2, 3] * 2, dtype="f4", any_problems=True)
