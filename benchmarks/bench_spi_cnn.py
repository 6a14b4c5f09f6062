"""Networks for single hits: how well on simulated runs, and how fast in which runtime.

    python benchmarks/bench_spi_cnn.py quality FOLDER [--recipe cpu] [--preset max_f1]
    python benchmarks/bench_spi_cnn.py speed [--events 64]

*quality* simulates runs of a half detector into FOLDER (those that are there are taken), trains on
2000 events (5 % single hits of a core-shell virus of 70 nm) and judges on others: of the same
kind; with another particle (homogeneous, 66 nm, or spheres of 75 nm), three times the background
and three times the jitter of the beam; and with 1 single hit in 200 events. Beside the
thresholds of training for both presets stand those found anew on the run, by its scores alone and
by 20 labelled events, and the best one there is, which nobody knows. Probabilities are written to
FOLDER.

*speed* runs networks of random weights on random pictures, with one thread; rates are per second
of processor time. ONNX Runtime takes part where onnx and onnxruntime are installed.

Both need the extra `deep`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

import napari_xfelsort as xs
from napari_xfelsort.core.deep.networks import is_parameter
from napari_xfelsort.core.deep.spi_onnx import OnnxNetwork, has_onnx
from napari_xfelsort.core.deep.spi_resnet import SpiNetwork, new_spi_tensors
from napari_xfelsort.core.learning.rule_choice import preset_threshold
from napari_xfelsort.core.simulate.spi import simulate_spi

_CORE = {"core": 0.7, "core_density": 0.6}
_OTHER = {"n_events": 1500, "background": 0.06, "jitter": 1.0}
RUNS: dict[str, dict[str, Any]] = {
    "train1": {"n_events": 2000, "seed": 11, **_CORE},
    **{f"test{k}": {"n_events": 2000, "seed": 30 + k, **_CORE} for k in (1, 2, 3)},
    "testA1": {**_OTHER, "seed": 21, "shape": "icosahedron", "diameter": 66},
    "testB1": {**_OTHER, "seed": 22, "shape": "sphere", "diameter": 75},
}
#: What is judged together, and whether single hits are made rare, 1 in 200 events.
CASES = {
    "same kind": (("test1", "test2", "test3"), False),
    "1 in 200": (("test1", "test2", "test3"), True),
    "66 nm, 3 x background": (("testA1",), False),
    "75 nm spheres, 3 x background": (("testB1",), False),
}
#: How often rare single hits are drawn.
DRAWS = 20
#: Labels that a new threshold is taken from.
LABELS = 20
Scores = np.ndarray


def opened(folder: Path, name: str) -> tuple[xs.EventStack, np.ndarray]:
    """A run, simulated if it is not there, and which events are single hits."""
    place = folder / name
    if not (place / "run0001.cxi").exists():
        simulate_spi(place, detector="upper_half", compression="none", **RUNS[name])
    stack = xs.open_stack(place / "run0001.cxi", geometry=place / "run0001.geom")
    with h5py.File(place / "run0001.cxi") as file:
        return stack, file["truth/class"][:] == 0


def judged(scores: Scores, single: np.ndarray, threshold: float) -> tuple[float, float, float]:
    """Precision, recall, F1."""
    chosen = scores >= threshold
    right = float((chosen & single).sum())
    return (
        right / max(1, chosen.sum()),
        right / single.sum(),
        2 * right / (chosen.sum() + single.sum()),
    )


def best_threshold(scores: Scores, single: np.ndarray) -> float:
    """The one with the largest F1."""
    return max(np.unique(scores), key=lambda t: judged(scores, single, t)[2])


def quality(folder: Path, recipe: str, preset: str, options: dict[str, Any]) -> None:
    """Train, and judge on the other runs."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{recipe}-{preset}"
    path = folder / f"{name}.xfelmodel"
    stack, single = opened(folder, "train1")
    if not path.exists():
        begin = time.process_time()
        labels = ["single" if one else "other" for one in single]
        chosen = {"recipe": recipe, "preset": preset, "test_share": 0.02, "split": "event"}
        xs.train(stack, labels, model="spi_cnn", **chosen, **options).save(path)
        print(f"training: {time.process_time() - begin:.0f} CPU-s")
    model = xs.load_model(path)
    column = model.class_names.index("single")
    known = {}
    for run in list(RUNS)[1:]:
        stack, single = opened(folder, run)
        begin = time.process_time()
        known[run] = model.predict(stack).probabilities[:, column], single
        rate = len(single) / (time.process_time() - begin)
        np.savez(folder / f"{name}-{run}.npz", scores=known[run][0], single=single)
        print(f"{run}: {rate:.0f} events per CPU-s from the file to the decision")
    print("threshold".ljust(14), "P     R     F1")
    for case, (runs, rare) in CASES.items():
        scores, single = (np.concatenate([known[run][k] for run in runs]) for k in (0, 1))
        random = np.random.default_rng(0)
        found: dict[str, list[tuple[float, float, float]]] = {}
        for _ in range(DRAWS if rare else 1):
            kept = np.ones(len(single), bool)
            if rare:
                ones = np.flatnonzero(single)
                kept[ones] = False
                kept[random.choice(ones, round((~single).sum() / 199), replace=False)] = True
            share = 0.005 if rare else 0.05
            for how, threshold in thresholds(scores[kept], single[kept], model, share).items():
                found.setdefault(how, []).append(judged(scores[kept], single[kept], threshold))
        print(f"{case}: average precision {average_precision(single, scores):.3f}")
        for how, rows in found.items():
            p, r, f1 = np.mean(rows, axis=0)
            print(f"  {how:12s} {p:.3f} {r:.3f} {f1:.3f}")


def average_precision(single: np.ndarray, scores: Scores) -> float:
    """Mean precision where each single hit is found."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(single, scores))


def thresholds(
    scores: Scores, single: np.ndarray, model: xs.Model, share: float
) -> dict[str, float]:
    """The thresholds that are compared."""
    from napari_xfelsort.core.learning.rethreshold import (
        events_to_label,
        threshold_from_labels,
        threshold_from_scores,
    )

    clipped = np.clip(scores, 1e-12, 1 - 1e-12)
    odds = np.log(clipped) - np.log1p(-clipped)
    by_scores = threshold_from_scores(odds, share).threshold
    labels: list[bool | None] = [None] * len(odds)
    for event in events_to_label(odds, by_scores, LABELS).tolist():
        labels[event] = bool(single[event])
    return {
        "of training": float(model.threshold or 0.5),
        "of more_sh": preset_threshold(model, "high_recall", 0.98).threshold,
        "by scores": by_scores,
        f"{LABELS} labels": threshold_from_labels(odds, labels, share).threshold,
        "best": best_threshold(scores, single),
    }


def rate_of(run: Callable[[], object], events: int, rounds: int = 3) -> float:
    """Events per second of processor time, the best of some rounds."""
    run()
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return events / min(times)


def speed(events: int) -> None:
    """Rates of networks in every runtime there is."""
    torch.set_num_threads(1)
    print("network picture  weights  fp32  channels-last  bf16  ONNX Runtime  (events per CPU-s)")
    cases = [("paper", (192, 96)), ("paper", (96, 48)), ("early", (192, 96)), ("early", (96, 96))]
    for architecture, shape in [*cases, ("early", (96, 48))]:
        random = np.random.default_rng(0)
        tensors = new_spi_tensors(architecture, shape, (0,))
        network = SpiNetwork(architecture, shape, tensors)
        x = random.standard_normal((events, 1, *shape), np.float32)
        pictures = torch.from_numpy(x)
        n = sum(values.size for name, values in tensors.items() if is_parameter(name))
        found = {}

        def run(low: bool = False, network=network, pictures=pictures) -> Any:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
                return network.logits(pictures).float()

        wanted = run()
        found["channels-last"] = rate_of(run, events)
        found["bf16"] = rate_of(lambda run=run: run(True), events)
        off = float((run(True).softmax(1) - wanted.softmax(1)).abs().max())
        plain = SpiNetwork(architecture, shape, tensors)
        plain.tensors = {k: v.contiguous() for k, v in plain.tensors.items()}
        plain.layout = torch.contiguous_format
        found["fp32"] = rate_of(lambda run=run, net=plain: run(network=net), events)
        found["onnx"] = float("nan")
        if has_onnx():
            other = OnnxNetwork(architecture, shape, tensors)
            found["onnx"] = rate_of(lambda net=other, x=x: net.logits_of(x[:, 0]), events)
        row = "  ".join(f"{found[k]:.0f}" for k in ("fp32", "channels-last", "bf16", "onnx"))
        print(
            f"{architecture} {shape[0]}x{shape[1]}  {n / 1e6:.2f}M  {row}  (bf16 off by {off:.3f})"
        )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = parser.add_subparsers(dest="what", required=True)
    own = parts.add_parser("quality")
    own.add_argument("folder", type=Path)
    own.add_argument("--recipe", default="cpu")
    own.add_argument("--preset", default="max_f1")
    own.add_argument("--epochs", type=int)
    parts.add_parser("speed").add_argument("--events", type=int, default=64)
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.events)
    else:
        options = {} if given.epochs is None else {"epochs": given.epochs}
        quality(given.folder, given.recipe, given.preset, options)


if __name__ == "__main__":
    main()
