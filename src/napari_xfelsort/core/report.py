"""The report of a sort: one HTML page that needs nothing else to be read."""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from itertools import groupby
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import write_text_atomic
from napari_xfelsort.core.contrast import percentile_limits
from napari_xfelsort.core.decisions import FAILED
from napari_xfelsort.core.errors import Problem
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.report_course import Course, charts

#: Largest side of a thumbnail in pixels.
THUMBNAIL_PIXELS = 240
#: Percentiles of the pixels that a thumbnail shows as black and white.
CONTRAST = (1.0, 99.7)
#: Failures that are listed.
_MAX_FAILURES = 200
#: Metrics whose names say too little.
_NAMES = {"n": "events to test with", "n_train": "events to train with"}


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A frame to show small.

    Attributes
    ----------
    group, kind : str
        Class, and ``surest`` or ``least sure``.
    event : str
        Its name.
    confidence : float
        Probability of the class.
    frame : ndarray, shape (y, x)
        Assembled frame; NaN where there is no pixel.
    """

    group: str
    kind: str
    event: str
    confidence: float
    frame: NDArray[Any]


@dataclass(frozen=True, eq=False)
class ReportData:
    """What a report tells.

    Attributes
    ----------
    title, subtitle : str
        Head of the page.
    totals : mapping of int
        Events of each class, then unsure and failed.
    columns, rows : sequence
        The table of files; numbers stay numbers.
    histograms : mapping of ndarray
        Counts of equal bins of probability from 0 to 1, by class.
    thumbnails : iterable of Thumbnail
        Grouped; taken one at a time.
    courses : sequence of Course
        How shares change along the run.
    model, training, metrics, settings : mapping
        Shown as tables; ``metrics`` as `metrics.evaluate` gives them.
    failures : sequence of Problem
        Files and events that failed.
    notes : sequence of str
        Warnings.
    """

    title: str
    subtitle: str
    totals: Mapping[str, int]
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    histograms: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    thumbnails: Iterable[Thumbnail] = ()
    courses: Sequence[Course] = ()
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    failures: Sequence[Problem] = ()
    notes: Sequence[str] = ()


def write_report(path: str | os.PathLike[str], data: ReportData, overwrite: bool = False) -> None:
    """Write the report as one HTML page without any reference to other files.

    Raises
    ------
    OutputError
        If the file exists and must not be replaced, or cannot be written.
    """
    sections = [
        _notes(data.notes),
        _section("Events", _counts(data.totals)),
        _section("Course of the run", charts(data.courses)),
        _section("Probability", _charts(data.histograms)),
        _section("Examples", _thumbnails(data.thumbnails)),
        _section("Files", _table(data.columns, data.rows, sortable=True)),
        _section("Failures", _failures(data.failures)),
        _section("Model", _model(data)),
        _section("Settings", _pairs(data.settings)),
    ]
    template = resources.files("napari_xfelsort.core").joinpath("report.html")
    page = Template(template.read_text(encoding="utf-8")).substitute(
        title=_text(data.title), subtitle=_text(data.subtitle), body="\n".join(sections)
    )
    write_text_atomic(path, page, overwrite)


def _text(value: object) -> str:
    # File names that are not valid UTF-8 hold surrogates, which no page can.
    return escape(str(value).encode("utf-8", "replace").decode())


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>\n{content}" if content else ""


def _notes(notes: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(note)}</li>' for note in notes)}</ul>" if notes else ""


def _counts(totals: Mapping[str, int]) -> str:
    whole = sum(totals.values())
    boxes = []
    for name, n in totals.items():
        share = f"{n / whole:.1%}" if whole else ""
        kind = "count bad" if name == FAILED and n else "count"
        boxes.append(f'<div class="{kind}"><b>{n}</b>{_text(name)} <small>{share}</small></div>')
    return f'<div class="counts">{"".join(boxes)}</div>'


# --- histograms -------------------------------------------------------------------------


def _charts(histograms: Mapping[str, NDArray[np.int64]]) -> str:
    charts = [
        f"<figure>{_chart(counts)}<figcaption>probability of <b>{_text(name)}</b></figcaption>"
        "</figure>"
        for name, counts in histograms.items()
        if counts.sum()
    ]
    if not charts:
        return ""
    hint = '<p class="quiet">Heights grow with the square root of the number of events.</p>'
    return f'<div class="charts">{"".join(charts)}</div>{hint}'


def _chart(counts: NDArray[np.int64]) -> str:
    """Histogram from 0 to 1; the height of a bar grows with the root of its count."""
    left, top, width, height = 46, 8, 360, 120
    step = width / len(counts)
    most = int(counts.max())
    bars = []
    for k, n in enumerate(counts.tolist()):
        # The root keeps the few doubtful events visible beside the many clear ones.
        bar = height * math.sqrt(n / most)
        bars.append(
            f'<rect x="{left + k * step + 0.5:.1f}" y="{top + height - bar:.1f}" '
            f'width="{step - 1:.1f}" height="{bar:.1f}"><title>{k / len(counts):.2f} to '
            f"{(k + 1) / len(counts):.2f}: {n}</title></rect>"
        )
    bottom = top + height
    marks = [
        f'<text x="{left + f * width}" y="{bottom + 14}" text-anchor="middle">{f:g}</text>'
        for f in (0, 0.25, 0.5, 0.75, 1)
    ]
    for n in sorted({most, round(most / 4)} - {0}):
        y = bottom - height * math.sqrt(n / most)
        marks.append(f'<text x="{left - 4}" y="{y + 4:.1f}" text-anchor="end">{n}</text>')
    return (
        f'<svg viewBox="0 0 {left + width + 14} {bottom + 20}" role="img">{"".join(bars)}'
        f'<line x1="{left}" y1="{bottom}" x2="{left + width}" y2="{bottom}"/>'
        f"{''.join(marks)}</svg>"
    )


# --- thumbnails -------------------------------------------------------------------------


def _thumbnails(thumbnails: Iterable[Thumbnail]) -> str:
    parts = []
    for (group, kind), members in groupby(thumbnails, lambda t: (t.group, t.kind)):
        figures = [
            f'<figure title="{_text(t.event)}"><img alt="" src="data:image/png;base64,'
            f'{_png(t.frame)}"><figcaption>{t.confidence:.3f}<br>{_text(_short(t.event))}'
            "</figcaption></figure>"
            for t in members
        ]
        parts.append(
            f"<div><h3>{_text(group)}, {_text(kind)}</h3>"
            f'<div class="thumbs">{"".join(figures)}</div></div>'
        )
    return f'<div class="groups">{"".join(parts)}</div>' if parts else ""


def _short(event: str) -> str:
    return EventId.parse(event).short if event.strip() else event


def _png(frame: NDArray[Any]) -> str:
    from matplotlib import image

    small = shrink(frame, THUMBNAIL_PIXELS)
    low, high = percentile_limits([small], None, *CONTRAST)
    shown = np.clip((small - low) / (high - low), 0, 1)
    out = io.BytesIO()
    image.imsave(out, np.nan_to_num(shown), cmap="gray_r", vmin=0, vmax=1, format="png")
    return base64.b64encode(out.getvalue()).decode("ascii")


def shrink(frame: NDArray[Any], largest: int) -> NDArray[np.float64]:
    """Mean of square blocks, so that no side is longer than ``largest``; edges are kept.

    NaN where a block has no finite pixel.
    """
    factor = -(-max(frame.shape) // largest)
    values = frame.astype(np.float64)
    finite = np.isfinite(values)
    sums = np.where(finite, values, 0.0)
    counts = finite.astype(np.float64)
    for axis in (0, 1):
        starts = np.arange(0, frame.shape[axis], factor)
        sums = np.add.reduceat(sums, starts, axis=axis)
        counts = np.add.reduceat(counts, starts, axis=axis)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


# --- tables -----------------------------------------------------------------------------


def _table(
    columns: Sequence[object], rows: Sequence[Sequence[Any]], sortable: bool = False
) -> str:
    if not rows:
        return ""
    numeric = [
        all(isinstance(row[k], (int, float, type(None))) for row in rows)
        for k in range(len(columns))
    ]
    head = "".join(
        f'<th class="n">{_text(name)}</th>' if number else f"<th>{_text(name)}</th>"
        for name, number in zip(columns, numeric, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_cell(v, n) for v, n in zip(row, numeric, strict=True))}</tr>\n"
        for row in rows
    )
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}</tbody></table></div>"
    )


def _cell(value: Any, numeric: bool) -> str:
    if numeric:
        return f'<td class="n">{_number(value)}</td>'
    return f'<td class="text">{_text(value)}</td>'


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _model(data: ReportData) -> str:
    training = _pairs(data.training)
    heading = "<h3>Training</h3>" if training else ""
    return _pairs(data.model) + _metrics(data.metrics) + heading + training


def _pairs(values: Mapping[str, Any]) -> str:
    return _table(("", ""), [(_words(name), _joined(value)) for name, value in _flat(values)])


def _words(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name}", value


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _metrics(metrics: Mapping[str, Any]) -> str:
    """Scalars, confusion matrix and scores of each class, whichever are there."""
    parts = []
    scalars = {k: v for k, v in metrics.items() if isinstance(v, (int, float, str, bool))}
    if scalars:
        rows = [(_words(k), f"{v:.4g}" if isinstance(v, float) else v) for k, v in scalars.items()]
        parts.append(f"<h3>Test share</h3>{_table(('', ''), rows)}")
    if {"classes", "columns", "confusion"} <= set(metrics):
        rows_ = [
            [name, *row]
            for name, row in zip(metrics["classes"], metrics["confusion"], strict=True)
        ]
        heading = ["label \\ decision", *metrics["columns"]]
        parts.append(f"<h3>Confusion matrix</h3>{_table(heading, rows_)}")
    if metrics.get("per_class"):
        keys = list(next(iter(metrics["per_class"].values())))
        scores = [[name, *(row[k] for k in keys)] for name, row in metrics["per_class"].items()]
        parts.append(f"<h3>Each class</h3>{_table(['class', *keys], scores)}")
    return "".join(parts)


def _failures(failures: Sequence[Problem]) -> str:
    if not failures:
        return ""
    items = "".join(f"<li>{_text(problem)}</li>" for problem in failures[:_MAX_FAILURES])
    more = len(failures) - _MAX_FAILURES
    rest = f"<p>... and {more} more, see summary.csv and the tables.</p>" if more > 0 else ""
    return f"<ul>{items}</ul>{rest}"
