"""Masks as other programs code them, against the programs' own tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.conventions import CONVENTIONS, decode, encode
from napari_xfelsort.core.masks.made import MadeMask
from napari_xfelsort.core.masks.settings import MaskReason, MaskSource

masks = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, max_side=6))


@given(masks, st.sampled_from(sorted(CONVENTIONS)))
def test_the_same_pixels_are_bad_after_a_round_trip(reasons, name):
    mask = PixelMask(reasons)
    coded = encode(mask, name)
    assert coded.dtype == CONVENTIONS[name].dtype
    back = decode(coded, name)
    assert np.array_equal(back.bad, mask.bad)
    assert np.array_equal(encode(back, name), encode(decode(encode(back, name), name), name))


@pytest.mark.parametrize("name", ["crystfel", "euxfel"])
@given(reasons=masks)
def test_where_every_reason_has_a_bit_all_are_kept(name, reasons):
    assert np.array_equal(decode(encode(PixelMask(reasons), name), name).reasons, reasons)


@pytest.mark.parametrize(
    ("name", "value", "bad", "reason"),
    [
        ("nxmx", 1 << 0, True, MaskReason.GIVEN),  # gap
        ("nxmx", 1 << 1, True, MaskReason.DEAD),
        ("nxmx", 1 << 4, True, MaskReason.NOISE),
        ("nxmx", 1 << 31, False, 0),  # virtual pixel: informs
        ("nxmx", 1 << 16, False, 0),
        ("cheetah", 0x020, False, 0),  # in a peak mask
        ("cheetah", 0x004, True, MaskReason.OFFSET),  # hot
        ("cheetah", 0x008, True, MaskReason.DEAD),
        ("cheetah", 0x200, True, MaskReason.GIVEN),  # missing
        ("cheetah", 0x800, False, 0),  # an artefact that was corrected
        ("euxfel", 1 << 1, True, MaskReason.NOISE),
        ("euxfel", 1 << 14, True, MaskReason.DEAD),  # deviation is zero
        ("euxfel", 1 << 16, True, MaskReason.GIVEN),  # interpolated
        ("psana", 0, True, MaskReason.GIVEN),
        ("psana", 1, False, 0),
        ("pyfai", 1, True, MaskReason.GIVEN),
        ("pyfai", 0, False, 0),
    ],
)
def test_bits_are_read_as_their_programs_mean_them(name, value, bad, reason):
    mask = decode(np.array([[value, 0 if name != "psana" else 1]], np.int64), name)
    assert mask.bad.tolist() == [[bad, False]]
    assert mask.reasons[0, 0] == reason


def test_signed_masks_have_all_bits_where_they_are_minus_one():
    assert decode(np.array([-1, 0], np.int32), "nxmx").bad.tolist() == [True, False]
    assert decode(np.array([-1, 0], np.int8), "pyfai").bad.tolist() == [True, False]


def test_what_is_no_mask_or_convention_is_told():
    with pytest.raises(SettingsError, match="whole numbers"):
        decode(np.zeros(3), "nxmx")
    with pytest.raises(SettingsError, match="choose crystfel"):
        encode(PixelMask(np.zeros(3, np.uint8)), "dials")


@pytest.mark.parametrize(
    ("name", "shadow", "saturated", "drawn", "file"),
    [
        ("cheetah", 0x010, 0x002, 0x040, 0x040),  # SHADOWED, SATURATED, TO_BE_IGNORED
        ("euxfel", 1 << 23, 1 << 12, 1 << 30, 1 << 23),  # VALUE_OUT_OF_RANGE, USER1, EXPERT
        ("nxmx", 1 << 8, 1 << 8, 1 << 8, 1 << 8),
        ("pyfai", 1, 1, 1, 1),
        ("crystfel", 128, 128, 128, 128),
    ],
)
def test_given_pixels_are_told_by_their_source(name, shadow, saturated, drawn, file):
    sources = np.array([16, 2 + 8, 8, 32, 4, 0, 16 + 32, 32], np.uint8)
    reasons = np.full(8, MaskReason.GIVEN, np.uint8)
    reasons[7] = MaskReason.OFFSET  # drawn over, but bad by itself
    coded = encode(MadeMask(reasons, sources=sources), name)
    geometry = int(CONVENTIONS[name].codes[MaskReason.GIVEN])
    offset = int(CONVENTIONS[name].codes[MaskReason.OFFSET])
    wanted = [shadow, geometry | saturated, saturated, drawn, file, geometry, shadow | drawn]
    assert coded.tolist() == [*wanted, offset]
    assert MaskSource.SHADOW == 16
    assert np.array_equal(decode(coded, name).bad, reasons != 0)
    assert (decode(coded, name).reasons[:7] == MaskReason.GIVEN).all() or name == "pyfai"
