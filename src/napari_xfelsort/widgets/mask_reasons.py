"""The reasons of a mask with their counts, each shown or hidden: the legend of its layer."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QWidget

from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.showing import SHOWN, reason_counts
from napari_xfelsort.widgets.mask_layer import REASON_COLOURS

_SWATCH = 12


class ReasonTable(QWidget):
    """One row a reason: a tick box with its colour and name, and its pixels."""

    #: Other reasons are ticked.
    ticked = Signal()

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(0, 1)
        self.boxes: dict[str, QCheckBox] = {}
        self.counts: dict[str, QLabel] = {}
        for number, each in enumerate(SHOWN):
            box, count = QCheckBox(each.name), QLabel("0")
            box.setObjectName(f"show_{each.name.replace(' ', '_')}")
            box.setToolTip(f"Show pixels that are bad because {each.words}")
            box.setIcon(swatch(REASON_COLOURS[each.name]))
            box.setChecked(True)
            box.toggled.connect(self.ticked)
            count.setObjectName(f"count_{each.name.replace(' ', '_')}")
            grid.addWidget(box, number, 0)
            grid.addWidget(count, number, 1)
            self.boxes[each.name], self.counts[each.name] = box, count
        self.total = QLabel("")
        self.total.setObjectName("total")
        self.total.setWordWrap(True)
        grid.addWidget(self.total, len(SHOWN), 0, 1, 2)

    @property
    def shown(self) -> set[str]:
        """Names of the reasons that are ticked."""
        return {name for name, box in self.boxes.items() if box.isChecked()}

    def show_mask(self, mask: PixelMask) -> None:
        """Count its reasons."""
        for name, n in reason_counts(mask).items():
            self.counts[name].setText(f"{n:,}")
            self.boxes[name].setVisible(n > 0)
            self.counts[name].setVisible(n > 0)
        part = 100 * mask.n_bad / mask.reasons.size
        self.total.setText(
            f"{mask.n_bad:,} of {mask.reasons.size:,} pixels are bad ({part:.2f} %)."
        )


def swatch(colour: str) -> QIcon:
    """A small square of a colour."""
    made = QPixmap(_SWATCH, _SWATCH)
    made.fill(QColor(colour))
    return QIcon(made)
