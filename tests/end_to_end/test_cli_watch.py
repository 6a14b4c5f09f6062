"""``xfelsort sort --watch`` and the options that say who does the work."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from programs import PATIENCE, program

XFELSORT = Path(sys.executable).parent / "xfelsort"


def outputs(folder: Path) -> dict[str, bytes]:
    found = [*folder.glob("*.lst"), *folder.glob("decisions/*.csv"), folder / "hit-fraction.csv"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_watch_that_goes_idle_ends_as_a_sort_does(cli, runs, model_file, tmp_path):
    (tmp_path / "data").mkdir()
    shutil.copy(runs[1].data, tmp_path / "data" / "a.cxi")
    (tmp_path / "data" / "b.cxi").write_bytes(b"")
    options = ["--model", model_file, "--workers", "0"]
    told = cli("sort", "data", *options, "--out", "watched", "--watch", "--idle=0.5", "--poll=0.1")
    assert told.exit_code == 3, told.output
    assert told.output.count("b.cxi is empty") == 2  # waited for once, and told in the end
    assert "40 events (40 new) of 1 file" in told.output
    assert cli("sort", "data", *options, "--out", "sorted").exit_code == 3
    assert outputs(tmp_path / "watched") == outputs(tmp_path / "sorted")
    assert (tmp_path / "watched" / "watch.csv").exists()
    assert "Course of the run" in (tmp_path / "watched" / "report.html").read_text()


def test_ctrl_c_ends_a_watch_with_all_results(runs, model_file, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    arguments = [XFELSORT, "sort", "data", "--model", model_file, "--out", "out", "--watch"]
    arguments += ["--workers=0", "--poll=0.1", "--settle=0.2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with program(*arguments, cwd=tmp_path, **pipes) as process:
        for line in process.stderr:
            if "Waiting: " in line:
                shutil.copy(runs[1].data, data / "a.cxi")
            if " 40 events" in line:
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        shown, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told
    assert "40 events of 1 file sorted into out" in shown
    assert (tmp_path / "out" / "good.lst").stat().st_size > 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--idle=3"], "add --watch"),
        (["--jobs=3"], "name it with --slurm"),
        (["--slurm=a", "--mpi"], "either --slurm or --mpi"),
        (["--slurm=a", "--workers=2"], "not both"),
    ],
)
def test_options_that_do_not_go_together_are_refused(cli, runs, model_file, options, sentence):
    result = cli("sort", runs[1].data, "--model", model_file, "--out", "out", *options)
    assert result.exit_code == 1
    assert sentence in " ".join(result.output.split())


def test_the_class_of_a_sort_is_exported(cli, runs, model_file):
    from napari_xfelsort import open_stack

    cli("sort", runs[1].data, "--model", model_file, "--out", "out", "--workers", "0")
    told = cli("export", "out", "--class", "good", "--kind", "virtual", "--out", "good.cxi")
    assert told.exit_code == 0, told.output
    whole, good = open_stack(runs[1].data), open_stack("good.cxi")
    lines = Path("out/good.lst").read_text().splitlines()
    assert len(good) == len(lines) > 0
    for k, line in enumerate(lines):
        assert (good.raw(k) == whole.raw(int(line.rpartition("//")[2]))).all()
