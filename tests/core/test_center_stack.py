"""The centre of a run: pictures of many events, true places of pixels, stored peaks."""

from __future__ import annotations

import numpy as np
import pytest
from geometries import panel, text

from napari_xfelsort.core.center.look import Look, find_centers
from napari_xfelsort.core.center.of_stack import find_center_of_stack, true_places
from napari_xfelsort.core.center.powder import chosen_events, powder
from napari_xfelsort.core.errors import NoEventsError, SettingsError, UnreadableFileError
from napari_xfelsort.core.events import Peaks
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

NO_PEAKS = Peaks(np.empty(0), np.empty(0), np.empty(0))


class Run(ArraySource):
    """Events with peaks, some of them not readable."""

    def __init__(self, frames, peaks=None, broken=(), **rest):
        super().__init__(np.asarray(frames), "run.cxi", **rest)
        self.stored, self.broken = peaks, broken

    def read(self, i, window=None, out=None):
        if i in self.broken:
            raise UnreadableFileError(f"Event {i} of run.cxi is broken.")
        return super().read(i, window, out)

    def peaks(self, i):
        if i in self.broken:
            raise UnreadableFileError(f"Peaks of event {i} of run.cxi are broken.")
        return None if self.stored is None else self.stored[i]


def halo(rows, columns, center):
    r = np.hypot(rows - center[0], columns - center[1])
    return 1 / (1 + r / 30) + 0.8 * np.exp(-(((r - 45) / 14) ** 2))


# --- many events as one picture ----------------------------------------------------------------


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).integers(0, 60000, (20, 5, 6)).astype(np.uint16)


@pytest.mark.parametrize(("kind", "function"), [("mean", np.mean), ("max", np.max)])
def test_mean_and_maximum(frames, kind, function):
    picture, good, problems = powder(EventStack([Run(frames)]), kind, range(20))
    np.testing.assert_allclose(picture, function(frames.astype(float), axis=0), rtol=1e-6)
    assert good.all()
    assert picture.dtype == np.float32
    assert problems == []


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_the_median_of_few_is_the_median(frames, n):
    picture, _, _ = powder(EventStack([Run(frames)]), "median", range(n))
    np.testing.assert_allclose(picture, np.median(frames[:n].astype(float), axis=0), rtol=1e-6)


def test_the_median_of_many_is_that_of_medians_of_seven(frames):
    picture, _, _ = powder(EventStack([Run(frames)]), "median", range(16))
    groups = [np.median(frames[k : k + 7].astype(float), axis=0) for k in (0, 7)]
    np.testing.assert_allclose(picture, np.median(groups, axis=0), rtol=1e-6)


@pytest.mark.parametrize("kind", ["mean", "max", "median"])
def test_bad_pixels_do_not_count(kind):
    frames = np.array([[[1.0, 2.0, np.nan]], [[3.0, np.inf, np.nan]], [[5.0, 4.0, np.nan]]])
    expected = {"mean": [3, 3], "max": [5, 4], "median": [3, 3]}[kind]
    picture, good, _ = powder(EventStack([Run(frames)]), kind, [0, 1, 2])
    np.testing.assert_array_equal(good, [[True, True, False]])
    np.testing.assert_allclose(picture, [[*expected, 0]])
    whole = np.array([[[5, -1, 9]], [[7, 3, np.iinfo(np.int32).max]]], np.int32)
    mask = PixelMask(np.array([[1, 0, 0]], np.uint8))
    picture, good, _ = powder(EventStack([Run(whole)], mask=mask), kind, [0, 1])
    np.testing.assert_array_equal(good, [[False, True, True]])
    np.testing.assert_allclose(picture, [[0, 3, 9]])


def test_events_that_cannot_be_read_are_told(frames):
    stack = EventStack([Run(frames, broken=(1, 3))])
    told: list[tuple[int, int]] = []
    picture, _, problems = powder(stack, "mean", range(4), lambda *n: told.append(n))
    np.testing.assert_allclose(picture, frames[[0, 2]].mean(axis=0), rtol=1e-6)
    assert problems == ["Event 1 of run.cxi is broken.", "Event 3 of run.cxi is broken."]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with pytest.raises(NoEventsError, match="No event can be read: Event 1"):
        powder(stack, "mean", [1, 3])


def test_which_events_are_taken():
    stack = EventStack([Run(np.zeros((3000, 1, 1), np.uint8))])
    assert chosen_events(stack, "powder") == chosen_events(stack, "mean")
    kind, numbers = chosen_events(stack, "powder max")
    assert (kind, len(numbers), numbers[0], numbers[-1]) == ("max", 2000, 0, 2999)
    assert len(set(numbers)) == 2000
    assert max(np.diff(numbers)) == 2
    assert len(chosen_events(stack, "median")[1]) == 49
    assert chosen_events(stack, 7) == ("mean", [7])
    assert chosen_events(stack, [5, 1]) == ("mean", [5, 1])


@pytest.mark.parametrize(
    ("events", "words"),
    [("powder sum", "mean, median, max"), (3, "no event 3"), ([-1], "no event -1"), ([], "noth")],
)
def test_events_that_there_are_not(events, words):
    stack = EventStack([Run(np.zeros((3, 4, 4)))])
    with pytest.raises(SettingsError, match=words):
        find_center_of_stack(stack, events)


def test_unknown_methods_are_refused():
    stack = EventStack([Run(np.zeros((3, 4, 4)))])
    with pytest.raises(SettingsError, match="'eyes' is not known; the methods are auto"):
        find_center_of_stack(stack, 0, "eyes")
    with pytest.raises(SettingsError, match="'eyes' is not known"):
        find_centers(stack, Look(), ["auto", "eyes"])
    with pytest.raises(SettingsError, match="'sum'"):
        find_centers(stack, Look("sum"))


# --- the centre of a run -----------------------------------------------------------------------


def tilted() -> Geometry:
    """Two panels with a gap, the lower one turned by a degree: no picture shows it exactly."""
    panels = {"top": panel(128, 62, (-64.3, 5.6)), "low": panel(128, 62, (-64, -62), 1, (0, 62))}
    return Geometry.from_crystfel_text(text(panels)).fit((124, 128))


@pytest.fixture(scope="module")
def run():
    """Ten events whose beam is 9 pixels right of and 6 above where the geometry has it."""
    geometry = tilted()
    x, y, _ = (each / geometry.pixel_size for each in geometry.positions())
    light = 20 * halo(y, x, (6, 9))
    rng = np.random.default_rng(3)
    counts = rng.poisson(light, (10, *light.shape)).astype(np.int32)
    beam = geometry.beam_position
    return counts, geometry, (beam[0] - 6, beam[1] + 9)


def miss(result, center):
    assert result.known, result.reason
    return float(np.hypot(result.y - center[0], result.x - center[1]))


def test_pixels_are_where_the_geometry_has_them(run):
    counts, geometry, center = run
    stack = EventStack([Run(counts, broken=(4,))], geometry=geometry)
    result = find_center_of_stack(stack)
    assert miss(result, center) < 0.7
    assert result.details["events"] == 9
    assert result.details["problems"] == ["Event 4 of run.cxi is broken."]
    one = find_center_of_stack(stack, 2)
    assert one.details["events"] == 1
    assert miss(one, center) < 2


def test_true_places_are_those_of_the_panels(run):
    _, geometry, _ = run
    rows, columns = true_places(geometry)
    assert rows.shape == columns.shape == geometry.assemble(np.zeros((124, 128))).shape
    at = np.argwhere(np.isfinite(rows))
    off = np.stack([rows[tuple(at.T)], columns[tuple(at.T)]], axis=1) - at
    assert np.abs(off).max() < 0.76
    assert np.abs(off).max() > 0.3


def test_without_a_geometry_rows_are_rows():
    center = (60.0, 71.0)
    rows, columns = np.indices((128, 128))
    frames = np.random.default_rng(0).poisson(30 * halo(rows, columns, center), (3, 128, 128))
    result = find_center_of_stack(EventStack([Run(frames)]), "max")
    assert miss(result, center) < 1


def test_several_methods_of_what_is_looked_at(run):
    counts, geometry, center = run
    stack = EventStack([Run(counts)], geometry=geometry)
    told: list[tuple[int, int]] = []
    look = Look("mean", most=4)
    found = find_centers(stack, look, ("auto", "reflex", "friedel"), lambda *n: told.append(n))
    assert [each.method for each in found] == ["auto", "reflex", "friedel"]
    assert miss(found[0], center) < 1
    assert found[0].details["events"] == 4
    assert "no peaks" in found[2].reason
    assert look.events(stack) == [0, 3, 6, 9]
    assert told[-1] == (6, 7)


# --- stored peaks ---------------------------------------------------------------------------


def opposite(rng, center, n_events):
    events = []
    for _ in range(n_events):
        own = rng.normal(0, 25, (8, 2))
        points = np.concatenate([own, -own[:4], rng.uniform(-60, 60, (4, 2))]) + center
        events.append(Peaks(points[:, 1], points[:, 0], np.ones(len(points))))
    return events


def test_stored_peaks_tell_the_centre():
    rng = np.random.default_rng(6)
    center = np.array([61.0, 70.0])
    peaks = opposite(rng, center, 40)
    peaks[3] = NO_PEAKS
    stack = EventStack([Run(np.zeros((40, 128, 130)), peaks, broken=(7,))])
    result = find_center_of_stack(stack, method="friedel")
    assert miss(result, center) <= result.uncertainty < 2
    assert result.details["events"] == 38
    assert result.details["problems"] == ["Peaks of event 7 of run.cxi are broken."]


def test_runs_without_peaks():
    for peaks in (None, [NO_PEAKS] * 3):
        stack = EventStack([Run(np.zeros((3, 20, 20)), peaks)])
        result = find_center_of_stack(stack, method="friedel")
        assert not result.known
        assert "no peaks" in result.reason
