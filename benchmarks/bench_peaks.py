"""Peak finders on the reference stacks of `pattern_sim`: how good, how fast, and how alike.

    python benchmarks/bench_peaks.py [--data ../shared/data] [--step 1] [--simulated]

Both stacks (45 events of 2162 x 2068 pixels at seven fluxes each) are searched with the
finders poisson and robust as they come, and with peakfinder8 at several thresholds. A peak
matches a spot within 2 pixels; spots above 6 deviations are to be found, a peak near a weaker
one is not counted as false. Hits are events with at least three such spots, against blanks.
Beside peakfinder8 that of cfelpyutils, where it is installed (it is no dependency: ``pip
install cfelpyutils``), with the same parameters and distances from the beam. Milliseconds
are of the processor, one thread, without reading.

With ``--simulated`` frames of ``xfelsort simulate sfx`` are searched instead: several
detectors with beam stops, arms and shadows that no mask names, ice, streaks of the jet. Spots
of ice, and those that reach onto a panel from beside it, do not count as false.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.peaks import PeakFinder, PeakList, PeakSettings
from napari_xfelsort.core.peaks.repeats import repeated
from napari_xfelsort.core.simulate.sfx import SfxMaker, SfxSimulationSettings

NEAR, FINDABLE = 2.0, 6.0
EIGHT = {"finder": "peakfinder8", "threshold": 3.0}
SETTINGS = {
    "poisson, as it comes": PeakSettings(),
    "robust, as it comes": PeakSettings(finder="robust"),
    "peakfinder8, as it comes": PeakSettings(finder="peakfinder8"),
    "peakfinder8, threshold 3, SNR 5": PeakSettings(**EIGHT, min_snr=5.0),
    "peakfinder8, threshold 3, SNR 6": PeakSettings(**EIGHT, min_snr=6.0),
    "peakfinder8, threshold 3, SNR 7": PeakSettings(**EIGHT, min_snr=7.0),
}


SHADED = {"n_events": 21, "beam_stop_arm": 3.0, "shadow": "edge"}
GEOMS = {
    "jungfrau": "cheetah-gui__src__cheetah__resources__jungfrau4M.geom",
    "agipd": "extra_geom_written__AGIPD-1M_3d.geom",
    "cspad": "crystfel__doc__examples__cspad-cxiformat.geom",
}
SIMULATED = {
    "eiger 1M, shadow": SHADED | {"binning": 2},
    "eiger 1M, ice and streaks": {
        "n_events": 21,
        "binning": 2,
        "ice_share": 0.4,
        "streak_share": 0.5,
    },
    "eiger 1M, 30 ADU a photon, noise": {
        **SHADED,
        "binning": 2,
        "adu_per_photon": 30.0,
        "read_noise": 6.0,
        "gain_spread": 0.03,
        "dtype": "float32",
    },
    **{f"{name}, shadow": SHADED | {"geometry": name} for name in GEOMS},
}


class Tally:
    """Spots that are to be found and are, by level; false peaks; peaks of hits and blanks."""

    def __init__(self) -> None:
        self.spots = np.zeros((7, 2), int)
        self.false = 0
        self.counts: dict[bool, list[int]] = {True: [], False: []}

    def add(self, peaks: PeakList, spots: Any, level: int, hit: bool) -> None:
        """One event."""
        away = np.hypot(peaks.fs[:, None] - spots["fs"], peaks.ss[:, None] - spots["ss"])
        near, wanted = away <= NEAR, spots["significance"] > FINDABLE
        self.spots[level] += wanted.sum(), near.any(axis=0)[wanted].sum()
        self.false += int((~near.any(axis=1)).sum())
        if not hit or wanted.sum() >= 3:
            self.counts[hit].append(len(peaks))

    def told(self) -> str:
        """In one line."""
        found = self.spots[:, 1].sum()
        levels = " ".join(f"{f / max(1, n):.2f}" for n, f in self.spots)
        hits, blanks = (np.array(self.counts[kind]) for kind in (True, False))
        balanced = [
            0.5 * ((hits >= least).mean() + (blanks < least).mean()) for least in range(1, 8)
        ]
        return (
            f"recall {found / self.spots[:, 0].sum():.3f} ({levels}), precision "
            f"{found / max(1, found + self.false):.3f}, hits {balanced[1]:.3f} at 2 peaks, "
            f"{max(balanced):.3f} at best"
        )


def reference_finder(settings: PeakSettings, radius: Any, bad: Any) -> Any:
    """peakfinder8 of cfelpyutils, None where it is not installed."""
    try:
        from cfelpyutils.peakfinding.lib.peakfinder8_extension import peakfinder_8
    except ImportError:
        return None
    good = (~bad & (radius <= settings.largest_radius)).astype(np.int8)
    s = settings

    def find(frame: Any) -> Any:
        height, width = frame.shape
        limits = (s.threshold, s.min_snr, s.min_pix_count, s.max_pix_count, s.local_bg_radius)
        where = (width, height, 1, 1)
        found = peakfinder_8(s.max_n_peaks, frame, good, radius, *where, *limits)
        return np.transpose(found[:2]).reshape(-1, 2)

    return find


def search(name: str, settings: PeakSettings, folder: Path, step: int) -> None:
    """Both stacks with one finder."""
    tally, seconds, theirs_seconds = Tally(), [], []
    n_theirs = n_ours = n_common = 0
    for path in sorted(folder.glob("set*.cxi")):
        with h5py.File(path) as file:
            data, labels = file["entry_1/data_1/data"], file["labels"]
            bad, spots = file["entry_1/data_1/mask"][()] != 0, file["truth/spots"][()]
            geometry = Geometry.from_crystfel(folder / "eiger4m.geom").fit(data.shape[1:])
            finder = PeakFinder(data.shape[1:], geometry, settings)
            eight = settings.finder == "peakfinder8"
            theirs = reference_finder(settings, finder.layout.radius, bad) if eight else None
            events = range(0, len(data), step)
            finder.find(data[0], bad)  # compiled, and its tables made
            lists = []
            for i in events:
                frame = data[i]
                start = time.process_time()
                lists.append(finder.find(frame, bad))
                seconds.append(time.process_time() - start)
                if theirs is not None:
                    other = frame.astype(np.float32)
                    start = time.process_time()
                    places = theirs(other)
                    theirs_seconds.append(time.process_time() - start)
                    own = lists[-1]
                    away = np.hypot(own.fs[:, None] - places[:, 0], own.ss[:, None] - places[:, 1])
                    n_theirs, n_ours = n_theirs + len(places), n_ours + len(own)
                    n_common += int((away < 0.5).any(axis=0).sum())
            if not eight:
                again = repeated(lists, data.shape[1:], settings.repeats)
                lists = [peaks[~drop] for peaks, drop in zip(lists, again, strict=True)]
            for i, peaks in zip(events, lists, strict=True):
                own_spots = spots[spots["frame"] == i]
                tally.add(peaks, own_spots, labels["level"][i], bool(labels["hit"][i]))
    print(f"{name}: {tally.told()}; {1000 * np.mean(seconds):.0f} ms")
    if theirs_seconds:
        print(
            f"    cfelpyutils: {n_theirs} peaks, ours {n_ours}, common {n_common}; "
            f"{1000 * np.mean(theirs_seconds):.0f} ms, ratio "
            f"{np.mean(seconds) / np.mean(theirs_seconds):.2f}"
        )


def search_simulated(name: str, chosen: PeakSettings, folder: Path, seed: int) -> None:
    """One finder on frames that are simulated here."""
    for what, given in SIMULATED.items():
        values = given | {"seed": seed}
        if "geometry" in values:
            values["geometry"] = str(folder / "geoms" / GEOMS[values["geometry"]])
            if not Path(values["geometry"]).is_file():
                continue
        simulation = SfxSimulationSettings(**values)
        maker = SfxMaker(simulation)
        geometry = maker.panels.geometry.fit(maker.panels.raw_shape)
        own = {} if simulation.adu_per_photon == 1 else {"adu_per_photon": 30.0}
        finder = PeakFinder(geometry.raw_shape, geometry, dataclasses.replace(chosen, **own))
        events = [maker.event(i) for i in range(simulation.n_events)]
        bad = maker.response.mask != 0
        finder.find(events[0].frame, bad)  # compiled, and its tables made
        start = time.process_time()
        lists = [finder.find(event.frame, bad) for event in events]
        seconds = (time.process_time() - start) / len(events)
        if chosen.finder != "peakfinder8":
            again = repeated(lists, finder.layout.shape, chosen.repeats)
            lists = [peaks[~drop] for peaks, drop in zip(lists, again, strict=True)]
        tally = Tally()
        for i, (event, peaks) in enumerate(zip(events, lists, strict=True)):
            others = np.concatenate([event.ice_spots, event.edge_spots])
            others["significance"] = 0.0
            spots = np.concatenate([event.spots, others])
            tally.add(peaks, spots, maker.plan.level[i], bool(maker.plan.crystal[i]))
        print(f"{name}; {what}: {tally.told()}; {1000 * seconds:.0f} ms")


def main() -> None:
    """All finders."""
    default = os.environ.get("XFELSORT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(default), help="shared test data")
    parser.add_argument("--step", type=int, default=1, help="take every so many-th event")
    parser.add_argument("--simulated", action="store_true", help="our frames instead")
    parser.add_argument("--seed", type=int, default=21, help="of the simulated frames")
    given = parser.parse_args()
    if given.simulated:
        for name in list(SETTINGS)[:2]:
            search_simulated(name, SETTINGS[name], given.data, given.seed)
        return
    folder = given.data / "sfx"
    if not folder.is_dir():
        print(f"There are no reference stacks in {folder}; set XFELSORT_TEST_DATA.")
        return
    for name, settings in SETTINGS.items():
        search(name, settings, folder, given.step)


if __name__ == "__main__":
    main()
