"""What the features of an event are, declared as data and kept in the model file."""

from __future__ import annotations

import dataclasses
import math
import numbers
import typing
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.settings import Settings, setting

#: What a feature can be, in the order of the documentation.
KINDS = (
    *("pixels", "profile", "radial", "ring_vector", "azimuthal", "scattering", "particle"),
    *("intensity", "quantiles", "peaks", "metadata"),
)
#: Kinds whose features belong to pixels, so that they can be drawn on the detector.
PIXEL_KINDS = ("pixels", "profile", "radial", "ring_vector", "scattering", "particle")
#: Kinds that are stored with an event; no frame is read for them.
STORED_KINDS = ("peaks", "metadata")
RADIAL_STATISTICS = (
    *("mean", "sd", "median", "fraction"),
    *("minimum", "maximum", "variance", "p5", "p95"),
)
#: More than anybody needs; a file that asks for more is damaged.
_MOST_NAMES, _MOST_LETTERS, _MOST_BINS = 1000, 200, 100_000


@dataclass(frozen=True)
class FeatureSettings(Settings):
    """Which features an event has.

    Several kinds may be taken together; their features stand beside one another in the
    order of ``kinds``. Below, v are the good values of the region (finite, not masked) in
    one event, after they were divided by d:

    =========== ==================================================================
    kind        features
    =========== ==================================================================
    pixels      v of each pixel; with ``bin`` = k > 1 mean or median (``bin_statistic``)
                of the v in each block of k x k pixels (ADU)
    profile     mean or median of the v at each place along ``profile_axis`` (ADU)
    radial      for each of ``radial_bins`` rings of equal width around the beam, in
                pixels or in q: mean v (ADU), their standard deviation (ADU), median
                (ADU), the fraction of v > ``above``, minimum, maximum (ADU), variance
                (ADU squared), 5th or 95th percentile (ADU) (``radial_statistics``)
    ring_vector minimum, maximum, mean, median, variance, 5th and 95th percentile of each
                of ``vector_rings`` rings, without the shadow of a beam stop
                (``beam_stop_sigma``)
    azimuthal   how rings vary with the direction from the beam: of each of
                ``azimuthal_groups`` groups of these rings the moments 1 to 6, spread,
                range, significance and two-fold symmetry; and how panels differ
    scattering  of each of ``scattering_rings`` rings the logarithm of the mean v by that of
                all v, the variance of the v by their mean, and the standard deviation of the
                mean v in twelve directions by their mean: for single particles
    particle    the like of each of ``scattering_rings`` rings, of photons (v divided by
                ``adu_per_photon``), without the background and what counting scatters: made
                to stay the same when brightness and background change
    intensity   of all v: mean m, standard deviation s = sqrt(mean((v - m)^2)), minimum,
                maximum (ADU), skewness mean((v - m)^3) / s^3, excess kurtosis
                mean((v - m)^4) / s^4 - 3 (both 0 where s is), fraction of v > ``above``
    quantiles   of all v, at each of ``quantiles``, linear between values (ADU)
    peaks       of the stored peaks in the region: how many; mean, median, largest
                intensity / d (ADU); with a geometry the mean distance from the beam
                (pixels); 0 where there is no peak
    metadata    the numbers stored with the event under the names ``metadata``
    =========== ==================================================================

    d is 1 (``normalise`` none), the mean or median of the event's good values in the
    region, or the number stored with it under the name ``incoming``. Where an event has no
    good value for a pixel, block, place or ring, the same of its whole region stands in:
    median, standard deviation or fraction.
    """

    kinds: tuple[str, ...] = setting(
        ("pixels",), "what the features are; may be several", choices=KINDS
    )
    bin: int = setting(
        1,
        "side of the blocks of pixels that make a feature",
        minimum=1,
        maximum=4096,
        unit="pixels",
    )
    bin_statistic: str = setting(
        "mean", "what a feature is of its block of pixels", choices=("mean", "median")
    )
    profile_axis: str = setting(
        "fs",
        "along what a profile is taken: fs or ss of the frame as stored, x or y of the laboratory",
        choices=("fs", "ss", "x", "y"),
    )
    profile_statistic: str = setting(
        "mean", "what a point of the profile is of its pixels", choices=("mean", "median")
    )
    radial_axis: str = setting(
        "pixels",
        "what rings are equally wide in: pixels from the beam, or q in 1/angstrom",
        choices=("pixels", "q"),
    )
    radial_bins: int = setting(
        50, "rings around the beam that the region is cut into", minimum=1, maximum=_MOST_BINS
    )
    radial_statistics: tuple[str, ...] = setting(
        ("mean",),
        "what is taken of each ring: mean, standard deviation, median, fraction above the "
        "value, minimum, maximum, variance, 5th or 95th percentile; may be several",
        choices=RADIAL_STATISTICS,
    )
    vector_rings: int = setting(
        240, "rings of ring vectors and azimuthal features", minimum=1, maximum=_MOST_BINS
    )
    beam_stop_sigma: float = setting(
        4.0,
        "rays so many spreads darker than others, as in the shadow of a beam stop, are left out "
        "of ring vectors; 0 keeps all",
        minimum=0,
        maximum=1e6,
    )
    azimuthal_groups: int = setting(
        10, "groups of rings that azimuthal features are taken of", minimum=1, maximum=1000
    )
    scattering_rings: int = setting(
        36,
        "rings that scattering and particle features are taken of",
        minimum=1,
        maximum=_MOST_BINS,
    )
    adu_per_photon: float = setting(
        1.0, "what a photon counts, for particle features", unit="ADU", minimum=1e-9, maximum=1e9
    )
    above: float = setting(
        0.0, "value, after dividing, that fractions are counted above", unit="ADU"
    )
    quantiles: tuple[float, ...] = setting(
        (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99),
        "quantiles of the region's values; may be several",
        minimum=0,
        maximum=1,
    )
    metadata: tuple[str, ...] = setting(
        (),
        "names of stored numbers: photon_energy (eV), camera_length (m) or of the metadata; "
        "may be several",
    )
    normalise: str = setting(
        "none",
        "what each event is divided by: nothing, the mean or median of its region, or the "
        "incoming intensity stored with it",
        choices=("none", "mean", "median", "incoming"),
    )
    incoming: str = setting(
        "", "name of the stored number that is the incoming intensity, as of the metadata"
    )
    components: int = setting(
        0,
        "principal components of the features that the model sees instead of them; 0 for the "
        "features themselves",
        minimum=0,
        maximum=_MOST_BINS,
    )

    def __post_init__(self) -> None:
        for name, hint in _hints().items():
            object.__setattr__(self, name, _typed(name, getattr(self, name), hint))
        super().__post_init__()
        for name in ("kinds", "radial_statistics", "quantiles"):
            _check_some(name, getattr(self, name))
        _check_names(self.metadata)
        if not math.isfinite(self.above):
            raise SettingsError(f"above is {self.above} but must be a number.")
        if "metadata" in self.kinds and not self.metadata:
            raise SettingsError("Features of the kind metadata need names of stored numbers.")
        if self.normalise == "incoming":
            if not self.incoming.strip():
                raise SettingsError(
                    "Dividing by the incoming intensity needs the name of the number that is "
                    "stored for it (incoming)."
                )
            _check_names((self.incoming,))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from a dictionary; one ``kind``, as older files have it, is understood.

        Raises
        ------
        SettingsError
            If a name is unknown, or a value is of a wrong type or out of range.
        """
        if "kind" in values and "kinds" not in values:
            values = {
                **{k: v for k, v in values.items() if k != "kind"},
                "kinds": (values["kind"],),
            }
        return super().from_dict(values)

    @property
    def needs_pixels(self) -> bool:
        """Whether frames must be read."""
        return self.normalise in ("mean", "median") or bool(set(self.kinds) - set(STORED_KINDS))

    @property
    def needs_stored(self) -> bool:
        """Whether peaks or numbers stored with the events are needed."""
        return self.normalise == "incoming" or bool(set(self.kinds) & set(STORED_KINDS))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the stored numbers that are needed, each once."""
        names = self.metadata if "metadata" in self.kinds else ()
        return tuple(dict.fromkeys((*names, *([self.incoming] * (self.normalise == "incoming")))))


@cache
def _hints() -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(FeatureSettings)}
    hints = typing.get_type_hints(FeatureSettings)
    return {name: hint for name, hint in hints.items() if name in names}


def _typed(name: str, value: Any, hint: Any) -> Any:
    """The value, checked: it may come from a file of a stranger."""
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise SettingsError(f"{name} is {value!r} but must be a list.")
        return tuple(_typed(name, each, typing.get_args(hint)[0]) for each in value)
    known = {int: numbers.Integral, float: numbers.Real, str: str}[hint]
    if isinstance(value, known) and not isinstance(value, (bool, np.bool_)):
        with suppress(OverflowError):  # a whole number beyond all floats
            return hint(value)
    kind = "text" if hint is str else "whole number" if hint is int else "number"
    raise SettingsError(f"{name} is {value!r} but must be a {kind}.")


def _check_some(name: str, values: tuple[Any, ...]) -> None:
    if not values:
        raise SettingsError(f"{name} is empty but must hold at least one value.")
    if len(set(values)) < len(values) or len(values) > _MOST_NAMES:
        raise SettingsError(f"{name} holds a value twice, or too many values.")


def _check_names(names: tuple[str, ...]) -> None:
    if len(set(names)) < len(names) or len(names) > _MOST_NAMES:
        raise SettingsError("metadata holds a name twice, or too many names.")
    for name in names:
        if not name.strip() or len(name) > _MOST_LETTERS:
            raise SettingsError(f"{name[:50]!r} is no name of a number stored with events.")
