"""Which events train and which test."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_xfelsort.core.errors import TrainingError
from napari_xfelsort.core.splits import split_events

NAMES = ("a", "b")


def split(classes, files, share=0.3, by="auto", seed=0, names=NAMES):
    return split_events(np.array(classes), np.array(files), names, share, by, seed)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30)), min_size=1, max_size=200),
    st.sampled_from([0.1, 0.3, 0.5]),
    st.sampled_from(["auto", "file", "event"]),
    st.integers(0, 5),
)
def test_every_split_keeps_its_promises(events, share, by, seed):
    classes, files = map(np.array, zip(*events, strict=True))
    try:
        found = split_events(classes, files, NAMES, share, by, seed)
    except TrainingError:
        return
    again = split_events(classes, files, NAMES, share, by, seed)
    assert np.array_equal(found.test, again.test)
    for number in (0, 1):
        members = classes == number
        assert (members & ~found.test).sum() >= 2
        if by != "file":
            assert (members & found.test).sum() >= 2
        if found.by == "event":
            wanted = np.clip(round(share * members.sum()), 2, members.sum() - 2)
            assert (members & found.test).sum() == wanted
    if found.by == "file":
        assert not set(files[found.test]) & set(files[~found.test])
    assert found.by == by or by == "auto"


def test_auto_keeps_files_together_where_it_can():
    classes = np.tile([0, 1], 50)
    files = np.repeat(np.arange(10), 10)
    found = split(classes, files)
    assert found.by == "file"
    assert found.test.sum() == 30
    assert "file" in found.why


def test_many_files():
    rng = np.random.default_rng(0)
    files = rng.integers(0, 500, 4000)
    found = split(rng.integers(0, 2, 4000), files)
    assert found.by == "file"
    assert abs(found.test.mean() - 0.3) < 0.01


def test_auto_falls_back_when_a_class_is_in_one_file_only():
    classes = [0] * 10 + [1] * 10
    found = split(classes, classes)
    assert found.by == "event"
    assert "no division" in found.why
    assert split(classes, [0] * 20).why.endswith("one file.")
    with pytest.raises(TrainingError, match="cannot be divided"):
        split(classes, classes, by="file")
    with pytest.raises(TrainingError, match="in 1 file, "):
        split(classes, [0] * 20, by="file")


def test_by_file_as_asked_may_leave_a_class_out_of_the_test():
    classes = np.array([0] * 10 + [1] * 10 + [0] * 5)
    files = np.repeat([0, 1, 2], [10, 10, 5])
    found = split(classes, files, by="file")
    assert sorted(set(files[found.test])) in ([0], [2])
    assert split(classes, files).by == "event"


def test_too_few_events_of_a_class():
    with pytest.raises(TrainingError, match="'b' has 3 labelled events; it needs at least 4"):
        split([0] * 10 + [1] * 3, [0] * 13)


def test_seeds_differ():
    classes = np.tile([0, 1], 50)
    tests = {tuple(split(classes, classes * 0, seed=s).test) for s in range(5)}
    assert len(tests) == 5
