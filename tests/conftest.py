"""Fixtures that all tests share."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest


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
