"""``xfelsort profile`` and ``xfelsort label --by-profile`` as a user runs them."""

from __future__ import annotations

import shutil

import h5py
import pytest

from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.profiles import ProfileTable

RING = ["--axis", "q", "--order", "7", "--statistic", "median"]


def truth(run):
    return {str(k): "good" if good else "bad" for k, good in enumerate(run.good)}


def labelled(folder):
    return {e.event.strip("/"): v for e, v in LabelStore(folder, create=False).labels().items()}


def agreement(folder, run):
    wanted, found = truth(run), labelled(folder)
    return sum(found.get(k) == v for k, v in wanted.items()) / len(wanted)


def test_labels_and_table(cli, runs):
    run = runs[0]
    done = cli("profile", run.data, "-g", run.geometry, *RING, "--labels", "lab", "--out", "t.csv")
    assert done.exit_code == 0, done.output
    assert agreement("lab", run) >= 0.95
    assert "Dominant peaks of inflection points (in 1/angstrom)" in done.output
    assert "--good outside takes the others" in done.output
    table = ProfileTable.read_csv("t.csv")
    assert len(table) == 60
    assert table.settings.order == 7
    entry = next(LabelStore("lab", create=False).entries())
    assert entry.source == "rule:profile"
    assert "axis=q; order=7; statistic=median" in entry.note
    again = cli("profile", run.data, "-g", run.geometry, *RING, "--out", "t.csv")
    assert again.exit_code == 1
    assert "t.csv exists already" in again.output


def test_the_other_side(cli, runs):
    run = runs[0]
    arguments = [run.data, "-g", run.geometry, *RING, "--labels"]
    cli("profile", *arguments, "one")
    done = cli("profile", *arguments, "two", "--good", "outside")
    assert "events outside of the ranges" in done.output
    other = {"good": "bad", "bad": "good"}
    assert labelled("two") == {k: other[v] for k, v in labelled("one").items()}


def test_as_the_manual_says(cli, runs):
    run = runs[0]
    panel = ["--region", "panel:p6a0", "--axis", "ss", "--order", "4"]
    done = cli("profile", run.data, "-g", run.geometry, *panel, "--labels", "lab")
    assert done.exit_code == 0, done.output
    assert "Profiles of panel:p6a0 along ss (mean), polynomial of order 4" in done.output
    counted = [line.split() for line in done.output.splitlines()]
    n = sum(int(c[-1]) for c in counted if len(c) == 2 and c[0] in ("good", "bad"))
    assert n == len(labelled("lab"))
    alike = cli("label", run.data, "--by-profile", "-g", run.geometry, *panel, "--labels", "two")
    assert alike.exit_code == 0, alike.output
    assert labelled("two") == labelled("lab")


def test_without_labels_it_only_tells(cli, runs, tmp_path):
    run = runs[0]
    done = cli("profile", run.data, "-g", run.geometry, *RING)
    assert done.exit_code == 0
    assert "inside of all ranges" in done.output
    assert list(tmp_path.iterdir()) == []


def test_ranges_of_ones_own_and_labels_that_are_kept(cli, runs):
    run = runs[0]
    cli("label", "--from-lists", f"rubbish={run.good_list}", "--labels", "lab")
    arguments = [run.data, "-g", run.geometry, *RING, "--labels", "lab", "--range", "0,9"]
    done = cli("profile", *arguments)
    assert f"{sum(run.good)} events kept a label that no rule gave" in done.output
    assert LabelStore("lab").counts() == {"good": 60 - sum(run.good), "rubbish": sum(run.good)}
    cli("profile", *arguments, "--relabel")
    assert LabelStore("lab").counts() == {"good": 60}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--range", "3"], "'3' is no range"),
        (["--range", "5,3"], "'5,3' is no range"),
        (["--region", "panel:p99"], "has no panel"),
        (["--region", "rubbish"], "is no region"),
        (["--order", "2", "--labels", "lab"], "No inflection point is common"),
    ],
)
def test_mistakes_are_told_in_a_sentence(cli, runs, tmp_path, arguments, sentence):
    run = runs[0]
    done = cli("profile", run.data, "-g", run.geometry, *arguments)
    assert done.exit_code == 1
    assert sentence in done.output
    assert list(tmp_path.iterdir()) == []


def test_geometry_that_lies_beside_the_data_is_offered(cli, runs):
    done = cli("profile", runs[0].data, "--region", "panel:p6a0")
    assert done.exit_code == 1
    assert f"--geometry {runs[0].geometry}" in done.output


def test_labelling_needs_one_way_and_data(cli, runs):
    assert "needs the data" in cli("label", "--by-profile", "--labels", "lab").output
    neither = cli("label", runs[0].data, "--labels", "lab")
    assert neither.exit_code == 1
    assert "--by-profile" in neither.output
    both = ["--by-profile", "--from-lists", runs[0].good_list]
    assert cli("label", runs[0].data, "--labels", "lab", *both).exit_code == 1


def test_a_file_that_is_cut_off_is_named(cli, runs, tmp_path):
    run = runs[1]
    torn = tmp_path / "torn.cxi"
    shutil.copy(run.data, torn)
    with h5py.File(torn) as file:
        size = torn.stat().st_size
        assert len(file["entry_1/data_1/data"]) == 40
    with torn.open("rb+") as stream:
        stream.truncate(size // 2)
    done = cli("profile", run.data, torn, "-g", run.geometry, *RING, "--labels", "lab")
    assert done.exit_code == 3, done.output
    assert "torn.cxi" in done.output
    labels = LabelStore("lab").labels()
    assert sum(event.file == str(run.data) for event in labels) == 40
