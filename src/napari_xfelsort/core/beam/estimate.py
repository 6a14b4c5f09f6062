"""What is known of photon energy and camera length, in numbers and sentences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.beam.cells import CellCounts
from napari_xfelsort.core.beam.settings import BeamSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.beam.fitting import Fit

Floats = NDArray[np.float64]

#: Share of what is expected by which cells may be off before the scattering is of something
#: else, and share of the pixels that a fit must go with.
_ELSE, _LEAST_USED = 0.15, 0.15
#: Cells that a fit needs.
_FEWEST_CELLS = 40
#: Deviations (of both together) beyond which metadata contradict the scattering.
_CONTRADICTS = 4.0
#: Photons that a frame must have to contradict where neither of both is known: what is dark
#: may as well be no water.
_ENOUGH = 1e4
#: Share by which curves may be off: of one frame, and of many together.
CURVE_ERROR, OVERALL_CURVE_ERROR = 0.06, 0.03


@dataclass(frozen=True, eq=False)
class BeamEstimate:
    """Photon energy and camera length of one frame, or of several.

    Attributes
    ----------
    energy, length : float
        Most likely values in eV and m; NaN when nothing can be said.
    covariance : ndarray, shape (2, 2)
        Of their natural logarithms; 0 for what was given.
    energy_known, length_known : bool
        Whether they are known as well as the settings want.
    reason : str
        Why one or both are not known; empty when both are.
    photons : float
        That were counted.
    water : float
        Share of them that water scattered.
    misfit : float
        Chi squared a cell of the fit.
    events : int
        Number of frames.
    """

    energy: float
    length: float
    covariance: Floats
    energy_known: bool
    length_known: bool
    reason: str
    photons: float
    water: float = math.nan
    misfit: float = math.nan
    events: int = 1

    @property
    def energy_error(self) -> float:
        """Standard error of the photon energy in eV."""
        return float(self.energy * math.sqrt(self.covariance[0, 0]))

    @property
    def length_error(self) -> float:
        """Standard error of the camera length in m."""
        return float(self.length * math.sqrt(self.covariance[1, 1]))

    @property
    def correlation(self) -> float:
        """Of the errors of both; NaN when one of them was given."""
        size = math.sqrt(self.covariance[0, 0] * self.covariance[1, 1])
        return float(self.covariance[0, 1] / size) if size > 0 else math.nan

    @property
    def nearest(self) -> tuple[float, float]:
        """Energy to 100 eV and length to 1 mm; NaN where not known."""
        energy = 100.0 * round(self.energy / 100.0) if self.energy_known else math.nan
        length = 1e-3 * round(self.length * 1e3) if self.length_known else math.nan
        return energy, length

    def told(self) -> str:
        """The estimate in words."""
        parts = []
        if self.energy_known:
            parts.append(_value(self.energy / 1e3, self.energy_error / 1e3, "keV"))
        if self.length_known:
            parts.append(_value(self.length * 1e3, self.length_error * 1e3, "mm"))
        if self.energy_known and self.length_known:
            return ", ".join(parts)
        missing = [
            name
            for name, known in (
                ("photon energy", self.energy_known),
                ("camera length", self.length_known),
            )
            if not known
        ]
        return f"{', '.join([*parts, ' and '.join(missing) + ' not known'])}: {self.reason}"


def nothing(reason: str, photons: float = 0.0, events: int = 1) -> BeamEstimate:
    """Nothing is known, for a reason."""
    unknown = np.full((2, 2), np.nan)
    return BeamEstimate(math.nan, math.nan, unknown, False, False, reason, photons, events=events)


def estimate_beam(
    counts: CellCounts | Sequence[CellCounts], settings: BeamSettings | None = None
) -> BeamEstimate:
    """Photon energy and camera length from photons in cells.

    Parameters
    ----------
    counts : CellCounts or sequence of CellCounts
        Of one frame, or of several with the same energy and length.
    settings : BeamSettings, optional
        Where they may lie, and what is known already.

    Returns
    -------
    BeamEstimate
        Which may be that nothing is known, with the reason.
    """
    return estimate_and_fit(counts, settings)[0]


def estimate_and_fit(
    counts: CellCounts | Sequence[CellCounts], settings: BeamSettings | None = None
) -> tuple[BeamEstimate, Fit | None]:
    """As `estimate_beam`, with the fit itself; None where there were too few photons for one."""
    from napari_xfelsort.core.beam.fitting import best_fit

    settings = settings or BeamSettings()
    frames = [counts] if isinstance(counts, CellCounts) else list(counts)
    photons, events = sum(each.total for each in frames), sum(each.events for each in frames)
    usable = [each for each in frames if (each.exposure > 0).sum() >= _FEWEST_CELLS]
    if not usable:
        return nothing("too few pixels can be used", photons, events), None
    if not photons >= settings.fewest_photons:
        reason = f"only {max(photons, 0.0):.0f} photons were counted"
        return nothing(reason, photons, events), None
    lit = [each for each in usable if each.total > 0] or usable[:1]
    fit = best_fit(lit, settings)
    share = sum(p.cells.exposure.sum() for p in fit.parts) / sum(e.exposure.sum() for e in lit)
    return _judged(fit, float(share), photons, events, settings), fit


def _judged(
    fit: Fit, share: float, photons: float, events: int, settings: BeamSettings
) -> BeamEstimate:
    amounts = np.sum([part.amounts for part in fit.parts], axis=0)
    made = BeamEstimate(
        fit.energy,
        fit.length,
        fit.covariance,
        True,
        True,
        "",
        photons,
        float(amounts[0] / max(amounts.sum(), 1e-300)),
        float(np.mean([part.misfit for part in fit.parts])),
        events,
    )
    off = _off_share(fit)
    if off > _ELSE or share < _LEAST_USED:
        found = nothing(
            "the scattering is not that of water and gas "
            f"(off by {off:.0%}, {share:.0%} of the pixels go together)",
            photons,
            events,
        )
        return dataclasses.replace(found, misfit=made.misfit)
    energy, length = made.energy_error / made.energy, made.length_error / made.length
    limits = (
        (fit.energy, settings.photon_energy_range, settings.known_energy),
        (1e3 * fit.length, settings.camera_length_range, settings.known_length),
    )
    at_limit = any(
        given is None and not low * 1.001 < value < high / 1.001
        for value, (low, high), given in limits
    )
    # A free one at its limit takes the other with it.
    sure = [not at_limit and error <= settings.largest_error for error in (energy, length)]
    sure = [known or given is not None for known, (_, _, given) in zip(sure, limits, strict=True)]
    if all(sure):
        return made
    if at_limit:
        reason = "the most likely values are at the limit of what was allowed"
    else:
        reason = (
            f"{photons:.3g} photons leave {energy:.0%} of the photon energy and {length:.0%} of "
            "the camera length open"
        )
    return dataclasses.replace(made, energy_known=sure[0], length_known=sure[1], reason=reason)


def _off_share(fit: Fit) -> float:
    """By which share cells are off, beyond the noise of photons."""
    excess = sum(((p.cells.photons - p.expected) ** 2 - p.expected).sum() for p in fit.parts)
    due = sum((p.expected**2).sum() for p in fit.parts)
    return math.sqrt(max(0.0, float(excess)) / max(float(due), 1e-300))


def contradiction(
    estimate: BeamEstimate,
    photon_energy: float,
    camera_length: float,
    curve_error: float = CURVE_ERROR,
) -> str:
    """What the metadata say against the scattering, in a sentence; empty if nothing.

    Parameters
    ----------
    estimate : BeamEstimate
        Made without taking the metadata for known.
    photon_energy, camera_length : float
        Of the metadata in eV and m; NaN where they say nothing.
    curve_error : float
        Share by which the scattering curves themselves may be off. Those of two simulators
        of water differ by 6 %.
    """
    stated = np.array([photon_energy, camera_length])
    there = np.isfinite(stated) & (stated > 0)
    found = np.array([estimate.energy, estimate.length])
    free = np.isfinite(found) & (np.diag(estimate.covariance) > 0)
    use = there & free
    if not use.any() or "limit" in estimate.reason:
        return ""
    known = estimate.energy_known or estimate.length_known
    if not known and estimate.photons < _ENOUGH:
        return ""
    away = np.log(stated[use] / found[use])
    covariance = estimate.covariance[np.ix_(use, use)] + curve_error**2 * np.eye(int(use.sum()))
    if float(away @ np.linalg.solve(covariance, away)) <= _CONTRADICTS**2:
        return ""
    says = " and ".join(
        text
        for text, told in zip(
            (f"{photon_energy / 1e3:.2f} keV", f"{1e3 * camera_length:.1f} mm"), there, strict=True
        )
        if told
    )
    if estimate.energy_known and estimate.length_known:
        return f"The file says {says}, but the scattering looks like {estimate.told()}."
    if not use.all():
        seen = (
            _value(found[0] / 1e3, estimate.energy_error / 1e3, "keV"),
            _value(found[1] * 1e3, estimate.length_error * 1e3, "mm"),
        )
        return f"The file says {says}, but the scattering looks like {seen[int(use[1])]}."
    full = estimate.covariance
    slope = full[0, 1] / full[0, 0]
    length = 1e3 * estimate.length * math.exp(slope * away[0])
    error = length * math.sqrt(max(full[1, 1] - slope * full[0, 1], 0.0))
    return (
        f"The file says {says}, but these do not go together: at {photon_energy / 1e3:.2f} keV "
        f"the scattering looks like {_value(length, error, 'mm')}."
    )


def _value(value: float, error: float, unit: str) -> str:
    """A value and its error, with as many digits as the error has meaning."""
    if not error > 0:
        return f"{value:g} {unit}"
    place = math.floor(math.log10(error))
    digits = int(np.clip(-place + (error < 3.0 * 10.0**place), 0, 3))
    return f"{value:.{digits}f} ± {error:.{digits}f} {unit}"
