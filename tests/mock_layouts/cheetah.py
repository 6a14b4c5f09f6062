"""Files of Cheetah at LCLS (after ``saveCXI.cpp`` and ``saveFrame.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mock_layouts.base import JOULE_IN_EV, Mock, energies, frames, image_stack, layout

SLAB = (74, 155)
DISTANCE = 0.5832
HOT, MISSING = 4, 512


def identifiers(n: int) -> list[str]:
    """Date, run, time and hexadecimal fiducial of every event."""
    return [f"LCLS_2013_Mar20_r0073_{145017 + i}_{0x1A2B0 + 3 * i:x}" for i in range(n)]


def peak_counts(n: int) -> list[int]:
    """Number of peaks of every event."""
    return [12 + 3 * i for i in range(n)]


class CheetahFile:
    """One CXI file whose per-event stacks have ``rows`` rows, ``n`` of them written.

    ``last`` is the value of the attribute numEvents: the last index while Cheetah
    runs, the count after it has trimmed the file.
    """

    def __init__(self, file: h5py.File, n: int, rows: int | None = None) -> None:
        self.file = file
        self.n = n
        self.rows = n if rows is None else rows
        self.num_events = n if rows is None else n - 1

    def stack(
        self, path: str, values: Any, axes: str = "experiment_identifier", **options: Any
    ) -> None:
        """Write one stack, zero in the rows not written yet."""
        values = np.asarray(values)
        full = np.zeros((self.rows, *values.shape[1:]), values.dtype)
        full[: self.n] = values
        dataset = self.file.create_dataset(
            path, data=full, maxshape=(None, *values.shape[1:]), **options
        )
        dataset.attrs["axes"] = np.array([axes], "S")
        dataset.attrs["numEvents"] = np.array([self.num_events], np.int32)

    def frames(self, path: str, shape: Sequence[int], dtype: str, axes: str = "y:x") -> None:
        """Write frames, one a chunk, deflate 3."""
        self.stack(
            path,
            frames(range(self.n), shape, dtype),
            f"experiment_identifier:{axes}",
            chunks=(1, *shape),
            compression="gzip",
            compression_opts=3,
        )

    def masks(self, path: str, shape: Sequence[int]) -> list[int]:
        """Write a mask a frame: one row missing, in odd events ten hot pixels more."""
        values = np.zeros((self.n, *shape), np.uint16)
        values[..., 3, :] = MISSING
        values[1::2, ..., 7, :10] = HOT
        self.stack(
            path,
            values,
            "experiment_identifier:y:x",
            chunks=(1, *shape),
            compression="gzip",
            compression_opts=3,
        )
        return [int(np.count_nonzero(v)) for v in values]

    def beam(self, root: str = "instrument", euxfel: bool = False) -> None:
        """Write beamline values of every event, Cheetah's way."""
        i = np.arange(self.n)
        self.stack(f"{root}/photon_energy_eV", energies(self.n))
        self.stack(f"{root}/photon_wavelength_A", 12398.42 / energies(self.n))
        self.stack("entry_1/instrument_1/source_1/energy", energies(self.n) * JOULE_IN_EV)
        self.stack(f"{root}/detector_1/EncoderValue", np.full(self.n, -450.0))
        self.stack(f"{root}/detector_1/position", np.full(self.n, 583.2))
        if euxfel:
            self.stack(f"{root}/trainID", (16783000 + i).astype("u8"))
            self.stack(f"{root}/pulseID", (16 * i).astype("u8"))
            self.stack(f"{root}/cellID", (2 * i).astype("u8"))
        else:
            self.stack(f"{root}/fiducial", (0x1A2B0 + 3 * i).astype("i4"))
            self.stack(f"{root}/machineTime", (1363816217 + i).astype("i4"))
            self.stack(f"{root}/machineTimeNanoSeconds", (8333333 * i).astype("i4"))

    def detector(self, names: Sequence[str] | None = None) -> None:
        """Write identifiers, pixel size and distance."""
        names = identifiers(self.n) if names is None else names
        self.stack("entry_1/experiment_identifier", np.array(names, "S128"))
        group = "entry_1/instrument_1/detector_1"
        self.stack(f"{group}/distance", np.full(self.n, DISTANCE))
        self.stack(f"{group}/x_pixel_size", np.full(self.n, 110e-6))
        self.stack(f"{group}/y_pixel_size", np.full(self.n, 110e-6))
        self.file[f"{group}/description"] = np.bytes_("CSPAD [CxiDs1.0:Cspad.0]")

    def peaks(self) -> None:
        """Write peaks; columns beyond nPeaks hold rubbish, as after reuse of a buffer."""
        counts = peak_counts(self.n)
        column = np.arange(1024)
        fs = np.tile(19.0 + column % 100, (self.n, 1)).astype("f4")
        ss = np.tile(25.0 + column % 40, (self.n, 1)).astype("f4")
        total = (500.0 + column[None] + np.arange(self.n)[:, None]).astype("f4")
        group = "entry_1/result_1"
        self.stack(f"{group}/nPeaks", np.array(counts, "i4"))
        for name, values in {
            "peakXPosRaw": fs,
            "peakYPosRaw": ss,
            "peakTotalIntensity": total,
            "peakMaximumValue": total / 4,
            "peakSNR": total / 50,
            "peakNPixels": np.full_like(total, 5),
            "peakXPosAssembled": fs - 200,
            "peakYPosAssembled": ss - 200,
        }.items():
            self.stack(f"{group}/{name}", values, "experiment_identifier:nPeaks")
        self.file[f"{group}/data"] = h5py.SoftLink("peakTotalIntensity")


def link_detector(file: h5py.File, version: str, alias: str | None = "LCLS") -> None:
    """Soft links that make ``data_1`` and ``detector_1`` show the version's stacks."""
    group = "/entry_1/instrument_1/detector_1"
    for name in ("data", "mask"):
        if name in file[f"{group}/{version}"]:
            file[f"{group}/{name}"] = h5py.SoftLink(f"{group}/{version}/{name}")
    file["entry_1/data_1"] = h5py.SoftLink(group)
    if alias:
        file[alias] = h5py.SoftLink("instrument")


def write_slab(
    path: Path, n: int, rows: int | None = None, dtype: str = "i2", shape: Sequence[int] = SLAB
) -> list[int]:
    """Write a usual Cheetah file; gives the number of bad pixels of every event."""
    version = "entry_1/instrument_1/detector_1/detector_corrected"
    with h5py.File(path, "w") as f:
        cheetah = CheetahFile(f, n, rows)
        cheetah.detector()
        cheetah.frames(f"{version}/data", shape, dtype)
        bad = cheetah.masks(f"{version}/mask", shape)
        for name in ("mask_shared", "mask_shared_max", "mask_shared_min"):
            f[f"{version}/{name}"] = np.zeros(shape, "u2")
        cheetah.beam()
        cheetah.peaks()
        link_detector(f, "detector_corrected")
    return bad


def slab_mock(path: Path, n: int, bad: list[int], **more: Any) -> Mock:
    """Expectation for `write_slab`."""
    return Mock(
        [path],
        n_events=n,
        shapes=[SLAB],
        dtype="i2",
        events=range(n),
        event_ids=[f"//{i}" for i in range(n)],
        identifiers=identifiers(n),
        energies=energies(n).tolist(),
        camera_lengths=DISTANCE,
        event_bad=bad,
        n_peaks=peak_counts(n),
        first_peak=(19.0, 25.0, 500.0),
        **more,
    )


@layout("a1")
def cheetah_slab(folder: Path) -> Mock:
    """Trimmed file of a finished run."""
    path = folder / "e12345-r0073-class1-c00.cxi"
    return slab_mock(path, 6, write_slab(path, 6), metadata=[0x1A2B0, 1363816217])


@layout("a1")
def cheetah_directory(folder: Path) -> Mock:
    """Two chunks of a run, opened as a folder that also holds a list and a log."""
    for chunk in range(2):
        write_slab(folder / f"e12345-r0073-class1-c0{chunk}.cxi", 3)
    (folder / "cheetah.log").write_text("Frames processed: 6\n")
    return Mock(
        [folder],
        n_events=6,
        shapes=[SLAB],
        dtype="i2",
        events=[0, 1, 2, 0, 1, 2],
        event_ids=["//0", "//1", "//2"] * 2,
    )


@layout("a2")
def cheetah_running(folder: Path) -> Mock:
    """Stacks doubled to 16 rows, nine written: numEvents is the last index."""
    path = folder / "running.cxi"
    return slab_mock(path, 9, write_slab(path, 9, rows=16), problems=[path.name])


@layout("a2")
def cheetah_first_event(folder: Path) -> Mock:
    """Only one event written: numEvents is 0, yet there is an event."""
    path = folder / "first.cxi"
    return slab_mock(path, 1, write_slab(path, 1, rows=4), problems=[path.name])


@layout("a2")
def cheetah_nothing_yet(folder: Path) -> Mock:
    """Stacks allocated, no event written."""
    path = folder / "nothing.cxi"
    write_slab(path, 0, rows=4)
    return Mock([path], error=["NoEventsError"], names=[path.name])


def write_modular(path: Path, slab_too: bool) -> None:
    """Write ``modular_non_assembled`` stacks, alone or beside the slab."""
    detector = "entry_1/instrument_1/detector_1"
    with h5py.File(path, "w") as f:
        cheetah = CheetahFile(f, 4)
        cheetah.detector()
        modular = "modular_non_assembled_detector_corrected"
        version = f"{detector}/{modular}"
        cheetah.frames(f"{version}/data", (8, 37, 38), "i2", axes="module_identifier:y:x")
        cheetah.masks(f"{version}/mask", (8, 37, 38))
        corners = np.zeros((4, 8, 3))
        corners[..., 1] = 0.005 * np.arange(8)
        basis = np.zeros((4, 8, 2, 3))
        basis[:, :, 0, 1] = basis[:, :, 1, 0] = 110e-6
        cheetah.stack(f"{version}/corner_positions", corners)
        cheetah.stack(f"{version}/basis_vectors", basis)
        cheetah.stack(
            f"{version}/module_identifier",
            np.array([[f"ASIC{m}" for m in range(8)]] * 4, "S16"),
        )
        cheetah.beam()
        if slab_too:
            cheetah.frames(f"{detector}/detector_corrected/data", SLAB, "i2")
        link_detector(f, "detector_corrected" if slab_too else modular)


@layout("a3")
def cheetah_modular(folder: Path) -> Mock:
    """The only stack has a module axis."""
    path = folder / "modular.cxi"
    write_modular(path, slab_too=False)
    return Mock(
        [path],
        n_events=4,
        shapes=[(8, 37, 38)],
        dtype="i2",
        events=range(4),
        event_ids=[f"//{i}" for i in range(4)],
        identifiers=identifiers(4),
        energies=energies(4).tolist(),
        event_bad=[8 * 38, 8 * 48, 8 * 38, 8 * 48],
    )


@layout("a3")
def cheetah_modular_beside_slab(folder: Path) -> Mock:
    """``data_1/data`` leads to the slab; the modular stack lies beside it."""
    path = folder / "both.cxi"
    write_modular(path, slab_too=True)
    return Mock([path], n_events=4, shapes=[SLAB], dtype="i2", events=range(4))


@layout("a3")
def cheetah_old(folder: Path) -> Mock:
    """Older files: datasets directly in detector_1, a real group /LCLS, 32-bit pixels."""
    path = folder / "old.cxi"
    detector = "entry_1/instrument_1/detector_1"
    with h5py.File(path, "w") as f:
        cheetah = CheetahFile(f, 5)
        cheetah.detector()
        cheetah.frames(f"{detector}/data", SLAB, "i4")
        bad = cheetah.masks(f"{detector}/mask", SLAB)
        cheetah.beam("LCLS")
        cheetah.peaks()
        f["entry_1/data_1"] = h5py.SoftLink(f"/{detector}")
    mock = slab_mock(path, 5, bad)
    mock.dtype = "i4"
    return mock


@layout("a3")
def cheetah_euxfel(folder: Path) -> Mock:
    """EuXFEL's variant: float frames, train, pulse and cell instead of fiducials."""
    path = folder / "r0015-detector0-class1.cxi"
    version = "entry_1/instrument_1/detector_1/detector_and_photon_corrected"
    shape = (16 * 24, 32)
    with h5py.File(path, "w") as f:
        cheetah = CheetahFile(f, 4)
        cheetah.detector([f"r0015_train{16783000 + i}_pulse{16 * i}" for i in range(4)])
        cheetah.frames(f"{version}/data", shape, "f4")
        cheetah.masks(f"{version}/mask", shape)
        cheetah.beam(euxfel=True)
        link_detector(f, "detector_and_photon_corrected", alias="EuXFEL")
    return Mock(
        [path],
        n_events=4,
        shapes=[shape],
        dtype="f4",
        events=range(4),
        energies=energies(4).tolist(),
        metadata=[16783000],
    )


def write_assembled_too(path: Path) -> None:
    """Write a file with the raw stack, the assembled one and its thumbnails."""
    write_slab(path, 4)
    with h5py.File(path, "r+") as f:
        cheetah = CheetahFile(f, 4)
        version = "entry_1/image_1/detector_corrected"
        cheetah.frames(f"{version}/data", (160, 170), "i2")
        cheetah.stack(f"{version}/thumbnail", np.zeros((4, 40, 42), "f4"))
        cheetah.stack(f"{version}/data_space", np.array(["diffraction"] * 4, "S128"))
        for name in ("data", "thumbnail", "data_space"):
            f[f"entry_1/image_1/{name}"] = h5py.SoftLink(f"/{version}/{name}")
        f["entry_1/image_1/detector_1"] = h5py.SoftLink("/entry_1/instrument_1/detector_1")


@layout("a4")
def cheetah_assembled_too(folder: Path) -> Mock:
    """The raw stack is shown, though the assembled one is larger."""
    path = folder / "both.cxi"
    write_assembled_too(path)
    return Mock([path], n_events=4, shapes=[SLAB], dtype="i2", events=range(4))


@layout("a4")
def cheetah_assembled_chosen(folder: Path) -> Mock:
    """The user asks for the assembled stack."""
    path = folder / "both.cxi"
    write_assembled_too(path)
    return Mock(
        [path],
        n_events=4,
        shapes=[(160, 170)],
        dtype="i2",
        events=range(4),
        energies=energies(4).tolist(),
        camera_lengths=DISTANCE,
        options={"dataset": "/entry_1/image_1/data"},
    )


@layout("a1")
def cheetah_one_event(folder: Path) -> Mock:
    """A stack of one event: the event axis stays, the id keeps its index."""
    path = folder / "one.cxi"
    with h5py.File(path, "w") as f:
        image_stack(f, "entry_1/data_1/data", [0], SLAB, "i2", chunks=True)
    return Mock([path], n_events=1, shapes=[SLAB], dtype="i2", events=[0], event_ids=["//0"])
