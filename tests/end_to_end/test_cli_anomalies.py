"""Anomalies from the command line: simulate, label, train, apply."""

from __future__ import annotations

import csv
import shlex

import pytest
from typer.testing import CliRunner

from napari_xfelsort.cli import app
from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.simulate.anomalies import simulate_anomalies
from napari_xfelsort.readers import open_stack

CLASSES = ("strong_background", "ice_ring")


def xfelsort(line: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, shlex.split(line))
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A small run, its labels, and a second opinion on some."""
    folder = tmp_path_factory.mktemp("runs")
    stores = {name: LabelStore(folder / "labels", name) for name in ("anna", "bert")}
    made = simulate_anomalies(folder, n_events=80, side=128, ice_ring=0.5, artifact=0.0)
    stack = open_stack([str(made.data)], geometry=made.geometry)
    for i, row in enumerate(made.labels.tolist()):
        has = [n for n, k in (("strong_background", 2), ("ice_ring", 5)) if row[k] == 1]
        stores["anna"].set(stack.event_id(i), "|".join(has) or "clean")
        if i < 30:
            stores["bert"].set(stack.event_id(i), "|".join(has if i > 3 else ()) or "clean")
            stores["anna"].set(stack.event_id(i), "|".join(has) or "clean")
    stack.close()
    return folder


def test_train_and_apply(runs, tmp_path):
    model, out = tmp_path / "m.xfelanomalies", tmp_path / "found.csv"
    data = f"{runs / 'run0001.cxi'} -g {runs / 'run0001.geom'}"
    line = (
        f"anomalies train {data} -l {runs / 'labels'} -o {model} "
        "--learner logistic_regression --validation 25"
    )
    said = xfelsort(line)
    for word in (*CLASSES, "Fleiss' kappa", "roc auc", "exact match ratio", "judged too well"):
        assert word in said
    assert "exists" in xfelsort(line, 1)
    apply = f"anomalies apply {data} -m {model} -o {out}"
    said = xfelsort(apply)
    assert all(name in said for name in CLASSES)
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 80
    lists = {name: runs / "truth" / f"run0001-{name}.lst" for name in CLASSES}
    truth = {
        name: {line.split()[-1] for line in path.read_text().splitlines()}
        for name, path in lists.items()
    }
    # It has seen these events.
    right = [
        (name in row["anomalies"].split("|")) == (row["event"] in truth[name])
        for row in rows
        for name in CLASSES
    ]
    assert sum(right) > 0.85 * len(right)
    assert "exists" in xfelsort(apply, 1)
    xfelsort(f"{apply} --overwrite")


def test_what_is_wrong_is_told(runs, tmp_path):
    data, labels = runs / "run0001.cxi", f"-l {runs / 'labels'}"
    model = f"-o {tmp_path / 'm'}"
    assert "where the beam is" in xfelsort(f"anomalies train {data} {labels} {model}", 1)
    with_center = f"anomalies train {data} {labels} {model} --center"
    assert "no place" in xfelsort(f"{with_center} middle", 1)
    assert "labels are clean" in xfelsort(f"{with_center} 63,63 --class odd", 1)
    bad = f"anomalies apply {data} --center 63,63 -m {data} -o {tmp_path / 'o.csv'}"
    assert "no model of anomalies" in xfelsort(bad, 1)


def test_the_model_that_comes_with_the_program(runs, tmp_path):
    data = f"{runs / 'run0001.cxi'} -g {runs / 'run0001.geom'}"
    out = tmp_path / "found.csv"
    said = xfelsort(f"anomalies apply {data} -m default -o {out}")
    assert "trained on simulated frames only" in said
    assert "strong_background" in said
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 80
    assert set(ANOMALIES) < set(rows[0])
    assert not any(row["problem"] for row in rows)
    # No file of that name, and so not the default either.
    assert "no model file" in xfelsort(f"anomalies apply {data} -m ./default -o {out}2", 1)
