"""Training a model of anomalies from a label folder, and how well it does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHeaderView,
    QTableView,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_xfelsort.core.anomalies.learners import LEARNERS
from napari_xfelsort.core.anomalies.names import ANOMALY_TITLES
from napari_xfelsort.core.deep.networks import what_is_missing
from napari_xfelsort.widgets.anomaly_work import NETWORK, SIZES, TrainedModel
from napari_xfelsort.widgets.dock import (
    Message,
    PathField,
    button,
    choose_whole_rows,
    label_folder_field,
    row,
)
from napari_xfelsort.widgets.inputs import grey_out, needs_focus_for_wheel

SUFFIX, NETWORK_SUFFIX = ".xfelanomalies", ".xfelmodel"
FILTER = f"Model of anomalies (*{SUFFIX})"
NETWORK_FILTER = f"Network (*{NETWORK_SUFFIX})"
_LEARNERS = {"best": "best of ours", "svm": "SVM (RefleX)", NETWORK: "network (ResNet-18)"}
_HEADINGS = ("anomaly", "events", "κ", "F1", "prec.", "recall", "AUC")
_TIPS = (
    "The anomaly",
    "Labelled events that have it",
    "Fleiss' kappa: how several labellers agree on it, 1 fully, 0 by chance",
    "F1 on the events that chose the parameters",
    "Precision there",
    "Recall there",
    "Area under the ROC curve there",
)


class TrainedTable(QAbstractTableModel):
    """A line an anomaly: labels, agreement, and metrics of the validation share."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.lines: list[tuple[str, ...]] = []

    def show_model(self, made: TrainedModel | None) -> None:
        """Show what training made; None for nothing."""
        self.beginResetModel()
        self.lines = [] if made is None else [_line(made, name) for name in made.counts]
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return len(self.lines)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(_HEADINGS)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.ToolTipRole:
            return _TIPS[section]
        return _HEADINGS[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        if role == Qt.ItemDataRole.DisplayRole:
            return self.lines[index.row()][index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{self.lines[index.row()][0]}: {_TIPS[index.column()]}"
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column():
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None


class TrainPanel(QCollapsible):
    """Labels, what learns, and what came of it."""

    train_wanted = Signal()
    save_wanted = Signal()

    def __init__(self) -> None:
        super().__init__("Train a model on labels", expandedIcon="▼", collapsedIcon="▶")
        self.setObjectName("train_section")
        self.setDuration(0)
        tip = "Folder of labels, several an event; any other label than an anomaly says: none"
        self.labels = label_folder_field(tip)
        self.learner = QComboBox()
        self.learner.setObjectName("learner")
        self.learner.setToolTip("What learns: ours, those of the RefleX paper, or a network")
        for name in ("best", *LEARNERS, NETWORK):
            self.learner.addItem(_LEARNERS.get(name, name.replace("_", " ")), name)
        needs_focus_for_wheel(self.learner)
        grey_out(self.learner, NETWORK, what_is_missing())
        self.sides = QComboBox()
        self.sides.setObjectName("picture_sizes")
        tip = (
            "Pictures that a network learns from, smaller ones first: each step takes four times "
        )
        tip += "as long as the one before. Without a graphics card beyond 128 px takes hours."
        self.sides.setToolTip(tip)
        for size in SIZES:
            self.sides.addItem(f"up to {size} px", size)
        self.sides.setCurrentIndex(1)
        needs_focus_for_wheel(self.sides)
        self.clean = QCheckBox("events without a label have none")
        self.clean.setObjectName("unlabelled_are_clean")
        self.clean.setToolTip("Otherwise events without a label are left out")
        tip = "Train a classifier for each labelled anomaly on the open run"
        self.button = button("Train", "train", tip, self.train_wanted.emit)
        self.notes = Message()
        self.notes.setObjectName("train_notes")
        self.view = _view()
        self.table = TrainedTable(self.view)
        self.view.setModel(self.table)
        self.file = PathField("new_model", "new file", "Save the model", FILTER, f"NAME{SUFFIX}")
        self.file.line.setToolTip("The file to save the trained model in")
        tip = "Save the trained model, to use it again here or with the command line"
        self.save_button = button("Save model", "save_model", tip, self.save_wanted.emit)
        self.made = QWidget()
        column = QVBoxLayout(self.made)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.notes)
        column.addWidget(self.view)
        column.addLayout(row(self.file, self.save_button))
        self.made.setVisible(False)
        held = QWidget()
        self.form = form = QFormLayout(held)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Labels", self.labels)
        form.addRow("Learner", self.learner)
        form.addRow("Pictures", self.sides)
        form.addRow(self.clean)
        form.addRow(self.button)
        form.addRow(self.made)
        self.addWidget(held)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.content().layout().setContentsMargins(8, 4, 0, 4)
        self.collapse(animate=False)
        self.learner.currentIndexChanged.connect(self._choose)
        self._choose()

    def _choose(self, index: int = 0) -> None:
        self.form.setRowVisible(self.sides, self.learner.currentData() == NETWORK)

    def show_made(self, made: TrainedModel | None) -> None:
        """Show what training made; None for nothing."""
        self.table.show_model(made)
        self.made.setVisible(made is not None)
        if made is None:
            return
        agreed = made.agreements.values()
        text = f"{made.n} labelled events. Metrics are of those that chose parameters: too good."
        if any(each.n_events for each in agreed):
            several = max(each.n_events for each in agreed)
            text += f" {several} events have several labellers (κ)."
        self.notes.tell(" ".join([text, *made.notes[:3]]))
        rows = len(self.table.lines)
        head = self.view.horizontalHeader().sizeHint().height()
        self.view.setFixedHeight(head + rows * self.view.verticalHeader().defaultSectionSize() + 4)
        self.view.resizeColumnsToContents()
        self.view.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def allow(self, train: bool, save: bool) -> None:
        """What may be pressed."""
        self.button.setEnabled(train)
        self.save_button.setEnabled(save)


def _view() -> QTableView:
    view = QTableView()
    view.setObjectName("trained")
    choose_whole_rows(view)
    view.setShowGrid(False)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return view


def _line(made: TrainedModel, name: str) -> tuple[str, ...]:
    agreed, metrics = made.agreements.get(name), made.model.metrics["per_class"][name]
    kappa = math.nan if agreed is None else agreed.kappa
    shown: Sequence[float | None] = (
        kappa,
        metrics["f1"],
        metrics["precision"],
        metrics["recall"],
        metrics["roc_auc"],
    )
    numbers = ("–" if v is None or math.isnan(v) else f"{v:.2f}" for v in shown)
    return (ANOMALY_TITLES.get(name, name), str(made.counts[name]), *numbers)
