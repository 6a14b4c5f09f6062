"""``xfelsort simulate sfx`` and ``simulate dark`` from a user's side."""

from __future__ import annotations

import shlex

import h5py
import numpy as np
import pytest

RUN = (
    "simulate sfx out --geometry my.geom --n-events 4 --hit-share 0.5 --flux 1e12 "
    "--photon-energy 7000 9000 --camera-length 80 --cell 40 50 60 90 90 90 "
    "--structure-factors my.hkl --centering I"
)

MASK = "mask --dark out/dark.cxi --bright out/flat.cxi --geometry out/detector.geom --out mask.h5"

LIST = """CrystFEL reflection list version 2.0
Symmetry: mmm
   h    k    l          I    phase   sigma(I)   nmeas
{rows}
End of reflections
"""

GEOMETRY = """\
photon_energy = 9000 eV
clen = 0.1 m
res = 2500
data = /d
dim0 = %
dim1 = ss
dim2 = fs
p/min_fs = 0
p/max_fs = 199
p/min_ss = 0
p/max_ss = 149
p/corner_x = -100
p/corner_y = -75
p/fs = x
p/ss = y
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_on_a_geometry_of_ones_own_can_be_looked_at(cli, folder):
    (folder / "my.geom").write_text(GEOMETRY)
    rows = [f"{h} {k} {n} 100.0 - 1.0 1" for h in range(9) for k in range(9) for n in range(1, 9)]
    (folder / "my.hkl").write_text(LIST.format(rows="\n".join(rows)))
    result = cli(*shlex.split(RUN))
    assert result.exit_code == 0, result.output
    assert "out/run0001.cxi (4 events)" in result.stdout
    assert "out/truth/run0001-blanks.lst (2)" in result.stdout
    with h5py.File("out/run0001.cxi") as file:
        spots = file["truth/spots"][()]
        energies = file["LCLS/photon_energy_eV"][()]
    told = np.stack([np.abs(spots[name]) for name in "hkl"], axis=1)
    # The list goes up to 8 and lacks l = 0; the lattice is body-centred.
    assert 0 < told.max() <= 8
    assert (told[:, 2] > 0).all()
    assert (told.sum(axis=1) % 2 == 0).all()
    assert sorted(np.rint(energies / 1000)) == [7, 7, 9, 9]
    info = cli("info", "out/run0001.cxi", "--geometry", "out/run0001.geom")
    assert info.exit_code == 0, info.output
    assert "150 x 200" in info.stdout
    assert "80 mm" in info.stdout


def test_a_dark_and_a_flat_field_run_make_a_mask(cli):
    result = cli("simulate", "dark", "out", "--n-events", "30", "--binning", "8")
    assert result.exit_code == 0, result.output
    assert "out/flat.cxi (30 frames)" in result.stdout
    assert "dead block 256" in result.stdout
    mask = cli(*shlex.split(MASK))
    assert mask.exit_code == 0, mask.output
    with h5py.File("mask.h5") as file, h5py.File("out/truth/defects.h5") as truth:
        bad, defects = file["entry_1/data_1/mask"][()] != 0, truth["defects"][()]
        quiet = truth["defects"].attrs["quiet"]
    assert bad[(defects > 0) & (defects != quiet)].mean() > 0.98


def test_mistakes_are_told_in_a_sentence(cli, folder):
    small = ("--n-events", "1", "--binning", "8")
    assert cli("simulate", "sfx", "out", *small).exit_code == 0
    again = cli("simulate", "sfx", "out", *small)
    assert again.exit_code == 1
    assert "exists already" in again.output
    assert cli("simulate", "sfx", "out", "--overwrite", *small).exit_code == 0
    (folder / "bad.hkl").write_text("nothing\n")
    for option, value, sentence in (
        ("--structure-factors", "bad.hkl", "Line 1 of the reflection list bad.hkl is no"),
        ("--structure-factors", "none.hkl", "cannot be read"),
        ("--geometry", "none.geom", "cannot be read"),
        ("--cell", "40", "A cell has six numbers"),
        ("--point-group", "7", "There is no point group '7'"),
    ):
        result = cli("simulate", "sfx", "other", *small, option, value)
        assert result.exit_code == 1, option
        assert sentence in result.output
    assert not (folder / "other" / "run0001.cxi").exists()
