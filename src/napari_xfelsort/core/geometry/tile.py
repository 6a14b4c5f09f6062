"""Turning a square of pixels within the processor's vector registers.

Copied pixel by pixel, panels that stand on their side take twice as long: every pixel costs
a read and a write of its own. Here eight vectors of eight pixels are read, exchanged in
three rounds (rows a step of 1, 2 and 4 apart swap halves), and eight are written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

#: Pixels along the side of a square.
TILE = 8


@cache
def tile_mover() -> Callable[..., None]:
    """What compiled loops call to move a square; numba is imported here.

    Its arguments are the flat source, the index of the first pixel, the step in the source
    from one column of the square to the next (pixels of a column are contiguous), the flat
    target, the index of the first pixel there, and the step from one row to the next (pixels
    of a row are contiguous). Nothing checks that all this lies inside the arrays.
    """
    from numba import types
    from numba.extending import intrinsic

    def move(
        context: Any, source: Any, start: Any, across: Any, out: Any, to: Any, down: Any
    ) -> Any:
        del context
        signature = types.void(source, types.intp, types.intp, out, types.intp, types.intp)
        return signature, _write_code

    made: Callable[..., None] = intrinsic(move)
    return made


def _write_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    from llvmlite import ir  # type: ignore[import-untyped]

    source_type, _, _, out_type, _, _ = signature.args
    bits = source_type.dtype.bitwidth
    vector = ir.VectorType(ir.IntType(bits), TILE)
    pointer = ir.PointerType(vector)

    def place(array_type: Any, array: Any, index: Any) -> Any:
        data = context.make_array(array_type)(context, builder, array).data
        return builder.bitcast(builder.gep(data, [index]), pointer)

    vectors = []
    index = args[1]
    for _ in range(TILE):
        vectors.append(builder.load(place(source_type, args[0], index), align=bits // 8))
        index = builder.add(index, args[2])
    for step in (1, 2, 4):
        for k in (k for k in range(TILE) if not k & step):
            pair = vectors[k], vectors[k + step]
            for target, choice in zip((k, k + step), _choices(step), strict=True):
                mask = ir.Constant(ir.VectorType(ir.IntType(32), TILE), choice)
                vectors[target] = builder.shuffle_vector(*pair, mask)
    index = args[4]
    for written in vectors:
        builder.store(written, place(out_type, args[3], index), align=bits // 8)
        index = builder.add(index, args[5])
    return context.get_dummy_value()


def _choices(step: int) -> tuple[list[int], list[int]]:
    """Which of the 16 elements of two vectors make the first and the second new one."""
    low = [i - step + TILE if i & step else i for i in range(TILE)]
    high = [i + TILE if i & step else i + step for i in range(TILE)]
    return low, high
