"""What labelling in a viewer needs besides buttons: what is known, what may be labelled."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_classes import FILE_NAME, ClassSet
from napari_xfelsort.core.label_journal import IGNORE, Journal
from napari_xfelsort.core.label_match import Alignment
from napari_xfelsort.core.label_tally import LabelTally
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.keys import RESERVED, without_reserved
from napari_xfelsort.widgets.overlay import grid_of
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Report


class Labelling:
    """What a dock knows of a run's labels.

    Attributes
    ----------
    folder : str
        Where they are kept, or will be; empty when nobody said.
    stack : EventStack
        The events that the tally is of.
    store : LabelStore or None
        None until the folder is read, or made for the first label.
    tally : LabelTally
        Labels of the run's events.
    n_elsewhere : int
        Labels in the folder of events that are not in the run.
    unread : bool
        Whether the folder is yet to be read.
    """

    def __init__(self, folder: str, stack: EventStack) -> None:
        self.folder = folder
        self.stack = stack
        self.store: LabelStore | None = None
        self.tally = LabelTally([None] * len(stack))
        self.n_elsewhere = 0
        self.unread = False

    def take_stack(self, stack: EventStack) -> None:
        """The run has other events now: labels are to be put beside them anew."""
        if stack is not self.stack:
            self.stack = stack
            self.tally = LabelTally([None] * len(stack))
            self.unread = self.unread or self.store is not None

    def take_store(
        self, store: LabelStore, matched: Alignment, tally: LabelTally | None = None
    ) -> None:
        """Labels were read and put beside the events; the run may hold their tally already."""
        self.store = store
        self.tally = LabelTally(matched.labels) if tally is None else tally
        self.n_elsewhere = len(matched.unmatched)

    def take_all(self, store: LabelStore, tally: LabelTally) -> None:
        """All labels of a store are those of this tally, as after a rule: none to look for."""
        self.store, self.tally, self.n_elsewhere = store, tally, 0


class ReadLabels(NamedTuple):
    """What `labels_reader` read: labels, and how they lie beside the events of a stack."""

    store: LabelStore
    stack: EventStack
    matched: Alignment
    classes: ClassSet
    classes_warning: str = ""

    @classmethod
    def of(cls, store: LabelStore, stack: EventStack) -> ReadLabels:
        """What a store knows of the events of a stack, with the classes of its folder."""
        warning = ""
        try:
            classes = without_reserved(ClassSet.load(store.folder))
        except LabelError as error:
            classes, warning = ClassSet(), f"{error} Good and bad are used."
        classes = classes.with_used(store.classes, RESERVED)
        matched = store.match(stack)
        store.recognise(matched.renamed)
        return cls(store, stack, matched, classes, warning)

    @property
    def warning(self) -> str:
        """A sentence on what could not be used, empty when all could."""
        warnings = [
            *[self.classes_warning] * bool(self.classes_warning),
            *self.store.warnings,
            *self.matched.warnings,
        ]
        more = f" ({len(warnings) - 1} more such warnings)" if len(warnings) > 1 else ""
        return warnings[0] + more if warnings else ""


def labels_reader(folder: str, labeller: str, stack: EventStack) -> Callable[[Report], ReadLabels]:
    """Work that reads the labels in a folder."""

    def work(report: Report) -> ReadLabels:
        store = LabelStore(folder, labeller, create=False)
        return ReadLabels.of(store, stack)

    return work


def event_to_label(run: Run, runs: list[Run], label: str | None) -> int:
    """The event that is seen, and so may be labelled.

    Raises
    ------
    LabelError
        If there is none, or it is not seen, or it cannot be read and is to be more than
        ignored.
    """
    i = run.current
    if i is None:
        raise LabelError("The slider is past this run's last event: nothing was labelled.")
    not_labelled = f"Event {i} was not labelled:"
    if not run.is_drawn:
        raise LabelError(f"{not_labelled} its picture is not drawn yet.")
    if not run.is_one_event:
        raise LabelError(
            f"{not_labelled} several events are shown at once; go back to 2-D, with the events "
            "on a slider."
        )
    if not run.layer.visible:
        raise LabelError(f"{not_labelled} the layer {run.name} is hidden.")
    above = _covering(run, runs)
    if above is not None:
        raise LabelError(f"{not_labelled} {above.name} lies over {run.name}; hide that layer.")
    failure = run.frames.store.failures.get(i)
    if failure and label not in (None, IGNORE):
        raise LabelError(f"{not_labelled} it cannot be read, so it can be ignored only. {failure}")
    return i


def _covering(run: Run, runs: list[Run]) -> Run | None:
    """Another run whose picture hides that of this one."""
    viewer = run.viewer
    if viewer is None:
        return None
    if grid_of(viewer).enabled:
        return None
    place = viewer.layers.index(run.layer)
    for other in runs:
        layer = other.layer
        if (
            viewer.layers.index(layer) > place
            and layer.visible
            and other.current is not None
            and layer.opacity == 1
            and layer.blending != "additive"
        ):
            return other
    return None


def go_to_next_of(run: Run, numbers: NDArray[np.int64]) -> bool:
    """Show the next of these events, which are in order; after the last comes the first.

    Returns
    -------
    bool
        False if it began with the first one again.
    """
    here = -1 if run.current is None else run.current
    place = int(np.searchsorted(numbers, here, side="right"))
    again = place == len(numbers)
    run.go_to(int(numbers[0 if again else place]))
    return not again


def has_labels(folder: str) -> bool:
    """Whether a folder holds labels of anybody, or classes."""
    if not os.path.isdir(folder):
        return False
    return bool(Journal.all_in(Path(folder))) or os.path.exists(os.path.join(folder, FILE_NAME))


def lists_of(store: LabelStore) -> list[Path]:
    """The lists that the store would write into its folder."""
    return [store.folder / f"{name}.lst" for name in store.classes_used]


def lists_writer(store: LabelStore, overwrite: bool) -> Callable[[Report], str]:
    """Work that writes the lists and returns a sentence on them."""

    def work(report: Report) -> str:
        counts = store.counts()
        written = store.export_lists(overwrite=overwrite)
        if not written:
            return "No event has a class yet, so no list was written."
        names = ", ".join(f"{path.name} ({counts.get(c, 0)})" for c, path in written.items())
        return f"Wrote {names} in {store.folder}."

    return work
