"""Which pixels and other features a model decides by: as a layer, and as bars."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.learning.importance import Importance, importance
from napari_xfelsort.core.model import Model
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.dock import Message, button, row
from napari_xfelsort.widgets.plot import Plot
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.runs import ViewerRuns
from napari_xfelsort.widgets.train_plots import bars_height, draw_bars

#: Role of the layer, beside those in `layers`.
IMPORTANCE = "importance"
_MOST_BARS = 12
#: Pixels are the more seen through, the farther below this part of the largest importance.
_CLEAR = 0.3


class ImportancePanel(QWidget):
    """The most important features of a model.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose theme the plot follows.
    runs : ViewerRuns
        The runs of the viewer: with a run its layer is removed.
    """

    #: The layer was drawn or could not be: a sentence, and whether it was.
    told = Signal(str, bool)

    def __init__(self, napari_viewer: Any, runs: ViewerRuns) -> None:
        super().__init__()
        self._runs = runs
        self._model: Model | None = None
        self._run: Run | None = None
        self._found: Importance | None = None
        self.method = Message()
        self.method.setObjectName("importance_method")
        self.plot = Plot(napari_viewer, "importances")
        tip = "Draw the importance of each pixel over the picture, as a layer of the run"
        self.draw_button = button("Draw on the detector", "draw_importance", tip, self.draw)
        tip = "Take the layer away"
        self.remove_button = button("Remove", "remove_importance", tip, self.remove)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.method)
        column.addLayout(row(self.draw_button, self.remove_button))
        column.addWidget(self.plot)
        runs.changed.connect(self._runs_changed)
        runs.layers_changed.connect(self._enable)

    def release(self) -> None:
        """Let go of the viewer."""
        self._runs.changed.disconnect(self._runs_changed, missing_ok=True)
        self._runs.layers_changed.disconnect(self._enable, missing_ok=True)
        self.plot.release()

    def show_model(self, model: Model | None, run: Run | None) -> None:
        """Show what a model decides by; the layer is drawn when it is asked for."""
        if model is not self._model:
            self._found = None
        self._model, self._run = model, run
        self._enable()
        if model is None:
            self.plot.clear()
            return
        if self._found is None:
            try:
                self._found = importance(model)
            except ModelError as error:
                self.method.tell_error(str(error))
                self.plot.clear()
                return
        extractor, values = model.extractor, self._found.values
        share = sum(float(values[extractor.columns[k]].sum()) for k in extractor.pixel_kinds)
        text = f"{self._found.method} Alike features share theirs."
        if 0 < share < 1 - 1e-9:
            text += f" Pixels have {100 * share:.0f} % of it."
        self.method.tell(text)
        order = np.argsort(-values, kind="stable")[:_MOST_BARS]
        order = order[values[order] > 0]
        names = extractor.names
        self.plot.draw(
            functools.partial(
                draw_bars, names=[names[k] for k in order], values=values[order].tolist()
            ),
            bars_height(len(order)),
        )

    def draw(self) -> None:
        """Draw the importances over the picture; a layer that is there is replaced."""
        model, run, found = self._model, self._run, self._found
        viewer = None if run is None else run.viewer
        if model is None or run is None or found is None or viewer is None:
            return
        try:
            picture = importance_picture(model, found.values, run.stack)
        except ModelError as error:
            self.told.emit(str(error), False)
            return
        from napari.layers import Layer

        self.remove()
        active = viewer.layers.selection.active
        layer = Layer.create(*importance_layer(picture, run))
        viewer.layers.insert(viewer.layers.index(run.layer) + 1, layer)
        viewer.layers.selection.active = active if active in viewer.layers else run.layer
        self.told.emit("Bright pixels are those that the model decides by.", True)

    def remove(self) -> None:
        """Take the layer of the run away."""
        if self._run is not None:
            self._run.companions.remove(IMPORTANCE)

    def _enable(self) -> None:
        model, run = self._model, self._run
        pixels = model is not None and bool(model.extractor.pixel_kinds)
        self.draw_button.setEnabled(pixels and run is not None)
        there = run is not None and run.companions.layer(IMPORTANCE) is not None
        self.remove_button.setEnabled(there)

    def _runs_changed(self) -> None:
        # A moment later: napari is removing the events of a run just now.
        QTimer.singleShot(0, self._remove_orphans)

    def _remove_orphans(self) -> None:
        """Take away layers whose run is gone."""
        viewer = self._runs.viewer
        for layer in [] if viewer is None else list(viewer.layers):
            if drawn.role_of(layer) == IMPORTANCE and self._runs.of_layer(layer) is None:
                viewer.layers.remove(layer)


def importance_picture(
    model: Model, values: NDArray[np.float64], stack: EventStack
) -> NDArray[np.float32]:
    """Importances as they lie in a run's picture; NaN where the model uses no pixel.

    Raises
    ------
    ModelError
        If the run has frames of another shape.
    """
    if tuple(stack.raw_shape) != model.raw_shape:
        raise ModelError(
            f"The model was trained on frames of {model.raw_shape}, and this run has "
            f"{tuple(stack.raw_shape)}; its pixels are elsewhere."
        )
    raw = model.extractor.pixel_map(values).astype(np.float32)
    if stack.geometry is None:
        return raw.reshape(-1, raw.shape[-1])
    return np.asarray(stack.geometry.assemble(raw), np.float32)


def importance_layer(picture: NDArray[np.float32], run: Run) -> drawn.LayerData:
    """The layer that shows importances over the events of a run."""
    from napari.utils.colormaps import Colormap, ensure_colormap

    largest = float(np.nanmax(picture)) if np.isfinite(picture).any() else 0.0
    base = ensure_colormap("inferno")
    colours = np.array(base.colors)
    faint = np.linspace(0, 1, len(colours))
    colours[:, 3] = np.clip(faint / _CLEAR, 0.05, 0.9)
    colormap = Colormap(colours, name="importance", nan_color=(0.0, 0.0, 0.0, 0.0))
    keywords = {
        "name": f"importance: {run.name}",
        "colormap": colormap,
        "contrast_limits": (0.0, largest or 1.0),
        "interpolation2d": "nearest",
        "blending": "translucent",
        "opacity": 0.8,
        "metadata": {drawn.KEY: {"role": IMPORTANCE, "run": run.key}},
    }
    return picture, keywords, "image"
