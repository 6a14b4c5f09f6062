"""``xfelsort demo``: the main job end to end on simulated data."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Annotated

import typer

from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import Status, facts, guarded, say
from napari_xfelsort.core.errors import OutputError

if TYPE_CHECKING:
    from napari_xfelsort.core.decisions import Decisions
    from napari_xfelsort.core.model import Model
    from napari_xfelsort.core.simulate import SimulatedRun
    from napari_xfelsort.core.stack import EventStack

_REGION = "panel:p6a0"
#: Means of 8 x 8 pixels, over the panel's median: the ring's shape, whatever the pulse.
_BIN, _NORMALISE = 8, "median"
_EVENTS = (150, 150)


@guarded("Stopped. Remove the folder and run the demo again.")
def demo(
    out: Annotated[
        Path | None,
        typer.Argument(
            help="Folder to write, which must not exist yet; xfelsort-demo when omitted, or "
            "xfelsort-demo-2 ..."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated data.")] = 0,
) -> Status:
    """Simulate two runs, label the first, train, sort the second, compare with the truth.

    Each step is also a command of its own; they are printed, to be tried by hand.
    """
    from napari_xfelsort.core.labels import LabelStore
    from napari_xfelsort.core.sorting import sort
    from napari_xfelsort.core.training import train
    from napari_xfelsort.readers import open_stack

    if out is None:
        out = _free_folder("xfelsort-demo")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists already; remove it or name another folder.")
    first, second = _simulate(out, seed)

    _step(2, "label the first run from its truth")
    store = LabelStore(out / "labels", labeller="demo")
    counts = store.import_lists({"good": first.good_list, "bad": first.bad_list}).counts
    say(facts((f"{name} events", n) for name, n in counts.items()))

    _step(3, f"train a random forest on one panel, {_REGION}")
    training = open_stack(first.data, geometry=first.geometry)
    with progress("Reading labelled events") as report:
        model = train(
            training,
            store,
            region=_REGION,
            seed=seed,
            bin=_BIN,
            normalise=_NORMALISE,
            progress=report,
        )
    model_file = out / "demo.xfelmodel"
    model.save(model_file)
    say(model.report_text())

    _step(4, "sort the second run")
    stack = open_stack(second.data, geometry=second.geometry)
    with progress("Sorting") as report:
        summary = sort(
            stack,
            model,
            out / "sorted",
            progress=lambda state: report(state.done_events, state.total_events),
        )
    say(summary.to_text())

    _step(5, "compare with the second run's truth")
    say(_against_truth(stack, model, second, out / "sorted"))
    say(_where(out, first, second, model_file))
    return Status.DONE if summary.ok else Status.SOME_FAILED


def _free_folder(name: str) -> Path:
    """The first of NAME, NAME-2, NAME-3 ... that does not exist."""
    numbered = (Path(f"{name}-{n}") if n > 1 else Path(name) for n in count(1))
    return next(path for path in numbered if not path.exists())


def _program() -> str:
    """What the user would type to start this program."""
    started = Path(sys.argv[0])
    return str(started) if started.stem == "xfelsort" and not which("xfelsort") else "xfelsort"


def _step(number: int, what: str) -> None:
    say(f"\n{number}. {what[0].upper()}{what[1:]}")


def _simulate(out: Path, seed: int) -> tuple[SimulatedRun, SimulatedRun]:
    from napari_xfelsort.core.simulate import simulate_detector

    _step(1, "simulate two runs; on a third of the events the detector's gain switched wrongly")
    runs = []
    for number, n_events in enumerate(_EVENTS, start=1):
        with progress(f"Simulating run {number}") as report:
            run = simulate_detector(
                out / f"run{number:04d}",
                run=number,
                n_events=n_events,
                seed=2 * seed + number,
                progress=report,
            )
        say(f"  {run.data}: {n_events} events, {sum(run.good)} of them good")
        runs.append(run)
    return runs[0], runs[1]


def _against_truth(stack: EventStack, model: Model, run: SimulatedRun, folder: Path) -> str:
    """Confusion matrix of the decisions that were written."""
    from napari_xfelsort.core.metrics import confusion_text, evaluate, report_text

    truth = ["good" if good else "bad" for good in run.good]
    decided = _decisions(folder)
    by_event = dict(zip(decided.event_ids, decided.classes.tolist(), strict=True))
    chosen = [by_event[stack.event_id(i)] for i in range(len(stack))]
    metrics = evaluate(truth, chosen, model.class_names)
    return f"{confusion_text(metrics)}\n\n{report_text(metrics)}"


def _decisions(folder: Path) -> Decisions:
    from napari_xfelsort.core.decisions import Decisions

    return Decisions.concatenate(
        [Decisions.read_csv(path) for path in sorted((folder / "decisions").glob("*.csv"))]
    )


def _where(out: Path, first: SimulatedRun, second: SimulatedRun, model: Path) -> str:
    results = out / "sorted"
    files = [
        ("model", model),
        ("good events", results / "good.lst"),
        ("report", results / "report.html"),
        ("counts", results / "summary.csv"),
        ("labels", out / "labels"),
    ]
    lists = f"{first.good_list} {first.bad_list}"
    program = _program()
    commands = [
        f"{program} info {second.data}",
        f"{program} label {first.data} --from-lists {lists} --labels my-labels",
        f"{program} train {first.data} --labels my-labels --geometry {first.geometry} "
        f"--region {_REGION} --bin {_BIN} --normalise {_NORMALISE} --out my.xfelmodel",
        f"{program} sort {second.data} --model my.xfelmodel --out my-sorted",
        f"indexamajig -i my-sorted/good.lst -g {second.geometry} -o my.stream   (CrystFEL)",
    ]
    return "\n".join(
        ["\nWritten:", facts(files), "\nThe same by hand, or with data of your own:"]
        + [f"  {command}" for command in commands]
    )
