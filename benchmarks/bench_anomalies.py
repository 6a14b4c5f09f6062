"""How well the seven anomalies are told on simulated frames, beside the RefleX paper.

    python benchmarks/bench_anomalies.py [--small] [--folder SETS] [--save MODEL]
        [--deep MINUTES] [--network FILE]

Four sets are made (and kept in --folder): training and test frames of five detectors with
different seeds, frames of a sixth detector that nothing was trained on, and training frames of
which half have diffuse scattering. Every frame has its own beam centre, distance, wavelength and
beam stop; shares of the anomalies are those of the published test set. Of the training frames
that are drawn, all with a rare anomaly (ice ring, diffuse scattering) are kept, and as many
others as fit. Ours learns from both sets, with thresholds for the published shares; of each
anomaly boosting or logistic regression, whichever is better on training frames that are told by
fits to others of them. Nothing is chosen on the test frames. Printed are the classifiers of the
paper on its ring vectors (unscaled, their grids), ours, and, with PyTorch and --deep or
--network, a ResNet-18 from random weights and the mean of it and ours: each is calibrated
(Platt) on the network's validation share, on which ours is told by a fit to the rest, and this
share chooses the thresholds of the mean; a row of ours with thresholds from there shows what the
network adds. Of our F1 an interval is told, too, from frames drawn again and again from those
that are judged. The paper's Table 3 (Czyzewski et al. 2021) is of real frames: compare the order
of its rows, not its numbers. Its "AUC" is what is called balanced accuracy here.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from napari_xfelsort.core.anomalies.frame_features import frame_features, grey_ring_vector
from napari_xfelsort.core.anomalies.learners import PAPER_GRIDS, fit_learner, prepared
from napari_xfelsort.core.anomalies.metrics import best_threshold, evaluate_labels
from napari_xfelsort.core.anomalies.model_file import save_anomaly_model
from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.anomalies.residuals import Optics
from napari_xfelsort.core.anomalies.training import (
    AnomalyModel,
    train_anomalies,
    validation_events,
)
from napari_xfelsort.core.errors import MissingDependencyError, TrainingError
from napari_xfelsort.core.representations import cartesian
from napari_xfelsort.core.simulate.anomalies import AnomalyMaker, AnomalySimulationSettings

SEEN = ("ccd", "plate", "pilatus", "eiger", "agipd")
UNSEEN = ("jungfrau",)
RARE = [ANOMALIES.index(name) for name in ("ice_ring", "diffuse_scattering")]
OURS = "best"
DIFFUSE = ANOMALIES.index("diffuse_scattering")
#: How often frames are drawn again for an interval, and what part of these lies within it.
DRAWN_AGAIN, WITHIN = 2000, 0.95
#: Macro precision, recall, F1, F2 of samples, Matthews' correlation; Jaccard index, exact
#: match ratio: Table 3 of the paper.
PAPER = {
    "paper, SVM": (0.591, 0.663, 0.525, 0.629, 0.364, 0.409, 0.021),
    "paper, naive Bayes": (0.480, 0.689, 0.529, 0.640, 0.313, 0.431, 0.046),
    "paper, k-nearest neighbours": (0.764, 0.516, 0.546, 0.671, 0.440, 0.596, 0.315),
    "paper, random forest": (0.831, 0.601, 0.658, 0.758, 0.596, 0.709, 0.454),
    "paper, ResNet Cartesian": (0.879, 0.858, 0.866, 0.868, 0.815, 0.833, 0.653),
    "paper, ResNet polar min": (0.876, 0.835, 0.852, 0.860, 0.798, 0.828, 0.628),
    "paper, ResNet polar max": (0.894, 0.838, 0.862, 0.859, 0.810, 0.826, 0.649),
}
WHOLE = ("precision", "recall", "F1", "sample F2", "MCC", "Jaccard", "exact match")


class FrameSet(NamedTuple):
    """Frames as models see them: features, ring vectors, pictures; and their truth."""

    features: np.ndarray
    rings: np.ndarray
    pictures: np.ndarray
    labels: np.ndarray
    names: np.ndarray


def drawn_events(
    detectors: tuple[str, ...], drawn: int, kept: int, seed: int, side: int, diffuse: float
) -> list[tuple[AnomalyMaker, int]]:
    """Events, a seed a detector: all with a rare anomaly, and others up to a number."""
    rare, others = [], []
    each = drawn // len(detectors)
    for k, detector in enumerate(detectors):
        maker = AnomalyMaker(
            AnomalySimulationSettings(
                n_events=each,
                detector=detector,
                setups="event",
                seed=seed + k,
                side=side,
                diffuse_scattering=diffuse,
            )
        )
        for i in range(each):
            (rare if (maker.labels(i)[RARE] == 1).any() else others).append((maker, i))
    order = np.random.default_rng(seed).permutation(len(others))
    chosen = rare + [others[k] for k in order[: max(0, kept - len(rare))]]
    return [chosen[k] for k in np.random.default_rng(seed).permutation(len(chosen))]


def make_set(events: list[tuple[AnomalyMaker, int]], label: str) -> FrameSet:
    """Simulate and take features; tells the processor's time."""
    rows: list[tuple[Any, ...]] = []
    found: dict[str, float] = {}
    start = time.process_time()
    for number, (maker, i) in enumerate(events):
        event = maker.event(i)
        optics = Optics(event.optics.wavelength, event.optics.distance)
        found = frame_features(event.image, event.center, event.mask, optics)
        vector = grey_ring_vector(event.image, event.center, event.mask)
        picture = cartesian(event.image, event.mask, event.image.shape[0])
        rows.append((list(found.values()), vector.astype(np.float16), picture, event.labels == 1))
        if number % 100 == 99:
            took = (time.process_time() - start) / (number + 1)
            print(f"{label}: {number + 1} of {len(events)}, {1e3 * took:.0f} ms each", flush=True)
    features, rings, pictures, labels = (np.array(c) for c in zip(*rows, strict=True))
    return FrameSet(features.astype(np.float32), rings, pictures, labels, np.array(list(found)))


def kept_set(folder: Path | None, name: str, make: Any) -> FrameSet:
    """A set from a folder, made when it is not there."""
    path = None if folder is None else folder / f"{name}.npz"
    if path is not None and path.exists():
        with np.load(path) as file:
            return FrameSet(*(file[key] for key in FrameSet._fields))
    made = make()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **made._asdict())
    return made


def train_ours(train: FrameSet, diffuse: FrameSet) -> AnomalyModel:
    """From both sets, with thresholds for the published shares."""
    return train_anomalies(
        np.concatenate([train.features, diffuse.features]),
        np.concatenate([train.labels, diffuse.labels]),
        ANOMALIES,
        learner=OURS,
        feature_names=tuple(train.names.tolist()),
        shares=AnomalySimulationSettings().shares().tolist(),
    )


def fitted_again(ours: AnomalyModel, train: FrameSet, diffuse: FrameSet) -> AnomalyModel:
    """The learners and parameters of a model, fitted to other frames."""
    matrix = prepared(ours.features, np.concatenate([train.features, diffuse.features]))
    labels = np.concatenate([train.labels, diffuse.labels])
    classifiers = []
    for k, name in enumerate(ANOMALIES):
        parameters = dict(ours.metrics["parameters"][name])
        learner = parameters.pop("learner")
        classifiers.append(fit_learner(learner, parameters, matrix, labels[:, k], 0))
    return replace(ours, classifiers=tuple(classifiers))


def network_of(
    train: FrameSet, minutes: float, sizes: tuple[int, ...], cycles: int, path: Path | None
) -> Any:
    """A ResNet-18: one from a file, or trained for some minutes; None where there is none."""
    try:
        from napari_xfelsort.core.deep import DeepSettings, load_deep_model, train_on_pictures

        if path is not None and path.exists():
            return load_deep_model(path)
        if not minutes:
            return None
        if train.pictures.ndim != 3:
            print("No network: the sets in the folder were kept without pictures.")
            return None
        settings = DeepSettings(
            picture_size=train.pictures.shape[1], sizes=sizes, weights="none", cycles=cycles,
            batch_size=32, learning_rate=2e-3,
        )  # fmt: skip
        start = time.process_time()
        model = train_on_pictures(
            train.pictures, train.labels, settings, ANOMALIES, progress=_told,
            stop=lambda: time.process_time() - start > 60 * minutes,
        )  # fmt: skip
    except (MissingDependencyError, TrainingError) as error:
        print(f"No network: {error}")
        return None
    model.provenance["processor_seconds"] = round(time.process_time() - start)
    if path is not None:
        model.save(path)
    return model


def _told(step: Any) -> None:
    print(
        f"network: {step.phase}, epoch {step.epoch} of {step.epochs}, loss "
        f"{step.training_loss:.3f}, on the validation share {step.validation_loss:.3f}",
        flush=True,
    )


def judge_network(
    network: Any,
    ours: AnomalyModel,
    sets: dict[str, FrameSet],
    scores: dict[str, np.ndarray],
    results: dict[str, dict[str, Any]],
) -> None:
    """Rows of a network and of the mean of it and ours."""
    train, settings = sets["train"], network.settings
    number = np.arange(len(train.labels))
    held = validation_events(train.labels, number, settings.validation_share, settings.seed)
    rest = FrameSet(
        train.features[~held], train.rings[:0], train.pictures[:0], train.labels[~held],
        train.names,
    )  # fmt: skip
    told = fitted_again(ours, rest, sets["diffuse"])
    truth = train.labels[held]
    alone = told.probabilities(train.features[held])
    seen = network.predict_pictures(train.pictures[held])
    of_ours, of_network = Calibration(alone, truth), Calibration(seen, truth)
    mean = (of_ours(alone) + of_network(seen)) / 2
    limits, of_alone = _limits(truth, mean), _limits(truth, alone)
    for name, rows in results.items():
        own = sets[name].labels
        start = time.process_time()
        found = network.predict_pictures(sets[name].pictures)
        each = (time.process_time() - start) / max(len(found), 1)
        print(f"network on {name}: {1e3 * each:.0f} ms of the processor each")
        row = f"ResNet-18, {settings.size} px"
        rows[row] = evaluate_labels(own, network.choose(found), ANOMALIES, found)
        both = (of_ours(scores[f"{OURS} {name}"]) + of_network(found)) / 2
        rows["mean of ResNet-18 and ours"] = evaluate_labels(own, both >= limits, ANOMALIES, both)
        # What is due to these thresholds and not to the network.
        sure = scores[f"{OURS} {name}"]
        rows["ours, thresholds as the mean"] = evaluate_labels(
            own, sure >= of_alone, ANOMALIES, sure
        )
    print(f"\nThe network: {network.provenance}")


def _limits(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.array([best_threshold(truth[:, k], scores[:, k])[0] for k in range(truth.shape[1])])


class Calibration:
    """Scores as probabilities, a logistic curve of the log odds a class (Platt)."""

    def __init__(self, scores: np.ndarray, truth: np.ndarray) -> None:
        odds = _log_odds(scores)
        self.curves = [
            LogisticRegression().fit(odds[:, k : k + 1], truth[:, k])
            for k in range(truth.shape[1])
        ]

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        odds = _log_odds(scores)
        return np.stack(
            [c.predict_proba(odds[:, k : k + 1])[:, 1] for k, c in enumerate(self.curves)], axis=1
        )


def _log_odds(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def whole(metrics: dict[str, Any]) -> tuple[float, ...]:
    """The columns of the paper's Table 3."""
    macro = metrics["macro"]
    return (
        macro["precision"], macro["recall"], macro["f1"], metrics["sample_f2"], macro["mcc"],
        metrics["jaccard_index"], metrics["exact_match_ratio"],
    )  # fmt: skip


def print_tables(results: dict[str, dict[str, Any]], title: str) -> None:
    """Whole figures of every row, and F1, balanced accuracy and ROC AUC of each class."""
    print(f"\n{title}\n\n| model | {' | '.join(WHOLE)} |\n|---{'|---' * len(WHOLE)}|")
    rows = {name: whole(metrics) for name, metrics in results.items()}
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(f'{v:.3f}' for v in row)} |")
    for key, what in (
        ("f1", "F1"),
        ("balanced_accuracy", 'balanced accuracy (the paper\'s "AUC")'),
        ("roc_auc", "area under the ROC curve"),
    ):
        print(f"\n{what}\n\n| model | {' | '.join(ANOMALIES)} |\n|---{'|---' * len(ANOMALIES)}|")
        for name, metrics in results.items():
            own = [metrics["per_class"][c][key] for c in ANOMALIES]
            print(f"| {name} | {' | '.join('-' if v is None else f'{v:.3f}' for v in own)} |")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", type=int, default=2000, help="training frames kept")
    parser.add_argument("--drawn", type=int, default=3000, help="training frames drawn")
    parser.add_argument("--diffuse", type=int, default=1000, help="half with diffuse scattering")
    parser.add_argument("--test", type=int, default=1500)
    parser.add_argument("--held", type=int, default=900, help="frames of the unseen detector")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--small", action="store_true", help="few small frames: does it run?")
    parser.add_argument(
        "--deep", type=float, default=0, metavar="MINUTES", help="of the processor for a network"
    )
    parser.add_argument("--network", type=Path, help="a network; trained and kept if not there")
    parser.add_argument("--folder", type=Path, help="where sets are kept")
    parser.add_argument(
        "--learners",
        nargs="*",
        default=[*PAPER_GRIDS, OURS],
        help="which; best is ours, and is what is saved",
    )
    parser.add_argument("--save", type=Path, help="where to write our model")
    args = parser.parse_args()
    if args.small:
        args.train, args.drawn, args.test, args.held, args.side = 150, 200, 60, 40, 256
        args.diffuse = 60
    sets = {
        name: kept_set(
            args.folder,
            name,
            lambda d=detectors, n=n, k=k, s=seed, m=name, p=share: make_set(
                drawn_events(d, n, k, s, args.side, p), m
            ),
        )
        for name, detectors, n, k, seed, share in (
            ("train", SEEN, args.drawn, args.train, 1000, 0.07),
            ("diffuse", SEEN, args.diffuse, args.diffuse, 1500, 0.5),
            ("test", SEEN, args.test, args.test, 4000, 0.07),
            ("held", UNSEEN, args.held, args.held, 7000, 0.07),
        )
    }
    train = sets["train"]
    ours: AnomalyModel | None = None
    results: dict[str, dict[str, Any]] = {"test": {}, "held": {}}
    scores: dict[str, np.ndarray] = {}
    for learner in args.learners:
        start = time.process_time()
        if learner == OURS:
            ours = model = train_ours(train, sets["diffuse"])
        else:
            matrix = train.rings.astype(np.float32) if learner in PAPER_GRIDS else train.features
            model = train_anomalies(
                matrix, train.labels, ANOMALIES, learner=learner,
                feature_names=() if learner in PAPER_GRIDS else tuple(train.names.tolist()),
            )  # fmt: skip
        print(f"{learner}: {time.process_time() - start:.0f} s of the processor", flush=True)
        for name in results:
            given = sets[name].rings if learner in PAPER_GRIDS else sets[name].features
            found = model.probabilities(given.astype(np.float32))
            results[name][learner] = evaluate_labels(
                sets[name].labels, model.choose(found), ANOMALIES, found
            )
            scores[f"{OURS} {name}"] = found
    sizes, cycles = ((64,), 1) if args.small else ((64, 128), 3)
    network = network_of(train, args.deep, sizes, cycles, args.network)
    if network is not None and ours is not None:
        judge_network(network, ours, sets, scores, results)
    counts = ", ".join(
        f"{n} {name}" for n, name in zip(train.labels.sum(0), ANOMALIES, strict=True)
    )
    more = sets["diffuse"].labels
    print(f"\n{len(train.labels)} training frames: {counts}")
    print(f"{len(more)} more, {more[:, DIFFUSE].sum()} of them with diffuse scattering")
    print_tables(results["test"], "Seen detectors, other seeds")
    print_tables(results["held"], f"A detector that was not trained on ({UNSEEN[0]})")
    print("\nThe paper, real frames")
    for name, row in PAPER.items():
        print(f"| {name} | {' | '.join(f'{v:.3f}' for v in row)} |")
    if ours is not None:
        for name in results:
            chosen = ours.choose(scores[f"{OURS} {name}"])
            print_intervals(sets[name].labels, chosen, name)
        print(f"\nOurs, chosen on training frames: {ours.metrics['parameters']}")
    if args.save is not None and ours is not None:
        save_default(ours, args.save, len(train.labels) + len(more), results)


def print_intervals(truth: np.ndarray, chosen: np.ndarray, name: str) -> None:
    """F1 of each class and its interval, frames being drawn again with replacement."""
    again = np.random.default_rng(0).integers(0, len(truth), (DRAWN_AGAIN, len(truth)))
    found = np.array([_f1_of(truth[each], chosen[each]) for each in again])
    found = np.column_stack([found, found.mean(axis=1)])
    own = _f1_of(truth, chosen)
    low, high = np.percentile(found, (50 * (1 - WITHIN), 50 * (1 + WITHIN)), axis=0)
    print(f"\nF1 of ours on {name}, and where {WITHIN:.0%} of draws of its frames lie")
    counts = [*truth.sum(axis=0).tolist(), len(truth)]
    for each, n, f1, a, b in zip(
        (*ANOMALIES, "mean"), counts, (*own, own.mean()), low, high, strict=True
    ):
        print(f"| {each} ({n}) | {f1:.3f} | {a:.3f} to {b:.3f} |")


def _f1_of(truth: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    both = 2 * (truth & chosen).sum(axis=0)
    return both / np.maximum(truth.sum(axis=0) + chosen.sum(axis=0), 1)


def save_default(
    model: AnomalyModel, path: Path, n: int, results: dict[str, dict[str, Any]]
) -> None:
    """Write our model with what it was made from and how well it did."""
    model.provenance.update(
        trained_on="simulation",
        note="Trained on simulated frames only (benchmarks/bench_anomalies.py).",
        frames=n,
        detectors=list(SEEN),
        f1_on_other_seeds=_f1(results["test"][OURS]),
        f1_on_another_detector=_f1(results["held"][OURS]),
    )
    save_anomaly_model(model, path, overwrite=True)
    print(f"\n{path}: {path.stat().st_size / 1e6:.2f} MB")


def _f1(metrics: dict[str, Any]) -> dict[str, float]:
    own = {name: round(row["f1"], 3) for name, row in metrics["per_class"].items()}
    return {"macro": round(metrics["macro"]["f1"], 3), **own}


if __name__ == "__main__":
    main()
