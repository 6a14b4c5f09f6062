"""Sizes of the events of a run: one row an event, in memory and on disk."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import SettingsError, UnreadableFileError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.profiles.table import EventNames
from napari_xfelsort.core.spi.psd import Progress, PsdReader
from napari_xfelsort.core.spi.size_settings import SizeSettings
from napari_xfelsort.core.spi.sizing import Sizer, Sizes

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

Floats = NDArray[np.float64]

#: Diameters in nm that single particles of the reference have (Assalauova et al. 2022).
SMALLEST, LARGEST = 55.0, 84.0
#: Significance below which an event is taken to have no particle.
LEAST_SIGNIFICANCE = 5.0

#: Columns of a table after the names of the events, and the unit of each.
COLUMNS = {
    "diameter": "nm",
    "uncertainty": "nm",
    "ambiguity": "",
    "cost": "",
    "chi2": "",
    "significance": "",
    "intensity": "photons/pixel",
    "level": "photons/pixel",
    "photons": "",
    "fluence": "photons/um^2",
}


@dataclass(frozen=True, eq=False)
class SizeTable:
    """Sizes of the events of a stack, in its order.

    Attributes
    ----------
    events : sequence of EventId
        Names of the events.
    sizes : Sizes
        Arrays of shape (events,); NaN where an event has no size.
    fluence : ndarray, shape (events,)
        Photons/um^2.
    problems : dict of int to str
        Why an event (its row) could not be read.
    """

    events: Sequence[EventId]
    sizes: Sizes
    fluence: Floats
    problems: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.fluence)

    @property
    def diameter(self) -> Floats:
        """Diameters in nm."""
        return self.sizes.diameter

    def passing(
        self,
        smallest: float = SMALLEST,
        largest: float = LARGEST,
        max_uncertainty: float | None = None,
        min_ambiguity: float | None = None,
        min_photons: float | None = None,
        min_significance: float = LEAST_SIGNIFICANCE,
    ) -> NDArray[np.bool_]:
        """Events whose size is within limits, both included; shape (events,).

        Parameters
        ----------
        smallest, largest : float
            Diameters in nm.
        max_uncertainty : float, optional
            In nm.
        min_ambiguity, min_photons, min_significance : float, optional
            See `Sizes`.

        Raises
        ------
        SettingsError
            If the limits leave nothing.
        """
        if not smallest < largest:
            raise SettingsError(f"No diameter is from {smallest} to {largest} nm.")
        sizes = self.sizes
        with np.errstate(invalid="ignore"):
            passed = (sizes.diameter >= smallest) & (sizes.diameter <= largest)
            passed &= sizes.significance >= min_significance
            if max_uncertainty is not None:
                passed &= sizes.uncertainty <= max_uncertainty
            if min_ambiguity is not None:
                passed &= sizes.ambiguity >= min_ambiguity
            if min_photons is not None:
                passed &= sizes.photons >= min_photons
        return passed

    def histogram(
        self, edges: Floats | None = None, chosen: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.int64], Floats]:
        """Events of each diameter.

        Parameters
        ----------
        edges : ndarray, optional
            Limits of the bins in nm; 1 nm wide from the smallest to the largest when omitted.
        chosen : ndarray, optional
            Rows to count, as numbers or bool; all when omitted.

        Returns
        -------
        counts, edges : ndarray
        """
        diameter = self.diameter
        if edges is None:
            known = diameter[np.isfinite(diameter)]
            if not len(known):
                return np.zeros(1, np.int64), np.array([0.0, 1.0])
            edges = np.arange(math.floor(known.min()), math.floor(known.max()) + 2, 1.0)
        rows = diameter if chosen is None else diameter[chosen]
        counts, limits = np.histogram(rows[np.isfinite(rows)], edges)
        return counts.astype(np.int64), np.asarray(limits, np.float64)

    def write_csv(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the table: file, event, then the columns of `COLUMNS`; empty where unknown.

        Raises
        ------
        OutputError
            If the file exists and must not be replaced, or cannot be written.
        """
        columns = [*self.sizes, self.fluence]
        with (
            atomic_write(path, overwrite) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
        ):
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(["file", "event", *COLUMNS])
            for k in range(len(self)):
                event = self.events[k]
                row = [event.file, event.event]
                writer.writerow([*row, *(_text(float(column[k])) for column in columns)])

    @classmethod
    def read_csv(cls, path: str | os.PathLike[str]) -> SizeTable:
        """Read a table of `write_csv`.

        Raises
        ------
        UnreadableFileError
            If it cannot be read or is none.
        """
        events, rows = [], []
        try:
            with Path(path).open(encoding="utf-8", errors="surrogateescape", newline="") as text:
                reader = csv.reader(text)
                if next(reader, None) != ["file", "event", *COLUMNS]:
                    raise UnreadableFileError(f"{path} is no table of sizes.")
                for line in reader:
                    if len(line) != 2 + len(COLUMNS):
                        raise UnreadableFileError(
                            f"Line {reader.line_num} of {path} has {len(line)} columns, not "
                            f"{2 + len(COLUMNS)}."
                        )
                    events.append(EventId(line[0], line[1]))
                    rows.append([float(number or "nan") for number in line[2:]])
        except (OSError, ValueError, csv.Error) as error:
            raise UnreadableFileError(f"{path} cannot be read: {error}.") from error
        columns = np.array(rows, np.float64).reshape(len(rows), len(COLUMNS)).T.copy()
        return cls(events, Sizes(*columns[:-1]), columns[-1])


def find_sizes(
    stack: EventStack,
    settings: SizeSettings | None = None,
    *,
    progress: Progress | None = None,
    **changes: Any,
) -> SizeTable:
    """Size of the particle of every event.

    Parameters
    ----------
    stack : EventStack
        With a geometry, photon energy and camera length.
    settings : SizeSettings, optional
        How.
    progress : callable, optional
        Called with events done and events in all; may raise to stop.
    **changes
        Single settings by name.

    Returns
    -------
    SizeTable
        An event that has no light, or cannot be read, has NaN.

    Raises
    ------
    GeometryError
        If it is not known where the pixels are.
    RegionError
        If too few rings can be used.
    SettingsError
        If a setting is unknown or out of range.
    """
    values = settings.to_dict() if settings is not None else {}
    settings = SizeSettings.from_dict({**values, **changes})
    reader = PsdReader(stack, settings.ring_width, settings.polarisation)
    rings = reader.rings
    sizer = Sizer(rings.q, rings.pixels, rings.step, settings)
    n = len(stack)
    found, fluence = Sizes.none(n), np.full(n, np.nan)
    problems: dict[int, str] = {}
    per_photon = settings.adu_per_photon or photon_adu(stack)
    solid_angle = pixel_solid_angle(stack)
    for block, sums, failed in reader.blocks(progress=progress):
        psd = sums.psd
        psd[list(failed)] = np.nan
        sizes = sizer.sizes(psd, sums.pixels, per_photon)
        for column, own in zip(found, sizes, strict=True):
            column[block.positions] = own
        fluence[block.positions] = sizer.fluence(sizes, solid_angle)
        problems.update((int(block.positions[k]), why) for k, why in failed.items())
    return SizeTable(EventNames(stack), found, fluence, problems)


def photon_adu(stack: EventStack) -> float:
    """ADU that a photon counts, by the geometry of a stack; 1 when it does not say."""
    geometry = stack.geometry
    for panel in () if geometry is None else geometry.panels.values():
        if panel.adu_per_photon:
            return float(panel.adu_per_photon)
        if panel.adu_per_ev and stack.photon_energy(0) > 0:
            return float(panel.adu_per_ev * stack.photon_energy(0))
    return 1.0


def pixel_solid_angle(stack: EventStack) -> float:
    """Of a pixel in the middle of the detector, in steradian; NaN when unknown."""
    geometry = stack.geometry
    if geometry is None:
        return math.nan
    length = stack.camera_length(0)
    if not length > 0:
        length = geometry.camera_length()
    return (geometry.pixel_size / length) ** 2


def _text(number: float) -> str:
    return f"{number:.6g}" if math.isfinite(number) else ("inf" if number == math.inf else "")
