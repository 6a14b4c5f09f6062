"""Choosing a threshold after training: dragged, typed or by a rule, judged at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.learning.judging import DecisionRule, Judged, judged_of
from napari_xfelsort.core.learning.rule_choice import PRESETS, TEST, TRAINING, preset_threshold
from napari_xfelsort.core.metrics import evaluate
from napari_xfelsort.core.model import Model
from napari_xfelsort.widgets.dock import Message, button, row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.train_tables import decided_text, metrics_html
from napari_xfelsort.widgets.train_threshold_plot import Scores, ThresholdPlot

#: Width of a band when one is begun.
_BAND = 0.2
#: Least width of a box in pixels.
_BOX = 64


class ThresholdPanel(QWidget):
    """Shows what a threshold does to the events of the test share; nothing is fitted.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose theme the plot follows.
    """

    #: The user wants this rule in the model: the rule, and by which events it was chosen.
    wanted = Signal(object, str)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._model: Model | None = None
        self._judged: Judged | None = None
        self._rule = DecisionRule()
        self._where = TRAINING
        self._build(napari_viewer)

    @property
    def rule(self) -> DecisionRule:
        """What is shown."""
        return self._rule

    def show_model(self, model: Model) -> None:
        """Show how the model decides, and let it be changed."""
        self._model = model
        self._judged = judged_of(model.metrics, len(model.class_names))
        known = self._judged is not None and len(self._judged.classes) > 0
        two = model.positive is not None
        for widget in (self.plot, self.inputs, self.live, self.decided, self.use, self.back):
            widget.setVisible(known)
        self.rules.setVisible(known and two)
        self.band.setVisible(two)
        self.note.tell("")
        if not known:
            self.note.tell(
                "The model does not keep the events that it was tested with, so another threshold "
                "cannot be judged; train again with it."
            )
            return
        self._begin(model.rule, TRAINING)

    def _begin(self, rule: DecisionRule, where: str) -> None:
        """Show a rule from scratch: with a band or without."""
        self._rule, self._where = rule, where
        low, high = self._ends()
        with QSignalBlocker(self.band):
            self.band.setChecked(rule.band is not None)
        self._show_boxes(low, high)
        self.plot.show_scores(self._scores(), low, high)
        self._judge()

    def _ends(self) -> tuple[float, float]:
        if self._rule.band is not None:
            return self._rule.band
        start = 0.5 if self._rule.positive is not None else 0.0
        line = start if self._rule.threshold is None else self._rule.threshold
        return line, line

    def _scores(self) -> Scores:
        model, judged = self._model, self._judged
        assert model is not None
        assert judged is not None
        curves = model.metrics.get("curves") or {}
        if model.positive is not None:
            column = model.class_names.index(model.positive)
            scores = judged.probabilities[:, column]
            groups = {
                f"labelled {name}": scores[judged.classes == k]
                for k, name in enumerate(model.class_names)
            }
            return Scores(f"probability of {model.positive}", groups, curves, dragged=True)
        surest = judged.probabilities.max(axis=1)
        right = judged.probabilities.argmax(axis=1) == judged.classes
        groups = {"right": surest[right], "wrong": surest[~right]}
        return Scores("largest probability of an event", groups, curves, dragged=False)

    # --- what the user does -----------------------------------------------------------------

    def _moved(self, low: float, high: float) -> None:
        self._set(low, high, TEST)
        self._show_boxes(*self._ends())

    def _typed(self, _: float) -> None:
        low, high = self.low.value(), self.high.value()
        if not self.band.isChecked():
            high = low
        elif low > high:
            low = high = low if self.sender() is self.low else high
            self._show_boxes(low, high)
        self.plot.set_ends(low, high)
        self._set(low, high, TEST)

    def _band_chosen(self, wanted: bool) -> None:
        low, high = self._ends()
        middle = (low + high) / 2
        rule = DecisionRule(middle, self._rule.positive, None, self._rule.margin)
        if wanted:
            ends = max(0.0, middle - _BAND / 2), min(1.0, middle + _BAND / 2)
            rule = DecisionRule(middle, self._rule.positive, ends)
        self._begin(rule, TEST)

    def _preset_chosen(self, _: int = 0) -> None:
        preset = self.preset.currentData()
        for name, widgets in self._needed.items():
            for widget in widgets:
                widget.setVisible(name == preset)

    def use_preset(self) -> None:
        """Show the threshold of the rule that is chosen."""
        model, preset = self._model, self.preset.currentData()
        if model is None:
            return
        try:
            chosen = preset_threshold(
                model,
                preset,
                self.recall.value() / 100,
                self.cost_false.value(),
                self.cost_lost.value(),
            )
        except ModelError as error:
            self.note.tell_error(str(error))
            return
        threshold = None if preset == "default" else chosen.threshold
        self._begin(DecisionRule(threshold, model.positive), chosen.where)

    def show_own(self) -> None:
        """Show the model's own threshold again."""
        if self._model is not None:
            self._begin(self._model.rule, TRAINING)

    def _use(self) -> None:
        self.wanted.emit(self._rule, self._where)

    def _set(self, low: float, high: float, where: str) -> None:
        low, high = (float(np.clip(value, 0, 1)) for value in (low, high))
        old, self._where = self._rule, where
        if self.band.isChecked():
            self._rule = DecisionRule(old.threshold, old.positive, (low, high))
        else:
            never = old.positive is None and low == 0
            self._rule = DecisionRule(None if never else low, old.positive, None, old.margin)
        self._judge()

    # --- what it does -----------------------------------------------------------------------

    def _judge(self) -> None:
        """Count anew how the events of the test share are decided."""
        model, judged = self._model, self._judged
        assert model is not None
        assert judged is not None
        names = model.class_names
        chosen = self._rule.decide(judged.probabilities, names)
        found = evaluate(np.array(names)[judged.classes], chosen, names)
        self.live.setText(metrics_html(found))
        self.decided.setText(f"Of {found['n']} test events: {decided_text(chosen, names)}.")
        changed = self._rule != model.rule
        self.use.setEnabled(changed)
        self.back.setEnabled(changed)
        if not changed:
            self.note.tell("This is how the model decides now.")
        elif self._where == TEST:
            crossed = bool(model.metrics.get("out_of_fold"))
            how = "A rule" if crossed else "A rule after training with cross validate (More)"
            self.note.tell(
                "Chosen by looking at the test share, so these numbers are too hopeful. "
                f"{how} does not look at it."
            )
        else:
            self.note.tell(f"Chosen by {TRAINING}; the test share had no say.")

    def _show_boxes(self, low: float, high: float) -> None:
        for box, value in ((self.low, low), (self.high, high)):
            with QSignalBlocker(box):
                box.setValue(value)
        self.high.setVisible(self.band.isChecked())
        self.to.setVisible(self.band.isChecked())
        self.what.setText("unsure from" if self.band.isChecked() else "threshold")

    # --- widgets ------------------------------------------------------------------------

    def _build(self, napari_viewer: Any) -> None:
        self.plot = ThresholdPlot(napari_viewer, "threshold_curves")
        self.plot.moved.connect(self._moved)
        self.low = _box("threshold_low", "Probability from which the class is chosen", 1, 0.01, 4)
        self.high = _box("threshold_high", "Probability up to which events are unsure", 1, 0.01, 4)
        self.low.valueChanged.connect(self._typed)
        self.high.valueChanged.connect(self._typed)
        self.what, self.to = QLabel("threshold"), QLabel("to")
        self.band = QCheckBox("unsure band")
        self.band.setObjectName("threshold_band")
        self.band.setToolTip("Leave events undecided whose probability is between two values")
        self.band.toggled.connect(self._band_chosen)
        self.inputs = QWidget()
        ends = row(self.what, self.low, self.to, self.high)
        for box in (self.low, self.high):
            ends.setStretchFactor(box, 1)
        self.inputs.setLayout(ends)
        self.live = QLabel()
        self.live.setObjectName("live_metrics")
        self.live.setTextFormat(Qt.TextFormat.RichText)
        self.live.setWordWrap(True)
        # Many classes must not make the dock wide.
        self.live.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.decided = QLabel()
        self.decided.setObjectName("live_decided")
        self.decided.setWordWrap(True)
        self.note = Message()
        self.note.setObjectName("threshold_note")
        tip = "Keep this threshold in the model; the model says that it was set by hand"
        self.use = button("Use this threshold", "use_threshold", tip, self._use)
        tip = "Show the threshold that the model has"
        self.back = button("Reset", "own_threshold", tip, self.show_own)
        buttons = QWidget()
        buttons.setLayout(row(self.use, self.back))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.plot, self.inputs, self._build_rules(), self.decided, self.live):
            column.addWidget(widget)
        column.addWidget(self.note)
        column.addWidget(buttons)

    def _build_rules(self) -> QWidget:
        self.preset = QComboBox()
        self.preset.setObjectName("threshold_rule")
        self.preset.setToolTip("A rule that chooses the threshold")
        for name in PRESETS:
            self.preset.addItem(name.replace("_", " "), name)
        self.preset.setMinimumWidth(_BOX)
        self.preset.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        needs_focus_for_wheel(self.preset)
        self.recall = _box("threshold_recall", "Share of the class that must be found", 100, 1, 1)
        self.recall.setRange(1, 100)
        self.recall.setSuffix(" %")
        self.recall.setValue(95)
        tip = "Cost of an event wrongly chosen as the first class"
        self.cost_false = _box("threshold_cost_false", tip, 1e6, 1, 2)
        self.cost_lost = _box("threshold_cost_lost", "Cost of an event that is lost", 1e6, 1, 2)
        self.cost_false.setPrefix("wrong ")
        self.cost_lost.setPrefix("lost ")
        for box in (self.cost_false, self.cost_lost):
            box.setValue(1)
        self._needed = {
            "high_recall": (self.recall,),
            "costs": (self.cost_false, self.cost_lost),
        }
        tip = "Show the threshold that this rule chooses"
        act = button("Show", "show_rule", tip, self.use_preset)
        self.rules = QWidget()
        lines = QVBoxLayout(self.rules)
        lines.setContentsMargins(0, 0, 0, 0)
        chosen = row("rule", self.preset, act, self.band)
        chosen.setStretchFactor(self.preset, 1)
        lines.addLayout(chosen)
        lines.addLayout(row(self.recall, self.cost_false, self.cost_lost))
        self.preset.currentIndexChanged.connect(self._preset_chosen)
        self._preset_chosen()
        return self.rules


def _box(name: str, tip: str, most: float, step: float, decimals: int) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setObjectName(name)
    box.setToolTip(tip)
    box.setDecimals(decimals)
    box.setRange(0, most)
    box.setSingleStep(step)
    box.setKeyboardTracking(False)
    box.setMinimumWidth(_BOX)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    needs_focus_for_wheel(box)
    return box
