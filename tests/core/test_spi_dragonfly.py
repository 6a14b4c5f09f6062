"""Dragonfly's files byte by byte, and back through the readers."""

from __future__ import annotations

import configparser
import struct

import h5py
import numpy as np
import pytest
from spi_runs import BEAM, DISTANCE, PIXEL, SHAPE, bad_pixels, geometry, run

from napari_xfelsort.core.errors import (
    GeometryError,
    NoEventsError,
    OutputError,
    SettingsError,
    UnreadableFileError,
)
from napari_xfelsort.core.export import export
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.core.spi import photons as photons_module
from napari_xfelsort.core.spi.dragonfly import (
    config_text,
    dragonfly_detector,
    write_blacklist,
    write_emc,
    write_photons_hdf5,
)
from napari_xfelsort.core.spi.hand_over import hand_over
from napari_xfelsort.core.spi.photons import sparse
from napari_xfelsort.readers import open_stack


def tiny(folder, frames, name="tiny.h5"):
    """A run of frames without mask or geometry."""
    with h5py.File(folder / name, "w") as file:
        file["entry_1/data_1/data"] = frames
    return open_stack(folder / name)


FRAMES = np.zeros((3, 16, 16), "u2")
FRAMES.reshape(3, -1)[:, :6] = [[0, 1, 5, 1, 0, 2], [0] * 6, [7, 0, 0, 1, 1, 1]]


def test_an_emc_file_is_what_it_should_be_to_the_byte(tmp_path):
    made = write_emc(tiny(tmp_path, FRAMES), tmp_path / "out.emc")
    content = (tmp_path / "out.emc").read_bytes()
    expected = struct.pack("<3i", 3, 256, 0) + bytes(1012)
    expected += struct.pack("<3i", 2, 0, 3)  # pixels with one
    expected += struct.pack("<3i", 2, 0, 1)  # pixels with more
    expected += struct.pack("<5i", 1, 3, 3, 4, 5)  # places of one
    expected += struct.pack("<3i", 2, 5, 0)  # places of more
    expected += struct.pack("<3i", 5, 2, 7)  # how many
    assert content == expected
    assert (made.events, made.pixels, made.photons) == (3, 256, 19)


def test_hdf5_photons_are_what_they_should_be(tmp_path):
    write_photons_hdf5(tiny(tmp_path, FRAMES), tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert set(file) == {"num_pix", "place_ones", "place_multi", "count_multi"}
        assert file["num_pix"].dtype == np.dtype("<i4")
        assert file["num_pix"][:].tolist() == [256]
        for name, rows in {
            "place_ones": [[1, 3], [], [3, 4, 5]],
            "place_multi": [[2, 5], [], [0]],
            "count_multi": [[5, 2], [], [7]],
        }.items():
            assert h5py.check_vlen_dtype(file[name].dtype) == np.dtype("<i4")
            assert file[name].shape == (3,)
            assert [row.tolist() for row in file[name][:]] == rows


@pytest.mark.parametrize("write", [write_emc, write_photons_hdf5])
def test_files_read_back_as_they_were(tmp_path, write, monkeypatch):
    monkeypatch.setattr(photons_module, "_MOST_EVENTS", 4)  # many parts
    generator = np.random.default_rng(1)
    frames = generator.poisson(0.4, (11, 30, 20)).astype(np.int32)
    frames[3] *= 70_000
    path = tmp_path / ("out.emc" if write is write_emc else "out.h5")
    seen = []
    write(tiny(tmp_path, frames), path, progress=lambda *each: seen.append(each))
    assert seen == [(4, 11), (8, 11), (11, 11)]
    stack = open_stack(path)
    assert len(stack) == 11
    assert np.array_equal(
        np.stack([stack.raw(i).ravel() for i in range(11)]), frames.reshape(11, -1)
    )


def test_the_order_of_a_selection_of_files_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(photons_module, "_MOST_EVENTS", 4)
    frames = np.arange(1, 7, dtype=np.uint16)[:, np.newaxis, np.newaxis] * np.ones((16, 16), "u2")
    tiny(tmp_path, frames, "a.h5")
    tiny(tmp_path, frames + 10, "b.h5")
    stack = open_stack([tmp_path / "a.h5", tmp_path / "b.h5"]).subset([7, 0, 11, 5, 6, 1])
    write_emc(stack, tmp_path / "out.emc")
    back = open_stack(tmp_path / "out.emc")
    assert [int(back.raw(i).max()) for i in range(6)] == [12, 1, 16, 6, 11, 2]


def test_values_are_rounded_to_photons(tmp_path):
    values = np.array([[[-5.0, 49.9, 50.0, 149.9, 150.0, np.nan, np.inf, 260.0]]])
    values[0, 0, 6] = np.nan
    found = sparse(values, per_photon=100.0)
    assert found.place_ones.tolist() == [2, 3]
    assert found.place_multi.tolist() == [4, 7]
    assert found.count_multi.tolist() == [2, 3]
    bad = np.zeros((1, 1, 8), bool)
    bad[..., 4] = True
    assert sparse(values, bad, 100.0).place_multi.tolist() == [7]
    with pytest.raises(OutputError, match="more than"):
        sparse(np.array([[3e12]]))
    with pytest.raises(OutputError, match="more than"):
        sparse(np.array([[1 << 40]]))
    signed = sparse(np.array([[-3, 0, 1, 9]], np.int8))
    assert (signed.place_ones.tolist(), signed.place_multi.tolist()) == ([2], [3])
    flags = sparse(np.array([[True, False]]))
    assert flags.place_ones.tolist() == [0]
    with pytest.raises(SettingsError, match="cannot count"):
        sparse(values, per_photon=0.0)


def test_bad_pixels_have_no_photons_and_adu_are_those_of_the_geometry(tmp_path):
    frames = np.full((2, *SHAPE), 2, np.uint16)
    stack = run(tmp_path, frames)
    made = write_emc(stack, tmp_path / "out.emc")
    assert made.photons == 2 * 2 * int((~bad_pixels()).sum())
    geometry().to_crystfel(tmp_path / "a.geom")
    text = (tmp_path / "a.geom").read_text()
    text = text.replace("adu_per_photon = 1", "adu_per_photon = 2")
    scaled = open_stack(tmp_path / "run.cxi", geometry=Geometry.from_crystfel_text(text))
    assert write_emc(scaled, tmp_path / "half.emc").photons == made.photons // 2


def test_a_detector_file_is_that_of_the_formulas(tmp_path):
    stack = run(tmp_path, np.zeros((1, *SHAPE), np.uint16))
    level = np.full(SHAPE, 0.25)
    dragonfly_detector(stack, background=level).write(tmp_path / "det.h5")
    detd = DISTANCE / PIXEL
    y, x = np.indices(SHAPE)
    # Rows run downwards, the laboratory's y upwards.
    x, y = (x - BEAM[1]).ravel(), (BEAM[0] - y).ravel()
    f = np.sqrt(x**2 + y**2 + detd**2)
    with h5py.File(tmp_path / "det.h5") as file:
        for name, value in {
            "qx": x * detd / f,
            "qy": y * detd / f,
            "qz": detd * (detd / f - 1),
            "corr": detd / f**3 * (1 - x**2 / f**2),
            "background": level.ravel(),
        }.items():
            assert file[name].dtype == np.dtype("<f8")
            assert file[name][:] == pytest.approx(value, rel=1e-9, abs=1e-9)
        assert file["mask"].dtype == np.uint8
        assert np.array_equal(file["mask"][:], np.where(bad_pixels(), 2, 0).ravel())
        assert file["detd"].shape == file["ewald_rad"].shape == ()
        assert file["detd"][()] == pytest.approx(detd)
        assert file["ewald_rad"][()] == pytest.approx(detd)


def test_a_detector_as_text_and_with_another_sphere(tmp_path):
    stack = run(tmp_path, np.zeros((1, *SHAPE), np.uint16))
    made = dragonfly_detector(stack, ewald_rad=650.0, polarisation="none", orient_radius=20.0)
    made.write(tmp_path / "det.dat", text=True)
    lines = (tmp_path / "det.dat").read_text().splitlines()
    head = lines[0].split()
    assert int(head[0]) == len(lines) - 1 == SHAPE[0] * SHAPE[1]
    assert float(head[1]) == pytest.approx(DISTANCE / PIXEL)
    assert float(head[2]) == 650
    table = np.array([line.split() for line in lines[1:]], float)
    away = table[:, :3] + [0, 0, 650.0]
    assert np.linalg.norm(away, axis=1) == pytest.approx(np.full(len(table), 650.0))
    far = np.linalg.norm(table[:, :3], axis=1) > 20
    expected = np.where(bad_pixels().ravel(), 2, far.astype(int))
    assert np.array_equal(table[:, 4], expected)
    with pytest.raises(GeometryError, match="background has shape"):
        dragonfly_detector(stack, background=np.zeros(3))
    with pytest.raises(SettingsError, match="radius of 0"):
        dragonfly_detector(stack, ewald_rad=0.0)


def test_blacklist_and_configuration(tmp_path):
    write_blacklist(tmp_path / "black.txt", np.array([True, False, False, True]))
    assert (tmp_path / "black.txt").read_bytes() == b"0\n1\n1\n0\n"
    with pytest.raises(NoEventsError, match="leave no event"):
        write_blacklist(tmp_path / "none.txt", np.zeros(3, bool))
    stack = run(tmp_path, np.zeros((1, *SHAPE), np.uint16))
    parser = configparser.ConfigParser()
    parser.read_string(
        config_text(stack, {"in_photons_file": "p.emc", "in_detector_file": "d.h5"})
    )
    assert float(parser["parameters"]["detd"]) == pytest.approx(130)
    assert float(parser["parameters"]["lambda"]) == pytest.approx(7.29)
    assert float(parser["parameters"]["pixsize"]) == pytest.approx(0.075)
    assert parser["emc"]["in_photons_file"] == "p.emc"
    assert parser["emc"]["need_scaling"] == "1"


#: What emc looks for in its section (duaneloh/Dragonfly, src/params.c, iterate.c, setup_emc.c).
EMC_KEYS = {
    *("in_photons_file", "in_photons_list", "in_detector_file", "in_detector_list"),
    *("blacklist_file", "selection", "output_folder", "log_file", "recon_type", "size"),
    *("start_model_file", "scale_file", "num_div", "need_scaling", "update_scale", "alpha"),
    *("beta", "beta_schedule", "beta_factor", "radius", "radius_schedule", "friedel_sym"),
}


@pytest.mark.parametrize("blacklist", [False, True])
def test_a_selection_is_handed_over_in_one_folder(tmp_path, blacklist):
    generator = np.random.default_rng(2)
    frames = generator.poisson(0.2, (6, *SHAPE)).astype(np.uint16)
    stack = run(tmp_path, frames)
    chosen = np.array([True, False, True, True, False, False])
    made = hand_over(stack, tmp_path / "emc", chosen, blacklist=blacklist)
    numbers = list(range(6)) if blacklist else [0, 2, 3]
    assert made.kept == 3
    assert made.photons.events == len(numbers)
    back = open_stack(tmp_path / "emc" / "photons.emc")
    for k, i in enumerate(numbers):
        assert np.array_equal(back.raw(k).ravel(), np.where(bad_pixels(), 0, frames[i]).ravel())
    assert [e.event.event for e in read_list(made.events)] == [f"//{i}" for i in numbers]
    config = configparser.ConfigParser()
    config.read(made.config)
    assert ("blacklist_file" in config["emc"]) == blacklist
    assert set(config["emc"]) <= EMC_KEYS
    # emc makes folders in its output folder, but not that one.
    assert (tmp_path / "emc" / config["emc"]["output_folder"]).is_dir()
    for name in ("in_photons_file", "in_detector_file"):
        assert (tmp_path / "emc" / config["emc"][name]).is_file()
    if blacklist:
        assert made.blacklist.read_text().split() == ["0", "1", "0", "0", "1", "1"]
    with pytest.raises(OutputError, match="exists already"):
        hand_over(stack, tmp_path / "emc", chosen)


def test_a_selection_as_a_virtual_file_shows_the_frames(tmp_path):
    frames = np.arange(5, dtype=np.uint16)[:, None, None] * np.ones(SHAPE, np.uint16)
    stack = run(tmp_path, frames).subset([4, 1])
    export(stack, tmp_path / "chosen.cxi", "virtual")
    back = open_stack(tmp_path / "chosen.cxi", geometry=geometry())
    assert [int(np.median(back.raw(i))) for i in range(2)] == [4, 1]
    assert np.array_equal(back.mask.bad, bad_pixels())


def test_nothing_is_written_of_what_cannot_be(tmp_path):
    stack = tiny(tmp_path, FRAMES)
    with pytest.raises(NoEventsError, match="no event"):
        write_emc(stack.subset([]), tmp_path / "out.emc")
    with pytest.raises(OutputError, match="does not exist"):
        write_emc(stack, tmp_path / "no" / "out.emc")
    with pytest.raises(OutputError, match="events themselves"):
        write_photons_hdf5(stack, tmp_path / "tiny.h5", overwrite=True)
    with pytest.raises(GeometryError, match="geometry"):
        hand_over(stack, tmp_path / "emc")
    assert not (tmp_path / "emc").exists()
    with pytest.raises(NoEventsError, match="No event is chosen"):
        hand_over(stack, tmp_path / "emc", np.zeros(3, bool))

    def broken(indices, window=None):
        raise UnreadableFileError("The frame is torn.")

    source = stack.sources[0]
    source.read_many = broken
    source.read = lambda i, window=None, out=None: broken([i])
    with pytest.raises(UnreadableFileError, match="torn"):
        write_emc(stack, tmp_path / "out.emc")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.h5"]
