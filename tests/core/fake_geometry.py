"""A two-panel detector for tests of regions: p0 above p1 in the raw frame."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


def _panel(start: int) -> SimpleNamespace:
    return SimpleNamespace(
        raw_index=(slice(start, start + 4), slice(0, 6)),
        flag_lessthan=None,
        flag_morethan=None,
        adu_per_photon=None,
        adu_per_ev=None,
        flag_equal=None,
    )


class FakeGeometry:
    """Panels of 4 x 6 pixels of 0.1 mm; p0 at x, y >= 0, p1 beside it, one row between them.

    The raw frame has 9 rows and 6 columns; row 4 belongs to no panel.
    """

    pixel = 1e-4
    raw_shape = (9, 6)
    digest = "fake"
    clen = None

    def __init__(self) -> None:
        self.panels = {
            "p0": _panel(0),
            "p1": _panel(5),
        }

    def fit(self, raw_shape: tuple[int, ...]) -> FakeGeometry:
        return self

    def static_mask(self) -> None:
        return None

    def camera_length(self, length: float) -> float:
        return length

    def positions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x = np.full(self.raw_shape, np.nan)
        y = np.full(self.raw_shape, np.nan)
        fs = np.arange(6) + 0.5
        ss = np.arange(4)[:, None] + 0.5
        for rows, shift in ((slice(0, 4), 0), (slice(5, 9), 10)):
            x[rows] = (fs + shift) * self.pixel
            y[rows] = np.broadcast_to(ss, (4, 6)) * self.pixel
        return x, y, np.where(np.isnan(x), np.nan, 0.1)

    def q_map(
        self, photon_energy: float | None = None, camera_length: float | None = None
    ) -> np.ndarray:
        x, y, z = self.positions()
        theta = np.arctan2(np.hypot(x, y), z) / 2
        return 4 * np.pi * np.sin(theta) / (12398.419843320026 / (photon_energy or np.nan))
