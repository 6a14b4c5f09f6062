"""Sorting by worker processes: the same result, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from sorting_cases import MeanModel, Source, WindowModel, means, pair, results, stack_of

import napari_xfelsort as xs
from napari_xfelsort.core.decisions import Decisions
from napari_xfelsort.core.errors import ClusterError
from napari_xfelsort.core.sorting import SortProgress, sort
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from programs import PATIENCE, end, program, wait_for

BLOCK = {"block_events": 20, "report": False}


def sources(**more):
    return [Source(means(100, k), f"{k}.cxi", broken=(9,), **more) for k in range(3)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Tables and lists of a sort in one process."""
    out = tmp_path_factory.mktemp("undisturbed")
    sort(stack_of(*sources()), MeanModel(), out, workers=0, **BLOCK)
    return results(out)


class CountedSource(Source):
    """Counts how often this process sends it."""

    sent = 0

    def __reduce_ex__(self, protocol):
        type(self).sent += 1
        return super().__reduce_ex__(protocol)


def test_worker_processes_give_the_same_bytes_and_leave_nothing(
    tmp_path, undisturbed, monkeypatch
):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    seen: list[tuple[SortProgress, int]] = []
    files = [CountedSource(means(100, k), f"{k}.cxi", broken=(9,)) for k in range(3)]
    CountedSource.sent = 0
    summary = sort(
        stack_of(*files),
        MeanModel(),
        tmp_path / "out",
        workers=2,
        progress=lambda p: seen.append((p, threading.get_ident())),
        **BLOCK,
    )
    assert results(tmp_path / "out") == undisturbed
    assert summary.failed == 3
    assert seen[-1][0].done_events == 300
    assert {thread for _, thread in seen} == {threading.get_ident()}
    assert list((tmp_path / "cwd").iterdir()) == []
    # A file has 5 blocks and is sent once; dask pickles that twice, now and then once more.
    assert CountedSource.sent <= 9


def test_a_trained_model_decides_as_it_does_by_itself(tmp_path):
    rng = np.random.default_rng(3)
    frames = rng.normal(100, 5, (120, 8, 6)).astype(np.float32)
    labels = np.where(np.arange(120) % 3, "good", "bad")
    frames[labels == "bad", :4] -= 8
    stack = EventStack([ArraySource(frames[k::2], f"{k}.cxi") for k in range(2)])
    order = np.argsort(np.arange(120) % 2, kind="stable")
    model = xs.train(
        stack, labels[order].tolist(), model="logistic_regression", region="window:0:5,1:6"
    )
    sort(stack, model, tmp_path, workers=2, block_events=11)
    expected = model.predict(stack)
    found = Decisions.concatenate(
        [Decisions.read_csv(tmp_path / "decisions" / f"{k}.cxi.csv") for k in range(2)]
    )
    assert found.event_ids == expected.event_ids
    assert found.classes.tolist() == expected.classes.tolist()
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-6)
    assert set(found.classes) == {"good", "bad"}


def test_alternating_files_by_workers(tmp_path):
    stack = stack_of(*sources()).subset(random.Random(1).sample(range(300), 150))
    sort(stack, MeanModel(), tmp_path / "0", workers=0, **BLOCK)
    sort(stack, MeanModel(), tmp_path / "2", workers=2, **BLOCK)
    assert results(tmp_path / "2") == results(tmp_path / "0")


def test_the_blocks_of_a_killed_worker_are_done_again(tmp_path, undisturbed):
    # Three deaths: more than a task is forgiven before it is tried by itself.
    deaths = tmp_path / "deaths"
    files = sources()
    files[1] = Source(means(100, 1), "1.cxi", broken=(9,), deadly=50, deaths=deaths, max_deaths=3)
    summary = sort(stack_of(*files), MeanModel(), tmp_path / "out", workers=2, **BLOCK)
    assert deaths.stat().st_size == 3
    assert summary.failed == 3
    assert results(tmp_path / "out") == undisturbed


def test_a_block_that_kills_every_worker_costs_only_itself(tmp_path):
    files = sources()
    files[1] = Source(means(100, 1), "1.cxi", deadly=50, deaths=tmp_path / "deaths")
    summary = sort(stack_of(*files), MeanModel(), tmp_path / "out", workers=2, **BLOCK)
    assert [row.failed for row in summary.files] == [1, 20, 1]
    assert "the worker process died on it" in summary.files[1].what
    assert not summary.ok


@pytest.fixture
def cluster():
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    ) as made:
        yield made


def test_a_scheduler_is_used_by_its_address(tmp_path, undisturbed, cluster):
    summary = sort(
        stack_of(*sources()),
        MeanModel(),
        tmp_path / "out",
        scheduler=cluster.scheduler_address,
        **BLOCK,
    )
    assert summary.sorted_now == 300
    assert results(tmp_path / "out") == undisturbed
    # Nothing stays on a scheduler that others use.
    wait_for(lambda: not cluster.scheduler.tasks)


def test_a_scheduler_that_vanishes_is_told_and_the_rest_done_later(tmp_path, undisturbed, cluster):
    closed: list[SortProgress] = []

    def vanish(progress: SortProgress) -> None:
        if progress.done_events >= 40 and not closed:
            closed.append(progress)
            cluster.close()

    with pytest.raises(ClusterError, match="The scheduler of the workers is gone"):
        sort(
            stack_of(*sources()),
            MeanModel(seconds=0.001),
            tmp_path / "out",
            scheduler=cluster.scheduler_address,
            progress=vanish,
            **BLOCK,
        )
    again = sort(stack_of(*sources()), MeanModel(), tmp_path / "out", workers=0, **BLOCK)
    assert again.sorted_now < 300
    assert results(tmp_path / "out") == undisturbed


def test_an_address_without_scheduler_is_told(tmp_path, monkeypatch):
    from napari_xfelsort.core.sorting import pools

    monkeypatch.setattr(pools, "CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense://there"):
        with pytest.raises(ClusterError, match=address):
            sort(stack_of(*sources()), MeanModel(), tmp_path, scheduler=address, **BLOCK)


# --- the main process -------------------------------------------------------------------

# On purpose without ``if __name__ == "__main__"``.
SCRIPT = """
    import signal, sys
    # As in a terminal, also where the tests were started in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path.insert(0, {here!r})
    from pathlib import Path
    from sorting_cases import HeldModel, MeanModel, Source, means, pair, stack_of
    from napari_xfelsort.core.sorting import sort, tables

    tables.CHECKPOINT_SECONDS = 0.1
    files = [Source(means(100, k), f"{{k}}.cxi", broken=(9,)) for k in range(3)]
    told = lambda p: print(p.done_events, flush=True)
    summary = sort(stack_of(*files), {model}, {out!r}, {workers},
                   progress=told, block_events=20, report=False)
    print("done", summary.events)
"""


def started(out: Path, model: str, workers: int):
    here = str(Path(__file__).parent)
    code = textwrap.dedent(SCRIPT.format(here=here, out=str(out), model=model, workers=workers))
    script = out.parent / "script.py"
    script.write_text(code)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return program(sys.executable, script, **pipes)


def wait_for_events(process: subprocess.Popen[str], n: int) -> None:
    for line in process.stdout:
        if line.strip().isdigit() and int(line) >= n:
            return


def running(group: int) -> list[psutil.Process]:
    """Processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            ended = process.info["status"] == psutil.STATUS_ZOMBIE
            if os.getpgid(process.pid) == group and not ended:
                found.append(process)
    return found


@pytest.mark.parametrize(("seed", "workers"), [(1, 2), (2, 0), (3, 2), (4, 0), (5, 2)])
def test_after_kill_9_the_same_call_gives_the_same_bytes(tmp_path, undisturbed, seed, workers):
    chance = random.Random(seed)
    out = tmp_path / "out"
    for _ in range(2):
        with started(out, "MeanModel(0.002)", workers) as process:
            wait_for_events(process, chance.randrange(0, 250))
            time.sleep(chance.random() * 0.1)
            process.kill()
            process.communicate()
    summary = sort(stack_of(*sources()), MeanModel(), out, workers=0, **BLOCK)
    assert summary.events == 300
    assert results(out) == undisturbed


@pytest.mark.parametrize(("seed", "workers"), [(6, 2), (7, 1)])
def test_two_models_give_the_same_bytes_after_kill_9(tmp_path, seed, workers):
    chance = random.Random(seed)
    sort(stack_of(*sources()), pair(), tmp_path / "undisturbed", workers=0, **BLOCK)
    out = tmp_path / "out"
    with started(out, "pair(0.002)", workers) as process:
        wait_for_events(process, chance.randrange(20, 250))
        process.kill()
        process.communicate()
    summary = sort(stack_of(*sources()), pair(), out, workers=workers, **BLOCK)
    assert summary.events == 300
    assert summary.by_second
    assert results(out) == results(tmp_path / "undisturbed")


def test_ctrl_c_stops_quietly_and_ends_the_workers(tmp_path, undisturbed):
    out, sent = tmp_path / "out", tmp_path / "sent"
    # However slow this process is, the sort does not end before the signal comes.
    with started(out, f"HeldModel(Path({str(sent)!r}), 0.02)", 2) as process:
        wait_for_events(process, 40)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
        sent.touch()
        _, told = process.communicate(timeout=PATIENCE)
        assert process.returncode not in (0, None)
        assert told.count("Traceback") == 1  # that of the script itself, none of a worker
        assert told.strip().endswith("KeyboardInterrupt")
        wait_for(lambda: not running(process.pid))
    again = sort(stack_of(*sources()), MeanModel(), out, workers=0, **BLOCK)
    assert 0 < again.sorted_now < 300
    assert results(out) == undisturbed


def test_a_plain_script_without_main_guard_sorts_once(tmp_path, undisturbed):
    with started(tmp_path / "out", "MeanModel()", 2) as process:
        shown, told = process.communicate(timeout=PATIENCE)
    assert told == ""
    assert shown.count("done 300") == 1
    assert results(tmp_path / "out") == undisturbed


# --- the scheduler as a process of its own ----------------------------------------------


class Cluster:
    """A scheduler and workers as users start them: each a process of its own."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        here = Path(__file__).parent
        source = Path(xs.__file__).parents[1]
        self._environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{source}"}
        file = folder / "scheduler.json"
        file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler",
            f"--port={port}",
            "--host=127.0.0.1",
            f"--scheduler-file={file}",
            "--dashboard-address=127.0.0.1:0",
        )
        try:
            self.address = self._address(file)
        except BaseException:
            self.kill()
            raise

    def add_workers(self, n: int) -> None:
        for _ in range(n):
            self._start("worker", self.address, "--nthreads=1", "--no-nanny", "--no-dashboard")

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def _address(self, file: Path) -> str:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with suppress(OSError, ValueError):
                return json.loads(file.read_text())["address"]
            assert self.scheduler.poll() is None
            time.sleep(0.05)
        raise TimeoutError("no scheduler")

    def kill(self) -> None:
        for process in self.processes:
            end(process)


@pytest.fixture
def start_cluster(tmp_path):
    """Starts schedulers and workers, and ends them."""
    started: list[Cluster] = []

    def start(n_workers: int) -> Cluster:
        folder = tmp_path / f"cluster{len(started)}"
        folder.mkdir()
        started.append(Cluster(folder))
        started[-1].add_workers(n_workers)
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_after_kill_9_of_the_scheduler_the_same_call_gives_the_same_bytes(
    tmp_path, undisturbed, start_cluster, monkeypatch, seed
):
    from napari_xfelsort.core.sorting import pools, tables

    monkeypatch.setattr(tables, "CHECKPOINT_SECONDS", 0.1)
    monkeypatch.setattr(pools, "CONNECT_SECONDS", 4)  # it may be killed before one connects
    chance = random.Random(seed)
    for _ in range(2):
        cluster = start_cluster(2)
        wanted = chance.randrange(0, 240)

        def kill(progress: SortProgress, cluster=cluster, wanted=wanted) -> None:
            if progress.done_events >= wanted and cluster.scheduler.poll() is None:
                time.sleep(chance.random() * 0.05)
                cluster.scheduler.kill()
                cluster.scheduler.wait()

        with suppress(ClusterError):  # it may be complete before anybody misses the scheduler
            sort(
                stack_of(*sources()),
                MeanModel(0.002),
                tmp_path / "out",
                scheduler=cluster.address,
                progress=kill,
                **BLOCK,
            )
    summary = sort(stack_of(*sources()), MeanModel(), tmp_path / "out", workers=0, **BLOCK)
    assert summary.events == 300
    assert results(tmp_path / "out") == undisturbed


def test_workers_by_address_sort_the_shared_run_as_this_process_does(
    tmp_path, shared_data, start_cluster
):
    stack = xs.open_stack(sorted((shared_data / "sfx").glob("*.cxi")))
    stack = stack.subset(range(1, len(stack), 3))
    model = WindowModel()
    settings = {"block_events": 4, "report": False}
    here = sort(stack, model, tmp_path / "here", workers=0, **settings)
    assert sum(n > 0 for n in here.totals.values()) > 1
    cluster = start_cluster(2)
    there = sort(stack, model, tmp_path / "there", scheduler=cluster.address, **settings)
    assert there.sorted_now == here.events
    assert there.totals == here.totals
    assert results(tmp_path / "there") == results(tmp_path / "here")
