"""Geometry of NXmx files: module axes by hand, and what such files lack."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from napari_xfelsort.core.errors import GeometryError, UnreadableFileError
from napari_xfelsort.core.geometry import Geometry


def group(parent: Any, name: str, nx_class: str) -> Any:
    made = parent.create_group(name)
    made.attrs["NX_class"] = nx_class
    return made


def detector(file: Any) -> Any:
    entry = group(file, "entry", "NXentry")
    instrument = group(entry, "instrument", "NXinstrument")
    beam = group(instrument, "beam", "NXbeam")
    beam["incident_wavelength"] = 1.0
    beam["incident_wavelength"].attrs["units"] = "angstrom"
    return group(instrument, "detector", "NXdetector")


def axis(
    parent: Any,
    name: str,
    value: float,
    vector: tuple[float, float, float],
    kind: str = "translation",
    units: str = "mm",
    depends_on: str = ".",
    **attributes: Any,
) -> None:
    dataset = parent.create_dataset(name, data=value)
    dataset.attrs["vector"] = vector
    dataset.attrs["transformation_type"] = kind
    dataset.attrs["units"] = units
    dataset.attrs["depends_on"] = depends_on
    for key, attribute in attributes.items():
        dataset.attrs[key] = attribute


def module(
    parent: Any,
    name: str,
    origin: tuple[int, ...],
    size: tuple[int, ...],
    depends_on: str,
    fast: tuple[float, float, float] = (-1, 0, 0),
    slow: tuple[float, float, float] = (0, -1, 0),
    **attributes: Any,
) -> Any:
    made = group(parent, name, "NXdetector_module")
    made["data_origin"], made["data_size"] = origin, size
    axis(made, "fast_pixel_direction", 0.1, fast, depends_on=depends_on, **attributes)
    axis(made, "slow_pixel_direction", 0.1, slow, depends_on=depends_on)
    return made


def write_two_modules(path: Path) -> None:
    """Two modules of 20 x 30 pixels of 0.1 mm, 200 mm away; the second turned by 90 degrees.

    The first one's corner is at (3, 2) mm; the second hangs on a stage at (-1, 0.5) mm that
    turns about the beam, and is 0.25 mm nearer.
    """
    with h5py.File(path, "w") as file:
        found = detector(file)
        stages = group(found, "transformations", "NXtransformations")
        axis(stages, "det_z", 0.2, (0, 0, 2), units="m")
        axis(stages, "stage", -1.0, (1, 0, 0), depends_on="det_z", offset=[0, 500, -250])
        stages["stage"].attrs["offset_units"] = "um"
        axis(stages, "turn", 90, (0, 0, 1), "rotation", "deg", depends_on="stage")
        first = module(found, "one", (0, 0, 0), (1, 20, 30), "module_offset")
        axis(
            first,
            "module_offset",
            0.0,
            (1, 0, 0),
            depends_on="/entry/instrument/detector/transformations/det_z",
            offset=[3.0, 2.0, 0.0],
        )
        module(
            found,
            "two",
            (2, 0, 0),
            (1, 20, 30),
            "/entry/instrument/detector/transformations/turn",
        )


def test_modules_on_stages(tmp_path):
    write_two_modules(tmp_path / "two.nxs")
    geometry = Geometry.from_nexus(tmp_path / "two.nxs")
    assert geometry.raw_shape == (3, 20, 30)
    assert geometry.source.endswith("two.nxs")
    x, y, z = (a * 1e3 for a in geometry.positions())
    # The first steps by -0.1 mm along x (fs) and y (ss) from its corner.
    assert x[0, 0] == pytest.approx(3 - 0.1 * (np.arange(30) + 0.5))
    assert y[0, :, 7] == pytest.approx(2 - 0.1 * (np.arange(20) + 0.5))
    assert z[0] == pytest.approx(200)
    # A quarter turn about the beam takes -x to -y and -y to +x.
    assert x[2, :, 4] == pytest.approx(-1 + 0.1 * (np.arange(20) + 0.5))
    assert y[2, 3] == pytest.approx(0.5 - 0.1 * (np.arange(30) + 0.5))
    assert z[2] == pytest.approx(199.75)
    assert np.isnan(x[1]).all()
    assert geometry.photon_energy.value == pytest.approx(12398.42, rel=1e-6)
    assert geometry.camera_length() == pytest.approx(0.2, abs=3e-4)
    assert not geometry.warnings


def test_it_can_be_written_for_crystfel(tmp_path):
    write_two_modules(tmp_path / "two.nxs")
    geometry = Geometry.from_nexus(tmp_path / "two.nxs")
    geometry.to_crystfel(tmp_path / "two.geom")
    other = Geometry.from_crystfel(tmp_path / "two.geom")
    assert not other.warnings
    assert other.raw_shape == geometry.raw_shape
    for ours, theirs in zip(geometry.positions(), other.positions(), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-9)


def write_one(path: Path, size: tuple[int, int], **more: Any) -> None:
    with h5py.File(path, "w") as file:
        found = detector(file)
        group(file["entry"], "data", "NXdata").create_dataset("data", (2, 20, 30), "u2")
        module(found, "module", (0, 0), size, "module_offset", **more)
        axis(found["module"], "module_offset", 200.0, (0, 0, 1), offset=[1.5, 1.0, 0.0])


def test_dectris_order_of_the_size_is_recognised(tmp_path):
    """DECTRIS writes (fast, slow) where NXmx says (slow, fast)."""
    for size in ((20, 30), (30, 20)):
        path = tmp_path / f"{size[0]}.nxs"
        write_one(path, size)
        geometry = Geometry.from_nexus(path)
        assert geometry.raw_shape == (20, 30)
        # The picture looks into the beam: what goes to -x goes to the left.
        raw = np.arange(600).reshape(20, 30)
        assert (geometry.assemble(raw) == raw[:, ::-1]).all()
        assert geometry.beam_position == pytest.approx((9.5, 14.5))


def test_an_offset_of_the_pixel_direction_moves_the_module(tmp_path):
    write_one(tmp_path / "a.nxs", (20, 30), offset=[0.0, 0.0, 5.0])
    _, _, z = Geometry.from_nexus(tmp_path / "a.nxs").positions()
    assert z == pytest.approx(0.205)


def test_a_module_offset_outside_the_chain_of_the_directions(tmp_path):
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        found = detector(file)
        found["depends_on"] = "stage"
        axis(found, "stage", 150.0, (0, 0, 1))
        made = module(found, "module", (0, 0), (4, 5), ".")
        for key in ("fast_pixel_direction", "slow_pixel_direction"):
            del made[key].attrs["depends_on"]
        axis(made, "module_offset", 2.0, (0, 1, 0), depends_on="../stage")
    x, y, z = Geometry.from_nexus(tmp_path / "a.nxs").positions()
    assert (x[0, 0], y[0, 0], z[0, 0]) == pytest.approx((-0.05e-3, 1.95e-3, 0.15))


def test_pixel_size_and_beam_centre_serve_where_there_are_no_modules(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        found = detector(file)
        group(file["entry"], "data", "NXdata").create_dataset("data_000001", (2, 20, 30), "u2")
        for key, value, units in (
            ("x_pixel_size", 75.0, "um"),
            ("y_pixel_size", 7.5e-5, "m"),
            ("beam_center_x", 15.5, "pixel"),
            ("beam_center_y", 8.25 * 0.075, "mm"),
            ("detector_distance", 150.0, "mm"),
        ):
            found[key] = value
            found[key].attrs["units"] = units
    geometry = Geometry.from_nexus(tmp_path / "a.h5")
    assert geometry.raw_shape == geometry.shape == (20, 30)
    assert geometry.beam_position == pytest.approx((7.75, 15.0))
    assert geometry.camera_length() == pytest.approx(0.15)
    raw = np.arange(600).reshape(20, 30)
    assert (geometry.assemble(raw) == raw).all()


def test_the_shared_samples(shared_data):
    eiger = Geometry.from_nexus(shared_data / "layouts" / "d1_dectris_master/lyso_1_master.h5")
    said = Geometry.from_crystfel(shared_data / "layouts" / "d1_dectris_master/eiger.geom")
    assert eiger.raw_shape == said.raw_shape
    # Both know the beam centre; how the frame is turned only the second says.
    assert abs(eiger.positions()[0]) == pytest.approx(abs(said.positions()[0]), rel=1e-5)
    assert abs(eiger.positions()[1]) == pytest.approx(abs(said.positions()[1]), rel=1e-5)
    diamond = Geometry.from_nexus(shared_data / "layouts" / "d5_nxmx_vds_nxs/Therm_6_2.nxs")
    assert diamond.raw_shape == (120, 160)
    assert diamond.camera_length() == pytest.approx(0.214)
    assert diamond.photon_energy.value == pytest.approx(12647.964, rel=1e-6)


def spoil(found: Any, what: str) -> None:
    made = found["module"]
    fast = made["fast_pixel_direction"]
    if what == "circle":
        fast.attrs["depends_on"] = "slow_pixel_direction"
        made["slow_pixel_direction"].attrs["depends_on"] = "fast_pixel_direction"
    elif what == "nowhere":
        fast.attrs["depends_on"] = "/entry/none"
    elif what == "vector":
        fast.attrs["vector"] = [0.0, 0.0, 0.0]
    elif what == "units":
        fast.attrs["units"] = "furlong"
    elif what == "edge-on":
        fast.attrs["vector"] = [0.0, 0.0, 1.0]
    elif what == "pitch":
        fast[...] = math.nan
    elif what in ("data_size", "fast_pixel_direction"):
        del made[what]
    elif what == "enormous":
        made["data_size"][...] = [10**5, 10**5]
    elif what == "negative":
        made["data_origin"][...] = [-1, 0]
    elif what == "modules at once":
        del made["data_size"], made["data_origin"]
        made["data_size"], made["data_origin"] = [4, 20, 30], [0, 0, 0]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("circle", "in circles"),
        ("nowhere", "which is not in the file"),
        ("vector", "no 'vector'"),
        ("units", "'furlong'"),
        ("edge-on", "edge-on"),
        ("pitch", "size of a pixel"),
        ("data_size", "no data_size"),
        ("fast_pixel_direction", "no fast_pixel_direction"),
        ("enormous", "more than"),
        ("negative", "lies at"),
        ("modules at once", "4 modules at once"),
    ],
)
def test_spoilt_modules_are_refused_with_the_file_and_the_reason(tmp_path, what, said):
    path = tmp_path / "spoilt.nxs"
    write_one(path, (20, 30))
    with h5py.File(path, "r+") as file:
        spoil(file["entry/instrument/detector"], what)
    with pytest.raises(GeometryError) as caught:
        Geometry.from_nexus(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_files_without_such_a_detector_are_refused(tmp_path):
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["data"] = np.zeros((2, 3, 4))
        file["entry_link"] = h5py.SoftLink("/nowhere")
        file["entry_2/instrument_1/detector_1/x_pixel_size"] = 1e-4
    with pytest.raises(GeometryError, match="no NXmx detector"):
        Geometry.from_nexus(tmp_path / "plain.h5")
    (tmp_path / "text.nxs").write_text("not HDF5")
    with pytest.raises(UnreadableFileError, match=r"text\.nxs"):
        Geometry.from_nexus(tmp_path / "text.nxs")
    with pytest.raises(UnreadableFileError):
        Geometry.from_nexus(tmp_path / "none.nxs")
