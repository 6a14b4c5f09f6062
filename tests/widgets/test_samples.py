"""File > Open Sample: written once, complete or written again, opened with geometry."""

from __future__ import annotations

from pathlib import Path

import npe2
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core import simulate
from napari_xfelsort.core.errors import OutputError
from napari_xfelsort.widgets import samples
from napari_xfelsort.widgets.runs import runs_of

PLUGIN = "napari-xfelsort"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where samples are kept in a test; small ones."""
    monkeypatch.setenv("XFELSORT_SAMPLES", str(tmp_path / "samples"))
    small = {
        "DetectorSimulationSettings": {"n_events": 12},
        "SfxSimulationSettings": {"n_events": 7, "binning": 8},
        "DarkSimulationSettings": {"n_events": 5, "binning": 8},
        "AnomalySimulationSettings": {"n_events": 4, "side": 256},
        "SpiSimulationSettings": {"n_events": 9, "side": 64},
    }
    for name, changes in small.items():
        kind = getattr(simulate, name)
        monkeypatch.setattr(
            simulate, name, lambda kind=kind, changes=changes, **given: kind(**given | changes)
        )
    return tmp_path / "samples"


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in found
    }


def test_samples_are_kept_in_the_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("XFELSORT_SAMPLES", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "napari-xfelsort" in samples.sample_folder().parts


def test_a_sample_is_written_once(folder, qapp):
    first = samples.simulated_run(1)
    written = files(folder)
    assert set(written) == {
        "run1/run0001.cxi",
        "run1/small.geom",
        "run1/truth/good.lst",
        "run1/truth/bad.lst",
    }
    assert samples.simulated_run(1) == first
    assert files(folder) == written
    stack = xs.open_stack(first[0], geometry=first[1])
    assert len(stack) == 12
    assert not stack.problems


@pytest.mark.parametrize("n_events", [0, 5, 11])
def test_a_sample_whose_writing_was_stopped_is_written_again(folder, qapp, monkeypatch, n_events):
    class Killed(BaseException):
        pass

    write = simulate.simulate_detector

    def until(out, settings, *, progress, **more):
        def stop(done, total):
            progress(done, total)
            if done > n_events:
                raise Killed

        return write(out, settings, progress=stop, **more)

    with monkeypatch.context() as patch:
        patch.setattr(simulate, "simulate_detector", until)
        with pytest.raises(Killed):
            samples.simulated_run(1)
    assert not (folder / "run1" / "run0001.cxi").exists()
    data, geometry = samples.simulated_run(1)
    assert len(xs.open_stack(data, geometry=geometry)) == 12


@pytest.mark.parametrize("lost", ["run0001.cxi", "small.geom", "truth/good.lst", "truth/bad.lst"])
def test_what_is_missing_of_a_sample_is_written_again(folder, qapp, lost):
    data, _ = samples.simulated_run(1)
    content = (folder / "run1" / lost).read_bytes()
    (folder / "run1" / lost).unlink()
    assert samples.simulated_run(1)[0] == data
    if not lost.endswith(".cxi"):  # HDF5 keeps times
        assert (folder / "run1" / lost).read_bytes() == content
    assert (folder / "run1" / lost).is_file()


def test_a_folder_that_cannot_be_written_is_told(monkeypatch, tmp_path, qapp):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XFELSORT_SAMPLES", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot be made"):
        samples.labelling_run()


def test_the_manifest_names_samples_that_are_runs(folder, qapp):
    manager = npe2.PluginManager.instance()
    manager.discover()
    pairs = manager.iter_sample_data()
    found = {s.key: s for plugin, group in pairs if plugin == PLUGIN for s in group}
    assert set(found) == {
        "run-to-label",
        "run-to-sort",
        "sfx-run",
        "dark-and-flat",
        "anomaly-run",
        "spi-run",
    }
    names = {}
    for key, sample in found.items():
        layers = sample.open()
        assert layers[0][2] == "image"
        assert {kind for _, _, kind in layers} <= {"image", "labels", "shapes", "points"}
        runs = [(events, keywords) for events, keywords, kind in layers if kind == "image"]
        for _, keywords in runs:
            stack = keywords["metadata"]["napari_xfelsort"]["stack"]
            assert stack.geometry is not None
            assert not stack.problems
        names[key] = [(keywords["name"], len(events)) for events, keywords in runs]
    assert names == {
        "run-to-label": [("run0001.cxi", 12)],
        "run-to-sort": [("run0002.cxi", 12)],
        "sfx-run": [("run0001.cxi", 7)],
        "dark-and-flat": [("dark.cxi", 5), ("flat.cxi", 5)],
        "anomaly-run": [("run0001.cxi", 4)],
        "spi-run": [("run0001.cxi", 9)],
    }


@pytest.mark.parametrize(
    ("make", "lost"),
    [
        (samples.simulated_sfx, "sfx/run0001.geom"),
        (samples.simulated_pair, "dark/flat.cxi"),
        (samples.simulated_anomalies, "anomalies/truth/run0001-ice_ring.lst"),
        (samples.simulated_spi, "spi/truth/run0001-single.lst"),
    ],
)
def test_other_samples_are_written_once_and_again_when_lost(folder, qapp, make, lost):
    first = make()
    written = files(folder)
    assert make() == first
    assert files(folder) == written
    (folder / lost).unlink()
    assert make() == first
    assert set(files(folder)) == set(written)


def test_the_crystallography_run_has_its_spots_as_peaks(folder, qapp):
    data, geometry = samples.simulated_sfx()
    stack = xs.open_stack(data, geometry=geometry)
    assert max(len(stack.peaks(i)[0]) for i in range(7)) > 10
    assert len({round(stack.photon_energy(i), -3) for i in range(7)}) == 3


def test_the_pair_opens_as_two_runs(folder, make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    viewer.open_sample(PLUGIN, "dark-and-flat")
    dark, flat = runs_of(viewer).runs
    assert (len(dark), len(flat)) == (5, 5)
    assert dark.stack.geometry.digest == flat.stack.geometry.digest
    assert flat.stack.raw(0).mean() > dark.stack.raw(0).mean() + 500


def test_both_samples_open_in_a_viewer_and_have_one_detector(folder, make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    viewer.open_sample(PLUGIN, "run-to-label")
    viewer.open_sample(PLUGIN, "run-to-sort")
    first, second = runs_of(viewer).runs
    assert (len(first), len(second)) == (12, 12)
    assert first.stack.geometry.digest == second.stack.geometry.digest
    assert first.stack.raw(0).tobytes() != second.stack.raw(0).tobytes()
    assert first.opened.geometry == str(folder / "run1" / "small.geom")
