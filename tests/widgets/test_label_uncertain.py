"""After each label the event that a quick model is least sure of, by keys."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from label_user import User, canvas_of, labels_on_disk, settled
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.event_looks import describe_events
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.suggest import Suggester
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets import suggesting
from napari_xfelsort.widgets.label_dock import NEXT, UNCERTAIN, LabelDock
from napari_xfelsort.widgets.layers import run_layers
from napari_xfelsort.widgets.runs import runs_of
from napari_xfelsort.widgets.suggest_dock import SuggestDock
from napari_xfelsort.widgets.suggesting import BATCH, RELEARN, suggesting_of
from napari_xfelsort.widgets.workers import Job

WAIT = 60_000


@pytest.fixture
def labelled_run(run, tmp_path):
    """The run of 40 events, with a label folder of its own."""
    run.use_labels(LabelStore(tmp_path / "labels", "me"))
    return run


@pytest.fixture(autouse=True)
def no_work_is_left(qtbot):
    yield
    qtbot.waitUntil(lambda: not Job._running, timeout=WAIT)


def choose(user, known, qtbot) -> None:
    """Choose the order and wait until something is proposed."""
    user.dock.advance.setCurrentText(UNCERTAIN)
    qtbot.waitUntil(lambda: not known.busy, timeout=WAIT)
    assert known.in_hand


def key_of(run, simulated) -> str:
    return "G" if simulated.good[run.current] else "W"


@pytest.fixture
def gate(monkeypatch):
    """Holds the reading of all events until it is opened."""
    opened, begun, counted = threading.Event(), threading.Event(), []

    def held(stack, region=None, settings=None, progress=None):
        counted.append(region)
        progress(3, len(stack))
        begun.set()
        assert opened.wait(120)
        progress(len(stack), len(stack))  # where it can be stopped
        return describe_events(stack, region, settings)

    monkeypatch.setattr(suggesting, "describe_events", held)
    yield SimpleNamespace(open=opened.set, begun=begun, read=counted)
    opened.set()


def test_every_event_once_in_the_order_of_the_model(labelled_run, user, simulated, qtbot):
    run, known = labelled_run, suggesting_of(labelled_run)
    choose(user, known, qtbot)
    by_core = Suggester(describe_events(run.stack).matrix)
    by_core.update([None] * len(run))
    wanted = [i for i in by_core.propose(BATCH).tolist() if i != 0]
    shown = [run.current]
    for _ in range(len(run)):
        user.press(key_of(run, simulated))
        shown.append(run.current)
        qtbot.wait(10)  # the model learns meanwhile
    # before it learnt, typical events; at last every event, each shown once
    assert shown[1:RELEARN] == wanted[: RELEARN - 1]
    assert sorted(shown[: len(run)]) == list(range(len(run)))
    assert user.told == "All 40 events are labelled."
    truth = {f"//{i}": "good" if good else "bad" for i, good in enumerate(simulated.good)}
    store = LabelStore(run.labels.folder, "reader")
    assert {event.event: label for event, label in store.labels().items()} == truth


def test_what_is_shown_is_uncertain(labelled_run, user, simulated, qtbot):
    run, known = labelled_run, suggesting_of(labelled_run)
    choose(user, known, qtbot)
    for _ in range(RELEARN * 3):
        user.press(key_of(run, simulated))
        qtbot.waitUntil(lambda: not known.busy and not known._timer.isActive(), timeout=WAIT)
    labels = [run.label_of(i) for i in range(len(run))]
    qtbot.waitUntil(lambda: known.n_learnt >= RELEARN * 2, timeout=WAIT)
    user.press(key_of(run, simulated))
    judge = Suggester(describe_events(run.stack).matrix)
    judge.update(labels)
    unsure = judge.uncertainty
    left = [i for i in range(len(run)) if labels[i] is None]
    assert unsure[run.current] >= sorted(unsure[left])[len(left) // 4]


def test_while_events_are_read_random_ones_come_and_it_says_so(labelled_run, user, gate, qtbot):
    run, known = labelled_run, suggesting_of(labelled_run)
    user.dock.show()
    user.dock.advance.setCurrentText(UNCERTAIN)
    qtbot.waitUntil(gate.begun.is_set, timeout=WAIT)
    assert "until then random ones" in user.reads("suggesting")
    bar = user.dock.suggesting.findChild(QProgressBar, "progress")
    qtbot.waitUntil(lambda: (bar.value(), bar.maximum()) == (3, 40), timeout=WAIT)
    assert bar.isVisibleTo(user.dock)
    shown = [run.current]
    for _ in range(6):  # no key waits
        user.press("G")
        shown.append(run.current)
    assert len(set(shown)) == 7
    assert shown != list(range(7))
    assert known.looking
    assert len(gate.read) == 1
    gate.open()
    qtbot.waitUntil(lambda: not known.busy, timeout=WAIT)
    assert not bar.isVisibleTo(user.dock)
    assert user.reads("suggesting") == "Suggestions rest on 6 labels."
    following = known.in_hand[0]
    user.press("W")
    assert run.current == following


def test_two_docks_read_events_once(labelled_run, user, viewer, gate, qtbot):
    run, known = labelled_run, suggesting_of(labelled_run)
    dock = SuggestDock(viewer)
    qtbot.addWidget(dock)
    user.dock.advance.setCurrentText(UNCERTAIN)
    dock.look()
    dock.look()
    user.press("G")
    gate.open()
    qtbot.waitUntil(lambda: not known.busy and not dock._go_on, timeout=WAIT)
    assert len(gate.read) == 1
    first = known.last
    assert run.current == first  # the Suggest dock was asked to look, and goes on
    dock.next_suggested()
    second = known.last
    user.press("W")
    assert len({0, first, second, run.current}) == 4
    dock.release()


def test_the_region_is_that_of_the_suggest_dock(labelled_run, user, viewer, gate, qtbot):
    dock = SuggestDock(viewer)
    qtbot.addWidget(dock)
    dock.region.set_region(Region.parse("panel:p6a0"))
    gate.open()
    user.dock.advance.setCurrentText(UNCERTAIN)
    dock.release()
    qtbot.waitUntil(lambda: not Job._running, timeout=WAIT)
    assert gate.read == [Region.parse("panel:p6a0")]


def test_while_the_model_learns_the_proposals_in_hand_are_used(
    labelled_run, user, simulated, qtbot, monkeypatch
):
    run, known = labelled_run, suggesting_of(labelled_run)
    choose(user, known, qtbot)
    opened, update = threading.Event(), Suggester.update

    def slow(self, labels, accuracy=True):
        assert opened.wait(120)
        return update(self, labels, accuracy)

    monkeypatch.setattr(Suggester, "update", slow)
    in_hand = [i for i in known.in_hand if i != run.current]
    for i in in_hand[:RELEARN]:
        user.press(key_of(run, simulated))
        assert run.current == i
    qtbot.waitUntil(lambda: known.busy, timeout=WAIT)
    for i in in_hand[RELEARN:]:
        user.press(key_of(run, simulated))
        assert run.current == i
    labelled = run.tally.n_labelled
    user.press(key_of(run, simulated))  # none is in hand any more
    assert (run.tally.n_labelled, run.label_of(run.current)) == (labelled + 1, None)
    assert user.reads("suggesting").startswith("Suggestions are being chosen")
    here = run.current
    opened.set()
    qtbot.waitUntil(lambda: not known.busy and known.n_learnt > RELEARN, timeout=WAIT)
    assert run.current == here  # nothing moves by itself
    following = next(i for i in known.in_hand if i != here and run.label_of(i) is None)
    user.press(key_of(run, simulated))
    assert run.current == following


def test_events_that_others_labelled_are_skipped(labelled_run, user, qtbot):
    run, known = labelled_run, suggesting_of(labelled_run)
    choose(user, known, qtbot)
    in_hand = [i for i in known.in_hand if i != run.current]
    run.set_label(in_hand[0], "bad")
    run.set_label(in_hand[1], "ignore")
    user.press("G")
    assert run.current == in_hand[2]


def test_undo_and_redo_keep_their_order(labelled_run, user, qtbot, monkeypatch):
    monkeypatch.setattr(suggesting, "RELEARN", 100)  # however long the keys take
    run, known = labelled_run, suggesting_of(labelled_run)
    choose(user, known, qtbot)
    first, second, third = [i for i in known.in_hand if i][:3]
    user.press("G")
    user.press("W")
    assert run.current == second
    user.press("U")
    assert (run.current, run.label_of(first), run.label_of(0)) == (first, None, "good")
    user.press("U")
    assert (run.current, run.tally.n_labelled) == (0, 0)
    user.press("9")
    assert (run.current, run.label_of(0)) == (0, "good")
    user.press("U")
    user.press("W")
    assert run.current == first  # from which undo had led away
    user.press("G")
    assert run.current == second
    user.press("G")
    assert run.current == third
    assert labels_on_disk_in(run) == {0: "bad", first: "good", second: "good"}


def labels_on_disk_in(run) -> dict[int, str]:
    store = LabelStore(run.labels.folder, "reader")
    return {run.stack.find(event): label for event, label in store.labels().items()}


def test_stopped_it_goes_on_at_random_until_asked_again(labelled_run, user, gate, qtbot):
    run, known = labelled_run, suggesting_of(labelled_run)
    user.dock.show()
    user.dock.advance.setCurrentText(UNCERTAIN)
    qtbot.waitUntil(gate.begun.is_set, timeout=WAIT)
    button = user.dock.findChild(QPushButton, "stop_looking")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    gate.open()
    qtbot.waitUntil(lambda: not known.busy, timeout=WAIT)
    assert user.reads("suggesting").startswith("Stopped; the events were not all looked at.")
    assert not button.isVisibleTo(user.dock)
    user.press("G")
    assert run.current != 0
    assert len(gate.read) == 1
    box = user.dock.advance
    box.activated.emit(box.currentIndex())  # chosen once more
    qtbot.waitUntil(lambda: not known.busy, timeout=WAIT)
    assert len(gate.read) == 2
    assert known.in_hand


def test_another_order_stops_the_reading(labelled_run, user, gate, qtbot):
    known = suggesting_of(labelled_run)
    user.dock.advance.setCurrentText(UNCERTAIN)
    qtbot.waitUntil(gate.begun.is_set, timeout=WAIT)
    user.dock.advance.setCurrentText(NEXT)
    assert not known.looking
    user.dock.advance.setCurrentText(UNCERTAIN)  # before the first reading has stopped
    gate.open()
    qtbot.waitUntil(lambda: not known.busy, timeout=WAIT)
    assert len(gate.read) == 2
    assert known.in_hand
    user.dock.advance.setCurrentText(NEXT)
    user.press("G")
    assert labelled_run.current == 1
    assert not user.dock.suggesting.isVisibleTo(user.dock)


def test_reading_that_fails_is_told(labelled_run, user, qtbot, monkeypatch):
    def broken(*_, **__):
        raise RegionError("All of the region is masked.")

    monkeypatch.setattr(suggesting, "describe_events", broken)
    user.dock.advance.setCurrentText(UNCERTAIN)
    qtbot.waitUntil(lambda: not Job._running, timeout=WAIT)
    assert user.reads("suggesting").startswith("All of the region is masked.")
    user.press("G")
    assert labelled_run.label_of(0) == "good"
    assert labelled_run.label_of(labelled_run.current) is None


def test_other_frames_are_looked_at_anew(labelled_run, user, simulated, gate, qtbot):
    run, known = labelled_run, suggesting_of(labelled_run)
    gate.open()
    choose(user, known, qtbot)
    user.press("G")
    run.replace(run_layers(open_stack(str(simulated.data)), run.opened))  # no geometry
    user.settle()
    assert known.suggester is None
    assert known.in_hand == []
    user.press("W")
    assert known.looking
    qtbot.waitUntil(lambda: not known.busy, timeout=WAIT)
    assert len(gate.read) == 2
    assert known.in_hand


def test_frames_replaced_while_they_are_read(labelled_run, user, simulated, gate, qtbot):
    run, known = labelled_run, suggesting_of(labelled_run)
    user.dock.advance.setCurrentText(UNCERTAIN)
    qtbot.waitUntil(gate.begun.is_set, timeout=WAIT)
    run.replace(run_layers(open_stack(str(simulated.data)), run.opened))
    gate.open()
    qtbot.waitUntil(lambda: not known.busy, timeout=WAIT)
    assert known.suggester is None  # what was read was of frames that are gone


def test_each_run_has_its_own(labelled_run, user, open_run, simulated_second, tmp_path, qtbot):
    known = suggesting_of(labelled_run)
    choose(user, known, qtbot)
    seen = known.suggester
    second = open_run(simulated_second.data, simulated_second.geometry)
    second.use_labels(LabelStore(tmp_path / "labels2", "me"))
    user.press("G")
    assert suggesting_of(second).looking
    qtbot.waitUntil(lambda: not Job._running, timeout=WAIT)
    runs_of(second.viewer).activate(labelled_run)
    second.layer.visible = False
    following = next(i for i in known.in_hand if i != labelled_run.current)
    user.press("G")
    assert known.suggester is seen
    assert labelled_run.current == following


def test_real_keys_in_a_window(window, qtbot):
    _, run, dock = window
    known = suggesting_of(run)
    dock.advance.setCurrentText(UNCERTAIN)
    qtbot.waitUntil(lambda: not known.busy and bool(known.in_hand), timeout=WAIT)
    assert dock.findChild(QLabel, "suggesting").isVisible()
    canvas, shown = canvas_of(dock), [run.current]
    for _ in range(len(run)):
        settled(dock, qtbot)
        qtbot.keyClick(canvas, Qt.Key.Key_G)
        shown.append(run.current)
    assert sorted(shown[:-1]) == list(range(len(run)))
    assert labels_on_disk(run) == {f"//{i}": "good" for i in range(len(run))}
    assert dock.message.text() == "All 8 events are labelled."


def test_a_dock_that_is_closed_leaves_nothing(viewer, labelled_run, gate, qtbot):
    dock = LabelDock(viewer)
    qtbot.addWidget(dock)
    User(dock, qtbot).settle()
    known = suggesting_of(labelled_run)
    before = len(known.changed), len(known.progressed)
    dock.advance.setCurrentText(UNCERTAIN)
    dock.release()
    assert (len(known.changed), len(known.progressed)) == before
    assert not known.looking
    gate.open()
