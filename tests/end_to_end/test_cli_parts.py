"""What the commands share: options from settings, progress, sentences."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from napari_xfelsort import cli_progress
from napari_xfelsort.cli_options import ManyValuesCommand, settings_options
from napari_xfelsort.cli_progress import PlainLines
from napari_xfelsort.cli_support import facts, guarded, plural, table, unwrapped
from napari_xfelsort.core.errors import OutputError
from napari_xfelsort.core.settings import Settings, setting


@dataclass(frozen=True)
class CoffeeSettings(Settings):
    """Settings of a task made up for this test."""

    cups: int = setting(2, "How many cups.", minimum=1, maximum=9)
    heat: float = setting(92.5, "How hot.", unit="degC", minimum=0)
    milk: bool = setting(False, "With milk.")
    kind: str = setting("filter", "How it is made.", choices=("filter", "mocha"))
    note: str | None = setting(None, "A remark.")
    beans: tuple[str, ...] = setting((), "Which beans.")


def run(*args: str, taken: list[CoffeeSettings] | None = None):
    app = typer.Typer()

    @app.command()
    @guarded()
    @settings_options(CoffeeSettings)
    def brew(
        where: Annotated[str, typer.Argument(help="Place.")],
        settings: CoffeeSettings,
    ) -> None:
        """Make coffee."""
        if taken is not None:
            taken.append(settings)
        typer.echo(where)

    return CliRunner().invoke(app, list(args), env={"COLUMNS": "200"})


def test_every_setting_is_an_option_with_help_unit_range_and_default():
    text = run("--help").output
    for part in ("--cups", "How many cups.", "1<=x<=9", "default: (2)"):
        assert part in text
    for part in ("--heat", "How hot (degC).", "--milk", "--no-milk", "filter|mocha", "--beans"):
        assert part in text


def test_options_become_settings():
    taken: list[CoffeeSettings] = []
    arguments = "--cups 3 --milk --kind mocha --beans a --beans b --note x"
    assert run("here", *arguments.split(), taken=taken).exit_code == 0
    assert taken == [CoffeeSettings(3, 92.5, True, "mocha", "x", ("a", "b"))]


def test_without_options_the_defaults_hold():
    taken: list[CoffeeSettings] = []
    assert run("here", taken=taken).output == "here\n"
    assert taken == [CoffeeSettings()]


def test_options_win_over_a_settings_file(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text("cups = 5\nheat = 80.0\nmilk = true\n")
    taken: list[CoffeeSettings] = []
    run("here", "--settings", str(file), "--cups", "6", "--no-milk", taken=taken)
    assert taken == [CoffeeSettings(cups=6, heat=80.0, milk=False)]


@pytest.mark.parametrize("arguments", ["here --cups 0", "here --kind tea", "here --sugar 1", ""])
def test_wrong_usage_is_status_2(arguments):
    assert run(*arguments.split()).exit_code == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cups = 99\n", "cups is 99 but must be at most 9"),
        ("sugar = 1\n", "Unknown setting 'sugar'"),
        ("cups = = 1\n", "cannot be read"),
    ],
)
def test_a_bad_settings_file_is_a_users_error(tmp_path, text, sentence):
    file = tmp_path / "s.toml"
    file.write_text(text)
    result = run("here", "--settings", str(file))
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert str(file) in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (OutputError("One\nsentence."), 1, "One sentence.\n"),
        (FileNotFoundError(2, "No such file or directory", "a.h5"), 1, "a.h5: No such file"),
        (OSError("odd"), 1, "The system says: odd."),
        (MemoryError(), 1, "not enough memory"),
        (KeyboardInterrupt(), 130, "the same command"),
    ],
)
def test_errors_become_sentences_and_statuses(error, status, text):
    app = typer.Typer()

    @app.command()
    @guarded()
    def fail() -> None:
        raise error

    result = CliRunner().invoke(app, [])
    assert result.exit_code == status
    assert text in result.stderr
    assert "Traceback" not in result.output


def test_an_option_takes_many_values():
    app = typer.Typer()
    taken: dict[str, list[str]] = {}

    @app.command(cls=ManyValuesCommand)
    def label(
        paths: Annotated[list[str], typer.Argument()],
        from_lists: Annotated[list[str], typer.Option()],
        labels: Annotated[str, typer.Option()] = "",
    ) -> None:
        taken.update(paths=paths, from_lists=from_lists)

    for arguments in (
        "p --from-lists a b c --labels d q",
        "p q --from-lists a --from-lists b c --labels d",
        "--from-lists a b c --labels d -- p q",
    ):
        assert CliRunner().invoke(app, arguments.split()).exit_code == 0
        assert taken == {"paths": ["p", "q"], "from_lists": ["a", "b", "c"]}


def test_plain_progress_lines_tell_rate_and_time_left(capsys):
    now = [0.0]
    lines = PlainLines("Sorting", "events", clock=lambda: now[0])
    for second in range(1, 41):
        now[0] = float(second)
        lines(5 * second, 200)
    assert capsys.readouterr().err.splitlines() == [
        "Sorting: 50 of 200 events, 4.6/s, 33 s left",
        "Sorting: 100 of 200 events, 4.8/s, 21 s left",
        "Sorting: 150 of 200 events, 4.9/s, 10 s left",
        "Sorting: 200 of 200 events, 4.9/s",
    ]


def test_a_resumed_task_does_not_count_old_work_as_speed(capsys):
    now = [0.0]
    lines = PlainLines("Sorting", "events", clock=lambda: now[0])
    lines(1000, 2000)
    now[0] = 10.0
    lines(1099, 2000)
    assert capsys.readouterr().err == "Sorting: 1099 of 2000 events, 10/s, 1 min 30 s left\n"


def test_an_interrupt_that_python_dropped_is_raised_by_the_next_progress():
    """As when the signal comes while a weak reference's callback runs."""
    code = (
        "import os, signal, weakref\n"
        "from napari_xfelsort.cli_progress import PlainLines\n"
        "from napari_xfelsort.cli_support import interrupts\n"
        "class Thing: pass\n"
        "interrupts.install()\n"
        "lines = PlainLines('x', 'y')\n"
        "thing = Thing()\n"
        "kept = weakref.ref(thing, lambda ref: os.kill(os.getpid(), signal.SIGINT))\n"
        "del thing\n"
        "print('dropped')\n"
        "try:\n    lines(1, 2)\nexcept KeyboardInterrupt:\n    print('raised')\n"
        "lines(2, 2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["dropped", "raised"]
    assert "Traceback" not in done.stderr


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(cli_progress.sys.stderr, "isatty", lambda: True, raising=False)
    with cli_progress.progress("Sorting") as report:
        report(1, 2)
        report(2, 2)
    assert "2/2" in capsys.readouterr().err


def test_texts():
    assert facts([("a", 1), ("long", "x")], indent="") == "a     1\nlong  x"
    assert table(("class", "n"), [("good", 10), ("bad", 7)], indent="") == (
        "class   n\ngood   10\nbad     7"
    )
    assert (plural(1, "event"), plural(2, "event")) == ("1 event", "2 events")
    assert unwrapped("One\n    two.\n\n    Three.\n    ") == "One two.\n\nThree."


def test_output_survives_a_terminal_that_lacks_letters(tmp_path):
    folder = tmp_path / "läufe"
    folder.mkdir()
    (folder / "bad.lst").write_text("rün.h5 //1\n")
    done = subprocess.run(
        [
            Path(sys.executable).parent / "xfelsort",
            *("label", "--from-lists", folder / "bad.lst", "--labels", folder / "läbels"),
        ],
        env={"PYTHONIOENCODING": "iso8859-5", "PATH": "", "LC_ALL": "C.UTF-8"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"l\\xe4bels" in done.stdout
