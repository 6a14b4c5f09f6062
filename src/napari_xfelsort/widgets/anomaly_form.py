"""The widgets of the Anomalies dock, and how they are laid out."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QFormLayout, QGroupBox, QLabel, QVBoxLayout, QWidget

from napari_xfelsort.core.anomalies.default import DEFAULT
from napari_xfelsort.widgets.anomaly_bars import BarView
from napari_xfelsort.widgets.anomaly_course import CoursePlot
from napari_xfelsort.widgets.anomaly_save import SavePanel
from napari_xfelsort.widgets.anomaly_train import FILTER, TrainPanel
from napari_xfelsort.widgets.anomaly_where import WherePanel
from napari_xfelsort.widgets.dock import Dock, Message, PathField, RunChooser, button, row
from napari_xfelsort.widgets.progress import EventProgress


class AnomalyParts(Dock):
    """What the dock consists of; what happens is in `AnomalyDock`."""

    def judge(self) -> None:
        """Judge the run; of the dock."""

    def worst(self) -> None:
        """Go to the worst event; of the dock."""

    def next_worst(self) -> None:
        """Go to the next worst; of the dock."""

    def before_it(self) -> None:
        """Go back to the worse one; of the dock."""

    def _build(self, napari_viewer: Any) -> None:
        self.chooser = RunChooser(self.runs)
        files = f"{FILTER};;Network (*.xfelmodel)"
        title = "Choose a model of anomalies"
        self.model_file = PathField("model_file", "file", title, files, DEFAULT)
        tip = "A model of the training below or of xfelsort anomalies train, or a network; "
        tip += "empty for the default model, which was trained on simulation"
        self.model_file.line.setToolTip(tip)
        self.about_model = Message()
        self.about_model.setObjectName("about_model")
        self.train_panel = TrainPanel()
        tip = "Judge all events of the run that were not judged yet"
        self.judge_button = button("Judge run", "judge", tip, self.judge)
        tip = "Stop; what was judged is kept, and Judge run goes on from there"
        self.cancel_button = button("Cancel", "cancel", tip, self.cancel)
        self.progress = EventProgress()
        about = QFormLayout()
        about.addRow("Run", self.chooser)
        about.addRow("Model", self.model_file)
        self.body.addLayout(about)
        self.body.addWidget(self.about_model)
        self.body.addWidget(self.train_panel)
        self.body.addLayout(row(self.judge_button, self.cancel_button))
        self.body.addWidget(self.progress)
        self.body.addWidget(self.message)
        self.body.addWidget(self._of_event())
        self.body.addWidget(self._of_run(napari_viewer))
        self.saving = SavePanel()
        self.body.addWidget(self.saving)
        self.body.addStretch()

    def _of_event(self) -> QWidget:
        self.bars = BarView()
        self.told_event = Message()
        self.told_event.setObjectName("event_text")
        self.where = WherePanel()
        self.event_box = QGroupBox("Event shown")
        column = QVBoxLayout(self.event_box)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self.bars)
        column.addWidget(self.told_event)
        column.addWidget(self.where)
        return self.event_box

    def _of_run(self, napari_viewer: Any) -> QWidget:
        self.course = CoursePlot(napari_viewer)
        tip = "Go to the event that has the chosen anomaly most clearly"
        self.worst_button = button("Worst", "worst", tip, self.worst)
        tip = "Go to the event that has it most clearly after this one"
        self.next_button = button("Next worst", "next_worst", tip, self.next_worst)
        tip = "Go back to the event that has it more clearly than this one"
        self.back_button = button("Back", "before_it", tip, self.before_it)
        self.place = QLabel()
        self.place.setObjectName("rank")
        self.place.setWordWrap(True)
        self.run_box = QGroupBox("Run")
        column = QVBoxLayout(self.run_box)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self.course)
        column.addLayout(row(self.worst_button, self.next_button, self.back_button))
        column.addWidget(self.place)
        return self.run_box
