"""Peaks of a run: repeats, hits, tables, files; the shared stacks with relaxed numbers."""

from __future__ import annotations

import csv

import h5py
import numpy as np
import pytest

from napari_xfelsort.core.errors import OutputError, SettingsError, UnreadableFileError
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.peaks import PeakList, PeakSettings, find_peaks
from napari_xfelsort.core.peaks.repeats import repeated
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack

SHAPE = (160, 140)


def planted(row, column, photons=150.0):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    picture = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 1.2**2))
    return photons * picture / picture.sum()


def make_frames(n=12):
    """Every event with a block that stays; even events with two or three peaks."""
    rng = np.random.default_rng(0)
    frames, places = [], []
    for i in range(n):
        own = []
        if i % 2 == 0:
            own = [tuple(rng.uniform(15, 120, 2)) for _ in range(2)]
            if abs(own[0][0] - own[1][0]) < 15:
                own[1] = ((own[0][0] + 40) % 110 + 15, own[1][1])
        expected = 0.1 + planted(140, 130) + sum(planted(*place) for place in own)
        frames.append(rng.poisson(expected))
        places.append(own)
    return np.array(frames, np.int32), places


class Broken(ArraySource):
    """Whose event 3 cannot be read."""

    def read(self, i, window=None, out=None):
        if i == 3:
            raise UnreadableFileError("Event 3 is broken.")
        return super().read(i, window, out)


def test_what_stays_is_left_out_and_hits_are_told(tmp_path):
    frames, places = make_frames()
    run = find_peaks(EventStack([ArraySource(frames)]))
    assert run.counts.tolist() == [len(own) for own in places]
    assert run.left_out == 12
    assert run.hits.tolist() == [i % 2 == 0 for i in range(12)]
    for peaks, own in zip(run.lists, places, strict=True):
        for row, column in own:
            assert np.hypot(peaks.ss - row, peaks.fs - column).min() < 0.5
    every = find_peaks(EventStack([ArraySource(frames)]), PeakSettings(repeats=1.0))
    assert every.counts.tolist() == [len(own) + 1 for own in places]
    assert every.left_out == 0
    powder = run.powder()
    assert powder.shape == SHAPE
    assert run.powder(intensities=False).sum() == 12
    assert powder.sum() == pytest.approx(12 * 150, rel=0.15)


def test_masks_are_used_and_broken_events_named():
    frames, _ = make_frames(6)
    bad = np.zeros(SHAPE, bool)
    bad[130:150, 120:] = True
    source = Broken(frames, mask=PixelMask.from_bad(bad))
    seen, partial = [], []
    run = find_peaks(
        EventStack([source]),
        progress=lambda *numbers: seen.append(numbers),
        partial=partial.extend,
    )
    assert run.counts.tolist() == [2, 0, 2, -1, 2, 0]
    assert run.problems == {3: "Event 3 is broken."}
    assert run.statuses[3] == "unreadable"
    assert seen[-1] == (6, 6)
    assert sorted(i for i, _ in partial) == list(range(6))


def test_few_events_or_few_repeats_leave_nothing_out():
    peak = PeakList(("a",), np.zeros(1, np.int32), *(np.ones(1),) * 8, np.ones(1, np.int32))
    none = PeakList.empty(("a",))
    assert not any(d.any() for d in repeated([peak] * 4, (9, 9), 0.3))
    assert all(d.all() for d in repeated([peak] * 5, (9, 9), 0.3))
    kept = repeated([peak] * 6 + [none] * 14, (9, 9), 0.33)
    assert not any(d.any() for d in kept)
    assert [len(d) for d in repeated([none, none], (9, 9), 0.3)] == [0, 0]


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_tables_lists_and_labels(tmp_path):
    frames, _ = make_frames(8)
    source = Broken(frames, path="run.h5")
    run = find_peaks(EventStack([source]))
    run.write_events(tmp_path / "events.csv")
    run.write_peaks(tmp_path / "peaks.csv")
    rows = table(tmp_path / "events.csv")
    assert [row["status"] for row in rows] == run.statuses
    assert rows[3]["peaks"] == ""
    assert rows[2]["peaks"] == "2"
    rows = table(tmp_path / "peaks.csv")
    assert len(rows) == sum(map(len, run.lists)) == 8
    assert float(rows[0]["fs"]) == pytest.approx(run.lists[0].fs[0], rel=1e-5)
    assert rows[0]["resolution"] == ""
    assert run.write_list(tmp_path / "hits.lst") == 4
    assert (tmp_path / "hits.lst").read_text().splitlines()[1] == "run.h5 //2"
    with pytest.raises(OutputError, match="exists"):
        run.write_events(tmp_path / "events.csv")
    store = LabelStore(tmp_path / "labels", "someone")
    done = run.store_labels(store)
    assert done.counts == {"hit": 4, "blank": 3}
    assert done.undecided == 1
    with pytest.raises(OutputError):  # events in memory have no file that could be shown
        run.write_cxi(tmp_path / "peaks.cxi")
    assert not (tmp_path / "peaks.cxi").exists()


def test_a_cxi_file_is_read_again(tmp_path):
    frames, _ = make_frames(8)
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["data/data"] = frames
    run = find_peaks(open_stack([str(tmp_path / "run.h5")]))
    run.write_cxi(tmp_path / "peaks.cxi")
    again = open_stack([str(tmp_path / "peaks.cxi")])
    for i, peaks in enumerate(run.lists):
        np.testing.assert_array_equal(again.raw(i), frames[i])
        stored = again.peaks(i)
        assert stored is not None
        np.testing.assert_array_equal(stored.fs, peaks.fs)
        np.testing.assert_array_equal(stored.ss, peaks.ss)
        np.testing.assert_array_equal(stored.intensity, peaks.intensity)
    again.close()
    run.write_cxi(tmp_path / "hits.cxi", np.flatnonzero(run.hits).tolist())
    with h5py.File(tmp_path / "hits.cxi") as file:
        assert file["entry_1/result_1/nPeaks"][()].tolist() == [2, 2, 2, 2]
        assert file["entry_1/result_1/peakSNR"].shape == (4, 2)
    run.stack.close()


def test_either_processes_or_a_scheduler():
    frames, _ = make_frames(2)
    with pytest.raises(SettingsError, match="not both"):
        find_peaks(EventStack([ArraySource(frames)]), processes=2, scheduler="tcp://nowhere:1")


def score(run, file, keep):
    """Findable spots, found ones, and peaks near no spot, of some events."""
    spots, findable, found, false = file["truth/spots"][()], 0, 0, 0
    for k, i in enumerate(keep):
        own = spots[spots["frame"] == i]
        peaks = run.lists[k]
        near = np.hypot(peaks.fs[:, None] - own["fs"], peaks.ss[:, None] - own["ss"]) <= 2
        wanted = own["significance"] > 6
        findable += int(wanted.sum())
        found += int(near.any(axis=0)[wanted].sum())
        false += int((~near.any(axis=1)).sum())
    return findable, found, false


def test_reference_frames_with_defaults(shared_data):
    folder = shared_data / "sfx"
    path = folder / "set05_7keV_250mm.cxi"
    if not path.is_file():
        pytest.skip("no reference stacks of peaks")
    # Hits at several levels, and blanks with ice rings and streaks.
    keep = [13, 20, 23, 21, 39, 38, 41, 4, 5, 3, 0]
    stack = open_stack([str(path)], geometry=str(folder / "eiger4m.geom")).subset(keep)
    run = find_peaks(stack)
    with h5py.File(path) as file:
        findable, found, false = score(run, file, keep)
        hit = file["labels/hit"][()][keep] != 0
    assert findable > 55
    assert found >= 0.85 * findable
    assert false <= 0.05 * (found + false)
    assert np.mean(run.hits == hit) > 0.9
    assert sum(np.isfinite(peaks.resolution).sum() for peaks in run.lists) == run.counts.sum()
    stack.close()
