"""The Sort dock watching a folder: hand counts and the command line are the oracles."""

from __future__ import annotations

import shutil

import pytest
from qtpy.QtWidgets import QComboBox
from sort_user import BLOCK, SortUser, append, at_dock, make_model, write, written
from typer.testing import CliRunner

from napari_xfelsort.cli import app
from napari_xfelsort.core.sorting import HitPoint, SortProgress, WatchProgress
from napari_xfelsort.widgets.sort_board import WatchBoard
from napari_xfelsort.widgets.sort_course import moments

T, F = True, False
#: Good of 8: 3; of 10: 7; of 5: 4.
FIRST = [F, F, T, F, T, F, T, F]
SECOND = [F, T, T, T, F, T, T, T, F, T]
MORE = [T, T, F, T, T]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("watched") / "bright.xfelmodel")


@pytest.fixture
def person(viewer, qtbot, model, tmp_path):
    (tmp_path / "live").mkdir()
    with at_dock(viewer, qtbot, tmp_path / "live", model, tmp_path / "out") as someone:
        yield someone


def counts(person, file: str) -> tuple[str, str, str]:
    row = person.rows().get(file)
    return ("", "", "") if row is None else (row["Events"], row["good"], row["bad"])


def so_far(person) -> float:
    course = person.dock.course.course
    return course[-1].so_far if course else -1.0


def test_files_that_appear_and_grow_are_sorted_and_the_fraction_is_that_counted_by_hand(
    person, tmp_path, model, viewer
):
    live, out = tmp_path / "live", tmp_path / "out"
    write(live / "a.cxi", FIRST)
    person.watch()
    assert person.dock.sort_button.text() == "Watch"
    person.press("sort", wait=False)
    person.wait(lambda: counts(person, "a.cxi") == ("8", "3", "5"))
    person.wait(lambda: so_far(person) == pytest.approx(3 / 8))
    write(live / "b.cxi", SECOND, 1)
    person.wait(lambda: counts(person, "b.cxi") == ("10", "7", "3"))
    person.wait(lambda: so_far(person) == pytest.approx(10 / 18))
    append(live / "a.cxi", MORE, 2)
    person.wait(lambda: counts(person, "a.cxi") == ("13", "7", "6"))
    person.wait(lambda: so_far(person) == pytest.approx(14 / 23))
    assert "23 events of 2 files so far: 9 bad, 14 good" in person.said
    # The report of the last look can be opened, and other classes looked at, meanwhile.
    assert person.dock.results.open_report.isEnabled()
    assert person.dock.findChild(QComboBox, "course_class").currentText() == "good"
    person.choose("course_class", "bad")
    assert so_far(person) == pytest.approx(9 / 23)
    assert person.dock.course.plot.figure.axes[0].get_ylabel() == "bad (%)"
    drawn = person.dock.course.plot.figure.axes[0].lines[1].get_ydata()
    assert drawn[-1] == pytest.approx(100 * 9 / 23)
    person.press("finish")
    assert person.said.startswith("23 events of 2 files sorted: 9 bad, 14 good, 0 unsure")
    words = f"sort {live} -m {model} -o {tmp_path}/cli --workers 0 --block-events {BLOCK}"
    told = CliRunner().invoke(app, words.split())
    assert told.exit_code == 0, told.output
    assert written(out) == written(tmp_path / "cli")
    assert (out / "watch.csv").is_file()


def test_a_file_that_is_being_written_is_waited_for_by_name(person, tmp_path):
    live = tmp_path / "live"
    write(tmp_path / "whole.cxi", SECOND)
    write(live / "a.cxi", FIRST)
    (live / "torn.cxi").write_bytes((tmp_path / "whole.cxi").read_bytes()[:900])
    person.watch()
    person.press("sort", wait=False)
    person.wait(lambda: "Waiting for torn.cxi: not readable yet." in person.said)
    assert person.rows()["torn.cxi"]["State"] == "waiting"
    assert person.rows()["torn.cxi"]["Events"] == "none"
    person.wait(lambda: counts(person, "a.cxi") == ("8", "3", "5"))
    shutil.copy(tmp_path / "whole.cxi", live / "torn.cxi")
    person.wait(lambda: counts(person, "torn.cxi") == ("10", "7", "3"))
    person.wait(lambda: "Waiting" not in person.said)
    person.press("finish")
    assert {row["State"] for row in person.rows().values()} == {"done"}


def test_an_empty_folder_is_waited_for_and_a_watch_stops_when_idle(person, tmp_path):
    person.watch(idle="1.0")
    person.press("sort", wait=False)
    person.wait(lambda: "Nothing sorted yet." in person.said)
    write(tmp_path / "live" / "a.cxi", FIRST)
    person.wait(lambda: person.dock.job is None)
    assert person.said.startswith("8 events of 1 file sorted: 5 bad, 3 good")


def test_nothing_until_the_end_is_one_sentence(person):
    person.watch()
    person.press("sort", wait=False)
    person.wait(lambda: "Nothing sorted yet." in person.said)
    person.press("finish")
    assert "\n" not in person.said
    assert "live" in person.said


def test_cancel_stops_at_once_and_watching_again_goes_on(person, tmp_path):
    live = tmp_path / "live"
    write(live / "a.cxi", FIRST)
    person.watch()
    person.press("sort", wait=False)
    person.wait(lambda: counts(person, "a.cxi") == ("8", "3", "5"))
    person.press("cancel")
    assert person.said.startswith("Stopped. What was sorted is kept; Watch with the same folder")
    write(live / "b.cxi", SECOND)
    person.press("sort", wait=False)
    person.wait(lambda: counts(person, "b.cxi") == ("10", "7", "3"))
    person.wait(lambda: so_far(person) == pytest.approx(10 / 18))
    assert "8 of them were done before." in person.said
    person.press("finish")
    assert person.said.startswith("18 events of 2 files sorted: 8 bad, 10 good")
    assert "8 of them were done before." in person.said


def test_closing_napari_stops_the_watch_and_keeps_what_is_done(
    make_napari_viewer, model, tmp_path, qtbot
):
    viewer = make_napari_viewer(show=True)
    _, dock = viewer.window.add_plugin_dock_widget("napari-xfelsort", "Sort events")
    someone = SortUser(dock, qtbot)
    write(tmp_path / "a.cxi", FIRST)
    someone.choose("what", "other data")
    someone.enter(data=tmp_path / "*.cxi", model=model, out=tmp_path / "out")
    someone.watch()
    someone.press("sort", wait=False)
    someone.wait(lambda: counts(someone, "a.cxi") == ("8", "3", "5"))
    job = dock.job
    viewer.close()
    someone.wait(lambda: not job.running)
    good = (tmp_path / "out" / "good.lst").read_text().splitlines()
    assert good == [f"{tmp_path}/a.cxi //{i}" for i in (2, 4, 6)]


def test_letting_go_of_the_dock_stops_the_watch_and_keeps_what_is_done(person, tmp_path):
    write(tmp_path / "live" / "a.cxi", FIRST)
    person.watch()
    person.press("sort", wait=False)
    person.wait(lambda: counts(person, "a.cxi") == ("8", "3", "5"))
    person.dock.release()
    person.wait(lambda: person.dock.job is None)
    good = (tmp_path / "out" / "good.lst").read_text().splitlines()
    assert good == [f"{tmp_path}/live/a.cxi //{i}" for i in (2, 4, 6)]


@pytest.mark.parametrize(
    ("line", "text", "sentence"),
    [("poll", "often", "number"), ("poll", "0", "poll"), ("idle", "-3", "idle")],
)
def test_what_is_no_time_is_told(person, line, text, sentence):
    person.watch(**{line: text})
    person.press("sort", wait=False)
    assert sentence in person.said
    assert person.dock.job is None


def test_a_list_cannot_be_watched_and_a_name_that_leads_nowhere_is_told(person, tmp_path):
    write(tmp_path / "a.cxi", FIRST)
    (tmp_path / "some.lst").write_text(f"{tmp_path}/a.cxi //2\n")
    person.watch()
    person.enter(data=tmp_path / "some.lst")
    person.press("sort")
    assert "without watching" in person.said
    person.enter(data=tmp_path / "nowhere")
    person.press("sort")
    assert "nowhere does not exist" in person.said


# --- numbers ------------------------------------------------------------------------------


def point(time: float, good: int, bad: int, failed: int = 0) -> HitPoint:
    return HitPoint(time, "f", "f", {"good": good, "bad": bad, "unsure": 0, "failed": failed})


def test_shares_of_moments_are_of_events_that_could_be_read():
    points = [point(1, 3, 1), point(1, 0, 4, 7), point(5, 0, 0, 2), point(9, 2, 0)]
    found = moments(points, "good")
    assert [m.time for m in found] == [1, 9]
    assert [m.share for m in found] == [3 / 8, 1.0]
    assert [m.so_far for m in found] == [3 / 8, 5 / 10]
    assert [m.so_far for m in moments(points, "bad")] == [5 / 8, 5 / 10]


def test_the_board_shows_what_is_at_work_without_losing_what_is_done():
    board = WatchBoard(("good", "failed"))
    assert board.take_rows() is None
    now = SortProgress(4, 9, 0, 2, "a.cxi", 0, 0, 0, {"good": 4, "failed": 0}, 50.0)
    board.note(WatchProgress(0, now, None, (), (), "good", 0.0))
    (row,) = board.take_rows()
    assert (row.path, row.n_events, row.state, row.rate) == ("a.cxi", 4, "at work", 50.0)
    assert board.take_rows() is None
