"""Regions against pixels counted by hand."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from fake_geometry import FakeGeometry
from hypothesis import given
from hypothesis import strategies as st

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.polygons import line_polygons, points_in_polygon
from napari_xfelsort.core.region import Region, as_region

GEOMETRY = FakeGeometry()
SHAPE = (9, 6)


def pixels(region: Region, shape=SHAPE, geometry=GEOMETRY) -> np.ndarray:
    """Flat numbers of the raw pixels of a region."""
    found = region.resolve(shape, geometry)
    inside = np.zeros(shape, bool)
    inside[found.window] = True if found.inside is None else found.inside
    assert found.n_pixels == inside.sum()
    return np.flatnonzero(inside)


def test_whole_frame_needs_no_geometry():
    found = Region().resolve((3, 4, 5), None)
    assert found.window == (slice(0, 3), slice(0, 4), slice(0, 5))
    assert found.inside is None
    assert found.n_pixels == 60


def test_one_panel_is_its_window():
    found = Region.parse("panel:p1").resolve(SHAPE, GEOMETRY)
    assert found.window == (slice(5, 9), slice(0, 6))
    assert found.inside is None
    assert found.shape == (4, 6)
    assert found.n_pixels == 24


def test_every_row_and_column_of_a_panel_is_used():
    """The tool before lost the last row and column and five on either side."""
    assert list(pixels(Region.parse("panel:p0"))) == list(range(24))


def test_two_panels_leave_out_what_is_between():
    found = Region.from_panels(["p0", "p1"]).resolve(SHAPE, GEOMETRY)
    assert found.window == (slice(0, 9), slice(0, 6))
    assert found.inside is not None
    assert found.n_pixels == 48
    assert not found.inside[4].any()
    assert list(pixels(Region.parse("panel:p*"))) == list(pixels(Region.parse("panel: p0 , p1")))


def test_modules_of_a_stack_of_panels():
    panels = {f"m{k}": SimpleNamespace(raw_index=(k, slice(0, 2), slice(1, 4))) for k in range(3)}
    stacked = SimpleNamespace(panels=panels)
    found = Region.parse("panel:m1,m2").resolve((3, 5, 7), stacked)
    assert found.window == (slice(1, 3), slice(0, 2), slice(1, 4))
    assert found.inside is None


def test_polygon_takes_pixel_centres_inside():
    # x from 1.2 to 3.2 and y from 0.9 to 2.1 pixels: centres 1.5, 2.5 and 1.5
    square = np.array([[1.2, 0.9], [3.2, 0.9], [3.2, 2.1], [1.2, 2.1]]) * 1e-4
    region = Region.from_polygons([square])
    assert list(pixels(region)) == [7, 8]
    assert region.resolve(SHAPE, GEOMETRY).window == (slice(1, 2), slice(1, 3))
    other = square + np.array([10e-4, 0])  # the same place on p1
    both = Region.from_polygons([square, other])
    assert list(pixels(both)) == [7, 8, 37, 38]
    assert list(pixels(Region.from_polygons([square, square[::-1]]))) == [7, 8]


@given(
    st.lists(
        st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=3, unique=True
    ),
    st.integers(-9, 9),
    st.integers(-9, 9),
)
def test_triangles_against_signed_areas(corners, x, y):
    def side(a, b):
        return (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])

    a, b, c = corners
    sides = [side(a, b), side(b, c), side(c, a)]
    if 0 in sides:  # on an edge or its extension
        return
    expected = all(s > 0 for s in sides) or all(s < 0 for s in sides)
    found = points_in_polygon(np.array([x], float), np.array([y], float), np.array(corners, float))
    assert bool(found[0]) == expected


@pytest.mark.parametrize(
    ("path", "width", "expected"),
    [
        # Along row 1, from the centre of column 1 to that of column 4.
        ([(1.5, 1.5), (4.5, 1.5)], 1, [7, 8, 9, 10]),
        # Three wide: rows 0 to 2; the corners beyond the ends are sqrt(2) < 1.5 away.
        ([(1.5, 1.5), (4.5, 1.5)], 3, [r * 6 + c for r in range(3) for c in range(6)]),
        # Two wide: of the pixels beyond an end, the one straight ahead is 1 away.
        ([(1.5, 1.5), (3.5, 1.5)], 2, [1, 2, 3, 6, 7, 8, 9, 10, 13, 14, 15]),
        # The diagonal; its neighbours are sqrt(1/2) away.
        ([(0.5, 0.5), (3.5, 3.5)], 1, [0, 7, 14, 21]),
        ([(3.5, 3.5), (0.5, 0.5)], 1.5, [0, 1, 6, 7, 8, 13, 14, 15, 20, 21]),
        # Between two rows: both are half a pixel away.
        ([(0.5, 2.0), (2.5, 2.0)], 1, [6, 7, 8, 12, 13, 14]),
        # A path with a corner, and one that goes back on itself and stops there.
        ([(0.5, 0.5), (4.5, 0.5), (4.5, 3.5)], 1, [0, 1, 2, 3, 4, 10, 16, 22]),
        ([(0.5, 0.5), (2.5, 0.5), (0.5, 0.5), (0.5, 0.5)], 1, [0, 1, 2]),
        # A click without a move.
        ([(2.5, 1.5), (2.5, 1.5)], 1, [8]),
        # From one panel over the gap to the other; p1 begins at x = 10.
        ([(4.5, 3.5), (11.5, 3.5)], 1, [22, 23, 48, 49]),
    ],
)
def test_lines_take_pixel_centres_within_half_their_width(path, width, expected):
    polygons = line_polygons(np.array(path) * 1e-4, width * 1e-4)
    region = Region.from_polygons(polygons)
    assert list(pixels(region)) == expected
    again = Region.from_dict(json.loads(json.dumps(region.to_dict())))
    assert again == region
    assert list(pixels(again)) == expected


coordinate = st.floats(-3, 20, width=16)


@given(
    st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=5),
    st.floats(0.5, 6),
)
def test_paths_against_distances(path, width):
    x, y = (np.meshgrid(np.arange(17.0), np.arange(13.0))[k].ravel() for k in range(2))
    found = np.zeros(x.shape, bool)
    for polygon in line_polygons(path, width):
        found |= points_in_polygon(x, y, polygon)
    away = np.full(x.shape, np.inf)
    for (x0, y0), (x1, y1) in itertools.pairwise(path):
        along = (x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        share = np.clip(along / length, 0, 1) if length else np.zeros(x.shape)
        away = np.minimum(away, np.hypot(x - x0 - share * (x1 - x0), y - y0 - share * (y1 - y0)))
    assert found[away < 0.494 * width].all()
    assert not found[away > 0.501 * width].any()


def test_q_range():
    # 12398.42 eV is 1 angstrom; q = 4 pi sin(atan(r / L) / 2), r = 0.5 sqrt 2 pixels
    q0 = 4 * np.pi * np.sin(np.arctan(0.5e-4 * np.sqrt(2) / 0.1) / 2)
    region = Region.q_range(0, q0 * 1.01)
    found = region.resolve(SHAPE, GEOMETRY, photon_energy=12398.419843320026)
    assert found.window == (slice(0, 1), slice(0, 1))
    with pytest.raises(RegionError, match="photon energy"):
        region.resolve(SHAPE, GEOMETRY)


def test_window():
    found = Region.parse("window:2:4, 0:3").resolve(SHAPE, None)
    assert found.window == (slice(2, 4), slice(0, 3))
    assert found.inside is None


@pytest.mark.parametrize(
    "region",
    [
        Region(),
        Region.from_panels(["p0", "p1"]),
        Region.from_polygons([[[0, 0], [1.5, 0.1], [0.3, 1e-9]], [[0, 0], [1, 0], [0, 1]]]),
        Region.q_range(0.1, 0.30000000000000004),
        Region.raw_window([slice(1, 3), slice(None, 5)]),
    ],
)
def test_regions_survive_json_and_text(region):
    again = Region.from_dict(json.loads(json.dumps(region.to_dict())))
    assert again == region
    assert hash(again) == hash(region)
    if not region.polygons:
        assert Region.parse(str(region)) == region
    assert as_region(region) is region
    assert as_region(None) == Region()


@pytest.mark.parametrize(
    ("region", "geometry", "why"),
    [
        ("panel:p2", GEOMETRY, "no panel 'p2'; did you mean p[01], p[01]"),
        ("panel:q*", GEOMETRY, "no panel 'q\\*'"),
        ("panel:p0", None, "needs a geometry"),
        ("window:0:2", None, "does not fit frames"),
        ("window:0:2,0:7", None, "does not fit frames"),
        (Region.from_polygons([[[9, 9], [9, 8], [8, 9]]]), GEOMETRY, "holds no pixel"),
    ],
)
def test_regions_that_cannot_be_resolved(region, geometry, why):
    with pytest.raises(RegionError, match=why):
        as_region(region).resolve(SHAPE, geometry)


def test_geometry_of_another_frame():
    with pytest.raises(RegionError, match=r"\(9, 6\)"):
        Region.from_polygons([[[-1, -1], [1, -1], [0, 1]]]).resolve((5, 5), GEOMETRY)


@pytest.mark.parametrize(
    "text",
    [
        *("panel:", "panel", "panels p0", "q:1", "q:a,b", "q:2,1", "q:-1,2", "q:0,inf"),
        *("q:nan,1", "window:", "window:1", "window:3:2", "window:-1:2", "window:0:1:2"),
        *("nonsense", "whole:1"),
    ],
)
def test_texts_that_are_no_region(text):
    with pytest.raises(RegionError):
        Region.parse(text)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "circle"},
        {"kind": "panels"},
        {"kind": "panels", "panels": [1]},
        {"kind": "panels", "panels": []},
        {"kind": "polygons", "polygons": [[[0, 0], [1, 1]]]},
        {"kind": "polygons", "polygons": [[[0, 0], [1, 1], [float("nan"), 0]]]},
        {"kind": "polygons", "polygons": [[[0, 0], [1, 1], "ab"]]},
        {"kind": "q", "q": [1]},
        {"kind": "window", "window": [[0, 5, 1]]},
        {"kind": "window", "window": [[-3, 5]]},
        {"kind": ["whole"]},
    ],
)
def test_values_that_are_no_region(values):
    with pytest.raises(RegionError):
        Region.from_dict(values)


@pytest.mark.parametrize(
    "slices",
    [[], [slice(0, 4, 2)], [slice(0, None)], [slice(-4, -1)], [slice(2, 2)]],
)
def test_windows_that_are_none(slices):
    with pytest.raises(RegionError):
        Region.raw_window(slices)


CRYSTFEL = """\
photon_energy = 12398.419843320026 eV
clen = 0.1 m
res = 10000
adu_per_photon = 1
data = /data
dim0 = %
dim1 = {module}
dim2 = ss
dim3 = fs
{panels}
"""
PANEL = """\
m{k}/min_fs = 0
m{k}/max_fs = 5
m{k}/min_ss = 0
m{k}/max_ss = 3
m{k}/dim1 = {k}
m{k}/fs = x
m{k}/ss = y
m{k}/corner_x = {x}
m{k}/corner_y = 0
"""


TURNED = """\
res = 10000
data = /data
dim0 = %
dim1 = ss
dim2 = fs
a/min_fs = 0
a/max_fs = 11
a/min_ss = 0
a/max_ss = 7
a/corner_x = 5
a/corner_y = -3
a/fs = 0.8x +0.6y
a/ss = -0.6x +0.8y
"""


def test_a_line_on_a_panel_that_is_turned():
    """Along row 3 of a panel turned by 36.87 degrees, from column 2 to column 9."""
    geometry = Geometry.from_crystfel_text(TURNED).fit((8, 12))

    def place(fs, ss):  # of a pixel's centre, in m
        fs, ss = fs + 0.5, ss + 0.5
        return np.array([5 + 0.8 * fs - 0.6 * ss, -3 + 0.6 * fs + 0.8 * ss]) * 1e-4

    region = Region.from_polygons(line_polygons([place(2, 3), place(9, 3)], 1e-4))
    found = Region.from_dict(json.loads(json.dumps(region.to_dict()))).resolve((8, 12), geometry)
    assert found.window == (slice(3, 4), slice(2, 10))
    assert found.inside is None
    down = Region.from_polygons(line_polygons([place(5, 6), place(5, 1)], 1e-4))
    assert down.resolve((8, 12), geometry).window == (slice(1, 7), slice(5, 6))


def test_regions_of_a_geometry_from_a_file():
    """Stacked modules of 4 x 6 pixels of 0.1 mm side by side, 10 pixels apart."""
    panels = "".join(PANEL.format(k=k, x=10 * k) for k in range(3))
    geometry = Geometry.from_crystfel_text(CRYSTFEL.format(module=0, panels=panels))
    geometry = geometry.fit((3, 4, 6))
    shape = geometry.raw_shape
    found = Region.parse("panel:m1,m2").resolve(shape, geometry)
    assert found.window == (slice(1, 3), slice(0, 4), slice(0, 6))
    square = np.array([[11.2, 0.9], [13.2, 0.9], [13.2, 2.1], [11.2, 2.1]]) * 1e-4
    found = Region.from_polygons([square]).resolve(shape, geometry)
    assert found.window == (slice(1, 2), slice(1, 2), slice(1, 3))
    q0 = 4 * np.pi * np.sin(np.arctan(0.5e-4 * np.sqrt(2) / 0.1) / 2)
    found = Region.q_range(0, 1.01 * q0).resolve(shape, geometry)
    assert found.window == (slice(0, 1), slice(0, 1), slice(0, 1))
    with pytest.raises(RegionError, match="holds no pixel"):  # half the wavelength, twice q
        Region.q_range(0, 1.01 * q0).resolve(shape, geometry, 2 * 12398.419843320026)
