"""Which pixels are bad, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray


class Reason(IntFlag):
    """Bits of a mask that say where it came from; 0 is a good pixel."""

    FILE = 1  #: marked bad in the data file or the file's own mask
    GEOMETRY = 2  #: bad region, panel edge or unused panel of the geometry
    VALUE = 4  #: the value itself says so: sentinel, saturated, NaN
    USER = 8  #: a mask that the user gave or drew


@dataclass(frozen=True, eq=False)
class PixelMask:
    """Per-pixel reasons for not using a pixel.

    Attributes
    ----------
    reasons : ndarray of uint8, raw shape
        0 where the pixel is good.
    """

    reasons: NDArray[np.uint8]

    @classmethod
    def from_bad(cls, bad: NDArray[np.bool_], reason: int = Reason.USER) -> PixelMask:
        """Mask from a boolean array, True where bad."""
        return cls(np.where(bad, np.uint8(reason), np.uint8(0)))

    @property
    def bad(self) -> NDArray[np.bool_]:
        """True where the pixel must not be used; raw shape."""
        return np.asarray(self.reasons != 0)

    @property
    def n_bad(self) -> int:
        """Number of bad pixels."""
        return int(np.count_nonzero(self.reasons))

    def __or__(self, other: PixelMask | None) -> PixelMask:
        if other is None:
            return self
        return PixelMask(self.reasons | other.reasons)


def combine(*masks: PixelMask | None) -> PixelMask | None:
    """Union of masks, None where there is none at all."""
    result: PixelMask | None = None
    for mask in masks:
        if mask is not None:
            result = mask if result is None else result | mask
    return result
