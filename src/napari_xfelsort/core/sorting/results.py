"""From complete tables to lists, summary, report and provenance."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.cascade import BY_SECOND, Cascade
from napari_xfelsort.core.decisions import UNSURE
from napari_xfelsort.core.errors import Problem, XfelsortError
from napari_xfelsort.core.lists import list_writer
from napari_xfelsort.core.sorting.folder import (
    APPEARANCE,
    HITS,
    REPORT,
    RUN,
    SUMMARY,
    OutFolder,
)
from napari_xfelsort.core.sorting.hits import (
    Appearance,
    CoursePart,
    course,
    hit_class,
    write_course,
)
from napari_xfelsort.core.sorting.options import SortSettings
from napari_xfelsort.core.sorting.plan import FilePlan
from napari_xfelsort.core.sorting.summary import (
    FileResult,
    SortSummary,
    versions,
    write_run,
)
from napari_xfelsort.core.sorting.tables import Table, read_rows
from napari_xfelsort.core.sorting.tally import Extreme, Tally

if TYPE_CHECKING:
    from napari_xfelsort.core.model import Model
    from napari_xfelsort.core.report import Thumbnail
    from napari_xfelsort.core.report_course import Course
    from napari_xfelsort.core.stack import EventStack


@dataclass(frozen=True, eq=False)
class Sorted:
    """A sort of which every table is complete.

    Attributes
    ----------
    stack, model, options, folder
        As given to `sort`.
    plans, tables : list
        One a file, in the order of the stack.
    list_names : dict of str
        File name of the list of each class and of the unsure events.
    warnings : list of str
        What the model said before.
    key : dict of str
        Digests of model, geometry and mask.
    started : str
        When it was begun, by this call or an earlier one.
    sorted_now : int
        Events decided on by this call.
    begun : float
        ``time.monotonic`` at the start of this call.
    appearance : Appearance, optional
        What a watch decided when.
    """

    stack: EventStack
    model: Model | Cascade
    options: SortSettings
    folder: OutFolder
    plans: list[FilePlan]
    tables: list[Table]
    list_names: dict[str, str]
    warnings: list[str]
    key: dict[str, str]
    started: str
    sorted_now: int
    begun: float
    appearance: Appearance | None = None

    @property
    def hits(self) -> str:
        """The class whose share is the hit fraction."""
        return hit_class(self.model.class_names, self.model.positive)

    @property
    def out_of_order(self) -> bool:
        """Whether events of different files alternate in the stack."""
        done = 0
        for plan in self.plans:
            positions = plan.positions
            in_order = isinstance(positions, range) and positions.start == done
            if len(plan) and not in_order:
                return True
            done += len(plan)
        return False


def write_results(done: Sorted) -> SortSummary:
    """Write all files beside the tables.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    codes, by_second = _write_lists(done)
    parts = course(codes, done.model.class_names, done.plans)
    write_course(done.folder.path / HITS, parts, done.hits)
    if done.appearance is not None:
        done.appearance.write(done.folder.path / APPEARANCE)
    total = _total(done)
    files = [_file_result(done, k) for k in range(len(done.plans))]
    files += [FileResult(p.file, {}, p.what) for p in done.stack.problems]
    summary = SortSummary(
        done.folder.path,
        files,
        total.by_name(),
        [*_failures(done), *done.stack.problems],
        done.warnings,
        done.sorted_now,
        time.monotonic() - done.begun,
        by_second if isinstance(done.model, Cascade) else None,
    )
    summary.write_csv(done.folder.path / SUMMARY)
    if done.options.report:
        _write_report(done, summary, total, parts)
    _write_run(done, summary)
    return summary


# --- lists ------------------------------------------------------------------------------


def _write_lists(done: Sorted) -> tuple[NDArray[np.uint8], int]:
    """Write the list of each class.

    Returns
    -------
    codes : ndarray of uint8, shape (events,)
        The number of the list that each event is in, in the order of the stack; 255 for
        events in none.
    by_second : int
        Events that the second of two models decided on.
    """
    by_second = 0
    numbers = {name: k for k, name in enumerate(done.list_names)}
    in_order = not done.out_of_order
    codes = np.full(len(done.stack), 255, np.uint8)
    with ExitStack() as stack:
        lists = [
            stack.enter_context(
                list_writer(done.folder.path / file, done.options.absolute, overwrite=True)
            )
            for file in done.list_names.values()
        ]
        for plan, table in zip(done.plans, done.tables, strict=True):
            places = plan.source.places()
            column = np.full(len(plan), 255, np.uint8)
            for k, (file, event, chosen, *_, flag) in enumerate(read_rows(table.path)):
                by_second += flag.startswith(BY_SECOND)
                number = numbers.get(chosen, 255)
                column[k] = number
                if in_order and number < len(lists):
                    lists[number].add(file, event, places.get(file, "") if places else "")
            codes[np.asarray(plan.positions, np.int64)] = column
        if not in_order:
            for position, number in enumerate(codes.tolist()):
                if number < len(lists):
                    lists[number].write(done.stack.event_id(position))
    return codes, by_second


# --- summary ----------------------------------------------------------------------------


def _total(done: Sorted) -> Tally:
    total = Tally(done.model.class_names, done.options.report_thumbnails)
    offset = 0
    for table in done.tables:
        total.add(table.state.tally, offset)
        offset += table.state.rows
    return total


def _file_result(done: Sorted, k: int) -> FileResult:
    plan, table = done.plans[k], done.tables[k]
    tally = table.state.tally
    what = ""
    if tally.failed:
        what = f"{tally.failed} of {len(plan)} events failed, first: {_told(plan, tally, 0)}"
    table_path = table.path.relative_to(done.folder.path).as_posix()
    return FileResult(plan.source.path, tally.by_name(), what, table_path)


def _failures(done: Sorted) -> list[Problem]:
    failures = []
    for plan, table in zip(done.plans, done.tables, strict=True):
        tally = table.state.tally
        path = plan.source.path
        failures += [Problem(path, _told(plan, tally, k)) for k in range(len(tally.failures))]
        more = tally.failed - len(tally.failures)
        if more:
            what = f"{path}: {more} more events failed, see {table.path.name}."
            failures.append(Problem(path, what))
    return failures


def _told(plan: FilePlan, tally: Tally, k: int) -> str:
    """A failure with its event named once."""
    failure = tally.failures[k]
    event = plan.source.event_id(int(plan.indices[failure.row]))
    what = failure.what or "no reason is known"
    return what if str(event) in what else f"{event}: {what}"


# --- report and provenance --------------------------------------------------------------


def _write_report(
    done: Sorted, summary: SortSummary, total: Tally, parts: Sequence[CoursePart]
) -> None:
    from napari_xfelsort.core.report import ReportData, write_report
    from napari_xfelsort.core.report_course import Course

    columns = ["file", "events", *summary.totals, "status", "what"]
    rows = [
        [
            row.file,
            row.events,
            *(row.counts.get(name, 0) for name in summary.totals),
            row.status,
            row.what,
        ]
        for row in summary.files
    ]
    data = ReportData(
        title=f"Sorting of {summary.events} events",
        subtitle=f"{summary.n_files}, begun {done.started}, sorted into {summary.out}",
        totals=summary.totals,
        columns=columns,
        rows=rows,
        histograms=dict(zip(total.class_names, total.histogram, strict=True)),
        thumbnails=_thumbnails(done, total),
        courses=_courses(done, parts, Course),
        model=_shown_models(done, summary),
        metrics=done.model.metrics,
        training=done.model.provenance,
        settings={**done.options.to_dict(), **versions()},
        failures=summary.failures,
        notes=[*done.warnings, *done.model.warnings, *(str(note) for note in done.stack.notes)],
    )
    write_report(done.folder.path / REPORT, data, overwrite=True)


def _courses(done: Sorted, parts: Sequence[CoursePart], kind: type[Course]) -> list[Course]:
    """The shares of the classes along the run, and of a watch as files appeared."""
    names = done.model.class_names
    shown = [done.hits] if len(names) == 2 else list(names)
    lines = {
        name: [(part.first + sum(part.counts.values()) / 2, part.share(name)) for part in parts]
        for name in shown
    }
    what = f"share of {done.hits!r}" if len(shown) == 1 else "share of each class"
    courses = [kind(f"{what} along the run, by event", lines)] if len(parts) > 1 else []
    if done.appearance is not None and len(done.appearance.points) > 1:
        shares: list[tuple[float, float | None]] = [*done.appearance.shares()]
        label = f"share of {done.hits!r} of all events up to then, in the order they appeared"
        courses.append(kind(label, {done.hits: shares}))
    return courses


def _thumbnails(done: Sorted, total: Tally) -> Iterator[Thumbnail]:
    """Assembled frames, one at a time; those that cannot be read are left out."""
    from napari_xfelsort.core.report import Thumbnail

    starts = np.cumsum([0, *(table.state.rows for table in done.tables)])
    for name in (*total.class_names, UNSURE):
        for kind, extremes in (("surest", total.surest), ("least sure", total.least_sure)):
            for extreme in extremes[name]:
                position = _position(done, starts, extreme)
                event = str(done.stack.event_id(position))
                try:
                    frame = done.stack.assembled(position)
                except (XfelsortError, OSError):
                    continue
                yield Thumbnail(name, kind, event, extreme.confidence, frame)


def _position(done: Sorted, starts: NDArray[np.int64], extreme: Extreme) -> int:
    k = int(np.searchsorted(starts, extreme.row, side="right")) - 1
    return int(done.plans[k].positions[extreme.row - int(starts[k])])


def _models(done: Sorted, summary: SortSummary) -> dict[str, dict[str, Any]]:
    """What decided: the model, or the second of two, the first one and its limits."""
    model = done.model
    if not isinstance(model, Cascade):
        return {"model": _model_card(model)}
    return {
        "model": _model_card(model.second),
        "first_model": _model_card(model.first),
        "cascade": {**model.facts(), "by_second": summary.by_second or 0},
    }


def _shown_models(done: Sorted, summary: SortSummary) -> dict[str, Any]:
    """The same for the report, with the model's own facts first."""
    models = _models(done, summary)
    return {**models.pop("model"), **models}


def _model_card(model: Model) -> dict[str, Any]:
    card = {
        "digest": model.digest,
        "classes": list(model.class_names),
        "region": str(model.region),
        "threshold": model.threshold,
        "positive class": model.positive,
    }
    return {name: value for name, value in card.items() if value is not None}


def _write_run(done: Sorted, summary: SortSummary) -> None:
    sections = {
        "started": done.started,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "ok": summary.ok,
        "events": summary.events,
        "failed": summary.failed,
        "settings": done.options.to_dict(),
        "versions": versions(),
        **_models(done, summary),
        "geometry": {"digest": done.key["geometry"]},
        "mask": {"digest": done.key["mask"]},
    }
    inputs = [
        {
            "path": plan.source.path,
            "dataset": plan.source.dataset,
            "layout": plan.source.layout,
            "events": len(plan),
            "table": table.path.relative_to(done.folder.path).as_posix(),
            **plan.record,
        }
        for plan, table in zip(done.plans, done.tables, strict=True)
    ]
    write_run(done.folder.path / RUN, sections, inputs)
