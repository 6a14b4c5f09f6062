"""Moving a frame into a picture and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry.kernels import (
    compiled,
    copy_straight,
    copy_turned,
    fill,
    gather,
)
from napari_xfelsort.core.geometry.tables import Indices, Tables

_UNSIGNED: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def default_gap(dtype: np.dtype[Any]) -> Any:
    """NaN for floating-point and complex types, 0 for all others."""
    return np.nan if dtype.kind in "fc" else 0


def assemble(
    raw: NDArray[Any], tables: Tables, shape: tuple[int, int], gap: Any, out: NDArray[Any] | None
) -> NDArray[Any]:
    """Picture of a frame; by block copy if the tables have blocks, else by gather."""
    result = _output(out, shape, raw.dtype)
    if tables.blocks is None or raw.dtype.itemsize not in _UNSIGNED:
        _gather(raw, tables.raw_of_cell, gap, result)
        return result
    bits = _UNSIGNED[raw.dtype.itemsize]
    source = np.ascontiguousarray(raw).reshape(-1).view(bits)
    target = result.reshape(-1).view(bits)
    between = _gap_value(gap, raw.dtype).view(bits)[0]
    blocks = tables.blocks
    compiled(fill)(blocks.gaps, shape[1], between, target)
    compiled(copy_turned)(source, blocks.turned, shape[1], target)
    compiled(copy_straight)(source, blocks.straight, shape[1], target)
    return result


def disassemble(
    image: NDArray[Any], tables: Tables, raw_shape: tuple[int, ...], gap: Any
) -> NDArray[Any]:
    """Frame of a picture; pixels that the picture does not show get ``gap``."""
    result = np.empty(raw_shape, image.dtype)
    _gather(image, tables.cell_of_raw, gap, result)
    return result


def _gather(source: NDArray[Any], table: Indices, gap: Any, out: NDArray[Any]) -> None:
    value = _gap_value(gap, source.dtype)
    flat, target = np.ascontiguousarray(source).reshape(-1), out.reshape(-1)
    bits = _UNSIGNED.get(source.dtype.itemsize)
    if bits is None:
        np.take(flat, table, mode="clip", out=target)
        target[table < 0] = value
        return
    compiled(gather)(flat.view(bits), table, value.view(bits)[0], target.view(bits))


def _gap_value(gap: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    if gap is None:
        gap = default_gap(dtype)
    try:
        with np.errstate(all="ignore"):
            value = np.asarray([gap]).astype(dtype)
        suits = dtype.kind in "fcV" or bool(value[0] == gap)
    except (ValueError, OverflowError, TypeError):
        suits = False
    if not suits:
        raise GeometryError(
            f"Frames of type {dtype} cannot hold {gap!r} between the panels; "
            "give another gap or convert the frame."
        )
    return value


def _output(
    out: NDArray[Any] | None, shape: tuple[int, int], dtype: np.dtype[Any]
) -> NDArray[Any]:
    if out is None:
        return np.empty(shape, dtype)
    if out.shape != shape or out.dtype != dtype:
        raise GeometryError(
            f"The array to assemble into has shape {out.shape} and type {out.dtype}, "
            f"but {shape} and {dtype} are needed."
        )
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise GeometryError("The array to assemble into must be C-contiguous and writeable.")
    return out
