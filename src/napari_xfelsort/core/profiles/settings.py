"""What can be chosen when profiles are fitted."""

from __future__ import annotations

from dataclasses import dataclass

from napari_xfelsort.core.settings import Settings, setting

#: Along what a region is projected.
AXES = ("fs", "ss", "x", "y", "q")
#: What positions along each axis count.
UNITS = {"fs": "pixels", "ss": "pixels", "x": "pixels", "y": "pixels", "q": "1/angstrom"}


@dataclass(frozen=True)
class ProfileSettings(Settings):
    """How a region becomes a profile, and what is fitted to it."""

    axis: str = setting(
        "fs",
        "along what: fs or ss of the frame as stored, x or y of the laboratory, or q around "
        "the beam",
        choices=AXES,
    )
    order: int = setting(
        4,
        "order of the polynomial; it has at most order - 2 inflection points",
        minimum=1,
        maximum=12,
    )
    statistic: str = setting(
        "mean",
        "what a point of the profile is of the pixels across the axis",
        choices=("mean", "median"),
    )
    trim: int = setting(
        0, "points left out at each end of the profile", unit="points", minimum=0, maximum=100_000
    )
    min_share: float = setting(
        0.1,
        "a point counts when it has at least this share of a usual point's pixels, unmasked",
        minimum=0,
        maximum=1,
    )
    min_points: float = setting(
        0.5,
        "a profile is fitted when at least this share of the points that hold pixels count",
        minimum=0,
        maximum=1,
    )
