"""Dragonfly's sparse photon files (after ``writeemc.py`` and ``emcfile.pyx``).

No frame shape is stored: a reader may show rows of pixels or decline.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mock_layouts.base import Frame, Mock, Shape, layout

N_PIX = 600
N_EVENTS = 4


def photons() -> NDArray[Any]:
    """Photon counts: 0, 1 and more, different in every event."""
    event, pixel = np.ogrid[:N_EVENTS, :N_PIX]
    return (pixel * (event + 3)) % 7 % 4


def photon_frame(i: int, shape: Shape) -> Frame:
    """Photons of event ``i`` in the reader's shape."""
    return photons()[i].reshape(shape)


def sparse(counts: NDArray[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Places with one photon, places with more, and how many there."""
    ones = [np.flatnonzero(c == 1).astype("i4") for c in counts]
    multi = [np.flatnonzero(c > 1).astype("i4") for c in counts]
    number = [c[c > 1].astype("i4") for c in counts]
    return ones, multi, number


def dragonfly_mock(path: Path) -> Mock:
    """Expectation for all forms."""
    return Mock(
        [path],
        n_events=N_EVENTS,
        shapes=[(1, N_PIX), (N_PIX,)],
        expected=photon_frame,
        may_decline=True,
        names=[path.name],
    )


@layout("h1")
def dragonfly_hdf5(folder: Path) -> Mock:
    """HDF5 form with variable-length rows."""
    path = folder / "photons.h5"
    with h5py.File(path, "w") as f:
        f["num_pix"] = np.array([N_PIX])
        kind = h5py.vlen_dtype("i4")
        for name, rows in zip(
            ("place_ones", "place_multi", "count_multi"), sparse(photons()), strict=True
        ):
            data = f.create_dataset(name, (N_EVENTS,), kind, maxshape=(None,), chunks=(1,))
            for i, row in enumerate(rows):
                data[i] = row
    return dragonfly_mock(path)


def header(kind: int) -> bytes:
    """1024 bytes: number of frames, number of pixels, kind of content."""
    return np.array([N_EVENTS, N_PIX, kind], "<i4").tobytes().ljust(1024, b"\0")


@layout("h2")
def emc_sparse(folder: Path) -> Mock:
    """Binary sparse form."""
    path = folder / "photons.emc"
    ones, multi, number = sparse(photons())
    body = [np.array([len(r) for r in rows], "<i4") for rows in (ones, multi)]
    body += [np.concatenate(rows).astype("<i4") for rows in (ones, multi, number)]
    path.write_bytes(header(0) + b"".join(part.tobytes() for part in body))
    return dragonfly_mock(path)


@layout("h2")
def emc_dense_int(folder: Path) -> Mock:
    """Binary dense form, int32."""
    path = folder / "photons.emc"
    path.write_bytes(header(1) + photons().astype("<i4").tobytes())
    return dragonfly_mock(path)


@layout("h2")
def emc_dense_double(folder: Path) -> Mock:
    """Binary dense form, float64."""
    path = folder / "photons.emc"
    path.write_bytes(header(2) + photons().astype("<f8").tobytes())
    return dragonfly_mock(path)


@layout("h2")
def emc_truncated(folder: Path) -> Mock:
    """The header promises more than the file holds."""
    path = folder / "photons.emc"
    path.write_bytes((header(1) + photons().astype("<i4").tobytes())[:5000])
    return Mock([path], error=["UnreadableFileError", "NoEventsError"], names=[path.name])
