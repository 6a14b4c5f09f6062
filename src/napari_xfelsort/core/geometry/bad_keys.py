"""The keys of a bad region in a CrystFEL geometry file."""

from __future__ import annotations

import math

from napari_xfelsort.core.geometry.panel import BadRegion
from napari_xfelsort.core.geometry.panel_keys import parse_number

_DATA = ("min_fs", "min_ss", "max_fs", "max_ss")
_LABORATORY = ("min_x", "min_y", "max_x", "max_y")


class BadRegionDraft:
    """A bad region while the file is read."""

    def __init__(self, name: str, line: int) -> None:
        self.name = name
        self.line = line
        self.unbounded: list[str] = []
        self._panel: str | None = None
        self._limits: dict[str, float] = {}

    def set(self, key: str, text: str) -> bool:
        """Set one key; False if bad regions have no such key.

        Raises
        ------
        ValueError
            If the value is not possible, or both kinds of limits are given.
        """
        if key == "panel":
            self._panel = text
            return True
        if key not in _DATA and key not in _LABORATORY:
            return False
        other = _LABORATORY if key in _DATA else _DATA
        if any(k in self._limits for k in other):
            raise ValueError("a bad region has limits along fs and ss, or x and y, not both")
        self._limits[key] = parse_number(text)[0]
        return True

    def finish(self, panels: list[str]) -> BadRegion:
        """The region, checked.

        Raises
        ------
        ValueError
            If the panel is unknown, or is not named and there are several.
        """
        if not self._limits:
            raise ValueError("it has no limits")
        in_laboratory = next(iter(self._limits)) in _LABORATORY
        panel = self._panel
        if panel is not None and panel not in panels:
            raise ValueError(f"there is no panel {panel}")
        if panel is None and not in_laboratory:
            if len(panels) > 1:
                raise ValueError("it does not say which panel it is in; add a 'panel' line")
            panel = panels[0]
        keys = _LABORATORY if in_laboratory else _DATA
        self.unbounded = [key for key in keys if key not in self._limits]
        low = [self._limits.get(key, -math.inf) for key in keys[:2]]
        high = [self._limits.get(key, math.inf) for key in keys[2:]]
        return BadRegion(self.name, panel, in_laboratory, (low[0], low[1]), (high[0], high[1]))
