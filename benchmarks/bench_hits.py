"""Hits told from blanks: peaks counted, features of frames, a network, and learned evidence.

    python benchmarks/bench_hits.py [--small] [--folder SETS] [--data ../shared/data]
        [--model FILE.xfelpeaks]

Frames are simulated at seven fluxes, with a background that differs from frame to frame
whether or not there is a crystal; one set is trained on, one of other seeds is judged, and so
are the reference stacks of `pattern_sim`, which nothing is trained on. A hit is a frame with
at least three spots of more than 6 deviations, a blank one without a crystal; crystals with
fewer such spots are in neither, and told apart ("faint"); a third set, at the two lowest
fluxes, has small crystals and so many of these. Printed for each way and flux:
balanced accuracy with the threshold that lets 5 % of the blanks of the training set through
that were not trained on (two peaks where they are counted), with it hits found and blanks
taken for hits, and the share of hits found where the threshold lets at most 5 % of the judged
blanks of this flux through. The network of Everett & Kurth needs PyTorch. Peaks that stay
from event to event are left out of a run's before any is used. Before, the finders: recall by
flux and precision on the judged frames as they come, and the most spots that each finds at
the three lowest fluxes with a given precision, whatever its cut.
"""

from __future__ import annotations

import argparse
import os
import pickle
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import h5py
import numpy as np

from napari_xfelsort.core.deep.hit_net import HitNetSettings, blocks_of, train_hit_net
from napari_xfelsort.core.deep.peak_net import load_peak_net
from napari_xfelsort.core.deep.peak_samples import FINDABLE, NEAR, PlaceSeer, distances
from napari_xfelsort.core.errors import MissingDependencyError
from napari_xfelsort.core.features import FeatureExtractor, FeatureSettings
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.peaks import PeakFinder, PeakSettings
from napari_xfelsort.core.peaks.hit_evidence import hit_evidence
from napari_xfelsort.core.peaks.repeats import repeated
from napari_xfelsort.core.peaks.summits import parts_of_others
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.simulate.sfx import SfxMaker, SfxSimulationSettings

FLUX = (1e12, 1e11, 3e10, 1e10, 3e9, 1e9, 3e8)
FALSE_HITS = 0.05
#: Peaks of poisson are kept from here on, those of the finder as it comes are above 9.5.
LEAST_POWER, POWER = 6.0, 9.5
#: Peaks of a hit where they are counted.
MIN_PEAKS = float(PeakSettings().min_peaks)
FEATURES = FeatureSettings(
    kinds=("radial",), radial_statistics=("mean", "sd", "maximum", "fraction")
)


class Seen(NamedTuple):
    """A frame as all ways need it."""

    run: int
    level: int
    kind: int  # 1 hit, 0 blank, -1 a crystal with fewer spots
    table: Any
    patches: Any
    facts: Any
    spots: Any
    ice: Any
    features: Any
    picture: Any
    power: Any = None  # of the chance of each place; 0 for those that poisson does not take


class Looker:
    """Takes from frames of one geometry what is needed."""

    def __init__(self, geometry: Geometry, bad: Any) -> None:
        self.bad = bad
        self.seer = PlaceSeer(geometry, bad)
        self.finder = PeakFinder(bad.shape, geometry, PeakSettings(significance=LEAST_POWER))
        self.extractor = FeatureExtractor.for_region(
            FEATURES, Region.parse("whole"), bad.shape, geometry, PixelMask.from_bad(bad)
        )

    def seen(self, frame: Any, run: int, level: int, kind: int, spots: Any, ice: Any) -> Seen:
        """One frame."""
        places = self.seer.places(frame)
        table = places.summits.table
        peaks = self.finder.find(frame, self.bad)
        taken = np.isin(table[:, 0] + 1j * table[:, 1], peaks.ss + 1j * peaks.fs)
        features = self.extractor.extract(frame[None])[0]
        picture = blocks_of(frame, self.bad, HitNetSettings().block)
        return Seen(
            *(run, level, kind, table),
            *(places.patches.astype(np.float16), places.facts),
            *(spots, ice, features, picture.astype(np.float16)),
            np.where(taken, table[:, 3], 0.0),
        )


def simulated(
    runs: int, events: int, seed: int, first: int = 0, sizes: tuple[float, float] = (0.5, 5.0)
) -> list[Seen]:
    """Frames of our own, from some flux on."""
    result = []
    for run in range(runs):
        settings = SfxSimulationSettings(
            n_events=events,
            seed=seed,
            run=run,
            flux=FLUX[first:],
            hit_share=0.6,
            crystal_size=sizes,
        )
        maker = SfxMaker(settings)
        looker = Looker(maker.panels.geometry, maker.response.mask != 0)
        for i in range(events):
            event = maker.event(i)
            others = np.concatenate([event.ice_spots, event.edge_spots])
            level = first + int(maker.plan.level[i])
            result.append(looker.seen(event.frame, run, level, event.label, event.spots, others))
        print(f"simulated {run + 1} of {runs} runs", flush=True)
    return result


def reference(folder: Path) -> list[Seen]:
    """Frames of pattern_sim."""
    result = []
    for run, path in enumerate(sorted(folder.glob("set*.cxi"))):
        with h5py.File(path) as file:
            data, labels = file["entry_1/data_1/data"], file["labels"]
            bad, spots = file["entry_1/data_1/mask"][()] != 0, file["truth/spots"][()]
            geometry = Geometry.from_crystfel(folder / "eiger4m.geom").fit(data.shape[1:])
            looker = Looker(geometry, bad)
            for i in range(len(data)):
                own = spots[spots["frame"] == i]
                enough = (own["significance"] > FINDABLE).sum() >= 3
                kind = 0 if not labels["hit"][i] else 1 if enough else -1
                level = int(labels["level"][i])
                result.append(looker.seen(data[i], run, level, kind, own, own[:0]))
    return result


def staying(frames: list[Seen], chosen: list[Any]) -> list[Any]:
    """Of chosen places (numbers) of each frame those that stay in its run."""
    stays = [np.zeros(0, bool)] * len(frames)
    for run in {frame.run for frame in frames}:
        own = [k for k, frame in enumerate(frames) if frame.run == run]
        lists = []
        for k in own:
            places = frames[k].table[chosen[k]]
            lists.append(Placed(places))
        for k, again in zip(own, repeated(lists, (1 << 20, 1 << 20), 0.33), strict=True):
            stays[k] = again
    return stays


class Placed(SimpleNamespace):
    """Places as `repeated` takes peaks."""

    def __init__(self, places: Any) -> None:
        super().__init__(ss=places[:, 0], fs=places[:, 1])

    def __len__(self) -> int:
        return len(self.ss)


def peaks_of(frames: list[Seen], above: list[Any]) -> list[Any]:
    """Numbers of the places that are peaks: above a cut, no parts of others, not staying."""
    chosen = []
    for frame, good in zip(frames, above, strict=True):
        own = np.flatnonzero(good)
        own = own[np.argsort(-frame.table[own, 2], kind="stable")]
        chosen.append(own[~parts_of_others(frame.table[own])])
    return [own[~drop] for own, drop in zip(chosen, staying(frames, chosen), strict=True)]


def matched(frames: list[Seen], peaks: list[Any]) -> Any:
    """By level: spots to be found, spots found, false peaks."""
    told = np.zeros((len(FLUX), 3), int)
    for frame, own in zip(frames, peaks, strict=True):
        places = frame.table[own]
        near, wanted = (
            distances(places, frame.spots) <= NEAR,
            frame.spots["significance"] > FINDABLE,
        )
        unsure = (distances(places, frame.ice) <= 3 * NEAR).any(axis=1)
        false = ~near.any(axis=1) & ~unsure
        told[frame.level] += wanted.sum(), near.any(axis=0)[wanted].sum(), false.sum()
    return told


def exact(rows: Any) -> float:
    """Precision of rows of `matched`."""
    found = rows[:, 1].sum()
    return float(found / max(1, found + rows[:, 2].sum()))


def tell_finder(name: str, told: Any) -> None:
    """One line."""
    low = told[4:]
    levels = " ".join(f"{f / max(1, n):.3f}" for n, f, _ in told)
    print(
        f"  {name}: recall {told[:, 1].sum() / told[:, 0].sum():.3f}, precision "
        f"{exact(told):.3f}; by flux {levels}; false {told[:, 2].tolist()}; three lowest: "
        f"{low[:, 1].sum()} of {low[:, 0].sum()} found, precision {exact(low):.3f}"
    )


def compare_finders(name: str, frames: list[Seen], scores: list[Any], cut: float) -> None:
    """Poisson and the learned finder on the same places."""
    spots = [int((f.spots["significance"] > FINDABLE).sum()) for f in frames]
    print(f"\nPeaks, {name}: {len(frames)} frames, {sum(spots)} spots to be found")
    sweeps = {
        "learned": [
            matched(frames, peaks_of(frames, [s >= at for s in scores]))
            for at in np.arange(-1.0, 4.1, 0.5)
        ],
        "poisson": [matched(frames, _poisson(frames, at)) for at in np.arange(6.0, 12.1, 0.5)],
    }
    tell_finder("learned", matched(frames, peaks_of(frames, [s >= cut for s in scores])))
    tell_finder("poisson", matched(frames, _poisson(frames, POWER)))
    for way, sweep in sweeps.items():
        for least in (0.95, 0.99, 1.0):
            found = [
                low[:, 1].sum() for low in (told[4:] for told in sweep) if exact(low) >= least
            ]
            print(f"  {way}: at most {max(found, default=0)} with a precision of {least} there")


def _poisson(frames: list[Seen], power: float) -> list[Any]:
    return peaks_of(frames, [frame.power >= power for frame in frames])


def ways(
    train: list[Seen], sets: dict[str, list[Seen]], net: Any, logits: dict[str, list[Any]]
) -> dict[str, dict[str, Any]]:
    """Scores of each frame of each set, by way; the more the likelier a hit."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sure = np.array([frame.kind >= 0 for frame in train])
    hits = np.array([frame.kind == 1 for frame in train])[sure]
    result: dict[str, dict[str, Any]] = {}
    judged = [name for name in sets if name != "train"]

    def counted(chosen: Any) -> dict[str, Any]:
        counts = {name: np.array([len(p) for p in chosen(name)], float) for name in judged}
        return counts | {"cut": MIN_PEAKS}

    result["peaks of poisson"] = counted(lambda name: _poisson(sets[name], POWER))
    result["peaks of learned"] = counted(
        lambda name: peaks_of(sets[name], [s >= net.cut for s in logits[name]])
    )

    def fitted(classifier: Any, rows: dict[str, Any]) -> dict[str, Any]:
        classifier.fit(rows["train"][sure], hits)
        scores = {name: classifier.predict_proba(rows[name])[:, 1] for name in sets}
        return scores | {"cut": out_of_fold(classifier, rows["train"][sure], hits)}

    rows = {name: np.array([f.features for f in frames]) for name, frames in sets.items()}
    forest = RandomForestClassifier(200, class_weight="balanced", random_state=0)
    result["features, random forest"] = fitted(forest, rows)
    boosting = HistGradientBoostingClassifier(random_state=0, class_weight="balanced")
    result["features, boosting"] = fitted(boosting, rows)
    try:
        result["network of two convolutions"] = convolved(train, sets, judged, sure, hits)
    except MissingDependencyError as error:
        print(error)
    evidence = {}
    for name, frames in sets.items():
        chosen = [np.flatnonzero(s > -2.0) for s in logits[name]]
        stays = staying(frames, chosen)
        evidence[name] = np.array(
            [
                hit_evidence(s[own[~drop]])
                for s, own, drop in zip(logits[name], chosen, stays, strict=True)
            ]
        )
    line = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", C=0.1))
    result["evidence of learned"] = fitted(line, evidence)
    return result


def convolved(
    train: list[Seen], sets: dict[str, list[Seen]], judged: list[str], sure: Any, hits: Any
) -> Any:
    """The network of Everett & Kurth on reduced frames."""

    def pictures(frames: list[Seen]) -> Any:
        rows, columns = np.min([f.picture.shape for f in (*train, *frames)], axis=0)
        return np.array([f.picture[:rows, :columns] for f in frames], np.float32)

    last = np.array([f.run for f in train])[sure] == max(f.run for f in train)
    own = pictures(train)[sure]
    net = train_hit_net(own[~last], hits[~last], HitNetSettings())
    cut = least_score(net.probabilities(own[last & ~hits]), FALSE_HITS)
    return {name: net.probabilities(pictures(sets[name])) for name in judged} | {"cut": cut}


def out_of_fold(classifier: Any, rows: Any, hits: Any) -> float:
    """The threshold that lets so many blanks through which were not trained on."""
    from sklearn.model_selection import cross_val_predict

    found = cross_val_predict(classifier, rows, hits, cv=5, method="predict_proba")[:, 1]
    return least_score(found[~hits], FALSE_HITS)


def least_score(scores: Any, most: float) -> float:
    """Least threshold (score >= it is a hit) that at most this share of the scores reaches."""
    ordered = np.sort(scores)[::-1]
    allowed = int(most * len(ordered))
    return float(np.nextafter(ordered[allowed], np.inf)) if allowed < len(ordered) else -np.inf


def tell_hits(name: str, frames: list[Seen], scores: dict[str, Any]) -> None:
    """The table of one set."""
    kind, level = (np.array([getattr(f, a) for f in frames]) for a in ("kind", "level"))
    print(f"\nHits, {name}: by flux from strong to weak, then all")
    columns = [(kind == 1, "hits"), (kind == 0, "blanks"), (kind == -1, "faint")]
    for which, what in columns:
        numbers = [int((which & (level == k)).sum()) for k in range(len(FLUX))]
        print(f"  {what}: {' '.join(map(str, numbers))}, {which.sum()}")
    for way, values in scores.items():
        cut, own = values["cut"], values[name]
        cells = []
        for k in (*range(len(FLUX)), None):
            at = np.ones(len(level), bool) if k is None else level == k
            hit, none, faint = (own[at & which] for which, _ in columns)
            balanced = 0.5 * ((hit >= cut).mean() + (none < cut).mean()) if len(hit) else np.nan
            if not len(none):
                continue
            cells.append(
                f"{balanced:.2f} ({(hit >= cut).sum()}/{len(hit)}, {(none >= cut).sum()}/"
                f"{len(none)} false, faint {(faint >= cut).sum()}/{len(faint)}); at 5 % false "
                f"{(hit >= (best := least_score(none, FALSE_HITS))).sum()}, faint "
                f"{(faint >= best).sum()}"
            )
        print(f"  {way}:\n    " + "\n    ".join(cells))


def timed(folder: Path, model: str) -> None:
    """Milliseconds of the processor for a frame of the reference stacks, without reading."""
    for name, settings in (
        ("poisson", PeakSettings()),
        ("learned", PeakSettings(finder="learned", model=model)),
    ):
        seconds = []
        for path in sorted(folder.glob("set*.cxi")):
            with h5py.File(path) as file:
                data, bad = file["entry_1/data_1/data"], file["entry_1/data_1/mask"][()] != 0
                geometry = Geometry.from_crystfel(folder / "eiger4m.geom").fit(data.shape[1:])
                finder = PeakFinder(data.shape[1:], geometry, settings)
                finder.find(data[0], bad)  # compiled, and its tables made
                for i in range(0, len(data), 3):
                    frame = data[i]
                    start = time.process_time()
                    finder.find(frame, bad)
                    seconds.append(time.process_time() - start)
        print(
            f"{name}: {1000 * np.mean(seconds):.0f} ms a frame, at most {1000 * max(seconds):.0f}"
        )


def kept(folder: Path | None, name: str, make: Any) -> Any:
    """A set, from the folder where it is there."""
    path = None if folder is None else folder / f"{name}.pickle"
    if path is not None and path.exists():
        return pickle.loads(path.read_bytes())  # written by this program, below
    made = make()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(made, protocol=5))
    return made


def main() -> None:
    """All ways."""
    default = os.environ.get("XFELSORT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(default), help="shared test data")
    parser.add_argument("--folder", type=Path, help="keep the sets here")
    parser.add_argument("--model", default="", help="network of peaks")
    parser.add_argument("--small", action="store_true", help="few frames, to see that it runs")
    parser.add_argument("--sets-only", action="store_true", help="make the sets and stop")
    given = parser.parse_args()
    runs = (2, 2, 14) if given.small else (4, 5, 70)
    sets = {
        "train": kept(given.folder, "train", lambda: simulated(runs[0], runs[2], 901)),
        "simulated": kept(given.folder, "simulated", lambda: simulated(runs[1], runs[2], 902)),
    }
    sets["small crystals"] = kept(
        given.folder, "small", lambda: simulated(2, runs[2], 903, len(FLUX) - 2, (0.3, 2.0))
    )
    if (given.data / "sfx").is_dir():
        stacks = kept(given.folder, "reference", lambda: reference(given.data / "sfx"))
        sets["reference"] = stacks
    if given.sets_only:
        return
    net = load_peak_net(given.model)
    start, logits = time.process_time(), {}
    for name, frames in sets.items():
        logits[name] = [net.scores(f.patches.astype(np.float32), f.facts) for f in frames]
    places = sum(len(s) for each in logits.values() for s in each)
    seconds = time.process_time() - start
    print(f"{places} places judged in {seconds:.1f} s, {1e6 * seconds / places:.0f} us each")
    if "reference" in sets:
        timed(given.data / "sfx", given.model)
    judged = [name for name in sets if name != "train"]
    for name in judged:
        compare_finders(name, sets[name], logits[name], net.cut)
    scores = ways(sets["train"], sets, net, logits)
    for name in judged:
        tell_hits(name, sets[name], scores)


if __name__ == "__main__":
    main()
