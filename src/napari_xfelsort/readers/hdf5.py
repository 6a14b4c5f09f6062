"""The one owner of open HDF5 files in a process, and the checks HDF5 leaves to us.

Files are opened through the ``stdio`` driver without locks. A reader that holds a
lock would keep the facility's writer from opening its own file; and with the default
driver, a file opened without lock here could not be opened with one elsewhere in the
same process. Reading is as fast as with the default driver.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers bitshuffle, LZ4, Zstandard and other filters)
import numpy as np

from napari_xfelsort.core.errors import UnreadableFileError

SIGNATURE = b"\x89HDF\r\n\x1a\n"

#: Chunk cache of datasets whose chunk holds several events, of all open files together:
#: such a chunk must stay decompressed between events (88 ms an event without, 0.3 ms with).
MAX_CHUNK_CACHE = 512 * 2**20

_FILTER_NAMES = {
    305: "LZO",
    307: "bzip2",
    32000: "LZF",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "ZFP",
    32014: "FPZIP",
    32015: "Zstandard",
    32017: "SZ",
    32019: "FCIDECOMP",
    32024: "SZ3",
    32026: "Blosc2",
    32028: "SPERR",
}


class OpenFile:
    """An open HDF5 file with the datasets read from it so far."""

    def __init__(self, path: str, identity: tuple[int, ...]) -> None:
        self.path = path
        self.identity = identity
        self.users = 0
        self.retired = False
        self.cache_bytes = 0
        self.h5 = _open(path)
        self._datasets: dict[str, h5py.Dataset] = {}

    def dataset(self, name: str) -> h5py.Dataset:
        """The dataset, opened once, with a chunk cache that suits reading event by event.

        Raises
        ------
        UnreadableFileError
            If it is absent, a dangling link, or packed by a filter that is not installed.
        """
        found = self._datasets.get(name)
        if found is None:
            found = self._datasets[name] = self._open_dataset(name)
        return found

    def _open_dataset(self, name: str) -> h5py.Dataset:
        found = get(self.h5, name)
        if not isinstance(found, h5py.Dataset):
            raise UnreadableFileError(f"{self.path} has no dataset {name}.")
        check_filters(found, name, self.path)
        chunk_bytes = _chunk_bytes(found)
        if not found.chunks or found.chunks[0] == 1 or chunk_bytes <= 2**20:
            return found
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        wanted = min(chunk_bytes * _chunks_per_event(found), MAX_CHUNK_CACHE)
        access.set_chunk_cache(521, wanted, 0.75)
        self.cache_bytes += wanted
        # The first open decides the cache for all, so the dataset must be closed before;
        # it may be reached through an external link, so it is opened in its own file.
        holder, inner = found.file, found.name.encode()
        del found
        return h5py.Dataset(h5py.h5d.open(holder.id, inner, access))

    def close(self) -> None:
        """Close the file and forget its datasets."""
        self._datasets.clear()
        self.h5.close()


class FilePool:
    """Open files of this process, the least recently used closed first."""

    def __init__(self, max_open: int = 64) -> None:
        self.max_open = max_open
        self._files: OrderedDict[str, OpenFile] = OrderedDict()
        self._lock = threading.RLock()
        self._pid = os.getpid()

    @contextmanager
    def borrow(self, path: str) -> Iterator[OpenFile]:
        """Use a file; it is opened when needed and stays open for the next use.

        Raises
        ------
        UnreadableFileError
            If it cannot be opened; the text says why.
        """
        with self._lock:
            opened = self._get(os.path.abspath(path))
            opened.users += 1
        try:
            yield opened
        finally:
            with self._lock:
                opened.users -= 1
                if opened.retired and not opened.users:
                    opened.close()
                self._trim()

    def _get(self, path: str) -> OpenFile:
        if self._pid != os.getpid():  # a forked child must not touch its parent's handles
            self._files = OrderedDict()
            self._pid = os.getpid()
        identity = _identity(path)
        opened = self._files.get(path)
        if opened is not None and opened.identity != identity:
            # A file changed in place that is open twice is one to HDF5, and stays as it was.
            replaced = opened.identity[:2] != identity[:2]
            if replaced or not opened.users:
                self._retire(path)
                opened = None
        if opened is None:
            opened = self._files[path] = OpenFile(path, identity)
        self._files.move_to_end(path)
        return opened

    def _trim(self) -> None:
        cached = sum(opened.cache_bytes for opened in self._files.values())
        for path in list(self._files)[:-1]:  # the one used last stays
            if len(self._files) <= self.max_open and cached <= MAX_CHUNK_CACHE:
                break
            if not self._files[path].users:
                opened = self._files.pop(path)
                cached -= opened.cache_bytes
                opened.close()

    def close(self, paths: Iterable[str]) -> None:
        """Close those of these files that are open; one being read, when that is done."""
        with self._lock:
            for path in map(os.path.abspath, paths):
                if path in self._files:
                    self._retire(path)

    def _retire(self, path: str) -> None:
        opened = self._files.pop(path)
        opened.retired = True
        if not opened.users:
            opened.close()

    def open_paths(self) -> list[str]:
        """The files that are open."""
        with self._lock:
            return list(self._files)

    def close_all(self) -> None:
        """Close every file that is not being read at this moment."""
        with self._lock:
            for path in [p for p, opened in self._files.items() if not opened.users]:
                self._files.pop(path).close()

    def __len__(self) -> int:
        return len(self._files)


POOL = FilePool()


def _identity(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise UnreadableFileError(explain(path, error)) from error
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise UnreadableFileError(explain(path, OSError()))
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _open(path: str) -> h5py.File:
    """Never with a lock: a file that is read must not stop the program that appends to it."""
    try:
        return h5py.File(path, "r", driver="stdio", locking=False)
    except OSError:
        pass  # the default driver says more of what is wrong
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "already open for write" not in str(error):
            raise UnreadableFileError(explain(path, error)) from error
    try:  # the writer uses single-writer/multiple-reader mode, or died in it
        return h5py.File(path, "r", libver="latest", swmr=True, locking=False)
    except OSError as error:
        raise UnreadableFileError(explain(path, error)) from error


def explain(path: str, error: Exception) -> str:
    """One sentence on why a file cannot be read, from what HDF5 or the system said."""
    file = Path(path)
    if isinstance(error, FileNotFoundError) or not file.exists():
        return f"{path} does not exist."
    if file.is_dir():
        return f"{path} is a folder, not an HDF5 file."
    if not file.is_file():
        return f"{path} is a pipe or device, not an HDF5 file."
    if isinstance(error, PermissionError) or getattr(error, "errno", 0) == errno.EACCES:
        return f"{path} may not be read by you; ask for permission."
    try:
        size = file.stat().st_size
        if size == 0:
            return f"{path} is empty (0 bytes)."
        with file.open("rb") as stream:
            if not _has_signature(stream, size):
                return f"{path} is not an HDF5 file."
    except OSError as other:
        return f"{path} cannot be read: {other.strerror or other}."
    text = str(error)
    if "truncated" in text:
        return (
            f"{path} is truncated ({size} bytes are there, more were written): it was cut while "
            "being copied, or its writer has not finished."
        )
    if "lock" in text:
        return f"{path} is locked by the program that writes it; try again when it has finished."
    return f"{path} is a damaged HDF5 file ({_first_line(text)})."


def _has_signature(stream: Any, size: int) -> bool:
    """HDF5 allows its signature at 0, 512, 1024, 2048, ... bytes (user block)."""
    offset = 0
    while offset < min(size, 2**20):
        stream.seek(offset)
        if stream.read(8) == SIGNATURE:
            return True
        offset = 512 if offset == 0 else offset * 2
    return False


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else "no reason given"


def get(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | h5py.Datatype | None:
    """Object by name, None when absent, a dangling link, or a loop of links."""
    try:
        return group.get(name)
    except (RuntimeError, OSError, KeyError, ValueError):
        return None


def dataset(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """Dataset by name, None when there is none that can be reached."""
    found = get(group, name)
    return found if isinstance(found, h5py.Dataset) else None


def subgroup(group: h5py.Group, name: str) -> h5py.Group | None:
    """Group by name, None when there is none that can be reached."""
    found = get(group, name)
    return found if isinstance(found, h5py.Group) else None


def external_link(group: h5py.Group, name: str) -> h5py.ExternalLink | None:
    """The external link with this name, None when it is something else."""
    try:
        link = group.get(name, getlink=True)
    except (RuntimeError, OSError, KeyError):
        return None
    return link if isinstance(link, h5py.ExternalLink) else None


def missing_filter(data: h5py.Dataset) -> str | None:
    """Name of the first filter of a dataset that is not available, None if all are."""
    if data.is_virtual:
        return None
    creation = data.id.get_create_plist()
    for number in range(creation.get_nfilters()):
        code = creation.get_filter(number)[0]
        if not h5py.h5z.filter_avail(code):
            known = _FILTER_NAMES.get(code)
            return f"{known} (HDF5 filter {code})" if known else f"HDF5 filter {code}"
    return None


def check_filters(data: h5py.Dataset, name: str, path: str) -> None:
    """Refuse a dataset that cannot be decompressed here.

    Raises
    ------
    UnreadableFileError
        If a filter is not installed; names it, which HDF5 does not.
    """
    missing = missing_filter(data)
    if missing:
        raise UnreadableFileError(
            f"{path}: {name} is compressed with {missing}, which is not installed here; "
            "install the HDF5 plugin for it."
        )


def text(value: Any) -> str:
    """A string from whatever HDF5 holds: bytes, str, an array of one of these, a number."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").rstrip("\0").strip()
    return str(value).strip()


def attribute(item: h5py.Group | h5py.Dataset, name: str) -> str:
    """An attribute as text, empty when absent or unreadable."""
    try:
        return text(item.attrs[name]) if name in item.attrs else ""
    except (OSError, TypeError, ValueError):
        return ""


def _chunks_per_event(data: h5py.Dataset) -> int:
    pairs = zip(data.shape[1:], data.chunks[1:], strict=True)
    return int(np.prod([-(-n // chunk) for n, chunk in pairs], dtype=np.int64))


def _chunk_bytes(data: h5py.Dataset) -> int:
    if not data.chunks:
        return 0
    return int(np.prod(data.chunks, dtype=np.int64)) * data.dtype.itemsize


def resolve_link(file: str, target: str) -> str | None:
    """File that an external link or virtual source in ``file`` leads to, None if gone.

    HDF5 tries an absolute name, then its last part, beside the file (and beside what
    the file's own link leads to), then in the working folder.
    """
    if target == ".":
        return file
    if os.path.isabs(target):
        if os.path.exists(target):
            return target
        target = os.path.basename(target)
    folders = (os.path.dirname(file), os.path.dirname(os.path.realpath(file)), os.getcwd())
    for folder in folders:
        candidate = os.path.join(folder, target)
        if os.path.exists(candidate):
            return candidate
    return None
