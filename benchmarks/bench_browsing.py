"""Stepping through events in napari beside plain h5py: milliseconds, ratios, memory.

    python benchmarks/bench_browsing.py [--runs 40] [--events 100000] [--quick]

A step is ``Run.go_to``: the slider moves, and all that follows it is done when it returns
(napari's slicing of every layer, thumbnail, caption, rings). Viewer and layers are those
of the plugin, without a window; nothing is drawn. The reference reads the same frame with
h5py's ``read_direct`` and gathers its picture with ``np.take(mode="clip", out=)``, both
into arrays that are there. All take turns in one process. Three parts:

* events jumped to at random, which neither cache nor prefetching can help: *layer* is what
  napari asks of the data (``np.asarray(layer.data[i])``), *napari* a step of the same
  layers with the pictures as a NumPy array in memory, *less napari* the step without that;
* the next event, fetched ahead or not, and events seen before;
* the same step in virtual files of 100 and 100 000 events, and what opening them takes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import h5py
import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtWidgets import QApplication

from bench_reading import DETECTORS, interleaved, slab_geometry, write_virtual
from napari_xfelsort import open_stack
from napari_xfelsort.core.browsing import CACHE
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.layers import Opened, run_layers
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.runs import runs_of

N_EVENTS = 24
#: Seconds between steps of somebody who looks at each event.
PAUSE = 0.1
DATASET = "entry_1/data_1/data"


#: Runs hold their viewers weakly.
_viewers: dict[Run, ViewerModel] = {}


def open_run(stack: EventStack, path: Path) -> Run:
    """The stack in a viewer of its own."""
    viewer = ViewerModel()
    run = runs_of(viewer).add(run_layers(stack, Opened((str(path),))))
    _viewers[run] = viewer
    return run


def close_run(run: Run) -> None:
    """Remove the run from its viewer, which closes it."""
    viewer = _viewers.pop(run)
    viewer.layers.clear()
    runs_of(viewer).close()


def in_memory(stack: EventStack, path: Path) -> ViewerModel:
    """A viewer with the same layers, but pictures in memory and nothing that follows."""
    layers = run_layers(stack, Opened((str(path),)))
    data, keywords, kind = layers[0]
    layers[0] = (np.stack([np.asarray(data[k]) for k in range(4)]), keywords, kind)
    keywords["metadata"]["napari_xfelsort"].pop("frames").store.close()
    viewer = ViewerModel()
    for made in layers:
        viewer.add_layer(Layer.create(*made))
    return viewer


def reference(path: Path, stack: EventStack) -> Callable[[int], object]:
    """Reads an event with h5py and gathers its picture."""
    file = h5py.File(path)
    data = file[DATASET]
    frame = np.empty(stack.raw_shape, stack.dtype)
    picture = np.empty(stack.assembled_shape, stack.dtype)
    numbers = np.arange(frame.size).reshape(frame.shape)
    index = stack.geometry.assemble(numbers, gap=-1)  # of the raw pixel in every cell

    def read(i: int) -> None:
        data.read_direct(frame, np.s_[i])
        np.take(frame.ravel(), index, mode="clip", out=picture)

    return read


def table(title: str, *columns: str) -> None:
    """Print the head of a table."""
    print(f"\n{title:40}" + "".join(f"{column:>14}" for column in columns))


def row(label: str, *values: str) -> None:
    """Print a row of it."""
    print(f"{label:40}" + "".join(f"{value:>14}" for value in values))


def ms(times: list[float]) -> str:
    """Least and median of some times."""
    return f"{min(times) * 1e3:.1f} {statistics.median(times) * 1e3:.1f}"


def ratio(mine: list[float], theirs: list[float]) -> str:
    """Ratio of the minima and of the medians."""
    medians = statistics.median(mine) / statistics.median(theirs)
    return f"{min(mine) / min(theirs):.2f} {medians:.2f}"


def write_detector(folder: Path, number: int) -> tuple[str, Path, EventStack]:
    """Name, file and stack of one of the detectors."""
    name, panels, ss, fs, dtype, packing = DETECTORS[number]
    shape = (panels * ss, fs)
    path = folder / f"{number}.cxi"
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            DATASET, (N_EVENTS, *shape), dtype, chunks=(1, *shape), **packing
        )
        for i in range(N_EVENTS):
            data[i] = rng.poisson(20, shape)
    return name, path, open_stack(path, geometry=slab_geometry(panels, ss, fs))


def measure_jumps(name: str, path: Path, stack: EventStack, runs: int) -> None:
    """Print what a step to an event costs that nobody could foresee."""
    run, plain, read = open_run(stack, path), in_memory(stack, path), reference(path, stack)
    CACHE.limit = 4 * int(np.prod(stack.assembled_shape))  # one picture: no fetching ahead
    order = np.random.default_rng(2).permutation(N_EVENTS)

    def event(k: int, shift: int) -> int:  # no two of the functions at the same event
        return int(order[(k + shift) % N_EVENTS])

    reads, layers, steps, alone = interleaved(
        runs,
        lambda k: read(event(k, 0)),
        lambda k: np.asarray(run.layer.data[event(k, 8)]),
        lambda k: run.go_to(event(k, 16)),
        lambda k: plain.dims.set_point(0, k % 4),
    )
    beyond = [step - statistics.median(alone) for step in steps]
    row(
        name,
        *(ms(times) for times in (reads, layers, steps, alone)),
        ratio(layers, reads),
        ratio(steps, reads),
        f"{statistics.median(beyond) / statistics.median(reads):.2f}",
    )
    close_run(run)


def timed(step: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def measure_next(name: str, path: Path, stack: EventStack, budget: int, pause: float) -> None:
    """Print what a step to the next event and to one seen before costs."""
    CACHE.limit = budget
    columns: list[list[float]] = []
    for wait in (pause, 0.0):
        run = open_run(stack, path)
        times = []
        for i in range(1, N_EVENTS):
            time.sleep(wait)
            times.append(timed(lambda i=i, run=run: run.go_to(i)))
        columns.append(times)
        if not wait:
            columns.append([timed(lambda i=i, run=run: run.go_to(i)) for i in range(N_EVENTS)])
        close_run(run)
    read = reference(path, stack)
    columns.append([timed(lambda i=i: read(i)) for i in range(N_EVENTS)])
    row(name, *(ms(times) for times in columns))


def resident() -> float:
    """MB that the process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_lengths(folder: Path, n_events: int, runs: int, budget: int) -> None:
    """Print steps in a short and a long run, and what opening them takes."""
    CACHE.limit = budget
    opened: list[Run] = []
    numbers = (100, 100, n_events)  # the first one loads what all need
    grown, seconds = [], []
    for k, n in enumerate(numbers):
        path = folder / f"virtual{k}.h5"
        write_virtual(path, n, 50, (512, 512))
        before = resident()
        seconds.append(timed(lambda path=path: opened.append(open_run(open_stack(path), path))))
        grown.append(resident() - before)
    CACHE.limit = 4 * 512 * 512
    short, long = opened[1], opened[2]
    rng = np.random.default_rng(3)

    def jump(run: Run) -> Any:
        return lambda k: run.go_to(int(rng.integers(len(run))))

    steps = interleaved(runs, jump(short), jump(long))
    table("virtual file, 512 x 512 uint16", "step ms", "opening s", "MB grown")
    for k, n in ((1, 100), (2, n_events)):
        row(f"{n} events", ms(steps[k - 1]), f"{seconds[k]:.2f}", f"{grown[k]:.1f}")
    row("ratio", ratio(steps[1], steps[0]))
    for run in opened:
        close_run(run)


def main() -> None:
    """Run all parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="two detectors, few runs")
    options = parser.parse_args()
    runs, numbers = options.runs, range(len(DETECTORS))
    if options.quick:
        runs, numbers = min(runs, 8), range(0, len(DETECTORS), 3)
    application = QApplication.instance() or QApplication([])
    application.setQuitOnLastWindowClosed(False)
    budget = CACHE.limit
    print("milliseconds and ratios: of the least, of the median")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        detectors = [write_detector(folder, number) for number in numbers]
        columns = ("h5py+gather", "layer", "step", "napari")
        table("an event at random", *columns, "layer/h5py", "step/h5py", "less napari")
        for detector in detectors:
            measure_jumps(*detector, runs)
        table("the next event", "fetched ahead", "without pause", "seen before", "h5py+gather")
        for detector in detectors:
            measure_next(*detector, budget, PAUSE)
        measure_lengths(folder, options.events, runs, budget)


if __name__ == "__main__":
    main()
