"""Charts of the report that show how shares change along a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

#: Dashes that tell lines apart where colours do not; the colours are in report.html.
_DASHES = ("", "6 3", "2 3", "9 3 2 3", "1 2", "12 4")
_LEFT, _TOP, _WIDTH, _HEIGHT = 46, 16, 720, 200


@dataclass(frozen=True, eq=False)
class Course:
    """Shares along a run.

    Attributes
    ----------
    title : str
        What is shown, below the chart.
    lines : mapping of sequence of (float, float or None)
        By name: number of the event and the share from 0 to 1, None where it is not known.
    """

    title: str
    lines: Mapping[str, Sequence[tuple[float, float | None]]]


def charts(courses: Sequence[Course]) -> str:
    """The charts as HTML, empty where there is nothing to show."""
    figures = [
        f"<figure>{_chart(course)}<figcaption>{_text(course.title)}{_legend(course)}"
        "</figcaption></figure>"
        for course in courses
        if any(share is not None for line in course.lines.values() for _, share in line)
    ]
    return "".join(figures)


def _text(value: object) -> str:
    return escape(str(value).encode("utf-8", "replace").decode())


def _legend(course: Course) -> str:
    if len(course.lines) < 2:
        return ""
    keys = [
        f'<span class="key"><svg viewBox="0 0 30 10" class="key">{_path(k, "M0,5H30")}</svg>'
        f"{_text(name)}</span>"
        for k, name in enumerate(course.lines)
    ]
    return f"<br>{' '.join(keys)}"


def _chart(course: Course) -> str:
    places = [x for line in course.lines.values() for x, _ in line]
    known = [y for line in course.lines.values() for _, y in line if y is not None]
    last = max(places) or 1.0
    top = _nice(max(known))
    bottom = _TOP + _HEIGHT
    marks = []
    for part in (0.0, 0.5, 1.0):
        y = bottom - part * _HEIGHT
        marks.append(
            f'<line class="grid" x1="{_LEFT}" y1="{y:g}" x2="{_LEFT + _WIDTH}" y2="{y:g}"/>'
            f'<text x="{_LEFT - 4}" y="{y + 4:g}" text-anchor="end">{part * top:.3g}</text>'
        )
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _LEFT + part * _WIDTH
        marks.append(
            f'<text x="{x:g}" y="{bottom + 22}" text-anchor="middle">{part * last:.0f}</text>'
        )
    lines = []
    for k, line in enumerate(course.lines.values()):
        points = [
            None if y is None else (_LEFT + _WIDTH * x / last, bottom - _HEIGHT * y / top)
            for x, y in line
        ]
        lines.append(_path(k, _route(points)))
    return (
        f'<svg class="course" viewBox="0 0 {_LEFT + _WIDTH + 26} {bottom + 30}" role="img">'
        f"{''.join(marks)}{''.join(lines)}</svg>"
    )


def _nice(highest: float) -> float:
    """End of the axis: the highest share, rounded up."""
    steps = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    return next((step for step in steps if highest <= step), 1.0)


def _path(number: int, route: str) -> str:
    dash = _DASHES[number % len(_DASHES)]
    return f'<path class="line c{number % 6}" stroke-dasharray="{dash}" d="{route}"/>'


def _route(points: Sequence[tuple[float, float] | None]) -> str:
    """The points joined, apart from those that are not known; single ones as dots."""
    parts, pen_down = [], False
    for point in points:
        if point is not None:
            x, y = point
            parts.append(f"L{x:.1f},{y:.1f}" if pen_down else f"M{x:.1f},{y:.1f}h0.1")
        pen_down = point is not None
    return "".join(parts)
