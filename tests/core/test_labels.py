"""Labels: nothing lost, nothing contradictory, however folders and paths are moved."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_xfelsort.core.errors import LabelError, OutputError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_journal import HEADER, check_class_name
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from programs import program

LINE = "2026-01-02T03:04:05.000006Z,{file},{event},{label},hand,\n"


def event(i: int, file: str = "run.cxi") -> EventId:
    return EventId(file, f"//{i}")


def stack_of(*sizes: int, names: tuple[str, ...] | None = None) -> EventStack:
    names = names or tuple(f"run{k}.cxi" for k in range(len(sizes)))
    return EventStack(
        [ArraySource(np.zeros((n, 2, 2)), path) for n, path in zip(sizes, names, strict=True)]
    )


def test_labels_are_kept_in_a_plain_table(tmp_path):
    store = LabelStore(tmp_path / "labels", "anna")
    store.set(event(3, 'odd, "name".cxi'), "good", note="half, shadowed")
    store.set(event(4), "bad", source="rule")
    with (tmp_path / "labels" / "labels-anna.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert tuple(rows[0]) == HEADER
    assert [tuple(row.values())[1:] for row in rows] == [
        ('odd, "name".cxi', "//3", "good", "hand", "half, shadowed"),
        ("run.cxi", "//4", "bad", "rule", ""),
    ]
    age = datetime.now(UTC) - datetime.fromisoformat(rows[0]["time"])
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_what_was_said_last_counts(tmp_path):
    """The tool before wrote an event whose label was changed into both lists."""
    store = LabelStore(tmp_path, "anna")
    store.set(event(1), "good")
    store.set(event(1), "bad")
    store.set(event(2), "good")
    store.clear(event(2))
    store.set(event(3), "ignore")
    for again in (store, LabelStore(tmp_path, "anna")):
        assert again.get(event(1)) == "bad"
        assert again.get(event(2)) is None
        assert again.get(event(9)) is None
        assert again.labels() == {event(1): "bad", event(3): "ignore"}
        assert again.counts() == {"bad": 1, "ignore": 1}
        assert again.classes == ("bad",)
        assert len(again) == 2
        assert [e.label for e in again.entries()] == ["good", "bad", "good", "", "ignore"]
        assert again.warnings == []
    paths = store.export_lists()
    assert {name: path.read_text() for name, path in paths.items()} == {
        "bad": "run.cxi //1\n",
        "good": "",
    }


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["good", "bad", "ignore", ""]))))
def test_reopened_store_equals_a_dictionary(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("labels")
    store = LabelStore(folder, "anna")
    expected: dict[EventId, str] = {}
    for i, label in steps:
        if label:
            store.set(event(i), label)
            expected[event(i)] = label
        else:
            store.clear(event(i))
            expected.pop(event(i), None)
    assert store.labels() == expected
    assert LabelStore(folder, "bert").labels() == expected


# -- what happens to a journal


def test_every_way_of_cutting_a_journal_off(tmp_path):
    store = LabelStore(tmp_path, "anna")
    for i in range(3):
        store.set(event(i), "good", note='a "b", c')
    path = tmp_path / "labels-anna.csv"
    whole = path.read_bytes()
    ends = [k + 1 for k, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(ends[0], len(whole)):
        path.write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends) - 1
        torn = LabelStore(tmp_path, "anna")
        assert set(torn.labels()) == {event(i) for i in range(complete)}
        assert len(torn.warnings) == (cut not in ends)
        torn.set(event(7), "bad")
        again = LabelStore(tmp_path, "anna")
        assert set(again.labels()) == {event(i) for i in (*range(complete), 7)}
        assert again.get(event(7)) == "bad"
        assert len(again.warnings) == (cut not in ends)
        assert path.read_bytes().startswith(whole[:cut])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2026-01-01T00:00:00Z,run.cxi,//5,good\n", "6 fields"),
        ("yesterday,run.cxi,//5,good,hand,\n", "time or label"),
        ("9999-12-31T00:00:00Z,run.cxi,//5,good,hand,\n", "time or label"),
        ("2026-01-01T00:00:00Z,run.cxi,//5,../../evil,hand,\n", "time or label"),
        ('2026-01-01T00:00:00Z,"run.cxi,//5,good,hand,\n', "6 fields"),
    ],
)
def test_lines_that_are_no_labels_are_skipped_and_said(tmp_path, line, why):
    path = tmp_path / "labels-anna.csv"
    path.write_text(",".join(HEADER) + "\n" + line + LINE.format(file="a", event="//1", label="x"))
    store = LabelStore(tmp_path, "anna")
    assert store.labels() == {EventId("a", "//1"): "x"}
    (warning,) = store.warnings
    assert warning.startswith(f"Line 2 of {path}")
    assert why in warning


def test_a_foreign_file_does_not_flood_the_warnings(tmp_path):
    (tmp_path / "labels-x.csv").write_text("nonsense\n" * 1000)
    assert len(LabelStore(tmp_path, "anna").warnings) == 4


def test_journals_edited_elsewhere(tmp_path):
    """Windows line ends, byte-order mark, no header, local times, odd bytes."""
    text = "\ufeff" + LINE.format(file="b.cxi", event="//0", label="good").replace("\n", "\r\n")
    later = "2026-01-02T04:04:05+01:00,b.cxi,//0,bad,hand,\n"  # 6 us earlier
    path = tmp_path / "labels-anna.csv"
    path.write_bytes(text.encode() + later.encode() + b"2026-01-01,r\xe9.cxi,//0,bad,hand,\n")
    store = LabelStore(tmp_path, "bert")
    assert store.get(EventId("b.cxi", "//0")) == "good"
    assert store.get(EventId("r\udce9.cxi", "//0")) == "bad"
    store.set(EventId("r\udce9.cxi", "//0"), "good")
    assert b"r\xe9.cxi" in (tmp_path / "labels-bert.csv").read_bytes()
    assert store.warnings == []


def test_only_the_own_journal_is_written(tmp_path):
    (tmp_path / "labels-bert.csv").write_text(LINE.format(file="a", event="//1", label="bad"))
    before = (tmp_path / "labels-bert.csv").read_bytes()
    store = LabelStore(tmp_path, "anna")
    store.set(EventId("a", "//1"), "good")
    store.clear(EventId("a", "//2"))
    assert (tmp_path / "labels-bert.csv").read_bytes() == before
    assert [e.labeller for e in store.entries()] == ["bert", "anna", "anna"]


def test_a_clock_that_is_behind_does_not_revive_old_labels(tmp_path):
    ahead = (datetime.now(UTC) + timedelta(hours=5)).isoformat()
    (tmp_path / "labels-bert.csv").write_text(f"{ahead},run.cxi,//1,bad,hand,\n")
    store = LabelStore(tmp_path, "anna")
    store.set(event(1), "good")
    assert store.get(event(1)) == "good"
    assert LabelStore(tmp_path, "carl").get(event(1)) == "good"


def test_labels_of_a_full_disk_are_not_pretended(tmp_path, monkeypatch):
    store = LabelStore(tmp_path, "anna")

    def full(handle: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(LabelError, match="No space left"):
        store.set(event(1), "good")
    assert store.get(event(1)) is None


def test_merging_folders_loses_nothing(tmp_path):
    ours, theirs = LabelStore(tmp_path / "a", "anna"), LabelStore(tmp_path / "b", "anna")
    other = LabelStore(tmp_path / "b", "bert")
    ours.set(event(1), "good")
    theirs.set(event(2), "bad")
    other.set(event(1), "bad")
    other.set(event(3), "good")
    new = ours.merge(tmp_path / "b")
    assert sorted(path.name for path in new) == ["labels-anna-2.csv", "labels-bert.csv"]
    assert ours.labels() == {event(1): "bad", event(2): "bad", event(3): "good"}
    assert ours.merge(tmp_path / "b") == []
    ours.set(event(1), "good")
    assert LabelStore(tmp_path / "a", "carl").get(event(1)) == "good"
    with pytest.raises(LabelError, match="no labels"):
        ours.merge(tmp_path)


_LABEL_FOREVER = """
import sys
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.labels import LabelStore
store = LabelStore(sys.argv[1], "anna")
for i in range(10**9):
    store.set(EventId("run.cxi", f"//{i}"), "good")
    print(i, flush=True)
"""


def test_kill_9_loses_at_most_the_label_being_written(tmp_path):
    for _ in range(3):
        start = len(LabelStore(tmp_path, "anna"))
        command = [sys.executable, "-c", _LABEL_FOREVER, tmp_path]
        with program(*command, stdout=subprocess.PIPE) as labeller:
            for _ in range(start + 5):
                labeller.stdout.readline()
            labeller.send_signal(signal.SIGKILL)
            said = start + 5 + len(labeller.stdout.read().splitlines())
            labeller.wait()
        kept = len(LabelStore(tmp_path, "anna"))
        assert said <= kept <= said + 1


_LABEL_SOME = """
import sys
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.labels import LabelStore
store = LabelStore(sys.argv[1], "anna")
for i in range(100):
    store.set(EventId(sys.argv[2], f"//{i}"), "good", note="x" * 200)
"""


def test_two_processes_of_one_labeller_do_not_tear_lines(tmp_path):
    command = [sys.executable, "-c", _LABEL_SOME, tmp_path]
    with program(*command, "a.cxi") as one, program(*command, "b.cxi") as other:
        assert [process.wait() for process in (one, other)] == [0, 0]
    store = LabelStore(tmp_path, "anna")
    assert store.warnings == []
    assert len(store) == 200


# -- names


@pytest.mark.parametrize("name", ["good", "Gain switching", "a.b-c_d+e", "müon", "x(2)", "0"])
def test_class_names_that_can_be_files(name):
    assert check_class_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            "../up",
            "a/b",
            "a\\b",
            "C:x",
            ".hidden",
            "-rf",
            "x.",
            " x",
            "x ",
            "a\nb",
        ),
        *(
            "nul",
            "COM1.x",
            "a" * 65,
            "a,b",
            'a"b',
            "a*",
            "ignore",
            "Undecided",
            "unsure",
            "FAILED",
        ),
    ],
)
def test_class_names_that_cannot(tmp_path, name):
    with pytest.raises(LabelError):
        check_class_name(name)
    store = LabelStore(tmp_path, "anna")
    if name != "ignore":
        with pytest.raises(LabelError):
            store.set(event(1), name)
    assert len(store) == 0
    assert not (tmp_path / "labels-anna.csv").exists()


@pytest.mark.parametrize("labeller", ["", "../x", "a/b"])
def test_labellers_are_checked(tmp_path, labeller):
    with pytest.raises(LabelError, match="labeller"):
        LabelStore(tmp_path, labeller)


def test_line_ends_cannot_enter_a_journal(tmp_path):
    store = LabelStore(tmp_path, "anna")
    with pytest.raises(LabelError, match="line end"):
        store.set(event(1), "good", note="two\nlines")
    with pytest.raises(LabelError, match="file name"):
        store.set(EventId("", "//1"), "good")
    assert len(LabelStore(tmp_path, "anna")) == 0


def test_the_folder_may_be_asked_to_exist(tmp_path):
    with pytest.raises(LabelError, match="no label folder"):
        LabelStore(tmp_path / "no", create=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelError, match="is a file"):
        LabelStore(tmp_path / "file")
    assert LabelStore(tmp_path / "new").labeller


# -- lists


def test_import_keeps_every_line_and_its_file(tmp_path):
    (tmp_path / "g.lst").write_text("s1.cxi //0\ns2.cxi //2\n")
    (tmp_path / "b.lst").write_text("s1.cxi //1\ns1.cxi //1\ns3.cxi a/b//4\n")
    store = LabelStore(tmp_path / "labels", "anna")
    summary = store.import_lists({"good": tmp_path / "g.lst", "bad": tmp_path / "b.lst"})
    assert summary == ({"good": 2, "bad": 2}, {"good": 0, "bad": 1}, 0, 0)
    assert store.labels() == {
        EventId("s1.cxi", "//0"): "good",
        EventId("s2.cxi", "//2"): "good",
        EventId("s1.cxi", "//1"): "bad",
        EventId("s3.cxi", "a/b//4"): "bad",
    }
    assert "b.lst" in store.warnings[0]


def test_import_replaces_labels_of_rules_and_lists_but_of_people_only_when_told(tmp_path):
    (tmp_path / "bad.lst").write_text("".join(f"s1.cxi //{i}\n" for i in range(6)))
    events = [EventId("s1.cxi", f"//{i}") for i in range(6)]
    store = LabelStore(tmp_path / "labels", "anna")
    store.set(events[0], "good")
    store.set(events[1], "bad")
    store.set(events[2], "good", "rule:mean")
    store.set(events[3], "good", "list")
    store.set(events[4], "good")
    store.clear(events[4])
    summary = store.import_lists({"bad": tmp_path / "bad.lst"})
    assert summary == ({"bad": 4}, {"bad": 0}, 1, 1)
    assert [store.get(e) for e in events] == ["good"] + 5 * ["bad"]
    assert [store.entry(e).source for e in events] == 2 * ["hand"] + 4 * ["list"]
    assert store.import_lists({"bad": tmp_path / "bad.lst"}) == ({"bad": 0}, {"bad": 0}, 1, 5)
    summary = store.import_lists({"bad": tmp_path / "bad.lst"}, relabel=True)
    assert summary == ({"bad": 6}, {"bad": 0}, 0, 0)
    assert {LabelStore(tmp_path / "labels").get(e) for e in events} == {"bad"}


def test_contradictory_lists_are_refused_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run.cxi").write_text("")
    Path("g.lst").write_text("run.cxi //0\nrun.cxi //1\n")
    Path("b.lst").write_text(f"run.cxi //2\n{tmp_path}/run.cxi //1\n")
    store = LabelStore("labels", "anna")
    with pytest.raises(LabelError) as error:
        store.import_lists({"good": "g.lst", "bad": "b.lst"})
    text = str(error.value)
    assert "g.lst" in text
    assert "line 2 of b.lst" in text
    assert "run.cxi //1" in text
    assert len(store) == 0
    assert len(LabelStore("labels")) == 0


def test_export_and_import_are_inverse(tmp_path):
    store = LabelStore(tmp_path / "a", "anna")
    store.set_many([(event(i), "good" if i % 3 else "bad") for i in (10, 2, 9, 1, 0)])
    store.set(EventId("a b.h5", "tag-7//"), "bad")
    store.set(event(99), "ignore")
    paths = store.export_lists(tmp_path)
    assert paths["bad"].read_text() == "a b.h5 tag-7//\nrun.cxi //0\nrun.cxi //9\n"
    assert paths["good"].read_text() == "run.cxi //1\nrun.cxi //2\nrun.cxi //10\n"
    again = LabelStore(tmp_path / "b", "anna")
    again.import_lists(paths)
    assert again.labels() == {e: x for e, x in store.labels().items() if x != "ignore"}


def test_export_overwrites_only_when_told_and_never_doubles(tmp_path):
    store = LabelStore(tmp_path, "anna")
    store.set(event(1), "good")
    store.export_lists()
    store.set(event(1), "bad")
    with pytest.raises(OutputError, match=r"good\.lst exists"):
        store.export_lists()
    assert not (tmp_path / "bad.lst").exists()
    store.export_lists(overwrite=True)
    assert (tmp_path / "good.lst").read_text() == ""
    assert (tmp_path / "bad.lst").read_text() == "run.cxi //1\n"


def test_classes_that_would_share_a_file_are_refused(tmp_path):
    store = LabelStore(tmp_path, "anna")
    store.set_many([(event(1), "Good"), (event(2), "good")])
    with pytest.raises(LabelError, match="capitals"):
        store.export_lists()


# -- beside a stack


def test_labels_go_to_their_own_events(tmp_path):
    """The tool before read all labels of a list from its first file."""
    stack = stack_of(3, 2, 4)
    store = LabelStore(tmp_path, "anna")
    store.set(EventId("run2.cxi", "//1"), "good")
    store.set(EventId("run0.cxi", "//2"), "bad")
    store.set(EventId("run0.cxi", "//7"), "bad")
    store.set(EventId("other.cxi", "//0"), "bad")
    expected = [None, None, "bad", None, None, None, "good", None, None]
    assert store.aligned(stack) == expected
    order = np.array([6, 0, 2, 6])
    assert store.aligned(stack.subset(order)) == ["good", None, "bad", "good"]
    assert set(store.match(stack).unmatched) == {
        EventId("run0.cxi", "//7"),
        EventId("other.cxi", "//0"),
    }


def test_paths_may_be_written_another_way(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    (data / "run.cxi").write_text("")
    (tmp_path / "link.cxi").symlink_to(data / "run.cxi")
    monkeypatch.chdir(tmp_path)
    store = LabelStore("labels", "anna")
    store.set(event(0, "data/run.cxi"), "good")
    store.set(event(1, f"{data}/../data/run.cxi"), "bad")
    store.set(event(2, "link.cxi"), "good")
    expected = ["good", "bad", "good", None]
    for name in ("data/run.cxi", "./data/run.cxi", str(data / "run.cxi"), "link.cxi"):
        assert store.aligned(stack_of(4, names=(name,))) == expected
    monkeypatch.chdir(data)
    for again in (LabelStore("../labels", "anna"), LabelStore(tmp_path / "labels", "anna")):
        assert again.aligned(stack_of(4, names=("run.cxi",))) == expected
        assert again.match(stack_of(4, names=("run.cxi",))).warnings == []
    assert store.get(event(0, str(data / "run.cxi"))) == "good"


def test_an_event_labelled_under_two_paths_has_the_last_label(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run.cxi").write_text("")
    store = LabelStore("labels", "anna")
    store.set(event(0), "good")
    store.set(event(0, str(tmp_path / "run.cxi")), "bad")
    assert len(store) == 1
    assert store.aligned(stack_of(1, names=("run.cxi",))) == ["bad"]


def test_labels_moved_elsewhere_are_recognised_only_when_unambiguous(tmp_path):
    for sub in ("a/r1", "a/r2"):
        (tmp_path / sub).mkdir(parents=True)
        (tmp_path / sub / "run.cxi").write_text("")
    store = LabelStore(tmp_path / "far" / "away" / "labels", "anna")
    store.set(event(0, "r1/run.cxi"), "good")
    store.set(event(1, "run.cxi"), "bad")
    names = tuple(str(tmp_path / "a" / sub / "run.cxi") for sub in ("r1", "r2"))
    found = store.match(stack_of(2, 2, names=names))
    assert found.labels == ["good", None, None, None]
    assert found.unmatched == [event(1, "run.cxi")]
    assert "r1/run.cxi" in found.warnings[0]


def test_many_events(tmp_path):
    store = LabelStore(tmp_path, "anna")
    store.set_many((event(i, f"run{i % 50}.cxi"), "good") for i in range(0, 100_000, 7))
    again = LabelStore(tmp_path, "bert")
    stack = stack_of(*[2000] * 50)
    labels = again.aligned(stack)
    assert [k % 2000 for k, label in enumerate(labels) if label][:2] == [0, 350]
    assert sum(label is not None for label in labels) == sum(
        i < 2000 for i in range(0, 100_000, 7)
    )
