"""Sorting in this process: decisions, lists, tables, resuming and what must not be replaced."""

from __future__ import annotations

import csv
import errno
import json
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
from sorting_cases import (
    CLASSES,
    MeanModel,
    Source,
    expected_class,
    means,
    results,
    stack_of,
)

from napari_xfelsort.core.decisions import Decisions
from napari_xfelsort.core.errors import OutputError, Problem, SettingsError
from napari_xfelsort.core.sorting import SortProgress, sort
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def table(out: Path, name: str) -> list[dict[str, str]]:
    with (out / "decisions" / f"{name}.csv").open(newline="") as text:
        return list(csv.DictReader(text))


def test_every_event_is_in_the_list_that_its_mean_says(tmp_path):
    values = {f"run{k}.cxi": means(90 + k, k) for k in range(3)}
    stack = stack_of(*(Source(v, path) for path, v in values.items()))
    summary = sort(stack, MeanModel(), tmp_path / "out", workers=0, block_events=7)
    wanted = {"good": [], "bad": [], "unsure": []}
    for path, v in values.items():
        for i, mean in enumerate(v):
            wanted[expected_class(mean)].append(f"{path} //{i}")
    for name, events in wanted.items():
        assert lines(tmp_path / "out" / f"{name}.lst") == events
    assert summary.totals == {**{k: len(v) for k, v in wanted.items()}, "failed": 0}
    assert summary.ok
    assert summary.sorted_now == summary.events == len(stack)
    assert "It is only a mean." in summary.to_text()


def test_tables_are_the_same_bytes_as_the_models_own(tmp_path):
    stack = stack_of(Source(means(50, 1), "a b.cxi", broken=(3,)), Source(means(20, 2), "c.cxi"))
    sort(stack, MeanModel(), tmp_path, workers=0, block_events=9)
    for block in stack.blocks(1000):
        name = Path(block.source.path).name
        MeanModel().predict_block(stack, block).write_csv(tmp_path / "own.csv", overwrite=True)
        written = tmp_path / "decisions" / f"{name}.csv"
        assert written.read_bytes() == (tmp_path / "own.csv").read_bytes()
        assert len(Decisions.read_csv(written)) == len(block.source)


def test_a_list_that_alternates_between_files_keeps_its_order(tmp_path):
    sources = [Source(means(40, k), f"{k}.cxi") for k in range(3)]
    rng = np.random.default_rng(5)
    chosen = rng.permutation(120)[:77]
    stack = stack_of(*sources).subset(chosen)
    summary = sort(stack, MeanModel(), tmp_path, workers=0, block_events=4)
    for name in (*CLASSES, "unsure"):
        wanted = [
            f"{p // 40}.cxi //{p % 40}"
            for p in chosen.tolist()
            if expected_class(means(40, p // 40)[p % 40]) == name
        ]
        assert lines(tmp_path / f"{name}.lst") == wanted
    assert summary.events == 77
    rows = [row["event"] for row in table(tmp_path, "1.cxi")]
    assert rows == [f"//{p % 40}" for p in chosen.tolist() if p // 40 == 1]


def test_a_source_without_a_listed_event_has_an_empty_table(tmp_path):
    stack = stack_of(*(Source(means(5, k), f"{k}.cxi") for k in range(3))).subset([11, 1])
    summary = sort(stack, MeanModel(), tmp_path, workers=0)
    assert [row.events for row in summary.files] == [1, 0, 1]
    assert table(tmp_path, "1.cxi") == []


def test_equal_file_names_of_different_folders_get_tables_of_their_own(tmp_path):
    first, second = Source(means(10, 1), "/a/run.cxi"), Source(means(12, 2), "/b/RUN.cxi")
    sort(stack_of(first, second), MeanModel(), tmp_path / "1", workers=0)
    names = {p.name for p in (tmp_path / "1" / "decisions").glob("*.csv")}
    assert len(names) == 2
    assert "run.cxi.csv" in names
    counts = {row["table"]: row["events"] for row in csv.DictReader(open_summary(tmp_path / "1"))}
    assert counts[f"decisions/{(names - {'run.cxi.csv'}).pop()}"] == "12"
    # The same names again, also when a third one joins in front of them.
    third = Source(means(3, 3), "/0/run.cxi")
    sort(stack_of(first, second), MeanModel(), tmp_path / "2", workers=0)
    assert {p.name for p in (tmp_path / "2" / "decisions").glob("*.csv")} == names
    summary = sort(stack_of(third, first, second), MeanModel(), tmp_path / "2", workers=0)
    assert summary.sorted_now == 3
    assert names < {p.name for p in (tmp_path / "2" / "decisions").glob("*.csv")}


def open_summary(out: Path) -> list[str]:
    return lines(out / "summary.csv")


def test_an_event_that_cannot_be_read_costs_only_itself(tmp_path):
    stack = stack_of(Source([0.9] * 10, "a.cxi", broken=(4, 7)), Source([0.9] * 3, "b.cxi"))
    summary = sort(stack, MeanModel(), tmp_path, workers=0, block_events=3)
    assert summary.totals == {"good": 11, "bad": 0, "unsure": 0, "failed": 2}
    assert not summary.ok
    assert not summary.problems
    assert [row.status for row in summary.files] == ["some failed", "done"]
    assert "a.cxi //4 cannot be read: the chunk is torn." in summary.to_text()
    assert len(summary.failures) == 2
    rows = table(tmp_path, "a.cxi")
    assert rows[7]["class"] == "failed"
    assert rows[7]["flags"] == "a.cxi //7 cannot be read: the chunk is torn."
    assert "a.cxi //7" not in lines(tmp_path / "good.lst")


def test_a_file_that_cannot_be_sorted_costs_that_file_and_is_tried_again(tmp_path):
    stack = stack_of(Source([0.9] * 10, "a.cxi"), Source([0.1] * 5, "torn.cxi"))
    problems = [Problem("gone.cxi", "gone.cxi does not exist.")]
    stack = EventStack(stack.sources, problems=problems)
    summary = sort(stack, MeanModel(refuse="torn"), tmp_path, workers=0, block_events=2)
    assert summary.totals == {"good": 10, "bad": 0, "unsure": 0, "failed": 5}
    assert [row.status for row in summary.files] == ["done", "failed", "problem"]
    assert summary.problems == problems
    told = "no decision on torn.cxi"
    assert told in table(tmp_path, "torn.cxi")[0]["flags"]
    assert told in summary.to_text()
    assert "gone.cxi does not exist." in "\n".join(open_summary(tmp_path))
    # The digest is the same: the reason has passed, and only that file is sorted again.
    again = sort(stack, MeanModel(), tmp_path, workers=0, block_events=2)
    assert again.sorted_now == 5
    assert again.totals == {"good": 10, "bad": 5, "unsure": 0, "failed": 0}
    assert not again.ok  # gone.cxi is still gone


def test_a_stack_with_problems_only_is_not_ok_but_sorted(tmp_path):
    stack = EventStack([Source([0.9], "a.cxi")], problems=[Problem("b", "b is empty.")])
    assert not sort(stack, MeanModel(), tmp_path, workers=0).ok


# --- resuming ---------------------------------------------------------------------------


def test_complete_files_are_not_read_again(tmp_path):
    stack = stack_of(*(Source(means(30, k), f"{k}.cxi") for k in range(3)))
    sort(stack, MeanModel(), tmp_path, workers=0)
    before = results(tmp_path)
    unreadable = stack_of(
        *(Source(means(30, k), f"{k}.cxi", broken=tuple(range(30))) for k in range(3))
    )
    again = sort(unreadable, MeanModel(), tmp_path, workers=0)
    assert again.sorted_now == 0
    assert again.ok
    assert results(tmp_path) == before
    assert "90 of them were sorted by an earlier call and kept." in again.to_text()


class Stop(Exception):
    pass


@pytest.mark.parametrize("stop_at", [0, 1, 4, 9, 13])
def test_what_progress_raises_stops_and_the_same_call_goes_on(tmp_path, stop_at):
    stack = stack_of(*(Source(means(30, k), f"{k}.cxi", broken=(2,)) for k in range(3)))
    settings = {"workers": 0, "block_events": 7}
    sort(stack, MeanModel(), tmp_path / "whole", **settings)
    seen: list[SortProgress] = []

    def stop(progress: SortProgress) -> None:
        seen.append(progress)
        if len(seen) > stop_at:
            raise Stop

    with pytest.raises(Stop):
        sort(stack, MeanModel(), tmp_path / "out", progress=stop, **settings)
    assert not (tmp_path / "out" / "good.lst").exists()
    again = sort(stack, MeanModel(), tmp_path / "out", **settings)
    assert again.events - again.sorted_now == seen[-1].done_events
    assert again.failed == 3
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def test_progress_grows_to_the_end(tmp_path):
    seen: list[SortProgress] = []
    stack = stack_of(*(Source(means(20, k), f"{k}.cxi", broken=(0,)) for k in range(3)))
    sort(stack, MeanModel(), tmp_path, workers=0, block_events=6, progress=seen.append)
    done = [p.done_events for p in seen]
    assert done == sorted(done)
    assert seen[0] == SortProgress(0, 60, 0, 3, "", 0)
    last = seen[-1]
    assert last == SortProgress(60, 60, 3, 3, "2.cxi", 3, 0, 2, last.counts, last.rate)
    ends = {p.number: p.counts for p in seen if p.number >= 0}
    assert [(sum(ends[k].values()), ends[k]["failed"]) for k in range(3)] == [(20, 1)] * 3


def test_progress_tells_what_was_done_before(tmp_path):
    seen: list[SortProgress] = []
    stack = stack_of(*(Source(means(20, k), f"{k}.cxi") for k in range(3)))

    def stop(progress: SortProgress) -> None:
        if progress.done_events > 25:
            raise Stop

    with pytest.raises(Stop):
        sort(stack, MeanModel(), tmp_path, workers=0, block_events=4, progress=stop)
    sort(stack, MeanModel(), tmp_path, workers=0, block_events=4, progress=seen.append)
    first = next(p for p in seen if p.number == 0)
    assert first.kept_events == first.done_events == sum(first.counts.values()) == 20
    assert seen[-1].kept_events == 28
    assert seen[-1].done_events == 60


def test_a_partial_table_in_other_blocks_is_begun_again(tmp_path):
    stack = stack_of(Source(means(50, 0), "a.cxi"))

    def stop(progress: SortProgress) -> None:
        if progress.done_events >= 20:
            raise Stop

    with pytest.raises(Stop):
        sort(stack, MeanModel(), tmp_path, workers=0, block_events=5, progress=stop)
    again = sort(stack, MeanModel(), tmp_path, workers=0, block_events=6)
    assert again.sorted_now == 50
    assert len(table(tmp_path, "a.cxi")) == 50


@pytest.mark.parametrize("harm", ["cut", "changed", "removed", "sidecar cut", "sidecar removed"])
def test_a_table_that_was_changed_is_made_again(tmp_path, harm):
    stack = stack_of(*(Source(means(30, k), f"{k}.cxi") for k in range(2)))
    sort(stack, MeanModel(), tmp_path, workers=0)
    before = results(tmp_path)
    kind = ".json" if "sidecar" in harm else ".csv"
    path = tmp_path / "decisions" / f"0.cxi{kind}"
    data = path.read_bytes()
    if "cut" in harm:
        path.write_bytes(data[:-9])
    elif "changed" in harm:
        path.write_bytes(data.replace(b"0", b"1", 1))
    else:
        path.unlink()
    assert sort(stack, MeanModel(), tmp_path, workers=0).sorted_now == 30
    assert results(tmp_path) == before


def test_a_file_that_changed_is_sorted_again(tmp_path):
    data = tmp_path / "a.cxi"
    data.write_bytes(b"1")
    stack = stack_of(Source(means(30, 0), str(data)), Source(means(30, 1), "b.cxi"))
    sort(stack, MeanModel(), tmp_path / "out", workers=0)
    os.utime(data, ns=(1, 1))
    assert sort(stack, MeanModel(), tmp_path / "out", workers=0).sorted_now == 30


def test_a_file_that_grew_and_files_that_joined_are_sorted(tmp_path):
    a, more = means(30, 0), means(40, 0)
    more[:30] = a
    sort(stack_of(Source(a, "a.cxi")), MeanModel(), tmp_path, workers=0)
    stack = stack_of(Source(more, "a.cxi"), Source(means(5, 1), "b.cxi"))
    summary = sort(stack, MeanModel(), tmp_path, workers=0)
    assert summary.events == 45
    n_listed = sum(len(lines(tmp_path / f"{name}.lst")) for name in (*CLASSES, "unsure"))
    assert n_listed == 45


# --- what must not be replaced ----------------------------------------------------------


def test_results_of_another_model_are_kept_unless_overwriting(tmp_path):
    stack = stack_of(Source(means(30, 0), "a.cxi"))
    sort(stack, MeanModel(), tmp_path, workers=0)
    before = results(tmp_path)
    with pytest.raises(OutputError, match="another model"):
        sort(stack, MeanModel(name="other"), tmp_path, workers=0)
    assert results(tmp_path) == before
    summary = sort(stack, MeanModel(name="other"), tmp_path, workers=0, overwrite=True)
    assert summary.sorted_now == 30
    assert sort(stack, MeanModel(name="other"), tmp_path, workers=0).sorted_now == 0


def test_results_of_other_files_or_events_are_kept_unless_overwriting(tmp_path):
    a, b = Source(means(30, 0), "a.cxi"), Source(means(30, 1), "b.cxi")
    sort(stack_of(a, b), MeanModel(), tmp_path, workers=0)
    before = results(tmp_path)
    for other in (stack_of(a), stack_of(a, b).subset(range(1, 60))):
        with pytest.raises(OutputError, match=r"[ab]\.cxi"):
            sort(other, MeanModel(), tmp_path, workers=0)
    assert results(tmp_path) == before
    sort(stack_of(a), MeanModel(), tmp_path, workers=0, overwrite=True)
    assert [p.name for p in (tmp_path / "decisions").glob("*.csv")] == ["a.cxi.csv"]
    assert "b.cxi" not in (tmp_path / "good.lst").read_text()


def test_another_way_of_writing_names_is_another_result(tmp_path):
    stack = stack_of(Source([0.9], "a.cxi"))
    sort(stack, MeanModel(), tmp_path, workers=0)
    with pytest.raises(OutputError, match="absolute"):
        sort(stack, MeanModel(), tmp_path, workers=0, absolute=True)
    summary = sort(stack, MeanModel(), tmp_path, workers=0, absolute=True, overwrite=True)
    assert summary.sorted_now == 0
    assert lines(tmp_path / "good.lst") == [f"{os.path.abspath('a.cxi')} //0"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["good.lst", "report.html", "decisions/a.cxi.csv"])
def test_files_of_the_users_are_never_replaced(tmp_path, name, overwrite):
    (tmp_path / "decisions").mkdir()
    (tmp_path / name).write_text("mine")
    stack = stack_of(Source([0.9], "a.cxi"))
    with pytest.raises(OutputError, match="not made by this sort"):
        sort(stack, MeanModel(), tmp_path, workers=0, overwrite=overwrite)
    assert (tmp_path / name).read_text() == "mine"
    assert not (tmp_path / "sort-state.json").exists()


def test_other_files_of_the_users_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".good.lst.mine").write_text("mine")
    stack = stack_of(Source([0.9], "a.cxi"))
    for _ in range(2):
        sort(stack, MeanModel(), tmp_path, workers=0, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / ".good.lst.mine").read_text() == "mine"


def test_what_a_killed_writer_left_is_removed(tmp_path):
    stack = stack_of(Source([0.9], "a.cxi"))
    sort(stack, MeanModel(), tmp_path, workers=0)
    (tmp_path / ".good.lst.abcdefgh").write_text("half")
    (tmp_path / "decisions" / ".a.cxi.json.abcdefgh").write_text("half")
    sort(stack, MeanModel(), tmp_path, workers=0)
    assert not list(tmp_path.rglob("*.abcdefgh"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_manifest_that_is_damaged_or_newer_is_refused(tmp_path, text):
    (tmp_path / "sort-state.json").write_text(text)
    with pytest.raises(OutputError, match=r"sort-state\.json"):
        sort(stack_of(Source([0.9], "a.cxi")), MeanModel(), tmp_path, workers=0, overwrite=True)


def test_two_sorts_into_one_folder_are_refused(tmp_path):
    pytest.importorskip("fcntl")
    stack = stack_of(Source(means(30, 0), "a.cxi"))

    def again(progress: SortProgress) -> None:
        with pytest.raises(OutputError, match="Another sort"):
            sort(stack, MeanModel(), tmp_path, workers=0)

    sort(stack, MeanModel(), tmp_path, workers=0, progress=again)


def test_a_full_disk_is_told_and_what_is_complete_is_kept(tmp_path, monkeypatch):
    stack = stack_of(*(Source(means(30, k), f"{k}.cxi") for k in range(3)))
    sort(stack, MeanModel(), tmp_path / "whole", workers=0)
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 6:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        sort(stack, MeanModel(), tmp_path / "out", workers=0)
    monkeypatch.undo()
    sort(stack, MeanModel(), tmp_path / "out", workers=0)
    assert results(tmp_path / "out") == results(tmp_path / "whole")


# --- settings, names, provenance --------------------------------------------------------


def test_settings_that_are_wrong_are_refused(tmp_path):
    stack = stack_of(Source([0.9], "a.cxi"))
    with pytest.raises(SettingsError, match="at least 0"):
        sort(stack, MeanModel(), tmp_path, workers=-1)
    with pytest.raises(SettingsError, match="not both"):
        sort(stack, MeanModel(), tmp_path, workers=1, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(SettingsError, match="Unknown setting 'blocks'"):
        sort(stack, MeanModel(), tmp_path, blocks=3)
    with pytest.raises(SettingsError, match="block_events"):
        sort(stack, MeanModel(), tmp_path, block_events=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        sort(stack, MeanModel(), tmp_path / "file", workers=0)


class OddNames(MeanModel):
    class_names = ("../good", "Unsure")

    def predict_block(self, stack, block):
        made = super().predict_block(stack, block)
        renamed = {"good": "../good", "bad": "Unsure", "unsure": "unsure"}
        chosen = np.array([renamed[name] for name in made.chosen.tolist()])
        return Decisions(made.event_ids, self.class_names, chosen, made.probabilities)


def test_class_names_never_leave_the_folder_or_hide_another_list(tmp_path):
    stack = stack_of(Source([0.9, 0.1, 0.5, 0.95], "a.cxi"))
    out = tmp_path / "deep" / "out"
    sort(stack, OddNames(), out, workers=0)
    assert {p.name for p in tmp_path.iterdir()} == {"deep"}
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"out"}
    found = sorted(lines(p) for p in out.glob("*.lst"))
    assert found == [["a.cxi //0", "a.cxi //3"], ["a.cxi //1"], ["a.cxi //2"]]
    assert lines(out / "unsure.lst") == ["a.cxi //2"]


def test_provenance_names_inputs_settings_and_model(tmp_path):
    data = tmp_path / 'a "quoted" ü.cxi'
    data.write_bytes(b"12345")
    stack = stack_of(Source([0.9], str(data)), Source([0.1], "b.cxi"))
    sort(stack, MeanModel(), tmp_path / "out", workers=0, block_events=12)
    run = tomllib.loads((tmp_path / "out" / "run.toml").read_text())
    assert run["ok"] is True
    assert run["settings"]["block_events"] == 12
    assert run["model"]["digest"] == MeanModel().digest
    assert run["inputs"][0]["path"] == str(data)
    assert run["inputs"][0]["size"] == 5
    assert run["inputs"][0]["mtime_ns"] == data.stat().st_mtime_ns
    assert [entry["events"] for entry in run["inputs"]] == [1, 1]
    assert run["versions"]["numpy"] == np.__version__


def test_a_name_that_is_not_utf8_is_told_before_or_in_the_lists(tmp_path):
    stack = stack_of(Source([0.1], os.fsdecode(b"b\xff.cxi")))
    with pytest.raises(OutputError, match="UTF-8"):
        sort(stack, MeanModel(), tmp_path, workers=0)


def test_the_report_can_be_left_out_and_shows_examples_otherwise(tmp_path):
    frames = np.random.default_rng(0).random((6, 4, 6))
    stack = EventStack([ArraySource(frames, "a.cxi")])
    sort(stack, MeanModel(), tmp_path / "1", workers=0, report=False)
    assert not (tmp_path / "1" / "report.html").exists()
    sort(stack, MeanModel(), tmp_path / "2", workers=0)
    assert "data:image/png;base64," in (tmp_path / "2" / "report.html").read_text()


def test_the_state_beside_a_table_is_plain_json(tmp_path):
    sort(stack_of(Source(means(30, 0), "a.cxi")), MeanModel(), tmp_path, workers=0)
    state = json.loads((tmp_path / "decisions" / "a.cxi.json").read_text())
    assert state["complete"] is True
    assert state["rows"] == 30
    assert state["key"]["model"] == MeanModel().digest
