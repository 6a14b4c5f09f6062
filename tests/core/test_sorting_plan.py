"""Block arithmetic, tallies, tables and names, over many cases."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sorting_cases import CLASSES, MeanModel, Source, means, stack_of

from napari_xfelsort.core.decisions import Decisions
from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.sorting.folder import InputName, list_names, table_names
from napari_xfelsort.core.sorting.options import SortSettings, events_per_block
from napari_xfelsort.core.sorting.plan import plan_files, tasks_of
from napari_xfelsort.core.sorting.tables import header_text, rows_text
from napari_xfelsort.core.sorting.tally import MAX_FAILURES, Extreme, Tally

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def made_stack(sizes, selection):
    stack = stack_of(*(Source(np.zeros(n), f"{k}.cxi") for k, n in enumerate(sizes)))
    return stack if selection is None else stack.subset(selection)


@st.composite
def stacks(draw):
    sizes = draw(lengths)
    n = sum(sizes)
    kind = draw(st.sampled_from(["all", "slice", "any"]))
    if kind == "all":
        return made_stack(sizes, None)
    if kind == "slice":
        start = draw(st.integers(0, n - 1))
        return made_stack(sizes, range(start, n))
    return made_stack(sizes, draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=60)))


@given(stacks())
def test_a_plan_holds_every_event_of_the_stack_once(stack):
    found = {}
    for plan in plan_files(stack):
        for index, position in zip(plan.indices, plan.positions, strict=True):
            assert position not in found
            found[int(position)] = (plan.source, int(index))
    assert found == {i: stack.locate(i) for i in range(len(stack))}


@given(stacks(), st.integers(1, 50), st.data())
def test_tasks_hold_every_event_that_is_left_once(stack, size, data):
    plans = plan_files(stack)
    rows = [data.draw(st.integers(0, len(plan))) for plan in plans]
    left = {(k, row) for k, plan in enumerate(plans) for row in range(rows[k], len(plan))}
    for task in tasks_of(iter(zip(plans, rows, strict=True)), size):
        assert sum(len(part.indices) for part in task.parts) <= size
        assert len(task.parts) == 1 or all(part.whole for part in task.parts)
        for part in task.parts:
            plan = plans[part.file]
            # Blocks start at multiples of their size, wherever the work is taken up.
            assert (part.row - rows[part.file]) % size == 0
            assert part.whole == (len(part.indices) == len(plan))
            for k, index in enumerate(part.indices):
                assert plan.indices[part.row + k] == index
                left.remove((part.file, part.row + k))
    assert not left


@given(stacks())
def test_the_digest_of_the_first_events_is_that_of_a_shorter_stack(stack):
    plans = plan_files(stack)
    for plan in plans:
        for n in range(1, len(plan) + 1):
            shorter = stack.subset([int(p) for p in plan.positions[:n]])
            (again,) = [p for p in plan_files(shorter) if p.source is plan.source]
            assert again.first(n) == plan.first(n) == again.name.selection


def test_other_events_have_another_digest():
    (plan,) = plan_files(made_stack([9], [0, 2, 1]))
    (other,) = plan_files(made_stack([9], [0, 1, 2]))
    assert plan.first(1) == other.first(1)
    assert plan.first(3) != other.first(3)


@given(st.integers(1, 10**8), st.integers(1, 10**5), st.integers(1, 10**9))
def test_a_block_is_bounded_in_events_and_bytes(event_bytes, most, most_bytes):
    settings = SortSettings(block_events=most, block_bytes=most_bytes)
    block = events_per_block(settings, event_bytes)
    assert 1 <= block <= most
    assert block == 1 or block * event_bytes <= most_bytes


def test_blocks_of_small_and_of_large_frames():
    settings = SortSettings()
    assert events_per_block(settings, 100) == 4096
    assert events_per_block(settings, 2048) == 2048  # 32 x 32 pixels of 16 bits
    assert events_per_block(settings, 67_584) == 64  # a panel of an ePix10k-2M
    assert events_per_block(settings, 8_650_752) == 3  # a whole one, as 32-bit numbers


# --- tallies ----------------------------------------------------------------------------

outcomes = st.lists(
    st.tuples(st.sampled_from([*CLASSES, "unsure", "failed"]), st.integers(0, 20)), max_size=60
)


def decisions_of(events):
    chosen = np.array([name for name, _ in events], "<U8")
    p = np.array([value / 20 for _, value in events], np.float64).reshape(-1)
    table = np.stack([p, 1 - p], axis=1)
    table[chosen == "failed"] = np.nan
    flags = [f"why {i}" if c == "failed" else "" for i, c in enumerate(chosen.tolist())]
    ids = [EventId("a.cxi", f"//{i}") for i in range(len(events))]
    return Decisions(ids, CLASSES, chosen, table, flags)


@given(outcomes, st.lists(st.integers(0, 60), max_size=4), st.integers(0, 5))
def test_tallies_of_blocks_add_up_to_that_of_the_whole(events, cuts, keep):
    whole = Tally.of(decisions_of(events), keep)
    total = Tally(CLASSES, keep)
    edges = [0, *sorted(min(c, len(events)) for c in cuts), len(events)]
    made = decisions_of(events)
    for start, stop in pairwise(edges):
        part = Decisions(
            made.event_ids[start:stop],
            CLASSES,
            made.chosen[start:stop],
            made.probabilities[start:stop],
            made.flags[start:stop],
        )
        total.add(Tally.of(part, keep), start)
    assert total.to_dict() == whole.to_dict()
    assert Tally.from_dict(total.to_dict()).to_dict() == whole.to_dict()


def test_a_tally_by_hand():
    tally = Tally.of(
        decisions_of([("good", 20), ("good", 12), ("bad", 3), ("unsure", 10), ("failed", 0)]), 1
    )
    assert tally.by_name() == {"good": 2, "bad": 1, "unsure": 1, "failed": 1}
    assert tally.surest["good"] == [Extreme(1.0, 0)]
    assert tally.least_sure["good"] == [Extreme(0.6, 1)]
    assert tally.surest["bad"] == [Extreme(0.85, 2)]
    assert tally.least_sure["unsure"] == [Extreme(0.5, 3)]
    assert [f.row for f in tally.failures] == [4]
    # 1, 0.6, 0.15 and 0.5 of good, in 25 bins of 0.04
    assert np.flatnonzero(tally.histogram[0]).tolist() == [3, 12, 15, 24]


def test_only_some_failures_are_kept():
    tally = Tally.of(decisions_of([("failed", 0)] * 100), 2)
    assert tally.failed == 100
    assert [f.row for f in tally.failures] == list(range(MAX_FAILURES))


# --- tables and names -------------------------------------------------------------------

texts = st.text(max_size=12)


@given(st.lists(st.tuples(texts, texts, texts), max_size=8))
def test_rows_are_written_as_decisions_write_them(tmp_path_factory, cells):
    n = len(cells)
    made = Decisions(
        [EventId(file, event) for file, event, _ in cells],
        ("a", 'b, "c"'),
        np.full(n, "a"),
        np.random.default_rng(n).random((n, 2)),
        [flags for _, _, flags in cells],
    )
    path = tmp_path_factory.mktemp("rows") / "own.csv"
    made.write_csv(path)
    assert header_text(made.class_names) + rows_text(made) == path.read_bytes()


paths = st.lists(
    st.text(st.sampled_from("aA/.\\~ é\x00\n:-"), min_size=1, max_size=9), min_size=1, max_size=8
)


@given(paths)
def test_table_names_are_safe_and_different_and_stay(given_paths):
    inputs = [InputName(path, "/data", k, 1, "0:1") for k, path in enumerate(given_paths)]
    names = table_names(inputs, {})
    folded = [name.casefold() for name in names.values()]
    assert len(set(folded)) == len(inputs)
    assert all(name and not set(name) & set('/\\:\x00\n*?"<>|') for name in names.values())
    assert all(not name.startswith(".") for name in names.values())
    some = dict(list(names.items())[::2])
    again = table_names(inputs, some)
    assert {identity: again[identity] for identity in some} == some
    assert len({name.casefold() for name in again.values()}) == len(inputs)


class_texts = st.text(max_size=20).filter(lambda name: name not in ("unsure", "failed"))


@given(st.lists(class_texts, max_size=6, unique=True))
def test_list_names_are_safe_and_different(class_names):
    files = list_names(class_names)
    assert len({file.casefold() for file in files.values()}) == len(files)
    assert all(file.endswith(".lst") and "/" not in file for file in files.values())
    assert list(files)[-1] == "unsure"


@pytest.mark.parametrize("name", ["unsure", "failed"])
def test_a_class_called_as_events_without_decision_is_refused(name):
    with pytest.raises(ModelError, match=name):
        list_names(["good", name])


def test_long_names_are_shortened():
    name = "é" * 250 + ".cxi"
    (table,) = table_names([InputName(name, "", 0, 1, "")], {}).values()
    assert len(table.encode()) < 200


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_blocks_do_not_change_decisions(size, tmp_path):
    from napari_xfelsort.core.sorting import sort

    stack = stack_of(Source(means(20, 3), "a.cxi"))
    sort(stack, MeanModel(), tmp_path, workers=0, block_events=size, report=False)
    chosen = Decisions.read_csv(tmp_path / "decisions" / "a.cxi.csv").classes
    (block,) = stack.blocks(100)
    assert chosen.tolist() == MeanModel().predict_block(stack, block).classes.tolist()
