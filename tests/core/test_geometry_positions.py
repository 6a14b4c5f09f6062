"""Positions, momentum transfer, resolution, points, and the masks that a geometry names."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometries import HEAD, panel, slab, text

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import Reason

#: Energy of photons of 1 angstrom.
ANGSTROM_EV = 12398.4198


def read(content: str) -> Geometry:
    return Geometry.from_crystfel_text(content, "test.geom")


# --- against the shared samples ---------------------------------------------------------


@pytest.fixture(scope="module")
def samples(shared_data: Path) -> dict[str, tuple[dict[str, Any], Geometry]]:
    found = {}
    for file in sorted((shared_data / "layouts").glob("*/expected.json")):
        said = json.loads(file.read_text())
        if said.get("geometry") and "positions" in said:
            geometry = Geometry.from_crystfel(file.parent / said["geometry"])
            found[said["id"]] = said, geometry.fit(tuple(said["expect"]["raw_frame_shape"]))
    return found


def test_positions_are_those_of_the_samples(samples):
    assert len(samples) >= 10
    for said, geometry in samples.values():
        x, y, _ = geometry.positions()
        res = next(iter(geometry.panels.values())).res
        for point in said["positions"]:
            index = tuple(point["index"])
            assert x[index] * res == pytest.approx(point["x_px"], abs=1e-3)
            assert y[index] * res == pytest.approx(point["y_px"], abs=1e-3)


def test_outlines_reach_as_far_as_the_samples_say(samples):
    compared = 0
    for said, geometry in samples.values():
        if "extent_px" not in said:
            continue
        compared += 1
        corners = np.concatenate(list(geometry.outlines().values()))
        beam_y, beam_x = geometry.beam_position
        x, y = corners[:, 1] - beam_x, beam_y - corners[:, 0]
        extent = [x.min(), x.max(), y.min(), y.max()]
        assert extent == pytest.approx(said["extent_px"], abs=1e-3)
    assert compared >= 4


def test_bad_pixels_are_as_many_as_crystfel_finds(samples):
    """The sample with modules has edges, bad regions of both kinds and flags; no mask."""
    said, geometry = samples["f6_slab_4d_modules"]
    for event in (0, 2):
        module, ss, fs = np.indices((4, 40, 50))
        frame = 1000 * event + (7 * ss + 3 * fs + 11 * module) % 251
        bad = geometry.static_mask().bad | geometry.value_mask(frame)
        assert bad.sum() == said["crystfel_says"]["frames"][f"//{event}"]["nbad"]


# --- by hand ----------------------------------------------------------------------------


def test_positions_of_a_tilted_panel():
    keys = panel(4, 3, (10, -20), coffset=0.002) | {"fs": "+0.8x +0.6z", "ss": "+1y"}
    x, y, z = read(text({"p0": keys})).positions()
    assert x[1, 2] == pytest.approx((10 + 0.8 * 2.5) * 1e-4)
    assert y[1, 2] == pytest.approx((-20 + 1.5) * 1e-4)
    assert z[1, 2] == pytest.approx(0.1 + 0.002 + 0.6 * 2.5 * 1e-4)


def test_without_a_camera_length_z_counts_from_coffset():
    head = {k: v for k, v in HEAD.items() if k != "clen"}
    geometry = read(text({"p0": panel(4, 3, coffset=0.002)}, head))
    assert geometry.positions()[2] == pytest.approx(0.002)
    assert math.isnan(geometry.camera_length())
    assert geometry.camera_length(0.5) == pytest.approx(0.502)
    assert math.isnan(geometry.camera_length(math.nan))


def test_the_camera_length_is_that_of_the_panel_nearest_the_beam():
    panels = {
        "far": panel(10, 10, (20, 20), coffset=0.5),
        "near": panel(10, 10, (-14, 3), first=(0, 10), coffset=0.25),
        "large": panel(100, 10, (5, 5), first=(0, 20), coffset=0.75),
    }
    assert read(text(panels)).camera_length(1.0) == pytest.approx(1.25)


def test_momentum_transfer_at_forty_five_degrees():
    """d = wavelength / (2 sin theta) at 2 theta = 45 degrees is 1.30656 angstrom."""
    geometry = Geometry.single_panel((3, 2001), 1e-4, (1, 1000), 0.1, ANGSTROM_EV)
    for x in (0, 2000):
        assert geometry.resolution_at(1, x) == pytest.approx(1.306563, rel=1e-6)
        assert geometry.q_at(1, x) == pytest.approx(4.808943, rel=1e-6)
    assert geometry.q_at(1, 1000) == pytest.approx(0, abs=1e-12)
    assert geometry.resolution_at(1, 1000) > 1e12
    assert geometry.resolution_at(1, 0, photon_energy=ANGSTROM_EV / 2) == pytest.approx(2.613126)
    # Twice as far away: tan 2 theta = 1/2.
    assert geometry.resolution_at(1, 0, camera_length=0.2) == pytest.approx(2.176251, rel=1e-6)
    assert geometry.q_map()[1, 0] == geometry.q_at(1, 0)


def test_momentum_transfer_is_that_of_the_true_position():
    geometry = read(slab([0.4, 33.0], 40, 30, 2))
    q = geometry.q_map()
    rows, columns = geometry.shape
    seen = 0
    for y in range(0, rows, 5):
        for x in range(0, columns, 5):
            index = geometry.raw_index_at(y, x)
            if index is None:
                assert math.isnan(geometry.q_at(y, x))
                assert geometry.panel_at(y, x) is None
                continue
            seen += 1
            assert geometry.q_at(y + 0.4, x - 0.4) == pytest.approx(q[index], rel=1e-12)
            assert geometry.panel_at(y, x) == ("p0" if index[0] < 30 else "p1")
    assert seen > 50


def test_points_of_modules_with_fs_before_ss():
    keys = {"dim0": "fs", "dim1": "%", "dim2": "ss", "dim3": 1}
    geometry = read(text({"p0": panel(7, 5, (2, 3)) | keys}))
    q = geometry.q_map()
    for y in range(5):
        for x in range(7):
            index = geometry.raw_index_at(y, x)
            assert index == (x, 4 - y, 1)
            assert geometry.q_at(y, x) == pytest.approx(q[index], rel=1e-12)
    for y, x in ((-1, 0), (5, 0), (0, -1), (0, 7), (-0.6, 0), (0, 6.5)):
        assert geometry.raw_index_at(y, x) is None


def test_coffset_counts_once():
    """The length handed in is that to the panel at the beam; others lie behind it."""
    panels = {
        "a": panel(10, 10, (-5, -5), coffset=0.02),
        "b": panel(10, 10, (995, -5), first=(0, 10), coffset=0.03),
    }
    geometry = read(text(panels))
    length = geometry.camera_length(0.1)
    assert length == pytest.approx(0.12)
    y, x = geometry.beam_position[0], geometry.beam_position[1] + 999.5
    index = geometry.raw_index_at(y, x)
    place = [axis[index] for axis in geometry.positions()]
    assert place[2] == pytest.approx(0.13)
    theta = math.atan2(math.hypot(place[0], place[1]), 0.13) / 2
    wanted = 4 * math.pi * math.sin(theta) / (ANGSTROM_EV / 9300)
    assert geometry.q_at(y, x, camera_length=length) == pytest.approx(wanted, rel=1e-6)
    assert geometry.q_at(y, x) == pytest.approx(wanted, rel=1e-6)
    assert geometry.q_map(camera_length=length)[index] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    "values",
    [{"photon_energy": math.nan}, {"camera_length": math.nan}, {"photon_energy": 0.0}],
)
def test_unknown_energy_or_length_gives_no_resolution(values):
    geometry = read(text({"p0": panel(8, 6)}))
    assert math.isnan(geometry.q_at(2, 2, **values))
    assert math.isnan(geometry.resolution_at(2, 2, **values))
    assert np.isnan(geometry.q_map(**values)).all()
    assert np.isnan(geometry.resolution_map(**values)).all()


def test_values_in_the_data_file_are_unknown_to_the_geometry():
    head = HEAD | {"clen": "/LCLS/clen"}
    geometry = read(text({"p0": panel(8, 6)}, head))
    assert math.isnan(geometry.q_at(2, 2))
    length = geometry.camera_length(geometry.clen.convert(100.0))
    assert geometry.q_at(2, 2, camera_length=length) == pytest.approx(
        read(text({"p0": panel(8, 6)})).q_at(2, 2)
    )


@pytest.mark.parametrize(
    ("shape", "pixel", "centre"),
    [
        ((0, 5), 1e-4, None),
        ((5, 5), 0.0, None),
        ((5, 5), math.nan, None),
        ((10**5, 10**5), 1e-4, None),
        ((5, 5), 1e-4, (math.nan, 0.0)),
    ],
)
def test_impossible_single_panels_are_refused(shape, pixel, centre):
    with pytest.raises(GeometryError):
        Geometry.single_panel(shape, pixel, centre)


# --- masks ------------------------------------------------------------------------------


def bad_of(panels: dict[str, Any], *tail: str) -> np.ndarray:
    mask = read(text(panels, tail=tail)).static_mask()
    assert set(np.unique(mask.reasons)) <= {0, Reason.GEOMETRY}
    return mask.bad


def test_a_geometry_that_names_nothing_bad_has_no_mask():
    geometry = read(text({"p0": panel(8, 6)}))
    assert geometry.static_mask() is None
    assert geometry.value_mask(np.zeros((6, 8))) is None


def test_pixels_outside_all_panels_are_not_bad():
    panels = {"p0": panel(4, 3, mask_edge_pixels=1)}
    mask = read(text(panels)).fit((5, 5)).static_mask()
    assert mask.bad[3:].sum() == mask.bad[:, 4:].sum() == 0
    assert mask.n_bad == 10


def test_edges_and_unused_panels():
    panels = {
        "edge": panel(6, 5, mask_edge_pixels=2),
        "none": panel(6, 5, first=(0, 5), no_index=1),
        "thin": panel(6, 2, first=(0, 10), mask_edge_pixels=1),
        "good": panel(6, 2, first=(0, 12)),
    }
    bad = bad_of(panels)
    assert (~bad[:5]).nonzero() == (pytest.approx([2, 2]), pytest.approx([2, 3]))
    assert bad[5:12].all()
    assert not bad[12:].any()


def test_a_bad_region_of_the_data_is_inclusive_and_counts_as_the_data_do():
    panels = {"p0": panel(6, 5, first=(0, 0)), "p1": panel(6, 5, first=(10, 20))}
    limits = ("bad_a/min_fs = 12", "bad_a/max_fs = 99", "bad_a/min_ss = 0", "bad_a/max_ss = 21")
    bad = bad_of(panels, *limits, "bad_a/panel = p1")
    assert bad.shape == (25, 16)
    assert bad[20:22, 12:16].all()
    assert bad.sum() == 8


def test_a_bad_region_of_the_laboratory_is_exclusive_at_the_pixels_corner():
    panels = {"p0": panel(6, 5, (0, 0)), "p1": panel(6, 5, (0, 10), turn=90, first=(0, 5))}
    limits = ("bad_a/min_x = 1", "bad_a/max_x = 4", "bad_a/min_y = -5", "bad_a/max_y = 2")
    # Corners at x = 2, 3 (1 and 4 are on the limits) and y = 0, 1.
    bad = bad_of(panels, *limits)
    assert bad[0:2, 2:4].all()
    assert bad.sum() == 4
    # The turned panel's corners are at x = 0, -1, ... -4 and y = 10, 11, ... 15.
    limits = ("bad_a/min_x = -3", "bad_a/max_x = 9", "bad_a/min_y = 13", "bad_a/max_y = 99")
    bad = bad_of(panels, *limits)
    assert bad[5:8, 4:6].all()
    assert bad.sum() == 6


def test_flags_are_strict_and_compared_in_double_precision():
    panels = {
        "p0": panel(4, 1, flag_lessthan=-5, flag_morethan=2147483645),
        "p1": panel(4, 1, first=(0, 1), flag_equal=7),
        "p2": panel(4, 1, first=(0, 2), max_adu=3),
    }
    geometry = read(text(panels))
    raw = np.array([[-6, -5, 2147483645, 2147483647], [6, 7, 8, 7], [9, 9, 9, 9]])
    wanted = [[True, False, False, True], [False, True, False, True], [False] * 4]
    for dtype in (np.int32, np.int64, np.float64):
        assert geometry.value_mask(raw.astype(dtype)).tolist() == wanted
    assert not geometry.value_mask(np.full((3, 4), np.nan, np.float32)).any()
    unsigned = geometry.value_mask(np.full((3, 4), 2**32 - 1, np.uint32))
    assert unsigned.sum() == 4
    # 2147483645 is not a 32-bit float; the nearest one is 2147483648.
    assert geometry.value_mask(np.full((3, 4), 2147483648.0, np.float32)).sum() == 4
    with pytest.raises(GeometryError, match="panel p2"):
        geometry.value_mask(np.zeros((2, 4)))
