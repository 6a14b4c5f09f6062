"""From a sort, labels, lists or data to the stack of the selected events."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from napari_xfelsort.core.errors import LabelError, ListError, NoEventsError, SettingsError
from napari_xfelsort.core.label_journal import split_label
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.sorting.folder import MANIFEST, read_list_names
from napari_xfelsort.core.stack import EventStack

#: Opens what is named.
Open = Callable[[list[str]], EventStack]


def select(
    paths: Sequence[str],
    class_name: str | None,
    data: Sequence[str] | None,
    open_paths: Open,
) -> EventStack:
    """The events that are meant, in the order of the data or of the list.

    Parameters
    ----------
    paths : sequence of str
        One folder of a sort or of labels; or lists, files, folders of data.
    class_name : str, optional
        The class to take of a sort or of labels.
    data : sequence of str, optional
        Where the data of labels are.
    open_paths : callable
        Opens names as `open_stack` does.

    Raises
    ------
    SettingsError
        If a class is needed, or given where there is none.
    LabelError, ListError, NoEventsError
        If there is no event of that class.
    """
    folder = Path(paths[0])
    special = [path for path in paths if _is_sort(Path(path)) or _is_labels(Path(path))]
    if special and len(paths) > 1:
        raise SettingsError(f"{special[0]} holds the events already; name it alone.")
    if _is_sort(folder):
        return open_paths([str(_list_of(folder, class_name))])
    if _is_labels(folder):
        return _labelled(folder, class_name, data, open_paths)
    if class_name is not None:
        raise SettingsError(
            f"{paths[0]} is no folder of a sort and holds no labels, so that it has no class "
            f"{class_name!r}."
        )
    return open_paths(list(paths))


def _is_sort(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _is_labels(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("labels-*.csv"))


def _list_of(folder: Path, class_name: str | None) -> Path:
    """The list of a class of a sort."""
    names = read_list_names(folder)
    if class_name is None:
        raise SettingsError(f"Say which class to take: {', '.join(names)}.")
    if class_name not in names:
        raise SettingsError(f"The sort has no class {class_name!r} but {', '.join(names)}.")
    path = folder / names[class_name]
    if not path.is_file():
        raise ListError(f"{path} is not there: the sort is not complete; run it again.")
    if not path.stat().st_size:
        raise NoEventsError(f"No event of {folder} is {class_name}.")
    return path


def _labelled(
    folder: Path, class_name: str | None, data: Sequence[str] | None, open_paths: Open
) -> EventStack:
    store = LabelStore(folder)
    used = list(store.classes_used)
    if class_name is None:
        raise SettingsError(f"Say which class to take: {', '.join(used)}.")
    if class_name not in used:
        raise LabelError(f"No event in {folder} is labelled {class_name!r} but {', '.join(used)}.")
    names = list(data or ())
    if not names:
        labels = store.labels().items()
        files = dict.fromkeys(
            event.place or event.file
            for event, label in labels
            if class_name in split_label(label)
        )
        names = [name for name in files if os.path.exists(name)]
        if not names:
            raise LabelError(
                f"The files that {folder} names are not to be found from here, "
                f"{next(iter(files))} first; say where the data are."
            )
    stack = open_paths(names)
    labels_of = store.aligned(stack)
    found = np.flatnonzero([class_name in split_label(label or "") for label in labels_of])
    if not len(found):
        raise NoEventsError(f"No event of the data is labelled {class_name!r} in {folder}.")
    return stack.subset(found)
