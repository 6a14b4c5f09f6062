"""Choosing a region: panels clicked in the picture, shapes drawn on it, q, or text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.readout import known_beam
from napari_xfelsort.core.region import Region
from napari_xfelsort.widgets import region_layers as drawn
from napari_xfelsort.widgets.dock import button, stacked, text_line
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.panel_click import PanelClick

if TYPE_CHECKING:
    from napari.layers import Shapes

    from napari_xfelsort.widgets.run import Run
    from napari_xfelsort.widgets.runs import ViewerRuns

#: Ways to choose a region, and what they are called.
WHOLE, PANELS, SHAPES, Q, TEXT = "whole", "panels", "shapes", "q", "text"
_WAYS = {
    WHOLE: "whole frame",
    PANELS: "panels",
    SHAPES: "shapes on the picture",
    Q: "q range",
    TEXT: "text",
}
_NO_GEOMETRY = (
    "Panels, shapes and q need a geometry; give the run one in the Open run dock. As text, "
    "a window of raw pixels can be given."
)
_NO_BEAM = "A q range needs photon energy and camera length, which are not known here."
#: Milliseconds that a shape must rest while it is drawn.
_REST = 100


class RegionPicker(QWidget):
    """Part of the detector, chosen for a run.

    Parameters
    ----------
    runs : ViewerRuns
        Of the viewer.
    """

    #: Another region is chosen.
    changed = Signal()

    def __init__(self, runs: ViewerRuns) -> None:
        super().__init__()
        self._runs = runs
        self._run: Run | None = None
        self._followed: Shapes | None = None
        self._build()
        self._click = PanelClick(runs, self._toggle_panel, self._click_ended)
        runs.layers_changed.connect(self._list_layers)
        self.set_run(None)

    # --- the region ---------------------------------------------------------------------

    def region(self) -> Region:
        """The region that is chosen.

        Raises
        ------
        RegionError
            If what was entered is no region, or does not suit the run.
        """
        way = self.way.currentData()
        geometry = None if self._run is None else self._run.stack.geometry
        if way == TEXT:
            return Region.parse(self.text.text())
        if way == WHOLE:
            return Region()
        if geometry is None:
            raise RegionError(_NO_GEOMETRY)
        if way == PANELS:
            names = self._names()
            if not names:
                raise RegionError("Pick a panel in the picture, or type the name of one.")
            region = Region.from_panels(names)
            region.panel_names(geometry)
            return region
        if way == SHAPES:
            return drawn.region_of_shapes(self._run, self._layer())
        return Region.q_range(self.q_min.value(), self.q_max.value())

    def set_region(self, region: Region) -> None:
        """Show a region; polygons become a layer on the picture.

        Raises
        ------
        RegionError
            If the run has no geometry, and the region needs one.
        """
        way = {"panels": PANELS, "polygons": SHAPES, "q": Q, "window": TEXT}.get(
            region.kind, WHOLE
        )
        geometry = None if self._run is None else self._run.stack.geometry
        if geometry is None and way in (PANELS, SHAPES, Q):
            raise RegionError(_NO_GEOMETRY)
        if way == PANELS:
            self.panels.setText(", ".join(region.panels))
        elif way == Q and region.q is not None:
            self.q_min.setValue(region.q[0])
            self.q_max.setValue(region.q[1])
        elif way == TEXT:
            self.text.setText(str(region))
        elif way == SHAPES and self._run is not None:
            layer = drawn.add_region_layer(self._run, region)
            self.layer.setCurrentIndex(self.layer.findData(str(layer.unique_id)))
        self.way.setCurrentIndex(self.way.findData(way))

    def set_run(self, run: Run | None) -> None:
        """Choose for this run from now on."""
        self._click.stop()
        if self._run is not None:
            self._run.companions.remove(drawn.CHOSEN)
            self._run.changed.disconnect(self._run_changed)
        self._run = run
        if run is not None:
            run.changed.connect(self._run_changed)
        self._run_changed()

    def release(self) -> None:
        """Let go of callbacks and take our outlines from the picture."""
        self.set_run(None)
        self._follow(None)
        self._runs.layers_changed.disconnect(self._list_layers)

    # --- what is offered ----------------------------------------------------------------

    def _run_changed(self) -> None:
        """The run has another stack: offer what its geometry allows."""
        self._click.stop()
        stack = None if self._run is None else self._run.stack
        placed = stack is not None and stack.geometry is not None
        beam = known_beam(stack, 0) if placed and stack is not None and len(stack) else ()
        known = bool(beam) and all(value > 0 for value in beam)  # NaN is not
        allowed = {WHOLE: True, TEXT: True, PANELS: placed, SHAPES: placed, Q: known}
        for place in range(self.way.count()):
            item = self.way.model().item(place)
            item.setEnabled(allowed[self.way.itemData(place)])
        if not allowed[self.way.currentData()]:
            self.way.setCurrentIndex(0)
        hint = "" if stack is None or known else _NO_BEAM if placed else _NO_GEOMETRY
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        self._list_layers()
        self._show_way()

    def _show_way(self, *_: Any) -> None:
        way = self.way.currentData()
        if way != PANELS:
            self._click.stop()
        for name, part in self._parts.items():
            part.setVisible(name == way)
        self._entered()

    def _list_layers(self) -> None:
        """Offer the Shapes layers of the viewer that regions may be drawn on."""
        chosen = self.layer.currentData()
        with QSignalBlocker(self.layer):
            self.layer.clear()
            for layer in drawn.shapes_layers(self._runs.viewer):
                self.layer.addItem(layer.name, str(layer.unique_id))
            if not self.layer.count():
                self.layer.addItem("no Shapes layer", None)
            self.layer.setCurrentIndex(max(0, self.layer.findData(chosen)))
        if self.layer.currentData() != chosen:
            self._entered()

    def _layer(self) -> Any:
        key = self.layer.currentData()
        found = drawn.shapes_layers(self._runs.viewer)
        return next((layer for layer in found if str(layer.unique_id) == key), None)

    def _follow(self, layer: Shapes | None) -> None:
        """Be told when shapes are drawn or changed on this layer, and on no other."""
        if layer is self._followed:
            return
        if self._followed is not None:
            self._followed.events.data.disconnect(self._drawn)
            self._followed.events.edge_width.disconnect(self._drawn)
        self._followed = layer
        if layer is not None:
            layer.events.data.connect(self._drawn)
            layer.events.edge_width.connect(self._drawn)

    def _drawn(self, event: Any = None) -> None:
        # Before a change is made napari tells, too; and shapes are drawn corner by corner.
        self._timer.start()

    def _entered(self, *_: Any) -> None:
        self._follow(self._layer() if self.way.currentData() == SHAPES else None)
        self._highlight()
        self.changed.emit()

    # --- panels -------------------------------------------------------------------------

    def _names(self) -> list[str]:
        return [name.strip() for name in self.panels.text().split(",") if name.strip()]

    def _pick(self, picking: bool) -> None:
        if picking and self._run is not None:
            self._click.start(self._run)
        else:
            self._click.stop()

    def _toggle_panel(self, panel: str) -> None:
        names = self._names()
        names = [n for n in names if n != panel] if panel in names else [*names, panel]
        self.panels.setText(", ".join(names))

    def _click_ended(self) -> None:
        self.pick.setChecked(False)

    def _highlight(self) -> None:
        """Outline the chosen panels in the picture, those of them that there are."""
        if self._run is None:
            return
        names: list[str] = []
        geometry = self._run.stack.geometry
        if self.way.currentData() == PANELS and geometry is not None:
            for name in self._names():
                try:
                    names += Region.from_panels([name]).panel_names(geometry)
                except RegionError:
                    continue  # perhaps it is still being typed
        drawn.highlight(self._run, names)

    def _new_layer(self) -> None:
        if self._run is not None:
            layer = drawn.add_region_layer(self._run)
            self.layer.setCurrentIndex(self.layer.findData(str(layer.unique_id)))

    # --- widgets ------------------------------------------------------------------------

    def _build(self) -> None:
        self.way = QComboBox()
        self.way.setObjectName("region_way")
        self.way.setToolTip("Pixels that are used: the whole frame or a part of it")
        for way, name in _WAYS.items():
            self.way.addItem(name, way)
        needs_focus_for_wheel(self.way)
        self.hint = QLabel()
        self.hint.setObjectName("region_hint")
        self.hint.setWordWrap(True)
        self.hint.setEnabled(False)
        self._parts = {
            PANELS: self._panels_part(),
            SHAPES: self._shapes_part(),
            Q: self._q_part(),
            TEXT: self._text_part(),
        }
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.way, *self._parts.values(), self.hint):
            column.addWidget(widget)
        self.way.currentIndexChanged.connect(self._show_way)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST)
        self._timer.timeout.connect(self._entered)

    def _panels_part(self) -> QWidget:
        self.panels = text_line(
            "region_panels",
            "p6a0, p7*",
            "Names of panels, separated by commas; * stands for any letters",
        )
        self.panels.textChanged.connect(self._entered)
        tip = (
            "The next click on a panel adds it or takes it away; Shift-click to go on with "
            "more, Esc to stop"
        )
        self.pick = button("Pick panel in the picture", "region_pick", tip, self._pick)
        self.pick.setCheckable(True)
        return stacked(self.panels, self.pick)

    def _shapes_part(self) -> QWidget:
        self.layer = QComboBox()
        self.layer.setObjectName("region_layer")
        self.layer.setToolTip(
            "The layer whose shapes are the region: what rectangles, ellipses and polygons "
            "enclose, and what lies under lines and paths, as wide as their edge"
        )
        self.layer.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.layer.currentIndexChanged.connect(self._entered)
        needs_focus_for_wheel(self.layer)
        tip = "Add an empty layer to draw rectangles, ellipses, polygons, lines or paths on"
        self.new_layer = button("New region layer", "region_new_layer", tip, self._new_layer)
        return stacked(self.layer, self.new_layer)

    def _q_part(self) -> QWidget:
        self.q_min, self.q_max = _q_box("region_q_min", 0.5), _q_box("region_q_max", 1.5)
        part = QWidget()
        line = QHBoxLayout(part)
        line.setContentsMargins(0, 0, 0, 0)
        for widget in (self.q_min, QLabel("to"), self.q_max, QLabel("1/Å")):
            line.addWidget(widget, 1 if isinstance(widget, QDoubleSpinBox) else 0)
        for box in (self.q_min, self.q_max):
            box.valueChanged.connect(self._entered)
        return part

    def _text_part(self) -> QWidget:
        self.text = text_line(
            "region_text",
            "window:0:512,0:128",
            "As on the command line: panel:p6a0,p6a1, q:1.2,2.4 (1/angstrom), or "
            "window:0:512,0:128 (raw pixels, start:stop for each axis)",
        )
        self.text.textChanged.connect(self._entered)
        return stacked(self.text)


def _q_box(name: str, value: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setObjectName(name)
    box.setToolTip("Momentum transfer 2 pi / d in 1/angstrom; both limits belong to the range")
    box.setDecimals(4)
    box.setRange(0, 1000)
    box.setSingleStep(0.05)
    box.setValue(value)
    needs_focus_for_wheel(box)
    return box
