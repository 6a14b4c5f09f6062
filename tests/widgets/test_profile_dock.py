"""The Profile dock against the same work without a screen."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from dock_user import WAIT, click, drag, shown, text
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QRadioButton,
    QWidget,
)
from typer.testing import CliRunner

import napari_xfelsort
from napari_xfelsort.cli import app
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.polygons import line_polygons
from napari_xfelsort.core.profiles import (
    Profiler,
    ProfileSettings,
    ProfileTable,
    count_ranges,
    inside,
    labels_of,
)
from napari_xfelsort.core.profiles.settings import AXES
from napari_xfelsort.core.region import Region
from napari_xfelsort.widgets import profile_dock, profile_live
from napari_xfelsort.widgets.dock import MINIMUM_WIDTH
from napari_xfelsort.widgets.profile_dock import ProfileDock

RING = ProfileSettings(axis="q", order=7, statistic="median")


@pytest.fixture
def dock(viewer, qtbot):
    made = ProfileDock(viewer)
    return shown(made, qtbot, lambda: made.job is None and not made.live.busy)


@pytest.fixture
def ready(dock, run, tmp_path):
    """A dock with a run, and folders that may be written to."""
    dock.findChild(QLineEdit, "label_folder").setText(str(tmp_path / "labels"))
    dock.findChild(QLineEdit, "table").setText(str(tmp_path / "t.csv"))
    return dock


@pytest.fixture
def fitted(ready, qtbot):
    """A dock in which all events are fitted, to their radial profile."""
    ready.form.set_settings(RING)
    fit(ready, qtbot)
    return ready


def finish(dock, name, qtbot):
    """Click, and wait until what that began is done."""
    click(dock, name, qtbot)
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)


def fit(dock, qtbot):
    finish(dock, "fit", qtbot)


def settle(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.live.busy, timeout=WAIT)


def number(text):
    return int("".join(c for c in text if c.isdigit()))


# --- the event shown -----------------------------------------------------------------------


def test_the_profile_follows_the_slider(ready, run, qtbot):
    ready.findChild(QComboBox, "region_way").setCurrentIndex(1)
    ready.findChild(QLineEdit, "region_panels").setText("p6a0")
    ready.findChild(QComboBox, "axis").setCurrentText("ss")
    profiler = Profiler(run.stack, "panel:p6a0", ProfileSettings(axis="ss"))
    for i in (3, 17):
        run.go_to(i)
        settle(ready, qtbot)
        wanted, shown = profiler.event(i), ready.live.shown
        assert np.array_equal(shown.values, wanted.values, equal_nan=True)
        assert shown.inflections.tolist() == wanted.inflections.tolist()
        above, below = ready.live.plot.figure.axes
        points, curve, places = above.lines
        assert np.array_equal(points.get_ydata(), wanted.values, equal_nan=True)
        assert np.allclose(curve.get_ydata()[[0, -1]], wanted.fitted[[0, -1]])
        assert places.get_xdata().tolist() == wanted.inflections.tolist()
        left = below.lines[0].get_ydata()
        assert np.sqrt(np.nanmean(left**2)) == pytest.approx(wanted.residual)
        assert text(ready, "profile_text").startswith(f"Event {i}")


def test_the_newest_event_wins_and_scrolling_never_waits(ready, run, qtbot, monkeypatch):
    settle(ready, qtbot)
    go, asked = threading.Event(), []
    event = Profiler.event

    def slow(self, i):
        asked.append(i)
        assert go.wait(120)
        return event(self, i)

    monkeypatch.setattr(profile_live.Profiler, "event", slow)
    run.go_to(5)
    qtbot.waitUntil(lambda: asked == [5], timeout=WAIT)
    for i in (6, 7, 8, 9):
        run.go_to(i)
    go.set()
    qtbot.waitUntil(lambda: asked == [5, 9], timeout=WAIT)
    settle(ready, qtbot)
    assert asked == [5, 9]
    assert text(ready, "profile_text").startswith("Event 9")


SHAPES = {
    "rectangle": ([[100, 70], [180, 150]], 1),
    "polygon": ([[100, 70], [180, 90], [150, 150]], 1),
    "line": ([[100, 70], [190, 150]], 3),
    "path": ([[100, 70], [190, 150], [190, 70]], 3),
}


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("kind", SHAPES)
def test_every_shape_is_projected_along_every_axis(ready, run, viewer, qtbot, kind, axis):
    points, width = SHAPES[kind]
    ready.findChild(QComboBox, "axis").setCurrentText(axis)
    choice = ready.findChild(QComboBox, "region_way")
    choice.setCurrentIndex(choice.findText("shapes on the picture"))
    assert "Add a region layer" in text(ready, "profile_text")
    layer = viewer.add_shapes(name="mine")
    layer.add([np.array(points, float)], shape_type=kind, edge_width=width)
    qtbot.waitUntil(lambda: ready.live.shown is not None, timeout=WAIT)
    settle(ready, qtbot)
    grid = run.stack.geometry.grid
    if kind == "rectangle":
        (y0, x0), (y1, x1) = points
        points = [[y0, x0], [y0, x1], [y1, x1], [y1, x0]]
    drawn = line_polygons(points, width) if kind in ("line", "path") else [np.array(points)]
    region = Region.from_polygons([grid.laboratory(p) for p in drawn])
    wanted = Profiler(run.stack, region, ProfileSettings(axis=axis)).event(run.current)
    shown = ready.live.shown
    np.testing.assert_allclose(shown.values, wanted.values, rtol=1e-9)
    np.testing.assert_allclose(shown.positions, wanted.positions, rtol=1e-9)
    assert shown.status == wanted.status
    # A polynomial of the order asked for, by another program's least squares.
    there = np.isfinite(shown.values)
    fit = np.polynomial.Polynomial.fit(shown.positions[there], shown.values[there], 4)
    np.testing.assert_allclose(shown.fitted[there], fit(shown.positions[there]), rtol=1e-6)
    left = ready.live.plot.figure.axes[1].lines[0].get_ydata()
    np.testing.assert_allclose(left, shown.values - shown.fitted)
    layer.data = []
    qtbot.waitUntil(lambda: "has no shape" in text(ready, "profile_text"), timeout=WAIT)
    assert ready.live.shown is None


def test_what_cannot_be_projected_is_told_in_a_sentence(ready, qtbot):
    ready.findChild(QComboBox, "region_way").setCurrentIndex(1)
    ready.findChild(QLineEdit, "region_panels").setText("nosuch")
    settle(ready, qtbot)
    assert "nosuch" in text(ready, "profile_text")
    assert not ready.live.plot.isVisibleTo(ready)
    click(ready, "fit", qtbot)
    assert "nosuch" in ready.message.text()
    assert ready.table is None


def test_without_geometry_q_is_refused_and_fs_works(dock, open_run, simulated, qtbot):
    open_run(simulated.data)
    dock.findChild(QComboBox, "axis").setCurrentText("q")
    settle(dock, qtbot)
    assert text(dock, "profile_text").endswith(".")
    assert dock.live.shown is None
    dock.findChild(QComboBox, "axis").setCurrentText("fs")
    settle(dock, qtbot)
    assert dock.live.shown is not None


def test_without_a_run_nothing_can_be_fitted(dock):
    assert not dock.findChild(QPushButton, "fit").isEnabled()
    assert text(dock, "profile_text") == "Open a run first."


# --- all events ----------------------------------------------------------------------------


def test_labels_and_table_are_those_of_the_command_line(fitted, run, qtbot, tmp_path, simulated):
    finish(fitted, "apply", qtbot)
    assert "rule:profile" in text(fitted, "outcome")
    finish(fitted, "save_table", qtbot)
    arguments = ["profile", simulated.data, "-g", simulated.geometry, "--axis", "q"]
    arguments += ["--order", "7", "--statistic", "median"]
    arguments += ["--labels", tmp_path / "cli", "--out", tmp_path / "cli.csv"]
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    ours, theirs = (LabelStore(tmp_path / name, create=False) for name in ("labels", "cli"))
    assert ours.labels() == theirs.labels()
    said = [{(e.event, e.label, e.source, e.note) for e in s.entries()} for s in (ours, theirs)]
    assert said[0] == said[1]
    assert len(said[0]) > 30
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "cli.csv").read_bytes()
    assert ours.counts() == run.labels.counts()
    assert run.tally.counts == ours.counts()


def test_a_histogram_for_each_inflection_point_with_counts(fitted):
    ranges, table = fitted.ranges.ranges, fitted.table
    assert len(ranges) == len(fitted.ranges.plot.figure.axes) > 1
    counts = count_ranges(table, ranges)
    for k, n in enumerate(counts.each, 1):
        assert text(fitted, f"range_{k}_count") == str(n)
    told = text(fitted, "side_counts")
    assert [number(part) for part in told.split(",")] == list(counts[:3])


@pytest.mark.parametrize("end", ["low", "high", "both"])
def test_ranges_are_dragged_in_the_plot(fitted, qtbot, end):
    low, high = fitted.ranges.ranges[0]
    others, width = fitted.ranges.ranges[1:], high - low
    start = {"low": low, "high": high, "both": (low + high) / 2}[end]
    pixel = drag(fitted.ranges.plot.figure.axes[0], start, start + width / 3, qtbot)
    moved = fitted.ranges.ranges[0]
    wanted = low + width / 3 * (end != "high"), high + width / 3 * (end != "low")
    assert np.allclose(moved, wanted, atol=1.5 * pixel)
    assert fitted.ranges.ranges[1:] == others
    counts = count_ranges(fitted.table, fitted.ranges.ranges)
    assert number(text(fitted, "side_counts").split(",")[0]) == counts.inside
    box = fitted.findChild(QDoubleSpinBox, "range_1_low")
    assert box.value() == pytest.approx(moved[0], abs=10.0 ** -box.decimals())


def test_an_end_cannot_be_dragged_past_the_other(fitted, qtbot):
    low, high = fitted.ranges.ranges[0]
    drag(fitted.ranges.plot.figure.axes[0], low, high + (high - low), qtbot)
    assert fitted.ranges.ranges[0] == (high, high)


def test_an_end_is_typed_and_the_other_stays_exact(fitted, qtbot):
    low, _ = fitted.ranges.ranges[0]
    box = fitted.findChild(QDoubleSpinBox, "range_1_high")
    box.setFocus()
    box.selectAll()
    qtbot.keyClicks(box, "2.5")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert fitted.ranges.ranges[0] == (low, 2.5)
    box = fitted.findChild(QDoubleSpinBox, "range_1_low")
    box.selectAll()
    qtbot.keyClicks(box, "2.6")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert "empty" in text(fitted, "side_counts")
    finish(fitted, "apply", qtbot)
    assert "empty" in text(fitted, "outcome")
    assert not Path(fitted.findChild(QLineEdit, "label_folder").text()).exists()


def test_ranges_are_added_and_taken_away(fitted, qtbot):
    before = fitted.ranges.ranges
    click(fitted, "add_range", qtbot)
    assert fitted.ranges.ranges[:-1] == before
    assert len(fitted.ranges.plot.figure.axes) == len(before) + 1
    click(fitted, "range_1_remove", qtbot)
    click(fitted, f"range_{len(before)}_remove", qtbot)
    assert fitted.ranges.ranges == before[1:]


def test_the_good_side_is_told_and_changed_by_one_click(fitted, run, qtbot, tmp_path):
    counts = count_ranges(fitted.table, fitted.ranges.ranges)
    assert f"Good: the {counts.inside} events inside" in text(fitted, "meaning")
    other = fitted.findChild(QRadioButton, "good_outside")
    qtbot.mouseClick(other, Qt.MouseButton.LeftButton, pos=QPoint(8, other.height() // 2))
    assert f"Good: the {counts.outside} events outside" in text(fitted, "meaning")
    assert f"Bad: the {counts.inside} events inside" in text(fitted, "meaning")
    finish(fitted, "apply", qtbot)
    wanted = labels_of(fitted.table, fitted.ranges.ranges, "outside")
    labels = LabelStore(tmp_path / "labels", create=False).aligned(run.stack)
    assert labels == [None if label == "undecided" else label for label in wanted.tolist()]


def test_both_sides_are_browsed(fitted, run, qtbot):
    sides = inside(fitted.table, fitted.ranges.ranges)
    run.go_to(0)
    for side, which in (("outside", fitted.table.ok & ~sides), ("inside", sides)):
        events = np.flatnonzero(which)
        for _ in range(2):
            wanted = next(iter(events[events > run.current]), events[0])
            click(fitted, f"next_{side}", qtbot)
            assert run.current == wanted
            assert text(fitted, "side") == f"Event {wanted} is {side}."
    run.go_to(len(run) - 1)
    click(fitted, "next_inside", qtbot)
    assert run.current == np.flatnonzero(sides)[0]


def test_labels_by_hand_stay_unless_asked_and_all_can_be_withdrawn(fitted, run, qtbot, tmp_path):
    sides = inside(fitted.table, fitted.ranges.ranges)
    i = int(np.flatnonzero(sides)[0])
    LabelStore(tmp_path / "labels", "me").set(run.stack.event_id(i), "bad")
    finish(fitted, "apply", qtbot)
    assert run.label_of(i) == "bad"
    assert "1 kept a label that no rule gave" in text(fitted, "outcome")
    assert not fitted.findChild(QLineEdit, "label_folder").isEnabled()
    finish(fitted, "withdraw", qtbot)
    store = LabelStore(tmp_path / "labels", create=False)
    assert store.labels() == {run.stack.event_id(i): "bad"}
    assert run.tally.counts == {"bad": 1}
    fitted.relabel.click()
    finish(fitted, "apply", qtbot)
    assert run.label_of(i) == "good"
    finish(fitted, "withdraw", qtbot)
    assert run.label_of(i) == "bad"


def test_labels_are_written_beside_the_window(fitted, run, qtbot, monkeypatch):
    """Meanwhile one looks at other events, and labels by hand: that came later, and counts."""
    finish(fitted, "apply", qtbot)
    begun, go, threads = threading.Event(), threading.Event(), []
    write = profile_dock.store_labels

    def slow(*arguments):
        threads.append(threading.current_thread())
        begun.set()
        assert go.wait(120)
        return write(*arguments)

    monkeypatch.setattr(profile_dock, "store_labels", slow)
    other = fitted.findChild(QRadioButton, "good_outside")
    qtbot.mouseClick(other, Qt.MouseButton.LeftButton, pos=QPoint(8, other.height() // 2))
    wanted = labels_of(fitted.table, fitted.ranges.ranges, "outside").tolist()
    before = [run.label_of(i) for i in range(len(run))]
    click(fitted, "apply", qtbot)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    assert threads != [threading.main_thread()]
    assert fitted.progress.isVisibleTo(fitted)
    assert not fitted.findChild(QPushButton, "cancel").isEnabled()
    run.go_to(11)
    i = next(k for k, label in enumerate(wanted) if label == "good")
    run.set_label(i, "bad")
    go.set()
    qtbot.waitUntil(lambda: fitted.job is None, timeout=WAIT)
    labels = [None if label == "undecided" else label for label in wanted]
    labels[i] = "bad"
    assert [run.label_of(k) for k in range(len(run))] == labels
    assert LabelStore(run.labels.folder, create=False).aligned(run.stack) == labels
    while run.undo() is not None:
        if [run.label_of(k) for k in range(len(run))] == before:
            break
    else:
        pytest.fail("undo does not lead back to the labels before")


def test_nothing_to_withdraw_makes_no_folder(fitted, qtbot, tmp_path):
    finish(fitted, "withdraw", qtbot)
    assert text(fitted, "outcome").startswith("There is no label folder")
    assert not (tmp_path / "labels").exists()


def test_a_table_is_replaced_only_after_asking(fitted, qtbot, tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("mine")
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    click(fitted, "save_table", qtbot)
    assert (tmp_path / "t.csv").read_text() == "mine"
    finish(fitted, "save_table", qtbot)
    assert not answers
    assert len(ProfileTable.read_csv(tmp_path / "t.csv")) == 40


def test_a_table_that_cannot_be_written_is_told(fitted, qtbot, tmp_path):
    fitted.findChild(QLineEdit, "table").setText(str(tmp_path / "none" / "t.csv"))
    finish(fitted, "save_table", qtbot)
    assert "cannot be written" in text(fitted, "outcome")


def test_fitting_is_cancelled(ready, qtbot, monkeypatch):
    begun = threading.Event()

    def endless(self, progress):
        begun.set()
        while True:
            progress(1, 40)

    monkeypatch.setattr(profile_dock.Profiler, "table", endless)
    click(ready, "fit", qtbot)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    qtbot.waitUntil(lambda: ready.progress.maximum() == 40, timeout=WAIT)
    click(ready, "cancel", qtbot)
    qtbot.waitUntil(lambda: ready.job is None, timeout=WAIT)
    assert ready.message.text() == "Stopped; nothing was kept."
    assert ready.table is None
    assert not ready.progress.isVisibleTo(ready)


def test_no_common_inflection_point_is_told(ready, qtbot):
    ready.form.set_settings(ProfileSettings(order=2))
    fit(ready, qtbot)
    assert ready.message.text().startswith("No inflection point is common")
    assert "0 events are inside" in text(ready, "side_counts")
    assert not ready.findChild(QPushButton, "next_inside").isEnabled()


def test_settings_changed_after_the_fit_are_told(fitted, qtbot):
    assert "fit again" not in text(fitted, "fitted")
    fitted.findChild(QComboBox, "statistic").setCurrentText("mean")
    assert "fit again" in text(fitted, "fitted")
    fitted.findChild(QComboBox, "statistic").setCurrentText("median")
    assert "fit again" not in text(fitted, "fitted")


def test_fits_of_other_events_are_dropped(fitted, open_run, simulated_second, qtbot):
    open_run(simulated_second.data, simulated_second.geometry)
    assert fitted.table is None
    assert not fitted.results.isVisibleTo(fitted)


# --- the dock ------------------------------------------------------------------------------


def test_every_input_has_a_tooltip_and_the_dock_is_narrow(fitted, qtbot):
    for kind in (QComboBox, QLineEdit, QPushButton, QDoubleSpinBox, QRadioButton):
        for widget in fitted.findChildren(kind):
            own = widget.objectName() and not widget.objectName().startswith("qt_")
            assert not own or widget.toolTip(), widget.objectName()
    assert fitted.minimumWidth() <= MINIMUM_WIDTH + 20


def test_closing_lets_go_of_run_and_viewer(viewer, run, qtbot):
    dock = ProfileDock(viewer)
    qtbot.addWidget(dock)
    settle(dock, qtbot)
    outer = QWidget()
    qtbot.addWidget(outer)
    dock.setParent(outer)
    dock.setParent(None)
    run.go_to(4)
    assert not dock.live.busy
    assert len(run.shown) == len(ProfileDock(viewer)._run.shown) - 1


def test_it_is_in_the_menu_where_events_are_classified():
    manifest = yaml.safe_load(
        (Path(napari_xfelsort.__file__).parent / "napari.yaml").read_text("utf-8")
    )["contributions"]
    command = next(c for c in manifest["commands"] if c["id"] == "napari-xfelsort.profile")
    assert command["python_name"] == f"{ProfileDock.__module__}:{ProfileDock.__name__}"
    assert {"command": command["id"]} in manifest["menus"]["napari/layers/classify"]
    shown = next(w for w in manifest["widgets"] if w["command"] == command["id"])
    assert shown["display_name"] == "Fit profiles"


def test_region_is_that_of_the_picker(ready, run, qtbot):
    ready.region.set_region(Region.parse("panel:p6a0"))
    fit(ready, qtbot)
    assert ready.table.region == Region.parse("panel:p6a0")
