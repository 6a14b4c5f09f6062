"""Places in simulated frames, with what is there: what a network of peaks is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.peak_settings import PeakTrainingSettings
from napari_xfelsort.core.peaks.layout import FrameLayout
from napari_xfelsort.core.peaks.learned import GATE, Places, seen_places
from napari_xfelsort.core.peaks.poisson import PoissonLook
from napari_xfelsort.core.peaks.settings import PeakSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.simulate.sfx import SfxEvent, SfxSimulationSettings

#: Told the number of events done and of all.
Progress = Callable[[int, int], None]

#: A place this near to a spot is that spot; ice and spots beside a panel disturb farther.
NEAR, _DISTURBED = 2.0, 6.0
#: Powers of ten by which the best disc at a place must be unlikely.
_LEAST = 4.0
#: Spots above this are to be found; fainter ones down to the other count less.
FINDABLE, FAINT = 6.0, 3.0
#: Fluxes that are drawn, in equal steps of their logarithm.
_FLUXES = 13
_MOSAICITY, _POINT_SPREAD = (0.01, 0.15), (0.3, 1.0)


class Samples(NamedTuple):
    """Places with their truth; all arrays are over places.

    Attributes
    ----------
    patches, facts : ndarray
        As `learned.Places`.
    table : ndarray, shape (places, 12)
        As `summits.Summits`.
    significance : ndarray
        Of the strongest spot there, 0 where there is none.
    unsure : ndarray of bool
        A very faint spot, ice, or a spot beside a panel: neither peak nor none.
    event, run : ndarray of int
        Of the event among all, and of the run.
    """

    patches: NDArray[np.float32]
    facts: NDArray[np.float32]
    table: NDArray[np.float64]
    significance: NDArray[np.float64]
    unsure: NDArray[np.bool_]
    event: NDArray[np.int64]
    run: NDArray[np.int64]

    def part(self, which: NDArray[np.bool_]) -> Samples:
        """Some of the places."""
        return self._replace(**{name: v[which] for name, v in self._asdict().items()})


def run_settings(settings: PeakTrainingSettings) -> Iterator[SfxSimulationSettings]:
    """What each run simulates."""
    from napari_xfelsort.core.simulate.sfx import SfxSimulationSettings

    low, high = min(settings.flux), max(settings.flux)
    for run in range(settings.runs):
        random = np.random.default_rng((settings.seed, run, 41))
        yield SfxSimulationSettings(
            n_events=settings.events,
            seed=settings.seed,
            run=run,
            hit_share=0.75,
            photon_energy=settings.photon_energy,
            camera_length=settings.camera_length,
            continuous=True,
            flux=tuple(np.geomspace(low, high, _FLUXES).tolist()),
            crystal_size=settings.crystal_size,
            mosaicity=float(np.exp(random.uniform(*np.log(_MOSAICITY)))),
            point_spread=float(random.uniform(*_POINT_SPREAD)),
            ice_share=0.2,
            streak_share=0.2,
            unmasked_hot=20,
            hot_pixels=2e-5,
        )


def simulated_samples(
    settings: PeakTrainingSettings,
    geometry: Geometry | None = None,
    progress: Progress | None = None,
) -> Samples:
    """Places of all runs.

    Parameters
    ----------
    settings : PeakTrainingSettings
        What to simulate.
    geometry : Geometry, optional
        Of the detector; an EIGER2 4M if omitted.
    progress : callable, optional
        Told the events done, and of all.
    """
    from napari_xfelsort.core.simulate.sfx import SfxMaker

    parts = []
    for run, simulated in enumerate(run_settings(settings)):
        maker = SfxMaker(simulated, geometry)
        seer = PlaceSeer(maker.panels.geometry, maker.response.mask != 0)
        for i in range(simulated.n_events):
            number = run * simulated.n_events + i
            if progress is not None:
                progress(number, settings.runs * simulated.n_events)
            parts.append(event_samples(seer, maker.event(i), number, run))
    if progress is not None:
        total = settings.runs * settings.events
        progress(total, total)
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class PlaceSeer:
    """Sees places of frames of one detector as a network does.

    Parameters
    ----------
    geometry : Geometry
        Of the frames.
    bad : ndarray of bool, raw shape
        Pixels that must not be used.
    """

    def __init__(self, geometry: Geometry, bad: NDArray[np.bool_]) -> None:
        self.layout = FrameLayout(bad.shape, geometry)
        self._look = PoissonLook(self.layout, PeakSettings())
        self._bins = self._look.bins(bad.reshape(self.layout.shape))

    def places(self, frame: NDArray[Any]) -> Places:
        """All that may be peaks in a frame (raw shape)."""
        values = np.ascontiguousarray(frame).reshape(self.layout.shape)
        if values.dtype != np.int32:
            values = values.astype(np.float32, copy=False)
        summits = self._look.summits(values, self._bins, gate=GATE)
        table = summits.table[summits.table[:, 3] >= _LEAST]
        return seen_places(self.layout, summits._replace(table=table), self._bins.numbers)


def event_samples(seer: PlaceSeer, event: SfxEvent, number: int = 0, run: int = 0) -> Samples:
    """Places of one simulated event.

    Parameters
    ----------
    seer : PlaceSeer
        Of the event's detector.
    event : SfxEvent
        The frame and its truth.
    number, run : int
        What the event and its run are called.
    """
    places = seer.places(event.frame)
    table = places.summits.table
    there = distances(table, event.spots) <= NEAR
    strength = np.where(there, event.spots["significance"], 0.0).max(axis=1, initial=0.0)
    unsure = there.any(axis=1) & (strength <= FAINT)
    for others in (event.ice_spots, event.edge_spots):
        unsure |= (distances(table, others) <= _DISTURBED).any(axis=1) & (strength <= FINDABLE)
    which = np.full(len(table), number), np.full(len(table), run)
    return Samples(places.patches, places.facts, table, strength, unsure, *which)


def distances(table: NDArray[np.float64], spots: NDArray[Any]) -> NDArray[np.float64]:
    """Pixels between places (rows) and spots (columns)."""
    down = table[:, 0][:, None] - spots["ss"]
    return np.asarray(np.hypot(down, table[:, 1][:, None] - spots["fs"]), np.float64)
