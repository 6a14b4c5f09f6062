"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from programs import PATIENCE

#: The same examples each time, so that a test run tells of the change and not of chance, and no
#: limit of time on a busy machine. ``make search`` looks for new examples.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("repeatable")

#: Modules outside of `widgets` and `end_to_end` whose tests start processes or threads.
WITH_PROCESSES = {
    "test_browsing",
    "test_feature_cache",
    "test_frame_cache",
    "test_label_history",
    "test_labels",
    "test_processes",
    "test_report_browser",
    "test_sorting_cluster",
    "test_sorting_dask",
    "test_sorting_watch",
    "test_swmr_sources",
    "test_traps",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What shows windows or starts processes may be tried once more.

    A window manager or a scheduler that gets no time for a minute is no defect of this
    program, and must not stop a change that has nothing to do with it. But a repeat hides
    nothing: it is listed as RERUN at the end, and is to be looked into as a failure is. All
    that computes only has to pass at once.
    """
    if not config.pluginmanager.hasplugin("rerunfailures"):
        return
    for item in items:
        if shows_windows_or_starts_processes(item.path):
            item.add_marker(pytest.mark.flaky(reruns=1))


def shows_windows_or_starts_processes(module: Path) -> bool:
    """Whether the tests of a module do."""
    return module.parent.name in ("widgets", "end_to_end") or module.stem in WITH_PROCESSES


#: Modules of `end_to_end` that show no window and end no process: commands of one process.
COMMANDS = re.compile(r"test_(center_cli|lists_elsewhere|cli_(?!view|watch).*)")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n``, a module runs in one process, and all with windows or processes in the same.

    There is one display, and what watches other processes is not to wait for its like.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = Path(nodeid.partition("::")[0])
            alone = shows_windows_or_starts_processes(module)
            return "windows" if alone and not COMMANDS.fullmatch(module.stem) else module.stem

    return ByModule(config, log)


TIMEOUT = pytest.StashKey[Any]()


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Remember how long a test may take."""
    item.stash[TIMEOUT] = settings


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A repeat may take as long again; pytest-timeout would not stop it."""
    if getattr(item, "execution_count", 1) > 1 and TIMEOUT in item.stash:
        item.ihook.pytest_timeout_set_timer(item=item, settings=item.stash[TIMEOUT])


def pytest_collection_finish() -> None:
    """What was imported lives until the end: not looked at again whenever there is garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def own_garbage() -> Iterator[None]:
    """Warnings of what was not closed come in the module that did not close it."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests have their caches."""
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(autouse=True)
def own_cache(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept from test to test, or read from or left in the caches of the user."""
    monkeypatch.setenv("XFELSORT_CACHE", str(caches / uuid.uuid4().hex))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the shared test data; tests that need it are skipped without it."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("XFELSORT_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no shared test data at {folder}; set XFELSORT_TEST_DATA")
    return folder


@pytest.fixture
def qtbot(qapp, request: pytest.FixtureRequest):
    """pytest-qt's, which waits as long as a busy machine may need, and then clicks.

    A button is clicked where it is, and a layout that is to be made anew puts it elsewhere.
    """
    from pytestqt.qtbot import QtBot
    from qtpy.QtCore import QEvent

    class PatientBot(QtBot):
        def waitUntil(self, callback, *, timeout=0):
            super().waitUntil(callback, timeout=max(timeout, 1000 * PATIENCE))

        def mouseClick(self, *args, **kwargs):
            qapp.sendPostedEvents(None, QEvent.Type.LayoutRequest)
            super().mouseClick(*args, **kwargs)

    return PatientBot(request)
