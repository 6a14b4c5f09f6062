"""What docks have in common that look at all events of a run, and label them by what they find."""

from __future__ import annotations

import os
from typing import Any

from qtpy.QtWidgets import QCheckBox, QGroupBox

from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import Dock, Message, label_folder_field
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.run import Run


class WholeRunDock(Dock):
    """A run, work on all its events, and below it results by which they are labelled.

    A subclass lays these widgets out, and sets ``_run``.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari.
    title : str
        Of the results.

    Attributes
    ----------
    progress : EventProgress
        Of the work.
    results : QGroupBox
        Hidden as long as there are none.
    outcome : Message
        What was labelled, beside the results: the other message may be out of sight.
    folder : PathField
        Where labels are kept.
    relabel : QCheckBox
        Whether labels by hand are replaced.
    """

    def __init__(self, napari_viewer: Any, title: str) -> None:
        super().__init__(napari_viewer)
        self._run: Run | None = None
        self._stack: EventStack | None = None
        self.progress = EventProgress()
        self.results = QGroupBox(title)
        self.results.setVisible(False)
        self.outcome = Message()
        self.outcome.setObjectName("outcome")
        self.folder = label_folder_field("Folder of labels; the Label dock's, once one is in use")
        self.relabel = QCheckBox("replace labels by hand, too")
        self.relabel.setObjectName("relabel")
        self.relabel.setToolTip("Otherwise labels by hand and from lists stay as they are")

    def _run_changed(self) -> None:
        """Other events, or the same with another geometry or mask: what was found is void."""
        if self.job is not None:
            self.job.stop()
        self._stack = None if self._run is None else self._run.stack
        self._forget()
        self.outcome.tell("")
        self.results.setVisible(False)
        self._follow_labels()
        self.set_busy(self.job is not None)

    def _forget(self) -> None:
        """Forget what was found; for subclasses."""

    def _follow_labels(self) -> None:
        """Use the label folder of the run, if one is in use; else one may be chosen here."""
        store = None if self._run is None else self._run.labels
        if store is not None:
            self.folder.set_paths(os.path.abspath(store.folder))
        self.folder.setEnabled(store is None and self.job is None)

    def _stopped(self) -> None:
        self.message.tell("Stopped; nothing was kept.")

    def _scroll_to_results(self) -> None:
        first = self.message if self.message.text() else self.results
        self.verticalScrollBar().setValue(first.y())
