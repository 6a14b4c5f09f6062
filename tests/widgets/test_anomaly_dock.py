"""The Anomalies dock on a small run whose anomalies are known."""

from __future__ import annotations

import csv
import dataclasses
import threading
import zipfile

import h5py
import numpy as np
import pytest
from dock_user import WAIT, click, shown, text
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QLineEdit, QMessageBox, QTableView

from napari_xfelsort.core.agreement import fleiss_kappa
from napari_xfelsort.core.anomalies import attribution
from napari_xfelsort.core.anomalies import stack_features as stack_module
from napari_xfelsort.core.anomalies.applying import apply_anomalies
from napari_xfelsort.core.anomalies.metrics import evaluate_labels
from napari_xfelsort.core.anomalies.model_file import load_anomaly_model, save_anomaly_model
from napari_xfelsort.core.anomalies.stack_features import FrameReader, stack_features
from napari_xfelsort.core.anomalies.training import train_anomalies
from napari_xfelsort.core.deep import DeepModel, DeepSettings, TrainingStep, applying, networks
from napari_xfelsort.core.deep.schedule import Phase
from napari_xfelsort.core.errors import MissingDependencyError, ModelError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets import anomaly_work
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.anomaly_dock import AnomalyDock
from napari_xfelsort.widgets.anomaly_map import HEAT
from napari_xfelsort.widgets.anomaly_train import TrainPanel

N, SIDE, RADIUS = 24, 72, 20.0
NAMES = ("artifact", "ice_ring")
#: Has no pixel with a value.
EMPTY = 5


def known(i):
    """What event ``i`` has: artifact, ice ring."""
    return i % 3 == 0, i % 2 == 0


def looked_at(frame, center, mask=None, optics=None):
    """Three plain numbers of a frame instead of hundreds: rise of a ring, empty pixels, level."""
    y, x = np.indices(frame.shape) - np.array(center)[:, None, None]
    r = np.hypot(y, x)
    good = np.isfinite(frame)
    on, off = (np.abs(r - RADIUS) < 1.5) & good, (np.abs(r - RADIUS - 6) < 1.5) & good
    return {
        "rise": float(np.median(frame[on]) / max(np.median(frame[off]), 1)),
        "empty": float((frame[good] <= 0).mean()),
        "level": float(frame[good].mean()),
    }


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Models see three numbers here: the tests are about the dock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_module, "frame_features", looked_at)
        patch.setattr(attribution, "frame_features", looked_at)
        yield


@pytest.fixture(autouse=True)
def no_default(monkeypatch):
    """No model comes with the program, unless a test has one."""

    def lacking():
        raise ModelError("The installation lacks its default model.")

    monkeypatch.setattr(applying, "default_model", lacking)


@pytest.fixture(scope="module")
def data(_quick, tmp_path_factory):
    """A run with narrow rings and empty blocks; its geometry; a model of it."""
    folder = tmp_path_factory.mktemp("anomalies")
    rng = np.random.default_rng(1)
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    r = np.hypot(y, x)
    frames = np.empty((N, SIDE, SIDE), np.float32)
    for i in range(N):
        artifact, ring = known(i)
        level = (80 * np.exp(-r / 25) + 20) * (1 + ring * 2 * np.exp(-(((r - RADIUS) / 1.2) ** 2)))
        frames[i] = rng.poisson(level)
        if artifact:
            at = int(rng.integers(4, 40))
            frames[i, at : at + 14, 8:60] = 0
    frames[EMPTY] = np.nan
    with h5py.File(folder / "run.h5", "w") as file:
        file["/entry/data/data"] = frames
    centre = ((SIDE - 1) / 2, (SIDE - 1) / 2)
    geometry = Geometry.single_panel((SIDE, SIDE), 1e-4, beam_center=centre)
    text = GEOMETRY.format(last=SIDE - 1, corner=-(centre[0] + 0.5))
    (folder / "run.geom").write_text(text)
    stack = open_stack(str(folder / "run.h5"), geometry=str(folder / "run.geom"))
    assert stack.geometry.beam_position == pytest.approx(geometry.beam_position)
    events = [i for i in range(N) if i != EMPTY]
    found = stack_features(FrameReader(stack), events)
    truth = np.array([known(i) for i in events])
    model = train_anomalies(
        found.matrix, truth, NAMES, None, "logistic_regression", 0.4, feature_names=found.names
    )
    save_anomaly_model(model, folder / "small.xfelanomalies")
    return folder


GEOMETRY = """photon_energy = 9000
clen = 0.1
adu_per_eV = 0.001
res = 10000
data = /entry/data/data
dim0 = %
dim1 = ss
dim2 = fs
p0/min_fs = 0
p0/max_fs = {last}
p0/min_ss = 0
p0/max_ss = {last}
p0/fs = +1.0x +0.0y
p0/ss = +0.0x +1.0y
p0/corner_x = {corner}
p0/corner_y = {corner}
"""


@pytest.fixture
def run(open_run, data):
    return open_run(data / "run.h5", data / "run.geom")


@pytest.fixture(scope="module")
def expected(data):
    """What the model says of every event, without any window."""
    stack = open_stack(str(data / "run.h5"), geometry=str(data / "run.geom"))
    return apply_anomalies(load_anomaly_model(data / "small.xfelanomalies"), FrameReader(stack))


@pytest.fixture
def dock(viewer, qtbot):
    made = AnomalyDock(viewer)
    return shown(made, qtbot, lambda: not made.busy)


def idle(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.busy, timeout=WAIT)


def choose_model(dock, path, qtbot):
    idle(dock, qtbot)
    line = dock.findChild(QLineEdit, "model_file")
    line.setText(str(path))
    line.editingFinished.emit()
    idle(dock, qtbot)


@pytest.fixture
def loaded(run, dock, data, qtbot):
    """The dock with the run and the model."""
    choose_model(dock, data / "small.xfelanomalies", qtbot)
    return dock


@pytest.fixture
def judged(loaded, qtbot):
    """The dock when the run is judged."""
    click(loaded, "judge", qtbot)
    idle(loaded, qtbot)
    return loaded


def pick(dock, name):
    """Choose an anomaly in the table."""
    view = dock.findChild(QTableView, "probabilities")
    view.selectRow(view.model().names.index(name))


def shown_bars(dock):
    view = dock.findChild(QTableView, "probabilities")
    return [view.model().index(k, 1).data() for k in range(view.model().rowCount())]


def heat_of(viewer):
    return next((la for la in viewer.layers if drawn.role_of(la) == HEAT), None)


def answer(monkeypatch, reply):
    asked = []

    def question(parent, title, text, *rest):
        asked.append(text)
        return reply

    monkeypatch.setattr(QMessageBox, "question", question)
    return asked


# --- the model and the event shown ---------------------------------------------------------


def test_without_run_or_model_there_is_nothing_to_press(dock, data, qtbot):
    idle(dock, qtbot)
    assert "lacks its default model" in text(dock, "message")
    assert not dock.judge_button.isEnabled()
    assert dock.event_box.isHidden()
    assert "Choose a model" in text(dock, "about_model")
    choose_model(dock, data / "small.xfelanomalies", qtbot)
    assert "2 anomalies" in text(dock, "about_model")
    assert not dock.judge_button.isEnabled()
    assert dock.event_box.isHidden()


def test_the_default_model_is_there_at_once_and_comes_back(run, viewer, data, qtbot, monkeypatch):
    model = load_anomaly_model(data / "small.xfelanomalies")
    model = dataclasses.replace(model, provenance={"trained_on": "simulation"})
    monkeypatch.setattr(applying, "default_model", lambda: model)
    made = AnomalyDock(viewer)
    dock = shown(made, qtbot, lambda: not made.busy)
    idle(dock, qtbot)
    assert dock.model is model
    assert "trained on simulated frames only" in text(dock, "about_model")
    assert dock.judge_button.isEnabled()
    assert dock.judged.done[run.current]
    choose_model(dock, data / "small.xfelanomalies", qtbot)
    assert dock.model is not model
    assert "simulated" not in text(dock, "about_model")
    choose_model(dock, "", qtbot)
    assert dock.model is model


def test_the_event_shown_is_judged_at_once(loaded, run, expected, qtbot):
    for event in (0, 9):
        run.go_to(event)
        qtbot.waitUntil(lambda event=event: loaded.judged.done[event], timeout=WAIT)
        idle(loaded, qtbot)
        own = expected.probabilities[event]
        assert shown_bars(loaded) == [f"{p:.2f}" for p in own]
        titles = [
            t for t, there in zip(("Artifact", "Ice ring"), expected.chosen[event], strict=True)
            if there
        ]  # fmt: skip
        assert text(loaded, "event_text") == f"Event {event}: {', '.join(titles)}."
    assert loaded.judged.n_done <= 3


def test_what_is_no_model_is_told(dock, run, data, tmp_path, qtbot):
    choose_model(dock, tmp_path / "none.xfelanomalies", qtbot)
    assert "There is no model file" in text(dock, "message")
    (tmp_path / "text.xfelanomalies").write_text("no model")
    choose_model(dock, tmp_path / "text.xfelanomalies", qtbot)
    assert "no model of anomalies" in text(dock, "message")
    assert dock.model is None
    assert not dock.judge_button.isEnabled()
    choose_model(dock, data / "small.xfelanomalies", qtbot)
    assert text(dock, "message") == ""
    assert dock.judge_button.isEnabled()


# --- judging ---------------------------------------------------------------------------------


def test_a_run_is_judged_as_without_a_window(loaded, run, expected, qtbot):
    click(loaded, "judge", qtbot)
    idle(loaded, qtbot)
    judged = loaded
    assert np.allclose(judged.judged.probabilities, expected.probabilities, equal_nan=True)
    assert f"{N} events judged" in text(judged, "message")
    assert "1 could not be judged" in text(judged, "message")
    assert "bad in this event" in text(judged, "message")
    view = judged.findChild(QTableView, "probabilities")
    counts = [view.model().index(k, 2).data() for k in range(2)]
    assert counts == [str(n) for n in expected.chosen.sum(axis=0)]
    assert judged.course.names == NAMES
    run.go_to(EMPTY)
    assert "bad in this event" in text(judged, "event_text")
    assert shown_bars(judged) == ["–", "–"]
    click(judged, "judge", qtbot)
    assert text(judged, "message") == "All events are judged."


def test_partial_results_are_there_and_kept_when_stopped(loaded, expected, qtbot, monkeypatch):
    first, go_on = threading.Event(), threading.Event()
    real = applying.apply_anomalies
    calls = []

    def held(model, reader, positions, tick):
        calls.append(list(positions))
        if len(calls) == 2:
            first.set()
            assert go_on.wait(WAIT / 1000)
        return real(model, reader, positions, tick)

    monkeypatch.setattr(applying, "apply_anomalies", held)
    click(loaded, "judge", qtbot)
    qtbot.waitUntil(first.is_set, timeout=WAIT)
    n = len(calls[0])
    assert loaded.judged.n_done >= n
    qtbot.waitUntil(lambda: loaded.course.names == NAMES, timeout=WAIT)
    click(loaded, "cancel", qtbot)
    go_on.set()
    idle(loaded, qtbot)
    assert "Stopped" in text(loaded, "message")
    part = loaded.judged.done.copy()
    assert n <= part.sum() < N
    # The rest, and nothing twice.
    before = {i for call in calls[:1] for i in call}
    del calls[:]
    click(loaded, "judge", qtbot)
    idle(loaded, qtbot)
    assert before.isdisjoint(i for call in calls for i in call)
    assert np.allclose(loaded.judged.probabilities, expected.probabilities, equal_nan=True)


def test_a_run_without_a_centre_says_so(open_run, data, dock, qtbot):
    open_run(data / "run.h5")
    choose_model(dock, data / "small.xfelanomalies", qtbot)
    click(dock, "judge", qtbot)
    idle(dock, qtbot)
    assert "not known where the beam is" in text(dock, "message")


def test_another_run_begins_anew_and_the_first_is_remembered(
    judged, run, open_run, data, qtbot, tmp_path
):
    (tmp_path / "b.h5").write_bytes((data / "run.h5").read_bytes())
    second = open_run(tmp_path / "b.h5", data / "run.geom")
    idle(judged, qtbot)
    assert judged.judged.stack is second.stack
    assert judged.judged.n_done <= 1
    judged.runs.activate(run)
    idle(judged, qtbot)
    assert judged.judged.stack is run.stack
    assert judged.judged.n_done == N


# --- from the worst on -----------------------------------------------------------------------


def test_from_the_worst_event_on(judged, run, expected, qtbot):
    for k, name in enumerate(NAMES):
        pick(judged, name)
        values = expected.probabilities[:, k]
        order = [int(i) for i in np.argsort(-values, kind="stable") if np.isfinite(values[i])]
        click(judged, "worst", qtbot)
        seen = [run.current]
        for _ in range(4):
            click(judged, "next_worst", qtbot)
            seen.append(run.current)
        assert seen == order[:5]
        assert f"place 5. {N - 1} of {N} events judged" in text(judged, "rank")
        click(judged, "before_it", qtbot)
        assert run.current == order[3]


def test_a_click_on_the_course_goes_to_the_event(judged, run, qtbot):
    pick(judged, "artifact")
    axes = judged.course.figure.axes[0]
    canvas = axes.figure.canvas
    canvas.draw()
    place = axes.transData.transform((7.5, -1.6))  # the second line: ice rings
    from matplotlib.backend_bases import MouseEvent

    canvas.callbacks.process(
        "button_press_event", MouseEvent("button_press_event", canvas, *place, 1)
    )
    assert run.current == 7
    assert judged.bars.chosen_name() == "ice_ring"


# --- where -----------------------------------------------------------------------------------


def test_a_ring_is_shown_where_it_is(judged, run, viewer, qtbot):
    run.go_to(2)  # a ring and no artifact
    pick(judged, "ice_ring")
    click(judged, "where", qtbot)
    idle(judged, qtbot)
    layer = heat_of(viewer)
    assert "Ice ring in event 2" in layer.name
    assert layer.data.shape == run.stack.assembled_shape
    assert viewer.layers.index(layer) == viewer.layers.index(run.layer) + 1
    assert viewer.layers.selection.active is run.layer
    y, x = np.indices(layer.data.shape) - (SIDE - 1) / 2
    r = np.hypot(y, x)
    on = layer.data[np.abs(r - RADIUS) < 1.5].mean()
    assert on > 3 * abs(layer.data[(r > 28) & (r < 34)].mean())
    assert "Bright" in text(judged, "where_text")
    # A map of another event would mislead; the first is remembered.
    run.go_to(3)
    assert heat_of(viewer) is None
    assert text(judged, "where_text") == ""
    run.go_to(2)
    click(judged, "where", qtbot)
    assert not judged.where.busy
    assert np.array_equal(heat_of(viewer).data, layer.data, equal_nan=True)
    click(judged, "hide_where", qtbot)
    assert heat_of(viewer) is None


def test_the_map_follows_and_stops(judged, run, viewer, qtbot, monkeypatch):
    asked = []

    def place(judged_, event, name):
        def work(report):
            asked.append((event, name))
            heat = np.full((SIDE, SIDE), float(event), np.float32)
            return anomaly_work.Place(judged_, event, name, heat, "told")

        return work

    monkeypatch.setattr("napari_xfelsort.widgets.anomaly_where.placing", place)
    run.go_to(4)
    box = judged.findChild(QCheckBox, "follow")
    box.setChecked(True)
    idle(judged, qtbot)
    assert heat_of(viewer).data[0, 0] == 4
    for event in (6, 8, 9):
        run.go_to(event)
    idle(judged, qtbot)
    assert heat_of(viewer).data[0, 0] == 9
    assert asked == [(4, "artifact"), (9, "artifact")]
    pick(judged, "ice_ring")
    idle(judged, qtbot)
    assert asked[-1] == (9, "ice_ring")
    click(judged, "hide_where", qtbot)
    assert heat_of(viewer) is None
    assert not box.isChecked()


def test_looking_can_be_stopped(judged, run, viewer, qtbot, monkeypatch):
    begun, ended = threading.Event(), threading.Event()

    def place(judged_, event, name):
        def work(report):
            begun.set()
            try:
                while True:  # until it is stopped
                    report((anomaly_work.LOOKS, 1, 100))
                    ended.wait(0.01)
            finally:
                ended.set()

        return work

    monkeypatch.setattr("napari_xfelsort.widgets.anomaly_where.placing", place)
    click(judged, "where", qtbot)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    qtbot.waitUntil(lambda: not judged.where.progress.isHidden(), timeout=WAIT)
    click(judged, "hide_where", qtbot)
    idle(judged, qtbot)
    assert ended.is_set()
    assert judged.where.progress.isHidden()
    assert heat_of(viewer) is None


class Network(DeepModel):
    """A network that needs no PyTorch: it looks at the first row."""

    def predict(self, frames, centers=None, masks=None, device="auto"):
        return np.array([[np.nan if np.isnan(f).all() else f[0, 0] / 100] for f in frames])

    def activation_map(self, frame, class_name, center=None, mask=None, device="auto"):
        assert class_name == "artifact"
        assert center == pytest.approx(((SIDE - 1) / 2, (SIDE - 1) / 2))
        return np.full(frame.shape, 3.0, np.float32)


def test_a_network_judges_and_shows_its_activation(dock, run, viewer, qtbot, monkeypatch):
    net = Network(("artifact",), DeepSettings(), {}, np.array([0.2]))
    monkeypatch.setattr(applying, "default_model", lambda: net)
    choose_model(dock, "", qtbot)
    click(dock, "judge", qtbot)
    idle(dock, qtbot)
    corners = [run.stack.assembled(i)[0, 0] / 100 for i in range(N)]
    assert np.allclose(dock.judged.probabilities[:, 0], corners, equal_nan=True)
    assert list(dock.judged.failed) == [EMPTY]
    assert "network" in text(dock, "about_model")
    click(dock, "where", qtbot)
    idle(dock, qtbot)
    assert (heat_of(viewer).data == 3).all()
    assert "network" in text(dock, "where_text")


def test_a_damaged_network_is_told(dock, run, tmp_path, qtbot):
    path = tmp_path / "net.xfelmodel"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model.json", "{}")
        file.writestr("weights.safetensors", b"")
    choose_model(dock, path, qtbot)
    assert "network" in text(dock, "message")
    assert dock.model is None


def test_an_event_that_cannot_be_read_has_no_map(judged, run, viewer, qtbot):
    run.go_to(EMPTY)
    click(judged, "where", qtbot)
    idle(judged, qtbot)
    assert "bad in this event" in text(judged, "where_text")
    assert heat_of(viewer) is None


def test_the_map_goes_with_run_and_dock(judged, run, viewer, qtbot, monkeypatch):
    def place(judged_, event, name):
        heat = np.ones((SIDE, SIDE), np.float32)
        return lambda report: anomaly_work.Place(judged_, event, name, heat, "told")

    monkeypatch.setattr("napari_xfelsort.widgets.anomaly_where.placing", place)
    click(judged, "where", qtbot)
    idle(judged, qtbot)
    assert heat_of(viewer) is not None
    viewer.layers.remove(run.layer)
    qtbot.waitUntil(lambda: heat_of(viewer) is None, timeout=WAIT)
    assert judged.judged is None
    assert judged.event_box.isHidden()
    assert not judged.judge_button.isEnabled()


# --- training --------------------------------------------------------------------------------


def expand(dock, qtbot):
    """Open the section for training."""
    idle(dock, qtbot)
    dock.train_panel.expand(animate=False)
    push = dock.train_panel.button
    qtbot.waitUntil(lambda: push.visibleRegion().boundingRect().height() > 10, timeout=WAIT)


@pytest.fixture
def labels(run, tmp_path):
    """Two people's labels, who differ in three events."""
    folder = tmp_path / "labels"
    for name, other in (("anna", False), ("ben", True)):
        store = LabelStore(folder, labeller=name)
        for i in range(N):
            if i == EMPTY:
                continue
            there = [n for n, has in zip(NAMES, known(i), strict=True) if has]
            if other and i in (1, 7, 11):
                there = ["ice_ring"]
            if i in (2, 3):  # too few to learn it
                there.append("loop_scattering")
            store.set(run.stack.event_id(i), "|".join(sorted(there)) or "clean")
    return folder


def test_a_model_is_trained_on_labels_used_and_saved(
    dock, run, labels, tmp_path, qtbot, monkeypatch
):
    expand(dock, qtbot)
    click(dock, "train", qtbot)
    assert "Choose the folder" in text(dock, "message")
    dock.findChild(QLineEdit, "label_folder").setText(str(labels))
    box = dock.findChild(QComboBox, "learner")
    box.setCurrentIndex(box.findData("logistic_regression"))
    click(dock, "train", qtbot)
    idle(dock, qtbot)
    assert dock.model is not None, text(dock, "message")
    assert dock.model.class_names == NAMES
    assert "not saved" in text(dock, "about_model")
    assert "Left out" in text(dock, "train_notes")
    assert "Loop scattering" in text(dock, "train_notes")
    view = dock.findChild(QTableView, "trained")
    rows = [[view.model().index(k, c).data() for c in range(7)] for k in range(2)]
    assert [row[0] for row in rows] == ["Artifact", "Ice ring"]
    # Of the counts of yes and no: all agree on artifacts, three differ on rings.
    ice = [[2 * known(i)[1], 2 - 2 * known(i)[1]] for i in range(N) if i != EMPTY]
    for i in (1, 7, 11):
        ice[i - (i > EMPTY)] = [1, 1]
    assert rows[0][2] == "1.00"
    assert rows[1][2] == f"{fleiss_kappa(ice):.2f}"
    assert float(rows[0][3]) == pytest.approx(
        dock.model.metrics["per_class"]["artifact"]["f1"], abs=0.006
    )
    path = tmp_path / "mine.xfelanomalies"
    path.write_text("mine")
    dock.findChild(QLineEdit, "new_model").setText(str(path.with_suffix("")))
    asked = answer(monkeypatch, QMessageBox.StandardButton.No)
    click(dock, "save_model", qtbot)
    assert len(asked) == 1
    assert path.read_text() == "mine"
    answer(monkeypatch, QMessageBox.StandardButton.Yes)
    click(dock, "save_model", qtbot)
    idle(dock, qtbot)
    assert load_anomaly_model(path).class_names == NAMES
    assert dock.findChild(QLineEdit, "model_file").text() == str(path)
    click(dock, "judge", qtbot)
    idle(dock, qtbot)
    assert dock.judged.n_done == N


def test_without_pytorch_a_network_is_no_choice(viewer, qtbot, monkeypatch):
    asked = []

    def spec(name):
        asked.append(name)
        return None if name == "torch" else name

    monkeypatch.setattr(networks, "find_spec", spec)
    panel = TrainPanel()
    qtbot.addWidget(panel)
    item = panel.learner.model().item(panel.learner.findData("network"))
    assert not item.isEnabled()
    assert "Networks need PyTorch, which is not installed" in item.toolTip()
    assert asked == ["torch", "safetensors"]
    monkeypatch.setattr(networks, "find_spec", lambda name: name)
    panel = TrainPanel()
    qtbot.addWidget(panel)
    item = panel.learner.model().item(panel.learner.findData("network"))
    assert item.isEnabled()
    assert item.toolTip() == ""
    assert not panel.form.isRowVisible(panel.sides)
    panel.learner.setCurrentIndex(panel.learner.findData("network"))
    assert panel.form.isRowVisible(panel.sides)
    assert [panel.sides.itemData(k) for k in range(4)] == [64, 128, 256, 512]


def choose_network(dock, labels, qtbot):
    """Enter labels, and a network of the smallest pictures."""
    expand(dock, qtbot)
    dock.findChild(QLineEdit, "label_folder").setText(str(labels))
    box = dock.findChild(QComboBox, "learner")
    box.setCurrentIndex(box.findData("network"))
    sides = dock.findChild(QComboBox, "picture_sizes")
    sides.setCurrentIndex(sides.findData(128))


def test_a_network_is_trained_and_saved(dock, run, labels, tmp_path, qtbot, monkeypatch):
    seen = {}

    def pictures(reader, positions, settings, progress):
        seen["positions"] = list(positions)
        made = np.arange(len(positions)) != 5
        return np.zeros((int(made.sum()), 8, 8), np.uint8), made, {5: "No picture of it."}

    def train(given, truth, settings, names, groups, progress, stop):
        seen.update(n=len(given), truth=truth, settings=settings, names=names, groups=groups)
        progress(TrainingStep(7, 14, Phase(64, False), 0.5, 0.6))
        assert not stop()
        scores = np.where(truth, 0.9, 0.1)
        metrics = evaluate_labels(truth, scores > 0.5, names, scores)
        return Network(tuple(names), settings, {}, np.full(len(names), 0.5), metrics)

    monkeypatch.setattr(anomaly_work, "event_pictures", pictures)
    monkeypatch.setattr(anomaly_work, "train_on_pictures", train)
    choose_network(dock, labels, qtbot)
    click(dock, "train", qtbot)
    idle(dock, qtbot)
    assert isinstance(dock.model, DeepModel), text(dock, "message")
    assert seen["settings"].sizes == (64, 128)
    assert seen["names"] == NAMES
    assert seen["n"] == len(seen["truth"]) == len(seen["groups"]) == N - 2
    # One of the two left out has no labels, the other no picture.
    there = [i for i in seen["positions"] if i != seen["positions"][5]]
    assert EMPTY not in there
    assert seen["truth"][:, 0].tolist() == [bool(known(i)[0]) for i in there]
    assert "1 labelled events could not be read: No picture of it." in text(dock, "train_notes")
    assert "not saved" in text(dock, "about_model")
    saved = []
    monkeypatch.setattr(Network, "save", lambda self, *where: saved.append((self, *where)))
    dock.findChild(QLineEdit, "new_model").setText(str(tmp_path / "mine"))
    click(dock, "save_model", qtbot)
    idle(dock, qtbot)
    assert saved == [(dock.model, str(tmp_path / "mine.xfelmodel"), False)]


def test_training_a_network_tells_how_far_it_is_and_stops(dock, labels, qtbot, monkeypatch):
    begun, ended, told = threading.Event(), threading.Event(), []

    def pictures(reader, positions, settings, progress):
        made = np.ones(len(positions), bool)
        return np.zeros((len(positions), 8, 8), np.uint8), made, {}

    def train(given, truth, settings, names, groups, progress, stop):
        progress(TrainingStep(7, 14, Phase(64, False), 0.5, 0.6))
        try:
            while not stop():
                begun.set()
        finally:
            ended.set()

    monkeypatch.setattr(anomaly_work, "event_pictures", pictures)
    monkeypatch.setattr(anomaly_work, "train_on_pictures", train)
    choose_network(dock, labels, qtbot)
    click(dock, "train", qtbot)
    dock.job.progressed.connect(told.append)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    # A fifth: half of the epochs, of pictures of a quarter of the pixels.
    qtbot.waitUntil(lambda: ("%", 20, 100) in told, timeout=WAIT)
    assert dock.progress.format().startswith("%v of %m %")
    click(dock, "cancel", qtbot)
    idle(dock, qtbot)
    assert ended.is_set()
    assert "no model was made" in text(dock, "message")
    assert dock.model is None


def test_without_pytorch_training_a_network_says_so(dock, labels, qtbot, monkeypatch):
    def lacking():
        raise MissingDependencyError("Networks need PyTorch.")

    monkeypatch.setattr(applying, "torch_module", lacking)
    choose_network(dock, labels, qtbot)
    click(dock, "train", qtbot)
    idle(dock, qtbot)
    assert "Networks need PyTorch" in text(dock, "message")


def test_labels_that_cannot_be_used_are_told(dock, run, tmp_path, qtbot):
    expand(dock, qtbot)
    line = dock.findChild(QLineEdit, "label_folder")
    line.setText(str(tmp_path / "nowhere"))
    click(dock, "train", qtbot)
    idle(dock, qtbot)
    assert "nowhere" in text(dock, "message")
    store = LabelStore(tmp_path / "few")
    store.set(run.stack.event_id(0), "ice_ring")
    line.setText(str(tmp_path / "few"))
    click(dock, "train", qtbot)
    idle(dock, qtbot)
    assert "at least 4 must have it" in text(dock, "message")
    assert dock.model is None


def test_the_label_folder_of_the_run_is_offered(dock, run, labels):
    run.use_labels(LabelStore(labels))
    assert dock.findChild(QLineEdit, "label_folder").text() == str(labels)


# --- saving ----------------------------------------------------------------------------------


def test_the_table_is_that_of_the_command_line(judged, expected, tmp_path, qtbot, monkeypatch):
    click(judged, "save_table", qtbot)
    assert "Choose a file" in text(judged, "outcome")
    path = tmp_path / "table.csv"
    judged.findChild(QLineEdit, "table_file").setText(str(tmp_path / "table"))
    click(judged, "save_table", qtbot)
    idle(judged, qtbot)
    expected.write_csv(tmp_path / "headless.csv")
    assert path.read_text() == (tmp_path / "headless.csv").read_text()
    assert str(path) in text(judged, "outcome")
    path.write_text("mine")
    asked = answer(monkeypatch, QMessageBox.StandardButton.No)
    click(judged, "save_table", qtbot)
    idle(judged, qtbot)
    assert len(asked) == 1
    assert path.read_text() == "mine"


def test_a_table_of_some_events_says_so(loaded, run, expected, tmp_path, qtbot):
    run.go_to(4)
    qtbot.waitUntil(lambda: loaded.judged.done[4], timeout=WAIT)
    idle(loaded, qtbot)
    n = loaded.judged.n_done
    loaded.findChild(QLineEdit, "table_file").setText(str(tmp_path / "part.csv"))
    click(loaded, "save_table", qtbot)
    idle(loaded, qtbot)
    assert f"{n} of {N} events" in text(loaded, "outcome")
    rows = list(csv.DictReader((tmp_path / "part.csv").read_text().splitlines()))
    assert len(rows) == n
    assert rows[-1]["ice_ring"] == f"{expected.probabilities[4, 1]:.4f}"


def test_lists_have_the_events_above_the_threshold(judged, expected, tmp_path, qtbot, monkeypatch):
    folder = tmp_path / "new" / "lists"
    judged.findChild(QLineEdit, "list_folder").setText(str(folder))
    click(judged, "save_lists", qtbot)
    idle(judged, qtbot)
    for k, name in enumerate(NAMES):
        found = [entry.event.event for entry in read_list(folder / f"run-{name}.lst")]
        there = np.flatnonzero(expected.chosen[:, k])
        assert found == [f"//{i}" for i in there]
    assert str(folder) in text(judged, "outcome")
    kept = folder / "run-artifact.lst"
    kept.write_text("mine")
    (folder / "run-ice_ring.lst").unlink()
    asked = answer(monkeypatch, QMessageBox.StandardButton.No)
    click(judged, "save_lists", qtbot)
    idle(judged, qtbot)
    assert "run-artifact.lst exists" in asked[0]
    assert kept.read_text() == "mine"
    assert not (folder / "run-ice_ring.lst").exists()
    answer(monkeypatch, QMessageBox.StandardButton.Yes)
    click(judged, "save_lists", qtbot)
    idle(judged, qtbot)
    assert len(read_list(kept)) == expected.chosen[:, 0].sum()


def test_a_folder_that_cannot_be_is_told(judged, tmp_path, qtbot):
    (tmp_path / "file").write_text("")
    judged.findChild(QLineEdit, "list_folder").setText(str(tmp_path / "file" / "sub"))
    click(judged, "save_lists", qtbot)
    idle(judged, qtbot)
    assert "cannot be made" in text(judged, "message")


# --- in a window -----------------------------------------------------------------------------


def test_in_a_real_window_under_its_name_in_the_menu(make_napari_viewer, data, qtbot, monkeypatch):
    from napari_xfelsort.widgets.layers import Opened, run_layers
    from napari_xfelsort.widgets.runs import runs_of

    viewer = make_napari_viewer(show=True)
    paths = str(data / "run.h5"), str(data / "run.geom")
    stack = open_stack(paths[0], geometry=paths[1])
    run = runs_of(viewer).add(run_layers(stack, Opened((paths[0],), paths[1])))
    outer, dock = viewer.window.add_plugin_dock_widget("napari-xfelsort", "Anomalies")
    viewer.window.resize(1366, 768)
    choose_model(dock, data / "small.xfelanomalies", qtbot)
    qtbot.mouseClick(dock.judge_button, Qt.MouseButton.LeftButton)
    idle(dock, qtbot)
    pick(dock, "ice_ring")
    qtbot.mouseClick(dock.worst_button, Qt.MouseButton.LeftButton)
    assert known(run.current)[1]
    heat = np.ones((SIDE, SIDE), np.float32)

    def place(judged_, event, name):
        return lambda report: anomaly_work.Place(judged_, event, name, heat, "told")

    monkeypatch.setattr("napari_xfelsort.widgets.anomaly_where.placing", place)
    qtbot.mouseClick(dock.where.show_button, Qt.MouseButton.LeftButton)
    idle(dock, qtbot)
    assert heat_of(viewer) is not None
    assert dock.minimumWidth() <= 380
    # Taken out of the window it lets go of everything.
    viewer.window.remove_dock_widget(outer)
    assert heat_of(viewer) is None
    assert not dock.busy
    run.go_to(3)
    viewer.layers.clear()
    runs_of(viewer).close()
