"""The canvas and the picture of a model's metrics."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from napari.utils.theme import get_theme
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QFileDialog, QMessageBox, QVBoxLayout, QWidget

from napari_xfelsort.core.metrics import evaluate
from napari_xfelsort.widgets.plot import FONT, Plot
from napari_xfelsort.widgets.plot_metrics import draw_metrics, metrics_height


def metrics_of(n: int, unsure: bool = False, long: bool = False):
    names = [f"class{'_with_a_long_name' * long}_{k}" for k in range(n)]
    rng = np.random.default_rng(n)
    true = rng.choice(names, 40 * n)
    chosen = np.where(rng.random(40 * n) < 0.8, true, rng.choice(names, 40 * n)).astype("<U40")
    if unsure:
        chosen[::7] = "unsure"
    return evaluate(true, chosen, names)


def drawn(metrics, width=300) -> Figure:
    size = width / 100, metrics_height(metrics) / 100
    with rc_context(FONT):
        figure = Figure(figsize=size, dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        draw_metrics(figure, metrics)
        figure.canvas.draw()
    return figure


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_matrix_and_report_show_numbers_counted_by_hand():
    true = ["good"] * 8 + ["bad"] * 2
    chosen = ["good"] * 6 + ["bad", "unsure", "bad", "good"]
    matrix, report = drawn(evaluate(true, chosen, ["bad", "good"])).axes
    assert texts(matrix) == [
        "1\n50.0 %",
        "1\n50.0 %",
        "0\n0.0 %",
        "1\n12.5 %",
        "6\n75.0 %",
        "1\n12.5 %",
    ]
    assert [t.get_text() for t in matrix.get_xticklabels()] == ["bad", "good", "unsure"]
    assert [t.get_text() for t in matrix.get_yticklabels()] == ["bad", "good"]
    assert (matrix.get_xlabel(), matrix.get_ylabel()) == ("decided as", "labelled")
    shown = texts(report)
    # good: 6 of the 7 decided good are, 6 of 8 are found; bad: 1 of 2 and 1 of 2.
    assert shown[5:10] == ["bad", "50.0 %", "50.0 %", "50.0 %", "2"]
    assert shown[10:15] == ["good", "85.7 %", "75.0 %", "80.0 %", "8"]
    assert shown[15:20] == ["mean", "67.9 %", "62.5 %", "65.0 %", "10"]
    assert "accuracy 70.0 %" in shown[20]
    assert "misclassified 20.0 %" in shown[20]
    assert shown[21:] == ["unsure 10.0 %"]


def test_a_class_without_events_has_dashes():
    matrix, report = drawn(evaluate(["a", "a"], ["a", "a"], ["a", "b"])).axes
    assert texts(matrix)[2:] == ["0", "0"]
    assert texts(report)[10:15] == ["b", "–", "–", "–", "0"]


@pytest.mark.parametrize("n", range(2, 11))
@pytest.mark.parametrize("unsure", [False, True])
@pytest.mark.parametrize("long", [False, True])
def test_no_text_is_cut_off_or_leaves_its_cell(n, unsure, long):
    figure = drawn(metrics_of(n, unsure, long))
    matrix, report = figure.axes
    renderer = figure.canvas.get_renderer()
    box = matrix.get_window_extent(renderer)
    wide, high = box.width / (n + unsure), box.height / n
    for text in matrix.texts:
        extent = text.get_window_extent(renderer)
        assert extent.width <= wide
        assert extent.height <= high
    labels = [*matrix.get_xticklabels(), *matrix.get_yticklabels(), *report.texts, matrix.title]
    for text in labels:
        extent = text.get_window_extent(renderer)
        assert extent.x0 >= 0
        assert extent.y0 >= 0
        assert extent.x1 <= figure.bbox.width
        assert extent.y1 <= figure.bbox.height


@pytest.fixture
def plot(viewer, qtbot):
    """A plot in a window 340 pixels wide."""
    window = QWidget()
    column = QVBoxLayout(window)
    made = Plot(viewer, "metrics")
    column.addWidget(made)
    window.resize(340, 500)
    qtbot.addWidget(window)
    window.show()
    yield made
    made.release()


def line(figure):
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1])
    axes.set_title("a line")


def test_nothing_is_shown_before_something_is_drawn(plot):
    assert plot.figure is None
    assert not plot.isVisible()
    plot.save()  # no dialog comes


def test_colours_follow_the_theme(plot, viewer):
    plot.draw(line, 200)
    assert plot.isVisible()
    for theme in ("light", "dark"):
        viewer.theme = theme
        colours = get_theme(theme)
        background = [c / 255 for c in colours.background.as_rgb_tuple()]
        text = [c / 255 for c in colours.text.as_rgb_tuple()]
        assert to_rgb(plot.figure.get_facecolor()) == pytest.approx(background)
        assert to_rgb(plot.figure.axes[0].title.get_color()) == pytest.approx(text)


def test_another_plot_takes_the_place_of_the_first(plot):
    plot.draw(line, 200)
    plot.draw(lambda figure: draw_metrics(figure, metrics_of(3)), 350)
    assert len(plot.figure.axes) == 2
    plot.clear()
    assert not plot.isVisible()


@pytest.mark.parametrize("width", [1, 30, 340])
def test_any_width_can_be_drawn(plot, qtbot, width):
    plot.draw(lambda figure: draw_metrics(figure, metrics_of(4)), 300)
    canvas = plot.figure.canvas
    canvas.resize(width, 300)
    canvas.draw()
    assert canvas.height() == 300


def test_released_plots_leave_the_viewer_alone(plot, viewer):
    plot.draw(line, 200)
    before = plot.figure.get_facecolor()
    plot.release()
    viewer.theme = "light"
    assert plot.figure.get_facecolor() == before


SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.mark.parametrize("ending", SIGNATURES)
@pytest.mark.parametrize("typed", [True, False])
def test_pictures_are_saved_in_each_format(plot, qtbot, monkeypatch, tmp_path, ending, typed):
    plot.draw(line, 200)
    chosen = tmp_path / (f"p{ending}" if typed else "p")
    answer = (str(chosen), f"x (*{ending})")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: answer)
    with qtbot.waitSignal(plot.told) as told:
        plot.save()
    assert told.args == [f"The picture is in {tmp_path / f'p{ending}'}.", True]
    assert (tmp_path / f"p{ending}").read_bytes().startswith(SIGNATURES[ending])


def test_a_saved_picture_is_on_white_and_words_stay_words(plot, monkeypatch, tmp_path):
    plot.draw(line, 200)
    path = tmp_path / "p.svg"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    plot.save()
    svg = path.read_text()
    assert ">a line</text>" in svg
    assert "fill: #ffffff" in svg
    assert get_theme("dark").background.as_hex() not in svg


@pytest.mark.parametrize("yes", [True, False])
def test_a_picture_is_replaced_only_if_asked_for(plot, monkeypatch, tmp_path, yes):
    plot.draw(line, 200)
    path = tmp_path / "p.png"
    path.write_bytes(b"old")
    buttons = QMessageBox.StandardButton
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    monkeypatch.setattr(
        QMessageBox, "question", lambda *_, **__: buttons.Yes if yes else buttons.No
    )
    plot.save()
    assert (path.read_bytes() != b"old") is yes


def test_a_folder_that_is_not_there_is_told(plot, qtbot, monkeypatch, tmp_path):
    plot.draw(line, 200)
    path = tmp_path / "none" / "p.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    with qtbot.waitSignal(plot.told) as told:
        plot.save()
    assert told.args[1] is False
    assert "p.png" in told.args[0]


def test_a_dock_may_go_while_its_plot_is_drawn(viewer, qapp, capfd):
    plot = Plot(viewer, "late")
    plot.draw(lambda figure: figure.subplots().plot([1, 2]), 100)
    canvas = plot._canvas
    canvas.resize(200, 100)

    def gone(renderer):
        plot.release()
        plot.deleteLater()
        qapp.sendPostedEvents(plot, QEvent.Type.DeferredDelete)
        assert not isalive(canvas)

    canvas.figure.draw = gone
    canvas._draw_pending = True
    canvas._draw_idle()  # which tells what went wrong on the terminal
    assert capfd.readouterr().err == ""
