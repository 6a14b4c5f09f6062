"""Mock files of every layout in the catalogue, each with what a reader must find.

`LAYOUTS` maps a name (case, then writer) to a function that writes the files into a
folder and gives a `Mock`.
"""

from __future__ import annotations

from mock_layouts import (
    broken,
    cheetah,
    cheetah_single,
    crystfel_view,
    cxidb,
    dectris,
    dragonfly,
    dtypes,
    euxfel,
    lcls,
    lists,
    nexus,
    sacla_pal,
    swissfel,
)
from mock_layouts.base import LAYOUTS, Mock, frame, frames
from mock_layouts.memory import traced_peak

__all__ = ["LAYOUTS", "Mock", "frame", "frames", "traced_peak"]

#: Modules that register their writers when imported.
FAMILIES = (
    broken,
    cheetah,
    cheetah_single,
    crystfel_view,
    cxidb,
    dectris,
    dragonfly,
    dtypes,
    euxfel,
    lcls,
    lists,
    nexus,
    sacla_pal,
    swissfel,
)
