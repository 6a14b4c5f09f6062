"""Sorting beside two loops that do less: one only reads, one only decides.

    python benchmarks/bench_sort.py [--events 2000] [--storage gzip] [--workers 2]
    python benchmarks/bench_sort.py --small            # 10^6 frames of 32 x 32 pixels

A simulated run of ePix10k-2M-sized events (5632 x 384, int16) is written, a random
forest trained on one panel of it (176 x 192 pixels), and the run sorted. Beside it:

* *read*: a loop over the events that reads the same pixels with h5py, on as many
  processes; ``gzip`` and ``bslz4`` decode the whole chunk of each event for it,
  ``plain`` and ``contiguous`` only touch the panel;
* *decide*: a loop over blocks that calls the model without dask, tables or lists, on
  as many processes; what sorting takes longer is the cost of scheduling and writing;
* *alone*: the events shared by as many processes, each of which sorts its share by
  itself, without dask; what sorting takes longer, in processor time of all processes, is
  the cost of scheduling.

With ``--small`` the run is a virtual file over a tenth as many stored events, and the
lists are checked to the last event.

Start-up is left out everywhere: workers have started and imported what they need before
the clock runs. Sorting counts from the call to its return, without the report. On a busy
machine trust the ratios of processor time, or repeat. Memory is the proportional set
size (PSS) of all processes together, while sorting the run and while sorting a virtual
file of ten times as many events in blocks of the same size (by default blocks grow with
the run up to ``block_bytes``).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import hdf5plugin
import numpy as np
import psutil

import napari_xfelsort as xs
from napari_xfelsort.core.sorting import SortSummary
from napari_xfelsort.core.sorting.options import SortSettings, events_per_block
from napari_xfelsort.core.sorting.pools import local_cluster

BIG, PANEL = (5632, 384), (slice(352, 528), slice(192, 384))
SMALL, WHOLE = (32, 32), (slice(0, 32), slice(0, 32))
DATASET = "/entry_1/data_1/data"
N_DISTINCT = 60
N_TRAIN = 100


# --- data -------------------------------------------------------------------------------


def distinct_frames(shape: tuple[int, int], panel: tuple[slice, slice]) -> np.ndarray:
    """Noisy frames; in every third the panel is lower."""
    rng = np.random.default_rng(0)
    frames = rng.poisson(40, (N_DISTINCT, *shape)).astype(np.int16)
    frames[::3, panel[0], panel[1]] -= 8
    return frames


def write_run(path: Path, frames: np.ndarray, n: int, storage: str) -> None:
    """The frames again and again; compressed ones are compressed once."""
    filters: dict[str, dict[str, Any]] = {
        "gzip": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
        "bslz4": dict(hdf5plugin.Bitshuffle()),
        "plain": {},
        "contiguous": {},
    }
    per_chunk = 1 if frames[0].nbytes > 1e5 else 1000
    chunk = None if storage == "contiguous" else (per_chunk, *frames.shape[1:])
    options = {"chunks": chunk, **filters[storage]}
    with h5py.File(path, "w") as file:
        data = file.create_dataset(DATASET, (n, *frames.shape[1:]), frames.dtype, **options)
        if chunk is None or per_chunk > 1:
            for start in range(0, n, 1000):
                stop = min(start + 1000, n)
                data[start:stop] = frames[np.arange(start, stop) % N_DISTINCT]
            return
        data[:N_DISTINCT] = frames[:n]
        origins = [(k, *(0 for _ in frames.shape[1:])) for k in range(n)]
        stored = [data.id.read_direct_chunk(origin) for origin in origins[:N_DISTINCT]]
        for k in range(N_DISTINCT, n):
            mask, raw = stored[k % N_DISTINCT]
            data.id.write_direct_chunk(origins[k], raw, filter_mask=mask)


def write_virtual(path: Path, part: Path, n: int, times: int, shape: tuple[int, int]) -> None:
    """One file of the same events ``times`` over."""
    layout = h5py.VirtualLayout((n * times, *shape), np.int16)
    for k in range(times):
        layout[k * n : (k + 1) * n] = h5py.VirtualSource(part.name, DATASET, (n, *shape))
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset(DATASET, layout)


# --- what is measured -------------------------------------------------------------------


class Rate(NamedTuple):
    """Events, and the seconds they took, on the clock and of all processors."""

    events: int
    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.events / self.wall:6.0f}/s ({1e3 * self.cpu / self.events:.3f} CPU-ms each)"

    def over(self, other: Rate) -> str:
        """Ratio of the rates, by the clock and by processor time."""
        mine, theirs = self.events / self.wall, other.events / other.wall
        cpu = other.cpu / other.events / (self.cpu / self.events)
        return f"{mine / theirs:.2f} (CPU {cpu:.2f})"


class Memory:
    """Largest memory of this process and its children together, in MB."""

    def __enter__(self) -> Memory:
        self.peak = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        main = psutil.Process()
        while not self._stop.wait(0.5):
            total = 0
            for process in [main, *main.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total / 1e6)


def cpu_seconds() -> float:
    """Of this process and its children."""
    main = psutil.Process()
    return sum(sum(p.cpu_times()[:2]) for p in [main, *main.children(recursive=True)])


def time_sort(data: Path, model: Any, out: Path, address: str) -> tuple[Rate, float, SortSummary]:
    """Rate of everything but the start of the workers, memory in MB, and the summary."""
    shutil.rmtree(out, ignore_errors=True)
    stack = xs.open_stack(data)
    cpu, begun = cpu_seconds(), time.perf_counter()
    summary = xs.sort(stack, model, out, scheduler=address, report=False)
    wall = time.perf_counter() - begun
    return Rate(summary.events, wall, cpu_seconds() - cpu), summary


def check_lists(out: Path, data: Path, n: int, period: int) -> None:
    """Every event is in the list it belongs in, in order, to the last one."""
    for name, bad in (("good", False), ("bad", True)):
        wanted = [k for k in range(n) if (k % period % N_DISTINCT % 3 == 0) is bad]
        with (out / f"{name}.lst").open() as lines:
            for k, line in zip(wanted, lines, strict=True):
                assert line == f"{data} //{k}\n", (line, k)


def start_workers(workers: int, data: Path, model: Any, out: Path) -> Any:
    """Workers as `sort` starts them, that have imported what they need."""
    cluster = local_cluster(workers)
    few = xs.open_stack(data).subset(range(64 * 8 * workers))
    address = cluster.scheduler_address
    # Blocks so small that every worker gets some.
    xs.sort(few, model, out, scheduler=address, report=False, block_events=64)
    return cluster


def on_processes(work: Callable[..., Any], workers: int, n: int, *args: object) -> Rate:
    """Rate of a loop over ``n`` events shared by processes that start together."""
    os.environ["OMP_NUM_THREADS"] = "1"  # as dask sets it for its workers
    context = multiprocessing.get_context("spawn")
    barrier, times = context.Barrier(workers), context.Queue()
    edges = np.linspace(0, n, workers + 1).astype(int).tolist()
    processes = [
        context.Process(target=_timed, args=(work, barrier, times, edges[k], edges[k + 1], *args))
        for k in range(workers)
    ]
    for process in processes:
        process.start()
    spans = [times.get() for _ in processes]
    for process in processes:
        process.join()
    wall = max(end for _, end, _ in spans) - min(start for start, _, _ in spans)
    return Rate(n, wall, sum(cpu for _, _, cpu in spans))


def _timed(
    work: Callable[..., Callable[[], None]], barrier: Any, times: Any, *args: object
) -> None:
    run = work(*args)
    barrier.wait()
    start, cpu = time.time(), time.process_time()
    run()
    times.put((start, time.time(), time.process_time() - cpu))


def read_loop(start: int, stop: int, path: Path, panel: tuple[slice, slice]) -> Any:
    """Reads the panel of one event after another."""
    file = h5py.File(path)
    data = file[DATASET]
    out = np.empty([s.stop - s.start for s in panel], data.dtype)
    at_once = data.chunks[0] if data.chunks else 1

    def run() -> None:
        if at_once == 1:
            for i in range(start, stop):
                data.read_direct(out, (i, *panel))
            return
        for i in range(start, stop, at_once):
            data[i : min(i + at_once, stop), panel[0], panel[1]]

    return run


def decide_loop(start: int, stop: int, path: Path, model_path: Path, size: int) -> Any:
    """Decides on one block after another, and forgets what was decided."""
    stack = xs.open_stack(path)
    model = xs.load_model(model_path)
    blocks = [b for b in stack.blocks(size) if start <= b.positions[0] < stop]
    model.predict_block(stack, blocks[0])

    def run() -> None:
        for block in blocks:
            model.predict_block(stack, block)

    return run


def alone_loop(start: int, stop: int, path: Path, model_path: Path, out: Path) -> Any:
    """Sorts a share of the events in this process."""
    stack = xs.open_stack(path)
    model = xs.load_model(model_path)
    few = stack.subset(range(start, start + 100))
    xs.sort(few, model, out / f"warm-{start}", workers=0, report=False)
    share = stack.selected(
        np.zeros(stop - start, np.int32), np.arange(start, stop, dtype=np.int32)
    )

    def run() -> None:
        xs.sort(share, model, out / f"part-{start}", workers=0, report=False)

    return run


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int)
    parser.add_argument(
        "--storage", default="gzip", choices=["gzip", "bslz4", "plain", "contiguous"]
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--folder", type=Path, help="where to write the data; temporary")
    args = parser.parse_args()
    shape, panel = (SMALL, WHOLE) if args.small else (BIG, PANEL)
    n = args.events or (1_000_000 if args.small else 2000)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        data = folder / "run.cxi"
        period = n // 10 if args.small else n
        n = period * 10 if args.small else n
        write_run(data, distinct_frames(shape, panel), period, args.storage)
        if args.small:
            part, data = data, folder / "long.cxi"
            write_virtual(data, part, period, 10, shape)
        labels = ["bad" if k % N_DISTINCT % 3 == 0 else "good" for k in range(N_TRAIN)]
        stack = xs.open_stack(data)
        window = xs.Region.raw_window(panel)
        model = xs.train(stack.subset(range(N_TRAIN)), labels, region=window, split="event")
        model.save(folder / "model.xfelmodel")
        event_bytes = 2 * int(np.prod([s.stop - s.start for s in panel]))
        size = events_per_block(SortSettings(), event_bytes)
        print(f"{n} events of {shape}, {args.storage}, {data.stat().st_size / 1e9:.2f} GB")
        print(f"random forest on {panel}, {args.workers} workers, {size} events a block")
        model_file = folder / "model.xfelmodel"
        for k in range(args.rounds + 1):
            read = on_processes(read_loop, args.workers, n, data, panel)
            decide = on_processes(decide_loop, args.workers, n, data, model_file, size)
            with start_workers(args.workers, data, model, folder / "warm") as cluster:
                address = cluster.scheduler_address
                rate, summary = time_sort(data, model, folder / "out", address)
            shutil.rmtree(folder / "warm")
            parts = folder / "alone"
            alone = on_processes(alone_loop, args.workers, n, data, model_file, parts)
            shutil.rmtree(parts)
            check_lists(folder / "out", data, n, period)
            assert summary.events == n
            if k:  # the first round has the file brought into memory
                print(f"read {read}   decide {decide}   sort {rate}")
                ratios = f"sort/read {rate.over(read)}   sort/decide {rate.over(decide)}"
                print(f"    {ratios}", flush=True)
                share = 1 - (alone.cpu / alone.events) / (rate.cpu / rate.events)
                print(f"    alone {alone}   scheduling {share:.1%} of processor time", flush=True)
        virtual = folder / "virtual.cxi"
        if args.memory:
            write_virtual(virtual, data, n, 10, shape)
        for path in (data, virtual) if args.memory else ():
            shutil.rmtree(folder / "out")
            with Memory() as memory:
                summary = xs.sort(
                    xs.open_stack(path),
                    model,
                    folder / "out",
                    args.workers,
                    block_events=size,
                    report=False,
                )
            print(
                f"{summary.events} events: at most {memory.peak:.0f} MB, {summary.elapsed:.1f} s"
            )


if __name__ == "__main__":
    main()
