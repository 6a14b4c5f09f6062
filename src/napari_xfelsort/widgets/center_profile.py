"""The radial profile of the event shown around the beam centre, as it is dragged."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QVBoxLayout, QWidget

from napari_xfelsort.core.radial_profile import (
    STATISTICS,
    RadialPicture,
    RadialProfile,
    q_of_radii,
    usable_pixels,
)
from napari_xfelsort.core.readout import known_beam
from napari_xfelsort.widgets.center_overlay import FIT_COLOUR, Placed
from napari_xfelsort.widgets.dock import Message, row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.plot import Plot
from napari_xfelsort.widgets.range_plot import BARS
from napari_xfelsort.widgets.workers import Job, Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_xfelsort.core.browsing import BrowsedFrames
    from napari_xfelsort.core.region import Region

_HEIGHT = 200
#: Milliseconds from a move of the centre to its profile: not at each of many.
_INTERVAL = 40


class Asked(NamedTuple):
    """What is to be shown: which event's profile, and about which centre."""

    frames: BrowsedFrames
    event: int
    region: Region
    placed: Placed
    statistic: str


class Shown(NamedTuple):
    """What is shown.

    Attributes
    ----------
    profile : RadialProfile
        Of the event, its mask honoured.
    axis : ndarray
        Where its rings are drawn: q in 1/angstrom where known, else radii in pixels.
    unit : str
        Of that axis.
    marks : ndarray
        Where the rings by hand are on it.
    """

    profile: RadialProfile
    axis: NDArray[np.float64]
    unit: str
    marks: NDArray[np.float64]


class LiveRadial(QWidget):
    """The profile of one event about the present centre.

    Profiles are made in a thread, one at a time; what was asked for meanwhile is forgotten
    but for the last.

    Attributes
    ----------
    shown : Shown or None
        What the plot shows.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.shown: Shown | None = None
        self.plot = Plot(napari_viewer, "radial_profile")
        self.text = Message()
        self.text.setObjectName("radial_text")
        self.statistic = QComboBox()
        self.statistic.setObjectName("radial_statistic")
        self.statistic.setToolTip("Of the pixels at one radius; the median is blind to spots")
        self.statistic.addItems(list(STATISTICS))
        needs_focus_for_wheel(self.statistic)
        self.log = QCheckBox("log")
        self.log.setObjectName("radial_log")
        self.log.setToolTip("Logarithmic intensities")
        self.statistic.currentTextChanged.connect(self._statistic_chosen)
        self.log.toggled.connect(self._draw)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.choices = QWidget()
        self.choices.setLayout(row("Radial profile", self.statistic, self.log))
        column.addWidget(self.choices)
        column.addWidget(self.plot)
        column.addWidget(self.text)
        self._asked: Asked | None = None
        self._begun: Asked | None = None
        self._picture: tuple[tuple[Any, ...], RadialPicture] | None = None
        self._job: Job | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_INTERVAL)
        self._timer.timeout.connect(self._begin)

    @property
    def busy(self) -> bool:
        """Whether something is yet to be shown."""
        return self._job is not None or self._timer.isActive()

    def ask(self, frames: BrowsedFrames, event: int, region: Region, placed: Placed) -> None:
        """Show the profile of an event about a centre, soon."""
        self._asked = Asked(frames, event, region, placed, self.statistic.currentText())
        if not self._timer.isActive():  # so that it follows while something is dragged
            self._timer.start()

    def show_nothing(self, sentence: str = "", error: bool = False) -> None:
        """Show no profile, and say why."""
        self._asked = self.shown = None
        self._timer.stop()
        self.plot.clear()
        (self.text.tell_error if error else self.text.tell)(sentence)

    def release(self) -> None:
        """Let go of the viewer and of frames."""
        self.show_nothing()
        self._picture = self._begun = None
        self.plot.release()

    def _statistic_chosen(self, statistic: str) -> None:
        if self._asked is not None:
            self.ask(*self._asked[:-1])

    def _begin(self) -> None:
        asked = self._asked
        if asked is None or self._job is not None:
            return
        self._begun, known = asked, self._picture

        def work(report: Report) -> tuple[tuple[Any, ...], RadialPicture, Shown]:
            key = (asked.frames, asked.event, asked.region)
            picture = known[1] if known is not None and known[0] == key else _picture(asked)
            return key, picture, _shown(asked, picture)

        self._job = Job("a radial profile", work)
        self._job.succeeded.connect(self._take)
        self._job.failed.connect(self._fail)
        self._job.ended.connect(self._end)
        self._job.start()

    def _take(self, made: tuple[tuple[Any, ...], RadialPicture, Shown]) -> None:
        if self._asked is not None:
            self._picture = made[:2]
            self.shown = made[2]
            self.text.tell("")
            self._draw()

    def _fail(self, sentence: str) -> None:
        if self._asked is self._begun:
            self.show_nothing(sentence, error=True)

    def _end(self) -> None:
        self._job = None
        if self._asked is not None and self._asked is not self._begun:
            self._timer.start()

    def _draw(self, *_: Any) -> None:
        if self.shown is not None:
            draw = functools.partial(draw_radial, shown=self.shown, log=self.log.isChecked())
            self.plot.draw(draw, _HEIGHT)


def _picture(asked: Asked) -> RadialPicture:
    stack = asked.frames.stack
    frame = asked.frames.store.get(asked.event)
    return RadialPicture(frame, usable_pixels(stack, asked.event, asked.region))


def _shown(asked: Asked, picture: RadialPicture) -> Shown:
    stack, placed = asked.frames.stack, asked.placed
    profile = picture.profile(placed.center, statistic=asked.statistic)
    marks = np.array(placed.radii, np.float64)
    if stack.geometry is not None:
        beam = (*known_beam(stack, asked.event), stack.geometry.pixel_size)
        q, at = q_of_radii(profile.radii, *beam), q_of_radii(marks, *beam)
        if q is not None and at is not None:
            return Shown(profile, q, "q (Å⁻¹)", at)
    return Shown(profile, profile.radii, "radius (px)", marks)


def draw_radial(figure: Figure, shown: Shown, log: bool) -> None:
    """Draw a profile, with a line at each ring."""
    # Margins that do not depend on what is drawn: to find them takes longer than drawing.
    figure.set_layout_engine("none")
    axes = figure.subplots(gridspec_kw={"left": 0.19, "right": 0.97, "top": 0.96, "bottom": 0.21})
    axes.plot(shown.axis, shown.profile.values, color=BARS, linewidth=1)
    for mark in shown.marks:
        axes.axvline(mark, color=FIT_COLOUR, linewidth=1)
    if log and (shown.profile.values > 0).any():
        axes.set_yscale("log")
    else:
        axes.locator_params(axis="y", nbins=5)
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
    axes.margins(x=0)
    axes.set_xlabel(shown.unit)
    axes.set_ylabel("ADU")
