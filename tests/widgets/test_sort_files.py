"""From the table of a sort to the viewer; the card of the model; who sorts."""

from __future__ import annotations

import os
import threading
from importlib.util import find_spec

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from sort_user import at_dock, make_model, write, write_all, written

import napari_xfelsort as xs
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.runs import runs_of
from napari_xfelsort.widgets.sort_board import SortBoard
from napari_xfelsort.widgets.sort_table import SortModel, SortRow

T, F = True, False
FILES = {"a.cxi": [F, F, T, F, T], "b.cxi": [F] * 5 + [T] * 4, "c.cxi": [T, T, T]}


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("files") / "bright.xfelmodel")


@pytest.fixture
def person(viewer, qtbot, model, tmp_path):
    write_all(tmp_path / "data", FILES)
    with at_dock(viewer, qtbot, tmp_path / "data", model, tmp_path / "out") as someone:
        yield someone


def shown(viewer) -> tuple[str, int]:
    """The file and the number of the event that the viewer shows."""
    run = runs_of(viewer).active
    source, index = run.stack.locate(run.current)
    return os.path.basename(source.path), index


# --- a click on a file --------------------------------------------------------------------


def test_a_click_opens_the_file_at_the_first_event_of_the_class(person, viewer, qtbot):
    person.press("sort")
    person.click(1)
    assert shown(viewer) == ("b.cxi", 5)
    assert person.said == "Shown: the first good event of b.cxi, b.cxi //5."
    assert runs_of(viewer).active.opened.paths[0].endswith("/data/b.cxi")
    person.choose("first_of", "bad")
    person.click(0)
    assert shown(viewer) == ("a.cxi", 0)
    # The file of the click before made way.
    assert len(runs_of(viewer).runs) == 1
    person.choose("first_of", "good")
    qtbot.keyClick(person.dock.view, Qt.Key.Key_Return)
    person.wait(lambda: not person.dock.opener.busy)
    assert shown(viewer) == ("a.cxi", 2)
    person.choose("first_of", "any class")
    person.click(2)
    assert shown(viewer) == ("c.cxi", 0)


def test_a_class_without_events_is_told_and_nothing_opened(person, viewer):
    person.press("sort")
    person.choose("first_of", "bad")
    person.click(2)
    assert person.said == "No bad event of c.cxi is decided on."
    assert runs_of(viewer).runs == []


def test_a_run_that_is_open_already_is_gone_to(person, viewer, open_run, tmp_path):
    run = open_run(tmp_path / "data")
    person.choose("what", "the open run")
    person.press("sort")
    person.click(1)
    assert runs_of(viewer).runs == [run]
    assert run.current == len(FILES["a.cxi"]) + 5
    assert shown(viewer) == ("b.cxi", 5)


def test_a_labelled_run_does_not_make_way(person, viewer, tmp_path):
    person.press("sort")
    person.click(0)
    first = runs_of(viewer).active
    first.use_labels(xs.LabelStore(tmp_path / "labels"))
    person.click(1)
    assert runs_of(viewer).runs[0] is first
    assert shown(viewer) == ("b.cxi", 5)


def test_a_file_that_went_away_is_told(person, viewer, tmp_path):
    person.press("sort")
    (tmp_path / "data" / "b.cxi").unlink()
    person.click(1)
    assert "b.cxi" in person.said
    assert runs_of(viewer).runs == []


def test_a_file_that_is_done_can_be_looked_at_while_others_are_sorted(
    person, viewer, monkeypatch, qtbot
):
    monkeypatch.setattr("napari_xfelsort.widgets.workers.REPORT_SECONDS", 0.0)
    note, reached, go_on = SortBoard.note, threading.Event(), threading.Event()

    def held(board: SortBoard, progress) -> None:
        note(board, progress)
        if progress.file.endswith("b.cxi") and not reached.is_set():
            reached.set()
            assert go_on.wait(120)

    monkeypatch.setattr(SortBoard, "note", held)
    person.press("sort", wait=False)
    person.wait(reached.is_set)
    person.wait(lambda: person.rows().get("a.cxi", {}).get("State") == "sorted")
    person.click(0)
    assert shown(viewer) == ("a.cxi", 2)
    assert person.dock.job is not None
    go_on.set()
    person.wait(lambda: person.dock.job is None)
    assert person.rows()["b.cxi"]["good"] == "4"


def test_a_click_on_a_title_sorts_the_lines_and_a_click_then_opens_what_is_seen(
    person, viewer, qtbot
):
    person.press("sort")
    header = person.dock.view.horizontalHeader()
    column = 3 + person.dock.table.count_names.index("bad")
    for _ in range(2):  # up, then down
        middle = header.sectionViewportPosition(column) + header.sectionSize(column) // 2
        at = QPoint(middle, header.height() // 2)
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)
        order = [cells["bad"] for cells in person.rows().values()]
        assert order in (["0", "3", "5"], ["5", "3", "0"])
    first = next(iter(person.rows()))
    person.click(0)
    assert shown(viewer)[0] == first


# --- the table ----------------------------------------------------------------------------


def table_of(n: int) -> SortModel:
    model = SortModel()
    rows = [SortRow(f"{k:05}.cxi", 10, "sorted", {"good": k * 7919 % n}) for k in range(n)]
    model.show_rows(rows, ("good", "failed"))
    return model


def column(model: SortModel, k: int) -> list[str]:
    return [model.index(i, k).data() for i in range(model.rowCount())]


def test_five_thousand_files_are_sorted_by_numbers_and_a_chosen_line_is_kept(qtbot):
    model = table_of(5000)
    held = model.index(17, 0)
    from qtpy.QtCore import QPersistentModelIndex

    kept = QPersistentModelIndex(held)
    model.sort(3, Qt.SortOrder.DescendingOrder)
    assert column(model, 3) == [str(k) for k in reversed(range(5000))]
    assert model.rows[17].path == "00017.cxi"
    assert kept.data() == "00017.cxi"
    model.change({17: SortRow("00017.cxi", 10, "done", {"good": 1})})
    assert model.index(kept.row(), 1).data() == "done"
    model.sort(-1)
    assert column(model, 0)[:2] == ["00000.cxi", "00001.cxi"]


def test_new_files_come_at_the_end_and_what_is_shown_stays_where_it_is():
    model = table_of(3)
    names = ("good", "failed")
    inserted, reset = [], []
    model.rowsInserted.connect(lambda _, first, last: inserted.append((first, last)))
    model.modelReset.connect(lambda: reset.append(1))
    rows = [SortRow("00000-new.cxi", 4), *model.rows, SortRow("z.cxi", 5)]
    model.follow(rows, names)
    assert inserted == [(3, 4)]
    assert reset == []
    assert column(model, 0)[:3] == ["00000.cxi", "00001.cxi", "00002.cxi"]
    assert set(column(model, 0)[3:]) == {"00000-new.cxi", "z.cxi"}
    model.follow(rows[2:], names)
    assert sorted(column(model, 0)) == ["00001.cxi", "00002.cxi", "z.cxi"]


# --- the card -----------------------------------------------------------------------------


def test_the_card_says_what_the_model_is_before_it_is_used(person, model):
    person.wait(lambda: person.dock.card.is_current and "Classes" in person.text("model_card"))
    about = xs.load_model(model).report_text().split("\n\n")[0]
    assert person.text("model_card") == f"Classes: bad, good\n{about}"
    for warning in xs.load_model(model).warnings:
        assert f"Note: {warning}" in person.text("model_cautions")


def test_a_model_for_another_detector_is_told_before_anything_is_sorted(person, tmp_path):
    data = np.random.default_rng(1).normal(10, 1, (40, 5, 7)).astype("f4")
    data[::2] += 5
    stack = EventStack([ArraySource(data, "a.cxi")])
    xs.train(stack, ["good", "bad"] * 20, model="logistic_regression").save(
        tmp_path / "other.xfelmodel"
    )
    person.enter(model=tmp_path / "other.xfelmodel")
    person.wait(lambda: "trained on frames of (5, 7)" in person.text("model_cautions"))
    assert "(8, 6)" in person.text("model_cautions")
    person.enter(model=tmp_path / "nothing.xfelmodel")
    person.wait(lambda: "nothing.xfelmodel" in person.text("model_cautions"))


def test_a_geometry_that_is_not_that_of_the_training_is_told(person, simulated, tmp_path, qtbot):
    labels = ["good" if good else "bad" for good in simulated.good]
    stack = xs.open_stack(simulated.data, geometry=simulated.geometry)
    trained = xs.train(stack, labels, region="panel:p6a0", model="logistic_regression")
    trained.save(tmp_path / "panel.xfelmodel")
    text = simulated.geometry.read_text()
    moved = tmp_path / "moved.geom"
    moved.write_text(text.replace("p6a0/corner_x = ", "p6a0/corner_x = 1"))
    assert moved.read_text() != text
    card = person.dock.card
    person.enter(
        data=simulated.data, geometry=simulated.geometry, model=tmp_path / "panel.xfelmodel"
    )
    person.wait(lambda: card.is_current and "p6a0" in person.text("model_card"))
    assert "geometry differs" not in person.text("model_cautions")
    person.enter(geometry=moved)
    person.wait(lambda: "The geometry differs from the one" in person.text("model_cautions"))


# --- who sorts ----------------------------------------------------------------------------


def test_workers_of_a_scheduler_that_is_given_by_address_give_the_same_bytes(
    person, tmp_path, model
):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        person.choose("where", "a dask scheduler")
        assert not person.dock.where.workers.isVisible()
        person.enter(scheduler=cluster.scheduler_address)
        person.press("sort")
    assert "17 events of 3 files sorted" in person.said
    stack = xs.open_stack(tmp_path / "data")
    xs.sort(stack, xs.load_model(model), tmp_path / "here", workers=0, block_events=4)
    assert written(tmp_path / "out") == written(tmp_path / "here")


@pytest.mark.parametrize(
    ("where", "lines", "sentence"),
    [
        ("a dask scheduler", {}, "Give the address of the dask scheduler: tcp://host:port."),
        ("a dask scheduler", {"scheduler": "tcp://127.0.0.1:9"}, "tcp://127.0.0.1:9"),
        ("SLURM", {}, "Name the queue (partition) that the jobs go to."),
        ("SLURM", {"queue": "short"}, "sbatch"),
    ],
)
def test_who_cannot_be_reached_is_one_sentence(
    person, where, lines, sentence, monkeypatch, tmp_path
):
    if sentence == "sbatch":
        monkeypatch.setenv("PATH", str(tmp_path))
        if find_spec("dask_jobqueue") is None:
            sentence = "dask-jobqueue is needed for this and is not installed"
    monkeypatch.setattr("napari_xfelsort.core.sorting.pools.CONNECT_SECONDS", 1)
    person.choose("where", where)
    person.enter(**lines)
    person.press("sort")
    assert sentence in person.said
    assert "\n" not in person.said
    assert not list((tmp_path / "out").glob("*.lst"))


def test_options_of_the_jobs_are_those_that_were_entered(person):
    assert not person.dock.where.cluster.isVisibleTo(person.dock.more)
    person.choose("where", "SLURM")
    person.dock.more.expand(animate=False)
    person.enter(queue="short", account="xfel", workers=None)
    cluster = person.dock.order().cluster
    assert (cluster.kind, cluster.queue, cluster.account) == ("slurm", "short", "xfel")
    assert cluster.cores == 8
    person.choose("where", "this computer")
    person.enter(workers=3)
    assert person.dock.order()[4:7] == (3, None, None)


def test_a_pattern_and_several_files_are_sorted(person, tmp_path):
    person.enter(data=tmp_path / "data" / "[ab].cxi")
    person.press("sort")
    assert "14 events of 2 files sorted" in person.said
    person.enter(data=f"{tmp_path}/data/c.cxi; {tmp_path}/data/a.cxi", out=tmp_path / "another")
    person.press("sort")
    assert "8 events of 2 files sorted" in person.said
    assert list(person.rows()) == ["c.cxi", "a.cxi"]


def test_one_more_folder_is_added_to_the_data(person, tmp_path, monkeypatch):
    more = tmp_path / "more"
    more.mkdir()
    write(more / "d.cxi", [T, F])
    monkeypatch.setattr(
        "napari_xfelsort.widgets.sort_form.QFileDialog.getExistingDirectory",
        lambda *_: str(more),
    )
    person.press("add_folder", wait=False)
    assert person.dock.source.data.paths() == [str(tmp_path / "data"), str(more)]
    person.press("sort")
    assert "19 events of 4 files sorted" in person.said
