"""Groups of frames that are judged by themselves: memory cells, gain stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.frames import Frames
from napari_xfelsort.core.masks.making import Inputs

_KINDS = ("dark", "bright", "ordinary")


def groups_of(
    groups: NDArray[Any] | Mapping[str, NDArray[Any]] | str | None, inputs: Inputs
) -> tuple[NDArray[np.int64] | None, list[Inputs]]:
    """Labels of the groups, None without any, and the frames of each.

    Raises
    ------
    SettingsError
        If there is not one number for each frame, the files do not tell the memory cell, or
        a group has bright frames and no dark ones while others have.
    """
    if groups is None:
        return None, [inputs]
    if inputs.gain:
        raise SettingsError("Gain indicators cannot be divided into groups; make that mask apart.")
    frames = {kind: getattr(inputs, kind) for kind in _KINDS}
    frames = {kind: each for kind, each in frames.items() if each is not None}
    numbers = {kind: _numbers(groups, kind, each, len(frames)) for kind, each in frames.items()}
    labels = np.unique(np.concatenate(list(numbers.values())))
    members = []
    for label in labels.tolist():
        own: dict[str, Any] = {}
        for kind, each in frames.items():
            wanted = numbers[kind] == label
            if wanted.any():
                own[kind] = each.take(wanted)
        if "dark" in frames and "dark" not in own:
            raise SettingsError(
                f"Group {label} has {next(iter(own))} frames but no dark ones; give dark frames "
                "of every group, or none."
            )
        members.append(Inputs(**own))
    return labels, members


def _numbers(
    groups: NDArray[Any] | Mapping[str, NDArray[Any]] | str,
    kind: str,
    frames: Frames,
    n_kinds: int,
) -> NDArray[np.int64]:
    if isinstance(groups, str):
        if groups != "cell":
            raise SettingsError(f'Groups are numbers, one a frame, or "cell", not {groups!r}.')
        return frames.cells()
    if isinstance(groups, Mapping):
        if kind not in groups:
            raise SettingsError(f"The groups of the {kind} frames are missing.")
        found = np.asarray(groups[kind])
    elif n_kinds > 1:
        raise SettingsError("Give the groups of each kind of frames: a mapping with their names.")
    else:
        found = np.asarray(groups)
    if found.shape != (len(frames),) or found.dtype.kind not in "iu":
        raise SettingsError(
            f"Groups of {len(frames)} {kind} frames are as many whole numbers, not "
            f"{found.dtype} of {found.shape}."
        )
    return found.astype(np.int64)
