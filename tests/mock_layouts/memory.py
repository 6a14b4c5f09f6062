"""Memory that a block of code takes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def traced_peak() -> Iterator[list[int]]:
    """Peak of Python's allocations in the block, in bytes (the list's only item)."""
    gc.collect()
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
