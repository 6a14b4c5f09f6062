"""What a layout module finds out about a file: where frames and everything else are.

A layout is plain data: small, picklable, and read by one class, `Hdf5Source`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import Problem
from napari_xfelsort.core.geometry.header import HeaderValue


@dataclass(frozen=True)
class Segment:
    """Consecutive events that lie in one dataset.

    Attributes
    ----------
    datasets : tuple of str
        Usually one; several when each holds a part of the frame (stacked in front).
    n_events : int
        Events used of this dataset.
    event_axes : tuple of int
        Axes that count events; empty when the dataset is one event.
    axis_lengths : tuple of int
        Length of each event axis.
    fixed : tuple of (axis, index)
        Axes of which one index is read (the gain plane left out, a channel).
    path_parts : tuple of str
        Values of the ``%`` in CrystFEL's data path.
    start : int
        First event along the event axis.
    number : tuple of int or None
        Index of every event along the event axis, when some are left out.
    list_file : str
        File to write into lists, when CrystFEL reads these events from another file.
    own_parts : tuple of str
        The path parts that name these events in the file itself, when ``list_file`` is set.
    offset : int
        Index, in arrays that hold one value an event, of the first event here.
    """

    datasets: tuple[str, ...]
    n_events: int
    event_axes: tuple[int, ...] = (0,)
    axis_lengths: tuple[int, ...] = ()
    fixed: tuple[tuple[int, int], ...] = ()
    path_parts: tuple[str, ...] = ()
    start: int = 0
    number: tuple[int, ...] | None = None
    list_file: str = ""
    own_parts: tuple[str, ...] = ()
    offset: int = 0


@dataclass(frozen=True)
class StoredMask:
    """A stored mask and what its values mean.

    A pixel is bad if ``(m & good_bits) != good_bits or (m & bad_bits) != 0``
    (CrystFEL's rule, which serves both polarities).

    Attributes
    ----------
    dataset : str
        Path; may hold ``%`` for path parts. One mask, or one an event.
    file : str
        Other file that holds it, empty for the data file.
    panels : tuple of index tuples, or None
        Parts of the raw frame it is for; None for the whole frame.
    fixed : tuple of (axis, index)
        As in `Segment`, for masks of an event.
    """

    dataset: str
    good_bits: int = 0
    bad_bits: int = 0
    file: str = ""
    panels: tuple[tuple[Any, ...], ...] | None = None
    fixed: tuple[tuple[int, int], ...] = ()


#: Bad if not zero.
NONZERO_IS_BAD = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True)
class PeakSpec:
    """Where stored peaks are: CXI arrays a column a peak, or a table a row a peak."""

    group: str
    kind: str = "cxi"
    total: str = "peakTotalIntensity"


@dataclass(frozen=True)
class ValueRule:
    """Pixel values that mean "not measured": flags of the detector, not intensities."""

    sentinels: tuple[int, ...] = ()
    above: float | None = None
    below: float | None = None

    @property
    def empty(self) -> bool:
        """Whether no value has a meaning of its own."""
        return not self.sentinels and self.above is None and self.below is None

    def flagged(self, values: NDArray[Any]) -> NDArray[np.bool_] | None:
        """True where a value is such a flag; None when there are none."""
        if self.empty:
            return None
        bad = np.zeros(values.shape, bool)
        for sentinel in self.sentinels:
            bad |= values == sentinel
        if self.above is not None:
            bad |= values > self.above
        if self.below is not None:
            bad |= values < self.below
        return bad


@dataclass(frozen=True)
class Layout:
    """Everything that is needed to read the events of one file."""

    name: str
    segments: tuple[Segment, ...]
    raw_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dataset: str
    photon_energy: HeaderValue | None = None
    camera_length: HeaderValue | None = None
    masks: tuple[StoredMask, ...] = ()
    values: ValueRule = ValueRule()
    peaks: PeakSpec | None = None
    identifiers: tuple[str, ...] = ()
    identifier_joint: str = "-"
    columns: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()
    linked_files: tuple[str, ...] = ()
    states_geometry: bool = False

    @property
    def n_events(self) -> int:
        """Number of events in all segments."""
        return sum(segment.n_events for segment in self.segments)
