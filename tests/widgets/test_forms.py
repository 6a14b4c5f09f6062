"""Forms made from settings: what is typed is what the settings object holds."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QWidget,
)
from superqt import QCollapsible

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.simulate.settings import DetectorSimulationSettings
from napari_xfelsort.core.sorting.options import SortSettings
from napari_xfelsort.core.train_settings import THRESHOLD_RULES, TrainSettings
from napari_xfelsort.widgets.forms import SettingsForm, file_to_write, tooltip


@dataclass(frozen=True)
class Example(Settings):
    """One setting of each kind."""

    count: int = setting(3, "how many", unit="events", minimum=1, maximum=10)
    depth: int | None = setting(None, "depth; unlimited when not given", minimum=1)
    length: float = setting(1e-4, "pixel size", unit="m", minimum=0)
    limit: float | None = setting(None, "a limit")
    rule: str | float = setting("default", "a word or a number")
    way: str = setting("left_turn", "which way", choices=("left_turn", "right_turn"))
    name: str = setting("x", "a name")
    on: bool = setting(True, "whether")
    sizes: tuple[float, ...] = setting((1.0, 2.5), "sizes")


@dataclass(frozen=True)
class Odd(Settings):
    """One that no form can be made for."""

    table: dict[str, int] | None = setting(None, "a table")  # noqa: RUF009


@pytest.fixture
def form(qtbot):
    made = SettingsForm(Example)
    qtbot.addWidget(made)
    made.show()
    return made


def put(form, name, text):
    line = form.findChild(QLineEdit, name)
    line.setText(text)


@pytest.mark.parametrize(
    "kind", [Example, TrainSettings, SortSettings, DetectorSimulationSettings]
)
def test_a_new_form_holds_the_defaults(qtbot, kind):
    form = SettingsForm(kind)
    qtbot.addWidget(form)
    assert form.settings() == kind()


@pytest.mark.parametrize(
    "given",
    [
        Example(count=10, depth=7, length=1.23456789e-7, limit=-0.1, rule=0.123456789012345),
        Example(rule="max_f1", way="right_turn", name="", on=False, sizes=()),
        Example(length=0.1 + 0.2, limit=0.0, sizes=(1e-300, 3.0)),
        Example(depth=2**53),
    ],
)
def test_any_settings_can_be_shown_and_read_back_exactly(form, given):
    form.set_settings(given)
    assert form.settings() == given
    form.reset()
    assert form.settings() == Example()


def test_seeds_above_31_bits_fit(qtbot):
    form = SettingsForm(TrainSettings)
    qtbot.addWidget(form)
    given = TrainSettings(seed=2**32 - 1, threshold=0.25)
    form.set_settings(given)
    assert form.settings() == given


def test_what_is_typed_and_clicked_is_in_the_settings(form, qtbot):
    put(form, "length", " 2e-3 ")
    put(form, "rule", "0.75")
    put(form, "sizes", "3, 4.5,")
    put(form, "limit", "")
    form.findChild(QComboBox, "way").setCurrentText("right turn")
    qtbot.mouseClick(form.findChild(QCheckBox, "on"), Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    spin = form.findChild(QWidget, "count")
    spin.setFocus()
    qtbot.keyClick(spin, Qt.Key.Key_Up)
    expected = Example(
        length=0.002, rule=0.75, sizes=(3.0, 4.5), way="right_turn", on=False, count=4
    )
    assert form.settings() == expected


def test_an_optional_number_is_given_once_its_box_is_unticked(form, qtbot):
    none, spin = form.findChild(QCheckBox, "depth_none"), form.findChild(QWidget, "depth")
    assert none.isChecked()
    assert none.text() == "unlimited"
    assert not spin.isEnabled()
    none.click()
    assert spin.isEnabled()
    assert form.settings().depth == 1
    none.click()
    assert form.settings().depth is None


def test_ranges_of_spin_boxes_are_those_of_the_settings(form):
    spin = form.findChild(QWidget, "count")
    assert (spin.minimum(), spin.maximum()) == (1, 10)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("length", "wide", "length is 'wide' but must be a number"),
        ("length", "", "length is ''"),
        ("length", "-1", "at least 0"),
        ("length", "nan", "at least 0"),
        ("sizes", "1, x", "sizes is 'x'"),
    ],
)
def test_wrong_input_is_told_at_once_in_one_sentence(form, name, text, says):
    put(form, name, text)
    with pytest.raises(SettingsError, match="but must be"):
        form.settings()
    assert says in form.message.text()
    assert form.message.isVisible()
    put(form, name, "1")
    assert not form.message.isVisible()


def test_a_change_is_told(form, qtbot):
    with qtbot.waitSignal(form.changed):
        put(form, "name", "other")


def test_help_unit_range_and_default_are_in_the_tooltips(form):
    tip = form.findChild(QWidget, "count").toolTip()
    assert tip == "How many (events). From 1 to 10. Default: 3."
    fields = Example.__dataclass_fields__
    assert tooltip(fields["on"]) == "Whether. Default: yes."
    assert tooltip(fields["depth"]) == "Depth; unlimited when not given. At least 1."
    for name in form.inputs:
        assert form.findChild(QWidget, name).toolTip()
    labels = {label.text() for label in form.findChildren(QLabel)}
    assert {"count", "length", "sizes"} <= labels


def test_the_first_are_shown_and_the_rest_are_behind_more(qtbot):
    form = SettingsForm(Example, first=("way", "count"), leave_out=("name",))
    qtbot.addWidget(form)
    form.show()
    more = form.findChild(QCollapsible, "settings_more")
    hidden = {name for name, made in form.inputs.items() if more.isAncestorOf(made)}
    assert hidden == set(form.inputs) - {"way", "count"}
    assert "name" not in form.inputs
    assert more.content().height() == 0
    qtbot.mouseClick(more.toggleButton(), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: more.content().height() > 100)


def test_settings_left_out_keep_what_was_set(qtbot):
    form = SettingsForm(Example, leave_out=("name",))
    qtbot.addWidget(form)
    form.set_settings(Example(name="kept"))
    put(form, "length", "5")
    assert form.settings() == Example(name="kept", length=5.0)
    form.reset()
    assert form.settings().name == "x"


def test_words_are_offered_and_others_can_be_typed(qtbot):
    form = SettingsForm(TrainSettings, offers={"threshold": THRESHOLD_RULES})
    qtbot.addWidget(form)
    box = form.findChild(QComboBox, "threshold")
    assert [box.itemText(k) for k in range(box.count())] == list(THRESHOLD_RULES)
    box.setCurrentText("0.8")
    assert form.settings().threshold == 0.8
    box.setCurrentText("1.5")
    with pytest.raises(SettingsError, match="between 0 and 1"):
        form.settings()


def test_the_wheel_scrolls_the_dock_rather_than_change_a_value(form):
    spin = form.findChild(QWidget, "count")
    form.findChild(QLineEdit, "name").setFocus()
    turn = QWheelEvent(
        QPointF(5, 5),
        QPointF(spin.mapToGlobal(QPoint(5, 5))),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(spin, turn)
    assert form.settings().count == 3


def click(form, name, qtbot):
    qtbot.mouseClick(form.findChild(QPushButton, name), Qt.MouseButton.LeftButton)


def choose(monkeypatch, path, dialog="getSaveFileName"):
    monkeypatch.setattr(QFileDialog, dialog, lambda *_, **__: (str(path), ""))


def test_saved_settings_are_read_by_the_library_and_loaded_again(
    form, qtbot, monkeypatch, tmp_path
):
    put(form, "length", "0.25")
    choose(monkeypatch, tmp_path / "mine")
    click(form, "settings_save", qtbot)
    read = Example.from_toml(tmp_path / "mine.toml")
    assert read.to_dict() == Example(length=0.25).to_dict()
    form.reset()
    choose(monkeypatch, tmp_path / "mine.toml", "getOpenFileName")
    click(form, "settings_load", qtbot)
    assert form.settings() == Example(length=0.25)
    click(form, "settings_reset", qtbot)
    assert form.settings() == Example()


@pytest.mark.parametrize("yes", [True, False])
def test_a_file_is_replaced_only_if_asked_for(form, qtbot, monkeypatch, tmp_path, yes):
    path = tmp_path / "mine.toml"
    path.write_text("old")
    choose(monkeypatch, path)
    buttons = QMessageBox.StandardButton
    monkeypatch.setattr(
        QMessageBox, "question", lambda *_, **__: buttons.Yes if yes else buttons.No
    )
    click(form, "settings_save", qtbot)
    assert (path.read_text() != "old") is yes


def test_a_dialog_that_is_cancelled_changes_nothing(form, qtbot, monkeypatch, tmp_path):
    put(form, "name", "kept")
    choose(monkeypatch, "")
    choose(monkeypatch, "", "getOpenFileName")
    click(form, "settings_save", qtbot)
    click(form, "settings_load", qtbot)
    assert form.settings().name == "kept"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "says"),
    [("count = 11", "at most 10"), ("colour = 1", "Unknown setting"), ("]", "cannot be read")],
)
def test_a_bad_file_is_told_and_changes_nothing(form, qtbot, monkeypatch, tmp_path, text, says):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    choose(monkeypatch, path, "getOpenFileName")
    click(form, "settings_load", qtbot)
    assert says in form.message.text()
    assert "bad.toml" in form.message.text()
    assert form.settings() == Example()


def test_settings_that_are_wrong_are_not_saved(form, qtbot, monkeypatch, tmp_path):
    put(form, "length", "x")
    choose(monkeypatch, tmp_path / "mine.toml")
    click(form, "settings_save", qtbot)
    assert not list(tmp_path.iterdir())
    assert "length" in form.message.text()


def test_a_folder_that_is_not_there_is_told(form, qtbot, monkeypatch, tmp_path):
    choose(monkeypatch, tmp_path / "none" / "mine.toml")
    click(form, "settings_save", qtbot)
    assert "mine.toml" in form.message.text()
    assert form.message.isVisible()


def test_types_without_an_input_are_refused(qtbot):
    with pytest.raises(TypeError, match="no input"):
        SettingsForm(Odd)


def test_a_file_to_write_is_named_in_full_and_replaced_only_after_asking(
    qtbot, tmp_path, monkeypatch
):
    parent = QWidget()
    qtbot.addWidget(parent)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    asked = []

    def answer(_parent, _title, sentence, *_):
        asked.append(sentence)
        return replies.pop(0)

    monkeypatch.setattr(QMessageBox, "question", answer)
    assert file_to_write(parent, "~/t", ".csv") == (str(tmp_path / "t.csv"), False)
    assert file_to_write(parent, "~/T.CSV", ".csv") == (str(tmp_path / "T.CSV"), False)
    assert not asked
    (tmp_path / "t.csv").write_text("mine")
    replies = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    assert file_to_write(parent, "~/t", ".csv") is None
    assert file_to_write(parent, str(tmp_path / "t.csv")) == (str(tmp_path / "t.csv"), True)
    assert asked == [f"t.csv exists already in {tmp_path}. Replace it?"] * 2
