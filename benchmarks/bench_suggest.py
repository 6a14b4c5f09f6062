"""Accuracy with suggested labels against that with labels of random events.

    python benchmarks/bench_suggest.py [--events 6000] [--seeds 5] [--folder DIR]

A run with the gain-switching artefact is simulated (``xfelsort simulate detector``) and its
events are described once. One third of them, drawn at random, is only used to judge: on it
the same quick model is asked after it learnt labels of the others, either of events that
were suggested in batches of 10, starting without any label, or of random ones. All labels
are the truth. The aim: 200 suggested labels are as good as 2000 random ones.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

import napari_xfelsort as xs
from napari_xfelsort.core.event_looks import SuggestSettings, describe_events
from napari_xfelsort.core.simulate import simulate_detector
from napari_xfelsort.core.suggest import Suggester

NUMBERS = (20, 50, 100, 200, 500, 1000, 2000)
BATCH = 10


def run_of(folder: Path, n_events: int) -> tuple[Path, Path]:
    """Data and geometry of the simulated run, made when it is not there yet."""
    place = folder / f"run-{n_events}"
    if not (place / "truth" / "bad.lst").exists():
        simulate_detector(place, n_events=n_events, seed=3)
    return place / "run0001.cxi", place / "small.geom"


class Trial:
    """One division of the events into those to learn from and those to judge with."""

    def __init__(self, described: NDArray[np.float32], truth: list[str], seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(truth))
        n_test = len(truth) // 3
        self.test, self.pool = order[:n_test], order[n_test:]
        self.truth, self.seed = truth, seed
        # What is judged with is never proposed, nor does it shape a proposal.
        self.hidden = described.copy()
        self.hidden[self.test] = np.nan
        self.described = described

    def labels(self, rows: NDArray[np.int64]) -> list[str | None]:
        """Truth of some events, None for the others."""
        labels: list[str | None] = [None] * len(self.truth)
        for k in rows.tolist():
            labels[k] = self.truth[k]
        return labels

    def accuracy(self, rows: NDArray[np.int64]) -> float:
        """Of the model that learnt these events, on those to judge with."""
        model = Suggester(self.described, SuggestSettings(seed=self.seed))
        model.update(self.labels(rows), accuracy=False)
        told = model.predicted()
        return float(np.mean([told[k] == self.truth[k] for k in self.test.tolist()]))

    def random(self) -> dict[int, float]:
        """Accuracy after so many random labels."""
        return {n: self.accuracy(self.pool[:n]) for n in NUMBERS if n <= len(self.pool)}

    def suggested(self, most: int = 200) -> dict[int, float]:
        """Accuracy after so many suggested labels."""
        suggester = Suggester(self.hidden, SuggestSettings(seed=self.seed))
        chosen = np.empty(0, np.int64)
        found = {}
        while len(chosen) < most:
            suggester.update(self.labels(chosen), accuracy=False)
            chosen = np.concatenate([chosen, suggester.propose(BATCH)])
            if len(chosen) in NUMBERS:
                found[len(chosen)] = self.accuracy(chosen)
        return found


def main() -> None:
    """Simulate, describe, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=6000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "xfelsort-bench-suggest"
    )
    options = parser.parse_args()
    data, geometry = run_of(options.folder, options.events)
    with h5py.File(data) as file:
        truth = ["good" if good else "bad" for good in file["truth/label"][()]]
    begun = time.perf_counter()
    described = describe_events(xs.open_stack(data, geometry=geometry)).matrix
    seconds = time.perf_counter() - begun
    print(f"{len(truth)} events, {truth.count('bad')} bad; described in {seconds:.0f} s")
    random: list[dict[int, float]] = []
    suggested: list[dict[int, float]] = []
    for seed in range(options.seeds):
        trial = Trial(described, truth, seed)
        random.append(trial.random())
        begun = time.perf_counter()
        suggested.append(trial.suggested())
        last = time.perf_counter() - begun
    print(f"{last / 20:.2f} s from a batch of labels to the next proposal\n")
    print(f"{'labels':>7}{'random':>18}{'suggested':>18}")
    for n in NUMBERS:
        cells = [
            f"{np.mean(values):.4f} ({min(values):.4f})" if values else ""
            for values in ([r[n] for r in found if n in r] for found in (random, suggested))
        ]
        print(f"{n:>7}{cells[0]:>18}{cells[1]:>18}")
    reached = [s[200] >= r[2000] for r, s in zip(random, suggested, strict=True) if 2000 in r]
    print(f"\nmean (worst) of {options.seeds} divisions")
    print("200 suggested labels at least as good as 2000 random ones ", end="")
    print(f"in {sum(reached)} of {len(reached)}, on the mean: ", end="")
    print(np.mean([s[200] for s in suggested]) >= np.mean([r.get(2000, 1) for r in random]))


if __name__ == "__main__":
    main()
