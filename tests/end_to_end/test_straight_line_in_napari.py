"""The straight line in napari, by clicks and keys, against the same steps headless."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QLineEdit, QPushButton
from typer.testing import CliRunner

import napari_xfelsort as xs
from napari_window import PLUGIN, click_picture, press
from napari_xfelsort.cli import app
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.widgets.runs import runs_of

N_LABELLED = 40
PANEL = "p6a0"


@pytest.fixture
def window(make_napari_viewer, tmp_path, monkeypatch):
    """A napari window whose samples and results lie in a temporary folder."""
    monkeypatch.setenv("XFELSORT_SAMPLES", str(tmp_path / "samples"))
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    return viewer


def dock_of(viewer, name):
    return viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)[1]


def click(qtbot, dock, name):
    button = dock.findChild(QPushButton, name)
    assert button.isEnabled(), name
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def type_in(qtbot, dock, name, text):
    line = dock.findChild(QLineEdit, name)
    line.clear()
    qtbot.keyClicks(line, text)
    qtbot.keyClick(line, Qt.Key.Key_Return)


def idle(qtbot, dock):
    qtbot.waitUntil(lambda: dock.job is None, timeout=120_000)
    qtbot.wait(20)


def label_by_keys(qtbot, dock, run, is_good):
    """Label the first events by keys, each when its picture is there."""

    def is_seen(i):
        return run.current == i and run.is_drawn and not dock._painted.isActive()

    for i in range(N_LABELLED):
        qtbot.waitUntil(lambda i=i: is_seen(i))
        wanted = "good" if is_good[i] else "bad"
        press(Qt.Key.Key_G if is_good[i] else Qt.Key.Key_W)
        assert run.label_of(i) == wanted, dock.message.text()


def truth_of(run):
    """Whether each event of a sample is good, by the lists that the simulation wrote."""
    folder = Path(run.opened.paths[0]).parent
    good = events_in(folder / "truth" / "good.lst")
    return [run.stack.event_id(i).event in good for i in range(len(run))]


def events_in(path):
    """The event parts of a list: //0, //3, ..."""
    return {entry.event.event for entry in read_list(path)}


def test_from_a_sample_to_lists_as_without_a_screen(window, qtbot, tmp_path):
    # Open the sample and label.
    window.open_sample(PLUGIN, "run-to-label")
    run = runs_of(window).active
    is_good = truth_of(run)
    labelling = dock_of(window, "Label events")
    labels = tmp_path / "labels"
    type_in(qtbot, labelling, "label_folder", str(labels))
    idle(qtbot, labelling)
    label_by_keys(qtbot, labelling, run, is_good)
    store = xs.LabelStore(labels, create=False)
    assert store.aligned(run.stack)[:N_LABELLED] == [
        "good" if good else "bad" for good in is_good[:N_LABELLED]
    ]

    # Train on a panel that is clicked in the picture.
    training = dock_of(window, "Train a model")
    assert training.findChild(QLineEdit, "labels").text() == str(labels)
    way = training.findChild(QComboBox, "region_way")
    way.setCurrentIndex(way.findData("panels"))
    qtbot.wait(50)
    click(qtbot, training, "region_pick")
    corners = run.stack.geometry.outlines()[PANEL]
    click_picture(window, *corners.mean(axis=0))
    qtbot.waitUntil(lambda: training.findChild(QLineEdit, "region_panels").text() == PANEL)
    bin_size = training.findChild(QAbstractSpinBox, "bin")
    bin_size.selectAll()
    qtbot.keyClicks(bin_size, "8")
    normalise = training.findChild(QComboBox, "normalise")
    normalise.setCurrentIndex(normalise.findText("median"))
    click(qtbot, training, "train")
    idle(qtbot, training)
    assert training.model is not None, training.message.text()
    type_in(qtbot, training, "model_file", str(tmp_path / "panel.xfelmodel"))
    click(qtbot, training, "save_model")
    idle(qtbot, training)
    model = xs.load_model(tmp_path / "panel.xfelmodel")

    # Sort the second sample.
    window.open_sample(PLUGIN, "run-to-sort")
    second = runs_of(window).active
    assert second is not run
    sorting = dock_of(window, "Sort events")
    assert sorting.findChild(QLineEdit, "model").text() == str(tmp_path / "panel.xfelmodel")
    type_in(qtbot, sorting, "out", str(tmp_path / "sorted"))
    click(qtbot, sorting, "sort")
    idle(qtbot, sorting)
    assert "good" in sorting.message.text(), sorting.message.text()

    # The same without a screen.
    done = headless(run, second, labels, tmp_path)
    assert model.digest == xs.load_model(tmp_path / "cli.xfelmodel").digest
    for name in ("good.lst", "bad.lst", "unsure.lst", "summary.csv"):
        assert (tmp_path / "sorted" / name).read_bytes() == (done / name).read_bytes(), name
    # And they are right.
    sorted_good = events_in(tmp_path / "sorted" / "good.lst")
    truth = truth_of(second)
    right = sum(
        (second.stack.event_id(i).event in sorted_good) == good for i, good in enumerate(truth)
    )
    assert right > 0.9 * len(truth)


def headless(run, second, labels, folder) -> Path:
    """Train and sort with the command line."""
    (data,), geometry = run.opened.paths, run.opened.geometry
    model, out = folder / "cli.xfelmodel", folder / "cli_sorted"
    train = ["train", data, "--geometry", geometry, "--labels", labels, "--out", model]
    train += ["--region", f"panel:{PANEL}", "--bin", 8, "--normalise", "median"]
    (to_sort,) = second.opened.paths
    sort = ["sort", to_sort, "--geometry", second.opened.geometry, "--model", model, "--out", out]
    for command in (train, sort):
        result = CliRunner().invoke(app, [str(part) for part in command])
        assert result.exit_code == 0, result.output
    return out
