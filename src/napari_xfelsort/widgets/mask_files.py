"""The page of the Mask dock for mask files: ours, and those of other programs."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QGroupBox,
    QLineEdit,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.conventions import CONVENTIONS
from napari_xfelsort.widgets.dock import PathField, button, row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel

#: This program's own files, beside the conventions.
OURS = "this program"
_FILTER = "Mask (*.h5 *.hdf5 *.nxs *.cxi *.npy *.tif *.tiff *.edf)"


class FilesPage(QWidget):
    """Files to save in, to use, to export to, and to read from."""

    save_wanted = Signal()
    use_wanted = Signal()
    export_wanted = Signal()
    read_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.file = PathField("mask_file", "new file", "Mask file", "Mask (*.h5)", "mask.h5")
        self.save_button = button(
            "Save", "save", "Write the mask file, with features and edits", self.save_wanted
        )
        tip = (
            "Write the mask file, and open the run again with it: every task honours it. It "
            "stays when the run is opened again with other settings"
        )
        self.use_button = button("Use on this run", "use", tip, self.use_wanted)
        self.other = MaskFileChooser("read", "file")
        self.read_button = button(
            "Open", "read", "Go on with this mask: look at it and edit it", self.read_wanted
        )
        self.target = MaskFileChooser("export", "new file", with_ours=False)
        self.export_button = button(
            "Export", "export", "Write the mask as another program has it", self.export_wanted
        )
        self.lines = QPlainTextEdit()
        self.lines.setObjectName("crystfel_lines")
        self.lines.setReadOnly(True)
        self.lines.setToolTip("For the CrystFEL geometry file: they make it use the mask")
        self.lines.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.lines.setFixedHeight(84)
        self.copy_button = button(
            "Copy lines for the geometry", "copy_lines", "Copy them to the clipboard", self._copy
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(_group("Save", row(self.file), row(self.save_button, self.use_button)))
        column.addWidget(_group("Open a mask", self.other, row(self.read_button)))
        column.addWidget(
            _group(
                "Export for another program",
                self.target,
                row(self.export_button),
                self.lines,
                row(self.copy_button),
            )
        )
        self.show_lines("")

    def show_lines(self, text: str) -> None:
        """Show lines for a CrystFEL geometry; none hides them."""
        self.lines.setPlainText(text)
        self.lines.setVisible(bool(text))
        self.copy_button.setVisible(bool(text))

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(self.lines.toPlainText())


class MaskFileChooser(QWidget):
    """A mask file, how it is coded, and where in it the mask is.

    Parameters
    ----------
    name : str
        Begins the object names.
    kind : str
        As of `PathField`.
    with_ours : bool
        Offer this program's own files, too.
    """

    def __init__(self, name: str, kind: str, with_ours: bool = True) -> None:
        super().__init__()
        self.file = PathField(f"{name}_file", kind, "Mask file", _FILTER, "mask file")
        self.convention = QComboBox()
        self.convention.setObjectName(f"{name}_convention")
        tip = "How the mask is coded"
        if with_ours:
            self.convention.addItem(OURS, OURS)
            self.convention.setItemData(
                0, "As saved here, with features and edits", Qt.ItemDataRole.ToolTipRole
            )
        for each in CONVENTIONS.values():
            self.convention.addItem(each.name, each.name)
            at = self.convention.count() - 1
            self.convention.setItemData(at, each.about, Qt.ItemDataRole.ToolTipRole)
            tip = f"{tip}\n{each.name}: {each.about}"
        self.convention.setToolTip(tip)
        needs_focus_for_wheel(self.convention)
        self.dataset = QLineEdit()
        self.dataset.setObjectName(f"{name}_place")
        self.dataset.setPlaceholderText("usual dataset")
        self.dataset.setToolTip("Path in an HDF5 file, where it is not the usual one")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(self.file)
        column.addLayout(row(self.convention, self.dataset))

    @property
    def name(self) -> str:
        """Of the convention, or `OURS`."""
        return str(self.convention.currentData())

    @property
    def place(self) -> str | None:
        """The dataset; None for the usual one."""
        return self.dataset.text().strip() or None


def read_any(path: str, name: str, dataset: str | None) -> PixelMask:
    """The mask in a file, ours or as another program codes it.

    Raises
    ------
    UnreadableFileError, SettingsError
        As `read_mask` and `read_mask_as`.
    """
    from napari_xfelsort.core.masks.exchange import read_mask_as
    from napari_xfelsort.core.masks.mask_file import read_mask

    return read_mask(path) if name == OURS else read_mask_as(path, name, dataset)


def _group(title: str, *parts: object) -> QGroupBox:
    box = QGroupBox(title)
    column = QVBoxLayout(box)
    for part in parts:
        if isinstance(part, QWidget):
            column.addWidget(part)
        else:
            column.addLayout(part)  # type: ignore[arg-type]
    return box
