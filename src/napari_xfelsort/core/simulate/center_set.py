"""A set of frames with known beam centres in one file, for trying centre finders."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xfelsort.core.atomic import atomic_write, make_folder, write_text_atomic
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.simulate.detector import Progress, check_free
from napari_xfelsort.core.simulate.detectors import LAYOUTS, SIDES, plane_detector
from napari_xfelsort.core.simulate.plane_file import PlaneFile, plane_mask
from napari_xfelsort.core.simulate.scene import REGIMES, Scene, simulate_scene

#: The layout is drawn anew for every frame.
ANY = "any"


@dataclass(frozen=True)
class CenterSimulationSettings(Settings):
    """What a set of frames with known beam centres is made of."""

    n_events: int = setting(100, "Number of frames.", minimum=1)
    detector: str = setting(
        ANY, "Which detector to simulate; any: drawn for each frame.", choices=(*LAYOUTS, ANY)
    )
    side: int = setting(
        1024, "Rows and columns of a frame.", unit="px", minimum=SIDES[0], maximum=SIDES[1]
    )
    regime: str = setting(
        "wide", "All kinds of frames, or those of the published benchmark.", choices=REGIMES
    )
    seed: int = setting(0, "Seed of everything that differs from set to set.", minimum=0)
    compression: str = setting(
        "gzip", "Compression of the stored frames.", choices=("none", "gzip")
    )


@dataclass(frozen=True)
class CenterSet:
    """Where a set lies.

    Attributes
    ----------
    folder : Path
        The folder that was asked for.
    data : Path
        The CXI file; every frame has a mask of its own.
    table : Path
        Row and column of every frame's beam, its detector, and what makes it hard.
    centers : tuple of (float, float)
        Row and column of every frame's beam.
    """

    folder: Path
    data: Path
    table: Path
    centers: tuple[tuple[float, float], ...]


def center_scene(settings: CenterSimulationSettings, i: int) -> Scene:
    """Frame ``i`` of a set."""
    random = np.random.default_rng((settings.seed, i))
    layout = None if settings.detector == ANY else settings.detector
    return simulate_scene(random, settings.side, layout, settings.regime)


def simulate_center_set(
    out: str | os.PathLike[str],
    settings: CenterSimulationSettings | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **changes: Any,
) -> CenterSet:
    """Write a set of frames with known beam centres.

    Parameters
    ----------
    out : path
        Folder to write into; made when absent. It gets ``frames.cxi`` with frames, masks
        and the truth (``truth/center`` as row and column, ``truth/parameters`` as JSON),
        and ``centers.csv``.
    settings : CenterSimulationSettings, optional
        What to simulate; equal settings give equal data.
    overwrite : bool
        Replace the files of an earlier simulation.
    progress : callable, optional
        Called with frames done and frames in all.
    **changes
        Single settings by name, instead of ``settings``.

    Raises
    ------
    OutputError
        If a file exists and ``overwrite`` is false, or the folder cannot be written.
    SettingsError
        If a setting is unknown or out of range.
    """
    values = settings.to_dict() if settings is not None else {}
    settings = CenterSimulationSettings.from_dict({**values, **changes})
    folder = Path(out)
    data, table = folder / "frames.cxi", folder / "centers.csv"
    check_free((data, table), overwrite)
    make_folder(folder)
    n = settings.n_events
    truth = {"center": ("f8", (2,)), "detector": ("S16", ()), "parameters": ("json", ())}
    rows: list[list[Any]] = []
    centers = []
    with atomic_write(data, overwrite) as temporary, h5py.File(temporary, "w") as file:
        writer = PlaneFile(file, n, settings.side, settings.compression, None, truth)
        for i in range(n):
            scene = center_scene(settings, i)
            writer.write(
                i,
                scene.image,
                (scene.truth["wavelength"], scene.truth["distance"]),
                {
                    "center": scene.center,
                    "detector": scene.detector.encode(),
                    "parameters": scene.truth,
                },
                plane_mask(plane_detector(scene.detector, settings.side), scene.mask),
            )
            rows.append(_row(i, scene))
            centers.append(scene.center)
            if progress is not None:
                progress(i + 1, n)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_COLUMNS, *rows])
    write_text_atomic(table, text.getvalue(), overwrite)
    return CenterSet(folder, data, table, tuple(centers))


_HARD = ("off_detector", "long_distance", "counts", "shadow", "stop", "absorption", "ice")
_COLUMNS = ["image", "row", "column", "detector", *_HARD]


def _row(i: int, scene: Scene) -> list[Any]:
    row, column = (f"{place:.3f}" for place in scene.center)
    told = [scene.truth[name] for name in _HARD]
    told = [
        f"{v:.4g}" if isinstance(v, float) else int(v) if v is True or v is False else v
        for v in told
    ]
    return [i, row, column, scene.detector, *told]
