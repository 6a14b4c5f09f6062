"""What the Peaks dock does beside the window: functions for jobs, and what they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.label_journal import RULE
from napari_xfelsort.core.label_rules import RuleOutcome, withdraw
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.peaks import PeakList, PeakSettings, RunPeaks, find_peaks
from napari_xfelsort.core.peaks.comparing import powder_picture
from napari_xfelsort.core.peaks.run_peaks import RULE_NAME
from napari_xfelsort.core.peaks.running import Found, gathered
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.peaks_layers import spot_side
from napari_xfelsort.widgets.sort_order import plural
from napari_xfelsort.widgets.workers import Report, Stopped, counted

#: Source of the labels.
SOURCE = f"{RULE}{RULE_NAME}"


class Search:
    """What is known so far of a run; filled in one thread, read in another.

    Attributes
    ----------
    stack : EventStack
    settings : PeakSettings
    processes : int
        Worker processes; 0 works in this one.
    counts : ndarray, shape (events,)
        Peaks of each event; NaN where not known.
    found : dict of int to PeakList or str
        Peaks of an event, or why it could not be read.
    """

    def __init__(self, stack: EventStack, settings: PeakSettings, processes: int = 0) -> None:
        self.stack, self.settings, self.processes = stack, settings, processes
        self.counts = np.full(len(stack), np.nan)
        self.found: dict[int, PeakList | str] = {}

    def take(self, part: list[Found]) -> None:
        """Note what was found of some events."""
        for i, peaks in part:
            self.found[i] = peaks
            if not isinstance(peaks, str):
                self.counts[i] = len(peaks)


class Searched(NamedTuple):
    """What came of it.

    Attributes
    ----------
    search : Search
    found : RunPeaks
        Of all events, or of the first ones if it was stopped.
    powder : ndarray, shape of the picture
        How many peaks are at each place.
    """

    search: Search
    found: RunPeaks
    powder: NDArray[np.float32]


def searching(search: Search) -> Callable[[Report], Searched]:
    """Work that finds the peaks of a run; when it is stopped, what was found is kept."""

    def work(report: Report) -> Searched:
        stack, settings = search.stack, search.settings
        try:
            found = find_peaks(
                stack,
                settings,
                processes=search.processes,
                progress=counted(report),
                partial=search.take,
            )
        except Stopped:
            if not search.found:
                raise
            found = gathered(stack, settings, search.found)
        return Searched(search, found, powder_picture(found, spot_side(stack.assembled_shape)))

    return work


def with_hits_from(found: RunPeaks, min_peaks: int) -> RunPeaks:
    """The same peaks, where events with so many are hits."""
    settings = dataclasses.replace(found.settings, min_peaks=min_peaks)
    return dataclasses.replace(found, settings=settings)


def counts_of(found: RunPeaks, n: int) -> NDArray[np.float64]:
    """Peaks of each of n events; NaN where they could not be read, or were not looked at."""
    counts = np.full(n, np.nan)
    counts[: len(found)] = np.where(found.counts < 0, np.nan, found.counts)
    return counts


def told(found: RunPeaks, n: int) -> str:
    """What was found in a run of n events, in some sentences."""
    hits, read = int(found.hits.sum()), len(found) - len(found.problems)
    what = plural(n, "event") if len(found) == n else f"the first {len(found)} of {n} events"
    rate = f" ({100 * hits / read:.1f} %)" if read else ""
    peaks = sum(map(len, found.lists))
    least = plural(found.settings.min_peaks, "peak")
    text = f"In {what}: {plural(hits, 'hit')}{rate} with at least {least}; "
    text += f"{plural(peaks, 'peak')}."
    if found.left_out:
        left = plural(found.left_out, "peak")
        text += f" {left} left out: at one pixel, ring or streak in many events."
    if found.problems:
        first = next(iter(found.problems.values()))
        text += f" {plural(len(found.problems), 'event')} could not be read: {first}"
    return text


def label_hits(
    found: RunPeaks, relabel: bool, store: LabelStore, history: LabelHistory
) -> RuleOutcome:
    """Label hits and blanks; one step to undo."""
    return found.store_labels(store, relabel, history)


def take_back(store: LabelStore, history: LabelHistory) -> int:
    """Take those labels back; one step to undo."""
    return withdraw(store, SOURCE, history)


def told_labels(outcome: RuleOutcome, folder: str) -> str:
    """What was labelled, in a sentence or two."""
    what = ", ".join(f"{n} {name}" for name, n in outcome.counts.items()) or "nothing"
    text = f"Labelled {what} as {SOURCE} in {folder}."
    if outcome.kept:
        text += f" Labelled by hand and left so: {plural(outcome.kept, 'event')}."
    if outcome.undecided:
        text += f" Undecided: {plural(outcome.undecided, 'event')}."
    return text
