"""The Label by rule dock against the command line and what core gives without a screen."""

from __future__ import annotations

import csv
import math
import threading

import h5py
import numpy as np
import pytest
from dock_user import WAIT, click, drag, shown, text
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QPushButton,
    QWidget,
)
from typer.testing import CliRunner

from napari_xfelsort.cli import app
from napari_xfelsort.core.event_scores import ScoreSettings, event_scores
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.simulate import simulate_detector
from napari_xfelsort.widgets import label_dock, rule_dock
from napari_xfelsort.widgets.dock import ERROR_COLOUR, MINIMUM_WIDTH
from napari_xfelsort.widgets.label_dock import LabelDock
from napari_xfelsort.widgets.rule_dock import RuleDock
from napari_xfelsort.widgets.rule_histogram import ScoreScale


@pytest.fixture
def dock(viewer, qtbot):
    made = RuleDock(viewer)
    return shown(made, qtbot, lambda: made.job is None)


@pytest.fixture
def ready(dock, own_run):
    """A dock with a run of 8 events whose folder may be written to."""
    return dock


def settle(dock, qtbot):
    qtbot.waitUntil(lambda: dock.job is None and not dock._counted.isActive(), timeout=WAIT)


def choose(dock, kind, **settings):
    dock.findChild(QComboBox, "kind").setCurrentText(kind)
    for name, value in settings.items():
        dock.form.settings.inputs[name].show_value(value)


def compute(dock, qtbot, kind="peaks", **settings):
    settle(dock, qtbot)
    choose(dock, kind, **settings)
    click(dock, "compute", qtbot)
    settle(dock, qtbot)
    return dock.computed.scores.values


def type_end(dock, name, value, qtbot):
    has, box = dock.findChild(QCheckBox, f"has_{name}"), dock.findChild(QDoubleSpinBox, name)
    if value is None:
        has.setChecked(False)
        return
    has.setChecked(True)
    box.lineEdit().selectAll()
    qtbot.keyClicks(box, str(value))
    qtbot.keyClick(box, Qt.Key.Key_Return)


def drag_end(dock, start, end, qtbot):
    """Drag on the histogram; gives how much of the axis a pixel is."""
    (axes,) = dock.panel.histogram.figure.axes
    return drag(axes, start, end, qtbot)


def apply(dock, qtbot):
    click(dock, "apply", qtbot)
    settle(dock, qtbot)


def lines(folder):
    """Event, label, source and note of all lines in a folder, by event."""
    found = []
    for path in sorted(folder.glob("labels-*.csv")):
        with path.open(newline="") as file:
            found += [tuple(row[2:]) for row in csv.reader(file)][1:]
    return sorted(found)


def labels_of(run):
    return LabelStore(run.suggested_labels(), "reader").aligned(run.stack)


def command_line(own, tmp_path, *options):
    folder = tmp_path / "by-command"
    shared = ["--labels", str(folder), "--geometry", str(own.geometry)]
    done = CliRunner().invoke(app, ["label", str(own.data), *shared, *options])
    assert done.exit_code == 0, done.output
    return lines(folder)


# --- as the command line -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings", "option", "form"),
    [
        ("peaks", {}, "--by-peaks", "{low}:{high}"),
        ("mean", {}, "--by-mean", "{low}:{high}"),
        ("percentile", {"percentile": 99.0}, "--by-percentile", "99={low}:{high}"),
        ("saturated", {"saturation": 300.0}, "--by-saturated", "300={low}:{high}"),
        ("metadata", {"column": "EncoderValue"}, "--by-metadata", "EncoderValue={low}:{high}"),
    ],
)
def test_labels_as_the_command_line(
    ready, own, own_run, tmp_path, qtbot, kind, settings, option, form
):
    values = compute(ready, qtbot, kind, **settings)
    wanted = event_scores(own_run.stack, ScoreSettings(kind, **settings)).values
    assert np.array_equal(values, wanted, equal_nan=True)
    digits = 0 if kind in ("peaks", "saturated") else 3
    low, high = (round(float(np.percentile(wanted, p)), digits) for p in (30, 80))
    type_end(ready, "low", low, qtbot)
    type_end(ready, "high", high, qtbot)
    assert (ready.panel.low, ready.panel.high) == (low, high)
    apply(ready, qtbot)
    by_hand = command_line(own, tmp_path, option, form.format(low=low, high=high))
    assert lines(own.data.parent / "labels") == by_hand
    assert len(by_hand) == 8
    inside = (wanted >= low) & (wanted <= high)
    assert labels_of(own_run) == ["good" if is_in else "bad" for is_in in inside]
    assert own_run.label_of(0) == labels_of(own_run)[0]  # the run knows of it
    assert f"{inside.sum()} events inside, {8 - inside.sum()} outside." == text(
        ready, "side_counts"
    )


def test_a_region_a_name_and_no_upper_end(ready, own, own_run, tmp_path, qtbot):
    choose(ready, "mean")
    ready.findChild(QComboBox, "region_way").setCurrentIndex(1)
    ready.findChild(QLineEdit, "region_panels").setText("p6a0")
    values = compute(ready, qtbot, "mean")
    panel = own_run.stack.geometry.panels["p6a0"]
    with h5py.File(own.data) as file:
        raw = file["entry_1/instrument_1/detector_1/data"][2].astype(float)
    part = raw[panel.min_ss : panel.max_ss + 1, panel.min_fs : panel.max_fs + 1]
    good = own_run.stack.mask
    bad = good.bad[panel.min_ss : panel.max_ss + 1, panel.min_fs : panel.max_fs + 1]
    assert values[2] == pytest.approx(part[~bad].mean())
    low = round(float(np.median(values)), 2)
    type_end(ready, "low", low, qtbot)
    assert not ready.findChild(QDoubleSpinBox, "high").isEnabled()
    ready.findChild(QLineEdit, "rule_name").setText("bright")
    click(ready, "swap", qtbot)
    apply(ready, qtbot)
    options = ("--by-mean", f"{low}:", "--region", "panel:p6a0", "--rule", "bright")
    by_hand = command_line(own, tmp_path, *options, "--good", "outside")
    assert lines(own.data.parent / "labels") == by_hand
    assert {line[2] for line in by_hand} == {"rule:bright"}


# --- the range -----------------------------------------------------------------------------


def test_an_end_is_dragged(ready, own_run, qtbot):
    values = compute(ready, qtbot, "mean")
    start = ready.panel.low
    assert start == pytest.approx(np.median(values), abs=0.01)
    assert ready.panel.high == math.inf
    wanted = float(np.percentile(values, 20))
    pixel = drag_end(ready, start, wanted, qtbot)
    assert ready.panel.low == pytest.approx(wanted, abs=1.5 * pixel)
    assert ready.findChild(QDoubleSpinBox, "low").value() == ready.panel.low
    n = int((values >= ready.panel.low).sum())
    assert text(ready, "side_counts") == f"{n} events inside, {8 - n} outside."
    # the upper end comes from the axis's end, where it was not there
    (axes,) = ready.panel.histogram.figure.axes
    upper = float(np.percentile(values, 80))
    drag_end(ready, axes.get_xlim()[1] - pixel, upper, qtbot)
    assert ready.panel.high == pytest.approx(upper, abs=2.5 * pixel)
    assert ready.findChild(QCheckBox, "has_high").isChecked()
    # and goes back to it
    drag_end(ready, ready.panel.high, axes.get_xlim()[1] + 10 * pixel, qtbot)
    assert ready.panel.high == math.inf
    assert not ready.findChild(QCheckBox, "has_high").isChecked()


def test_ends_of_whole_numbers_are_whole(ready, qtbot):
    values = compute(ready, qtbot, "peaks")
    second = sorted(set(values))[1]
    pixel = drag_end(ready, ready.panel.low - 0.5, second - 0.5, qtbot)
    assert ready.panel.low == pytest.approx(second, abs=max(1, 2 * pixel))
    assert ready.panel.low == round(ready.panel.low)
    scale = ScoreScale(np.array([1.0, 2, 7]))
    assert scale.dragged(*scale.drawn(2, 7)) == (2, 7)
    assert scale.dragged(1.6, 1.8) == (2, 2)


def test_a_typed_end_beyond_the_axis(ready, qtbot):
    values = compute(ready, qtbot, "mean")
    type_end(ready, "low", 10 * values.max(), qtbot)
    (axes,) = ready.panel.histogram.figure.axes
    assert axes.get_xlim()[1] > 10 * values.max()
    assert text(ready, "side_counts") == "0 events inside, 8 outside."
    type_end(ready, "high", values.min(), qtbot)
    assert "is empty" in text(ready, "side_counts")
    assert not ready.findChild(QPushButton, "next_inside").isEnabled()
    click(ready, "apply", qtbot)
    assert "is empty" in text(ready, "outcome")
    assert ready.job is None


def test_log_counts(ready, qtbot):
    compute(ready, qtbot)
    qtbot.mouseClick(
        ready.findChild(QCheckBox, "log_counts"), Qt.MouseButton.LeftButton, pos=QPoint(8, 8)
    )
    (axes,) = ready.panel.histogram.figure.axes
    assert axes.get_yscale() == "log"
    drag_end(ready, ready.panel.low - 0.5, ready.panel.low + 5, qtbot)
    assert ready.panel.low == round(ready.panel.low)


# --- the event shown -----------------------------------------------------------------------


def test_the_event_shown_is_followed(ready, own_run, qtbot):
    values = compute(ready, qtbot, "mean")
    for i in (3, 5):
        own_run.go_to(i)
        inside = values[i] >= ready.panel.low
        assert f"Event {i}: {values[i]:.6g}" in text(ready, "preview")
        assert ("good" if inside else "bad") in text(ready, "preview")
        (axes,) = ready.panel.histogram.figure.axes
        assert any(list(line.get_xdata()) == [values[i]] * 2 for line in axes.lines)
    ready.findChild(QComboBox, "inside_class").setCurrentText("nothing")
    own_run.go_to(int(values.argmax()))
    assert "would get no label" in text(ready, "preview")


def test_browsing_both_sides(ready, own_run, qtbot):
    values = compute(ready, qtbot, "mean")
    own_run.go_to(0)
    inside = np.flatnonzero(values >= ready.panel.low)
    seen = []
    for _ in range(len(inside) + 1):
        click(ready, "next_inside", qtbot)
        seen.append(own_run.current)
    later = [i for i in inside if i > 0]
    assert seen == [*later, *inside][: len(seen)]
    click(ready, "next_outside", qtbot)
    assert values[own_run.current] < ready.panel.low
    assert not ready.findChild(QPushButton, "next_without").isEnabled()


# --- labels --------------------------------------------------------------------------------


def test_labels_by_hand_stay_unless_asked(ready, own_run, user, qtbot):
    own_run.go_to(1)
    user.press("G")
    hand = own_run.label_of(1)
    compute(ready, qtbot, "mean")
    type_end(ready, "low", None, qtbot)  # all inside
    ready.findChild(QComboBox, "inside_class").setCurrentText("bad" if hand == "good" else "good")
    other = ready.panel.labels[0]
    own_run.go_to(1)
    assert f"stays {hand}" in text(ready, "preview")
    apply(ready, qtbot)
    assert labels_of(own_run) == [other, hand, *[other] * 6]
    assert "Labelled by hand and left so: 1 event." in text(ready, "outcome")
    box = ready.findChild(QCheckBox, "relabel")
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert f"would be labelled {other}" in text(ready, "preview")
    apply(ready, qtbot)
    assert labels_of(own_run) == [other] * 8


def test_withdraw_restores_what_was_there(ready, own_run, user, qtbot):
    own_run.go_to(2)
    user.press("G")
    before = labels_of(own_run)
    compute(ready, qtbot, "mean")
    ready.findChild(QCheckBox, "relabel").setChecked(True)
    apply(ready, qtbot)
    after = labels_of(own_run)
    assert None not in after
    assert text(ready, "rule_mean_count") == "8 labels"
    click(ready, "withdraw_mean", qtbot)
    settle(ready, qtbot)
    assert labels_of(own_run) == before
    assert [own_run.label_of(i) for i in range(8)] == before
    assert "Took 8 labels of rule:mean back" in text(ready, "outcome")
    assert text(ready, "no_rules")
    user.click("undo")  # of the Label dock
    assert labels_of(own_run) == after
    settle(ready, qtbot)
    assert text(ready, "rule_mean_count") == "8 labels"
    user.click("undo")
    assert labels_of(own_run) == before


def test_a_large_step_is_undone_in_the_background(ready, own_run, user, qtbot, monkeypatch):
    monkeypatch.setattr(label_dock, "_MANY", 5)
    own_run.go_to(2)
    user.press("G")
    before = labels_of(own_run)
    compute(ready, qtbot, "mean")
    apply(ready, qtbot)
    after = labels_of(own_run)
    for name, wanted in (("undo", before), ("redo", after), ("undo", before)):
        user.click(name)
        assert labels_of(own_run) == wanted
        assert [own_run.label_of(i) for i in range(8)] == wanted
        assert "rule mean" in user.told
    user.click("undo")
    assert labels_of(own_run) == [None] * 8


def test_two_rules_are_withdrawn_apart(ready, own_run, qtbot):
    peaks = compute(ready, qtbot, "peaks")
    ready.findChild(QComboBox, "outside_class").setCurrentText("nothing")
    apply(ready, qtbot)
    chosen = peaks >= ready.panel.low
    first = ["good" if is_in else None for is_in in chosen]
    assert labels_of(own_run) == first
    compute(ready, qtbot, "mean")
    type_end(ready, "low", None, qtbot)
    ready.findChild(QComboBox, "inside_class").setCurrentText("ignore")
    apply(ready, qtbot)
    assert labels_of(own_run) == ["ignore"] * 8
    assert text(ready, "rule_peaks_count") == f"{chosen.sum()} labels"
    click(ready, "withdraw_mean", qtbot)
    settle(ready, qtbot)
    assert labels_of(own_run) == first


def test_labelling_by_hand_meanwhile(ready, own_run, user, qtbot, monkeypatch):
    """Both are kept, those by hand on top, on disk as in the window."""
    own_run.go_to(0)
    user.press("G")
    compute(ready, qtbot, "mean")
    begun, go_on = threading.Event(), threading.Event()
    real = rule_dock.apply_rule

    def slow(*arguments):
        begun.set()
        assert go_on.wait(120)
        return real(*arguments)

    monkeypatch.setattr(rule_dock, "apply_rule", slow)
    type_end(ready, "low", None, qtbot)
    ready.findChild(QComboBox, "inside_class").setCurrentText("bad")
    click(ready, "apply", qtbot)
    assert begun.wait(120)
    own_run.go_to(4)
    user.press("G")
    user.press("W")
    by_hand = [own_run.label_of(4), own_run.label_of(5)]
    assert None not in by_hand
    assert labels_of(own_run)[4:6] == by_hand  # on disk at once
    go_on.set()
    settle(ready, qtbot)
    kept = own_run.label_of(0)
    wanted = [kept, "bad", "bad", "bad", *by_hand, "bad", "bad"]
    assert labels_of(own_run) == wanted
    assert [own_run.label_of(i) for i in range(8)] == wanted
    assert user.reads("total") == "8 of 8 labelled"
    user.click("undo")  # the rule
    assert labels_of(own_run) == [kept, None, None, None, *by_hand, None, None]


def test_labels_that_are_there_are_read(dock, own, open_run, qtbot):
    folder = own.data.parent / "labels"
    run = open_run(own.data, own.geometry)
    settle(dock, qtbot)
    store = LabelStore(folder, "somebody")
    store.set_many([(run.stack.event_id(i), "ice") for i in (1, 2)], "rule:ice")
    other = RuleDock(dock.runs.viewer)
    qtbot.addWidget(other)
    settle(other, qtbot)
    assert text(other, "rule_ice_count") == "2 labels"
    classes = other.findChild(QComboBox, "inside_class")
    assert [classes.itemText(i) for i in range(classes.count())] == [
        "good",
        "bad",
        "ice",
        "ignore",
        "nothing",
    ]
    assert run.label_of(1) == "ice"
    other.release()


def test_a_bad_name_and_no_label_are_told(ready, own, qtbot):
    compute(ready, qtbot)
    for side in ("inside", "outside"):
        ready.findChild(QComboBox, f"{side}_class").setCurrentText("nothing")
    click(ready, "apply", qtbot)
    assert "no label at all" in text(ready, "outcome")
    click(ready, "swap", qtbot)
    ready.findChild(QComboBox, "inside_class").setCurrentText("good")
    ready.findChild(QLineEdit, "rule_name").setText("a/b")
    click(ready, "apply", qtbot)
    assert "'a/b' cannot name" in text(ready, "outcome")
    assert ERROR_COLOUR in ready.outcome.styleSheet()
    assert not (own.data.parent / "labels").exists()


def test_a_folder_that_cannot_be_made(ready, own, qtbot):
    compute(ready, qtbot)
    (own.data.parent / "file").write_text("")
    ready.findChild(QLineEdit, "label_folder").setText(str(own.data.parent / "file"))
    apply(ready, qtbot)
    assert "is a file" in text(ready, "outcome")
    assert ready.findChild(QPushButton, "apply").isEnabled()


# --- what may be missing -------------------------------------------------------------------


def changed_copy(own, tmp_path, change):
    path = tmp_path / "changed.cxi"
    path.write_bytes(own.data.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def test_no_peaks_stored(dock, own, open_run, tmp_path, qtbot):
    def change(file):
        del file["entry_1/result_1"]

    open_run(changed_copy(own, tmp_path, change), own.geometry)
    compute(dock, qtbot)
    assert "No peaks stored with" in text(dock, "message")
    assert not dock.results.isVisible()


def test_events_without_a_number_get_no_label(dock, own, open_run, tmp_path, qtbot):
    def change(file):
        file["LCLS/detector_1/EncoderValue"][3] = np.nan
        file["LCLS/detector_1/EncoderValue"][:2] = 5

    run = open_run(changed_copy(own, tmp_path, change), own.geometry)
    values = compute(dock, qtbot, "metadata", column="EncoderValue")
    assert np.isnan(values[3])
    assert "1 without a number" in text(dock, "side_counts")
    assert "No number 'EncoderValue' stored with" in text(dock, "message")
    click(dock, "next_without", qtbot)
    assert run.current == 3
    assert "has no number" in text(dock, "preview")
    apply(dock, qtbot)
    assert labels_of(run)[3] is None
    assert "Undecided: 1 event." in text(dock, "outcome")


def test_columns_of_the_file_are_offered(ready, own_run, qtbot):
    choose(ready, "metadata")
    column = ready.findChild(QComboBox, "column")
    qtbot.waitUntil(lambda: column.count() > 1, timeout=WAIT)
    offered = {column.itemText(i) for i in range(column.count())}
    assert {"photon_energy", "camera_length", "EncoderValue", "fiducial"} <= offered
    assert column.isVisible()
    assert not ready.findChild(QWidget, "saturation").isVisible()
    assert not ready.findChild(QComboBox, "region_way").isVisible()
    column.setCurrentText("no such column")
    click(ready, "compute", qtbot)
    settle(ready, qtbot)
    assert "'no such column'" in text(ready, "message")


def test_one_event(dock, open_run, tmp_path, qtbot):
    one = simulate_detector(tmp_path / "one", n_events=1, seed=5)
    run = open_run(one.data, one.geometry)
    compute(dock, qtbot, "mean")
    assert text(dock, "side_counts") == "1 event inside, 0 outside."
    apply(dock, qtbot)
    assert labels_of(run) == ["good"]


def test_all_numbers_equal(dock, own, open_run, tmp_path, qtbot):
    def change(file):
        file["LCLS/detector_1/EncoderValue"][:] = 0.25

    run = open_run(changed_copy(own, tmp_path, change), own.geometry)
    compute(dock, qtbot, "metadata", column="EncoderValue")
    assert text(dock, "side_counts") == "8 events inside, 0 outside."
    drag_end(dock, 0.25, 0.28, qtbot)
    assert text(dock, "side_counts") == "0 events inside, 8 outside."
    apply(dock, qtbot)
    assert labels_of(run) == ["bad"] * 8


def test_an_empty_run_is_told(dock, open_run, own, qtbot, monkeypatch):
    run = open_run(own.data, own.geometry)
    settle(dock, qtbot)
    none = event_scores(run.stack, ScoreSettings())._replace(values=np.empty(0))
    monkeypatch.setattr(rule_dock, "event_scores", lambda *_: none)
    compute(dock, qtbot)
    assert text(dock, "message") == "The run has no events."


def test_nothing_open(dock, qtbot):
    assert not dock.findChild(QPushButton, "compute").isEnabled()
    assert not dock.results.isVisible()


def test_cancel(ready, qtbot, monkeypatch):
    def endless(stack, settings, region, progress):
        for n in range(100_000):
            progress(n, 100_000)
            threading.Event().wait(0.01)

    monkeypatch.setattr(rule_dock, "event_scores", endless)
    settle(ready, qtbot)
    click(ready, "compute", qtbot)
    assert not ready.findChild(QPushButton, "compute").isEnabled()
    qtbot.waitUntil(lambda: ready.progress.maximum() == 100_000, timeout=WAIT)
    ready.runs.active.step(1)  # browsing goes on
    assert ready.runs.active.current == 1
    click(ready, "cancel", qtbot)
    settle(ready, qtbot)
    assert text(ready, "message") == "Stopped; nothing was kept."
    assert ready.computed is None


def test_another_choice_is_told(ready, qtbot):
    compute(ready, qtbot)
    assert "compute again" not in text(ready, "about_scores")
    choose(ready, "mean")
    assert "compute again" in text(ready, "about_scores")


def test_the_range_stays_for_the_same_kind_of_number(ready, qtbot):
    compute(ready, qtbot, "mean")
    type_end(ready, "low", 12.5, qtbot)
    compute(ready, qtbot, "mean")
    assert ready.panel.low == 12.5
    compute(ready, qtbot, "peaks")
    assert ready.panel.low != 12.5


def test_everything_is_explained_and_narrow(ready, qtbot):
    compute(ready, qtbot)
    for kind in (QPushButton, QComboBox, QLineEdit, QDoubleSpinBox, QCheckBox):
        for widget in ready.findChildren(kind):
            if not widget.objectName().startswith("qt_"):
                assert widget.toolTip(), widget.objectName()
    assert ready.minimumWidth() <= MINIMUM_WIDTH + 20


def test_beside_the_label_dock_from_the_start(viewer, own_run, qtbot):
    """The first label of a run is by rule; the Label dock takes its folder over."""
    other, dock = LabelDock(viewer), RuleDock(viewer)
    for made in (other, dock):
        qtbot.addWidget(made)
    compute(dock, qtbot)
    apply(dock, qtbot)
    qtbot.waitUntil(lambda: other.job is None, timeout=WAIT)
    assert own_run.tally.n_labelled == 8
    assert text(other, "total") == "8 of 8 labelled"
    other.release()
    dock.release()
