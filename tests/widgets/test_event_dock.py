"""The Event table dock: filters, following the slider, and settling disagreements."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from label_user import labels_on_disk
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QPushButton

from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_tally import LabelTally
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.widgets import event_dock
from napari_xfelsort.widgets.event_dock import EventTableDock
from napari_xfelsort.widgets.event_table import EventFilter, EventRows, EventTableModel


class Reader:
    """What a person does with the table."""

    def __init__(self, dock: EventTableDock, qtbot) -> None:
        self.dock, self.qtbot = dock, qtbot

    def choose(self, name: str, text: str) -> None:
        self.settle_down()
        combo = self.dock.findChild(QComboBox, name)
        assert combo.findText(text) >= 0, [combo.itemText(k) for k in range(combo.count())]
        combo.setCurrentText(text)

    def click(self, name: str) -> None:
        self.settle_down()
        found = self.dock.findChild(QPushButton, name)
        self.qtbot.mouseClick(found, Qt.MouseButton.LeftButton)

    def reads(self, name: str) -> str:
        self.settle_down()
        return self.dock.findChild(QLabel, name).text()

    def settle_down(self) -> None:
        self.qtbot.waitUntil(lambda: not self.dock.is_comparing, timeout=30_000)

    @property
    def numbers(self) -> list[int]:
        self.settle_down()
        model = self.dock.model
        return [int(model.index(k, 0).data()) for k in range(model.rowCount())]

    def line(self, k: int) -> list[str]:
        return [self.dock.model.index(k, column).data() for column in range(5)]


@pytest.fixture
def reader(viewer, qtbot):
    dock = EventTableDock(viewer)
    qtbot.addWidget(dock)
    yield Reader(dock, qtbot)
    dock.release()


@pytest.fixture
def two(own_run):
    """Labels of two: they agree on 0 and 1, not on 2 and 3; 4 is one's alone."""
    folder = own_run.suggested_labels()
    ids = [own_run.stack.event_id(i) for i in range(8)]
    ann, bob = LabelStore(folder, "ann"), LabelStore(folder, "bob")
    ann.set_many(zip(ids, ["good", "bad", "good", "good"], strict=False))
    bob.set_many(zip(ids, ["good", "bad", "bad", "bad", "good"], strict=False))
    own_run.use_labels(LabelStore(folder, "cleo"))
    return own_run


def test_nothing_open(reader):
    assert reader.numbers == []
    reader.click("next_disagreement")
    reader.dock.settle()
    assert reader.dock.message.text() == "There are no labels to settle."


def test_lines_and_filters(two, reader):
    assert reader.numbers == list(range(8))
    assert reader.line(4) == ["4", "run0001.cxi //4", "good", "bob", "hand"]
    assert reader.line(7) == ["7", "run0001.cxi //7", "", "", ""]
    reader.choose("filter_label", "no label")
    assert reader.numbers == [5, 6, 7]
    reader.choose("filter_label", "bad")
    assert reader.numbers == [1, 2, 3]
    reader.choose("filter_label", "ignore")
    assert reader.numbers == []
    reader.choose("filter_label", "any label")
    reader.choose("filter_labeller", "ann")
    assert reader.numbers == [0, 1, 2, 3]
    reader.choose("filter_label", "good")
    assert reader.numbers == [0]
    assert reader.reads("listed") == "1 of 8 events listed"
    reader.choose("filter_label", "any label")
    reader.choose("filter_labeller", "any labeller")
    reader.dock.findChild(QCheckBox, "filter_disagreement").setChecked(True)
    assert reader.numbers == [2, 3]


def test_files(open_run, simulated, simulated_second, viewer, reader, tmp_path):
    lst = tmp_path / "both.lst"
    lst.write_text(f"{simulated.data} //0\n{simulated_second.data} //5\n{simulated.data} //2\n")
    run = open_run(lst)
    run.use_labels(LabelStore(tmp_path / "labels", "me"))
    run.set_label(1, "good")
    reader.settle_down()
    reader.choose("filter_file", f"{simulated.data.name}: 0 of 2 labelled")
    assert reader.numbers == [0, 2]
    offered = [reader.dock.file.itemText(k) for k in range(reader.dock.file.count())]
    assert f"{simulated_second.data.name}: 1 of 1 labelled (good: 1)" in offered
    run.set_label(2, "bad")  # its counts change, and it stays chosen
    reader.settle_down()
    assert reader.dock.file.currentText() == f"{simulated.data.name}: 1 of 2 labelled (bad: 1)"
    assert reader.numbers == [0, 2]


def test_double_click_and_slider(two, reader, qtbot):
    reader.dock.show()
    reader.dock.view.doubleClicked.emit(reader.dock.model.index(5, 2))
    assert two.current == 5
    two.go_to(3)
    assert reader.dock.view.currentIndex().row() == 3
    reader.choose("filter_label", "no label")
    two.go_to(6)
    assert reader.dock.view.currentIndex().row() == 1


def test_labels_update_without_reset(two, reader):
    resets = []
    reader.dock.model.modelReset.connect(lambda: resets.append(1))
    reader.choose("filter_label", "no label")
    resets.clear()
    two.set_label(6, "good")
    reader.settle_down()
    assert reader.numbers == [5, 7]
    two.undo()
    reader.settle_down()
    assert (reader.numbers, resets) == ([5, 6, 7], [])


def test_several_classes(two, reader):
    two.set_label(5, "bad|good")
    reader.settle_down()
    assert reader.line(5)[2] == "bad + good"
    reader.choose("filter_label", "good")
    assert reader.numbers == [0, 4, 5]


def test_agreement_by_hand(two, reader):
    # 4 events of both: 2 agree; ann 3 good 1 bad, bob 1 good 3 bad: chance 6/16
    # kappa = (0.5 - 0.375) / (1 - 0.375) = 0.2
    assert reader.reads("agreement") == (
        "2 disagreements to settle in this run.\nann and bob: Cohen's kappa 0.20, 2 of 4 agree"
    )


def test_settle(two, reader):
    reader.click("next_disagreement")
    assert two.current == 2
    assert reader.reads("opinions") == "Event 2: ann: good, bob: bad"
    reader.choose("settle_label", "good")
    reader.click("settle")
    assert reader.dock.message.text() == "Event 2 is settled as good."
    assert labels_on_disk(two)["//2"] == "good"
    assert reader.reads("agreement").startswith("1 disagreement to settle")
    assert reader.reads("opinions") == "Event 2: ann: good, bob: bad; settled: good"
    reader.click("next_disagreement")
    assert two.current == 3
    reader.click("next_disagreement")
    assert reader.dock.message.text() == "This is the only disagreement left."
    reader.click("settle")
    reader.click("next_disagreement")
    assert reader.dock.message.text().startswith("Labellers agree")
    two.go_to(0)
    reader.click("settle")
    assert reader.dock.message.text() == "Labellers do not disagree on event 0."
    two.undo()  # settling can be undone as labels can
    reader.settle_down()
    assert reader.reads("agreement").startswith("1 disagreement to settle")


def test_labels_change_while_labellers_are_compared(two, reader, qtbot, monkeypatch):
    reader.settle_down()
    begun, may_end = threading.Event(), threading.Event()
    made = event_dock.comparing

    def slow(store, stack):
        work = made(store, stack)

        def wait(report):
            begun.set()
            assert may_end.wait(120)
            return work(report)

        return wait

    monkeypatch.setattr(event_dock, "comparing", slow)
    ids = [two.stack.event_id(i) for i in (2, 4)]
    two.history.set(ids[0], "good", "settled")  # leaves one disagreement
    two.note_labels(ids[:1])
    assert reader.dock.agreement.text() == "Comparing labellers …"
    qtbot.waitUntil(begun.is_set, timeout=30_000)
    reader.dock.next_disagreement()
    assert reader.dock.message.text().startswith("Wait a moment")
    two.history.set(ids[1], "bad")  # and now another opens, of cleo's against bob's
    two.note_labels(ids[1:])
    may_end.set()
    monkeypatch.undo()
    reader.dock.disputed.setChecked(True)
    assert reader.numbers == [3, 4]
    assert reader.reads("agreement").startswith("2 disagreements to settle")


def test_labels_of_a_moved_folder_are_found_by_filters(
    open_run, own, reader, tmp_path, monkeypatch
):
    folder = own.data.parent
    monkeypatch.chdir(folder.parent)
    name = f"{folder.name}/{own.data.name}"
    ids = [EventId(name, f"//{i}") for i in range(4)]
    LabelStore(folder / "labels", "ann").set_many(
        zip(ids, ["good", "bad", "bad", "good"], strict=False)
    )
    (tmp_path / "elsewhere").mkdir()
    folder.rename(tmp_path / "elsewhere" / folder.name)
    data = tmp_path / "elsewhere" / name
    run = open_run(data)
    labels = data.parent / "labels"
    LabelStore(labels, "bob").set_many((run.stack.event_id(i), "bad") for i in range(1, 4))
    run.use_labels(LabelStore(labels, "cleo"))
    reader.choose("filter_labeller", "ann")
    assert reader.numbers == [0, 1, 2, 3]
    assert reader.line(0)[2:] == ["good", "ann", "hand"]
    reader.choose("filter_labeller", "bob")
    assert reader.numbers == [1, 2, 3]
    reader.choose("filter_labeller", "any labeller")
    reader.dock.disputed.setChecked(True)
    assert reader.numbers == [3]
    assert "2 of 3 agree" in reader.reads("agreement")
    reader.click("next_disagreement")
    assert reader.reads("opinions") == "Event 3: ann: good, bob: bad"
    reader.click("settle")
    assert reader.numbers == []


def test_one_labeller(own_run, reader, tmp_path):
    own_run.use_labels(LabelStore(own_run.suggested_labels(), "me"))
    own_run.set_label(0, "good")
    reader.settle_down()
    assert reader.reads("agreement") == "Labellers are compared when there are two of them."
    assert not reader.dock.next_button.isEnabled()


def test_nothing_is_left_when_released(two, reader):
    reader.dock.release()
    two.set_label(5, "good")
    two.go_to(4)
    assert reader.numbers == []


def test_another_run(two, reader, open_run, simulated_second):
    second = open_run(simulated_second.data)
    assert reader.numbers == list(range(30))
    second.go_to(7)
    assert reader.dock.view.currentIndex().row() == 7


class Many:
    """As much of a run as filters ask."""

    labels = None

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    @property
    def tally(self) -> LabelTally:
        return LabelTally([(None, "good", "bad|ice")[i % 3] for i in range(self.n)])


def test_filters_and_model_of_a_long_run():
    run = Many(100_000)
    rows = EventRows(run)
    found = rows.rows(EventFilter(label="ice"))
    np.testing.assert_array_equal(found, np.arange(2, 100_000, 3))
    model = EventTableModel()
    model.show_run(run, rows.rows(EventFilter()))
    assert model.rowCount() == 100_000
    assert model.row_of(99_999) == 99_999
    model.set_rows(np.delete(model.rows, 5))
    assert (model.row_of(5), model.row_of(6)) == (None, 5)


def test_in_a_window_a_real_double_click_goes_there_and_nothing_is_left(window, qtbot):
    viewer, run, _ = window
    dock = EventTableDock(viewer)
    viewer.window.add_dock_widget(dock, name="Event table", area="right", tabify=False)
    qtbot.waitUntil(dock.view.isVisible)
    place = dock.view.visualRect(dock.model.index(3, 1)).center()
    for click in (qtbot.mouseClick, qtbot.mouseDClick):
        click(dock.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert run.current == 3
    viewer.window.remove_dock_widget(dock)
    gone = weakref.ref(dock)
    del dock
    run.go_to(1)
    qtbot.wait(50)
    gc.collect()
    assert gone() is None
