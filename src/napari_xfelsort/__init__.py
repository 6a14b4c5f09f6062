"""Browse, label, classify and sort X-ray detector events.

The public names are imported when first used, so that ``import napari_xfelsort``
costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

_WHERE = {
    "CenterResult": "core.center",
    "EventId": "core.events",
    "EventSource": "core.source",
    "EventStack": "core.stack",
    "Geometry": "core.geometry",
    "LabelStore": "core.labels",
    "Model": "core.model",
    "PixelMask": "core.mask",
    "Problem": "core.errors",
    "Region": "core.region",
    "XfelsortError": "core.errors",
    "compare": "core.learning.comparison",
    "export": "core.export",
    "find_center": "core.center",
    "fit_profiles": "core.profiles",
    "load_model": "core.model",
    "make_mask": "core.masks.make",
    "open_stack": "readers",
    "sort": "core.sorting",
    "train": "core.training",
    "watch": "readers.watching",
}

__all__ = ["__version__", *sorted(_WHERE)]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
