"""The results of training, one view at a time."""

from __future__ import annotations

import functools
import html
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_xfelsort.core.learning.comparison import Comparison
from napari_xfelsort.core.learning.learning_curve import LearningPoint
from napari_xfelsort.core.learning.model_differences import model_differences
from napari_xfelsort.core.learning.model_text import parameters_text, rule_text
from napari_xfelsort.core.model import Model
from napari_xfelsort.widgets.dock import Message, button, stacked
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.plot import Plot
from napari_xfelsort.widgets.plot_metrics import draw_metrics, metrics_height
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.runs import ViewerRuns
from napari_xfelsort.widgets.train_compare import ComparePanel
from napari_xfelsort.widgets.train_events import MistakesPanel
from napari_xfelsort.widgets.train_importance import ImportancePanel
from napari_xfelsort.widgets.train_plots import (
    CURVE_HEIGHT,
    RELIABILITY_HEIGHT,
    draw_learning_curve,
    draw_reliability,
)
from napari_xfelsort.widgets.train_summary import notes_html
from napari_xfelsort.widgets.train_tables import span_text
from napari_xfelsort.widgets.train_threshold import ThresholdPanel

REPORT, THRESHOLD, MISTAKES, IMPORTANT, LEARNING, RELIABILITY, COMPARED, CARD = (
    "Confusion matrix and report",
    "Threshold, ROC and precision-recall",
    "Events decided wrongly",
    "Most important pixels and features",
    "Learning curve",
    "Reliability of probabilities",
    "All models compared",
    "Model card and differences",
)


class ResultsPanel(QWidget):
    """Shows a model in several views, of which the user chooses.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose theme plots follow.
    runs : ViewerRuns
        The runs of the viewer.
    """

    #: The user wants a learning curve.
    curve_wanted = Signal()

    def __init__(self, napari_viewer: Any, runs: ViewerRuns) -> None:
        super().__init__()
        self.model: Model | None = None
        self._run: Run | None = None
        self._late: set[str] = set()
        self.about = _text("about_model")
        self.notes = _text("notes")
        self.notes.setTextFormat(Qt.TextFormat.RichText)
        self.view = QComboBox()
        self.view.setObjectName("view")
        self.view.setToolTip("What to see of the model")
        needs_focus_for_wheel(self.view)
        self.plot = Plot(napari_viewer, "metrics")
        self.intervals = _text("intervals")
        self.threshold = ThresholdPanel(napari_viewer)
        self.mistakes = MistakesPanel()
        self.important = ImportancePanel(napari_viewer, runs)
        self.learning_plot = Plot(napari_viewer, "learning_curve")
        self.learning_note = Message()
        self.learning_note.setObjectName("learning_note")
        self.reliability_plot = Plot(napari_viewer, "reliability")
        self.reliability_note = Message()
        self.reliability_note.setObjectName("reliability_note")
        self.compared = ComparePanel(napari_viewer)
        self.card = _text("card")
        self.card.setTextFormat(Qt.TextFormat.RichText)
        self.card.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        tip = "Train with more and more of the labels, to see whether more would help"
        self.curve_button = button("Compute", "learning", tip, self.curve_wanted)
        self.pages = {
            REPORT: stacked(self.plot, self.intervals),
            THRESHOLD: self.threshold,
            MISTAKES: self.mistakes,
            IMPORTANT: self.important,
            LEARNING: stacked(self.learning_note, self.curve_button, self.learning_plot),
            RELIABILITY: stacked(self.reliability_note, self.reliability_plot),
            COMPARED: self.compared,
            CARD: stacked(self.card),
        }
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.about, self.notes, self.view, *self.pages.values()):
            column.addWidget(widget)
        self.view.addItems(list(self.pages))
        self.view.currentTextChanged.connect(self._choose)
        self._choose()

    @property
    def plots(self) -> tuple[Plot, ...]:
        """All pictures, the first of them that of the confusion matrix."""
        return (
            self.plot,
            self.threshold.plot,
            self.important.plot,
            self.learning_plot,
            self.reliability_plot,
            self.compared.plot,
        )

    def release(self) -> None:
        """Let go of the viewer."""
        self.important.release()
        for plot in self.plots:
            if plot is not self.important.plot:
                plot.release()

    def show_view(self, name: str) -> None:
        """Show one of the views."""
        self.view.setCurrentText(name)

    def show_model(
        self,
        model: Model,
        run: Run | None,
        cautions: list[str],
        earlier: Model | None,
        can_learn: bool,
    ) -> None:
        """Show a model.

        Parameters
        ----------
        model : Model
        run : Run or None
            Where its events are looked for.
        cautions : list of str
            Of using it here.
        earlier : Model or None
            To tell the differences from.
        can_learn : bool
            Whether its training set is at hand, for a learning curve.
        """
        self.model, self._run = model, run
        self.about.setText(_about(model))
        notes = [*cautions, *model.warnings]
        self.notes.setText(notes_html(notes))
        self.notes.setVisible(bool(notes))
        self.intervals.setText(_intervals(model))
        self.card.setText(card_html(model, earlier))
        self.learning_plot.clear()
        self.curve_button.setEnabled(can_learn)
        self.learning_note.tell(
            "How accuracy grows with the number of labels, by cross-validation inside the "
            "training share: is it worth labelling more?"
            if can_learn
            else "The training set of a model from a file is not at hand; train one for its curve."
        )
        self._show_reliability(model)
        self._late = {REPORT, THRESHOLD, MISTAKES, IMPORTANT}
        self._choose()

    def follow_run(self, run: Run | None) -> None:
        """Look for the events of the model in another run."""
        self._run = run
        self._late |= {MISTAKES, IMPORTANT}
        self._choose()

    def show_comparison(self, comparison: Comparison) -> None:
        """Show models side by side."""
        self.compared.show_comparison(comparison)
        self._choose()

    def show_learning(self, points: list[LearningPoint]) -> None:
        """Show a learning curve."""
        self.learning_plot.draw(
            functools.partial(draw_learning_curve, points=points), CURVE_HEIGHT
        )

    def labels_changed(self) -> None:
        """Mark events that were labelled anew."""
        self.mistakes.labels_changed(self.model)

    def _show_reliability(self, model: Model) -> None:
        steps = model.metrics.get("reliability") or {}
        how = "not calibrated" if model.calibration is None else model.calibration.method
        brier = model.metrics.get("brier")
        score = "" if brier is None else f" Brier score {brier:.4f}."
        told = {"sigmoid": "calibrated (sigmoid)", "isotonic": "calibrated (isotonic)"}
        self.reliability_note.tell(
            f"Probabilities are {told.get(how, how)}; on the dotted line they mean what they "
            f"say.{score}"
        )
        if steps:
            self.reliability_plot.draw(
                functools.partial(draw_reliability, steps=steps), RELIABILITY_HEIGHT
            )
        else:
            self.reliability_plot.clear()

    def _choose(self, _: str = "") -> None:
        """Show the view that is chosen; what takes time is made when it is first seen."""
        name, model = self.view.currentText(), self.model
        self.compared.table.setVisible(self.compared.comparison is not None)
        self.compared.keep_button.setVisible(self.compared.comparison is not None)
        if self.compared.comparison is None:
            self.compared.about.tell("Compare all trains every model; they are shown here then.")
        if model is not None and name in self._late:
            self._late.discard(name)
            if name == REPORT:
                drawing = functools.partial(draw_metrics, metrics=model.metrics)
                self.plot.draw(drawing, metrics_height(model.metrics))
            elif name == THRESHOLD:
                self.threshold.show_model(model)
            elif name == MISTAKES:
                self.mistakes.show_model(model, self._run)
            else:
                self.important.show_model(model, self._run)
        for each, page in self.pages.items():
            page.setVisible(each == name)


def card_html(model: Model, earlier: Model | None) -> str:
    """What a model is and where it comes from; what is different from the one before."""
    said, m = model.provenance, model.metrics
    settings = said.get("settings") or {}
    search = m.get("search")
    rows = [
        ("model", str(settings.get("model", "?")).replace("_", " ")),
        ("classes", ", ".join(model.class_names)),
        ("region", str(model.region)),
        ("features", f"{model.extractor.n_features}: {', '.join(model.features.kinds)}"),
        ("rule", rule_text(model)),
        ("split", str((m.get("split") or {}).get("why", ""))),
        ("events", f"{m.get('n_train', '?')} train, {m.get('n', '?')} test"),
        ("parameters", parameters_text(said.get("parameters") or {}) or "as set"),
    ]
    if search:
        rows.append(("search", f"{search['search']}, {search['fits']} fits"))
    rows += [
        ("trained", str(said.get("time", "at an unknown time"))),
        ("versions", ", ".join(f"{k} {v}" for k, v in (said.get("versions") or {}).items())),
        ("files", "; ".join(map(str, said.get("files") or []))),
        ("key", model.digest),
    ]
    lines = [f"<b>{name}:</b> {html.escape(text)}" for name, text in rows if text]
    if earlier is not None and earlier is not model:
        lines.append("<br><b>Against the model before:</b>")
        lines += [f"• {html.escape(text)}" for text in model_differences(model, earlier)]
    return "<br>".join(lines)


def _about(model: Model) -> str:
    m = model.metrics
    name = str((model.provenance.get("settings") or {}).get("model", "model")).replace("_", " ")
    split = m.get("split") or {}
    return (
        f"{name} on {model.region}, {model.extractor.n_features} features. "
        f"{split.get('why', '')} {m.get('n_train', '?')} events train, {m.get('n', '?')} test.\n"
        f"{rule_text(model)}"
    )


def _intervals(model: Model) -> str:
    m, spans = model.metrics, model.metrics.get("intervals")
    if not spans:
        return ""
    parts = [
        f"accuracy {span_text(m['accuracy'], spans['accuracy'])} %",
        f"mean F1 {span_text(m['macro']['f1'], spans['macro_f1'])} %",
    ]
    for name, curves in (m.get("curves") or {}).items():
        span = spans["auc"] if len(m["curves"]) == 1 else None
        parts.append(f"AUC of {name} {span_text(curves['auc'], span)} %")
    text = f"95 % intervals: {', '.join(parts)}."
    found = m.get("out_of_fold")
    if found:
        text += (
            f" Cross-validation inside the training share: accuracy "
            f"{span_text(found['accuracy'], None)} %, "
            f"mean F1 {span_text(found['macro_f1'], None)} %."
        )
    return text


def _text(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    return label
