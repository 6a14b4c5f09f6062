"""How two masks differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.mask import PixelMask


@dataclass(frozen=True, eq=False)
class MaskComparison:
    """Where two masks of one detector agree and where they do not.

    Attributes
    ----------
    codes : ndarray of uint8, raw shape
        0 where both are good, else `ADDED`, `REMOVED` or `AGREE`.
    added, removed, agree : int
        Pixels that are bad in this mask only, in the other only, and in both.
    """

    ADDED: ClassVar[int] = 1
    REMOVED: ClassVar[int] = 2
    AGREE: ClassVar[int] = 3

    codes: NDArray[np.uint8]
    added: int
    removed: int
    agree: int


def compare_masks(mask: PixelMask, other: PixelMask) -> MaskComparison:
    """Compare a mask with another one.

    Raises
    ------
    SettingsError
        If their shapes differ.
    """
    if mask.reasons.shape != other.reasons.shape:
        raise SettingsError(
            f"The other mask is of {other.reasons.shape}, this one of {mask.reasons.shape}; "
            "masks of the same detector can be compared."
        )
    codes = mask.bad.astype(np.uint8) + 2 * other.bad.astype(np.uint8)
    counts = np.bincount(codes.ravel(), minlength=4).tolist()
    return MaskComparison(codes, counts[1], counts[2], counts[3])
