"""The folder that a sort writes to: which of its files are ours, and what they are called."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_xfelsort.core.atomic import write_text_atomic
from napari_xfelsort.core.decisions import FAILED, UNSURE
from napari_xfelsort.core.errors import ModelError, OtherResultsError, OutputError

FORMAT = 1
MANIFEST = "sort-state.json"
TABLES = "decisions"
SUMMARY, REPORT, RUN = "summary.csv", "report.html", "run.toml"
HITS, APPEARANCE = "hit-fraction.csv", "watch.csv"
#: What some operating system does not take in a file name.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_MAX_NAME = 120
#: Path, dataset and number among equal ones of a source.
Identity = tuple[str, str, int]


@dataclass(frozen=True)
class InputName:
    """What tells a source from the others of the stack, and its events.

    Attributes
    ----------
    path, dataset : str
        Of the source.
    copy : int
        Number among sources of equal path and dataset.
    events : int
        Number of events of it that are sorted.
    selection : str
        Digest of which ones they are, in their order.
    """

    path: str
    dataset: str
    copy: int
    events: int
    selection: str

    @property
    def identity(self) -> Identity:
        """The source without regard to its events."""
        return self.path, self.dataset, self.copy


def list_names(class_names: Sequence[str]) -> dict[str, str]:
    """File name of the list of each class and of the unsure events.

    A class name that no file can have is altered; names stay different where upper
    and lower case are the same.

    Raises
    ------
    ModelError
        If a class is called as events without a decision are.
    """
    for name in {UNSURE, FAILED} & set(class_names):
        raise ModelError(
            f"The model has a class called {name!r}, which is what events without a decision "
            "are called; train it with another name for the class."
        )
    taken = {f"{UNSURE}.lst"}
    names = {}
    for name in class_names:
        names[name] = _free_name(name, ".lst", taken, name)
    return {**names, UNSURE: f"{UNSURE}.lst"}


def read_list_names(folder: Path) -> dict[str, str]:
    """File name of the list of each class of a sort, as `list_names` gave them.

    Raises
    ------
    OutputError
        If the folder's state cannot be read.
    """
    path = folder / MANIFEST
    try:
        names = json.loads(path.read_bytes())["lists"]
        return {str(name): os.path.basename(str(file)) for name, file in names.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise OutputError(
            f"{path} cannot be read or is of another version; sort into it again."
        ) from error


def table_names(inputs: Sequence[InputName], known: dict[Identity, str]) -> dict[Identity, str]:
    """Name of the table of each source, without ``.csv``.

    The file's own name; where two are equal, those after the first get a part of the
    digest of their path. Names that are known stay as they are.
    """
    taken = {name.casefold() for name in known.values()}
    names = {}
    for entry in inputs:
        identity = entry.identity
        base = os.path.basename(entry.path.rstrip("/\\")) or "source"
        names[identity] = known.get(identity) or _free_name(base, "", taken, repr(identity))
    return names


def _free_name(name: str, suffix: str, taken: set[str], whole: str) -> str:
    digest = hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()
    safe = _UNSAFE.sub("_", name).strip(". ") or "_"
    if len(os.fsencode(safe)) > _MAX_NAME:
        safe = f"{safe[: _MAX_NAME // 4]}-{digest[:8]}"
    candidates = [safe, *(f"{safe}-{digest[:k]}" for k in range(8, 65, 8))]
    chosen = next(c for c in candidates if f"{c}{suffix}".casefold() not in taken)
    taken.add(f"{chosen}{suffix}".casefold())
    return f"{chosen}{suffix}"


class OutFolder:
    """A folder of results, its manifest, and the rule that only our files are replaced.

    Parameters
    ----------
    path : path
        Made if it is not there.

    Raises
    ------
    OutputError
        If it cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.tables = self.path / TABLES
        try:
            self.tables.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The folder {self.path} cannot be made: {error.strerror or error}."
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; the lock goes when the process does, however it ends.

        Raises
        ------
        OutputError
            If another process holds it.
        """
        try:
            import fcntl
        except ImportError:  # Windows: two sorts into one folder are not prevented
            yield
            return
        with (self.path / ".sort.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"Another sort is writing to {self.path}; wait for it, or choose another "
                    "folder."
                ) from None
            except OSError:
                pass  # a file system without locks
            yield

    def prepare(
        self,
        key: dict[str, str],
        inputs: Sequence[InputName],
        outputs: Sequence[str],
        lists: dict[str, str],
        first: Callable[[Identity, int], str],
        overwrite: bool,
        started: str,
    ) -> tuple[dict[Identity, str], str]:
        """Claim the files that will be written.

        Parameters
        ----------
        key : dict of str
            What must not change between calls that continue each other, each in words.
        inputs : sequence of InputName
            What will be sorted.
        outputs : sequence of str
            Names of the files beside the tables.
        lists : dict of str
            Which of them is the list of which class.
        first : callable
            Digest of the first so many events of an input, by its identity.
        overwrite : bool
            Replace results of other input, another model or other settings.
        started : str
            The time now.

        Returns
        -------
        names : dict
            Name of each source's table, without ``.csv``.
        started : str
            When the sort that is continued was begun.

        Raises
        ------
        OutputError
            If the folder holds results of something else, or files that are not ours.
        """
        old = self._read_manifest()
        same = bool(old) and old["key"] == key
        if old and not overwrite:
            self._refuse_other(old, key, inputs, first)
        known = {tuple(identity): name for *identity, name in old.get("tables", [])}
        names = table_names(inputs, known)
        self._refuse_foreign(set(old.get("outputs", [])), set(known.values()), outputs, names)
        if old and not same:
            self._remove(old["outputs"])
        self._remove_leftovers([*outputs, MANIFEST], names)
        for identity in set(known) - set(names):
            self._remove(_table_files(known[identity]))
        started = old["started"] if same else started
        manifest = {
            "format": FORMAT,
            "key": key,
            "started": started,
            "inputs": [asdict(entry) for entry in inputs],
            "tables": [[*identity, name] for identity, name in names.items()],
            "outputs": list(outputs),
            "lists": lists,
        }
        write_text_atomic(self.path / MANIFEST, json.dumps(manifest), overwrite=True)
        return names, started

    def known_inputs(self, key: dict[str, str]) -> dict[Identity, int]:
        """Number of events of each input that the results here are of; empty for other keys.

        Raises
        ------
        OutputError
            If what describes the results cannot be read.
        """
        old = self._read_manifest()
        if not old or old["key"] != key:
            return {}
        return {entry.identity: entry.events for entry in old["inputs"]}

    def _read_manifest(self) -> dict[str, Any]:
        path = self.path / MANIFEST
        if not os.path.lexists(path):
            return {}
        try:
            manifest: dict[str, Any] = json.loads(path.read_bytes())
            if manifest["format"] != FORMAT:
                raise ValueError
            manifest["inputs"] = [InputName(**entry) for entry in manifest["inputs"]]
            return manifest
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise OutputError(
                f"{path} cannot be read or is of another version; choose another folder."
            ) from error

    def _refuse_other(
        self,
        old: dict[str, Any],
        key: dict[str, str],
        inputs: Sequence[InputName],
        first: Callable[[Identity, int], str],
    ) -> None:
        names = dict.fromkeys([*key, *old["key"]])
        different = [name for name in names if old["key"].get(name) != key.get(name)]
        if different:
            raise OtherResultsError(
                f"{self.path} holds results of another {' and '.join(different)}; choose "
                "another folder, or allow them to be overwritten."
            )
        now = {entry.identity: entry for entry in inputs}
        for entry in old["inputs"]:
            if entry.identity not in now:
                raise OtherResultsError(
                    f"{self.path} holds results of {entry.path}, which is not among what is to "
                    "be sorted now; choose another folder, or allow them to be overwritten."
                )
            fewer = now[entry.identity].events < entry.events
            if fewer or first(entry.identity, entry.events) != entry.selection:
                raise OtherResultsError(
                    f"{self.path} holds results of events of {entry.path} that are not to be "
                    "sorted now; choose another folder, or allow them to be overwritten."
                )

    def _refuse_foreign(
        self,
        our_outputs: set[str],
        our_tables: set[str],
        outputs: Sequence[str],
        names: dict[Identity, str],
    ) -> None:
        wanted = [self.path / name for name in outputs if name not in our_outputs]
        for name in set(names.values()) - our_tables:
            wanted += [self.path / file for file in _table_files(name)]
        for path in sorted(wanted):
            if os.path.lexists(path):
                raise OutputError(
                    f"{path} exists already and was not made by this sort; choose another "
                    "folder, or move it away."
                )

    def _remove(self, files: Sequence[str]) -> None:
        for name in files:
            with suppress(FileNotFoundError):
                (self.path / name).unlink()

    def _remove_leftovers(self, outputs: Sequence[str], names: dict[Identity, str]) -> None:
        """Remove temporary files of a process that was killed while writing."""
        tables = {f"{name}.json" for name in names.values()}
        for folder, ours in ((self.path, set(outputs)), (self.tables, tables)):
            for path in folder.glob(".*.????????"):
                if path.name[1:-9] in ours:
                    with suppress(OSError):
                        path.unlink()


def _table_files(name: str) -> list[str]:
    return [f"{TABLES}/{name}.csv", f"{TABLES}/{name}.json", f"{TABLES}/.{name}.csv.part"]
