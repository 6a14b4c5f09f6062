"""How the scattering of water and gas is spread over a detector."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.beam.cells import CellPlaces
from napari_xfelsort.core.simulate.frames import HC
from napari_xfelsort.core.simulate.sfx.curves import gas as gas_curve
from napari_xfelsort.core.simulate.sfx.curves import water

Floats = NDArray[np.float64]

#: Curves are interpolated between values at these steps of 1/d, in 1/angstrom.
_STEP, _LAST = 5e-4, 4.0


#: Decays in 1/d (1/angstrom) of what scatters towards the beam besides water and gas.
FORWARD = (0.02, 0.05)


@lru_cache(maxsize=8)
def curves(gas: str, forward: bool = False) -> Floats:
    """What may scatter, each up to a factor, at steps of 1/d; shape (kinds, steps).

    Parameters
    ----------
    gas : str
        ``air``, ``helium`` or ``vacuum``: the kinds are water and, unless it is vacuum, gas.
    forward : bool
        Besides, exponentials that fall from the beam outwards, for what the beam line
        and small angles add.
    """
    q = np.arange(0.0, _LAST, _STEP)
    kinds = [water(q)] if gas == "vacuum" else [water(q), gas_curve(gas, q)]
    kinds += [np.exp(-q / decay) for decay in FORWARD] * forward
    return np.stack(kinds)


def two_theta(places: CellPlaces, camera_length: float) -> Floats:
    """Scattering angle of each cell in radian.

    Parameters
    ----------
    places : CellPlaces
        Where the cells are.
    camera_length : float
        In m, to the panel nearest the beam axis.
    """
    return np.asarray(np.arctan2(places.radius, places.height + camera_length))


def shapes(
    places: CellPlaces,
    energies: Floats,
    lengths: Floats,
    table: Floats,
    polarisation: float = 1.0,
) -> Floats:
    """Photons of a pixel of each cell from every kind of scattering, up to one factor each.

    The scattering curve at the cell's angle, times the solid angle of a pixel and what
    polarisation leaves.

    Parameters
    ----------
    places : CellPlaces
        Where the cells are.
    energies, lengths : ndarray, shape (n,)
        Photon energies in eV and camera lengths in m, in pairs.
    table : ndarray, shape (kinds, steps)
        Of `curves`.
    polarisation : float
        Share of the horizontal polarisation above the vertical.

    Returns
    -------
    ndarray, shape (n, kinds, cells)
    """
    z = places.height + lengths[:, None]
    far2 = places.radius**2 + z**2
    far = np.sqrt(far2)
    solid = places.area * np.abs(places.lean + places.facing * z) / (far2 * far)
    horizontal = 0.5 * (1.0 + polarisation) * places.across
    vertical = 0.5 * (1.0 - polarisation) * (1.0 - places.across)
    factor = solid * (1.0 - (horizontal + vertical) * places.radius**2 / far2)
    # sin(theta) from cos(2 theta), exact near the beam too.
    sin_theta = np.sqrt(0.5 * places.radius**2 / (far * (far + z)))
    at = np.clip(2.0 * sin_theta * (energies[:, None] / HC / _STEP), 0.0, table.shape[1] - 2.0)
    k = at.astype(np.int64)
    share = at - k
    return np.asarray(
        np.stack([(row[k] + share * (row[k + 1] - row[k])) * factor for row in table], axis=1)
    )
