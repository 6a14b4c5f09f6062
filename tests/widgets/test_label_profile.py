"""Labels by hand and by profile while another panel is clicked: each stays on its event."""

from __future__ import annotations

import numpy as np
import pytest
from label_user import canvas_of, settled
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QMessageBox, QPushButton

from napari_window import PLUGIN, click_picture
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.core.profiles import Profiler, ProfileSettings, labels_of
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets.layers import Opened, run_layers
from napari_xfelsort.widgets.runs import runs_of

WAIT = 60_000
FIRST, SECOND = "p5a0", "p1a0"


class Person:
    """Somebody with the Label dock and the Profile dock of one window."""

    def __init__(self, viewer, qtbot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.run = runs_of(viewer).active
        self.labels = self.dock("Label events")
        self.profile = self.dock("Fit profiles")

    def dock(self, name: str):
        return self.viewer.window.add_plugin_dock_widget(PLUGIN, name)[1]

    def settle(self) -> None:
        settled(self.labels, self.qtbot)
        self.qtbot.waitUntil(
            lambda: self.profile.job is None and not self.profile.live.busy, timeout=WAIT
        )

    def press(self, *keys: Qt.Key) -> None:
        for key in keys:
            self.settle()
            self.qtbot.keyClick(canvas_of(self.labels), key)

    def click(self, dock, name: str) -> None:
        self.settle()
        button = dock.findChild(QPushButton, name)
        assert button.isEnabled(), name
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        self.settle()

    def click_panel(self, name: str) -> None:
        self.click(self.profile, "region_pick")
        corners = self.run.stack.geometry.outlines()[name]
        click_picture(self.viewer, *corners.mean(axis=0))
        self.settle()

    def reads(self, name: str) -> str:
        return self.profile.findChild(QLabel, name).text()

    @property
    def panels(self) -> str:
        return self.profile.findChild(QLineEdit, "region_panels").text()

    def kept(self) -> list[str | None]:
        """Labels on disk, beside the events."""
        return LabelStore(self.run.labels.folder, "reader").aligned(self.run.stack)


@pytest.fixture
def person(make_napari_viewer, simulated, tmp_path, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    stack = open_stack(str(simulated.data), geometry=str(simulated.geometry))
    opened = Opened((str(simulated.data),), str(simulated.geometry))
    run = runs_of(viewer).add(run_layers(stack, opened))
    run.use_labels(LabelStore(tmp_path / "labels", "me"))
    made = Person(viewer, qtbot)
    yield made
    made.settle()
    viewer.layers.clear()
    runs_of(viewer).close()


def by_core(run, panel: str, ranges) -> list[str | None]:
    """Labels of every event by the same ranges, made of its own profiles alone."""
    profiler = Profiler(run.stack, f"panel:{panel}", ProfileSettings(axis="ss"))
    labels: list[str | None] = []
    for i in range(len(run)):
        points = profiler.event(i).inflections
        if not len(points):
            labels.append(None)
            continue
        within = [any(low <= x <= high for x in points) for low, high in ranges]
        labels.append("good" if all(within) else "bad")
    return labels


def test_another_panel_is_clicked_while_one_labels(person, qtbot, tmp_path, monkeypatch):
    run, dock = person.run, person.profile
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    way = dock.findChild(QComboBox, "region_way")
    way.setCurrentIndex(way.findData("panels"))
    dock.findChild(QComboBox, "axis").setCurrentText("ss")
    person.click_panel(FIRST)
    assert person.panels == FIRST
    person.click(dock, "fit")
    first_ranges = dock.ranges.ranges
    person.press(Qt.Key.Key_W, Qt.Key.Key_G, Qt.Key.Key_W)  # events 0 to 2 by hand
    by_hand = ["bad", "good", "bad"]
    person.click(dock, "apply")
    first = by_core(run, FIRST, first_ranges)
    assert {"good", "bad"} <= set(first[3:])
    assert person.kept() == by_hand + first[3:]

    # Another panel is clicked, and the first one taken away; keys go on labelling.
    run.go_to(3)
    person.click_panel(SECOND)
    person.click_panel(FIRST)
    assert person.panels == SECOND
    assert person.reads("fitted").startswith(f"panel:{FIRST} along ss")
    assert "fit again" in person.reads("fitted")
    assert dock.ranges.ranges == first_ranges  # of the fits that are there
    person.press(Qt.Key.Key_0)
    by_hand.append("ignore")
    assert run.current == 4
    assert person.kept() == by_hand + first[4:]
    person.click(dock, "apply")  # once more, of the first panel, as it says
    assert person.kept() == by_hand + first[4:]

    # Fitted anew there are other ranges, and the labels are those of the other panel.
    person.click(dock, "fit")
    assert "fit again" not in person.reads("fitted")
    second_ranges = dock.ranges.ranges
    assert not any(
        low <= np.mean(other) <= high for low, high in first_ranges for other in second_ranges
    )
    person.click(dock, "apply")
    second = by_core(run, SECOND, second_ranges)
    assert second[4:] != first[4:]
    assert person.kept() == by_hand + second[4:]

    # In the lists each event is once, and in one of them.
    for _ in range(2):
        person.click(person.labels, "write_lists")
    for name in ("good", "bad"):
        listed = [entry.event.event for entry in read_list(tmp_path / "labels" / f"{name}.lst")]
        wanted = [i for i, label in enumerate(person.kept()) if label == name]
        assert listed == [run.stack.event_id(i).event for i in wanted]


def test_ranges_of_the_old_panel_are_not_used_for_the_new_one(person, qtbot):
    """What PADT did: fences of one panel for the points of another, nearly all bad."""
    run, dock = person.run, person.profile
    dock.region.set_region(dock.region.region().from_panels([FIRST]))
    dock.findChild(QComboBox, "axis").setCurrentText("ss")
    person.click(dock, "fit")
    table, ranges = dock.table, dock.ranges.ranges
    dock.findChild(QLineEdit, "region_panels").setText(SECOND)
    mixed = by_core(run, SECOND, ranges)
    assert mixed.count("good") == 0
    person.click(dock, "apply")
    wanted = labels_of(table, ranges, "inside").tolist()
    assert person.kept() == [None if label == "undecided" else label for label in wanted]
    assert person.kept().count("good") > len(run) / 2
