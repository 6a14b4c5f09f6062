"""Training on other features than pixels from the command line, and sorting with them."""

from __future__ import annotations

import shlex

import pytest
from typer.testing import CliRunner

import napari_xfelsort as xs
from napari_xfelsort.cli import app


def xfelsort(line: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, shlex.split(line))
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    xfelsort(f"simulate detector {folder} --n-events 60")
    truth = folder / "truth"
    xfelsort(
        f"label {folder} --labels {folder / 'labels'} --from-lists "
        f"good={truth / 'good.lst'} bad={truth / 'bad.lst'}"
    )
    return folder


def test_several_kinds_with_their_options(run, tmp_path):
    model = tmp_path / "m.xfelmodel"
    said = xfelsort(
        f"train {run / 'run0001.cxi'} -g {run / 'small.geom'} --labels {run / 'labels'} "
        f"-o {model} "
        "--kinds quantiles --kinds radial --kinds peaks --quantiles 0.5 --quantiles 0.9 "
        "--radial-bins 12 --radial-statistics sd --normalise median --region panel:p6a0 "
        "--workers 0 --no-cache"
    )
    made = xs.load_model(model)
    assert made.features.kinds == ("quantiles", "radial", "peaks")
    assert made.features.quantiles == (0.5, 0.9)
    rings = made.extractor.columns["radial"]
    assert 1 <= rings.stop - rings.start <= 12
    assert f"{made.extractor.n_features} features" in said
    out = tmp_path / "sorted"
    xfelsort(f"sort {run / 'run0001.cxi'} --model {model} --out {out} --workers 0")
    lists = [(out / name).read_text().splitlines() for name in ("good.lst", "bad.lst")]
    assert sum(map(len, lists)) == 60


def test_settings_from_a_file(run, tmp_path):
    file = tmp_path / "features.toml"
    file.write_text('kinds = ["intensity", "quantiles"]\nquantiles = [0.25]\ncomponents = 3\n')
    model = tmp_path / "m.xfelmodel"
    xfelsort(
        f"train {run / 'run0001.cxi'} --labels {run / 'labels'} -o {model} --settings {file} "
        "--model logistic_regression --above 5"
    )
    made = xs.load_model(model)
    assert made.features.kinds == ("intensity", "quantiles")
    assert (made.features.quantiles, made.features.components) == ((0.25,), 3)
    assert made.features.above == 5


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        ("--kinds voxels", 2, "voxels"),
        ("--kinds metadata", 1, "names of stored numbers"),
        ("--kinds radial", 1, "geometry"),
        ("--normalise incoming", 1, "incoming"),
        ("--quantiles 2", 2, "equal to 1"),
        ("--kinds metadata --metadata nothing", 1, "No number 'nothing' is stored"),
    ],
)
def test_what_cannot_be(run, tmp_path, options, status, says):
    said = xfelsort(
        f"train {run / 'run0001.cxi'} --labels {run / 'labels'} -o {tmp_path / 'm.xfelmodel'} "
        + options,
        status,
    )
    assert says in said
    assert not (tmp_path / "m.xfelmodel").exists()
