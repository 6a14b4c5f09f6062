"""Workers that a batch system or MPI starts."""

from __future__ import annotations

import shlex
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest import mock

from napari_xfelsort.core.errors import ClusterError, MissingDependencyError, SettingsError
from napari_xfelsort.core.settings import Settings, setting

#: What a batch system and MPI are called.
SLURM, MPI = "slurm", "mpi"


@dataclass(frozen=True)
class ClusterSettings(Settings):
    """Who starts the workers of a sort, and what each of their jobs is given."""

    kind: str = setting(SLURM, "Who starts the workers", choices=(SLURM, MPI))
    queue: str = setting("", "Queue (partition) to submit to")
    jobs: int = setting(2, "Jobs to submit", minimum=1, maximum=10_000)
    cores: int = setting(8, "Cores of a job; one worker process each", minimum=1)
    memory: str = setting("16GB", "Memory of a job")
    walltime: str = setting("02:00:00", "Longest time of a job (hours:minutes:seconds)")
    account: str = setting("", "Account or reservation to charge")
    job_options: tuple[str, ...] = setting((), "More options for sbatch, each as it is written")
    job_commands: tuple[str, ...] = setting(
        (), "Shell commands that a job runs before the workers, such as module load"
    )
    interface: str = setting("", "Network interface of the workers, such as ib0")
    wait: float = setting(600.0, "Give up when no worker came for so long", unit="s", minimum=1.0)


def start_cluster(settings: ClusterSettings, stack: ExitStack) -> Any:
    """A dask client of workers as the settings say; the stack ends what was started.

    Raises
    ------
    MissingDependencyError
        If the extra ``[cluster]`` is not installed.
    ClusterError
        If no worker comes.
    """
    if settings.kind == MPI:
        return _start_mpi(stack)
    if not settings.queue.strip():
        raise SettingsError("Name the queue (partition) that the jobs go to.")
    return _start_slurm(settings, stack)


def _start_slurm(settings: ClusterSettings, stack: ExitStack) -> Any:
    from distributed import Client

    jobqueue = _jobqueue()
    options: dict[str, Any] = {
        "queue": settings.queue,
        "cores": settings.cores,
        "processes": settings.cores,
        "memory": settings.memory,
        "walltime": settings.walltime,
        "job_extra_directives": list(settings.job_options),
        "job_script_prologue": list(settings.job_commands),
        # Blocks bound the memory; distributed's own watch would pause workers, or end
        # them, because of the page cache that reading fills.
        "worker_extra_args": shlex.split("--memory-limit 0"),
        "scheduler_options": {"dashboard_address": ":0"},
        "death_timeout": settings.wait,
    }
    if settings.account:
        options["account"] = settings.account
    if settings.interface:
        options["interface"] = settings.interface
    try:
        cluster = stack.enter_context(jobqueue.SLURMCluster(**options))
        _check_job(cluster.job_script(), settings.queue)
        cluster.scale(jobs=settings.jobs)
        client = stack.enter_context(Client(cluster, set_as_default=False))
        client.wait_for_workers(1, timeout=settings.wait)
    except TimeoutError as error:
        raise ClusterError(
            f"No job of the queue {settings.queue} started a worker within {settings.wait:g} s; "
            "look at squeue and at the slurm-*.out files, or allow more time."
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        told = next(iter(str(error).splitlines()), type(error).__name__)
        raise ClusterError(
            f"Jobs cannot be submitted to the queue {settings.queue}: {told}."
        ) from error
    return client


def _check_job(script: str, queue: str) -> None:
    """Ask SLURM whether it would take the job, which dask would ask again and again.

    Raises
    ------
    ClusterError
        If it would not; says why.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sh", encoding="utf-8") as file:
        file.write(script)
        file.flush()
        try:
            told = subprocess.run(
                ["sbatch", "--test-only", file.name], capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise ClusterError(
                "There is no sbatch here; run this where jobs can be submitted to SLURM."
            ) from error
    if told.returncode:
        raise ClusterError(
            f"SLURM takes no job for the queue {queue}: {' '.join(told.stderr.split())}"
        )


def join_mpi() -> None:
    """Give every MPI process its part; only the one that is to go on returns.

    The first process becomes the scheduler, the second returns, all others are workers.

    Raises
    ------
    MissingDependencyError
        If the extra ``[cluster]`` is not installed.
    ClusterError
        If there are fewer than three processes.
    """
    import dask

    if dask.config.get("scheduler-address", None) is not None:
        return  # it joined already
    dask_mpi = _needed("dask_mpi", "dask-mpi")
    size = _needed("mpi4py.MPI", "mpi4py").COMM_WORLD.Get_size()
    if size < 3:
        raise ClusterError(
            f"MPI started {size} process(es), but one is the scheduler, one the program and the "
            "others are the workers; start three or more: mpirun -n 8 xfelsort sort ... --mpi"
        )
    dask_mpi.initialize(nthreads=1, dashboard=False, memory_limit=0, exit=True)


def _start_mpi(stack: ExitStack) -> Any:
    from distributed import Client

    join_mpi()
    return stack.enter_context(Client(set_as_default=False))


def _jobqueue() -> Any:
    """dask-jobqueue, without the handler of Ctrl-C that its import sets.

    That handler would take the place of ours, and cannot be set at all when a thread is the
    first to import it.
    """
    with mock.patch.object(signal, "signal"):
        return _needed("dask_jobqueue", "dask-jobqueue")


def _needed(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{package} is needed for this and is not installed; install "
            "napari-xfelsort[cluster], where mpi4py needs an MPI library of the system."
            if "mpi" in package
            else f"{package} is needed for this and is not installed; install "
            "napari-xfelsort[cluster]."
        ) from error
