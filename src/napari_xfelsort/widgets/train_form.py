"""The form for training: one test share in percent, and only settings that matter."""

from __future__ import annotations

import dataclasses
from typing import Any

from magicgui.widgets import FloatSpinBox
from qtpy.QtCore import QSignalBlocker

from napari_xfelsort.core.settings import Settings
from napari_xfelsort.core.train_settings import THRESHOLD_RULES, TrainSettings
from napari_xfelsort.widgets.forms import SettingsForm
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel

#: Settings that only some algorithms have.
_OF_MODELS = {
    "n_estimators": ("random_forest",),
    "max_depth": ("random_forest", "decision_tree"),
    "n_neighbors": ("k_nearest_neighbours",),
    "C": ("logistic_regression",),
    "class_weight": ("logistic_regression", "decision_tree", "random_forest"),
}
#: Settings that only some kinds of features have.
_OF_KINDS = {
    "bin": ("pixels",),
    "profile_axis": ("profile",),
    "profile_statistic": ("profile",),
    "radial_axis": ("radial",),
    "radial_bins": ("radial",),
    "radial_statistics": ("radial",),
    "quantiles": ("quantiles",),
    "metadata": ("metadata",),
}


class TrainForm(SettingsForm):
    """A form for `TrainSettings`."""

    def __init__(self) -> None:
        self.share = FloatSpinBox(min=1, max=99, step=0.1, value=30)
        super().__init__(
            TrainSettings,
            first=("model", "kinds", "threshold", "split"),
            leave_out=("train_share", "test_share"),
            offers={"threshold": THRESHOLD_RULES},
        )
        box = self.share.native
        box.setObjectName("test_percent")
        box.setSuffix(" %")
        box.setDecimals(1)
        box.setSingleStep(5)
        tip = "Share of the labelled events that only tests; the others train. Default: 30 %."
        box.setToolTip(tip)
        needs_focus_for_wheel(box)
        self.rows.insertRow(1, "test share", box)
        self.rows.labelForField(box).setToolTip(tip)
        self.share.changed.connect(self._shared)
        self.changed.connect(self._enable_what_matters)
        self._enable_what_matters()

    def settings(self) -> TrainSettings:
        settings = super().settings()
        assert isinstance(settings, TrainSettings)
        return settings

    def set_settings(self, settings: Settings) -> None:
        assert isinstance(settings, TrainSettings)
        with QSignalBlocker(self.share.native):
            self.share.value = round(100 * settings.test_share, 1)
        super().set_settings(settings)

    def _shared(self, percent: float) -> None:
        # As the command line reads --test.
        self._base = dataclasses.replace(
            self._base, train_share=(100 - percent) / 100, test_share=percent / 100
        )
        self._entered()

    def _enable_what_matters(self, *_: Any) -> None:
        model = self.inputs["model"].value()
        for name, models in _OF_MODELS.items():
            self.enable(name, model in models)
        self._enable_what_features_need()
        rule = self.inputs["threshold"].value()
        self.enable("recall", rule == "high_recall")

    def _enable_what_features_need(self) -> None:
        kinds = set(self.inputs["kinds"].value())
        for name, needed in _OF_KINDS.items():
            self.enable(name, bool(kinds & set(needed)))
        blocks = "pixels" in kinds and self.inputs["bin"].value() > 1
        self.enable("bin_statistic", blocks)
        in_rings = "radial" in kinds and "fraction" in self.inputs["radial_statistics"].value()
        self.enable("above", "intensity" in kinds or in_rings)
        self.enable("incoming", self.inputs["normalise"].value() == "incoming")
