"""Sorting by workers that a batch system or MPI starts; programs stand in for SLURM."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from sorting_cases import MeanModel, Source, means, results, stack_of

import napari_xfelsort
from napari_xfelsort.core.errors import ClusterError, MissingDependencyError, SettingsError
from napari_xfelsort.core.sorting import ClusterSettings, clusters, sort
from programs import wait_for

HERE = Path(__file__).parent
BLOCK = {"block_events": 20, "report": False}

#: Starts the job script as a process of this computer, in a group of its own.
SBATCH = """\
#!{python}
import os, subprocess, sys
if "--test-only" in sys.argv:
    sys.exit(0)
script = next(a for a in sys.argv[1:] if os.path.exists(a))
log = open({folder!r} + "/job.log", "a")
print(open(script).read(), file=log, flush=True)
job = subprocess.Popen(["/bin/sh", script], start_new_session=True, stdout=log, stderr=log,
                       stdin=subprocess.DEVNULL)
open({folder!r} + "/jobs", "a").write(f"{{job.pid}}\\n")
print("Submitted batch job", job.pid)
"""
SCANCEL = """\
#!{python}
import os, signal, sys
for job in sys.argv[1:]:
    open({folder!r} + "/cancelled", "a").write(job + "\\n")
    try:
        os.killpg(int(job), signal.SIGTERM)
    except ProcessLookupError:
        pass
"""


def sources():
    return [Source(means(100, k), f"{k}.cxi", broken=(9,)) for k in range(3)]


def program(path: Path, text: str) -> None:
    path.write_text(text.format(python=sys.executable, folder=str(path.parent)))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands of SLURM that start jobs here."""
    pytest.importorskip("dask_jobqueue", reason="needs the extra [cluster]")
    folder = tmp_path / "slurm"
    folder.mkdir()
    program(folder / "sbatch", SBATCH)
    program(folder / "scancel", SCANCEL)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    source = Path(napari_xfelsort.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{source}")
    monkeypatch.chdir(tmp_path)
    yield folder
    for job in jobs(folder):
        for process in running(job):
            process.kill()


def jobs(folder: Path) -> list[int]:
    path = folder / "jobs"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def running(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getpgid(process.pid) == group and process.info["status"] != "zombie":
                found.append(process)
        except ProcessLookupError:
            continue
    return found


def test_jobs_of_slurm_sort_and_are_cancelled(tmp_path, slurm):
    sort(stack_of(*sources()), MeanModel(), tmp_path / "here", workers=0, **BLOCK)
    cluster = ClusterSettings(
        queue="short",
        jobs=2,
        cores=1,
        memory="1GB",
        account="xfel",
        job_options=("--exclusive",),
        job_commands=("export FROM_PROLOGUE=1",),
        interface="lo",
        wait=60,
    )
    summary = sort(
        stack_of(*sources()), MeanModel(0.002), tmp_path / "out", cluster=cluster, **BLOCK
    )
    assert summary.sorted_now == 300
    assert results(tmp_path / "out") == results(tmp_path / "here")
    log = (slurm / "job.log").read_text()
    for line in ("-p short", "-A xfel", "--exclusive", "export FROM_PROLOGUE=1", "-t 02:00:00"):
        assert line in log
    assert len(jobs(slurm)) == 2
    wait_for(lambda: not any(running(job) for job in jobs(slurm)))


def test_a_queue_that_starts_nothing_is_told(tmp_path, slurm):
    program(slurm / "sbatch", "#!/bin/sh\necho Submitted batch job 999999\n")
    cluster = ClusterSettings(queue="full", cores=1, interface="lo", wait=1.0)
    with pytest.raises(ClusterError, match="No job of the queue full started a worker"):
        sort(stack_of(*sources()), MeanModel(), tmp_path / "out", cluster=cluster, **BLOCK)


def test_a_queue_that_refuses_jobs_is_told(tmp_path, slurm, monkeypatch):
    program(slurm / "sbatch", "#!/bin/sh\necho sbatch: error: invalid partition >&2\nexit 1\n")
    cluster = ClusterSettings(queue="none", cores=1, interface="lo", wait=20.0)
    with pytest.raises(ClusterError, match="queue none: sbatch: error: invalid partition"):
        sort(stack_of(*sources()), MeanModel(), tmp_path / "out", cluster=cluster, **BLOCK)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="no sbatch here"):
        sort(stack_of(*sources()), MeanModel(), tmp_path / "out", cluster=cluster, **BLOCK)


FROM_A_THREAD = """
import signal, threading
from napari_xfelsort.core.sorting import clusters
before = signal.getsignal(signal.SIGINT)
found = []
thread = threading.Thread(target=lambda: found.append(clusters._jobqueue()))
thread.start()
thread.join()
assert found[0].SLURMCluster
assert signal.getsignal(signal.SIGINT) is before
"""


def test_jobqueue_leaves_ctrl_c_alone_and_comes_from_any_thread():
    pytest.importorskip("dask_jobqueue", reason="needs the extra [cluster]")
    done = subprocess.run(
        [sys.executable, "-c", FROM_A_THREAD], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


MPI_SCRIPT = """
    import sys
    sys.path.insert(0, {here!r})
    from sorting_cases import MeanModel, Source, means, stack_of
    from napari_xfelsort.core.sorting import ClusterSettings, sort

    files = [Source(means(100, k), f"{{k}}.cxi", broken=(9,)) for k in range(3)]
    summary = sort(stack_of(*files), MeanModel(0.001), {out!r}, block_events=20, report=False,
                   cluster=ClusterSettings(kind="mpi"))
    print("sorted", summary.sorted_now)
"""


def mpirun() -> str:
    pytest.importorskip("dask_mpi", reason="needs the extra [cluster]")
    pytest.importorskip("mpi4py", reason="needs the extra [cluster]")
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        pytest.skip("there is no mpirun")
    return found


def start_mpi(tmp_path: Path, n: int) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(MPI_SCRIPT.format(here=str(HERE), out=str(tmp_path / "out")))
    )
    source = str(Path(napari_xfelsort.__file__).parents[1])
    return subprocess.run(
        [mpirun(), "-n", str(n), sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": source},
        check=False,
    )


def test_mpi_processes_sort(tmp_path):
    sort(stack_of(*sources()), MeanModel(), tmp_path / "here", workers=0, **BLOCK)
    done = start_mpi(tmp_path, 4)
    assert done.stdout.count("sorted 300") == 1, done.stderr
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "out") == results(tmp_path / "here")


def test_too_few_mpi_processes_are_told(tmp_path):
    assert "start three or more" in start_mpi(tmp_path, 1).stderr


# --- without the extra ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"queue": "short"}, "dask-jobqueue"), ({"kind": "mpi"}, "dask-mpi")],
)
def test_a_missing_extra_is_told(tmp_path, monkeypatch, settings, name):
    def absent(module: str) -> object:
        raise ImportError(module)

    monkeypatch.setattr(clusters, "import_module", absent)
    with pytest.raises(MissingDependencyError, match=rf"{name} .*\[cluster\]"):
        sort(
            stack_of(*sources()),
            MeanModel(),
            tmp_path,
            cluster=ClusterSettings(**settings),
            **BLOCK,
        )


def test_settings_that_are_wrong_are_refused(tmp_path):
    stack = stack_of(*sources())
    with pytest.raises(SettingsError, match="queue"):
        sort(stack, MeanModel(), tmp_path, cluster=ClusterSettings(), **BLOCK)
    with pytest.raises(SettingsError, match="not both"):
        sort(stack, MeanModel(), tmp_path, workers=2, cluster=ClusterSettings(queue="a"), **BLOCK)
    with pytest.raises(SettingsError, match="jobs"):
        ClusterSettings(queue="a", jobs=0)
    with pytest.raises(SettingsError, match="kind"):
        ClusterSettings(kind="pbs")
