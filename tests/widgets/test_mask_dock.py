"""The Mask dock against masks made without a screen, and planted pixels."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from dock_user import drag
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QLineEdit, QMessageBox, QPushButton

from napari_xfelsort.core.masks.make import make_mask
from napari_xfelsort.core.masks.settings import MaskReason, MaskSettings
from napari_xfelsort.core.masks.showing import SHOWN, reasons_at
from napari_xfelsort.widgets.mask_dock import MaskDock

WAIT = 60_000
NAMES = [each.name for each in SHOWN]


@pytest.fixture
def dark_alone(own, tmp_path):
    """Dark frames of the detector, while no run is open."""
    from napari_xfelsort.readers import open_stack

    return dark_frames(open_stack(str(own.data)).raw_shape, tmp_path)


@pytest.fixture
def dark(own_run, tmp_path):
    """A dark run of the detector, with a hot and a dead pixel."""
    return dark_frames(own_run.stack.raw_shape, tmp_path)


def dark_frames(shape, tmp_path):
    rng = np.random.default_rng(1)
    frames = rng.normal(100, 5, (20, *shape)).astype(np.float32)
    at = tuple(n // 2 for n in shape)
    still = (*at[:-1], at[-1] + 3)
    frames[(slice(None), *at)] += 500
    frames[(slice(None), *still)] = 100
    path = tmp_path / "dark.h5"
    with h5py.File(path, "w") as file:
        file["/entry_1/data_1/data"] = frames
    return path, frames, at, still


@pytest.fixture
def dock(viewer, own_run, dark, tmp_path, qtbot):
    made = MaskDock(viewer)
    qtbot.addWidget(made, before_close_func=lambda dock: dock.release())
    made.resize(360, 1200)
    made.show()
    made.findChild(QComboBox, "dark_source").setCurrentIndex(2)
    made.findChild(QComboBox, "bright_source").setCurrentIndex(0)
    made.findChild(QLineEdit, "dark_files").setText(str(dark[0]))
    made.findChild(QLineEdit, "mask_file").setText(str(tmp_path / "mask.h5"))
    return made


PAGES = {"make": "Make", "paper": "Make", "use": "Files", "save": "Files"}


def finish(dock, name, qtbot):
    dock.show_page(PAGES[name])
    widget = dock.findChild(QPushButton, name)
    assert widget.isVisible()
    assert widget.isEnabled()
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)


def layer(run):
    return run.companions.layer("mask reasons")


def shown(run):
    """For each pixel of the picture the name of the reason that its colour stands for."""
    found = np.asarray(layer(run).data)
    return np.array(["", *NAMES])[found]


def picture(run, mask, names=NAMES):
    """The same, worked out pixel by pixel from the raw mask."""
    listed = ["", *NAMES]
    raw = np.zeros(mask.reasons.shape, np.uint8)
    for index in np.argwhere(mask.reasons):
        why = [each.name for each in reasons_at(mask, tuple(index)) if each.name in names]
        raw[tuple(index)] = listed.index(why[0]) if why else 0
    return np.array(listed)[run.stack.geometry.assemble(raw)]


def test_reasons_are_shown_counted_and_hidden(dock, own_run, dark, qtbot):
    finish(dock, "make", qtbot)
    _, frames, hot, still = dark
    wanted = make_mask(
        frames, geometry=own_run.stack.geometry, bad=own_run.stack.geometry.static_mask()
    )
    assert np.array_equal(dock.made.reasons, wanted.reasons)
    assert dock.made.reasons[hot] & MaskReason.OFFSET
    assert dock.made.reasons[still] & MaskReason.DEAD
    n = np.count_nonzero(wanted.reasons & MaskReason.OFFSET)
    assert dock.findChild(QLabel, "count_offset").text() == str(n)
    assert np.array_equal(shown(own_run), picture(own_run, dock.made))
    dock.findChild(QCheckBox, "show_offset").click()
    assert "offset" not in shown(own_run)
    assert "dead" in shown(own_run)
    dock.release()
    assert layer(own_run) is None


def test_a_dragged_lambda_gives_the_mask_made_with_it(dock, own_run, dark, qtbot):
    finish(dock, "make", qtbot)
    dark[0].unlink()  # nothing is read again
    axes = dock.look_page.histogram.figure.axes[0]
    canvas = axes.figure.canvas
    canvas.draw()

    def place(x):
        px, py = axes.transData.transform((x, 3))
        return QPoint(round(px), round(canvas.height() - py))

    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=place(-6))
    qtbot.mouseMove(canvas, place(-4))
    qtbot.mouseMove(canvas, place(-3))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=place(-3))
    found = dock.made.settings.mask_lambda
    assert found == pytest.approx(3, abs=0.3)
    assert dock.make_page.form.settings().mask_lambda == found
    assert dock.look_page.histogram.ranges == [(-found, found)]
    geometry = own_run.stack.geometry
    wanted = make_mask(dark[1], geometry=geometry, bad=geometry.static_mask(), mask_lambda=found)
    assert np.array_equal(dock.made.reasons, wanted.reasons)
    assert np.array_equal(shown(own_run), picture(own_run, dock.made))


def test_the_robust_fit_lies_over_the_histogram(dock, own_run, dark, qtbot, monkeypatch):
    from napari_xfelsort.widgets import mask_histogram

    finish(dock, "make", qtbot)
    shown = dock.look_page.histogram
    ratio = dock.made.features["offset"].ratio
    known = ratio[np.isfinite(ratio)]
    axes = shown.figure.axes[0]
    (curve,) = [line for line in axes.lines if line.get_label().startswith("robust fit")]
    x, y = curve.get_data()
    near = np.abs(known) < 3
    assert x[np.argmax(y)] == pytest.approx(np.median(known[near]), abs=0.1)
    above = x[y > y.max() / 2]
    assert above[-1] - above[0] == pytest.approx(2.355 * np.std(known[near]), rel=0.15)
    width = 30 / 120
    assert y.sum() * (x[1] - x[0]) / width == pytest.approx(known.size, rel=0.05)
    (legend,) = shown.figure.legends
    assert curve.get_label() in [text.get_text() for text in legend.get_texts()]
    # While λ is dragged nothing is counted or fitted again.
    monkeypatch.setattr(mask_histogram, "ratio_histogram", None)
    drag(axes, 6, 4, qtbot)
    assert dock.made.settings.mask_lambda == pytest.approx(4, abs=0.3)
    assert shown.figure.axes[0] is axes
    dock.make_page.findChild(QLineEdit, "mask_lambda").setText("5")
    assert shown.ranges == [(-5, 5)]


def test_a_mask_is_saved_and_used(dock, own_run, dark, tmp_path, qtbot, monkeypatch):
    finish(dock, "make", qtbot)
    finish(dock, "use", qtbot)
    path = tmp_path / "mask.h5"
    with h5py.File(path) as file:
        assert np.array_equal(file["/entry_1/data_1/mask"][()], dock.made.reasons)
    assert own_run.opened.mask == str(path)
    assert own_run.stack.mask.bad[dark[2]]
    assert layer(own_run) is not None
    before = path.read_bytes()
    answer = QMessageBox.StandardButton.No
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answer)
    finish(dock, "save", qtbot)
    assert path.read_bytes() == before


def test_bad_input_is_told(dock, own_run, tmp_path, qtbot):
    dock.findChild(QLineEdit, "dark_files").setText("")
    finish(dock, "make", qtbot)
    assert "Choose dark frames" in dock.message.text()
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["/entry_1/data_1/data"] = np.zeros((4, 30, 20), np.float32)
    dock.findChild(QLineEdit, "dark_files").setText(str(other))
    finish(dock, "make", qtbot)
    assert dock.made is None
    assert "same detector" in dock.message.text()
    preset = dock.findChild(QComboBox, "preset")
    preset.setFocus()
    qtbot.keyClick(preset, Qt.Key.Key_Down)
    assert dock.make_page.form.settings() == MaskSettings.paper()
    dock.findChild(QLineEdit, "mask_lambda").setText("7")
    assert preset.currentIndex() == -1


def refuse_in_this_thread(monkeypatch, kind, name, refused):
    """Let ``kind.name`` fail where a dock's slot calls it; the viewer's own jobs go on."""
    method = getattr(kind, name)

    def guarded(*arguments, **keywords):
        if threading.current_thread() is threading.main_thread():
            refused.append(arguments)
            raise AssertionError("frames were read again")
        return method(*arguments, **keywords)

    monkeypatch.setattr(kind, name, guarded)


def test_lambda_is_judged_anew_without_reading(dock, own_run, dark, qtbot, monkeypatch):
    finish(dock, "make", qtbot)
    reads = []
    for kind in {type(source) for source in own_run.stack.sources}:
        refuse_in_this_thread(monkeypatch, kind, "read", reads)
        refuse_in_this_thread(monkeypatch, kind, "read_many", reads)
    refuse_in_this_thread(monkeypatch, h5py.File, "__init__", reads)
    dock.show_page("Make")
    entered = dock.findChild(QLineEdit, "mask_lambda")
    entered.selectAll()
    qtbot.keyClicks(entered, "4.5")
    assert dock.made.settings.mask_lambda == 4.5
    assert dock.look_page.histogram.ranges == [(-4.5, 4.5)]
    away = np.abs(dock.made.features["offset"].ratio) > 4.5
    assert np.array_equal(dock.made.reasons & MaskReason.OFFSET != 0, away)
    dock._use_lambda(9.0)  # as it is dragged
    assert dock.findChild(QLineEdit, "mask_lambda").text() == "9"
    away = np.abs(dock.made.features["offset"].ratio) > 9
    assert np.array_equal(dock.made.reasons & MaskReason.OFFSET != 0, away)
    assert not reads


@pytest.fixture
def halted(monkeypatch):
    """Making halts when one panel is finished, until it is let go on or stopped."""
    import napari_xfelsort.core.masks.make as making

    make, go_on = making.make_mask, threading.Event()

    def slowly(*arguments, partial, progress, **keywords):
        def halting(mask, panels):
            partial(mask, panels)
            while not go_on.wait(0.02):
                progress(1, 20)

        return make(*arguments, partial=halting, progress=progress, **keywords)

    monkeypatch.setattr(making, "make_mask", slowly)
    yield go_on
    go_on.set()


def press(dock, name, qtbot):
    widget = dock.findChild(QPushButton, name)
    assert widget.isEnabled()
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def test_what_was_found_so_far_is_shown(dock, own_run, dark, halted, qtbot):
    press(dock, "make", qtbot)
    qtbot.waitUntil(lambda: layer(own_run) is not None, timeout=WAIT)
    assert dock.made is None
    assert not dock.findChild(QPushButton, "make").isEnabled()
    assert "so far" in dock.message.text()
    halted.set()
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)
    assert np.array_equal(shown(own_run), picture(own_run, dock.made))


def test_cancel_keeps_nothing_and_says_so(dock, own_run, dark, halted, qtbot):
    press(dock, "make", qtbot)
    qtbot.waitUntil(lambda: layer(own_run) is not None, timeout=WAIT)
    press(dock, "cancel", qtbot)
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)
    assert dock.message.text() == "Stopped; nothing was kept."
    assert dock.made is None
    assert layer(own_run) is None
    assert dock.findChild(QPushButton, "make").isEnabled()


def test_a_clicked_pixel_tells_why_and_shows_its_values(dock, viewer, own_run, dark, qtbot):
    finish(dock, "make", qtbot)
    _, frames, hot, _ = dark
    geometry = own_run.stack.geometry
    picture = geometry.picture_points(np.array([float(hot[-1])]), np.array([float(hot[0])]))[0]
    panel = dock.look_page.pixel

    def click(row, column, moved=0):
        event = SimpleNamespace(type="mouse_press", button=1, position=(0, row, column))
        event.pos = np.array([100, 100])
        generator = panel._on_press(viewer, event)
        next(generator)
        event.pos, event.type = np.array([100 + moved, 100]), "mouse_release"
        next(generator, None)

    click(*picture, moved=40)  # the picture was moved, no pixel meant
    assert panel.pixel is None
    click(*picture)
    assert panel.pixel == hot
    qtbot.waitUntil(lambda: bool(panel.traces), timeout=WAIT)
    np.testing.assert_array_equal(panel.traces["dark"].values, frames[(slice(None), *hot)])
    assert list(panel.traces) == ["dark"]
    text = dock.findChild(QLabel, "pixel").text()
    assert "its mean in the dark is off that of its neighbours" in text
    ratio = dock.made.features["offset"].ratio[hot]
    assert f"{ratio:+.1f}" in text
    assert f"{abs(ratio) / 6:.2f}" in text
    label = dock.findChild(QLabel, "pixel")
    folding = label.parentWidget()

    def nothing_is_cut():
        needed = folding.layout().totalHeightForWidth(folding.width())
        return (
            folding.height() >= needed > label.height() > label.heightForWidth(label.width()) - 1
        )

    qtbot.waitUntil(nothing_is_cut, timeout=WAIT)
    # Another pixel meanwhile: the last one counts.
    other = (hot[0] - 5, hot[1])
    panel.show_pixel(other)
    panel.show_pixel(hot)
    qtbot.waitUntil(lambda: bool(panel.traces) and not panel.busy, timeout=WAIT)
    np.testing.assert_array_equal(panel.traces["dark"].values, frames[(slice(None), *hot)])
    dock.show_page("Edit")
    assert panel.paused


def test_without_a_run_the_frames_are_shown(viewer, own, dark_alone, qtbot):
    made = MaskDock(viewer)
    qtbot.addWidget(made, before_close_func=lambda dock: dock.release())
    made.show()
    made.findChild(QComboBox, "dark_source").setCurrentIndex(1)
    made.findChild(QComboBox, "bright_source").setCurrentIndex(0)
    finish(made, "make", qtbot)
    assert "No run is open" in made.message.text()
    made.findChild(QComboBox, "dark_source").setCurrentIndex(2)
    made.findChild(QLineEdit, "dark_files").setText(str(dark_alone[0]))
    made.findChild(QLineEdit, "geometry").setText(str(own.geometry))
    finish(made, "make", qtbot)
    run = made.runs.active
    assert len(run) == 20
    assert run.stack.geometry is not None
    assert made.made.reasons[dark_alone[2]] & MaskReason.OFFSET
    assert layer(run) is not None


def test_ordinary_frames_and_gain_stages(dock, own_run, dark, tmp_path, qtbot):
    shape = own_run.stack.raw_shape
    rng = np.random.default_rng(4)
    levels = [rng.normal(100 * (k + 1), 3, (12, *shape)).astype(np.float32) for k in range(2)]
    levels[1][:, 7, 9] = levels[0][:, 7, 9]  # its stages are one
    for k, frames in enumerate(levels):
        with h5py.File(tmp_path / f"gain{k}.h5", "w") as file:
            file["/entry_1/data_1/data"] = frames * 0
            file["/entry_1/gain"] = frames
        dock.findChild(QComboBox, f"gain_{k}_source").setCurrentIndex(2)
        dock.findChild(QLineEdit, f"gain_{k}_files").setText(str(tmp_path / f"gain{k}.h5"))
        dock.findChild(QLineEdit, f"gain_{k}_dataset").setText("/entry_1/gain")
    dock.findChild(QComboBox, "dark_source").setCurrentIndex(0)
    finish(dock, "make", qtbot)
    assert dock.made.reasons[7, 9] & MaskReason.GAIN_SEPARATION
    for k in range(2):
        dock.findChild(QComboBox, f"gain_{k}_source").setCurrentIndex(0)
    dock.findChild(QComboBox, "ordinary_source").setCurrentIndex(2)
    dock.findChild(QLineEdit, "ordinary_files").setText(str(dark[0]))
    finish(dock, "make", qtbot)
    assert dock.made.n_ordinary == 20
    assert dock.made.bad[dark[2]]
    assert "ordinary" in dock.message.text()
