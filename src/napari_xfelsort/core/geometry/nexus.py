"""Geometry of NeXus NXmx files."""

from __future__ import annotations

import os

from napari_xfelsort.core.geometry.panel import Description


def read_nexus(path: str | os.PathLike[str]) -> Description:
    raise NotImplementedError
