"""Manual edits of masks: pixels worked out by hand, and what must hold for any list."""

from __future__ import annotations

import json
import math

import h5py
import numpy as np
import pytest
from geometries import panel, text
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_xfelsort.core.errors import SettingsError, UnreadableFileError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.canvas import Canvas
from napari_xfelsort.core.masks.edited import EditedMask
from napari_xfelsort.core.masks.editing import EDITS, EditList
from napari_xfelsort.core.masks.edits import (
    Edit,
    Ellipse,
    Grow,
    Invert,
    Line,
    Mirror,
    Paint,
    Pixels,
    Polygon,
    Rectangle,
    Shrink,
    Threshold,
)
from napari_xfelsort.core.masks.making import MadeMask
from napari_xfelsort.core.masks.mask_file import read_edits, write_mask
from napari_xfelsort.core.masks.settings import MaskReason

SHAPE = (8, 10)
PIXEL = 1e-4


def turned() -> Geometry:
    """p0: 6 x 4 pixels turned by 90 degrees, corner at 0; p1 below it in the data, not turned.

    In p0 fs points up and ss to the left: pixel (ss, fs) has its centre at
    x = -(ss + 0.5), y = fs + 0.5 (pixels of 0.1 mm). In p1 at x = 10.5 + fs, y = 0.5 + ss.
    """
    panels = {
        "p0": panel(6, 4, (0, 0), 90.0),
        "p1": panel(6, 4, (10, 0), 0.0, (0, 4)),
    }
    return Geometry.from_crystfel_text(text(panels))


def edited(edit: Edit, bad=(), shape=SHAPE, geometry=None, images=None) -> list[tuple[int, ...]]:
    base = np.zeros(shape, np.uint8)
    for index in bad:
        base[index] = 1
    mask = EditList((edit,)).apply(PixelMask(base), geometry, images)
    return [tuple(index) for index in np.argwhere(mask.bad).tolist()]


def metres(*points: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    return tuple((x * PIXEL, y * PIXEL) for x, y in points)


def test_a_rectangle_lands_on_the_pixels_of_a_turned_panel():
    # x from -3 to -1 holds ss 1 and 2, y from 2 to 5 holds fs 2, 3 and 4.
    corners = metres((-3, 2), (-1, 2), (-1, 5), (-3, 5))
    wanted = [(1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (2, 4)]
    assert edited(Rectangle(corners), shape=(8, 6), geometry=turned()) == wanted
    assert edited(Polygon(corners), shape=(8, 6), geometry=turned()) == wanted
    kept = edited(Rectangle(corners, erase=True), [(1, 1), (1, 2)], (8, 6), turned())
    assert kept == [(1, 1)]


def test_a_stroke_and_a_line_on_a_turned_panel():
    # Along y at x = -1.5: the middle of row ss = 1, from fs = 1 to 3.
    along = metres((-1.5, 1.5), (-1.5, 3.5))
    row = [(1, 1), (1, 2), (1, 3)]
    assert edited(Line(along, width=PIXEL), shape=(8, 6), geometry=turned()) == row
    wide = [(ss, fs) for ss in (0, 1, 2) for fs in (1, 2, 3)] + [(1, 0), (1, 4)]
    found = edited(Line(along, width=2.2 * PIXEL), shape=(8, 6), geometry=turned())
    assert found == sorted(wide)
    # A brush too thin to reach a centre hits the pixel it is in: (ss, fs) = (2, 4).
    dot = metres((-2.1, 4.9))
    assert edited(Paint(dot, width=0.1 * PIXEL), shape=(8, 6), geometry=turned()) == [(2, 4)]
    # ... and nothing in the gap between the panels.
    gap = metres((5.0, 2.0))
    assert edited(Paint(gap, width=0.1 * PIXEL), shape=(8, 6), geometry=turned()) == []


def test_a_side_that_is_all_but_level():
    corners = (
        (-0.5, 1.0),
        (2.5, 1.0 + 5e-324),
        (2.5, 3.5),
        (-0.5, 3.5),
        (-0.5, 0.0),
        (0.0, 5e-324),
    )
    found = edited(Polygon(corners), shape=(5, 5))
    assert {(2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)} <= set(found)


def test_without_a_geometry_shapes_are_in_raw_pixels():
    assert edited(Rectangle(((0.5, 1.5), (2.5, 1.5), (2.5, 2.5), (0.5, 2.5)))) == [(2, 1), (2, 2)]
    assert edited(Paint(((3.4, 2.4),), width=0.1)) == [(2, 3)]
    assert edited(Paint(((-0.6, 2.4),), width=0.1)) == []
    # Modules lie below one another: row 5 is row 1 of the second.
    assert edited(Paint(((3.4, 5.4),), width=0.1), shape=(2, 4, 4)) == [(1, 1, 3)]
    tall = ((0.5, 2.5), (1.5, 2.5), (1.5, 4.5), (0.5, 4.5))
    assert edited(Rectangle(tall), shape=(2, 4, 4)) == [(0, 3, 1), (1, 0, 1)]


def test_an_ellipse_is_what_its_equation_says():
    ss, fs = np.indices((40, 60))
    inside = ((fs - 30) / 20.3) ** 2 + ((ss - 20) / 11.7) ** 2 < 1
    box = ((9.7, 8.3), (50.3, 8.3), (50.3, 31.7), (9.7, 31.7))
    mask = EditList((Ellipse(box),)).apply(PixelMask(np.zeros((40, 60), np.uint8)))
    assert np.array_equal(mask.bad, inside)


def test_growth_stops_at_the_border_of_a_panel():
    on = [(3, 2)]  # the last row of p0; p1 begins below
    assert edited(Grow(), on, (8, 6), turned()) == [(2, 2), (3, 1), (3, 2), (3, 3)]
    square = [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)]
    assert edited(Grow(square=True), on, (8, 6), turned()) == square
    across = edited(Grow(within="module"), on, (8, 6), turned())
    assert across == [(2, 2), (3, 1), (3, 2), (3, 3), (4, 2)]
    modules = edited(Grow(), [(0, 3, 2)], (2, 4, 6))
    assert modules == [(0, 2, 2), (0, 3, 1), (0, 3, 2), (0, 3, 3)]


def test_shrinking_leaves_what_lies_at_a_border():
    corner = [(ss, fs) for ss in range(3) for fs in range(3)]
    assert edited(Shrink(), corner) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert edited(Shrink(n=2), corner) == [(0, 0)]


def test_inverting_leaves_pixels_that_are_in_no_panel():
    geometry = Geometry.from_crystfel_text(text({"p0": panel(2, 2)}))
    assert edited(Invert(), [(0, 0), (2, 2)], (3, 3), geometry) == [(0, 1), (1, 0), (1, 1), (2, 2)]


def test_mirroring_by_module():
    on = [(1, 2)]
    assert edited(Mirror(along="fs"), on, (8, 6), turned()) == [(1, 2), (1, 3)]
    assert edited(Mirror(along="ss"), on, (8, 6), turned()) == [(1, 2), (2, 2)]
    assert edited(Mirror(along="both"), on, (8, 6), turned()) == [(1, 2), (2, 3)]
    copied = edited(Mirror(along="none", source="p0"), on, (8, 6), turned())
    assert copied == [(1, 2), (5, 2)]
    assert edited(Mirror(along="fs", source="1"), [(1, 0, 0)], (2, 2, 3)) == [(0, 0, 2), (1, 0, 0)]


def test_a_range_of_values_includes_its_limits_and_no_nan():
    image = np.array([[0.0, 1.0, 2.0, np.nan, 3.0]])
    at = {"image": image}
    assert edited(Threshold("image", 1, 2), shape=(1, 5), images=at) == [(0, 1), (0, 2)]
    assert edited(Threshold("image", low=2), shape=(1, 5), images=at) == [(0, 2), (0, 4)]
    assert edited(Threshold("image", high=0), shape=(1, 5), images=at) == [(0, 0)]


def test_a_threshold_keeps_the_pixels_that_it_meant(tmp_path):
    image = np.arange(80.0).reshape(SHAPE)
    edit = Threshold("event 3", 10, 12, meant=None).kept(Canvas(SHAPE, images={"event 3": image}))
    assert edited(edit) == [(1, 0), (1, 1), (1, 2)]  # without the image
    read = EditList.from_json(EditList((edit,)).to_json())
    assert read.edits == (edit,)
    later = edit.kept(Canvas(SHAPE, images={"event 3": image + 1}))
    assert edited(later) == [(0, 9), (1, 0), (1, 1)]
    for meant, words in (("?", "damaged"), ("AAAA", "damaged"), (edit.meant, "not those of")):
        wrong = Threshold("event 3", 10, 12, meant=meant)
        with pytest.raises(SettingsError, match=words):
            edited(wrong, shape=(9, 10))
    with pytest.raises(SettingsError, match="as text"):
        Threshold("event 3", 10, meant=3)


def test_pixels_of_the_picture_are_those_that_it_shows():
    geometry = turned().fit((8, 6))
    numbers = np.arange(48).reshape(8, 6)
    picture = geometry.assemble(numbers, gap=-1)
    rows, columns = np.array([0, 1, 3]), np.array([0, 2, 3])
    found = Canvas((8, 6), geometry).numbers_at(rows, columns)
    assert found == tuple(sorted(set(picture[rows, columns].tolist()) - {-1}))
    assert Canvas((2, 4, 5)).numbers_at(np.array([5, 5]), np.array([1, 1])) == (26,)


def test_reasons_of_pixels_that_stay_bad_are_kept_and_so_is_the_class():
    reasons = np.zeros((4, 5), np.uint8)
    reasons[1, 1] = MaskReason.DEAD
    reasons[2, 2] = MaskReason.NOISE
    edits = EditList((Pixels((6, 7)), Pixels((12,), erase=True)))
    mask = edits.apply(MadeMask(reasons))
    assert isinstance(mask, MadeMask)
    assert mask.reasons[1, 1] == MaskReason.DEAD
    assert mask.reasons[1, 2] == MaskReason.GIVEN
    assert mask.n_bad == 2
    assert reasons[2, 2] == MaskReason.NOISE  # the base is as it was


place = st.floats(-3, 12)
corners = st.lists(st.tuples(place, place), min_size=4, max_size=4).map(tuple)
path = st.lists(st.tuples(place, place), min_size=2, max_size=5).map(tuple)
within = st.sampled_from(["panel", "module"])
any_edit = st.one_of(
    *(st.builds(kind, corners, st.booleans()) for kind in (Rectangle, Polygon, Ellipse)),
    *(st.builds(kind, path, st.booleans(), st.floats(0.1, 4)) for kind in (Line, Paint)),
    st.builds(Pixels, st.lists(st.integers(0, 79), max_size=9).map(tuple), st.booleans()),
    st.builds(Threshold, st.just("mean"), st.floats(-1, 1), st.none(), st.booleans()),
    st.builds(Grow, within, st.integers(1, 3), st.booleans()),
    st.builds(Shrink, within, st.integers(1, 3), st.booleans()),
    st.builds(Invert, within),
    st.builds(Mirror, within, st.sampled_from(["ss", "fs", "both"])),
)
lists = st.lists(any_edit, max_size=6).map(lambda edits: EditList(tuple(edits)))
bases = arrays.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 0, 1, 64])).map(PixelMask)
IMAGES = {"mean": np.random.default_rng(0).normal(size=SHAPE)}


@given(lists, bases, st.data())
def test_an_edit_undone_or_removed_leaves_what_the_others_do(edits, base, data):
    if not len(edits):
        return
    number = data.draw(st.integers(0, len(edits) - 1))
    others = edits.edits[:number] + edits.edits[number + 1 :]
    wanted = EditList(others).apply(base, images=IMAGES)
    for fewer in (edits.undo(number), edits.remove(number)):
        assert np.array_equal(fewer.apply(base, images=IMAGES).reasons, wanted.reasons)
    assert edits.undo(number).redo(number) == edits
    assert edits.undo().redo() == edits


@given(lists, st.sets(st.integers(0, 5)))
def test_lists_are_the_same_after_a_round_trip(edits, off):
    for number in off & set(range(len(edits))):
        edits = edits.undo(number)
    assert EditList.from_json(edits.to_json()) == edits


@given(lists, bases)
def test_edits_one_by_one_are_the_whole_list(edits, base):
    mask = base
    for edit in edits.edits:
        mask = EditList((edit,)).apply(mask, images=IMAGES)
    assert np.array_equal(mask.reasons, edits.apply(base, images=IMAGES).reasons)


@given(lists, lists, bases, bases)
def test_a_mask_kept_up_to_date_is_the_one_edited_at_once(first, second, base, other):
    """Whatever the order in which edits come and go, and the mask below them changes."""
    edited = EditedMask(base, images=IMAGES)
    both = EditList(first.edits + second.edits)
    for edits in (first, both, both.undo(), both.undo(0) if len(both) else both, second):
        edited.set_edits(edits)
        assert np.array_equal(edited.mask.reasons, edits.apply(base, images=IMAGES).reasons)
    edited.set_base(other)
    wanted = second.apply(other, images=IMAGES)
    assert np.array_equal(edited.mask.reasons, wanted.reasons)


def test_counts_of_edits_and_a_refused_one():
    base = PixelMask(np.zeros(SHAPE, np.uint8))
    edited = EditedMask(base)
    edits = EditList((Pixels((1, 2, 3)), Pixels((2, 50), erase=True))).add(Grow())
    edited.set_edits(edits.undo(2))
    assert [edited.counts(k) for k in range(3)] == [(3, 0), (0, 1), None]
    before = edited.mask.reasons
    with pytest.raises(SettingsError, match="not here"):
        edited.set_edits(edits.add(Threshold("mean", 1)))
    assert edited.mask.reasons is before
    assert edited.edits == edits.undo(2)


@given(bases, st.integers(1, 3), st.booleans())
def test_growing_and_shrinking_against_distances(base, n, square):
    """Grown is what lies within n steps of a bad pixel: the distance, counted directly."""
    bad = np.argwhere(base.bad)
    steps = np.abs(np.indices(SHAPE)[:, None] - bad.T[:, :, None, None])
    far = steps.max(axis=0) if square else steps.sum(axis=0)
    near = (far <= n).any(axis=0)
    grown = EditList((Grow(n=n, square=square),)).apply(base).bad
    assert np.array_equal(grown, near)
    around = EditList((Invert(), Shrink(n=n, square=square), Invert())).apply(base).bad
    assert np.array_equal(around, near)


@given(bases)
def test_inverting_or_mirroring_twice(base):
    assert np.array_equal(EditList((Invert(), Invert())).apply(base).bad, base.bad)
    once = EditList((Mirror(),)).apply(base).bad
    assert np.array_equal(once, base.bad | base.bad[:, ::-1])
    assert np.array_equal(EditList((Mirror(), Mirror())).apply(base).bad, once)


def test_undo_and_redo_go_backwards_and_forwards():
    edits = EditList().add(Pixels((1,))).add(Pixels((2,))).add(Invert())
    assert edits.undo().undo().undone == {1, 2}
    assert edits.undo().undo().redo().undone == {2}
    assert edits.undo(0).undo().redo() == edits.undo(0)
    assert edits.undo(0).redo().undone == {0}  # it is before those that are done
    assert edits.undo(2).remove(0) == EditList((Pixels((2,)), Invert()), frozenset({1}))
    assert EditList().undo() == EditList().redo() == EditList()
    for number in (-1, 3):
        with pytest.raises(SettingsError, match="no edit"):
            edits.remove(number)


def test_every_kind_has_a_name():
    assert len(EDITS) == 11
    assert "" not in EDITS


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Polygon(((0, 0), (1, 1))), "cannot have 2 points"),
        (lambda: Rectangle(((0, 0), (1, 1), (2, 2))), "cannot have 3"),
        (lambda: Line(((0, 0), (1, math.nan)), width=1), "not a number"),
        (lambda: Line(((0, 0), (1, 1))), "above 0"),
        (lambda: Paint(((0, 0),), width=math.inf), "finite"),
        (lambda: Polygon("abc"), "pairs"),
        (lambda: Pixels((0.5,)), "whole numbers"),
        (lambda: Threshold("mean"), "lowest"),
        (lambda: Threshold("mean", 2, 1), "empty"),
        (lambda: Grow(n=0), "1 to 1000"),
        (lambda: Shrink(n=1.5), "shrink by"),
        (lambda: Invert("frame"), "panel or module"),
        (lambda: Mirror(along="x"), "fs, ss"),
        (lambda: Mirror(along="none"), "name the panel"),
        (lambda: edited(Pixels((80,))), "names pixel 80"),
        (lambda: edited(Pixels((-1, 3))), "names pixel -1"),
        (lambda: edited(Threshold("mean", 1)), "'mean', which is not here"),
        (lambda: edited(Threshold("mean", 1), images={"mean": np.zeros(3)}), "is of"),
        (lambda: edited(Mirror(source="p9")), "no panel 'p9'"),
    ],
)
def test_what_cannot_be_is_told(make, words):
    with pytest.raises(SettingsError, match=words):
        make()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no edits"),
        ("[]", "no edits"),
        ('{"version": 1, "edits": 3}', "no edits"),
        ('{"version": 2, "edits": []}', "version 2"),
        ('{"version": 1, "edits": [3]}', "Edit 0"),
        ('{"version": 1, "edits": [{"kind": "invert"}, {"kind": "eval"}]}', "Edit 1"),
        ('{"version": 1, "edits": [{"kind": ["invert"]}]}', "not known"),
        ('{"version": 1, "edits": [{"kind": "grow", "n": "3"}]}', "not possible"),
        ('{"version": 1, "edits": [{"kind": "grow", "m": 3}]}', "not possible"),
        ('{"version": 1, "edits": [{"kind": "pixels", "numbers": [1e30]}]}', "not possible"),
        ('{"version": 1, "edits": [{"kind": "pixels", "numbers": [1], "erase": 2}]}', "neither"),
        ('{"version": 1, "edits": [{"kind": "polygon", "points": [[1]]}]}', "not possible"),
    ],
)
def test_damaged_texts_are_told(content, words):
    with pytest.raises(SettingsError, match=words):
        EditList.from_json(content)


def test_the_text_is_plain_json():
    rows = json.loads(EditList((Grow(n=2),)).undo().to_json())
    grow = {"kind": "grow", "within": "panel", "n": 2, "square": False, "undone": True}
    assert rows == {"version": 1, "edits": [grow]}


def test_edits_are_kept_in_the_mask_file(tmp_path):
    # More than an attribute of HDF5 may hold.
    edits = EditList((Pixels(tuple(range(20_000))), Grow(n=2))).undo(1)
    base = PixelMask(np.zeros((200, 200), np.uint8))
    write_mask(edits.apply(base), tmp_path / "mask.h5", edits=edits)
    assert read_edits(tmp_path / "mask.h5") == edits
    write_mask(base, tmp_path / "plain.h5")
    assert read_edits(tmp_path / "plain.h5") == EditList()
    with h5py.File(tmp_path / "mask.h5", "r+") as file:
        del file["/xfelsort/edits"]
        file["/xfelsort/edits"] = "[1"
    (tmp_path / "none.h5").write_text("no")
    for name in ("mask.h5", "none.h5"):
        with pytest.raises(UnreadableFileError, match=name):
            read_edits(tmp_path / name)
