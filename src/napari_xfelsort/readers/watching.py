"""Sort what appears in folders while an experiment runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.cascade import Cascade, CascadeSettings, with_first
from napari_xfelsort.core.errors import UnreadableFileError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.sorting import (
    ClusterSettings,
    SortSummary,
    WatchProgress,
    WatchSettings,
)
from napari_xfelsort.core.sorting import watch as watch_looks
from napari_xfelsort.core.source import EventSource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers.detect import open_source
from napari_xfelsort.readers.opening import Paths, open_with
from napari_xfelsort.readers.paths import expand
from napari_xfelsort.readers.source import Hdf5Source

if TYPE_CHECKING:
    from napari_xfelsort.core.model import Model

#: Size, times and number of a file; what changes when it does.
Stamp = tuple[int, ...]


def watch(
    paths: Paths,
    model: Model | Cascade,
    out: str | os.PathLike[str],
    geometry: Geometry | str | os.PathLike[str] | None = None,
    mask: PixelMask | NDArray[np.bool_] | str | os.PathLike[str] | None = None,
    dataset: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    absolute: bool = False,
    progress: Callable[[WatchProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    poll: float = WatchSettings.poll,
    settle: float = WatchSettings.settle,
    idle: float | None = None,
    cluster: ClusterSettings | None = None,
    first: Model | None = None,
    loss: float = CascadeSettings.loss,
    precision: float = CascadeSettings.precision,
    **settings: Any,
) -> SortSummary:
    """Sort the events of folders, patterns or files, and those that still appear there.

    Every few seconds it is looked what is new. Of a file that grows, whole blocks of
    events are sorted as they come; the rest when the file has stayed as it is for a
    while. A file that cannot be read yet is waited for. After each round lists, tables,
    summary and report are up to date. In the end the lists and tables are the same, byte
    for byte, as those of `sort` of the finished files; killed, the same call resumes, and
    so does `sort`.

    Parameters
    ----------
    paths : path or sequence of paths
        Folders, globs, files. No lists of events: they name what is there already.
    model, out, workers, scheduler, overwrite, absolute, cluster, **settings
        As `sort` has them.
    first, loss, precision
        As `sort` has them.
    geometry, mask, dataset
        As `open_stack` has them.
    progress : callable, optional
        Called with a `WatchProgress` while sorting and after each look, on the calling
        thread.
    stop : callable, optional
        Asked all the time whether to stop. Then, or at Ctrl-C, a last round takes all files as
        they are; a second Ctrl-C stops that, and the same call goes on from there.
    poll, settle, idle : float
        See `WatchSettings`; seconds.

    Returns
    -------
    SortSummary
        Of all files. Its ``ok`` is False when an event failed, or a file could still not
        be read in the end.

    Raises
    ------
    SettingsError
        If a setting is wrong, or a list was given.
    UnreadableFileError, NoEventsError
        If a path that is no pattern does not exist, or there was no event until the end.
    ModelError, OutputError, ClusterError
        As `sort` does.
    """
    _check_places(paths)
    model = with_first(model, first, loss, precision)
    return watch_looks(
        Reopener(paths, geometry, mask, dataset),
        model,
        out,
        workers,
        scheduler,
        overwrite,
        absolute,
        progress,
        stop,
        cluster,
        WatchSettings(poll, settle, idle),
        **settings,
    )


def _check_places(paths: Paths) -> None:
    """Refuse a name that leads nowhere: it would be waited for without end."""
    import glob

    names = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    for name in map(os.fspath, names):
        if not os.path.exists(name) and not glob.has_magic(name):
            raise UnreadableFileError(
                f"{name} does not exist; watch a folder or pattern (in quotes) where files "
                "will appear."
            )


class Reopener:
    """Opens what is there now, again and again; files that stayed the same only once.

    Arguments are those of `open_stack`.
    """

    def __init__(
        self,
        paths: Paths,
        geometry: Geometry | str | os.PathLike[str] | None = None,
        mask: PixelMask | NDArray[np.bool_] | str | os.PathLike[str] | None = None,
        dataset: str | None = None,
    ) -> None:
        if geometry is not None and not isinstance(geometry, Geometry):
            geometry = Geometry.from_crystfel(geometry)
        self._paths = paths
        self._arguments = (geometry, mask, dataset)
        self._known: dict[tuple[Any, ...], tuple[Stamp, EventSource]] = {}
        self._stack: tuple[tuple[Any, ...], EventStack] | None = None

    def __call__(self) -> EventStack:
        """The stack; the same object when nothing changed.

        Raises
        ------
        UnreadableFileError, NoEventsError, ListError
            If there is nothing to open at present.
        """
        found = tuple((item.path, _stamp(item.file)) for item in expand(self._paths).items)
        if self._stack is not None:
            looked, stack = self._stack
            linked = all(_is_as_it_was(*known) for known in self._known.values())
            if looked == found and linked and not stack.problems:
                return stack
        self._stack = None
        stack = open_with(self._open, self._paths, *self._arguments)
        self._stack = (found, stack)
        names = {path for path, _ in found}
        self._known = {key: known for key, known in self._known.items() if key[0] in names}
        return stack

    def _open(
        self,
        path: str,
        file: str,
        geometry: Geometry | None,
        masks: object,
        dataset: str | None,
        parts: tuple[str, ...],
    ) -> EventSource:
        key = (path, file, geometry is None, parts)
        known = self._known.get(key)
        if known is not None and _is_as_it_was(*known):
            return known[1]
        self._known.pop(key, None)
        stamp = _stamp(file)  # before it is opened: a change meanwhile is seen at the next look
        source = open_source(path, file, geometry, masks, dataset, parts)  # type: ignore[arg-type]
        if isinstance(source, Hdf5Source):
            stamp += _stamps(source.plan.linked_files)
        self._known[key] = (stamp, source)
        return source


def _is_as_it_was(stamp: Stamp, source: EventSource) -> bool:
    now = _stamp(source.place or source.path)
    if isinstance(source, Hdf5Source):
        now += _stamps(source.plan.linked_files)
    return stamp == now


def _stamps(files: tuple[str, ...]) -> Stamp:
    return tuple(number for file in files for number in _stamp(file))


def _stamp(file: str) -> Stamp:
    """What changes with a file, or with the files of a run folder."""
    try:
        if os.path.isdir(file):
            with os.scandir(file) as entries:
                names = sorted(entry.path for entry in entries if entry.is_file())
            return tuple(number for name in names for number in _stamp(name))
        found = os.stat(file)
    except OSError:
        return (-1,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
