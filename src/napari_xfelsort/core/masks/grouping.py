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

Groups = NDArray[Any] | Mapping[str, Any] | str


def groups_of(
    groups: Groups | None, inputs: Inputs
) -> tuple[NDArray[np.int64] | None, list[Inputs]]:
    """Labels of the groups, None without any, and the frames of each.

    Raises
    ------
    SettingsError
        If there is not one number for each frame, the files do not tell the memory cell, or
        a group has bright frames and no dark ones while others have, or not every gain stage.
    """
    if groups is None:
        return None, [inputs]
    frames = {kind: getattr(inputs, kind) for kind in _KINDS}
    frames = {kind: each for kind, each in frames.items() if each is not None}
    n_kinds = len(frames) + len(inputs.gain)
    numbers = {
        kind: _numbers(groups, kind, (kind,), each, n_kinds) for kind, each in frames.items()
    }
    stages = [
        _numbers(groups, f"gain stage {k}", ("gain", k), each, n_kinds)
        for k, each in enumerate(inputs.gain)
    ]
    labels = np.unique(np.concatenate([*numbers.values(), *stages]))
    members = []
    for label in labels.tolist():
        own: dict[str, Any] = {}
        for kind, each in frames.items():
            wanted = numbers[kind] == label
            if wanted.any():
                own[kind] = each.take(wanted)
        if "dark" in frames and "dark" not in own:
            which = next(iter(own), "gain")
            raise SettingsError(
                f"Group {label} has {which} frames but no dark ones; give dark frames "
                "of every group, or none."
            )
        wanted_of = [number == label for number in stages]
        missing = [k for k, wanted in enumerate(wanted_of) if not wanted.any()]
        if missing and len(missing) < len(stages):
            raise SettingsError(f"Group {label} has no frames of gain stage {missing[0]}.")
        if not missing:
            pairs = zip(inputs.gain, wanted_of, strict=True)
            own["gain"] = tuple(stage.take(wanted) for stage, wanted in pairs)
        members.append(Inputs(**own))
    return labels, members


def _numbers(
    groups: Groups, name: str, place: tuple[Any, ...], frames: Frames, n_kinds: int
) -> NDArray[np.int64]:
    """Group of each frame of a kind, which is at that place of a mapping."""
    if isinstance(groups, str):
        if groups != "cell":
            raise SettingsError(f'Groups are numbers, one a frame, or "cell", not {groups!r}.')
        return frames.cells()
    if isinstance(groups, Mapping):
        given: Any = groups
        try:
            for key in place:
                given = given[key]
        except (KeyError, IndexError, TypeError) as error:
            raise SettingsError(f"The groups of the {name} frames are missing.") from error
        found = np.asarray(given)
    elif n_kinds > 1:
        raise SettingsError("Give the groups of each kind of frames: a mapping with their names.")
    else:
        found = np.asarray(groups)
    if found.shape != (len(frames),) or found.dtype.kind not in "iu":
        raise SettingsError(
            f"Groups of {len(frames)} {name} frames are as many whole numbers, not "
            f"{found.dtype} of {found.shape}."
        )
    return found.astype(np.int64)
