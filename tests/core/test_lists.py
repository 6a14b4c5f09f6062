"""Lists against an independent reading of CrystFEL's rule."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_xfelsort.core.errors import ListError, OutputError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.lists import list_line, read_list, write_list


def crystfel_reads(data: bytes) -> list[tuple[str, str | None]]:
    """What CrystFEL's sandbox makes of a list: (file, event), None without an event.

    Told from its behaviour: pieces of at most 1022 bytes, cut at the first line end,
    empty ones skipped; scanning back from the end for a blank stops at byte 2, and
    then the whole line is the file.
    """
    assert not 0 < len(data) < 8, "CrystFEL refuses such a file"
    found: list[tuple[str, str | None]] = []
    while data:
        end = data.find(b"\n") + 1 or len(data)
        piece, data = data[: min(end, 1022)], data[min(end, 1022) :]
        line = piece.split(b"\n")[0].split(b"\r")[0]
        if not line:
            continue
        at = len(line)
        while at > 2 and line[at : at + 1] != b" ":
            at -= 1
        if at != 2 and b"//" in line[at:]:
            found.append((line[:at].decode(), line[at + 1 :].decode()))
        else:
            found.append((line.decode(), None))
    return found


def same_file(a: str, b: str) -> bool:
    return os.path.normpath(a) == os.path.normpath(b)


names = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\0/", exclude_categories=["Cs"]),
    min_size=1,
    max_size=30,
)
files = st.lists(names, min_size=1, max_size=3).map("/".join)
parts = st.text("abcXYZ019_-.", min_size=1, max_size=8)
events = st.builds(
    lambda path, dims: "/".join(path) + "//" + "/".join(map(str, dims)),
    st.lists(parts, max_size=2),
    st.lists(st.integers(0, 10**6), max_size=2),
)
ids = st.builds(EventId, files, st.one_of(st.just(""), events))


@given(st.lists(ids, max_size=6))
def test_crystfel_recovers_exactly_the_events(tmp_path_factory, event_ids):
    path = tmp_path_factory.mktemp("lists") / "good.lst"
    try:
        write_list(path, event_ids)
    except OutputError:
        assert not path.exists()
        return
    data = path.read_bytes()
    assert b"\r" not in data
    found = crystfel_reads(data)
    assert [event or "" for _, event in found] == [e.event for e in event_ids]
    assert all(same_file(file, e.file) for (file, _), e in zip(found, event_ids, strict=True))
    again = [entry.event for entry in read_list(path)]
    assert [e.event for e in again] == [e.event for e in event_ids]
    assert all(same_file(a.file, e.file) for a, e in zip(again, event_ids, strict=True))


@pytest.mark.parametrize(
    "event",
    [
        EventId("run12.cxi", "//3"),
        EventId("/data/my run/f.h5", "tag-1234//"),
        EventId("f.h5", "a/b//3"),
        EventId("image with blanks.cbf"),
        EventId("/data//twice/img.h5"),
        EventId("dïr/é.cxi", "//0"),
    ],
)
def test_usual_events_are_written_as_given(event):
    assert list_line(event) == f"{event}\n".encode()


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (EventId("a", "//0"), b"./a //0\n"),  # CrystFEL finds no event after 1 or 2 bytes
        (EventId("ab", "//0"), b"./ab //0\n"),
        (EventId("/a", "//0"), b"/./a //0\n"),
        (EventId("#7.h5", "//0"), b"./#7.h5 //0\n"),
        (EventId(" x.h5", "//0"), b"./ x.h5 //0\n"),
        (EventId("\x85/x.h5"), b"./\xc2\x85/x.h5\n"),
    ],
)
def test_names_that_readers_stumble_over_get_a_prefix(event, line):
    assert list_line(event) == line


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (EventId("a\nb.h5", "//0"), "line end"),
        (EventId("a\rb.h5"), "line end"),
        (EventId("run.h5 ", "//0"), "blank"),
        (EventId("run.h5 "), "blank"),
        (EventId("", "//0"), "empty"),
        (EventId("run.h5", "my group//0"), "no blank"),
        (EventId("run.h5", "3"), "//"),
        (EventId("run a//b"), "reads as an event"),
        (EventId("d/" * 600 + "run.h5", "//0"), "1022 bytes"),
        (EventId("run\udcff.h5", "//0"), "UTF-8"),
        (EventId("\ud800", "//0"), "UTF-8"),
    ],
)
def test_what_the_syntax_cannot_say_is_refused(tmp_path, event, why):
    path = tmp_path / "x.lst"
    with pytest.raises(OutputError, match=why):
        write_list(path, [EventId("fine.h5", "//0"), event])
    assert os.listdir(tmp_path) == []


def test_longest_line_that_crystfel_takes():
    name = "r" * (1022 - 4)
    data = list_line(EventId(name, "//0"))
    assert crystfel_reads(data) == [(name, "//0")]
    with pytest.raises(OutputError):
        list_line(EventId("r" + name, "//0"))


def test_short_list_is_long_enough_for_crystfel(tmp_path):
    path = tmp_path / "x.lst"
    write_list(path, [EventId("a.h5")])
    assert crystfel_reads(path.read_bytes()) == [("a.h5", None)]
    assert [e.event for e in read_list(path)] == [EventId("a.h5")]


def test_no_events_make_an_empty_file(tmp_path):
    assert write_list(tmp_path / "x.lst", []) == 0
    assert (tmp_path / "x.lst").read_bytes() == b""
    assert read_list(tmp_path / "x.lst") == []


def test_absolute_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_list("x.lst", [EventId("sub/../run.cxi", "//1")], absolute=True)
    assert Path("x.lst").read_text() == f"{tmp_path}/run.cxi //1\n"


def test_a_list_is_not_overwritten_unless_told(tmp_path):
    path = tmp_path / "x.lst"
    write_list(path, [EventId("run.h5", "//1")])
    with pytest.raises(OutputError, match=r"x\.lst exists already"):
        write_list(path, [EventId("run.h5", "//2")])
    assert path.read_text() == "run.h5 //1\n"
    write_list(path, [EventId("run.h5", "//2")], overwrite=True)
    assert path.read_text() == "run.h5 //2\n"
    assert os.listdir(tmp_path) == ["x.lst"]


def test_missing_folder_is_a_sentence(tmp_path):
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        write_list(tmp_path / "no" / "x.lst", [])


def test_first_line_is_an_event_and_each_line_keeps_its_own_file(tmp_path):
    """The tool before took line 1 for a header and the first file for all lines."""
    path = tmp_path / "x.lst"
    path.write_text("s1.cxi //0\ns2.cxi //2\ns1.cxi //1\n")
    assert [e.event for e in read_list(path)] == [
        EventId("s1.cxi", "//0"),
        EventId("s2.cxi", "//2"),
        EventId("s1.cxi", "//1"),
    ]


def test_reading_skips_comments_blanks_and_windows_line_ends(tmp_path):
    path = tmp_path / "x.lst"
    path.write_bytes(
        b"\xef\xbb\xbf# made by hand\r\n\r\n  \na b.h5 //1\r\n;x\nc.h5 p/q//12\nd e.h5"
    )
    assert read_list(path) == [
        (4, EventId("a b.h5", "//1")),
        (6, EventId("c.h5", "p/q//12")),
        (7, EventId("d e.h5")),
    ]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x89HDF\r\n\x1a\nxxxx", "binary"),
        (b"run.h5 //0\n\0\0\n", "binary"),
        (b"run.h5 //0\nr\xe9sum\xe9.h5 //0\n", "Line 2 of .*UTF-8"),
        (b"x" * 20000, "Line 1 of .*too long"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, data, why):
    path = tmp_path / "other.lst"
    path.write_bytes(data)
    with pytest.raises(ListError, match=why) as error:
        read_list(path)
    assert "other.lst" in str(error.value)


def test_missing_list_and_folder(tmp_path):
    with pytest.raises(ListError, match=r"nothing\.lst does not exist"):
        read_list(tmp_path / "nothing.lst")
    with pytest.raises(ListError, match="is a folder"):
        read_list(tmp_path)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("lists") / "any.lst"
    path.write_bytes(data)
    try:
        entries = read_list(path)
    except ListError:
        return
    assert len(entries) <= data.count(b"\n") + 1
