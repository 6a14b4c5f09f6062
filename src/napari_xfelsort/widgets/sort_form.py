"""The widgets of the Sort dock, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_xfelsort.core.cascade import CascadeSettings
from napari_xfelsort.core.sorting import SortSettings
from napari_xfelsort.widgets.dock import PathField, RunChooser, button, row
from napari_xfelsort.widgets.forms import SettingsForm
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.sort_card import CardView
from napari_xfelsort.widgets.sort_course import CoursePanel
from napari_xfelsort.widgets.sort_opening import ANY
from napari_xfelsort.widgets.sort_results import ResultsBox
from napari_xfelsort.widgets.sort_table import SortModel, SortView
from napari_xfelsort.widgets.sort_where import WatchForm, WhereForm
from napari_xfelsort.widgets.source_form import SourceForm

_MODELS = "Model (*.xfelmodel);;All files (*)"
#: The class whose first event a click shows, where the model has it.
_FIRST = "good"


class SortParts:
    """Makes and lays out what the Sort dock shows; the dock says what it does."""

    def _build(self: Any, napari_viewer: Any) -> None:
        self.body.addWidget(self._inputs())
        self.body.addWidget(self._more())
        tip = "Sort; the same folder again goes on where it was stopped"
        self.sort_button = button("Sort", "sort", tip, self.sort)
        tip = "End watching: sort all files as they are now, and write the results"
        self.finish_button = button("Finish", "finish", tip, self.finish)
        tip = "Stop at once; what is done is kept, and the same folder goes on from there"
        self.cancel_button = button("Cancel", "cancel", tip, self.cancel)
        self.body.addLayout(row(self.sort_button, self.finish_button, self.cancel_button))
        self.progress = EventProgress()
        self.rate = _text("rate", "Events a second, files done, events that failed")
        self.rate.setVisible(False)
        self.course = CoursePanel(napari_viewer)
        self.results = ResultsBox()
        for widget in (
            self.progress,
            self.rate,
            self.message,
            self.course,
            self._files(),
            self.results,
        ):
            self.body.addWidget(widget)
        self.body.addStretch()

    def _inputs(self: Any) -> QWidget:
        self.what = QComboBox()
        self.what.setObjectName("what")
        self.what.setToolTip("The run that is open, as it is shown, or data that are not open")
        self.what.addItems(["the open run", "other data"])
        needs_focus_for_wheel(self.what)
        self.chooser = RunChooser(self.runs)
        self.source = SourceForm()
        tip = "Choose one more folder of files, or run, to sort with the others"
        self.add_folder = button("Add folder…", "add_folder", tip, self.add_data_folder)
        # Beside the button that chooses a folder.
        buttons = QWidget()
        self.source.layout().replaceWidget(self.source.folder, buttons)
        buttons.setLayout(row(self.source.folder, self.add_folder))
        self.model_file = PathField("model", "file", "Choose a model", _MODELS, "model file")
        self.model_file.line.setToolTip("The model that decides: a file NAME.xfelmodel")
        title = "Choose a quick model that decides first"
        self.first_file = PathField(
            "first_model", "file", title, _MODELS, "none: one model decides"
        )
        self.first_file.line.setToolTip(
            "Optional: a quick model of the same two classes that decides first; the model above "
            "is asked only about what it leaves open"
        )
        self.limits = SettingsForm(CascadeSettings, name="limits")
        self.limits.setVisible(False)
        self.card = CardView(self.for_card)
        self.out = PathField(
            "out", "new folder", "Choose a folder for the results", placeholder="folder"
        )
        self.out.line.setToolTip("Folder for the results; it is made when it is not there")
        self.where = WhereForm()
        self.watch_box = QCheckBox("Watch: sort new and growing files as they appear")
        self.watch_box.setObjectName("watch")
        self.watch_box.setToolTip(
            "Look again and again for new files and events in the folders or patterns, and sort "
            "them, until Finish is pressed or nothing has changed for a while"
        )
        self.watching = WatchForm()
        self.inputs = QWidget()
        form = QFormLayout(self.inputs)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Sort", self.what)
        form.addRow("", self.chooser)
        form.addRow(self.source)
        form.addRow("Model", self.model_file)
        form.addRow("First model", self.first_file)
        form.addRow(self.limits)
        form.addRow(self.card)
        form.addRow("Results", self.out)
        form.addRow(self.where)
        form.addRow(self.watch_box)
        form.addRow(self.watching)
        return self.inputs

    def _more(self: Any) -> QWidget:
        self.settings = SettingsForm(SortSettings)
        self.more = QCollapsible("More", expandedIcon="▼", collapsedIcon="▶")
        self.more.setObjectName("more")
        self.more.setDuration(0)
        self.more.addWidget(self.where.cluster)
        self.more.addWidget(self.settings)
        self.more.collapse(animate=False)
        self.more.layout().setContentsMargins(0, 0, 0, 0)
        self.more.content().layout().setContentsMargins(0, 4, 0, 0)
        return self.more

    def _files(self: Any) -> QWidget:
        self.first_of = QComboBox()
        self.first_of.setObjectName("first_of")
        self.first_of.setToolTip("What a click on a file shows in the viewer")
        needs_focus_for_wheel(self.first_of)
        self.table = SortModel(self)
        self.view = SortView(self.table)
        self.files = QWidget()
        column = QVBoxLayout(self.files)
        column.setContentsMargins(0, 0, 0, 0)
        line = row("A click shows the first", self.first_of)
        line.setStretch(1, 1)
        column.addLayout(line)
        column.addWidget(self.view)
        self.files.setVisible(False)
        return self.files

    def show_classes(self: Any, names: Sequence[str]) -> None:
        """Offer these classes for what a click shows; one that was chosen stays."""
        offered = [*names, ANY]
        if offered == [self.first_of.itemText(k) for k in range(self.first_of.count())]:
            return
        with QSignalBlocker(self.first_of):
            before = self.first_of.currentText()
            self.first_of.clear()
            self.first_of.addItems(offered)
            chosen = next((name for name in (before, _FIRST) if name in offered), offered[0])
            self.first_of.setCurrentText(chosen)

    def ask_folder(self: Any) -> str:
        """Ask for a folder; empty when none was chosen."""
        start = (self.source.data.paths() or [""])[-1]
        return QFileDialog.getExistingDirectory(self, "Choose a folder or run", start)


def _text(name: str, tip: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setToolTip(tip)
    label.setWordWrap(True)
    return label
