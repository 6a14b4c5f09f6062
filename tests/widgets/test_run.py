"""Browsing a run: steps, jumps, names, contrast, another geometry, what is refused."""

from __future__ import annotations

import copy
import gc
import shutil
import weakref

import h5py
import numpy as np
import pytest

from napari_window import text_on
from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_classes import ClassSet
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.readers import hdf5, open_stack
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.layers import Opened, run_layers, shown_colormap
from napari_xfelsort.widgets.overlay import COLOURS, grid_of, text_overlay
from napari_xfelsort.widgets.runs import runs_of


def test_steps_and_jumps_stay_in_the_run(run):
    assert run.current == 0
    run.step(-1)
    assert run.current == 0
    run.step(1)
    run.step(1)
    assert run.current == 2
    run.go_to(10**9)
    assert run.current == len(run) - 1
    run.step(1)
    assert run.current == len(run) - 1


def test_random_never_stays_and_reaches_every_event(own_run):
    seen = {own_run.current}
    for _ in range(200):  # of 8 events; that one is left out has a probability of 1e-12
        before = own_run.current
        own_run.go_to_random()
        assert own_run.current != before
        seen.add(own_run.current)
    assert seen == set(range(len(own_run)))


def test_the_picture_is_that_of_the_event(run, simulated):
    stack = open_stack(str(simulated.data), geometry=simulated.geometry)
    for i in (5, 0, 39, 5):
        run.go_to(i)
        shown = np.asarray(run.layer.data[i])
        wanted = stack.geometry.assemble(stack.raw(i).astype(np.float32))
        assert np.array_equal(shown, wanted, equal_nan=True)
        assert np.isnan(shown).any()


def test_events_are_found_by_number_and_by_name(run, simulated):
    assert run.find("7") == 7
    assert run.find(" 39 ") == 39
    assert run.find("40") is None
    assert run.find("-1") is None
    assert run.find(f"{simulated.data} //12") == 12
    assert run.find("//12") == 12
    assert run.find("//400") is None
    assert run.find("//x") is None
    assert run.find("nonsense") is None


def test_peaks_follow_the_event(run, simulated):
    points = run.companions.layer(drawn.PEAKS)
    with h5py.File(simulated.data) as file:
        counts = file["entry_1/result_1/nPeaks"][()]
    for i in (0, 3, 20, 39):
        run.go_to(i)
        assert len(points.data) == counts[i]


def test_layers_that_come_late_show_the_event_that_is_shown(run, viewer):
    """Whatever inserts a run's layers may do so while the slider is elsewhere."""
    from napari.layers import Layer

    old = run.companions.layer(drawn.PEAKS)
    data = copy.deepcopy(old.as_layer_data_tuple())
    viewer.layers.remove(old)
    run.go_to(20)
    viewer.add_layer(Layer.create(*data))
    wanted = drawn.peak_points(run.stack, 20)
    assert np.array_equal(run.companions.layer(drawn.PEAKS).data, wanted)
    assert not np.array_equal(wanted, data[0])


def test_caption_names_event_and_label(run, viewer, tmp_path, simulated):
    run.go_to(4)
    assert "event 4 of 40" in text_on(viewer)
    assert f"{simulated.data.name} //4" in text_on(viewer)
    assert "good" not in text_on(viewer)
    run.use_labels(LabelStore(tmp_path / "labels", "me"))
    run.set_label(4, "good")
    assert text_on(viewer).endswith("\ngood")
    assert text_overlay(viewer).color == pytest.approx(rgba(ClassSet()["good"].colour))
    run.step(1)
    assert "good" not in text_on(viewer)
    run.step(-1)
    assert text_on(viewer).endswith("\ngood")
    run.set_label(4, None)
    assert "good" not in text_on(viewer)


def rgba(colour):
    return [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)] + [1.0]


def test_the_caption_is_written_on_dark_in_any_theme(run, viewer):
    overlay = text_overlay(viewer)
    if not hasattr(overlay, "box_color"):
        pytest.skip("this napari draws no box behind text")
    *colour, opacity = overlay.box_color
    assert max(colour) == 0
    assert opacity > 0.5


def test_no_label_without_a_folder(run):
    with pytest.raises(LabelError, match="folder"):
        run.set_label(0, "good")


def test_suggested_folder_lies_beside_the_data_or_in_the_home(run, simulated, monkeypatch):
    assert run.suggested_labels() == str(simulated.data.parent / "labels")
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert run.suggested_labels() == "/home/somebody/xfelsort/run0001-labels"


def test_contrast_is_by_percentiles_of_good_pixels(run, simulated):
    run.go_to(3)
    run.set_contrast(10, 90)
    stack = open_stack(str(simulated.data), geometry=simulated.geometry)
    picture = stack.geometry.assemble(stack.raw(3).astype(float))
    bad = stack.geometry.assemble(stack.mask.bad.astype("u1")) != 0
    good = picture[np.isfinite(picture) & ~bad]
    assert run.layer.contrast_limits == pytest.approx(np.percentile(good, (10, 90)))
    low, high = run.layer.contrast_limits_range
    assert low < run.layer.contrast_limits[0] < run.layer.contrast_limits[1] < high


def test_contrast_can_follow_every_event(run):
    run.percentiles = (5, 95)
    run.step(1)
    first = list(run.layer.contrast_limits)
    run.step(1)
    assert list(run.layer.contrast_limits) != first
    run.percentiles = None
    second = list(run.layer.contrast_limits)
    run.step(1)
    assert list(run.layer.contrast_limits) == second


def test_log_shows_logarithms_and_back(run):
    run.go_to(2)
    linear = np.asarray(run.layer.data[2])
    limits = list(run.layer.contrast_limits)
    run.set_scale("log")
    shown = np.asarray(run.layer.data[2])
    gap = np.isnan(linear)
    assert np.array_equal(np.isnan(shown), gap)
    v = linear[~gap].astype(float)
    assert shown[~gap] == pytest.approx(np.sign(v) * np.log10(1 + np.abs(v)), rel=1e-5)
    assert run.layer.contrast_limits == pytest.approx(np.log10(1 + np.array(limits)), rel=1e-5)
    y, x = np.argwhere(~gap)[1000]
    assert run.readout((2, y, x)).value == linear[y, x]
    run.set_scale("linear")
    assert run.layer.contrast_limits == pytest.approx(limits, rel=1e-4)
    assert np.array_equal(np.asarray(run.layer.data[2]), linear, equal_nan=True)


def test_another_colormap_keeps_gaps_apart_from_zero(run):
    run.layer.colormap = "viridis"
    assert run.layer.colormap.name == "viridis + gaps"
    assert np.allclose(run.layer.colormap.map(0.0), shown_colormap("viridis").map(0.0))
    run.layer.colormap = "gray"
    run.layer.colormap = "viridis"
    assert run.layer.colormap.name == "viridis + gaps"
    assert np.allclose(run.layer.colormap.nan_color, drawn.NAN_COLOUR)


def test_readout_is_that_of_the_raw_pixel(run, simulated):
    run.go_to(6)
    stack = open_stack(str(simulated.data), geometry=simulated.geometry)
    y, x = 100, 150
    found = run.readout((6, y, x))
    index = stack.geometry.raw_index_at(y, x)
    assert found.pixel == index
    assert found.value == stack.raw(6)[index]
    assert found.panel == stack.geometry.panel_at(y, x)
    assert found.resolution == pytest.approx(2 * np.pi / found.q)
    assert run.readout((6, -50, 3)).pixel is None
    assert run.readout((6,)) is None


def test_a_geometry_is_applied_and_taken_away(open_run, viewer, simulated):
    run = open_run(simulated.data)
    run.go_to(9)
    roi = viewer.add_shapes(name="mine")
    assert run.layer.data.shape[1:] == (704, 96)
    key = run.key
    stack = open_stack(str(simulated.data), geometry=simulated.geometry)
    run.replace(run_layers(stack, Opened((str(simulated.data),), str(simulated.geometry))))
    assert run.current == 9
    assert run.layer.data.shape[1:] == stack.geometry.shape
    assert {drawn.role_of(la) for la in viewer.layers} >= {
        drawn.EVENTS,
        drawn.MASK,
        drawn.RINGS,
        drawn.PANELS,
    }
    assert {drawn.run_of(la) for la in viewer.layers} == {key, ""}
    assert roi in viewer.layers
    assert viewer.layers.index(run.layer) < viewer.layers.index(run.companions.layer(drawn.MASK))
    assert run.layer.metadata["napari_xfelsort"]["stack"] is stack
    run.replace(run_layers(open_stack(str(simulated.data)), Opened((str(simulated.data),))))
    assert run.current == 9
    assert run.companions.layer(drawn.RINGS) is None
    assert runs_of(viewer).runs == [run]


def test_what_the_files_say_cannot_be_painted_or_moved_and_lost(run):
    layers = run.companions.layers()
    assert len(layers) == 5
    assert not any(layer.editable for layer in layers)
    run.go_to(5)
    assert not any(layer.editable for layer in run.companions.layers())


def test_the_whole_run_is_never_loaded(run, viewer, qtbot):
    """Asked to show the events as an axis, the run stays on its slider and event."""
    from napari_xfelsort.core.browsed_array import BrowsedArray

    n = BrowsedArray.max_events
    BrowsedArray.max_events = 10
    try:
        run.go_to(7)
        for ask in (
            lambda: setattr(viewer.dims, "ndisplay", 3),
            lambda: setattr(viewer.dims, "order", (1, 0, 2)),
        ):
            with pytest.raises(MemoryError, match="40 events"):
                ask()
            qtbot.waitUntil(lambda: viewer.dims.ndisplay == 2)
            qtbot.waitUntil(lambda: viewer.dims.order == (0, 1, 2))
            qtbot.waitUntil(lambda: run.current == 7)
    finally:
        BrowsedArray.max_events = n


def test_a_file_that_changed_is_read_anew_and_told_once(open_run, simulated, tmp_path, viewer):
    data = tmp_path / "run.cxi"
    shutil.copy(simulated.data, data)
    run = open_run(data)
    told = []
    runs_of(viewer).warned.connect(told.append)
    run.go_to(3)
    assert not told
    before = np.asarray(run.layer.data[4])
    with h5py.File(data, "r+", locking=False) as file:
        file["entry_1/data_1/data"][4] = 777
    run.go_to(4)
    assert (np.asarray(run.layer.data[4]) == 777).all()
    assert not (before == 777).all()
    run.go_to(5)
    assert len(told) == 1
    assert "changed on disk" in told[0]
    assert "Reload" in told[0]


def test_an_event_that_cannot_be_read_is_never_shown_as_another(
    open_run, simulated, tmp_path, viewer
):
    data = tmp_path / "run.cxi"
    shutil.copy(simulated.data, data)
    run = open_run(data)
    run.go_to(1)
    hdf5.POOL.close([str(data)])
    data.rename(tmp_path / "away.cxi")
    run.go_to(30)
    assert np.isnan(np.asarray(run.layer.data[30])).all()
    assert "does not exist" in text_on(viewer)
    assert text_overlay(viewer).color == pytest.approx(rgba(COLOURS["failed"]), abs=0.01)
    (tmp_path / "away.cxi").rename(data)
    run.go_to(2)
    run.go_to(30)
    assert np.isfinite(np.asarray(run.layer.data[30])).any()
    assert "does not exist" not in text_on(viewer)


def test_two_runs_share_the_slider_and_keep_apart(open_run, simulated, simulated_second, viewer):
    first = open_run(simulated.data, simulated.geometry)
    second = open_run(simulated_second.data, simulated_second.geometry)
    runs = runs_of(viewer)
    assert runs.active is second
    runs.activate(first)
    assert runs.active is first
    first.go_to(35)
    assert second.current is None
    assert "event 35 of 40" in text_on(viewer)
    runs.activate(second)
    assert text_on(viewer) == ""
    second.step(1)
    assert second.current == len(second) - 1
    viewer.layers.remove(second.layer)
    assert runs.runs == [first]
    assert runs.active is first


def test_a_removed_run_leaves_no_file_thread_or_callback(open_run, simulated, viewer):
    before = callbacks(viewer)
    run = open_run(simulated.data, simulated.geometry)
    run.go_to(3)
    held = weakref.ref(run)
    path = str(simulated.data)
    assert path in hdf5.POOL.open_paths()
    viewer.layers.clear()
    assert path not in hdf5.POOL.open_paths()
    assert not run.frames.store.fetching
    del run
    gc.collect()
    assert held() is None
    assert callbacks(viewer) == before


def callbacks(viewer):
    emitters = (
        viewer.dims.events.point,
        viewer.layers.events.inserted,
        viewer.layers.events.removed,
        viewer.layers.selection.events.active,
        viewer.cursor.events.position,
    )
    runs_of(viewer)
    return [len(emitter.callbacks) for emitter in emitters], len(viewer.keymap)


def test_a_copied_layer_is_a_run_of_its_own(run, viewer):
    from napari.layers import Layer

    twin = Layer.create(*copy.deepcopy(run.layer.as_layer_data_tuple()))
    viewer.add_layer(twin)
    runs = runs_of(viewer)
    assert len({one.key for one in runs.runs}) == 2
    assert runs.runs[0].frames.store is not runs.runs[1].frames.store
    viewer.layers.remove(run.layer)
    assert len(runs.runs) == 1
    runs.runs[0].go_to(4)
    assert np.isfinite(np.asarray(twin.data[4])).any()


def test_the_active_run_is_the_one_that_is_seen(open_run, simulated, simulated_second, viewer):
    first = open_run(simulated.data, simulated.geometry)
    panels = first.companions.layer(drawn.PANELS)
    second = open_run(simulated_second.data, simulated_second.geometry)
    assert not any(la.visible for la in (first.layer, *first.companions.layers()))
    assert second.layer.visible
    runs_of(viewer).activate(first)
    assert first.layer.visible
    assert first.companions.layer(drawn.RINGS).visible
    assert not panels.visible  # nor was it before
    assert not second.layer.visible
    viewer.layers.remove(first.layer)
    assert second.layer.visible


def test_runs_side_by_side_are_all_seen(open_run, simulated, simulated_second, viewer):
    grid_of(viewer).enabled = True
    first = open_run(simulated.data)
    second = open_run(simulated_second.data)
    assert first.layer.visible
    assert second.layer.visible


def test_labels_of_a_copy_elsewhere_are_seen_on_the_canvas(run, viewer, tmp_path):
    from napari_xfelsort.core.events import EventId

    store = LabelStore(tmp_path / "labels", "me")
    store.set(EventId("run0001.cxi", "//2"), "bad")
    run.use_labels(store)
    run.go_to(2)
    assert text_on(viewer).endswith("\nbad")


def test_rings_follow_an_event_at_another_distance(open_run, own, qtbot):
    with h5py.File(own.data, "r+") as file:  # the detector moves away after event 3
        encoder = file["LCLS/detector_1/EncoderValue"]
        near = float(encoder[0])
    stack = open_stack(str(own.data), geometry=own.geometry)
    far = near + 1e3 * stack.camera_length(0)  # mm: twice the distance
    with h5py.File(own.data, "r+") as file:
        file["LCLS/detector_1/EncoderValue"][4:] = far
    run = open_run(own.data, own.geometry)
    rings, centre = (run.companions.layer(role) for role in (drawn.RINGS, drawn.CENTRE))

    def names() -> list[str]:
        return list(centre.features["label"])[1:]

    before = names()
    for i in (4, 0, 5):
        run.go_to(i)
        wanted = drawn.ring_marks(run.stack, i)
        qtbot.waitUntil(lambda wanted=wanted: names() == wanted.labels[1:])
        assert len(rings.data) == len(wanted.ellipses) >= 3
        assert np.allclose(centre.data, wanted.points)
        # The name of a ring begins at its mark, which must not cover it.
        assert np.allclose(centre.size, wanted.sizes)
        assert centre.size[1:].max() <= rings.edge_width[0]
        assert [str(symbol) for symbol in centre.symbol] == wanted.symbols
    assert names() != before
