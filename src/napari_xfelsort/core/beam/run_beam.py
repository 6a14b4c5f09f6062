"""Hits, photon energies and camera lengths of a run."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.beam.classes import BeamChoice
from napari_xfelsort.core.beam.estimate import BeamEstimate
from napari_xfelsort.core.beam.settings import BeamSettings
from napari_xfelsort.core.export.exporting import refuse_inputs
from napari_xfelsort.core.readout import known_beam

if TYPE_CHECKING:
    from napari_xfelsort.core.peaks.run_peaks import RunPeaks

_COLUMNS = (
    *("file", "event", "status", "peaks"),
    *("photon_energy_ev", "photon_energy_error_ev", "photon_energy_known"),
    *("camera_length_mm", "camera_length_error_mm", "camera_length_known"),
    *("correlation", "photons", "water_share", "misfit", "reason"),
    *("file_photon_energy_ev", "file_camera_length_mm", "warning"),
    *("class_photon_energy_ev", "class_camera_length_mm", "class_probability", "class_sure"),
)


@dataclass(frozen=True, eq=False)
class RunBeam:
    """What the cascade found of all events of a stack, in its order.

    Attributes
    ----------
    peaks : RunPeaks
        Peaks of each event; which are hits.
    settings : BeamSettings
        How energy and length were found.
    estimates : list of BeamEstimate
        Of each event.
    warnings : list of str
        Where the metadata of an event contradict its scattering; empty where not.
    overall : BeamEstimate
        Of all events together, which means something if energy and length stay.
    overall_warning : str
        Where the metadata, the same for all events, contradict that; else empty.
    choices : list of BeamChoice or None
        The class of each event, if there are classes; None where there are none, or too few
        photons.
    """

    peaks: RunPeaks
    settings: BeamSettings
    estimates: list[BeamEstimate]
    warnings: list[str]
    overall: BeamEstimate
    overall_warning: str = ""
    choices: list[BeamChoice | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.estimates)

    @property
    def known(self) -> tuple[int, int]:
        """Events whose photon energy, and whose camera length, is known."""
        return (
            sum(each.energy_known for each in self.estimates),
            sum(each.length_known for each in self.estimates),
        )

    @property
    def classes(self) -> list[tuple[str, int]]:
        """How many events are of which class, those that are not sure last."""
        names = [
            str(each.best) if each.sure else "not sure"
            for each in self.choices
            if each is not None
        ]
        return sorted(Counter(names).items(), key=lambda pair: (pair[0] == "not sure", pair[0]))

    @property
    def why_not(self) -> list[tuple[str, int]]:
        """Reasons why something is not known without their numbers, the most frequent first."""
        reasons = (each.reason for each in self.estimates if each.reason)
        return Counter(map(_plain, reasons)).most_common()

    def write_events(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a table (CSV) with a row for each event; complete or not at all.

        Raises
        ------
        OutputError
            If the file exists and must not be replaced, holds the events themselves, or cannot
            be written.
        """
        refuse_inputs(self.peaks.stack, Path(path))
        with (
            atomic_write(path, overwrite) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as text,
        ):
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows(self._rows())

    def _rows(self) -> Iterator[list[Any]]:
        stack = self.peaks.stack
        statuses, counts = self.peaks.statuses, self.peaks.counts
        for i, (each, warning) in enumerate(zip(self.estimates, self.warnings, strict=True)):
            event = stack.event_id(i)
            energy, length = known_beam(stack, i)
            yield [
                event.place or event.file,
                event.event,
                statuses[i],
                counts[i] if counts[i] >= 0 else "",
                _number(each.energy),
                _number(each.energy_error),
                int(each.energy_known),
                _number(1e3 * each.length),
                _number(1e3 * each.length_error),
                int(each.length_known),
                _number(each.correlation),
                _number(each.photons),
                _number(each.water),
                _number(each.misfit),
                each.reason,
                _number(energy),
                _number(1e3 * length),
                warning,
                *_class_cells(self.choices[i] if self.choices else None),
            ]


def _class_cells(choice: BeamChoice | None) -> list[Any]:
    if choice is None:
        return [""] * 4
    best, share = choice.best, float(choice.probabilities.max())
    return [f"{best.energy:g}", f"{1e3 * best.length:g}", f"{share:.4f}", int(choice.sure)]


def _plain(reason: str) -> str:
    """The kind of a reason: those with numbers differ from event to event."""
    if "photons leave" in reason:
        return "too few photons for an error so small"
    if "photons were counted" in reason:
        return "too few photons"
    return reason.partition(" (")[0]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
