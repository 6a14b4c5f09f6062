"""All models side by side: a row to choose is the model to keep."""

from __future__ import annotations

import functools
import math
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.core.learning.comparison import Compared, Comparison, difference_text
from napari_xfelsort.widgets.dock import Message, button, choose_whole_rows
from napari_xfelsort.widgets.plot import Plot
from napari_xfelsort.widgets.train_plots import bars_height, draw_comparison
from napari_xfelsort.widgets.train_tables import span_text

COLUMNS = (
    "model",
    "CV F1 %",
    "accuracy %",
    "F1 %",
    "AUC %",
    "to best %",
    "p",
    "fit s",
    "µs/event",
)
_TIPS = (
    "The algorithm",
    "Mean F1 in cross-validation inside the training share, by which they are ordered",
    "Accuracy on the test share, with its 95 % interval",
    "Mean F1 on the test share, with its 95 % interval",
    "Area under the ROC curve on the test share, with its 95 % interval",
    "Accuracy less that of the best, on the same test events, with its 95 % interval",
    "Probability that models as good as each other differ so much (McNemar)",
    "Time of the last fit",
    "Time of a decision",
)


class ComparePanel(QWidget):
    """What became of every model, and which to keep.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose theme the plot follows.
    """

    #: The user chose a model to keep: its `Compared`.
    kept = Signal(object)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.comparison: Comparison | None = None
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setObjectName("comparison")
        self.table.setToolTip("Double-click or Enter keeps a row as the model")
        self.table.setHorizontalHeaderLabels(COLUMNS)
        for k, tip in enumerate(_TIPS):
            self.table.horizontalHeaderItem(k).setToolTip(tip)
        choose_whole_rows(self.table)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.itemActivated.connect(self._keep_item)
        tip = (
            "Take the model of the row that is chosen; its results are shown, and it can be saved"
        )
        self.keep_button = button("Keep this model", "keep_model", tip, self.keep)
        self.about = Message()
        self.about.setObjectName("comparison_about")
        self.plot = Plot(napari_viewer, "models_compared")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.table, self.keep_button, self.about, self.plot):
            column.addWidget(widget)

    def show_comparison(self, comparison: Comparison) -> None:
        """Show models side by side."""
        self.comparison = comparison
        rows = comparison.rows
        self.table.setRowCount(len(rows))
        for number, compared in enumerate(rows):
            for column, text in enumerate(_cells(compared)):
                item = QTableWidgetItem(text)
                item.setToolTip(compared.why_not or _TIPS[column])
                if column:
                    item.setTextAlignment(
                        int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                    )
                self.table.setItem(number, column, item)
        self.table.selectRow(0)
        around = self.table.horizontalHeader().sizeHint().height()
        around += self.table.horizontalScrollBar().sizeHint().height() + 6
        self.table.setFixedHeight(22 * len(rows) + around)
        best = comparison.best
        failed = [f"{row.name.replace('_', ' ')}: {row.why_not}" for row in rows if row.why_not]
        self.about.tell(
            "\n".join(
                [
                    "The order is that of cross-validation inside the training share: choose by "
                    "it. To choose by the test share would make its numbers too hopeful.",
                    best.metrics["intervals"]["method"],
                    *failed,
                ]
            )
        )
        self.plot.draw(functools.partial(draw_comparison, rows=rows), bars_height(len(rows)))

    def keep(self) -> None:
        """Keep the model of the row that is chosen."""
        row = self.table.currentRow()
        if self.comparison is not None and 0 <= row < len(self.comparison.rows):
            self.kept.emit(self.comparison.rows[row])

    def _keep_item(self, item: QTableWidgetItem) -> None:
        self.table.selectRow(item.row())
        self.keep()


def _cells(compared: Compared) -> list[str]:
    name = compared.name.replace("_", " ")
    model = compared.model
    if model is None:
        return [name, *["–"] * (len(COLUMNS) - 1)]
    metrics, seconds = model.metrics, model.provenance["seconds"]
    spans, curves = metrics["intervals"], list(metrics["curves"].values())
    gain = compared.to_best
    return [
        name,
        "–" if math.isnan(compared.score) else f"{100 * compared.score:.1f}",
        span_text(metrics["accuracy"], spans["accuracy"]),
        span_text(metrics["macro"]["f1"], spans["macro_f1"]),
        span_text(curves[0]["auc"], spans["auc"]) if len(curves) == 1 else "–",
        "" if gain is None else difference_text(gain),
        "" if gain is None else f"{gain.p_value:.2g}",
        f"{seconds['fit']:.2f}",
        f"{1e6 * seconds['decide_per_event']:.0f}",
    ]
