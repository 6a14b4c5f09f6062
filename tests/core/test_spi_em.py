"""Classes by expectation maximisation: the formulas stated slowly, and planted copies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from spi_runs import BEAM, PIXEL, SHAPE, bad_pixels, q_of_pixels, run, sphere

from napari_xfelsort.core.errors import GeometryError, NoEventsError, RegionError, SettingsError
from napari_xfelsort.core.spi.em import EmMaker, first_models
from napari_xfelsort.core.spi.em_classes import EmClasses, classes_of, find_classes, matched
from napari_xfelsort.core.spi.em_counts import EmCounts, read_counts
from napari_xfelsort.core.spi.em_settings import EmSettings
from napari_xfelsort.core.spi.em_symmetry import ORDERS, symmetry_of
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack

TINY = 1e-38


def neighbours(x, y, middle):
    """Row, column and weight of the four pixels around a point."""
    i, j = math.floor(y), math.floor(x)
    below, right = y - i, x - j
    shares = ((0, 1 - below), (1, below)), ((0, 1 - right), (1, right))
    return [
        (i + di + middle, j + dj + middle, a * b) for di, a in shares[0] for dj, b in shares[1]
    ]


def literal_run(points, counts, models, settings, iterations):  # noqa: C901
    """The published loops: every pixel, rotation and class for itself, in 64 bits.

    With Friedel's law each pixel is entered twice, at t and at t + pi.
    """
    u, v, exposure = points
    turns = (0.0, math.pi) if settings.friedel else (0.0,)
    q = np.concatenate([np.hypot(u, v)] * len(turns))
    t = np.concatenate([np.arctan2(v, u) + turn for turn in turns])
    a = np.concatenate([exposure] * len(turns))
    data = np.concatenate([counts] * len(turns), axis=1)
    n, pixels = data.shape
    classes, side = models.shape[:2]
    middle = side // 2
    full = math.pi if settings.friedel else 2 * math.pi
    phis = [full * r / settings.rotations for r in range(settings.rotations)]
    p = np.zeros((classes, len(phis), n))
    p[0, 0] = 1
    for _ in range(iterations):
        w = np.zeros((classes, len(phis), pixels))
        taps = {}
        for r, phi in enumerate(phis):
            for i in range(pixels):
                angle = t[i] + phi
                taps[r, i] = neighbours(q[i] * math.cos(angle), q[i] * math.sin(angle), middle)
                for k in range(classes):
                    w[k, r, i] = sum(models[k, row, col] * f for row, col, f in taps[r, i])
        s = np.zeros(n)
        for d in range(n):
            s[d] = data[d].sum() / (p[:, :, d] * (w * a).sum(axis=2)).sum()
        level = np.zeros((classes, len(phis), n))
        for d in range(n):
            for k in range(classes):
                for r in range(len(phis)):
                    mean = np.maximum(w[k, r], TINY) * s[d]
                    level[k, r, d] = (data[d] * np.log(mean)).sum() - s[d] * (a * w[k, r]).sum()
        p = np.exp(level - level.max(axis=(0, 1)))
        p /= p.sum(axis=(0, 1))
        relative = s / s.mean()
        up, down = np.zeros(models.shape), np.zeros(models.shape)
        for k in range(classes):
            for r in range(len(phis)):
                for i in range(pixels):
                    value = (p[k, r] * data[:, i]).sum()
                    weight = (p[k, r] * relative).sum() * a[i]
                    for row, col, f in taps[r, i]:
                        up[k, row, col] += f * value
                        down[k, row, col] += f * weight
        models = np.divide(up, down, out=np.zeros_like(up), where=down > 0)
    return models, p, s, level


def small_counts(friedel, seed=0, n=6):
    """A few points on one side of the beam, with exposures."""
    random = np.random.default_rng(seed)
    v, u = np.mgrid[0:3, -3:3].astype(float)
    u, v = u.ravel() + 0.3, v.ravel() + 0.6
    exposure = random.choice([0.5, 1.0], len(u)).astype(np.float32)
    mean = 3 + 2 * np.cos(2 * np.arctan2(v, u) + random.random((n, 1)) * 6)
    counts = random.poisson(mean * exposure * random.uniform(0.5, 2, (n, 1))).astype(np.uint16)
    return EmCounts(u, v, exposure, counts, np.arange(n), n, friedel=friedel)


@pytest.mark.parametrize("friedel", [True, False])
def test_products_are_the_published_loops(friedel):
    counts = small_counts(friedel)
    settings = EmSettings(
        classes=2, rotations=5, iterations=3, annealing=0, friedel=friedel, tolerance=0, runs=1
    )
    found = EmMaker(counts, settings).run(4)
    start = first_models(settings, counts.side, 4).reshape(2, counts.side, counts.side)
    assert start.min() >= 0.99
    assert start.max() <= 1
    models, p, scale, level = literal_run(
        (counts.u, counts.v, counts.exposure.astype(float)),
        counts.counts.astype(float),
        start.astype(float),
        settings,
        3,
    )
    known = np.isfinite(found.models)
    assert np.array_equal(known, models > 0)
    assert found.models[known] == pytest.approx(models[known], rel=1e-3)
    assert found.probabilities == pytest.approx(p.sum(axis=1).T, abs=1e-3)
    assert found.scale == pytest.approx(scale / scale.mean(), rel=1e-4)
    both = p.reshape(2, 5, -1)
    labels = both.sum(axis=1).argmax(axis=0)
    assert found.labels.tolist() == labels.tolist()
    best = [both[k, :, d].argmax() for d, k in enumerate(labels)]
    step = 36 if friedel else 72
    assert found.rotation == pytest.approx([step * r for r in best])
    high = level.max(axis=(0, 1))
    expected = (high + np.log(np.exp(level - high).sum(axis=(0, 1)))).mean()
    # 32 bits, and ln of what is scaled: no more than a part of ten thousand.
    assert found.likelihood == pytest.approx(expected, rel=1e-4)


def test_blocks_and_the_kind_of_numbers_change_nothing(monkeypatch):
    counts = small_counts(True, n=11)
    settings = EmSettings(classes=2, rotations=6, iterations=4, annealing=2)
    whole = EmMaker(counts, settings).run(0)
    monkeypatch.setattr("napari_xfelsort.core.spi.em.BLOCK", 4)
    parts = EmMaker(counts, settings).run(0)
    assert np.array_equal(whole.labels, parts.labels)
    assert parts.models == pytest.approx(whole.models, rel=1e-4, nan_ok=True)
    assert [step.power for step in parts.steps] == pytest.approx([0.01, 0.1, 1, 1])


def elongated(angle, order, photons):
    """Mean photons of a pattern that turns into itself `order` times; angle in radians."""
    y, x = np.indices(SHAPE)
    away = np.hypot(y - BEAM[0], x - BEAM[1])
    around = np.arctan2(y - BEAM[0], x - BEAM[1]) - angle
    picture = np.exp(-away / 25) * (1 + 0.9 * np.cos(order * around))
    return picture * photons / picture[~bad_pixels()].sum()


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Two patterns at random angles, Poisson counts; an empty event, a bright one."""
    random = np.random.default_rng(3)
    angles = random.uniform(0, math.pi, 40)
    orders = np.array([2, 4] * 20)
    photons = random.uniform(2000, 8000, 40)
    means = [elongated(*each) for each in zip(angles, orders, photons, strict=True)]
    frames = random.poisson(np.array(means)).astype(np.int32)
    frames[5] = 0
    return run(tmp_path_factory.mktemp("em"), frames), angles, orders, photons


SMALL = {"classes": 2, "rotations": 60, "binning": 5, "runs": 3, "iterations": 30}


def test_rotated_copies_are_grouped_and_their_angles_found(planted):
    stack, angles, orders, photons = planted
    seen = []
    found = find_classes(stack, progress=lambda *each: seen.append(each), **SMALL)
    assert seen[-1] == (90, 90)
    assert found.converged == (True, True, True)
    assert found.labels[5] == -1
    assert np.isnan(found.rotation[5])
    assert found.counts.tolist() == [20, 19]
    there = np.arange(40) != 5
    assert (found.agreement[there] == 1).all()
    assert found.probability[there].min() > 0.99
    for k in (0, 1):
        own = found.labels == k
        order = orders[own][0]
        assert (orders[own] == order).all()
        # The event shows at t what the average shows at t + rotation: angles and rotations
        # add up to one number, but for turns into itself.
        total = np.exp(1j * order * (angles[own] + np.radians(found.rotation[own])))
        mean = total.mean()
        spread = np.degrees(np.abs(np.angle(total / mean))) / order
        assert spread.max() < 4.5  # steps of 3 degrees
        assert found.symmetry.order(k) == order
        share = found.scale[own] / photons[own]
        assert share == pytest.approx(np.full(len(share), np.median(share)), rel=0.06)
    # A list of some of them is put into classes as well, and equal settings do so equally.
    some = stack.subset([1, 3, 7, 0, 2, 4])
    again = [find_classes(some, **SMALL) for _ in range(2)]
    assert np.array_equal(again[0].models, again[1].models, equal_nan=True)
    assert len(set(again[0].labels[:3])) == len(set(again[0].labels[3:])) == 1
    assert again[0].labels[0] != again[0].labels[3]


def test_an_average_looks_like_its_pattern(planted):
    stack, angles, orders, _ = planted
    found = find_classes(stack, friedel=False, **{**SMALL, "rotations": 72})
    k = int(found.labels[0])
    model = found.models[k]
    middle = len(model) // 2
    # An event at angle t has its maxima where the average has them, turned by the rotation.
    at = angles[0] + np.radians(found.rotation[0])
    radius = 6
    values = []
    for turn in (0, math.pi / 2):
        row, column = radius * math.sin(at + turn), radius * math.cos(at + turn)
        values.append(model[round(middle + row), round(middle + column)])
    assert orders[0] == 2
    assert values[0] > 4 * values[1]


def test_pixels_are_added_up_where_they_are_good(tmp_path):
    random = np.random.default_rng(0)
    frames = random.poisson(2.0, (3, *SHAPE)).astype(np.int32)
    stack = run(tmp_path, frames)
    found = read_counts(stack, EmSettings(binning=4))
    good = ~bad_pixels()
    assert found.counts.dtype == np.uint16
    assert found.counts.sum(axis=1).tolist() == frames[:, good].sum(axis=1).tolist()
    assert found.exposure.sum() * 16 == good.sum()
    y, x = np.nonzero(good)
    y, x = (y - BEAM[0]) / 4, (x - BEAM[1]) / 4
    # Each pixel and its opposite are in the same square; only the lower half has points.
    cells = {
        (math.floor(b), math.floor(a)) if b >= 0 else (math.floor(-b), math.floor(-a))
        for a, b in zip(x, y, strict=True)
    }
    assert len(found.u) == len(cells)
    assert found.v.min() >= 0
    assert found.side > 2 * np.hypot(x, y).max()
    away = np.hypot(*(np.indices(SHAPE)[k] - BEAM[k] for k in (0, 1)))
    assert found.q_step == pytest.approx(4 * 2 * math.pi / 0.729 * PIXEL / 0.130, rel=1e-6)
    whole = read_counts(stack, EmSettings(binning=1, friedel=False))
    assert len(whole.u) == good.sum()
    assert np.hypot(whole.u, whole.v).max() == pytest.approx(away[good].max())
    ring = read_counts(stack, EmSettings(binning=1, friedel=False, q_min=0.1, q_max=0.2))
    inside = (q_of_pixels() >= 0.1) & (q_of_pixels() <= 0.2) & good
    assert len(ring.u) == pytest.approx(inside.sum(), rel=0.02)  # whole rings
    logs = read_counts(stack, EmSettings(binning=4, log=True))
    assert logs.counts == pytest.approx(np.log(1 + found.counts.astype(float)), rel=1e-6)
    photons = read_counts(stack, EmSettings(binning=4, adu_per_photon=2.5))
    whole_photons = np.floor(frames[:, good] / 2.5 + 0.5)
    assert photons.counts.sum(axis=1).tolist() == whole_photons.sum(axis=1).tolist()
    assert photons.counts.dtype == np.uint16


def test_values_that_are_no_counts(tmp_path):
    """Not finite in one event: as others of the ring; negative: none."""
    frame = sphere(70, 50_000)
    frames = np.stack([frame] * 3).astype(np.float32)
    row, column = 100, 90
    frames[1, row, column] = np.nan
    frames[2, row, column] = -7
    found = read_counts(run(tmp_path, frames), EmSettings(binning=1, friedel=False))
    assert found.counts.dtype == np.float32
    point = np.argmin(np.hypot(found.u - (column - BEAM[1]), found.v - (row - BEAM[0])))
    values = found.counts[:, point]
    assert values[0] == pytest.approx(frame[row, column], rel=1e-5)
    assert values[1] == pytest.approx(frame[row, column], rel=0.2)
    assert values[2] == 0


def test_an_unreadable_event_costs_only_itself(planted, monkeypatch):
    stack = planted[0].subset([0, 1, 2, 3])
    source, index = stack.locate(2)
    read = source.read

    def broken(i, *rest, **more):
        if i == index:
            raise OSError("a hole in the tape")
        return read(i, *rest, **more)

    monkeypatch.setattr(source, "read", broken)
    monkeypatch.setattr(EventStack, "read_block", lambda *_: (_ for _ in ()).throw(OSError("x")))
    found = find_classes(stack, **{**SMALL, "runs": 1})
    assert found.problems == {2: "a hole in the tape"}
    assert found.labels[2] == -1
    assert (found.labels[[0, 1, 3]] >= 0).all()


def test_work_can_be_stopped(planted):
    class Enough(BaseException):
        pass

    def stop(done, total):
        if done >= 1:
            raise Enough

    with pytest.raises(Enough):
        find_classes(planted[0], progress=stop, **SMALL)
    with pytest.raises(Enough):
        find_classes(planted[0], reading=stop, **SMALL)


def test_what_cannot_be_classified_is_told(tmp_path, monkeypatch):
    stack = run(tmp_path, np.zeros((2, *SHAPE), np.uint16))
    with pytest.raises(NoEventsError, match="All are empty"):
        find_classes(stack)
    with pytest.raises(RegionError, match="No good pixel has q from 50"):
        find_classes(stack, q_min=50)
    with pytest.raises(SettingsError, match="No pixel has q"):
        EmSettings(q_min=1, q_max=0.5)
    counts = small_counts(True)
    monkeypatch.setattr("napari_xfelsort.core.spi.em.MOST_BYTES", 1 << 20)
    with pytest.raises(SettingsError, match=r"500 classes at 2000 rotations .* take .* GiB"):
        EmMaker(counts, EmSettings(classes=500, rotations=2000))
    with pytest.raises(SettingsError, match="Unknown setting 'clases'"):
        find_classes(stack, clases=3)
    with pytest.raises(GeometryError):
        find_classes(open_stack(tmp_path / "run.cxi"))


def made_classes(*runs):
    """Classes of which only the labels matter; the first run is the likeliest."""
    labels = np.array(runs)
    n = labels.max() + 1
    flat = np.zeros(labels.shape[1])
    return EmClasses(
        [None] * labels.shape[1],
        np.ones((n, 5, 5), np.float32),
        labels[0],
        flat,
        flat,
        np.full((labels.shape[1], n), 1 / n, np.float32),
        labels,
        (0.0,) * len(runs),
        (1,) * len(runs),
        (True,) * len(runs),
        EmSettings(),
    )


def test_runs_are_matched_class_by_class():
    reference = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    other = np.array([2, 2, 2, 0, 0, 1, 1, 0])
    assert matched(reference, other, 3).tolist() == [1, 2, 0]
    # One to one, even where the most common class is the same for two.
    assert matched(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 1, 1, 1]), 2).tolist() == [0, 1]


def test_votes_count_runs_that_would_keep():
    found = made_classes(
        [0, 0, 0, 1, 1, 2, 2, -1],
        [0, 0, 1, 1, 1, 0, 2, -1],
        [2, 2, 2, 1, 1, 1, 0, -1],
    )
    assert found.counts.tolist() == [3, 2, 2]
    assert found.agreement[:7] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1, 1, 1 / 3, 2 / 3])
    assert np.isnan(found.agreement[7])
    # Keeping class 0: the second run keeps its 0 (two of three), the third its 2.
    assert found.votes([0]) * 3 == pytest.approx([3, 3, 2, 0, 0, 1, 0, 0])
    assert found.kept([0]).tolist() == [True] * 3 + [False] * 5
    assert np.flatnonzero(found.kept([0], 1)).tolist() == [0, 1]
    assert np.flatnonzero(found.kept([0], 0)).tolist() == [0, 1, 2, 5]
    assert np.flatnonzero(found.rejected([0])).tolist() == [3, 4, 6]
    with pytest.raises(SettingsError, match="no class 3"):
        found.votes([3])


def test_classes_are_voted_for_by_another_selection():
    found = made_classes([0] * 10 + [1] * 4 + [2] * 2 + [-1])
    chosen = np.zeros(17, bool)
    chosen[[0, 10, 11, 16]] = True  # one of ten, two of four, none, and one without a class
    assert found.voted(chosen) == [0, 1]
    assert found.voted(chosen, 0.11) == [1]
    assert found.voted(chosen, 0) == [0, 1]
    assert found.voted(np.zeros(17, bool), 0) == []


def test_symmetry_is_the_share_of_an_order():
    side = 61
    y, x = np.indices((side, side)) - side // 2
    away, around = np.hypot(y, x), np.arctan2(y, x)
    made = [np.exp(-away / 15) * (1 + 0.5 * np.cos(n * around)) for n in ORDERS]
    made += [np.exp(-away / 15), np.full(away.shape, np.nan)]
    scores, anisotropy = found = symmetry_of(np.array(made, np.float32))
    for k, n in enumerate(ORDERS):
        assert found.order(k) == n
        assert scores[k, k] > 0.95
        assert anisotropy[k] == pytest.approx(0.5 / math.sqrt(2), rel=0.1)
    assert anisotropy[5] < 0.02
    assert np.isnan(scores[6]).all()
    assert found.order(6) == 0
    assert np.isnan(anisotropy[6])


def test_counting_makes_no_anisotropy():
    """Few counts of a round and of a lopsided pattern, in one class at one rotation."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[-24:24, -24:24] + 0.5
    x, y = x.ravel() + 0.13, y.ravel() - 0.21
    mean, n = 0.5 * np.exp(-np.hypot(x, y) / 12), 20
    settings = EmSettings(classes=1, rotations=1, friedel=False, iterations=2, annealing=0)
    exposure = np.ones(len(x), np.float32)
    for picture, expected in ((mean, 0.0), (mean * (1 + x / np.hypot(x, y)), math.sqrt(0.5))):
        frames = random.poisson(picture, (n, len(x))).astype(np.uint16)
        counts = EmCounts(x, y, exposure, frames, np.arange(n), n, friedel=False)
        made = EmMaker(counts, settings).run(0)
        with_noise, without = symmetry_of(made.models), symmetry_of(made.models, made.weights)
        assert without.anisotropy[0] < with_noise.anisotropy[0]
        assert without.anisotropy[0] == pytest.approx(expected, abs=0.06)
        if not expected:
            assert without.anisotropy[0] < with_noise.anisotropy[0] / 2


def test_one_event_is_one_class(planted):
    counts = read_counts(planted[0].subset([0]), EmSettings(binning=5))
    found = classes_of(counts, EmSettings(classes=3, rotations=4, runs=2, binning=5), ["it"])
    assert found.counts.tolist() == [1, 0, 0]
    assert found.agreement.tolist() == [1.0]
