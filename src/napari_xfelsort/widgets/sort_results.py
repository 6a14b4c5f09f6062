"""What a sort wrote: its lists, report and folder, and the way to other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QGroupBox, QPlainTextEdit, QVBoxLayout, QWidget

from napari_xfelsort.core.sorting.folder import REPORT
from napari_xfelsort.widgets.dock import button, row
from napari_xfelsort.widgets.export_dialog import ExportDialog
from napari_xfelsort.widgets.layers import Opened


class ResultsBox(QGroupBox):
    """The lists of a sort, and buttons that lead to what was written."""

    #: Something is wrong, in a sentence.
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__("Lists")
        self._out: Path | None = None
        self._names: tuple[str, ...] = ()
        self._opened: Opened | None = None
        self._dialog: ExportDialog | None = None
        self.lists = QPlainTextEdit()
        self.lists.setObjectName("lists")
        self.lists.setReadOnly(True)
        self.lists.setFixedHeight(76)
        self.lists.setToolTip("Lists of events, as CrystFEL reads them")
        self.open_report = button(
            "Open report", "open_report", "Open the report in the browser", self.show_report
        )
        folder = button(
            "Open folder", "open_folder", "Open the folder of the results", self.show_folder
        )
        tip = "Write the events of a class as a CXI file, a list or a table"
        self.export = button("Export …", "export", tip, self.show_export)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self.lists)
        column.addLayout(row(self.open_report, folder, self.export))
        self.setVisible(False)

    @property
    def dialog(self) -> ExportDialog | None:
        """The export dialog that is open."""
        return self._dialog

    def clear(self) -> None:
        """There are no results yet."""
        self._out = None
        self.setVisible(False)

    def show_results(
        self, out: Path, lists: Sequence[str], names: Sequence[str], opened: Opened
    ) -> None:
        """Show what was written.

        Parameters
        ----------
        out : Path
            The folder.
        lists : sequence of str
            The lists in it.
        names : sequence of str
            Classes that have one.
        opened : Opened
            How the data were opened.
        """
        self._out, self._names, self._opened = out, tuple(names), opened
        text = "\n".join(lists)
        if text != self.lists.toPlainText():
            self.lists.setPlainText(text)
        self.open_report.setEnabled((out / REPORT).is_file())
        self.setVisible(True)

    def show_report(self) -> None:
        """Open the report in the browser."""
        self._open(REPORT)

    def show_folder(self) -> None:
        """Open the folder of the results."""
        self._open("")

    def show_export(self) -> None:
        """Ask what to write for other programs."""
        if self._out is None or self._opened is None:
            return
        if self._dialog is not None:
            self._dialog.raise_()
            return
        window: QWidget = self
        self._dialog = ExportDialog(window, self._out, self._names, self._opened)
        self._dialog.finished.connect(self._export_ended)
        self._dialog.show()

    def release(self) -> None:
        """Close the dialog; what it writes is stopped."""
        if self._dialog is not None:
            self._dialog.reject()

    def _export_ended(self, _: int = 0) -> None:
        dialog, self._dialog = self._dialog, None
        if dialog is not None:
            dialog.deleteLater()

    def _open(self, name: str) -> None:
        if self._out is None:
            return
        path = str(self._out / name)
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(path)):
            self.failed.emit(f"No program was found that opens {path}.")
