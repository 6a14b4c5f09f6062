"""What a mock file holds and what a reader must find in it.

Every writer follows the facility's own program (paths, types, attributes, chunks)
and knows nothing of the reader under test. Pixel values follow one formula, so
expected frames are computed, never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

#: Planck constant times speed of light in eV angstrom (CODATA 2018).
HC_EV_ANGSTROM = 12398.419843320026
#: Joule in one electron volt (SI definition of the charge).
JOULE_IN_EV = 1.602176634e-19

Frame = NDArray[Any]
Shape = tuple[int, ...]


def frame(event: int, shape: Sequence[int], dtype: Any = "f4") -> Frame:
    """Frame of the event the writer numbers ``event``.

    A pixel is 1000 event + (7 ss + 3 fs + 11 module) % 251, taken modulo what the
    type can hold exactly (256 for uint8, 2 for bool, 2048 for float16).

    Parameters
    ----------
    event : int
        The writer's number of the event.
    shape : (ss, fs) or (module, ss, fs)
        Raw shape.
    dtype : dtype_like
        Type of a pixel.
    """
    dtype = np.dtype(dtype)
    *modules, n_ss, n_fs = shape
    ss, fs = np.ogrid[:n_ss, :n_fs]
    pattern = 7 * ss + 3 * fs
    if modules:
        number = np.arange(int(np.prod(modules))).reshape(*modules, 1, 1)
        pattern = pattern + 11 * number
    values = 1000 * event + pattern % 251
    if dtype.kind == "b":
        return (values % 2).astype(bool)
    if dtype.kind in "iu" and dtype.itemsize < 8:
        values = values % (np.iinfo(dtype).max + 1)
    if dtype == np.float16:
        values = values % 2048
    return values.astype(dtype)


def frames(events: Sequence[int], shape: Sequence[int], dtype: Any = "f4") -> Frame:
    """Frames of several events along a new first axis."""
    values = np.empty((len(events), *shape), dtype)
    for i, event in enumerate(events):
        values[i] = frame(event, shape, dtype)
    return values


@dataclass
class Mock:
    """Files of one layout on disk, and what is in them.

    A field that is None is not looked at. Event number ``i`` is always the i-th in
    the order of the stack.
    """

    #: What to hand to ``open_stack``.
    paths: list[Path]
    n_events: int | None = None
    #: Shapes a raw frame may have; more than one where the layout leaves a choice.
    shapes: Sequence[Shape] | None = None
    dtype: Any = None
    #: Writer's number of every event, for `frame`.
    events: Sequence[int] | None = None
    #: Raw frame of event i, given the shape the reader chose; else by `events`.
    expected: Callable[[int, Shape], Frame] | None = None
    #: Laboratory picture of event i, where only a geometry gives meaning.
    assembled: Callable[[int], Frame] | None = None
    #: CrystFEL's event parts.
    event_ids: Sequence[str] | None = None
    #: The facility's own names of the events.
    identifiers: Sequence[str] | None = None
    #: eV, one an event or one for all; NaN where it must be unknown.
    energies: Sequence[float] | float | None = None
    #: m, one an event or one for all; NaN where it must be unknown.
    camera_lengths: Sequence[float] | float | None = None
    #: Number of pixels bad in every event; 0 allows "no mask".
    static_bad: int | None = None
    #: Number of bad pixels of every event.
    event_bad: Sequence[int] | None = None
    n_peaks: Sequence[int] | None = None
    #: (fs, ss, intensity) of the first peak of event 0.
    first_peak: tuple[float, float, float] | None = None
    #: Values that ``metadata(0)`` must hold somewhere.
    metadata: Sequence[Any] = ()
    #: Words that the problems' texts must hold; no problem at all when empty.
    problems: Sequence[str] = ()
    #: Neither absence nor presence of problems is looked at.
    any_problems: bool = False
    #: Names of the exceptions (core.errors) of which one must be raised ...
    error: Sequence[str] = ()
    #: ... and words its text must hold.
    names: Sequence[str] = ()
    #: The layout may also be declined with a sentence naming these words.
    may_decline: bool = False
    #: Keywords for ``open_stack``: dataset, geometry, mask.
    options: dict[str, Any] = field(default_factory=dict)

    def raw(self, i: int, shape: Shape) -> Frame | None:
        """Expected raw frame of event ``i``."""
        if self.expected is not None:
            return self.expected(i, shape)
        if self.events is None:
            return None
        return frame(self.events[i], shape, self.dtype)


Writer = Callable[[Path], Mock]
#: Every mock by name: the catalogue's case, then the writer's name.
LAYOUTS: dict[str, Writer] = {}


def layout(case: str) -> Callable[[Writer], Writer]:
    """Register a writer under the catalogue's case and its own name."""

    def register(writer: Writer) -> Writer:
        LAYOUTS[f"{case}_{writer.__name__}"] = writer
        return writer

    return register


def image_stack(
    group: h5py.Group,
    name: str,
    events: Sequence[int],
    shape: Sequence[int],
    dtype: Any = "f4",
    **options: Any,
) -> h5py.Dataset:
    """Write the frames of these events as one dataset, event axis first.

    ``options`` go to h5py; ``chunks=True`` means one event a chunk.
    """
    if options.get("chunks") is True:
        options["chunks"] = (1, *shape)
    dataset = group.create_dataset(name, (len(events), *shape), dtype, **options)
    for i, event in enumerate(events):
        dataset[i] = frame(event, shape, dtype)
    return dataset


def energies(n: int, first: float = 9500.0) -> NDArray[np.float64]:
    """Photon energies in eV, 3 eV apart."""
    return first + 3.0 * np.arange(n)


def slab_geometry(
    path: Path,
    shape: Sequence[int],
    *,
    data: str,
    dims: Sequence[str] = ("%", "ss", "fs"),
    lines: Sequence[str] = (),
    panel: str = "p0",
) -> Path:
    """Write a CrystFEL geometry with one unrotated panel, centre at the origin."""
    n_ss, n_fs = shape
    text = [
        "photon_energy = 9500 eV",
        "adu_per_eV = 0.001",
        "clen = 0.1 m",
        "res = 10000",
        f"data = {data}",
        *(f"dim{k} = {dim}" for k, dim in enumerate(dims)),
        *lines,
        f"{panel}/min_fs = 0",
        f"{panel}/max_fs = {n_fs - 1}",
        f"{panel}/min_ss = 0",
        f"{panel}/max_ss = {n_ss - 1}",
        f"{panel}/fs = +1.0x +0.0y",
        f"{panel}/ss = +0.0x +1.0y",
        f"{panel}/corner_x = {-n_fs / 2}",
        f"{panel}/corner_y = {-n_ss / 2}",
    ]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path
