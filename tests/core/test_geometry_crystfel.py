"""The CrystFEL parser: each key, defaults in the order of lines, and what is refused."""

from __future__ import annotations

import math
import string
from random import Random
from typing import Any

import pytest
from geometries import HEAD, panel, text
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xfelsort.core.errors import GeometryError, OutputError
from napari_xfelsort.core.geometry import Geometry, MaskSpec

ONE = text({"p0": panel(8, 6)})


def read(content: str) -> Geometry:
    return Geometry.from_crystfel_text(content, "test.geom")


def refusal(content: str) -> str:
    with pytest.raises(GeometryError) as caught:
        read(content)
    return str(caught.value)


def with_panel(**keys: Any) -> Geometry:
    return read(text({"p0": panel(8, 6, **keys)}))


# --- values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("x", (1, 0, 0)),
        ("-y", (0, -1, 0)),
        ("+0.99x -0.01y +0.001z", (0.99, -0.01, 0.001)),
        ("+1.x +0.y", (1, 0, 0)),
        ("- .5y + 1 x", (1, -0.5, 0)),
        ("0.5x1y", (0.5, 1, 0)),
        ("\t1.0 x\t-\t0.25 z", (1, 0, -0.25)),
    ],
)
def test_vectors(written, meant):
    other = "x" if not meant[0] else "y"
    geometry = with_panel(fs=written, ss=other)
    assert geometry.panels["p0"].fs == meant


@pytest.mark.parametrize(
    "written", ["", "1e-5x", "1.0", "x+", "2w", "x x", "1..0x", "--x", "nan x", "1x 2"]
)
def test_malformed_vectors_are_refused(written):
    said = refusal(text({"p0": panel(8, 6, fs=written)}))
    assert said.startswith("test.geom, line 14: p0/fs: "), said


@pytest.mark.parametrize(
    ("lines", "electronvolt"),
    [
        ("photon_energy = 9000", 9000),
        ("photon_energy = 9 keV", 9000),
        ("photon_energy = 9e3 eV ; about", 9000),
        ("wavelength = 1.2398419843 A", 10000),
        ("wavelength = 1.2398419843e-10 m", 10000),
        # Wavelengths of electrons as tabulated: 3.70144 pm, 2.50793 pm, 1.96875 pm.
        ("electron_voltage = 100 kV", 12398.41984e-10 / 3.70144e-12),
        ("electron_voltage = 200000 V", 12398.41984e-10 / 2.50793e-12),
        ("electron_voltage = 300 kV", 12398.41984e-10 / 1.96875e-12),
    ],
)
def test_photon_energy(lines, electronvolt):
    head = {k: v for k, v in HEAD.items() if k != "photon_energy"}
    geometry = read(lines + "\n" + text({"p0": panel(8, 6)}, head))
    assert geometry.photon_energy.value == pytest.approx(electronvolt, rel=3e-6)
    assert geometry.photon_energy.path is None
    assert not geometry.warnings


@pytest.mark.parametrize(
    ("line", "path", "number", "electronvolt"),
    [
        ("photon_energy = /LCLS/energy", "/LCLS/energy", 9000, 9000),
        ("photon_energy = /LCLS/energyK keV", "/LCLS/energyK", 9, 9000),
        ("wavelength = /LCLS/%/wl A", "/LCLS/%/wl", 1.2398419843, 10000),
        ("electron_voltage = /u kV", "/u", 300, 12398.41984e-10 / 1.96875e-12),
    ],
)
def test_photon_energy_in_the_data_file(line, path, number, electronvolt):
    head = {k: v for k, v in HEAD.items() if k != "photon_energy"}
    energy = read(line + "\n" + text({"p0": panel(8, 6)}, head)).photon_energy
    assert (energy.value, energy.path) == (None, path)
    assert energy.convert(number) == pytest.approx(electronvolt, rel=3e-6)
    assert math.isnan(energy.convert(math.nan))


@pytest.mark.parametrize(
    ("written", "value", "path", "of_ten"),
    [
        ("0.08", 0.08, None, None),
        ("80 mm", 0.08, None, None),
        ("8.0e-2 m", 0.08, None, None),
        ("/LCLS/detector_1/EncoderValue", None, "/LCLS/detector_1/EncoderValue", 0.01),
        ("/LCLS/position m", None, "/LCLS/position", 10),
    ],
)
def test_camera_length(written, value, path, of_ten):
    clen = read(text({"p0": panel(8, 6)}, {**HEAD, "clen": written})).clen
    assert (clen.value, clen.path) == (value, path)
    if of_ten is not None:
        assert clen.convert(10) == pytest.approx(of_ten)


def test_detector_shift_is_in_metres_unless_it_says_millimetres():
    tail = ["detector_shift_x = /shift/x mm", "detector_shift_y = 0.0004"]
    geometry = read(text({"p0": panel(8, 6)}, tail=tail))
    x, y = geometry.detector_shift
    assert x.convert(3.0) == pytest.approx(0.003)
    assert (y.value, y.path) == (0.0004, None)
    # 0.4 mm are 4 of these pixels.
    _, shifted, _ = geometry.positions()
    _, plain, _ = read(ONE).positions()
    assert (shifted - plain) * 1e4 == pytest.approx(4.0)


@pytest.mark.parametrize(
    "line",
    [
        "photon_energy = 9000 MeV",
        "photon_energy = 0",
        "photon_energy = 1e999",
        "wavelength = 1.0",
        "electron_voltage = 300",
        "clen = 10 cm",
        "clen = /path/with blank mm",
        "clen =",
        "bandwidth = wide",
        "peak_list_type = text",
        "dim3 = slow",
        "dim0 = -1",
        "dim99 = ss",
        "mask_good = ten",
        "mask9_data = /mask",
        "min_fs = 0.5",
        "min_fs = one",
        "res = 0",
        "res = -5",
        "corner_x = nan",
        "flag_equal = inf",
        "data =",
        "just words",
        "= 5",
        "group/fs = x",
        "rigid_group_q0/fs = x",
        "/fs = x",
        "bad_one/min_fs = here",
    ],
)
def test_impossible_statements_are_refused_with_their_line(line):
    said = refusal("; a comment\n\n" + line + "\n" + ONE)
    assert said.startswith("test.geom, line 3: ")
    assert said.endswith(".")


@pytest.mark.parametrize("key", ["min_fs", "max_ss", "fs", "ss", "corner_x", "corner_y"])
def test_a_panel_without_something_is_refused_at_its_first_line(key):
    keys = {k: v for k, v in panel(8, 6).items() if k != key}
    said = refusal(text({"p0": keys}))
    assert said == f"test.geom, line 10: panel p0, first named here: it has no {key}."


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"max_fs": -1}, "run from 0 to -1"),
        ({"min_ss": 9}, "run from 9 to 5"),
        ({"ss": "2x"}, "do not span an area"),
        ({"fs": "1z"}, "do not span an area"),
        ({"dim2": "ss"}, "do not name fs"),
        ({"dim5": 0}, "no dim3, dim4"),
        ({"frobnicate": 1}, "no key 'frobnicate'"),
        ({"photon_energy": 9000}, "no key 'photon_energy'"),
        ({"mask": "/entry/%/mask"}, "more % in its path"),
    ],
)
def test_contradictions_in_a_panel_are_refused(keys, reason):
    said = refusal(text({"p0": panel(8, 6) | keys}))
    assert "test.geom, line " in said
    assert reason in said


def test_blanks_round_the_slash_are_refused():
    assert "without blanks" in refusal(ONE + "p0 / corner_x = 3\n")
    assert "without blanks" in refusal(ONE + "p0/ corner_x = 3\n")


def test_a_file_without_panels_is_refused():
    assert "names no panel" in refusal("photon_energy = 9000\n; nothing else\n")
    assert "names no panel" in refusal("")


def test_masks_by_number_and_by_their_old_names():
    masks = (
        with_panel(
            mask="/m/%".replace("/%", ""),
            mask_file="a.h5",
            mask_good="0x1",
            mask_bad="0XfF",
            mask3_data="/three",
            mask3_badbits="12",
            mask5_goodbits="0x0",
        )
        .panels["p0"]
        .masks
    )
    assert masks == (
        MaskSpec(0, "/m", "a.h5", good=1, bad=255),
        MaskSpec(3, "/three", None, good=0, bad=12),
    )


def test_keys_of_detector_units_and_flags():
    p0 = with_panel(
        adu_per_eV="0.0042",
        max_adu="inf",
        flag_lessthan="-10",
        flag_morethan="2147483645",
        flag_equal="0",
        mask_edge_pixels="2",
        no_index="true",
        saturation_map="/sat",
        saturation_map_file="sat.h5",
    ).panels["p0"]
    assert (p0.adu_per_ev, p0.adu_per_photon, p0.max_adu) == (0.0042, 1.0, math.inf)
    assert (p0.flag_lessthan, p0.flag_morethan, p0.flag_equal) == (-10, 2147483645, 0)
    assert (p0.mask_edge_pixels, p0.no_index) == (2, True)
    assert (p0.saturation_map, p0.saturation_map_file) == ("/sat", "sat.h5")
    assert with_panel(no_index="0").panels["p0"].no_index is False
    assert with_panel(no_index="1").panels["p0"].no_index is True


def test_groups_old_and_new():
    tail = [
        "rigid_group_q0 = p0,p1",
        "rigid_group_collection_quadrants = q0",
        "group_all = a",
        "group_a = p0, p1",
    ]
    geometry = read(text({"p0": panel(8, 6), "p1": panel(8, 6, first=(0, 6))}, tail=tail))
    assert geometry.groups == {"all": ("a",), "a": ("p0", "p1")}
    assert geometry.rigid_groups == {"q0": ("p0", "p1")}
    assert geometry.rigid_group_collections == {"quadrants": ("q0",)}
    assert not geometry.warnings


# --- defaults ---------------------------------------------------------------------------


def test_a_default_holds_for_panels_first_named_after_it():
    content = (
        text({"p0": panel(8, 6)}, {**HEAD, "coffset": 0.001})
        + "coffset = 0.002\n"
        + text({"p1": panel(8, 6, first=(0, 6))}, {})
        + "p0/max_adu = 7\n"
    )
    geometry = read(content)
    assert geometry.panels["p0"].coffset == 0.001
    assert geometry.panels["p1"].coffset == 0.002
    assert (geometry.panels["p0"].max_adu, geometry.panels["p1"].max_adu) == (7, None)


def test_defaults_after_the_last_panel_are_told():
    (warning,) = read(ONE + "coffset = 0.5\n").warnings
    assert "coffset stands after the last panel" in warning
    assert "line 18" in warning


@given(st.lists(st.tuples(st.sampled_from(["", "p0", "p1", "p2"]), st.integers(0, 99))))
def test_defaults_follow_the_order_of_lines(statements):
    """Odd values are set, even ones only name the panel, which then has the default."""
    lines, known, default = [], {}, 0
    for owner, value in statements:
        if not owner:
            default = value
            lines.append(f"coffset = {value}")
        elif owner not in known or value % 2:
            known[owner] = value if value % 2 else default
            lines.append(f"{owner}/coffset = {value}" if value % 2 else f"{owner}/max_adu = 1")
    content = text({}, HEAD) + "\n".join(lines) + "\n"
    for number, owner in enumerate(("p0", "p1", "p2")):
        known.setdefault(owner, default)
        content += text({owner: panel(8, 6, first=(0, 6 * number))}, {})
    panels = read(content).panels
    assert {name: panels[name].coffset for name in known} == known


# --- many valid files -------------------------------------------------------------------

NAMES = st.text(string.ascii_letters + string.digits + "_-.", min_size=1, max_size=6).filter(
    lambda name: not name.startswith(("bad", "group", "rigid_group"))
)
DECIMALS = st.decimals(-2000, 2000, places=6).map(float)


@st.composite
def panel_keys(draw: Any) -> dict[str, Any]:
    keys = panel(
        draw(st.integers(1, 300)),
        draw(st.integers(1, 300)),
        (draw(DECIMALS), draw(DECIMALS)),
        draw(st.floats(-180, 180)),
        (draw(st.integers(0, 500)), draw(st.integers(0, 500))),
        draw(st.booleans()),
    )
    more = dict.fromkeys(("coffset", "max_adu", "flag_equal"), DECIMALS)
    keys |= draw(st.fixed_dictionaries({"res": st.integers(1000, 100000)}, optional=more))
    return keys | {"dim0": draw(st.integers(0, 40)), "dim3": "%"}


def shuffled(rng: Random, keys: dict[str, Any], owner: str) -> list[str]:
    """The lines of one panel in any order and spacing, with comments."""
    lines = []
    for key, value in rng.sample(list(keys.items()), len(keys)):
        left, right, before = (rng.choice(["", " ", "\t", "  "]) for _ in range(3))
        after = rng.choice(["", " ", ";", " ; p9/fs = none", "\t;é µ"])
        lines.append(f"{before}{owner}/{key}{left}={right}{value}{after}")
    return lines


@settings(max_examples=60)
@given(
    st.dictionaries(NAMES, panel_keys(), min_size=1, max_size=4),
    st.integers(0, 2**32),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_whatever_is_written_is_read(panels, seed, end):
    lines = ["photon_energy = 9300", "clen = 0.1", "dim1 = ss", "dim2 = fs", "adu_per_eV = 1"]
    for name, keys in panels.items():
        lines += shuffled(Random(seed), keys, name)
    content = end.join(lines) + end * (seed % 2)
    numbered = content.replace("\r", "").split("\n")
    geometry = read(content)
    assert list(geometry.panels) == list(panels)
    for name, keys in panels.items():
        found = geometry.panels[name]
        limits = (found.min_fs, found.max_fs, found.min_ss, found.max_ss)
        assert limits == tuple(keys[k] for k in ("min_fs", "max_fs", "min_ss", "max_ss"))
        assert found.corner == (keys["corner_x"], keys["corner_y"])
        assert found.res == keys["res"]
        for axis in ("fs", "ss"):
            terms = [float(term[:-1]) for term in keys[axis].split()]
            assert getattr(found, axis) == tuple(terms)
        assert found.coffset == keys.get("coffset", 0)
        assert found.max_adu == keys.get("max_adu")
        assert found.flag_equal == keys.get("flag_equal")
        assert found.dims == (keys["dim0"], "ss", "fs", "%")
        for line, axis in zip(found.corner_lines, "xy", strict=True):
            assert f"{name}/corner_{axis}" in numbered[line - 1]
    modules = 1 + max(keys["dim0"] for keys in panels.values())
    slow = 1 + max(keys["max_ss"] for keys in panels.values())
    fast = 1 + max(keys["max_fs"] for keys in panels.values())
    assert geometry.raw_shape == (modules, slow, fast)


# --- rubbish ----------------------------------------------------------------------------

WORDS = (
    "p0 p1 bad bad_a group_ min_fs max_fs fs ss corner_x dim1 mask panel min_x inf nan 0x 1e400"
)
PIECES = st.sampled_from([*"=/;%.-+ \n\r\t0159xyz,é", *HEAD, *WORDS.split()])


def reads_or_refuses(content: str) -> None:
    try:
        geometry = read(content)
        geometry.fit(geometry.raw_shape)
    except GeometryError as error:
        said = str(error)
    else:
        said = repr(geometry) + "."
    assert said.endswith(".")


@settings(max_examples=200)
@given(st.lists(PIECES, max_size=60).map("".join))
def test_rubbish_is_refused_and_nothing_else(content):
    reads_or_refuses(content)


@settings(max_examples=200)
@given(st.data())
def test_damaged_files_are_read_or_refused(data):
    content = text(
        {"p0": panel(8, 6), "p1": panel(8, 6, turn=90, first=(0, 6), dim0="%")},
        tail=["bad_a/panel = p0", "bad_a/min_fs = 1", "bad_a/max_fs = 2", "group_all = p0,p1"],
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.integers(0, 8))
        content = content[:at] + data.draw(PIECES) + content[at + cut :]
    reads_or_refuses(content)


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_bytes_are_read_or_refused(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("bytes") / "some.geom"
    file.write_bytes(content)
    with pytest.raises(GeometryError):
        Geometry.from_crystfel(file)


def test_claims_of_enormous_frames_are_refused_without_making_them():
    assert "more than" in refusal(text({"p0": panel(100_000, 10_000)}))
    assert "more than" in refusal(text({"p0": panel(8, 6, dim0=9_999_999)}))
    assert "pixels that are possible" in refusal(text({"p0": panel(8, 6) | {"max_fs": 10**9}}))


def test_panels_too_far_apart_for_a_picture_are_told():
    geometry = read(text({"a": panel(8, 6), "b": panel(8, 6, (1e9, 1e9), first=(0, 6))}))
    assert "no picture can be made" in geometry.warnings[0]
    with pytest.raises(GeometryError, match="so far apart"):
        geometry.assemble([[0]])


def test_a_large_file_is_not_read(tmp_path):
    file = tmp_path / "large.geom"
    file.write_bytes(b";" * (17 << 20))
    with pytest.raises(GeometryError, match="16 MiB"):
        Geometry.from_crystfel(file)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(GeometryError, match=r"none\.geom cannot be read: No such file"):
        Geometry.from_crystfel(tmp_path / "none.geom")
    with pytest.raises(GeometryError, match="cannot be read"):
        Geometry.from_crystfel(tmp_path)


# --- as real files are ------------------------------------------------------------------


def test_tabs_returns_bytes_and_a_missing_last_newline(tmp_path):
    file = tmp_path / "real.geom"
    lines = ONE.replace(" = ", "\t=\t").splitlines()
    content = "\r\n".join([*lines, "; 200 \u00b5m, caf\xe9"]).encode("latin-1")
    file.write_bytes(content)
    geometry = Geometry.from_crystfel(file)
    assert geometry.panels == read(ONE).panels
    geometry.to_crystfel(tmp_path / "copy.geom")
    assert (tmp_path / "copy.geom").read_bytes() == content
    with pytest.raises(OutputError, match="exists"):
        geometry.to_crystfel(file)


def test_a_byte_order_mark_and_old_line_ends():
    assert read("\ufeff" + ONE.replace("\n", "\r")).panels == read(ONE).panels


def test_text_after_a_value_is_told_once():
    (warning,) = with_panel(res="13333.3 \u00c2", min_fs="0.0").warnings
    assert "text after the value of res is ignored" in warning


def test_camera_lengths_of_panels_become_offsets():
    head = {k: v for k, v in HEAD.items() if k != "clen"}
    panels = {
        "a": panel(8, 6, clen="50.0e-3"),
        "b": panel(8, 6, first=(0, 6), clen="52 mm", coffset="0.001"),
    }
    geometry = read(text(panels, head))
    assert geometry.clen.value == 0.05
    assert geometry.panels["a"].coffset == 0
    assert geometry.panels["b"].coffset == pytest.approx(0.003)
    _, _, z = geometry.positions()
    assert z[0, 0] == pytest.approx(0.05)
    assert z[6, 0] == pytest.approx(0.053)


def test_camera_lengths_of_panels_from_the_data_file():
    head = {k: v for k, v in HEAD.items() if k != "clen"}
    panels = {n: panel(8, 6, first=(0, 6 * i), clen="/z") for i, n in enumerate("ab")}
    geometry = read(text(panels, head))
    assert (geometry.clen.path, geometry.clen.convert(500)) == ("/z", 0.5)
    panels["b"]["clen"] = "/other"
    assert any("from elsewhere" in w for w in read(text(panels, head)).warnings)


def test_old_and_unknown_keys_are_told_and_the_last_energy_holds():
    tail = ["photon_energy_scale = 1", "colour = blue", "wavelength = 1 A"]
    geometry = read(text({"p0": panel(8, 6, badrow_direction="-")}, tail=tail))
    told = " ".join(geometry.warnings)
    assert "badrow_direction is retired" in told
    assert "photon_energy_scale is retired" in told
    assert "colour is not a known key" in told
    assert "wavelength replaces photon_energy" in told
    assert geometry.photon_energy.value == pytest.approx(12398.41984)


# --- bad regions ------------------------------------------------------------------------


def test_bad_regions_of_both_kinds():
    tail = [
        *("bad_a/min_fs = 1", "bad_a/max_fs = 2", "bad_a/min_ss = 3", "bad_a/max_ss = 4"),
        *("badb/min_x = -1.5", "badb/max_x = 2", "badb/min_y = 0", "badb/max_y = 9"),
    ]
    first, second = read(text({"p0": panel(8, 6)}, tail=tail)).bad_regions
    assert (first.name, first.panel, first.in_laboratory) == ("bad_a", "p0", False)
    assert (first.minimum, first.maximum) == ((1, 3), (2, 4))
    assert (second.name, second.panel, second.in_laboratory) == ("badb", None, True)
    assert (second.minimum, second.maximum) == ((-1.5, 0), (2, 9))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["bad_a/min_fs = 1", "bad_a/min_x = 1"], "not both"),
        (["bad_a/min_fs = 1", "bad_a/panel = p7"], "there is no panel p7"),
        (["bad_a/min_fs = 1"], "which panel"),
        (["bad_a/panel = p0"], "no limits"),
    ],
)
def test_impossible_bad_regions_are_refused(lines, reason):
    panels = {"p0": panel(8, 6), "p1": panel(8, 6, first=(0, 6))}
    said = refusal(text(panels, tail=lines))
    assert "test.geom, line " in said
    assert reason in said


def test_a_bad_region_without_all_limits_reaches_to_the_edge():
    geometry = read(ONE + "bad_a/min_fs = 6\nbad_a/dim1 = 3\n")
    assert geometry.static_mask().bad.nonzero()[1].tolist() == [6, 7] * 6
    told = " ".join(geometry.warnings)
    assert "min_ss, max_fs, max_ss" in told
    assert "dim1 of a bad region is not a known key" in told
