"""``xfelsort anomalies``: train models of anomalies, and judge the events of a run."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_xfelsort._cli_train import with_offer
from napari_xfelsort.cli_options import (
    DatasetOption,
    GeometryOption,
    MaskOption,
    settings_options,
)
from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import (
    Status,
    complain,
    guarded,
    plural,
    refuse_existing,
    say,
    table,
    tell_problems,
)
from napari_xfelsort.core.deep.settings import DeepSettings
from napari_xfelsort.core.errors import RegionError, SettingsError

if TYPE_CHECKING:
    from napari_xfelsort.core.anomalies.labelled import LabelledAnomalies
    from napari_xfelsort.core.anomalies.stack_features import FrameReader
    from napari_xfelsort.core.deep import DeepModel

app = typer.Typer(
    help="Anomalies of diffraction frames: ice rings, loop scattering, artifacts ...",
    no_args_is_help=True,
    add_completion=False,
)


class Learner(StrEnum):
    """What learns: best of ours, or one of ours or of the RefleX paper, or a network."""

    best = "best"
    gradient_boosting = "gradient_boosting"
    logistic_regression = "logistic_regression"
    svm = "svm"
    naive_bayes = "naive_bayes"
    k_nearest_neighbours = "k_nearest_neighbours"
    random_forest = "random_forest"
    network = "network"


PathsArgument = Annotated[
    list[str], typer.Argument(metavar="PATH", help="Data: files, lists, folders or patterns.")
]
CenterOption = Annotated[
    str | None,
    typer.Option(
        metavar="ROW,COLUMN",
        help="The beam in pixels of the assembled frame; that of the geometry when omitted.",
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]


@app.command("train")
@guarded()
@settings_options(DeepSettings, leave_out=("seed", "validation_share"), panel="Network")
def train(
    paths: PathsArgument,
    labels: Annotated[Path, typer.Option("--labels", "-l", help="Label folder.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Model to write, NAME.xfelanomalies by custom, a network NAME.xfelmodel.",
        ),
    ],
    settings: DeepSettings,
    learner: Annotated[Learner, typer.Option(help="What learns.")] = Learner.best,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            help="An anomaly to learn, may be given several times; the known seven "
            "that are labelled when omitted.",
        ),
    ] = None,
    unlabelled_are_clean: Annotated[
        bool,
        typer.Option("--unlabelled-are-clean", help="Events without a label have no anomaly."),
    ] = False,
    validation: Annotated[
        float,
        typer.Option(help="Share of the labelled events that choose parameters (%)."),
    ] = 20.0,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal models.")] = 0,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    center: CenterOption = None,
    overwrite: OverwriteOption = False,
) -> Status:
    """Train one classifier an anomaly on events that may have several of them.

    Events with another label, such as clean, have none. Prints how labellers agree, where
    there are several, and how well the events are told that chose the parameters. A network
    needs PyTorch.
    """
    from napari_xfelsort.core.agreement import class_agreements
    from napari_xfelsort.core.anomalies.labelled import groups_of, labelled_anomalies
    from napari_xfelsort.core.anomalies.learners import features_of
    from napari_xfelsort.core.anomalies.metrics import report_text
    from napari_xfelsort.core.anomalies.model_file import save_anomaly_model
    from napari_xfelsort.core.anomalies.stack_features import FrameReader, stack_features
    from napari_xfelsort.core.anomalies.training import train_anomalies
    from napari_xfelsort.core.labels import LabelStore
    from napari_xfelsort.readers import open_stack

    refuse_existing(out, overwrite)
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    store = LabelStore(labels, create=False)
    labelled = labelled_anomalies(stack, store, classes, unlabelled_are_clean)
    for note in labelled.notes:
        complain(note)
    try:
        reader = FrameReader(stack, _parse_center(center))
    except RegionError as error:
        raise with_offer(error, stack) from error
    if learner == Learner.network:
        chosen = dataclasses.replace(settings, seed=seed, validation_share=validation / 100)
        model, failed = _network(reader, labelled, chosen, out, overwrite)
    else:
        kind = features_of("gradient_boosting" if learner == Learner.best else learner.value)
        with progress("Reading labelled events") as report:
            found = stack_features(reader, labelled.positions.tolist(), kind, report)
        failed = found.failed
        kept = [k for k in range(len(found.matrix)) if k not in failed]
        with progress("Training", "classes") as report:
            model = train_anomalies(
                found.matrix[kept],
                labelled.truth[kept],
                labelled.class_names,
                groups_of(labelled)[kept],
                learner.value,
                validation / 100,
                feature_names=found.names,
                seed=seed,
                progress=report,
            )
        save_anomaly_model(model, out, overwrite)
    for k, why in failed.items():
        complain(f"{stack.event_id(int(labelled.positions[k]))}: {why}")
    agreed = [each for each in class_agreements(store, labelled.class_names) if each.n_events]
    if agreed:
        rows = [(a.name, a.n_events, a.n_unanimous, f"{a.kappa:.2f}") for a in agreed]
        say("How labellers agree:")
        say(table(["class", "events", "unanimous", "Fleiss' kappa"], rows) + "\n")
    say("On the events that chose the parameters, and so judged too well:")
    say(report_text(model.metrics))
    say(f"\nModel: {out}")
    return Status.SOME_FAILED if stack.problems or failed else Status.DONE


def _network(
    reader: FrameReader,
    labelled: LabelledAnomalies,
    settings: DeepSettings,
    out: Path,
    overwrite: bool,
) -> tuple[DeepModel, dict[int, str]]:
    """A network, trained and saved, and why events could not be read."""
    from napari_xfelsort.core.anomalies.labelled import groups_of
    from napari_xfelsort.core.deep import train_on_pictures
    from napari_xfelsort.core.deep.applying import event_pictures

    with progress("Reading labelled events") as report:
        pictures, made, failed = event_pictures(reader, labelled.positions, settings, report)
    with progress("Training", "epochs") as report:
        model = train_on_pictures(
            pictures,
            labelled.truth[made],
            settings,
            labelled.class_names,
            groups_of(labelled)[made],
            lambda step: report(step.epoch, step.epochs),
        )
    say(model.provenance["weights"])
    model.save(out, overwrite)
    return model, failed


@app.command("apply")
@guarded()
def apply(
    paths: PathsArgument,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="Model of anomalies train, also a network, or default: the one that comes with "
            "the program, trained on simulated frames only (./default for a file of that name).",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Table to write (CSV).")],
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    center: CenterOption = None,
    overwrite: OverwriteOption = False,
) -> Status:
    """Judge every event of a run: the probability of each anomaly, as a table.

    Prints how many events have each anomaly, and the one that has it most clearly.
    """
    from napari_xfelsort.core.anomalies.default import DEFAULT, DEFAULT_NOTE
    from napari_xfelsort.core.anomalies.stack_features import FrameReader
    from napari_xfelsort.core.deep.applying import judge, load_any
    from napari_xfelsort.readers import open_stack

    refuse_existing(out, overwrite)
    made = load_any(model)
    if model == DEFAULT:
        complain(DEFAULT_NOTE)
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    try:
        reader = FrameReader(stack, _parse_center(center))
    except RegionError as error:
        raise with_offer(error, stack) from error
    with progress("Judging") as report:
        found = judge(made, reader, range(len(stack)), report)
    found.write_csv(out, overwrite)
    rows = [(name, n, f"{mean:.3f}", worst) for name, n, mean, worst in found.summary()]
    say(table(["anomaly", "events", "mean probability", "clearest in"], rows))
    clean = len(found.events) - int(found.chosen.any(axis=1).sum()) - len(found.failed)
    say(f"\n{plural(clean, 'event')} of {len(found.events)} without any. Table: {out}")
    if found.failed:
        complain(f"{plural(len(found.failed), 'event')} could not be judged; the table says why.")
    return Status.SOME_FAILED if stack.problems or found.failed else Status.DONE


def _parse_center(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        row, column = map(float, text.split(","))
    except ValueError as error:
        raise SettingsError(
            f"{text!r} is no place; write ROW,COLUMN, for example --center 511.5,498."
        ) from error
    return row, column
