"""Single particles: densities, sizes and photon files beside plain NumPy.

    python benchmarks/bench_spi.py [--events 2000] [--rounds 3]

A simulated run (192 x 192 pixels) is written without compression. Rates are events per second
of processor time, of one thread.

* *sizes*: radial density and size of every event, from the file to the table; the scan of 300
  diameters, the refined fit, uncertainty and fluence. The reference reads each frame with
  h5py, divides `bincount`s of its pixels, and takes the smallest sum of absolute differences
  from the 300 form factors; it refines nothing.
* *emc*: photons of every event as a sparse `.emc` file. The reference reads each frame with
  h5py and writes what `flatnonzero` finds, into three files that it joins, without masks.

Accuracy is that of spheres of 25-250 nm, without noise and with 5000 photons and more.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import napari_xfelsort as xs
from napari_xfelsort.core.simulate.spi import simulate_spi
from napari_xfelsort.core.spi import PsdReader, Sizer, find_sizes
from napari_xfelsort.core.spi.dragonfly import write_emc

DATA = "entry_1/data_1/data"
#: Simulated events; the run repeats them.
DIFFERENT = 200


def write_run(folder: Path, events: int) -> xs.EventStack:
    """A run of as many events."""
    run = simulate_spi(folder / "made", n_events=DIFFERENT, compression="none")
    with h5py.File(run.data) as source, h5py.File(folder / "run.cxi", "w") as file:
        frames = source[DATA][:]
        file.create_dataset(DATA, (events, *frames.shape[1:]), frames.dtype)
        for start in range(0, events, DIFFERENT):
            n = min(DIFFERENT, events - start)
            file[DATA][start : start + n] = frames[:n]
        file["entry_1/data_1/mask"] = source["entry_1/data_1/mask"][:]
    return xs.open_stack(folder / "run.cxi", geometry=run.geometry)


def reference_sizes(path: Path, stack: xs.EventStack) -> np.ndarray:
    """Diameters by plain NumPy."""
    rings = PsdReader(stack).rings
    sizer = Sizer(rings.q, rings.pixels, rings.step)
    models = sizer.form_factors(sizer.diameters)
    models /= models.mean(axis=1, keepdims=True)
    found = []
    with h5py.File(path) as file:
        for frame in file[DATA]:
            values = frame.ravel()[rings.place]
            sums = np.bincount(rings.ring, values, len(rings))
            psd = (sums / np.maximum(rings.pixels, 1))[sizer.used]
            cost = np.abs(psd / max(psd.mean(), 1e-9) - models).sum(axis=1)
            found.append(sizer.diameters[cost.argmin()])
    return np.array(found)


def reference_emc(path: Path, out: Path) -> None:
    """An ``.emc`` file by plain NumPy."""
    ones, multi = [], []
    names = [out.with_suffix(f".{k}") for k in range(3)]
    with h5py.File(path) as file:
        data = file[DATA]
        shape = data.shape
        files = [name.open("wb") for name in names]
        for k in range(len(data)):
            frame = data[k].ravel()
            one, more = np.flatnonzero(frame == 1), np.flatnonzero(frame > 1)
            ones.append(len(one))
            multi.append(len(more))
            for target, values in zip(files, (one, more, frame[more]), strict=True):
                target.write(values.astype("<i4").tobytes())
        for target in files:
            target.close()
    with out.open("wb") as target:
        head = np.array([shape[0], shape[1] * shape[2], 0], "<i4")
        target.write(head.tobytes().ljust(1024, b"\0"))
        target.write(np.array(ones + multi, "<i4").tobytes())
        for name in names:
            with name.open("rb") as part:
                shutil.copyfileobj(part, target)
            name.unlink()


def cpu(work: Callable[..., Any], *args: Any, **settings: Any) -> float:
    """Seconds of the processor."""
    start = time.process_time()
    work(*args, **settings)
    return time.process_time() - start


def accuracy(folder: Path) -> None:
    """Print the relative errors of sizes."""
    shares = {"doublet": 0, "cluster": 0, "wrong_size": 0, "deformed": 0, "streak": 0, "blank": 0}
    plain = {"single": 1, "shape": "sphere", "diameter": 110, "spread": 27, **shares}
    for name, more in {
        "without noise": {"noise": False, "background": 0.0, "weak_streaks": 0.0},
        "5000 photons and more": {"photons": 5000, "photons_spread": 0.0},
    }.items():
        run = simulate_spi(folder / "spheres", n_events=200, overwrite=True, **plain, **more)
        with h5py.File(run.data) as file:
            true = file["truth/diameter"][:]
        error = np.abs(
            find_sizes(xs.open_stack(run.data, geometry=run.geometry)).diameter / true - 1
        )
        shown = [f"{100 * v:.2f} %" for v in (np.median(error), np.quantile(error, 0.95))]
        print(f"spheres {name}: median error {shown[0]}, 95 % below {shown[1]}")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stack = write_run(folder, args.events)
        path = folder / "run.cxi"
        find_sizes(stack.subset([0, 1]))  # compiled
        write_emc(stack.subset([0, 1]), folder / "first.emc")
        for what, ours, theirs in (
            ("sizes", (find_sizes, stack), (reference_sizes, path, stack)),
            (
                "emc",
                (write_emc, stack, folder / "a.emc", None, True),
                (reference_emc, path, folder / "b.emc"),
            ),
        ):
            rounds = [(cpu(*ours), cpu(*theirs)) for _ in range(args.rounds)]
            best = [args.events / min(r[k] for r in rounds) for k in (0, 1)]
            print(
                f"{what}: ours {best[0]:.0f}/s, reference {best[1]:.0f}/s, "
                f"ours / reference {best[0] / best[1]:.2f}",
                flush=True,
            )
        accuracy(folder)


if __name__ == "__main__":
    main()
