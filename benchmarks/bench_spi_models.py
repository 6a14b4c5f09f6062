"""Single hits by the fast model, in distribution and with another beam, and how fast.

    python benchmarks/bench_spi_models.py [--folder DIR] [--seeds 3]

For each seed a run of 2000 simulated events (upper half of a detector, 192 x 96 pixels, one in
twenty a core-shell icosahedron of 70 nm) trains, and others are judged:

* *test*: another run like it,
* *other virus*: solid icosahedra of 66 nm, three times the background, the beam moves by 1 pixel
  instead of 0.3 from event to event,
* *sphere*: the same with spheres of 75 nm,
* *1:200*: events of *test* with all but one single in 200 others left out.

F1 of single hits, with the model's own threshold (``own``), one found anew by the scores of the
run (``scores``) or by 20 labels (``labels``), and the best possible one (``best``). The reference
is gradient boosting of ``scattering`` features. Simulated runs are kept in the folder and used
again. Rates are events per second of processor time, of one thread, frames from the file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import napari_xfelsort as xs
from napari_xfelsort.core.learning.rethreshold import (
    events_to_label,
    run_scores,
    threshold_from_labels,
    threshold_from_scores,
    trained_share,
)
from napari_xfelsort.core.simulate.spi import simulate_spi
from napari_xfelsort.core.thresholds import best_f1_threshold

BEAM = {"background": 0.06, "jitter": 1.0, "n_events": 1500}
CORE = {"core": 0.7, "core_density": 0.6, "n_events": 2000}


def run(folder: Path, name: str, **settings: Any) -> tuple[xs.EventStack, np.ndarray]:
    """A simulated run, and which of its events are single."""
    made = folder / name
    if not (made / "run0001.geom").exists():
        simulate_spi(made, detector="upper_half", compression="none", overwrite=True, **settings)
    with h5py.File(made / "run0001.cxi") as file:
        single = file["truth/class"][:] == 0
    return xs.open_stack(made / "run0001.cxi", geometry=made / "run0001.geom"), single


def runs(folder: Path, seed: int) -> dict[str, tuple[xs.EventStack, np.ndarray]]:
    """The runs of a seed."""
    solid = {"shape": "icosahedron", "diameter": 66, **BEAM}
    sphere = {"shape": "sphere", "diameter": 75, **BEAM}
    return {
        "train": run(folder, f"train{seed}", seed=10 + seed, **CORE),
        "test": run(folder, f"test{seed}", seed=30 + seed, **CORE),
        "other virus": run(folder, f"testA{seed}", seed=19 + 2 * seed, **solid),
        "sphere": run(folder, f"testB{seed}", seed=20 + 2 * seed, **sphere),
    }


def f1(chosen: np.ndarray, single: np.ndarray) -> tuple[float, float]:
    """F1 and recall."""
    hits = int((chosen & single).sum())
    return 2 * hits / max(1, int(chosen.sum() + single.sum())), hits / int(single.sum())


def judged(
    model: Any, scores: np.ndarray, single: np.ndarray, share: float
) -> dict[str, tuple[float, float]]:
    """F1 and recall by each threshold."""
    p = 1 / (1 + np.exp(-scores))
    anew = threshold_from_scores(scores, share)
    labels: list[bool | None] = [None] * len(scores)
    for k in events_to_label(scores, anew.threshold, 20).tolist():
        labels[k] = bool(single[k])
    asked = threshold_from_labels(scores, labels, share)
    own = 0.5 if model.threshold is None else model.threshold
    places = {"own": own, "scores": anew.threshold, "labels": asked.threshold}
    places["best"] = best_f1_threshold(p, single)
    return {name: f1(p >= place, single) for name, place in places.items()}


def main() -> None:
    """Simulate, train, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where simulated runs are kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--high-recall", action="store_true", help="that threshold, too")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    found: dict[tuple[str, str, str], list[float]] = {}
    for seed in range(1, options.seeds + 1):
        made = runs(folder, seed)
        stack, single = made.pop("train")
        labels = ["single" if each else "other" for each in single]
        plans = {"spi": {"model": "spi"}}
        plans["reference"] = {"model": "gradient_boosting", "kinds": ("scattering",)}
        if options.high_recall:
            plans["high recall"] = {"model": "spi", "threshold": "high_recall"}
        for plan, settings in plans.items():
            begin = time.process_time()
            model = xs.train(
                stack, labels, target="single", split="event", workers=0, cache=False, **settings
            )
            found.setdefault((plan, "train", "seconds"), []).append(time.process_time() - begin)
            for name, (other, truth) in made.items():
                begin = time.process_time()
                scores = run_scores(model, model.predict(other))
                rate = len(other) / (time.process_time() - begin)
                found.setdefault((plan, name, "rate"), []).append(rate)
                sets = {name: (scores, truth, trained_share(model))}
                if name == "test":
                    kept = ~truth
                    n = max(1, int(kept.sum()) // 200)
                    kept[np.random.default_rng(seed).permutation(np.flatnonzero(truth))[:n]] = True
                    sets["1:200"] = (scores[kept], truth[kept], 1 / 201)
                for which, (own, true, share) in sets.items():
                    for how, (value, recall) in judged(model, own, true, share).items():
                        found.setdefault((plan, which, how), []).append(value)
                        if how == "own":
                            found.setdefault((plan, which, "recall"), []).append(recall)
    for key, values in found.items():
        spread = f"{min(values):.3f} to {max(values):.3f}"
        print(f"{key[0]:12s} {key[1]:12s} {key[2]:8s} {np.mean(values):9.3f}  ({spread})")


if __name__ == "__main__":
    main()
