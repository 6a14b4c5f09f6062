"""Bad-pixel masks of modules with planted defects; the truth is what was planted."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from planted_module import module, spread_of_noise
from scipy import stats

import napari_xfelsort as xs
from napari_xfelsort.core.errors import OutputError, SettingsError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.make import make_mask
from napari_xfelsort.core.masks.mask_file import write_mask
from napari_xfelsort.core.masks.modules import tiles_of
from napari_xfelsort.core.masks.settings import MaskReason, MaskSettings
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

REASONS = {
    "dead": MaskReason.DEAD,
    "stuck": MaskReason.DEAD,
    "hot": MaskReason.OFFSET,
    "cold": MaskReason.OFFSET,
    "noisy": MaskReason.NOISE,
    "flicker": MaskReason.NOISE,
    "light": MaskReason.BRIGHT,
    "shade": MaskReason.BRIGHT,
    "restless": MaskReason.FLICKER,
}


def found_of(mask, truth, name) -> np.ndarray:
    """Whether each planted defect of a kind is found for its reason."""
    return mask.reasons.ravel()[truth.planted[name]] & np.uint8(REASONS[name]) != 0


@pytest.mark.parametrize(("strength", "seed"), [(8, 0), (10, 0), (10, 1), (10, 2), (12, 3)])
def test_defects_of_every_kind_are_found_for_their_reason(strength, seed):
    truth = module(strength, seed)
    mask = make_mask(truth.dark, truth.bright, workers=1)
    for name in REASONS:
        # From 10 deviations on all of them; this is of what the frames hold, not on average.
        assert found_of(mask, truth, name).mean() >= (0.95 if strength < 10 else 1), name
    assert np.count_nonzero(mask.bad & truth.good) <= 1e-5 * truth.good.sum()
    assert np.array_equal(np.flatnonzero(~mask.dark_frames), truth.shifted)


def test_noisy_pixels_that_are_missed_are_those_whose_frames_were_quiet_by_chance():
    """A deviation of n frames follows chi: of a pixel of 8 or 10 some have less than 6."""
    expected = missed = n = 0.0
    for strength, seed in ((8, 4), (10, 5)):
        truth = module(strength, seed, exact=False)
        mask = make_mask(truth.dark, workers=1)
        degrees = len(truth.dark) - len(truth.shifted) - 1
        spread = spread_of_noise(degrees + 1)
        usual = 10 * (1 - 0.25 / degrees)  # mean deviation of good pixels
        bound = (usual + 6 * spread) / (10 + strength * spread)
        pixels = truth.planted["noisy"]
        expected += len(pixels) * stats.chi2.cdf(degrees * bound**2, degrees)
        missed += np.count_nonzero(~found_of(mask, truth, "noisy"))
        n += len(pixels)
        # Among those that in these frames are 6.6 deviations off none is missed.
        used = np.delete(truth.dark, truth.shifted, axis=0).reshape(-1, truth.good.size)
        off = (used[:, pixels].std(axis=0, ddof=1) - usual) / spread
        assert found_of(mask, truth, "noisy")[off > 6.6].all()
    assert 4 < expected < 0.06 * n
    assert abs(missed - expected) < 4 * np.sqrt(expected)


def published_plane(image: np.ndarray, scale_lambda: float) -> tuple[np.ndarray, np.ndarray]:
    """Level and scale of a window as Sadri et al. and their library fit it, with sorting.

    Twelve least-squares fits to the pixels of ranks 0.35 N to 0.5 N of the residual, from a
    plane of 0 on; then the selective estimator, and no fit to the inliers.
    """
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    matrix = np.stack([x.ravel(), y.ravel(), np.ones(image.size)], axis=1).astype(float)
    values, plane = image.ravel(), np.zeros(3)
    low, k = int(0.35 * values.size), values.size // 2
    for _ in range(12):
        some = np.argsort(abs(values - matrix @ plane), kind="stable")[low:k]
        plane = np.linalg.lstsq(matrix[some], values[some])[0]
    squares = np.sort((values - matrix @ plane) ** 2)
    sums = np.cumsum(squares)
    n = np.arange(k, len(squares))  # the first that is too far from those before it
    out = n[scale_lambda**2 * sums[n - 1] < (n - 1) * squares[n]]
    inliers = out[0] if len(out) else len(squares)
    return (matrix @ plane).reshape(image.shape), np.sqrt(sums[inliers - 1] / (inliers - 1))


@pytest.mark.parametrize("strength", [8, 10, 12])
def test_the_papers_settings_find_what_the_papers_method_finds(strength):
    """On the same frames, pixel by pixel: where recall is steep, tables of it mean little."""
    truth = module(strength, 1, exact=False)
    mask = make_mask(truth.dark, workers=1, **MaskSettings.paper().to_dict())
    used = np.delete(truth.dark, truth.shifted, axis=0)
    n_each = len(truth.planted["hot"])
    images = {"offset": used.mean(axis=0), "noise": used.std(axis=0, ddof=1)}
    for name, image in images.items():
        ratio = np.empty(image.shape)
        for top, left in np.ndindex(image.shape[0] // 64, image.shape[1] // 64):
            window = np.s_[64 * top : 64 * top + 64, 64 * left : 64 * left + 64]
            level, scale = published_plane(image[window], 8)
            ratio[window] = (image[window] - level) / scale
        ours = abs(mask.features[name].ratio) > 8
        theirs = abs(ratio) > 8
        # Dead ones at least, and by their noise those that are stuck.
        assert theirs.sum() >= (2 if name == "noise" else 1) * n_each, name
        assert np.count_nonzero(ours ^ theirs) <= 0.04 * 4 * n_each, name
        assert not (ours & truth.good).any(), name
    if strength == 12:
        for name in ("hot", "cold", "noisy", "flicker"):
            assert found_of(mask, truth, name).mean() >= 0.97, name


def test_the_papers_settings_find_what_its_library_finds_in_the_light():
    library = pytest.importorskip("RobustGaussianFittingLibrary")
    truth = module(11, 1, (128, 128), 60)
    settings = MaskSettings.paper().to_dict()
    mask = make_mask(truth.dark, truth.bright, workers=1, **settings)
    offset = np.delete(truth.dark, truth.shifted, axis=0).mean(axis=0)
    frames = (truth.bright - offset).astype(np.float32)
    usable = np.ones(frames.shape, np.uint8)
    level, scale = library.fitBackgroundTensor(frames, usable, 15, 15, MSSE_LAMBDA=8.0)
    mean = ((frames - level) / scale).mean(axis=0).ravel()
    middle, width = library.fitValue(mean, MSSE_LAMBDA=8.0, modelValueInit=0.1)
    for name in ("light", "shade"):
        pixels = truth.planted[name]
        theirs = abs(mean[pixels] - middle) > 8 * width
        # Its planes are not fitted to the inliers: all its ratios are 0.16 too large.
        assert np.count_nonzero(theirs ^ found_of(mask, truth, name)) <= 0.1 * len(pixels), name


def test_stuck_pixels_are_found_however_much_the_noise_varies():
    rng = np.random.default_rng(0)
    noise = 10 * np.exp(0.4 * rng.normal(size=(128, 128)))
    dark = np.rint(5000 + rng.normal(size=(60, 128, 128)) * noise).astype(np.uint16)
    dark[:, 100, 60:64] = 5003
    mask = make_mask(dark)
    assert (mask.reasons[100, 60:64] & MaskReason.DEAD).all()
    assert mask.count(MaskReason.DEAD) == 4


def test_photon_counters_are_not_all_dead_in_the_dark():
    rng = np.random.default_rng(0)
    dark = (rng.random((50, 128, 128)) < 1e-4).astype(np.uint16)
    dark[:, 5, 5] = 3
    mask = make_mask(dark, floor=1 / 6)
    assert mask.bad[5, 5]
    assert mask.n_bad < 100


def test_values_that_are_never_finite_are_dead_and_harm_no_neighbour():
    dark = np.random.default_rng(0).normal(100, 5, (40, 64, 64)).astype(np.float32)
    dark[:, 3, 4] = np.nan
    dark[::2, 7, 7] = np.inf
    mask = make_mask(dark)
    assert mask.reasons[3, 4] == MaskReason.DEAD
    assert mask.n_bad <= 1 + 1


def test_edges_saturated_and_given_pixels():
    frames = np.random.default_rng(0).normal(100, 5, (20, 64, 64)).astype(np.float32)
    frames[4, 30, 30] = 5000
    bad = np.zeros((64, 64), bool)
    bad[10, 10] = True
    mask = make_mask(frames, bad=bad, edge=2, saturation=4000)
    given = mask.reasons & np.uint8(MaskReason.GIVEN) != 0
    wanted = np.ones((64, 64), bool)
    wanted[2:-2, 2:-2] = False
    wanted[10, 10] = wanted[30, 30] = True
    assert np.array_equal(given, wanted)


def test_gain_stages_that_overlap_and_levels_that_are_off():
    rng = np.random.default_rng(0)
    stages = [np.rint(rng.normal(m, 20, (50, 64, 64))) for m in (7000, 8300, 9800)]
    stages[1][:, 5, 5] = stages[0][:, 5, 5]  # does not switch
    stages[2][:, 9, 9] += 600
    mask = make_mask(gain=[s.astype(np.uint16) for s in stages])
    assert mask.reasons[5, 5] & MaskReason.GAIN_SEPARATION
    assert mask.reasons[9, 9] & MaskReason.GAIN_LEVEL
    assert not mask.reasons[9, 9] & MaskReason.GAIN_SEPARATION
    assert mask.n_bad <= 3


def geometry_of_two_panels(tmp_path) -> Geometry:
    path = tmp_path / "two.geom"
    panel = "{0}/fs = +1.0x\n{0}/ss = +1.0y\n{0}/corner_x = {1}\n{0}/corner_y = 0\n"
    text = "photon_energy = 9000\nclen = 0.1\nres = 10000\ndata = /data\ndim0 = %\n"
    text += "dim1 = ss\ndim2 = fs\n"
    for name, first, x in (("a", 0, 0), ("b", 40, 60)):
        text += panel.format(name, x) + f"{name}/min_fs = {first}\n{name}/max_fs = {first + 39}\n"
        text += f"{name}/min_ss = 0\n{name}/max_ss = 63\n"
    path.write_text(text)
    return Geometry.from_crystfel(path)


def test_panels_of_a_geometry_are_looked_at_one_by_one(tmp_path):
    geometry = geometry_of_two_panels(tmp_path)
    assert len(tiles_of((64, 80), geometry)) == 2
    rng = np.random.default_rng(0)
    level = np.where(np.arange(80) < 40, 1000.0, 1400.0) + rng.normal(0, 5, (64, 80))
    level[20, 36] += 60
    dark = np.rint(level + rng.normal(0, 3, (60, 64, 80))).astype(np.uint16)
    mask = make_mask(dark, geometry=geometry)
    assert mask.bad[20, 36]
    assert mask.n_bad <= 2
    # A fifth of a window is another panel: without the geometry it would all be bad.
    level[:, 40:] = np.where(np.arange(40) < 32, 1000, 1400) + level[:, 40:] - 1400
    dark = np.rint(level + rng.normal(0, 3, (60, 64, 80))).astype(np.uint16)
    assert make_mask(dark).bad[:, 72:].all()


def test_stacks_blocks_and_threads_give_the_mask_of_the_array(monkeypatch):
    m = module(10, shape=(128, 128), n_frames=40)
    dark, bright = m.dark, m.bright
    wanted = make_mask(dark, bright, workers=1)
    monkeypatch.setattr("napari_xfelsort.core.masks.frames.BLOCK_BYTES", 7 * dark[0].nbytes)
    told: list[tuple[int, int]] = []
    stacks = [EventStack([ArraySource(frames, "run.h5")]) for frames in (dark, bright)]
    found = make_mask(*stacks, workers=3, progress=lambda n, of: told.append((n, of)))
    assert np.array_equal(found.reasons, wanted.reasons)
    assert told[-1] == (80, 80)
    assert told == sorted(told)
    modules = dark.reshape(40, 2, 64, 128)  # two modules of a raw frame with three dimensions
    assert make_mask(modules).reasons.shape == (2, 64, 128)


def test_the_file_is_a_mask_of_the_other_tasks_and_names_its_bits(tmp_path):
    dark = np.random.default_rng(0).normal(100, 5, (30, 64, 64)).astype(np.float32)
    dark[:, 8, 9] = 777
    mask = make_mask(dark)
    write_mask(mask, tmp_path / "mask.h5")
    with h5py.File(tmp_path / "mask.h5") as file:
        stored = file["/entry_1/data_1/mask"]
        assert stored.dtype == np.uint8
        assert np.array_equal(stored[()], mask.reasons)
        assert stored.attrs["bit_64"] == "dead"
        assert np.allclose(file["/xfelsort/features/noise/values"], dark.std(0, ddof=1), rtol=1e-4)
        assert "mask_lambda = 6" in file["/xfelsort/settings"][()].decode()
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["data/data"] = dark
    for given in (tmp_path / "mask.h5", mask):
        stack = xs.open_stack(str(tmp_path / "run.h5"), mask=given)
        assert np.array_equal(stack.mask.bad, mask.bad)
    with pytest.raises(OutputError, match="exists"):
        write_mask(mask, tmp_path / "mask.h5")
    write_mask(PixelMask.from_bad(mask.bad), tmp_path / "mask.h5", overwrite=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "dark frames, bright frames or both"),
        ({"dark": np.zeros((0, 64, 64))}, "no dark frames"),
        ({"bright": np.zeros((0, 64, 64))}, "no bright frames"),
        ({"dark": np.zeros((9, 64))}, "two dimensions"),
        ({"dark": np.zeros((9, 64, 64)), "bright": np.zeros((9, 64, 65))}, "were expected"),
        ({"dark": np.zeros((9, 64, 64)), "bad": np.zeros((3, 3), bool)}, "The mask is of"),
        ({"dark": np.zeros((9, 64, 64)), "lamda": 3}, "Unknown setting"),
        ({"bright": np.zeros((9, 64, 64)), "mask_lambda": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_is_told(arguments, words):
    with pytest.raises(SettingsError, match=words):
        make_mask(**arguments)


@pytest.mark.parametrize("wanted", [3.5, 9.0])
def test_another_lambda_is_as_if_the_mask_had_been_made_with_it(wanted):
    rng = np.random.default_rng(7)
    dark = rng.normal(100, 5, (40, 64, 64))
    bright = dark + rng.poisson(30, dark.shape)
    dark[:, 3, 4] += 40
    dark[:, 8:20, 9] += rng.normal(0, 9, (40, 12))
    dark[:, 30, 30] = 7
    bright[:, 40, 41] *= 3
    bright[5, 1, 1] = 9e5
    bad = np.zeros((64, 64), bool)
    bad[50:, :3] = True
    stages = [rng.normal(0, 1, dark.shape), rng.normal(12, 1, dark.shape)]
    common = {"dark": dark, "bright": bright, "gain": stages, "bad": bad, "saturation": 8e5}
    made = make_mask(**common)
    again, other = make_mask(**common, mask_lambda=wanted), made.with_lambda(wanted)
    assert np.array_equal(other.reasons, again.reasons)
    assert other.settings == again.settings
    assert not np.array_equal(other.reasons, made.reasons)
    assert np.array_equal(other.with_lambda(6.0).reasons, made.reasons)
    with pytest.raises(SettingsError):
        made.with_lambda(0.5)
