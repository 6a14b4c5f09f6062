"""The reasons of a mask with their counts, each shown or hidden."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QWidget

from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.settings import MaskReason
from napari_xfelsort.widgets.mask_layer import REASON_COLOURS, REASON_WORDS, reason_name

_SWATCH = 12


class ReasonTable(QWidget):
    """One row a reason: a tick box with its colour and name, and its pixels."""

    #: Other reasons are ticked.
    ticked = Signal()

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(0, 1)
        self.boxes: dict[MaskReason, QCheckBox] = {}
        self.counts: dict[MaskReason, QLabel] = {}
        for number, (reason, colour) in enumerate(REASON_COLOURS.items()):
            name = str(reason.name).lower()
            box, count = QCheckBox(reason_name(reason)), QLabel("0")
            box.setObjectName(f"show_{name}")
            box.setToolTip(f"Show pixels that are bad by {REASON_WORDS[reason]}")
            swatch = QPixmap(_SWATCH, _SWATCH)
            swatch.fill(QColor(colour))
            box.setIcon(QIcon(swatch))
            box.setChecked(True)
            box.toggled.connect(self.ticked)
            count.setObjectName(f"count_{name}")
            grid.addWidget(box, number, 0)
            grid.addWidget(count, number, 1)
            self.boxes[reason], self.counts[reason] = box, count
        self.total = QLabel("")
        self.total.setObjectName("total")
        self.total.setWordWrap(True)
        grid.addWidget(self.total, len(REASON_COLOURS), 0, 1, 2)

    @property
    def shown(self) -> int:
        """Bits of the reasons that are ticked."""
        return sum(int(reason) for reason, box in self.boxes.items() if box.isChecked())

    def show_mask(self, mask: PixelMask) -> None:
        """Count its reasons."""
        for reason, label in self.counts.items():
            n = int(np.count_nonzero(mask.reasons & np.uint8(reason)))
            label.setText(str(n))
            self.boxes[reason].setVisible(n > 0)
            label.setVisible(n > 0)
        part = 100 * mask.n_bad / mask.reasons.size
        self.total.setText(f"{mask.n_bad} of {mask.reasons.size} pixels are bad ({part:.2f} %).")
