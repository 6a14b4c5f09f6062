"""Selections that are kept on disk: all of them come back, and nothing is ever replaced."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xfelsort.core.errors import OutputError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.spi import kept_selections
from napari_xfelsort.core.spi.kept_selections import (
    FOLDER,
    REMOVED,
    SelectionFolders,
    file_stem,
    remove_kept,
)
from napari_xfelsort.core.spi.selections import Selection
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    return folder / "xfelsort" / FOLDER


def write_run(path, n=6):
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file["entry_1/data_1/data"] = np.zeros((n, 4, 5), np.uint16)
    return path


@pytest.fixture
def data(tmp_path):
    return write_run(tmp_path / "beam" / "run1.cxi")


def picked(stack, name, *numbers):
    return Selection(name, tuple(stack.event_id(k) for k in numbers))


def kept_of(path, **settings):
    return SelectionFolders(open_stack(str(path)), **settings).read()


def test_selections_come_back_with_names_events_and_how(data):
    stack = open_stack(str(data))
    folders = SelectionFolders(stack)
    made = [
        folders.keep(picked(stack, "55-84 nm", 4, 1), "diameters"),
        folders.keep(picked(stack, "a | b", 0), "union"),
        folders.keep(picked(stack, "55-84 nm", 2), "again"),
    ]
    assert [kept.path.name for kept in made] == [
        "run1 55-84 nm.lst",
        "run1 a or b.lst",
        "run1 55-84 nm 2.lst",
    ]
    assert made[0].path.parent == data.parent / FOLDER
    # Any program can read the lists, and nothing else lies there.
    assert {entry.event.event for entry in read_list(made[0].path)} == {"//4", "//1"}
    assert len(os.listdir(data.parent / FOLDER)) == 6
    again = open_stack(str(data))
    found, problems = SelectionFolders(again).read()
    assert problems == []
    assert [kept.selection.name for kept in found] == ["55-84 nm", "a | b", "55-84 nm"]
    assert [kept.selection.positions(again).tolist() for kept in found] == [[4, 1], [0], [2]]
    assert [kept.how for kept in found] == ["diameters", "union", "again"]
    assert found[0].selection.events == made[0].selection.events  # named as the run names them
    assert found[0].run == {os.path.realpath(data): 6}
    assert found[0].made == made[0].made < found[1].made
    known = {kept.path for kept in found[:2]}
    assert [kept.how for kept in folders.read(known).kept] == ["again"]


@settings(max_examples=40)
@given(
    st.text(min_size=1, max_size=200),
    st.text(max_size=50),
    st.lists(st.integers(0, 5), min_size=1),
)
def test_any_name_and_events_come_back(tmp_path_factory, name, how, numbers):
    folder = tmp_path_factory.mktemp("any")
    source = ArraySource(np.zeros((6, 2, 2)), path=str(folder / "run.cxi"))
    (folder / "run.cxi").touch()
    stack = EventStack([source])
    made = picked(stack, name, *numbers)
    folders = SelectionFolders(stack, [folder / "kept"])
    for _ in range(2):
        folders.keep(made, how)
    found, problems = folders.read()
    assert problems == []
    for kept in found:
        assert (kept.selection.name, kept.how) == (name, how)
        assert kept.selection.events == made.events
    assert len(found) == 2


@given(st.text())
def test_stems_can_name_files_on_any_system(name):
    stem = file_stem(name)
    assert 0 < len(stem.encode()) <= 121
    assert not set(stem) & set('/\\:*?"<>|\0\n')
    assert stem == stem.strip(" .")
    assert stem.casefold() not in ("con", "nul", "aux", "prn", "com1", "lpt1")


def test_stems_are_readable():
    assert file_stem("a | b & c") == "a or b and c"
    assert file_stem("../../etc/passwd") == "etc-passwd"
    assert file_stem("con") == "_con"
    assert file_stem("¿?") == "selection"


@settings(max_examples=40)
@given(
    st.binary(max_size=60)
    | st.builds(
        lambda o: json.dumps(o).encode(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["format", "version", "name", "run", "events"]),
                    inner,
                    max_size=4,
                )
            ),
        ),
    )
)
def test_what_is_no_json_of_ours_leaves_the_list(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("bad")
    (folder / "run.cxi").touch()
    stack = EventStack([ArraySource(np.zeros((3, 2, 2)), path=str(folder / "run.cxi"))])
    folders = SelectionFolders(stack, [folder / "kept"])
    kept = folders.keep(picked(stack, "mine", 2))
    kept.path.with_suffix(".json").write_bytes(content)
    found, problems = folders.read()
    assert [each.selection.name for each in found] == ["run mine"]
    assert found[0].selection.positions(stack).tolist() == [2]
    assert len(problems) == 1
    assert "is called as its list" in problems[0]


def test_values_of_a_wrong_kind_are_told(data):
    stack = open_stack(str(data))
    folders = SelectionFolders(stack)
    about = folders.keep(picked(stack, "mine", 2)).path.with_suffix(".json")
    right = json.loads(about.read_text())
    for wrong, why in (
        ({"version": 2}, "another version"),
        ({"format": "x"}, "about no selection"),
        ({"events": True}, "does not say"),
        ({"name": None}, "does not say"),
        ({"run": {"../run1.cxi": "six"}}, "does not say"),
        ({"run": {"a\0b": 6}}, "does not say"),
    ):
        about.write_text(json.dumps(right | wrong))
        assert why in folders.read().problems[0]
    about.unlink()
    about.mkdir()
    assert "no file" in folders.read().problems[0]


def test_damaged_lists_are_told_and_left(data):
    stack = open_stack(str(data))
    folders = SelectionFolders(stack)
    torn = folders.keep(picked(stack, "torn", 1, 2, 3)).path
    binary = folders.keep(picked(stack, "binary", 1)).path
    torn.write_text(torn.read_text().splitlines()[0] + "\n")
    binary.write_bytes(b"\x89HDF\r\n")
    found, problems = folders.read()
    assert [kept.selection.positions(stack).tolist() for kept in found] == [[1]]
    assert "1 of the 3 events" in problems[1]
    assert "binary file" in problems[0]
    # One of the same name takes another.
    assert folders.keep(picked(stack, "binary", 4)).path.name == "run1 binary 2.lst"
    assert binary.read_bytes() == b"\x89HDF\r\n"


def test_runs_of_a_folder_have_their_own(data):
    other = write_run(data.with_name("run2.cxi"))
    for path in (data, other):
        stack = open_stack(str(path))
        SelectionFolders(stack).keep(picked(stack, "good", 3))
    found = kept_of(other)
    assert [kept.path.name for kept in found.kept] == ["run2 good.lst"]
    # Both together have both, and what is made of both is in each.
    both = open_stack([str(data), str(other)])
    assert len(SelectionFolders(both).read().kept) == 2
    SelectionFolders(both).keep(picked(both, "all", 1, 8))
    found = kept_of(other)
    assert [kept.selection.name for kept in found.kept] == ["good", "all"]
    assert found.kept[1].selection.positions(open_stack(str(other))).tolist() == [2]
    assert found.problems == []


def test_a_list_that_somebody_put_there_counts_where_it_has_events(data):
    other = write_run(data.with_name("run2.cxi"))
    folder = data.parent / FOLDER
    folder.mkdir()
    (folder / "theirs.lst").write_text("../run1.cxi //5\n")
    found = kept_of(data)
    assert [(kept.selection.name, len(kept.selection)) for kept in found.kept] == [("theirs", 1)]
    assert found.problems == []
    assert kept_of(other).kept == []


def test_a_moved_folder_has_its_selections(data, tmp_path):
    stack = open_stack(str(data))
    SelectionFolders(stack).keep(picked(stack, "good", 3))
    shutil.move(data.parent, tmp_path / "archive")
    moved = tmp_path / "archive" / data.name
    found = kept_of(moved)
    assert found.problems == []
    assert found.kept[0].selection.positions(open_stack(str(moved))).tolist() == [3]


def test_opened_by_a_list_it_is_the_same_run(data, tmp_path):
    stack = open_stack(str(data))
    SelectionFolders(stack).keep(picked(stack, "good", 3, 4))
    (tmp_path / "some.lst").write_text(f"{data} //4\n{data} //0\n")
    listed = open_stack(str(tmp_path / "some.lst"))
    found, problems = SelectionFolders(listed).read()
    assert found[0].selection.positions(listed).tolist() == [0]
    assert problems == []


def test_a_run_with_other_events_says_so(data):
    stack = open_stack(str(data))
    for name in ("a", "b"):
        SelectionFolders(stack).keep(picked(stack, name, 1, 5))
    stack.close()
    write_run(data, 4)
    found, problems = kept_of(data)
    assert problems == [
        "run1.cxi has 4 events, and had 6 when 'a', 'b' were made: look whether the events "
        "chosen are still the right ones."
    ]
    assert found[0].selection.positions(open_stack(str(data))).tolist() == [1]
    assert len(found[0].selection) == 2  # nothing is forgotten


def test_where_one_may_not_write_they_are_in_the_home(data, home):
    stack = open_stack(str(data))
    SelectionFolders(stack).keep(picked(stack, "before", 0))
    shutil.rmtree(data.parent / FOLDER)
    (data.parent / FOLDER).write_text("a file, so that no folder can be made")
    kept = SelectionFolders(stack).keep(picked(stack, "after", 1))
    assert kept.path.parent == home
    found = kept_of(data)
    assert [each.selection.name for each in found.kept] == ["after"]
    assert found.kept[0].selection.positions(stack).tolist() == [1]
    home.parent.rename(home.parent.with_name("gone"))
    home.parent.write_text("")
    with pytest.raises(OutputError, match=r"beam.*cannot be made"):
        SelectionFolders(stack).keep(picked(stack, "nowhere", 1))


def test_what_was_half_written_is_taken_back(data, home, monkeypatch):
    stack = open_stack(str(data))

    def full(path, text):
        raise OutputError(f"{path} cannot be written: No space left on device.")

    for writes in ("write_list", "write_text_atomic"):
        with monkeypatch.context() as patched:
            patched.setattr(kept_selections, writes, full)
            with pytest.raises(OutputError, match="No space left"):
                SelectionFolders(stack).keep(picked(stack, "x", 1))
        assert os.listdir(data.parent / FOLDER) == os.listdir(home) == []
    with pytest.raises(OutputError, match="line end"):
        SelectionFolders(stack).keep(Selection("x", (EventId("a\nb", "//1"),)))


def test_a_list_is_never_there_without_what_is_known_of_it(data, monkeypatch):
    stack = open_stack(str(data))
    folders, other = SelectionFolders(stack), SelectionFolders(stack)
    seen = []
    write = kept_selections.write_list

    def watched(path, events):
        seen.append(other.read())
        if len(seen) == 1:  # another window is a moment faster
            write(path, [EventId("../run1.cxi", "//5")])
        write(path, events)
        seen.append(other.read())

    monkeypatch.setattr(kept_selections, "write_list", watched)
    kept = folders.keep(picked(stack, "x", 1))
    assert kept.path.name == "run1 x 2.lst"
    assert all(problems == [] for _, problems in seen)
    # What the faster one wrote, then its and ours.
    assert [len(found) for found, _ in seen] == [0, 1, 2]
    assert seen[-1].kept[-1].selection.name == "x"


def test_lists_of_other_runs_are_looked_at_once(data, monkeypatch):
    other = open_stack(str(write_run(data.with_name("run2.cxi"))))
    for name in ("a", "b", "c"):
        SelectionFolders(other).keep(picked(other, name, 1))
    asked = []
    read = kept_selections._read_about
    monkeypatch.setattr(
        kept_selections, "_read_about", lambda *each: asked.append(each) or read(*each)
    )
    folders = SelectionFolders(open_stack(str(data)))
    for _ in range(3):
        assert folders.read() == ([], [])
    assert len(asked) == 3


def test_a_folder_that_cannot_be_read_is_told(data, monkeypatch):
    stack = open_stack(str(data))

    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(kept_selections.os, "listdir", refuse)
    found, problems = SelectionFolders(stack).read()
    assert found == []
    assert "Permission denied" in problems[0]


def test_removed_ones_are_put_aside(data, monkeypatch):
    stack = open_stack(str(data))
    folders = SelectionFolders(stack)
    kept = [folders.keep(picked(stack, name, 1)) for name in ("a", "a", "b")]
    content = kept[0].path.read_bytes()
    aside = remove_kept(kept[0])
    assert aside.parent == kept[0].path.parent / REMOVED
    assert aside.read_bytes() == content
    assert aside.with_suffix(".json").exists()
    assert [each.path for each in folders.read().kept] == [kept[1].path, kept[2].path]
    assert remove_kept(kept[0]) is None  # another window did

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(kept_selections.os, "rename", refuse)
    with pytest.raises(OutputError, match="cannot be removed: Permission denied"):
        remove_kept(kept[1])
    assert kept[1].path.exists()


def test_events_in_memory_are_not_kept():
    stack = EventStack([ArraySource(np.zeros((3, 2, 2)))])
    folders = SelectionFolders(stack)
    with pytest.raises(OutputError, match="in no file"):
        folders.keep(picked(stack, "x", 1))
    assert folders.read() == ([], [])
    assert not Path(FOLDER).exists()


def test_runs_of_very_many_files_are_known_by_their_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_selections, "_MOST_FILES", 2)
    paths = [str(write_run(tmp_path / "beam" / f"f{k}.cxi", 2)) for k in range(4)]
    many = open_stack(paths)
    kept = SelectionFolders(many).keep(picked(many, "good", 0, 7))
    assert kept.run == {os.path.realpath(tmp_path / "beam"): 8}
    for part in (paths[:1], paths[:3], paths):
        found = SelectionFolders(open_stack(part)).read()
        assert [each.selection.name for each in found.kept] == ["good"]
    one = open_stack(paths[:1])
    SelectionFolders(one).keep(picked(one, "one", 1))
    assert len(SelectionFolders(many).read().kept) == 2
