"""Editing masks by hand: what is drawn on the picture against pixels worked out one by one."""

from __future__ import annotations

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QSpinBox,
)
from scipy import ndimage
from superqt import QCollapsible

from napari_xfelsort.core.masks.exchange import read_mask_as, write_mask_as
from napari_xfelsort.core.masks.mask_file import read_mask
from napari_xfelsort.core.masks.settings import MaskReason, MaskSource
from napari_xfelsort.widgets.mask_dock import MaskDock
from napari_xfelsort.widgets.open_dock import OpenDock

WAIT = 60_000


@pytest.fixture
def dock(viewer, own_run, qtbot):
    made = MaskDock(viewer)
    qtbot.addWidget(made, before_close_func=lambda dock: dock.release())
    made.resize(360, 1200)
    made.show()
    made.show_page("Edit")
    return made


def click(dock, name, qtbot):
    widget = dock.findChild(QPushButton, name)
    assert widget.isVisible()
    assert widget.isEnabled()
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def done(dock, name, qtbot):
    click(dock, name, qtbot)
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)


def drag(layer, *places):
    """The mouse is pressed at the first of these places, moved, and let go at the last."""
    event = SimpleNamespace(
        type="mouse_press", button=1, modifiers=[], handled=False, dims_displayed=[1, 2]
    )
    generators = []
    for number, (row, column) in enumerate((*places, places[-1])):
        event.position, event.pos = (0.0, row, column), np.array([column, row])
        event.view_direction = None
        if number == 0:
            started = [callback(layer, event) for callback in layer.mouse_drag_callbacks]
            generators = [each for each in started if each is not None]
        else:
            event.type = "mouse_move" if number < len(places) else "mouse_release"
        for each in generators:
            next(each, None)


def centres(run):
    """Row and column of the picture at which each raw pixel has its centre."""
    geometry = run.stack.geometry
    x, y, _ = geometry.positions()
    return geometry.grid.rows(y), geometry.grid.columns(x)


def own_bad(run):
    return run.stack.mask.bad


def items(dock):
    listed = dock.findChild(QListWidget, "edits")
    return [listed.item(k).text() for k in range(listed.count())]


def test_a_dragged_rectangle_is_the_pixels_under_it(dock, own_run, qtbot):
    click(dock, "tool_rectangle", qtbot)
    layer = own_run.companions.layer("mask drawing")
    assert layer.mode == "add_rectangle"
    drag(layer, (30.2, 40.3), (50, 60), (90.7, 95.1))
    qtbot.waitUntil(lambda: len(dock.state.edits) == 1, timeout=WAIT)
    row, column = centres(own_run)
    inside = (row > 30.2) & (row < 90.7) & (column > 40.3) & (column < 95.1)
    assert inside.any()
    assert np.array_equal(dock.mask.bad, own_bad(own_run) | inside)
    assert np.array_equal(dock.mask.sources & MaskSource.USER != 0, inside & ~own_bad(own_run))
    shown = np.asarray(own_run.companions.layer("mask reasons").data)
    wanted = own_run.stack.geometry.assemble(dock.mask.reasons)
    assert np.array_equal(shown != 0, wanted != 0)
    assert len(layer.data) == 0  # ready for the next
    assert items(dock) == [f"rectangle   +{int((inside & ~own_bad(own_run)).sum()):,}"]


def test_an_erasing_ellipse_and_a_polygon(dock, own_run, qtbot):
    click(dock, "tool_polygon", qtbot)
    layer = own_run.companions.layer("mask drawing")
    layer.add_polygons([[20.5, 20.5], [20.5, 120.5], [120.5, 20.5]])
    qtbot.waitUntil(lambda: len(dock.state.edits) == 1, timeout=WAIT)
    row, column = centres(own_run)
    triangle = (row > 20.5) & (column > 20.5) & (row + column < 141)
    assert np.array_equal(dock.mask.bad, own_bad(own_run) | triangle)
    dock.findChild(QCheckBox, "erase").click()
    click(dock, "tool_ellipse", qtbot)
    layer = own_run.companions.layer("mask drawing")
    layer.add_ellipses([[30.3, 30.3], [30.3, 70.3], [90.3, 70.3], [90.3, 30.3]])
    qtbot.waitUntil(lambda: len(dock.state.edits) == 2, timeout=WAIT)
    ellipse = ((row - 60.3) / 30) ** 2 + ((column - 50.3) / 20) ** 2 < 1
    assert np.array_equal(dock.mask.bad, (own_bad(own_run) | triangle) & ~ellipse)
    assert items(dock)[1].startswith("erase ellipse   −")


def test_a_stroke_is_what_the_brush_went_over(dock, own_run, qtbot):
    dock.findChild(QSpinBox, "width").setValue(7)
    click(dock, "tool_paint", qtbot)
    layer = own_run.companions.layer("mask reasons")
    assert (layer.mode, layer.brush_size) == ("paint", 7)
    drag(layer, (60, 50), (60, 90))
    qtbot.waitUntil(lambda: len(dock.state.edits) == 1, timeout=WAIT)
    row, column = centres(own_run)
    away = np.hypot(row - 60, column - np.clip(column, 50, 90))
    found = dock.mask.bad & ~own_bad(own_run)
    assert not (found & (away > 3.6)).any()
    assert (dock.mask.bad | (away > 3.4) | np.isnan(away)).all()
    click(dock, "tool_paint", qtbot)  # put down
    assert not layer.editable


def test_strokes_follow_one_another(dock, own_run, qtbot):
    dock.findChild(QSpinBox, "width").setValue(9)
    click(dock, "tool_paint", qtbot)
    layer = own_run.companions.layer("mask reasons")
    row, column = centres(own_run)
    wanted, steps = own_bad(own_run).copy(), [own_bad(own_run)]
    for at in (40, 60, 80):
        drag(layer, (at, 50), (at, 70), (at, 90))
        n = len(steps)
        qtbot.waitUntil(lambda n=n: len(dock.state.edits) == n, timeout=WAIT)
        assert layer.mode == "paint"  # still in the user's hand
        wanted |= np.hypot(row - at, column - np.clip(column, 50, 90)) < 4.4
        assert (dock.mask.bad >= wanted).all()
        assert (dock.mask.bad >= steps[-1]).all()
        steps.append(dock.mask.bad.copy())
        shown = np.asarray(layer.data)
        assert np.array_equal(shown != 0, own_run.stack.geometry.assemble(dock.mask.bad))
    assert [text.split()[0] for text in items(dock)] == ["stroke"] * 3
    undo = layer.keymap[next(key for key in layer.keymap if str(key) == "Ctrl+Z")]
    for before in (steps[2], steps[1]):
        undo(layer)
        assert np.array_equal(dock.mask.bad, before)
        shown = np.asarray(layer.data)
        assert np.array_equal(shown != 0, own_run.stack.geometry.assemble(before))
    assert layer.mode == "paint"
    dock.findChild(QCheckBox, "erase").click()
    drag(layer, (40, 50), (40, 70), (40, 90))
    qtbot.waitUntil(lambda: len(dock.state.edits) == 4, timeout=WAIT)
    assert dock.mask.bad.sum() < steps[1].sum()
    assert layer.mode == "erase"


def test_what_is_erased_is_seen_to_be_good(dock, own_run, qtbot):
    own = own_run.companions.layer("mask")
    assert own.visible
    click(dock, "tool_paint", qtbot)
    assert not own.visible  # else it would shine through
    layer = own_run.companions.layer("mask reasons")
    layer.selected_label = 0  # painting with nothing erases
    bad = np.argwhere(own_run.stack.geometry.assemble(own_bad(own_run)))[0]
    drag(layer, tuple(bad), tuple(bad))
    qtbot.waitUntil(lambda: len(dock.state.edits) == 1, timeout=WAIT)
    assert layer.data[tuple(bad)] == 0
    assert dock.mask.bad.sum() < own_bad(own_run).sum()
    dock.release()
    assert own.visible


def test_painting_ends_a_comparison(dock, own_run, tmp_path, qtbot):
    np.save(tmp_path / "other.npy", np.ones(own_run.stack.raw_shape, np.uint8))
    compare = dock.look_page.compare
    compare.chooser.file.set_paths(str(tmp_path / "other.npy"))
    compare.chooser.convention.setCurrentIndex(compare.chooser.convention.findText("psana"))
    compare.start_button.click()
    qtbot.waitUntil(lambda: compare.compared is not None, timeout=WAIT)
    layer = own_run.companions.layer("mask reasons")
    assert not layer.visible
    click(dock, "tool_paint", qtbot)
    assert not compare.on
    assert (layer.visible, layer.mode) == (True, "paint")


def test_edits_are_undone_redone_left_out_and_removed(dock, own_run, qtbot):
    before = own_bad(own_run)
    click(dock, "tool_line", qtbot)
    layer = own_run.companions.layer("mask drawing")
    layer.add_lines([[40, 40], [40, 80]])
    qtbot.waitUntil(lambda: len(dock.state.edits) == 1, timeout=WAIT)
    line = dock.mask.bad
    dock.edit_page.findChild(QSpinBox, "steps").setValue(2)
    dock.edit_page._grow()
    grown = dock.mask.bad
    assert grown.sum() > line.sum() > before.sum()
    click(dock, "undo", qtbot)
    assert np.array_equal(dock.mask.bad, line)
    layer.keymap[next(key for key in layer.keymap if str(key) == "Ctrl+Z")](layer)
    assert np.array_equal(dock.mask.bad, before)
    click(dock, "redo", qtbot)
    click(dock, "redo", qtbot)
    assert np.array_equal(dock.mask.bad, grown)
    listed = dock.findChild(QListWidget, "edits")
    listed.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert items(dock)[0] == "line (left out)"
    without = dock.mask.bad
    listed.item(0).setCheckState(Qt.CheckState.Checked)
    assert np.array_equal(dock.mask.bad, grown)
    listed.setCurrentRow(0)
    click(dock, "remove", qtbot)
    assert np.array_equal(dock.mask.bad, without)
    click(dock, "clear", qtbot)
    assert np.array_equal(dock.mask.bad, before)
    assert not dock.findChild(QPushButton, "undo").isEnabled()


def test_thresholds_by_the_event_shown_and_by_the_mean(dock, own_run, qtbot):
    own_run.go_to(2)
    unfold(dock, "threshold", qtbot)
    qtbot.keyClicks(dock.findChild(QLineEdit, "threshold_low"), "40")
    panel = dock.edit_page.threshold
    click(dock, "threshold_apply", qtbot)
    qtbot.waitUntil(lambda: len(dock.state.edits) == 1, timeout=WAIT)
    assert np.array_equal(dock.mask.bad, own_bad(own_run) | (own_run.stack.raw(2) >= 40))
    box = dock.findChild(QComboBox, "threshold_image")
    box.setCurrentIndex(box.findText("mean of the run"))
    dock.findChild(QLineEdit, "threshold_low").setText("")
    dock.findChild(QLineEdit, "threshold_high").setText("3")
    dock.findChild(QCheckBox, "threshold_erase").click()
    before = dock.mask.bad
    qtbot.waitUntil(panel.apply_button.isEnabled, timeout=WAIT)
    click(dock, "threshold_apply", qtbot)
    qtbot.waitUntil(lambda: len(dock.state.edits) == 2, timeout=WAIT)
    mean = np.mean([own_run.stack.raw(k) for k in range(8)], axis=0)
    assert np.array_equal(dock.mask.bad, before & ~(mean <= 3))
    for text, words in (("x", "no number"), ("", "needs a lowest")):
        dock.findChild(QLineEdit, "threshold_high").setText(text)
        qtbot.waitUntil(panel.apply_button.isEnabled, timeout=WAIT)
        click(dock, "threshold_apply", qtbot)
        assert words in dock.message.text()


def unfold(dock, name, qtbot):
    """Click the head of a part of the page that is folded."""
    part = dock.edit_page.findChild(QCollapsible, name)
    qtbot.mouseClick(part.toggleButton(), Qt.MouseButton.LeftButton)
    assert part.isExpanded()
    inside = part.content().findChildren(QPushButton)
    # It unfolds in some steps; a button without height takes no click.
    qtbot.waitUntil(lambda: all(b.height() >= b.minimumSizeHint().height() for b in inside))


def square(dock, run, qtbot):
    """Mark a square on the picture; gives what is bad then."""
    click(dock, "tool_rectangle", qtbot)
    run.companions.layer("mask drawing").add_rectangles([[30, 40], [30, 60], [50, 60], [50, 40]])
    qtbot.waitUntil(lambda: len(dock.state.edits) == 1, timeout=WAIT)
    return dock.mask.bad.copy()


def test_grow_and_shrink_stop_at_panels(dock, own_run, qtbot):
    before = square(dock, own_run, qtbot)
    unfold(dock, "grow,_invert,_mirror", qtbot)
    dock.findChild(QSpinBox, "steps").setValue(2)
    dock.findChild(QCheckBox, "square").click()
    panels = [panel.raw_index for panel in own_run.stack.geometry.panels.values()]
    size = np.ones((5, 5), bool)
    click(dock, "grow", qtbot)
    wanted = before.copy()
    for panel in panels:
        wanted[panel] = ndimage.binary_dilation(before[panel], size)
    assert np.array_equal(dock.mask.bad, wanted)
    click(dock, "shrink", qtbot)
    for panel in panels:
        wanted[panel] = ndimage.binary_erosion(wanted[panel], size, border_value=1)
    assert np.array_equal(dock.mask.bad, wanted)
    assert [text.split("   ")[0] for text in items(dock)[1:]] == ["grow by 2", "shrink by 2"]
    click(dock, "undo", qtbot)
    click(dock, "undo", qtbot)
    assert np.array_equal(dock.mask.bad, before)


def test_the_whole_mask_is_inverted_and_mirrored(dock, own_run, qtbot):
    before = square(dock, own_run, qtbot)
    unfold(dock, "grow,_invert,_mirror", qtbot)
    click(dock, "mirror", qtbot)
    panels = [panel.raw_index for panel in own_run.stack.geometry.panels.values()]
    wanted = before.copy()
    for panel in panels:
        wanted[panel] |= before[panel][:, ::-1]
    assert np.array_equal(dock.mask.bad, wanted)
    click(dock, "invert", qtbot)
    inside = np.isfinite(centres(own_run)[0])
    assert np.array_equal(dock.mask.bad, np.where(inside, ~wanted, wanted))
    shown = np.asarray(own_run.companions.layer("mask reasons").data)
    assert np.array_equal(shown != 0, own_run.stack.geometry.assemble(dock.mask.bad))
    click(dock, "undo", qtbot)
    assert np.array_equal(dock.mask.bad, wanted)
    along = dock.findChild(QComboBox, "along")
    along.setFocus()
    qtbot.keyClick(along, Qt.Key.Key_Down)
    click(dock, "mirror", qtbot)
    for panel in panels:
        wanted[panel] |= wanted[panel][::-1]
    assert np.array_equal(dock.mask.bad, wanted)


def test_a_saved_mask_is_opened_and_its_edits_undone(dock, own_run, tmp_path, qtbot):
    click(dock, "tool_rectangle", qtbot)
    own_run.companions.layer("mask drawing").add_rectangles(
        [[30, 40], [30, 60], [50, 60], [50, 40]]
    )
    qtbot.waitUntil(lambda: len(dock.state.edits) == 1, timeout=WAIT)
    bad, before = dock.mask.bad, own_bad(own_run)
    dock.show_page("Files")
    dock.findChild(QLineEdit, "mask_file").setText(str(tmp_path / "mask.h5"))
    done(dock, "save", qtbot)
    stored = read_mask(tmp_path / "mask.h5")
    assert np.array_equal(stored.bad, bad)
    assert np.array_equal(stored.before_edits().bad, before)
    dock.state.forget()
    dock.findChild(QLineEdit, "read_file").setText(str(tmp_path / "mask.h5"))
    done(dock, "read", qtbot)
    assert np.array_equal(dock.mask.bad, bad)
    dock.show_page("Edit")
    click(dock, "undo", qtbot)
    assert np.array_equal(dock.mask.bad, before)


@pytest.mark.parametrize(
    ("name", "ending"), [("pyfai", ".edf"), ("psana", ".npy"), ("nxmx", ".nxs")]
)
def test_masks_of_other_programs_are_edited_and_exported(
    dock, own_run, tmp_path, qtbot, name, ending
):
    bad = np.zeros(own_run.stack.raw_shape, bool)
    bad[3, 4] = bad[100, 20] = True
    from napari_xfelsort.core.mask import PixelMask

    write_mask_as(PixelMask.from_bad(bad, MaskReason.GIVEN), tmp_path / f"a{ending}", name)
    dock.show_page("Files")
    dock.findChild(QLineEdit, "read_file").setText(str(tmp_path / f"a{ending}"))
    box = dock.findChild(QComboBox, "read_convention")
    box.setCurrentIndex(box.findText(name))
    done(dock, "read", qtbot)
    assert np.array_equal(dock.mask.bad, bad)
    dock.edit_page._grow()
    dock.findChild(QLineEdit, "export_file").setText(str(tmp_path / f"b{ending}"))
    box = dock.findChild(QComboBox, "export_convention")
    box.setCurrentIndex(box.findText(name))
    done(dock, "export", qtbot)
    assert np.array_equal(read_mask_as(tmp_path / f"b{ending}", name).bad, dock.mask.bad)
    assert dock.mask.n_bad > 2


def test_lines_for_crystfel_are_copied(dock, tmp_path, qtbot):
    from qtpy.QtWidgets import QApplication

    dock.edit_page._grow()
    dock.show_page("Files")
    dock.findChild(QLineEdit, "export_file").setText(str(tmp_path / "c.h5"))
    done(dock, "export", qtbot)
    click(dock, "copy_lines", qtbot)
    text = QApplication.clipboard().text()
    assert f"mask0_file = {tmp_path / 'c.h5'}" in text or "mask1_file" in text
    assert "badbits = 0xff" in text


def test_a_file_that_is_no_mask_is_told(dock, tmp_path, qtbot):
    dock.show_page("Files")
    done(dock, "read", qtbot)
    assert "Choose a mask file" in dock.message.text()
    (tmp_path / "no.h5").write_text("no")
    dock.findChild(QLineEdit, "read_file").setText(str(tmp_path / "no.h5"))
    done(dock, "read", qtbot)
    assert "no.h5" in dock.message.text()
    with h5py.File(tmp_path / "small.h5", "w") as file:
        file["/entry_1/data_1/mask"] = np.zeros((3, 4), np.uint8)
    dock.findChild(QLineEdit, "read_file").setText(str(tmp_path / "small.h5"))
    done(dock, "read", qtbot)
    assert "(3, 4)" in dock.message.text()
    assert dock.mask is None


def test_masks_are_compared(dock, own_run, tmp_path, qtbot):
    bad = own_bad(own_run).copy()
    bad[3, 4] = bad[100, 20] = True
    first = tuple(np.argwhere(own_bad(own_run))[0]) if own_bad(own_run).any() else None
    if first is not None:
        bad[first] = False
    np.save(tmp_path / "other.npy", (~bad).astype(np.uint8))
    dock.show_page("Look")
    compare = dock.look_page.compare
    compare.chooser.file.set_paths(str(tmp_path / "other.npy"))
    compare.chooser.convention.setCurrentIndex(compare.chooser.convention.findText("psana"))
    compare.start_button.click()
    qtbot.waitUntil(lambda: compare.compared is not None, timeout=WAIT)
    own = own_bad(own_run)
    counts = {
        "added": (own & ~bad).sum(),
        "removed": (bad & ~own).sum(),
        "agree": (own & bad).sum(),
    }
    for name, n in counts.items():
        assert dock.findChild(QLabel, f"compared_{name}").text() == f"{n:,}"
    geometry = own_run.stack.geometry
    wanted = geometry.assemble(own.astype(np.uint8) + 2 * bad.astype(np.uint8))
    assert np.array_equal(own_run.companions.layer("compared masks").data, wanted)
    assert not own_run.companions.layer("mask reasons").visible
    dock.edit_page._invert()  # it follows edits
    assert compare.compared.agree == (dock.mask.bad & bad).sum()
    compare.stop_button.click()
    assert own_run.companions.layer("compared masks") is None
    assert own_run.companions.layer("mask reasons").visible


def test_a_used_mask_stays_when_the_run_is_opened_again(dock, viewer, own_run, tmp_path, qtbot):
    dock.edit_page._grow()
    other = OpenDock(viewer)
    qtbot.addWidget(other, before_close_func=lambda dock: dock.release())
    dock.show_page("Files")
    dock.findChild(QLineEdit, "mask_file").setText(str(tmp_path / "mask.h5"))
    done(dock, "use", qtbot)
    bad = dock.mask.bad
    assert np.array_equal(own_run.stack.mask.bad, bad)
    with qtbot.waitSignal(own_run_changed(own_run), timeout=WAIT):
        other.apply()
    qtbot.waitUntil(lambda: other.job is None, timeout=WAIT)
    assert own_run.opened.mask == str(tmp_path / "mask.h5")
    assert np.array_equal(own_run.stack.mask.bad, bad)
    assert np.array_equal(dock.mask.bad, bad)  # and can be edited on


def own_run_changed(run):
    """The run's signal as one that qtbot can wait for."""
    from qtpy.QtCore import QObject, Signal

    class Told(QObject):
        changed = Signal()

        def tell(self):
            self.changed.emit()

    told = Told()
    run.changed.connect(told.tell)
    own_run_changed.kept = told
    return told.changed


def test_closing_leaves_nothing_behind(dock, viewer, own_run, qtbot):
    before = [layer.name for layer in viewer.layers]
    callbacks = len(viewer.mouse_drag_callbacks)
    click(dock, "tool_paint", qtbot)
    click(dock, "tool_rectangle", qtbot)
    assert own_run.companions.layer("mask drawing") is not None
    dock.release()
    assert [layer.name for layer in viewer.layers] == [
        name for name in before if not name.startswith("bad pixels")
    ]
    assert len(viewer.mouse_drag_callbacks) == callbacks - 1
