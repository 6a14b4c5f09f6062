"""Networks in the Train dock; mostly with one that is none, as PyTorch may be missing."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QProgressBar, QPushButton, QWidget

from napari_xfelsort.core import training
from napari_xfelsort.core.deep import spi_fit
from napari_xfelsort.core.deep.spi_settings import SpiNetworkSettings
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.train_settings import TrainSettings
from napari_xfelsort.widgets import train_form, workers
from napari_xfelsort.widgets.train_dock import TrainDock
from napari_xfelsort.widgets.train_form import TrainForm

WAIT = 60_000
ESTIMATE = "Training 3 networks takes about 2 minutes on this processor."
MISSING = "Networks need PyTorch, which is not installed."


@pytest.fixture
def labels(tmp_path, simulated) -> Path:
    """The truth of the simulated run as labels."""
    store = LabelStore(tmp_path / "labels", labeller="truth")
    store.import_lists({"good": simulated.good_list, "bad": simulated.bad_list})
    return store.folder


@pytest.fixture
def open_dock(viewer, run, labels, qtbot, monkeypatch):
    """Opens a dock with a run and its labels where PyTorch is there, or seems to be."""

    def close(made):
        qtbot.waitUntil(lambda: made.job is None and not made.summary.busy, timeout=WAIT)
        made.release()

    def make(missing: str = "") -> TrainDock:
        monkeypatch.setattr(train_form, "what_is_missing", lambda: missing)
        made = TrainDock(viewer)
        qtbot.addWidget(made, before_close_func=close)
        made.resize(360, 900)
        made.show()
        made.labels.line.setText(str(labels))
        made.labels.line.editingFinished.emit()
        return made

    return make


@pytest.fixture
def fake(monkeypatch):
    """Networks that are logistic regressions, of six epochs; what they were told."""
    told: dict[str, object] = {"hold": None}

    def fit(prepared, settings, network, progress=None):
        told["network"] = network
        for k in range(7):
            if told["hold"] is not None and k == 3:
                assert told["hold"].wait(120)
            progress(k, 6)
        plain = dataclasses.replace(settings, model="logistic_regression", threshold="default")
        return training._fitted(prepared, plain, None)

    def estimate(prepared, settings, network):
        told["measured"] = network
        return 120.0, ESTIMATE

    from napari_xfelsort.widgets import train_work

    monkeypatch.setattr(spi_fit, "fit_networks", fit)
    monkeypatch.setattr(train_work, "training_time", estimate)
    monkeypatch.setattr(workers, "REPORT_SECONDS", 0)
    return told


def choose(dock, name, text):
    box = dock.findChild(QComboBox, name)
    assert box.findText(text) >= 0
    box.setCurrentText(text)


def press(dock, name, qtbot):
    qtbot.mouseClick(dock.findChild(QPushButton, name), Qt.MouseButton.LeftButton)


def test_settings_of_networks_are_there_when_one_is_chosen(qtbot):
    form = TrainForm()
    qtbot.addWidget(form)
    form.show()
    assert not form.network.isVisible()
    assert form.network_settings() is None
    form.inputs["model"].show_value("spi_cnn")
    assert form.network.isVisible()
    for name in ("search", "calibration", "components", "C", "n_estimators", "class_weight"):
        assert not form.inputs[name].isVisibleTo(form)
    assert form.network_settings() == SpiNetworkSettings()
    known = {field.name for field in dataclasses.fields(SpiNetworkSettings)}
    assert set(form.network.inputs) == known
    assert "told when training begins" in form.fits.text()
    # The buttons are those of the form around it.
    assert form.network.findChild(QPushButton, "settings_load") is None
    form.inputs["model"].show_value("random_forest")
    assert not form.network.isVisible()
    assert form.inputs["search"].isVisible()


def test_every_setting_of_networks_can_be_entered_and_taken_back(qtbot):
    form = TrainForm()
    qtbot.addWidget(form)
    form.inputs["model"].show_value("spi_cnn")
    changed = {}
    for field in dataclasses.fields(SpiNetworkSettings):
        rules, default = field.metadata, field.default
        if rules["choices"]:
            changed[field.name] = next(word for word in rules["choices"] if word != default)
        elif "bool" in str(field.type):
            changed[field.name] = not default
        elif "int" in str(field.type):
            changed[field.name] = int(rules["minimum"]) + 1
        else:
            changed[field.name] = rules["minimum"]
    wanted = SpiNetworkSettings(**changed)
    form.network.set_settings(wanted)
    assert form.network_settings() == wanted
    assert all(getattr(wanted, name) != getattr(SpiNetworkSettings(), name) for name in changed)
    form.reset()
    form.inputs["model"].show_value("spi_cnn")
    assert form.network_settings() == SpiNetworkSettings()


def test_a_search_that_was_chosen_before_can_be_taken_back(qtbot):
    form = TrainForm()
    qtbot.addWidget(form)
    form.show()
    form.inputs["calibration"].show_value("sigmoid")
    form.inputs["model"].show_value("spi_cnn")
    assert form.inputs["calibration"].isVisibleTo(form)
    form.inputs["calibration"].show_value("none")
    assert not form.inputs["calibration"].isVisibleTo(form)


def test_without_pytorch_networks_are_greyed_out_with_the_reason(open_dock, qtbot):
    dock = open_dock(MISSING)
    box = dock.findChild(QComboBox, "model")
    item = box.model().item(box.findText("spi cnn"))
    assert not item.isEnabled()
    assert item.toolTip() == MISSING
    # Chosen all the same, by a file of settings.
    dock.form.set_settings(TrainSettings(model="spi_cnn"))
    assert dock.findChild(QLabel, "network_missing").text() == MISSING
    press(dock, "train", qtbot)
    assert dock.job is None
    assert dock.message.text() == MISSING


def test_networks_train_as_entered_and_tell_how_long_it_takes(open_dock, qtbot, fake):
    dock = open_dock()
    choose(dock, "model", "spi cnn")
    choose(dock, "preset", "more sh")
    choose(dock, "recipe", "cpu")
    dock.form.network.inputs["epochs"].show_value(6)
    hold = fake["hold"] = threading.Event()
    press(dock, "train", qtbot)
    bar = dock.findChild(QProgressBar)
    qtbot.waitUntil(lambda: "2 of 6 epochs" in bar.text(), timeout=WAIT)
    assert dock.message.text() == ESTIMATE
    assert not dock.findChild(QWidget, "network").isEnabled()
    hold.set()
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)
    wanted = SpiNetworkSettings(preset="more_sh", recipe="cpu", epochs=6)
    assert fake["network"] == fake["measured"] == wanted
    assert dock.model is not None
    assert dock.model.provenance["settings"]["model"] == "spi_cnn"
    assert "is trained" in dock.message.text()


def test_cancel_stops_after_the_epoch_and_says_what_is_kept(open_dock, qtbot, fake):
    dock = open_dock()
    choose(dock, "model", "spi cnn")
    hold = fake["hold"] = threading.Event()
    press(dock, "train", qtbot)
    bar = dock.findChild(QProgressBar)
    qtbot.waitUntil(lambda: "2 of 6 epochs" in bar.text(), timeout=WAIT)
    press(dock, "cancel", qtbot)
    assert "after this epoch" in dock.message.text()
    hold.set()
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)
    assert dock.model is None
    assert "no model was made" in dock.message.text()
    assert "Train goes on from there" in dock.message.text()


def test_a_setting_that_is_no_number_is_told(open_dock, qtbot, fake):
    dock = open_dock()
    choose(dock, "model", "spi cnn")
    dock.form.network.inputs["rate"].main.setText("fast")
    press(dock, "train", qtbot)
    assert "must be a number" in dock.message.text()
    assert "network" not in fake


def test_real_networks_train_as_without_a_dock(
    open_dock, qtbot, run, labels, monkeypatch, tmp_path
):
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("XFELSORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(workers, "REPORT_SECONDS", 0)
    try:
        dock = open_dock()
        small = SpiNetworkSettings(parts=2, epochs=1, batch=8, cell=8, device="cpu", resume=False)
        choose(dock, "model", "spi cnn")
        dock.form.network.set_settings(small)
        said = []
        dock.message.tell = said.append
        press(dock, "train", qtbot)
        qtbot.waitUntil(lambda: dock.job is None, timeout=200_000)
        assert any("2 networks (cpu recipe" in sentence for sentence in said)
        prepared = training.prepare(
            run.stack,
            LabelStore(labels, create=False),
            dock.form.settings(),
            Region.parse("whole"),
        )
        alone = training.train_prepared(prepared, dock.form.settings(), None, small)
        assert dock.model is not None, said
        ours, theirs = dock.model.predict(run.stack), alone.predict(run.stack)
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-6)
    finally:
        torch.set_num_threads(threads)
