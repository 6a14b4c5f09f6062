"""The keys of a panel in a CrystFEL geometry file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from napari_xfelsort.core.geometry.header import NUMBER
from napari_xfelsort.core.geometry.panel import Dim, MaskSpec, Panel, Vector

#: Keys that CrystFEL once knew; they are named in a warning and otherwise ignored.
RETIRED = frozenset(
    {
        "badrow_direction",
        "clen_for_centering",
        "cx",
        "cy",
        "n_panels",
        "peak_info_location",
        "photon_energy_bandwidth",
        "photon_energy_scale",
        "rail_direction",
        "rigid_group",
    }
)

_INTEGERS = {"min_fs", "max_fs", "min_ss", "max_ss", "mask_edge_pixels"}
_NUMBERS = {
    "corner_x",
    "corner_y",
    "coffset",
    "res",
    "adu_per_eV",
    "adu_per_photon",
    "max_adu",
    "flag_lessthan",
    "flag_morethan",
    "flag_equal",
}
_MAY_BE_INFINITE = {"max_adu", "flag_lessthan", "flag_morethan"}
_TEXTS = {"data", "saturation_map", "saturation_map_file"}
_LIMITS = ("min_fs", "max_fs", "min_ss", "max_ss")
_REQUIRED = (*_LIMITS, "fs", "ss", "corner_x", "corner_y", "res")

# Keys that are attributes of `Panel` under the same name.
_SAME_IN_PANEL = (
    *_LIMITS,
    *("res", "coffset", "data", "adu_per_photon", "max_adu", "mask_edge_pixels", "no_index"),
    *("flag_lessthan", "flag_morethan", "flag_equal", "saturation_map", "saturation_map_file"),
)

_DIM = re.compile(r"dim(\d{1,2})")
_MASK = re.compile(r"mask(\d+)_(data|file|goodbits|badbits)")
_OLD_MASK = {
    "mask": "data",
    "mask_file": "file",
    "mask_good": "goodbits",
    "mask_bad": "badbits",
}
_TERM = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+|)([xyz])")
_BITS = re.compile(r"0[xX][0-9a-fA-F]{1,16}|\d{1,20}")
_INFINITE = re.compile(r"([+-]?)inf(inity)?", re.IGNORECASE)

_MAX_INDEX = 10**7
_MAX_RANK = 16
_N_MASKS = 8


class UnknownKeyError(ValueError):
    """Not a key of a panel."""


@dataclass
class PanelDraft:
    """A panel, or the defaults of panels to come, while the file is read.

    Attributes
    ----------
    values : dict
        Plain keys.
    dims : dict of int to Dim
        Axes of the dataset.
    masks : dict of int to dict
        Parts of each mask.
    lines : dict of str to int
        The line that set each key.
    """

    values: dict[str, Any] = field(default_factory=dict)
    dims: dict[int, Dim] = field(default_factory=dict)
    masks: dict[int, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def copy(self) -> PanelDraft:
        """An independent copy, for a panel that starts from the defaults."""
        masks = {number: dict(parts) for number, parts in self.masks.items()}
        return PanelDraft(dict(self.values), dict(self.dims), masks, dict(self.lines))

    def set(self, key: str, text: str, line: int) -> str:
        """Set one key; returns text that stands after the value.

        Raises
        ------
        UnknownKeyError
            If panels have no such key.
        ValueError
            If the value is not possible; the text is a clause.
        """
        rest = self._set(key, text)
        self.lines[key] = line
        return rest

    def _set(self, key: str, text: str) -> str:
        rest = ""
        if key in _INTEGERS:
            self.values[key], rest = parse_integer(text)
        elif key in _NUMBERS:
            self.values[key], rest = parse_number(text, key in _MAY_BE_INFINITE)
            if key == "res" and self.values[key] <= 0:
                raise ValueError("pixels per metre must be more than 0")
        elif key in ("fs", "ss"):
            self.values[key] = parse_vector(text)
        elif key in _TEXTS:
            self.values[key] = _not_empty(text)
        elif key == "no_index":
            self.values[key] = _parse_flag(text)
        elif match := _DIM.fullmatch(key):
            self._set_dim(int(match[1]), text)
        elif key in _OLD_MASK:
            self._set_mask(0, _OLD_MASK[key], text)
        elif match := _MASK.fullmatch(key):
            self._set_mask(int(match[1]), match[2], text)
        else:
            raise UnknownKeyError(key)
        return rest

    def _set_dim(self, number: int, text: str) -> None:
        if number >= _MAX_RANK:
            raise ValueError(f"at most {_MAX_RANK} axes are possible")
        if text in ("%", "ss", "fs"):
            self.dims[number] = text
        elif text.isascii() and text.isdigit() and int(text[:9]) <= _MAX_INDEX:
            self.dims[number] = int(text[:9])
        else:
            raise ValueError(f"an axis is %, ss, fs or an index, not {text!r}")

    def _set_mask(self, number: int, part: str, text: str) -> None:
        if number >= _N_MASKS:
            raise ValueError(f"masks are numbered 0 to {_N_MASKS - 1}")
        parts = self.masks.setdefault(number, {})
        if part in ("goodbits", "badbits"):
            match = _BITS.match(text)
            if match is None:
                raise ValueError(f"{text!r} is not a bit mask such as 0x01")
            parts[part] = int(match.group(), 16 if match.group()[:2].lower() == "0x" else 10)
        else:
            parts[part] = _not_empty(text)

    def finish(self, name: str) -> Panel:
        """The panel, checked on its own.

        Raises
        ------
        ValueError
            If something is missing or contradicts itself; the text is a clause.
        """
        missing = [key for key in _REQUIRED if key not in self.values]
        if missing:
            raise ValueError(f"it has no {', '.join(missing)}")
        value = self.values
        for axis in ("fs", "ss"):
            if not 0 <= value[f"min_{axis}"] <= value[f"max_{axis}"]:
                raise ValueError(
                    f"its pixels along {axis} run from {value[f'min_{axis}']} "
                    f"to {value[f'max_{axis}']}"
                )
        fs, ss = value["fs"], value["ss"]
        if abs(fs[0] * ss[1] - fs[1] * ss[0]) < 1e-6:
            raise ValueError("its fs and ss vectors do not span an area facing the beam")
        given = {key: value[key] for key in _SAME_IN_PANEL if key in value}
        return Panel(
            name=name,
            fs=fs,
            ss=ss,
            corner=(value["corner_x"], value["corner_y"]),
            dims=self._finish_dims(),
            adu_per_ev=value.get("adu_per_eV"),
            masks=self._finish_masks(),
            corner_lines=(self.lines["corner_x"], self.lines["corner_y"]),
            **given,
        )

    def _finish_dims(self) -> tuple[Dim, ...]:
        if not self.dims:
            return ("ss", "fs")
        rank = max(self.dims) + 1
        absent = [f"dim{i}" for i in range(rank) if i not in self.dims]
        if absent:
            raise ValueError(f"it has dim{rank - 1} but no {', '.join(absent)}")
        dims = [self.dims[i] for i in range(rank)]
        for axis in ("ss", "fs"):
            if axis not in dims:
                raise ValueError(f"its dim lines do not name {axis}")
            while dims.count(axis) > 1:
                dims[dims.index(axis)] = "%"
        return tuple(dims)

    def doubled_axes(self) -> list[str]:
        """Axes that several dim lines name; CrystFEL lets this pass."""
        return [axis for axis in ("ss", "fs") if list(self.dims.values()).count(axis) > 1]

    def _finish_masks(self) -> tuple[MaskSpec, ...]:
        return tuple(
            MaskSpec(
                number,
                parts["data"],
                parts.get("file"),
                parts.get("goodbits", 0),
                parts.get("badbits", 0),
            )
            for number, parts in sorted(self.masks.items())
            if "data" in parts
        )

    def masks_without_data(self) -> list[int]:
        """Masks that have bits but no path; CrystFEL refuses these."""
        return [
            number
            for number, parts in self.masks.items()
            if "data" not in parts and (parts.get("goodbits") or parts.get("badbits"))
        ]


def parse_number(text: str, infinite: bool = False) -> tuple[float, str]:
    """A number, and what stands after it.

    Raises
    ------
    ValueError
        If there is none, or it is not finite; the text is a clause.
    """
    endless = _INFINITE.fullmatch(text) if infinite else None
    if endless is not None:
        return (-math.inf if endless[1] == "-" else math.inf), ""
    match = NUMBER.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a number")
    number = float(match.group())
    if not math.isfinite(number):
        raise ValueError(f"{match.group()} is too large")
    return number, text[match.end() :].strip()


def parse_integer(text: str) -> tuple[int, str]:
    """A whole number (files also write ``0.0``), and what stands after it.

    Raises
    ------
    ValueError
        If there is none, or it cannot be a pixel number; the text is a clause.
    """
    number, rest = parse_number(text)
    if not number.is_integer():
        raise ValueError(f"{number} is not a whole number")
    if abs(number) > _MAX_INDEX:
        raise ValueError(f"{number:.0f} is more than the {_MAX_INDEX} pixels that are possible")
    return int(number), rest


def parse_vector(text: str) -> Vector:
    """A sum of terms such as ``+0.99x -0.01y +0.001z``.

    Raises
    ------
    ValueError
        If it is not; the text is a clause.
    """
    packed = "".join(text.split())
    parts = [0.0, 0.0, 0.0]
    seen: set[str] = set()
    position = 0
    while position < len(packed):
        match = _TERM.match(packed, position)
        if match is None or match[3] in seen:
            break
        size = float(match[2]) if match[2] else 1.0
        parts["xyz".index(match[3])] = -size if match[1] == "-" else size
        seen.add(match[3])
        position = match.end()
    if not packed or position < len(packed) or not all(map(math.isfinite, parts)):
        raise ValueError(f"{text!r} is not a vector such as '+0.99x -0.01y +0.001z'")
    return parts[0], parts[1], parts[2]


def _parse_flag(text: str) -> bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return parse_number(text)[0] != 0


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("it is empty")
    return text
