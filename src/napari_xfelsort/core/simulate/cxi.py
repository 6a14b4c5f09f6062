"""Writes simulated events as the CXI files that psocake and Cheetah write."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.frames import Event
from napari_xfelsort.core.simulate.layout import Detector
from napari_xfelsort.core.simulate.settings import DetectorSimulationSettings

#: 1 eV in joule (exact by definition of the SI).
_JOULE = 1.602176634e-19

#: Columns of the peak table; the formats' writers use as many or more.
_PEAK_COLUMNS = 1024

_DETECTOR = "entry_1/instrument_1/detector_1"
_PEAKS = ("peakXPosRaw", "peakYPosRaw", "peakTotalIntensity")


class CxiWriter:
    """Fills one CXI file event by event.

    Parameters
    ----------
    file : h5py.File
        Open for writing, empty.
    detector, settings
        What is simulated.
    mask : ndarray of uint16, shape (slow, fast)
        0 where a pixel is good.
    """

    def __init__(
        self,
        file: h5py.File,
        detector: Detector,
        settings: DetectorSimulationSettings,
        mask: NDArray[np.uint16],
    ) -> None:
        self._file = file
        self._detector = detector
        self._settings = settings
        self._write_head(mask)
        self._make_tables()

    def _write_head(self, mask: NDArray[np.uint16]) -> None:
        n = self._settings.n_events
        detector = self._detector
        group = self._file.create_group(_DETECTOR)
        group["description"] = f"simulated {detector.name}"
        for name in ("x_pixel_size", "y_pixel_size"):
            group[name] = np.full(n, detector.pixel_size)
        group["distance"] = np.full(n, detector.encoder * 1e-3 + detector.coffset)
        filters = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
        data = group.create_dataset(
            "data",
            (n, *detector.shape),
            self._settings.dtype,
            chunks=(1, *detector.shape),
            **(filters if self._settings.compression == "gzip" else {}),
        )
        data.attrs["axes"] = "experiment_identifier:y:x"
        data.attrs["numEvents"] = n
        shown = self._file.create_group("entry_1/data_1")
        shown["data"] = h5py.SoftLink(f"/{_DETECTOR}/data")
        shown["mask"] = mask
        self._file["cxi_version"] = 140
        self._file["LCLS/detector_1/EncoderValue"] = np.full(n, detector.encoder)

    def _make_tables(self) -> None:
        n = self._settings.n_events
        tables: dict[str, tuple[Any, tuple[int, ...]]] = {
            "entry_1/experiment_identifier": ("S128", (n,)),
            "entry_1/instrument_1/source_1/energy": ("f8", (n,)),
            "LCLS/photon_energy_eV": ("f8", (n,)),
            "LCLS/machineTime": ("i8", (n,)),
            "LCLS/machineTimeNanoSeconds": ("i8", (n,)),
            "LCLS/fiducial": ("i8", (n,)),
            "entry_1/result_1/nPeaks": ("i4", (n,)),
            **{f"entry_1/result_1/{name}": ("f4", (n, _PEAK_COLUMNS)) for name in _PEAKS},
            "truth/label": ("u1", (n,)),
            "truth/pulse": ("f8", (n,)),
            "truth/threshold": ("f8", (n,)),
            "truth/drop": ("f8", (n,)),
            "truth/n_switched": ("i8", (n,)),
        }
        for name, (dtype, shape) in tables.items():
            self._file.create_dataset(name, shape, dtype)
        self._file["truth/label"].attrs["meaning"] = "1 good, 0 bad (gain switched)"

    def write(self, i: int, event: Event) -> None:
        """Store event ``i``."""
        file = self._file
        file[_DETECTOR]["data"][i] = event.frame
        # The LCLS rate is 120 Hz; fiducials count at 360 Hz.
        seconds, tick = divmod(i, 120)
        seconds += 1_500_000_000 + 1000 * self._settings.run
        fiducial = 3 * (i + 1)
        name = f"SIM_r{self._settings.run:04d}_{seconds}_{tick:03d}_{fiducial:x}"
        file["entry_1/experiment_identifier"][i] = name.encode()
        file["entry_1/instrument_1/source_1/energy"][i] = event.photon_energy * _JOULE
        file["LCLS/photon_energy_eV"][i] = event.photon_energy
        file["LCLS/machineTime"][i] = seconds
        file["LCLS/machineTimeNanoSeconds"][i] = tick * 1_000_000_000 // 120
        file["LCLS/fiducial"][i] = fiducial
        number = min(len(event.spots), _PEAK_COLUMNS)
        file["entry_1/result_1/nPeaks"][i] = number
        for column, name in enumerate(_PEAKS):
            row = np.zeros(_PEAK_COLUMNS, np.float32)
            row[:number] = event.spots[:number, column]
            file["entry_1/result_1"][name][i] = row
        file["truth/label"][i] = event.n_switched == 0
        file["truth/pulse"][i] = event.pulse
        file["truth/threshold"][i] = event.threshold
        file["truth/drop"][i] = event.drop
        file["truth/n_switched"][i] = event.n_switched
