"""Where tasks run: in this process, on local worker processes, or on a dask scheduler."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Protocol

from napari_xfelsort.core.errors import ClusterError, SettingsError
from napari_xfelsort.core.sorting.clusters import (
    MPI,
    ClusterSettings,
    join_mpi,
    start_cluster,
)
from napari_xfelsort.core.sorting.plan import Task
from napari_xfelsort.core.sorting.starting import interrupt_deferred, workers_without_main
from napari_xfelsort.core.sorting.work import Context, PartResult, run_task
from napari_xfelsort.core.source import EventSource

#: Hands out the next task, or None when there is none at present.
NextTask = Callable[[], Task | None]
#: Seconds to wait for a scheduler that was named.
CONNECT_SECONDS = 20
#: Deaths of workers that a task may be near before it is tried once more by itself.
_ALLOWED_DEATHS = 1
#: Sources of files in work that are held on the workers.
_SENT_SOURCES = 4
#: Seconds between looks at how many workers there are.
_COUNT_SECONDS = 5.0

#: What dask's dashboard would show and nobody looks at takes time from few cores.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "10s",
    # By itself dask lets workers give memory back to the system after every block, and take
    # it anew page by page: a fifth of the time where frames are small.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 64 * 1024**2,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 32 * 1024**2,
}

_GONE = (
    "The scheduler of the workers is gone. What is complete is kept; the same call goes on "
    "from there."
)


class Pool(Protocol):
    """Runs tasks.

    Attributes
    ----------
    costs : bool
        Handing out a task takes time, so that one of several quick blocks is better.
    """

    costs: bool

    def run(self, next_task: NextTask) -> Iterator[tuple[Task, list[PartResult]]]:
        """Take tasks as there is room for them and yield each when done, in any order."""
        ...


class InProcessPool:
    """Runs tasks one after another in this process."""

    costs = False

    def __init__(self, context: Context, sources: Sequence[EventSource]) -> None:
        self._context = context
        self._sources = sources

    def run(self, next_task: NextTask) -> Iterator[tuple[Task, list[PartResult]]]:
        """See `Pool.run`."""
        while (task := next_task()) is not None:
            sources = [self._sources[part.file] for part in task.parts]
            yield task, run_task(self._context, sources, task.parts)


class DaskPool:
    """Runs tasks through a dask client, few at a time.

    Model and sources are tasks themselves: the scheduler makes them again when the
    worker that held them is gone, and drops them when this client is.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    context : Context
        What tasks have in common.
    sources : sequence of EventSource
        The files.
    """

    costs = True

    def __init__(self, client: Any, context: Context, sources: Sequence[EventSource]) -> None:
        from distributed import as_completed

        self._client = client
        self._context = context
        self._sources = sources
        self._run = uuid.uuid4().hex
        self._count = 0
        self._sent: OrderedDict[int, Any] = OrderedDict()
        self._shared: Any = None
        self._alone: deque[Task] = deque()
        self._tasks: dict[Any, Task] = {}
        self._completed = as_completed(loop=client.loop)
        self._window = 0
        self._counted_at = -_COUNT_SECONDS

    def run(self, next_task: NextTask) -> Iterator[tuple[Task, list[PartResult]]]:
        """See `Pool.run`.

        Raises
        ------
        ClusterError
            If the scheduler is gone.
        """
        while True:
            self._fill(next_task)
            if not self._tasks:
                return
            with connected():
                future = next(self._completed)
                task = self._tasks.pop(future.key)
                results = self._outcome(future, task)
            if results is not None:
                yield task, results

    def _fill(self, next_task: NextTask) -> None:
        # A task near which workers died may have killed them. It runs by itself, so
        # that it kills no other; nothing new starts until it is done.
        if self._alone:
            if not self._tasks:
                self._submit(self._alone.popleft())
            return
        while len(self._tasks) < self._room() and (task := next_task()) is not None:
            self._submit(task)

    def _room(self) -> int:
        now = time.monotonic()
        if now - self._counted_at >= _COUNT_SECONDS:
            with connected():
                n_threads = sum(self._client.nthreads().values())
            self._window = 2 * max(1, n_threads) + 2
            self._counted_at = now
        return self._window

    def _submit(self, task: Task) -> None:
        if self._shared is None:
            self._shared = self._send("context", self._context)
        sources = [
            self._sources[part.file] if part.whole else self._sent_source(part.file)
            for part in task.parts
        ]
        with connected():
            future = self._client.submit(
                run_task,
                self._shared,
                sources,
                list(task.parts),
                key=self._key("block"),
                pure=False,
            )
        self._tasks[future.key] = task
        self._completed.add(future)

    def _sent_source(self, number: int) -> Any:
        future = self._sent.pop(number, None)
        if future is None:
            future = self._send("source", self._sources[number])
        self._sent[number] = future
        if len(self._sent) > _SENT_SOURCES:
            self._sent.popitem(last=False)
        return future

    def _send(self, what: str, value: Any) -> Any:
        import dask

        # distributed advises against large arguments; sent once, and able to be sent
        # again when a worker dies, is what is wanted here.
        quiet = {"distributed.admin.large-graph-warning-threshold": "1TB"}
        with dask.config.set(quiet), connected():
            return self._client.submit(_itself, value, key=self._key(what), pure=False)

    def _key(self, what: str) -> str:
        self._count += 1
        return f"xfelsort_{what}-{self._run}-{self._count}"

    def _outcome(self, future: Any, task: Task) -> list[PartResult] | None:
        """Results of a finished task; None when it was put aside to run by itself."""
        from distributed import KilledWorker

        if future.status == "finished":
            results: list[PartResult] = future.result()
            return results
        if future.status == "cancelled":
            raise ClusterError(_GONE)
        error = future.exception()
        if isinstance(error, KilledWorker):
            # What was sent may be counted as suspicious too.
            self._shared = None
            self._sent.clear()
            if not task.retry:
                self._alone += [Task((part,), retry=True) for part in task.parts]
                return None
            why = "the worker process died on it, also when it had nothing else to do"
        else:
            why = f"{type(error).__name__}: {error}"
        return [PartResult(part, error=why) for part in task.parts]


@contextmanager
def connected() -> Iterator[None]:
    """Turn what a lost connection raises, wherever it is noticed first, into a sentence."""
    try:
        yield
    except (CancelledError, OSError) as error:
        raise ClusterError(_GONE) from error


def _itself(value: Any) -> Any:
    return value


def usable_cores() -> int:
    """Cores that this process may use."""
    with suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """The workers of one sort or of the rounds of a watch: started or found when needed.

    Parameters
    ----------
    workers : int, optional
        Local worker processes; one a core when omitted, 0 to work in this process.
    scheduler : str, optional
        Address of a dask scheduler to use instead.
    cluster : ClusterSettings, optional
        Workers of a batch system or of MPI to use instead.

    Raises
    ------
    SettingsError
        If more than one of them is given, or the number is below 0.
    """

    def __init__(
        self,
        workers: int | None = None,
        scheduler: str | None = None,
        cluster: ClusterSettings | None = None,
    ) -> None:
        given = [("workers", workers), ("scheduler", scheduler), ("cluster", cluster)]
        named = [name for name, value in given if value is not None]
        if len(named) > 1:
            raise SettingsError(
                f"Give either {named[0]} or {named[1]}, not both; they say who does the work."
                if named != ["workers", "scheduler"]
                else "Give either a number of workers or a scheduler, not both."
            )
        if workers is not None and workers < 0:
            raise SettingsError(f"workers is {workers} but must be at least 0.")
        self._workers = workers
        self._scheduler = scheduler
        self._cluster = cluster
        self._stack = ExitStack()
        self._client: Any = None

    def __enter__(self) -> Workers:
        if self._cluster is not None and self._cluster.kind == MPI:
            join_mpi()  # only one of the processes goes on
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started; the next `pool` starts it again."""
        self._client = None
        self._stack.close()

    @property
    def from_elsewhere(self) -> bool:
        """Whether the workers were found by an address, and may come back after they went."""
        return self._scheduler is not None

    def pool(
        self, context: Context, sources: Sequence[EventSource], n_blocks: int, last: bool = True
    ) -> Pool:
        """Something that runs tasks.

        Parameters
        ----------
        context, sources : Context, sequence of EventSource
            What tasks need.
        n_blocks : int
            Blocks to be done now.
        last : bool
            No more work will come: few blocks start few processes.

        Raises
        ------
        ClusterError
            If workers cannot be started or the scheduler not be reached.
        """
        if self._client is None:
            elsewhere = self._scheduler is not None or self._cluster is not None
            workers = self._local(n_blocks, last)
            if not elsewhere and workers == 0:
                return InProcessPool(context, sources)
            self._client = self._start(workers)
        return DaskPool(self._client, context, sources)

    def _local(self, n_blocks: int, last: bool) -> int:
        if self._workers is not None:
            return self._workers
        if n_blocks <= 1:
            return 0
        return min(usable_cores(), n_blocks) if last else usable_cores()

    def _start(self, workers: int) -> Any:
        if self._scheduler is not None:
            return connect(self._scheduler, self._stack)
        if self._cluster is not None:
            return start_cluster(self._cluster, self._stack)
        return start_local(workers, self._stack)


def connect(address: str, stack: ExitStack) -> Any:
    """A dask client of a scheduler, which the stack lets go."""
    from distributed import Client

    try:
        return stack.enter_context(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"The dask scheduler at {address} cannot be reached ({error}); is the address "
            "right and the scheduler running?"
        ) from error


def start_local(workers: int, stack: ExitStack) -> Any:
    """A dask client of worker processes of this computer, which the stack ends."""
    from distributed import Client

    stack.enter_context(workers_without_main())
    try:
        with interrupt_deferred():
            cluster = stack.enter_context(local_cluster(workers))
        return stack.enter_context(Client(cluster, set_as_default=False))
    except (OSError, RuntimeError) as error:
        raise ClusterError(
            f"{workers} worker processes cannot be started ({error}); workers=0 works "
            "without them."
        ) from error


def local_cluster(workers: int) -> Any:
    """Worker processes on this computer, as a ``distributed.LocalCluster`` to be closed."""
    import dask
    from distributed import LocalCluster

    with dask.config.set(_QUIET):
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            # Blocks bound the memory; distributed's own watch would pause or kill
            # workers because of other programs' use, and spill to disk.
            memory_limit=0,
            scheduler_kwargs={
                "allowed_failures": _ALLOWED_DEATHS,
                # Some free port for its web server: the usual one may be taken.
                "dashboard_address": "127.0.0.1:0",
            },
        )
