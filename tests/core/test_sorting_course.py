"""The course of a run in parts that say something."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xfelsort.core.sorting.hits import LEAST_EVENTS, MAX_BINS, course


@pytest.mark.parametrize(
    ("n", "firsts"),
    [
        (0, []),
        (7, list(range(7))),
        (40, list(range(0, 40, 4))),
        (500, list(range(0, 500, 50))),
        (520, list(range(0, 500, 50))),  # 20 left over: less than half of a part
        (530, list(range(0, 530, 50))),
    ],
)
def test_parts_have_enough_events_for_a_share(n, firsts):
    codes = (np.arange(n) % 2).astype(np.uint8)
    parts = course(codes, ("bad", "good"), [])
    assert [part.first for part in parts] == firsts
    assert sum(sum(part.counts.values()) for part in parts) == n
    if n >= 10 * LEAST_EVENTS:
        assert all(abs(part.share("good") - 0.5) <= 0.021 for part in parts)


def test_a_long_run_has_a_bounded_number_of_parts_and_no_event_is_left_out():
    codes = np.zeros(1_000_003, np.uint8)
    codes[600_000:] = 1
    codes[5] = 3  # failed
    parts = course(codes, ("bad", "good"), [])
    assert len(parts) <= MAX_BINS
    assert sum(part.counts["good"] for part in parts) == 400_003
    assert parts[0].counts["failed"] == 1
    assert parts[0].share("bad") == 1
    assert parts[-1].share("good") == 1
