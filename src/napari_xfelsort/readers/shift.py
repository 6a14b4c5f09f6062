"""A detector shift that the data file holds: ``detector_shift_x`` and ``_y`` given as paths."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from napari_xfelsort.core.errors import Problem
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.core.source import EventSource
from napari_xfelsort.readers.source import Hdf5Source

#: Files, and events of each, that are asked where the detector is.
_FILES, _EVENTS = 5, 20


def place(geometry: Geometry, sources: Sequence[EventSource]) -> tuple[Geometry, list[Problem]]:
    """The geometry where the data files say the detector is.

    One geometry serves a run: the median over events from all of it. A detector that moves
    by more than a pixel meanwhile is a problem that says so, and so is a shift that the
    files do not hold (CrystFEL would refuse these); it counts as none.
    """
    named = [s if s is not None and s.path is not None else None for s in geometry.detector_shift]
    if not any(named):
        return geometry, []
    problems: list[Problem] = []
    shifts = [
        0.0 if spec is None else _median(axis, spec, geometry, sources, problems)
        for axis, spec in zip("xy", named, strict=True)
    ]
    return geometry.with_shift(*shifts), problems


def _median(
    axis: str,
    spec: HeaderValue,
    geometry: Geometry,
    sources: Sequence[EventSource],
    problems: list[Problem],
) -> float:
    found = []
    for number in _spread(len(sources), _FILES):
        source = sources[number]
        if isinstance(source, Hdf5Source):
            found += [source.header_number(spec, i) for i in _spread(len(source), _EVENTS)]
    numbers = [number for number in found if math.isfinite(number)]
    where = f"detector_shift_{axis} = {spec.path}"
    if not numbers:
        problems.append(
            Problem(
                sources[0].path,
                f"It does not hold the shift that the geometry {geometry.source} names "
                f"({where}); the detector is shown without it.",
            )
        )
        return 0.0
    low, high, median = min(numbers), max(numbers), float(np.median(numbers))
    if high - low > geometry.pixel_size:
        problems.append(
            Problem(
                sources[0].path,
                f"The detector moves during the run ({where} is from {low * 1e3:.4g} to "
                f"{high * 1e3:.4g} mm); all events are shown with {median * 1e3:.4g} mm.",
            )
        )
    return median


def _spread(n: int, wanted: int) -> list[int]:
    """Up to ``wanted`` of ``n`` numbers, evenly from the first to the last."""
    return sorted({round(k) for k in np.linspace(0, n - 1, min(n, wanted)).tolist()}) if n else []
