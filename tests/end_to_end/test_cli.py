"""The command line from a user's side: output, exit statuses, files, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xfelsort import cli_progress
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.labels import LabelStore
from programs import PATIENCE, program, wait_for

#: The command as it is installed beside the Python that runs the tests.
XFELSORT = Path(sys.executable).parent / "xfelsort"


def sentence(result) -> str:
    """The one line of an error; fails where there is more or a traceback."""
    assert "Traceback" not in result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def listed_events(path: str) -> list[int]:
    return [int(line.rpartition("//")[2]) for line in Path(path).read_text().splitlines()]


def truth_of(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["/truth/label"][()].astype(bool)


# -- the program itself


def test_help_lists_the_commands_and_is_the_answer_to_nothing(cli):
    shown = cli("--help").output
    for command in ("info", "demo", "label", "train", "sort", "simulate"):
        assert re.search(rf"\b{command}\b", shown)
    assert cli().exit_code == 2


def test_version(cli):
    from napari_xfelsort import __version__

    result = cli("--version")
    assert (result.exit_code, result.output) == (0, f"napari-xfelsort {__version__}\n")


@pytest.mark.parametrize("arguments", ["nonsense", "info", "sort x.h5", "info --nonsense x.h5"])
def test_wrong_usage_is_status_2(cli, arguments):
    assert cli(*arguments.split()).exit_code == 2


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['xfelsort', '--help']\n"
        "from napari_xfelsort.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = ('sklearn', 'scipy', 'matplotlib', 'numba', 'dask', 'distributed', 'napari')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    python = XFELSORT.parent / "python"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


# -- info


def test_info_tells_what_is_in_a_run(cli, runs):
    with h5py.File(runs[0].data) as file:
        bad = int((file["/entry_1/data_1/mask"][()] != 0).sum())
        peaks = int(file["/entry_1/result_1/nPeaks"][0])
        energy = file["/LCLS/photon_energy_eV"][()]
    result = cli("info", runs[0].data)
    assert result.exit_code == 0
    for part in (
        "60 in 1 file",
        "704 x 96, int16",
        "/entry_1/data_1/data",
        f"{energy[0]:.6g}, {energy[-1]:.6g} eV",
        "55 mm",
        f"{runs[0].data} //0 (SIM_r0001_1500001000_000_3)",
        f"{runs[0].data} //59",
        f"{bad} bad pixels",
        f"{peaks} peaks in the first event",
    ):
        assert part in result.output


def test_info_offers_a_geometry_that_lies_beside_the_data(cli, runs):
    plain = cli("info", runs[0].data)
    assert str(runs[0].geometry) in plain.output
    assert "assembled" not in plain.output
    with_it = cli("info", runs[0].data, "--geometry", runs[0].geometry)
    assert "assembled" in with_it.output


def test_info_as_json(cli, runs):
    result = cli("info", *(run.data for run in runs), "--json")
    what = json.loads(result.stdout)
    assert what["events"] == 100
    assert what["raw_shape"] == [704, 96]
    assert [file["events"] for file in what["files"]] == [60, 40]
    assert what["last"]["id"] == f"{runs[1].data} //39"
    assert what["first"]["camera_length_m"] == pytest.approx(0.055, abs=2e-4)
    assert what["problems"] == []


def test_info_names_what_cannot_be_read_and_goes_on(cli, runs, tmp_path):
    shutil.copy(runs[0].data, tmp_path / "whole.cxi")
    (tmp_path / "cut.cxi").write_bytes(runs[0].data.read_bytes()[:100000])
    (tmp_path / "text.h5").write_text("not HDF5")
    result = cli("info", tmp_path)
    assert result.exit_code == 3
    problems = result.output.partition("problems:")[2]
    assert "cut.cxi" in problems
    assert "text.h5" in problems
    assert "60 in 1 file" in result.output


@pytest.mark.parametrize(
    ("name", "content"), [("absent.cxi", None), ("text.h5", b"not HDF5"), ("empty.h5", b"")]
)
def test_info_on_nothing_readable_is_one_sentence(cli, tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = cli("info", name)
    assert result.exit_code == 1
    assert name in sentence(result)


def test_info_lists_the_datasets_of_other_hdf5(cli, tmp_path):
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["a/images"] = np.zeros((5, 8, 9), "u2")
        file["b/other"] = np.zeros((2, 8, 9), "u2")
    result = cli("info", "own.h5")
    assert result.exit_code == 0
    assert "/a/images" in result.output.partition("--dataset")[2]
    assert "/b/other" in result.output.partition("--dataset")[2]
    chosen = cli("info", "own.h5", "--dataset", "/b/other")
    assert "2 in 1 file" in chosen.output


# -- label


def test_label_from_lists_counts_and_checks(cli, runs):
    first = runs[0]
    arguments = ["label", first.data, "--from-lists", first.good_list, first.bad_list]
    result = cli(*arguments, "--labels", "labels", "--labeller", "ada")
    assert result.exit_code == 0
    assert re.search(r"good +40\n +bad +20\n", result.output)
    assert "60 of the 60 events in the data have a label." in result.output
    journal = Path("labels/labels-ada.csv").read_text().splitlines()
    assert len(journal) == 61


def test_label_under_other_class_names(cli, runs):
    first = runs[0]
    lists = [f"hit={first.good_list}", f"artefact={first.bad_list}"]
    result = cli("label", "--from-lists", *lists, "--labels", "labels")
    assert result.exit_code == 0
    assert re.search(r"hit +40\n +artefact +20\n", result.output)


def test_lists_replace_labels_by_hand_only_when_told(cli, runs):
    first = runs[0]
    by_hand = LabelStore("labels", "ada")
    event = EventId(*first.good_list.read_text().splitlines()[0].split())
    by_hand.set(event, "bad")
    arguments = ["label", "--from-lists", first.good_list, "--labels", "labels"]
    result = cli(*arguments)
    assert result.exit_code == 0
    assert re.search(r"good +39\n", result.output)
    assert "Labelled by hand and left so: 1 event." in result.output
    assert LabelStore("labels").counts() == {"bad": 1, "good": 39}
    assert "Labelled so already: 39 events." in cli(*arguments).output
    assert re.search(r"good +40\n", cli(*arguments, "--relabel").output)
    assert LabelStore("labels").counts() == {"good": 40}


def test_labels_of_events_that_do_not_exist_are_told(cli, runs):
    Path("good.lst").write_text(f"{runs[0].data} //3\n{runs[0].data} //77\n")
    result = cli("label", runs[0].data, "--from-lists", "good.lst", "--labels", "labels")
    assert result.exit_code == 3
    assert f"1 labelled event not in the data: {runs[0].data} //77" in result.stderr


def test_a_class_may_have_several_lists_also_as_padt_names_them(cli, runs, tmp_path):
    good = runs[0].good_list.read_text().splitlines(keepends=True)
    (tmp_path / "run1").mkdir()
    Path("run1/good.lst").write_text("".join(good[:2]))
    Path("goodEvents-modelSort-run2.list").write_text("".join(good[1:4]))
    Path("kept=lists.lst").write_text("".join(good[4:5]))
    lists = ["run1/good.lst", "goodEvents-modelSort-run2.list", "bad=kept=lists.lst"]
    result = cli("label", "--from-lists", *lists, "--labels", "labels")
    assert result.exit_code == 0
    assert "names 1 event more than once" in result.stderr
    assert LabelStore("labels").counts() == {"good": 4, "bad": 1}


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ([], "--from-lists"),
        (["absent.lst"], "absent.lst"),
        (["a=same.lst", "b=same.lst"], "same.lst"),
    ],
)
def test_unusable_lists_are_one_sentence(cli, lists, words):
    Path("same.lst").write_text("run.h5 //1\n")
    given = ["--from-lists", *lists] if lists else []
    result = cli("label", *given, "--labels", "labels")
    assert result.exit_code == 1
    assert words in sentence(result)


# -- train


def test_train_prints_matrix_and_report_and_writes_a_model(cli, runs, model_file):
    labels = model_file.parent / "labels"
    result = cli(
        *("train", runs[0].data, "--labels", labels, "--geometry", runs[0].geometry),
        *("--region", "panel:p6a0", "--train", "60", "--test", "40", "--out", "a.xfelmodel"),
        *("--model", "logistic_regression"),
    )
    assert result.exit_code == 0, result.output
    assert "36 events train, 24 test (40 %)" in result.output
    for part in ("logistic regression on panel:p6a0", "precision", "recall", "accuracy"):
        assert part in result.output
    assert Path("a.xfelmodel").stat().st_size > 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--train", "60", "--test", "30"], "must add to 100 %"),
        (["--region", "panel:p99"], "no panel 'p99'"),
        (["--threshold", "often"], "threshold is 'often'"),
        (["--labels", "nowhere"], "nowhere"),
    ],
)
def test_train_refuses_with_one_sentence(cli, runs, model_file, options, words):
    labels = [] if "--labels" in options else ["--labels", model_file.parent / "labels"]
    base = ["train", runs[0].data, *labels, "--geometry", runs[0].geometry, "--out", "a.xfelmodel"]
    result = cli(*base, *options)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert not Path("a.xfelmodel").exists()


def test_a_mask_of_the_users_is_added(cli, runs, model_file, tmp_path):
    first = runs[0]
    mask = tmp_path / "mask.h5"
    with h5py.File(first.data) as run, h5py.File(mask, "w") as file:
        shape = run["/entry_1/data_1/data"].shape[1:]
        file["/entry_1/data_1/mask"] = np.ones(shape, "u1")
    done = cli("info", first.data, "--mask", mask)
    assert done.exit_code == 0
    assert f"{shape[0] * shape[1]} bad pixels" in done.output
    labels = ["--labels", model_file.parent / "labels", "--out", "m.xfelmodel"]
    done = cli("train", first.data, *labels, "--mask", mask)
    assert done.exit_code == 1
    assert "is masked" in done.stderr


def test_a_region_without_geometry_is_told_which_would_do(cli, runs, model_file):
    labels = model_file.parent / "labels"
    result = cli(
        *("train", runs[0].data, "--labels", labels, "--region", "panel:p6a0"),
        *("--out", "a.xfelmodel"),
    )
    assert result.exit_code == 1
    assert f"--geometry {runs[0].geometry}" in sentence(result)


def test_train_replaces_no_model_unasked(cli, runs, model_file):
    before = model_file.read_bytes()
    labels = model_file.parent / "labels"
    result = cli("train", runs[0].data, "--labels", labels, "--out", model_file)
    assert result.exit_code == 1
    assert "exists already" in sentence(result)
    assert model_file.read_bytes() == before


# -- sort


def test_sort_agrees_with_the_truth_and_writes_lists(cli, runs, model_file):
    result = cli("sort", runs[1].data, "--model", model_file, "--out", "out", "--workers", "0")
    assert result.exit_code == 0, result.output
    listed = {name: listed_events(f"out/{name}.lst") for name in ("good", "bad", "unsure")}
    assert sorted(n for numbers in listed.values() for n in numbers) == list(range(40))
    good = truth_of(runs[1].data)
    right = sum(good[listed["good"]]) + sum(~good[listed["bad"]])
    assert right >= 34  # 27 of 40 by always saying good
    assert Path("out/good.lst").read_text().startswith(f"{runs[1].data} //")
    for name in ("summary.csv", "report.html", "run.toml"):
        assert Path("out", name).stat().st_size > 0


def test_sort_writes_absolute_names_when_asked(cli, runs, model_file):
    relative = os.path.relpath(runs[1].data)
    options = ["--model", model_file, "--workers", "0"]
    cli("sort", relative, *options, "--out", "as-given")
    cli("sort", relative, *options, "--out", "absolute", "--absolute")
    assert Path("as-given/good.lst").read_text().startswith(f"{relative} //")
    assert Path("absolute/good.lst").read_text().startswith(f"{os.path.abspath(relative)} //")


def test_sort_goes_on_past_a_broken_file_with_status_3(cli, copies, model_file):
    copies[1].write_bytes(copies[1].read_bytes()[:50000])
    result = cli("sort", "copies", "--model", model_file, "--out", "out", "--workers", "0")
    assert result.exit_code == 3
    assert "part1.cxi" in result.output
    assert "120 events of 3 files" in result.output


def test_sort_replaces_no_other_results_unasked(cli, runs, copies, model_file):
    options = ["--model", model_file, "--out", "out", "--workers", "0"]
    assert cli("sort", runs[1].data, *options).exit_code == 0
    before = Path("out/good.lst").read_bytes()
    refused = cli("sort", copies[0], *options)
    assert refused.exit_code == 1
    assert Path("out/good.lst").read_bytes() == before
    assert cli("sort", copies[0], *options, "--overwrite").exit_code == 0
    assert Path("out/good.lst").read_bytes() != before


def test_sort_refuses_what_is_no_model(cli, runs):
    Path("m.xfelmodel").write_text("no model")
    result = cli("sort", runs[1].data, "--model", "m.xfelmodel", "--out", "out")
    assert result.exit_code == 1
    assert "m.xfelmodel" in sentence(result)
    assert not Path("out").exists()


def test_a_stopped_sort_resumes_with_the_same_command(cli, copies, model_file, monkeypatch):
    arguments = ["sort", "copies", "--model", model_file, "--workers", "0"]
    assert cli(*arguments, "--out", "at-once").exit_code == 0

    def stop_halfway(self, done: int, total: int) -> None:
        if done >= total / 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cli_progress.PlainLines, "__call__", stop_halfway)
        stopped = cli(*arguments, "--out", "stopped")
    assert stopped.exit_code == 130
    assert "the same command resumes" in sentence(stopped)
    assert not Path("stopped/good.lst").exists()
    resumed = cli(*arguments, "--out", "stopped")
    assert resumed.exit_code == 0
    assert re.search(r"[1-9]\d* of them were sorted by an earlier call", resumed.output)
    for name in ("good.lst", "bad.lst", "unsure.lst"):
        assert Path("stopped", name).read_bytes() == Path("at-once", name).read_bytes()


# -- the real program


def run_program(*args: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [XFELSORT, *map(str, args)], capture_output=True, text=True, timeout=120, **options
    )


def test_statuses_and_sentences_of_the_real_program(runs, tmp_path):
    assert run_program("info", runs[0].data).returncode == 0
    absent = run_program("info", "absent.cxi", cwd=tmp_path)
    assert (absent.returncode, absent.stdout) == (1, "")
    assert absent.stderr.count("\n") == 1
    assert "absent.cxi" in absent.stderr
    assert run_program("info").returncode == 2
    (tmp_path / "broken.cxi").write_bytes(b"\x89HDF\r\n\x1a\n")
    some = run_program("info", runs[0].data, tmp_path / "broken.cxi")
    assert some.returncode == 3
    assert "Traceback" not in some.stderr


def test_a_closed_pipe_is_no_error_to_tell(runs):
    shell = f"'{XFELSORT}' info --json '{runs[0].data}' | head -c 1"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True)
    assert done.stdout == "{"
    assert done.stderr == ""


def test_ctrl_c_in_a_simulation_leaves_nothing_half_written(tmp_path):
    out = tmp_path / "out"
    arguments = [XFELSORT, "simulate", "detector", out, "--n-events", "1000000"]
    with program(*arguments, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: any(p.stat().st_size > 1e6 for p in out.glob(".*")))
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert "the same command starts again" in told
    assert "Traceback" not in told
    assert [p.name for p in out.iterdir()] == ["truth"]


def test_ctrl_c_in_a_parallel_sort_resumes(runs, model_file, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for n in range(30):
        os.link(runs[1].data, data / f"part{n:02d}.cxi")
    arguments = [XFELSORT, "sort", "data", "--model", str(model_file), "--out", "out"]
    arguments += ["--workers", "2", "--block-events", "10"]
    with program(*arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: any((tmp_path / "out" / "decisions").glob("*")))
        # As a terminal does: to the program and its workers alike.
        os.killpg(process.pid, signal.SIGINT)
        told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130, told
    assert "the same command resumes" in told
    assert "Traceback" not in told
    assert not (tmp_path / "out" / "good.lst").exists()
    again = run_program(*arguments[1:], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1200 events of 30 files" in again.stdout
    lines = (tmp_path / "out" / "good.lst").read_text().splitlines()
    assert len(lines) == len(set(lines)) == len(lines) // 30 * 30
