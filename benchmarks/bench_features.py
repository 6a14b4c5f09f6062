"""Features of each kind beside reading the same pixels, and with features that were kept.

    python benchmarks/bench_features.py [--events 1000] [--storage plain]

A run of ePix10k-2M-sized events (5632 x 384, int16) is written, and one panel of it (176 x
192 pixels, 2 % of them masked) turned into features of each kind. Beside it a loop that
reads the same pixels of each event with h5py's ``read_direct``. Times are of the
processor, of one process. Then the features of the run are taken through the cache: first
when nothing is kept, then again; and with two workers.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

import napari_xfelsort as xs
from napari_xfelsort.core.feature_cache import FeatureCache, cached_table
from napari_xfelsort.core.features import FeatureExtractor, FeatureSettings, extract_stack
from napari_xfelsort.core.mask import PixelMask

SHAPE, PANEL = (5632, 384), (slice(352, 528), slice(192, 384))
DATASET = "/entry_1/data_1/data"
KINDS = {
    "pixels": {},
    "pixels, divided by their mean": {"normalise": "mean"},
    "blocks of 8, mean": {"bin": 8},
    "blocks of 8, median": {"bin": 8, "bin_statistic": "median"},
    "profile, mean": {"kinds": ("profile",)},
    "profile, median": {"kinds": ("profile",), "profile_statistic": "median"},
    "50 rings, mean": {"kinds": ("radial",)},
    "50 rings, mean, sd, median, fraction": {
        "kinds": ("radial",),
        "radial_statistics": ("mean", "sd", "median", "fraction"),
    },
    "intensity": {"kinds": ("intensity",)},
    "quantiles": {"kinds": ("quantiles",)},
}


def write_run(path: Path, n: int, storage: str) -> None:
    """Noise; ten frames again and again."""
    frames = np.random.default_rng(0).poisson(40, (10, *SHAPE)).astype(np.int16)
    filters = {"gzip": {"compression": "gzip"}, "bslz4": dict(hdf5plugin.Bitshuffle())}
    options = filters.get(storage, {})
    with h5py.File(path, "w") as file:
        data = file.create_dataset(DATASET, (n, *SHAPE), np.int16, chunks=(1, *SHAPE), **options)
        for k in range(n):
            data[k] = frames[k % 10]
    os.utime(path, (1e9, 1e9))  # as if written long ago: what is new is not kept


def seconds(work: Callable[[], object], clock: Callable[[], float], rounds: int) -> float:
    """The least time of some rounds."""
    times = []
    for _ in range(rounds):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def read_all(path: Path, n: int) -> None:
    """Reads the panel of one event after another."""
    out = np.empty([s.stop - s.start for s in PANEL], np.int16)
    with h5py.File(path) as file:
        for i in range(n):
            file[DATASET].read_direct(out, (i, *PANEL))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--storage", default="plain", choices=["plain", "gzip", "bslz4"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write the data; temporary")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        path = Path(name) / "run.cxi"
        write_run(path, args.events, args.storage)
        geometry = xs.Geometry.single_panel(SHAPE, 1e-4, (400, 150))
        masked = np.random.default_rng(1).random(SHAPE) < 0.02
        mask = PixelMask.from_bad(masked)
        stack = xs.open_stack(path, geometry=geometry).with_mask(mask)
        region = xs.Region.raw_window(PANEL)
        every = range(args.events)
        read = seconds(lambda: read_all(path, args.events), time.process_time, args.rounds)
        print(f"{args.events} events, {args.storage}; ms of the processor an event")
        print(f"{1e3 * read / args.events:8.3f}        h5py")
        for what, values in KINDS.items():
            made = FeatureExtractor.for_stack(FeatureSettings(**values), region, stack)
            ours = seconds(
                lambda made=made: extract_stack(stack, every, made), time.process_time, args.rounds
            )
            print(f"{1e3 * ours / args.events:8.3f} {ours / read:6.2f} {what}", flush=True)
        made = FeatureExtractor.for_stack(FeatureSettings(), region, stack)
        cache = FeatureCache(Path(name) / "cache")
        print("seconds by the clock, pixels")
        first = seconds(lambda: cached_table(stack, every, made, cache=cache), time.monotonic, 1)
        again = seconds(
            lambda: cached_table(stack, every, made, cache=cache), time.monotonic, args.rounds
        )
        two = seconds(lambda: extract_stack(stack, every, made, workers=2), time.monotonic, 1)
        print(f"{first:8.2f} read and kept, {again:.2f} kept, {two:.2f} two workers, with start")


if __name__ == "__main__":
    main()
