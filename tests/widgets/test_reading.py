"""napari's reader and manifest."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from importlib.resources import files

import numpy as np
import pytest
from npe2 import PluginManifest

from napari_xfelsort.core.errors import GeometryError, XfelsortError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.reading import get_reader, read_geometry, read_run


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(files("napari_xfelsort") / "napari.yaml")


def test_manifest_is_found_under_the_distributions_name(manifest):
    found = [e for e in entry_points(group="napari.manifest") if e.name == "napari-xfelsort"]
    assert [entry.value for entry in found] == ["napari_xfelsort:napari.yaml"]
    assert manifest.name == "napari-xfelsort"


def test_every_command_of_the_manifest_exists(manifest):
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), command.id


def test_every_dock_takes_the_viewer_under_the_name_that_napari_looks_for(manifest):
    import inspect

    for widget in manifest.contributions.widgets:
        command = next(c for c in manifest.contributions.commands if c.id == widget.command)
        module, _, name = command.python_name.partition(":")
        signature = inspect.signature(getattr(importlib.import_module(module), name))
        assert "napari_viewer" in signature.parameters, command.id


def test_all_kinds_of_files_are_claimed(manifest):
    (reader,) = manifest.contributions.readers
    assert set(reader.filename_patterns) == {
        "*.cxi",
        "*.nxs",
        "*.h5",
        "*.hdf5",
        "*.lst",
        "*.geom",
    }
    assert reader.accepts_directories


def test_reader_is_chosen_by_what_is_named():
    assert get_reader("a.geom") is read_geometry
    assert get_reader(["a.geom", "B.GEOM"]) is read_geometry
    assert get_reader("a.cxi") is read_run
    assert get_reader(["a.cxi", "b.cxi"]) is read_run
    assert get_reader("/some/folder") is read_run
    assert get_reader([]) is None
    assert get_reader(["a.cxi", "b.geom"]) is None


def test_several_files_are_one_run(simulated, simulated_second):
    layers = read_run([str(simulated.data), str(simulated_second.data)])
    data, keywords, _ = layers[0]
    assert data.shape == (70, 704, 96)
    assert keywords["name"] == "run0001.cxi and 1 more"
    keywords["metadata"]["napari_xfelsort"]["frames"].store.close()


def test_a_list_and_a_folder_are_read(simulated):
    for path, n in ((simulated.good_list, sum(simulated.good)), (simulated.folder, 40)):
        data, keywords, kind = read_run(str(path))[0]
        assert (len(data), kind) == (n, "image")
        keywords["metadata"]["napari_xfelsort"]["frames"].store.close()


def test_geometry_is_outlines_with_names(simulated):
    ((data, keywords, kind),) = read_geometry(str(simulated.geometry))
    geometry = Geometry.from_crystfel(simulated.geometry)
    assert kind == "shapes"
    assert keywords["name"] == "small.geom"
    assert keywords["visible"]
    assert list(keywords["features"]["panel"]) == list(geometry.panels)
    assert np.shape(data) == (32, 4, 2)


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(XfelsortError, match="does not exist"):
        read_run(str(tmp_path / "absent.cxi"))
    (tmp_path / "bad.geom").write_text("p/min_fs = x\n")
    with pytest.raises(GeometryError, match=r"bad\.geom"):
        read_geometry(str(tmp_path / "bad.geom"))


def test_shared_geometries_are_drawn(shared_data):
    shown = 0
    for path in sorted((shared_data / "geoms").glob("*.geom"))[:40]:
        try:
            geometry = Geometry.from_crystfel(path)
            geometry.grid  # noqa: B018  (panels may be too far apart for a picture)
        except GeometryError:
            continue
        data, keywords, _ = drawn.panels_layer(geometry, visible=True)
        assert len(data) == len(keywords["features"]["panel"]) == len(geometry.panels)
        assert np.isfinite(np.concatenate(data)).all()
        shown += 1
    assert shown > 20
