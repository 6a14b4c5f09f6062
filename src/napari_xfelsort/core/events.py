"""What names one event, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import ListError


@dataclass(frozen=True, order=True)
class EventId:
    """Name of one event, written as CrystFEL writes it.

    Attributes
    ----------
    file : str
        The file, as the user gave it.
    event : str
        CrystFEL's event part: ``//3`` (index), ``tag-12//`` (path), ``a/b//3``
        (both), or empty when the file holds one image.
    place : str
        Where the file is, when its name does not lead there from the working folder (a
        list in another folder names it); empty otherwise. Not a part of the name.
    """

    file: str
    event: str = ""
    place: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.file} {self.event}" if self.event else self.file

    @property
    def short(self) -> str:
        """The name with the file's folder left out, for narrow places."""
        file = PurePath(self.file).name or self.file
        return f"{file} {self.event}" if self.event else file

    @classmethod
    def parse(cls, line: str) -> EventId:
        """Read one line of a CrystFEL list.

        The event part is the text after the *last* blank, and only if it holds
        ``//``: file names may contain blanks (CrystFEL, ``im-sandbox.c``).

        Raises
        ------
        ListError
            If the line is blank.
        """
        text = line.strip("\r\n")
        if not text.strip():
            raise ListError("A blank line names no event.")
        head, blank, tail = text.rpartition(" ")
        if blank and "//" in tail:
            return cls(head.rstrip(), tail)
        return cls(text.strip())

    @property
    def path_parts(self) -> tuple[str, ...]:
        """Values of the ``%`` placeholders in the dataset path."""
        path = self.event.partition("//")[0]
        return tuple(p for p in path.split("/") if p)

    @property
    def indices(self) -> tuple[int, ...]:
        """Values of the ``%`` axes of the dataset.

        Raises
        ------
        ListError
            If a value is not a whole number.
        """
        dims = self.event.partition("//")[2]
        try:
            return tuple(int(d) for d in dims.split("/") if d)
        except ValueError:
            raise ListError(
                f"The event id {str(self)!r} has an index that is not a whole number."
            ) from None


def event_string(path_parts: tuple[str, ...] = (), indices: tuple[int, ...] = ()) -> str:
    """Compose CrystFEL's event part from path and index values."""
    if not path_parts and not indices:
        return ""
    return "/".join(path_parts) + "//" + "/".join(str(i) for i in indices)


class Peaks(NamedTuple):
    """Stored peaks of one event: three 1-D arrays of equal length.

    ``fs`` and ``ss`` are pixel indices (pixel centre = integer) in the frame as
    stored; CrystFEL adds 0.5 to get its corner-based coordinates.
    """

    fs: NDArray[np.float64]
    ss: NDArray[np.float64]
    intensity: NDArray[np.float64]
