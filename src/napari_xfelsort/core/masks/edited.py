"""`EditedMask`: a mask with edits that is kept up to date edit by edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.canvas import Canvas
from napari_xfelsort.core.masks.editing import EditList
from napari_xfelsort.core.masks.edits import Edit
from napari_xfelsort.core.masks.made import MadeMask
from napari_xfelsort.core.masks.settings import MaskReason, MaskSource

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry


class _Step(NamedTuple):
    """An edit that was done, and how it is taken back."""

    edit: Edit
    numbers: NDArray[np.intp]
    before: NDArray[np.uint8]
    n_added: int


class EditedMask:
    """A mask and the edits done to it.

    Only what comes after the first difference of two lists is done again, so that one edit
    more takes the time of one edit.

    Parameters
    ----------
    base : PixelMask
        Before the edits; a mask of another class stays of that class.
    geometry : Geometry, optional
        Where the pixels lie; without one, shapes are (fs, ss) in pixels of the raw frame,
        its modules below one another.
    images : mapping of str to ndarray, raw shape, optional
        What thresholds look at, by the name in them.
    reason : int
        Of pixels that become bad; those that were bad before keep theirs.

    Attributes
    ----------
    edits : EditList
        What was done last.

    Raises
    ------
    GeometryError
        If the geometry does not fit.
    """

    def __init__(
        self,
        base: PixelMask,
        geometry: Geometry | None = None,
        images: Mapping[str, NDArray[Any]] | None = None,
        reason: int = MaskReason.GIVEN,
    ) -> None:
        shape = base.reasons.shape
        fitted = None if geometry is None else geometry.fit(shape)
        self.canvas = Canvas(shape, fitted, {} if images is None else images)
        self.edits = EditList()
        self._reason = np.uint8(reason)
        self._base = base
        self._reasons = base.reasons
        self._steps: list[_Step] = []
        self._mask: PixelMask | None = None

    @property
    def base(self) -> PixelMask:
        """Before the edits."""
        return self._base

    @property
    def mask(self) -> PixelMask:
        """The mask after all edits that are not undone; it does not change later.

        One that was made keeps what it was before, and says which pixels became bad by hand.
        """
        if self._mask is None:
            self._mask = self._made()
        return self._mask

    def _made(self) -> PixelMask:
        base = self._base
        if not isinstance(base, MadeMask):
            return replace(base, reasons=self._reasons)
        if not len(self.edits):
            return base
        # Only edits make a good pixel bad.
        drawn = (base.reasons == 0) & (self._reasons != 0)
        sources = base.sources | drawn.view(np.uint8) * np.uint8(MaskSource.USER)
        return replace(
            base,
            reasons=self._reasons,
            sources=sources,
            edits=self.edits,
            unedited=base.reasons,
        )

    def counts(self, number: int) -> tuple[int, int] | None:
        """Pixels that an edit made bad and made good; None of one that is undone."""
        edit = self.edits.edits[number]
        if number in self.edits.undone:
            return None
        step = next(step for step in self._steps if step.edit is edit)
        return step.n_added, len(step.numbers) - step.n_added

    def set_base(self, base: PixelMask) -> None:
        """Do the edits to another mask of the same shape.

        Raises
        ------
        SettingsError
            As `set_edits`.
        """
        edits = self.edits
        self._base, self._reasons, self._steps, self._mask = base, base.reasons, [], None
        self.set_edits(edits)

    def set_edits(self, edits: EditList) -> None:
        """Do these edits instead of those before; nothing changes when one is not possible.

        Raises
        ------
        SettingsError
            If an edit needs an image, panel or geometry that is not there.
        """
        wanted = [e for number, e in enumerate(edits.edits) if number not in edits.undone]
        same = 0
        for step, edit in zip(self._steps, wanted, strict=False):
            if step.edit is not edit:
                break
            same += 1
        steps, reasons = self._steps[:same], self._reasons.copy()
        for step in reversed(self._steps[same:]):
            reasons.reshape(-1)[step.numbers] = step.before
        for edit in wanted[same:]:
            steps.append(self._do(edit, reasons))
        self.edits, self._steps, self._reasons, self._mask = edits, steps, reasons, None

    def _do(self, edit: Edit, reasons: NDArray[np.uint8]) -> _Step:
        bad = reasons != 0
        after = edit.change(bad, self.canvas)
        numbers = np.flatnonzero(bad != after)
        flat = reasons.reshape(-1)
        before = flat[numbers]
        added = before == 0
        flat[numbers] = added.view(np.uint8) * self._reason
        return _Step(edit, numbers, before, int(np.count_nonzero(added)))
