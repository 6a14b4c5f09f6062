"""Going to events, contrast, and what is under the cursor."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.core.contrast import HIGH, LOW
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.readout import Readout
from napari_xfelsort.widgets.dock import Message, button, row
from napari_xfelsort.widgets.layers import MASK_COLOURS, NAN_COLOUR
from napari_xfelsort.widgets.run import Run

#: Milliseconds between two looks at what is under a moving cursor.
_LOOK_INTERVAL = 40
#: Fields of the readout by row; those alone in a row may be long.
_ROWS = (("event",), ("pixel",), ("panel", "value"), ("q", "d"))


class GoTo(QWidget):
    """Steps, jumps, and going to an event by number or id.

    Parameters
    ----------
    message : Message
        Where an event that is not there is told.
    """

    def __init__(self, message: Message) -> None:
        super().__init__()
        self._message = message
        self.run: Run | None = None
        self.line = QLineEdit()
        self.line.setObjectName("go_to")
        self.line.setPlaceholderText("number from 0, or id: file //12")
        self.line.setToolTip("An event's number, or its name as in a CrystFEL list; Enter goes")
        self.line.returnPressed.connect(self.go)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row("Event", self.line, button("Go", "go", "Go to it", self.go)))
        layout.addLayout(
            row(
                button("◀ Previous", "previous", "Previous event (J or ←)", self.previous),
                button("Next ▶", "next", "Next event (K or →)", self.next),
                button("Random", "random", "An event chosen at random (H)", self.random),
            )
        )

    def go(self) -> None:
        """Go to the event that the line names."""
        text = self.line.text().strip()
        if self.run is None or not text:
            return
        i = self.run.find(text)
        if i is None:
            self._message.tell_error(
                f"There is no event {text!r} in this run; give a number from 0 to "
                f"{len(self.run) - 1}, or a name as in a list: FILE //INDEX."
            )
            return
        self._message.tell("")
        self.run.go_to(i)

    def previous(self) -> None:
        """Show the event before."""
        if self.run is not None:
            self.run.step(-1)

    def next(self) -> None:
        """Show the event after."""
        if self.run is not None:
            self.run.step(1)

    def random(self) -> None:
        """Show some event."""
        if self.run is not None:
            self.run.go_to_random()


class Contrast(QWidget):
    """Contrast by percentiles, and the logarithm of values."""

    def __init__(self) -> None:
        super().__init__()
        self.run: Run | None = None
        self.low = self._percent("contrast_low", LOW, "Percentile shown black")
        self.high = self._percent("contrast_high", HIGH, "Percentile shown white")
        self.every = QCheckBox("every event")
        self.every.setObjectName("contrast_every")
        self.every.setToolTip("Set contrast anew for each event that is shown")
        self.every.toggled.connect(self._apply_every)
        self.log = QCheckBox("log")
        self.log.setObjectName("log")
        self.log.setToolTip("Show sign(v) log10(1 + |v|); the value under the cursor stays in ADU")
        self.log.toggled.connect(self._apply_log)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(
            row(
                self.low,
                "to",
                self.high,
                button(
                    "Set",
                    "contrast_set",
                    "Set contrast from this event, masked pixels left out",
                    self.set,
                ),
            )
        )
        layout.addLayout(row(self.every, self.log))
        layout.addWidget(legend())

    def _percent(self, name: str, value: float, tip: str) -> QDoubleSpinBox:
        box = QDoubleSpinBox()
        box.setObjectName(name)
        box.setRange(0, 100)
        box.setDecimals(2)
        box.setSingleStep(0.5)
        box.setSuffix(" %")
        box.setValue(value)
        box.setToolTip(tip)
        box.valueChanged.connect(self._changed)
        return box

    def show_run(self, run: Run | None) -> None:
        """Show how a run is drawn."""
        self.run = run
        for box, on in (
            (self.every, run is not None and run.percentiles is not None),
            (self.log, run is not None and run.frames.scale == "log"),
        ):
            box.blockSignals(True)
            box.setChecked(on)
            box.blockSignals(False)

    def set(self) -> None:
        """Set contrast from the event shown."""
        if self.run is not None and self.low.value() < self.high.value():
            self.run.set_contrast(self.low.value(), self.high.value())

    def _changed(self, _: float) -> None:
        self._apply_every(self.every.isChecked())

    def _apply_every(self, on: bool) -> None:
        if self.run is None:
            return
        valid = self.low.value() < self.high.value()
        self.run.percentiles = (self.low.value(), self.high.value()) if on and valid else None
        if on:
            self.set()

    def _apply_log(self, on: bool) -> None:
        if self.run is not None:
            self.run.set_scale("log" if on else "linear")


def legend() -> QLabel:
    """The colours of pixels that are masked or were not measured."""
    red, green, blue, _ = (round(255 * part) for part in NAN_COLOUR)
    entries = [(f"#{red:02x}{green:02x}{blue:02x}", "gap, not measured")]
    entries += [(colour, name) for _, colour, name in MASK_COLOURS]
    label = QLabel(
        "mask: "
        + " ".join(
            f'<span style="color:{colour}; font-size:large">■</span>&nbsp;{name}'
            for colour, name in reversed(entries)
        )
    )
    label.setObjectName("legend")
    label.setWordWrap(True)
    label.setToolTip("Why a pixel is masked: by its file, the geometry, its value, or you")
    return label


class Cursor(QWidget):
    """What is under the cursor: event, panel, pixel, value, q, resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.run: Run | None = None
        self._position: tuple[float, ...] = ()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        self.fields: dict[str, QLabel] = {}
        for place, names in enumerate(_ROWS):
            for number, name in enumerate(names):
                label = QLabel("–")
                label.setObjectName(f"cursor_{name}")
                label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
                self.fields[name] = label
                grid.addWidget(QLabel(name), place, 2 * number)
                grid.addWidget(label, place, 2 * number + 1, 1, 3 if len(names) == 1 else 1)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_LOOK_INTERVAL)
        self._timer.timeout.connect(self.look)

    def move(self, position: tuple[float, ...]) -> None:
        """The cursor is at this point of the world."""
        self._position = position
        if not self._timer.isActive():
            self._timer.start()

    def look(self) -> None:
        """Show what is there now."""
        found = self.run.readout(self._position) if self.run is not None else None
        texts = dict.fromkeys(self.fields, "–") if found is None else describe(found)
        for name, label in self.fields.items():
            label.setText(texts[name])
            label.setToolTip(texts[name])
        if found is not None:
            self.fields["event"].setToolTip(found.name)


def describe(found: Readout) -> dict[str, str]:
    """A readout in words, by field."""
    if found.pixel is None:
        pixel = "gap"
    else:
        *leading, ss, fs = found.pixel
        before = f"{', '.join(map(str, leading))}: " if leading else ""
        pixel = f"{before}fs {fs}, ss {ss}"
    value = "–" if math.isnan(found.value) else f"{found.value:.6g} ADU"
    return {
        "event": f"{found.event}: {EventId.parse(found.name).short}",
        "panel": found.panel or "–",
        "pixel": pixel,
        "value": value if found.pixel is None or value != "–" else "not measured",
        "q": "–" if math.isnan(found.q) else f"{found.q:.4g} Å⁻¹",
        "d": "–" if math.isnan(found.resolution) else f"{found.resolution:.4g} Å",
    }


def as_position(event: Any) -> tuple[float, ...]:
    """The cursor's place in the world from napari's event."""
    return tuple(float(v) for v in event.value)
