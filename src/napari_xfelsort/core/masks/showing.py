"""The reasons of a mask as a person is told them: names, words, counts, one code a pixel."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.settings import MaskReason


class ShownReason(NamedTuple):
    """A reason for a pixel to be bad.

    Attributes
    ----------
    name : str
        A word or two.
    words : str
        What it means.
    reason : MaskReason
        The bit of the mask.
    """

    name: str
    words: str
    reason: MaskReason


#: In the order in which they are told; a pixel is shown by the first that applies.
SHOWN = (
    ShownReason("offset", "its mean in the dark is off that of its neighbours", MaskReason.OFFSET),
    ShownReason("noise", "it varies in the dark unlike its neighbours", MaskReason.NOISE),
    ShownReason("bright", "it answers to light unlike the others", MaskReason.BRIGHT),
    ShownReason("flicker", "its answer to light varies too much", MaskReason.FLICKER),
    ShownReason("dead", "its value never changes, or is never finite", MaskReason.DEAD),
    ShownReason("gain separation", "its gain stages overlap", MaskReason.GAIN_SEPARATION),
    ShownReason("gain level", "the level of a gain stage is off", MaskReason.GAIN_LEVEL),
    ShownReason("given", "it was bad before: edge, geometry, data file", MaskReason.GIVEN),
)


def _applies(mask: PixelMask, shown: ShownReason) -> NDArray[np.bool_]:
    return np.asarray(mask.reasons & np.uint8(shown.reason) != 0)


def reason_codes(mask: PixelMask, shown: Collection[str]) -> NDArray[np.uint8]:
    """One code a pixel: 1 + the place in `SHOWN` of the first reason that is shown; else 0.

    Parameters
    ----------
    mask : PixelMask
    shown : collection of str
        Names of the reasons.
    """
    table = np.zeros(256, np.uint8)
    values = np.arange(256)
    for place in range(len(SHOWN), 0, -1):
        each = SHOWN[place - 1]
        if each.name in shown:
            table[values & int(each.reason) != 0] = place
    return np.asarray(table[mask.reasons])


def reason_counts(mask: PixelMask) -> dict[str, int]:
    """Pixels that are bad for each reason, and perhaps for others."""
    return {each.name: int(np.count_nonzero(_applies(mask, each))) for each in SHOWN}


def reasons_at(mask: PixelMask, pixel: tuple[int, ...]) -> list[ShownReason]:
    """Why a raw pixel is bad; empty for a good one."""
    value = int(mask.reasons[pixel])
    return [each for each in SHOWN if value & int(each.reason)]
