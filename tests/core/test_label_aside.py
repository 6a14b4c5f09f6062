"""Many labels written in another thread while single ones are given."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.label_rules import LabelRule, apply_rule, withdraw
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.simulate import simulate_detector
from napari_xfelsort.readers import open_stack

RULE = LabelRule("r", 0, 1, "good", "bad")


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    return open_stack(str(simulate_detector(tmp_path_factory.mktemp("run"), n_events=6).data))


@pytest.fixture
def store(tmp_path):
    return LabelStore(tmp_path / "labels", "me")


def on_disk(store, stack):
    return LabelStore(store.folder, "reader").aligned(stack)


def test_labels_given_meanwhile_count(store, stack):
    events = [stack.event_id(i) for i in range(6)]
    store.set(events[0], "bad")
    aside = store.aside()
    store.set(events[1], "ignore")  # before the copy writes
    apply_rule(aside, stack, np.array([0, 0, 0, 5, np.nan, 0.0]), RULE)
    store.set(events[2], "bad")  # after it wrote, before it is taken over
    store.clear(events[0])
    assert store.aligned(stack) == [None, "ignore", "bad", None, None, None]
    since = store.take_over(aside)
    assert [entry.label for entry in since] == ["ignore", "bad", ""]
    wanted = [None, "ignore", "bad", "bad", None, "good"]
    assert store.aligned(stack) == wanted
    assert on_disk(store, stack) == wanted
    assert store.voices == ("me", "rule:r")
    assert set(store.said("rule:r")) == {store.key(events[i]) for i in (1, 2, 3, 5)}
    store.set(events[5], "bad")
    assert on_disk(store, stack) == [*wanted[:5], "bad"] == store.aligned(stack)


def test_what_others_labelled_in_the_future_is_not_in_the_way(store, stack):
    """A clock that is ahead, of somebody else or of this computer before it was set."""
    event = stack.event_id(0)
    (store.folder / "labels-other.csv").write_text(
        f"2999-01-01T00:00:00Z,{event.place or event.file},{event.event},good,hand,\n"
    )
    store.reload()
    aside = store.aside()
    apply_rule(aside, stack, np.full(6, 5.0), RULE, over_hand=True)
    store.set(stack.event_id(1), "ignore")
    store.take_over(aside)
    assert store.aligned(stack) == ["bad", "ignore", *["bad"] * 4] == on_disk(store, stack)


def test_a_rule_is_one_step_to_undo(store, stack):
    history = LabelHistory(store)
    history.set(stack.event_id(0), "good")
    aside = store.aside()
    behind = history.aside(aside)
    apply_rule(aside, stack, np.full(6, 5.0), RULE, history=behind)
    history.set(stack.event_id(1), "ignore")
    store.take_over(aside)
    history.take_over(behind)
    assert store.aligned(stack) == ["good", "ignore", *["bad"] * 4]
    assert "rule" in history.next_undo
    history.undo()
    assert store.aligned(stack) == ["good", "ignore", *[None] * 4] == on_disk(store, stack)
    history.redo()
    assert store.aligned(stack) == ["good", *["bad"] * 5]  # asked for after the label by hand
    history.undo()
    history.undo()
    history.undo()
    assert store.aligned(stack) == [None] * 6 == on_disk(store, stack)


@pytest.mark.parametrize("meanwhile", [False, True])
def test_undone_aside(store, stack, meanwhile):
    """As undo and redo one after another, with what is labelled meanwhile on top."""
    history = LabelHistory(store)
    history.set(stack.event_id(0), "good")
    apply_rule(store, stack, np.full(6, 5.0), RULE, history=history)
    top = "ignore" if meanwhile else None
    aside = store.aside()
    behind = history.aside(aside)
    if meanwhile:
        history.set(stack.event_id(1), "ignore")
    assert "rule" in behind.undo().text
    store.take_over(aside)
    history.take_over(behind)
    assert store.aligned(stack) == ["good", top, *[None] * 4] == on_disk(store, stack)
    if meanwhile:
        assert not history.next_redo  # a new label clears what could be done again
        history.undo()
        assert store.aligned(stack)[0] == "good"
    else:
        assert history.size(again=True) == 5
        aside = store.aside()
        behind = history.aside(aside)
        behind.redo()
        store.take_over(aside)
        history.take_over(behind)
        assert store.aligned(stack) == ["good", *["bad"] * 5] == on_disk(store, stack)
        assert not history.next_redo
        history.undo()
    assert history.size() == 1
    history.undo()
    assert store.aligned(stack)[0] is None
    assert history.size() == 0


def test_journals_read_meanwhile(store, stack):
    aside = store.aside()
    store.set(stack.event_id(3), "good")
    store.reload()
    apply_rule(aside, stack, np.full(6, 5.0), RULE)
    assert store.take_over(aside) is None
    assert store.aligned(stack) == [*["bad"] * 3, "good", "bad", "bad"]


def test_files_that_were_moved(store, stack):
    """Labels of a file by the end of its name; they are recognised while the copy writes."""
    event = stack.event_id(2)
    name = (event.place or event.file).rsplit("/", 2)[1:]
    (store.folder / "labels-other.csv").write_text(
        f"2020-01-01T00:00:00Z,{'/'.join(name)},{event.event},good,hand,\n"
    )
    store.reload()
    aside = store.aside()
    store.recognise(store.match(stack).renamed)
    assert store.get(event) == "good"
    apply_rule(aside, stack, np.full(6, 5.0), RULE)
    store.set(stack.event_id(1), "ignore")
    store.take_over(aside)
    assert store.aligned(stack) == ["bad", "ignore", "good", *["bad"] * 3] == on_disk(store, stack)
    assert store.get(event) == "good"
    assert store.entry(event).labeller == "other"


def test_two_at_once(store, stack):
    first, second = store.aside(), store.aside()
    apply_rule(second, stack, np.full(6, 0.0), LabelRule("second"))
    apply_rule(first, stack, np.full(6, 5.0), RULE)
    store.take_over(first)
    assert store.take_over(second) is None
    assert store.aligned(stack) == on_disk(store, stack) == ["good"] * 6  # asked for last


def test_withdrawn_aside(store, stack):
    apply_rule(store, stack, np.full(6, 5.0), RULE)
    aside = store.aside()
    store.set(stack.event_id(0), "good")
    assert withdraw(aside, "rule:r") == 6
    store.take_over(aside)
    assert store.aligned(stack) == ["good", *[None] * 5] == on_disk(store, stack)


def test_from_two_threads(tmp_path, stack):
    """The journal is new: both threads would begin it."""
    store = LabelStore(tmp_path / "labels", "me")
    others = [EventId("x.h5", f"//{i}") for i in range(200)]
    aside, ready = store.aside(), threading.Barrier(2)

    def work():
        ready.wait()
        for _ in range(20):
            apply_rule(aside, stack, np.full(6, 5.0), RULE)

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    for event in others:
        store.set(event, "good")
    thread.join()
    store.take_over(aside)
    read = LabelStore(store.folder, "reader")
    assert not read.warnings
    assert read.counts() == store.counts() == {"bad": 6, "good": 200}
