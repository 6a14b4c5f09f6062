"""A slider beside the input of a number: drags what could be typed as well."""

from __future__ import annotations

import math
from typing import NamedTuple

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QSlider

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.widgets.inputs import Input, needs_focus_for_wheel

#: Steps of a slider for numbers that need not be whole.
_STEPS = 400
#: Width of the input beside a slider, in pixels of the screen.
_INPUT_WIDTH = 96


class Scale(NamedTuple):
    """What a slider reaches; what is typed may be beyond.

    Attributes
    ----------
    low, high : float
    whole : bool
        Whether values are whole numbers.
    ratio : bool
        Whether equal steps are equal ratios.
    """

    low: float
    high: float
    whole: bool = False
    ratio: bool = False

    @property
    def steps(self) -> int:
        """Number of steps from one end to the other."""
        return round(self.high - self.low) if self.whole and not self.ratio else _STEPS

    def value(self, step: int) -> float:
        """The value at a step, rounded to three digits."""
        part = step / self.steps
        if self.ratio:
            value = self.low * (self.high / self.low) ** part
        else:
            value = self.low + part * (self.high - self.low)
        return round(value) if self.whole else float(f"{value:.3g}")

    def step(self, value: float) -> int:
        """The step nearest to a value."""
        if self.ratio:
            part = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return round(min(max(part, 0.0), 1.0) * self.steps)


class SettingSlider(QSlider):
    """Shows and changes the number of an input.

    Parameters
    ----------
    made : Input
        Of a number, or of a number that may be left out; the slider is laid out beside it.
    scale : Scale
        What it reaches.
    """

    def __init__(self, made: Input, scale: Scale) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setObjectName(f"{made.name}_slider")
        self.setRange(0, scale.steps)
        self.setPageStep(max(1, scale.steps // 10))
        self.setAccessibleName(made.name.replace("_", " "))
        self._made, self._scale = made, scale
        needs_focus_for_wheel(self)
        made.main.setFixedWidth(_INPUT_WIDTH)
        layout = made.layout()
        assert layout is not None
        layout.addWidget(self)
        made.changed.connect(self._follow)
        self.valueChanged.connect(self._drag)
        self._follow()

    def _follow(self) -> None:
        """Go where the input's value is; to the left where there is none."""
        try:
            value = self._made.value()
        except SettingsError:
            return  # the form says what is wrong
        with QSignalBlocker(self):
            self.setValue(0 if value is None else self._scale.step(float(value)))

    def _drag(self, step: int) -> None:
        value = self._scale.value(step)
        try:
            if self._scale.step(float(self._made.value())) == step:
                return  # what was typed is as near
        except (SettingsError, TypeError):
            pass  # no number yet
        with QSignalBlocker(self):
            self._made.show_value(value)
