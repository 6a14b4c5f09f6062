"""`MadeMask`: a bad-pixel mask with what it was made of, to be judged by another λ later."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.settings import MaskReason, MaskSettings, MaskSource

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.masks.editing import EditList

#: Only what is far above the others is bad.
ONE_SIDED = ("flicker",)
_REASONS = {
    "offset": MaskReason.OFFSET,
    "noise": MaskReason.NOISE,
    "gain_level": MaskReason.GAIN_LEVEL,
    "bright": MaskReason.BRIGHT,
    "flicker": MaskReason.FLICKER,
    "ordinary": MaskReason.BRIGHT,
    "ordinary_spread": MaskReason.FLICKER,
}


class Feature(NamedTuple):
    """A feature of every pixel, and how far from the others it is.

    Attributes
    ----------
    values : ndarray of float32, raw shape
        The feature; NaN where it is not known.
    ratio : ndarray of float32, raw shape
        Scales away from what its neighbours have; NaN where that is not known.
    """

    values: NDArray[np.float32]
    ratio: NDArray[np.float32]


class MaskGroups(NamedTuple):
    """What was found in each group of frames: memory cell, gain stage.

    Attributes
    ----------
    labels : ndarray of int64, shape (groups,)
        The groups, in order.
    n_bad : ndarray of int64, shape (groups,)
        Pixels that are bad in each, without those that are not looked at.
    counts : ndarray of uint16, raw shape
        Groups in which each pixel is bad.
    reasons : ndarray of uint8, shape (groups, ...raw shape), optional
        The mask of each group, if these were asked for.
    """

    labels: NDArray[np.int64]
    n_bad: NDArray[np.int64]
    counts: NDArray[np.uint16]
    reasons: NDArray[np.uint8] | None = None

    @property
    def fraction(self) -> NDArray[np.float64]:
        """Share of the groups in which each pixel is bad, raw shape."""
        return np.asarray(self.counts / max(1, len(self.labels)), np.float64)


@dataclass(frozen=True, eq=False)
class MadeMask(PixelMask):
    """A mask with what it was made of; its reasons are `MaskReason`.

    Attributes
    ----------
    features : dict of str to Feature
        ``offset``, ``noise``, ``bright``, ``flicker``, ``gain_level_0`` ...,
        ``ordinary``, ``ordinary_spread``. Of several groups of frames each pixel has its
        worst.
    dark_frames : ndarray of bool, shape (frames,)
        The dark frames that were used in every module (F1).
    settings : MaskSettings
        How it was made.
    separation : ndarray of float, raw shape, optional
        The λ from which gain stages overlap; NaN where not known.
    sources : ndarray of uint8, raw shape
        Bits of `MaskSource`: why a pixel is `MaskReason.GIVEN`.
    n_ordinary : int
        Frames of ordinary runs that were looked at.
    groups : MaskGroups, optional
        What each group of frames gave; None when there were no groups.
    edits : EditList, optional
        Manual edits that led to these reasons.
    unedited : ndarray of uint8, raw shape, optional
        The reasons before the edits.
    """

    features: dict[str, Feature] = field(default_factory=dict)
    dark_frames: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    settings: MaskSettings = field(default_factory=MaskSettings)
    separation: NDArray[np.float32] | None = None
    sources: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    n_ordinary: int = 0
    groups: MaskGroups | None = None
    edits: EditList | None = None
    unedited: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if self.sources.shape != self.reasons.shape:
            object.__setattr__(self, "sources", np.zeros(self.reasons.shape, np.uint8))

    def count(self, reason: MaskReason) -> int:
        """Pixels that are bad for this reason (and perhaps others)."""
        return int(np.count_nonzero(self.reasons & np.uint8(reason)))

    def count_source(self, source: MaskSource) -> int:
        """Pixels that are given by this source (and perhaps others)."""
        return int(np.count_nonzero((self.sources & np.uint8(source) != 0) & self.bad))

    def with_lambda(self, mask_lambda: float) -> MadeMask:
        """The mask that the same frames give with another λ of the mask; none is read.

        It has no manual edits: do them again with `with_edits`. What single groups of frames
        gave is not known for another λ.

        Raises
        ------
        SettingsError
            If λ is out of range.
        """
        settings = dataclasses.replace(self.settings, mask_lambda=mask_lambda)
        base = self.before_edits()
        reasons = base.reasons & np.uint8(MaskReason.DEAD | MaskReason.GIVEN)
        judge(reasons, self.features, self.separation, mask_lambda)
        same = mask_lambda == self.settings.mask_lambda
        return dataclasses.replace(
            base, reasons=reasons, settings=settings, groups=self.groups if same else None
        )

    def before_edits(self) -> MadeMask:
        """The mask without its manual edits; itself if it has none."""
        if self.unedited is None:
            return self
        drawn = (self.unedited == 0) & (self.sources & np.uint8(MaskSource.USER) != 0)
        sources = np.where(drawn, np.uint8(0), self.sources)
        return dataclasses.replace(
            self, reasons=self.unedited, sources=sources, edits=None, unedited=None
        )

    def with_edits(
        self,
        edits: EditList,
        geometry: Geometry | None = None,
        images: Mapping[str, NDArray[Any]] | None = None,
    ) -> MadeMask:
        """The mask with these manual edits instead of those it has.

        Parameters are those of `EditList.apply`; pixels that become bad have the source
        `MaskSource.USER`.

        Raises
        ------
        SettingsError, GeometryError
            As `EditList.apply`.
        """
        base = self.before_edits()
        edited = edits.apply(base, geometry, images)
        drawn = (base.reasons == 0) & (edited.reasons != 0)
        sources = np.where(drawn, base.sources | np.uint8(MaskSource.USER), base.sources)
        return dataclasses.replace(
            base, reasons=edited.reasons, sources=sources, edits=edits, unedited=base.reasons
        )


def reason_of(feature: str) -> MaskReason:
    """Why a pixel is bad that is far off in this feature of a `MadeMask`."""
    return _REASONS[feature.rstrip("_0123456789")]


def place_of(feature: str) -> tuple[int, str]:
    """Key by which features are in the order in which they are found."""
    return list(_REASONS).index(feature.rstrip("_0123456789")), feature


def judge(
    reasons: NDArray[np.uint8],
    features: Mapping[str, Feature],
    separation: NDArray[np.float32] | None,
    mask_lambda: float,
) -> None:
    """Set the bits of features that are more than λ scales off."""
    scales = np.float32(mask_lambda)
    for name, feature in features.items():
        away = feature.ratio if name in ONE_SIDED else np.abs(feature.ratio)
        _mark(reasons, away > scales, reason_of(name))
    if separation is not None:
        _mark(reasons, separation < scales, MaskReason.GAIN_SEPARATION)


def _mark(reasons: NDArray[np.uint8], where: NDArray[np.bool_], reason: MaskReason) -> None:
    """Set a bit; in a time that does not depend on how many pixels have it."""
    np.bitwise_or(reasons, where.view(np.uint8) * np.uint8(reason), out=reasons)


def in_scales(
    values: NDArray[np.float64], level: NDArray[np.float64] | Any, scale: NDArray[np.float64] | Any
) -> NDArray[np.float32]:
    """Distance in scales; infinite off a level without any scale, 0 on it."""
    away = values - level
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(away == 0, 0.0, away / scale), np.float32)
