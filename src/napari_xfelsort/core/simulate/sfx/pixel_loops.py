"""Compiled loops over the pixels of a panel; imported where used."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import fast

Flat = NDArray[np.float32]
Numbers = NDArray[np.float64]


@fast
def add_scattering(
    light: Flat,
    layout: NDArray[np.int64],
    frame: Numbers,
    tables: NDArray[np.float32],
    w_step: float,
    polarisation: float,
    texture: Numbers,
    streaks: Numbers,
) -> None:
    """Add smooth scattering to the pixels of one panel, in photons.

    Parameters
    ----------
    light : ndarray of float32, size of the raw frame
        Changed in place.
    layout : ndarray of int64, shape (5,)
        First pixel, steps along ss and fs in the flat frame, height, width.
    frame : ndarray, shape (4, 3)
        Corner, step along fs, step along ss, and normal times area of a pixel; in m
        from the sample.
    tables : ndarray of float32, shape (2, k)
        Photons per steradian against 1 - cos(2 theta), in steps of ``w_step``: what is
        even around the beam, and the ice.
    polarisation : float
        Share of the horizontal above the vertical.
    texture : ndarray, shape (2,)
        The ice is multiplied by 1 + t[0] cos(2 phi) + t[1] sin(2 phi).
    streaks : ndarray, shape (n, 5)
        Cosine and sine of the direction, width (standard deviation) and fall across and
        along in tan(2 theta), photons per steradian near the beam.
    """
    start, down, along, height, width = layout
    last = tables.shape[1] - 2
    icy = False
    for k in range(tables.shape[1]):
        if tables[1, k] != 0.0:
            icy = True
            break
    p_x, p_y = 0.5 * (1.0 + polarisation), 0.5 * (1.0 - polarisation)
    for i in range(height):
        for j in range(width):
            x = frame[0, 0] + (j + 0.5) * frame[1, 0] + (i + 0.5) * frame[2, 0]
            y = frame[0, 1] + (j + 0.5) * frame[1, 1] + (i + 0.5) * frame[2, 1]
            z = frame[0, 2] + (j + 0.5) * frame[1, 2] + (i + 0.5) * frame[2, 2]
            across2 = x * x + y * y
            r2 = across2 + z * z
            if r2 <= 0.0:
                continue  # a pixel at the sample
            r = math.sqrt(r2)
            # 1 - cos(2 theta), exact near the beam too.
            w = across2 / (r * (r + z)) if z > 0.0 else 1.0 - z / r
            place = w / w_step
            k = min(int(place), last)
            share = min(place - k, 1.0)
            value = tables[0, k] + share * (tables[0, k + 1] - tables[0, k])
            if icy:
                ice = tables[1, k] + share * (tables[1, k + 1] - tables[1, k])
                if ice > 0.0 and across2 > 0.0:
                    cos = (x * x - y * y) / across2
                    sin = 2.0 * x * y / across2
                    value += ice * (1.0 + texture[0] * cos + texture[1] * sin)
            for n in range(streaks.shape[0]):
                if z > 0.0:
                    side = abs(y * streaks[n, 0] - x * streaks[n, 1]) / z
                    if side < 4.0 * streaks[n, 2]:
                        ahead = abs(x * streaks[n, 0] + y * streaks[n, 1]) / z
                        near = 1.0 / (1.0 + (ahead / streaks[n, 3]) ** 2)
                        edge = math.exp(-0.5 * (side / streaks[n, 2]) ** 2)
                        value += streaks[n, 4] * near * edge
            solid = abs(x * frame[3, 0] + y * frame[3, 1] + z * frame[3, 2]) / (r2 * r)
            polar = 1.0 - (p_x * x * x + p_y * y * y) / r2
            light[start + i * down + j * along] += value * solid * polar


@fast
def weigh_spots(
    light: Flat,
    hidden: NDArray[np.bool_],
    passes: Flat,
    layout: NDArray[np.int64],
    spots: Numbers,
    told: Numbers,
) -> None:
    """What can be seen of spots before the background of one panel.

    Parameters
    ----------
    light : ndarray of float32, size of the raw frame
        Expected background in photons, before obstacles.
    hidden : ndarray of bool, size of the raw frame
        Pixels that show nothing.
    passes : ndarray of float32, size of the raw frame or 1
        What obstacles leave; one number for all if there is one.
    spots : ndarray, shape (n, 6)
        fs, ss (first pixel's centre 0), photons, covariance ff, fs, ss in pixels.
    told : ndarray, shape (n, 4)
        Filled: photons in usable pixels, significance (root of twice the expected
        log-likelihood ratio), photons of the brightest pixel, background a pixel there.
    """
    start, down, along, height, width = layout
    for n in range(spots.shape[0]):
        f0, s0, photons = spots[n, 0], spots[n, 1], spots[n, 2]
        det = spots[n, 3] * spots[n, 5] - spots[n, 4] * spots[n, 4]
        a, b, c = spots[n, 5] / det, -spots[n, 4] / det, spots[n, 3] / det
        peak = photons / (2.0 * math.pi * math.sqrt(det))
        reach_f, reach_s = 4.0 * math.sqrt(spots[n, 3]), 4.0 * math.sqrt(spots[n, 5])
        seen, ratio, brightest, behind = 0.0, 0.0, 0.0, 0.0
        for i in range(max(0, math.ceil(s0 - reach_s)), min(height, int(s0 + reach_s) + 1)):
            for j in range(max(0, math.ceil(f0 - reach_f)), min(width, int(f0 + reach_f) + 1)):
                at = start + i * down + j * along
                if hidden[at]:
                    continue
                clear = passes[at] if passes.size > 1 else passes[0]
                u, v = j - f0, i - s0
                value = clear * peak * math.exp(-0.5 * (a * u * u + 2.0 * b * u * v + c * v * v))
                ground = max(clear * light[at], 1e-9)
                seen += value
                ratio += (ground + value) * math.log1p(value / ground) - value
                if value > brightest:
                    brightest, behind = value, ground
        told[n, 0] = seen
        told[n, 1] = math.sqrt(max(2.0 * ratio, 0.0))
        told[n, 2] = brightest
        told[n, 3] = behind


@fast
def draw_spots(light: Flat, layout: NDArray[np.int64], spots: Numbers) -> None:
    """Add spots to the pixels of one panel; see `weigh_spots`."""
    start, down, along, height, width = layout
    for n in range(spots.shape[0]):
        f0, s0 = spots[n, 0], spots[n, 1]
        det = spots[n, 3] * spots[n, 5] - spots[n, 4] * spots[n, 4]
        a, b, c = spots[n, 5] / det, -spots[n, 4] / det, spots[n, 3] / det
        peak = spots[n, 2] / (2.0 * math.pi * math.sqrt(det))
        reach_f, reach_s = 4.0 * math.sqrt(spots[n, 3]), 4.0 * math.sqrt(spots[n, 5])
        for i in range(max(0, math.ceil(s0 - reach_s)), min(height, int(s0 + reach_s) + 1)):
            for j in range(max(0, math.ceil(f0 - reach_f)), min(width, int(f0 + reach_f) + 1)):
                u, v = j - f0, i - s0
                value = peak * math.exp(-0.5 * (a * u * u + 2.0 * b * u * v + c * v * v))
                light[start + i * down + j * along] += value


@fast
def paint_spots(heat: Any, layout: NDArray[np.int64], spots: Numbers, sigma: float) -> None:
    """Maps of where spots are: round Gaussians of height 1, the greatest where they overlap."""
    start, down, along, height, width = layout
    reach = 4.0 * sigma
    for n in range(spots.shape[0]):
        f0, s0 = spots[n, 0], spots[n, 1]
        for i in range(max(0, math.ceil(s0 - reach)), min(height, int(s0 + reach) + 1)):
            for j in range(max(0, math.ceil(f0 - reach)), min(width, int(f0 + reach) + 1)):
                value = math.exp(-0.5 * ((j - f0) ** 2 + (i - s0) ** 2) / sigma**2)
                at = start + i * down + j * along
                heat[at] = max(heat[at], value)
