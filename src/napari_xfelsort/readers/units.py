"""Header numbers in eV and metres, from whatever unit the file states."""

from __future__ import annotations

import h5py
import numpy as np
from scipy.constants import e

from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.readers import hdf5

_LENGTHS = {
    "m": 1.0,
    "metre": 1.0,
    "meter": 1.0,
    "cm": 1e-2,
    "mm": 1e-3,
    "millimeter": 1e-3,
    "millimetre": 1e-3,
    "um": 1e-6,
    "micron": 1e-6,
    "micrometer": 1e-6,
    "micrometre": 1e-6,
    "µm": 1e-6,
    "nm": 1e-9,
    "nanometer": 1e-9,
    "nanometre": 1e-9,
    "pm": 1e-12,
    "a": 1e-10,
    "å": 1e-10,
    "angstrom": 1e-10,
    "ångström": 1e-10,
}
_ENERGIES = {"ev": 1.0, "kev": 1e3, "mev": 1e-3, "j": 1 / e, "joule": 1 / e, "joules": 1 / e}


def length_scale(units: str, default: str) -> float:
    """Metres in one of the unit; of the default unit when none or an unknown one is given."""
    unit = units.strip().lower().replace("\u03bc", "\u00b5")  # Greek mu and the micro sign
    return _LENGTHS.get(unit, _LENGTHS.get(unit.removesuffix("s"), _LENGTHS[default]))


def length(data: h5py.Dataset, path: str, default: str = "m") -> HeaderValue:
    """Header value in metres."""
    return HeaderValue(None, path, length_scale(hdf5.attribute(data, "units"), default))


def energy(data: h5py.Dataset, path: str, default: str = "ev") -> HeaderValue:
    """Header value in eV, from an energy."""
    units = hdf5.attribute(data, "units").strip().lower()
    return HeaderValue(None, path, _ENERGIES.get(units, _ENERGIES[default]), "photon_energy")


def wavelength(
    data: h5py.Dataset,
    path: str,
    default: str = "angstrom",
    weights: h5py.Dataset | None = None,
) -> HeaderValue:
    """Header value in eV, from a wavelength; the mean of a spectrum given by weights."""
    value = HeaderValue(
        None, path, length_scale(hdf5.attribute(data, "units"), default), "wavelength"
    )
    if weights is None or weights.ndim != 1 or weights.shape != data.shape:
        return value
    parts = np.asarray(weights[()], float)
    if not parts.sum() > 0:
        return value
    mean = float((np.asarray(data[()], float) * parts).sum() / parts.sum())
    return HeaderValue(value.convert(mean), None, value.scale, "wavelength")
