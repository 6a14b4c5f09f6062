"""The settings of the peak finder that is chosen."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_xfelsort.core.peaks import PeakSettings
from napari_xfelsort.widgets.forms import SettingsForm

#: Settings that only some of the finders have.
_OF = {
    "poisson": ("significance", "adu_per_photon", "repeats"),
    "robust": ("robust_snr", "window", "adu_per_photon", "repeats"),
    "peakfinder8": (
        *("threshold", "min_snr", "min_pix_count", "max_pix_count"),
        "local_bg_radius",
    ),
    "learned": ("adu_per_photon", "repeats", "model", "probability"),
}
#: Those that are seen without unfolding.
_FIRST = (
    "finder",
    "min_peaks",
    "significance",
    "robust_snr",
    "window",
    "threshold",
    "min_snr",
    "min_pix_count",
)


class PeakForm(QWidget):
    """An input for each setting that the chosen finder has."""

    #: Something was entered, loaded or reset.
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.form = SettingsForm(PeakSettings, _FIRST)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form)
        self.form.changed.connect(self._changed)
        self._show_rows()

    def settings(self) -> PeakSettings:
        """What was entered.

        Raises
        ------
        SettingsError
            If a value is no number where one is needed, or out of range.
        """
        settings = self.form.settings()
        assert isinstance(settings, PeakSettings)
        return settings

    def _changed(self) -> None:
        self._show_rows()
        self.changed.emit()

    def _show_rows(self) -> None:
        chosen = self.form.inputs["finder"].value()
        for name in {name for names in _OF.values() for name in names}:
            self.form.show_row(name, name in _OF[chosen])
