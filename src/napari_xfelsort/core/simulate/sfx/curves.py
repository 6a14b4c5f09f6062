"""Scattering of water, air and helium in electrons squared a molecule, from tabulated values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]

#: Classical radius of the electron in m (CODATA 2018).
ELECTRON_RADIUS = 2.8179403262e-15

#: Molecules in a cubic metre: water at 20 degrees C, a gas at 20 degrees C and 1 atm.
WATER_DENSITY = 0.9982e6 / 18.01528 * 6.02214076e23
GAS_DENSITY = 101325.0 / (1.380649e-23 * 293.15)

#: sin(theta) / wavelength in 1/angstrom, and structure factor of liquid water in electrons
#: a molecule, on the absolute scale: the interpolation points that accompany nanoBragg
#: (Holton, Classen, Frankel & Tainer, FEBS J. 281, 2014, 4046-4060; cctbx, simtbx).
WATER_STOL = (0, 0.0365, 0.07, 0.12, 0.162, 0.18, 0.2, 0.216, 0.236, 0.28, 0.3, 0.345, 0.436, 0.5)
WATER_F = (2.57, 2.58, 2.8, 5.0, 8.0, 7.32, 6.75, 6.75, 6.5, 4.5, 4.3, 4.36, 3.77, 3.17)

#: Four amplitudes, four exponents and a constant of the form factors of free atoms
#: (Cromer & Mann; International Tables for Crystallography C, table 6.1.1.4).
FORM_FACTORS = {
    "H": (0.493002, 0.322912, 0.140191, 0.04081, 10.5109, 26.1257, 3.14236, 57.7997, 0.003038),
    "He": (0.8734, 0.6309, 0.3112, 0.178, 9.1037, 3.3568, 22.9276, 0.9821, 0.0064),
    "C": (2.31, 1.02, 1.5886, 0.865, 20.8439, 10.2075, 0.5687, 51.6512, 0.2156),
    "N": (12.2126, 3.1322, 2.0125, 1.1663, 0.0057, 9.8933, 28.9975, 0.5826, -11.529),
    "O": (3.0485, 2.2868, 1.5463, 0.867, 13.2771, 5.7011, 0.3239, 32.9089, 0.2508),
    "S": (6.9053, 5.2034, 1.4379, 1.5863, 1.4679, 22.2151, 0.2536, 56.172, 0.8669),
}

#: Bond lengths of nitrogen and oxygen in angstrom.
BONDS = {"N": 1.0977, "O": 1.2075}

#: What may be between sample and beam stop.
GASES = ("air", "helium", "vacuum")

#: Atoms of an average amino acid, and its mass in Da.
RESIDUE = {"C": 5.0, "N": 1.36, "O": 1.5, "S": 0.03, "H": 8.0}
RESIDUE_MASS = 111.0

#: Volume of a protein crystal's cell per mass, angstrom^3 / Da (Matthews, 1968).
MATTHEWS = 2.4


def form_factor(element: str, q: Any) -> Curve:
    """Form factor of a free atom in electrons.

    Parameters
    ----------
    q : array_like
        1/d in 1/angstrom; sin(theta) / wavelength is half of it.
    """
    values = FORM_FACTORS[element]
    stol2 = (0.5 * np.asarray(q, np.float64)) ** 2
    total = np.full(stol2.shape, values[8])
    for a, b in zip(values[:4], values[4:8], strict=True):
        total += a * np.exp(-b * stol2)
    return total


def water(q: Any) -> Curve:
    """Scattering of liquid water, electrons squared a molecule.

    The tabulated structure factor, interpolated without overshooting; beyond the table
    it falls as that of oxygen does.
    """
    from scipy.interpolate import PchipInterpolator

    stol = 0.5 * np.asarray(q, np.float64)
    last = WATER_STOL[-1]
    factor = PchipInterpolator(WATER_STOL, WATER_F)(np.minimum(stol, last))
    beyond = np.maximum(2.0 * stol, 2.0 * last)
    factor = factor * form_factor("O", beyond) / form_factor("O", 2.0 * last)
    return np.asarray(factor**2)


def diatomic(element: str, q: Any) -> Curve:
    """Scattering of a gas of two-atomic molecules, electrons squared a molecule (Debye)."""
    q = np.asarray(q, np.float64)
    # sinc(x) of numpy is sin(pi x) / (pi x), and the momentum transfer 2 pi q.
    return np.asarray(
        2.0 * form_factor(element, q) ** 2 * (1.0 + np.sinc(2.0 * q * BONDS[element]))
    )


def gas(name: str, q: Any) -> Curve:
    """Scattering of air, helium or vacuum, electrons squared a molecule."""
    q = np.asarray(q, np.float64)
    if name == "vacuum":
        return np.zeros(q.shape)
    if name == "helium":
        return form_factor("He", q) ** 2
    return 0.79 * diatomic("N", q) + 0.21 * diatomic("O", q)


def wilson_mean(q: Any, volume: float) -> Curve:
    """Mean squared structure factor of a protein crystal's cell at rest, in electrons squared.

    Parameters
    ----------
    q : array_like
        1/d in 1/angstrom.
    volume : float
        Of the cell, in angstrom^3; it is filled as protein crystals are on average.
    """
    residues = volume / (MATTHEWS * RESIDUE_MASS)
    q = np.asarray(q, np.float64)
    total = np.zeros(q.shape)
    for element, number in RESIDUE.items():
        total += number * form_factor(element, q) ** 2
    return residues * total
