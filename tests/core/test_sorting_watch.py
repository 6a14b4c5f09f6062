"""Watching: what appears is sorted, and in the end all is as if it had always been there."""

from __future__ import annotations

import csv
import json
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from sorting_cases import SHAPE, MeanModel, expected_class, means, results

import napari_xfelsort as xs
from napari_xfelsort.core.errors import (
    NoEventsError,
    OtherResultsError,
    SettingsError,
    UnreadableFileError,
)
from napari_xfelsort.core.sorting import WatchProgress, sort
from programs import PATIENCE, program

DATASET = "/entry_1/data_1/data"
QUICK = {"poll": 0.05, "settle": 0.3, "workers": 0, "block_events": 8, "report": False}


def frames(values: np.ndarray) -> np.ndarray:
    return np.broadcast_to(values[:, None, None], (len(values), *SHAPE)).astype(np.float32)


def write(path: Path, values: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset(
            DATASET, data=frames(values), chunks=(1, *SHAPE), maxshape=(None, *SHAPE)
        )


WRITER = """
import json, sys, h5py, numpy as np
for line in sys.stdin:
    path, mode, values = json.loads(line)
    frames = np.broadcast_to(np.reshape(values, (-1, 1, 1)), (len(values), 4, 6))
    with h5py.File(path, mode) as file:
        if mode == "w":
            shape = {"chunks": (1, 4, 6), "maxshape": (None, 4, 6)}
            file.create_dataset("/entry_1/data_1/data", (0, 4, 6), "f4", **shape)
        data = file["/entry_1/data_1/data"]
        n = len(data)
        data.resize(n + len(values), axis=0)
        data[n:] = frames
    print("written", flush=True)
"""


class Writer:
    """Another process that writes: in one process HDF5 refuses what it allows of two."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def write(self, path: Path, values: np.ndarray, mode: str = "w") -> None:
        print(json.dumps([str(path), mode, values.tolist()]), file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "written\n"

    def append(self, path: Path, values: np.ndarray) -> None:
        self.write(path, values, "a")


@pytest.fixture(scope="module")
def writer():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with program(sys.executable, "-c", WRITER, **pipes) as process:
        yield Writer(process)


@pytest.fixture
def watching():
    """Begins watches, which end with the test."""
    begun: list[Watching] = []

    def begin(*args: object, **more: object) -> Watching:
        begun.append(Watching(*args, **more))
        return begun[-1]

    yield begin
    for each in begun:
        each.end()


class Watching:
    """A watch in a thread, and what it told."""

    def __init__(self, *args: object, **more: object) -> None:
        self.seen: list[WatchProgress] = []
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self.summary = None
        self._thread = threading.Thread(target=self._run, args=args, kwargs={**QUICK, **more})
        self._thread.start()

    def _run(self, *args: object, **more: object) -> None:
        try:
            self.summary = xs.watch(
                *args, progress=self.seen.append, stop=self._stop.is_set, **more
            )
        except BaseException as error:  # noqa: BLE001
            self.error = error

    def wait(self, is_so: Callable[[WatchProgress], bool], seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not any(is_so(seen) for seen in self.seen[-20:]):
            assert time.monotonic() < deadline, self.error or self.seen[-1:]
            assert self._thread.is_alive(), self.error
            time.sleep(0.02)

    def wait_for_events(self, n: int) -> None:
        self.wait(lambda seen: seen.summary is not None and seen.summary.events >= n)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def stop(self):
        self.end()
        if self.error:
            raise self.error
        return self.summary


def undisturbed(data: Path, out: Path) -> dict[str, bytes]:
    stack = xs.open_stack(data)
    sort(stack, MeanModel(), out, workers=0, block_events=8, report=False)
    return {**results(out), **{p.name: p.read_bytes() for p in out.glob("hit-fraction.csv")}}


def watched(out: Path) -> dict[str, bytes]:
    return {**results(out), "hit-fraction.csv": (out / "hit-fraction.csv").read_bytes()}


def test_files_that_appear_and_one_that_grows_end_as_an_undisturbed_sort(
    tmp_path, watching, writer
):
    data, out = tmp_path / "run", tmp_path / "out"
    data.mkdir()
    watch = watching(data, MeanModel(), out)
    watch.wait(lambda seen: bool(seen.waiting))
    writer.write(data / "r2.h5", means(21, 2))
    watch.wait_for_events(21)
    grows = means(67, 1)
    writer.write(data / "r1.h5", grows[:5])
    n = 5
    rng = random.Random(1)
    while n < 67:
        step = min(rng.randrange(1, 12), 67 - n)
        writer.append(data / "r1.h5", grows[n : n + step])
        n += step
        time.sleep(0.12)
        # However slow it is, it does not find the file complete at once.
        watch.wait_for_events(21 + max(0, n - 32) // 8 * 8)
    writer.write(data / "r3.h5", means(3, 3))
    watch.wait_for_events(91)
    summary = watch.stop()
    assert summary.ok
    assert summary.events == 91
    assert watched(out) == undisturbed(data, tmp_path / "once")
    wanted = [f"{data}/r1.h5 //{i}" for i, v in enumerate(grows) if expected_class(v) == "good"]
    assert (out / "good.lst").read_text().splitlines()[: len(wanted)] == wanted
    # Blocks of the growing file were sorted while it grew, and none of them twice.
    last = watch.seen[-1]
    assert len([p for p in last.points if p.file.endswith("r1.h5")]) > 2
    assert sum(sum(p.counts.values()) for p in last.points) == 91
    assert [p.time for p in last.points] == sorted(p.time for p in last.points)
    rows = list(csv.DictReader((out / "watch.csv").read_text().splitlines()))
    assert sum(int(row["events"]) for row in rows) == 91
    assert sum(int(row["good"]) for row in rows) == summary.totals["good"]
    # All of it is there for a plain sort, which finds nothing left to do.
    again = sort(xs.open_stack(data), MeanModel(), out, workers=0, block_events=8)
    assert again.sorted_now == 0


def test_blocks_of_a_growing_file_are_decided_once(tmp_path, watching, writer):
    """The model is asked once for each whole block, and again for a short one only."""
    asked: list[tuple[int, int]] = []

    class Counting(MeanModel):
        def predict_block(self, stack, block):
            asked.append((int(block.indices[0]), len(block.indices)))
            return super().predict_block(stack, block)

    path, values = tmp_path / "a.h5", means(60, 0)
    write(path, values[:10])
    watch, have = watching(tmp_path, Counting(), tmp_path / "out"), 10
    for n in (20, 29, 43, 60):
        watch.wait_for_events(n - 10 if n == 20 else n // 8 * 8 - 16)
        writer.append(path, values[have:n])
        have = n
    watch.wait_for_events(60)
    watch.stop()
    whole = [first for first, n in asked if n == 8]
    # The first block may have been decided before the file was seen to grow.
    assert sorted(set(whole)) == list(range(0, 56, 8))
    assert len(whole) - len(set(whole)) <= 2


def test_a_rewritten_file_is_sorted_anew_though_it_became_longer(tmp_path, watching, writer):
    data = tmp_path / "run"
    data.mkdir()
    path = data / "a.h5"
    write(path, means(16, 0))
    watch = watching(data, MeanModel(), tmp_path / "out", settle=0.1)
    watch.wait_for_events(16)
    writer.append(path, means(16, 5))
    watch.wait_for_events(32)
    writer.write(path, means(48, 9))  # in place, and longer
    watch.wait_for_events(48)
    watch.stop()
    assert watched(tmp_path / "out") == undisturbed(data, tmp_path / "once")


SWMR = """
import sys, time, h5py, numpy as np
from pathlib import Path
path, n = Path(sys.argv[1]), int(sys.argv[2])
values = np.random.default_rng(7).integers(0, 101, n) / 100
with h5py.File(path, "w", libver="latest") as file:
    data = file.create_dataset("/entry_1/data_1/data", (0, 4, 6), "f4", chunks=(1, 4, 6),
                               maxshape=(None, 4, 6))
    file.swmr_mode = True
    for k in range(n):
        data.resize(k + 1, axis=0)
        data[k] = values[k]
        data.flush()
        time.sleep(0.02)
        if k == 40:
            sys.stdin.readline()
"""


def test_a_live_file_of_another_process_is_sorted_while_it_is_written(tmp_path, watching):
    data = tmp_path / "run"
    data.mkdir()
    watch = watching(data, MeanModel(), tmp_path / "out")
    arguments = [sys.executable, "-c", SWMR, data / "live.h5", 90]
    with program(*arguments, stdin=subprocess.PIPE) as live:
        watch.wait_for_events(16)
        assert live.poll() is None  # still writing
        live.communicate(b"go on\n", timeout=PATIENCE)
        assert live.returncode == 0
    watch.wait_for_events(90)
    assert watch.stop().ok
    assert watched(tmp_path / "out") == undisturbed(data, tmp_path / "once")


def test_a_file_that_cannot_be_read_yet_is_waited_for_and_counted_only_in_the_end(
    tmp_path, watching
):
    data, out = tmp_path / "run", tmp_path / "out"
    data.mkdir()
    write(data / "a.h5", means(20, 0))
    write(data / "b.h5", means(30, 1))
    whole = (data / "b.h5").read_bytes()
    (data / "b.h5").write_bytes(whole[:900])
    (data / "c.h5").write_bytes(b"")
    watch = watching(data, MeanModel(), out)
    watch.wait_for_events(20)
    seen = watch.seen[-1]
    assert seen.summary.ok
    assert {Path(problem.file).name for problem in seen.waiting} == {"b.h5", "c.h5"}
    (data / "b.h5").write_bytes(whole)
    watch.wait_for_events(50)
    assert [Path(p.file).name for p in watch.seen[-1].waiting] == ["c.h5"]
    summary = watch.stop()
    assert not summary.ok
    assert summary.events == 50
    assert summary.failed == 0
    assert [Path(p.file).name for p in summary.problems] == ["c.h5"]
    assert watched(out) == undisturbed(data, tmp_path / "once")


def test_what_was_sorted_stays_while_its_file_cannot_be_read(tmp_path, watching):
    data, out = tmp_path / "run", tmp_path / "out"
    data.mkdir()
    write(data / "a.h5", means(20, 0))
    write(data / "b.h5", means(30, 1))
    watch = watching(data, MeanModel(), out)
    watch.wait_for_events(50)
    whole = (data / "a.h5").read_bytes()
    (data / "a.h5").write_bytes(whole[:700])
    write(data / "c.h5", means(9, 2))
    watch.wait_for_events(59)
    assert len((out / "good.lst").read_text()) > 0
    (data / "a.h5").write_bytes(whole)
    watch.wait(lambda seen: not seen.waiting)
    watch.stop()
    assert watched(out) == undisturbed(data, tmp_path / "once")


def test_a_file_renamed_when_complete_is_sorted_under_its_last_name(tmp_path, watching):
    data, out = tmp_path / "run", tmp_path / "out"
    data.mkdir()
    write(data / "a.h5.inprogress", means(20, 0))
    watch = watching(data, MeanModel(), out)
    watch.wait_for_events(16)
    (data / "a.h5.inprogress").rename(data / "a.h5")
    watch.wait(lambda seen: seen.summary and seen.summary.files[0].file.endswith("a.h5"))
    watch.stop()
    assert watched(out) == undisturbed(data, tmp_path / "once")


def test_it_stops_by_itself_when_nothing_changes(tmp_path):
    write(tmp_path / "a.h5", means(20, 0))
    seen: list[WatchProgress] = []
    out = tmp_path / "out"
    summary = xs.watch(tmp_path, MeanModel(), out, idle=0.4, progress=seen.append, **QUICK)
    assert summary.events == 20
    assert seen[-1].quiet >= 0.4
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoEventsError):
        xs.watch(tmp_path / "empty", MeanModel(), tmp_path / "2", idle=0.2, **QUICK)


def test_an_unreadable_event_is_tried_once_more_in_the_end_only(tmp_path, watching):
    """An event that fails does so in each round without being read each time."""
    asked: list[int] = []

    class Refusing(MeanModel):
        def predict_block(self, stack, block):
            if block.source.path.endswith("b.h5"):
                asked.append(1)
                raise ValueError("no")
            return super().predict_block(stack, block)

    write(tmp_path / "b.h5", means(8, 0))
    watch = watching(tmp_path, Refusing(), tmp_path / "out")
    for k in range(3):
        watch.wait_for_events(8 + 8 * k)
        write(tmp_path / f"c{k}.h5", means(8, k))
    watch.wait_for_events(32)
    before = len(asked)
    summary = watch.stop()
    assert summary.failed == 8
    assert before <= 4  # twice in a round, and twice more when it was seen to be settled
    assert len(asked) == before + 2


def test_wrong_settings_and_places_are_refused_at_once(tmp_path):
    write(tmp_path / "a.h5", means(5, 0))
    (tmp_path / "a.lst").write_text(f"{tmp_path}/a.h5 //1\n")
    with pytest.raises(SettingsError, match="list"):
        xs.watch(tmp_path / "a.lst", MeanModel(), tmp_path / "out", **QUICK)
    with pytest.raises(SettingsError, match="poll"):
        xs.watch(tmp_path, MeanModel(), tmp_path / "out", **{**QUICK, "poll": 0.0})
    with pytest.raises(UnreadableFileError, match="does not exist"):
        xs.watch(tmp_path / "nowhere", MeanModel(), tmp_path / "out", **QUICK)
    more = {**QUICK, "scheduler": "tcp://127.0.0.1:1"}
    with pytest.raises(SettingsError, match="not both"):
        xs.watch(tmp_path, MeanModel(), tmp_path / "out", **more)


def test_results_of_other_files_are_not_replaced(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / f"{name}.h5", means(9, 0))
    out = tmp_path / "out"
    sort(xs.open_stack(tmp_path / "a"), MeanModel(), out, workers=0, report=False)
    with pytest.raises(OtherResultsError, match=r"a\.h5"):
        xs.watch(tmp_path / "b", MeanModel(), out, idle=0.1, **QUICK)
    summary = xs.watch(tmp_path / "b", MeanModel(), out, idle=0.1, overwrite=True, **QUICK)
    assert summary.events == 9


# --- killed -----------------------------------------------------------------------------

SCRIPT = """
    import signal, sys
    # As in a terminal, also where the tests were started in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path.insert(0, {here!r})
    from sorting_cases import MeanModel
    import napari_xfelsort as xs
    from napari_xfelsort.core.sorting import tables
    tables.CHECKPOINT_SECONDS = 0.05
    if __name__ == "__main__":
        told = lambda p: print(p.summary.events if p.summary else 0, flush=True)
        xs.watch({data!r}, MeanModel(0.002), {out!r}, progress=told, poll=0.05, settle=0.3,
                 workers={workers}, block_events=8, report=False, idle={idle})
"""


def started(tmp_path: Path, data: Path, out: Path, workers: int, idle: float | None):
    code = SCRIPT.format(
        here=str(Path(__file__).parent), data=str(data), out=str(out), workers=workers, idle=idle
    )
    script = tmp_path / "watcher.py"
    script.write_text(textwrap.dedent(code))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return program(sys.executable, script, **pipes)


@pytest.mark.parametrize(("seed", "workers"), [(1, 0), (2, 0), (3, 2)])
def test_a_watch_that_is_killed_goes_on_and_ends_the_same(tmp_path, writer, seed, workers):
    data, out = tmp_path / "run", tmp_path / "out"
    data.mkdir()
    chance = random.Random(seed)
    values = means(120, seed)
    write(data / "g.h5", values[:4])
    for k in range(3):
        write(data / f"f{k}.h5", means(20, k))
    n = 4
    for _ in range(3):
        with started(tmp_path, data, out, workers, None) as process:
            wanted = chance.randrange(1, 100)
            for line in process.stdout:
                if n < 120:
                    step = min(chance.randrange(1, 6), 120 - n)
                    writer.append(data / "g.h5", values[n : n + step])
                    n += step
                if int(line) >= wanted:
                    break
            time.sleep(chance.random() * 0.2)
            process.kill()
            process.communicate()
    writer.append(data / "g.h5", values[n:])
    with started(tmp_path, data, out, workers, 1.0) as process:
        told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, told
    assert watched(out) == undisturbed(data, tmp_path / "once")


@pytest.mark.parametrize("events", [0, 20])
def test_ctrl_c_ends_the_watch_with_all_there_is(tmp_path, events):
    """Also when it comes in the middle of a round."""
    data, out = tmp_path / "run", tmp_path / "out"
    data.mkdir()
    write(data / "a.h5", means(20, 0))
    write(data / "b.h5", means(200, 0))
    with started(tmp_path, data, out, 0, None) as process:
        for line in process.stdout:
            if int(line) >= events:
                break
        time.sleep(0.1 if events == 0 else 0.5)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, told
    assert watched(out) == undisturbed(data, tmp_path / "once")
