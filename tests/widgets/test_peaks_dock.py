"""The Peaks dock on events with planted peaks, some of them stored, and a hot spot that stays."""

from __future__ import annotations

import re
import threading
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.core.peaks import EventPeaks, PeakSettings, find_peaks
from napari_xfelsort.core.peaks.comparing import hit_course, pairs_within, powder_picture
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets import peaks_work
from napari_xfelsort.widgets.peaks_dock import PeaksDock
from napari_xfelsort.widgets.peaks_layers import FOUND, POWDER
from napari_xfelsort.widgets.setting_sliders import Scale

WAIT = 60_000
SHAPE, N = (160, 140), 12
#: Row and column of what stays in every event.
STAYS = (140, 125)
GEOMETRY = """photon_energy = 8000
adu_per_photon = 1
clen = 0.1
res = 10000
data = /entry_1/data_1/data
dim0 = %
dim1 = ss
dim2 = fs
p/min_fs = 0
p/max_fs = 139
p/min_ss = 0
p/max_ss = 159
p/corner_x = -70
p/corner_y = -80
p/fs = +1.0x +0.0y
p/ss = +0.0x +1.0y
"""


def spot(row, column, photons=200.0):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    picture = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 1.2**2))
    return photons * picture / picture.sum()


def places_in(event):
    """Planted peaks (row, column): three in even events, one in every fifth, else none."""
    if event % 2 == 0:
        return [(20 + 7 * event, 30), (60, 20 + 8 * event), (125 - 5 * event, 110)]
    return [(30 + 5 * event, 60)] if event % 5 == 0 else []


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """A CXI file; of the peaks of an even event two are stored, and one that is none."""
    folder = tmp_path_factory.mktemp("peaks")
    rng = np.random.default_rng(4)
    with h5py.File(folder / "run.cxi", "w") as file:
        frames = [
            rng.poisson(0.1 + spot(*STAYS) + sum(spot(*place) for place in places_in(i)))
            for i in range(N)
        ]
        file["entry_1/data_1/data"] = np.array(frames, np.int32)
        stored = np.zeros((N, 3, 2))
        stored[::2] = [[*places_in(i)[:2], (150, 10)] for i in range(0, N, 2)]
        result = file.create_group("entry_1/result_1")
        result["nPeaks"] = np.array([3 * (i % 2 == 0) for i in range(N)])
        result["peakYPosRaw"], result["peakXPosRaw"] = stored[..., 0], stored[..., 1]
        result["peakTotalIntensity"] = np.full((N, 3), 200.0)
    (folder / "run.geom").write_text(GEOMETRY)
    data, geometry = folder / "run.cxi", folder / "run.geom"
    headless = find_peaks(open_stack(str(data), geometry=str(geometry)))
    assert headless.counts.tolist() == [len(places_in(i)) for i in range(N)]
    assert headless.left_out == N
    return SimpleNamespace(data=data, geometry=geometry, headless=headless)


@pytest.fixture
def run(open_run, planted):
    return open_run(planted.data, planted.geometry)


@pytest.fixture
def dock(viewer, run, tmp_path, qtbot):
    def finish(dock):
        idle(dock, qtbot)
        dock.release()

    made = PeaksDock(viewer)
    qtbot.addWidget(made, before_close_func=finish)
    made.folder.set_paths(str(tmp_path / "labels"))
    made.resize(360, 1300)
    made.show()
    idle(made, qtbot)
    return made


def idle(dock, qtbot):
    qtbot.waitUntil(lambda: dock.job is None and not dock.live.busy, timeout=WAIT)


def press(dock, name, qtbot):
    widget = dock.findChild(QPushButton, name)
    assert widget.isEnabled(), name
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def done(dock, name, qtbot):
    press(dock, name, qtbot)
    idle(dock, qtbot)


def said(dock, name="message"):
    return dock.findChild(QLabel, name).text()


def numbers(text):
    return [int(n) for n in re.findall(r"\b\d+\b", text)]


def squares(run):
    """Columns and rows of the frame of the found peaks that are drawn, in order."""
    layer = run.companions.layer(FOUND)
    points = np.asarray(layer.data)[np.asarray(layer.shown)]
    beam = np.array(run.stack.geometry.beam_position)
    return points - beam


def planted_squares(places):
    """The same from the geometry: the beam is at fs 70, ss 80; x and y grow as it says."""
    return np.array([(place[0] - 79.5, place[1] - 69.5) for place in places])


def is_drawn(run, places):
    """Whether squares are around these places, up to the directions of the picture's axes."""
    seen, wanted = squares(run), planted_squares(places)
    return len(seen) == len(wanted) and any(
        len(pairs_within(seen * sign, wanted, 1.5)) == len(wanted)
        for sign in ([1, 1], [1, -1], [-1, 1], [-1, -1])
    )


def test_peaks_of_the_event_shown_beside_stored_ones(dock, run, qtbot):
    for event in (4, 5, 7, 6):
        run.go_to(event)
        idle(dock, qtbot)
        places = [*places_in(event), STAYS]  # nobody knows yet that it stays
        assert is_drawn(run, places)
        stored, same = (3, 2) if event % 2 == 0 else (0, 0)
        assert numbers(said(dock, "event_text")) == [event, len(places), stored, same]
    live = dock.findChild(QCheckBox, "live")
    qtbot.mouseClick(live, Qt.MouseButton.LeftButton)
    assert run.companions.layer(FOUND) is None
    run.go_to(2)
    idle(dock, qtbot)
    assert run.companions.layer(FOUND) is None
    qtbot.mouseClick(live, Qt.MouseButton.LeftButton)
    idle(dock, qtbot)
    assert is_drawn(run, [*places_in(2), STAYS])


def test_of_many_steps_the_last_is_found(dock, run, monkeypatch, qtbot):
    gate, looked = threading.Event(), []
    real = EventPeaks.of

    def of(self, positions):
        looked.extend(positions)
        assert gate.wait(WAIT / 1000)
        return real(self, positions)

    monkeypatch.setattr(EventPeaks, "of", of)
    run.go_to(1)
    qtbot.waitUntil(lambda: looked == [1], timeout=WAIT)
    for event in (2, 3, 4, 5, 8):
        run.go_to(event)
    gate.set()
    idle(dock, qtbot)
    assert looked == [1, 8]
    assert is_drawn(run, [*places_in(8), STAYS])


def test_a_run_is_searched(dock, run, planted, qtbot):
    run.go_to(4)
    done(dock, "find", qtbot)
    assert dock.results.isVisible()
    hits = [i for i in range(N) if len(places_in(i)) >= 2]
    peaks = sum(len(places_in(i)) for i in range(N))
    text = said(dock, "about_run")
    assert f"In {N} events: {len(hits)} hits (50.0 %) with at least 2 peaks; {peaks} p" in text
    assert f"{N} peaks left out" in text
    assert dock.plot.counts.tolist() == planted.headless.counts.tolist()
    assert is_drawn(run, places_in(4))  # without what stays
    # What is a hit can be changed afterwards.
    dock.findChild(QWidget, "min_peaks").setValue(1)
    idle(dock, qtbot)
    assert f"{len(hits) + 1} hits" in said(dock, "about_run")
    # A click goes to an event.
    click(dock.plot, 10.4)
    assert run.current == 10
    press(dock, "next_blank", qtbot)
    assert run.current == 11
    press(dock, "next_hit", qtbot)
    assert run.current == 0
    # The powder is of all peaks, and goes as it came.
    powder = dock.findChild(QCheckBox, "powder")
    powder.click()
    layer = run.companions.layer(POWDER)
    assert layer.data.shape == run.stack.assembled_shape
    assert powder_picture(planted.headless).sum() == peaks
    assert layer.data.sum() >= peaks
    powder.click()
    assert run.companions.layer(POWDER) is None
    dock.findChild(QLineEdit, "significance").setText("12")
    idle(dock, qtbot)
    assert "Other settings" in said(dock, "about_run")


def click(plot, x):
    """The mouse is pressed in the lower half, at this place of its axis."""
    from matplotlib.backend_bases import MouseEvent

    canvas, axes = plot.figure.canvas, plot.figure.axes[1]
    canvas.draw()
    across, up = axes.transData.transform((x, 1))
    press = MouseEvent("button_press_event", canvas, across, up, 1)
    canvas.callbacks.process("button_press_event", press)


def test_what_was_found_until_it_is_stopped_is_kept(dock, monkeypatch, planted, qtbot):
    real = peaks_work.find_peaks

    def stopped(stack, settings, *, processes, progress, partial):
        def tick(n, of):
            if n == 7:
                dock.job.stop()
            progress(n, of)

        return real(stack, settings, progress=tick, partial=partial)

    monkeypatch.setattr(peaks_work, "find_peaks", stopped)
    done(dock, "find", qtbot)
    assert "kept" in said(dock)
    assert f"first 7 of {N} events: 4 hits" in said(dock, "about_run")
    known = dock.plot.counts
    assert known[:7].tolist() == planted.headless.counts[:7].tolist()
    assert np.isnan(known[7:]).all()


def test_hits_are_labelled_and_labels_withdrawn(dock, run, tmp_path, qtbot):
    folder = tmp_path / "labels"
    LabelStore(folder, create=True).set(run.stack.event_id(2), "mine")
    done(dock, "find", qtbot)
    done(dock, "apply", qtbot)
    now = LabelStore(folder)
    wanted = ["hit" if len(places_in(i)) >= 2 else "blank" for i in range(N)]
    wanted[2] = "mine"
    assert now.aligned(run.stack) == wanted
    assert now.entry(run.stack.event_id(0)).origin == "rule:found_peaks"
    assert [run.label_of(i) for i in range(N)] == wanted
    assert "left so: 1 event" in said(dock, "outcome")
    done(dock, "withdraw", qtbot)
    assert LabelStore(folder).aligned(run.stack) == [None, None, "mine", *[None] * (N - 3)]
    run.undo()
    assert LabelStore(folder).aligned(run.stack) == wanted


def test_lists_tables_and_cxi_are_written(dock, run, planted, tmp_path, monkeypatch, qtbot):
    done(dock, "find", qtbot)
    kind, file = dock.findChild(QComboBox, "write_kind"), dock.findChild(QLineEdit, "write_file")

    def write(name, path):
        kind.setCurrentIndex(kind.findData(name))
        file.setText(str(path))
        done(dock, "write", qtbot)
        return said(dock, "written")

    press(dock, "write", qtbot)
    assert "Choose a file" in said(dock, "written")
    found = planted.headless
    found.write_events(tmp_path / "want-events.csv")
    found.write_peaks(tmp_path / "want-peaks.csv")
    for name in ("events", "peaks"):
        assert str(tmp_path / f"{name}.csv") in write(name, tmp_path / name)
        made = (tmp_path / f"{name}.csv").read_bytes()
        assert made == (tmp_path / f"want-{name}.csv").read_bytes()
    write("hits", tmp_path / "hits.lst")
    ids = [run.stack.event_id(i) for i in range(0, N, 2)]
    assert [each.event for each in read_list(tmp_path / "hits.lst")] == ids
    write("cxi_hits", tmp_path / "hits.cxi")
    again = open_stack(str(tmp_path / "hits.cxi"))
    assert len(again) == len(ids)
    assert [len(again.peaks(i).fs) for i in range(len(again))] == [3] * len(ids)
    # Nothing is replaced without asking, and the events themselves never are.
    answers = [QMessageBox.StandardButton.No, *[QMessageBox.StandardButton.Yes] * 2]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    (tmp_path / "events.csv").write_text("mine")
    write("events", tmp_path / "events.csv")
    assert (tmp_path / "events.csv").read_text() == "mine"
    assert "is in" in write("events", tmp_path / "events.csv")
    assert (tmp_path / "events.csv").read_bytes() == (tmp_path / "want-events.csv").read_bytes()
    before = planted.data.read_bytes()
    assert "holds the events themselves" in write("cxi", planted.data)
    assert planted.data.read_bytes() == before
    assert not answers


def test_the_inputs_are_those_of_the_finder(dock, run, planted, qtbot):
    def shown(*names):
        return [not dock.form.form.inputs[name].isHidden() for name in names]

    both = "significance", "repeats", "threshold", "local_bg_radius"
    assert shown(*both) == [True, True, False, False]
    finder = dock.findChild(QComboBox, "finder")
    finder.setCurrentIndex(finder.findText("peakfinder8"))
    assert shown(*both) == [False, False, True, True]
    threshold = dock.findChild(QLineEdit, "threshold")
    threshold.setText("much")
    done(dock, "find", qtbot)
    assert "Correct the settings" in said(dock)
    assert run.companions.layer(FOUND) is None
    threshold.setText("5")
    done(dock, "find", qtbot)
    settings = PeakSettings(finder="peakfinder8", threshold=5)
    wanted = find_peaks(planted.headless.stack, settings)
    assert wanted.hits.any()
    assert dock.plot.counts.tolist() == wanted.counts.tolist()


def test_sliders_follow_what_is_typed_and_peaks_follow_sliders(dock, run, planted, qtbot):
    run.go_to(4)
    idle(dock, qtbot)
    sliders, inputs = dock.form.sliders, dock.form.form.inputs
    assert set(sliders) == set(inputs) - {"finder", "model"}
    assert len(squares(run)) == 4  # three, and what stays
    slider = sliders["significance"]
    asked = []
    dock.live._asker.answered.connect(lambda seen: asked.append(seen.wanted.settings))
    slider.setValue(slider.maximum())  # as the mouse does
    assert dock.form.settings().significance == 30
    idle(dock, qtbot)
    assert asked[-1].significance == 30
    wanted = PeakSettings(significance=30)
    assert len(squares(run)) == len(EventPeaks(run.stack, wanted).of([4])[0][1])
    # Dragged in many steps, something is looked for meanwhile and the last is shown.
    for step in range(slider.maximum(), -1, -5):
        slider.setValue(step)
    idle(dock, qtbot)
    assert dock.form.settings().significance == 3
    assert asked[-1].significance == 3
    inputs["significance"].main.setText("16.5")
    assert slider.value() == slider.maximum() // 2
    inputs["significance"].main.setText("16.53")  # is not rounded by the slider that follows
    assert dock.form.settings().significance == 16.53
    inputs["significance"].main.setText("many")
    assert slider.value() == slider.maximum() // 2
    slider.setValue(slider.maximum())
    assert dock.form.settings().significance == 30
    assert dock.form.settings().max_res is None
    sliders["max_res"].setValue(sliders["max_res"].maximum() // 3)
    assert dock.form.settings().max_res == 998
    idle(dock, qtbot)


@pytest.mark.parametrize(
    ("scale", "values"),
    [
        (Scale(1, 50, whole=True), [1, 2, 25, 50]),
        (Scale(0.1, 1000, ratio=True), [0.1, 10.0, 1000.0]),
        (Scale(1, 10000, whole=True, ratio=True), [1, 100, 10000]),
        (Scale(0, 2000), [0, 500.0, 2000.0]),
    ],
)
def test_scales_of_sliders(scale, values):
    for value in values:
        assert scale.value(scale.step(value)) == value
    assert scale.step(-5.0) == 0
    assert scale.step(1e9) == scale.steps


@pytest.mark.parametrize("finder", ["poisson", "robust", "peakfinder8"])
def test_a_finder_with_other_settings_is_a_new_one(finder, planted):
    stack = open_stack(str(planted.data), geometry=str(planted.geometry))
    base = EventPeaks(stack, PeakSettings())
    base.of([4])
    for other in (
        PeakSettings(finder=finder, threshold=5, min_res=30),
        PeakSettings(finder=finder, threshold=5, robust_snr=12, significance=30, window=20),
    ):
        ours, fresh = base.changed(other).of([4])[0][1], EventPeaks(stack, other).of([4])[0][1]
        np.testing.assert_array_equal(ours.fs, fresh.fs)
        np.testing.assert_array_equal(ours.snr, fresh.snr)
    assert base.changed(PeakSettings()) is base
    assert len(base.of([4])[0][1]) == 4
    stack.close()


def test_a_run_is_searched_by_worker_processes(dock, run, planted, monkeypatch, qtbot):
    asked = []
    real = peaks_work.find_peaks

    def found(*given, processes, **named):
        asked.append(processes)
        return real(*given, **named)

    monkeypatch.setattr(peaks_work, "find_peaks", found)
    dock.findChild(QSpinBox, "processes").setValue(1)
    done(dock, "find", qtbot)
    assert asked == [1]
    assert dock.found.counts.tolist() == planted.headless.counts.tolist()


def test_without_a_run_there_is_nothing_to_find(viewer, qtbot):
    empty = PeaksDock(viewer)
    qtbot.addWidget(empty)
    assert not empty.findChild(QPushButton, "find").isEnabled()
    empty.release()


def test_in_a_window_it_comes_and_goes(make_napari_viewer, planted, qtbot):
    from napari_xfelsort.widgets.layers import Opened
    from napari_xfelsort.widgets.reading import open_layers
    from napari_xfelsort.widgets.runs import runs_of

    viewer = make_napari_viewer(show=True)
    opened = Opened((str(planted.data),), str(planted.geometry))
    run = runs_of(viewer).add(open_layers(opened))
    outer, dock = viewer.window.add_plugin_dock_widget("napari-xfelsort", "Peaks")
    idle(dock, qtbot)
    viewer.dims.set_point(0, 6)
    qtbot.waitUntil(
        lambda: dock.live.seen is not None and dock.live.seen.wanted.event == 6, timeout=WAIT
    )
    assert is_drawn(run, [*places_in(6), STAYS])
    done(dock, "find", qtbot)
    dock.findChild(QCheckBox, "powder").click()
    assert dock.width() <= 420
    viewer.window.remove_dock_widget(outer)
    assert run.companions.layer(FOUND) is None
    assert run.companions.layer(POWDER) is None
    viewer.layers.clear()
    runs_of(viewer).close()


def test_hit_rates_are_those_of_the_events_around():
    counts = np.array([5.0] * 100 + [0.0] * 100)
    counts[150:] = np.nan
    course = hit_course(counts, 2, columns=20)
    assert course.ends.tolist() == list(range(0, 201, 10))
    assert course.rate[:9] == pytest.approx(1)
    assert course.rate[11:14] == pytest.approx(0)
    assert np.isnan(course.rate[17:]).all()
    assert course.most[:10].tolist() == [5.0] * 10
    assert len(hit_course(np.zeros(0), 2).rate) == 0


def test_pairs_are_the_nearest_and_each_point_has_one():
    first = np.array([[0.0, 0.0], [0.0, 2.0], [50.0, 50.0], [np.nan, 0.0]])
    second = np.array([[0.0, 1.2], [0.0, 2.1], [60.0, 50.0]])
    assert sorted(pairs_within(first, second, 3).tolist()) == [[0, 0], [1, 1]]
    assert pairs_within(first, np.empty((0, 2)), 3).shape == (0, 2)
