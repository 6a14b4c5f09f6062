"""The SPI dock on a small simulated run, beside what core finds headless."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QTableWidget,
)
from spi_user import select

from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.core.simulate.spi import simulate_spi
from napari_xfelsort.core.spi import (
    PsdReader,
    Selection,
    find_classes,
    find_sizes,
    kept_selections,
)
from napari_xfelsort.core.spi.em_files import read_classes, write_classes
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets import spi_classes, spi_map
from napari_xfelsort.widgets.spi_dock import SpiDock

WAIT = 60_000
N = 14
FEW = {"classes": 3, "rotations": 10, "runs": 2, "binning": 4}


@pytest.fixture(scope="session")
def particles(tmp_path_factory):
    """A run of single particles, pairs, and others; what core says of it."""
    shares = {"blank": 0, "wrong_size": 0.3, "doublet": 0.5, "single": 1}
    folder = tmp_path_factory.mktemp("spi")
    made = simulate_spi(folder, n_events=N, side=96, photons=20_000, photons_spread=0.3, **shares)
    stack = open_stack(str(made.data), geometry=str(made.geometry))
    return SimpleNamespace(
        data=made.data,
        geometry=made.geometry,
        lists=made.lists,
        stack=stack,
        sizes=find_sizes(stack),
    )


@pytest.fixture
def run(open_run, particles):
    return open_run(particles.data, particles.geometry)


@pytest.fixture(autouse=True)
def own_selections(tmp_path, monkeypatch):
    """Selections of one test are none of another's, although the run is the same."""
    monkeypatch.setattr(kept_selections, "folders_of", lambda stack: [tmp_path / "kept"])


@pytest.fixture
def make_dock(viewer, tmp_path, qtbot):
    def finish(dock):
        idle(dock, qtbot)
        dock.release()

    def make():
        dock = SpiDock(viewer)
        qtbot.addWidget(dock, before_close_func=finish)
        dock.choosing.folder.set_paths(str(tmp_path / "labels"))
        dock.resize(360, 900)
        dock.show()
        return dock

    return make


@pytest.fixture
def dock(make_dock, run):
    return make_dock()


def idle(dock, qtbot):
    qtbot.waitUntil(lambda: dock.job is None and not dock.densities.reading, timeout=WAIT)


def press(dock, name, qtbot):
    widget = dock.findChild(QPushButton, name)
    assert widget.isEnabled(), name
    show_tab_of(dock, widget)
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)
    idle(dock, qtbot)


def show_tab_of(dock, widget):
    for part in dock.parts:
        if part.isAncestorOf(widget):
            dock.tabs.setCurrentWidget(part)


def text(dock, name):
    return dock.findChild(QLabel, name).text()


def message(dock):
    return dock.message.text()


def few_classes(dock):
    for name, value in FEW.items():
        dock.classes.form.inputs[name].show_value(value)


def pick(*paths):
    """Instead of a file dialog."""
    return staticmethod(lambda *_, **__: ([str(path) for path in paths], ""))


def save_as(path):
    return staticmethod(lambda *_, **__: (str(path), ""))


def answer(reply):
    return staticmethod(lambda *_, **__: reply)


def test_sizes_are_filtered_into_a_selection(dock, run, particles, qtbot, tmp_path, monkeypatch):
    press(dock, "find_sizes", qtbot)
    found = dock.sizes.found
    assert found.diameter == pytest.approx(particles.sizes.diameter, nan_ok=True)
    passing = np.flatnonzero(particles.sizes.passing())
    assert f"{len(passing)} of {N} events pass" in text(dock, "passing")
    run.go_to(4)
    assert f"Event 4: {particles.sizes.diameter[4]:.4g} ±" in text(dock, "event_size")
    # Dragged, then typed.
    dock.sizes.plot.dragged.emit(0, 60.0, 75.0)
    assert dock.sizes.limits == pytest.approx((60, 75), abs=0.1)
    low = dock.findChild(QDoubleSpinBox, "smallest_kept")
    low.setValue(68)
    narrow = np.flatnonzero(particles.sizes.passing(68, dock.sizes.limits[1]))
    assert dock.sizes.passing.tolist() == narrow.tolist()
    low.setValue(90)
    assert "No diameter" in text(dock, "passing")
    low.setValue(55)
    dock.findChild(QDoubleSpinBox, "largest_kept").setValue(84)
    run.go_to(0)
    press(dock, "next_passing", qtbot)
    assert run.current == next(int(i) for i in passing if i > 0)
    press(dock, "keep_sizes", qtbot)
    kept = dock.selections.items["55-84 nm"]
    assert kept.numbers.tolist() == passing.tolist()
    assert f"'55-84 nm' has {len(passing)} events" in message(dock)
    # The table; not over another file unless that is wanted.
    line = dock.findChild(QLineEdit, "sizes_file")
    line.setText(str(tmp_path / "sizes"))
    press(dock, "write_sizes", qtbot)
    written = (tmp_path / "sizes.csv").read_text()
    assert written.count("\n") == N + 1
    (tmp_path / "sizes.csv").write_text("mine")
    monkeypatch.setattr(QMessageBox, "question", answer(QMessageBox.StandardButton.No))
    press(dock, "write_sizes", qtbot)
    assert (tmp_path / "sizes.csv").read_text() == "mine"
    monkeypatch.setattr(QMessageBox, "question", answer(QMessageBox.StandardButton.Yes))
    press(dock, "write_sizes", qtbot)
    assert (tmp_path / "sizes.csv").read_text() == written


def test_densities_of_the_event_and_of_selections(dock, run, particles, qtbot):
    dock.tabs.setCurrentWidget(dock.densities)
    run.go_to(3)
    lines = dock.densities.plot
    qtbot.waitUntil(lambda: bool(lines.lines) and lines.lines[-1][0] == "event 3", timeout=WAIT)
    reader = PsdReader(particles.stack)
    assert lines.lines[-1][1].values == pytest.approx(reader.event(3).values, nan_ok=True)
    press(dock, "draw_densities", qtbot)
    assert "no selection yet" in message(dock)
    dock.selections.add(Selection.load(particles.lists["single"], "single"))
    dock.selections.add(Selection.load(particles.lists["doublet"], "doublet"))
    press(dock, "draw_densities", qtbot)
    table = dock.findChild(QTableWidget, "contrasts")
    assert [table.item(k, 0).text() for k in range(3)] == ["single", "doublet", "event 3"]
    numbers = dock.selections.items["single"].numbers
    mean = reader.mean(numbers.tolist())
    assert table.item(0, 1).text() == str(len(numbers))
    assert table.item(0, 2).text() == f"{mean.contrast.gamma:.3f}"
    assert "not whether they are single" in text(dock, "caveat")
    dock.densities.with_event.setChecked(False)
    qtbot.waitUntil(lambda: len(lines.lines) == 2, timeout=WAIT)


def test_classes_are_found_and_kept(dock, run, particles, qtbot, tmp_path, monkeypatch):
    few_classes(dock)
    numbers = np.array([0, 1, 2, 4, 5, 6, 8, 9, 10, 12])
    dock.selections.add_events("ten", numbers)
    box = dock.findChild(QComboBox, "em_events")
    box.setCurrentIndex(box.findData("ten"))
    press(dock, "find_classes", qtbot)
    expected = find_classes(particles.stack.subset(numbers), **FEW)
    assert dock.classes.found.labels.tolist() == expected.labels.tolist()
    gallery = dock.classes.gallery
    there = np.flatnonzero(expected.counts).tolist()
    assert [gallery.item(n).text() for n in range(gallery.count())] == [
        f"{k}: {expected.counts[k]}" for k in there
    ]
    assert not dock.findChild(QPushButton, "keep_classes").isEnabled()
    place = gallery.visualItemRect(gallery.item(0)).center()
    qtbot.mouseClick(gallery.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert gallery.classes == [there[0]]
    own = numbers[expected.labels == there[0]]
    assert f"{len(own)} of 10 events" in text(dock, "kept_classes")
    dock.findChild(QComboBox, "class_order").setCurrentIndex(1)
    dock.classes._show()
    assert gallery.classes == [there[0]]
    press(dock, "keep_classes", qtbot)
    assert dock.selections.items["classes"].numbers.tolist() == own.tolist()
    press(dock, "keep_sure", qtbot)
    sure = numbers[expected.kept([there[0]], 1)]
    assert dock.selections.items["classes of all runs"].numbers.tolist() == sure.tolist()
    dock.selections.add_events("all", np.arange(N))
    source = dock.findChild(QComboBox, "take_away_from")
    source.setCurrentIndex(source.findData("all"))
    press(dock, "take_away", qtbot)
    less = np.setdiff1d(np.arange(N), numbers[expected.rejected([there[0]])])
    assert dock.selections.items["all, classes"].numbers.tolist() == less.tolist()
    gallery.opened.emit(there[0])
    assert run.current in own
    last = numbers[expected.labels == there[-1]]
    dock.selections.add_events("of one", [last[0], 13])
    source.setCurrentIndex(source.findData("of one"))
    press(dock, "voted_classes", qtbot)
    assert gallery.classes == [there[-1]]
    press(dock, "round_classes", qtbot)
    assert gallery.classes == expected.round_classes()
    # Files; never over others unless that is wanted.
    dock.findChild(QLineEdit, "classes_folder").setText(str(tmp_path / "em"))
    gallery.select([there[0]])
    press(dock, "write_classes", qtbot)
    assert read_classes(tmp_path / "em").labels.tolist() == expected.labels.tolist()
    assert len(read_list(tmp_path / "em" / "kept.lst")) == len(own)
    before = (tmp_path / "em" / "classes.h5").stat().st_mtime_ns
    monkeypatch.setattr(QMessageBox, "question", answer(QMessageBox.StandardButton.No))
    press(dock, "write_classes", qtbot)
    assert (tmp_path / "em" / "classes.h5").stat().st_mtime_ns == before


def test_written_classes_are_opened_again(dock, run, particles, qtbot, tmp_path, monkeypatch):
    numbers = [12, 1, 2, 4, 5, 6, 8, 9]
    found = find_classes(particles.stack.subset(numbers), **FEW)
    write_classes(found, tmp_path / "em", [1])
    chosen = []
    monkeypatch.setattr(
        QFileDialog, "getExistingDirectory", staticmethod(lambda *_, **__: chosen[-1])
    )
    chosen.append(str(tmp_path / "em"))
    press(dock, "open_classes", qtbot)
    there = int((found.counts > 0).sum())
    assert message(dock) == f"{there} classes of 8 events are open."
    assert dock.classes.found.labels.tolist() == found.labels.tolist()
    assert dock.classes.numbers.tolist() == numbers
    assert dock.classes.gallery.classes == [1]
    assert dock.findChild(QLineEdit, "classes_folder").text() == str(tmp_path / "em")
    press(dock, "keep_classes", qtbot)
    own = sorted(np.array(numbers)[found.labels == 1].tolist())
    assert dock.selections.items["classes"].numbers.tolist() == own
    assert dock.selections.items["classes"].how == "classes 1 of 3"
    # Not chosen, not there, of another run: what is shown stays.
    for folder, sentence in (
        ("", f"'classes' has {len(own)} events"),
        (str(tmp_path), "has no classes: there is no classes.h5"),
        (str(of_another_run(found, tmp_path)), "other.cxi, and the run shown is"),
    ):
        chosen.append(folder)
        press(dock, "open_classes", qtbot)
        assert sentence in message(dock)
        assert dock.classes.numbers.tolist() == numbers
    # What was found and not written goes only when that is wanted.
    few_classes(dock)
    press(dock, "find_classes", qtbot)
    chosen.append(str(tmp_path / "em"))
    monkeypatch.setattr(QMessageBox, "question", answer(QMessageBox.StandardButton.No))
    press(dock, "open_classes", qtbot)
    assert len(dock.classes.numbers) == N
    monkeypatch.setattr(QMessageBox, "question", answer(QMessageBox.StandardButton.Yes))
    press(dock, "open_classes", qtbot)
    assert dock.classes.numbers.tolist() == numbers
    # Of events that are not in the run none is shown or chosen.
    events = (tmp_path / "em" / "events.lst").read_text()
    (tmp_path / "em" / "events.lst").write_text(events.replace("//12\n", "//99\n"))
    press(dock, "open_classes", qtbot)
    assert "1 of the 8 events are not in this run" in message(dock)
    dock.classes.gallery.select([0, 1, 2])
    press(dock, "keep_classes", qtbot)
    assert dock.selections.items["classes 2"].numbers.tolist() == sorted(numbers[1:])


def of_another_run(found, folder):
    """The same classes, of events of a file that is not open."""
    names = [EventId(str(folder / "other.cxi"), event.event) for event in found.events]
    write_classes(replace(found, events=names), folder / "other")
    return folder / "other"


def test_work_is_cancelled(dock, qtbot, monkeypatch):
    gone = []

    def endless(stack, settings, report):
        while True:
            gone.append(report((1, 9, "iterations")))

    monkeypatch.setattr(spi_classes, "classifying", endless)
    few_classes(dock)
    show_tab_of(dock, dock.classes.find_button)
    qtbot.mouseClick(dock.classes.find_button, Qt.MouseButton.LeftButton)
    cancel = dock.findChild(QPushButton, "cancel")
    qtbot.waitUntil(lambda: bool(gone) and cancel.isVisible(), timeout=WAIT)
    assert not dock.sizes.find_button.isEnabled()
    qtbot.mouseClick(cancel, Qt.MouseButton.LeftButton)
    idle(dock, qtbot)
    assert "Stopped; nothing was kept" in message(dock)
    assert dock.classes.found is None
    assert not cancel.isVisible()
    assert dock.sizes.find_button.isEnabled()


def test_selections_are_sets_files_and_labels(dock, run, particles, qtbot, tmp_path, monkeypatch):
    single = particles.lists["single"]
    paths = (single, particles.lists["doublet"], tmp_path / "none.lst")
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", pick(*paths))
    press(dock, "load_lists", qtbot)
    assert "does not exist" in message(dock)
    names = [path.stem for path in paths[:2]]
    assert list(dock.selections.items) == names
    dock.selections.add_events("first", np.arange(7))
    numbers = {name: set(item.numbers.tolist()) for name, item in dock.selections.items.items()}
    overlap = dock.findChild(QTableWidget, "overlap")
    share = len(numbers[names[0]] & numbers["first"]) / len(numbers[names[0]] | numbers["first"])
    assert overlap.item(0, 2).text() == f"{100 * share:.0f}"
    assert overlap.item(0, 1).text() == "0"
    for name, expected in (
        ("union", numbers[names[0]] | numbers["first"]),
        ("intersection", numbers[names[0]] & numbers["first"]),
        ("difference", numbers[names[0]] - numbers["first"]),
    ):
        select(dock, names[0], "first")
        press(dock, name, qtbot)
        made = list(dock.selections.items.values())[-1]
        assert set(made.numbers.tolist()) == expected
    select(dock, *names)
    press(dock, "intersection", qtbot)
    assert "has no event" in message(dock)
    select(dock, names[0])
    press(dock, "union", qtbot)
    assert "two or more" in message(dock)
    # As a list.
    monkeypatch.setattr(QFileDialog, "getSaveFileName", save_as(tmp_path / "mine"))
    press(dock, "save_list", qtbot)
    written = {entry.event.event for entry in read_list(tmp_path / "mine.lst")}
    assert written == {f"//{n}" for n in numbers[names[0]]}
    # As labels, and back.
    run.go_to(N - 1)
    press(dock, "next_of_selection", qtbot)
    assert run.current == min(numbers[names[0]])
    dock.findChild(QLineEdit, "selection_class").setText("single")
    press(dock, "label_selection", qtbot)
    assert f"Labelled {len(numbers[names[0]])} single in" in message(dock)
    labels = [run.label_of(i) for i in range(N)]
    assert labels == ["single" if i in numbers[names[0]] else None for i in range(N)]
    press(dock, "withdraw_selection", qtbot)
    assert [run.label_of(i) for i in range(N)] == [None] * N
    select(dock, "first", names[1])
    press(dock, "label_selection", qtbot)
    assert "Select one" in message(dock)
    press(dock, "remove_selection", qtbot)
    assert "first" not in dock.selections.items


def test_another_run_has_none_of_the_events(dock, run, particles, open_run, simulated, qtbot):
    dock.selections.add_events("first", np.arange(3))
    press(dock, "find_sizes", qtbot)
    open_run(simulated.data, simulated.geometry)
    idle(dock, qtbot)
    assert dock.sizes.found is None
    assert not dock.sizes.results.isVisible()
    assert dock.findChild(QTableWidget, "selections").item(0, 1).text() == "3, 0 here"
    box = dock.findChild(QComboBox, "em_events")
    box.setCurrentIndex(box.findData("first"))
    press(dock, "find_classes", qtbot)
    assert "No event of the selection 'first'" in message(dock)


def test_nothing_open_and_no_geometry(make_dock, open_run, particles, qtbot):
    dock = make_dock()
    assert not dock.sizes.find_button.isEnabled()
    assert not dock.classes.find_button.isEnabled()
    open_run(particles.data)
    press(dock, "find_sizes", qtbot)
    assert "need a geometry" in message(dock)
    press(dock, "find_classes", qtbot)
    assert "geometry" in message(dock)
    dock.tabs.setCurrentWidget(dock.densities)
    qtbot.waitUntil(lambda: "geometry" in text(dock, "density_message"), timeout=WAIT)
    press(dock, "open_train", qtbot)
    assert "Plugins menu" in message(dock)


@pytest.fixture
def fake_map(monkeypatch):
    """Places on a line, event 2 without one."""
    module = ModuleType(spi_map.MODULE)
    module.run_features = lambda stack, progress: np.arange(len(stack))

    def embed(features, method):
        places = np.stack([features, features % 2], axis=1).astype(float)
        places[2] = np.nan
        return places

    module.embed_features = embed
    monkeypatch.setitem(sys.modules, spi_map.MODULE, module)
    monkeypatch.setattr(spi_map, "is_there", lambda: True)


def test_a_lasso_makes_a_selection(fake_map, make_dock, run, qtbot):
    dock = make_dock()
    tab = next(part for part in dock.parts if isinstance(part, spi_map.MapTab))
    press(dock, "make_map", qtbot)
    plot = tab.plot
    canvas = plot.figure.canvas
    qtbot.waitUntil(lambda: canvas.width() > 100, timeout=WAIT)
    canvas.draw()
    mouse = functools.partial(at, canvas, plot.figure.axes[0])
    corners = [(-0.5, -0.5), (4.5, -0.5), (4.5, 0.5), (-0.5, 0.5)]
    plot.figure.axes[0].set_xlim(-1, N)
    plot.figure.axes[0].set_ylim(-1, 2)
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=mouse(corners[0]))
    for corner in corners[1:]:
        qtbot.mouseMove(canvas, pos=mouse(corner))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=mouse(corners[-1]))
    assert np.flatnonzero(plot.inside).tolist() == [0, 4]  # 2 has no place
    assert "2 of 14 events" in text(dock, "map_count")
    press(dock, "keep_drawn", qtbot)
    assert dock.selections.items["drawn around"].numbers.tolist() == [0, 4]
    run.go_to(7)
    canvas.draw()
    axes = plot.figure.axes[0]
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=at(canvas, axes, (9, 1)))
    assert run.current == 9


def at(canvas, axes, place):
    """Where a point of the axes is on the canvas, for the mouse."""
    x, y = axes.transData.transform(place) / canvas.device_pixel_ratio
    return QPoint(round(x), round(canvas.height() - y))


def test_without_maps_there_is_no_tab(monkeypatch, make_dock, run):
    monkeypatch.setattr(spi_map, "is_there", lambda: False)
    dock = make_dock()
    assert "Map" not in [dock.tabs.tabText(k) for k in range(dock.tabs.count())]


def test_it_opens_from_the_menu_and_opens_others(make_napari_viewer, particles, qtbot):
    from napari_xfelsort.widgets.layers import Opened, run_layers
    from napari_xfelsort.widgets.runs import runs_of

    viewer = make_napari_viewer(show=True)
    opened = Opened((str(particles.data),), str(particles.geometry))
    stack = open_stack(str(particles.data), geometry=str(particles.geometry))
    runs_of(viewer).add(run_layers(stack, opened))
    outer, dock = viewer.window.add_plugin_dock_widget("napari-xfelsort", "SPI")
    assert isinstance(dock, SpiDock)
    viewer.window.resize(1366, 768)
    press(dock, "open_sort", qtbot)
    assert any("Sort events" in name for name in viewer.window.dock_widgets)
    assert dock.widget().minimumSizeHint().width() < 400
    viewer.window.remove_dock_widget(outer)
    viewer.layers.clear()
    runs_of(viewer).close()
