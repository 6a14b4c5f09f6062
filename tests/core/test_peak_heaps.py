"""Rings of ice and streaks learnt over a run; peaks of crystals at shared spacings stay."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.peaks import PeakFinder, PeakList, PeakSettings, find_peaks
from napari_xfelsort.core.peaks.heaps import beam_place, heaped
from napari_xfelsort.core.simulate.sfx import SfxMaker, SfxSimulationSettings
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

BEAM = (300.0, 320.0)


def peaks_at(radius, angle) -> PeakList:
    """Peaks at distances and directions from the beam."""
    radius, angle = np.asarray(radius, float), np.asarray(angle, float)
    n = len(radius)
    x, y = BEAM[1] + radius * np.cos(angle), BEAM[0] + radius * np.sin(angle)
    one, none = np.ones(n), np.full(n, np.nan)
    whole = np.ones(n, np.int32)
    return PeakList(("a",), 0 * whole, x, y, x, y, radius, none, one, one, whole)


def crystals(rng, n, at_ring):
    """Events of 25 peaks anywhere, and some more on one ring, as of one cell."""
    made = []
    for _ in range(n):
        radius = np.sqrt(rng.uniform(20**2, 300**2, 25))
        radius = np.append(radius, rng.normal(120, 0.5, at_ring))
        made.append(peaks_at(radius, rng.uniform(-np.pi, np.pi, len(radius))))
    return made


def test_rings_of_ice_are_left_out_where_there_is_ice():
    rng = np.random.default_rng(0)
    lists = crystals(rng, 40, 2)
    icy = rng.choice(40, 8, replace=False)
    n_ice = {}
    for i in icy:
        n = n_ice[i] = int(rng.integers(8, 20))
        own = lists[i]
        radius = np.append(own.radius, rng.normal(180, 0.8, n))
        angle = np.arctan2(own.y - BEAM[0], own.x - BEAM[1])
        lists[i] = peaks_at(radius, np.append(angle, rng.uniform(-np.pi, np.pi, n)))
    drop = heaped(lists, BEAM)
    for i, out in enumerate(drop):
        if i in n_ice:
            assert out[27:].mean() > 0.85
            assert out[:27].sum() <= 3
        else:
            assert not out.any()


def test_rings_that_crystals_share_stay():
    """Two or four peaks of every event at one spacing are no heap; a rare six are left, too."""
    rng = np.random.default_rng(1)
    assert not any(out.any() for out in heaped(crystals(rng, 60, 2), BEAM))
    assert not any(out.any() for out in heaped(crystals(rng, 60, 4), BEAM))
    rare = crystals(rng, 200, 1) + crystals(rng, 3, 10)
    assert not any(out.any() for out in heaped(rare, BEAM))


def test_streaks_and_rows_of_reflections():
    """Rows through the beam have another direction in each event; a jet hardly turns."""
    rng = np.random.default_rng(2)
    rows, jets = [], []
    for made, turn in ((rows, np.pi), (jets, 0.1)):
        for own in crystals(rng, 30, 1):
            angle = rng.uniform(-turn, turn) + np.where(rng.random(9) < 0.5, 0, np.pi)
            radius = np.append(own.radius, 20.0 + 25 * np.arange(9))
            old = np.arctan2(own.y - BEAM[0], own.x - BEAM[1])
            made.append(peaks_at(radius, np.append(old, angle + rng.normal(0, 0.01, 9))))
    assert not any(out.any() for out in heaped(rows, BEAM))
    drop = heaped(jets, BEAM)
    assert np.mean([out[26:].mean() for out in drop]) > 0.7
    assert np.mean([out[:26].mean() for out in drop]) < 0.06
    assert not any(out.any() for out in heaped(jets, None))


def test_runs_without_peaks_or_without_a_beam():
    none = PeakList.empty(("a",))
    assert heaped([], BEAM) == []
    assert [len(out) for out in heaped([none, none], BEAM)] == [0, 0]
    lost = peaks_at([np.nan] * 9, [0.0] * 9)
    assert not any(out.any() for out in heaped([lost] * 9, BEAM))


TEXT = """
clen = 0.1
photon_energy = 9000
res = 10000
adu_per_photon = 1
p/min_fs = 0
p/max_fs = 199
p/min_ss = 0
p/max_ss = 149
p/corner_x = -80
p/corner_y = -60
p/fs = +1.0x
p/ss = +1.0y
"""


def test_the_beam_lies_where_the_geometry_puts_it():
    row, column = beam_place(Geometry.from_crystfel_text(TEXT).fit((150, 200)))
    # Pixel centres at integers, y up: corner (-80, -60), the beam between two pixels.
    assert column == pytest.approx(79.5, abs=0.51)
    assert row == pytest.approx(149 - 59.5, abs=0.51)


def test_simulated_crystals_keep_their_peaks_and_ice_goes():
    values = {
        "n_events": 24,
        "binning": 8,
        "flux": (1e12,),
        "photon_energy": (8000.0,),
        "camera_length": (150.0,),
        "unmasked_hot": 0,
        "streak_share": 0.0,
        "seed": 5,
        "cell": (38.0, 38.0, 38.0, 90.0, 90.0, 90.0),
        "point_group": "m-3m",
        "crystal_size": (2.0, 6.0),
    }
    maker = SfxMaker(SfxSimulationSettings(ice_share=0.0, hit_share=1.0, **values))
    geometry = maker.panels.geometry.fit(maker.panels.raw_shape)
    events = [maker.event(i) for i in range(24)]
    bad = maker.response.mask != 0
    finder = PeakFinder(geometry.raw_shape, geometry)
    lists = [finder.find(event.frame, bad, 8000.0, 0.15) for event in events]
    assert sum(map(len, lists)) > 150
    assert not any(out.any() for out in heaped(lists, beam_place(geometry)))
    # Spots of ice over these crystals, every other event: on rings at 3.90, 3.67 and 3.44.
    rng = np.random.default_rng(7)
    wavelength = 12398.42 / 8000.0
    frames = np.array([event.frame for event in events])
    x, y, _ = geometry.positions()
    radius = np.hypot(x, y)
    planted = []
    for frame in frames[::2]:
        for d in (3.90, 3.67, 3.44):
            ring = 0.15 * np.tan(2 * np.arcsin(wavelength / (2 * d)))
            places = np.argwhere((np.abs(radius - ring) < 4e-4) & ~bad)
            for row, column in rng.permutation(places)[:8]:
                part = frame[row : row + 2, column : column + 2]
                part += rng.poisson(3000, part.shape).astype(frame.dtype)
                planted.append((row, column))
    stack = EventStack([ArraySource(np.where(bad, 0, frames))], geometry=geometry)
    every = find_peaks(stack, PeakSettings(repeats=1.0))
    run = find_peaks(stack)
    gone = int((every.counts - run.counts)[::2].sum())
    assert (every.counts - run.counts)[1::2].sum() == 0
    assert gone > 0.4 * len(planted)
    # Peaks of crystals are lost only where they lie on rings of ice that is there.
    kept = true = 0
    for i, (event, before, after) in enumerate(zip(events, every.lists, run.lists, strict=True)):
        spots = event.spots[event.spots["significance"] > 6]
        radii = np.hypot(spots["fs"][:, None] - before.fs, spots["ss"][:, None] - before.ss)
        true += int((radii < 1).any(axis=0).sum())
        radii = np.hypot(spots["fs"][:, None] - after.fs, spots["ss"][:, None] - after.ss)
        kept += int((radii < 1).any(axis=0).sum())
        assert i % 2 == 0 or len(before) == len(after)
    assert kept > 0.85 * true
