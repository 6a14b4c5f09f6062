"""The form for training: what matters first, and only settings that change something."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from magicgui.widgets import FloatSpinBox
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QLabel

from napari_xfelsort.core.deep.networks import what_is_missing
from napari_xfelsort.core.deep.spi_settings import SpiNetworkSettings
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.learning.comparison import comparison_fits
from napari_xfelsort.core.settings import Settings
from napari_xfelsort.core.train_settings import NETWORKS, THRESHOLD_RULES, TrainSettings
from napari_xfelsort.widgets.dock import Message
from napari_xfelsort.widgets.forms import SettingsForm
from napari_xfelsort.widgets.inputs import OfferInput, grey_out, needs_focus_for_wheel

#: Settings that only some algorithms have.
_OF_MODELS = {
    "n_estimators": ("random_forest", "gradient_boosting", "spi"),
    "max_depth": ("random_forest", "decision_tree", "gradient_boosting", "spi"),
    "n_neighbors": ("k_nearest_neighbours",),
    "C": ("logistic_regression", "linear_svm"),
    "learning_rate": ("gradient_boosting", "spi"),
    "var_smoothing": ("naive_bayes",),
    "class_weight": (
        "logistic_regression",
        "decision_tree",
        "random_forest",
        "linear_svm",
        "gradient_boosting",
        "spi",
        "naive_bayes",
    ),
}
#: Settings that only some kinds of features have.
_OF_KINDS = {
    "bin": ("pixels",),
    "profile_axis": ("profile",),
    "profile_statistic": ("profile",),
    "radial_axis": ("radial", "ring_vector", "azimuthal", "scattering", "particle"),
    "radial_bins": ("radial",),
    "radial_statistics": ("radial",),
    "vector_rings": ("ring_vector", "azimuthal"),
    "beam_stop_sigma": ("ring_vector",),
    "azimuthal_groups": ("azimuthal",),
    "scattering_rings": ("scattering", "particle"),
    "adu_per_photon": ("particle",),
    "augmented": ("scattering", "particle"),
    "quantiles": ("quantiles",),
    "metadata": ("metadata",),
}
_FIRST = ("model", "target", "kinds", "bin", "normalise", "split", "threshold", "search")
#: Settings that networks do not have, and those of theirs that are shown first.
_NOT_OF_NETWORKS = ("search", "calibration", "components", "folds", "cross_validate")
_FIRST_OF_NETWORKS = ("preset", "recipe", "epochs", "strength", "device")
_HEADINGS = {
    "bin_statistic": "Features",
    "recall": "Decisions",
    "calibration": "Probabilities and cross-validation",
    "class_weight": "Algorithm",
    "workers": "Reading",
}


class TrainForm(SettingsForm):
    """A form for `TrainSettings`."""

    def __init__(self) -> None:
        self.share = FloatSpinBox(min=1, max=99, step=0.1, value=30)
        super().__init__(
            TrainSettings,
            first=_FIRST,
            leave_out=("train_share", "test_share"),
            offers={"threshold": THRESHOLD_RULES, "target": ("",)},
            headings=_HEADINGS,
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
        self.fits = QLabel()
        self.fits.setObjectName("fits")
        self.fits.setWordWrap(True)
        self.network = _network_form()
        self.missing = what_is_missing()
        self.lacking = Message()
        self.lacking.setObjectName("network_missing")
        self.rows.addRow(self.network)
        self.rows.addRow(self.lacking)
        self.rows.addRow(self.fits)
        for name in NETWORKS:
            grey_out(self.inputs["model"].main, name, self.missing)
        self.share.changed.connect(self._shared)
        self.changed.connect(self._show_what_matters)
        self.offer_targets((), False)
        self._show_what_matters()

    def settings(self) -> TrainSettings:
        settings = super().settings()
        assert isinstance(settings, TrainSettings)
        return settings

    def network_settings(self) -> SpiNetworkSettings | None:
        """How networks are trained, None where the model is none.

        Raises
        ------
        SettingsError
            If a value is no number where one is needed, or out of range.
        """
        if self.inputs["model"].value() not in NETWORKS:
            return None
        settings = self.network.settings()
        assert isinstance(settings, SpiNetworkSettings)
        return settings

    def reset(self) -> None:
        super().reset()
        self.network.reset()

    def set_settings(self, settings: Settings) -> None:
        assert isinstance(settings, TrainSettings)
        with QSignalBlocker(self.share.native):
            self.share.value = round(100 * settings.test_share, 1)
        super().set_settings(settings)

    def offer_targets(self, names: Sequence[str], several: bool) -> None:
        """Offer classes to tell from all others.

        Parameters
        ----------
        names : sequence of str
            Those that events have.
        several : bool
            Whether events have several; then a target is needed.
        """
        target = self.inputs["target"]
        assert isinstance(target, OfferInput)
        with QSignalBlocker(target):
            target.offer(("", *names))
        chosen = bool(str(target.value()))
        self.show_row("target", several or len(names) > 2 or chosen)

    def _shared(self, percent: float) -> None:
        # As the command line reads --test.
        self._base = dataclasses.replace(
            self._base, train_share=(100 - percent) / 100, test_share=percent / 100
        )
        self._entered()

    def _show_what_matters(self, *_: Any) -> None:
        model = self.inputs["model"].value()
        for name, models in _OF_MODELS.items():
            self._let(name, model in models)
        self._show_what_features_need()
        self._show_what_networks_need(model in NETWORKS)
        rule = self.inputs["threshold"].value()
        self._let("recall", rule == "high_recall")
        for name in ("cost_false_good", "cost_lost_good"):
            self._let(name, rule == "costs")
        searching = self.inputs["search"].value() != "none"
        for name in ("search_score", "search_limit"):
            self._let(name, searching)
        self._count_fits()

    def _show_what_networks_need(self, is_network: bool) -> None:
        self.network.setVisible(is_network)
        self.lacking.tell_error(self.missing if is_network else "")
        for name in _NOT_OF_NETWORKS:
            # What networks refuse can still be taken back.
            unset = self.inputs[name].value() == getattr(TrainSettings, name)
            self._let(name, not (is_network and unset))

    def _show_what_features_need(self) -> None:
        kinds = set(self.inputs["kinds"].value())
        if self.inputs["model"].value() == "spi" and kinds == {"pixels"}:
            kinds = {"particle"}  # as the settings have it
        for name, needed in _OF_KINDS.items():
            self._let(name, bool(kinds & set(needed)))
        blocks = "pixels" in kinds and self.inputs["bin"].value() > 1
        self._let("bin_statistic", blocks)
        in_rings = "radial" in kinds and "fraction" in self.inputs["radial_statistics"].value()
        self._let("above", "intensity" in kinds or in_rings)
        self._let("incoming", self.inputs["normalise"].value() == "incoming")

    def _let(self, name: str, matters: bool) -> None:
        self.enable(name, matters)
        self.show_row(name, matters)

    def _count_fits(self) -> None:
        """Say how long it will take, in fits, before it is begun."""
        try:
            settings = self.settings()
        except SettingsError:
            self.fits.setText("")
            return
        if settings.model in NETWORKS:
            self.fits.setText(
                "How long it takes is measured first, and told when training begins. Compare all "
                "leaves networks out."
            )
            return
        text = f"Training takes {_fits(settings.planned_fits)}"
        try:
            text += f", comparing all models {_fits(comparison_fits(settings))}"
        except SettingsError:
            text += "; the search is too long to compare all models"
        if settings.search != "none":
            sets = settings.search_fits // settings.folds
            text += f". The search tries {sets} sets of parameters on {settings.folds} parts"
        self.fits.setText(f"{text}.")


def _network_form() -> SettingsForm:
    """A form for whatever networks can be told, what matters most first."""
    known = {field.name for field in dataclasses.fields(SpiNetworkSettings)}
    first = [name for name in _FIRST_OF_NETWORKS if name in known]
    return SettingsForm(SpiNetworkSettings, first, name="network", without="by recipe")


def _fits(n: int) -> str:
    return "one fit" if n == 1 else f"up to {n} fits"
