"""Opening and reading: seconds and MB to open many events; a read beside plain h5py.

    python benchmarks/bench_reading.py [--files 500] [--events 100000] [--runs 40]

Three parts:

* opening 500 Cheetah CXI files as one stack, and one virtual file of 100 000 events:
  seconds, and the memory that Python objects take (tracemalloc) and the process gained;
* one event read and assembled (``stack.assembled``) against h5py's ``read_direct`` plus
  ``np.take(mode="clip", out=)`` of the same size, interleaved in one process: ratio;
* the same for stored frames alone (``stack.raw``) against ``read_direct``.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from napari_xfelsort import Geometry, open_stack


def write_cheetah(path: Path, n_events: int, shape: tuple[int, int]) -> None:
    """A CXI file with the per-event arrays that Cheetah writes; pixels are not allocated."""
    with h5py.File(path, "w") as file:
        detector = file.create_group("entry_1/instrument_1/detector_1")
        detector.create_dataset(
            "data", (n_events, *shape), "i2", chunks=(1, *shape), compression="gzip"
        )
        for name in ("distance", "x_pixel_size", "y_pixel_size"):
            detector[name] = np.full(n_events, 1e-4)
        file["entry_1/data_1"] = h5py.SoftLink("/entry_1/instrument_1/detector_1")
        for name in ("photon_energy_eV", "machineTime", "fiducial"):
            file[f"LCLS/{name}"] = np.full(n_events, 9500.0)
        file["entry_1/result_1/nPeaks"] = np.zeros(n_events, "i4")
        file["entry_1/result_1/peakXPosRaw"] = np.zeros((n_events, 16), "f4")


def write_virtual(path: Path, n_events: int, n_sources: int, shape: tuple[int, int]) -> None:
    """A virtual file over ``n_sources`` files of equally many events."""
    each = n_events // n_sources
    layout = h5py.VirtualLayout((n_events, *shape), "u2")
    for number in range(n_sources):
        name = path.with_name(f"{path.stem}_{number:03}.h5")
        with h5py.File(name, "w") as file:
            file.create_dataset("data", (each, *shape), "u2", chunks=(1, *shape))
        source = h5py.VirtualSource(name.name, "data", (each, *shape))
        layout[number * each : (number + 1) * each] = source
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("entry/data/data", layout)


def measure_opening(paths: object) -> tuple[int, float, float, float]:
    """Events, seconds, MB of Python objects, MB that the process grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    stack = open_stack(paths)
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    tracemalloc.start()
    again = open_stack(paths)
    held = tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()
    return len(again), seconds, held, grown if len(stack) else 0.0


def interleaved(runs: int, *functions: Callable[[int], object]) -> list[list[float]]:
    """Seconds of each call, the functions taking turns so that drift hits all alike."""
    times: list[list[float]] = [[] for _ in functions]
    for run in range(runs + 3):
        for number, function in enumerate(functions):
            start = time.perf_counter()
            function(run)
            if run >= 3:
                times[number].append(time.perf_counter() - start)
    return times


def slab_geometry(panels: int, ss: int, fs: int) -> Geometry:
    """A CrystFEL geometry of panels side by side in two columns with small gaps."""
    lines = ["photon_energy = 9500", "clen = 0.1", "res = 10000"]
    lines += ["dim0 = %", "dim1 = ss", "dim2 = fs", "data = /entry_1/data_1/data"]
    for k in range(panels):
        row, column = divmod(k, 2)
        lines += [
            f"p{k}/min_fs = 0",
            f"p{k}/max_fs = {fs - 1}",
            f"p{k}/min_ss = {k * ss}",
            f"p{k}/max_ss = {(k + 1) * ss - 1}",
            f"p{k}/fs = +0.99999x +0.002y",
            f"p{k}/ss = -0.002x +0.99999y",
            f"p{k}/corner_x = {column * (fs + 12) - fs - 6}",
            f"p{k}/corner_y = {row * (ss + 12) - panels * (ss + 12) / 4}",
        ]
    return Geometry.from_crystfel_text("\n".join(lines), "benchmark.geom")


#: Name, panels, their slow and fast size, type, compression.
DETECTORS: tuple[tuple[str, int, int, int, str, dict], ...] = (
    ("ePix10k-2M float32", 16, 352, 384, "f4", {}),
    ("JUNGFRAU-4M float32", 8, 512, 1024, "f4", {}),
    ("JUNGFRAU-4M float32 bslz4", 8, 512, 1024, "f4", hdf5plugin.Bitshuffle(cname="lz4")),
    (
        "ePix10k-2M int16 gzip-3",
        16,
        352,
        384,
        "i2",
        {"compression": "gzip", "compression_opts": 3},
    ),
)
N_EVENTS = 24


def measure_reading(folder: Path, runs: int) -> None:
    """Print the ratios of reading and assembling to plain h5py and one gather."""
    print(f"\n{'one event':44}{'ours ms':>8}{'h5py ms':>10}{'ratio':>8}   (medians)")
    for name, panels, ss, fs, dtype, packing in DETECTORS:
        shape = (panels * ss, fs)
        path = folder / f"{name.replace(' ', '_')}.cxi"
        rng = np.random.default_rng(1)
        with h5py.File(path, "w") as file:
            data = file.create_dataset(
                "entry_1/data_1/data", (N_EVENTS, *shape), dtype, chunks=(1, *shape), **packing
            )
            for i in range(N_EVENTS):
                data[i] = rng.poisson(20, shape)
        compare(name, path, slab_geometry(panels, ss, fs), runs)


def compare(name: str, path: Path, geometry: Geometry, runs: int) -> None:
    """Print the ratios for one file."""
    stack = open_stack(path, geometry=geometry)
    assembled = np.empty(stack.assembled_shape, stack.dtype)
    frame = np.empty(stack.raw_shape, stack.dtype)
    taken = np.empty_like(assembled)
    rng = np.random.default_rng(0)
    index = np.sort(rng.integers(0, frame.size, assembled.size)).reshape(assembled.shape)
    with h5py.File(path) as file:
        plain = file["entry_1/data_1/data"]

        def read(i: int) -> None:
            plain.read_direct(frame, np.s_[i % N_EVENTS])

        def read_and_take(i: int) -> None:
            read(i)
            np.take(frame.ravel(), index, mode="clip", out=taken)

        rows = (
            (
                "read + assemble",
                lambda i: stack.assembled(i % N_EVENTS, assembled),
                read_and_take,
            ),
            ("read", lambda i: stack.raw(i % N_EVENTS), read),
        )
        for what, ours, theirs in rows:
            mine, other = (statistics.median(t) for t in interleaved(runs, ours, theirs))
            label = f"{name}, {what}"
            print(f"{label:44}{mine * 1e3:8.2f}{other * 1e3:10.2f}{mine / other:8.2f}")


def main() -> None:
    """Run all parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many = folder / "many"
        many.mkdir()
        for number in range(options.files):
            write_cheetah(many / f"run-{number:04}.cxi", 200, (1480, 1552))
        virtual = folder / "virtual.h5"
        write_virtual(virtual, options.events, 50, (512, 512))
        print(f"{'opening':34}{'events':>10}{'s':>8}{'MB held':>10}{'MB grown':>10}")
        for label, paths in ((f"{options.files} CXI files", many), ("one virtual file", virtual)):
            events, seconds, held, grown = measure_opening(paths)
            print(f"{label:34}{events:10}{seconds:8.2f}{held:10.1f}{grown:10.1f}")
        measure_reading(folder, options.runs)


if __name__ == "__main__":
    main()
