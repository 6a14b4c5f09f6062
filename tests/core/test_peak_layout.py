"""Where peaks lie: panels turned, transposed and stacked, beside the geometry's own tables."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.peaks.layout import FrameLayout

STACKED = """
clen = 0.2
photon_energy = 8000
res = 5000
dim0 = %
dim2 = ss
dim3 = fs
data = /data/data
"""
PANEL = """
{name}/dim1 = {module}
{name}/min_fs = {left}
{name}/max_fs = {right}
{name}/min_ss = 0
{name}/max_ss = 19
{name}/corner_x = {x}
{name}/corner_y = {y}
{name}/fs = {fs}
{name}/ss = {ss}
"""


def geometry() -> Geometry:
    """Two modules of two panels each, one of them turned."""
    panels = [
        PANEL.format(name="a0", module=0, left=0, right=14, x=-40, y=5, fs="1x", ss="1y"),
        PANEL.format(name="a1", module=0, left=15, right=29, x=-20, y=5, fs="1x", ss="1y"),
        PANEL.format(name="b0", module=1, left=0, right=14, x=40, y=-9, fs="-1y", ss="-1x"),
        PANEL.format(name="b1", module=1, left=15, right=29, x=40, y=-29, fs="-1y", ss="-1x"),
    ]
    made = Geometry.from_crystfel_text(STACKED + "".join(panels))
    return made.fit((2, 20, 30))


def test_places_are_those_of_the_geometry():
    own = geometry()
    layout = FrameLayout((2, 20, 30), own)
    assert layout.names == ("a0", "a1", "b0", "b1")
    assert layout.rectangles.tolist() == [
        *([0, 20, 0, 15], [0, 20, 15, 30], [20, 40, 0, 15], [20, 40, 15, 30])
    ]
    x, y, _ = own.positions()
    radius = np.hypot(x, y).reshape(40, 30) * 5000
    np.testing.assert_allclose(layout.radius, radius, rtol=1e-5)
    rows, columns = np.array([3.0, 19, 20, 33]), np.array([2.0, 29, 0, 16])
    placed = layout.place(np.array([0, 1, 2, 3], np.int32), rows, columns, 8000.0, 0.2)
    np.testing.assert_allclose(
        np.column_stack([placed.y, placed.x]), own.picture_points(columns, rows), atol=0.51
    )
    at = (rows.astype(int), columns.astype(int))
    np.testing.assert_allclose(placed.radius, radius[at])
    resolution = own.resolution_map(8000.0, 0.2).reshape(40, 30)
    np.testing.assert_allclose(placed.resolution, resolution[at])


def test_first_corners_as_crystfel_measures_them():
    radius = FrameLayout((2, 20, 30), geometry(), corners=True).radius
    assert radius[0, 0] == pytest.approx(np.hypot(-40, 5))
    assert radius[20, 0] == pytest.approx(np.hypot(40, -9))
    assert radius[21, 1] == pytest.approx(np.hypot(39, -10))


def test_bins_leave_out_bad_far_and_missing_pixels():
    layout = FrameLayout((2, 20, 30), geometry())
    bad = np.zeros((40, 30), bool)
    bad[0, 0] = True
    bins, n = layout.bins(bad, 10.0, 35.0)
    unused = bad | (layout.radius < 10) | (layout.radius > 35)
    np.testing.assert_array_equal(bins == n - 1, unused)
    np.testing.assert_array_equal(bins[~unused], np.rint(layout.radius[~unused]))
    squares, n = FrameLayout((100, 130)).bins(None, 0.0, np.inf)
    assert n == 2 * 3 + 1
    assert squares[0, 0] == 0
    assert squares[99, 129] == 5
