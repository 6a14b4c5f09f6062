"""Classes of single-particle patterns beside the published loops.

    python benchmarks/bench_em.py [--events 1100] [--classes 20] [--rotations 100] [--rounds 3]

Frames of 96 x 192 pixels, simulated, added up 2 x 2. *Iteration*: expectation and maximisation of
all events, in seconds of processor time of one thread (set OMP_NUM_THREADS=1). The reference
states the published loops (every pixel entered at its place and at the opposite one, in 64
bits), compiled with numba, for a few events; its time is taken for one event and all classes and
rotations. What is done once an iteration, not once an event, is left out of it.

*Classes*: events of right size of a simulated run, its classes in several runs; of the events of
the best classes (those that make F1 highest, by the truth) and of those that are left of a
selection, F1 against the truth.

*Added*: what the fast model `spi`, trained on another run, takes for single hits in new ones (its
threshold found anew by the scores), alone; of it what some run has in a class of which it holds a
tenth; what some run has in a round class; and what is in the best classes.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

import napari_xfelsort as xs
from napari_xfelsort.core.learning.rethreshold import run_scores, threshold_from_scores
from napari_xfelsort.core.simulate.spi import simulate_spi
from napari_xfelsort.core.spi import find_sizes
from napari_xfelsort.core.spi.em import EmMaker
from napari_xfelsort.core.spi.em_classes import EmClasses, find_classes
from napari_xfelsort.core.spi.em_counts import EmCounts, read_counts
from napari_xfelsort.core.spi.em_settings import EmSettings

Floats = NDArray[np.float64]


@numba.njit
def reference_event(
    counts: Floats, slices: Floats, scale: float, up: Floats, fit: Floats
) -> None:  # pragma: no cover
    """Likelihoods of one event, and its counts by their probabilities."""
    pairs, pixels = slices.shape
    for p in range(pairs):
        total = 0.0
        for i in range(pixels):
            total += counts[i] * math.log(slices[p, i] * scale) - slices[p, i] * scale
        fit[p] = total
    high = fit.max()
    norm = 0.0
    for p in range(pairs):
        fit[p] = math.exp(fit[p] - high)
        norm += fit[p]
    for p in range(pairs):
        share = fit[p] / norm
        for i in range(pixels):
            up[p, i] += share * counts[i]


def reference_seconds(counts: EmCounts, pairs: int, events: int = 3) -> float:
    """Processor time of the loops for one event."""
    random = np.random.default_rng(0)
    pixels = 2 * len(counts.u)
    slices = 0.1 + random.random((pairs, pixels))
    up, fit = np.zeros((pairs, pixels)), np.zeros(pairs)
    both = [np.tile(np.asarray(counts.counts[k], float), 2) for k in range(events)]
    reference_event(both[0], slices, 1.0, up, fit)  # compiled
    start = time.process_time()
    for each in both:
        reference_event(each, slices, 1.0, up, fit)
    return (time.process_time() - start) / events


def iterations(stack: xs.EventStack, events: int, settings: EmSettings, rounds: int) -> None:
    """Print the time of an iteration, and the ratio to the loops."""
    counts = read_counts(stack.subset(np.arange(events) % len(stack)), settings)
    maker = EmMaker(counts, settings)
    ours = []
    for seed in range(rounds):
        start = time.process_time()
        run = maker.run(seed)
        ours.append((time.process_time() - start) / len(run.steps))
    loops = reference_seconds(counts, settings.classes * settings.rotations) * len(counts)
    print(
        f"iteration: {len(counts)} events x {settings.classes} classes x {settings.rotations} "
        f"rotations, {len(counts.u)} points: {min(ours):.2f} s (of {rounds}: "
        f"{', '.join(f'{each:.2f}' for each in ours)}); loops {loops:.1f} s; "
        f"ours / reference {min(ours) / loops:.4f}",
        flush=True,
    )


def scores(chosen: NDArray[np.bool_], true: NDArray[np.bool_]) -> str:
    """Precision, recall and F1 as text."""
    hits = int((chosen & true).sum())
    precision, recall = hits / max(1, int(chosen.sum())), hits / max(1, int(true.sum()))
    f1 = 2 * hits / max(1, int(chosen.sum() + true.sum()))
    return f"P {precision:.3f} R {recall:.3f} F1 {f1:.3f}"


def best_classes(found: EmClasses, true: NDArray[np.bool_]) -> list[int]:
    """The classes that make F1 highest."""
    own = np.bincount(found.labels[true & (found.labels >= 0)], minlength=len(found))
    order = np.argsort(-own / np.maximum(found.counts, 1), kind="stable")
    f1 = 2 * np.cumsum(own[order]) / (np.cumsum(found.counts[order]) + true.sum())
    return [int(k) for k in order[: int(f1.argmax()) + 1]]


def quality(stack: xs.EventStack, true: NDArray[np.bool_], name: str, **changes: Any) -> None:
    """Print how well classes tell single particles among those of right size."""
    passing = np.flatnonzero(find_sizes(stack).passing())
    right, single = stack.subset(passing), true[passing]
    start = time.process_time()
    found = find_classes(right, **changes)
    spent = time.process_time() - start
    best = best_classes(found, single)
    round_ones, none_round = found.round_classes(0.10), found.rejected(found.round_classes())
    print(f"{name}: {len(passing)} events, {int(single.sum())} single, {spent:.0f} s, {changes}")
    print(f"  size alone                     {scores(np.ones(len(single), bool), single)}")
    print(f"  best classes                   {scores(found.kept(best), single)}")
    print(f"  best classes, all runs         {scores(found.kept(best, 1), single)}")
    print(f"  all but those no run keeps     {scores(~found.rejected(best), single)}")
    print(f"  classes of anisotropy < 0.10   {scores(found.kept(round_ones), single)}")
    wrong = int((none_round & single).sum())
    print(f"  in no round class (0.25) of any run: {int(none_round.sum())}, {wrong} single")


def simulated(folder: Path, **changes: Any) -> tuple[xs.EventStack, NDArray[np.bool_]]:
    """A run of half a detector, and which events are single hits."""
    made = simulate_spi(folder, detector="upper_half", **{"n_events": 2000, **changes})
    stack = xs.open_stack(made.data, geometry=made.geometry)
    return stack, np.array(made.names) == "single"


def added(folder: Path, seed: int) -> None:
    """Print F1 of the fast model on new runs, and with the classes added to it."""
    run = simulated(folder / f"train-{seed}", seed=seed, core=0.7, core_density=0.6)
    labels = ["single" if one else "other" for one in run[1]]
    model = xs.train(run[0], labels, model="spi", target="single", seed=seed)
    runs: dict[str, dict[str, Any]] = {
        "same kind": {"core": 0.7, "core_density": 0.6},
        "66 nm, 3 x background": {"diameter": 66, "background": 0.06, "jitter": 1.0},
    }
    for name, changes in runs.items():
        stack, single = simulated(folder / f"{name}-{seed}", seed=100 + seed, **changes)
        decisions = model.predict(stack)
        found_anew = threshold_from_scores(run_scores(model, decisions), 0.05).threshold
        column = model.class_names.index("single")
        chosen = decisions.probabilities[:, column] >= found_anew
        passing = np.flatnonzero(find_sizes(stack).passing())
        found = find_classes(stack.subset(passing))
        kept = {
            "those of voted classes": ~found.rejected(found.voted(chosen[passing])),
            "all but those in no round class": ~found.rejected(found.round_classes()),
        }
        kept["best classes"] = found.kept(best_classes(found, single[passing]))
        print(f"added to the fast model, {name}, seed {seed}")
        print(f"  the model alone                 {scores(chosen, single)}")
        for what, of_passing in kept.items():
            both = chosen.copy()
            both[passing] &= of_passing
            print(f"  and {what:31s} {scores(both, single)}", flush=True)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1100)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--rotations", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--simulated", type=int, default=2000, help="events of the run")
    parser.add_argument("--added", type=int, default=1, help="runs that the fast model judges")
    args = parser.parse_args()
    settings = EmSettings(classes=args.classes, rotations=args.rotations)
    with tempfile.TemporaryDirectory() as name:
        stack, true = simulated(Path(name) / "run", n_events=args.simulated)
        quality(stack, true, "simulated run")
        quality(stack, true, "simulated run", annealing=0)
        quality(stack, true, "simulated run", annealing=0, log=True)
        right = stack.subset(np.flatnonzero(find_sizes(stack).passing()))
        iterations(right, args.events, settings, args.rounds)
        for seed in range(args.added):
            added(Path(name), seed)


if __name__ == "__main__":
    main()
