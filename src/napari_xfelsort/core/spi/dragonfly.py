"""Files for Dragonfly (Ayyer et al. 2016): photons, detector, blacklist, configuration.

A frame is the one stored, flattened, and the detector file says where each of its pixels is,
so that nothing is moved or lost. All files are little endian.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import atomic_write, write_text_atomic
from napari_xfelsort.core.errors import GeometryError, NoEventsError, OutputError, SettingsError
from napari_xfelsort.core.spi.photons import Photons, Progress, photons_of
from napari_xfelsort.core.spi.rings import QRings, pixel_share
from napari_xfelsort.core.spi.run_sizes import photon_adu

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

Floats = NDArray[np.float64]

_HEADER = 1024
#: What the mask of a detector file says of a pixel.
GOOD, NO_ORIENTATION, BAD = 0, 1, 2
#: Folder that emc writes into, beside its configuration.
EMC_OUTPUT = "data"


@dataclass(frozen=True)
class PhotonFile:
    """What was written.

    Attributes
    ----------
    path : Path
        The file.
    events, pixels : int
        Events, and pixels of each.
    photons : int
        In all events.
    """

    path: Path
    events: int
    pixels: int
    photons: int


def write_emc(
    stack: EventStack,
    path: str | os.PathLike[str],
    per_photon: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PhotonFile:
    """Write the events of a stack as a sparse ``.emc`` file.

    int32 each: number of events, of pixels, 0 for sparse, zeros up to byte 1024; pixels with
    one photon of every event, pixels with more of every event; places of the former, places
    of the latter, their photons. Memory does not grow with the run.

    Parameters
    ----------
    stack : EventStack
        The events, in the order to write.
    path : path
        The file to write; complete or not there at all.
    per_photon : float, optional
        ADU of a photon; by the geometry, else 1, when omitted.
    overwrite : bool
        Replace a file that exists.
    progress : callable, optional
        Called with events done and events in all.

    Raises
    ------
    NoEventsError
        If there is no event.
    OutputError
        If the file exists and must not be replaced, or cannot be written.
    UnreadableFileError
        If an event cannot be read; then nothing is written.
    """
    target = _checked(stack, path)
    pixels = math.prod(stack.raw_shape)
    ones: list[NDArray[np.int32]] = []
    multi: list[NDArray[np.int32]] = []
    photons = 0
    with ExitStack() as files:
        temporary = files.enter_context(atomic_write(target, overwrite))
        kept = [files.enter_context(tempfile.TemporaryFile(dir=target.parent)) for _ in range(3)]
        for part in _photons(stack, per_photon, progress):
            ones.append(part.ones)
            multi.append(part.multi)
            photons += _total(part)
            for file, values in zip(kept, part[2:], strict=True):
                file.write(values.astype("<i4", copy=False).tobytes())
        with temporary.open("wb") as out:
            out.write(np.array([len(stack), pixels, 0], "<i4").tobytes().ljust(_HEADER, b"\0"))
            for counts in (ones, multi):
                out.write(np.concatenate(counts).astype("<i4", copy=False).tobytes())
            for file in kept:
                file.seek(0)
                shutil.copyfileobj(file, out, 1 << 20)
    return PhotonFile(target, len(stack), pixels, photons)


def write_photons_hdf5(
    stack: EventStack,
    path: str | os.PathLike[str],
    per_photon: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PhotonFile:
    """Write the events of a stack as Dragonfly's HDF5 photons.

    ``num_pix`` (1,) int32 and ``place_ones``, ``place_multi``, ``count_multi``, each of shape
    (events,) of int32 of any length. Parameters and errors as of `write_emc`.
    """
    target = _checked(stack, path)
    pixels = math.prod(stack.raw_shape)
    names = ("place_ones", "place_multi", "count_multi")
    photons = start = 0
    with atomic_write(target, overwrite) as temporary, h5py.File(temporary, "w") as file:
        file["num_pix"] = np.array([pixels], "<i4")
        sets = [
            file.create_dataset(name, (len(stack),), h5py.vlen_dtype(np.dtype("<i4")))
            for name in names
        ]
        for part in _photons(stack, per_photon, progress):
            stop = start + len(part.ones)
            for data, rows in zip(sets, zip(*part.split(), strict=True), strict=True):
                packed = np.empty(len(rows), object)
                for k, row in enumerate(rows):
                    packed[k] = row
                data[start:stop] = packed
            photons += _total(part)
            start = stop
    return PhotonFile(target, len(stack), pixels, photons)


@dataclass(frozen=True, eq=False)
class DetectorFile:
    """Where pixels are on Ewald's sphere; arrays of shape (pixels,).

    Attributes
    ----------
    qx, qy, qz : ndarray
        Momentum transfer in voxels.
    corr : ndarray
        Solid angle in the pixel in the middle's multiplied by 1 / detd^2, and polarisation.
    mask : ndarray of uint8
        0 good, 1 not used for orientations, 2 bad.
    detd : float
        Distance of the detector in pixels.
    ewald_rad : float
        Radius of Ewald's sphere in voxels.
    background : ndarray or None
        Mean photons of each pixel besides the particle's.
    """

    qx: Floats
    qy: Floats
    qz: Floats
    corr: Floats
    mask: NDArray[np.uint8]
    detd: float
    ewald_rad: float
    background: Floats | None = None

    def write(
        self, path: str | os.PathLike[str], text: bool = False, overwrite: bool = False
    ) -> None:
        """Write it as HDF5, or as text, which only Dragonfly's older programs read.

        Raises
        ------
        OutputError
            If the file exists and must not be replaced, or cannot be written.
        """
        if text:
            with atomic_write(path, overwrite) as temporary, temporary.open("w") as out:
                out.write(f"{len(self.mask)} {self.detd:.15e} {self.ewald_rad:.15e}\n")
                rows = zip(self.qx, self.qy, self.qz, self.corr, self.mask, strict=True)
                for x, y, z, corr, mask in rows:
                    out.write(f"{x:21.15e} {y:21.15e} {z:21.15e} {corr:21.15e} {mask:d}\n")
            return
        with atomic_write(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
            for name in ("qx", "qy", "qz", "corr"):
                file[name] = getattr(self, name).astype("<f8", copy=False)
            file["mask"] = self.mask
            for name in ("detd", "ewald_rad"):
                file[name] = np.float64(getattr(self, name))
            if self.background is not None:
                file["background"] = self.background.astype("<f8", copy=False)


def dragonfly_detector(
    stack: EventStack,
    ewald_rad: float | None = None,
    polarisation: str = "x",
    orient_radius: float | None = None,
    background: Floats | None = None,
) -> DetectorFile:
    """Detector file of a stack's frames.

    With (x, y, z) a pixel's place in pixels of the laboratory (z along the beam, y upwards) and
    f its length, q = ewald_rad ((x, y, z) / f - (0, 0, 1)) and corr = detd / f^3 (1 - x^2 / f^2).

    Parameters
    ----------
    stack : EventStack
        With a geometry and a distance. What is bad in every event is bad.
    ewald_rad : float, optional
        In voxels; ``detd`` when omitted, which makes a pixel in the middle one voxel wide.
    polarisation : str
        ``none``, ``x`` or ``y``.
    orient_radius : float, optional
        Pixels farther from the beam, in voxels of q, are not used for orientations.
    background : ndarray, raw shape, optional
        Mean photons of each pixel besides the particle's.

    Raises
    ------
    GeometryError
        If it is not known where the pixels are, or the background has another shape.
    """
    QRings.for_stack(stack, 1.0, polarisation)  # refuses what is not known
    geometry = stack.geometry
    assert geometry is not None
    length = stack.camera_length(0)
    length = length if length > 0 else geometry.camera_length()
    pixel = geometry.pixel_size
    detd = length / pixel
    if ewald_rad is None:
        ewald_rad = detd
    if not 0 < ewald_rad < math.inf:
        raise SettingsError(f"Ewald's sphere cannot have a radius of {ewald_rad} voxels.")
    x, y, z = (a.ravel() / pixel for a in geometry.positions())
    known = np.isfinite(x)
    x, y, z = (np.where(known, a, 0.0) for a in (x, y, z))
    z = z - z[known].min() + detd
    f = np.sqrt(x * x + y * y + z * z)
    qx, qy, qz = ewald_rad * x / f, ewald_rad * y / f, ewald_rad * (z / f - 1)
    mask = np.where(known, GOOD, BAD).astype(np.uint8)
    if orient_radius is not None:
        far = np.sqrt(qx * qx + qy * qy + qz * qz) > orient_radius
        mask[far & known] = NO_ORIENTATION
    bad = stack.mask
    if bad is not None:
        mask[bad.bad.ravel()] = BAD
    if background is not None and background.shape != stack.raw_shape:
        raise GeometryError(
            f"The background has shape {background.shape} but the frames {stack.raw_shape}."
        )
    corr = pixel_share(x, y, z, polarisation) / detd**2
    level = None if background is None else background.ravel()
    radius = float(ewald_rad)
    return DetectorFile(qx, qy, qz, corr, mask, float(detd), radius, level)


def write_blacklist(
    path: str | os.PathLike[str], kept: NDArray[np.bool_], overwrite: bool = False
) -> None:
    """Write which events of a photon file Dragonfly is to skip: one 0 or 1 a line.

    Parameters
    ----------
    path : path
        The file to write.
    kept : ndarray of bool, shape (events,)
        False for events to skip, which become 1.

    Raises
    ------
    NoEventsError
        If no event is kept.
    OutputError
        If the file exists and must not be replaced, or cannot be written.
    """
    if not np.any(kept):
        raise NoEventsError("The blacklist would leave no event.")
    text = "".join("0\n" if keep else "1\n" for keep in np.asarray(kept, bool).tolist())
    write_text_atomic(path, text, overwrite)


def config_text(
    stack: EventStack,
    files: Mapping[str, str],
    num_div: int = 6,
    need_scaling: bool = True,
    ewald_rad: float | None = None,
) -> str:
    """A ``config.ini`` with which Dragonfly's emc starts.

    Parameters
    ----------
    stack : EventStack
        With a geometry: distance, wavelength and pixel size are told.
    files : mapping
        ``in_photons_file`` (or ``in_photons_list``), ``in_detector_file`` and, where there is
        one, ``blacklist_file``, as the configuration is to name them.
    num_div : int
        Fineness of orientations.
    need_scaling : bool
        Whether the fluence differs from event to event.
    ewald_rad : float, optional
        As of `dragonfly_detector`.
    """
    geometry = stack.geometry
    if geometry is None:
        raise GeometryError("A configuration needs a geometry.")
    length = stack.camera_length(0)
    length = length if length > 0 else geometry.camera_length()
    energy = stack.photon_energy(0)
    own = geometry.photon_energy
    if not energy > 0 and own is not None and own.value is not None:
        energy = float(own.value)
    lines = [
        "[parameters]",
        f"detd = {length * 1e3:.9g}",
        f"lambda = {12398.41984332 / energy:.9g}",
        f"detsize = {max(stack.assembled_shape)}",
        f"pixsize = {geometry.pixel_size * 1e3:.9g}",
        "stoprad = 0",
        "polarization = x",
        *([] if ewald_rad is None else [f"ewald_rad = {ewald_rad:.9g}"]),
        "",
        "[emc]",
        *(f"{name} = {place}" for name, place in files.items()),
        f"output_folder = {EMC_OUTPUT}/",
        "log_file = EMC.log",
        f"num_div = {num_div}",
        f"need_scaling = {int(need_scaling)}",
        "alpha = 0.",
        "beta = 1.",
        "",
    ]
    return "\n".join(lines)


def _checked(stack: EventStack, path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if not len(stack):
        raise NoEventsError("There is no event to be written.")
    if not target.parent.is_dir():
        raise OutputError(f"The folder {target.parent} does not exist; make it first.")
    real = os.path.realpath(target)
    if any(os.path.realpath(s.place or s.path) == real for s in stack.sources):
        raise OutputError(f"{target} holds the events themselves; choose another name.")
    return target


def _photons(
    stack: EventStack, per_photon: float | None, progress: Progress | None
) -> Iterator[Photons]:
    each = photon_adu(stack) if per_photon is None else per_photon
    return photons_of(stack, each, progress)


def _total(part: Photons) -> int:
    return int(part.ones.sum()) + int(part.count_multi.sum(dtype=np.int64))
