"""RefleX's centre against a plain re-statement of the paper's steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core.center.reflex import bresenham


def line_of(a, b):
    """Pixels nearest to the straight line, one for each step along its longer axis."""
    steps = max(abs(b[0] - a[0]), abs(b[1] - a[1]))
    if steps == 0:
        return [a]
    return [tuple(a[k] + (b[k] - a[k]) * i / steps for k in range(2)) for i in range(steps + 1)]


@pytest.mark.parametrize("end", [(0, 0), (5, 3), (-7, 2), (4, -9), (-3, -3), (0, 6), (8, 0)])
def test_bresenham_stays_within_half_a_pixel_of_the_line(end):
    line = bresenham(0, 0, *end)
    exact = line_of((0, 0), end)
    assert line[0] == (0, 0)
    assert line[-1] == end
    assert len(line) == len(exact)
    for (y, x), (v, u) in zip(line, exact, strict=True):
        assert max(abs(y - v), abs(x - u)) <= 0.5 + 1e-9


def restated(counts):
    """The paper's steps, written for a small square image without bad pixels."""
    n = len(counts)
    top, low = np.percentile(counts, 95), counts.min()
    scaled = np.clip((counts - low) / (top - low), 0, 1)
    picture = np.rint(255 * (1 - scaled))

    def mass(weights):
        total = weights.sum()
        return tuple(
            sum(k * weights.take(k, axis).sum() for k in range(n)) / total for axis in (0, 1)
        )

    first, second = mass(picture), mass(np.log(picture + 1))
    ends = [
        tuple(math.floor(first[k] + sign * 2 * (second[k] - first[k]) + 0.5) for k in (0, 1))
        for sign in (-1, 1)
    ]
    best = None
    for y, x in bresenham(*ends[0], *ends[1]):
        if not (0 <= y < n and 0 <= x < n):
            continue
        rays = []
        for k in range(256):
            angle = 2 * math.pi * k / 256
            values = []
            while True:
                v = math.floor(y + len(values) * math.sin(angle) + 0.5)
                u = math.floor(x + len(values) * math.cos(angle) + 0.5)
                if not (0 <= v < n and 0 <= u < n):
                    break
                values.append(picture[v, u])
            rays.append(sum(values) / len(values))
        cross = [(y, x), (y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        near = [picture[v, u] for v, u in cross if 0 <= v < n and 0 <= u < n]
        fitness = max(rays) * (sum(near) / len(near) - picture.mean())
        if best is None or fitness > best[0]:
            best = fitness, y, x
    return best[1:]


def frame_with_arm(seed, side=64):
    rng = np.random.default_rng(seed)
    cy, cx = rng.uniform(0.35, 0.65, 2) * side
    rows, columns = np.indices((side, side))
    r = np.hypot(rows - cy, columns - cx)
    light = 200 * np.exp(-r / 18) + 5
    light[r < 4] = 0
    light[(np.abs(rows - cy) < 1.5) & (columns > cx)] *= 0.02
    return rng.poisson(light)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_papers_algorithm(seed):
    counts = frame_with_arm(seed)
    result = xs.find_center(counts, method="reflex")
    assert (result.y, result.x) == restated(counts)
    assert result.uncertainty is None


def test_large_frames_are_averaged_first():
    counts = np.kron(frame_with_arm(1, 400), np.ones((2, 2), np.int64))
    small = xs.find_center(frame_with_arm(1, 400), method="reflex")
    large = xs.find_center(counts, method="reflex")
    assert (large.y, large.x) == (2 * small.y + 0.5, 2 * small.x + 0.5)


def test_without_contrast_there_is_no_answer():
    assert not xs.find_center(np.full((50, 50), 3), method="reflex").known
