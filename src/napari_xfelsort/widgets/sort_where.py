"""Who sorts: processes of this computer, a dask scheduler's workers, or jobs of SLURM."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QSpinBox, QWidget

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.sorting import ClusterSettings, WatchSettings
from napari_xfelsort.core.sorting.clusters import SLURM
from napari_xfelsort.widgets.dock import text_line
from napari_xfelsort.widgets.forms import SettingsForm, tooltip
from napari_xfelsort.widgets.inputs import Input, make_input, needs_focus_for_wheel

_AUTOMATIC = -1
HERE, DASK, QUEUE = "this computer", "a dask scheduler", "SLURM"
_WITH = {HERE: "workers", DASK: "scheduler", QUEUE: "queue"}


class Team(typing.NamedTuple):
    """The arguments of `sort` that say who does the work."""

    workers: int | None = None
    scheduler: str | None = None
    cluster: ClusterSettings | None = None


class WhereForm(QWidget):
    """Asks who sorts.

    Attributes
    ----------
    where : QComboBox
    cluster : SettingsForm
        Options of the jobs, to be shown elsewhere; it is seen only while they matter.
    """

    def __init__(self) -> None:
        super().__init__()
        self.where = QComboBox()
        self.where.setObjectName("where")
        self.where.addItems(list(_WITH))
        self.where.setToolTip(
            "Who sorts: processes of this computer, workers of a dask scheduler, or jobs that "
            "are given to SLURM; workers elsewhere must see the files under the same names"
        )
        self.workers = QSpinBox()
        self.workers.setObjectName("workers")
        self.workers.setRange(_AUTOMATIC, 1024)
        self.workers.setSpecialValueText("automatic")
        self.workers.setValue(_AUTOMATIC)
        self.workers.setToolTip(
            "Processes that sort: automatic is one a core, 0 sorts in napari's own process"
        )
        for widget in (self.where, self.workers):
            needs_focus_for_wheel(widget)
        self.scheduler = text_line("scheduler", "tcp://host:port", "Address of the dask scheduler")
        tip = "Queue (partition) that jobs are submitted to; see More for what each is given"
        self.queue = text_line("queue", "partition", tip)
        self.cluster = SettingsForm(
            ClusterSettings,
            first=("jobs", "cores", "memory", "walltime", "account"),
            leave_out=("kind", "queue"),
        )
        self.cluster.setObjectName("cluster")
        self._rows = QFormLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(4)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._rows.addRow("Where", self.where)
        self._rows.addRow("Workers", self.workers)
        self._rows.addRow("Address", self.scheduler)
        self._rows.addRow("Queue", self.queue)
        self.where.currentTextChanged.connect(self._show)
        self._show(HERE)

    def _show(self, where: str) -> None:
        for name, needed in _WITH.items():
            widget = getattr(self, needed)
            widget.setVisible(name == where)
            self._rows.labelForField(widget).setVisible(name == where)
        self.cluster.setVisible(where == QUEUE)

    def team(self) -> Team:
        """Who sorts.

        Raises
        ------
        SettingsError
            If the address or the queue is missing, or an option of the jobs is wrong.
        """
        where = self.where.currentText()
        if where == DASK:
            address = self.scheduler.text().strip()
            if not address:
                raise SettingsError("Give the address of the dask scheduler: tcp://host:port.")
            return Team(scheduler=address)
        if where == QUEUE:
            queue = self.queue.text().strip()
            if not queue:
                raise SettingsError("Name the queue (partition) that the jobs go to.")
            options = self.cluster.settings()
            assert isinstance(options, ClusterSettings)
            return Team(cluster=dataclasses.replace(options, kind=SLURM, queue=queue))
        workers = self.workers.value()
        return Team(workers=None if workers == _AUTOMATIC else workers)


class WatchForm(QWidget):
    """When a watch looks, and when it stops: an input for each of `WatchSettings`."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("watching")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        hints = typing.get_type_hints(WatchSettings)
        self.inputs: dict[str, Input] = {}
        for field in dataclasses.fields(WatchSettings):
            made = self.inputs[field.name] = make_input(field, hints[field.name])
            made.show_value(field.default)
            label = QLabel(_LABELS[field.name])
            label.setBuddy(made.main)
            for widget in (label, made.main):
                widget.setToolTip(tooltip(field))
            form.addRow(label, made)
        idle: Any = self.inputs["idle"].main
        idle.setPlaceholderText("never: until Finish")

    def settings(self) -> WatchSettings:
        """What was entered.

        Raises
        ------
        SettingsError
            If something is no number, or out of range.
        """
        return WatchSettings(**{name: made.value() for name, made in self.inputs.items()})


_LABELS = {
    "poll": "look every (s)",
    "settle": "finished after (s)",
    "idle": "stop when idle (s)",
}
