"""Sorting with two models: who decides, what is written of it, and what must not be mixed."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

import numpy as np
import pytest
from learning_cases import labelled_run, quick_and_slow
from sorting_cases import (
    BAND,
    MeanModel,
    Source,
    SquareModel,
    means,
    pair,
    results,
    stack_of,
)
from spi_pictures import run as pictures

import napari_xfelsort as xs
from napari_xfelsort.core.cascade import BY_SECOND, Cascade, CascadeSettings, with_first
from napari_xfelsort.core.decisions import Decisions
from napari_xfelsort.core.errors import ModelError, OutputError, SettingsError
from napari_xfelsort.core.sorting import sort
from napari_xfelsort.core.training import train


def table(out: Path, name: str) -> list[dict[str, str]]:
    with (out / "decisions" / f"{name}.csv").open(newline="") as text:
        return list(csv.DictReader(text))


def by_hand(mean: float) -> tuple[str, float, str]:
    """Class, probability of good, and who says so."""
    if 0.3 <= mean < 0.7:
        return ("good" if mean**2 >= 0.5 else "bad"), mean**2, "second model"
    return ("good" if mean >= 0.7 else "bad"), mean, "first model"


def test_each_event_is_decided_by_the_model_whose_it_is(tmp_path):
    values = {f"run{k}.cxi": means(60 + k, k) for k in range(2)}
    stack = stack_of(*(Source(v, path) for path, v in values.items()))
    summary = sort(stack, pair(), tmp_path, workers=0, block_events=7)
    wanted = {path: [by_hand(mean) for mean in v] for path, v in values.items()}
    for path, told in wanted.items():
        rows = table(tmp_path, path)
        assert [row["class"] for row in rows] == [name for name, *_ in told]
        assert [float(row["p_good"]) for row in rows] == pytest.approx([p for _, p, _ in told])
        assert [float(row["p_bad"]) for row in rows] == pytest.approx([1 - p for _, p, _ in told])
        assert [row["flags"] for row in rows] == [by for *_, by in told]
    everything = [entry for told in wanted.values() for entry in told]
    n = sum(by == "second model" for *_, by in everything)
    assert 0 < n < len(everything)
    assert summary.by_second == n
    assert f"{n} of them were decided by the second model" in summary.to_text()
    assert summary.totals["good"] == sum(name == "good" for name, *_ in everything)
    assert "First model: It is only a mean." in summary.warnings
    assert sort(stack, pair(), tmp_path, workers=0, block_events=7).sorted_now == 0


class TornForSecond(SquareModel):
    """Cannot read one event, and finds another odd."""

    def predict_block(self, stack, block):
        made = super().predict_block(stack, block)
        chosen, flags = made.chosen.copy(), list(made.flags)
        for k, event in enumerate(made.event_ids):
            if event.event == "//1":
                chosen[k], flags[k] = "failed", "it is torn."
            if event.event == "//2":
                flags[k] = "it is odd."
        return Decisions(made.event_ids, made.class_names, chosen, made.probabilities, flags)


def test_events_that_a_model_cannot_read_fail_with_its_reason(tmp_path):
    stack = stack_of(Source([0.9, 0.5, 0.5, 0.5], "a.cxi", broken=(3,)))
    made = Cascade(MeanModel(), TornForSecond(), BAND)
    summary = sort(stack, made, tmp_path, workers=0)
    rows = table(tmp_path, "a.cxi")
    assert [row["class"] for row in rows] == ["good", "failed", "bad", "failed"]
    assert [row["flags"] for row in rows[:3]] == [
        "first model",
        "it is torn.",
        "second model; it is odd.",
    ]
    assert "torn" in rows[3]["flags"]
    assert summary.failed == 2
    assert summary.by_second == 1
    assert {problem.what.split(": ")[-1] for problem in summary.failures} >= {"it is torn."}


@pytest.fixture(scope="module")
def trained():
    return quick_and_slow()


def test_trained_models_decide_as_each_does_by_itself(trained, tmp_path):
    quick, slow = trained
    stack, _ = labelled_run(n=60, step=4, seed=7)
    limits = {"loss": 0.0, "precision": 1.0}
    summary = xs.sort(stack, slow, tmp_path, workers=0, block_events=11, first=quick, **limits)
    band = Cascade.of_models(quick, slow, **limits).band
    one, two = quick.predict(stack), slow.predict(stack)
    column = quick.class_names.index("good")
    p = one.probabilities[:, column]
    asked = (p >= band.low) & (p < band.high)
    assert 0 < asked.sum() < len(stack)
    classes = np.where(asked, two.chosen, np.where(p >= band.high, "good", "bad"))
    shares = np.where(asked[:, None], two.probabilities, one.probabilities)
    for number, source in enumerate(stack.sources):
        own = slice(60 * number, 60 * number + 60)
        read = Decisions.read_csv(tmp_path / "decisions" / f"{source.path}.csv")
        assert read.chosen.tolist() == classes[own].tolist()
        assert read.probabilities == pytest.approx(shares[own], abs=1e-5)
        assert [flag == BY_SECOND for flag in read.flags] == asked[own].tolist()
    assert summary.by_second == asked.sum()
    wanted = [str(stack.event_id(int(k))) for k in np.flatnonzero(classes == "good")]
    assert (tmp_path / "good.lst").read_text().splitlines() == wanted


def test_the_results_name_both_models_and_the_limits(trained, tmp_path):
    quick, slow = trained
    stack, _ = labelled_run(n_files=1, n=20, seed=7)
    xs.sort(stack, slow, tmp_path, workers=0, first=quick, loss=0.05, precision=0.95)
    run = tomllib.loads((tmp_path / "run.toml").read_text())
    band = Cascade.of_models(quick, slow, 0.05, 0.95).band
    assert run["model"]["digest"] == slow.digest
    assert run["first_model"]["digest"] == quick.digest
    told = run["cascade"]
    assert (told["loss"], told["precision"]) == (0.05, 0.95)
    assert (told["low"], told["high"]) == (band.low, band.high)
    assert told["positives"] == band.positives
    rows = table(tmp_path, "run0.cxi")
    assert told["by_second"] == sum(row["flags"].startswith("second") for row in rows)
    report = (tmp_path / "report.html").read_text()
    for words in (slow.digest, quick.digest, "Two models decided", "cascade: high"):
        assert words in report
    xs.sort(stack, slow, tmp_path / "alone", workers=0)
    alone = tomllib.loads((tmp_path / "alone" / "run.toml").read_text())
    assert not {"first_model", "cascade"} & set(alone)


def test_workers_write_the_same_bytes(trained, tmp_path):
    quick, slow = trained
    stack, _ = labelled_run(n=60, step=4, seed=7)
    for workers in (0, 2):
        settings = {"workers": workers, "block_events": 11, "report": False}
        xs.sort(stack, slow, tmp_path / str(workers), first=quick, loss=0, precision=1, **settings)
    assert results(tmp_path / "2") == results(tmp_path / "0")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (pair(second="another"), "of another model;"),
        (pair(first="another"), "of another first model;"),
        (
            Cascade(MeanModel(name="quick"), SquareModel(name="slow"), BAND._replace(low=0.2)),
            "set of",
        ),
        (SquareModel(name="slow"), "another first model and set of limits"),
    ],
)
def test_results_of_other_models_or_limits_are_kept_unless_overwriting(tmp_path, other, told):
    stack = stack_of(Source(means(30, 0), "a.cxi"))
    sort(stack, pair(), tmp_path, workers=0)
    before = results(tmp_path)
    with pytest.raises(OutputError, match=told):
        sort(stack, other, tmp_path, workers=0)
    assert results(tmp_path) == before
    sort(stack, other, tmp_path, workers=0, overwrite=True)
    with pytest.raises(OutputError, match="another"):
        sort(stack, pair(), tmp_path, workers=0)
    assert sort(stack, pair(), tmp_path, workers=0, overwrite=True).sorted_now == 30
    assert results(tmp_path) == before


def test_models_and_limits_that_do_not_go_together_are_refused(trained, tmp_path):
    quick, slow = trained
    stack, _ = labelled_run(n_files=1, n=20)
    with pytest.raises(SettingsError, match="give that one as well"):
        xs.sort(stack, slow, tmp_path / "out", loss=0.2)
    with pytest.raises(SettingsError, match="loss"):
        xs.sort(stack, slow, tmp_path / "out", first=quick, loss=1.5)
    other, labels = labelled_run(n=60, step=4, classes=2)
    renamed = ["hit" if name == "good" else "bad" for name in labels]
    hits = train(other, renamed, model="naive_bayes", split="event", cache=False, workers=0)
    with pytest.raises(ModelError, match="same two classes"):
        xs.sort(stack, slow, tmp_path / "out", first=hits)
    with pytest.raises(ModelError, match="cascade already"):
        xs.sort(stack, pair(), tmp_path / "out", first=quick)
    assert not (tmp_path / "out").exists()
    larger, _ = labelled_run(n_files=1, n=20, shape=(9, 8))
    with pytest.raises(ModelError, match="frames of"):
        xs.sort(larger, slow, tmp_path / "out", first=quick)
    assert with_first(slow, None, **CascadeSettings().to_dict()) is slow


def test_a_network_decides_on_what_is_left(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch (extra deep) is not installed")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        stack, labels = pictures(90)
        options = {"split": "event", "cache": False, "workers": 0, "target": "single"}
        small = {"recipe": "cpu", "parts": 2, "epochs": 1, "batch": 8, "device": "cpu"}
        quick = train(stack, labels, model="random_forest", **options)
        net = train(stack, labels, model="spi_cnn", resume=False, **small, **options)
        new, _ = pictures(60, seed=3)
        limits = {"loss": 0.0, "precision": 2.0}
        summary = xs.sort(new, net, tmp_path, workers=0, first=quick, block_events=25, **limits)
        one, two = quick.predict(new), net.predict(new)
        low = Cascade.of_models(quick, net, **limits).band.low
        asked = one.probabilities[:, quick.class_names.index("single")] >= low
        other = next(name for name in net.class_names if name != "single")
        read = Decisions.read_csv(tmp_path / "decisions" / "run1.cxi.csv")
        assert 0 < asked.sum() < 60
        assert summary.by_second == asked.sum()
        assert read.chosen.tolist() == np.where(asked, two.chosen, other).tolist()
    finally:
        torch.set_num_threads(threads)
