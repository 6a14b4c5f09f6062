"""CXI files of assembled planes, written frame by frame, and their geometry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.detectors import PlaneDetector
from napari_xfelsort.core.simulate.frames import HC
from napari_xfelsort.core.simulate.geometry_text import panel_text
from napari_xfelsort.core.simulate.layout import Panel
from napari_xfelsort.core.simulate.optics import Optics

#: Edge of the simulated detectors in m.
PLANE_SIZE = 0.3

#: Bits of the mask, as Cheetah defines them.
BAD, MISSING = 128, 512

_DETECTOR = "entry_1/instrument_1/detector_1"

_HEAD = """\
; Simulated {name} detector of napari-xfelsort, an assembled plane of {panels} panels.
photon_energy = /LCLS/photon_energy_eV eV
clen = /LCLS/detector_1/EncoderValue mm
adu_per_photon = 1
res = {res:.9g}

data = /entry_1/data_1/data
dim0 = %
dim1 = ss
dim2 = fs

; 0 in the mask is a good pixel.
mask0_data = /entry_1/data_1/mask
mask0_goodbits = 0x0000
mask0_badbits = 0xffff
"""


class PlaneFile:
    """Fills a CXI file with frames of one side.

    Parameters
    ----------
    file : h5py.File
        Open for writing, empty.
    n, side : int
        Number of frames, and their side in pixels.
    compression : {"none", "gzip"}
    mask : ndarray of uint16, shape (side, side), optional
        Mask of all frames; every frame has one of its own when not given.
    truth : mapping
        Datasets below ``truth``: name to type and shape of one frame's value. Objects of
        type ``json`` are written as text.
    """

    def __init__(
        self,
        file: h5py.File,
        n: int,
        side: int,
        compression: str,
        mask: NDArray[np.uint16] | None,
        truth: Mapping[str, tuple[str, tuple[int, ...]]],
    ) -> None:
        self._file = file
        self._truth = dict(truth)
        filters: dict[str, Any] = {}
        if compression == "gzip":
            filters = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
        frame, frames = (1, side, side), (n, side, side)
        group = file.create_group(_DETECTOR)
        group["description"] = "simulated plane"
        for name in ("x_pixel_size", "y_pixel_size"):
            group[name] = np.full(n, PLANE_SIZE / side)
        group.create_dataset("distance", (n,), "f8")
        data = group.create_dataset("data", frames, "i4", chunks=frame, **filters)
        data.attrs["axes"] = "experiment_identifier:y:x"
        data.attrs["numEvents"] = n
        shown = file.create_group("entry_1/data_1")
        shown["data"] = h5py.SoftLink(f"/{_DETECTOR}/data")
        self._masks: h5py.Dataset | None = None
        if mask is not None:
            shown["mask"] = mask
        else:
            # Masks are small when compressed, whatever is done with the frames.
            self._masks = shown.create_dataset(
                "mask", frames, "u2", chunks=frame, compression="gzip", shuffle=True
            )
        file["cxi_version"] = 140
        for name in ("LCLS/photon_energy_eV", "LCLS/detector_1/EncoderValue"):
            file.create_dataset(name, (n,), "f8")
        self._pixel = PLANE_SIZE / side
        for name, (dtype, shape) in truth.items():
            kind = h5py.string_dtype() if dtype == "json" else dtype
            file.create_dataset(f"truth/{name}", (n, *shape), kind)

    def write(
        self,
        i: int,
        image: NDArray[np.int32],
        optics: tuple[float, float],
        truth: Mapping[str, Any],
        mask: NDArray[np.uint16] | None = None,
    ) -> None:
        """Store frame ``i``; ``optics`` is the wavelength (angstrom) and distance (pixels)."""
        wavelength, distance = optics
        file = self._file
        file[_DETECTOR]["data"][i] = image
        if self._masks is not None and mask is not None:
            self._masks[i] = mask
        file[_DETECTOR]["distance"][i] = distance * self._pixel
        file["LCLS/detector_1/EncoderValue"][i] = 1e3 * distance * self._pixel
        file["LCLS/photon_energy_eV"][i] = HC / wavelength
        for name, (dtype, _) in self._truth.items():
            value = truth[name]
            file["truth"][name][i] = json.dumps(value) if dtype == "json" else value


def plane_mask(plane: PlaneDetector, bad: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Cheetah's bits: what is no pixel, and what is bad."""
    mask = np.where(bad, BAD, 0).astype(np.uint16)
    mask[~plane.active] = MISSING
    return mask


def plane_geometry_text(plane: PlaneDetector, optics: Optics) -> str:
    """CrystFEL geometry of a plane; rows run downwards in the laboratory.

    Photon energy and camera length are given by their paths in the data file.
    """
    pixel = PLANE_SIZE / plane.shape[0]
    # The laboratory's y points up.
    down = np.array([1.0, -1.0, 1.0])
    fs, ss = optics.axes[0] * down, optics.axes[1] * down
    parts = [_HEAD.format(name=plane.name, panels=plane.n_panels, res=1.0 / pixel)]
    for number, (top, bottom, left, right) in enumerate(plane.windows):
        corner = (left - 0.5 - optics.center[1]) * fs + (top - 0.5 - optics.center[0]) * ss
        panel = Panel(
            name=f"p{number}",
            min_fs=left,
            max_fs=right - 1,
            min_ss=top,
            max_ss=bottom - 1,
            corner=(float(corner[0]), float(corner[1])),
            fs=(float(fs[0]), float(fs[1]), float(fs[2])),
            ss=(float(ss[0]), float(ss[1]), float(ss[2])),
            coffset=float(corner[2]) * pixel,
        )
        parts.append(panel_text(panel))
    names = ",".join(f"p{number}" for number in range(plane.n_panels))
    return "\n".join([*parts, f"group_all = {names}\n"])
