"""What the Train dock shows of a model, driven by mouse and keys; numbers counted by hand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QLabel,
    QPushButton,
)

from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.learning.comparison import compare
from napari_xfelsort.core.learning.learning_curve import learning_curve
from napari_xfelsort.core.model import load_model
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.train_settings import TrainSettings
from napari_xfelsort.core.training import prepare, train_with
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets import train_results as views
from napari_xfelsort.widgets.dock import MINIMUM_WIDTH
from napari_xfelsort.widgets.train_dock import TrainDock
from napari_xfelsort.widgets.train_importance import IMPORTANCE

WAIT = 60_000
SETTINGS = TrainSettings(n_estimators=5, bin=8, normalise="median", workers=0)


@pytest.fixture
def labels(tmp_path, simulated) -> Path:
    """The truth of the simulated run as labels, but every fourth, so that models err."""
    good = {line.rpartition(" ")[2] for line in simulated.good_list.read_text().splitlines()}
    lines = [
        *simulated.good_list.read_text().splitlines(),
        *simulated.bad_list.read_text().splitlines(),
    ]
    lists = {"good": [], "bad": []}
    for line in lines:
        event = line.rpartition(" ")[2]
        wrong = int(event.strip("/")) % 4 == 1
        lists["good" if (event in good) != wrong else "bad"].append(line)
    for name, kept in lists.items():
        (tmp_path / f"{name}.lst").write_text("\n".join(kept) + "\n")
    store = LabelStore(tmp_path / "labels", labeller="me")
    store.import_lists({name: tmp_path / f"{name}.lst" for name in lists})
    return store.folder


@pytest.fixture
def dock(viewer, qtbot, run, labels):
    def close(made):
        qtbot.waitUntil(lambda: made.job is None and not made.summary.busy, timeout=WAIT)
        made.release()

    made = TrainDock(viewer)
    qtbot.addWidget(made, before_close_func=close)
    made.resize(360, 900)
    made.show()
    made.labels.line.setText(str(labels))
    made.labels.line.editingFinished.emit()
    made.form.set_settings(SETTINGS)
    made.region.set_region(Region.parse("panel:p6a0"))
    return made


def click(dock, name, qtbot):
    found = dock.findChild(QPushButton, name)
    QApplication.processEvents()  # what came or went with a choice has its place now
    qtbot.waitUntil(found.isEnabled, timeout=WAIT)
    qtbot.mouseClick(found, Qt.MouseButton.LeftButton)


def finish(dock, qtbot):
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)


@pytest.fixture
def trained(dock, qtbot):
    click(dock, "train", qtbot)
    finish(dock, qtbot)
    assert dock.model is not None, dock.message.text()
    return dock


def see(dock, view):
    dock.findChild(QComboBox, "view").setCurrentText(view)


def headless(run, labels, **changed):
    settings = TrainSettings.from_dict({**SETTINGS.to_dict(), **changed})
    return train_with(run.stack, labels, settings, Region.parse("panel:p6a0"))


def text(dock, name):
    return dock.findChild(QLabel, name).text()


def numbers_in(cells):
    return [int(found) for found in re.findall(r">(\d+)(?:<br>|</td>)", cells)]


# --- before training -----------------------------------------------------------------------


def test_the_training_set_is_told_before(dock, run, labels, qtbot):
    qtbot.waitUntil(lambda: "train" in text(dock, "summary"), timeout=WAIT)
    counts = LabelStore(labels).counts()
    expected = headless(run, labels).metrics
    assert text(dock, "label_counts") == f"bad {counts['bad']}, good {counts['good']}"
    said = text(dock, "summary")
    for name in ("bad", "good"):
        train, test = expected["train_counts"][name], expected["test_counts"][name]
        assert f"{name}: {train} train, {test} test" in said
    n_features = headless(run, labels).extractor.n_features
    assert f"40 events of 1 file, {n_features} features each" in said
    assert f"{160 * n_features / 1000:.1f} kB" in said  # 40 events of 4 bytes
    assert "on both sides of the split" in text(dock, "summary_notes")


def test_what_cannot_be_trained_is_told_before(dock, run, qtbot, tmp_path):
    store = LabelStore(tmp_path / "one", labeller="me")
    store.set(run.stack.event_id(0), "good")
    dock.labels.line.setText(str(tmp_path / "one"))
    dock.labels.line.editingFinished.emit()
    qtbot.waitUntil(lambda: "at least two classes" in text(dock, "summary_notes"), timeout=WAIT)
    assert text(dock, "label_counts") == "good 1"


def test_labels_are_read_only_while_it_is_seen(dock, run, qtbot, tmp_path):
    qtbot.waitUntil(lambda: "train" in text(dock, "summary"), timeout=WAIT)
    before = text(dock, "label_counts")
    dock.hide()
    store = LabelStore(tmp_path / "one", labeller="me")
    store.set(run.stack.event_id(0), "good")
    dock.labels.line.setText(str(tmp_path / "one"))
    dock.labels.line.editingFinished.emit()
    qtbot.waitUntil(lambda: not dock.summary.busy, timeout=WAIT)
    assert text(dock, "label_counts") == before
    dock.show()
    qtbot.waitUntil(lambda: text(dock, "label_counts") == "good 1", timeout=WAIT)


def test_a_target_is_offered_where_events_have_several_classes(dock, run, qtbot, tmp_path):
    target = dock.form.inputs["target"]
    assert not target.isVisible()
    store = LabelStore(tmp_path / "several", labeller="me")
    for i in range(16):
        store.set(run.stack.event_id(i), ("blob", "blob|ring", "ring", "empty")[i % 4])
    dock.labels.line.setText(str(tmp_path / "several"))
    dock.labels.line.editingFinished.emit()
    qtbot.waitUntil(target.isVisible, timeout=WAIT)
    assert "several classes" in text(dock, "summary_notes")
    target.main.setCurrentText("ring")
    qtbot.waitUntil(lambda: "not_ring: " in text(dock, "summary"), timeout=WAIT)
    click(dock, "train", qtbot)
    finish(dock, qtbot)
    assert dock.model.class_names == ("not_ring", "ring")


# --- the threshold -------------------------------------------------------------------------


def on_canvas(axes, x, y=None):
    low, high = axes.get_ylim()
    at = axes.transData.transform((x, (low + high) / 2 if y is None else y))
    canvas = axes.figure.canvas
    ratio = canvas.device_pixel_ratio
    return canvas, QPoint(round(at[0] / ratio), round(canvas.height() - at[1] / ratio))


def drag(axes, start, end, qtbot):
    axes.figure.canvas.draw()
    canvas, here = on_canvas(axes, *start)
    there = on_canvas(axes, *end)[1]
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=here)
    qtbot.mouseMove(canvas, (here + there) / 2)
    qtbot.mouseMove(canvas, there)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=there)


def scores_of(model):
    """Probability of good, and whether the label is good, of each test event."""
    kept = model.metrics["tested"]
    good = model.class_names.index("good")
    return np.array(kept["probabilities"])[:, good], np.array(kept["labels"]) == good


def counted(model, low, high):
    """Bad as bad, good, unsure; good as bad, good, unsure: counted without the program."""
    score, good = scores_of(model)
    return [
        int(np.sum(mine & where))
        for mine in (~good, good)
        for where in (score < low, score >= high, (score >= low) & (score < high))
    ]


def shown_matrix(dock, columns):
    cells = text(dock, "live_metrics").split("</table>")[0]
    return np.array(numbers_in(cells)).reshape(2, columns)


def test_a_dragged_threshold_counts_at_once(trained, qtbot):
    see(trained, views.THRESHOLD)
    panel, model = trained.results_panel.threshold, trained.model
    axes = panel.plot.figure.axes[0]
    drag(axes, (0.5,), (0.31,), qtbot)
    line = panel.low.value()
    assert line == pytest.approx(0.31, abs=0.02)
    expected = counted(model, panel.rule.threshold, panel.rule.threshold)
    assert shown_matrix(trained, 2).ravel().tolist() == expected[:2] + expected[3:5]
    n_good = expected[1] + expected[4]
    n = sum(expected)
    assert text(trained, "live_decided") == f"Of {n} test events: {n - n_good} bad, {n_good} good."
    assert "too hopeful" in text(trained, "threshold_note")
    assert trained.model is model  # nothing was fitted or changed


def test_an_unsure_band_is_dragged_by_its_ends(trained, qtbot):
    see(trained, views.THRESHOLD)
    panel = trained.results_panel.threshold
    box = trained.findChild(QCheckBox, "threshold_band")
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
    assert panel.rule.band == pytest.approx((0.4, 0.6))
    axes = panel.plot.figure.axes[0]
    drag(axes, (0.4,), (0.15,), qtbot)
    drag(axes, (0.6,), (0.85,), qtbot)
    low, high = panel.rule.band
    assert (low, high) == pytest.approx((0.15, 0.85), abs=0.02)
    expected = counted(trained.model, low, high)
    unsure = expected[2] + expected[5]
    assert unsure
    assert shown_matrix(trained, 3).ravel().tolist() == expected
    assert f"{unsure} unsure." in text(trained, "live_decided")


def test_a_saved_picture_leaves_the_dragging_alone(trained, qtbot, tmp_path, monkeypatch):
    see(trained, views.THRESHOLD)
    panel = trained.results_panel.threshold
    path = str(tmp_path / "curves.svg")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (path, ""))
    panel.plot.save()
    assert "probability of good" in Path(path).read_text()
    drag(panel.plot.figure.axes[0], (0.5,), (0.7,), qtbot)
    assert panel.rule.threshold == pytest.approx(0.7, abs=0.02)
    click(trained, "own_threshold", qtbot)
    assert panel.rule == trained.model.rule
    assert not trained.findChild(QPushButton, "use_threshold").isEnabled()


def test_the_dot_on_a_curve_is_dragged(trained, qtbot):
    see(trained, views.THRESHOLD)
    panel = trained.results_panel.threshold
    roc = panel.plot.figure.axes[1]
    drag(roc, (0.0, 0.0), (1.0, 1.0), qtbot)  # everything is good
    score, good = scores_of(trained.model)
    assert panel.rule.threshold == score.min()
    expected = [0, int(np.sum(~good)), 0, int(np.sum(good))]
    assert shown_matrix(trained, 2).ravel().tolist() == expected


def test_a_threshold_is_kept_with_its_origin(trained, qtbot, tmp_path):
    see(trained, views.THRESHOLD)
    before = trained.model
    use = trained.findChild(QPushButton, "use_threshold")
    assert not use.isEnabled()
    box = trained.findChild(QDoubleSpinBox, "threshold_low")
    box.setValue(0.25)
    click(trained, "use_threshold", qtbot)
    finish(trained, qtbot)
    assert trained.model.threshold == 0.25
    assert trained.model.estimator is before.estimator
    trained.model_file.line.setText(str(tmp_path / "mine.xfelmodel"))
    click(trained, "save_model", qtbot)
    finish(trained, qtbot)
    kept = load_model(tmp_path / "mine.xfelmodel")
    assert kept.threshold == 0.25
    assert kept.provenance["rule"]["by"] == "hand"
    assert kept.provenance["rule"]["threshold"] == 0.25
    assert kept.provenance["rule"]["chosen_on"] == "the test share"
    assert any("set by hand" in warning for warning in kept.warnings)
    expected = counted(before, 0.25, 0.25)
    assert np.ravel(kept.metrics["confusion"]).tolist() == expected[:2] + expected[3:5]
    assert "set by hand" in text(trained, "notes")


@pytest.mark.parametrize("rule", ["max_f1", "high_recall", "costs"])
def test_rules_choose_what_training_with_them_chooses(dock, run, labels, qtbot, rule):
    dock.form.set_settings(TrainSettings.from_dict({**SETTINGS.to_dict(), "cross_validate": True}))
    click(dock, "train", qtbot)
    finish(dock, qtbot)
    see(dock, views.THRESHOLD)
    box = dock.findChild(QComboBox, "threshold_rule")
    box.setCurrentIndex(box.findData(rule))
    dock.findChild(QDoubleSpinBox, "threshold_recall").setValue(90)
    dock.findChild(QDoubleSpinBox, "threshold_cost_lost").setValue(3)
    click(dock, "show_rule", qtbot)
    expected = headless(run, labels, threshold=rule, recall=0.9, cost_lost_good=3.0)
    assert dock.results_panel.threshold.rule.threshold == pytest.approx(expected.threshold)
    assert "the test share had no say" in text(dock, "threshold_note")


def test_more_classes_have_a_probability_to_reach(dock, run, qtbot, tmp_path):
    store = LabelStore(tmp_path / "three", labeller="me")
    for i in range(30):
        store.set(run.stack.event_id(i), ("blob", "empty", "ring")[i % 3])
    dock.labels.line.setText(str(tmp_path / "three"))
    click(dock, "train", qtbot)
    finish(dock, qtbot)
    see(dock, views.THRESHOLD)
    assert not dock.findChild(QCheckBox, "threshold_band").isVisible()
    dock.findChild(QDoubleSpinBox, "threshold_low").setValue(0.7)
    surest = np.array(dock.model.metrics["tested"]["probabilities"]).max(axis=1)
    unsure = int(np.sum(surest < 0.7))
    assert f"{unsure} unsure" in text(dock, "live_decided")


# --- mistakes ------------------------------------------------------------------------------


def test_mistakes_are_listed_the_surest_first(trained, run, labels):
    see(trained, views.MISTAKES)
    model, store = trained.model, LabelStore(labels)
    score, good = scores_of(model)
    wrong = np.flatnonzero((score > 0.5) != good)
    wrong = wrong[np.argsort(-np.maximum(score, 1 - score)[wrong], kind="stable")]
    assert len(wrong)
    table = trained.results_panel.mistakes.model
    rows = [[table.index(k, c).data() for c in range(4)] for k in range(table.rowCount())]
    assert [row[3] for row in rows] == [f"{max(score[k], 1 - score[k]):.3f}" for k in wrong]
    for row in rows:
        assert row[1] == store.get(run.stack.event_id(int(row[0])))
        assert {row[1], row[2]} == {"good", "bad"}
    assert f"{len(wrong)} of {len(good)} test events" in text(trained, "mistakes_summary")


def test_mistakes_are_shown_and_labelled_anew(trained, run, labels, qtbot):
    see(trained, views.MISTAKES)
    panel = trained.results_panel.mistakes
    view, table = panel.view, panel.model
    place = table.place(0)
    run.go_to(0 if place else 1)
    at = view.visualRect(table.index(0, 1)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    qtbot.keyClick(view, Qt.Key.Key_Return)
    assert run.current == place
    label = table.rows[0].decision
    qtbot.keyClick(view, {"good": "g", "bad": "w"}[label])
    finish(trained, qtbot)
    assert LabelStore(labels).get(run.stack.event_id(place)) == label  # in the journal
    assert table.index(0, 1).data() == f"{table.rows[0].label} → {label}"
    assert "1 of them is labelled anew" in text(trained, "mistakes_summary")
    changes = trained.findChild(QLabel, "label_changes")
    qtbot.waitUntil(changes.isVisible, timeout=WAIT)
    assert changes.text().startswith("1 label changed since training")
    # The next mistake is shown; a button labels it.
    assert run.current == table.place(1)
    click(trained, "label_ignore", qtbot)
    assert LabelStore(labels).get(run.stack.event_id(table.place(1))) == "ignore"
    qtbot.waitUntil(lambda: changes.text().startswith("2 labels changed"), timeout=WAIT)
    qtbot.keyClick(view, "u")  # undone
    assert LabelStore(labels).get(run.stack.event_id(table.place(1))) == table.rows[1].label
    click(trained, "train_again", qtbot)
    finish(trained, qtbot)
    qtbot.waitUntil(lambda: not trained.summary.busy, timeout=WAIT)
    assert not changes.isVisible()
    assert trained.model.digest == headless(run, labels).digest


def test_keys_of_the_label_dock_label_mistakes_as_well(trained, run, labels, user, qtbot):
    run.use_labels(LabelStore(labels, labeller="me"))
    see(trained, views.MISTAKES)
    panel = trained.results_panel.mistakes
    panel.next()
    place, label = panel.model.place(0), panel.model.rows[0].decision
    assert run.current == place
    lines = len(list(LabelStore(labels).entries()))
    user.press({"good": "G", "bad": "W"}[label])
    store = LabelStore(labels)
    assert store.get(run.stack.event_id(place)) == label
    assert len(list(store.entries())) == lines + 1
    assert panel.model.is_changed(0)
    assert not panel.model.is_changed(1)
    changes = trained.findChild(QLabel, "label_changes")
    qtbot.waitUntil(changes.isVisible, timeout=WAIT)
    user.press("U")
    qtbot.waitUntil(lambda: not changes.isVisible(), timeout=WAIT)
    assert not panel.model.is_changed(0)


def test_a_target_is_what_mistakes_are_about(dock, run, qtbot, tmp_path):
    store = LabelStore(tmp_path / "several", labeller="me")
    for i in range(40):
        store.set(run.stack.event_id(i), ("blob", "blob|ring", "ring", "empty")[i * 7 % 4])
    dock.labels.line.setText(str(tmp_path / "several"))
    dock.labels.line.editingFinished.emit()
    dock.form.inputs["target"].show_value("ring")
    click(dock, "train", qtbot)
    finish(dock, qtbot)
    see(dock, views.MISTAKES)
    table = dock.results_panel.mistakes.model
    assert table.rows
    run.use_labels(LabelStore(tmp_path / "several", labeller="me"))
    assert not any(table.is_changed(k) for k in range(len(table.rows)))
    place = table.place(0)
    run.set_label(place, "empty" if table.rows[0].label == "ring" else "blob|ring")
    assert table.is_changed(0)
    assert table.index(0, 1).data() in ("ring → not_ring", "not_ring → ring")


def test_an_event_that_is_not_shown_is_shown_before_it_is_labelled(trained, run, labels, qtbot):
    see(trained, views.MISTAKES)
    panel = trained.results_panel.mistakes
    place = panel.model.place(0)
    run.go_to(0 if place else 1)
    panel.view.selectRow(0)
    before = LabelStore(labels).get(run.stack.event_id(place))
    qtbot.keyClick(panel.view, "g")
    qtbot.keyClick(panel.view, "g" if before == "good" else "x")
    assert run.current == place
    assert LabelStore(labels).get(run.stack.event_id(place)) == before


def test_labels_of_another_folder_are_not_mixed_up(trained, run, qtbot, tmp_path):
    see(trained, views.MISTAKES)
    run.use_labels(LabelStore(tmp_path / "others", labeller="me"))
    panel = trained.results_panel.mistakes
    panel.next()
    click(trained, "label_good", qtbot)
    assert "Labels of this run go to" in trained.message.text()
    assert not LabelStore(tmp_path / "others").counts()


# --- importance, curve, reliability --------------------------------------------------------


def importance_layers(viewer):
    return [layer for layer in viewer.layers if drawn.role_of(layer) == IMPORTANCE]


def test_important_pixels_are_drawn_on_the_detector(trained, run, viewer, qtbot):
    see(trained, views.IMPORTANT)
    click(trained, "draw_importance", qtbot)
    click(trained, "draw_importance", qtbot)  # replaces the first
    (layer,) = importance_layers(viewer)
    picture = np.asarray(layer.data)
    geometry = run.stack.geometry
    assert picture.shape == geometry.shape
    # The corners of the panel, from the geometry, are where there are numbers.
    corners = geometry.outlines()["p6a0"]
    (y0, x0), (y1, x1) = np.round(corners.min(axis=0) + 1), np.round(corners.max(axis=0) - 1)
    inside = np.zeros(picture.shape, bool)
    inside[int(y0) : int(y1), int(x0) : int(x1)] = True
    good = ~drawn.masked_pixels(run.stack)
    assert np.isfinite(picture[inside & good]).all()
    assert np.isnan(picture[inside & ~good]).all()
    around = np.zeros(picture.shape, bool)
    around[int(y0) - 3 : int(y1) + 4, int(x0) - 3 : int(x1) + 4] = True
    assert np.isnan(picture[~around]).all()
    trees = trained.model.estimator.feature_importances_
    block = np.nanmax(picture)
    assert block == pytest.approx(trees.max() / trees.sum(), rel=1e-5)
    assert viewer.layers.selection.active is run.layer
    click(trained, "remove_importance", qtbot)
    assert importance_layers(viewer) == []


def test_the_layer_goes_with_its_run(trained, run, viewer, qtbot):
    see(trained, views.IMPORTANT)
    click(trained, "draw_importance", qtbot)
    viewer.layers.remove(run.layer)
    qtbot.waitUntil(lambda: importance_layers(viewer) == [])


def test_features_that_are_no_pixels_are_bars(dock, qtbot):
    settings = TrainSettings.from_dict({**SETTINGS.to_dict(), "kinds": ("quantiles", "intensity")})
    dock.form.set_settings(settings)
    click(dock, "train", qtbot)
    finish(dock, qtbot)
    see(dock, views.IMPORTANT)
    axes = dock.results_panel.important.plot.figure.axes[0]
    trees = np.sort(dock.model.estimator.feature_importances_)[::-1]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx((100 * trees[trees > 0][:12]).tolist())
    assert not dock.findChild(QPushButton, "draw_importance").isEnabled()


def test_a_learning_curve_is_that_of_the_library(trained, run, labels, qtbot):
    see(trained, views.LEARNING)
    click(trained, "learning", qtbot)
    finish(trained, qtbot)
    prepared = prepare(run.stack, labels, SETTINGS, Region.parse("panel:p6a0"))
    points = learning_curve(prepared, SETTINGS)
    axes = trained.results_panel.learning_plot.figure.axes[0]
    line = axes.get_lines()[0]
    assert line.get_xdata().tolist() == [point.n_labels for point in points]
    assert line.get_ydata().tolist() == pytest.approx([100 * p.accuracy for p in points])


def test_reliability_says_whether_it_is_calibrated(trained, qtbot):
    see(trained, views.RELIABILITY)
    assert "not calibrated" in text(trained, "reliability_note")
    line = trained.results_panel.reliability_plot.figure.axes[0].get_lines()[1]
    score, good = scores_of(trained.model)
    lowest = score < 0.1
    assert line.get_ydata()[0] == pytest.approx(good[lowest].mean() if lowest.any() else 0, abs=1)
    assert len(line.get_xdata()) == len(np.unique(np.minimum((score * 10).astype(int), 9)))


# --- several models ------------------------------------------------------------------------


def test_all_models_are_compared_and_one_is_kept(dock, run, labels, qtbot):
    click(dock, "compare", qtbot)
    finish(dock, qtbot)
    expected = compare(run.stack, labels, SETTINGS, Region.parse("panel:p6a0"))
    table = dock.results_panel.compared.table
    assert table.isVisible()
    names = [table.item(k, 0).text() for k in range(table.rowCount())]
    assert names == [row.name.replace("_", " ") for row in expected.rows]
    for k, row in enumerate(expected.rows):
        low, high = row.model.metrics["intervals"]["accuracy"]
        accuracy = row.model.metrics["accuracy"]
        said = f"{100 * accuracy:.1f} ({100 * low:.1f}–{100 * high:.1f})"
        assert table.item(k, 2).text() == said
    assert dock.model.digest == expected.best.digest
    table.selectRow(3)
    click(dock, "keep_model", qtbot)
    assert dock.model.digest == expected.rows[3].model.digest
    see(dock, views.LEARNING)
    assert dock.findChild(QPushButton, "learning").isEnabled()
    see(dock, views.CARD)
    assert "Against the model before" in text(dock, "card")


def test_a_loaded_model_is_told_apart_from_the_one_before(
    trained, run, labels, qtbot, monkeypatch, tmp_path
):
    path = tmp_path / "other.xfelmodel"
    headless(run, labels, model="naive_bayes").save(path)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(path), ""))
    click(trained, "load_model", qtbot)
    finish(trained, qtbot)
    see(trained, views.CARD)
    card = text(trained, "card")
    assert "<b>model:</b> naive bayes" in card
    assert "model: naive bayes (was random forest)" in card
    assert "On the same test events its accuracy differs by" in card
    see(trained, views.LEARNING)
    assert not trained.findChild(QPushButton, "learning").isEnabled()


def test_no_view_is_wider_than_the_dock(trained, qtbot):
    bar = trained.verticalScrollBar().sizeHint().width()
    for view in trained.results_panel.pages:
        see(trained, view)
        assert trained.widget().minimumSizeHint().width() <= MINIMUM_WIDTH - bar, view


def test_views_without_a_comparison_or_a_run(trained, run, viewer, qtbot):
    see(trained, views.COMPARED)
    assert "Compare all trains every model" in text(trained, "comparison_about")
    see(trained, views.MISTAKES)
    viewer.layers.remove(run.layer)
    assert "not in the run that is shown" in text(trained, "mistakes_summary")
    trained.results_panel.mistakes.next()
    assert "open its file" in text(trained, "mistakes_summary")
