"""One pixel, clicked in the picture: why it is bad, its features, its values over time."""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_xfelsort.core.masks.making import ONE_SIDED, MadeMask, reason_of
from napari_xfelsort.core.masks.pixel_trace import PixelTrace, pixel_features, pixel_trace
from napari_xfelsort.core.masks.showing import reasons_at
from napari_xfelsort.core.readout import raw_index
from napari_xfelsort.widgets.mask_text import WrappedText
from napari_xfelsort.widgets.plot import Plot
from napari_xfelsort.widgets.workers import Job, Report, counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_xfelsort.core.stack import EventStack
    from napari_xfelsort.widgets.mask_state import MaskState
    from napari_xfelsort.widgets.runs import ViewerRuns

_HEIGHT, _AXIS = 75, 35
#: Pixels of the screen that the mouse may move in a click.
_STILL = 3
_LINE, _OWN = "#5aa9e6", "this run"


class PixelPanel(QWidget):
    """Follows clicks on the picture while it is switched on.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose theme plots follow.
    runs : ViewerRuns
        Of the viewer.
    state : MaskState
        The mask.

    Attributes
    ----------
    pixel : tuple of int or None
        Raw index of the pixel that is shown.
    traces : dict of str to PixelTrace
        Its values, by the name of the frames.
    paused : bool
        Clicks mean something else now.
    """

    #: It cannot be done: a sentence.
    refused = Signal(str)
    #: A pixel is shown, or its values.
    came = Signal()

    def __init__(self, napari_viewer: Any, runs: ViewerRuns, state: MaskState) -> None:
        super().__init__()
        self.state, self._runs = state, runs
        self.pixel: tuple[int, ...] | None = None
        self.traces: dict[str, PixelTrace] = {}
        self.paused = False
        self._job: Job | None = None
        self._listening, self._panel = False, ""
        self.follow = QCheckBox("Show the pixel clicked in the picture")
        self.follow.setObjectName("follow_clicks")
        self.follow.setToolTip("Why it is bad, its features, and its values in the frames")
        self.follow.setChecked(True)
        self.follow.toggled.connect(self._listen)
        self.text = WrappedText("pixel")
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.plot = Plot(napari_viewer, "pixel_trace")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.follow, self.text, self.plot):
            column.addWidget(widget)
        state.changed.connect(self._tell)
        self._listen(True)
        self._tell()

    def release(self) -> None:
        """Let go of the viewer, and stop work."""
        self._listen(False)
        self.forget()
        self.plot.release()

    def forget(self) -> None:
        """Show no pixel."""
        if self._job is not None:
            self._job.stop()
        self.pixel, self.traces = None, {}
        self.plot.clear()
        self._tell()

    def show_pixel(self, pixel: tuple[int, ...], panel: str = "") -> None:
        """Show this raw pixel, and read its values beside the window."""
        if self._job is not None:
            self._job.stop()
        self.pixel, self.traces, self._panel = pixel, {}, panel
        self.plot.clear()
        self._tell()
        self._read()

    @property
    def busy(self) -> bool:
        """Whether values are being read."""
        return self._job is not None

    # --- clicks -------------------------------------------------------------------------

    def _listen(self, on: bool) -> None:
        viewer = self._runs.viewer
        if viewer is None or on == self._listening:
            return
        self._listening = on
        if on:
            viewer.mouse_drag_callbacks.append(self._on_press)
        else:
            viewer.mouse_drag_callbacks.remove(self._on_press)

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        run = self.state.run
        if run is None or self.paused or event.button != 1 or not self.isVisible():
            return
        pressed = tuple(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if math.dist(pressed, tuple(event.pos)) > _STILL or run is not self.state.run:
            return  # the picture was moved
        y, x = run.layer.world_to_data(event.position)[-2:]
        row, column = math.floor(y + 0.5), math.floor(x + 0.5)
        height, width = run.stack.assembled_shape
        if 0 <= row < height and 0 <= column < width:
            pixel = raw_index(run.stack, row, column)
            if pixel is not None:
                geometry = run.stack.geometry
                panel = None if geometry is None else geometry.panel_at(row, column)
                self.show_pixel(pixel, panel or "")

    # --- values -------------------------------------------------------------------------

    def _read(self) -> None:
        run, pixel = self.state.run, self.pixel
        if run is None or pixel is None or self._job is not None:
            return  # once the reading that goes on has ended
        frames: Mapping[str, EventStack] = self.state.frames or {_OWN: run.stack}

        def work(report: Report) -> tuple[tuple[int, ...], dict[str, PixelTrace]]:
            return pixel, {
                name: pixel_trace(stack, pixel, progress=counted(report))
                for name, stack in frames.items()
            }

        self._job = Job("reading a pixel", work)
        self._job.succeeded.connect(self._take)
        self._job.failed.connect(self.refused)
        self._job.ended.connect(self._ended)
        self._job.start()

    def _take(self, found: tuple[tuple[int, ...], dict[str, PixelTrace]]) -> None:
        if found[0] != self.pixel:
            return
        self.traces = found[1]
        height = _HEIGHT * len(self.traces) + _AXIS
        self.plot.draw(functools.partial(draw_traces, traces=self.traces), height)
        self.came.emit()

    def _ended(self) -> None:
        self._job = None
        if self.pixel is not None and not self.traces:
            self._read()

    # --- words --------------------------------------------------------------------------

    def _tell(self) -> None:
        run, mask = self.state.run, self.state.mask
        known = run is not None and self.pixel is not None
        self.text.setVisible(known)
        if run is None or self.pixel is None:
            return
        where = f" on panel {html.escape(self._panel)}" if self._panel else ""
        index = ", ".join(map(str, self.pixel))
        self.text.setText(f"Pixel <b>[{index}]</b>{where}{pixel_html(mask, self.pixel)}")


def pixel_html(mask: MadeMask | None, pixel: tuple[int, ...]) -> str:
    """Why a pixel is bad, and its features, as HTML; begins after the name of the pixel."""
    if mask is None:
        return ""
    why = reasons_at(mask, pixel)
    lines = [": <b>good</b>." if not why else ": <b>bad</b>, because"]
    lines += [f"<br>• {html.escape(each.words)} ({html.escape(each.name)})" for each in why]
    if mask.edits is not None and mask.unedited is not None and mask.unedited[pixel] and not why:
        lines.append("<br>You made it good; it was bad before.")
    found = pixel_features(mask, pixel)
    if found:
        reach = mask.settings.mask_lambda
        lines.append(
            "<table cellspacing=4><tr><td>feature</td><td align=right>value</td>"
            f"<td align=right>scales</td><td align=right>part of λ ({reach:g})</td></tr>"
        )
        for name, value, ratio in found:
            away = ratio if name in ONE_SIDED else abs(ratio)
            part = "" if math.isnan(ratio) else f"{away / reach:.2f}"
            scales = "" if math.isnan(ratio) else f"{ratio:+.1f}"
            cells = (name.replace("_", " "), f"{value:.4g}", scales, part)
            bold = ("<b>", "</b>") if away > reach and reason_of(name) else ("", "")
            row = "".join(
                f"<td align={'left' if k == 0 else 'right'}>{bold[0]}{cell}{bold[1]}</td>"
                for k, cell in enumerate(cells)
            )
            lines.append(f"<tr>{row}</tr>")
        lines.append("</table>")
    return "".join(lines)


def draw_traces(figure: Figure, traces: Mapping[str, PixelTrace]) -> None:
    """Draw the values of a pixel, the frames of each kind in axes of their own."""
    every = figure.subplots(len(traces), squeeze=False)[:, 0]
    for axes, (name, trace) in zip(every, traces.items(), strict=True):
        axes.plot(trace.events, trace.values, ".-", color=_LINE, linewidth=0.8, markersize=3)
        axes.set_ylabel(name.replace("_", " "))
        axes.margins(x=0.01)
        if len(trace.events) < trace.n_frames:
            axes.set_title(f"{len(trace.events)} of {trace.n_frames} frames", fontsize=7)
    every[-1].set_xlabel("frame")
