"""From a run to a table, accepted ranges and labels; each of PADT's wrong results."""

from __future__ import annotations

import csv
import dataclasses
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.polynomial import Polynomial

import napari_xfelsort as xs
from napari_xfelsort.core.errors import (
    LabelError,
    OutputError,
    RegionError,
    SettingsError,
    UnreadableFileError,
)
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.label_rules import withdraw
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.profiles import (
    Profiler,
    ProfileSettings,
    ProfileTable,
    count_ranges,
    find_peaks,
    fit_profiles,
    histogram,
    inside,
    labels_of,
    nearest_points,
    store_labels,
)
from napari_xfelsort.core.simulate import simulate_detector
from napari_xfelsort.core.simulate.frames import FrameMaker
from napari_xfelsort.core.simulate.layout import DETECTORS
from napari_xfelsort.core.simulate.settings import DetectorSimulationSettings
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

X = np.arange(64.0)
RNG = np.random.default_rng(5)


def curve(p, q):
    """A smooth profile with the inflection points p and q."""
    c = Polynomial.fromroots(np.array([p, q]) - 32) * 0.02
    return c.integ(2, k=[0.1, 500])(X - 32)


#: Curved one way only: no inflection point.
BOWL = 500 + 0.3 * (X - 32) ** 2


def run_of(profiles, noise=0.05, path="run.cxi", dtype=np.float32, **more):
    """A stack of frames of 5 x 64 pixels with these profiles along fs."""
    frames = np.asarray(profiles)[:, np.newaxis, :] + RNG.normal(0, noise, (len(profiles), 5, 64))
    return EventStack([ArraySource(frames.astype(dtype), path, **more)])


def mixed(n_good, n_bad, seed=0):
    """Profiles of good events (points near 15 and 45) and broadly scattered bad ones."""
    rng = np.random.default_rng(seed)
    good = np.arange(n_good + n_bad) < n_good
    rng.shuffle(good)
    profiles = [
        curve(rng.normal(15, 0.3), rng.normal(45, 0.3))
        if each
        else curve(rng.uniform(4, 28), rng.uniform(34, 60))
        for each in good
    ]
    return profiles, good


# --- the table


def test_every_event_once_by_its_own_name():
    first, second = run_of([curve(15, 45)] * 3, path="a.cxi"), run_of([BOWL] * 2, path="b.cxi")
    stack = EventStack([*first.sources, *second.sources]).subset([4, 0, 2, 3, 1])
    table = fit_profiles(stack)
    names = ["b.cxi //1", "a.cxi //0", "a.cxi //2", "b.cxi //0", "a.cxi //1"]
    assert [str(event) for event in table.events] == names
    assert table.ok.tolist() == [False, True, True, False, True]
    assert [str(e) for e in table.events[1:3]] == names[1:3]


def test_labels_stay_with_their_events_when_some_cannot_be_decided():
    """PADT's labels slide by one event for every frame without two inflection points."""
    profiles, good = mixed(60, 30)
    undecidable = [0, 7, 8, 40, 89]
    for k in undecidable:
        profiles[k] = BOWL
    table = fit_profiles(run_of(profiles, noise=0.01))
    labels = labels_of(table, [(13, 17), (43, 47)], "inside")
    assert np.flatnonzero(labels == "undecided").tolist() == undecidable
    decided = labels != "undecided"
    points = [fit_profiles(run_of([p], noise=0.01)).inflections[0] for p in profiles]
    truth = [(np.abs(p - 15) <= 2).any() and (np.abs(p - 45) <= 2).any() for p in points]
    assert ((labels == "good") == np.array(truth))[decided].mean() > 0.98
    assert (labels == "good")[decided & good].mean() > 0.98


def test_one_bad_value_costs_its_pixel_only():
    """One NaN in one event leaves PADT without any inflection point of the file."""
    stack = run_of([curve(15, 45)] * 4)
    stack.sources[0]._frames[2, 3, 10] = np.nan
    stack.sources[0]._frames[3, :, 20] = np.nan
    table = fit_profiles(stack)
    assert table.ok.all()
    assert table.n_points.tolist() == [64, 64, 64, 63]
    assert np.allclose(table.inflections, [15, 45], atol=0.5)


def test_statuses_are_told():
    nothing = np.full(64, np.nan)
    profiles = [curve(15, 45), np.full(64, 9.0), nothing, BOWL, np.where(X < 9, X, np.nan)]
    table = fit_profiles(run_of(profiles, noise=0))
    wanted = ["ok", "constant", "empty", "no inflection point", "too few points"]
    assert table.statuses == wanted
    assert table.status_counts() == dict.fromkeys(wanted, 1)
    assert labels_of(table, [(10, 20)], "outside").tolist() == ["bad"] + ["undecided"] * 4


def test_an_event_that_cannot_be_read_is_named_and_the_others_are_fitted():
    class Torn(ArraySource):
        def read(self, i, window=None, out=None):
            if i == 1:
                raise UnreadableFileError("Event run.cxi //1 cannot be read: torn.")
            return super().read(i, window, out)

    frames = np.repeat(curve(15, 45)[np.newaxis, np.newaxis], 3, axis=0).repeat(4, axis=1)
    table = fit_profiles(EventStack([Torn(frames)]))
    assert table.statuses == ["ok", "unreadable", "ok"]
    assert table.problems == {1: "Event run.cxi //1 cannot be read: torn."}
    assert table.n_points.tolist() == [64, 0, 64]
    profile = Profiler(EventStack([Torn(frames)])).event(1)
    assert np.isnan(profile.values).all()
    assert (profile.status, profile.problem) == ("unreadable", table.problems[1])


def test_everything_masked():
    stack = run_of([curve(15, 45)] * 2, mask=PixelMask.from_bad(np.ones((5, 64), bool)))
    assert fit_profiles(stack).statuses == ["empty"] * 2
    assert fit_profiles(stack, axis="ss", statistic="median").statuses == ["empty"] * 2


@pytest.mark.parametrize("axis", ["fs", "ss"])
@pytest.mark.parametrize("region", ["window:0:1,0:64", "window:0:5,3:4", "window:2:3,7:8"])
def test_regions_one_pixel_wide(region, axis):
    table = fit_profiles(run_of([curve(15, 45)] * 2), region, axis)
    fits = axis == "fs" and region == "window:0:1,0:64"
    assert table.statuses == ["ok" if fits else "too few points"] * 2
    assert find_peaks(table) == []


def test_a_block_is_a_part_of_the_whole(monkeypatch):
    profiles, _ = mixed(20, 11)
    stack = run_of(profiles)
    whole = fit_profiles(stack)
    monkeypatch.setattr("napari_xfelsort.core.features.BLOCK_BYTES", 5 * 64 * 4 * 7)
    told = []
    parts = fit_profiles(stack, progress=lambda *numbers: told.append(numbers))
    assert told == [(7, 31), (14, 31), (21, 31), (28, 31), (31, 31)]
    assert np.allclose(whole.inflections, parts.inflections, rtol=1e-12, equal_nan=True)


def test_progress_may_stop_it():
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_profiles(run_of([BOWL] * 2), progress=stop)


def test_one_event_is_as_in_the_table():
    stack = run_of(mixed(5, 5)[0])
    profiler = Profiler(stack, None, ProfileSettings(order=5))
    table = profiler.table()
    for i in (0, 9):
        profile = profiler.event(i)
        found = table.inflections[i]
        assert np.allclose(profile.inflections, found[np.isfinite(found)], rtol=1e-12)
        assert np.allclose(profile.fitted, table.polynomial(i)(profile.positions))
        assert np.allclose(profile.curve(profile.positions), profile.fitted)
        assert np.allclose(profile.values, stack.raw(i).mean(axis=0))
        missed = profile.values - profile.fitted
        assert profile.residual == pytest.approx(np.sqrt((missed**2).mean()))
        assert profile.residual == pytest.approx(table.residual[i], rel=1e-9)
        assert profile.unit == "pixels"


def test_rows_between_panels_are_no_points_that_are_missing():
    """Of two modules far apart in the frame; of 40 rows 30 belong to neither."""
    geometry = Geometry.from_crystfel_text(
        "res = 10000\ndata = /d\ndim0 = %\ndim1 = ss\ndim2 = fs\n"
        + "".join(
            f"{name}/min_fs = 0\n{name}/max_fs = 3\n{name}/min_ss = {first}\n"
            f"{name}/max_ss = {first + 4}\n{name}/corner_x = 0\n{name}/corner_y = {first}\n"
            f"{name}/fs = x\n{name}/ss = y\n"
            for name, first in (("a", 0), ("b", 35))
        )
    )
    rows = np.arange(40.0)
    frames = np.repeat((rows**3 - 60 * rows**2)[np.newaxis, :, np.newaxis], 2, axis=0)
    frames = np.repeat(frames, 4, axis=2)
    frames[1, :3] = np.nan
    frames[1, 35:38] = np.nan
    stack = EventStack([ArraySource(frames)], geometry=geometry)
    table = fit_profiles(stack, "panel:a,b", "ss", 4)
    assert table.statuses == ["ok", "too few points"]
    assert table.n_points.tolist() == [10, 4]
    assert table.inflections[0, 0] == pytest.approx(20)  # 6 ss - 120 = 0


def test_settings_and_region_are_checked():
    stack = run_of([BOWL])
    for wrong in ({"axis": "z"}, {"order": 0}, {"order": 99}, {"statistic": "mode"}, {"x": 1}):
        with pytest.raises(SettingsError):
            fit_profiles(stack, **wrong)
    with pytest.raises(RegionError):
        fit_profiles(stack, "panel:p6a0")
    assert xs.fit_profiles is fit_profiles


# --- on disk


def test_a_table_is_read_as_it_was_written(tmp_path):
    stack = run_of([curve(15, 45), BOWL, np.full(64, np.nan)], path='odd, "name" #1.cxi')
    table = fit_profiles(stack, "window:0:5,0:60", order=5, statistic="median")
    table.write_csv(tmp_path / "t.csv")
    again = ProfileTable.read_csv(tmp_path / "t.csv")
    assert list(again.events) == list(table.events)
    assert (again.settings, again.region, again.domain) == (
        table.settings,
        table.region,
        table.domain,
    )
    for name in ("status", "n_points", "coefficients", "inflections", "residual", "r2"):
        assert np.array_equal(
            getattr(again, name), getattr(table, name), equal_nan=name not in ("status",)
        ), name
    with (tmp_path / "t.csv").open() as text:
        next(text)
        rows = list(csv.DictReader(text))
    assert len(rows) == 3
    assert float(rows[0]["inflection_1"]) == table.inflections[0, 0]
    assert rows[2]["status"] == "empty"
    assert rows[2]["c0"] == ""


def test_a_table_is_not_overwritten_unasked(tmp_path):
    table = fit_profiles(run_of([BOWL]))
    table.write_csv(tmp_path / "t.csv")
    with pytest.raises(OutputError, match="exists"):
        table.write_csv(tmp_path / "t.csv")
    table.write_csv(tmp_path / "t.csv", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    table = fit_profiles(run_of([curve(15, 45)] * 2))
    table.write_csv(path)
    head, columns, first, second = path.read_text().splitlines()
    spoilt = {
        "": "first line",
        "file,event\n": "first line",
        "# xfelsort profiles {\n": "no table",
        "# xfelsort profiles []\n": "no table",
        head.replace('"order": 4', '"order": 5') + f"\n{columns}\n": "columns",
        head.replace('"axis": "fs"', '"axis": "z"') + f"\n{columns}\n": "axis",
        f"{head}\n{columns}\n{first}\n{first}\n": "line 4 names run.cxi //0 again",
        f"{head}\n{columns}\n{first},1\n": "line 3 has",
        f"{head}\n{columns}\n{first.replace('ok', 'fine')}\n": "unknown status",
        f"{head}\n{columns}\n{first}x\n": "no table",
        f'{head}\n{columns}\n"{first}\n': "no table",
    }
    for text, reason in spoilt.items():
        path.write_text(text)
        with pytest.raises(UnreadableFileError, match=reason):
            ProfileTable.read_csv(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n\0\xff")
    with pytest.raises(UnreadableFileError):
        ProfileTable.read_csv(path)
    with pytest.raises(UnreadableFileError, match="No such file"):
        ProfileTable.read_csv(tmp_path / "absent.csv")
    assert second


# --- ranges


def points_table(rows, width=2, domain=(0.0, 100.0)):
    """A table with these inflection points and nothing else."""
    n = len(rows)
    points = np.full((n, width), np.nan)
    for k, row in enumerate(rows):
        points[k, : len(row)] = sorted(row)
    return ProfileTable(
        [EventId("run.cxi", f"//{k}") for k in range(n)],
        ProfileSettings(order=width + 2),
        xs.Region(),
        domain,
        np.where(np.isfinite(points).any(axis=1), 0, 4).astype(np.uint8),
        np.full(n, 100),
        np.zeros((n, width + 3)),
        points,
        np.zeros(n),
        np.ones(n),
    )


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 1.0])
def test_the_peak_is_where_it_is_densest_not_where_most_are(share):
    """With 65 % bad events PADT's quartiles hold nearly all of them."""
    rng = np.random.default_rng(1)
    n = 1000
    good = np.arange(n) < share * n
    first = np.where(good, rng.normal(20, 1, n), rng.uniform(0, 50, n))
    second = np.where(good, rng.normal(80, 2, n), rng.uniform(50, 100, n))
    table = points_table(np.column_stack([first, second]))
    low, high = find_peaks(table)
    assert low.position == pytest.approx(20, abs=0.5)
    assert high.position == pytest.approx(80, abs=1)
    assert 0.8 < low.width < 1.6
    assert 1.6 < high.width < 3.2
    assert low.range == pytest.approx((20 - 3.5 * low.width, 20 + 3.5 * low.width), abs=0.6)
    labels = labels_of(table, [low.range, high.range], "inside")
    assert ((labels == "good") == good).mean() > 0.95
    swapped = labels_of(table, [low.range, high.range], "outside")
    assert ((swapped == "good") == (labels == "bad")).all()


def test_one_more_point_at_the_edge_moves_no_other():
    """Of more than two points PADT takes two by chance; here each range asks for its own."""
    rng = np.random.default_rng(2)
    rows = [[*rng.normal([40, 70], 0.5), *([rng.uniform(0, 9)] * (k % 3 == 0))] for k in range(90)]
    table = points_table(rows, 4)
    peaks = find_peaks(table)
    assert [round(p.position) for p in peaks] == [40, 70]
    assert inside(table, [p.range for p in peaks]).mean() > 0.97
    assert np.allclose(nearest_points(table, 40), 40, atol=3)


def test_equal_events_and_few_events():
    table = points_table([[40, 70]] * 6)
    assert [p.position for p in find_peaks(table)] == pytest.approx([40, 70])
    assert inside(table, [p.range for p in find_peaks(table)]).all()
    assert find_peaks(points_table([[40, 70]] * 4)) == []
    assert find_peaks(points_table([[]] * 9)) == []
    assert find_peaks(points_table([[]] * 9, 0)) == []
    assert find_peaks(points_table([])) == []


def test_histogram_and_counts_by_hand():
    table = points_table([[10, 60], [10.5, 99], [30], [], [12, 61]])
    all_points = histogram(table, bins=4)
    assert all_points.edges.tolist() == [0, 25, 50, 75, 100]
    assert all_points.counts.tolist() == [3, 1, 2, 1]
    first = histogram(table, 10, bins=2, span=(5, 15))
    assert (first.counts.tolist(), first.beyond) == ([0, 3], 1)
    counts = count_ranges(table, [(9, 12), (59, 62)])
    assert counts == (2, 2, 1, (3, 2))
    labels = labels_of(table, [(9, 12), (59, 62)], "inside").tolist()
    assert labels == ["good", "bad", "bad", "undecided", "good"]
    with pytest.raises(SettingsError):
        histogram(table, bins=0)
    with pytest.raises(SettingsError):
        histogram(table, span=(3, 3))


def test_nothing_is_decided_without_ranges_and_side():
    table = points_table([[10, 60]] * 3)
    with pytest.raises(LabelError, match="no accepted range"):
        labels_of(table, [], "inside")
    with pytest.raises(LabelError, match="empty"):
        labels_of(table, [(5, 3)], "inside")
    with pytest.raises(LabelError, match="empty"):
        labels_of(table, [(np.nan, 3)], "inside")
    with pytest.raises(LabelError, match="inside or outside"):
        labels_of(table, [(3, 5)], "majority")
    with pytest.raises(TypeError):
        labels_of(table, [(3, 5)])


# --- label folders


def labelled(store):
    return {str(event): label for event, label in store.labels().items()}


def apply(store, profiles, ranges, good="inside", **more):
    """Label a run of these profiles; frames are the same in every call of a test."""
    stack = run_of(profiles, noise=0)
    return store_labels(store, stack, fit_profiles(stack), ranges, good, **more)


THREE = [curve(15, 45), curve(25, 45), BOWL]


def test_labels_are_stored_with_how_they_were_made(tmp_path):
    store = LabelStore(tmp_path / "labels", "anna")
    done = apply(store, THREE, [(14, 16), (40, 50)])
    assert done == ({"bad": 1, "good": 1}, 0, 1)
    again = LabelStore(tmp_path / "labels", "anna")
    assert labelled(again) == {"run.cxi //0": "good", "run.cxi //1": "bad"}
    (said,) = {(e.source, e.note) for e in again.entries()}
    assert said[0] == "rule:profile"
    for part in ("region=whole", "axis=fs", "order=4", "ranges=14..16 40..50", "good=inside"):
        assert part in said[1]


def test_labelling_again_contradicts_and_doubles_nothing(tmp_path):
    """PADT appends: both classes hold the event, or one of them twice."""
    store = LabelStore(tmp_path, "anna")
    for good in ("inside", "outside", "outside"):
        apply(store, [*THREE, curve(26, 45)], [(14, 16)], good)
    assert store.counts() == {"bad": 1, "good": 2}
    lists = store.export_lists()
    assert lists["bad"].read_text() == "run.cxi //0\n"
    assert lists["good"].read_text() == "run.cxi //1\nrun.cxi //3\n"


def test_labels_by_hand_stay_unless_asked(tmp_path):
    store = LabelStore(tmp_path, "anna")
    store.set(EventId("run.cxi", "//0"), "bad")
    assert apply(store, THREE, [(14, 16)]) == ({"bad": 1}, 1, 1)
    assert store.counts() == {"bad": 2}
    assert apply(store, THREE, [(14, 16)], relabel=True).kept == 0
    assert store.counts() == {"bad": 1, "good": 1}


def test_labels_can_be_withdrawn_as_a_whole_and_singly(tmp_path):
    store = LabelStore(tmp_path, "anna")
    store.set(EventId("other.cxi", "//5"), "good")
    apply(store, THREE, [(14, 16)])
    apply(store, [THREE[0], BOWL, BOWL], [(14, 16)])
    assert labelled(store) == {"other.cxi //5": "good", "run.cxi //0": "good"}
    assert withdraw(store, "rule:profile") == 1
    assert labelled(store) == {"other.cxi //5": "good"}


def test_a_step_that_can_be_undone(tmp_path):
    store = LabelStore(tmp_path, "anna")
    history = LabelHistory(store)
    apply(store, THREE, [(14, 16)], history=history)
    history.undo()
    assert labelled(store) == {}


def test_a_table_of_other_events_labels_nothing(tmp_path):
    stack = run_of(THREE, noise=0)
    table = fit_profiles(stack)
    table.write_csv(tmp_path / "t.csv")
    again = ProfileTable.read_csv(tmp_path / "t.csv")
    store = LabelStore(tmp_path / "labels", "anna")
    for other in (stack.subset([1, 0, 2]), stack.subset([0, 1]), run_of(THREE, path="b.cxi")):
        for each in (table, again):
            with pytest.raises(LabelError, match="not of the events that are open"):
                store_labels(store, other, each, [(14, 16)], "inside")
    with pytest.raises(LabelError, match="inside or outside"):
        store_labels(store, stack, table, [(14, 16)], "majority")
    assert labelled(store) == {}
    store_labels(store, run_of(THREE, noise=0), again, [(14, 16)], "inside")
    assert labelled(store) == {"run.cxi //0": "good", "run.cxi //1": "bad"}


# --- simulated truth


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    run = simulate_detector(tmp_path_factory.mktemp("run"), n_events=200, seed=11)
    return xs.open_stack(run.data, geometry=run.geometry), np.array(run.good)


@pytest.mark.parametrize("order", [7, 8])
def test_labels_agree_with_the_truth(simulated, order):
    """The water ring around the beam. With fewer pixels, counting noise hides small shadows."""
    stack, good = simulated
    table = fit_profiles(stack, None, "q", order, statistic="median")
    labels = labels_of(table, [peak.range for peak in find_peaks(table)], "inside")
    assert ((labels == "good") == good).mean() >= 0.99


def test_one_panel_of_a_detector_of_full_size():
    """A click on a panel that the ring's slope crosses; only its pixels are simulated.

    More cannot be had of inflection points: those of some bad events lie where good ones' do.
    """
    detector = DETECTORS["epix10k2m"]
    panel = detector.panel("p5a0")
    height, width = detector.asic
    alone = SimpleNamespace(
        asic=detector.asic,
        shape=detector.asic,
        positions=lambda: [place[panel.window] for place in detector.positions()],
        panels=lambda: [
            dataclasses.replace(panel, min_fs=0, max_fs=width - 1, min_ss=0, max_ss=height - 1)
        ],
    )
    # Of 120 spots on 64 panels.
    settings = DetectorSimulationSettings(detector="epix10k2m", seed=3, spots_min=0, spots_max=4)
    maker = FrameMaker(alone, settings)
    good = np.arange(240) % 3 > 0
    frames = np.array([maker.event(i, not each).frame for i, each in enumerate(good)])
    stack = EventStack([ArraySource(frames, mask=PixelMask.from_bad(maker.mask != 0))])
    for statistic in ("mean", "median"):
        table = fit_profiles(stack, None, "ss", 4, statistic=statistic)
        labels = labels_of(table, [peak.range for peak in find_peaks(table)], "inside")
        assert ((labels == "good") == good).mean() >= 0.93
        assert (labels == "good")[good].mean() >= 0.97


def test_labels_agree_with_the_truth_when_most_events_are_bad(simulated):
    stack, good = simulated
    bad = np.flatnonzero(~good)
    few = np.sort(np.concatenate([np.flatnonzero(good)[: len(bad) // 2], bad]))
    table = fit_profiles(stack.subset(few), None, "q", 7, statistic="median")
    labels = labels_of(table, [peak.range for peak in find_peaks(table)], "inside")
    assert ((labels == "good") == good[few]).mean() >= 0.97


def test_a_table_in_memory_can_be_sent_to_another_process(simulated):
    table = fit_profiles(simulated[0].subset([3, 1]), "panel:p1a0", "ss", 3)
    again = pickle.loads(pickle.dumps(table))
    assert list(again.events) == list(table.events)
    assert np.array_equal(again.inflections, table.inflections, equal_nan=True)
    assert dataclasses.replace(again, problems={}).settings.order == 3
