"""Assembling: hand-made pictures, exactness, round trips, types, and what is refused."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from geometries import HEAD, panel, slab, text
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry import Geometry

#: Two panels below one another in the data; in the laboratory p1 is left of p0, on its side.
PAIR = text(
    {
        "p0": panel(3, 2, corner=(0, 0)),
        "p1": panel(3, 2, corner=(-2, 0), turn=90, first=(0, 2)),
    }
)

REAL = [
    "cheetah-gui__src__cheetah__resources__epix10k2M",
    "EXtra-foam__karaboFAI__geometries__agipd_mar18_v11",
    "extra_geom_written__JUNGFRAU-4M_4d",
    "CrystFEL__doc__examples__cspad-cxiformat",
    "cfel_work__to_change__cfelpyutils__agipd_2450_v9_vds_U",
]


TYPES = [
    *("bool", "u1", "i1", "u2", "i2", "i4", "u4", "i8", "u8"),
    *("f2", "f4", "f8", ">f4", ">i2", "c8", "c16", "f4,i4"),
]


def read(content: str) -> Geometry:
    return Geometry.from_crystfel_text(content, "test.geom")


def numbered(geometry: Geometry) -> np.ndarray:
    """A frame whose pixels are all different, and none is 0."""
    return np.arange(1, 1 + math.prod(geometry.raw_shape), dtype=np.int32).reshape(
        geometry.raw_shape
    )


def cells_by_hand(geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Fractional row and column of every raw pixel, from the positions alone."""
    x, y, _ = geometry.positions()
    beam_y, beam_x = geometry.beam_position
    return beam_y - y / geometry.pixel_size, beam_x + x / geometry.pixel_size


# --- by hand ----------------------------------------------------------------------------

RAW = np.array([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("turn", "flip", "picture"),
    [
        # fs to the right, ss upward: the first row is the lowest.
        (0, False, [[4, 5, 6], [1, 2, 3]]),
        (0, True, [[1, 2, 3], [4, 5, 6]]),
        # fs upward, ss to the left.
        (90, False, [[6, 3], [5, 2], [4, 1]]),
        (90, True, [[3, 6], [2, 5], [1, 4]]),
        (180, False, [[3, 2, 1], [6, 5, 4]]),
        (180, True, [[6, 5, 4], [3, 2, 1]]),
        # fs downward, ss to the right.
        (270, False, [[1, 4], [2, 5], [3, 6]]),
        (-90, True, [[4, 1], [5, 2], [6, 3]]),
    ],
)
@pytest.mark.parametrize("method", ["auto", "gather", "block"])
def test_eight_ways_to_mount_a_panel(turn, flip, picture, method):
    geometry = read(text({"p0": panel(3, 2, (7, -4), turn, flip=flip)}))
    assert geometry.method == "block"
    assert geometry.assemble(RAW, method=method).tolist() == picture
    assert geometry.disassemble(np.array(picture), method=method).tolist() == RAW.tolist()
    assert not geometry.overlaid.any()


@pytest.mark.parametrize("method", ["auto", "gather", "block"])
def test_two_panels_and_the_gap_between(method):
    geometry = read(PAIR)
    raw = np.arange(1, 13).reshape(4, 3)
    wanted = [
        [9 + 3, 9, -1, -1, -1, -1, -1],
        [11, 8, -1, -1, 4, 5, 6],
        [10, 7, -1, -1, 1, 2, 3],
    ]
    assert geometry.shape == (3, 7)
    assert geometry.assemble(raw, gap=-1, method=method).tolist() == wanted
    # The beam axis is the corner of the first pixel, half a pixel left of and below it.
    assert geometry.beam_position == pytest.approx((2.5, 3.5))
    assert geometry.pixel_size == pytest.approx(1e-4)


def test_outlines_are_the_edges_of_pixels():
    outlines = read(PAIR).outlines()
    assert list(outlines) == ["p0", "p1"]
    assert outlines["p0"].round(6).tolist() == [[2.5, 3.5], [2.5, 6.5], [0.5, 6.5], [0.5, 3.5]]
    assert outlines["p1"].round(6).tolist() == [[2.5, 1.5], [-0.5, 1.5], [-0.5, -0.5], [2.5, -0.5]]


def test_modules_along_an_axis_of_the_data_in_any_order():
    """The same two panels, with the module axis last and fs before ss."""
    keys = {"dim0": "fs", "dim1": "%", "dim2": "ss"}
    panels = {
        "p0": panel(3, 2) | keys | {"dim3": 0},
        "p1": panel(3, 2, corner=(-2, 0), turn=90) | keys | {"dim3": 2},
    }
    geometry = read(text(panels))
    assert geometry.raw_shape == (3, 2, 3)
    raw = np.zeros((3, 2, 3), int)
    stacked = np.arange(1, 13).reshape(4, 3)
    raw[:, :, 0], raw[:, :, 2] = stacked[:2].T, stacked[2:].T
    plain = read(PAIR)
    for method in ("gather", "block"):
        wanted = plain.assemble(stacked, method=method)
        assert geometry.assemble(raw, method=method).tolist() == wanted.tolist()
    assert not geometry.covered[:, :, 1].any()


def test_panels_in_several_datasets_have_an_axis_over_these():
    panels = {
        "a": panel(3, 2, data="/a/data"),
        "b": panel(3, 2, (5, 0), data="/b/data"),
        "c": panel(3, 2, (0, 5), data="/a/data", first=(0, 2)),
    }
    geometry = read(text(panels))
    assert geometry.data_paths == ("/a/data", "/b/data")
    assert geometry.dims == ("%", "ss", "fs")
    assert geometry.raw_shape == (2, 4, 3)
    assert geometry.panels["b"].raw_index == (1, slice(0, 2), slice(0, 3))
    raw = np.arange(24).reshape(2, 4, 3)
    picture = geometry.assemble(raw, gap=-1)
    assert picture[-1].tolist() == [0, 1, 2, -1, -1, 12, 13, 14]
    assert picture[0].tolist() == [9, 10, 11, -1, -1, -1, -1, -1]


# --- exactness --------------------------------------------------------------------------


def check_gather(geometry: Geometry) -> None:
    frame = numbered(geometry)
    picture = geometry.assemble(frame, method="gather")
    tables_shown = geometry.disassemble(picture, method="gather") == frame
    rows, columns = cells_by_hand(geometry)
    # Every pixel that is shown is in the cell that its centre lies in ...
    row = np.floor(rows[tables_shown] + 0.5 + 1e-6).astype(int)
    column = np.floor(columns[tables_shown] + 0.5 + 1e-6).astype(int)
    assert (picture[row, column] == frame[tables_shown]).all()
    # ... one in a cell ...
    assert len(np.unique(row * picture.shape[1] + column)) == len(row)
    # ... and one that is not shown gave way to another.
    lost = geometry.covered & ~tables_shown
    row = np.floor(rows[lost] + 0.5 + 1e-6).astype(int)
    column = np.floor(columns[lost] + 0.5 + 1e-6).astype(int)
    assert (picture[row, column] != 0).all()
    # What else is shown lies in its cell's place to less than a pixel.
    y, x = np.nonzero(picture)
    shown = np.unravel_index(picture[y, x] - 1, geometry.raw_shape)
    assert np.hypot(rows[shown] - y, columns[shown] - x).max() < 0.75


def check_round_trip(geometry: Geometry) -> None:
    frame = numbered(geometry).astype(np.float32)
    back = geometry.disassemble(geometry.assemble(frame))
    lost = geometry.overlaid | ~geometry.covered
    assert np.isnan(back[lost]).all()
    assert (back[~lost] == frame[~lost]).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-180, 180), min_size=1, max_size=4),
    st.integers(1, 24),
    st.integers(1, 24),
    st.booleans(),
)
def test_every_pixel_is_where_it_belongs(turns, width, height, crowded):
    spacing = -min(width, height) / 2 if crowded else 4.0
    geometry = read(slab(turns, width, height, 2, spacing))
    if not crowded:
        check_gather(geometry)
    check_round_trip(geometry)


@pytest.mark.parametrize("name", REAL)
def test_real_detectors(shared_data: Path, name: str):
    geometry = Geometry.from_crystfel(shared_data / "geoms" / f"{name}.geom")
    check_gather(geometry)
    check_round_trip(geometry)
    lost = np.count_nonzero(geometry.overlaid)
    assert lost < 1e-3 * math.prod(geometry.raw_shape)


@given(st.floats(-180, 180))
@settings(max_examples=30, deadline=None)
def test_a_turned_panel_has_no_holes(turn):
    geometry = read(text({"p0": panel(31, 17, (3.3, -8.1), turn)}))
    picture = geometry.assemble(numbered(geometry), method="gather")
    corners = geometry.outlines()["p0"]
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    inside = np.ones(picture.shape, bool)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = end - start
        inside &= along[1] * (y - start[0]) - along[0] * (x - start[1]) < -1e-3 * 31
    assert (picture[inside] > 0).all()


def test_of_overlapping_panels_the_first_is_shown():
    panels = {"a": panel(4, 4), "b": panel(4, 4, (2, 0), first=(0, 4))}
    geometry = read(text(panels))
    assert geometry.method == "gather"
    raw = np.repeat([1, 2], 16).reshape(8, 4)
    for method in ("auto", "gather", "block"):
        assert geometry.assemble(raw, method=method).tolist() == [[1] * 4 + [2] * 2] * 4
    assert geometry.overlaid.sum() == 8
    assert geometry.overlaid[4:, :2].all()


def test_blocks_are_used_where_they_are_good_to_three_quarters_of_a_pixel():
    # At its corners a panel of 100 x 100 pixels is off by 70 pixels times the angle.
    assert read(slab([0.5], 100, 100, 1)).method == "block"
    assert read(slab([0.0, 90.0, 180.0, 270.0], 100, 60, 2)).method == "block"
    assert read(slab([0.0, 0.7], 100, 100, 2)).method == "gather"
    assert read(slab([45.0], 20, 20, 1)).method == "gather"


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0, 90, 180, 270]), st.floats(-0.4, 0.4)), min_size=1),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_blocks_keep_the_panels_whole(turns, width, height):
    geometry = read(slab([a + b for a, b in turns[:4]], width, height, 2))
    frame = numbered(geometry)
    picture = geometry.assemble(frame, method="block")
    rows, columns = cells_by_hand(geometry)
    y, x = np.nonzero(picture)
    assert sorted(picture[y, x]) == list(range(1, frame.size + 1))
    shown = np.unravel_index(picture[y, x] - 1, geometry.raw_shape)
    error = np.hypot(rows[shown] - y, columns[shown] - x).max()
    assert error < 0.71 + 0.4 * math.pi / 180 * math.hypot(width, height) / 2
    assert (error < 0.75) == (geometry.method == "block") or abs(error - 0.75) < 1e-6
    assert (geometry.disassemble(picture, method="block") == frame).all()


def test_a_single_panel_is_shown_as_it_is_stored():
    geometry = Geometry.single_panel((5, 7), 75e-6, beam_center=(1.5, 3.25))
    raw = np.arange(35.0).reshape(5, 7)
    assert (geometry.assemble(raw) == raw).all()
    assert geometry.beam_position == pytest.approx((1.5, 3.25))
    x, y, z = geometry.positions()
    assert x[0] == pytest.approx((np.arange(7) - 3.25) * 75e-6)
    assert y[:, 0] == pytest.approx((1.5 - np.arange(5)) * 75e-6)
    assert (z == 0).all()
    assert not geometry.warnings


def test_oblong_pixels_keep_their_proportions():
    geometry = Geometry.single_panel((6, 8), (50e-6, 100e-6))
    assert geometry.shape in [(3, 8), (4, 8)]
    assert geometry.warnings
    x, y, _ = geometry.positions()
    assert np.diff(x, axis=1) == pytest.approx(100e-6)
    assert np.diff(y, axis=0) == pytest.approx(-50e-6)


# --- types, gaps, buffers ---------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    TYPES,
)
@pytest.mark.parametrize("turn", [0.0, 90.0, 180.0, 17.0])
def test_any_type_keeps_its_values(dtype, turn):
    geometry = read(slab([turn, turn + 90], 19, 23, 2))
    rng = np.random.default_rng(1)
    bytes_ = rng.integers(0, 2, (*geometry.raw_shape, np.dtype(dtype).itemsize), np.uint8)
    raw = bytes_.view(dtype)[..., 0]
    gap = np.zeros((), dtype)[()] if raw.dtype.names else None
    picture = geometry.assemble(raw, gap=gap)
    assert picture.dtype == raw.dtype
    kept = geometry.covered & ~geometry.overlaid
    assert (geometry.disassemble(picture, gap=gap)[kept] == raw[kept]).all()
    if not raw.dtype.names:
        empty = geometry.assemble(np.ones_like(raw)) != 1
        assert empty.any()
        expected = math.nan if raw.dtype.kind in "fc" else 0
        assert np.array_equal(
            picture[empty], np.full(empty.sum(), expected, raw.dtype), equal_nan=True
        )


def test_the_gap_can_be_chosen_and_must_suit():
    geometry = read(PAIR)
    raw = np.ones((4, 3), np.uint8)
    assert sorted(np.unique(geometry.assemble(raw, gap=255))) == [1, 255]
    assert geometry.assemble(raw.astype(bool), gap=True).all()
    for gap in (math.nan, 300, -1, "gap"):
        with pytest.raises(GeometryError, match="cannot hold"):
            geometry.assemble(raw, gap=gap)


@pytest.mark.parametrize("method", ["gather", "block"])
def test_an_array_to_fill_is_filled_and_returned(method):
    geometry = read(PAIR)
    out = np.full(geometry.shape, 99.0)
    assert geometry.assemble(np.ones((4, 3)), out=out, method=method) is out
    assert np.isnan(out).sum() == 9
    assert np.nansum(out) == 12


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((3, 6)),
        np.zeros((3, 7), np.float32),
        np.zeros((7, 3)).T,
        np.zeros((3, 14))[:, ::2],
    ],
)
def test_an_unsuitable_array_to_fill_is_refused(out):
    with pytest.raises(GeometryError, match="array to assemble into"):
        read(PAIR).assemble(np.ones((4, 3)), out=out)


def test_frames_that_are_not_contiguous():
    geometry = read(PAIR)
    wide = np.arange(24.0).reshape(4, 6)
    wanted = geometry.assemble(np.ascontiguousarray(wide[:, ::2]))
    assert np.array_equal(geometry.assemble(wide[:, ::2]), wanted, equal_nan=True)
    assert np.array_equal(geometry.assemble(np.asfortranarray(wide[:, ::2])), wanted, True)


def test_loops_are_compiled_where_numba_can_keep_no_cache(monkeypatch):
    import numba

    from napari_xfelsort.core.geometry import kernels

    asked = []

    def without_cache(**options):
        asked.append(options)
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda loop: loop

    monkeypatch.setattr(numba, "njit", without_cache)
    assert kernels.compiled.__wrapped__(kernels.gather) is kernels.gather
    assert len(asked) == 2


def test_other_mistakes_are_refused():
    geometry = read(PAIR)
    with pytest.raises(GeometryError, match=r"\(3, 4\).*panel p1"):
        geometry.assemble(np.zeros((3, 4)))
    with pytest.raises(GeometryError, match=r"\(4, 3\) but this geometry makes \(3, 7\)"):
        geometry.disassemble(np.zeros((4, 3)))
    with pytest.raises(GeometryError, match="method 'fast'"):
        geometry.assemble(np.zeros((4, 3)), method="fast")


# --- fitting ----------------------------------------------------------------------------


def test_frames_may_be_larger_than_the_panels_reach():
    geometry = read(PAIR)
    fitted = geometry.fit((5, 4))
    assert fitted.raw_shape == (5, 4)
    assert fitted.shape == geometry.shape
    raw = np.full((5, 4), 50.0)
    raw[:4, :3] = np.arange(12).reshape(4, 3)
    wanted = geometry.assemble(raw[:4, :3])
    assert np.array_equal(fitted.assemble(raw), wanted, equal_nan=True)
    assert np.array_equal(geometry.assemble(raw), wanted, equal_nan=True)
    x, _, _ = fitted.positions()
    assert np.isnan(x[4]).all()
    assert np.isnan(x[:, 3]).all()
    assert np.isfinite(x[:4, :3]).all()
    assert fitted.covered.sum() == 12
    assert fitted.digest != geometry.digest
    assert geometry.fit((4, 3)) is geometry


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (12,), (1, 4, 3), ()])
def test_a_geometry_that_does_not_fit_says_both_shapes_and_the_panel(shape):
    with pytest.raises(GeometryError) as caught:
        read(PAIR).fit(shape)
    said = str(caught.value)
    assert "test.geom" in said
    assert "(4, 3)" in said
    assert str(shape) in said
    assert ("panel p1" if shape == (3, 3) else "panel p0") in said


# --- copies, processes, threads ---------------------------------------------------------


def test_pickles_are_small_and_give_the_same_picture():
    geometry = read(slab([0.3, 91.0, 45.0], 60, 50, 2))
    raw = numbered(geometry).astype(np.float32)
    picture = geometry.assemble(raw)
    assert geometry.static_mask() is None
    content = pickle.dumps(geometry)
    assert len(content) < 10_000
    other = pickle.loads(content)
    assert other.digest == geometry.digest
    assert other.beam_position == geometry.beam_position
    assert np.array_equal(other.assemble(raw), picture, equal_nan=True)


def test_threads_share_one_geometry():
    geometry = read(slab([0.3, 91.0, 45.0], 60, 50, 2))
    frames = [numbered(geometry) + i for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(geometry.assemble, frames))
        masks = set(map(id, pool.map(lambda _: geometry.grid, range(8))))
    again = read(slab([0.3, 91.0, 45.0], 60, 50, 2))
    for frame, picture in zip(frames, pictures, strict=True):
        assert (again.assemble(frame) == picture).all()
    assert len(masks) == 1


def test_the_digest_tells_geometries_apart():
    base = text({"p0": panel(8, 6)})
    same = "; another comment\n" + base.replace(" = ", "=")
    assert read(base).digest == read(same).digest
    for change in (
        {"corner_x": 0.5},
        {"coffset": 0.1},
        {"mask_edge_pixels": 1},
        {"flag_equal": 0},
        {"dim0": 1},
    ):
        assert read(text({"p0": panel(8, 6) | change})).digest != read(base).digest
    assert read(text({"p0": panel(8, 6)}, HEAD | {"clen": 1})).digest != read(base).digest
    assert len(read(base).digest) == 64
