"""Which run a file or an event belongs to, by its name.

Understood, in the name of the file or, where that says nothing, of the folders above it:

- ``r0012``, ``R0012``: a letter r and at least three digits, between the ends of the name
  and ``-``, ``_`` or ``.``: ``cxilx1234-r0012_0.cxi``, ``RAW-R0012-AGIPD00-S00000.h5``,
  ``r0012/data.cxi``;
- ``run12``, ``run_12``, ``Run-0012``: the word run and a number.

Files whose names say no run are runs of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import PurePath
from typing import Any

_PATTERNS = (
    re.compile(r"(?:^|[-_.])r(\d{3,6})(?=$|[-_.])", re.IGNORECASE),
    re.compile(r"(?:^|[^a-z])run[-_]?(\d{1,6})(?!\d)", re.IGNORECASE),
)
#: Names under which files store the run of an event.
METADATA_NAMES = ("run", "run_number", "runNumber", "run_id")


def run_of_file(path: str) -> str | None:
    """The run that a file is of, as ``run 12``; None where its name does not say."""
    for part in reversed(PurePath(path.replace("\\", "/")).parts):
        for pattern in _PATTERNS:
            if found := pattern.search(part):
                return f"run {int(found[1])}"
    return None


def run_of_metadata(metadata: Mapping[str, Any]) -> str | None:
    """The run that is stored with an event; None where there is none."""
    for name in METADATA_NAMES:
        value: Any = metadata.get(name)
        if isinstance(value, str) and (text := value.strip()):
            number = text.isdecimal() and len(text) < 20
            return f"run {int(text)}" if number else f"run {text}"
        whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
        if whole and not isinstance(value, bool):
            return f"run {int(value)}"
    return None


def runs_of(paths: Sequence[str], stored: Sequence[str | None] | None = None) -> list[str]:
    """The run of each event: the one stored with it, else that of its file, else the file.

    Parameters
    ----------
    paths : sequence of str, length events
        File of each event.
    stored : sequence of str or None, optional
        From `run_of_metadata`.
    """
    of_file = {path: run_of_file(path) or path for path in set(paths)}
    if stored is None:
        return [of_file[path] for path in paths]
    return [run or of_file[path] for run, path in zip(stored, paths, strict=True)]
