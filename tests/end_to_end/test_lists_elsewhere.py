"""Lists that name files by paths from their own folder, used from another one."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xfelsort import LabelStore, open_stack, sort, train
from napari_xfelsort.core.lists import read_list, write_list


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file and a list of its 20 odd events; the working folder is another."""
    folder = tmp_path / "runs"
    folder.mkdir()
    frames = np.random.default_rng(0).poisson(5, (40, 8, 10)).astype("u2")
    frames[20:] += 20
    with h5py.File(folder / "a.h5", "w") as file:
        file["/entry/data/data"] = frames
    names = [f"a.h5 //{i}" for i in range(1, 40, 2)]
    (folder / "odd.lst").write_text("\n".join(names) + "\n")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


@pytest.mark.parametrize("absolute", [False, True])
def test_written_lists_lead_to_the_files(runs: Path, absolute: bool) -> None:
    stack = open_stack(runs / "odd.lst")
    assert str(stack.event_id(0)) == "a.h5 //1"
    write_list("again.lst", [stack.event_id(i) for i in range(len(stack))], absolute)
    again = open_stack("again.lst")
    assert not again.problems
    assert len(again) == 20
    np.testing.assert_array_equal(again.raw(7), stack.raw(7))


def test_labels_and_sorted_lists_lead_to_the_files(runs: Path) -> None:
    good, bad = runs / "good.lst", runs / "bad.lst"
    good.write_text("".join(f"a.h5 //{i}\n" for i in range(20)))
    bad.write_text("".join(f"a.h5 //{i}\n" for i in range(20, 40)))
    store = LabelStore("labels", labeller="test")
    store.import_lists({"good": good, "bad": bad})
    stack = open_stack(runs / "odd.lst")
    assert store.aligned(stack) == ["good"] * 10 + ["bad"] * 10
    assert store.aligned(open_stack(runs / "a.h5")) == ["good"] * 20 + ["bad"] * 20
    model = train(open_stack(runs), "labels", model="logistic_regression", split="event")
    sort(stack, model, "sorted", workers=0, report=False)
    listed = read_list("sorted/good.lst")
    assert [entry.event.event for entry in listed] == [f"//{i}" for i in range(1, 20, 2)]
    sorted_good = open_stack("sorted/good.lst")
    assert not sorted_good.problems
    assert max(sorted_good.raw(i).mean() for i in range(len(sorted_good))) < 10
