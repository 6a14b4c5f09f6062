"""Numbers that a geometry gives itself or says where to find in the data file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

PLANCK = 6.62607015e-34  # J s
LIGHT_SPEED = 299792458.0  # m/s
CHARGE = 1.602176634e-19  # C
ELECTRON_MASS = 9.1093837015e-31  # kg

#: Photon energy [eV] times wavelength [m].
HC = PLANCK * LIGHT_SPEED / CHARGE

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")

_LENGTH = {"m": 1.0, "mm": 1e-3}
_UNITS: dict[str, dict[str, float]] = {
    "photon_energy": {"eV": 1.0, "keV": 1e3},
    "wavelength": {"m": 1.0, "A": 1e-10},
    "electron_voltage": {"V": 1.0, "kV": 1e3},
    "clen": _LENGTH,
    "detector_shift_x": _LENGTH,
    "detector_shift_y": _LENGTH,
}
# Units assumed for a number and for a number in the data file; None: must be written.
_DEFAULTS: dict[str, tuple[str | None, str | None]] = {
    "photon_energy": ("eV", "eV"),
    "wavelength": (None, None),
    "electron_voltage": (None, None),
    "clen": ("m", "mm"),
    "detector_shift_x": ("m", "m"),
    "detector_shift_y": ("m", "m"),
}


def photon_energy_of_wavelength(wavelength: float) -> float:
    """Photon energy in eV of a wavelength in m."""
    return HC / wavelength if wavelength else math.inf


def wavelength_of_electrons(voltage: float) -> float:
    """De Broglie wavelength in m of electrons accelerated by ``voltage`` (relativistic)."""
    energy = CHARGE * voltage
    squared = energy * (2 * ELECTRON_MASS + energy / LIGHT_SPEED**2)
    return PLANCK / math.sqrt(squared) if squared > 0 else math.nan


@dataclass(frozen=True)
class HeaderValue:
    """A length [m] or photon energy [eV], or where the data file holds it.

    Attributes
    ----------
    value : float or None
        In m or eV; None when the data file holds it. A wavelength or an electron
        voltage is given as the energy of photons of the same wavelength.
    path : str or None
        Path in the data file, None when the geometry itself says the number.
    scale : float
        What a number of the data file is multiplied with to be in m, eV or V.
    quantity : str
        ``length``, ``photon_energy``, ``wavelength`` or ``electron_voltage``.
    """

    value: float | None
    path: str | None = None
    scale: float = 1.0
    quantity: str = "length"

    def convert(self, number: float) -> float:
        """A number as the data file holds it, in m or eV; NaN stays NaN."""
        scaled = float(number) * self.scale
        if self.quantity == "wavelength":
            return photon_energy_of_wavelength(scaled)
        if self.quantity == "electron_voltage":
            return photon_energy_of_wavelength(wavelength_of_electrons(scaled))
        return scaled


def parse_header_value(key: str, text: str) -> HeaderValue:
    """Read ``NUMBER [UNIT]`` or ``PATH [UNIT]`` of a key of the whole file.

    Raises
    ------
    ValueError
        With a clause that says what is wrong.
    """
    units = _UNITS[key]
    quantity = "length" if units is _LENGTH else key
    number = NUMBER.match(text)
    if number is not None:
        scale = _scale(units, text[number.end() :].strip(), _DEFAULTS[key][0])
        raw = float(number.group())
        if not math.isfinite(raw) or (quantity != "length" and raw <= 0):
            raise ValueError(f"{raw} is not a possible value")
        template = HeaderValue(None, None, scale, quantity)
        return HeaderValue(template.convert(raw), None, scale, quantity)
    path, *unit = text.split()
    return HeaderValue(None, path, _scale(units, " ".join(unit), _DEFAULTS[key][1]), quantity)


def _scale(units: Mapping[str, float], unit: str, default: str | None) -> float:
    name = unit or default
    known = " or ".join(units)
    if name is None:
        raise ValueError(f"it needs a unit ({known})")
    if name not in units:
        raise ValueError(f"{name!r} is not a known unit; use {known}")
    return units[name]
