"""Features of what is left of a frame without its rings: arcs, panels, lines, clouds, spots."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.residuals import BANDS, DIRECTIONS, Residuals

_SCALES = (2, 4, 8, 16, 32)
_LAGS = (1, 2, 3, 5, 8, 12, 18, 26)
_SPOTS, _AROUND = 60, 12


def direction_features(left: Residuals) -> dict[str, float]:
    """Arcs on opposite sides, streaks through the beam, wedges; and azimuthal features."""
    table = left.places.table
    found = dict(zip(table.azimuthal_names, left.azimuthal.tolist(), strict=True))
    found = {f"azimuth {k}": v for k, v in enumerate(found.values())}
    mean, noise = left.bands
    inner = slice(2, BANDS * 3 // 4)
    level = mean[inner] - _median(mean[inner], axis=1)[:, np.newaxis]
    # What a whole direction has is no arc: the shadow of an arm, a wedge.
    arcs = level - _median(level, axis=0)[np.newaxis]
    half = DIRECTIONS // 2
    for name, each in (("arc", arcs), ("level", level)):
        score = each / np.hypot(noise[inner], 0.03)
        both = np.fmin(score, np.roll(score, half, axis=1))
        own = np.where(np.isfinite(both), both, 0)
        smooth = _ring_mean(own, 3)
        found[f"two-sided {name}"] = float(smooth.max())
        found[f"two-sided {name} radius"] = int(smooth.max(axis=1).argmax()) / BANDS
        found[f"two-sided {name}s"] = float((smooth > 3).sum())
        a = np.where(np.isfinite(each), each, 0)
        opposite = np.roll(a, half, axis=1)
        power = (a * a).sum(axis=1)
        found[f"{name} two-fold"] = float((a * opposite).sum() / max(power.sum(), 1e-9))
        quarter = np.roll(a, half // 2, axis=1)
        found[f"{name} four-fold"] = float((a * quarter).sum() / max(power.sum(), 1e-9))
        sharp = (a * opposite).sum(axis=1) / np.sqrt(a.shape[1])
        found[f"strongest two-fold {name}"] = float(sharp.max())
        narrow = sharp - np.convolve(sharp, np.ones(7) / 7, mode="same")
        found[f"sharpest two-fold {name}"] = float(narrow.max())
    for name, part in (("inner", slice(1, 12)), ("outer", slice(12, 36))):
        rays = _median(mean[part], axis=0)
        rays = np.where(np.isfinite(rays), rays - np.nanmedian(rays), 0)
        pair = np.minimum(rays, np.roll(rays, half))
        found[f"{name} streak"] = float(pair.max())
        found[f"{name} bright ray"] = float(rays.max())
        found[f"{name} dark ray"] = float(rays.min())
        found[f"{name} share of dark rays"] = float((rays < -0.5).mean())
        found[f"{name} rays"] = float(rays.std())
    return found


def panel_features(left: Residuals) -> dict[str, float]:
    """Steps between rows, columns, quadrants and blocks, relative to the level."""
    found: dict[str, float] = {}
    cut = np.clip(left.relative, -0.6, 0.6)
    weight = left.good.astype(np.float64)
    noise = np.where(left.good, left.spread / np.maximum(left.level, left.spread), 0)
    for axis, name in ((1, "rows"), (0, "columns")):
        n = np.maximum(weight.sum(axis=axis), 1)
        line = (cut * weight).sum(axis=axis) / n
        expected = np.sqrt((noise**2).sum(axis=axis)) / n
        use = weight.sum(axis=axis) > 0.2 * weight.shape[axis]
        line, expected = line[use], expected[use]
        if len(line) < 16:
            line, expected = np.zeros(16), np.ones(16)
        fine = line - _line_median(line, 9)
        typical = max(float(np.median(expected)), 1e-6)
        finest = line - _line_mean(line, 9)
        found[f"fine spread of {name}"] = float(1.4826 * np.median(np.abs(finest)))
        found[f"fine spread of {name} in noise"] = found[f"fine spread of {name}"] / typical
        found[f"largest line of {name}"] = float(np.abs(fine).max())
        found[f"darkest of {name}"] = float(line.min())
        found[f"brightest of {name}"] = float(line.max())
        found[f"outliers of {name}"] = float((np.abs(fine) > 8 * typical + 0.02).sum())
        steps = np.abs(_steps(line, 8))
        found[f"largest step of {name}"] = float(steps.max(initial=0))
        spectrum = np.abs(np.fft.rfft(fine - fine.mean()))[4:]
        ratio = spectrum.max(initial=0) / max(float(np.median(spectrum)), 1e-9)
        found[f"periodic {name}"] = float(np.log10(ratio + 1))
    found |= _grid_features(cut, weight, noise)
    return found


def _grid_features(
    cut: NDArray[np.float32], weight: NDArray[np.float64], noise: NDArray[np.float64]
) -> dict[str, float]:
    """Means of the blocks of grids: how they vary, and where neighbours differ most."""
    found: dict[str, float] = {}
    for cells in (2, 6, 12):
        total = _grid(weight, cells)
        use = total > 0.3 * weight.size / cells**2
        mean = np.where(use, _grid(cut * weight, cells) / np.maximum(total, 1), np.nan)
        chance = np.sqrt(_grid(noise**2, cells)) / np.maximum(total, 1)
        level = mean - np.nanmedian(mean) if use.any() else np.zeros((cells, cells))
        name = f"blocks of {cells} x {cells}"
        found[f"spread of {name}"] = _safe(np.nanstd, level)
        found[f"robust spread of {name}"] = 1.4826 * _safe(np.nanmedian, np.abs(level))
        found[f"darkest of {name}"] = _safe(np.nanmin, level)
        found[f"brightest of {name}"] = _safe(np.nanmax, level)
        found[f"significance of {name}"] = _safe(np.nanmedian, np.abs(level / (chance + 1e-6)))
        steps = [np.abs(np.diff(level, axis=a)).ravel() for a in (0, 1)]
        both = np.concatenate(steps)
        known = both[np.isfinite(both)]
        found[f"median step of {name}"] = float(np.median(known)) if known.size else 0.0
        found[f"largest step of {name}"] = float(known.max(initial=0))
    return found


def artifact_features(left: Residuals) -> dict[str, float]:
    """Blocks and lines without counts or full of them, tracks, breaks, mirrored ghosts."""
    from scipy.ndimage import label, uniform_filter

    good, values, score = left.good, left.values, left.score
    found: dict[str, float] = {}
    sure = good & (left.level > 3 * left.spread)
    empty = good & (values <= 0) & (left.level > 0.2)
    dark = sure & (score < -4)
    bright = good & (score > 8)
    for name, what in (("empty", empty), ("dark", dark), ("bright", bright)):
        share = uniform_filter(what.astype(np.float32), 7)
        there = uniform_filter(good.astype(np.float32), 7)
        full = share > 0.85 * np.maximum(there, 0.5)
        found[f"{name} pixels"] = float(np.log10(1e-6 + what.sum() / max(good.sum(), 1)))
        found[f"{name} blocks"] = float(np.log10(1e-6 + full.sum() / max(good.sum(), 1)))
        for axis in (0, 1):
            n = good.sum(axis=axis)
            lines = what.sum(axis=axis) / np.maximum(n, 8)
            found[f"{name} lines {axis}"] = float(lines.max(initial=0))
            found[f"number of {name} lines {axis}"] = float((lines > 0.3).sum())
            found[f"longest {name} run {axis}"] = _longest_run(what, axis)
    parts, n = label(bright, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())[1:] if n else np.zeros(1)
    found["bright parts"] = float(np.log10(1 + n))
    found["largest bright part"] = float(np.log10(1 + sizes.max()))
    found["long bright parts"] = float(np.log10(1 + (sizes > 12).sum()))
    found["ninetieth of bright parts"] = float(np.percentile(sizes, 90))
    top = values[good].max(initial=0) if good.any() else 0
    found["share at the top"] = float((values[good] >= top).mean()) if good.any() else 0.0
    cut = np.clip(score, -2.5, 2.5)
    for axis in (0, 1):
        step = np.abs(np.diff(cut, axis=axis))
        both = np.minimum(good.take(range(1, good.shape[axis]), axis),
                          good.take(range(good.shape[axis] - 1), axis))  # fmt: skip
        rows = (step * both).sum(axis=1 - axis) / np.maximum(both.sum(axis=1 - axis), 16)
        found[f"largest break {axis}"] = float(rows.max(initial=0) - np.median(rows))
        found[f"second break {axis}"] = float(np.sort(rows)[-min(3, len(rows))] - np.median(rows))
    broad = uniform_filter(cut, 3)
    for name, other, there in (
        ("left to right", broad[:, ::-1], good[:, ::-1]),
        ("top to bottom", broad[::-1], good[::-1]),
        ("turned", broad[::-1, ::-1], good[::-1, ::-1]),
    ):
        found[f"mirror {name}"] = _correlation(broad, other, good & there)
    return found


def cloud_features(left: Residuals) -> dict[str, float]:
    """How residuals vary on all scales and with distance; what is around spots."""
    found: dict[str, float] = {}
    cut = np.clip(left.score, -2.5, 2.5)
    weight = left.good.astype(np.float32)
    radius = left.places.away / max(float(left.places.away.max()), 1.0)
    zones = {"inner": (radius > 0.1) & (radius < 0.35), "outer": (radius >= 0.35) & (radius < 0.8)}
    sums = [_corner_sums(each) for each in (weight, cut * weight)]
    for size in _SCALES:
        step = max(1, size // 2)
        total, mean = (_box_means(each, size, step) for each in sums)
        mean /= np.maximum(total, 0.1)
        half = size // 2
        rows, columns = (slice(half, half + n * step, step) for n in mean.shape)
        for name, zone in zones.items():
            own = mean[(total > 0.8) & zone[rows, columns]]
            spread = float(own.std()) if own.size > 9 else 0.0
            found[f"variation at {size}, {name}"] = float(np.log10(1e-3 + spread * size))
            q = np.percentile(own, (2, 98)) if own.size > 9 else (0.0, 0.0)
            found[f"dark at {size}, {name}"] = float(q[0] * size)
            found[f"bright at {size}, {name}"] = float(q[1] * size)
    found |= _autocorrelation(cut * weight, weight)
    found |= _friedel(left, cut)
    return found


def spot_features(left: Residuals) -> dict[str, float]:
    """How many and how strong spots are, and what is around the strongest."""
    from scipy.ndimage import maximum_filter

    score = left.score
    raw = np.where(left.good, left.away / left.spread, 0)
    peak = (score > 5) & (raw >= maximum_filter(raw, 5)) & left.good
    found = {
        f"spots above {t}": float(np.log10(1 + (peak & (raw > t)).sum())) for t in (5, 8, 12, 30)
    }
    found |= {f"share above {t}": float(np.log10(1e-6 + (score > t).mean())) for t in (2, 3, 5)}
    y, x = np.nonzero(peak)
    n = _AROUND
    inside = (y >= n) & (x >= n) & (y < score.shape[0] - n) & (x < score.shape[1] - n)
    y, x = y[inside], x[inside]
    order = np.argsort(-raw[y, x])[:_SPOTS]
    names = ("1", "3", "5", "8", "11")
    if len(order) < 3:
        found |= dict.fromkeys([f"around spots {k}" for k in names], 0.0)
        return found | dict.fromkeys(
            ("strength of spots", "streak of spots", "halo of spots"), 0.0
        )
    strength = raw[y[order], x[order]]
    patches = np.stack(
        [np.clip(score[i - n : i + n + 1, j - n : j + n + 1], -3, 6)
         for i, j in zip(y[order], x[order], strict=True)]
    )  # fmt: skip
    mean = np.median(patches, axis=0) * 0.5 + patches.mean(axis=0) * 0.5
    dy, dx = np.indices(mean.shape) - n
    away = np.hypot(dy, dx)
    edges = (0.5, 1.8, 4, 6.5, 9.5, 12.5)
    for name, low, high in zip(names, edges[:-1], edges[1:], strict=True):
        found[f"around spots {name}"] = float(mean[(away > low) & (away <= high)].mean())
    found["strength of spots"] = float(np.log10(1 + np.median(strength)))
    ring = (away > 2.5) & (away < 11)
    level = mean - np.median(mean[away > 9])
    direction = np.exp(2j * np.arctan2(dy, dx))
    found["streak of spots"] = float(abs((level * direction)[ring].mean()))
    found["halo of spots"] = float(level[ring].mean())
    return found


def _autocorrelation(cut: NDArray[np.float32], weight: NDArray[np.float32]) -> dict[str, float]:
    """Correlation of residuals at some distances: mean over directions, and how they differ."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    most = max(_LAGS)
    size = [next_fast_len(n + most, real=True) for n in cut.shape]
    a, w = rfft2(cut, size), rfft2(weight, size)
    both = irfft2(np.abs(a) ** 2, size) / np.maximum(irfft2(np.abs(w) ** 2, size), 100)
    zero = max(float(both[0, 0]), 1e-9)
    found = {}
    angles = np.arange(12) * np.pi / 12
    for lag in _LAGS:
        y = np.rint(lag * np.sin(angles)).astype(int)
        x = np.rint(lag * np.cos(angles)).astype(int)
        own = both[y, x] / zero
        found[f"correlation at {lag}"] = float(np.median(own))
        found[f"directed correlation at {lag}"] = float(own.max() - np.median(own))
        found[f"correlation across at {lag}"] = float(own[0] - own[6])
    return found


def _friedel(left: Residuals, cut: NDArray[np.float32]) -> dict[str, float]:
    """Correlation of smoothed residuals with those on the other side of the beam."""
    from scipy.ndimage import uniform_filter

    found = {}
    shape = cut.shape
    y = np.rint(2 * left.center[0] - np.arange(0, shape[0], 2)).astype(int)
    x = np.rint(2 * left.center[1] - np.arange(0, shape[1], 2)).astype(int)
    rows, columns = (y >= 0) & (y < shape[0]), (x >= 0) & (x < shape[1])
    turned = np.ix_(np.clip(y, 0, shape[0] - 1), np.clip(x, 0, shape[1] - 1))
    both = left.good[::2, ::2] & rows[:, np.newaxis] & columns & left.good[turned]
    for size in (3, 9, 19):
        smooth = uniform_filter(cut, size)
        found[f"opposite at {size}"] = _correlation(smooth[::2, ::2], smooth[turned], both)
    return found


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32], use: NDArray[np.bool_]) -> float:
    if np.count_nonzero(use) < 100:
        return 0.0
    x, y = a[use], b[use]
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum() / size) if size > 0 else 0.0


def _corner_sums(values: NDArray[Any]) -> NDArray[np.float64]:
    """Sums of all above and to the left."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(values, axis=0, out=sums[1:, 1:], dtype=np.float64)
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    return sums


def _box_means(sums: NDArray[np.float64], size: int, step: int) -> NDArray[np.float64]:
    """Means of squares of a size, one every few pixels, from `_corner_sums`."""
    if min(sums.shape) <= size:
        return np.zeros((1, 1))
    below, above = slice(size, None, step), slice(0, -size, step)
    total = sums[below, below] - sums[above, below] - sums[below, above] + sums[above, above]
    return np.asarray(total / size**2)


def _longest_run(what: NDArray[np.bool_], axis: int) -> float:
    """Longest unbroken line of pixels along an axis, relative to the frame."""
    run = np.zeros(what.shape[1 - axis], np.int32)
    longest = np.zeros_like(run)
    for line in what if axis == 0 else what.T:
        run = np.where(line, run + 1, 0)
        np.maximum(longest, run, out=longest)
    return float(longest.max(initial=0) / what.shape[axis])


def _grid(values: NDArray[Any], cells: int) -> NDArray[np.float64]:
    sums = np.asarray(values, np.float64)
    for axis in (0, 1):
        starts = np.arange(cells) * values.shape[axis] // cells
        sums = np.add.reduceat(sums, starts, axis=axis)
    return sums


def _steps(line: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Difference of the means of the next and the last few."""
    if len(line) <= 2 * reach:
        return np.zeros(1)
    total = np.cumsum(np.append(0, line))
    means = (total[reach:] - total[:-reach]) / reach
    return np.asarray(means[reach:] - means[:-reach])


def _line_median(line: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    from scipy.ndimage import median_filter

    return np.asarray(median_filter(line, size, mode="nearest"))


def _line_mean(line: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(line, size, mode="nearest"))


def _ring_mean(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Mean of neighbours along the last axis, which is closed."""
    near = [np.roll(values, k - size // 2, axis=1) for k in range(size)]
    return np.asarray(np.mean(near, axis=0))


def _median(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Median of known values; 0 where there is none."""
    known = np.isfinite(values).any(axis=axis)
    filled = np.where(np.expand_dims(known, axis), values, 0)
    return np.asarray(np.nanmedian(filled, axis=axis))


def _safe(what: object, values: NDArray[np.float64]) -> float:
    assert callable(what)
    return float(what(values)) if np.isfinite(values).any() else 0.0
