"""`xfelsort demo`: the main job, whole, and the commands that it tells to try."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import h5py
import pytest
from typer.testing import CliRunner

from napari_xfelsort.cli import app


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    result = CliRunner().invoke(app, ["demo", str(folder)])
    assert result.exit_code == 0, result.output
    return folder, result.stdout


def test_the_demo_writes_lists_summary_report_and_model(demo):
    folder, _ = demo
    for name in ("good.lst", "bad.lst", "unsure.lst", "summary.csv", "report.html", "run.toml"):
        assert (folder / "sorted" / name).exists()
    assert (folder / "demo.xfelmodel").stat().st_size > 1000
    with (folder / "sorted" / "summary.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["events"] for row in rows] == ["150"]
    assert "<html" in (folder / "sorted" / "report.html").read_text().lower()


def test_the_demo_prints_its_lists_against_the_truth(demo):
    """The matrix that is printed last is counted again, from the lists and the file."""
    folder, text = demo
    data = folder / "run0002" / "run0002.cxi"
    with h5py.File(data) as file:
        good = file["/truth/label"][()].astype(bool)
    matrix = {}
    for name in ("bad", "good"):
        lines = (folder / "sorted" / f"{name}.lst").read_text().splitlines()
        assert all(line.startswith(f"{data} //") for line in lines)
        listed = [int(line.rpartition("//")[2]) for line in lines]
        matrix[name] = (int((~good[listed]).sum()), int(good[listed].sum()))
    printed = text.partition("5. Compare")[2]
    for row, name in enumerate(("bad", "good")):
        numbers = re.search(rf"^{name} +(\d+) \(.*?\) +(\d+) \(", printed, re.MULTILINE)
        assert [int(n) for n in numbers.groups()] == [matrix["bad"][row], matrix["good"][row]]
    right = matrix["bad"][0] + matrix["good"][1]
    assert right / 150 > 0.9


def test_the_commands_that_the_demo_tells_work(demo, monkeypatch):
    folder, text = demo
    monkeypatch.chdir(folder.parent)
    told = re.findall(r"^  (xfelsort .*)$", text.partition("by hand")[2], re.MULTILINE)
    assert [line.split()[1] for line in told] == ["info", "label", "train", "sort"]
    for line in told:
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}"
    by_hand = Path("my-sorted/good.lst").read_bytes()
    assert by_hand == (folder / "sorted" / "good.lst").read_bytes()


def test_the_demo_touches_nothing_that_exists(demo, tmp_path):
    folder, _ = demo
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    result = CliRunner().invoke(app, ["demo", str(folder)])
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_without_a_folder_the_first_free_name_is_taken(cli, monkeypatch):
    from napari_xfelsort import _cli_demo

    monkeypatch.setattr(_cli_demo, "_EVENTS", (60, 30))
    Path("xfelsort-demo").mkdir()
    result = cli("demo")
    assert result.exit_code == 0, result.output
    assert Path("xfelsort-demo-2/sorted/good.lst").exists()
    assert not list(Path("xfelsort-demo").iterdir())
