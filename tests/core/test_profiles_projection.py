"""Projections against sums written out, and geometry worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.polygons import line_polygons
from napari_xfelsort.core.profiles.projection import Projection
from napari_xfelsort.core.profiles.settings import ProfileSettings
from napari_xfelsort.core.region import Region

ANY = ProfileSettings(min_share=0)
MEDIAN = ProfileSettings(min_share=0, statistic="median")
SETTINGS = {"mean": ANY, "median": MEDIAN}

TWO = """
clen = 0.1
photon_energy = 12398.42
res = 10000
data = /d
dim0 = %
a/dim1 = ss
a/dim2 = fs
a/min_fs = 0
a/max_fs = 5
a/min_ss = 0
a/max_ss = 3
a/corner_x = 0
a/corner_y = 0
a/fs = +1.0x
a/ss = +1.0y
b/dim1 = {first}
b/dim2 = {second}
b/min_fs = {low_fs}
b/max_fs = {high_fs}
b/min_ss = {low_ss}
b/max_ss = {high_ss}
b/corner_x = 20
b/corner_y = 0
b/fs = +1.0y
b/ss = -1.0x
"""
STRAIGHT = {"first": "ss", "second": "fs", "low_fs": 0, "high_fs": 5, "low_ss": 4, "high_ss": 7}
TURNED = {"first": "fs", "second": "ss", "low_fs": 4, "high_fs": 7, "low_ss": 0, "high_ss": 5}


def two(where=STRAIGHT):
    return Geometry.from_crystfel_text(TWO.format(**where))


def project(frames, axis, region="whole", geometry=None, bad=None, settings=ANY, **more):
    shape = frames.shape[1:]
    found = Projection.for_region(axis, Region.parse(region), shape, geometry, **more)
    window = (slice(None), *found.pixels.window)
    cut = None if bad is None else bad[window]
    return found, found.profiles(frames[window], cut, settings)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64, np.int32])
@pytest.mark.parametrize(("axis", "across"), [("fs", 1), ("ss", 2)])
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_rows_and_columns_all_of_them(dtype, axis, across, statistic):
    """PADT leaves out the last row and column of a panel, and five more at the ends."""
    frames = np.random.default_rng(0).integers(0, 200, (3, 4, 6)).astype(dtype)
    found, profiles = project(frames, axis, settings=SETTINGS[statistic])
    wanted = getattr(np, statistic)(frames.astype(float), axis=across)
    assert np.allclose(profiles, wanted, rtol=1e-14)
    assert found.positions.tolist() == list(range(6 if axis == "fs" else 4))


def test_positions_are_pixels_of_the_frame_beyond_500_too():
    """PADT limits positions to -500..500 and so cannot label such panels."""
    frames = np.ones((1, 4, 1024), np.float32)
    found, _ = project(frames, "fs", "window:0:4,700:900")
    assert found.positions[[0, -1]].tolist() == [700, 899]


@given(
    hnp.arrays(np.float32, (2, 3, 5), elements=st.floats(-100, 100, width=32)),
    hnp.arrays(bool, (2, 3, 5)),
    hnp.arrays(bool, (2, 3, 5)),
    st.sampled_from(["mean", "median"]),
    st.sampled_from(["fs", "ss"]),
)
def test_masked_and_unmeasured_pixels_are_left_out(frames, bad, holes, statistic, axis):
    frames[holes] = np.nan
    _, profiles = project(frames, axis, bad=bad, settings=SETTINGS[statistic])
    for event in range(2):
        for k in range(profiles.shape[1]):
            pick = (event, slice(None), k) if axis == "fs" else (event, k)
            used = frames[pick][~(bad | holes)[pick]].astype(float)
            if len(used):
                assert np.isclose(profiles[event, k], getattr(np, statistic)(used), atol=1e-4)
            else:
                assert np.isnan(profiles[event, k])


def test_a_mask_of_everything_leaves_nothing():
    frames = np.ones((2, 4, 6), np.int16)
    for statistic in (ANY, MEDIAN):
        _, profiles = project(frames, "fs", bad=np.ones(frames.shape, bool), settings=statistic)
        assert np.isnan(profiles).all()


def test_a_mask_that_is_the_same_for_all_events():
    frames = np.arange(48.0).reshape(2, 4, 6)
    bad = np.zeros((4, 6), bool)
    bad[0] = True
    _, profiles = project(frames, "fs", bad=np.broadcast_to(bad, frames.shape))
    assert np.allclose(profiles, frames[:, 1:].mean(axis=1))


@pytest.mark.parametrize(("region", "points"), [("window:0:4,2:3", 1), ("window:1:2,0:6", 6)])
def test_one_pixel_wide(region, points):
    frames = np.arange(24.0).reshape(1, 4, 6)
    _, profiles = project(frames, "fs", region)
    assert profiles.shape == (1, points)
    wanted = frames[0, 1] if points == 6 else [frames[0, :, 2].mean()]
    assert np.allclose(profiles[0], wanted)


@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("axis", ["fs", "x"])
def test_only_the_pixels_that_a_polygon_holds(axis, statistic):
    """A triangle over panel a: of column fs the pixels with ss + 0.5 below 4 - fs - 0.5."""
    frames = np.random.default_rng(0).random((2, 8, 6))
    triangle = np.array([(-1, -1), (5.1, -1), (-1, 5.1)]) * 1e-4
    region = Region.from_polygons([triangle])
    found = Projection.for_region(axis, region, (8, 6), two())
    cut = frames[(slice(None), *found.pixels.window)]
    profiles = found.profiles(cut, None, SETTINGS[statistic])
    assert found.n_pixels.tolist() == [4, 3, 2, 1]
    for k in range(4):
        wanted = getattr(np, statistic)(frames[:, : 4 - k, k], axis=1)
        assert np.allclose(profiles[:, k], wanted)


def test_points_of_few_pixels_do_not_count_and_ends_are_trimmed():
    frames = np.ones((1, 10, 8))
    bad = np.zeros(frames.shape, bool)
    bad[0, :8, 3] = True
    chosen = ProfileSettings(min_share=0.25, trim=1)
    found, profiles = project(frames, "fs", bad=bad, settings=chosen)
    assert np.isnan(profiles[0]).tolist() == [False, False, True, False, False, False]
    assert found.positions[found.trimmed(1)].tolist() == [1, 2, 3, 4, 5, 6]
    assert project(frames, "fs", settings=ProfileSettings(trim=9))[1].shape == (1, 0)


def test_modules_of_a_stack_are_projected_together():
    frames = np.random.default_rng(0).random((2, 3, 4, 5))
    assert np.allclose(project(frames, "fs")[1], frames.mean(axis=(1, 2)))
    assert np.allclose(project(frames, "ss")[1], frames.mean(axis=(1, 3)))


def test_a_panel_stored_turned_has_its_own_fs():
    frames = np.random.default_rng(0).random((2, 8, 6))
    geometry = two(TURNED)
    found, profiles = project(frames, "fs", "panel:b", geometry)
    assert found.positions.tolist() == [4, 5, 6, 7]
    assert np.allclose(profiles, frames[:, 4:].mean(axis=2))
    assert np.allclose(project(frames, "fs", "panel:a", geometry)[1], frames[:, :4].mean(axis=1))
    with pytest.raises(RegionError, match="different axes"):
        project(frames, "fs", "whole", geometry)


def test_a_drawing_on_panels_of_one_kind_has_their_fs():
    """Other panels, stored in another way, do not matter."""
    frames = np.random.default_rng(0).random((2, 8, 6))
    geometry = two(TURNED)
    box = np.array([(17.2, 0.9), (19.8, 0.9), (19.8, 3.1), (17.2, 3.1)]) * 1e-4
    region = Region.from_polygons([box])  # of b: ss 0 to 2 and fs 1 to 2, raw rows 5 and 6
    found = Projection.for_region("fs", region, (8, 6), geometry)
    assert found.pixels.window == (slice(5, 7), slice(0, 3))
    assert found.positions.tolist() == [5, 6]
    profiles = found.profiles(frames[:, 5:7, 0:3], None, ANY)
    assert np.allclose(profiles, frames[:, 5:7, 0:3].mean(axis=2))
    both = Region.from_polygons([box, [(0, 0), (3e-4, 0), (0, 3e-4)]])
    with pytest.raises(RegionError, match="different axes"):
        Projection.for_region("fs", both, (8, 6), geometry)


def of_two(y, x):
    """Raw (ss, fs) of the pixels of `two` within a box of the laboratory, by hand."""
    found = []
    for ss in range(8):
        for fs in range(6):
            here = (ss + 0.5, fs + 0.5) if ss < 4 else (fs + 0.5, 19.5 - (ss - 4))
            if y[0] < here[0] < y[1] and x[0] < here[1] < x[1]:
                found.append((ss, fs, *here))
    return found


def box(y, x):
    return [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]


EVERYWHERE = ((-9, 99), (-9, 99))
#: Each region with the box of the laboratory, in pixels, that holds the same pixels.
REGIONS = {
    "whole": (Region(), EVERYWHERE),
    "panel": (Region.parse("panel:b"), ((-9, 99), (10, 99))),
    "rectangle": (
        Region.from_polygons([np.array(box((0.9, 4.2), (17.1, 18.9))) * 1e-4]),
        ((0.9, 4.2), (17.1, 18.9)),
    ),
    "polygon": (
        # With a roof that holds no pixel centre.
        Region.from_polygons([np.array([*box((1, 4), (0, 3)), (-0.1, 2)]) * 1e-4]),
        ((1, 4), (0, 3)),
    ),
    "line": (
        Region.from_polygons(line_polygons(np.array([(0.5, 2.5), (4.5, 2.5)]) * 1e-4, 1e-4)),
        ((2, 3), (0, 5)),
    ),
    "path": (
        Region.from_polygons(
            line_polygons(np.array([(18.5, 0.5), (18.5, 3.5), (18.5, 5.5)]) * 1e-4, 1e-4)
        ),
        ((0, 6), (18, 19)),
    ),
}


@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("axis", ["fs", "ss", "x", "y", "q"])
@pytest.mark.parametrize("name", REGIONS)
def test_every_axis_of_every_kind_of_region(name, axis, statistic):
    region, (y, x) = REGIONS[name]
    frames = np.random.default_rng(3).random((2, 8, 6))
    found = Projection.for_region(axis, region, (8, 6), two())
    cut = frames[(slice(None), *found.pixels.window)]
    profiles = found.profiles(cut, None, SETTINGS[statistic])
    places = of_two(y, x)
    assert found.n_pixels.sum() == len(places)
    if axis == "q":  # 12398.42 eV is 1 angstrom
        q = [4 * np.pi * np.sin(np.arctan(np.hypot(p[2], p[3]) * 1e-3) / 2) for p in places]
        order = np.argsort(q, kind="stable")
        groups = np.split(order, np.cumsum(found.n_pixels)[:-1])
        means = [np.mean([q[k] for k in group]) for group in groups]
        assert np.allclose(found.positions, means, rtol=1e-9)
    else:
        along = [p[{"ss": 0, "fs": 1, "y": 2, "x": 3}[axis]] for p in places]
        assert np.allclose(found.positions, np.unique(along))
        groups = [np.flatnonzero(along == place) for place in np.unique(along)]
    for event in range(2):
        wanted = [
            getattr(np, statistic)([frames[event, places[k][0], places[k][1]] for k in group])
            for group in groups
        ]
        assert np.allclose(profiles[event], wanted)


def test_laboratory_axes_by_hand():
    """Panel a: pixel (ss, fs) at x = fs + 0.5, y = ss + 0.5; b: x = 19.5 - ss, y = fs + 0.5."""
    frames = np.random.default_rng(0).random((2, 8, 6))
    geometry = two()
    found, profiles = project(frames, "x", "panel:b", geometry)
    assert np.allclose(found.positions, [16.5, 17.5, 18.5, 19.5])
    assert np.allclose(profiles, frames[:, :3:-1].mean(axis=2))
    found, profiles = project(frames, "y", "whole", geometry)
    assert np.allclose(found.positions, np.arange(6) + 0.5)
    for k in range(6):
        parts = [frames[:, 4:, k]] + ([frames[:, k, :]] if k < 4 else [])
        assert np.allclose(profiles[:, k], np.concatenate(parts, axis=1).mean(axis=1))


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_rings_of_q_by_hand(statistic):
    """12398.42 eV is 1 angstrom; q = 4 pi sin(atan(r / L) / 2)."""
    shape = (41, 41)
    geometry = Geometry.single_panel(shape, 1e-4, (20, 20), 0.01, 12398.42)
    ss, fs = np.mgrid[:41, :41] - 20
    radius = np.hypot(ss, fs)
    q = 4 * np.pi * np.sin(np.arctan(radius * 1e-4 / 0.01) / 2)
    frames = np.stack([q, 3 - q**2])
    bad = np.zeros(frames.shape, bool)
    bad[:, 3:9, 3:9] = True
    found, profiles = project(
        frames, "q", geometry=geometry, bad=bad, settings=SETTINGS[statistic]
    )
    width = np.ptp(q) / radius.max()
    assert len(found.positions) == 29
    assert (np.diff(found.positions) > 0).all()
    assert np.allclose(profiles[0], found.positions, atol=0.5 * width)
    inner = (q <= 1.5 * width) & (q >= 0.5 * width)
    assert np.allclose(profiles[0, 1], getattr(np, statistic)(q[inner]))
    assert found.n_pixels.sum() == 41 * 41


def test_without_what_is_needed():
    frames = np.ones((1, 8, 6))
    for axis in ("x", "y", "q"):
        with pytest.raises(RegionError, match="needs a geometry"):
            project(frames, axis)
    nothing_known = Geometry.single_panel((8, 6), 1e-4)
    with pytest.raises(RegionError, match="photon energy"):
        project(frames, "q", geometry=nothing_known)
    with pytest.raises(RegionError, match="no axes"):
        project(np.ones((1, 8)), "ss")
