"""The mask that a run comes with, as one that can be edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_xfelsort.core.masks.made import MadeMask
from napari_xfelsort.core.masks.make import SOURCE_OF_REASON
from napari_xfelsort.core.masks.settings import MaskReason, MaskSource

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack


def own_mask(stack: EventStack) -> MadeMask:
    """The mask of a stack: bad pixels are given, by file, geometry or user; else none is bad."""
    reasons = np.zeros(stack.raw_shape, np.uint8)
    sources = np.zeros(stack.raw_shape, np.uint8)
    mask = stack.mask
    if mask is not None:
        reasons[mask.bad] = np.uint8(MaskReason.GIVEN)
        for reason, source in SOURCE_OF_REASON.items():
            sources[mask.reasons & np.uint8(reason) != 0] |= np.uint8(source)
        sources[mask.bad & (sources == 0)] = np.uint8(MaskSource.USER)
    return MadeMask(reasons, sources=sources)
