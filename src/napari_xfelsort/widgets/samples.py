"""File > Open Sample: simulated runs, written once into the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

from napari_xfelsort.widgets.layers import LayerData, Opened

#: Changes when the simulation does, so that no old sample is taken for a new one.
_VERSION = "1"


def sample_folder() -> Path:
    """Where samples are kept; set ``XFELSORT_SAMPLES`` to keep them elsewhere."""
    chosen = os.environ.get("XFELSORT_SAMPLES")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("napari-xfelsort")) / f"samples-{_VERSION}"


def labelling_run() -> list[LayerData]:
    """A simulated run to label: 150 events, on a third of which gain switched wrongly."""
    return _sample(1)


def sorting_run() -> list[LayerData]:
    """A second run of the same detector, to sort with the model of the first."""
    return _sample(2)


def _sample(run: int) -> list[LayerData]:
    from napari_xfelsort.widgets.reading import open_layers, watch_current_viewer

    data, geometry = simulated_run(run)
    layers = open_layers(Opened((data,), geometry))
    watch_current_viewer()
    return layers


def simulated_run(run: int) -> tuple[str, str]:
    """Data file and geometry of a simulated run, written when they are not there yet.

    The true classes of its events are beside them, in ``truth/good.lst`` and
    ``truth/bad.lst``.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from napari.utils import progress

    from napari_xfelsort.core.simulate import DetectorSimulationSettings, simulate_detector

    folder = sample_folder() / f"run{run}"
    data, geometry = folder / f"run{run:04d}.cxi", folder / "small.geom"
    # Each file is there when it is complete; all are when the writer was not stopped.
    files = (data, geometry, folder / "truth" / "good.lst", folder / "truth" / "bad.lst")
    if not all(path.is_file() for path in files):
        settings = DetectorSimulationSettings(seed=run, run=run)
        with progress(total=settings.n_events, desc="simulating a run") as bar:
            simulate_detector(
                folder, settings, overwrite=True, progress=lambda done, total: bar.update(1)
            )
    return str(data), str(geometry)
