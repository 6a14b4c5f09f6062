"""The page of the Mask dock on which a mask is looked at: reasons, features, one pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_xfelsort.widgets.dock import row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.mask_compare import MaskComparePanel
from napari_xfelsort.widgets.mask_histogram import FeatureHistogram
from napari_xfelsort.widgets.mask_pixel import PixelPanel
from napari_xfelsort.widgets.mask_reasons import ReasonTable
from napari_xfelsort.widgets.open_dock import section

if TYPE_CHECKING:
    from napari_xfelsort.core.mask import PixelMask
    from napari_xfelsort.widgets.mask_state import MaskState
    from napari_xfelsort.widgets.runs import ViewerRuns

_NOTHING = "There is no mask yet: make one, open one, or draw one by hand."


class LookPage(QWidget):
    """What a mask is: counts, histograms with λ to drag, a pixel, another mask beside it.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose theme plots follow.
    runs : ViewerRuns
        Of the viewer.
    state : MaskState
        The mask.
    """

    #: λ was dragged.
    lambda_dragged = Signal(float)

    def __init__(self, napari_viewer: Any, runs: ViewerRuns, state: MaskState) -> None:
        super().__init__()
        self.state = state
        self._counted: PixelMask | None = None
        self.nothing = QLabel(_NOTHING)
        self.nothing.setWordWrap(True)
        self.reasons = ReasonTable()
        self.feature = QComboBox()
        self.feature.setObjectName("feature")
        self.feature.setToolTip("The feature whose histogram is shown")
        self.feature.currentIndexChanged.connect(self.show_feature)
        needs_focus_for_wheel(self.feature)
        self.histogram = FeatureHistogram(napari_viewer)
        self.histogram.lambda_dragged.connect(self.lambda_dragged)
        self.features = QWidget()
        column = QVBoxLayout(self.features)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row("Feature", self.feature))
        column.addWidget(self.histogram)
        self.pixel = PixelPanel(napari_viewer, runs, state)
        self.compare = MaskComparePanel(state)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        for widget in (
            self.nothing,
            self.reasons,
            self.features,
            section("Pixel", self.pixel, expanded=True),
            section("Compare with another mask", self.compare, expanded=False),
        ):
            whole.addWidget(widget)
        state.changed.connect(self._show)
        state.replaced.connect(self._list)
        self._list()
        self._show()

    def release(self) -> None:
        """Let go of the viewer and of work."""
        self.pixel.release()
        self.compare.release()
        self.histogram.release()

    def show_feature(self, *_: Any) -> None:
        """Draw the histogram of the feature that is chosen, with λ as it is now."""
        made = self.state.made
        if made is not None and self.feature.currentText() in made.features:
            self.histogram.show_feature(made, self.feature.currentText())

    def _list(self) -> None:
        made, here = self.state.made, self.feature.currentText()
        with QSignalBlocker(self.feature):
            self.feature.clear()
            self.feature.addItems([] if made is None else list(made.features))
            self.feature.setCurrentIndex(max(0, self.feature.findText(here)))
        known = made is not None and bool(made.features)
        self.features.setVisible(known)
        if known:
            self.show_feature()
        else:
            self.histogram.clear()

    def showEvent(self, event: Any) -> None:
        """Count what was changed while another page was shown."""
        super().showEvent(event)
        self._show()

    def _show(self) -> None:
        mask = self.state.mask
        self.nothing.setVisible(mask is None)
        self.reasons.setVisible(mask is not None)
        if mask is not None and mask is not self._counted and not self.isHidden():
            self._counted = mask
            self.reasons.show_mask(mask)
