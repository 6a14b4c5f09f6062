"""What the Beam centre dock looks at, and by which method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QSpinBox, QWidget

from napari_xfelsort.core.center.look import EVENT, Look
from napari_xfelsort.core.center.of_stack import STACK_METHODS
from napari_xfelsort.widgets.dock import button, row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.region_picker import RegionPicker

if TYPE_CHECKING:
    from napari_xfelsort.widgets.run import Run
    from napari_xfelsort.widgets.runs import ViewerRuns

#: What is looked at, in words.
_KINDS = {
    EVENT: "the event shown",
    "mean": "mean of many events",
    "median": "median of many events",
    "max": "maximum of many events",
}
#: Methods in words, as far as their names say too little.
ALL = "all"
_METHODS = {
    "auto": "automatic",
    "radial": "radial symmetry",
    "symmetry": "point symmetry",
    "beam_stop": "shadow of the beam stop",
    "reflex": "RefleX (published)",
    "friedel": "opposite peaks (Friedel pairs)",
}
_TIPS = {
    "auto": "All that helps, with an uncertainty; says so where it does not know",
    "radial": "Where the picture is best a function of the radius",
    "symmetry": "The point about which the picture is most like itself turned by 180 degrees",
    "beam_stop": "Middle of the round shadow; the stop need not be centred on the beam",
    "reflex": "Czyzewski et al. 2021, as published; tells no uncertainty",
    "friedel": "Stored peaks that lie opposite each other in many events; wants many events",
    ALL: "Every method on the same picture, to compare",
}


class CenterForm(QWidget):
    """Inputs of a search for the centre.

    Parameters
    ----------
    runs : ViewerRuns
        Of the viewer.
    """

    find_wanted = Signal()
    cancel_wanted = Signal()

    def __init__(self, runs: ViewerRuns) -> None:
        super().__init__()
        self.kind = QComboBox()
        self.kind.setObjectName("look_at")
        self.kind.setToolTip("The picture that the centre is found in")
        for kind, text in _KINDS.items():
            self.kind.addItem(text, kind)
        self.events = QSpinBox()
        self.events.setObjectName("n_events")
        self.events.setRange(1, 2000)
        self.events.setValue(50)
        self.events.setToolTip(
            "How many events, evenly over the run; of the median at most 49 are taken"
        )
        self.region = RegionPicker(runs)
        self.method = QComboBox()
        self.method.setObjectName("method")
        for method in (*STACK_METHODS, ALL):
            self.method.addItem(_METHODS.get(method, f"{method} of them, to compare"), method)
        self.find_button = button(
            "Find centre", "find", "Look for the centre", self.find_wanted.emit
        )
        self.cancel_button = button(
            "Cancel", "cancel", "Stop after the event that is being read", self.cancel_wanted.emit
        )
        self.cancel_button.setEnabled(False)
        for widget in (self.kind, self.events, self.method):
            needs_focus_for_wheel(widget)
        self._lay_out()
        self.kind.currentIndexChanged.connect(self._show)
        self.method.currentIndexChanged.connect(self._show)
        self._show()

    def set_run(self, run: Run | None) -> None:
        """Look at this run from now on."""
        self.region.set_run(run)

    def look(self, event: int) -> Look:
        """What is to be looked at while this event is shown.

        Raises
        ------
        RegionError
            If what was entered is no region.
        """
        return Look(self.kind.currentData(), event, self.events.value(), self.region.region())

    def methods(self) -> tuple[str, ...]:
        """The methods that are chosen."""
        chosen = self.method.currentData()
        return tuple(STACK_METHODS) if chosen == ALL else (chosen,)

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Look at", self.kind)
        form.addRow("Events", self.events)
        form.addRow("Pixels", self.region)
        form.addRow("Method", self.method)
        form.addRow(row(self.find_button, self.cancel_button))
        self._form = form

    def _show(self, *_: Any) -> None:
        many = self.kind.currentData() != EVENT
        self._form.setRowVisible(self.events, many)
        self.method.setToolTip(_TIPS.get(self.method.currentData(), ""))


def described(look: Look, n: int) -> str:
    """What was looked at, in a few words for a table."""
    what = f"event {look.event}" if look.kind == EVENT else f"{look.kind} of {n}"
    return what if look.region.kind == "whole" else f"{what}, part"
