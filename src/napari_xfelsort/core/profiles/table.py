"""The table of fitted profiles: one row an event, in memory and on disk."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, overload

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import UnreadableFileError, XfelsortError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.profiles.fitting import OK, STATUSES
from napari_xfelsort.core.profiles.settings import UNITS, ProfileSettings
from napari_xfelsort.core.region import Region

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

_HEAD = "# xfelsort profiles "
_FIRST = ("file", "event", "status", "points", "residual", "r2")
#: Longer than any first line that describes a table; polygons may have many corners.
_MAX_HEAD = 16 * 1024**2


class EventNames(Sequence[EventId]):
    """Names of the events of a stack, made when asked for: a long run has many."""

    def __init__(self, stack: EventStack) -> None:
        self.stack = stack

    def __len__(self) -> int:
        return len(self.stack)

    @overload
    def __getitem__(self, i: int) -> EventId: ...
    @overload
    def __getitem__(self, i: slice) -> list[EventId]: ...
    def __getitem__(self, i: int | slice) -> EventId | list[EventId]:
        if isinstance(i, slice):
            return [self.stack.event_id(k) for k in range(*i.indices(len(self)))]
        return self.stack.event_id(i)


@dataclass(frozen=True, eq=False)
class ProfileTable:
    """Fits of all events of a stack, in its order; every event once.

    Attributes
    ----------
    events : sequence of EventId
        Names of the events.
    settings : ProfileSettings
        How profiles were made and fitted.
    region : Region
        What was projected.
    domain : pair of float
        Positions that are scaled to -1 and 1 for the coefficients.
    status : ndarray of uint8, shape (events,)
        0 where the fit is good and has an inflection point; see `statuses`.
    n_points : ndarray of int64, shape (events,)
        Points of the profile that counted.
    coefficients : ndarray, shape (events, order + 1)
        Of Legendre polynomials on ``domain``; NaN where there is no fit.
    inflections : ndarray, shape (events, max(0, order - 2))
        Positions of the inflection points in `unit`, ascending, then NaN.
    residual : ndarray, shape (events,)
        Root mean square of profile minus polynomial.
    r2 : ndarray, shape (events,)
        Share of the profile's variance that the polynomial explains.
    problems : dict of int to str
        Why an event (its row) could not be read.
    """

    events: Sequence[EventId]
    settings: ProfileSettings
    region: Region
    domain: tuple[float, float]
    status: NDArray[np.uint8]
    n_points: NDArray[np.int64]
    coefficients: NDArray[np.float64]
    inflections: NDArray[np.float64]
    residual: NDArray[np.float64]
    r2: NDArray[np.float64]
    problems: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.status)

    @property
    def unit(self) -> str:
        """Unit of positions along the axis."""
        return UNITS[self.settings.axis]

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which events can be decided by their inflection points."""
        return np.asarray(self.status == OK)

    @property
    def statuses(self) -> list[str]:
        """Status of every event: ``"ok"``, or the reason why it is undecided."""
        return [STATUSES[code] for code in self.status.tolist()]

    def status_counts(self) -> dict[str, int]:
        """Events of each status, those that occur."""
        counts = np.bincount(self.status, minlength=len(STATUSES)).tolist()
        return {name: n for name, n in zip(STATUSES, counts, strict=True) if n}

    @property
    def n_inflections(self) -> NDArray[np.int64]:
        """Inflection points of every event."""
        return np.asarray(np.isfinite(self.inflections).sum(axis=1), np.int64)

    def polynomial(self, i: int) -> np.polynomial.Legendre:
        """The polynomial of event ``i``, to be called with positions."""
        return np.polynomial.Legendre(self.coefficients[i], self.domain)

    # -- on disk

    def write_csv(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the table; complete or not at all.

        The first line is a comment with settings, region and domain as JSON, the second
        names the columns: file, event, status, points, residual, r2, ``inflection_1`` ...,
        ``c0`` ...; nothing stands for a number that is not there.

        Raises
        ------
        OutputError
            If the file exists and must not be replaced, or cannot be written.
        """
        about = {
            "settings": self.settings.to_dict(),
            "region": self.region.to_dict(),
            "domain": list(self.domain),
        }
        with (
            atomic_write(path, overwrite) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as text,
        ):
            text.write(f"{_HEAD}{json.dumps(about)}\n")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(_columns(self.settings.order))
            writer.writerows(self._rows())

    def _rows(self) -> Iterator[list[Any]]:
        for i, event in enumerate(self.events):
            numbers = [self.residual[i], self.r2[i], *self.inflections[i], *self.coefficients[i]]
            yield [
                event.place or event.file,
                event.event,
                STATUSES[self.status[i]],
                int(self.n_points[i]),
                *("" if np.isnan(v) else repr(float(v)) for v in numbers),
            ]

    @classmethod
    def read_csv(cls, path: str | os.PathLike[str]) -> ProfileTable:
        """Read a table that `write_csv` wrote.

        Raises
        ------
        UnreadableFileError
            If the file cannot be read or is no such table; says which line is wrong.
        """
        name = os.fspath(path)
        try:
            with Path(path).open(encoding="utf-8", errors="surrogateescape", newline="") as text:
                return _read(text)
        except OSError as error:
            raise UnreadableFileError(f"{name} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, csv.Error, XfelsortError) as error:
            raise UnreadableFileError(
                f"{name} is no table of profiles as xfelsort writes them: {error}."
            ) from error


def _columns(order: int) -> list[str]:
    points = [f"inflection_{k + 1}" for k in range(order - 2)]
    return [*_FIRST, *points, *(f"c{k}" for k in range(order + 1))]


def _read(text: TextIO) -> ProfileTable:
    head = text.readline(_MAX_HEAD)
    if not head.startswith(_HEAD):
        raise ValueError("its first line does not say so")
    about = json.loads(head.removeprefix(_HEAD))
    settings = ProfileSettings.from_dict(about["settings"])
    region = Region.from_dict(about["region"])
    low, high = map(float, about["domain"])
    columns = _columns(settings.order)
    reader = csv.reader(text, strict=True)
    if next(reader, None) != columns:
        raise ValueError("its columns are not those of its settings")
    events: dict[EventId, None] = {}
    codes: list[int] = []
    points: list[int] = []
    numbers: list[NDArray[np.float64]] = []
    for row in reader:
        line = reader.line_num + 1
        if len(row) != len(columns):
            raise ValueError(f"line {line} has {len(row)} columns instead of {len(columns)}")
        event = EventId(row[0], row[1])
        if event in events:
            raise ValueError(f"line {line} names {event} again")
        if row[2] not in STATUSES:
            raise ValueError(f"line {line} has the unknown status {row[2]!r}")
        events[event] = None
        codes.append(STATUSES.index(row[2]))
        points.append(int(row[3]))
        numbers.append(np.array([float(v) if v else np.nan for v in row[4:]]))
    matrix = np.array(numbers).reshape(len(codes), len(columns) - 4)
    first = 2 + max(0, settings.order - 2)
    return ProfileTable(
        list(events),
        settings,
        region,
        (low, high),
        np.array(codes, np.uint8),
        np.array(points, np.int64),
        matrix[:, first:],
        matrix[:, 2:first],
        matrix[:, 0],
        matrix[:, 1],
    )
