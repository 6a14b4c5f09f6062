"""How loops over pixels are compiled; imported, like those, where they run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


def exact(loop: Loop) -> Loop:
    """Compile a loop as it is written: values may be NaN or infinite."""
    return _compiled(loop)


_FAST: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}


def fast(loop: Loop) -> Loop:
    """Compile a loop whose sums may be taken in any order, so that they become vectors.

    Not for values that may be NaN or infinite: a compiler may then take x - x for 0.
    """
    return _compiled(loop, **_FAST)


def part(loop: Loop) -> Loop:
    """Compile what `fast` loops are made of, into each of them.

    Called instead, it would be whichever of its versions was compiled first, in this process
    or for the cache, and sums would differ in their last bits.
    """
    return cast(Loop, numba.njit(nogil=True, forceinline=True, **_FAST)(loop))


def _compiled(loop: Loop, **options: Any) -> Loop:
    try:
        made = numba.njit(nogil=True, cache=True, **options)(loop)
    except RuntimeError:  # there is no folder that numba could keep its cache in
        made = numba.njit(nogil=True, **options)(loop)
    return cast(Loop, made)


def _drop_outdated(folder: Path) -> None:
    """Remove what numba keeps of loops that are older than any of the modules of loops.

    A compiled loop holds those of other modules, and numba looks at the time of its own only.
    """
    newest = max(path.stat().st_mtime for path in folder.glob("*_loops.py"))
    for kept in (folder / "__pycache__").glob("*_loops.*.nb*"):
        with suppress(OSError):  # another process removes it too, or it may not be removed
            if kept.stat().st_mtime < newest:
                kept.unlink()


_drop_outdated(Path(__file__).parent)
