"""Settings of `make_mask`, and the reasons that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Self

from napari_xfelsort.core.masks.robust import RobustSettings
from napari_xfelsort.core.settings import Settings, setting


class MaskReason(IntFlag):
    """Why a pixel is bad: the bits of a mask that was made, 0 for a good pixel."""

    OFFSET = 1  #: its mean in the dark is off the plane of its neighbours (F2)
    NOISE = 2  #: its deviation in the dark is (F3)
    GAIN_SEPARATION = 4  #: gain stages overlap (F4)
    GAIN_LEVEL = 8  #: the level of a gain stage is an outlier (F5)
    BRIGHT = 16  #: its mean ratio of signal to noise in the light is an outlier (F6)
    FLICKER = 32  #: the deviation of that ratio is
    DEAD = 64  #: its value never changes, or is never finite
    GIVEN = 128  #: for a `MaskSource`: panel edge, geometry, data file, saturated ...


class MaskSource(IntFlag):
    """Where a pixel's `MaskReason.GIVEN` comes from."""

    EDGE = 1  #: border of a panel
    GEOMETRY = 2  #: the geometry's bad regions, panel edges and unused panels
    DATA_FILE = 4  #: mask in the data file
    SATURATED = 8  #: above the saturation
    SHADOW = 16  #: in a shadow: beam stop, its arm, a nozzle
    USER = 32  #: a mask that was given, or a manual edit


@dataclass(frozen=True)
class MaskSettings(Settings):
    """How bad pixels are found.

    Scales are estimated with one λ and pixels judged with another: with 3 and 6 defects of
    8 scales are found, which the paper's single 8 misses (see `paper`).
    """

    mask_lambda: float = setting(
        6.0, "a pixel so many scales from the others is bad", minimum=1, maximum=100
    )
    scale_lambda: float = setting(3.0, "λ of the estimate of scales", minimum=1.0, maximum=100.0)
    frame_lambda: float = setting(
        6.0,
        "a dark frame whose mean is so many scales from the others is left out (F1)",
        minimum=1,
        maximum=100,
    )
    window: int = setting(64, "side of the windows of dark planes", unit="pixels", minimum=5)
    bright_window: int = setting(
        15, "side of the windows of bright planes", unit="pixels", minimum=5
    )
    floor: float = setting(
        0.0, "least scale; 1/6 photon for photon counters", unit="ADU", minimum=0.0
    )
    clean: bool = setting(True, "take what evenly spread outliers add to scales away")
    dead: bool = setting(True, "pixels that never change are bad")
    flicker: bool = setting(True, "pixels whose ratio in the light varies too much are bad")
    edge: int = setting(0, "border of each panel that is bad", unit="pixels", minimum=0)
    saturation: float | None = setting(
        None,
        "a pixel above this in any dark or bright frame, or half of the ordinary ones, is bad",
        unit="ADU",
    )
    shadow: bool = setting(
        False, "a connected region that is darker than what is around it in the light is bad"
    )
    ordinary_frames: int = setting(
        200, "frames of ordinary runs that are looked at, evenly spread", minimum=20
    )

    @classmethod
    def paper(cls) -> Self:
        """As in Sadri et al. 2022: λ = 8 for both, and the features F1 to F6 only."""
        return cls(
            mask_lambda=8.0,
            scale_lambda=8.0,
            frame_lambda=8.0,
            clean=False,
            dead=False,
            flicker=False,
        )

    @property
    def robust(self) -> RobustSettings:
        """Of the fits."""
        return RobustSettings(scale_lambda=self.scale_lambda, clean=self.clean, floor=self.floor)
