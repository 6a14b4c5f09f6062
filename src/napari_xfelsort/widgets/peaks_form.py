"""The settings of the peak finder that is chosen."""

from __future__ import annotations

import os

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QSpinBox, QVBoxLayout, QWidget

from napari_xfelsort.core.peaks import PeakSettings
from napari_xfelsort.widgets.forms import SettingsForm
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.setting_sliders import Scale, SettingSlider

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
    "probability",
    "threshold",
    "min_snr",
    "min_pix_count",
)


#: What sliders reach.
_SCALES = {
    "min_peaks": Scale(1, 50, whole=True),
    "significance": Scale(3, 30),
    "robust_snr": Scale(3, 30),
    "window": Scale(8, 128, whole=True),
    "adu_per_photon": Scale(0.1, 1000, ratio=True),
    "repeats": Scale(0.01, 1),
    "probability": Scale(0, 1),
    "min_res": Scale(0, 2000),
    "max_res": Scale(0, 3000),
    "max_n_peaks": Scale(1, 10000, whole=True, ratio=True),
    "threshold": Scale(0.1, 10000, ratio=True),
    "min_snr": Scale(0, 20),
    "min_pix_count": Scale(1, 20, whole=True),
    "max_pix_count": Scale(1, 1000, whole=True, ratio=True),
    "local_bg_radius": Scale(1, 20, whole=True),
}


class PeakForm(QWidget):
    """An input for each setting that the chosen finder has, with a slider for numbers."""

    #: Something was entered, loaded or reset.
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.form = SettingsForm(PeakSettings, _FIRST)
        self.sliders = {
            name: SettingSlider(self.form.inputs[name], scale) for name, scale in _SCALES.items()
        }
        for slider in self.sliders.values():
            slider.setToolTip(slider.parentWidget().toolTip())
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


def processes_box() -> QSpinBox:
    """How many worker processes search a run."""
    box = QSpinBox()
    box.setObjectName("processes")
    box.setRange(0, os.cpu_count() or 1)
    box.setToolTip("Worker processes that search the run; 0: this program, beside the window")
    needs_focus_for_wheel(box)
    return box
