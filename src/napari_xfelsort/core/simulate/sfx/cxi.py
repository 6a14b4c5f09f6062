"""Fills the CXI file of a simulated run of serial crystallography."""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np

from napari_xfelsort.core.simulate.frames import HC
from napari_xfelsort.core.simulate.sfx.events import FINDABLE, SPOT, SfxEvent, SfxMaker
from napari_xfelsort.core.simulate.sfx.response import DEFECTS
from napari_xfelsort.core.simulate.sfx.truth import heat_map

#: 1 eV in joule (exact by definition of the SI).
_JOULE = 1.602176634e-19

_DETECTOR = "entry_1/instrument_1/detector_1"
_SOURCE = "entry_1/instrument_1/source_1"

#: Columns of the table of stored peaks.
_PEAK_COLUMNS = 1024

#: Bits of ``labels/nuisance``.
ICE, STREAK = 1, 2

#: Tables with a number for each event.
_PER_EVENT = {
    f"{_DETECTOR}/distance": "f8",
    f"{_SOURCE}/energy": "f8",
    f"{_SOURCE}/photon_energy_eV": "f8",
    "LCLS/photon_energy_eV": "f8",
    "LCLS/detector_1/EncoderValue": "f8",
    "labels/hit": "u1",
    "labels/class": "i1",
    "labels/level": "i4",
    "labels/nphotons": "f8",
    "labels/nuisance": "u1",
    "labels/background_mean": "f4",
    "truth/n_spots": "i8",
    "truth/n_findable": "i8",
    "truth/photon_energy": "f8",
    "truth/camera_length": "f8",
    "truth/crystal_size": "f8",
    "truth/b_factor": "f8",
    "truth/jet": "f8",
    "truth/gas_path": "f8",
    "truth/ice_contrast": "f8",
    "truth/streak": "f8",
    "truth/threshold": "f8",
    "truth/drop": "f8",
    "truth/n_switched": "i8",
}

_ABOUT = {
    "labels/hit": "1 when there is a crystal",
    "labels/class": "1 hit, 0 blank, -1 a crystal with fewer than three spots to be found",
    "labels/level": "number of the flux among the settings'",
    "labels/nphotons": "photons of the pulse",
    "labels/nuisance": "bits: 1 ice, 2 streak of the jet",
    "labels/background_mean": "expected photons a usable pixel without the crystal",
    "truth/n_findable": f"spots of a significance above {FINDABLE:g}",
    "truth/photon_energy": "eV",
    "truth/camera_length": "m, to the panel nearest the beam axis",
    "truth/crystal_size": "m, NaN without a crystal",
    "truth/b_factor": "angstrom^2, NaN without a crystal",
    "truth/jet": "thickness of water, m",
    "truth/gas_path": "m",
    "truth/ice_contrast": "strongest ring over water's crest, 0 without ice",
    "truth/streak": "beside the beam over water's crest, 0 without one",
    "truth/threshold": "ADU above which gain switched wrongly, NaN where it did not",
    "truth/drop": "ADU that were lost there",
}


class SfxFile:
    """Fills an empty HDF5 file that is open for writing, event by event."""

    def __init__(self, file: h5py.File, maker: SfxMaker) -> None:
        self._file = file
        self._maker = maker
        self._settings = maker.settings
        self._spots: list[Any] = []
        self._ice: list[Any] = []
        self._edge: list[Any] = []
        self._write_head()
        n = maker.settings.n_events
        for name, dtype in _PER_EVENT.items():
            file.create_dataset(name, (n,), dtype)
        for name, about in _ABOUT.items():
            file[name].attrs["about"] = about
        axes = file.create_dataset("truth/reciprocal_axes", (n, 3, 3), "f8", fillvalue=np.nan)
        axes.attrs["about"] = "a*, b*, c* as rows in 1/angstrom along CrystFEL's x, y, z"
        if maker.settings.stored_peaks:
            file.create_dataset("entry_1/result_1/nPeaks", (n,), "i4")
            for name in ("peakXPosRaw", "peakYPosRaw", "peakTotalIntensity"):
                file.create_dataset(f"entry_1/result_1/{name}", (n, _PEAK_COLUMNS), "f4")
        if maker.settings.heat_maps:
            shape = maker.panels.raw_shape
            heat = file.create_dataset(
                "truth/heat", (n, *shape), "f2", chunks=(1, *shape), compression="gzip"
            )
            heat.attrs["about"] = "round Gaussians of 1 px about spots that can be found"

    def _write_head(self) -> None:
        maker, settings, file = self._maker, self._settings, self._file
        n, shape = settings.n_events, maker.panels.raw_shape
        group = file.create_group(_DETECTOR)
        group["description"] = "simulated detector"
        pixel = 1.0 / next(iter(maker.panels.geometry.panels.values())).res
        for name in ("x_pixel_size", "y_pixel_size"):
            group[name] = np.full(n, pixel)
        filters: dict[str, Any] = {}
        if settings.compression == "gzip":
            filters = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        elif settings.compression == "bslz4":
            import hdf5plugin

            filters = dict(hdf5plugin.Bitshuffle(cname="lz4"))
        data = group.create_dataset(
            "data", (n, *shape), settings.dtype, chunks=(1, *shape), **filters
        )
        middle = "".join("module_identifier:" for _ in shape[2:])
        data.attrs["axes"] = f"experiment_identifier:{middle}y:x"
        data.attrs["numEvents"] = n
        shown = file.create_group("entry_1/data_1")
        shown["data"] = h5py.SoftLink(f"/{_DETECTOR}/data")
        small = {"compression": "gzip", "shuffle": True}
        shown.create_dataset("mask", data=maker.response.mask, **small)
        file["cxi_version"] = 140
        defects = maker.response.defects
        table = file.create_dataset("truth/defects", data=defects, **small)
        for name, value in DEFECTS.items():
            table.attrs[name] = value
        hot = np.argwhere(defects.reshape(-1, shape[-1]) == DEFECTS["hot_unmasked"])
        file["truth/hot_pixels_unflagged"] = hot
        file["truth/hot_pixels_unflagged"].attrs["about"] = "row and column in the raw frame"
        if maker.response.gain is not None:
            file.create_dataset("truth/gain", data=maker.response.gain, **small)
        file["truth/panels"] = [panel.name for panel in maker.panels.panels]
        file["truth/obstacles"] = json.dumps(maker.obstacles)

    def write(self, i: int, event: SfxEvent) -> None:
        """Store event ``i``; events are written in their order."""
        file, settings = self._file, self._settings
        file[_DETECTOR]["data"][i] = event.frame
        energy = HC / event.pulse.wavelength
        clen = self._maker.panels.clen(event.camera_length)
        ice, crystal = event.background.ice, event.crystal
        streaks = event.background.streaks
        values = {
            f"{_DETECTOR}/distance": event.camera_length,
            f"{_SOURCE}/energy": energy * _JOULE,
            f"{_SOURCE}/photon_energy_eV": energy,
            "LCLS/photon_energy_eV": energy,
            "LCLS/detector_1/EncoderValue": 1e3 * clen,
            "labels/hit": crystal is not None,
            "labels/class": event.label,
            "labels/level": self._maker.plan.level[i],
            "labels/nphotons": event.pulse.photons,
            "labels/nuisance": ICE * (ice is not None) + STREAK * bool(len(streaks)),
            "labels/background_mean": event.background_mean,
            "truth/n_spots": len(event.spots),
            "truth/n_findable": event.n_findable,
            "truth/photon_energy": energy,
            "truth/camera_length": event.camera_length,
            "truth/crystal_size": np.nan if crystal is None else crystal.size,
            "truth/b_factor": np.nan if crystal is None else crystal.b_factor,
            "truth/jet": event.background.jet,
            "truth/gas_path": event.background.path,
            "truth/ice_contrast": 0.0 if ice is None else ice.contrast,
            "truth/streak": streaks[0, 4] if len(streaks) else 0.0,
            **{f"truth/{name}": value for name, value in event.artefact.items()},
        }
        for name, value in values.items():
            file[name][i] = value
        if crystal is not None:
            file["truth/reciprocal_axes"][i] = crystal.axes
        self._spots.append(event.spots)
        self._ice.append(event.ice_spots)
        self._edge.append(event.edge_spots)
        if settings.stored_peaks:
            self._write_peaks(i, event)
        if settings.heat_maps:
            file["truth/heat"][i] = heat_map(event.spots, self._maker.panels.geometry)

    def _write_peaks(self, i: int, event: SfxEvent) -> None:
        found = event.spots[event.spots["significance"] > FINDABLE]
        strongest = np.argsort(-found["significance"], kind="stable")[:_PEAK_COLUMNS]
        found = found[strongest]
        group = self._file["entry_1/result_1"]
        group["nPeaks"][i] = len(found)
        for name, field in (
            ("peakXPosRaw", "fs"),
            ("peakYPosRaw", "ss"),
            ("peakTotalIntensity", "photons_visible"),
        ):
            row = np.zeros(_PEAK_COLUMNS, np.float32)
            row[: len(found)] = found[field]
            if field == "photons_visible":
                row *= self._settings.adu_per_photon
            group[name][i] = row

    def finish(self) -> None:
        """Write the tables of spots, after the last event."""
        tables = {"spots": self._spots, "ice_spots": self._ice, "edge_spots": self._edge}
        for name, parts in tables.items():
            table = self._file.create_dataset(
                f"truth/{name}", data=np.concatenate([np.empty(0, SPOT), *parts])
            )
            table.attrs["about"] = (
                "frame: event from 0; fs, ss: in the raw frame, pixel centres at integers; "
                "panel: number in truth/panels; photons: expected; significance: root of "
                "twice the expected log-likelihood ratio of the visible part"
            )
        first = np.cumsum([0, *(len(part) for part in self._spots)])
        self._file["truth/first_spot"] = first
        about = "the spots of event i are the rows from first_spot[i] up to first_spot[i + 1]"
        self._file["truth/first_spot"].attrs["about"] = about
