"""`EditList`: manual edits of a mask, done in order to what it was before.

Any edit can be undone, redone or taken out later; the others are then done again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.edits import (
    Edit,
    Ellipse,
    Grow,
    Invert,
    Line,
    Mirror,
    Paint,
    Pixels,
    Polygon,
    Rectangle,
    Shrink,
    Threshold,
)
from napari_xfelsort.core.masks.settings import MaskReason

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

EDITS: dict[str, type[Edit]] = {
    each.kind: each
    for each in (
        Paint,
        Line,
        Rectangle,
        Polygon,
        Ellipse,
        Pixels,
        Threshold,
        Grow,
        Shrink,
        Invert,
        Mirror,
    )
}
_VERSION = 1


@dataclass(frozen=True)
class EditList:
    """Edits in the order in which they are done; a changed list is a new one.

    Attributes
    ----------
    edits : tuple of Edit
        All, undone ones too.
    undone : frozenset of int
        Numbers (from 0) of edits that are not done now.
    """

    edits: tuple[Edit, ...] = ()
    undone: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.edits)

    def add(self, edit: Edit) -> EditList:
        """With one more at the end."""
        return EditList((*self.edits, edit), self.undone)

    def remove(self, number: int) -> EditList:
        """Without this one.

        Raises
        ------
        SettingsError
            If there is no such edit.
        """
        self._check(number)
        kept = self.edits[:number] + self.edits[number + 1 :]
        return EditList(kept, frozenset(k - (k > number) for k in self.undone if k != number))

    def undo(self, number: int | None = None) -> EditList:
        """With this edit undone, or the last that is done; the same list if there is none.

        Raises
        ------
        SettingsError
            If there is no such edit.
        """
        if number is None:
            done = [k for k in range(len(self.edits)) if k not in self.undone]
            return EditList(self.edits, self.undone | set(done[-1:]))
        self._check(number)
        return EditList(self.edits, self.undone | {number})

    def redo(self, number: int | None = None) -> EditList:
        """With this edit done again, or the first undone one after all that are done.

        Raises
        ------
        SettingsError
            If there is no such edit.
        """
        if number is None:
            done = [k for k in range(len(self.edits)) if k not in self.undone]
            after = [k for k in sorted(self.undone) if not done or k > done[-1]]
            return EditList(self.edits, self.undone - set(after[:1]))
        self._check(number)
        return EditList(self.edits, self.undone - {number})

    def apply(
        self,
        base: PixelMask,
        geometry: Geometry | None = None,
        images: Mapping[str, NDArray[Any]] | None = None,
        reason: int = MaskReason.GIVEN,
    ) -> PixelMask:
        """The mask after all edits that are not undone.

        Parameters
        ----------
        base : PixelMask
            Before the edits; a mask of another class stays of that class.
        geometry : Geometry, optional
            Where the pixels lie; without one, shapes are (fs, ss) in raw pixels.
        images : mapping of str to ndarray, raw shape, optional
            What thresholds look at, by the name in them.
        reason : int
            Of pixels that become bad; those that were bad before keep theirs.

        Returns
        -------
        PixelMask
            Raw-shaped, of the class of ``base``.

        Raises
        ------
        SettingsError
            If an edit needs an image, panel or geometry that is not there.
        GeometryError
            If the geometry does not fit.
        """
        from napari_xfelsort.core.masks.edited import EditedMask

        edited = EditedMask(base, geometry, images, reason)
        edited.set_edits(self)
        return edited.mask

    def to_json(self) -> str:
        """The list as text; `from_json` reads it."""
        rows = [
            {"kind": edit.kind}
            | {each.name: getattr(edit, each.name) for each in fields(edit)}
            | ({"undone": True} if number in self.undone else {})
            for number, edit in enumerate(self.edits)
        ]
        return json.dumps({"version": _VERSION, "edits": rows}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> EditList:
        """The list of a text that `to_json` made.

        Raises
        ------
        SettingsError
            If it is another text, or an edit in it is not possible; the text says which.
        """
        try:
            whole = json.loads(text)
            version, rows = whole["version"], list(whole["edits"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SettingsError("These are no edits of a mask.") from error
        if version != _VERSION:
            raise SettingsError(f"The edits are of version {version!r}; this reads {_VERSION}.")
        edits, undone = [], set()
        for number, row in enumerate(rows):
            edit, off = _edit_of(row, number)
            edits.append(edit)
            if off:
                undone.add(number)
        return cls(tuple(edits), frozenset(undone))

    def _check(self, number: int) -> None:
        if not 0 <= number < len(self.edits):
            raise SettingsError(f"There is no edit {number}; there are {len(self.edits)}.")


def _edit_of(row: Any, number: int) -> tuple[Edit, bool]:
    values = dict(row) if isinstance(row, dict) else {}
    kind, off = values.pop("kind", None), values.pop("undone", False)
    made = EDITS.get(kind) if isinstance(kind, str) else None
    if made is None:
        raise SettingsError(f"Edit {number} is of the kind {kind!r}, which is not known.")
    if not all(isinstance(values.get(name, False), bool) for name in ("erase", "square")):
        raise SettingsError(f"Edit {number} ({kind}) has a yes or no that is neither.")
    if not all(isinstance(values.get(name, ""), str) for name in ("image", "along", "within")):
        raise SettingsError(f"Edit {number} ({kind}) has a name that is none.")
    try:
        return made(**values), off is True
    except (SettingsError, TypeError, ValueError, OverflowError) as error:
        raise SettingsError(f"Edit {number} ({kind}) is not possible: {error}") from error
