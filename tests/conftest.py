"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from, or left in, the caches of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XFELSORT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the shared test data; tests that need it are skipped without it."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("XFELSORT_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no shared test data at {folder}; set XFELSORT_TEST_DATA")
    return folder
