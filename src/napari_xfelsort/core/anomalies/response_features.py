"""Features of detectors whose parts answer differently: panels, seams, stripes, blobs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.residuals import DIRECTIONS, Residuals

#: Pixels on each side of a gap whose means are compared, and the widest gap.
_STRIP, _WIDEST_GAP = 8, 40
_LEAST_SEAM = 24
_FEW_BAD = 8
_STRIPES = (1, 2, 4, 8)
_BLOCK = 4
_BLOBS = (2, 4, 8)
_VIGNETTES = np.linspace(0.0, 0.7, 8)
_FALLS = np.linspace(0.06, 0.18, 9)
#: Shells of the profile; the two at the beam are left out.
_PROFILE = 20


def response_features(left: Residuals) -> dict[str, float]:
    """Steps at gaps, edges of panels, stripes, dark blobs, fall-off to the corners."""
    cut = np.where(left.good, np.clip(left.relative, -0.7, 0.7), 0).astype(np.float32)
    floor = np.maximum(np.abs(left.level), left.spread)
    noise = np.where(left.good, (left.spread / floor) ** 2, 0).astype(np.float32)
    return {
        **_gap_steps(left, cut, noise),
        **_middle_steps(left, cut, noise),
        **_edges(left, cut, noise),
        **_stripes(left, cut, noise),
        **_blobs(left),
        **_vignette(left),
    }


def _gap_steps(
    left: Residuals, cut: NDArray[np.float32], noise: NDArray[np.float32]
) -> dict[str, float]:
    """Steps of the level from panel to panel, each over the whole of a common seam."""
    steps, scores, ends = [], [], []
    for axis in (0, 1):
        good = left.good if axis else left.good.T
        values, chance = ((each if axis else each.T) for each in (cut, noise))
        step, score, end = _steps_over_gaps(good, values, chance)
        steps.append(step)
        scores.append(score)
        ends.append(end)
    step, score, end = (np.concatenate(each) for each in (steps, scores, ends))
    found = {
        "seams with a gap": float(np.log10(1 + len(step))),
        "median step at gaps": 0.0,
        "ninetieth step at gaps": 0.0,
        "significance of steps at gaps": 0.0,
        "large steps at gaps": 0.0,
        "dark edges at gaps": 0.0,
    }
    if len(step) >= 3:
        size, sure = np.abs(step), np.abs(score)
        found["median step at gaps"] = float(np.median(size))
        found["ninetieth step at gaps"] = float(np.percentile(size, 90))
        found["significance of steps at gaps"] = float(np.median(sure))
        found["large steps at gaps"] = float((sure > 4).mean())
        found["dark edges at gaps"] = float(np.median(end))
    return found


def _steps_over_gaps(
    good: NDArray[np.bool_], values: NDArray[np.float32], noise: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of gaps that run down the frame: step, its significance, and how dark its edges are."""
    rows, columns = good.shape
    # A gap is a column without good pixels in pieces of some rows.
    n = max(1, rows // 32)
    pieces = [slice(k * rows // n, (k + 1) * rows // n) for k in range(n)]
    all_steps, all_scores, ends = [], [], []
    for piece in pieces:
        own = good[piece]
        there = own.sum(axis=0)
        seen = there > 0.6 * own.shape[0]
        total, chance = values[piece].sum(axis=0), noise[piece].sum(axis=0)
        edges = np.flatnonzero(np.diff(seen.astype(np.int8)))
        closing = [int(e) for e in edges if seen[e]]
        opening = [int(e) + 1 for e in edges if not seen[e]]
        for stop in closing:
            after = [start for start in opening if start > stop]
            if not after or after[0] - stop > _WIDEST_GAP:
                continue
            start = after[0]
            before = slice(max(0, stop - _STRIP - 1), stop - 1)
            beyond = slice(start + 2, min(columns, start + _STRIP + 2))
            a, b = there[before].sum(), there[beyond].sum()
            if min(a, b) < _LEAST_SEAM:
                continue
            mean_a, mean_b = total[before].sum() / a, total[beyond].sum() / b
            error = np.sqrt(chance[before].sum() / a**2 + chance[beyond].sum() / b**2)
            all_steps.append(mean_b - mean_a)
            all_scores.append((mean_b - mean_a) / max(float(error), 1e-6))
            edge = (total[stop] / max(there[stop], 1) - mean_a) / 2
            edge += (total[start] / max(there[start], 1) - mean_b) / 2
            ends.append(edge)
    return np.array(all_steps), np.array(all_scores), np.array(ends)


def _middle_steps(
    left: Residuals, cut: NDArray[np.float32], noise: NDArray[np.float32]
) -> dict[str, float]:
    """Steps across the middle and the thirds of the frame, in parts of its length."""
    found: dict[str, float] = {}
    for name, parts in (("middle", 2), ("thirds", 3)):
        steps, scores = [], []
        for axis in (0, 1):
            good = left.good if axis else left.good.T
            values, chance = ((each if axis else each.T) for each in (cut, noise))
            rows, columns = good.shape
            reach = max(2, columns // 24)
            for k in range(parts):
                piece = slice(k * rows // parts, (k + 1) * rows // parts)
                for line in range(1, parts):
                    at = line * columns // parts
                    a, b = slice(at - reach, at), slice(at, at + reach)
                    n = [float(good[piece, s].sum()) for s in (a, b)]
                    if min(n) < _LEAST_SEAM:
                        continue
                    mean = [
                        float(values[piece, s].sum()) / m for s, m in zip((a, b), n, strict=True)
                    ]
                    error = sum(
                        float(chance[piece, s].sum()) / m**2
                        for s, m in zip((a, b), n, strict=True)
                    )
                    steps.append(abs(mean[1] - mean[0]))
                    scores.append(steps[-1] / max(error**0.5, 1e-6))
        found[f"median step at {name}"] = float(np.median(steps)) if steps else 0.0
        found[f"largest step at {name}"] = float(max(steps, default=0.0))
        found[f"significance of steps at {name}"] = float(np.median(scores)) if scores else 0.0
    return found


def _edges(
    left: Residuals, cut: NDArray[np.float32], noise: NDArray[np.float32]
) -> dict[str, float]:
    """Pixels next to gaps and borders, against those further inside."""
    from scipy.ndimage import distance_transform_cdt, label

    parts, _ = label(~left.good)
    # Single bad pixels are no gaps.
    solid = left.good | (np.bincount(parts.ravel()) <= _FEW_BAD)[parts]
    inside = distance_transform_cdt(np.pad(solid, 1), "chessboard")[1:-1, 1:-1]
    found: dict[str, float] = {}
    number = np.where(left.good, np.minimum(inside, 12), 0)
    counts = np.bincount(number.ravel(), minlength=13)
    sums = np.bincount(number.ravel(), cut.ravel(), 13)
    chance = np.bincount(number.ravel(), noise.ravel(), 13)
    n = counts[6:12].sum()
    level = sums[6:12].sum() / max(n, 1)
    for k in (1, 2, 3):
        own = sums[k] / max(counts[k], 1) - level
        error = np.sqrt(chance[k]) / max(counts[k], 1)
        found[f"edges at {k}"] = float(own) if counts[k] > 16 else 0.0
        found[f"significance of edges at {k}"] = (
            float(own / max(float(error), 1e-6)) if counts[k] > 16 else 0.0
        )
    return found


def _stripes(
    left: Residuals, cut: NDArray[np.float32], noise: NDArray[np.float32]
) -> dict[str, float]:
    """How lines of some widths differ from those on both sides, beyond the noise."""
    found: dict[str, float] = {}
    small = np.clip(cut, -0.4, 0.4)
    for axis, name in ((1, "rows"), (0, "columns")):
        n = left.good.sum(axis=axis).astype(np.float64)
        line, chance = small.sum(axis=axis, dtype=np.float64), noise.sum(axis=axis)
        for width in _STRIPES:
            total, sums, noises = (_running(each, width) for each in (n, line, chance))
            mean = sums / np.maximum(total, 1)
            variance = noises / np.maximum(total, 1) ** 2
            use = total > 0.25 * width * left.good.shape[axis]
            rest = max(0, len(mean) - 2 * width)
            before, inner, after = (slice(k * width, k * width + rest) for k in range(3))
            away = mean[inner] - (mean[before] + mean[after]) / 2
            expected = variance[inner] + (variance[before] + variance[after]) / 4
            both = use[inner] & use[before] & use[after]
            away, expected = away[both], expected[both]
            if len(away) < 16:
                away, expected = np.zeros(16), np.ones(16)
            spread = float(1.4826 * np.median(np.abs(away)))
            typical = float(np.sqrt(np.median(expected)))
            found[f"stripes of {width} {name}"] = spread
            found[f"stripes of {width} {name} in noise"] = spread / max(typical, 1e-6)
            extra = spread**2 - float(np.median(expected))
            found[f"stripes of {width} {name} beyond noise"] = _root(extra)
            found[f"stripiest of {width} {name}"] = float(np.percentile(np.abs(away), 99))
    for width in _STRIPES:
        a, b = (found[f"stripes of {width} {name} in noise"] for name in ("rows", "columns"))
        found[f"one-way stripes of {width}"] = float(abs(np.log10((a + 0.1) / (b + 0.1))))
    return found


def _running(values: NDArray[Any], width: int) -> NDArray[np.float64]:
    sums = np.cumsum(np.append(0.0, values))
    return np.asarray(sums[width:] - sums[:-width])


def _blobs(left: Residuals) -> dict[str, float]:
    """Dark and bright round places, relative to their ring and direction."""
    from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

    good = left.good
    cut = np.where(good, np.clip(left.away, -4 * left.spread, 4 * left.spread), 0)
    level = np.where(good, np.maximum(left.level, 0), 0)
    noise = np.where(good, left.spread**2, 0)
    away, levels, noises, n = (_blocks(each) for each in (cut, level, noise, good))
    # Dropped packets are no blobs: nothing answers so little.
    lost = (away < -0.9 * levels) & (levels > 3 * np.sqrt(noises))
    away, levels, noises, n = (np.where(lost, 0, each) for each in (away, levels, noises, n))
    count = np.maximum(_blocks(good), 1)
    direction = _blocks(np.where(good, left.places.band % DIRECTIONS, 0)) / count
    number = np.clip(direction.astype(int), 0, DIRECTIONS - 1)
    ring = _blocks(np.where(good, left.places.away, 0)) / count
    shell = (ring / max(float(ring.max()), 1e-6) * 39).astype(int)
    for which, size in ((shell, 40), (number, DIRECTIONS)):
        total = np.bincount(which.ravel(), away.ravel(), size)
        of = np.bincount(which.ravel(), levels.ravel(), size)
        away = away - levels * (total / np.maximum(of, 1e-9))[which]
    found: dict[str, float] = {}
    for size in _BLOBS:
        sums, of, chance = (
            gaussian_filter(each, size, mode="constant") for each in (away, levels, noises)
        )
        share = gaussian_filter(n, size, mode="constant") / _BLOCK**2
        known = (share > 0.45) & (of > 0) & (ring > 0.08 * ring.max())
        depth = np.where(known, sums / np.where(known, of, 1), 0)
        # Of a Gaussian mean of independent blocks.
        error = np.sqrt(np.maximum(chance, 1e-12) / (4 * np.pi * size**2))
        score = np.where(known, sums / error, 0)
        k = int(score.argmin())
        found[f"darkest blob of {size}"] = float(score.ravel()[k])
        found[f"depth of darkest blob of {size}"] = float(depth.ravel()[k])
        found[f"brightest blob of {size}"] = float(score.max())
        found[f"dark blobs of {size}"] = float(((score < -5) & (depth < -0.06)).mean())
        found[f"bright blobs of {size}"] = float(((score > 5) & (depth > 0.06)).mean())
        # Arms of beam stops are dark as well, but narrow.
        for name, what in (("score", score), ("depth", depth)):
            wide = maximum_filter(what, 2 * size + 1, mode="constant")
            found[f"{name} of the darkest round blob of {size}"] = float(wide.min())
            wide = minimum_filter(what, 2 * size + 1, mode="constant")
            found[f"{name} of the brightest round blob of {size}"] = float(wide.max())
        own = depth[known]
        mean_square = float((own**2).mean()) if own.size else 0.0
        typical = float(((error[known] / of[known]) ** 2).mean()) if own.size else 0.0
        found[f"variation of blobs of {size}"] = _root(mean_square - typical)
        skew = float((own**3).mean()) / max(mean_square, 1e-9) ** 1.5 if own.size else 0.0
        found[f"skewness of blobs of {size}"] = skew
    return found


def _blocks(values: NDArray[Any]) -> NDArray[np.float64]:
    for axis in (0, 1):
        starts = np.arange(0, values.shape[axis], _BLOCK)
        values = np.add.reduceat(values, starts, axis=axis, dtype=np.float64)
    return np.asarray(values)


def _vignette(left: Residuals) -> dict[str, float]:
    """Slopes of the profile, and the fall-off to the corners that explains it best.

    The background is taken for an exponential of q on a floor with the rings of water.
    """
    from scipy.optimize import nnls

    level, error, radius, fade = _profile(left)
    known = np.isfinite(error) & (level > 0)
    log = np.where(known, np.log(np.maximum(level, 1e-6)), np.nan)
    found: dict[str, float] = {}
    for k in range(3, 18, 2):
        slope = log[k] - log[k - 2]
        found[f"slope {k}"] = float(slope) if np.isfinite(slope) else 0.0
    found["curve of the corner"] = _finite(log[17] - 2 * log[14] + log[11])
    names = ("best vignette", "gain by a vignette", "misfit without vignette")
    if not left.optics.known or known.sum() < 10:
        return found | dict.fromkeys(names, 0.0)
    angle = np.arctan(radius / left.optics.distance)
    q = 2 * np.sin(angle / 2) / left.optics.wavelength
    factor = np.cos(angle) ** 3 * (1 - 0.5 * np.sin(angle) ** 2)
    shapes = [np.exp(-0.5 * ((q - at) / width) ** 2) for at, width in (
        (0.308, 0.035), (0.308, 0.055), (0.47, 0.08))]  # fmt: skip
    misfits = np.full(len(_VIGNETTES), np.inf)
    w = np.where(known, 1 / np.where(known, error, 1), 0)
    for i, depth in enumerate(_VIGNETTES):
        for fall in _FALLS:
            air = np.exp(-q / fall)
            columns = [air, np.ones(18)]
            columns += [s * (air + 0.12) for s in shapes]
            design = np.stack(columns, axis=1) * (factor * (1 - depth * fade) * w)[:, np.newaxis]
            _, misfit = nnls(design, level * w)
            misfits[i] = min(misfits[i], misfit)
    best = int(misfits.argmin())
    found["best vignette"] = float(_VIGNETTES[best])
    found["gain by a vignette"] = float(
        np.log10((misfits[:2].min() + 0.1) / (misfits.min() + 0.1))
    )
    found["misfit without vignette"] = float(np.log10(misfits[0] + 0.1))
    return found


def _profile(
    left: Residuals,
) -> tuple[NDArray[np.float64], ...]:
    """Mean of what is not a spot in 18 shells, its error (infinite: not known), their radii.

    And how far they are from the middle of the frame: the square, 1 in the corner.
    """
    away = left.places.away
    shell = (away / np.float32(away.max()) * _PROFILE * 0.9999).astype(np.int16)
    use = left.good & (left.score < 4) & (left.places.band >= 0) & (left.score > -4)
    number = shell[use]
    n = np.bincount(number, minlength=_PROFILE)
    counts = np.maximum(n, 1)
    level = np.bincount(number, left.values[use], _PROFILE) / counts
    radius = np.bincount(number, away[use], _PROFILE) / counts
    noise = np.bincount(number, left.spread[use], _PROFILE) / counts / np.sqrt(counts)
    error = np.where(n > 50, np.hypot(0.012 * level, noise), np.inf)
    y, x = (((np.arange(m) + 0.5) / m * 2 - 1) ** 2 for m in away.shape)
    rows, columns = (float(m) ** 2 for m in away.shape)
    middle = (y[:, np.newaxis] * rows + x * columns) / (rows + columns)
    fade = np.bincount(number, middle[use], _PROFILE) / counts
    return level[2:], error[2:], radius[2:], fade[2:]


def _root(value: float) -> float:
    """Square root that keeps the sign."""
    return float(np.sign(value) * np.sqrt(abs(value)))


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0
