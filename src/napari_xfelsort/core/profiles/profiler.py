"""Profiles of the events of a stack: one for a live plot, or a table of all."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.block_reader import BlockReader
from napari_xfelsort.core.features import Progress, block_events
from napari_xfelsort.core.profiles.fitting import STATUSES, UNREADABLE, Fits, Fitter
from napari_xfelsort.core.profiles.projection import Projection
from napari_xfelsort.core.profiles.settings import UNITS, ProfileSettings
from napari_xfelsort.core.profiles.table import EventNames, ProfileTable
from napari_xfelsort.core.region import Region, as_region
from napari_xfelsort.core.stack import EventBlock

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack


@dataclasses.dataclass(frozen=True, eq=False)
class EventProfile:
    """Profile of one event and what was fitted to it.

    Attributes
    ----------
    positions : ndarray, shape (points,)
        Along the axis, in ``unit``.
    values : ndarray, shape (points,)
        The profile; NaN where too few pixels are good.
    fitted : ndarray, shape (points,)
        The polynomial there; NaN when none could be fitted.
    inflections : ndarray
        Positions of the inflection points, ascending.
    residual : float
        Root mean square of profile minus polynomial.
    r2 : float
        Share of the profile's variance that the polynomial explains.
    coefficients : ndarray, shape (order + 1,)
        Of Legendre polynomials on ``domain``.
    domain : pair of float
        Positions that are scaled to -1 and 1.
    status : str
        ``"ok"``, or why the event is undecided.
    problem : str
        A sentence when the event could not be read, empty otherwise.
    """

    positions: NDArray[np.float64]
    values: NDArray[np.float64]
    fitted: NDArray[np.float64]
    inflections: NDArray[np.float64]
    residual: float
    r2: float
    coefficients: NDArray[np.float64]
    domain: tuple[float, float]
    unit: str
    status: str
    problem: str = ""

    def curve(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """The polynomial at other positions."""
        fitted = np.polynomial.Legendre(self.coefficients, self.domain)(positions)
        return np.asarray(fitted, np.float64)


class Profiler:
    """Makes and fits profiles of the events of a stack.

    Parameters
    ----------
    stack : EventStack
        The events.
    region : Region or str, optional
        What is projected; the whole frame when omitted.
    settings : ProfileSettings, optional
        How. For q, photon energy and camera length are those of the first event.

    Attributes
    ----------
    positions : ndarray, shape (points,)
        Where the points of a profile are, in ``unit``.
    domain : pair of float
        Positions that are scaled to -1 and 1 for the coefficients.
    unit : str
        Unit of positions.

    Raises
    ------
    RegionError
        If the region cannot be resolved, or the axis is not known for it.
    """

    def __init__(
        self,
        stack: EventStack,
        region: Region | str | None = None,
        settings: ProfileSettings | None = None,
    ) -> None:
        self.stack = stack
        self.region = as_region(region)
        self.settings = settings or ProfileSettings()
        needs_beam = self.settings.axis == "q" or self.region.kind == "q"
        beam = (stack.photon_energy(0), stack.camera_length(0)) if needs_beam else ()
        self._projection = Projection.for_region(
            self.settings.axis, self.region, stack.raw_shape, stack.geometry, *beam
        )
        self.positions = self._projection.positions[self._projection.trimmed(self.settings.trim)]
        self.unit = UNITS[self.settings.axis]
        needed = self.settings.min_points * self._projection.n_points(self.settings)
        self._fitter = Fitter(self.positions, self.settings.order, needed)
        self.domain = self._fitter.domain
        self._reader = BlockReader(stack, self._projection.pixels)

    def event(self, i: int) -> EventProfile:
        """Profile of event ``i``; one that cannot be read has the status ``unreadable``."""
        source, index = self.stack.locate(i)
        block = EventBlock(source, np.array([index]), np.array([i]))
        values, fits, failed = self._block(block)
        fitted = np.polynomial.Legendre(fits.coefficients[0], self.domain)(self.positions)
        found = fits.inflections[0]
        return EventProfile(
            self.positions,
            values[0],
            np.asarray(fitted, np.float64),
            found[np.isfinite(found)],
            float(fits.residual[0]),
            float(fits.r2[0]),
            fits.coefficients[0],
            self.domain,
            self.unit,
            STATUSES[fits.status[0]],
            failed.get(0, ""),
        )

    def table(self, progress: Progress | None = None) -> ProfileTable:
        """Fits of all events, a block at a time.

        Parameters
        ----------
        progress : callable, optional
            Called with events done and events in all; may raise to stop.
        """
        n = len(self.stack)
        fits = Fits.none(n, self.settings.order)
        problems: dict[int, str] = {}
        done = 0
        size = block_events(self._projection.pixels.window, self.stack.dtype.itemsize)
        for block in self.stack.blocks(size):
            _, found, failed = self._block(block)
            found.put_into(fits, block.positions)
            problems.update((int(block.positions[k]), why) for k, why in failed.items())
            done += len(block.positions)
            if progress is not None:
                progress(done, n)
        return ProfileTable(
            EventNames(self.stack), self.settings, self.region, self.domain, *fits, problems
        )

    def _block(self, block: EventBlock) -> tuple[NDArray[np.float64], Fits, dict[int, str]]:
        read = self._reader.read(block)
        values = self._projection.profiles(read.frames, read.bad, self.settings)
        failed = list(read.failed)
        values[failed] = np.nan
        fits = self._fitter.fit(values)
        fits.status[failed] = UNREADABLE
        return values, fits, dict(read.failed)


def fit_profiles(
    stack: EventStack,
    region: Region | str | None = None,
    axis: str = "fs",
    order: int = 4,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> ProfileTable:
    """Fit a polynomial to the profile of every event.

    Parameters
    ----------
    stack : EventStack
        The events.
    region : Region or str, optional
        What is projected: a Region, its text form (``"panel:p6a0"``), or None for the
        whole frame.
    axis : str
        Along what: ``fs`` or ``ss`` of the frame as stored, ``x`` or ``y`` of the
        laboratory, ``q`` around the beam.
    order : int
        Of the polynomial.
    progress : callable, optional
        Called with events done and events in all; may raise to stop.
    **settings
        Other settings of `ProfileSettings`: ``statistic``, ``trim``, ``min_share``,
        ``min_points``.

    Returns
    -------
    ProfileTable
        Every event of the stack once, in its order.

    Raises
    ------
    RegionError
        If the region cannot be resolved, or the axis is not known for it.
    SettingsError
        If a setting is unknown or out of range.

    Notes
    -----
    Profiles and their inflection points as labels: Ketawala et al., J. Appl. Cryst. 57
    (2024), the Pixel Anomaly Detection Tool.
    """
    chosen = ProfileSettings.from_dict({"axis": axis, "order": order, **settings})
    return Profiler(stack, region, chosen).table(progress)
