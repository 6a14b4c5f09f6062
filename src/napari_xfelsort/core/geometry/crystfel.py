"""CrystFEL's geometry files: the parser.

Written from the format's description, the manual page ``crystfel_geometry(5)``. A file is
read line by line: a key without a panel is the default of the panels that are first named
after it. What a viewer can do without (photon energy, camera length, detector units) and
what older versions wrote is told in `Description.warnings`; the rest is an error that
names the line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry.bad_keys import BadRegionDraft
from napari_xfelsort.core.geometry.finish import check_layout, distribute_camera_lengths
from napari_xfelsort.core.geometry.grid import make_grid
from napari_xfelsort.core.geometry.header import HeaderValue, parse_header_value
from napari_xfelsort.core.geometry.notes import Notes
from napari_xfelsort.core.geometry.panel import BadRegion, Description, Panel
from napari_xfelsort.core.geometry.panel_keys import (
    RETIRED,
    PanelDraft,
    UnknownKeyError,
    parse_number,
)

MAX_FILE_BYTES = 1 << 24
MAX_PANELS = 1 << 14

_LINE_END = re.compile(r"\r\n|\n|\r")
_ENERGIES = ("photon_energy", "wavelength", "electron_voltage")
_SHIFTS = ("detector_shift_x", "detector_shift_y")
_HEADER_VALUES = (*_ENERGIES, "clen", *_SHIFTS)
_PEAK_LIST_TYPES = ("auto", "cxi", "list3")
_GROUPS = ("rigid_group_collection_", "rigid_group_", "group_")


def read_crystfel(path: str | os.PathLike[str]) -> Description:
    """Read a geometry file.

    Raises
    ------
    GeometryError
        If it cannot be read or is not a geometry; the text names file and line.
    """
    name = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise GeometryError(f"The geometry file {name} cannot be read: {reason}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise GeometryError(
            f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB and not a geometry file."
        )
    return parse_crystfel(content.decode("utf-8", "surrogateescape"), name)


def parse_crystfel(text: str, name: str) -> Description:
    """Read the text of a geometry file; ``name`` is used in messages.

    Raises
    ------
    GeometryError
        If it is not a geometry; the text names the line.
    """
    if "\0" in text:
        raise GeometryError(f"{name} is not a text file and so not a CrystFEL geometry.")
    return _Parser(name).parse(text)


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and content without comment of each line that has any."""
    for number, line in enumerate(_LINE_END.split(text.removeprefix("\ufeff")), start=1):
        content = line.partition(";")[0].strip()
        if content:
            yield number, content


class _Parser:
    def __init__(self, name: str) -> None:
        self.name = name
        self.notes = Notes(name)
        self.defaults = PanelDraft()
        self.late_defaults: dict[str, int] = {}  # key: line, since the last new panel
        self.drafts: dict[str, PanelDraft] = {}
        self.first_lines: dict[str, int] = {}
        self.bad: dict[str, BadRegionDraft] = {}
        self.groups: dict[str, dict[str, tuple[str, ...]]] = {p: {} for p in _GROUPS}
        self.header: dict[str, HeaderValue] = {}
        self.energy_key: str | None = None
        self.panel_clens: dict[str, HeaderValue] = {}
        self.bandwidth: float | None = None
        self.peak_list: str | None = None
        self.peak_list_type: str | None = None

    def error(self, line: int, what: str) -> GeometryError:
        return GeometryError(f"{self.name}, line {line}: {what}.")

    def parse(self, text: str) -> Description:
        for line, content in statements(text):
            key, equals, value = (part.strip() for part in content.partition("="))
            if not equals or not key:
                raise self.error(line, f"{content[:60]!r} is not of the form 'key = value'")
            owner, slash, panel_key = key.partition("/")
            try:
                if not slash:
                    self._set_plain(key, value, line)
                elif owner != owner.strip() or panel_key != panel_key.strip() or not owner:
                    raise ValueError("a panel name stands right before the slash, without blanks")
                else:
                    self._set_owned(owner, panel_key, value, line)
            except UnknownKeyError:
                raise self.error(line, f"panels have no key {panel_key!r}") from None
            except ValueError as error:
                raise self.error(line, f"{key}: {error}") from None
        return self._finish(text)

    # --- one statement ------------------------------------------------------------------

    def _set_plain(self, key: str, value: str, line: int) -> None:
        prefix = next((p for p in _GROUPS if key.startswith(p)), None)
        if prefix is not None:
            members = tuple(m.strip() for m in value.split(",") if m.strip())
            self.groups[prefix][key.removeprefix(prefix)] = members
        elif key in _HEADER_VALUES:
            self._set_header(key, value, line)
        elif key == "bandwidth":
            self.bandwidth, rest = parse_number(value)
            self.notes.trailing(key, rest, line)
        elif key == "peak_list":
            self.peak_list = value
        elif key == "peak_list_type":
            if value not in _PEAK_LIST_TYPES:
                raise ValueError(f"{value!r} is none of {', '.join(_PEAK_LIST_TYPES)}")
            self.peak_list_type = value
        elif key in RETIRED:
            self.notes.retired(key, line)
        else:
            self._set_default(key, value, line)

    def _set_default(self, key: str, value: str, line: int) -> None:
        try:
            self.notes.trailing(key, self.defaults.set(key, value, line), line)
        except UnknownKeyError:
            self.notes.unknown(key, line)
        else:
            self.late_defaults[key] = line

    def _set_header(self, key: str, value: str, line: int) -> None:
        self.header[key] = parse_header_value(key, value)
        if key in _ENERGIES:
            if self.energy_key not in (None, key):
                self.notes.add(f"line {line}: {key} replaces {self.energy_key}")
            self.energy_key = key

    def _set_owned(self, owner: str, key: str, value: str, line: int) -> None:
        if owner.startswith("bad"):
            region = self.bad.setdefault(owner, BadRegionDraft(owner, line))
            if not region.set(key, value):
                self.notes.unknown(f"{key} of a bad region", line)
            return
        if owner.startswith(("group", "rigid_group")):
            raise ValueError("the name of a panel must not start with 'group' or 'rigid_group'")
        draft = self._panel(owner, line)
        if key in RETIRED:
            self.notes.retired(key, line)
        elif key == "clen":
            self.panel_clens[owner] = parse_header_value("clen", value)
            self.notes.panel_clen(line)
        else:
            self.notes.trailing(key, draft.set(key, value, line), line)

    def _panel(self, name: str, line: int) -> PanelDraft:
        if name not in self.drafts:
            if len(self.drafts) >= MAX_PANELS:
                raise ValueError(f"more than {MAX_PANELS} panels are not possible")
            self.drafts[name] = self.defaults.copy()
            self.first_lines[name] = line
            self.late_defaults.clear()
        return self.drafts[name]

    # --- the whole ----------------------------------------------------------------------

    def _finish(self, text: str) -> Description:
        if not self.drafts:
            raise GeometryError(f"{self.name} names no panel and so is not a geometry.")
        panels = {name: self._finish_panel(name, draft) for name, draft in self.drafts.items()}
        clen, panels = distribute_camera_lengths(
            panels, self.header.get("clen"), self.panel_clens, self.notes
        )
        panels = check_layout(panels, self.first_lines, self.error)
        bad_regions = tuple(self._finish_bad(region, panels) for region in self.bad.values())
        energy = None if self.energy_key is None else self.header[self.energy_key]
        self._note_missing(panels, energy, clen)
        return Description(
            panels=panels,
            source=self.name,
            groups=self.groups["group_"],
            rigid_groups=self.groups["rigid_group_"],
            rigid_group_collections=self.groups["rigid_group_collection_"],
            bad_regions=bad_regions,
            photon_energy=energy,
            clen=clen,
            detector_shift=(self.header.get(_SHIFTS[0]), self.header.get(_SHIFTS[1])),
            bandwidth=self.bandwidth,
            peak_list=self.peak_list,
            peak_list_type=self.peak_list_type,
            warnings=self.notes.sentences(),
            text=text,
        )

    def _finish_panel(self, name: str, draft: PanelDraft) -> Panel:
        try:
            panel = draft.finish(name)
        except ValueError as error:
            line = self.first_lines[name]
            raise self.error(line, f"panel {name}, first named here: {error}") from None
        for number in draft.masks_without_data():
            self.notes.mask_without_data(number, self.first_lines[name])
        for axis in draft.doubled_axes():
            self.notes.doubled_axis(axis, self.first_lines[name])
        return panel

    def _finish_bad(self, region: BadRegionDraft, panels: dict[str, Panel]) -> BadRegion:
        try:
            result = region.finish(list(panels))
        except ValueError as error:
            raise self.error(region.line, f"bad region {region.name}: {error}") from None
        if region.unbounded:
            self.notes.add(
                f"line {region.line}: bad region {region.name} does not say "
                f"{', '.join(region.unbounded)} and reaches to the edge there"
            )
        return result

    def _note_missing(
        self, panels: dict[str, Panel], energy: HeaderValue | None, clen: HeaderValue | None
    ) -> None:
        for key, line in self.late_defaults.items():
            self.notes.add(
                f"line {line}: {key} stands after the last panel and has no effect; "
                "CrystFEL refuses this"
            )
        if energy is None:
            self.notes.add(
                "there is no photon energy or wavelength, so that resolution is unknown "
                "unless the data file says it"
            )
        if clen is None:
            self.notes.add(
                "there is no camera length (clen), so that resolution is unknown "
                "unless the data file says it"
            )
        silent = [p.name for p in panels.values() if p.adu_per_photon is p.adu_per_ev is None]
        if silent:
            self.notes.add(
                f"adu_per_eV and adu_per_photon are missing for {len(silent)} of {len(panels)} "
                "panels; CrystFEL needs one of them"
            )
        try:
            make_grid(list(panels.values()))
        except GeometryError as error:
            self.notes.add(f"no picture can be made: {str(error).removesuffix('.')}")
        known = panels.keys() | self.groups["group_"].keys()
        for group, members in self.groups["group_"].items():
            strangers = [m for m in members if m not in known]
            if strangers:
                self.notes.add(f"group_{group} names {strangers[0]}, which is no panel or group")
