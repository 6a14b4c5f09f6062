"""The cascade over a run: hit or blank, photon energy, camera length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from napari_xfelsort.core.beam.cells import CellCounts, CellLayout, summed
from napari_xfelsort.core.beam.choosing import checked_classes, choose_class
from napari_xfelsort.core.beam.classes import (
    BeamChoice,
    BeamClass,
    BeamClassifier,
    train_beam_classes,
)
from napari_xfelsort.core.beam.estimate import (
    OVERALL_CURVE_ERROR,
    BeamEstimate,
    contradiction,
    estimate_and_fit,
    estimate_beam,
    nothing,
)
from napari_xfelsort.core.beam.run_beam import RunBeam
from napari_xfelsort.core.beam.settings import BeamSettings
from napari_xfelsort.core.block_reader import BlockReader
from napari_xfelsort.core.errors import GeometryError, SettingsError, TrainingError
from napari_xfelsort.core.peaks.finding import PeakFinder
from napari_xfelsort.core.peaks.peak_list import PeakList
from napari_xfelsort.core.peaks.running import gathered
from napari_xfelsort.core.peaks.settings import PeakSettings
from napari_xfelsort.core.readout import known_beam
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.stack import EventBlock, EventStack

#: Told the number of events done and of all.
Progress = Callable[[int, int], None]


#: Frames that share energy and length, but nothing else, at most, and of more those that are
#: added up at once.
_MOST_FRAMES, _ADDED = 48, 8
_UNREAD = "the event could not be read"
#: Metadata of events that differ by less are the same.
_SAME = 0.01


class EventBeam:
    """Photons and peaks of the events of a stack.

    Parameters
    ----------
    stack : EventStack
        The run; its masks are used.
    peaks : PeakSettings, optional
        How peaks are found; the finder's defaults if omitted.

    Raises
    ------
    GeometryError
        If there is no geometry, or none with which peaks can be found.
    """

    def __init__(self, stack: EventStack, peaks: PeakSettings | None = None) -> None:
        if stack.geometry is None:
            raise GeometryError(
                "Photon energy and camera length need a geometry: where the pixels are from the "
                "beam. Give a CrystFEL geometry."
            )
        self.stack = stack
        self.peak_settings = peaks or PeakSettings()
        self.layout = CellLayout(stack.geometry)
        self._finder = PeakFinder(stack.raw_shape, stack.geometry, self.peak_settings)
        whole = Region.raw_window([slice(0, n) for n in stack.raw_shape])
        self._reader = BlockReader(stack, whole.resolve(stack.raw_shape, stack.geometry))

    def look(self, i: int, peaks: bool = True) -> EventLook:
        """Photons and, if wanted, peaks of one event, by its position in the stack."""
        source, index = self.stack.locate(i)
        read = self._reader.read(EventBlock(source, np.array([index]), np.array([i])))
        if read.failed:
            return EventLook(None, read.failed[0])
        bad = None if read.bad is None else read.bad[0]
        frame = read.frames[0]
        found: PeakList | str = ""
        if peaks:
            found = self._finder.find(frame, bad, *known_beam(self.stack, i))
        return EventLook(self.layout.count(frame, bad), found)


def few_frames(counts: list[CellCounts]) -> list[CellCounts]:
    """At most so many frames as are climbed together: the faintest of more are added up."""
    counts = sorted(counts, key=lambda each: each.total)
    while len(counts) > _MOST_FRAMES:
        faint, counts = counts[:_ADDED], counts[_ADDED:]
        counts = sorted([*counts, summed(faint)], key=lambda each: each.total)
    return counts


class EventLook(NamedTuple):
    """What was seen of an event.

    Attributes
    ----------
    counts : CellCounts or None
        Photons in cells; None if it could not be read.
    peaks : PeakList or str
        Peaks, or why it could not be read; empty if they were not looked for.
    """

    counts: CellCounts | None
    peaks: PeakList | str


def find_beam(
    stack: EventStack,
    settings: BeamSettings | None = None,
    peaks: PeakSettings | None = None,
    *,
    classes: Sequence[tuple[float, float]] | BeamClassifier | None = None,
    together: int = 1,
    progress: Progress | None = None,
) -> RunBeam:
    """The cascade: is it a hit, which photon energy, which camera length.

    Blanks scatter as hits do, so that energy and length are told of them, too.

    Parameters
    ----------
    stack : EventStack
        The run, with its geometry; masks of its files, its geometry and its user are used.
    settings : BeamSettings, optional
        Where energy and length may lie, what is known of them, what scatters.
    peaks : PeakSettings, optional
        How peaks are found, and how many make a hit.
    classes : sequence of pair of float, or BeamClassifier, optional
        Photon energies (eV) and camera lengths (m) that there are: which of them is it? By
        the same scattering curves, or as learnt from frames.
    together : int
        Neighbouring events that are taken together for energy and length; 0 takes all.
    progress : callable, optional
        Called with events done and events in all; may raise to stop.

    Returns
    -------
    RunBeam
        Every event of the stack once, in its order, and all of them together.

    Raises
    ------
    GeometryError
        If there is no geometry.
    SettingsError
        If ``together`` is negative, or a class is not possible.
    ModelError
        If classes were learnt on another detector.
    """
    if together < 0:
        raise SettingsError(f"together is {together} but must be at least 0.")
    settings = settings or BeamSettings()
    work = EventBeam(stack, peaks)
    n = len(stack)
    size = together or n
    candidates = checked_classes(classes)
    estimates: list[BeamEstimate] = []
    choices: list[BeamChoice | None] = []
    pools: list[CellCounts] = []
    found: dict[int, PeakList | str] = {}
    for start in range(0, n, size):
        looks = []
        for i in range(start, min(start + size, n)):
            look = work.look(i)
            found[i] = look.peaks
            looks.append(look)
            if progress is not None:
                progress(i + 1, n)
        counts = [look.counts for look in looks if look.counts is not None]
        pools = few_frames(pools + counts)
        shared, choice = _together(counts, settings, candidates)
        read = [look.counts is not None for look in looks]
        estimates += [shared if there else nothing(_UNREAD) for there in read]
        choices += [choice if there else None for there in read]
    told = gathered(stack, work.peak_settings, found)
    overall = nothing("no event could be read")
    if pools:
        overall = estimate_beam(pools, settings)
    stated = [known_beam(stack, i) for i in range(n)]
    warnings = [contradiction(e, *own) for e, own in zip(estimates, stated, strict=True)]
    against_all = _overall_warning(stated, overall)
    return RunBeam(told, settings, estimates, warnings, overall, against_all, choices)


def _overall_warning(stated: list[tuple[float, float]], overall: BeamEstimate) -> str:
    """What metadata that do not change in the run say against all of its scattering."""
    if not len(stated) or not np.allclose(stated, stated[0], rtol=_SAME, equal_nan=True):
        return ""
    return contradiction(overall, *stated[0], OVERALL_CURVE_ERROR)


def beam_of_run(
    stack: EventStack,
    settings: BeamSettings | None = None,
    *,
    most: int = 200,
    progress: Progress | None = None,
) -> BeamEstimate:
    """Photon energy and camera length of a run that keeps both, from events all over it.

    Parameters
    ----------
    stack : EventStack
        The run, with its geometry.
    settings : BeamSettings, optional
        As for `find_beam`.
    most : int
        Events that are looked at, evenly chosen, where there are more.
    progress : callable, optional
        Called with events done and events in all; may raise to stop.

    Raises
    ------
    GeometryError
        If there is no geometry.
    """
    work = EventBeam(stack)
    number = min(most, len(stack))
    counts: list[CellCounts] = []
    for k, i in enumerate(np.linspace(0, len(stack) - 1, number).astype(int).tolist()):
        seen = work.look(i, peaks=False).counts
        if seen is not None:
            counts = few_frames([*counts, seen])
        if progress is not None:
            progress(k + 1, number)
    return estimate_beam(counts, settings)


def classes_of_stack(
    stack: EventStack, progress: Progress | None = None
) -> tuple[BeamClassifier, list[str]]:
    """Classes learnt from events whose metadata are right.

    Energies are taken to 0.1 keV and lengths to 1 mm.

    Returns
    -------
    model : BeamClassifier
    unread : list of str
        Why events could not be read.

    Raises
    ------
    GeometryError
        If there is no geometry.
    TrainingError
        If metadata are missing, there is one class only, or there are few events of one.
    """
    work = EventBeam(stack)
    counts, pairs, unread = [], [], []
    for i in range(len(stack)):
        energy, length = known_beam(stack, i)
        if not (energy > 0 and length > 0):
            raise TrainingError(
                f"Classes cannot be learnt: {stack.event_id(i)} has no photon energy or no "
                "camera length."
            )
        look = work.look(i, peaks=False)
        if look.counts is None:
            unread.append(str(look.peaks))
        else:
            counts.append(look.counts)
            pairs.append((100.0 * round(energy / 100.0), round(length, 3)))
        if progress is not None:
            progress(i + 1, len(stack))
    return train_beam_classes(counts, pairs), unread


def _together(
    counts: list[CellCounts],
    settings: BeamSettings,
    classes: tuple[BeamClass, ...] | BeamClassifier,
) -> tuple[BeamEstimate, BeamChoice | None]:
    """What events tell that are taken together."""
    if not counts:
        return nothing(_UNREAD), None
    frames = few_frames(counts)
    found, fit = estimate_and_fit(frames, settings)
    if isinstance(classes, BeamClassifier):
        return found, classes.choose(summed(frames))
    return found, choose_class(fit, classes) if fit is not None and classes else None
