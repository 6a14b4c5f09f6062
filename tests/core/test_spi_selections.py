"""Selections as sets of events, and beside one another."""

from __future__ import annotations

import csv
import os

import numpy as np
import pytest
from spi_runs import SHAPE, run, sphere

from napari_xfelsort.core.errors import ListError, NoEventsError, OutputError, SettingsError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.spi import find_sizes
from napari_xfelsort.core.spi.comparing import compare_selections
from napari_xfelsort.core.spi.selections import (
    Selection,
    common_table,
    iou_table,
    overlap,
)


def picked(name, *numbers):
    return Selection(name, tuple(EventId("run.cxi", f"//{n}") for n in numbers))


def numbers(selection):
    return [int(event.event[2:]) for event in selection]


def test_selections_are_sets_in_an_order():
    a, b = picked("a", 5, 1, 3, 5), picked("b", 3, 4, 5)
    assert len(a) == 3
    assert numbers(a) == [5, 1, 3]
    assert numbers(a | b) == [5, 1, 3, 4]
    assert numbers(a & b) == [5, 3]
    assert numbers(a - b) == [1]
    assert numbers(b - a) == [4]
    assert (a | b).name == "a | b"
    assert (a & b).renamed("both").name == "both"
    assert EventId("run.cxi", "//1") in a
    assert EventId("run.cxi", "//4") not in a
    assert EventId("other.cxi", "//1") not in a


def test_a_file_is_the_same_by_any_name(tmp_path, monkeypatch):
    (tmp_path / "run.cxi").touch()
    monkeypatch.chdir(tmp_path)
    absolute = Selection("abs", (EventId(str(tmp_path / "run.cxi"), "//1"),))
    elsewhere = Selection("place", (EventId("x/run.cxi", "//1", str(tmp_path / "run.cxi")),))
    assert picked("rel", 1).iou(absolute) == 1
    assert elsewhere.iou(absolute) == 1


def test_overlap_is_common_by_any():
    # As in the published table: 574 of 1393 and 1085 in common are 30 %.
    manual, em = picked("manual", *range(1393)), picked("em", *range(819, 819 + 1085))
    assert len(manual & em) == 574
    assert manual.iou(em) == pytest.approx(574 / (1393 + 1085 - 574))
    assert round(100 * manual.iou(em)) == 30
    three = [picked("a", 1, 2, 3), picked("b", 2, 3, 4), picked("c", 3, 9)]
    assert iou_table(three) == pytest.approx(
        np.array([[1, 0.5, 0.25], [0.5, 1, 0.25], [0.25, 0.25, 1]])
    )
    assert common_table(three).tolist() == [[3, 2, 1], [2, 3, 1], [1, 1, 2]]
    assert overlap(three) == pytest.approx(1 / 5)
    assert np.isnan(overlap([picked("none")]))
    assert np.isnan(iou_table([picked("none")])[0, 0])


def test_a_selection_is_kept_as_a_list(tmp_path, monkeypatch):
    stack = run(tmp_path, np.zeros((5, *SHAPE), np.uint16))
    chosen = np.array([True, False, False, True, False])
    made = Selection.of("chosen", stack, chosen)
    made.save(tmp_path / "mine.lst")
    again = Selection.load(tmp_path / "mine.lst")
    assert again.name == "mine"
    assert again.iou(made) == 1
    assert again.positions(stack).tolist() == [0, 3]
    assert again.chosen(stack).tolist() == chosen.tolist()
    assert picked("elsewhere", 1).positions(stack).tolist() == []
    with pytest.raises(OutputError, match="exists already"):
        made.save(tmp_path / "mine.lst")
    with pytest.raises(ListError, match="does not exist"):
        Selection.load(tmp_path / "no.lst")
    with pytest.raises(ValueError, match="choices for 5"):
        Selection.of("wrong", stack, np.ones(3, bool))


def test_selections_are_compared(tmp_path):
    sizes = [60.0, 60.5, 61.0, 90.0, 91.0, 150.0]
    stack = run(tmp_path, np.array([sphere(d, 50_000) for d in sizes]).astype(np.float32))
    alike = Selection.of("alike", stack, np.arange(6) < 3)
    mixed = Selection.of("mixed", stack, np.arange(6) % 2 == 0)
    seen = []
    found = compare_selections(
        stack, [alike, mixed], find_sizes(stack), progress=lambda *each: seen.append(each)
    )
    assert seen[-1] == (6, 6)
    assert found.counts.tolist() == [3, 3]
    assert found.common.tolist() == [[3, 2], [2, 3]]
    assert found.together == pytest.approx(0.5)
    assert found.gammas[0] > found.gammas[1]
    assert found.histograms.sum(axis=1).tolist() == [3, 3]
    assert found.edges[found.histograms[1].nonzero()[0]].max() == pytest.approx(91, abs=1)
    written = found.write(tmp_path / "out")
    assert [path.name for path in written] == ["selections.csv", "psd.csv", "sizes.csv"]
    with written[0].open(newline="") as text:
        rows = list(csv.reader(text))
    assert rows[1][:2] == ["alike", "3"]
    assert float(rows[1][4]) == pytest.approx(0.5)
    with written[1].open(newline="") as text:
        table = list(csv.reader(text))
    assert table[0] == ["q_per_nm", "alike", "mixed"]
    mean = found.psds[0]
    assert float(table[1 + 40][1]) == pytest.approx(mean.values[40], rel=1e-4)
    assert table[1][1] == ""  # in the hole
    with pytest.raises(OutputError, match="exists already"):
        found.write(tmp_path / "out")
    assert not [n for n in os.listdir(tmp_path / "out") if n.startswith(".")]


def test_what_cannot_be_compared_is_told(tmp_path):
    stack = run(tmp_path, np.ones((2, *SHAPE), np.uint16))
    one = Selection.of("one", stack, np.array([True, False]))
    with pytest.raises(NoEventsError, match="no selection"):
        compare_selections(stack, [])
    with pytest.raises(SettingsError, match="called 'one'"):
        compare_selections(stack, [one, one])
    with pytest.raises(NoEventsError, match="No event of the selection 'far'"):
        compare_selections(stack, [one, picked("far", 1)])
