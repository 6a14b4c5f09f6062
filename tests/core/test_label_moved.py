"""Labels of files that are recognised by their name alone, since a folder was moved."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xfelsort.core.agreement import disagreements, opinions_of, pair_agreements
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.label_tally import LabelTally
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack


@pytest.fixture
def moved(tmp_path, monkeypatch):
    """Ann labelled ``exp/run.cxi`` from the folder above; then all was moved."""
    old = tmp_path / "old"
    (old / "exp").mkdir(parents=True)
    (old / "exp" / "run.cxi").write_text("")
    monkeypatch.chdir(old)
    LabelStore("exp/labels", "ann").set_many(
        (EventId("exp/run.cxi", f"//{i}"), label) for i, label in enumerate(["good", "bad", "bad"])
    )
    (tmp_path / "new").mkdir()
    (old / "exp").rename(tmp_path / "new" / "exp")
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "new" / "exp" / "run.cxi"
    return EventStack([ArraySource(np.zeros((5, 2, 2)), str(data))]), data.parent / "labels"


def opened(stack, folder, labeller="bob"):
    store = LabelStore(folder, labeller)
    matched = store.match(stack)
    store.recognise(matched.renamed)
    return store, matched


def test_labels_of_a_moved_folder_are_asked_for_under_its_new_name(moved):
    stack, folder = moved
    store, matched = opened(stack, folder)
    assert matched.labels == ["good", "bad", "bad", None, None]
    assert len(matched.warnings) == 1
    assert [store.get(stack.event_id(i)) for i in range(5)] == matched.labels
    assert store.entry(stack.event_id(1)).labeller == "ann"
    assert store.match(stack) == matched  # as it is written, whatever was recognised
    store.reload()
    assert store.get(stack.event_id(1)) == "bad"


def test_labellers_before_and_after_a_move_are_compared(moved):
    stack, folder = moved
    store, _ = opened(stack, folder)
    store.set_many((stack.event_id(i), "good") for i in (0, 1, 4))
    for known in (store, opened(stack, folder)[0]):
        assert [each.said for each in disagreements(known)] == [{"ann": "bad", "bob": "good"}]
        assert [pair[:4] for pair in pair_agreements(known)] == [("ann", "bob", 2, 1)]
        assert opinions_of(known, stack.event_id(0)).said == {"ann": "good", "bob": "good"}
        assert known.aligned(stack) == ["good", "good", "bad", None, "good"]


def test_undo_shows_the_label_from_before_the_move(moved):
    stack, folder = moved
    store, _ = opened(stack, folder, "ann")
    history = LabelHistory(store)
    history.set(stack.event_id(1), "good")
    history.undo()
    assert store.get(stack.event_id(1)) == "bad"
    assert opened(stack, folder)[1].labels == ["good", "bad", "bad", None, None]
    history.redo()
    store.recognise({})  # other files were opened
    history.undo()
    assert opened(stack, folder)[1].labels == ["good", "bad", "bad", None, None]


def test_without_recognition_nothing_is_taken_for_another(moved):
    stack, folder = moved
    store, _ = opened(stack, folder)
    other = EventStack([ArraySource(np.zeros((2, 2, 2)), "/somewhere/run.cxi")])
    assert store.match(other).labels == [None, None]
    copy = store.copy()
    store.set(stack.event_id(3), "bad")
    assert copy.get(stack.event_id(3)) is None
    store.recognise({})
    assert store.get(stack.event_id(0)) is None


def test_which_events_have_a_class():
    labels = ["good", None, "bad|ice", "ignore", "bad", None]
    tally = LabelTally(labels)
    assert tally.having("bad").tolist() == [False, False, True, False, True, False]
    assert tally.having("").tolist() == [False, True, False, False, False, True]
    assert not tally.having("no such").any()
    tally.set(1, "ice")
    tally.set(4, None)
    assert np.flatnonzero(tally.having("ice")).tolist() == [1, 2]
    assert np.flatnonzero(tally.having("")).tolist() == [4, 5]
    assert tally.counts_of(np.array([2, 3, 4, 5])) == {"bad": 1, "ice": 1, "ignore": 1, "": 2}


def labelled_by_full_name(folder, place="exp"):
    """Ann labelled two events in a window, which writes paths in full; returns the file."""
    data = folder / place / "run.cxi"
    data.parent.mkdir(parents=True)
    data.write_text("")
    LabelStore(folder / place / "labels", "ann").set_many(
        (EventId(str(data), f"//{i}"), label) for i, label in enumerate(["good", "bad"])
    )
    return data


def stack_of(*files):
    return EventStack([ArraySource(np.zeros((2, 2, 2)), str(file)) for file in files])


def test_a_folder_labelled_in_a_window_may_be_moved(tmp_path):
    labelled_by_full_name(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    here = tmp_path / "new" / "exp"
    store, matched = opened(stack_of(here / "run.cxi"), here / "labels", "ann")
    assert matched.labels == ["good", "bad"]
    assert matched.warnings == [
        f"Labels of {tmp_path}/old/exp/run.cxi are taken for {here}/run.cxi, by the name alone."
    ]
    store.set(EventId(str(here / "run.cxi"), "//1"), "good")
    assert opened(stack_of(here / "run.cxi"), here / "labels")[1].labels == ["good", "good"]


def test_files_of_equal_name_are_not_taken_for_one_another(tmp_path):
    first = labelled_by_full_name(tmp_path, "run1")
    other = tmp_path / "run2" / "run.cxi"
    other.parent.mkdir()
    other.write_text("")
    labels = first.parent / "labels"
    assert opened(stack_of(other), labels)[1].labels == [None, None]  # run1's are still there
    first.unlink()
    assert opened(stack_of(other), labels)[1].labels == [None, None]  # another folder's name
    twins = [tmp_path / place / "run1" / "run.cxi" for place in "ab"]
    assert opened(stack_of(*twins), labels)[1].labels == [None] * 4  # either might be meant
    assert opened(stack_of(twins[0]), labels)[1].labels == ["good", "bad"]
