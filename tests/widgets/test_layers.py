"""What a run looks like as layers, against the files it was made from."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from mock_layouts import LAYOUTS
from napari_window import text_on
from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask, Reason
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.layers import KEY, Opened, run_layers
from napari_xfelsort.widgets.runs import runs_of


@pytest.fixture
def layers(simulated):
    stack = open_stack(str(simulated.data), geometry=simulated.geometry)
    made = run_layers(stack, Opened((str(simulated.data),), str(simulated.geometry)))
    yield {
        keywords["metadata"][KEY]["role"]: (data, keywords, kind) for data, keywords, kind in made
    }
    made[0][1]["metadata"][KEY]["frames"].store.close()


def test_events_are_an_image_that_carries_the_stack(layers, simulated):
    data, keywords, kind = layers[drawn.EVENTS]
    assert kind == "image"
    assert keywords["axis_labels"] == ("event", "y", "x")
    said = keywords["metadata"]["napari_xfelsort"]
    assert len(said["stack"]) == data.shape[0] == len(simulated.good)
    assert data.chunks[0] == (1,) * len(simulated.good)
    low, high = keywords["contrast_limits"]
    raw = said["stack"].raw(0)
    assert raw.min() < low < np.median(raw) < high < raw.max()


def test_layers_of_a_run_share_a_key_and_no_two_runs_do(layers, simulated):
    keys = {keywords["metadata"][KEY]["run"] for _, keywords, _ in layers.values()}
    assert len(keys) == 1
    again = run_layers(open_stack(str(simulated.data)), Opened((str(simulated.data),)))
    assert again[0][1]["metadata"][KEY]["run"] not in keys
    again[0][1]["metadata"][KEY]["frames"].store.close()


def test_mask_shows_the_bad_pixels_of_the_file_where_they_are(layers, simulated):
    reasons, _, kind = layers[drawn.MASK]
    assert kind == "labels"
    with h5py.File(simulated.data) as file:
        stored = np.asarray(file["entry_1/data_1/mask"][()])
    geometry = Geometry.from_crystfel(simulated.geometry)
    assert np.count_nonzero(stored) > 0
    assert np.array_equal(reasons != 0, geometry.assemble((stored != 0).astype("u1")) != 0)
    assert set(np.unique(reasons)) <= {0, Reason.FILE}


def test_each_reason_has_a_colour_and_good_pixels_none(simulated):
    stack = open_stack(str(simulated.data))
    reasons = np.zeros(stack.raw_shape, np.uint8)
    reasons[0, :16] = np.arange(16)
    _, keywords, _ = drawn.mask_layer(stack, PixelMask(reasons))
    colours = keywords["colormap"].map(np.arange(16, dtype=np.uint8))
    assert colours[0][3] == 0
    assert (colours[1:, 3] == 1).all()
    by_reason = {reason: tuple(colours[reason]) for reason, _, _ in drawn.MASK_COLOURS}
    assert len(set(by_reason.values())) == 4
    assert tuple(colours[Reason.USER | Reason.FILE]) == by_reason[Reason.USER]


def test_peaks_lie_on_the_pixels_they_were_found_at(layers, simulated):
    points, _, kind = layers[drawn.PEAKS]
    assert kind == "points"
    with h5py.File(simulated.data) as file:
        n = int(file["entry_1/result_1/nPeaks"][0])
        fs = file["entry_1/result_1/peakXPosRaw"][0, :n]
        ss = file["entry_1/result_1/peakYPosRaw"][0, :n]
    assert len(points) == n > 0
    geometry = Geometry.from_crystfel(simulated.geometry)
    marked = np.zeros(geometry.raw_shape, np.float32)
    marked[np.floor(ss + 0.5).astype(int), np.floor(fs + 0.5).astype(int)] = 1
    rows, columns = np.nonzero(np.nan_to_num(geometry.assemble(marked)))
    assert set(map(tuple, points.astype(int))) <= set(zip(rows, columns, strict=True))


def test_outlines_carry_the_panels_names(layers, simulated):
    data, keywords, kind = layers[drawn.PANELS]
    geometry = Geometry.from_crystfel(simulated.geometry)
    assert kind == "shapes"
    assert list(keywords["features"]["panel"]) == list(geometry.panels)
    assert keywords["visible"] is False
    for name, corners in zip(geometry.panels, data, strict=True):
        y, x = np.mean(corners, axis=0)
        assert geometry.panel_at(y, x) == name


def test_rings_are_round_the_beam_at_the_resolution_they_name(layers, simulated):
    ellipses, _, _ = layers[drawn.RINGS]
    points, keywords, _ = layers[drawn.CENTRE]
    stack = open_stack(str(simulated.data), geometry=simulated.geometry)
    geometry = stack.geometry
    assert tuple(points[0]) == geometry.beam_position
    labels = list(keywords["features"]["label"])[1:]
    assert len(labels) == len(ellipses) >= 3
    for label, corners in zip(labels, ellipses, strict=True):
        radius = (np.max(corners[:, 0]) - np.min(corners[:, 0])) / 2
        # Ask the geometry along several ways out, where a panel is.
        found = []
        for angle in np.linspace(0, 2 * np.pi, 60):
            y = geometry.beam_position[0] + radius * np.sin(angle)
            x = geometry.beam_position[1] + radius * np.cos(angle)
            d = geometry.resolution_at(y, x, stack.photon_energy(0), stack.camera_length(0))
            if np.isfinite(d):
                found.append(d)
        assert np.median(found) == pytest.approx(float(label.split()[0]), rel=0.02)


@pytest.mark.parametrize("geometry", [None, "no_energy", "no_clen"])
def test_no_rings_unless_geometry_energy_and_distance_are_known(tmp_path, geometry):
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file["entry/data/data"] = np.ones((3, 8, 10), np.float32)
    lines = {
        "no_energy": "clen = 0.1",
        "no_clen": "photon_energy = 9000",
        None: "",
    }[geometry]
    path = None
    if geometry is not None:
        path = tmp_path / "a.geom"
        path.write_text(
            f"{lines}\nres = 10000\ndata = /entry/data/data\ndim0 = %\ndim1 = ss\ndim2 = fs\n"
            "p/min_fs = 0\np/max_fs = 9\np/min_ss = 0\np/max_ss = 7\n"
            "p/corner_x = -5\np/corner_y = -4\np/fs = x\np/ss = y\n"
        )
    stack = open_stack(str(tmp_path / "bare.h5"), geometry=path)
    assert (stack.geometry is None) == (geometry is None)
    assert drawn.ring_layers(stack, 0) == []


def test_gaps_have_a_colour_unlike_zero():
    colormap = drawn.shown_colormap("gray")
    assert np.allclose(colormap.nan_color, drawn.NAN_COLOUR)
    assert not np.allclose(colormap.map(np.zeros(1)), colormap.map(np.full(1, np.nan)))


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_shown_or_refused_with_a_sentence(name, tmp_path, viewer):
    mock = LAYOUTS[name](tmp_path)
    if mock.error:
        with pytest.raises(XfelsortError):
            open_stack(mock.paths, **mock.options)
        return
    try:
        stack = open_stack(mock.paths, **mock.options)
    except XfelsortError:
        assert mock.may_decline
        return
    run = runs_of(viewer).add(run_layers(stack, Opened(tuple(map(str, mock.paths)))))
    for i in {0, len(run) - 1}:
        run.go_to(i)
        assert run.current == i
        shown = np.asarray(run.layer.data[i])
        if i in run.frames.store.failures:
            assert np.isnan(shown).all()
            assert run.frames.store.failures[i] in text_on(viewer)
            continue
        wanted = stack.assembled(i)
        measured = np.isfinite(shown)
        assert np.allclose(
            shown[measured],
            np.abs(wanted)[measured]
            if wanted.dtype.kind == "c"
            else wanted[measured].astype(np.float32),
            equal_nan=True,
        )
