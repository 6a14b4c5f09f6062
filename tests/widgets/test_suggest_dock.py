"""The Suggest dock: events worth labelling, by clicks."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QLineEdit, QPushButton

from napari_xfelsort.core.event_looks import describe_events
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.suggest import Suggester
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets.layers import run_layers
from napari_xfelsort.widgets.runs import runs_of
from napari_xfelsort.widgets.suggest_dock import SuggestDock
from napari_xfelsort.widgets.suggesting import BATCH, RELEARN, suggesting_of
from napari_xfelsort.widgets.workers import Job


@pytest.fixture
def dock(run, viewer, qtbot):
    # Not given to qtbot: it would be deleted before its work is awaited.
    made = SuggestDock(viewer)
    made.show()
    yield made
    made.release()
    qtbot.waitUntil(lambda: not Job._running, timeout=60_000)
    made.close()


def idle(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.suggesting.busy and not dock._go_on, timeout=60_000)


@pytest.fixture
def press(dock, qtbot):
    def click(name):
        button = dock.findChild(QPushButton, name)
        assert button.isEnabled(), name
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        idle(dock, qtbot)

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
    qtbot.waitUntil(lambda: dock.suggesting.n_learnt >= 20, timeout=60_000)
    idle(dock, qtbot)
    suggester = dock.suggesting.suggester
    assert suggester.classes == ("bad", "good")
    labelled = [i for i in range(len(run)) if run.label_of(i) is not None]
    assert len(labelled) == len(set(labelled)) == 24
    assert dock.plot.figure is not None
    assert not set(dock.suggesting.proposed) & set(labelled)
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
    qtbot.waitUntil(lambda: dock.suggesting.n_learnt == RELEARN, timeout=60_000)
    assert run.current == here
    assert dock.suggesting.proposed
    assert not set(dock.suggesting.proposed) & set(range(RELEARN))


def test_when_all_is_labelled_it_says_so(dock, press, run, simulated, tmp_path, qtbot):
    press("look")
    run.use_labels(LabelStore(tmp_path / "labels", "me"))
    for i, good in enumerate(simulated.good):
        run.set_label(i, "good" if good else "bad")
    qtbot.waitUntil(lambda: dock.suggesting.n_learnt == len(run), timeout=60_000)
    idle(dock, qtbot)
    press("next_suggested")
    assert "Every event" in dock.message.text()


def test_a_wrong_region_is_said(dock, qtbot):
    way = dock.region.way
    way.setCurrentIndex(way.findData("panels"))
    dock.findChild(QLineEdit, "region_panels").setText("nowhere")
    qtbot.mouseClick(dock.findChild(QPushButton, "look"), Qt.MouseButton.LeftButton)
    idle(dock, qtbot)
    assert "nowhere" in dock.message.text()
    assert dock.suggesting.suggester is None


def test_another_run_or_geometry_begins_anew(
    dock, press, run, open_run, simulated, simulated_second
):
    press("look")
    known = dock.suggesting
    assert known.suggester is not None
    second = open_run(simulated_second.data)
    assert dock.chooser.run is second
    assert dock.suggesting.suggester is None
    assert not dock.findChild(QPushButton, "next_suggested").isEnabled()
    runs_of(run.viewer).activate(run)  # what was read once is still known
    assert dock.suggesting is known is suggesting_of(run)
    assert dock.findChild(QPushButton, "next_suggested").isEnabled()
    without = run_layers(open_stack(str(simulated.data)), run.opened)
    run.replace(without)  # no geometry
    assert known.suggester is None
    assert known.in_hand == []
    assert not dock.findChild(QPushButton, "next_suggested").isEnabled()


def test_reading_can_be_cancelled(dock, run, qtbot, monkeypatch):
    monkeypatch.setattr("napari_xfelsort.widgets.workers.REPORT_SECONDS", 0.0)
    qtbot.mouseClick(dock.findChild(QPushButton, "look"), Qt.MouseButton.LeftButton)
    qtbot.mouseClick(dock.findChild(QPushButton, "cancel"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not Job._running, timeout=60_000)
    assert dock.suggesting.suggester is None
    assert "Stopped" in dock.message.text()


def test_without_a_run_nothing_can_be_pressed(viewer, qtbot):
    made = SuggestDock(viewer)
    qtbot.addWidget(made)
    assert runs_of(viewer).active is None
    assert "Open a run" in said(made, "state")
    assert not made.findChild(QPushButton, "look").isEnabled()
    made.release()


def test_without_labels_all_can_be_seen_and_then_again(dock, press, run):
    press("look")
    seen = [run.current]
    for _ in range(len(run)):
        press("next_suggested")
        seen.append(run.current)
    assert len(set(seen[: len(run) - 1])) == len(run) - 1  # none twice while others are left
    assert set(seen) == set(range(len(run)))
    assert dock.message.text() == ""


def test_only_the_event_shown_is_left(dock, press, run, simulated, tmp_path, qtbot):
    press("look")
    run.use_labels(LabelStore(tmp_path / "labels", "me"))
    run.go_to(3)
    for i, good in enumerate(simulated.good):
        if i != 3:
            run.set_label(i, "good" if good else "bad")
    qtbot.waitUntil(lambda: dock.suggesting.n_learnt == len(run) - 1, timeout=60_000)
    press("next_suggested")
    assert dock.message.text() == "There is no other event to suggest."
    assert run.current == 3


def test_the_region_is_kept_for_another_dock_and_other_frames(dock, press, viewer, run, qtbot):
    dock.region.set_region(Region.parse("panel:p6a0"))
    press("look")
    later = SuggestDock(viewer)
    assert later.region.region() == Region.parse("panel:p6a0")
    assert later.findChild(QPushButton, "next_suggested").isEnabled()
    later.release()


def test_reading_that_nobody_waits_for_is_stopped(viewer, run, qtbot, monkeypatch):
    monkeypatch.setattr("napari_xfelsort.widgets.workers.REPORT_SECONDS", 0.0)
    first, second = SuggestDock(viewer), SuggestDock(viewer)
    first.look()
    known = suggesting_of(run)
    first.release()
    assert known.looking  # the second dock waits
    second.release()
    assert not known.looking
    qtbot.waitUntil(lambda: not Job._running, timeout=60_000)
    assert known.suggester is None


def test_nothing_is_left_of_a_run_that_is_closed(viewer, open_run, own, qtbot):
    run = open_run(own.data)
    known = suggesting_of(run)
    known.look()
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not Job._running, timeout=60_000)
    gone = weakref.ref(run), weakref.ref(known)
    del run, known
    qtbot.wait(20)
    gc.collect()
    assert [one() for one in gone] == [None, None]
