"""The Suggest dock: events worth labelling, by clicks."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QLineEdit, QPushButton

from napari_xfelsort.core.event_looks import describe_events
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.suggest import Suggester
from napari_xfelsort.widgets.runs import runs_of
from napari_xfelsort.widgets.suggest_dock import BATCH, RELEARN, SuggestDock


@pytest.fixture
def dock(run, viewer, qtbot):
    # Not given to qtbot: it would be deleted before its work is awaited.
    made = SuggestDock(viewer)
    made.show()
    yield made
    made.release()
    qtbot.waitUntil(lambda: made.job is None, timeout=60_000)
    made.close()


@pytest.fixture
def press(dock, qtbot):
    def click(name):
        button = dock.findChild(QPushButton, name)
        assert button.isEnabled(), name
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: dock.job is None and not dock._go_on, timeout=60_000)

    return click


def said(dock, name):
    return dock.findChild(QLabel, name).text()


def test_it_begins_with_typical_events_of_the_whole_run(dock, press, run):
    assert not dock.findChild(QPushButton, "next_suggested").isEnabled()
    press("look")
    by_core = Suggester(describe_events(run.stack).matrix)
    by_core.update([None] * len(run))
    wanted = by_core.propose(BATCH).tolist()
    shown = [run.current]
    for _ in range(BATCH - 1):
        press("next_suggested")
        shown.append(run.current)
    assert [i for i in wanted if i != 0] == [i for i in shown if i != 0][: len(wanted)]


def test_labels_are_learnt_and_what_they_say_is_told(dock, press, run, simulated, tmp_path, qtbot):
    press("look")
    run.use_labels(LabelStore(tmp_path / "labels", "me"))
    for _ in range(24):
        run.set_label(run.current, "good" if simulated.good[run.current] else "bad")
        press("next_suggested")
    qtbot.waitUntil(lambda: dock._learnt >= 20 and dock.job is None, timeout=60_000)
    suggester = dock.suggester
    assert suggester.classes == ("bad", "good")
    labelled = [i for i in range(len(run)) if run.label_of(i) is not None]
    assert len(labelled) == len(set(labelled)) == 24
    assert dock.plot.figure is not None
    assert not set(dock.proposed) & set(labelled)
    run.go_to(3)
    best = suggester.predicted()[3]
    assert said(dock, "opinion").startswith(f"The labels so far say: {best} (")
    assert "24 of 40" in said(dock, "state")
    right = [
        guess == ("good" if good else "bad")
        for guess, good in zip(suggester.predicted(), simulated.good, strict=True)
    ]
    assert np.mean(right) > 0.8


def test_new_labels_lead_to_new_suggestions_without_asking(
    dock, press, run, simulated, tmp_path, qtbot
):
    press("look")
    run.use_labels(LabelStore(tmp_path / "labels", "me"))
    here = run.current
    for i in range(RELEARN):
        run.set_label(i, "good" if simulated.good[i] else "bad")
    qtbot.waitUntil(lambda: dock._learnt == RELEARN and dock.job is None, timeout=60_000)
    assert run.current == here
    assert dock.proposed
    assert not set(dock.proposed) & set(range(RELEARN))


def test_when_all_is_labelled_it_says_so(dock, press, run, simulated, tmp_path, qtbot):
    press("look")
    run.use_labels(LabelStore(tmp_path / "labels", "me"))
    for i, good in enumerate(simulated.good):
        run.set_label(i, "good" if good else "bad")
    qtbot.waitUntil(lambda: dock._learnt == len(run) and dock.job is None, timeout=60_000)
    press("next_suggested")
    assert "Every event" in dock.message.text()


def test_a_wrong_region_is_said(dock, qtbot):
    way = dock.region.way
    way.setCurrentIndex(way.findData("panels"))
    dock.findChild(QLineEdit, "region_panels").setText("nowhere")
    qtbot.mouseClick(dock.findChild(QPushButton, "look"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.job is None, timeout=60_000)
    assert "nowhere" in dock.message.text()
    assert dock.suggester is None


def test_another_run_or_geometry_begins_anew(dock, press, run, open_run, simulated_second):
    press("look")
    assert dock.suggester is not None
    second = open_run(simulated_second.data)
    assert dock.chooser.run is second
    assert dock.suggester is None
    assert not dock.findChild(QPushButton, "next_suggested").isEnabled()


def test_reading_can_be_cancelled(dock, run, qtbot, monkeypatch):
    monkeypatch.setattr("napari_xfelsort.widgets.workers.REPORT_SECONDS", 0.0)
    qtbot.mouseClick(dock.findChild(QPushButton, "look"), Qt.MouseButton.LeftButton)
    qtbot.mouseClick(dock.findChild(QPushButton, "cancel"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.job is None, timeout=60_000)
    assert dock.suggester is None
    assert "Stopped" in dock.message.text()


def test_without_a_run_nothing_can_be_pressed(viewer, qtbot):
    made = SuggestDock(viewer)
    qtbot.addWidget(made)
    assert runs_of(viewer).active is None
    assert "Open a run" in said(made, "state")
    assert not made.findChild(QPushButton, "look").isEnabled()
    made.release()
