"""``xfelsort spi map``, ``rethreshold``, ``cascade``: models of single particles on other runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_xfelsort.cli_options import (
    DatasetOption,
    GeometryOption,
    MaskOption,
    settings_options,
)
from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import Status, facts, guarded, refuse_existing, say, tell_problems
from napari_xfelsort.core.cascade import CascadeSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.model import Model
    from napari_xfelsort.core.stack import EventStack


@guarded()
def make_map(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Data files or lists.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Table (CSV) to write: event, x and y.")
    ],
    method: Annotated[
        str, typer.Option(help="pca (principal components) or diffusion.")
    ] = "diffusion",
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a table that exists.")
    ] = False,
) -> Status:
    """Give every event a place in two dimensions, near others that scatter alike.

    No label is needed. Coordinates are of root mean square 1.
    """
    import numpy as np

    from napari_xfelsort.core.errors import SettingsError
    from napari_xfelsort.core.spi.embedding import (
        METHODS,
        embed_features,
        run_features,
        write_map,
    )
    from napari_xfelsort.readers import open_stack

    if method not in METHODS:
        raise SettingsError(f"The map {method!r} is not one of {', '.join(METHODS)}.")
    refuse_existing(out, overwrite)
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    with progress("Reading") as report:
        features = run_features(stack, progress=report)
    places = embed_features(features, method)
    write_map(out, stack, places, overwrite)
    placed = int(np.isfinite(places[:, 0]).sum())
    say(facts([("events", len(stack)), ("with a place", placed), ("table", out)], indent=""))
    return Status.SOME_FAILED if stack.problems else Status.DONE


@guarded()
def rethreshold(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model file of two classes.")],
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="The new run: data files or lists.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="New model file to write.")],
    labels: Annotated[
        Path | None,
        typer.Option("--labels", "-l", help="Label folder with a few labels of the new run."),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of events of the class looked for, about.",
            show_default="as in training",
        ),
    ] = None,
    rule: Annotated[
        str, typer.Option(help="With labels: max_f1, or high_recall which keeps --recall.")
    ] = "max_f1",
    recall: Annotated[float, typer.Option(help="Recall that high_recall keeps.")] = 0.95,
    ask: Annotated[
        Path | None, typer.Option(help="List to write: the events that are best labelled next.")
    ] = None,
    events: Annotated[int, typer.Option(min=1, help="How many events to ask for.")] = 20,
    center: Annotated[
        str | None,
        typer.Option(
            help="Where the beam is in the new run, Y,X in the assembled picture, or auto to find "
            "it in the run's mean; the geometry must be that of the training."
        ),
    ] = None,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
) -> Status:
    """Find the threshold of a model anew on another run: by its scores, or a few labels.

    The model file stays as it is, and another is written; it says where its threshold came
    from. With --ask, label the events of the list and come again with --labels.
    """
    from napari_xfelsort.core.learning.rethreshold import (
        events_to_label,
        run_scores,
        threshold_from_labels,
        threshold_from_scores,
        trained_share,
        with_new_threshold,
    )
    from napari_xfelsort.core.lists import write_list
    from napari_xfelsort.core.model import load_model
    from napari_xfelsort.readers import open_stack

    for path in (out, ask):
        if path is not None:
            refuse_existing(path, False)
    old = load_model(model)
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    if center is not None:
        old = _with_beam(old, stack, center)
    own = None if labels is None else _labels(labels, stack, str(old.positive))
    with progress("Deciding") as report:
        scores = run_scores(old, old.predict(stack, report))
    share = trained_share(old) if share is None else share
    if own is None:
        found = threshold_from_scores(scores, share)
    else:
        found = threshold_from_labels(scores, own, share, rule, recall)
    files = [source.path for source in stack.sources]
    with_new_threshold(old, found, files, share).save(out)
    before = "the most likely class" if old.threshold is None else f"{old.threshold:.4g}"
    rows: list[tuple[str, object]] = [
        ("threshold before", before),
        ("threshold now", f"{found.threshold:.4g}"),
        ("by", "scores alone" if own is None else f"{found.labelled} labels"),
        ("events", found.events),
        (f"decided {old.positive}", found.passing),
        ("model", out),
    ]
    if ask is not None:
        chosen = events_to_label(scores, found.threshold, events)
        write_list(ask, (stack.event_id(int(i)) for i in sorted(chosen.tolist())))
        rows.append(("to be labelled", f"{ask} ({len(chosen)})"))
    say(facts(rows, indent=""))
    return Status.SOME_FAILED if stack.problems else Status.DONE


def _with_beam(model: Model, stack: EventStack, center: str) -> Model:
    """The model with its rings about the beam of a run."""
    from napari_xfelsort.core.center.of_stack import find_center_of_stack
    from napari_xfelsort.core.errors import SettingsError
    from napari_xfelsort.core.spi.centring import with_beam_at

    if center == "auto":
        with progress("Finding the centre") as report:
            found = find_center_of_stack(stack, progress=report)
        if found.y is None or found.x is None:
            raise SettingsError("The centre was not found in the run's mean; give it as Y,X.")
        place = (found.y, found.x)
    else:
        try:
            y, x = map(float, center.split(","))
        except ValueError as error:
            raise SettingsError(f"The centre is {center!r} but must be Y,X or auto.") from error
        place = (y, x)
    beam = (stack.photon_energy(0), stack.camera_length(0))
    return with_beam_at(model, stack.geometry, place, beam)


def _labels(folder: Path, stack: EventStack, positive: str) -> list[bool | None]:
    """Whether each event is labelled as the class looked for."""
    from napari_xfelsort.core.label_journal import IGNORE, split_label
    from napari_xfelsort.core.labels import LabelStore

    found = LabelStore(folder, create=False).match(stack).labels
    return [
        None if name is None or name == IGNORE else positive in split_label(name) for name in found
    ]


@guarded()
@settings_options(CascadeSettings, "limits", panel="Two models")
def cascade(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="Quick model, for all events.")],
    second: Annotated[
        Path, typer.Argument(metavar="SECOND", help="Model for those that it leaves open.")
    ],
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Data files or lists.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Table (CSV) of decisions to write.")],
    limits: CascadeSettings,
    chosen: Annotated[
        Path | None, typer.Option("--list", help="List to write: events decided positive.")
    ] = None,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
) -> Status:
    """Decide with a quick model first and another for what is left open.

    Between which probabilities that is follows from the events that tested the first model.
    ``xfelsort sort --first`` does the same in parallel and resumes, for long runs.
    """
    from napari_xfelsort.core.cascade import Cascade
    from napari_xfelsort.core.lists import write_list
    from napari_xfelsort.core.model import load_model
    from napari_xfelsort.readers import open_stack

    for path in (out, chosen):
        if path is not None:
            refuse_existing(path, overwrite)
    made = Cascade.of_models(load_model(first), load_model(second), **limits.to_dict())
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    with progress("Deciding") as report:
        found = made.predict(stack, report)
    found.decisions.write_csv(out, overwrite)
    positive = str(made.first.positive)
    hits = found.decisions.chosen == positive
    rows: list[tuple[str, object]] = [
        ("events", len(stack)),
        ("left open by the first", int(found.asked.sum())),
        (f"decided {positive}", int(hits.sum())),
        ("table", out),
    ]
    if chosen is not None:
        ids = found.decisions.event_ids
        write_list(chosen, (ids[k] for k in hits.nonzero()[0].tolist()), False, overwrite)
        rows.append(("list", chosen))
    band = made.band
    rows.append(
        (
            "lost by the first",
            f"{100 * band.lost:.2g} % of {band.positives} (at most "
            f"{100 * band.lost_at_most:.2g} %)",
        )
    )
    say(facts(rows, indent=""))
    failed = bool((found.decisions.chosen == "failed").any())
    return Status.SOME_FAILED if stack.problems or failed else Status.DONE
