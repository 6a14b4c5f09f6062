"""Modules one by one or together, groups of frames, worker processes: the same mask."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core.errors import ClusterError, SettingsError, UnreadableFileError
from napari_xfelsort.core.masks.frames import Frames
from napari_xfelsort.core.masks.make import make_mask
from napari_xfelsort.core.masks.modules import modules_of
from napari_xfelsort.core.masks.settings import MaskReason
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

SHAPE = (3, 64, 32)


class WholeFrames(ArraySource):
    """Frames that are packed as a whole."""

    reads_windows = False


class Cells(ArraySource):
    """Frames of memory cells 0 to 3 in turn."""

    def metadata(self, i):
        return {"cellId": i % 4}


def runs(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    level = rng.normal(1000, 10, SHAPE)
    dark = rng.normal(level, 5, (n, *SHAPE))
    bright = rng.normal(level, 5, (n, *SHAPE)) + 60 * rng.poisson(20, (n, *SHAPE))
    dark[:, 1, 5, 5] += 300
    dark[:, 2, 7, 7] = 1000
    dark[11, 2] += 80
    bright[:, 0, 40, 20] += 3000
    return tuple(np.rint(f).astype(np.uint16) for f in (dark, bright))


@pytest.fixture(scope="module")
def wanted():
    return make_mask(*runs(), workers=1)


def test_modules_are_told_as_they_are_finished(wanted):
    told = []
    made = make_mask(*runs(), workers=1, partial=lambda mask, names: told.append((mask, names)))
    assert [names for _, names in told] == [("module 0",), ("module 1",), ("module 2",)]
    first = told[0][0]
    assert np.array_equal(first.reasons[0], wanted.reasons[0])
    assert not first.reasons[1:].any()
    assert np.isnan(first.features["offset"].values[1:]).all()
    assert np.array_equal(told[-1][0].reasons, made.reasons)


def test_frames_that_are_packed_as_a_whole_are_told_by_kind(wanted):
    dark, bright = (EventStack([WholeFrames(f, "run.h5")]) for f in runs())
    told, counts = [], []
    made = make_mask(
        dark,
        bright,
        workers=2,
        partial=lambda mask, names: told.append((list(mask.features), names)),
        progress=lambda n, of: counts.append((n, of)),
    )
    assert np.array_equal(made.reasons, wanted.reasons)
    assert all(names == ("module 0", "module 1", "module 2") for _, names in told)
    assert told[0][0] == ["offset", "noise"]
    assert told[-1][0] == ["offset", "noise", "bright", "flicker"]
    assert counts[-1] == (80, 80)


def test_a_frame_that_is_off_in_one_module_counts_in_the_others(wanted):
    assert np.flatnonzero(~wanted.dark_frames).tolist() == [11]
    without = make_mask(np.delete(runs()[0], 11, axis=0))
    assert np.array_equal(
        wanted.features["offset"].values[2], without.features["offset"].values[2]
    )
    whole = runs()[0][:, 0].mean(axis=0)
    assert wanted.features["offset"].values[0] == pytest.approx(whole, rel=1e-6)


def test_who_stops_is_obeyed():
    def stop(mask, names):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_mask(*runs(), partial=stop)


@pytest.mark.parametrize(("chunk", "apart"), [((1, 1, 64, 32), True), ((1, 3, 64, 32), False)])
def test_chunks_say_whether_modules_are_read_by_themselves(tmp_path, wanted, chunk, apart):
    paths = []
    for name, frames in zip(("dark", "bright"), runs(), strict=True):
        paths.append(str(tmp_path / f"{name}.h5"))
        with h5py.File(paths[-1], "w") as file:
            file.create_dataset("data/data", data=frames, chunks=chunk, compression="gzip")
    stacks = [xs.open_stack(path, dataset="/data/data") for path in paths]
    assert stacks[0].raw_shape == SHAPE
    assert Frames.of(stacks[0]).apart(modules_of(SHAPE)) == apart
    assert np.array_equal(make_mask(*stacks).reasons, wanted.reasons)


def test_listed_frames_in_another_order(wanted):
    dark, bright = (EventStack([ArraySource(f, "run.h5")]) for f in runs())
    made = make_mask(dark.subset(np.arange(40)[::-1]), bright)
    assert np.array_equal(made.reasons, wanted.reasons)
    assert np.flatnonzero(~made.dark_frames).tolist() == [28]


def test_worker_processes_give_the_same(wanted):
    """To the last bit: also where workers get read-only frames, cut and laid out otherwise."""
    stacks = [EventStack([ArraySource(f, "run.h5")]) for f in runs()]
    told, counts = [], []
    made = make_mask(
        *stacks,
        processes=2,
        partial=lambda mask, names: told.append(names),
        progress=lambda n, of: counts.append((n, of)),
    )
    assert np.array_equal(made.reasons, wanted.reasons)
    for name, feature in wanted.features.items():
        for a, b in zip(feature, made.features[name], strict=True):
            np.testing.assert_array_equal(a.view(np.int32), b.view(np.int32))
    assert sorted(told) == [("module 0",), ("module 1",), ("module 2",)]
    assert counts[-1] == (80, 80)


class Unreadable(ArraySource):
    """Frames of which one cannot be read."""

    def read(self, i, window=None, out=None):
        if i == 7:
            raise UnreadableFileError("Frame 7 of run.h5 cannot be read.")
        return super().read(i, window, out)


def test_a_scheduler_that_is_there(wanted):
    from distributed import LocalCluster

    stacks = [EventStack([ArraySource(f, "run.h5")]) for f in runs()]
    kind = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    with LocalCluster(processes=False, **kind) as cluster:
        made = make_mask(*stacks, scheduler=cluster.scheduler_address)
        assert np.array_equal(made.reasons, wanted.reasons)
        with pytest.raises(UnreadableFileError, match="Frame 7"):
            make_mask(EventStack([Unreadable(runs()[0])]), scheduler=cluster.scheduler_address)


def test_where_work_runs_is_told_when_it_cannot():
    dark = EventStack([ArraySource(runs()[0])])
    with pytest.raises(SettingsError, match="not both"):
        make_mask(dark, processes=2, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(ClusterError, match="cannot be reached"):
        make_mask(dark, scheduler="nowhere")


# -- groups ------------------------------------------------------------------------------


def cells(n_each: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Dark frames of two modules in four memory cells, each with its own level."""
    rng = np.random.default_rng(2)
    cell = np.arange(4 * n_each) % 4
    level = rng.normal(1000, 10, (4, 2, 64, 32)) + 200 * np.arange(4).reshape(4, 1, 1, 1)
    level[:, 1, 10, 11] = 1000 + 200 * np.arange(4)
    level[2, 1, 10, 11] += 100  # in one cell
    level[:, 0, 3, 4] -= 400  # in all
    return np.rint(rng.normal(level[cell], 5)).astype(np.uint16), cell


def test_a_defect_of_one_memory_cell_is_found_and_counted():
    dark, cell = cells()
    made = make_mask(dark, groups=cell, per_group=True)
    assert made.reasons[1, 10, 11] == MaskReason.OFFSET
    assert made.reasons[0, 3, 4] == MaskReason.OFFSET
    assert made.n_bad <= 4
    groups = made.groups
    assert groups.labels.tolist() == [0, 1, 2, 3]
    assert groups.counts[1, 10, 11] == 1
    assert groups.fraction[1, 10, 11] == 0.25
    assert groups.fraction[0, 3, 4] == 1
    assert groups.reasons[:, 1, 10, 11].tolist() == [0, 0, int(MaskReason.OFFSET), 0]
    for number, label in enumerate(groups.labels):
        alone = make_mask(dark[cell == label])
        assert np.array_equal(groups.reasons[number], alone.reasons)
        assert groups.n_bad[number] == alone.n_bad
    assert np.array_equal(made.reasons, np.bitwise_or.reduce(groups.reasons))
    # The frames of all cells together: a quarter of them has the defect, and it is lost.
    assert not make_mask(dark).bad[1, 10, 11]


def test_groups_are_judged_by_another_lambda():
    dark, cell = cells()
    made = make_mask(dark, groups=cell)
    again = make_mask(dark, groups=cell, mask_lambda=3.5)
    assert np.array_equal(made.with_lambda(3.5).reasons, again.reasons)
    assert made.with_lambda(3.5).groups is None
    told = []
    make_mask(dark, groups=cell, partial=lambda mask, names: told.append(names))
    assert told == [("module 0",), ("module 1",)]  # when all groups are done
    assert made.groups.reasons is None


def test_files_tell_the_memory_cell():
    dark, cell = cells()
    made = make_mask(EventStack([Cells(dark)]), groups="cell")
    wanted = make_mask(dark, groups=cell)
    assert np.array_equal(made.reasons, wanted.reasons)
    assert np.array_equal(made.groups.counts, wanted.groups.counts)


def test_bright_frames_of_a_group_have_its_offsets():
    dark, cell = cells()
    bright = dark[:40] + np.random.default_rng(0).poisson(20, (40, *dark.shape[1:])) * 60
    made = make_mask(dark, bright, groups={"dark": cell, "bright": cell[:40]})
    assert made.n_bad <= 5
    with pytest.raises(SettingsError, match="no dark ones"):
        make_mask(dark, bright, groups={"dark": cell % 2, "bright": cell[:40]})


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (np.zeros(3, int), "as many whole numbers"),
        (np.zeros(120), "as many whole numbers"),
        ("gain", '"cell"'),
        ("cell", "does not say"),
        ({"bright": np.zeros(120, int)}, "missing"),
    ],
)
def test_groups_that_do_not_fit_are_told(groups, words):
    dark, _ = cells()
    with pytest.raises(SettingsError, match=words):
        make_mask(dark, groups=groups)
    if isinstance(groups, str) and groups == "cell":
        with pytest.raises(SettingsError, match="does not say"):
            make_mask(EventStack([ArraySource(dark)]), groups="cell")


def test_gain_stages_of_each_memory_cell_are_judged_by_themselves():
    """Cells of 8000 and 8600: the stages of one overlap those of the other, not its own."""
    rng = np.random.default_rng(5)
    cell = np.arange(60) % 2
    levels = 8000 + 600 * cell[:, np.newaxis, np.newaxis]
    stages = [np.rint(rng.normal(levels + up, 20, (60, 64, 64))) for up in (0, 600, 1300)]
    stages[1][cell == 1, 5, 5] = stages[0][cell == 1, 5, 5]  # does not switch in one cell
    stages[2][cell == 0, 9, 9] += 300
    stages = [stage.astype(np.uint16) for stage in stages]
    dark = rng.normal(100, 5, (60, 64, 64)).astype(np.float32)
    groups = {"dark": cell, "gain": [cell] * 3}
    made = make_mask(dark, gain=stages, groups=groups, per_group=True)
    assert made.groups.reasons[:, 5, 5].tolist() == [0, int(made.reasons[5, 5])]
    assert made.reasons[5, 5] & MaskReason.GAIN_SEPARATION
    assert made.groups.reasons[:, 9, 9].tolist() == [int(MaskReason.GAIN_LEVEL), 0]
    assert made.n_bad <= 4
    assert make_mask(gain=stages).count(MaskReason.GAIN_SEPARATION) > 4000  # without groups
    from_files = make_mask(gain=[EventStack([Cells(stage)]) for stage in stages], groups="cell")
    assert from_files.groups.labels.tolist() == [0, 1, 2, 3]
    with pytest.raises(SettingsError, match="gain stage 1 frames are missing"):
        make_mask(dark, gain=stages, groups={"dark": cell, "gain": [cell]})
    other = {"dark": cell, "gain": [cell, cell, 0 * cell]}
    with pytest.raises(SettingsError, match="Group 1 has no frames of gain stage 2"):
        make_mask(dark, gain=stages, groups=other)
