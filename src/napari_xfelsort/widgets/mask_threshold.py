"""Bad pixels by the values of an image: the event shown, a mean, or a feature of a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QLineEdit, QVBoxLayout, QWidget

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.edits import Threshold
from napari_xfelsort.core.masks.pixel_trace import mean_frame
from napari_xfelsort.widgets.dock import button, row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.mask_text import WrappedText
from napari_xfelsort.widgets.workers import Job, Report, counted

if TYPE_CHECKING:
    from napari_xfelsort.widgets.mask_state import MaskState

_EVENT, _MEAN = "event shown", "mean of the run"


class ThresholdPanel(QWidget):
    """An image, a range, and a button.

    Parameters
    ----------
    state : MaskState
        What is edited.
    """

    #: It cannot be done: a sentence.
    refused = Signal(str)

    def __init__(self, state: MaskState) -> None:
        super().__init__()
        self.state = state
        self._job: Job | None = None
        self._wanted: tuple[float | None, float | None, bool] = (None, None, False)
        self.image = QComboBox()
        self.image.setObjectName("threshold_image")
        self.image.setToolTip("Whose values decide: the event shown, a mean, or a feature")
        self.image.currentIndexChanged.connect(self._tell_range)
        needs_focus_for_wheel(self.image)
        self.low, self.high = _line("threshold_low", "lowest"), _line("threshold_high", "highest")
        self.erase = QCheckBox("erase")
        self.erase.setObjectName("threshold_erase")
        self.erase.setToolTip("Pixels in the range become good instead of bad")
        self.apply_button = button(
            "Apply", "threshold_apply", "Pixels from lowest to highest become bad", self.apply
        )
        self.range = WrappedText("threshold_range")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row("Image", self.image))
        column.addLayout(row("From", self.low, "to", self.high, self.erase, self.apply_button))
        column.addWidget(self.range)
        self.fill()

    def release(self) -> None:
        """Stop work."""
        if self._job is not None:
            self._job.stop()

    def fill(self) -> None:
        """Offer the images that there are."""
        here = self.image.currentText()
        features = [name for name in self.state.images if name not in (_EVENT, _MEAN)]
        features = [name for name in features if not name.startswith("event ")]
        with QSignalBlocker(self.image):
            self.image.clear()
            self.image.addItems([_EVENT, _MEAN, *features])
            self.image.setCurrentIndex(max(0, self.image.findText(here)))
        self._tell_range()

    def apply(self) -> None:
        """Do the threshold, after its image was read if it is not there yet."""
        try:
            self._wanted = _value(self.low), _value(self.high), self.erase.isChecked()
            Threshold("image", *self._wanted)
        except SettingsError as error:
            self.refused.emit(str(error))
            return
        run, chosen = self.state.run, self.image.currentText()
        if run is None or self._job is not None:
            return
        if chosen == _EVENT and run.current is None:
            self.refused.emit("No event is shown.")
            return
        name = f"event {run.stack.event_id(run.current).short}" if chosen == _EVENT else chosen
        if name in self.state.images:
            self._do(name)
            return
        stack, event = run.stack, run.current

        def work(report: Report) -> tuple[str, NDArray[Any]]:
            if chosen == _EVENT and event is not None:
                return name, stack.raw(event)
            return name, mean_frame(stack, progress=counted(report))

        self._job = Job("reading an image", work)
        self._job.succeeded.connect(self._take)
        self._job.failed.connect(self.refused)
        self._job.ended.connect(self._ended)
        self.apply_button.setEnabled(False)
        self._job.start()

    def _take(self, found: tuple[str, NDArray[Any]]) -> None:
        name, image = found
        run = self.state.run
        if run is None or image.shape != run.stack.raw_shape:
            return  # another run was chosen meanwhile
        self.state.add_image(name, image)
        self._do(name)
        self._tell_range()

    def _ended(self) -> None:
        self._job = None
        self.apply_button.setEnabled(True)

    def _do(self, name: str) -> None:
        self.state.add(Threshold(name, *self._wanted))

    def _tell_range(self, *_: Any) -> None:
        image = self.state.images.get(self.image.currentText())
        text = ""
        if image is not None:
            sample = np.asarray(image).ravel()[:: max(1, np.size(image) // 100_000)]
            sample = sample[np.isfinite(sample)]
            if sample.size:
                ends = np.percentile(sample, (1, 50, 99))
                text = "1 %, half and 99 % of pixels are below {:.4g}, {:.4g}, {:.4g}.".format(
                    *ends
                )
        self.range.setText(text)
        self.range.setVisible(bool(text))


def _line(name: str, text: str) -> QLineEdit:
    line = QLineEdit()
    line.setObjectName(name)
    line.setPlaceholderText(text)
    line.setToolTip(f"The {text} value, which is included; empty for no limit")
    return line


def _value(line: QLineEdit) -> float | None:
    text = line.text().strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise SettingsError(f"{text!r} is no number.") from error
