"""Masks as other programs code them: which bits or values mean a bad pixel, and why.

Sources: NeXus application definition NXmx (``pixel_mask``); CXI file format 1.4 and
Cheetah (``mask_shared``); European XFEL's calibration (``BadPixels`` of EXtra); psana
(1 is good); pyFAI (anything but 0 is masked). Reasons are kept as far as a convention has
words for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.made import MadeMask
from napari_xfelsort.core.masks.settings import MaskReason, MaskSource

_R = MaskReason


@dataclass(frozen=True)
class Convention:
    """How a program codes masks.

    Attributes
    ----------
    name : str
        As it is chosen.
    about : str
        A line on who uses it.
    dtype : str
        Of the array.
    good_is_one : bool
        1 is a good pixel and 0 a bad one; there are no reasons.
    unusable : int
        Bits of which any makes a pixel bad; others only inform.
    codes : mapping of MaskReason to int
        The bit that each reason is written as.
    meaning : mapping of int to MaskReason
        What each bit is read as; `MaskReason.GIVEN` where it is not named.
    given : mapping of MaskSource to int
        Bits for given pixels, by their source; the code of `MaskReason.GIVEN` for others.
    """

    name: str
    about: str
    dtype: str
    good_is_one: bool = False
    unusable: int = -1
    codes: Mapping[MaskReason, int] = field(default_factory=dict)
    meaning: Mapping[int, MaskReason] = field(default_factory=dict)
    given: Mapping[MaskSource, int] = field(default_factory=dict)


_EVERY = dict.fromkeys(MaskReason, 1)
_NXMX = {
    _R.DEAD: 1 << 1,
    _R.OFFSET: 1 << 3,
    _R.GAIN_SEPARATION: 1 << 3,
    _R.GAIN_LEVEL: 1 << 3,
    _R.BRIGHT: 1 << 3,
    _R.NOISE: 1 << 4,
    _R.FLICKER: 1 << 4,
    _R.GIVEN: 1 << 8,
}
# All but: in a peak mask, artefact corrected, found as a peak, background subtracted.
_CXI_UNUSABLE = 0xFFFF & ~(0x0020 | 0x0800 | 0x2000 | 0x4000)
_CXI = {
    _R.OFFSET: 0x004,
    _R.BRIGHT: 0x080,
    _R.GAIN_SEPARATION: 0x080,
    _R.GAIN_LEVEL: 0x080,
    _R.DEAD: 0x008,
    _R.NOISE: 0x400,
    _R.FLICKER: 0x400,
    _R.GIVEN: 0x040,
}
_EUXFEL = {
    _R.OFFSET: 1 << 0,
    _R.NOISE: 1 << 1,
    _R.GAIN_SEPARATION: 1 << 13,
    _R.GAIN_LEVEL: 1 << 21,
    _R.BRIGHT: 1 << 8,
    _R.FLICKER: 1 << 17,
    _R.DEAD: 1 << 14,
    _R.GIVEN: 1 << 23,
}
# Value out of range, and the first bit for users.
_EUXFEL_GIVEN = {MaskSource.SATURATED: 1 << 12, MaskSource.USER: 1 << 30}

CONVENTIONS = {
    each.name: each
    for each in (
        Convention(
            "crystfel",
            "CrystFEL with badbits 0xff, and this program: reasons, 0 is good",
            "uint8",
            codes={reason: int(reason) for reason in MaskReason},
            meaning={int(reason): reason for reason in MaskReason},
        ),
        Convention(
            "nxmx",
            "NeXus NXmx pixel_mask, as DECTRIS and DIALS have it",
            "uint32",
            unusable=0xFFFF,
            codes=_NXMX,
            meaning={
                1 << 1: _R.DEAD,
                1 << 2: _R.BRIGHT,
                1 << 3: _R.BRIGHT,
                1 << 4: _R.NOISE,
            },
        ),
        Convention(
            "cheetah",
            "CXI and Cheetah mask bits",
            "uint16",
            unusable=_CXI_UNUSABLE,
            codes=_CXI,
            meaning={0x004: _R.OFFSET, 0x008: _R.DEAD, 0x400: _R.NOISE, 0x080: _R.BRIGHT},
            given={MaskSource.SATURATED: 0x002, MaskSource.SHADOW: 0x010},
        ),
        Convention(
            "euxfel",
            "European XFEL BadPixels",
            "uint32",
            codes=_EUXFEL,
            meaning={code: reason for reason, code in _EUXFEL.items()}
            | dict.fromkeys(_EUXFEL_GIVEN.values(), _R.GIVEN),
            given=_EUXFEL_GIVEN,
        ),
        Convention("psana", "LCLS: 1 is good", "uint8", good_is_one=True),
        Convention("pyfai", "pyFAI and silx: anything but 0 is masked", "int8", codes=_EVERY),
    )
}


def convention(name: str) -> Convention:
    """The convention of a name.

    Raises
    ------
    SettingsError
        If there is none.
    """
    if name not in CONVENTIONS:
        raise SettingsError(
            f"There is no mask convention {name!r}; choose {', '.join(CONVENTIONS)}."
        )
    return CONVENTIONS[name]


def encode(mask: PixelMask, name: str) -> NDArray[Any]:
    """A mask, whose reasons are `MaskReason`, as another program has it.

    Parameters
    ----------
    mask : PixelMask
        Raw-shaped. Of a `MadeMask` the sources of given pixels are told too, where the
        convention has words for them.
    name : str
        Of the `CONVENTIONS`.

    Returns
    -------
    ndarray, raw shape

    Raises
    ------
    SettingsError
        If there is no such convention.
    """
    wanted = convention(name)
    if wanted.good_is_one:
        return (~mask.bad).astype(wanted.dtype)
    coded = np.zeros(mask.reasons.shape, wanted.dtype)
    to_code = np.dtype(wanted.dtype).type
    given = mask.reasons & np.uint8(_R.GIVEN) != 0
    unnamed = given
    if isinstance(mask, MadeMask) and wanted.given:
        for source, code in wanted.given.items():
            coded[given & (mask.sources & np.uint8(source) != 0)] |= to_code(code)
        others = mask.sources & ~np.uint8(sum(wanted.given))
        unnamed = given & ((others != 0) | (mask.sources == 0))
    for reason, code in wanted.codes.items():
        where = unnamed if reason is _R.GIVEN else mask.reasons & np.uint8(reason) != 0
        coded[where] |= to_code(code)
    return coded


def decode(values: NDArray[Any], name: str) -> PixelMask:
    """A mask as another program has it, with `MaskReason` as reasons.

    Parameters
    ----------
    values : ndarray
        Whole numbers or booleans, raw-shaped.
    name : str
        Of the `CONVENTIONS`.

    Raises
    ------
    SettingsError
        If there is no such convention, or the values are no whole numbers.
    """
    given = convention(name)
    values = np.asarray(values)
    if values.dtype.kind not in "biu":
        raise SettingsError(f"A mask has whole numbers, not {values.dtype}.")
    if given.good_is_one:
        return PixelMask.from_bad(values == 0, _R.GIVEN)
    # As unsigned, so that -1 has all bits, as a mask that was stored as signed is meant.
    bits = values.astype(np.int64) & 0xFFFFFFFF
    bad = bits & (given.unusable & 0xFFFFFFFF) != 0
    reasons = np.zeros(values.shape, np.uint8)
    for code, reason in given.meaning.items():
        reasons[bad & (bits & code != 0)] |= np.uint8(reason)
    reasons[bad & (reasons == 0)] = np.uint8(_R.GIVEN)
    return PixelMask(reasons)
