"""CrystFEL lists, good and bad, and the files they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from mock_layouts.base import Mock, image_stack, layout

SHAPE = (40, 50)
FIRST = {"a.h5": 0, "b.h5": 20, "sub dir/c d.h5": 30}


def write_files(folder: Path) -> None:
    """Write three files of four events; events are numbered from `FIRST`."""
    for name, first in FIRST.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as f:
            image_stack(f, "entry/data/data", range(first, first + 4), SHAPE)


def list_mock(folder: Path, content: str | bytes, events: list[int], **more: Any) -> Mock:
    """Write files and a list; the list holds these events."""
    write_files(folder)
    path = folder / "events.lst"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Mock(
        [path],
        **{
            "n_events": len(events),
            "shapes": [SHAPE],
            "dtype": "f4",
            "events": events,
            "event_ids": [f"//{e % 10}" for e in events],
            **more,
        },
    )


@layout("n14")
def list_of_events(folder: Path) -> Mock:
    """Events of three files in an order of their own; a name with a blank."""
    content = "b.h5 //3\na.h5 //0\n\nsub dir/c d.h5 //2\nb.h5 //0\n"
    return list_mock(folder, content, [23, 0, 32, 20])


@layout("n14")
def list_of_files(folder: Path) -> Mock:
    """Whole files."""
    return list_mock(
        folder,
        "a.h5\nb.h5\nsub dir/c d.h5\n",
        [0, 1, 2, 3, 20, 21, 22, 23, 30, 31, 32, 33],
    )


@layout("n14")
def list_mixed(folder: Path) -> Mock:
    """Files and events mixed, no newline at the end."""
    return list_mock(folder, "b.h5 //1\na.h5\nb.h5 //3", [21, 0, 1, 2, 3, 23])


@layout("n14")
def list_crlf(folder: Path) -> Mock:
    """Lines as Windows ends them, and a byte-order mark."""
    content = b"\xef\xbb\xbfa.h5 //1\r\nb.h5 //1\r\n\r\nsub dir/c d.h5 //0\r\n"
    return list_mock(folder, content, [1, 21, 30])


@layout("n14")
def list_comments(folder: Path) -> Mock:
    """Comment lines of either kind."""
    content = "# good hits\na.h5 //1\n; bad\nb.h5 //2\n   \n"
    return list_mock(folder, content, [1, 22], any_problems=True)


@layout("n14")
def list_blanks(folder: Path) -> Mock:
    """Several blanks before the event."""
    return list_mock(folder, "a.h5   //1\nb.h5 //2\nsub dir/c d.h5  //3\n", [1, 22, 33])


@layout("n14")
def list_absolute(folder: Path) -> Mock:
    """Absolute names."""
    return list_mock(folder, f"{folder}/b.h5 //2\n{folder}/a.h5 //1\n", [22, 1])


@layout("n14")
def list_missing_file(folder: Path) -> Mock:
    """A named file is gone: the others stay, name and line are told."""
    content = "a.h5 //1\ngone.h5 //0\nb.h5 //2\n"
    return list_mock(folder, content, [1, 22], problems=["gone.h5", "line 2"])


@layout("n14")
def list_missing_event(folder: Path) -> Mock:
    """An event beyond the file's end, and one that is no number."""
    content = "a.h5 //1\na.h5 //99\nb.h5 //x\nb.h5 //-1\nb.h5 //0\n"
    problems = ["//99", "line 2", "//x", "line 3", "//-1", "line 4"]
    return list_mock(folder, content, [1, 20], problems=problems)


@layout("n14")
def list_repeated(folder: Path) -> Mock:
    """An event listed twice is one event, where it was listed first."""
    content = "a.h5 //1\nb.h5 //0\na.h5 //1\nb.h5\n"
    return list_mock(folder, content, [1, 20, 21, 22, 23], any_problems=True)


@layout("n14")
def list_nothing_left(folder: Path) -> Mock:
    """All files are gone."""
    mock = list_mock(folder, "x.h5 //1\ny.h5 //2\n", [])
    mock.error = ["ListError", "NoEventsError", "UnreadableFileError"]
    mock.names = ["x.h5"]
    return mock


@layout("n14")
def list_empty(folder: Path) -> Mock:
    """No line at all."""
    mock = list_mock(folder, "\n\n", [])
    mock.error, mock.names = ["ListError", "NoEventsError"], ["events.lst"]
    return mock


@layout("n14")
def list_of_something_else(folder: Path) -> Mock:
    """Real folders hold .lst files that are no image lists."""
    mock = list_mock(folder, "97:lyso-chitotetraose-2s\n98:lyso-chitotetraose-2s\n", [])
    mock.error = ["ListError", "NoEventsError", "UnreadableFileError"]
    mock.names = ["events.lst"]
    return mock


@layout("n14")
def list_binary(folder: Path) -> Mock:
    """Bytes that are no text."""
    mock = list_mock(folder, bytes(range(256)) * 40, [])
    mock.error = ["ListError", "NoEventsError", "UnreadableFileError"]
    mock.names = ["events.lst"]
    return mock


@layout("n14")
def list_of_tags(folder: Path) -> Mock:
    """Path-style events of a SACLA file."""
    path = folder / "run1-0.h5"
    from mock_layouts.sacla_pal import RAYONIX, write_tags

    write_tags(path, [100, 102, 104], RAYONIX)
    lines = folder / "tags.lst"
    lines.write_text("run1-0.h5 tag-104//\nrun1-0.h5 tag-100//\nrun1-0.h5 tag-999//\n")
    return Mock(
        [lines],
        n_events=2,
        shapes=[RAYONIX],
        dtype="i2",
        events=[2, 0],
        event_ids=["tag-104//", "tag-100//"],
        problems=["tag-999//", "line 3"],
    )


@layout("n14")
def list_of_list_and_file(folder: Path) -> Mock:
    """A list and a file given together."""
    mock = list_mock(folder, "a.h5 //2\n", [2])
    mock.paths.append(folder / "b.h5")
    mock.n_events, mock.events = 5, [2, 20, 21, 22, 23]
    mock.event_ids = ["//2", "//0", "//1", "//2", "//3"]
    return mock


@layout("n15")
def mixed_shapes(folder: Path) -> Mock:
    """Files that disagree in shape: the odd one is told, the others are used."""
    write_files(folder)
    with h5py.File(folder / "b.h5", "w") as f:
        image_stack(f, "entry/data/data", range(20, 24), (40, 52))
    path = folder / "mixed.lst"
    path.write_text("a.h5\nb.h5\nsub dir/c d.h5\n")
    return Mock(
        [path],
        n_events=8,
        shapes=[SHAPE],
        dtype="f4",
        events=[0, 1, 2, 3, 30, 31, 32, 33],
        problems=["b.h5", "40", "52"],
    )


@layout("n15")
def mixed_shapes_first_odd(folder: Path) -> Mock:
    """The first file is the odd one: the run is what most files agree on, or the rest
    are told; either way no frame of another shape is shown."""
    mixed_shapes(folder)
    path = folder / "mixed.lst"
    path.write_text("b.h5\na.h5\nsub dir/c d.h5\n")
    return Mock([path], shapes=[SHAPE, (40, 52)], dtype="f4", problems=["h5"])
