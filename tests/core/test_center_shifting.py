"""Geometries written with another centre, against their text parsed anew."""

from __future__ import annotations

import re

import numpy as np
import pytest
from geometries import HEAD, panel, text

from napari_xfelsort.core.center.shifting import detector_shift, shifted_text, write_shifted
from napari_xfelsort.core.errors import GeometryError, OutputError
from napari_xfelsort.core.geometry import Geometry

CORNER = re.compile(r"^\s*(\w+)/corner_([xy])\s*=\s*([-+.\deE]+)")


def corners(written: str) -> dict[tuple[str, str], float]:
    """Numbers of all lines that say a corner."""
    found = [CORNER.match(line) for line in written.splitlines()]
    return {(m[1], m[2]): float(m[3]) for m in found if m}


def rest(written: str) -> list[str]:
    return [line for line in re.split(r"(?<=\n)", written) if not CORNER.match(line)]


def three_panels(end: str = "\n") -> str:
    """One of them turned, one of pixels half as large; comments and odd spaces."""
    panels = {
        "a": panel(20, 10, (-25.5, 3)),
        "b": panel(20, 10, (4, 30.25), turn=90, first=(0, 10)),
        "c": panel(20, 10, (10, -40), first=(0, 20), res=20000),
    }
    lines = text(panels, tail=("; made by hand", "bad_x/min_x = 3", "bad_x/max_x = 5")).split("\n")
    lines = [
        line.replace("a/corner_x = -25.5", "  a/corner_x=-2.55e1  ; left\t") for line in lines
    ]
    return end.join(lines)


def geometry_of(written: str) -> Geometry:
    return Geometry.from_crystfel_text(written).fit((30, 20))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_all_corners_move_by_the_same_metres_and_nothing_else(end):
    before = three_panels(end)
    geometry = geometry_of(before)
    y, x = geometry.beam_position
    # The beam is found 2.5 columns to the right and 4 rows further up than the file says:
    # the detector must go left and down by as much (y points up in the laboratory).
    after = shifted_text(geometry, y - 4, x + 2.5)
    metres = {"x": -2.5 * geometry.pixel_size, "y": -4 * geometry.pixel_size}
    res = {"a": 10000, "b": 10000, "c": 20000}
    old, new = corners(before), corners(after)
    assert set(old) == set(new) == {(name, axis) for name in "abc" for axis in "xy"}
    for (name, axis), value in old.items():
        assert new[name, axis] == pytest.approx(value + metres[axis] * res[name], abs=2e-6)
    assert rest(after) == rest(before)
    assert "; left\t" in after
    assert after.count(end) == before.count(end)


def test_the_beam_of_the_new_geometry_is_where_it_was_found():
    geometry = geometry_of(three_panels())
    y, x = 11.25, 37.5
    moved = geometry_of(shifted_text(geometry, y, x))
    # The same raw pixel is still shown there, and the beam axis now passes through it.
    assert moved.beam_position == pytest.approx((y, x), abs=1e-3)
    assert detector_shift(moved, y, x) == pytest.approx((0, 0), abs=1e-9)
    for before, after, axis in zip(geometry.positions(), moved.positions(), "xyz", strict=True):
        step = (after - before)[np.isfinite(before)]
        np.testing.assert_allclose(step, step.flat[0], atol=1e-9, err_msg=axis)


def test_a_corner_for_all_panels_is_moved_once():
    head = {**HEAD, "corner_x": 7, "corner_y": -2}
    panels = {"a": panel(20, 10), "b": panel(20, 10, first=(0, 10))}
    for keys in panels.values():
        del keys["corner_x"], keys["corner_y"]
    panels["b"]["coffset"] = 0.001
    geometry = Geometry.from_crystfel_text(text(panels, head)).fit((20, 20))
    y, x = geometry.beam_position
    after = shifted_text(geometry, y, x + 3)
    assert re.findall(r"corner_x = (\S+)", after) == ["4.000000"]
    panels["b"]["res"] = 5000
    geometry = Geometry.from_crystfel_text(text(panels, head)).fit((20, 20))
    with pytest.raises(GeometryError, match="different pixel size"):
        shifted_text(geometry, y, x + 3)


def test_files_are_written_whole_and_not_over_others(tmp_path):
    geometry = geometry_of(three_panels())
    path = tmp_path / "new.geom"
    write_shifted(geometry, 10, 20, path)
    assert path.read_text() == shifted_text(geometry, 10, 20)
    with pytest.raises(OutputError, match="exists"):
        write_shifted(geometry, 11, 20, path)
    assert path.read_text() == shifted_text(geometry, 10, 20)
    write_shifted(geometry, 11, 20, path, overwrite=True)
    assert path.read_text() == shifted_text(geometry, 11, 20)
    assert [each.name for each in tmp_path.iterdir()] == ["new.geom"]


def test_bytes_that_are_no_text_stay(tmp_path):
    source = tmp_path / "old.geom"
    source.write_bytes(b"; \xe9t\xe9\n" + three_panels().encode())
    geometry = Geometry.from_crystfel(source).fit((30, 20))
    write_shifted(geometry, *geometry.beam_position, tmp_path / "new.geom")
    assert (tmp_path / "new.geom").read_bytes().startswith(b"; \xe9t\xe9\n")


def test_a_corner_said_twice(tmp_path):
    geometry = geometry_of(three_panels() + "a/corner_x = -24\n")
    y, x = geometry.beam_position
    write_shifted(geometry, y, x + 1, tmp_path / "new.geom")
    again = Geometry.from_crystfel(tmp_path / "new.geom").fit((30, 20))
    moved = again.panels["a"].corner[0] - geometry.panels["a"].corner[0]
    assert moved == pytest.approx(-geometry.pixel_size * 10000, abs=1e-5)


def test_a_geometry_that_is_not_from_a_file_is_refused(monkeypatch):
    geometry = geometry_of(three_panels())
    monkeypatch.setattr(type(geometry), "text", None, raising=False)
    object.__setattr__(geometry, "text", None)
    with pytest.raises(GeometryError, match="read from a CrystFEL file"):
        shifted_text(geometry, 0, 0)


def test_real_geometries(shared_data):
    path = shared_data / "geoms" / "cheetah-gui__src__cheetah__resources__epix10k2M.geom"
    geometry = Geometry.from_crystfel(path)
    y, x = geometry.beam_position
    before = path.read_text()
    after = shifted_text(geometry, y + 1.5, x - 0.25)
    old, new = corners(before), corners(after)
    assert set(old) == set(new)
    assert len(old) == 2 * len(geometry.panels)
    step = np.array([new["p0a0", "x"] - old["p0a0", "x"], new["p0a0", "y"] - old["p0a0", "y"]])
    np.testing.assert_allclose(step, [0.25, 1.5], atol=1e-3)
    assert rest(after) == rest(before)
