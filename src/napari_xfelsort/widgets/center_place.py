"""The centre that is chosen: typed or moved, beside the geometry's, and written back."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QSpinBox, QVBoxLayout, QWidget

from napari_xfelsort.core.center.shifting import detector_shift
from napari_xfelsort.widgets.dock import PathField, button, row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.widgets.center_overlay import Placed
    from napari_xfelsort.widgets.run import Run

#: Rings at most, and farthest centre in pixels.
_MOST_RINGS, _FAR = 8, 1e6


class PlacePanel(QWidget):
    """Row and column of the centre, the rings, and how far it is from the geometry's."""

    #: Another centre was typed: row and column.
    typed = Signal(float, float)
    #: So many rings are wanted.
    rings_wanted = Signal(int)
    drag_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.x = _box("center_x", "Column of the centre; pixel centres are at whole numbers")
        self.y = _box("center_y", "Row of the centre; pixel centres are at whole numbers")
        self.rings = QSpinBox()
        self.rings.setObjectName("n_rings")
        self.rings.setRange(0, _MOST_RINGS)
        self.rings.setValue(1)
        self.rings.setToolTip("Rings to fit by hand; drag one by its line in the picture")
        needs_focus_for_wheel(self.rings)
        self.drag_button = button(
            "Drag in picture",
            "drag",
            "Drag the cross, or a ring by its line; with Shift the far side of the ring stays, "
            "so that centre and radius follow",
            self.drag_wanted.emit,
        )
        self.difference = QLabel()
        self.difference.setObjectName("difference")
        self.difference.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        line = row("Centre  x", self.x, "y", self.y)
        line.setStretch(1, 1)
        line.setStretch(3, 1)
        column.addLayout(line)
        below = row("Rings", self.rings, self.drag_button)
        below.setStretch(2, 1)
        column.addLayout(below)
        column.addWidget(self.difference)
        for box in (self.x, self.y):
            box.valueChanged.connect(self._typed)
        self.rings.valueChanged.connect(self.rings_wanted)

    def show_place(self, run: Run | None, placed: Placed | None) -> None:
        """Show where the centre is."""
        self.drag_button.setEnabled(run is not None)
        for box, value in zip((self.y, self.x), placed.center if placed else (0, 0), strict=True):
            with QSignalBlocker(box):
                box.setValue(value)
            box.setEnabled(placed is not None)
        self.difference.setText(_beside_geometry(run, placed))

    def _typed(self, *_: Any) -> None:
        self.typed.emit(self.y.value(), self.x.value())


def _box(name: str, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setObjectName(name)
    box.setToolTip(tip)
    box.setRange(-_FAR, _FAR)
    box.setDecimals(2)
    box.setSingleStep(0.25)
    box.setKeyboardTracking(False)
    needs_focus_for_wheel(box)
    return box


def _beside_geometry(run: Run | None, placed: Placed | None) -> str:
    """How far the centre is from where the geometry has the beam, in words."""
    if run is None:
        return "Open a run first."
    geometry = run.stack.geometry
    if placed is None:
        return "The centre of this run is not known yet: find it, or drag it in the picture."
    if geometry is None:
        return "The run has no geometry to compare this centre with."
    return difference_text(geometry, *placed.center)


def difference_text(geometry: Geometry, y: float, x: float) -> str:
    """How far a point of the picture is from where a geometry has the beam."""
    row_, column = geometry.beam_position
    right, down = x - column, y - row_
    away = math.hypot(right, down)
    if away < 0.005:
        return "This is where the geometry has the beam."
    move_x, move_y = (1000 * move for move in detector_shift(geometry, y, x))
    length = 1000 * away * geometry.pixel_size
    return (
        f"{away:.2f} px ({length:.3f} mm) from the geometry's beam: x\u00a0{right:+.2f}\u00a0px, "
        f"y\u00a0{down:+.2f}\u00a0px. The detector would move by x\u00a0{move_x:+.3f}\u00a0mm, "
        f"y\u00a0{move_y:+.3f}\u00a0mm (y upward)."
    )


class WritePanel(QWidget):
    """A geometry file with the chosen centre, and the run opened with it."""

    save_wanted = Signal()
    use_wanted = Signal()
    undo_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.file = PathField(
            "shifted_file",
            "new file",
            "Where the shifted geometry is written",
            "Geometry (*.geom)",
            "a new .geom file",
        )
        self.file.line.setToolTip("A copy of the geometry with the corners of all panels moved")
        self.save_button = button(
            "Save",
            "save",
            "Write the geometry with this centre; asks before a file is replaced",
            self.save_wanted.emit,
        )
        self.use_button = button(
            "Use on this run",
            "use",
            "Write the geometry and open the run again with it: rings and readout follow",
            self.use_wanted.emit,
        )
        self.undo_button = button(
            "Undo", "undo", "Open the run with the geometry it had before", self.undo_wanted.emit
        )
        self.hint = QLabel()
        self.hint.setObjectName("write_hint")
        self.hint.setWordWrap(True)
        self.hint.setEnabled(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row("Geometry", self.file))
        column.addLayout(row(self.save_button, self.use_button, self.undo_button))
        column.addWidget(self.hint)

    def show_run(self, run: Run | None) -> None:
        """Offer a name beside the run's geometry."""
        geometry = None if run is None else run.stack.geometry
        source = None if run is None else run.opened.geometry
        hint = ""
        if run is not None and geometry is None:
            hint = "A centre is written into a geometry; give the run one in the Open run dock."
        elif geometry is not None and geometry.text is None:
            hint = "Only a CrystFEL geometry can be written with another centre."
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        if source is not None and geometry is not None and geometry.text is not None:
            self.file.set_paths(free_name(source))
        else:
            self.file.set_paths()

    def allow(self, write: bool, undo: bool) -> None:
        """What may be pressed."""
        self.save_button.setEnabled(write)
        self.use_button.setEnabled(write)
        self.undo_button.setEnabled(undo)


def free_name(source: str) -> str:
    """A name for a shifted geometry beside another, that no file has."""
    stem, ending = os.path.splitext(os.path.abspath(source))
    stem = stem.rpartition("-centre")[0] or stem
    number = 1
    while True:
        path = f"{stem}-centre{number if number > 1 else ''}{ending}"
        if not os.path.exists(path):
            return path
        number += 1
