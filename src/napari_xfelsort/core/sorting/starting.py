"""Starting worker processes without what multiprocessing would do with them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def interrupt_deferred() -> Iterator[None]:
    """Start workers that Ctrl-C does not reach, and do not stop half way with starting them.

    A terminal sends Ctrl-C to all processes. Workers must go on until this process ends
    them. What is started meanwhile, the thread that starts workers again included,
    inherits that the signal is blocked.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    # Starting multiprocessing's tracker would take the block away again.
    resource_tracker.ensure_running()
    interrupted: list[int] = []
    # Only the main thread is ever interrupted, and only it may set a handler.
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    if in_main:
        signal.signal(signal.SIGINT, lambda number, frame: interrupted.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if in_main:
            signal.signal(signal.SIGINT, handler)
    if interrupted:
        raise KeyboardInterrupt


_main_lock = threading.Lock()
_main_users: list[Callable[[str], dict[str, Any]]] = []


@contextmanager
def workers_without_main() -> Iterator[None]:
    """Start dask's worker processes without running the user's script in them again.

    multiprocessing imports the main module in every process it starts, which starts a
    plain script (one without ``if __name__ == "__main__"``) again and again. Workers
    need nothing of it. Only processes that dask names as its workers are changed.
    """
    spawn: Any = import_module("multiprocessing.spawn")
    with _main_lock:
        _main_users.append(_main_users[0] if _main_users else spawn.get_preparation_data)
        spawn.get_preparation_data = _preparation_data
    try:
        yield
    finally:
        with _main_lock:
            original = _main_users.pop()
            if not _main_users:
                spawn.get_preparation_data = original


def _preparation_data(name: str) -> dict[str, Any]:
    data = _main_users[0](name)
    if name.startswith("Dask Worker process"):
        data.pop("init_main_from_name", None)
        data.pop("init_main_from_path", None)
    return data
