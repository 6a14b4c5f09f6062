"""``xfelsort train --compare`` and searches, and ``xfelsort models``, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import napari_xfelsort as xs

FAST = ("--n-estimators", "5", "--folds", "2", "--bin", "16")


@pytest.fixture
def train(cli, runs, model_file):
    """Runs ``xfelsort train`` on the first run's labels."""
    first = runs[0]
    labels = model_file.parent / "labels"

    def run(*options: object):
        return cli(
            *("train", first.data, "--labels", labels, "--geometry", first.geometry),
            *("--region", "panel:p6a0", *FAST, *options),
        )

    return run


def test_all_are_compared_and_saved(cli, train):
    done = train("--compare", "--save-all", "--out", "m.xfelmodel")
    assert done.exit_code == 0, done.output
    saved = sorted(Path().glob("m-*.xfelmodel"))
    assert len(saved) == 7
    for path in saved:
        assert path.stem[2:].replace("_", " ") in done.stdout
    assert "McNemar" in done.stdout
    best = xs.load_model("m.xfelmodel")
    assert best.digest in {xs.load_model(path).digest for path in saved}
    again = train("--compare", "--save-all", "--out", "m.xfelmodel")
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    table = cli("models", *saved)
    assert table.exit_code == 0, table.output
    assert table.stdout.count("on the same test events: accuracy") >= 5
    assert "naive bayes" in table.stdout


def test_a_search_tells_how_many_fits_and_what_it_found(cli, train):
    done = train(
        *("--model", "logistic_regression", "--search", "small", "--threshold", "costs"),
        *("--cost-false-good", "5", "--unsure-margin", "0.2", "--mistakes"),
        *("--calibration", "sigmoid", "--out", "m.xfelmodel"),
    )
    assert done.exit_code == 0, done.output
    assert "Up to 13 fits to do." in done.stderr
    assert "Search small, 10 fits inside the training share: C " in done.stdout
    assert "Probabilities are calibrated (sigmoid)" in done.stdout
    shown = cli("models", "m.xfelmodel", "--mistakes")
    assert shown.exit_code == 0
    assert "Parameters found by the search: C " in shown.stdout
    assert "unsure between" in shown.stdout
    facts = json.loads(cli("models", "m.xfelmodel", "--json").stdout)[0]
    assert facts["classes"] == ["bad", "good"]
    assert facts["metrics"]["search"]["fits"] == 10
    assert facts["provenance"]["settings"]["unsure_margin"] == 0.2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--search", "padt", "--folds", "5"], "1080 fits"),
        (["--model", "decision_tree", "--search", "reflex"], "no grid for decision tree"),
        (["--save-all"], "--compare"),
        (["--split", "run"], "in 1 run"),
        (["--target", "ice"], "'ice'; the classes are bad, good"),
        (["--unsure-low", "0.9", "--unsure-high", "0.1"], "must not be larger"),
        (["--components", "500"], "components is 500"),
    ],
)
def test_what_cannot_be_is_one_sentence(train, options, words):
    done = train(*options, "--out", "m.xfelmodel")
    assert done.exit_code == 1
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert not Path("m.xfelmodel").exists()


def test_models_of_other_events_are_not_called_better(cli, train, model_file):
    assert train("--model", "naive_bayes", "--seed", "4", "--out", "m.xfelmodel").exit_code == 0
    done = cli("models", model_file, "m.xfelmodel", model_file)
    assert done.exit_code == 0, done.output
    assert "was not tested with the same events" in done.stdout
    assert "decides the same as" in done.stdout


def test_what_is_no_model_is_said(cli):
    Path("m.xfelmodel").write_text("no")
    for name in ("m.xfelmodel", "none.xfelmodel"):
        done = cli("models", name)
        assert done.exit_code == 1
        assert name in done.stderr
