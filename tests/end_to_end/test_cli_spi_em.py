"""``xfelsort spi classes`` and ``spi keep`` from a user's side."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xfelsort.core.errors import ListError, UnreadableFileError
from napari_xfelsort.core.spi.em_files import read_classes, shown

FEW = ("--classes", "3", "--rotations", "12", "--runs", "2", "--binning", "4")


@pytest.fixture
def simulated(cli):
    """A small run, most of it single particles or pairs."""
    shares = ("--single", "1", "--doublet", "0.6", "--blank", "0", "--wrong-size", "0.2")
    result = cli(
        *("simulate", "spi", "out", "--n-events", "16", "--side", "96"),
        *("--photons", "20000", *shares),
    )
    assert result.exit_code == 0, result.output
    return ("out/run0001.cxi", "-g", "out/run0001.geom")


def lines(path):
    return Path(path).read_text().splitlines()


def test_classes_are_written_and_chosen_from(cli, simulated):
    result = cli("spi", "classes", *simulated, "-o", "em", *FEW, "--keep", "0")
    assert result.exit_code == 0, result.output
    with open("em/classes.csv", newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["event"] for row in rows] == [f"//{n}" for n in range(16)]
    assert lines("em/events.lst") == [f"out/run0001.cxi //{n}" for n in range(16)]
    listed = {}
    for path in sorted(Path("em").glob("class??.lst")):
        for line in lines(path):
            listed[line.split()[1]] = int(path.stem[5:])
    assert listed == {row["event"]: int(row["class"]) for row in rows}
    assert lines("em/kept.lst") == lines("em/class00.lst")
    assert f"Kept: {len(lines('em/kept.lst'))} events" in result.stdout
    averages = list(csv.DictReader(lines("em/averages.csv")))
    assert [int(row["events"]) for row in averages] == [
        list(listed.values()).count(k) for k in range(3)
    ]
    assert Path("em/classes.png").read_bytes().startswith(b"\x89PNG")
    with h5py.File("em/classes.h5") as file:
        assert file["probabilities"][:].sum(axis=1) == pytest.approx(np.ones(16), abs=1e-3)
        assert file["labels"][:].tolist() == [listed[f"//{n}"] for n in range(16)]
    # Chosen afterwards, from what lies there.
    again = cli("spi", "keep", "em", "--classes", "0,2", "-o", "two.lst")
    assert again.exit_code == 0, again.output
    assert set(lines("two.lst")) == {
        f"out/run0001.cxi {event}" for event, k in listed.items() if k in (0, 2)
    }
    found = read_classes("em")
    strict = cli("spi", "keep", "em", "--classes", "0", "--least", "1", "-o", "sure.lst")
    assert strict.exit_code == 0, strict.output
    assert len(lines("sure.lst")) == (found.votes([0]) == 1).sum()
    single = "out/truth/run0001-single.lst"
    less = cli("spi", "keep", "em", "--classes", "0", "--of", single, "-o", "less.lst")
    assert less.exit_code == 0, less.output
    out = {f"out/run0001.cxi //{n}" for n in np.flatnonzero(found.rejected([0]))}
    truth = {str(Path(line.split()[0]).name) + " " + line.split()[1] for line in lines(single)}
    kept = {str(Path(line.split()[0]).name) + " " + line.split()[1] for line in lines("less.lst")}
    # Those of the classes that the list votes for, in any run, stay: of a list of whole
    # classes all.
    voted = ("--voted", "0.9", "--of", "two.lst", "-o", "voted.lst")
    assert cli("spi", "keep", "em", *voted).exit_code == 0
    assert lines("voted.lst") == lines("two.lst")
    alone = cli("spi", "keep", "em", "--voted", "0.1", "-o", "none.lst")
    assert alone.exit_code == 1
    assert "--voted needs --of" in alone.output
    both = cli("spi", "keep", "em", "--voted", "0.1", "--classes", "1", "-o", "none.lst")
    assert "Give one of" in both.output
    round_ones = cli("spi", "keep", "em", "--anisotropy", "1e9", "-o", "all.lst")
    assert round_ones.exit_code == 0, round_ones.output
    assert len(lines("all.lst")) == 16
    assert kept == truth - {line.removeprefix("out/") for line in out}


def test_nothing_is_replaced_unless_asked(cli, simulated):
    assert cli("spi", "classes", *simulated, "-o", "em", *FEW).exit_code == 0
    before = Path("em/classes.h5").read_bytes()
    again = cli("spi", "classes", *simulated, "-o", "em", *FEW)
    assert again.exit_code == 1
    assert "exists already" in again.output
    assert Path("em/classes.h5").read_bytes() == before
    Path("em/other.lst").write_text("mine\n")
    one = ("--classes", "1", *FEW[2:], "--overwrite")
    fewer = cli("spi", "classes", "em/class00.lst", *simulated[1:], "-o", "em", *one)
    assert fewer.exit_code == 0, fewer.output
    assert sorted(path.name for path in Path("em").glob("*.lst")) == [
        *("class00.lst", "events.lst", "other.lst")
    ]
    assert cli("spi", "keep", "em", "--classes", "0", "-o", "em/other.lst").exit_code == 1
    assert lines("em/other.lst") == ["mine"]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("classes", "out/run0001.cxi", "-o", "em", *FEW), "need a geometry"),
        (("classes", "out/run0001.cxi", "-o", "em", *FEW, "--keep", "7"), "names no class"),
        (("classes", "out/run0001.cxi", "-o", "em", "--keep", "a"), "names no classes"),
        (("keep", "none", "--classes", "0", "-o", "x.lst"), "has no classes"),
        (("keep", "none", "-o", "x.lst"), "one of --classes, --anisotropy and --voted"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(cli, simulated, command, sentence):
    result = cli("spi", *command)
    assert result.exit_code == 1
    assert sentence in result.output
    assert not Path("em").exists()


def test_damaged_folders_are_told(cli, simulated):
    assert cli("spi", "classes", *simulated, "-o", "em", *FEW).exit_code == 0
    events = Path("em/events.lst")
    events.write_text("\n".join(lines(events)[:-1]) + "\n")
    with pytest.raises(UnreadableFileError, match="does not fit"):
        read_classes("em")
    data = Path("em/classes.h5")
    data.write_bytes(data.read_bytes()[:300])
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read_classes("em")
    events.unlink()
    with pytest.raises(ListError):
        read_classes("em")


def test_averages_are_shown_on_a_logarithmic_scale():
    values = shown(np.array([[1000.0, 1.0], [np.nan, 1e-9]]))
    assert values[0, 0] > 0.99
    assert values[0, 1] == pytest.approx(0, abs=0.01)
    assert np.isnan(values[1, 0])
    assert values[1, 1] == 0
    assert (shown(np.zeros((2, 2))) == 0).all()
    assert np.isnan(shown(np.full((2, 2), np.nan))).all()
