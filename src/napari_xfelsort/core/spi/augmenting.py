"""Copies of labelled frames as another beam would have made them, to train with.

Photons are taken away one by one, background is added, the beam is elsewhere and the
particle of another size: what changes from run to run, and does not change what an event
is. Copies are made of events that train, never of those that a model is judged by.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.block_reader import BlockReader
from napari_xfelsort.core.features import FeatureExtractor, block_events
from napari_xfelsort.core.features.moved import moved_extractor

if TYPE_CHECKING:
    from napari_xfelsort.core.features import Progress
    from napari_xfelsort.core.stack import EventStack

Floats = NDArray[np.float64]

#: Smallest share of the photons that is left.
FEWEST_PHOTONS = 0.2
#: Background is added up to so many times the event's own, taken to be at least this many
#: photons a pixel.
MOST_BACKGROUND, LEAST_LEVEL = 5.0, 0.01
#: Standard deviations: of the beam along each axis in pixels, of the logarithm of the size.
BEAM_SPREAD, SIZE_SPREAD = 1.0, 0.1
#: Places of the beam that are drawn; each copy has one of them.
_PLACES = 16
#: Photons a pixel above which they are drawn pixel by pixel, and not one by one.
_DENSE = 1.0
#: Share of the pixels, the outermost, that an event's background is taken of.
_OUTER = 0.1


class Variation(NamedTuple):
    """How a copy differs.

    Attributes
    ----------
    kept : float
        Share of the photons that are left.
    added : float
        Photons a pixel that are added.
    """

    kept: float
    added: float


def vary(photons: Floats, variation: Variation, random: np.random.Generator) -> Floats:
    """Photons of a frame, thinned, and with background.

    Parameters
    ----------
    photons : ndarray, any shape
        Nearly whole numbers; what is left of each after rounding, or is negative, stays as
        it is. NaN stays NaN.
    variation : Variation
        By how much.
    random : numpy.random.Generator
        What is drawn from.

    Returns
    -------
    ndarray of float64, same shape
        Of Poisson's law if the photons were.
    """
    found = np.array(photons, np.float64)
    flat = found.reshape(-1)
    with np.errstate(invalid="ignore"):
        there = np.flatnonzero(flat >= 0.5)
    whole = np.rint(np.minimum(flat[there], 1e15)).astype(np.int64)
    flat[there] += random.binomial(whole, variation.kept) - whole
    if variation.added > _DENSE:
        flat += random.poisson(variation.added, flat.size)
    else:
        n = int(random.poisson(variation.added * flat.size))
        flat += np.bincount(random.integers(0, flat.size, n), minlength=flat.size)
    return found


def augmented_features(
    stack: EventStack,
    positions: NDArray[np.int64],
    extractor: FeatureExtractor,
    copies: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Features of copies of events; the same whatever else is asked for with an event.

    Parameters
    ----------
    stack : EventStack
        With the geometry that the extractor was made with.
    positions : ndarray of int, shape (events,)
        Which events.
    extractor : FeatureExtractor
        Of particle or scattering features alone.
    copies : int
        Of each event.
    seed : int
        Of all that is drawn, with the position of the event.
    progress : callable, optional
        Called with events read and events in all; may raise to stop.

    Returns
    -------
    ndarray of float32, shape (events, copies, features)
        NaN where an event has no features.

    Raises
    ------
    RegionError
        If there is no geometry.
    """
    moved = _moved(stack, extractor, seed)
    found = np.full((len(positions), copies, extractor.n_features), np.nan, np.float32)
    chosen = stack.subset(positions)
    reader = BlockReader(chosen, extractor.pixels)
    outer = _outer(extractor)
    done = 0
    for block in chosen.blocks(block_events(extractor.window, 8 * (copies + 1))):
        frames, bad, failed = reader.read(block)
        rows = np.array([k for k in range(len(frames)) if k not in failed], np.int64)
        photons = frames[rows].astype(np.float64) / extractor.settings.adu_per_photon
        flags = None if bad is None else bad[rows]
        if flags is not None:
            photons[flags] = np.nan
        events = positions[block.positions[rows]]
        for copy in range(copies):
            made, which = _copies(photons, events, copy, outer, seed)
            made *= extractor.settings.adu_per_photon
            for number in np.unique(which).tolist():
                own = which == number
                features = moved[number].extract(made[own], None if flags is None else flags[own])
                found[block.positions[rows[own]], copy] = features
        done += len(frames)
        if progress is not None:
            progress(done, len(positions))
    return found


def _moved(stack: EventStack, extractor: FeatureExtractor, seed: int) -> list[FeatureExtractor]:
    random = np.random.default_rng((seed, 1))
    beam = (math.nan, math.nan)
    if extractor.settings.radial_axis == "q":
        beam = (stack.photon_energy(0), stack.camera_length(0))
    shifts = random.normal(0.0, BEAM_SPREAD, (_PLACES, 2)).tolist()
    scales = np.exp(random.normal(0.0, SIZE_SPREAD, _PLACES)).tolist()
    return [
        moved_extractor(extractor, stack.geometry, beam, (dx, dy), scale)
        for (dx, dy), scale in zip(shifts, scales, strict=True)
    ]


def _outer(extractor: FeatureExtractor) -> NDArray[np.bool_]:
    """The outermost pixels of the window."""
    bins = extractor.places.scattering
    assert bins is not None
    counts = np.bincount(bins.index[bins.index >= 0], minlength=len(bins.positions))
    beyond = np.cumsum(counts[::-1])[::-1] - counts
    first = int(np.argmax(beyond < _OUTER * counts.sum()))
    return np.asarray(bins.index >= first)


def _copies(
    photons: Floats,
    events: NDArray[np.int64],
    copy: int,
    outer: NDArray[np.bool_],
    seed: int,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """A copy of each event, and about which of the places of the beam it is."""
    made = np.empty_like(photons)
    which = np.empty(len(photons), np.int64)
    for k, event in enumerate(events.tolist()):
        random = np.random.default_rng((seed, 2, event, copy))
        which[k] = random.integers(_PLACES)
        kept = math.exp(random.uniform(math.log(FEWEST_PHOTONS), 0.0))
        around = photons[k][outer]
        around = around[np.isfinite(around)]
        level = max(LEAST_LEVEL, float(around.mean()) if len(around) else 0.0)
        added = random.uniform(0.0, MOST_BACKGROUND) * level
        made[k] = vary(photons[k], Variation(kept, added), random)
    return made, which
