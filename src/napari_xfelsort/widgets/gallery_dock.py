"""The Gallery dock: many events at a glance, labelled together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QModelIndex, QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QSpinBox

from napari_xfelsort.core.errors import LabelError, RegionError, UnreadableFileError
from napari_xfelsort.core.event_looks import describe_events, similar_order, similar_to
from napari_xfelsort.core.event_scores import ScoreSettings, event_scores, metadata_columns
from napari_xfelsort.core.label_classes import ClassSet
from napari_xfelsort.core.label_journal import IGNORE, LabelLine, join_classes, split_label
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.core.thumbnails import as_rgb, picture_box, thumbnail
from napari_xfelsort.widgets import keys
from napari_xfelsort.widgets.dock import Dock, RunChooser, row
from napari_xfelsort.widgets.gallery_view import SIDE, GalleryModel, GalleryView
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.keys import without_reserved
from napari_xfelsort.widgets.label_panel import LabelButtons
from napari_xfelsort.widgets.labelling import has_labels
from napari_xfelsort.widgets.layers import NAN_COLOUR
from napari_xfelsort.widgets.overlay import COLOURS
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.region_picker import RegionPicker
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Job, Report, counted

#: Events of a page, and thumbnails made by one job.
PAGE, _BATCH = 400, 24
#: Buttons of labels side by side: ten classes in four rows, in a dock 340 pixels wide.
_COLUMNS = 3
#: Orders that are always offered, as the user reads them.
NUMBER, LABEL, ALIKE, LIKE_THIS = "event number", "label", "looks", "like the event shown"
_SCORES = {"stored peaks": ScoreSettings("peaks"), "mean": ScoreSettings("mean")}

Orders = Callable[[Report], NDArray[Any]]


class GalleryDock(Dock):
    """Shows thumbnails of a run's events in a chosen order, to label many at once."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._run: Run | None = None
        self._order = np.empty(0, np.int64)
        self._described: NDArray[np.float32] | None = None
        self._thumbnails: Job | None = None
        self._keys: dict[str, str | None] = {}
        self._classes = ClassSet()
        self._classes_from: Any = ()
        self.model = GalleryModel(self, self._describe, self._colours_of)
        self.view = GalleryView(self.model)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(30)
        self._timer.timeout.connect(self._make_thumbnails)
        self._build()
        self.model.wanted.connect(self._timer.start)
        self.view.typed.connect(self._typed)
        self.view.doubleClicked.connect(self._go_to)
        self.view.selectionModel().selectionChanged.connect(self._show_selection)
        self.order_by.activated.connect(self._sort)
        self.descending.toggled.connect(self._turn)
        self.page.valueChanged.connect(self._show_page)
        self.region.changed.connect(self._other_pictures)
        self.chooser.run_chosen.connect(self._use_run)
        self._use_run(self.chooser.run)

    def release(self) -> None:
        """Let go of callbacks and work."""
        super().release()
        self._timer.stop()
        self._use_run(None)
        self.region.release()

    # --- the run ------------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        self._run = run
        self.region.set_run(run)
        self.follow_run(run, labelled=self._on_labelled, changed=self._on_changed)
        self._on_changed()

    def _on_changed(self) -> None:
        run = self._run
        self._described = None
        if self.job is not None:
            self.job.stop()
        self.model.forget_pictures()
        self.order_by.clear()
        self._order = np.arange(0 if run is None else len(run))
        if run is not None:
            self.order_by.addItems([NUMBER, LABEL, ALIKE, LIKE_THIS, *_SCORES])
            self.order_by.addItems(metadata_columns(run.stack))
        self._use_classes()
        self._show_order()
        self.set_busy(self.job is not None)

    def _use_classes(self) -> None:
        """Take up the classes of the run's label folder."""
        run = self._run
        folder = None if run is None or run.labels is None else run.labels.folder
        source = (folder, None if run is None else run.classes)
        if source == self._classes_from:  # not read again for each label
            return
        self._classes_from = source
        self._classes = ClassSet() if run is None else run.classes
        try:
            if folder is not None:
                self._classes = without_reserved(ClassSet.load(folder))
        except LabelError as error:
            self.message.tell_error(str(error))
        self.buttons.show_classes(self._classes)
        fixed = {shortcut.action: shortcut.key for shortcut in keys.LABEL}
        self._keys = {c.key: c.name for c in self._classes.classes if c.key}
        self._keys[fixed["ignore"]] = IGNORE
        self._keys[fixed[keys.CLEAR]] = None

    def _on_labelled(self) -> None:
        self._use_classes()
        self.model.show_labels()
        self._show_selection()

    def _describe(self, i: int) -> str:
        run = self._run
        if run is None:
            return ""
        return f"event {i}: {run.stack.event_id(i)}\n{run.label_of(i) or 'no label'}"

    def _colours_of(self, i: int) -> tuple[str, ...]:
        label = None if self._run is None else self._run.label_of(i)
        if label is None:
            return ()
        return (COLOURS[IGNORE],) if label == IGNORE else self._classes.colours_of(label)

    # --- thumbnails -----------------------------------------------------------------------

    def _region(self) -> Region:
        try:
            return self.region.region()
        except RegionError as error:
            self.message.tell_error(str(error))
            return Region()

    def _other_pictures(self) -> None:
        self._described = None
        self.model.forget_pictures()

    def _make_thumbnails(self) -> None:
        run = self._run
        if run is None or self._thumbnails is not None:
            return
        events = self.model.take_wanted(_BATCH)
        if not events:
            return
        low, high = run.layer.contrast_limits
        work = functools.partial(
            thumbnails_of,
            run.stack,
            events,
            self._region(),
            (float(low), float(high)),
            run.frames.scale == "log",
        )
        job = self._thumbnails = Job("making thumbnails", work)
        job.succeeded.connect(functools.partial(self._take_thumbnails, run.stack))
        job.failed.connect(self.message.tell_error)
        job.ended.connect(self._thumbnails_ended)
        job.start()

    def _take_thumbnails(
        self, stack: EventStack, made: list[tuple[int, NDArray[np.uint8]]]
    ) -> None:
        if self._run is not None and self._run.stack is stack:
            for i, rgb in made:
                self.model.put(i, rgb)

    def _thumbnails_ended(self) -> None:
        self._thumbnails = None
        self._timer.start()

    # --- order ------------------------------------------------------------------------------

    def _sort(self, _: int = 0) -> None:
        """Sort by what is chosen; what needs to read events does so in the background."""
        run, by = self._run, self.order_by.currentText()
        if run is None or self.job is not None:
            return
        self.message.tell("")
        if by == NUMBER:
            self._take_order(np.arange(len(run)))
        elif by == LABEL:
            names = [run.label_of(i) or "" for i in range(len(run))]
            self._take_order(np.argsort(np.array(names), kind="stable"))
        else:
            self._sort_beside(run, by)

    def _sort_beside(self, run: Run, by: str) -> None:
        stack, region, current = run.stack, self._region(), run.current or 0
        described = self._described

        def work(report: Report) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
            if by not in (ALIKE, LIKE_THIS):
                wanted = _SCORES.get(by) or ScoreSettings("metadata", column=by)
                scores = event_scores(stack, wanted, region, counted(report))
                return np.argsort(scores.values, kind="stable"), described
            matrix = described
            if matrix is None:
                matrix = describe_events(stack, region, progress=counted(report)).matrix
            if by == LIKE_THIS:
                return similar_to(matrix, current), matrix
            return similar_order(matrix), matrix

        job = Job(f"sorting events by {by}", work)
        job.progressed.connect(self.progress.show_counts)
        job.succeeded.connect(functools.partial(self._sorted, stack))
        self.progress.start("Reading events…")
        self.run_job(job)

    def _sorted(self, stack: EventStack, found: tuple[NDArray[Any], Any]) -> None:
        if self._run is None or self._run.stack is not stack:
            return
        order, self._described = found
        rest = np.setdiff1d(np.arange(len(self._run)), order)  # events without a value
        self._take_order(np.concatenate([order, rest]))

    def _take_order(self, order: NDArray[Any]) -> None:
        self._order = np.asarray(order, np.int64)
        self._show_order()

    def _turn(self, _: bool) -> None:
        self._show_order()

    def _show_order(self) -> None:
        pages = max(1, -(-len(self._order) // PAGE))
        self.page.blockSignals(True)
        self.page.setRange(1, pages)
        self.page.setSuffix(f" of {pages}")
        self.page.setValue(1)
        self.page.blockSignals(False)
        self._show_page()

    def _show_page(self, _: int = 0) -> None:
        order = self._order[::-1] if self.descending.isChecked() else self._order
        first = PAGE * (self.page.value() - 1)
        self.model.show_events(order[first : first + PAGE])
        self._show_selection()

    # --- labels -----------------------------------------------------------------------------

    def _typed(self, key: str) -> None:
        if key in self._keys:
            self.label(self._keys[key])

    def _clicked_label(self, action: str) -> None:
        self.label(None if action == keys.CLEAR else action)

    def _labels_of(self, run: Run, events: list[int], label: str | None) -> list[str]:
        """The label each is to have; of several classes one is put on all, or taken off all."""
        if label is None or not (self._classes.multi_label and label in self._classes.names):
            return [label or ""] * len(events)
        have = [split_label(run.label_of(i) or "") for i in events]
        if all(label in each for each in have):
            kept = ([name for name in each if name != label] for each in have)
            return [join_classes(each) if each else "" for each in kept]
        return [join_classes({*each, label}) for each in have]

    def label(self, label: str | None) -> None:
        """Label the selected events, or take their labels back (None); one step to undo."""
        run, events = self._run, self.view.selected_events()
        if run is None:
            return
        if not events:
            self.message.tell_error("Select events to label first.")
            return
        try:
            if run.labels is None or run.history is None:
                folder = run.suggested_labels()
                new = not has_labels(folder)
                run.use_labels(LabelStore(folder))
                if new and run.classes != ClassSet():
                    run.classes.save(folder)
            history = run.history
            assert history is not None
            named = [run.stack.event_id(i) for i in events]
            labels = self._labels_of(run, events, label)
            history.write([LabelLine(*each) for each in zip(named, labels, strict=True)])
        except LabelError as error:
            self.message.tell_error(str(error))
            return
        run.note_labels(named)
        assert run.labels is not None
        what = f"labelled {label}" if label else "without a label again"
        self.message.tell(f"{len(events)} events {what}, in {run.labels.folder}.")

    def _show_selection(self, *_: Any) -> None:
        n, total = len(self.view.selectedIndexes()), len(self._order)
        run = self._run
        done = 0 if run is None or run.tally is None else run.tally.n_labelled
        self.state.setText(f"{n} selected; {done} of {total} events labelled")

    def _go_to(self, index: QModelIndex) -> None:
        if self._run is not None:
            self._run.go_to(self.model.event_at(index.row()))

    # --- widgets ----------------------------------------------------------------------------

    def set_busy(self, busy: bool) -> None:
        """One order at a time."""
        for part in (self.chooser, self.region, self.order_by):
            part.setEnabled(not busy and self._run is not None)
        if not busy:
            self.progress.stop()

    def _build(self) -> None:
        self.chooser = RunChooser(self.runs)
        self.region = RegionPicker(self.runs)
        self.order_by = QComboBox()
        self.order_by.setObjectName("order")
        self.order_by.setToolTip("In which order events are shown; looks puts like beside like")
        self.descending = QCheckBox("down")
        self.descending.setObjectName("descending")
        self.descending.setToolTip("The largest or last first")
        self.page = QSpinBox()
        self.page.setObjectName("page")
        self.page.setPrefix("page ")
        self.page.setToolTip(f"{PAGE} events at a time")
        for widget in (self.order_by, self.page):
            needs_focus_for_wheel(widget)
        self.progress = EventProgress()
        self.state = QLabel()
        self.state.setObjectName("state")
        self.state.setWordWrap(True)
        self.buttons = LabelButtons(self._clicked_label, _COLUMNS, of_many=True)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Run", self.chooser)
        form.addRow("Region", self.region)
        form.addRow("Order", self.order_by)
        self.body.addLayout(form)
        self.body.addLayout(row(self.descending, self.page))
        for widget in (self.progress, self.message, self.view, self.state):
            self.body.addWidget(widget)
        self.body.addWidget(self.buttons)
        self.body.setStretchFactor(self.view, 1)


def thumbnails_of(
    stack: EventStack,
    events: list[int],
    region: Region,
    limits: tuple[float, float],
    log: bool,
    report: Report,
) -> list[tuple[int, NDArray[np.uint8]]]:
    """Thumbnails of events; one that cannot be read has no value anywhere."""
    box = picture_box(stack, region)
    made = []
    for i in events:
        report(None)
        try:
            picture = thumbnail(stack, i, box, SIDE, log)
        except UnreadableFileError:
            picture = np.full((SIDE, SIDE), np.nan)
        made.append((i, as_rgb(picture, limits, NAN_COLOUR[:3])))
    return made
