"""The Train dock against the same work without a screen."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QWidget,
)
from superqt import QCollapsible
from typer.testing import CliRunner

from napari_xfelsort.cli import app
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.learning import tuning
from napari_xfelsort.core.model import load_model
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.train_settings import TrainSettings
from napari_xfelsort.core.training import train_with
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets import train_work, workers
from napari_xfelsort.widgets.dock import MINIMUM_WIDTH
from napari_xfelsort.widgets.progress import time_left
from napari_xfelsort.widgets.train_dock import TrainDock

WAIT = 60_000


@pytest.fixture
def labels(tmp_path, simulated) -> Path:
    """The truth of the simulated run as labels."""
    store = LabelStore(tmp_path / "labels", labeller="truth")
    store.import_lists({"good": simulated.good_list, "bad": simulated.bad_list})
    return store.folder


@pytest.fixture
def dock(viewer, qtbot):
    def close(made):
        qtbot.waitUntil(lambda: made.job is None and not made.summary.busy, timeout=WAIT)
        made.release()

    made = TrainDock(viewer)
    qtbot.addWidget(made, before_close_func=close)
    made.resize(360, 700)
    made.show()
    return made


@pytest.fixture
def ready(dock, run, labels):
    """A dock with a run, its labels, and few trees."""
    dock.labels.line.setText(str(labels))
    dock.labels.line.editingFinished.emit()
    dock.form.inputs["n_estimators"].show_value(5)
    dock.form.inputs["bin"].show_value(8)
    return dock


def click(dock, name, qtbot):
    qtbot.mouseClick(dock.findChild(QPushButton, name), Qt.MouseButton.LeftButton)


def finish(dock, qtbot):
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)


def train(dock, qtbot):
    click(dock, "train", qtbot)
    finish(dock, qtbot)


def choose(dock, name, text):
    box = dock.findChild(QComboBox, name)
    box.setCurrentIndex(box.findText(text))


def tick(dock, qtbot, name):
    """Click on the box itself, which is left of its text."""
    box = dock.findChild(QCheckBox, name)
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))


def drawn_numbers(dock):
    matrix = dock.plot.figure.subfigs[0].axes[0]
    return [int(text.get_text().split("\n")[0]) for text in matrix.texts]


# --- training ------------------------------------------------------------------------------


def test_the_model_is_the_one_of_the_command_line(ready, run, qtbot, tmp_path, simulated, labels):
    choose(ready, "region_way", "panels")
    ready.findChild(QLineEdit, "region_panels").setText("p6a0")
    choose(ready, "model", "random forest")
    ready.findChild(QComboBox, "threshold").setCurrentText("max_f1")
    ready.findChild(QDoubleSpinBox, "test_percent").setValue(40)
    choose(ready, "normalise", "median")
    train(ready, qtbot)
    assert ready.model is not None, ready.message.text()
    arguments = ["train", simulated.data, "--labels", labels, "--geometry", simulated.geometry]
    arguments += ["--region", "panel:p6a0", "--bin", "8", "--normalise", "median", "--test", "40"]
    arguments += [
        "--n-estimators",
        "5",
        "--threshold",
        "max_f1",
        "--out",
        tmp_path / "m.xfelmodel",
    ]
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    headless = load_model(tmp_path / "m.xfelmodel")
    assert ready.model.digest == headless.digest
    assert ready.model.metrics == headless.metrics
    assert ready.model.provenance["settings"] == headless.provenance["settings"]
    ours, theirs = ready.model.predict(run.stack), headless.predict(run.stack)
    assert (ours.chosen == theirs.chosen).all()
    assert drawn_numbers(ready) == np.ravel(headless.metrics["confusion"]).tolist()


def test_a_region_drawn_on_the_picture_is_used(ready, run, qtbot):
    choose(ready, "region_way", "shapes on the picture")
    click(ready, "region_new_layer", qtbot)
    corners = run.stack.geometry.outlines()["p6a0"]
    run.viewer.layers[-1].add_rectangles([corners.min(axis=0), corners.max(axis=0)])
    train(ready, qtbot)
    settings = TrainSettings(n_estimators=5, bin=8)
    headless = train_with(run.stack, ready.labels.path(), settings, Region.parse("panel:p6a0"))
    assert ready.model.region.kind == "polygons"
    assert ready.model.digest == headless.digest


@pytest.mark.parametrize(
    "model", ["logistic regression", "linear svm", "naive bayes", "gradient boosting"]
)
def test_every_algorithm(ready, qtbot, model):
    choose(ready, "model", model)
    train(ready, qtbot)
    assert ready.model.provenance["settings"]["model"] == model.replace(" ", "_")
    assert ready.results.isVisible()
    assert ready.findChild(QLabel, "about_model").text().startswith(model)
    assert "Note:" in ready.findChild(QLabel, "notes").text()
    assert "is trained" in ready.message.text()


def test_the_model_of_single_particles(ready, qtbot):
    choose(ready, "model", "spi")
    train(ready, qtbot)
    assert ready.model.features.kinds == ("particle",)
    assert ready.model.provenance["settings"]["model"] == "spi"


def test_only_settings_that_matter_can_be_entered(ready):
    def enabled():
        names = ("n_estimators", "max_depth", "n_neighbors", "C", "class_weight", "recall")
        return {name for name in names if ready.form.inputs[name].isEnabled()}

    assert enabled() == {"n_estimators", "max_depth", "class_weight"}
    choose(ready, "model", "k nearest neighbours")
    assert enabled() == {"n_neighbors"}
    choose(ready, "model", "logistic regression")
    ready.findChild(QComboBox, "threshold").setCurrentText("high_recall")
    assert enabled() == {"C", "class_weight", "recall"}
    ready.findChild(QCollapsible).expand(animate=False)
    shown = {name for name, made in ready.form.inputs.items() if made.isVisible()}
    assert {"C", "recall"} <= shown
    assert not {"n_estimators", "n_neighbors", "learning_rate", "search_limit"} & shown


def test_fits_are_told_before(ready):
    """By the grids of the documentation: 5 values of C on 5 parts, and the last fit."""
    fits = ready.findChild(QLabel, "fits")
    assert fits.text() == "Training takes one fit, comparing all models up to 42 fits."
    choose(ready, "model", "logistic regression")
    choose(ready, "search", "small")
    assert fits.text().startswith("Training takes up to 26 fits")
    assert "5 sets of parameters on 5 parts" in fits.text()


def test_only_settings_of_the_kinds_of_features_can_be_entered(ready, qtbot):
    names = (
        "bin",
        "bin_statistic",
        "profile_axis",
        "radial_bins",
        "above",
        "quantiles",
        "metadata",
        "incoming",
    )

    def enabled():
        return {name for name in names if ready.form.inputs[name].isEnabled()}

    ready.findChild(QCollapsible).expand(animate=False)
    assert enabled() == {"bin", "bin_statistic"}  # blocks of 8 pixels
    tick(ready, qtbot, "kinds_radial")
    tick(ready, qtbot, "kinds_quantiles")
    tick(ready, qtbot, "kinds_pixels")
    assert enabled() == {"radial_bins", "quantiles"}
    tick(ready, qtbot, "radial_statistics_fraction")
    assert enabled() == {"radial_bins", "quantiles", "above"}
    choose(ready, "normalise", "incoming")
    assert "incoming" in enabled()
    assert "name of the number" in ready.form.message.text()
    choose(ready, "normalise", "mean")
    assert ready.form.message.text() == ""
    settings = ready.form.settings()
    assert settings.kinds == ("radial", "quantiles")
    assert settings.radial_statistics == ("mean", "fraction")


def test_without_a_kind_of_feature(ready, qtbot):
    tick(ready, qtbot, "kinds_pixels")
    assert "kinds is empty" in ready.form.message.text()


def test_training_on_rings_and_peaks(ready, qtbot):
    for name in ("kinds_pixels", "kinds_radial", "kinds_intensity"):
        tick(ready, qtbot, name)
    train(ready, qtbot)
    assert ready.model.features.kinds == ("radial", "intensity")
    assert ready.model.places.radial is not None


def test_the_share_belongs_to_the_settings(ready, qtbot):
    ready.form.set_settings(TrainSettings(train_share=0.8, test_share=0.2, seed=3))
    share = ready.findChild(QDoubleSpinBox, "test_percent")
    assert share.value() == 20
    share.setValue(25)
    assert ready.form.settings() == TrainSettings(train_share=0.75, test_share=0.25, seed=3)
    click(ready, "settings_reset", qtbot)
    assert share.value() == 30


# --- labels --------------------------------------------------------------------------------


def test_labels_of_the_run_are_followed(dock, run, labels, qtbot, tmp_path):
    assert dock.labels.path() is None
    store = LabelStore(labels, labeller="me")
    run.use_labels(store)
    assert dock.labels.path() == str(labels)
    counts = dock.findChild(QLabel, "label_counts")
    text = ", ".join(f"{name} {count}" for name, count in sorted(store.counts().items()))
    qtbot.waitUntil(lambda: counts.text() == text)
    first = store.get(run.stack.event_id(0))
    run.set_label(0, "bad" if first == "good" else "good")
    qtbot.waitUntil(lambda: counts.text() not in ("", text))
    assert counts.text() == ", ".join(f"{name} {n}" for name, n in run.labels.counts().items())
    run.use_labels(LabelStore(tmp_path / "others"))
    assert dock.labels.path() == str(tmp_path / "others")


def test_a_folder_that_was_chosen_here_stays(dock, run, labels, tmp_path):
    dock.labels.line.setText(str(labels))
    run.use_labels(LabelStore(tmp_path / "others"))
    assert dock.labels.path() == str(labels)


# --- what can go wrong ----------------------------------------------------------------------


def sentence(dock):
    text = dock.message.text()
    assert dock.message.isVisible()
    assert "Traceback" not in text
    return text


def test_without_a_run_nothing_can_be_trained(dock, qtbot):
    assert not dock.findChild(QPushButton, "train").isEnabled()
    dock.train()
    assert dock.job is None


def test_without_labels(dock, run, qtbot, tmp_path):
    train(dock, qtbot)
    assert "Choose the folder of labels" in sentence(dock)
    dock.labels.line.setText(str(tmp_path / "nowhere"))
    dock.labels.line.editingFinished.emit()
    said = dock.findChild(QLabel, "summary_notes")
    qtbot.waitUntil(lambda: "no label folder" in said.text())
    train(dock, qtbot)
    assert "no label folder" in sentence(dock)
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "empty").mkdir()
    dock.labels.line.setText(str(tmp_path / "empty"))
    train(dock, qtbot)
    assert "No event of the stack has a label" in sentence(dock)
    assert dock.model is None
    assert not dock.results.isVisible()


def test_one_class_only(dock, run, qtbot, tmp_path):
    store = LabelStore(tmp_path / "one", labeller="me")
    run.use_labels(store)
    for i in range(5):
        run.set_label(i, "good")
    train(dock, qtbot)
    assert "at least two classes" in sentence(dock)


@pytest.mark.parametrize(
    ("way", "line", "text", "says"),
    [
        ("panels", "region_panels", "", "Pick a panel"),
        ("panels", "region_panels", "nonsense", "no panel 'nonsense'"),
        ("shapes on the picture", None, "", "Add a region layer"),
        ("text", "region_text", "window:0:99999,0:5", "does not fit"),
        ("text", "region_text", "q:900,901", "holds no pixel"),
        ("text", "region_text", "rubbish", "is no region"),
    ],
)
def test_a_bad_region(ready, qtbot, way, line, text, says):
    choose(ready, "region_way", way)
    if line:
        ready.findChild(QLineEdit, line).setText(text)
    train(ready, qtbot)
    assert says in sentence(ready)
    assert ready.model is None


def test_a_region_of_panels_without_a_geometry(dock, open_run, simulated, labels, qtbot):
    open_run(simulated.data)
    dock.labels.line.setText(str(labels))
    choose(dock, "region_way", "text")
    dock.findChild(QLineEdit, "region_text").setText("panel:p6a0")
    train(dock, qtbot)
    assert "needs a geometry" in sentence(dock)


def test_a_bad_setting(ready, qtbot):
    ready.findChild(QComboBox, "threshold").setCurrentText("often")
    train(ready, qtbot)
    assert "threshold is 'often'" in sentence(ready)


# --- stopping -------------------------------------------------------------------------------


def test_cancel_stops_after_the_block_that_is_read(ready, qtbot, monkeypatch):
    blocks, go_on = [], threading.Event()
    prepare = train_work.prepare

    def slow(stack, labels, settings, region, progress):
        def told(done, total):
            blocks.append(done)
            if len(blocks) == 2:
                assert go_on.wait(120)
            progress(done, total)

        return prepare(stack, labels, settings, region, told)

    monkeypatch.setattr("napari_xfelsort.core.features.blocks.MAX_BLOCK_EVENTS", 1)
    monkeypatch.setattr(train_work, "prepare", slow)
    click(ready, "train", qtbot)
    bar = ready.findChild(QProgressBar)
    qtbot.waitUntil(lambda: len(blocks) == 2, timeout=WAIT)
    qtbot.waitUntil(lambda: "1 of 40 events" in bar.text())
    assert bar.isVisible()
    assert not ready.findChild(QPushButton, "train").isEnabled()
    assert not ready.findChild(QWidget, "settings").isEnabled()
    click(ready, "cancel", qtbot)
    assert "after the events that are being read" in sentence(ready)
    go_on.set()
    finish(ready, qtbot)
    assert len(blocks) == 2
    assert ready.model is None
    assert "Stopped" in sentence(ready)
    assert not bar.isVisible()
    monkeypatch.undo()
    train(ready, qtbot)
    assert ready.model is not None


@pytest.mark.parametrize("what", ["train", "compare"])
def test_cancel_stops_after_the_fit(ready, qtbot, monkeypatch, what):
    """A fit itself cannot be interrupted; the next one is not begun."""
    fits, go_on = [], threading.Event()
    fit = tuning.fit

    def slow(*arguments):
        fits.append(1)
        if len(fits) == 2:
            assert go_on.wait(120)
        return fit(*arguments)

    monkeypatch.setattr(tuning, "fit", slow)
    monkeypatch.setattr(workers, "REPORT_SECONDS", 0)
    choose(ready, "model", "logistic regression")
    choose(ready, "search", "small")
    click(ready, what, qtbot)
    bar = ready.findChild(QProgressBar)
    qtbot.waitUntil(lambda: "fits" in bar.text(), timeout=WAIT)
    click(ready, "cancel", qtbot)
    assert "Stopping after this fit" in sentence(ready)
    go_on.set()
    finish(ready, qtbot)
    assert len(fits) <= 3
    assert ready.model is None
    assert "Stopped" in sentence(ready)


def test_a_dock_that_is_closed_stops_its_work(ready, run, qtbot, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    prepare = train_work.prepare

    def slow(*arguments):
        begun.set()
        assert go_on.wait(120)
        return prepare(*arguments)

    monkeypatch.setattr(train_work, "prepare", slow)
    click(ready, "train", qtbot)
    qtbot.waitUntil(begun.is_set)
    ready.release()
    go_on.set()
    finish(ready, qtbot)
    assert ready.model is None
    assert len(run.labelled) == 1  # that of the viewer's caption
    ready.runs.layers_changed.connect(ready.region._list_layers)  # released once more after this


# --- files ----------------------------------------------------------------------------------


def test_a_saved_model_is_told_to_other_docks(ready, run, qtbot, tmp_path):
    train(ready, qtbot)
    told = []
    ready.runs.model_saved.connect(told.append)
    click(ready, "save_model", qtbot)
    assert "Choose a file" in sentence(ready)
    ready.model_file.line.setText(str(tmp_path / "mine"))
    click(ready, "save_model", qtbot)
    finish(ready, qtbot)
    path = str(tmp_path / "mine.xfelmodel")
    assert told == [path]
    assert ready.runs.model_path == path
    assert load_model(path).digest == ready.model.digest


@pytest.mark.parametrize("yes", [True, False])
def test_a_model_file_is_replaced_only_if_asked_for(ready, qtbot, tmp_path, monkeypatch, yes):
    path = tmp_path / "mine.xfelmodel"
    path.write_bytes(b"precious")
    buttons = QMessageBox.StandardButton
    asked = []

    def answer(*words, **_):
        asked.append(words[2])
        return buttons.Yes if yes else buttons.No

    monkeypatch.setattr(QMessageBox, "question", answer)
    train(ready, qtbot)
    ready.model_file.line.setText(str(path))
    click(ready, "save_model", qtbot)
    finish(ready, qtbot)
    assert len(asked) == 1
    assert "mine.xfelmodel" in asked[0]
    assert (path.read_bytes() != b"precious") is yes
    assert ready.runs.model_path == (str(path) if yes else None)


def test_a_folder_that_is_not_there_is_told(ready, qtbot, tmp_path):
    train(ready, qtbot)
    ready.model_file.line.setText(str(tmp_path / "none" / "m.xfelmodel"))
    click(ready, "save_model", qtbot)
    finish(ready, qtbot)
    assert "m.xfelmodel" in sentence(ready)
    assert ready.runs.model_path is None


@pytest.fixture
def model_file(tmp_path, simulated, labels) -> Path:
    """A model trained without the dock."""
    stack = open_stack(str(simulated.data), geometry=simulated.geometry)
    settings = TrainSettings(n_estimators=3, bin=16)
    train_with(stack, labels, settings).save(tmp_path / "m.xfelmodel")
    return tmp_path / "m.xfelmodel"


def load(dock, path, qtbot, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(path), ""))
    click(dock, "load_model", qtbot)
    finish(dock, qtbot)


def test_a_loaded_model_shows_its_metrics(dock, run, qtbot, monkeypatch, model_file):
    load(dock, model_file, qtbot, monkeypatch)
    assert drawn_numbers(dock) == np.ravel(load_model(model_file).metrics["confusion"]).tolist()
    assert dock.model.digest == load_model(model_file).digest
    assert dock.runs.model_path == str(model_file)
    assert dock.findChild(QPushButton, "save_model").isEnabled()


def test_a_model_of_another_geometry_is_cautioned_about(
    dock, open_run, simulated, qtbot, monkeypatch, model_file, tmp_path
):
    text = simulated.geometry.read_text()
    (tmp_path / "moved.geom").write_text(text + "\np6a0/corner_x = 3.0\n")
    open_run(simulated.data, tmp_path / "moved.geom")
    load(dock, model_file, qtbot, monkeypatch)
    assert "The geometry differs" in dock.findChild(QLabel, "notes").text()


def test_a_file_that_is_no_model_is_told(dock, run, qtbot, monkeypatch, tmp_path):
    (tmp_path / "m.xfelmodel").write_bytes(b"no zip")
    load(dock, tmp_path / "m.xfelmodel", qtbot, monkeypatch)
    assert "is no model file" in sentence(dock)
    load(dock, "", qtbot, monkeypatch)
    assert dock.model is None
    assert dock.runs.model_path is None


def test_a_model_of_another_detector_is_told(dock, open_run, qtbot, monkeypatch, model_file):
    import h5py

    other = model_file.parent / "other.cxi"
    with h5py.File(other, "w") as file:
        file["entry_1/instrument_1/detector_1/data"] = np.ones((3, 8, 6), np.int16)
        file["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
    open_run(other)
    load(dock, model_file, qtbot, monkeypatch)
    assert "trained on frames of" in sentence(dock)
    assert dock.model is None


# --- all together ---------------------------------------------------------------------------


def test_every_input_has_a_tooltip(ready, qtbot):
    train(ready, qtbot)
    for kind in (QPushButton, QComboBox, QDoubleSpinBox, QProgressBar):
        for widget in ready.findChildren(kind):
            if widget.objectName() not in ("", "qt_toolbar_ext_button"):
                assert widget.toolTip(), widget.objectName()


def test_nothing_is_cut_off_in_the_narrowest_dock(ready, qtbot):
    train(ready, qtbot)
    ready.findChild(QCollapsible).expand(animate=False)
    bar = ready.verticalScrollBar().sizeHint().width()
    for way in ("whole frame", "panels", "shapes on the picture", "q range", "text"):
        choose(ready, "region_way", way)
        assert ready.widget().minimumSizeHint().width() <= MINIMUM_WIDTH - bar


def test_released_docks_leave_nothing_behind(viewer, qtbot, run):
    counts = [len(run.labelled), len(run.changed), len(viewer.events.theme.callbacks)]
    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    assert len(run.labelled) == counts[0] + 1
    dock.release()
    assert [len(run.labelled), len(run.changed), len(viewer.events.theme.callbacks)] == counts


@pytest.mark.parametrize(
    ("seconds", "done", "to_do", "text"),
    [
        (0.5, 10, 10, ""),
        (10, 0, 10, ""),
        (10, 10, 0, ""),
        (10, 10, 40, "40 s left"),
        (10, 10, 65, "1 min 05 s left"),
        (60, 1, 125, "2 h 05 min left"),
    ],
)
def test_time_left(seconds, done, to_do, text):
    assert time_left(seconds, done, to_do) == text
