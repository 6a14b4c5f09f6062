"""File > Open Sample: simulated runs, written once into the user's cache folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from napari_xfelsort.core.settings import Settings
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


def sfx_run() -> list[LayerData]:
    """A simulated run of serial crystallography at seven fluxes, its spots as stored peaks."""
    return _opened(simulated_sfx())


def dark_and_flat() -> list[LayerData]:
    """A dark and a flat-field run of one detector with planted defects, for making masks."""
    dark, flat, geometry = simulated_pair()
    return _opened((dark, geometry), (flat, geometry))


def anomaly_run() -> list[LayerData]:
    """A simulated run with the seven anomalies of RefleX, several in some events."""
    return _opened(simulated_anomalies())


def spi_run() -> list[LayerData]:
    """A simulated single-particle run: singles, doublets, wrong sizes, streaks, blanks."""
    return _opened(simulated_spi())


def _sample(run: int) -> list[LayerData]:
    return _opened(simulated_run(run))


def _opened(*runs: tuple[str, str]) -> list[LayerData]:
    from napari_xfelsort.widgets.reading import open_layers, watch_current_viewer

    layers = [layer for data, geometry in runs for layer in open_layers(Opened((data,), geometry))]
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
    from napari_xfelsort.core.simulate import DetectorSimulationSettings, simulate_detector

    folder = sample_folder() / f"run{run}"
    data, geometry = folder / f"run{run:04d}.cxi", folder / "small.geom"
    files = (data, geometry, folder / "truth" / "good.lst", folder / "truth" / "bad.lst")
    settings = DetectorSimulationSettings(seed=run, run=run)
    _written(files, simulate_detector, settings, settings.n_events)
    return str(data), str(geometry)


def simulated_sfx() -> tuple[str, str]:
    """Data file and geometry of a simulated crystallography run, as `simulated_run`.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from napari_xfelsort.core.simulate import SfxSimulationSettings, simulate_sfx

    # Half the EIGER2's pixels along rows and columns; as many events of each flux.
    settings = SfxSimulationSettings(n_events=42, binning=2, seed=1, stored_peaks=True)
    return _run("sfx", ("hits", "blanks"), simulate_sfx, settings, settings.n_events)


def simulated_pair() -> tuple[str, str, str]:
    """Dark run, flat-field run and geometry, as `simulated_run`.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from napari_xfelsort.core.simulate import DarkSimulationSettings, simulate_dark

    folder = sample_folder() / "dark"
    files = (folder / "dark.cxi", folder / "flat.cxi", folder / "detector.geom")
    settings = DarkSimulationSettings(n_events=40, binning=4, seed=1)
    truth = folder / "truth" / "defects.h5"
    _written((*files, truth), simulate_dark, settings, 2 * settings.n_events)
    return str(files[0]), str(files[1]), str(files[2])


def simulated_anomalies() -> tuple[str, str]:
    """Data file and geometry of a simulated run with anomalies, as `simulated_run`.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from napari_xfelsort.core.anomalies.names import ANOMALIES
    from napari_xfelsort.core.simulate import AnomalySimulationSettings, simulate_anomalies

    # Equal shares, so that there is something of everything in a short run.
    settings = AnomalySimulationSettings(n_events=60, seed=1, **dict.fromkeys(ANOMALIES, 0.25))
    return _run("anomalies", ANOMALIES, simulate_anomalies, settings, settings.n_events)


def simulated_spi() -> tuple[str, str]:
    """Data file and geometry of a simulated single-particle run, as `simulated_run`.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from napari_xfelsort.core.simulate import SPI_CLASSES, SpiSimulationSettings, simulate_spi

    settings = SpiSimulationSettings(n_events=300, single=0.2, blank=0.13, seed=1)
    return _run("spi", SPI_CLASSES, simulate_spi, settings, settings.n_events)


def _run(
    name: str,
    classes: Iterable[str],
    simulate: Callable[..., object],
    settings: Settings,
    steps: int,
) -> tuple[str, str]:
    """Write a sample of one run with a list for each class; its data file and geometry."""
    folder = sample_folder() / name
    data, geometry = folder / "run0001.cxi", folder / "run0001.geom"
    lists = (folder / "truth" / f"run0001-{kind}.lst" for kind in classes)
    _written((data, geometry, *lists), simulate, settings, steps)
    return str(data), str(geometry)


def _written(
    files: tuple[Path, ...], simulate: Callable[..., object], settings: Settings, steps: int
) -> None:
    """Write a sample into the folder of its first file, unless all of it is there.

    Each file is there when it is complete; all are when the writer was not stopped.
    """
    from napari.utils import progress

    if all(path.is_file() for path in files):
        return
    with progress(total=steps, desc="simulating a run") as bar:
        simulate(
            files[0].parent,
            settings,
            overwrite=True,
            progress=lambda done, total: bar.update(1),
        )
