"""``xfelsort sort``: a model's decision on every event."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    interrupts,
    say,
    tell_problems,
)
from napari_xfelsort.core.cascade import CascadeSettings, with_first
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.sorting.clusters import MPI, SLURM, ClusterSettings, join_mpi
from napari_xfelsort.core.sorting.options import SortSettings, WatchSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.cascade import Cascade
    from napari_xfelsort.core.model import Model
    from napari_xfelsort.core.sorting import SortProgress, WatchProgress


@guarded("Stopped. What was sorted is kept; the same command resumes.")
@settings_options(WatchSettings, "watching", panel="Watching")
@settings_options(ClusterSettings, "cluster", ("kind", "queue"), panel="Workers from SLURM")
@settings_options(CascadeSettings, "limits", panel="Two models")
@settings_options(SortSettings)
def sort(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Data: files, lists, folders or patterns."),
    ],
    model: Annotated[Path, typer.Option("--model", "-m", help="Model file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    settings: SortSettings,
    cluster: ClusterSettings,
    watching: WatchSettings,
    limits: CascadeSettings,
    first: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Quick model that decides first; --model decides what it leaves open.",
            rich_help_panel="Two models",
        ),
    ] = None,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Worker processes here, 0 to work in this one; one a core when omitted."
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler to use instead: tcp://host:port."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results of other input or model.")
    ] = False,
    mpi: Annotated[
        bool,
        typer.Option("--mpi", help="Share the work among MPI processes: mpirun -n 8 xfelsort ..."),
    ] = False,
    slurm: Annotated[
        str | None,
        typer.Option(metavar="QUEUE", help="Workers in jobs that go to this queue of SLURM."),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on with what appears in the folders or (quoted) patterns; Ctrl-C ends it.",
        ),
    ] = False,
) -> Status:
    """Decide on every event; writes lists, tables, a summary and a report.

    CLASS.lst and unsure.lst can be given to CrystFEL as they are. Stopped or killed, the
    same command resumes. Exit status 3 when events or files failed; each is named.
    """
    team = _cluster(mpi, slurm, cluster)
    if watching != WatchSettings() and not watch:
        raise SettingsError("--poll, --settle and --idle are about watching; add --watch.")
    if mpi:
        join_mpi()  # before anything is read: only one of the processes goes on

    from napari_xfelsort.core.model import load_model
    from napari_xfelsort.core.sorting import sort as sort_stack
    from napari_xfelsort.readers import open_stack

    quick = None if first is None else load_model(first)
    chosen = with_first(load_model(model), quick, **limits.to_dict())
    if watch:
        return _watch(
            paths,
            chosen,
            out,
            geometry=geometry,
            mask=mask,
            dataset=dataset,
            workers=workers,
            scheduler=scheduler,
            cluster=team,
            overwrite=overwrite,
            **watching.to_dict(),
            **settings.to_dict(),
        )
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    with progress("Sorting") as report:

        def tell(state: SortProgress) -> None:
            report(state.done_events, state.total_events)

        summary = sort_stack(
            stack,
            chosen,
            out,
            workers=workers,
            scheduler=scheduler,
            cluster=team,
            overwrite=overwrite,
            progress=tell,
            **settings.to_dict(),
        )
    say(summary.to_text())
    return Status.DONE if summary.ok else Status.SOME_FAILED


def _cluster(mpi: bool, queue: str | None, given: ClusterSettings) -> ClusterSettings | None:
    """The cluster that was named, None when none was."""
    if mpi and queue is not None:
        raise SettingsError("Give either --slurm or --mpi, not both; they say who does the work.")
    if queue is not None:
        return replace(given, kind=SLURM, queue=queue)
    if given != ClusterSettings():
        raise SettingsError("Options of jobs were given but no queue; name it with --slurm.")
    return ClusterSettings(kind=MPI) if mpi else None


def _watch(paths: list[str], model: Model | Cascade, out: Path, **options: Any) -> Status:
    from napari_xfelsort.readers.watching import watch

    tell = WatchLines()
    complain(f"Watching {', '.join(paths)}; Ctrl-C ends it.")
    summary = watch(paths, model, out, progress=tell, stop=tell.stop, **options)
    say(summary.to_text())
    return Status.DONE if summary.ok else Status.SOME_FAILED


class WatchLines:
    """Writes a line after each round of a watch, and what is waited for once."""

    def __init__(self) -> None:
        self._rounds = 0
        self._told: set[str] = set()

    def __call__(self, state: WatchProgress) -> None:
        """Tell what is new."""
        if state.sort is not None:
            interrupts.check()
            return
        for problem in map(str, state.waiting):
            if problem not in self._told:
                self._told.add(problem)
                complain(f"Waiting: {problem}")
        summary = state.summary
        if summary is None or state.rounds == self._rounds:
            return
        self._rounds = state.rounds
        read = summary.events - summary.failed
        share = f", {state.hits} {summary.totals[state.hits] / read:.1%}" if read else ""
        failed = f", {summary.failed} failed" if summary.failed else ""
        new = f" ({summary.sorted_now} new)"
        now = time.strftime("%H:%M:%S")
        complain(f"{now}  {summary.events} events{new} of {summary.n_files}{share}{failed}")

    def stop(self) -> bool:
        """Whether Ctrl-C came, also one that Python lost."""
        try:
            interrupts.check()
        except KeyboardInterrupt:
            return True
        return False
