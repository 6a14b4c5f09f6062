"""Arithmetic of event selections against plain Python lists."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mock_layouts import frames
from napari_xfelsort.core.errors import ListError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack

SIZES = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(sum)


def stack_of(sizes: list[int]) -> tuple[EventStack, list[tuple[str, int]]]:
    """A stack of sources of these sizes, and its events as (file, index)."""
    sources = [
        ArraySource(np.full((n, 2, 3), 100 * k) + np.arange(n)[:, None, None], f"f{k}")
        for k, n in enumerate(sizes)
    ]
    names = [(f"f{k}", i) for k, n in enumerate(sizes) for i in range(n)]
    return EventStack(sources), names


def named(stack: EventStack) -> list[tuple[str, int]]:
    located = [stack.locate(i) for i in range(len(stack))]
    return [(source.path, index) for source, index in located]


@given(SIZES)
def test_locate_counts_through_the_sources(sizes: list[int]) -> None:
    stack, names = stack_of(sizes)
    assert named(stack) == names
    assert [int(stack.raw(i)[0, 0]) for i in range(len(stack))] == [
        100 * int(file[1:]) + index for file, index in names
    ]


@given(SIZES, st.integers(-80, 80))
def test_locate_follows_python_s_indices(sizes: list[int], i: int) -> None:
    stack, names = stack_of(sizes)
    try:
        wanted = names[i]
    except IndexError:
        with pytest.raises(IndexError):
            stack.locate(i)
        return
    source, index = stack.locate(i)
    assert (source.path, index) == wanted


@given(st.data())
def test_subsets_of_subsets(data: st.DataObject) -> None:
    stack, names = stack_of(data.draw(SIZES))
    for _ in range(data.draw(st.integers(1, 3))):
        places = st.integers(0, len(names) - 1)
        chosen = data.draw(st.lists(places, min_size=1, max_size=20))
        stack, names = stack.subset(chosen), [names[c] for c in chosen]
        assert len(stack) == len(names)
        assert named(stack) == names


@given(st.data())
def test_blocks_hold_every_event_once(data: st.DataObject) -> None:
    stack, names = stack_of(data.draw(SIZES))
    if data.draw(st.booleans()):
        places = st.lists(st.integers(0, len(names) - 1), max_size=30)
        chosen = data.draw(places)
        stack, names = stack.subset(chosen), [names[c] for c in chosen]
    size = data.draw(st.integers(1, 12))
    seen = {}
    for block in stack.blocks(size):
        assert 0 < len(block.indices) == len(block.positions) <= size
        values = stack.read_block(block)
        rows = zip(block.positions.tolist(), block.indices.tolist(), strict=True)
        for k, (position, index) in enumerate(rows):
            assert position not in seen
            seen[position] = (block.source.path, index)
            assert values[k, 0, 0] == 100 * int(block.source.path[1:]) + index
    assert [seen[p] for p in sorted(seen)] == names


@given(st.data())
def test_events_are_found_by_their_names(data: st.DataObject) -> None:
    stack, names = stack_of(data.draw(SIZES))
    places = st.lists(st.integers(0, len(names) - 1), min_size=1, unique=True)
    stack = stack.subset(data.draw(places))
    for i in range(len(stack)):
        assert stack.find(stack.event_id(i)) == i
    assert stack.find(EventId("elsewhere", "//0")) is None


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1)
PARTS = st.text("abcXYZ019_-", min_size=1, max_size=9)


@given(
    NAMES.filter(lambda name: name == name.strip()),
    st.lists(PARTS, max_size=3),
    st.lists(st.integers(0, 10**7), max_size=3),
)
def test_event_names_survive_a_list(name: str, parts: list[str], indices: list[int]) -> None:
    """What is written as CrystFEL writes it is read back; an index keeps its value."""
    event = "/".join(parts) + "//" + "/".join(map(str, indices))
    line = str(EventId(name, event))
    if " " in name and "//" in name.rpartition(" ")[2]:
        return
    again = EventId.parse(line)
    assert (again.file, again.event) == (name, event)
    assert again.path_parts == tuple(parts)
    assert again.indices == tuple(indices)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        event = EventId.parse(line)
    except ListError:
        return
    assert event.file or event.event


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of five events; pixel (0, 0) tells file and event."""
    folder = tmp_path_factory.mktemp("run")
    for k in range(3):
        with h5py.File(folder / f"f {k}.h5", "w") as f:
            f["entry/data/data"] = frames(range(10 * k, 10 * k + 5), (4, 5), "u4")
    return folder


LINES = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 2), st.integers(0, 4)),
        st.tuples(st.integers(0, 2), st.none()),
        st.just("blank"),
    ),
    min_size=1,
    max_size=15,
).filter(lambda lines: any(line != "blank" for line in lines))


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lines=LINES, ending=st.sampled_from(["\n", "\r\n"]))
def test_lists_keep_order_and_count(run: Path, lines: list, ending: str) -> None:
    """Exactly the listed events, each once, in the list's order; a file alone means all."""
    text, wanted = [], []
    for line in lines:
        if line == "blank":
            text.append("")
        elif line[1] is None:
            text.append(f"f {line[0]}.h5")
            wanted += [10 * line[0] + e for e in range(5)]
        else:
            text.append(f"f {line[0]}.h5 //{line[1]}")
            wanted.append(10 * line[0] + line[1])
    path = run / "events.lst"
    path.write_bytes(ending.join(text).encode())
    stack = open_stack(path)
    assert [int(stack.raw(i)[0, 0]) // 1000 for i in range(len(stack))] == list(
        dict.fromkeys(wanted)
    )
