"""Features kept on disk, so that training again on the same events reads no frame.

A table of features lies in one file named by a key of all that it depends on: what the
features are, which pixels, masks and geometry, which events, and size, time and identity
of the files. Nothing else decides whether it is used, and one that is torn is as good as
none. The folder is that of the user's caches, or what `FOLDER_VARIABLE` says; it may be
deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import napari_xfelsort
from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.core.features import (
    FeatureExtractor,
    FeatureTable,
    Progress,
    extract_stack,
)

if TYPE_CHECKING:
    from hashlib import _Hash

    from napari_xfelsort.core.source import EventSource
    from napari_xfelsort.core.stack import EventStack

_log = logging.getLogger(__name__)
#: Environment variable that names another folder.
FOLDER_VARIABLE = "XFELSORT_CACHE"
#: All that is kept together; what was not used for longest goes first.
MAX_BYTES = 4 * 1024**3
#: To be raised when the same settings give other features than before.
_VERSION = 1
_MATRIX, _FAILED, _SUFFIX = "matrix.npy", "failed.json", ".features"
#: A file that was changed so recently may be changed again in the same tick of its clock.
_SETTLED_SECONDS = 2.0
_LEFT_BEHIND_SECONDS = 24 * 3600.0
_MOST_TEXT = 1024**3
_EVENTS_AT_ONCE = 1 << 16


def cache_folder() -> Path:
    """Where features are kept; it need not exist."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("napari-xfelsort", appauthor=False) / "features"


def table_key(stack: EventStack, extractor: FeatureExtractor) -> str | None:
    """Key of the features of all events of a stack, in its order.

    Returns
    -------
    str or None
        None where it cannot be known whether the events are the same: they are held in
        memory, or a file is gone or has only just been written.
    """
    digest = hashlib.sha256()
    spec = {k: v for k, v in extractor.settings.to_dict().items() if k != "components"}
    _add(digest, _VERSION, napari_xfelsort.__version__, np.dtype(np.float32).str, spec)
    _add(digest, extractor.raw_shape, [[s.start, s.stop] for s in extractor.window])
    if extractor.pixels.inside is not None:
        digest.update(np.packbits(extractor.pixels.inside).tobytes())
    extractor.places.add_to(digest)
    _add(digest, None if stack.geometry is None else stack.geometry.digest)
    if stack.user_mask is not None:
        digest.update(np.ascontiguousarray(stack.user_mask.reasons).tobytes())
    last: EventSource | None = None
    for block in stack.blocks(_EVENTS_AT_ONCE):
        if block.source is not last:
            last = block.source
            identity = _identity(last)
            if identity is None:
                return None
            _add(digest, identity)
        digest.update(np.ascontiguousarray(block.indices, "<i8").tobytes())
        digest.update(np.ascontiguousarray(block.positions, "<i8").tobytes())
    return digest.hexdigest()


def _add(digest: _Hash, *values: Any) -> None:
    digest.update(json.dumps(values, sort_keys=True).encode() + b"\n")


def _identity(source: EventSource) -> list[Any] | None:
    """What tells a source from another or from itself after a change."""
    files = source.all_files()
    found: list[Any] = [type(source).__name__, source.layout, source.token, source.dtype.str]
    now = time.time()
    for file in files:
        try:
            status = os.stat(file)
        except (OSError, ValueError):
            return None
        if now - status.st_mtime < _SETTLED_SECONDS:
            return None
        known = (status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino)
        found.append([os.path.realpath(file), *known])
    return found if files else None


def cached_table(
    stack: EventStack,
    positions: Sequence[int] | NDArray[np.integer[Any]],
    extractor: FeatureExtractor,
    progress: Progress | None = None,
    workers: int | None = 0,
    cache: FeatureCache | None = None,
) -> FeatureTable:
    """As `extract_stack`, but without reading what was kept from an earlier time.

    A table with events that could not be read is not kept: that may be otherwise next time.

    Parameters
    ----------
    cache : FeatureCache, optional
        Where tables are kept; that of the user when omitted.
    """
    cache = cache or FeatureCache()
    chosen = stack.subset(positions)
    key = table_key(chosen, extractor)
    kept = None if key is None else cache.get(key, len(chosen), extractor.n_features)
    if kept is not None:
        if progress is not None:
            progress(len(chosen), len(chosen))
        return kept
    table = extract_stack(stack, positions, extractor, progress, workers)
    if key is not None and not table.unread and table_key(chosen, extractor) == key:
        cache.put(key, table)
    return table


class FeatureCache:
    """Tables of features in a folder.

    Reading and writing never raise: a table that cannot be read is made anew, one that
    cannot be written is not kept.

    Parameters
    ----------
    folder : Path, optional
        `cache_folder` when omitted; made when the first table is kept.
    max_bytes : int
        Bound of all tables together.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        self.folder = cache_folder() if folder is None else folder
        self.max_bytes = max_bytes

    def get(self, key: str, n_events: int, n_features: int) -> FeatureTable | None:
        """A table that was kept, None if there is none that is whole."""
        path = self._path(key)
        try:
            with zipfile.ZipFile(path) as kept:
                table = _read(kept, n_events, n_features)
            os.utime(path)  # so that it goes last
        except FileNotFoundError:
            return None
        # A damaged file may raise what it likes; it is only a copy.
        except Exception as error:  # noqa: BLE001
            _log.debug("%s cannot be used: %s", path, error)
            with suppress(OSError):
                path.unlink()
            return None
        return table

    def put(self, key: str, table: FeatureTable) -> None:
        """Keep a table, and remove those unused for longest where there are too many."""
        if table.matrix.nbytes > self.max_bytes // 2:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (
                atomic_write(self._path(key), overwrite=True) as temporary,
                zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as kept,
            ):
                _write(kept, table)
            self._trim()
        except (OSError, XfelsortError) as error:
            _log.debug("features are not kept in %s: %s", self.folder, error)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _trim(self) -> None:
        kept = sorted(self._tables(), key=lambda found: found[1].st_mtime_ns, reverse=True)
        total = 0
        for path, status in kept:
            total += status.st_size
            if total > self.max_bytes:
                with suppress(OSError):
                    path.unlink()
        for path in self.folder.glob(f".*{_SUFFIX}.*"):  # of a process that was killed
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _LEFT_BEHIND_SECONDS:
                    path.unlink()

    def _tables(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError):
                yield path, path.stat()


def _write(kept: zipfile.ZipFile, table: FeatureTable) -> None:
    with kept.open(_MATRIX, "w", force_zip64=True) as target:
        np.lib.format.write_array(target, table.matrix, allow_pickle=False)
    failed = {str(row): why for row, why in table.failed.items()}
    kept.writestr(_FAILED, json.dumps(failed))


def _read(kept: zipfile.ZipFile, n_events: int, n_features: int) -> FeatureTable:
    """The table in a file; its checksums are compared on the way.

    Raises
    ------
    Exception
        If it is not what was written.
    """
    start = io.BytesIO()
    empty = np.empty((n_events, n_features), np.float32)
    header = {"descr": empty.dtype.str, "fortran_order": False, "shape": empty.shape}
    np.lib.format.write_array_header_1_0(start, header)
    with kept.open(_MATRIX) as source:
        if source.read(len(start.getvalue())) != start.getvalue():
            raise ValueError("another table")
        content = empty.reshape(-1).view(np.uint8)
        done = 0
        while done < len(content):
            part = source.read(min(2**20, len(content) - done))
            if not part:
                raise ValueError("the table is cut off")
            content[done : done + len(part)] = np.frombuffer(part, np.uint8)
            done += len(part)
        if source.read(1):  # the checksum is compared at the end
            raise ValueError("the table is too long")
    if kept.getinfo(_FAILED).file_size > _MOST_TEXT:
        raise ValueError("too many failures")
    failed = {int(row): str(why) for row, why in json.loads(kept.read(_FAILED)).items()}
    if any(not 0 <= row < n_events for row in failed):
        raise ValueError("failures of events that are not there")
    return FeatureTable(empty, failed)
