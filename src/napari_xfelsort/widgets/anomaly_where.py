"""Where an anomaly is on the event shown: asked for, kept, and shown over the frame."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_xfelsort.widgets.anomaly_ask import Asker
from napari_xfelsort.widgets.anomaly_map import remove_heat, show_heat
from napari_xfelsort.widgets.anomaly_work import Judged, Place, placing
from napari_xfelsort.widgets.dock import Message, button, row
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.run import Run

#: Maps that are kept to be shown again.
_KEPT = 24
#: Milliseconds from a step to a new look, while events are followed.
_DELAY = 250


class WherePanel(QWidget):
    """Finds where the chosen anomaly is, and shows it; `use` and `show_event` say of what."""

    def __init__(self) -> None:
        super().__init__()
        self._run: Run | None = None
        self._judged: Judged | None = None
        self._event: int | None = None
        self._name = ""
        self._maps: dict[tuple[int, str], Place] = {}
        self._asker = Asker("looking for where an anomaly is")
        tip = "Find which rings and parts of the event make the chosen anomaly likely"
        self.show_button = button("Show where", "where", tip, self.show_place)
        tip = "Take the map from the picture, or stop looking"
        self.hide_button = button("Hide", "hide_where", tip, self.hide_place)
        self.follow = QCheckBox("follow")
        self.follow.setObjectName("follow")
        self.follow.setToolTip("Look again whenever another event or anomaly is shown")
        self.progress = EventProgress()
        self.progress.setObjectName("where_progress")
        self.told = Message()
        self.told.setObjectName("where_text")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row(self.show_button, self.hide_button, self.follow))
        column.addWidget(self.progress)
        column.addWidget(self.told)
        self.follow.toggled.connect(self._follow_toggled)
        self._asker.answered.connect(self._take)
        self._asker.failed.connect(self.told.tell_error)
        self._asker.progressed.connect(self._progressed)
        self._asker.changed.connect(self._changed)

    @property
    def busy(self) -> bool:
        """Whether it is being looked."""
        return self._asker.busy

    def use(self, run: Run | None, judged: Judged | None) -> None:
        """Be about this run and what its model says."""
        self._forget()
        self._maps.clear()
        self._run, self._judged, self._event = run, judged, None

    def release(self) -> None:
        """Stop, and take the map from the picture."""
        self._forget()
        self._run = self._judged = None

    def show_event(self, event: int | None, class_name: str) -> None:
        """Be about this event and anomaly: a map of another would mislead."""
        if (event, class_name) == (self._event, self._name):
            return
        self._event, self._name = event, class_name
        self._forget()
        if self.follow.isChecked():
            self._look(_DELAY)

    def show_place(self) -> None:
        """Show where the chosen anomaly is on the event shown."""
        self._look(0)

    def hide_place(self) -> None:
        """Take the map from the picture, and stop looking."""
        self.follow.setChecked(False)
        self._forget()

    def _look(self, delay: int) -> None:
        judged, event, name = self._judged, self._event, self._name
        if judged is None or event is None or not name:
            return
        there = self._maps.get((event, name))
        if there is not None:
            self._show(there)
            return
        self.told.tell("")
        self.progress.start("Looking…")
        self._asker.ask(placing(judged, event, name), delay)

    def _forget(self) -> None:
        self._asker.forget()
        self.progress.stop()
        self.told.tell("")
        if self._run is not None:
            remove_heat(self._run)

    def _follow_toggled(self, on: bool) -> None:
        if on:
            self._look(0)

    def _take(self, found: Place) -> None:
        if found.judged is not self._judged:
            return
        self._maps[found.event, found.class_name] = found
        while len(self._maps) > _KEPT:
            del self._maps[next(iter(self._maps))]
        if (found.event, found.class_name) == (self._event, self._name):
            self._show(found)

    def _show(self, found: Place) -> None:
        assert self._run is not None
        self.progress.stop()
        show_heat(self._run, found.heat, found.class_name, found.event)
        self.told.tell(found.told)

    def _progressed(self, state: tuple[str, int, int]) -> None:
        what, done, total = state
        if not self.progress.isHidden():
            self.progress.show_counts((done, total), what)

    def _changed(self) -> None:
        if not self.busy:
            self.progress.stop()
