"""Every real geometry file: read as libcrystfel reads it, or refused for what is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry import Geometry

#: Files that libcrystfel refuses for their syntax: line and reason of our refusal.
REFUSED = {
    "cfel_work__geometry_converter__output": (50, "dim lines do not name ss"),
    "cfel_work__mask__string_mask__agipd_2450_vds_v4_new": (1783, "which panel"),
    "cfel_work__mask__string_mask__fail__agipd_2450_vds_v4_inv": (100, "which panel"),
    "cfel_work__mask__string_mask__fail__agipd_2450_vds_v4_new": (101, "which panel"),
    "cfel_work__mask__string_mask__string_mask_template": (4, "not a number"),
    "crystfel__examples__lcls-dec": (4, "no key 'min_x'"),
    "crystfel__examples__lcls-june": (4, "no key 'min_x'"),
    "crystfel__examples__lcls-june-r0013-r0128": (4, "no key 'min_x'"),
    "crystfel__examples__simple": (4, "no key 'min_x'"),
    "psgeom__ref_files__jungfrau__jungfrau-1M-pan": (13, "which panel"),
}

NO_ENERGY = "no photon energy"
NO_CLEN = "no camera length"
OLD_CLEN = "clen is given for a panel"
RETIRED = "is retired and ignored"
NO_UNITS = "adu_per_eV and adu_per_photon are missing"
NO_MASK_PATH = "has bits but no path"
NO_PICTURE = "no picture can be made"
TOO_LATE = "after the last panel"

#: Files that libcrystfel refuses for want of something, or for old keys: our warnings.
VIEW_ONLY = {
    "CrystFEL__doc__examples__lcls-dec": {OLD_CLEN, RETIRED, NO_ENERGY},
    "CrystFEL__doc__examples__lcls-june-r0013-r0128": {OLD_CLEN, RETIRED, NO_ENERGY},
    "CrystFEL__doc__examples__lcls-xpp-estimate": {OLD_CLEN, RETIRED, NO_ENERGY},
    "CrystFEL__doc__examples__simple": {OLD_CLEN, NO_ENERGY},
    "SimEx-Lite__SimExLite__DiffractionCalculators__convert_to_cxi_geoms__detector_sim": {
        OLD_CLEN,
        NO_ENERGY,
    },
    "bblib__tests__example__simple": {NO_ENERGY},
    "cfel_work__ID29__geom": {RETIRED, TOO_LATE},
    "cfel_work__scripts_data_processing__p11-11012500__eiger16M-P11_11010938_200mm": {
        NO_MASK_PATH
    },
    "cfel_work__scripts_data_processing__p11-11012500__eiger16M-P11_11012500_201mm-v0": {
        NO_MASK_PATH
    },
    "cheetah__examples__analysis-pipeline-jonas__config__geom__cspad-example": {
        OLD_CLEN,
        RETIRED,
        NO_ENERGY,
    },
    "cheetah__python__CsPadMaskMaker__example__cspad-cxib2313-v9": {NO_ENERGY},
    "crystfel__doc__examples__cspad-feb2011": {OLD_CLEN, RETIRED, NO_ENERGY},
    "crystfel__doc__examples__lcls-dec": {RETIRED, NO_ENERGY},
    "crystfel__doc__examples__lcls-june-r0013-r0128": {RETIRED, NO_ENERGY},
    "crystfel__doc__examples__lcls-xpp-estimate": {RETIRED, NO_ENERGY},
    "crystfel__doc__examples__simple": {NO_ENERGY},
    "crystfel__tests__gpu_sim_check": {OLD_CLEN},
    "crystfel__tests__polarisation_check": {OLD_CLEN},
    "derived__MPCCD-8_SACLA_api2_layout": {NO_MASK_PATH},
    "diffractem__notebooks__GV": {RETIRED},
    "om__docs_src__docs__files__cxi__jungfrau4M": {NO_ENERGY, NO_CLEN, NO_UNITS},
    "om__docs_src__docs__files__lcls__other__rayonix": {OLD_CLEN, NO_ENERGY, NO_UNITS},
    "om__docs_src__docs__files__local__pilatus": {NO_ENERGY, NO_CLEN, NO_UNITS},
    "om__docs_src__docs__files__mfx__epix10k2M": {NO_ENERGY, NO_CLEN, NO_UNITS},
    "om__tools__examples__lcls__cxi__jungfrau4M": {NO_ENERGY, NO_CLEN, NO_UNITS},
    "psgeom__ref_files__cspad-2x2-approx1": {NO_ENERGY},
    # Its corners are in micrometres, so that the detector would be 95 m wide.
    "psgeom__ref_files__tmp_crystfel": {RETIRED, NO_ENERGY, NO_CLEN, NO_UNITS, NO_PICTURE},
    "reborn_dev__bornagain__data__geom__pnccd_front": {OLD_CLEN},
    "reborn_dev__developer__rkirian__examples__lcls__cxix53120__calib__jungfrau": {
        NO_ENERGY,
        NO_CLEN,
    },
    "reborn_dev__examples__cheetah__example1": {RETIRED, NO_ENERGY},
    "reborn_dev__reborn__data__geom__epix10k": {NO_CLEN},
    "scripts__Eiger4M": {NO_ENERGY},
}

HC_EV_M = 1.239841984e-6  # CODATA


@pytest.fixture(scope="module")
def geoms(shared_data: Path) -> Path:
    return shared_data / "geoms"


@pytest.fixture(scope="module")
def oracles(geoms: Path) -> dict[str, dict[str, Any]]:
    files = sorted((geoms / "oracle").glob("[!_]*.json"))
    return {file.stem: json.loads(file.read_text()) for file in files}


def complaints(geometry: Geometry, said: dict[str, Any]) -> list[str]:
    """Where a geometry differs from libcrystfel's panels."""
    wrong = []
    if [p["name"] for p in said["panels"]] != list(geometry.panels):
        return ["names of the panels"]
    clen = geometry.clen.value if geometry.clen and geometry.clen.value is not None else 0.0
    for wanted in said["panels"]:
        panel = geometry.panels[wanted["name"]]
        pitch = wanted["pixel_pitch"]
        if (panel.width, panel.height) != (wanted["w"], wanted["h"]):
            wrong.append(f"size of {panel.name}")
        if abs(pitch * panel.res - 1) > 1e-6:
            wrong.append(f"pitch of {panel.name}")
        start = (wanted["cnx"], wanted["cny"], float(wanted["cnz_px"]))
        for f, s in ((0, 0), (panel.width, 0), (0, panel.height), (panel.width, panel.height)):
            for axis, letter in enumerate("xyz"):
                true = start[axis] + f * wanted[f"fs{letter}"] + s * wanted[f"ss{letter}"]
                ours = float(panel.position(f, s, axis)) + (clen if axis == 2 else 0.0)
                # The oracle prints seven digits; along the beam numbers are large.
                allowed = 1e-3 if axis < 2 else max(1e-3, 2e-7 * abs(true))
                if not abs(ours * panel.res - true) < allowed:
                    wrong.append(
                        f"{panel.name} {letter} at ({f}, {s}): {ours * panel.res}, {true}"
                    )
    return wrong


def test_panels_are_where_libcrystfel_has_them(geoms, oracles):
    compared = 0
    wrong = []
    for name, said in oracles.items():
        geometry = Geometry.from_crystfel(geoms / f"{name}.geom")
        if said["panels"] is None:  # libcrystfel wants the shift from a data file first
            assert geometry.detector_shift[0].path
            continue
        compared += 1
        wrong += [f"{name}: {what}" for what in complaints(geometry, said)]
    assert not wrong
    assert compared == 88


def test_energy_and_camera_length_are_libcrystfel_s(geoms, oracles):
    for name, said in oracles.items():
        geometry = Geometry.from_crystfel(geoms / f"{name}.geom")
        wavelength, clen = float(said["wavelength_m"]), float(said["clen_m"])
        energy = geometry.photon_energy
        assert energy is not None
        if math.isnan(wavelength):
            assert energy.value is None, name
            assert energy.path, name
        else:
            assert energy.value == pytest.approx(HC_EV_M / wavelength, rel=1e-6), name
        assert geometry.clen is not None
        if geometry.clen.value is not None and not math.isnan(clen):
            # The oracle's is the mean over the panels, coffset included.
            offsets = [panel.coffset for panel in geometry.panels.values()]
            ours = geometry.clen.value + sum(offsets) / len(offsets)
            assert ours == pytest.approx(clen, rel=1e-6), name


def test_what_crystfel_accepts_gives_no_warning_of_something_missing(geoms, oracles):
    allowed = (RETIRED, "several dim lines")
    for name in oracles:
        for warning in Geometry.from_crystfel(geoms / f"{name}.geom").warnings:
            assert any(part in warning for part in allowed), warning


def test_the_tables_name_every_other_file(geoms, oracles):
    others = {file.stem for file in geoms.glob("*.geom")} - oracles.keys()
    assert others == REFUSED.keys() | VIEW_ONLY.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_syntax_is_refused_with_line_and_reason(geoms, name):
    line, reason = REFUSED[name]
    with pytest.raises(GeometryError) as caught:
        Geometry.from_crystfel(geoms / f"{name}.geom")
    message = str(caught.value)
    assert f"{name}.geom, line {line}: " in message
    assert reason in message
    assert message.endswith(".")


@pytest.mark.parametrize("name", VIEW_ONLY)
def test_what_a_viewer_can_do_without_is_a_warning(geoms, name):
    geometry = Geometry.from_crystfel(geoms / f"{name}.geom")
    kinds = VIEW_ONLY[name]
    assert {k for k in kinds if any(k in w for w in geometry.warnings)} == kinds
    strangers = [w for w in geometry.warnings if not any(k in w for k in kinds)]
    assert not strangers
    assert all(f"{name}.geom, " in warning for warning in geometry.warnings)
    if NO_PICTURE in kinds:
        with pytest.raises(GeometryError, match="so far apart"):
            geometry.fit(geometry.raw_shape)
        return
    rows, columns = geometry.shape
    assert rows > 1
    assert columns > 1
    if NO_ENERGY in kinds or NO_CLEN in kinds:
        assert math.isnan(geometry.resolution_at(rows // 2, columns // 2))


def test_every_file_that_is_read_is_written_back_as_it_was(geoms, oracles, tmp_path):
    for name in [*oracles, *VIEW_ONLY]:
        source, target = geoms / f"{name}.geom", tmp_path / "copy.geom"
        Geometry.from_crystfel(source).to_crystfel(target, overwrite=True)
        assert target.read_bytes() == source.read_bytes(), name


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("EXtra-foam__karaboFAI__geometries__agipd_mar18_v11", (16, 512, 128)),
        ("cfel_work__to_change__cfelpyutils__agipd_2450_v9_vds_U", (512, 128, 16)),
        ("cfel_work__detector_signal_correction__geoms__agipd_1pan_darks", (2, 512, 128)),
        ("crystfel__tests__stream_roundtrip", (100, 100, 2)),
        ("crystfel__julia__alignment-test", (4, 1025, 1025)),
        ("crystfel__tests__ev_enum2", (2, 1, 2)),
    ],
)
def test_raw_shape_follows_the_axes_of_the_data(geoms, name, shape):
    """By hand from the dim lines of the files."""
    assert Geometry.from_crystfel(geoms / f"{name}.geom").raw_shape == shape
