"""Squared structure factors: of a CrystFEL reflection list, or by Wilson statistics."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import UnreadableFileError
from napari_xfelsort.core.simulate.sfx.cell import direct_axes
from napari_xfelsort.core.simulate.sfx.curves import wilson_mean
from napari_xfelsort.core.simulate.sfx.symmetry import MAX_INDEX, keys, operations

#: Temperature factor in angstrom^2 that a list is taken to have, to find its scale.
LIST_B = 20.0


class Intensities(Protocol):
    """Where squared structure factors come from."""

    #: Whether their fall towards high resolution is in them already.
    falls: bool

    def of(self, hkl: NDArray[np.int64], q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared structure factors in electrons squared of indices with their 1/d."""
        ...


@dataclass(frozen=True)
class WilsonIntensities:
    """Intensities of a structure that is not known: exponential, the same in all events.

    Attributes
    ----------
    volume : float
        Of the cell, in angstrom^3.
    point_group : str
        Reflections that it and Friedel's law make equal have equal intensities.
    seed : int
        Another seed is another structure.
    """

    volume: float
    point_group: str
    seed: int
    falls = False

    def of(self, hkl: NDArray[np.int64], q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared structure factors, drawn by a hash of the indices."""
        uniform = _hashed(keys(hkl, self.point_group, friedel=True), self.seed)
        return np.asarray(-np.log(uniform) * wilson_mean(q, self.volume))


def _hashed(numbers: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Numbers between 0 and 1, excluded, by the mixer of splitmix64 (Steele et al., 2014)."""
    mixed = numbers.astype(np.uint64) ^ np.uint64((seed * 0x9E3779B97F4A7C15) & (2**64 - 1))
    for _ in range(2):
        mixed = mixed + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return np.asarray(((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


@dataclass(frozen=True, eq=False)
class ListIntensities:
    """Intensities of a reflection list; what it lacks has none.

    Attributes
    ----------
    point_group : str
        Of the list.
    known : ndarray of int64
        Keys of its reflections, ascending.
    values : ndarray of float64
        Their intensities.
    friedel : bool
        Whether keys join Friedel mates.
    """

    point_group: str
    known: NDArray[np.int64]
    values: NDArray[np.float64]
    friedel: bool
    falls = True

    def of(self, hkl: NDArray[np.int64], q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Intensities of these indices, 0 where the list has none."""
        wanted = keys(hkl, self.point_group, self.friedel)
        place = np.minimum(np.searchsorted(self.known, wanted), len(self.known) - 1)
        return np.where(self.known[place] == wanted, self.values[place], 0.0)


def read_reflections(
    path: str | os.PathLike[str],
) -> tuple[NDArray[np.int64], NDArray[np.float64], str | None]:
    """Indices, intensities and the point group of a CrystFEL reflection list.

    Of each line the first four columns count: h, k, l and intensity. A list ends with
    ``End of reflections`` or with the file.

    Raises
    ------
    UnreadableFileError
        If the file cannot be read, a line is no reflection, or there is none.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UnreadableFileError(
            f"The reflection list {path} cannot be read: {error.strerror or error}."
        ) from error
    symmetry = None
    body = 0
    for number, line in enumerate(lines):
        if line.startswith("Symmetry:"):
            symmetry = line.partition(":")[2].strip()
        if line.split()[:3] == ["h", "k", "l"]:
            body = number + 1
            break
    rows: list[tuple[int, int, int]] = []
    values: list[float] = []
    for number, line in enumerate(lines[body:], body + 1):
        if line.startswith("End of reflections"):
            break
        words = line.split()
        if not words:
            continue
        try:
            h, k, l = (int(word) for word in words[:3])  # noqa: E741
            value = float(words[3])
        except (ValueError, IndexError):
            raise UnreadableFileError(
                f"Line {number} of the reflection list {path} is no reflection: {line[:60]!r}. "
                "It needs h, k, l and an intensity."
            ) from None
        if max(abs(h), abs(k), abs(l)) > MAX_INDEX // 2 or not np.isfinite(value):
            raise UnreadableFileError(
                f"Line {number} of the reflection list {path} has an impossible value: "
                f"{line[:60]!r}."
            )
        rows.append((h, k, l))
        values.append(value)
    if not rows:
        raise UnreadableFileError(f"The reflection list {path} has no reflections.")
    return np.array(rows, np.int64), np.array(values), symmetry


def list_intensities(
    path: str | os.PathLike[str], cell: Sequence[float], point_group: str, scale: float = 0.0
) -> ListIntensities:
    """Intensities of a CrystFEL reflection list.

    Parameters
    ----------
    path : path
        The list. Its own ``Symmetry`` counts before ``point_group``.
    cell : sequence of 6 float
        Edges in angstrom and angles in degrees.
    scale : float
        What its intensities are multiplied with to be electrons squared; 0: so that
        their mean is that of a protein crystal with this cell.

    Raises
    ------
    UnreadableFileError
        If the file is no such list, or all its intensities are 0.
    SettingsError
        If its point group is unknown.
    """
    hkl, values, symmetry = read_reflections(path)
    group = symmetry or point_group
    order = len(operations(group))
    values = np.maximum(values, 0.0)
    axes = direct_axes(cell)
    if scale <= 0.0:
        q = np.linalg.norm(hkl @ np.linalg.inv(axes).T, axis=1)
        expected = wilson_mean(q, abs(np.linalg.det(axes))) * np.exp(-0.5 * LIST_B * q * q)
        if not values.sum() > 0.0:
            raise UnreadableFileError(f"The reflection list {path} has no intensity above 0.")
        scale = float(expected.sum() / values.sum())
    # Lists of a group without inversion may have one of two Friedel mates alone.
    own, mates = keys(hkl, group), keys(-hkl, group)
    friedel = order == len(operations(group, friedel=True)) or not np.isin(mates, own).any()
    if friedel:
        own = keys(hkl, group, friedel=True)
    known, first = np.unique(own, return_index=True)
    return ListIntensities(group, known, values[first] * scale, bool(friedel))
