"""Which number of each event a rule looks at: its kind, and where pixels are from."""

from __future__ import annotations

from typing import NamedTuple

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_xfelsort.core.errors import RegionError, SettingsError
from napari_xfelsort.core.event_scores import STORED, ScoreSettings, metadata_columns
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.forms import SettingsForm
from napari_xfelsort.widgets.inputs import OfferInput
from napari_xfelsort.widgets.region_picker import RegionPicker
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.runs import ViewerRuns
from napari_xfelsort.widgets.workers import Job, Report

#: Settings that only one kind of number needs.
_NEEDED_BY = {"percentile": "percentile", "saturation": "saturated", "column": "metadata"}


class Score(NamedTuple):
    """What number: ``region`` is None for those that are stored."""

    settings: ScoreSettings
    region: Region | None

    def __str__(self) -> str:
        where = "" if self.region is None else f" in {self.region}"
        return f"{str(self.settings).capitalize()}{where}"


class ScoreForm(QWidget):
    """Inputs for a kind of number, with a region where it needs pixels.

    Parameters
    ----------
    runs : ViewerRuns
        Of the viewer.
    """

    #: Something else is chosen.
    changed = Signal()
    #: Why there is nothing to choose from.
    lacking = Signal(str)

    def __init__(self, runs: ViewerRuns) -> None:
        super().__init__()
        self._stack: EventStack | None = None
        self._listed: EventStack | None = None
        self.region = RegionPicker(runs)
        self.region.changed.connect(self._entered)
        self.settings = SettingsForm(ScoreSettings, offers={"column": ("",)})
        self.settings.changed.connect(self._entered)
        self._place = QFormLayout()
        self._place.addRow("Region", self.region)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.settings)
        column.addLayout(self._place)
        self._entered()

    def score(self) -> Score:
        """What was entered.

        Raises
        ------
        SettingsError, RegionError
            If it is no number that could be looked at.
        """
        settings = self.settings.settings()
        assert isinstance(settings, ScoreSettings)
        return Score(settings, None if settings.kind in STORED else self.region.region())

    def is_chosen(self, score: Score) -> bool:
        """Whether this is what was entered."""
        try:
            return self.score() == score
        except (RegionError, SettingsError):
            return False

    def set_run(self, run: Run | None) -> None:
        """Choose for this run from now on."""
        self.region.set_run(run)
        self.set_stack(None if run is None else run.stack)

    def set_stack(self, stack: EventStack | None) -> None:
        """The run has these events."""
        self._stack = stack
        self._entered()

    def release(self) -> None:
        """Let go of callbacks."""
        self._stack = None
        self.region.release()

    def _entered(self) -> None:
        kind = self.settings.inputs["kind"].value()
        for name, wanted in _NEEDED_BY.items():
            self.settings.show_row(name, kind == wanted)
        for widget in (self._place.labelForField(self.region), self.region):
            widget.setVisible(kind not in STORED)
        if kind == "metadata":
            self._list_columns()
        self.changed.emit()

    def _list_columns(self) -> None:
        """Find out which numbers are stored with the events."""
        stack = self._stack
        if stack is None or stack is self._listed or not len(stack):
            return
        self._listed = stack

        def work(report: Report) -> tuple[EventStack, tuple[str, ...]]:
            return stack, metadata_columns(stack)

        job = Job("looking for stored numbers", work)
        job.succeeded.connect(self._offer)
        job.failed.connect(self.lacking)
        job.start()

    def _offer(self, found: tuple[EventStack, tuple[str, ...]]) -> None:
        stack, names = found
        if stack is not self._stack:
            return
        column = self.settings.inputs["column"]
        assert isinstance(column, OfferInput)
        column.offer(names)
        if not names:
            self.lacking.emit("No number is stored with the events of this run.")
