"""Robust statistics of a module beside RobustGaussianFittingLibrary, the papers' own.

    pip install RobustGaussianFittingLibrary
    python benchmarks/bench_masks.py [--frames 200] [--bright 20]
    python benchmarks/bench_masks.py --memory [--frames 200]

One module of 512 x 128 pixels, uint16: a dark run (level 5000 ADU with 25 ADU between
pixels, noise 10 ADU) and a bright one (20 photons of 60 ADU). Processor time of one thread,
the least of several runs:

* *F1* robust mean of a frame, against ``fitValue`` (from near the mean, where it is fast);
* *F2 + F3* mean and deviation over time, against NumPy as in the library's examples;
* *plane* robust planes in 64 x 64 windows, against ``fitBackgroundTensor``;
* *F6* ratio of signal to noise in 15 x 15 windows over all frames, against the same.

``--memory`` makes masks from files of 4 modules with that number of frames and with ten times
as many, each in a process of its own, and tells the most memory that either held.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xfelsort.core.masks.robust import SignalToNoise, fit_background, fit_values
from napari_xfelsort.core.masks.temporal import TemporalStatistics

SHAPE = (512, 128)


def least(work: Callable[[], Any], runs: int) -> float:
    """Least processor time in milliseconds."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def module(n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """A dark and a bright run."""
    rng = np.random.default_rng(0)
    level = rng.normal(5000, 25, SHAPE)
    dark = (level + rng.normal(0, 10, (n_frames, *SHAPE))).astype(np.uint16)
    photons = rng.poisson(20, (n_frames, *SHAPE)) * 60.0
    return dark, (level + photons + rng.normal(0, 10, photons.shape)).astype(np.uint16)


def statistics(dark: np.ndarray) -> TemporalStatistics:
    """Ours over time."""
    found = TemporalStatistics(SHAPE)
    found.add(dark)
    return found


def ratios(bright: np.ndarray, offset: np.ndarray) -> SignalToNoise:
    """Our F6."""
    found = SignalToNoise(SHAPE, offset)
    found.add(bright)
    return found


def library_ratios(library: Any, bright: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The library's F6."""
    frames = (bright - offset).astype(np.float32)
    mask = np.ones(frames.shape, np.uint8)
    level, scale = library.fitBackgroundTensor(frames, mask, 15, 15)
    return ((frames - level) / scale).mean(axis=0)


def tell(name: str, ours: float, library: float) -> None:
    """One line of the result."""
    print(f"{name:22} {ours:10.2f} ms {library:10.1f} ms   {library / ours:8.1f} x faster")


def write_run(path: Path, n_frames: int) -> None:
    """A dark run of 4 modules in chunks of their own."""
    one, _bright = module(50)
    with h5py.File(path, "w") as file:
        shape, chunks = (n_frames, 4, *SHAPE), (1, 1, *SHAPE)
        data = file.create_dataset("data/data", shape, "u2", chunks=chunks, compression="lzf")
        for start in range(0, n_frames, 50):
            data[start : start + 50] = one[: n_frames - start, np.newaxis]


def most_memory(path: Path) -> float:
    """MiB of resident memory that making a mask adds at most, as this process sees it."""
    import napari_xfelsort as xs
    from napari_xfelsort.core.masks.make import make_mask

    make_mask(xs.open_stack(str(path), dataset="/data/data").subset(range(8)))  # compiled
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stack = xs.open_stack(str(path), dataset="/data/data")
    make_mask(stack, stack, workers=1)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def tell_memory(n_frames: int) -> None:
    """Memory for a run, and for one ten times as long."""
    with tempfile.TemporaryDirectory() as folder:
        for n in (n_frames, 10 * n_frames):
            path = Path(folder) / f"{n}.h5"
            write_run(path, n)
            command = [sys.executable, __file__, "--measure", str(path)]
            found = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{n:6} frames, {n * 4 * 2 * SHAPE[0] * SHAPE[1] / 2**20:8.0f} MiB: ", end="")
            print(f"{float(found.stdout):6.0f} MiB more than before")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--bright", type=int, default=20, help="frames the library's F6 gets")
    parser.add_argument("--memory", action="store_true", help="memory, for ever longer runs")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(most_memory(options.measure))
        return
    if options.memory:
        tell_memory(options.frames)
        return
    import RobustGaussianFittingLibrary as library

    n = options.frames
    dark, bright = module(n)
    level = statistics(dark).mean
    image = level.astype(np.float32)
    frame = dark[0].astype(np.float32).ravel()
    # Compiled before they are timed.
    fit_values(dark[:1].reshape(1, -1))
    fit_background(image)
    ratios(bright[:2], level)
    print(f"{'':22} {'ours':>13} {'library':>13}")
    tell(
        "F1, a frame",
        least(lambda: fit_values(dark.reshape(n, -1)), 3) / n,
        least(lambda: library.fitValue(frame, modelValueInit=5000.0), 3),
    )
    tell(
        "F2 + F3, all frames",
        least(lambda: statistics(dark), 7),
        least(lambda: (dark.mean(axis=0), dark.std(axis=0, ddof=1)), 3),
    )
    tell(
        "plane, 64 x 64",
        least(lambda: fit_background(image), 9),
        least(
            lambda: library.fitBackgroundTensor(
                image[np.newaxis], np.ones((1, *SHAPE), np.uint8), 64, 64
            ),
            3,
        ),
    )
    some = bright[: options.bright]
    share = n / len(some)
    tell(
        "F6, all frames",
        least(lambda: ratios(bright, level), 3),
        share * least(lambda: library_ratios(library, some, level), 1),
    )


if __name__ == "__main__":
    main()
