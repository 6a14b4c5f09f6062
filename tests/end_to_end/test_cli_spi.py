"""``xfelsort simulate spi`` and ``xfelsort spi`` from a user's side."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.lists import read_list

SMALL = ("--n-events", "12", "--side", "96", "--single", "1", "--photons", "20000")


def test_a_single_particle_run_can_be_looked_at(cli):
    result = cli("simulate", "spi", "out", *SMALL)
    assert result.exit_code == 0, result.output
    assert "out/run0001.cxi (12 events)" in result.stdout
    assert f"{Path('out/truth/run0001-single.lst')} (6)" in result.stdout
    info = cli("info", "out/run0001.cxi", "--geometry", "out/run0001.geom")
    assert info.exit_code == 0, info.output
    assert "96 x 96" in info.stdout
    again = cli("simulate", "spi", "out", *SMALL)
    assert again.exit_code == 1
    assert "exists already" in again.output


@pytest.fixture
def simulated(cli):
    """A small run, half of it single particles."""
    result = cli("simulate", "spi", "out", *SMALL, "--photons-spread", "0.2")
    assert result.exit_code == 0, result.output
    return ("out/run0001.cxi", "--geometry", "out/run0001.geom")


def test_densities_and_sizes(cli, simulated):
    single = "out/truth/run0001-single.lst"
    result = cli("spi", "psd", single, *simulated[1:], "--out", "psd.csv")
    assert result.exit_code == 0, result.output
    assert "events      6" in result.stdout
    assert "mean of" in result.stdout
    rows = list(csv.reader(Path("psd.csv").read_text().splitlines()))
    assert rows[0] == ["q_per_nm", "density", "pixels"]
    told = json.loads(cli("spi", "psd", *simulated, "--events", "0:3", "--json").stdout)
    assert told["events"] == 3
    assert len(told["density"]) == len(rows) - 1
    result = cli("spi", "size", *simulated, "-o", "sizes.csv", "--keep", "kept.lst")
    assert result.exit_code == 0, result.output
    kept = Path("kept.lst").read_text().splitlines()
    assert set(Path(single).read_text().splitlines()) <= set(kept)
    assert f"55 to 84 nm     {len(kept)}" in result.stdout
    assert "sizes.csv" in result.stdout
    again = cli("spi", "size", *simulated, "-o", "sizes.csv")
    assert again.exit_code == 1
    assert "exists already" in again.output
    compared = cli(
        *("spi", "compare", *simulated, "-s", single, "-s", "kept.lst"),
        *("--sizes", "sizes.csv", "-o", "tables"),
    )
    assert compared.exit_code == 0, compared.output
    assert f"{6 / len(kept):.6g}" in compared.stdout
    assert sorted(p.name for p in Path("tables").iterdir()) == [
        *("psd.csv", "selections.csv", "sizes.csv")
    ]


def test_a_selection_is_handed_over(cli, simulated):
    single = "out/truth/run0001-single.lst"
    result = cli("spi", "export", single, *simulated[1:], "-o", "emc")
    assert result.exit_code == 0, result.output
    assert "emc/photons.emc (6 events)" in result.stdout.replace("\\", "/")
    assert cli("info", "emc/photons.emc").exit_code == 0
    black = cli("spi", "export", *simulated, "-o", "all", "--blacklist", "--only", single)
    assert black.exit_code == 0, black.output
    assert Path("all/blacklist.txt").read_text().split().count("0") == 6
    assert "(12 events)" in black.stdout
    text = cli("spi", "export", single, *simulated[1:], "-o", "h5", "--form", "h5")
    assert text.exit_code == 0, text.output
    assert sorted(p.name for p in Path("h5").iterdir()) == [
        *("config.ini", "data", "det.h5", "events.lst", "photons.h5")
    ]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("psd", "out/run0001.cxi"), "need a geometry"),
        (("size", "out/run0001.cxi", "--keep-from", "90"), "No diameter"),
        (("export", "out/run0001.cxi", "-o", "x", "--blacklist"), "needs --only"),
        (("compare", "out/run0001.cxi", "-s", "no.lst"), "does not exist"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(cli, simulated, command, sentence):
    result = cli("spi", *command)
    assert result.exit_code == 1
    assert sentence in result.output


def test_events_are_mapped_without_labels(cli, simulated):
    result = cli("spi", "map", *simulated, "-o", "map.csv", "--method", "pca")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(Path("map.csv").read_text().splitlines()))
    assert [row["event"] for row in rows] == [f"out/run0001.cxi //{i}" for i in range(12)]
    assert sum(float(row["x"]) ** 2 for row in rows) == pytest.approx(12, rel=1e-4)
    assert cli("spi", "map", *simulated, "-o", "map.csv").exit_code == 1
    wrong = cli("spi", "map", *simulated, "-o", "b.csv", "--method", "tsne")
    assert wrong.exit_code == 1
    assert "not one of pca, diffusion" in wrong.output


def test_a_threshold_is_found_anew_and_models_follow_one_another(cli):
    shares = ("--wrong-size", "1", "--blank", "1", "--deformed", "0", "--streak", "0")
    for name, more in (("a", ()), ("b", ("--background", "0.06", "--seed", "4"))):
        made = cli(
            *("simulate", "spi", name, "--n-events", "40", "--side", "64", "--doublet", "0"),
            *("--single", "1", "--cluster", "0", *shares, *more),
        )
        assert made.exit_code == 0, made.output
        store = LabelStore(f"{name}-labels")
        for line in Path(f"{name}/run0001.cxi").with_name("truth").glob("*.lst"):
            known = "single" if "single" in line.name else "other"
            for entry in read_list(line):
                store.set(entry.event, known)
    trained = cli(
        *("train", "a/run0001.cxi", "-g", "a/run0001.geom", "-l", "a-labels", "-o", "m.xfelmodel"),
        *("--model", "spi", "--target", "single", "--n-estimators", "20", "--no-cache"),
        *("--split", "event", "--workers", "0", "--scattering-rings", "12"),
    )
    assert trained.exit_code == 0, trained.output
    new = ("b/run0001.cxi", "--geometry", "b/run0001.geom")
    told = cli(
        "spi", "rethreshold", "m.xfelmodel", *new, "-o", "n.xfelmodel", "--ask", "ask.lst",
        "--events", "9",
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "scores alone" in told.stdout
    assert len(Path("ask.lst").read_text().splitlines()) == 9
    assert "found on another run" in cli("models", "n.xfelmodel").stdout
    again = cli("spi", "rethreshold", "m.xfelmodel", *new, "-o", "n.xfelmodel")
    assert again.exit_code == 1
    assert "exists already" in again.output
    told = cli("spi", "rethreshold", "m.xfelmodel", *new, "-o", "o.xfelmodel", "-l", "b-labels")
    assert told.exit_code == 0, told.output
    assert "40 labels" in told.stdout
    old = ("a/run0001.cxi", "--geometry", "a/run0001.geom")
    told = cli(
        "spi", "rethreshold", "m.xfelmodel", *old, "-o", "p.xfelmodel", "--center", "34,31.5"
    )
    assert told.exit_code == 0, told.output
    assert "rings were moved" in cli("models", "p.xfelmodel").stdout
    told = cli("spi", "rethreshold", "m.xfelmodel", *old, "-o", "q.xfelmodel", "--center", "left")
    assert told.exit_code == 1
    assert "Y,X or auto" in told.output
    both = cli(
        "spi", "cascade", "m.xfelmodel", "n.xfelmodel", *new, "-o", "c.csv", "--list", "c.lst"
    )
    assert both.exit_code == 0, both.output
    rows = list(csv.DictReader(Path("c.csv").read_text().splitlines()))
    assert len(rows) == 40
    singles = [row["event"] for row in rows if row["class"] == "single"]
    assert len(Path("c.lst").read_text().splitlines()) == len(singles)
    # The parallel sorter decides the same, and names who did.
    pair = (*new, "-m", "n.xfelmodel", "--first", "m.xfelmodel", "--workers", "0")
    told = cli("sort", *pair, "-o", "sorted")
    assert told.exit_code == 0, told.output
    assert "decided by the second model" in told.stdout
    assert Path("sorted/single.lst").read_text() == Path("c.lst").read_text()
    sorted_rows = list(
        csv.DictReader(Path("sorted/decisions/run0001.cxi.csv").read_text().splitlines())
    )
    for key in ("event", "class", "flags"):
        assert [row[key] for row in sorted_rows] == [row[key] for row in rows]
    other = cli("sort", *pair, "-o", "sorted", "--loss", "0.4")
    assert other.exit_code == 1
    assert "limits of the first model" in " ".join(other.output.split())
    watched = cli("sort", *pair, "-o", "watched", "--watch", "--idle", "0")
    assert watched.exit_code == 0, watched.output
    assert Path("watched/single.lst").read_bytes() == Path("sorted/single.lst").read_bytes()
    alone = cli("sort", *new, "-m", "n.xfelmodel", "-o", "alone", "--loss", "0.1")
    assert alone.exit_code == 1
    assert "first of two models" in alone.output
