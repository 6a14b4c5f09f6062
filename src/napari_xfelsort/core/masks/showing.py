"""The reasons of a mask as a person is told them: names, words, counts, one code a pixel."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.settings import MaskReason, MaskSource


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
    source : MaskSource
        Of what is given: by whom; 0 where that is not known, and for all else.
    """

    name: str
    words: str
    reason: MaskReason
    source: MaskSource = MaskSource(0)


_GIVEN = MaskReason.GIVEN
#: In the order in which they are told; a pixel is shown by the first that applies.
SHOWN = (
    ShownReason("offset", "its mean in the dark is off that of its neighbours", MaskReason.OFFSET),
    ShownReason("noise", "it varies in the dark unlike its neighbours", MaskReason.NOISE),
    ShownReason("bright", "it answers to light unlike the others", MaskReason.BRIGHT),
    ShownReason("flicker", "its answer to light varies too much", MaskReason.FLICKER),
    ShownReason("dead", "its value never changes, or is never finite", MaskReason.DEAD),
    ShownReason("gain separation", "its gain stages overlap", MaskReason.GAIN_SEPARATION),
    ShownReason("gain level", "the level of a gain stage is off", MaskReason.GAIN_LEVEL),
    ShownReason("yours", "you marked it, or a mask of yours does", _GIVEN, MaskSource.USER),
    ShownReason("shadow", "it lies in a shadow", _GIVEN, MaskSource.SHADOW),
    ShownReason("saturated", "it was saturated", _GIVEN, MaskSource.SATURATED),
    ShownReason("edge", "it lies at the border of a panel", _GIVEN, MaskSource.EDGE),
    ShownReason("geometry", "the geometry says so", _GIVEN, MaskSource.GEOMETRY),
    ShownReason("data file", "the data file says so", _GIVEN, MaskSource.DATA_FILE),
    ShownReason("given", "it was bad before", _GIVEN),
)
_CODES = {each: place for place, each in enumerate(SHOWN, 1)}


def reason_codes(mask: PixelMask, shown: Collection[str]) -> NDArray[np.uint8]:
    """One code a pixel: 1 + the place in `SHOWN` of the first reason that is shown; else 0.

    Parameters
    ----------
    mask : PixelMask
    shown : collection of str
        Names of the reasons.
    """
    by_reason, by_source = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    values = np.arange(256)
    for each in reversed(SHOWN):
        if each.name not in shown:
            continue
        if each.source:
            by_source[values & int(each.source) != 0] = _CODES[each]
        elif each.reason != _GIVEN:
            by_reason[values & int(each.reason) != 0] = _CODES[each]
        else:
            by_source[0] = _CODES[each]
    bad, reasons, sources = _bad(mask)
    found = by_reason[reasons]
    given = (found == 0) & (reasons & np.uint8(_GIVEN) != 0)
    found[given] = by_source[sources[given]]
    codes = np.zeros(mask.reasons.shape, np.uint8)
    codes.reshape(-1)[bad] = found
    return codes


def reason_counts(mask: PixelMask) -> dict[str, int]:
    """Pixels that are bad for each reason, and perhaps for others."""
    _, found, given = _bad(mask)
    sources = np.bincount(given[found & np.uint8(_GIVEN) != 0], minlength=256)
    reasons = np.bincount(found, minlength=256)
    values = np.arange(256)
    counts = {}
    for each in SHOWN:
        if each.source:
            n = sources[values & int(each.source) != 0].sum()
        else:
            n = sources[0] if each.reason == _GIVEN else reasons[_has(values, each)].sum()
        counts[each.name] = int(n)
    return counts


def reasons_at(mask: PixelMask, pixel: tuple[int, ...]) -> list[ShownReason]:
    """Why a raw pixel is bad; empty for a good one."""
    value, source = int(mask.reasons[pixel]), int(_sources(mask)[pixel])
    return [
        each
        for each in SHOWN
        if value & int(each.reason)
        and (each.reason != _GIVEN or (source & int(each.source) if each.source else not source))
    ]


def _has(values: NDArray[np.int64], shown: ShownReason) -> NDArray[np.bool_]:
    return np.asarray(values & int(shown.reason) != 0)


def _bad(mask: PixelMask) -> tuple[NDArray[np.intp], NDArray[np.uint8], NDArray[np.uint8]]:
    """Numbers of the bad pixels, mostly few, with their reasons and sources."""
    bad = np.flatnonzero(mask.reasons)
    return bad, mask.reasons.reshape(-1)[bad], _sources(mask).reshape(-1)[bad]


def _sources(mask: PixelMask) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] | None = getattr(mask, "sources", None)
    return np.zeros(mask.reasons.shape, np.uint8) if found is None else found
