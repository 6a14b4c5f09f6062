"""Comparing masks, telling reasons, and following one pixel."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.comparing import compare_masks
from napari_xfelsort.core.masks.edited import EditedMask
from napari_xfelsort.core.masks.editing import EditList
from napari_xfelsort.core.masks.edits import Pixels
from napari_xfelsort.core.masks.making import Feature, MadeMask
from napari_xfelsort.core.masks.pixel_trace import mean_frame, pixel_features, pixel_trace
from napari_xfelsort.core.masks.settings import MaskReason, MaskSource
from napari_xfelsort.core.masks.showing import SHOWN, reason_codes, reason_counts, reasons_at
from napari_xfelsort.readers import open_stack

R, S = MaskReason, MaskSource


def test_what_two_masks_have_in_common():
    one = PixelMask(np.array([[0, 1, 2], [4, 0, 0]], np.uint8))
    other = PixelMask(np.array([[0, 8, 0], [4, 1, 1]], np.uint8))
    found = compare_masks(one, other)
    assert (found.added, found.removed, found.agree) == (1, 2, 2)
    assert found.codes.tolist() == [[0, 3, 1], [3, 2, 2]]
    with pytest.raises(SettingsError, match="same detector"):
        compare_masks(one, PixelMask(np.zeros((3, 2), np.uint8)))


def test_what_is_given_is_told_by_source():
    reasons = np.array([[R.GIVEN, R.GIVEN, R.GIVEN | R.DEAD, R.GIVEN, 0]], np.uint8)
    sources = np.array([[0, S.USER | S.EDGE, S.EDGE, S.SHADOW, 0]], np.uint8)
    mask = MadeMask(reasons, sources=sources)
    names = [each.name for each in SHOWN]
    told = ["given", "yours", "dead", "shadow"]
    wanted = [*(names.index(name) + 1 for name in told), 0]
    assert reason_codes(mask, names).tolist() == [wanted]
    assert reason_codes(mask, {"edge"}).tolist()[0] == [0, *[names.index("edge") + 1] * 2, 0, 0]
    counts = reason_counts(mask)
    shown = {name: n for name, n in counts.items() if n}
    assert shown == {"given": 1, "yours": 1, "edge": 2, "shadow": 1, "dead": 1}
    assert [each.name for each in reasons_at(mask, (0, 2))] == ["dead", "edge"]
    assert [each.name for each in reasons_at(mask, (0, 0))] == ["given"]


def test_a_made_mask_says_what_was_drawn():
    reasons = np.array([[0, R.DEAD, 0, R.NOISE]], np.uint8)
    made = MadeMask(reasons)
    edited = EditedMask(made)
    assert edited.mask is made
    edits = EditList((Pixels((1, 2)), Pixels((3,), erase=True)))
    edited.set_edits(edits)
    mask = edited.mask
    assert mask.sources.tolist() == [[0, 0, S.USER, 0]]
    assert mask.reasons.tolist() == [[0, R.DEAD, R.GIVEN, 0]]
    assert mask.edits == edits
    assert mask.before_edits().reasons.tolist() == reasons.tolist()


def test_the_first_reason_that_is_shown_is_the_code():
    reasons = np.array([[0, R.NOISE | R.DEAD, R.DEAD]], np.uint8)
    mask = PixelMask(reasons)
    names = [each.name for each in SHOWN]
    noise, dead = names.index("noise") + 1, names.index("dead") + 1
    assert reason_codes(mask, names).tolist() == [[0, noise, dead]]
    assert reason_codes(mask, {"dead"}).tolist() == [[0, dead, dead]]
    assert reason_codes(mask, set()).tolist() == [[0, 0, 0]]
    counts = reason_counts(mask)
    assert (counts["noise"], counts["dead"], counts["offset"]) == (1, 2, 0)
    assert [each.name for each in reasons_at(mask, (0, 1))] == ["noise", "dead"]
    assert reasons_at(mask, (0, 0)) == []


@pytest.fixture
def stack(tmp_path):
    frames = np.arange(30 * 2 * 4 * 5, dtype=np.float32).reshape(30, 2, 4, 5)
    frames[7] = np.nan
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["/entry_1/data_1/data"] = frames
    return open_stack(str(tmp_path / "a.h5")), frames


def test_a_trace_is_the_values_of_the_pixel(stack):
    stack, frames = stack
    seen = []
    trace = pixel_trace(stack, (1, 2, 3), progress=lambda *counts: seen.append(counts))
    assert trace.events.tolist() == list(range(30))
    np.testing.assert_array_equal(trace.values, frames[:, 1, 2, 3])
    assert seen[-1] == (30, 30)
    few = pixel_trace(stack, (1, 2, 3), most=4)
    assert few.n_frames == 30
    assert few.events.tolist() == [0, 10, 19, 29]
    np.testing.assert_array_equal(few.values, frames[few.events, 1, 2, 3])


def test_the_mean_leaves_out_what_is_no_number(stack):
    stack, frames = stack
    np.testing.assert_allclose(mean_frame(stack), np.nanmean(frames, axis=0))
    some = frames[[0, 15, 29]]  # 14.5 is rounded to even: 14
    some[1] = frames[14]
    np.testing.assert_allclose(mean_frame(stack, most=3), some.mean(axis=0))


def test_features_of_a_pixel_are_those_that_are_known():
    values, ratio = np.full((2, 2), 3.0), np.full((2, 2), -8.0)
    unknown = np.full((2, 2), np.nan)
    mask = MadeMask(
        np.zeros((2, 2), np.uint8),
        features={"offset": Feature(values, ratio), "noise": Feature(unknown, unknown)},
    )
    assert pixel_features(mask, (0, 1)) == [("offset", 3.0, -8.0)]
