"""Undo and redo against a dictionary and two stacks, alone and among others."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xfelsort.core.agreement import opinions_of, settle
from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.labels import LabelStore
from programs import program

EVENTS = [EventId(file, f"//{i}") for file in ("a.cxi", "b.cxi") for i in range(2)]


def test_by_hand_across_files(tmp_path):
    store = LabelStore(tmp_path, "anna")
    history = LabelHistory(store)
    assert history.undo() is None
    assert history.redo() is None
    history.set(EVENTS[0], "good")
    history.set(EVENTS[3], "bad", note="half shadowed")
    history.set_many([(e, "ice") for e in EVENTS], "rule:ice", "settings")
    history.clear(EVENTS[3])
    assert history.next_undo == "label taken back of b.cxi //1"
    assert [history.undo().text for _ in range(2)] == [
        "label taken back of b.cxi //1",
        "label ice of 4 events",
    ]
    assert store.labels() == {EVENTS[0]: "good", EVENTS[3]: "bad"}
    assert store.entry(EVENTS[3]).note == "half shadowed"
    change = history.redo()
    assert change.events == tuple(EVENTS)
    assert set(store.labels().values()) == {"ice"}
    assert store.entry(EVENTS[0]).source == "rule:ice"
    assert history.next_redo == "label taken back of b.cxi //1"
    history.set(EVENTS[1], "bad")
    assert history.next_redo == ""
    assert history.redo() is None
    while history.undo():
        pass
    assert store.labels() == {}
    assert LabelStore(tmp_path, "bert").labels() == {}


def test_the_journal_only_grows(tmp_path):
    store = LabelStore(tmp_path, "anna")
    history = LabelHistory(store)
    path = tmp_path / "labels-anna.csv"
    before = b""
    for step in (lambda: history.set(EVENTS[0], "good"), history.undo, history.redo, history.undo):
        step()
        now = path.read_bytes()
        assert now.startswith(before)
        assert len(now) > len(before)
        before = now


def test_what_cannot_be_written_is_no_step(tmp_path, monkeypatch):
    store = LabelStore(tmp_path, "anna")
    history = LabelHistory(store)
    with pytest.raises(LabelError):
        history.set(EVENTS[0], "undecided")
    history.set_many([])
    assert history.next_undo == ""
    history.set(EVENTS[0], "good")

    def full(lines):
        raise LabelError("The disk is full.")

    monkeypatch.setattr(store, "write", full)
    with pytest.raises(LabelError, match="full"):
        history.undo()
    monkeypatch.undo()
    assert history.undo().events == (EVENTS[0],)
    assert store.get(EVENTS[0]) is None


OWN = st.tuples(
    st.just("label"), st.integers(0, 3), st.sampled_from(["good", "bad", "ignore", ""])
)
MANY = st.tuples(
    st.just("many"),
    st.lists(st.integers(0, 3), unique=True, min_size=1),
    st.sampled_from(["good", "ice|salt"]),
)
BACK = st.sampled_from([("undo",), ("redo",)])


@settings(max_examples=60, deadline=None)
@given(st.lists(OWN | MANY | BACK, max_size=25))
def test_alone_it_is_a_dictionary_and_two_stacks(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("labels")
    store = LabelStore(folder, "anna")
    history = LabelHistory(store)
    labels: dict[EventId, str] = {}
    done: list[dict[EventId, str]] = []
    undone: list[dict[EventId, str]] = []
    for kind, *what in steps:
        if kind == "undo":
            if done:
                undone.append(labels)
                labels = done.pop()
            history.undo()
        elif kind == "redo":
            if undone:
                done.append(labels)
                labels = undone.pop()
            history.redo()
        else:
            chosen = [what[0]] if kind == "label" else what[0]
            done.append(labels)
            undone = []
            labels = {**labels, **{EVENTS[k]: what[1] for k in chosen}}
            labels = {event: label for event, label in labels.items() if label}
            if kind == "many":
                history.set_many([(EVENTS[k], what[1]) for k in chosen], "rule:r")
            elif what[1]:
                history.set(EVENTS[what[0]], what[1])
            else:
                history.clear(EVENTS[what[0]])
        assert store.labels() == labels
    assert LabelStore(folder, "bert").labels() == labels


OTHER = st.tuples(st.just("bert"), st.integers(0, 3), st.sampled_from(["odd", "good", ""]))
SETTLE = st.tuples(st.just("settle"), st.integers(0, 3), st.just("bad"))


@settings(max_examples=80, deadline=None)
@given(st.lists(OWN | MANY | BACK | OTHER | SETTLE, max_size=25))
def test_after_all_is_undone_only_what_others_said_is_left(tmp_path_factory, steps):
    """Whatever happened in between, and nobody else's opinion becomes one's own."""
    folder = tmp_path_factory.mktemp("labels")
    store = LabelStore(folder, "anna")
    history = LabelHistory(store)
    said: dict[EventId, str] = {}
    for kind, *what in steps:
        if kind == "bert":
            other = LabelStore(folder, "bert")
            other.set(EVENTS[what[0]], what[1]) if what[1] else other.clear(EVENTS[what[0]])
            said[EVENTS[what[0]]] = what[1]
            store.reload()
        elif kind == "settle":
            settle(history, EVENTS[what[0]], what[1])
        elif kind == "many":
            history.set_many([(EVENTS[k], what[1]) for k in what[0]], "rule:r")
        elif kind == "label":
            history.set(EVENTS[what[0]], what[1]) if what[1] else history.clear(EVENTS[what[0]])
        else:
            getattr(history, kind)()
    while history.undo():
        pass
    expected = {event: label for event, label in said.items() if label}
    for known in (store, LabelStore(folder, "carl")):
        assert known.labels() == expected
        for event in EVENTS:
            assert opinions_of(known, event).said == (
                {"bert": expected[event]} if event in expected else {}
            )


def test_undo_shows_anothers_label_without_saying_it(tmp_path):
    LabelStore(tmp_path, "bert").set(EVENTS[0], "odd", note="a ring")
    store = LabelStore(tmp_path, "anna")
    history = LabelHistory(store)
    history.set(EVENTS[0], "good")
    history.undo()
    assert store.get(EVENTS[0]) == "odd"
    assert store.entry(EVENTS[0]).source == "restored:hand"
    assert opinions_of(store, EVENTS[0]).said == {"bert": "odd"}
    history.redo()
    assert opinions_of(store, EVENTS[0]).said == {"bert": "odd", "anna": "good"}


def test_undo_leaves_what_another_said_since(tmp_path):
    store = LabelStore(tmp_path, "anna")
    history = LabelHistory(store)
    history.set(EVENTS[0], "good")
    LabelStore(tmp_path, "bert").set(EVENTS[0], "good")
    store.reload()
    history.undo()
    assert store.get(EVENTS[0]) == "good"
    assert opinions_of(store, EVENTS[0]).said == {"bert": "good"}


def test_settling_can_be_undone(tmp_path):
    LabelStore(tmp_path, "bert").set(EVENTS[0], "bad")
    store = LabelStore(tmp_path, "anna")
    history = LabelHistory(store)
    history.set(EVENTS[0], "good")
    settle(history, EVENTS[0], "bad")
    history.set(EVENTS[0], "ice")
    history.undo()
    assert opinions_of(store, EVENTS[0]).settled
    history.undo()
    seen = opinions_of(store, EVENTS[0])
    assert (seen.label, seen.settled, seen.said) == (
        "good",
        False,
        {"anna": "good", "bert": "bad"},
    )


LABELLING = """
import itertools, sys
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.labels import LabelStore

history = LabelHistory(LabelStore(sys.argv[1], "anna"))
for i in itertools.count():
    history.set(EventId("run.cxi", f"//{i}"), "good" if i % 3 else "ice|salt", note="x" * 50)
    print(i, flush=True)
"""


def test_a_killed_process_loses_at_most_the_label_being_written(tmp_path):
    """SIGKILL at any moment, several times; each label is told after it is on disk."""
    for delay in (0.0, 0.013, 0.05, 0.121):
        folder = tmp_path / str(delay)
        command = [sys.executable, "-c", LABELLING, folder]
        with program(*command, stdout=subprocess.PIPE, text=True) as process:
            told = [int(process.stdout.readline())]  # it has begun
            time.sleep(delay)
            process.kill()
            told += [int(line) for line in process.stdout if line.endswith("\n")]
            process.wait()
        store = LabelStore(folder, "anna")
        found = store.labels()
        n = told[-1] + 1
        assert len(found) in (n, n + 1)
        for i in range(len(found)):
            assert found[EventId("run.cxi", f"//{i}")] == ("good" if i % 3 else "ice|salt")
        store.set(EventId("run.cxi", "//0"), "bad")
        assert len(LabelStore(folder, "bert")) == len(found)
