"""The beam centre: ours (auto) beside RefleX's method, on simulated frames with a known centre.

    python benchmarks/bench_center.py [--frames 100] [--first-seed 9000] [--regime wide]

Frames of 1024 x 1024 of `simulate_scene` (five types of detectors, centres off the middle
and off the detector, beam stops, hard shadows, steps between panels, 0.25 to 500 counts).
Both get the same frame and mask, in turn, in one process; times are processor time of one
thread. Errors are distances from the true centre in pixels. RefleX always answers, ours
says when it does not know: ours is judged over the frames that it claims, RefleX over the
same ones and over all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_xfelsort.core.center import CenterResult, find_center
from napari_xfelsort.core.simulate.scene import REGIMES, Scene, simulate_scene

SIDE = 1024


@dataclass(frozen=True)
class Row:
    """One frame: what it was, errors in pixels (NaN: not known), seconds."""

    scene: Scene
    known: bool
    ours: float
    uncertainty: float
    reflex: float
    seconds: tuple[float, float]


def timed(work: Callable[[], CenterResult]) -> tuple[CenterResult, float]:
    """A result and its processor time."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def miss(result: CenterResult, scene: Scene) -> float:
    """Distance from the truth."""
    if result.y is None or result.x is None:
        return float("nan")
    return float(np.hypot(result.y - scene.center[0], result.x - scene.center[1]))


def measure(seed: int, regime: str) -> Row:
    """Both methods on one frame."""
    scene = simulate_scene(seed, SIDE, regime=regime)
    ours, our_time = timed(lambda: find_center(scene.image, scene.mask))
    theirs, their_time = timed(lambda: find_center(scene.image, scene.mask, "reflex"))
    return Row(
        scene,
        ours.known,
        miss(ours, scene),
        float("nan") if ours.uncertainty is None else ours.uncertainty,
        miss(theirs, scene),
        (our_time, their_time),
    )


def figures(errors: Sequence[float]) -> str:
    """Mean, median and 95th percentile."""
    known = np.array([e for e in errors if np.isfinite(e)])
    if not len(known):
        return f"{'-':>8} {'-':>8} {'-':>8}"
    return f"{known.mean():8.2f} {np.median(known):8.2f} {np.percentile(known, 95):8.2f}"


def tell(name: str, rows: Sequence[Row]) -> None:
    """One line of the result."""
    claimed = [row for row in rows if row.known]
    covered = np.mean([row.ours <= row.uncertainty for row in claimed]) if claimed else np.nan
    print(
        f"{name:14} {len(rows):6} {len(claimed) / max(1, len(rows)):8.1%} {covered:8.1%}"
        f"{figures([row.ours for row in claimed])}   {figures([r.reflex for r in claimed])}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=9000)
    parser.add_argument("--regime", choices=REGIMES, default="wide")
    options = parser.parse_args()
    for method in ("auto", "reflex"):  # compiled
        find_center(simulate_scene(0, 256).image, method=method)
    rows = []
    for seed in range(options.first_seed, options.first_seed + options.frames):
        rows.append(measure(seed, options.regime))
    off = [row for row in rows if row.scene.truth["off_detector"]]
    on = [row for row in rows if not row.scene.truth["off_detector"]]
    columns = f"{'mean':>8} {'median':>8} {'p95':>8}"
    print(f"{'':14} {'frames':>6} {'claimed':>8} {'covered':>8}{columns}   {columns} (RefleX)")
    tell("all", rows)
    tell("on detector", on)
    tell("off detector", off)
    tell("hard shadow", [row for row in on if row.scene.truth["shadow"]])
    tell("no shadow", [row for row in on if not row.scene.truth["shadow"]])
    for name in sorted({row.scene.detector for row in rows}):
        tell(name, [row for row in rows if row.scene.detector == name])
    print(f"RefleX, all frames: {figures([row.reflex for row in rows])}")
    ours, theirs = np.median([row.seconds for row in rows], axis=0)
    print(f"processor time, median: {ours:.3f} s, RefleX {theirs:.3f} s: {ours / theirs:.2f} x")


if __name__ == "__main__":
    main()
