"""Where frames lie in a file and how they are packed, for what is written without reading them."""

from __future__ import annotations

import itertools
import os

import h5py

from napari_xfelsort.core.source import PackedFrame, StoredFrame
from napari_xfelsort.readers.indexing import selection
from napari_xfelsort.readers.layout import Segment


def stored_frame(data: h5py.Dataset, segment: Segment, k: int) -> StoredFrame:
    """Where the segment's event ``k`` lies; links are followed to the file that holds it."""
    index = selection(data.ndim, segment, k, None)
    file = os.path.realpath(data.file.filename)
    return StoredFrame(file, data.name, data.shape, data.dtype, index)


def packed_frame(data: h5py.Dataset, segment: Segment, k: int) -> PackedFrame | None:
    """The chunks of the segment's event ``k``; None unless they hold this event alone."""
    index = selection(data.ndim, segment, k, None)
    lone_event = isinstance(index[0], int) and all(isinstance(part, slice) for part in index[1:])
    if data.is_virtual or not data.chunks or data.chunks[0] != 1 or not lone_event:
        return None
    creation = data.id.get_create_plist()
    filters = tuple(
        (int(code), int(flags), tuple(int(value) for value in values))
        for code, flags, values, _ in map(creation.get_filter, range(creation.get_nfilters()))
    )
    steps = [range(0, n, c) for n, c in zip(data.shape[1:], data.chunks[1:], strict=True)]
    parts = []
    for offset in itertools.product(*steps):
        try:
            mask, content = data.id.read_direct_chunk((index[0], *offset))
        except (OSError, RuntimeError, ValueError):  # never written: it has fill values
            return None
        parts.append((offset, mask, bytes(content)))
    return PackedFrame(data.dtype, data.chunks[1:], filters, parts)
