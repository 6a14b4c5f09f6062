"""The mask that a dock is about: what it began as, and the edits done to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.edited import EditedMask
from napari_xfelsort.core.masks.editing import EditList
from napari_xfelsort.core.masks.edits import Edit, Threshold
from napari_xfelsort.core.masks.made import MadeMask
from napari_xfelsort.core.masks.own import own_mask

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack
    from napari_xfelsort.widgets.run import Run


class MaskState(QObject):
    """A mask, its edits and the images that thresholds look at.

    Attributes
    ----------
    run : Run or None
        Whose detector it is of.
    inputs : dict of str to str
        What it was made from.
    frames : dict of str to EventStack
        Those frames.
    images : dict of str to ndarray
        For thresholds, raw-shaped, by name.
    """

    #: The mask is another: λ, an edit, or all of it.
    changed = Signal()
    #: It began as another mask, or there is none any more.
    replaced = Signal()
    #: An edit is not possible: a sentence.
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.run: Run | None = None
        self.inputs: dict[str, str] = {}
        self.frames: dict[str, EventStack] = {}
        self.images: dict[str, NDArray[Any]] = {}
        self._edited: EditedMask | None = None

    @property
    def made(self) -> MadeMask | None:
        """The mask before edits; None when there is none."""
        return None if self._edited is None else self._edited.base  # type: ignore[return-value]

    @property
    def mask(self) -> MadeMask | None:
        """The mask with its edits; None when there is none."""
        return None if self._edited is None else self._edited.mask  # type: ignore[return-value]

    @property
    def edits(self) -> EditList:
        """All edits, undone ones too."""
        return EditList() if self._edited is None else self._edited.edits

    def counts(self, number: int) -> tuple[int, int] | None:
        """Pixels that an edit made bad and made good; None of one that is undone."""
        return None if self._edited is None else self._edited.counts(number)

    def begin(
        self,
        mask: PixelMask,
        inputs: Mapping[str, str] | None = None,
        frames: Mapping[str, EventStack] | None = None,
    ) -> None:
        """Go on with this mask and its edits.

        Raises
        ------
        SettingsError
            If the edits are not possible.
        """
        if self.run is None:
            return
        made = mask if isinstance(mask, MadeMask) else MadeMask(mask.reasons)
        edited = EditedMask(made.before_edits(), self.run.stack.geometry, self.images)
        edited.set_edits(made.edits or EditList())
        self._edited, self.inputs = edited, dict(inputs or {})
        self.frames = dict(frames or {})
        self._name_images()
        self.replaced.emit()
        self.changed.emit()

    def begin_with_own(self) -> None:
        """Unless there is a mask, go on with the one that the run has, or an empty one."""
        if self._edited is not None or self.run is None:
            return
        self.begin(own_mask(self.run.stack))

    def forget(self) -> None:
        """There is no mask any more."""
        self._edited = None
        self.images.clear()
        self.frames = {}
        self.inputs = {}
        self.replaced.emit()
        self.changed.emit()

    def set_lambda(self, value: float) -> bool:
        """Judge by another λ; no frame is read again. Whether anything changed."""
        made = self.made
        if self._edited is None or made is None or value == made.settings.mask_lambda:
            return False
        try:
            self._edited.set_base(made.with_lambda(value))
        except XfelsortError as error:
            self.refused.emit(str(error))
        self.changed.emit()
        return True

    # --- edits --------------------------------------------------------------------------

    def add(self, edit: Edit) -> None:
        """Do one more edit; a threshold keeps the pixels that it means now."""
        self.begin_with_own()
        if self._edited is None:
            return
        try:
            if isinstance(edit, Threshold):
                edit = edit.kept(self._edited.canvas)
        except XfelsortError as error:
            self.refused.emit(str(error))
            return
        self._use(self.edits.add(edit))

    def undo(self) -> None:
        """Take the last edit back."""
        self._use(self.edits.undo())

    def redo(self) -> None:
        """Do again what was taken back last."""
        self._use(self.edits.redo())

    def switch(self, number: int, on: bool) -> None:
        """Do an edit or leave it out."""
        self._use(self.edits.redo(number) if on else self.edits.undo(number))

    def remove(self, number: int) -> None:
        """Take an edit out of the list."""
        self._use(self.edits.remove(number))

    def clear(self) -> None:
        """Take all edits out of the list."""
        self._use(EditList())

    def _use(self, edits: EditList) -> None:
        if self._edited is None or edits == self._edited.edits:
            return
        try:
            self._edited.set_edits(edits)
        except XfelsortError as error:
            self.refused.emit(str(error))
            return
        self.changed.emit()

    def add_image(self, name: str, image: NDArray[Any]) -> None:
        """Let thresholds look at this image."""
        self.images[name] = image

    def _name_images(self) -> None:
        made = self.made
        if made is None:
            return
        for name, feature in made.features.items():
            self.images[name] = feature.values
            self.images[f"{name} ratio"] = feature.ratio
