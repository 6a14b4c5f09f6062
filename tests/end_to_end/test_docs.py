"""What README and tutorial tell to type works, and examples run as they stand."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_xfelsort.cli import app

ROOT = Path(__file__).parents[2]


def told_commands(path: Path) -> list[str]:
    """Lines of ``sh`` blocks that start our program."""
    blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("xfelsort ")]


def straight_line(path: Path, folder: Path, monkeypatch) -> list[str]:
    """Run all commands a page tells; what they printed."""
    monkeypatch.chdir(folder)
    printed = []
    for line in told_commands(path):
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}"
        printed.append(result.stdout)
    return printed


def test_the_readme_works(tmp_path, monkeypatch):
    page = ROOT / "README.md"
    assert [line.split()[1] for line in told_commands(page)] == [
        *("simulate", "simulate", "info", "label", "train", "sort")
    ]
    straight_line(page, tmp_path, monkeypatch)
    python = re.search(r"```python\n(.*?)```", page.read_text(), re.DOTALL)[1]
    code = python.replace('"sorted"', '"sorted-by-python"')
    exec(compile(code, "README.md", "exec"), {})
    for name in ("good.lst", "bad.lst"):
        by_program, by_python = (tmp_path / d / name for d in ("sorted", "sorted-by-python"))
        assert by_program.read_bytes() == by_python.read_bytes()


def test_the_tutorial_shows_what_is_printed(tmp_path, monkeypatch):
    """Numbers may differ with other versions of scikit-learn; the rest may not."""
    page = ROOT / "docs" / "tutorial.md"
    printed = "".join(straight_line(page, tmp_path, monkeypatch))
    blocks = re.findall(r"^```text\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)

    def forms(text: str) -> set[str]:
        """Lines without numbers, blanks, the folder and the person's name."""
        text = text.replace(f"{tmp_path}/", "")
        text = re.sub(r"labeller \w+", "labeller", text)
        return {re.sub(r"[\d.]+ *%?| +", "", line) for line in text.splitlines()}

    assert set().union(*map(forms, blocks)) <= forms(printed)


def test_python_in_the_reference_names_what_there_is():
    import napari_xfelsort as xs

    pages = [ROOT / "README.md", ROOT / "docs" / "reference.md"]
    for page in pages:
        for name in re.findall(r"\bxs\.(\w+)", page.read_text()):
            assert hasattr(xs, name), f"{page.name} names xs.{name}"


def test_links_of_the_pages_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_example_sort_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sort_a_run.py", str(tmp_path / "out")])
    runpy.run_path(str(ROOT / "examples" / "sort_a_run.py"), run_name="__main__")
    assert "150 events of 1 file sorted" in capsys.readouterr().out
    assert (tmp_path / "out" / "sorted" / "good.lst").stat().st_size > 100


@pytest.mark.parametrize("with_geometry", [False, True])
def test_example_look_at_events(runs, monkeypatch, capsys, with_geometry):
    arguments = [str(runs[1].data), *([str(runs[1].geometry)] if with_geometry else [])]
    monkeypatch.setattr(sys, "argv", ["look_at_events.py", *arguments])
    runpy.run_path(str(ROOT / "examples" / "look_at_events.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "40 events of (704, 96) int16" in printed
    assert "assembled (704, 96)" in printed or with_geometry
    assert "dask.array" in printed


def test_the_keys_of_the_guide_are_those_of_the_program():
    keys = pytest.importorskip("napari_xfelsort.widgets.keys")
    page = (ROOT / "docs" / "napari.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    told = {key: what for key, what in rows if key not in ("key", "---")}
    table = dict(line.split(": ", 1) for line in keys.help_text(keys.TABLE).splitlines())
    wanted = {key: what.replace(" (hold to go on)", "") for key, what in table.items()}
    assert told == wanted


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
def test_pictures_and_pages_that_are_named_exist(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
