"""What all docks have in common: scrolling, a message line, the run they are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDockWidget,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.runs import ViewerRuns, runs_of
from napari_xfelsort.widgets.workers import Job

#: Docks stand side by side with the picture on a screen 1366 pixels wide.
MINIMUM_WIDTH = 330
#: Of what is wrong; readable in a dark and in a light theme.
ERROR_COLOUR = "#f2483a"


class Dock(QScrollArea):
    """Base of all docks.

    A dock scrolls when the window is low, tells its user one sentence at a time, and lets
    go of everything when it is taken out of the window: napari sends docks no close event
    but takes their parent away.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari.

    Attributes
    ----------
    runs : ViewerRuns
        The runs of the viewer.
    body : QVBoxLayout
        Where subclasses put what they show.
    finishing : str
        What is still finished when work is stopped, for the user.
    """

    finishing = "the events that are being read"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.runs: ViewerRuns = runs_of(napari_viewer)
        self.job: Job | None = None
        self._followed: Run | None = None
        self._slots: Mapping[str, Callable[..., None]] = {}
        self._docked = False
        content = QWidget()
        self.body = QVBoxLayout(content)
        self.body.setContentsMargins(6, 6, 6, 6)
        self.body.setSpacing(6)
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(MINIMUM_WIDTH)
        self.message = Message()

    def event(self, event: QEvent) -> bool:
        """Notice being put into a window and taken out of it."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self._docked = False
                self.release()
        return bool(super().event(event))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay wide enough for what is shown: docks scroll up and down only."""
        if event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            needed = self.widget().minimumSizeHint().width()
            bar = self.verticalScrollBar().sizeHint().width()
            self.setMinimumWidth(max(MINIMUM_WIDTH, needed + bar))
        return bool(super().eventFilter(watched, event))

    def release(self) -> None:
        """Let go of callbacks and stop work; the dock was closed. Extended by subclasses."""
        for chooser in self.findChildren(RunChooser):
            chooser.release()
        self.follow_run(None)
        if self.job is not None:
            self.job.stop()

    def follow_run(self, run: Run | None, **slots: Callable[..., None]) -> None:
        """Be about this run: its signals call these methods, those of the run before no more.

        Parameters
        ----------
        run : Run or None
            None to follow none.
        **slots : callable
            Bound methods by the name of the signal: ``shown=self._on_shown``.
        """
        if self._followed is not None:
            for name, slot in self._slots.items():
                getattr(self._followed, name).disconnect(slot)
        self._followed, self._slots = run, slots
        if run is not None:
            for name, slot in slots.items():
                getattr(run, name).connect(slot)

    @property
    def is_put_away(self) -> bool:
        """Whether the user hid the dock; not when it is only behind another tab."""
        part = self.parentWidget()
        while part is not None and not isinstance(part, QDockWidget):
            part = part.parentWidget()
        return part is not None and part.isHidden()

    def run_job(self, job: Job) -> None:
        """Start work of this dock, one at a time; a failure is told in the message line."""
        assert self.job is None
        self.job = job
        job.failed.connect(self.message.tell_error)
        job.ended.connect(self._job_ended)
        self.set_busy(True)
        job.start()

    def cancel(self) -> None:
        """Ask the work to stop."""
        if self.job is not None:
            self.job.stop()
            self.message.tell(f"Stopping after {self.finishing}…")

    def _job_ended(self) -> None:
        self.job = None
        self.set_busy(False)

    def set_busy(self, busy: bool) -> None:
        """Enable and disable what may not be used during work; for subclasses."""


class Message(QLabel):
    """One sentence for the user: what happened, or what is wrong and what to do."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setObjectName("message")
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setVisible(False)

    def tell(self, sentence: str) -> None:
        """Say what happened; an empty sentence clears the line."""
        self._show(sentence, "")

    def tell_error(self, sentence: str) -> None:
        """Say what is wrong."""
        self._show(sentence, f"color: {ERROR_COLOUR};")

    def tell_done(self, sentence: str, done: bool) -> None:
        """Say that something was done, or what kept it from being done."""
        (self.tell if done else self.tell_error)(sentence)

    def _show(self, sentence: str, style: str) -> None:
        self.setStyleSheet(style)
        self.setText(sentence)
        self.setVisible(bool(sentence))


class PathField(QWidget):
    """A path to type or choose.

    Parameters
    ----------
    name : str
        Object name of the line; tests and style sheets find it by this.
    kind : str
        ``file``, ``files``, ``folder`` (must exist), ``new file`` or ``new folder``.
    title : str
        Of the dialog.
    filter : str
        Qt's file filter: ``"Geometry (*.geom)"``.
    """

    #: The path was chosen, or typed and left.
    chosen = Signal(str)

    def __init__(
        self,
        name: str,
        kind: str = "file",
        title: str = "",
        filter: str = "",  # noqa: A002  (Qt's word)
        placeholder: str = "",
    ) -> None:
        super().__init__()
        self._kind, self._title, self._filter = kind, title, filter
        self.line = QLineEdit()
        self.line.setObjectName(name)
        self.line.setPlaceholderText(placeholder)
        self.line.editingFinished.connect(self._edited)
        self.button = QPushButton("…")
        self.button.setObjectName(f"{name}_browse")
        self.button.setToolTip(title)
        self.button.setFixedWidth(30)
        self.button.clicked.connect(self.browse)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.line)
        row.addWidget(self.button)
        self.setFocusProxy(self.line)

    def paths(self) -> list[str]:
        """The paths; several are separated by semicolons."""
        parts = (part.strip() for part in self.line.text().split(";"))
        return [part for part in parts if part]

    def path(self) -> str | None:
        """The path, None when the line is empty."""
        text = self.line.text().strip()
        return text or None

    def set_paths(self, *paths: str) -> None:
        """Show these paths without telling that they were chosen."""
        self.line.setText("; ".join(paths))
        self.line.setToolTip("\n".join(paths))

    def browse(self) -> None:
        """Let the user choose in a dialog."""
        start = (self.paths() or [""])[0]
        found: list[str]
        if self._kind == "files":
            found = QFileDialog.getOpenFileNames(self, self._title, start, self._filter)[0]
        elif self._kind in ("folder", "new folder"):
            found = [QFileDialog.getExistingDirectory(self, self._title, start)]
        elif self._kind == "new file":
            # The dock asks before a file is replaced, also one that was typed.
            quiet = QFileDialog.Option.DontConfirmOverwrite
            found = [
                QFileDialog.getSaveFileName(self, self._title, start, self._filter, options=quiet)[
                    0
                ]
            ]
        else:
            found = [QFileDialog.getOpenFileName(self, self._title, start, self._filter)[0]]
        found = [path for path in found if path]
        if found:
            self.set_paths(*found)
            self.chosen.emit(self.line.text())

    def _edited(self) -> None:
        self.line.setToolTip(self.line.text())
        self.chosen.emit(self.line.text())


def label_folder_field(tip: str) -> PathField:
    """Where labels are kept."""
    field = PathField("label_folder", "new folder", "Where labels are kept", "", "a folder")
    field.line.setToolTip(tip)
    return field


class RunChooser(QComboBox):
    """The run that a dock is about: the active one of the viewer, to be changed here.

    Parameters
    ----------
    runs : ViewerRuns
        Those of the viewer.
    """

    #: Another run is chosen: the run or None.
    run_chosen = Signal(object)

    def __init__(self, runs: ViewerRuns) -> None:
        super().__init__()
        self.setObjectName("run")
        self.setToolTip("The open run that this dock is about")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._runs = runs
        self._chosen: Run | None = None
        runs.changed.connect(self._fill)
        runs.activated.connect(self._fill)
        self.currentIndexChanged.connect(self._picked)
        self._fill()

    @property
    def run(self) -> Run | None:
        """The run that is chosen; None when none is open."""
        return self._chosen

    def release(self) -> None:
        """Follow the viewer's runs no more."""
        self._runs.changed.disconnect(self._fill, missing_ok=True)
        self._runs.activated.disconnect(self._fill, missing_ok=True)

    def _fill(self, *_: Any) -> None:
        self.blockSignals(True)
        self.clear()
        if not self._runs.runs:
            self.addItem("no run is open")
        for run in self._runs.runs:
            self.addItem(f"{run.name} ({len(run)} events)")
        active = self._runs.active
        if active is not None:
            self.setCurrentIndex(self._runs.runs.index(active))
        self.setEnabled(len(self._runs.runs) > 1)
        self.blockSignals(False)
        self._tell()

    def _picked(self, index: int) -> None:
        if 0 <= index < len(self._runs.runs):
            self._runs.activate(self._runs.runs[index])

    def _tell(self) -> None:
        if self._runs.active is not self._chosen:
            self._chosen = self._runs.active
            self.run_chosen.emit(self._chosen)


def row(*widgets: QWidget | str) -> QHBoxLayout:
    """Widgets side by side; text becomes a label."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(QLabel(widget) if isinstance(widget, str) else widget)
    return layout


def stacked(*widgets: QWidget) -> QWidget:
    """Widgets below one another, as one without margins."""
    part = QWidget()
    layout = QVBoxLayout(part)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return part


def text_line(name: str, placeholder: str, tip: str) -> QLineEdit:
    """A line to type in, with an object name, an example, and a tooltip."""
    line = QLineEdit()
    line.setObjectName(name)
    line.setPlaceholderText(placeholder)
    line.setToolTip(tip)
    return line


def choose_whole_rows(view: QTableView) -> None:
    """Let one row of a table be chosen at a time, and rows be low and without numbers."""
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.verticalHeader().setVisible(False)
    view.verticalHeader().setDefaultSectionSize(22)


def button(text: str, name: str, tip: str, clicked: Any) -> QPushButton:
    """A push button with an object name, a tooltip, and what it calls."""
    made = QPushButton(text)
    made.setObjectName(name)
    made.setToolTip(tip)
    made.clicked.connect(clicked)
    return made
