"""What differs with the direction from the beam, and between panels: rings cannot see it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.representations.rings import BinTable

#: Sectors of one degree.
SECTORS = 360
#: Directions that moments and contrasts are taken of; whole numbers of sectors each.
_DIRECTIONS = 72
MOMENTS = 6
#: Of each group of rings.
AZIMUTHAL_NAMES = (
    *(f"moment {m}" for m in range(1, MOMENTS + 1)),
    "spread over directions",
    "range over directions",
    "significance of directions",
    "two-fold symmetry",
)
#: Of the panels or blocks of the whole frame.
PANEL_NAMES = ("spread over panels", "largest difference of a panel", "significance of panels")
#: Pixels that a direction, ray or panel needs before it counts.
_FEWEST = 4
_FEWEST_RAYS = 16
#: Statistics of a ring that its values are cut by.
_CUT_BY = ("p5", "p95", "variance")


def sector_numbers(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.int32]:
    """Sector of one degree that a direction is in, -1 where it is not finite."""
    with np.errstate(invalid="ignore"):
        degrees = np.degrees(np.arctan2(y, x)) % 360.0
    known = np.isfinite(degrees)
    number = np.full(degrees.shape, -1, np.int32)
    number[known] = np.minimum(degrees[known].astype(np.int32), SECTORS - 1)
    return number


class AzimuthTable:
    """Where the pixels of rings are in azimuth, and on which panel.

    Parameters
    ----------
    index : ndarray of int, any shape
        Ring of each pixel, negative where it is in none.
    positions : ndarray, shape (rings,)
        Mean distance of each from the centre, NaN where a ring is empty.
    sector : ndarray of int32, shape of index
        From `sector_numbers`.
    cell : ndarray of int32, shape of index
        Number of the panel or block, negative for none.
    groups : int
        Groups of rings, of equal width together.
    """

    def __init__(
        self,
        index: NDArray[np.integer[Any]],
        positions: NDArray[np.float64],
        sector: NDArray[np.int32],
        cell: NDArray[np.int32],
        groups: int,
    ) -> None:
        self.rings = BinTable(index, len(positions))
        self.groups = groups
        self._sector, self._cell = sector.ravel(), cell.ravel()
        self._n_cells = max(1, int(self._cell.max(initial=-1)) + 1)
        self._inner = _groups_of(positions, 2)
        self._group = _groups_of(positions, groups)

    def sums(
        self,
        values: NDArray[Any],
        group: NDArray[np.int32] | None = None,
        known: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Number, relative residuals and noise of the sectors and cells of one event.

        Parameters
        ----------
        values : ndarray, shape (pixels,)
            NaN where not good.
        group : ndarray of int32, shape (rings,), optional
            Group of each ring, another than this table's.
        known : ndarray, shape (rings, 3), optional
            5th and 95th percentile and variance of each ring, where they are known.

        Returns
        -------
        of_sectors : ndarray, shape (groups, SECTORS, 3)
        of_cells : ndarray, shape (cells, 3)
        """
        from napari_xfelsort.core.representations.ring_loops import sector_sums

        group = self._group if group is None else group
        if known is None:
            known = self.rings.statistics(values[np.newaxis], _CUT_BY)[0]
        low, high, variance = known.T.copy()
        of_sectors = np.zeros((int(group.max(initial=0)) + 1, SECTORS, 3))
        of_cells = np.zeros((self._n_cells, 3))
        sector_sums(
            values, self.rings.order, self.rings.starts, low, high, np.sqrt(variance), group,
            self._sector, self._cell, of_sectors, of_cells,
        )  # fmt: skip
        return of_sectors, of_cells

    def features(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """`AZIMUTHAL_NAMES` of each group of rings, then `PANEL_NAMES`; finite always.

        Residuals are relative to the level of their ring: 0.1 is 10 % above it.
        """
        sectors, cells = self.sums(values)
        found = np.zeros((self.groups, len(AZIMUTHAL_NAMES)))
        wide = sectors.reshape(len(sectors), _DIRECTIONS, -1, 3).sum(axis=2)
        for g, own in enumerate(wide):
            found[g] = _of_directions(own)
        return np.append(found.ravel(), _of_panels(cells))

    def ring_statistics(
        self, values: NDArray[Any], wanted: tuple[str, ...], sigma: float
    ) -> NDArray[np.float64]:
        """Statistics of the rings of one event, shape (rings, statistics).

        Without `dark_rays`, where ``sigma`` is not 0.
        """
        both = self.rings.statistics(values[np.newaxis], (*wanted, *_CUT_BY))[0]
        found, known = both[:, : len(wanted)], both[:, len(wanted) :]
        if sigma:
            kept = self.without_dark_rays(values, sigma, known)
            if kept is not values:
                found = self.rings.statistics(kept[np.newaxis], wanted)[0]
        return np.asarray(found)

    def dark_rays(
        self, values: NDArray[Any], sigma: float, known: NDArray[np.float64] | None = None
    ) -> NDArray[np.bool_]:
        """Rays in the shadow of a beam stop.

        Those of `SECTORS` rays through the inner half of the rings whose mean residual is
        more than ``sigma`` below the median ray, in the spread of the rays (1.4826 times
        their median absolute deviation); shape (SECTORS,).
        """
        inner = self.sums(values, self._inner, known)[0][0]
        seen = inner[:, 0] >= _FEWEST
        dark = np.zeros(SECTORS, bool)
        if np.count_nonzero(seen) < _FEWEST_RAYS:
            return dark
        ray = inner[seen, 1] / inner[seen, 0]
        middle = np.median(ray)
        spread = 1.4826 * np.median(np.abs(ray - middle))
        dark[seen] = ray < middle - sigma * spread - 1e-12
        return dark

    def without_dark_rays(
        self, values: NDArray[Any], sigma: float, known: NDArray[np.float64] | None = None
    ) -> NDArray[Any]:
        """The values with NaN where `dark_rays` are; the same object when there are none."""
        dark = self.dark_rays(values, sigma, known)
        if not dark.any():
            return values
        there = np.append(dark, False)[self._sector]  # -1 is the last
        result = values.astype(np.result_type(values.dtype, np.float32))
        result[there] = np.nan
        return np.asarray(result)


def azimuthal_names(groups: NDArray[np.float64], unit: str) -> list[str]:
    """What `AzimuthTable.features` are, by the radius at which each group of rings begins."""
    names = [f"{name} from {r:.4g} {unit}" for r in groups.tolist() for name in AZIMUTHAL_NAMES]
    return [*names, *PANEL_NAMES]


def group_starts(positions: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """Where each group of rings begins."""
    low, high = np.nanmin(positions), np.nanmax(positions)
    return np.asarray(low + (high - low) * np.arange(groups) / groups)


def _groups_of(positions: NDArray[np.float64], groups: int) -> NDArray[np.int32]:
    """Group of each ring: equal parts between the first and the last."""
    known = np.nan_to_num(positions, nan=float(np.nanmin(positions)))
    width = float(np.ptp(known)) / groups or 1.0
    number = np.floor((known - known.min()) / width)
    return np.asarray(np.clip(number, 0, groups - 1), np.int32)


def _of_directions(own: NDArray[np.float64]) -> NDArray[np.float64]:
    """`AZIMUTHAL_NAMES` of one group, from number, residual and noise by direction."""
    found = np.zeros(len(AZIMUTHAL_NAMES))
    seen = own[:, 0] >= _FEWEST
    if np.count_nonzero(seen) < 2:
        return found
    level = np.zeros(len(own))
    level[seen] = own[seen, 1] / own[seen, 0]
    phase = 2j * np.pi * np.arange(len(own)) / len(own)
    for m in range(1, MOMENTS + 1):
        found[m - 1] = 2 * abs((level * np.exp(m * phase)).sum()) / np.count_nonzero(seen)
    found[MOMENTS] = level[seen].std()
    found[MOMENTS + 1] = np.ptp(level[seen])
    found[MOMENTS + 2] = _significance(own[seen])
    other = np.roll(level, len(own) // 2)
    both = seen & np.roll(seen, len(own) // 2)
    if np.count_nonzero(both) >= 8:
        a, b = level[both] - level[both].mean(), other[both] - other[both].mean()
        size = float((a * a).sum())
        found[MOMENTS + 3] = float((a * b).sum()) / size if size > 0 else 0.0
    return found


def _of_panels(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    own = cells[cells[:, 0] >= _FEWEST]
    if len(own) < 2:
        return np.zeros(len(PANEL_NAMES))
    level = own[:, 1] / own[:, 0]
    away = np.abs(level - np.median(level))
    return np.array([level.std(), away.max(), _significance(own)])


def _significance(own: NDArray[np.float64]) -> float:
    """Root mean square of residuals in units of what chance would make them."""
    noise = own[:, 2]
    known = noise > 0
    if not known.any():
        return 0.0
    return float(np.sqrt((own[known, 1] ** 2 / noise[known]).mean()))
