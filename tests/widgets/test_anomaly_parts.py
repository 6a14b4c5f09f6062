"""Order from the worst on, and the course of long runs, beside plain re-statements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_xfelsort.widgets.anomaly_course import COLUMNS, CoursePlot, course_of
from napari_xfelsort.widgets.anomaly_ranking import neighbour_in_rank, place_of

VALUES = st.lists(
    st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.just(float("nan"))),
    min_size=1,
    max_size=30,
)


@given(VALUES, st.data())
def test_steps_go_through_all_events_from_the_worst_on(values, draw):
    values = np.array(values)
    order = [int(k) for k in np.argsort(-values, kind="stable") if np.isfinite(values[k])]
    if not order:
        assert neighbour_in_rank(values, 0, 1) is None
        return
    assert neighbour_in_rank(values, draw.draw(st.sampled_from(order)), 0) == (order[0], 0)
    assert neighbour_in_rank(values, None, 1) == (order[0], 0)
    for place, event in enumerate(order):
        assert place_of(values, event) == place
        down = min(place + 1, len(order) - 1)
        assert neighbour_in_rank(values, event, 1) == (order[down], down)
        up = max(place - 1, 0)
        assert neighbour_in_rank(values, event, -1) == (order[up], up)


def test_short_runs_are_drawn_event_by_event():
    values = np.array([0.1, np.nan, 0.7])
    course = course_of(values)
    assert course.ends.tolist() == [0, 1, 2, 3]
    assert np.array_equal(course.highest, values, equal_nan=True)
    assert np.isnan(course.mean).all()
    assert len(course_of(np.zeros(0)).highest) == 0


def test_of_long_runs_no_peak_is_lost():
    rng = np.random.default_rng(0)
    values = rng.random(10_007) * 0.2
    values[4321], values[50:90] = 0.9, np.nan
    course = course_of(values)
    assert len(course.highest) == COLUMNS
    for k in range(COLUMNS):
        part = values[course.ends[k] : course.ends[k + 1]]
        known = part[np.isfinite(part)]
        if len(known):
            assert course.highest[k] == known.max()
        else:
            assert np.isnan(course.highest[k])
    assert course.ends[0] == 0
    assert course.ends[-1] == len(values)
    # Far from the ends the mean is that of so many columns around.
    k, reach = 200, COLUMNS // 50
    around = values[course.ends[k - reach] : course.ends[k + reach + 1]]
    assert course.mean[k] == pytest.approx(np.nanmean(around))


def test_a_click_finds_the_worst_event_of_its_column(viewer, qtbot):
    plot = CoursePlot(viewer)
    qtbot.addWidget(plot)
    values = np.full((1_000_000, 2), np.nan, order="F")
    values[::1000] = 0.1
    values[123_000, 1], values[999_000, 0] = 0.8, 0.2
    plot.show_run(("a", "b"), np.array([0.5, 0.5]), values)
    assert plot.event_at("b", 122_000) == 123_000
    assert plot.event_at("a", 999_999.9) == 999_000
    assert len(plot.figure.axes[0].patches) == 2
    assert len(plot.figure.axes[0].patches[1].get_data().values) == COLUMNS
    plot.show_event(5)
    plot.release()


def test_where_nothing_is_known_a_click_goes_nowhere(viewer, qtbot):
    plot = CoursePlot(viewer)
    qtbot.addWidget(plot)
    plot.show_run(("a",), np.array([0.5]), np.full((10, 1), np.nan))
    assert plot.event_at("a", 3.0) is None
    plot.show_run((), np.zeros(0), np.zeros((0, 0)))
    assert plot.isHidden()
    plot.release()
