"""CXI files with found peaks, as Cheetah writes them and CrystFEL reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.export.cxi import write_cxi
from napari_xfelsort.core.peaks.peak_list import PeakList
from napari_xfelsort.core.peaks.settings import PeakSettings
from napari_xfelsort.core.stack import EventStack

#: Where the peaks are.
RESULT = "/entry_1/result_1"
#: Datasets (events, most peaks) and what of a list they hold.
_DATASETS = {
    "peakXPosRaw": "fs",
    "peakYPosRaw": "ss",
    "peakTotalIntensity": "intensity",
    "peakSNR": "snr",
    "peakNPixels": "n_pixels",
    "peakResolution": "resolution",
}


def write_peak_cxi(
    path: Path,
    stack: EventStack,
    lists: Sequence[PeakList],
    settings: PeakSettings,
    overwrite: bool = False,
) -> None:
    """Write the peaks of the events of a stack; complete or not at all.

    Frames are shown where they are (virtual datasets), with masks, photon energies and
    camera lengths. Peaks are in ``/entry_1/result_1``: ``nPeaks`` (events,), and
    ``peakXPosRaw`` (fs), ``peakYPosRaw`` (ss; pixel centres at integers),
    ``peakTotalIntensity``, ``peakSNR``, ``peakNPixels`` and ``peakResolution`` (angstrom),
    each (events, most peaks), zeros after the last peak.

    Raises
    ------
    OutputError
        If the file exists and must not be replaced, or frames cannot be shown.
    """
    with atomic_write(path, overwrite) as temporary:
        write_cxi(stack, temporary, virtual=True, peaks=False)
        with h5py.File(temporary, "r+") as file:
            group = file.create_group(RESULT)
            group.attrs["finder"] = json.dumps(settings.to_dict())
            counts = np.array([len(peaks) for peaks in lists], np.int32)
            group["nPeaks"] = counts
            width = max(1, int(counts.max(initial=0)))
            for name, column in _DATASETS.items():
                values = np.zeros((len(lists), width))
                for row, peaks in zip(values, lists, strict=True):
                    row[: len(peaks)] = getattr(peaks, column)
                group.create_dataset(name, data=values, compression="gzip", shuffle=True)
