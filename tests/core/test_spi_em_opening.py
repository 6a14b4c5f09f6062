"""Folders of classes opened again beside the run they are of."""

from __future__ import annotations

import dataclasses
import shutil

import h5py
import numpy as np
import pytest

from napari_xfelsort.core.errors import (
    ListError,
    NoEventsError,
    UnreadableFileError,
)
from napari_xfelsort.core.profiles.table import EventNames
from napari_xfelsort.core.spi.em_classes import EmClasses
from napari_xfelsort.core.spi.em_files import write_classes
from napari_xfelsort.core.spi.em_opening import open_classes
from napari_xfelsort.core.spi.em_settings import EmSettings
from napari_xfelsort.readers import open_stack

LABELS = [0, 2, 0, -1, 1, 0]


def write_run(path, n=8):
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file["entry_1/data_1/data"] = np.zeros((n, 4, 5), np.uint16)
    return open_stack(str(path))


def classes_of_part(stack, positions=(7, 1, 2, 3, 4, 6)):
    """Three classes of six events, found by two runs; one event has none."""
    labels = np.array(LABELS)
    known = labels >= 0
    rng = np.random.default_rng(5)
    numbers = np.where(known, rng.random(6), np.nan)
    chances = np.where(known[:, None], rng.dirichlet(np.ones(3), 6), np.nan)
    return EmClasses(
        EventNames(stack.subset(positions)),
        rng.random((3, 5, 5)).astype(np.float32),
        labels,
        numbers,
        1 + numbers,
        chances.astype(np.float32),
        np.stack([labels, np.where(known, (labels + 1) % 3, -1)]),
        (-1.0, -2.0),
        (4, 5),
        (True, False),
        EmSettings(classes=3, runs=2),
        0.1,
        weights=np.ones((3, 5, 5), np.float32),
    )


@pytest.fixture
def stack(tmp_path):
    return write_run(tmp_path / "beam" / "run1.cxi")


@pytest.fixture
def folder(stack, tmp_path):
    write_classes(classes_of_part(stack), tmp_path / "em", [0, 1])
    return tmp_path / "em"


def test_all_comes_back_with_its_places_in_the_run(stack, folder):
    opened = open_classes(folder, stack)
    assert opened.numbers.tolist() == [7, 1, 2, 3, 4, 6]
    assert opened.notes == []
    assert opened.kept == [0, 1]
    before = classes_of_part(stack)
    for each in dataclasses.fields(EmClasses):
        if each.name not in ("events", "problems", "settings"):
            np.testing.assert_array_equal(
                getattr(opened.found, each.name), getattr(before, each.name)
            )
    assert list(opened.found.events) == list(before.events)
    assert opened.found.settings == before.settings
    # Beside another order of some of the events.
    part = stack.subset([4, 0, 7])
    opened = open_classes(folder, part)
    assert opened.numbers.tolist() == [2, -1, -1, -1, 0, -1]
    assert opened.notes == ["4 of the 6 events are not in this run."]


def test_nothing_was_kept(stack, folder):
    for content in ("", "../beam/run1.cxi //7\n", None, "\0"):
        if content is None:
            (folder / "kept.lst").unlink()
        else:
            (folder / "kept.lst").write_text(content)
        assert open_classes(folder, stack).kept == []


def test_names_that_lead_nowhere_are_known_by_their_end(stack, folder, tmp_path, monkeypatch):
    # As the command line writes them, in the folder where it was called.
    for path in folder.glob("*.lst"):
        path.write_text(path.read_text().replace(str(tmp_path), "."))
    opened = open_classes(folder, stack)
    assert opened.numbers.tolist() == [7, 1, 2, 3, 4, 6]
    assert opened.kept == [0, 1]
    assert opened.notes == [
        f"beam/run1.cxi is taken for {stack.sources[0].path}, by the name alone."
    ]
    monkeypatch.chdir(tmp_path)
    assert open_classes(folder, stack).notes == []


def test_another_run_is_refused_and_both_are_named(folder, tmp_path):
    other = write_run(tmp_path / "beam" / "run2.cxi")
    with pytest.raises(NoEventsError, match=r"classes of .*run1\.cxi, and .* is .*run2\.cxi: op"):
        open_classes(folder, other)
    # One of the same name elsewhere is another as well.
    same = write_run(tmp_path / "later" / "run1.cxi")
    with pytest.raises(NoEventsError, match=r"beam.run1\.cxi, and .* later.run1\.cxi:|later"):
        open_classes(folder, same)
    many = open_stack(
        [str(write_run(tmp_path / "beam" / f"r{k}.cxi", 1).sources[0].path) for k in range(4)]
    )
    with pytest.raises(NoEventsError, match=r"r0\.cxi, .*r1\.cxi and 2 more: open"):
        open_classes(folder, many)


def test_folders_without_classes_are_told(stack, folder, tmp_path):
    with pytest.raises(UnreadableFileError, match="has no classes"):
        open_classes(tmp_path, stack)
    with pytest.raises(UnreadableFileError, match="has no classes"):
        open_classes(tmp_path / "nowhere", stack)
    events = (folder / "events.lst").read_text()
    (folder / "events.lst").unlink()
    with pytest.raises(ListError, match="does not exist"):
        open_classes(folder, stack)
    (folder / "events.lst").write_text(events * 2)
    with pytest.raises(UnreadableFileError, match="does not fit"):
        open_classes(folder, stack)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("labels", np.full(6, 3), "not in it"),
        ("labels", np.zeros(6), "not in it"),
        ("run_labels", np.zeros((2, 6), int), "runs that do not fit"),
        ("likelihoods", np.zeros(0), "does not fit"),
        ("likelihoods", np.array(1.0), "cannot be read"),
        ("models", np.full((3, 5, 5), b"x"), "words"),
        ("rotation", np.full(6, b"x"), "words"),
        ("models", np.zeros((3, 5)), "does not fit"),
        ("probabilities", np.zeros((6, 2)), "does not fit"),
        ("weights", None, "cannot be read"),
    ],
)
def test_damaged_numbers_are_told(stack, folder, tmp_path, name, value, why):
    shutil.copytree(folder, tmp_path / "bad")
    with h5py.File(tmp_path / "bad" / "classes.h5", "r+") as file:
        del file[name]
        if value is not None:
            file[name] = value
    with pytest.raises(UnreadableFileError, match=why):
        open_classes(tmp_path / "bad", stack)


def test_settings_of_another_kind_are_told(stack, folder):
    for text in ("{", "[1]", '{"classes": -1}', '{"unheard_of": 1}'):
        with h5py.File(folder / "classes.h5", "r+") as file:
            file.attrs["settings"] = text
        with pytest.raises(UnreadableFileError, match="cannot be read"):
            open_classes(folder, stack)
