"""Fitting profiles of one panel beside a loop that does the least that could be done.

    python benchmarks/bench_profiles.py [--events 1000] [--dtype float32] [--storage plain]

A run of ePix10k-2M-sized events (5632 x 384, one event a chunk) is written, and the
profiles of one panel of it (176 x 192 pixels) are fitted with a polynomial of order 4.
Beside it:

* *reference*: h5py reads the panel's pixels of one event after another into one array,
  then one mean and one `numpy.polynomial.polynomial.polyfit` of all events. It knows no
  masks, gaps or bad values, finds no inflection points, names no events, and holds the
  panel of the whole run in memory.

Rates are of the clock and of processor time; on a busy machine trust the latter. Memory is
the largest resident memory of a process that only fits, for the run and for a virtual file
of ten times as many events.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import napari_xfelsort as xs
from bench_sort import BIG, DATASET, PANEL, write_run

ORDER = 4


def frames(dtype: str) -> np.ndarray:
    """A few noisy frames with a smooth ring on them."""
    rng = np.random.default_rng(0)
    ss, fs = np.ogrid[: BIG[0], : BIG[1]]
    ring = 1000 + 700 * np.exp(-(((fs - 270.0) / 50) ** 2)) + 0.01 * ss
    spread = rng.normal(0, 40, (60, *BIG)).astype(np.float32)
    return (ring.astype(np.float32) + spread).astype(dtype)


def write_again(path: Path, part: Path, times: int) -> None:
    """A virtual file of the same events ``times`` over."""
    with h5py.File(part) as file:
        n, dtype = len(file[DATASET]), file[DATASET].dtype
    layout = h5py.VirtualLayout((n * times, *BIG), dtype)
    for k in range(times):
        layout[k * n : (k + 1) * n] = h5py.VirtualSource(part.name, DATASET, (n, *BIG))
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset(DATASET, layout)


def reference(path: Path) -> np.ndarray:
    """Coefficients of every event."""
    with h5py.File(path) as file:
        data = file[DATASET]
        panel = np.empty((len(data), *(s.stop - s.start for s in PANEL)), data.dtype)
        for i in range(len(data)):
            data.read_direct(panel[i], (i, *PANEL))
    profiles = panel.mean(axis=1, dtype=np.float64)
    scaled = np.linspace(-1, 1, profiles.shape[1])
    return np.polynomial.polynomial.polyfit(scaled, profiles.T, ORDER).T


def ours(path: Path, masked: bool = False, **settings: Any) -> Any:
    """Table of every event; with every hundredth pixel masked, if that is asked for."""
    bad = np.zeros(BIG, bool)
    bad.ravel()[::100] = True
    stack = xs.open_stack(path, mask=xs.PixelMask.from_bad(bad) if masked else None)
    return xs.fit_profiles(stack, xs.Region.raw_window(PANEL), "fs", ORDER, **settings)


def timed(work: Callable[..., Any], *args: Any, **settings: Any) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work(*args, **settings)
    return time.perf_counter() - wall, time.process_time() - cpu


def memory(path: Path) -> str:
    """Largest resident memory of a process that fits the profiles of a file, in MB."""
    call = [sys.executable, __file__, "--only-fit", str(path)]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()


def only_fit(path: Path) -> None:
    """What `memory` runs."""
    table = ours(path)
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e3
    print(f"{len(table)} events: at most {peak:.0f} MB resident")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--dtype", default="float32", choices=["float32", "int16"])
    parser.add_argument("--storage", default="plain", choices=["plain", "gzip", "bslz4"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write the data; temporary")
    parser.add_argument("--only-fit", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only_fit:
        only_fit(args.only_fit)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        data = Path(name) / "run.cxi"
        write_run(data, frames(args.dtype), args.events, args.storage)
        size = data.stat().st_size / 1e9
        print(f"{args.events} events of {BIG}, {args.dtype}, {args.storage}, {size:.2f} GB")
        expected, table = reference(data), ours(data)
        scaled = np.linspace(-1, 1, PANEL[1].stop - PANEL[1].start)
        theirs = np.polynomial.polynomial.polyval(scaled, expected.T)
        mine = np.polynomial.legendre.legval(scaled, table.coefficients.T)
        print(f"largest relative difference of the curves {np.abs(mine / theirs - 1).max():.1e}")
        for statistic, masked in (("mean", False), ("mean", True), ("median", False)):
            rounds = [
                (timed(reference, data), timed(ours, data, masked, statistic=statistic))
                for _ in range(args.rounds)
            ]
            best = [min(r[k][0] for r in rounds) for k in (0, 1)]
            clock = statistics.median(a[0] / b[0] for a, b in rounds)
            cpu = statistics.median(a[1] / b[1] for a, b in rounds)
            rates = [args.events / seconds for seconds in best]
            what = f"{statistic} with a mask" if masked else statistic
            print(
                f"{what}: reference {rates[0]:.0f} events/s, ours {rates[1]:.0f}; "
                f"ours / reference {clock:.2f} (CPU {cpu:.2f})",
                flush=True,
            )
        virtual = Path(name) / "virtual.cxi"
        write_again(virtual, data, 10)
        for path in (data, virtual):
            print(memory(path))


if __name__ == "__main__":
    main()
