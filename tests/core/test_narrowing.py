"""Trees handed only the features they ask for, against scikit-learn's own prediction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_cases import blobs
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import napari_xfelsort as xs
from napari_xfelsort.core.errors import UnreadableFileError
from napari_xfelsort.core.features import FeatureExtractor, FeatureReader, FeatureSettings
from napari_xfelsort.core.learning.boosting import BoostedTrees
from napari_xfelsort.core.learning.narrowing import narrowed
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack


def forest(**options):
    return RandomForestClassifier(**{"n_estimators": 7, "random_state": 0, **options})


def tree(**options):
    return DecisionTreeClassifier(random_state=0, **options)


@settings(deadline=None, max_examples=40)
@given(
    make=st.sampled_from([forest, tree]),
    classes=st.integers(2, 4),
    n_features=st.integers(1, 60),
    depth=st.none() | st.integers(1, 3),
    weight=st.sampled_from([None, "balanced"]),
    missing=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 1000),
)
def test_probabilities_are_those_of_scikit_learn_to_the_bit(
    make, classes, n_features, depth, weight, missing, seed
):
    matrix, numbers = blobs(40, n_features, classes, seed)
    rng = np.random.default_rng(seed)
    matrix[rng.random(matrix.shape) < missing] = np.nan
    estimator = make(max_depth=depth, class_weight=weight).fit(matrix, numbers)
    found = narrowed(estimator)
    assert found is not None
    assert len(found.columns) <= n_features
    asked = matrix[rng.integers(40, size=90)] + rng.normal(size=(90, n_features)).round(1)
    asked = asked.astype(np.float32)
    mine = found.estimator.predict_proba(asked[:, found.columns])
    assert mine.tobytes() == estimator.predict_proba(asked).tobytes()


def test_thresholds_are_compared_as_scikit_learn_does():
    values = np.array([[0.1], [0.2], [0.2], [0.4]], np.float32)
    estimator = tree().fit(values, [0, 0, 1, 1])
    edges = np.float32(estimator.tree_.threshold[estimator.tree_.feature >= 0])
    near = np.concatenate([np.nextafter(edges, np.float32(way)) for way in (-1, 1)] + [edges])
    asked = near[:, np.newaxis]
    mine = narrowed(estimator).estimator.predict_proba(asked)
    assert np.array_equal(mine, estimator.predict_proba(asked))


@pytest.mark.parametrize("classes", [2, 3])
def test_boosted_trees_decide_the_same(classes):
    matrix, numbers = blobs(90, 40, classes)
    whole = BoostedTrees(max_iter=5, max_depth=2).fit(matrix, numbers)
    found = narrowed(whole)
    assert len(found.columns) < 40
    part = matrix[:, found.columns]
    assert np.array_equal(found.estimator.predict_proba(part), whole.predict_proba(matrix))
    scores = found.estimator.decision_function(part)
    assert np.array_equal(scores, whole.decision_function(matrix))
    assert whole.feature.max() == found.columns.max()  # is not changed itself


def test_other_classifiers_are_left_as_they_are():
    matrix, numbers = blobs(30, 5)
    scaled = make_pipeline(StandardScaler(), forest()).fit(matrix, numbers)
    assert narrowed(scaled) is None
    before = make_pipeline(StandardScaler())
    assert narrowed(BoostedTrees(before, max_iter=2).fit(matrix, numbers)) is None
    assert narrowed(tree().fit(matrix, np.zeros(30, int))) is None  # asks for nothing
    assert narrowed(object()) is None


# -- features


class Torn(ArraySource):
    """The third event cannot be read."""

    def read(self, i, window=None, out=None):
        if i == 2:
            raise UnreadableFileError("the third is torn")
        return super().read(i, window, out)


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"bin": 2}, {"normalise": "mean"}])
@pytest.mark.parametrize("region", ["whole", "window:1:6,2:8"])
@pytest.mark.parametrize("masked", ["none", "used", "other", "all"])
def test_some_features_are_those_of_all(dtype, options, region, masked):
    rng = np.random.default_rng(1)
    frames = rng.poisson(30, (9, 7, 9)).astype(dtype)
    if frames.dtype.kind == "f":
        frames[3, 2, 3] = np.nan
        frames[4] = np.inf
    extractor = FeatureExtractor.for_region(
        FeatureSettings(**options), Region.parse(region), (7, 9), mask=_mask(4, 4)
    )
    columns = np.sort(rng.choice(extractor.n_features, 4, replace=False))
    place = {"used": extractor._blocks.corners()[columns[1]], "other": (4, 5)}.get(masked)
    mask = None if place is None else _mask(*place)
    if masked == "all":
        mask = PixelMask(np.ones((7, 9), np.uint8))
    reader = FeatureReader(EventStack([Torn(frames, mask=mask)]), extractor)
    block = next(iter(reader.stack.blocks(9)))
    whole, some = reader.read(block), reader.read(block, columns)
    assert some.matrix.tobytes() == whole.matrix[:, columns].tobytes()
    assert (some.failed, some.unusable) == (whole.failed, whole.unusable)
    assert list(some.failed) == [2]


def test_pixels_that_no_tree_asks_for_are_not_looked_at(monkeypatch):
    extractor = FeatureExtractor.for_region(FeatureSettings(), Region.parse("whole"), (7, 9))
    reader = FeatureReader(EventStack([ArraySource(np.ones((3, 7, 9), np.int16))]), extractor)
    monkeypatch.setattr(FeatureExtractor, "extract", lambda *_: pytest.fail("all were asked for"))
    read = reader.read(next(iter(reader.stack.blocks(3))), np.array([5, 60]))
    assert np.array_equal(read.matrix, np.ones((3, 2), np.float32))


def _mask(*place):
    bad = np.zeros((7, 9), bool)
    bad[tuple(place)] = True
    return PixelMask.from_bad(bad)


@pytest.mark.parametrize("model", ["random_forest", "decision_tree", "gradient_boosting"])
@pytest.mark.parametrize("calibrate", ["none", "sigmoid"])
def test_a_model_decides_as_its_classifier_on_all_pixels(model, calibrate):
    rng = np.random.default_rng(3)
    frames = rng.poisson(40, (80, 12, 10)).astype(np.int16)
    frames[::2, :4] -= 12
    labels = ["bad", "good"] * 40
    options = {"model": model, "calibration": calibrate, "n_estimators": 9}
    made = xs.train(EventStack([ArraySource(frames)]), labels, split="event", **options)
    asked = rng.poisson(36, (50, 12, 10)).astype(np.int16)
    matrix = made.extractor.extract(asked)
    expected = made.estimator.predict_proba(matrix)
    if calibrate != "none":
        scores = getattr(made.estimator, "decision_function", None)
        raw = expected[:, 1:] if scores is None else scores(matrix)[:, np.newaxis]
        expected = made.calibration.apply(raw)
    decided = made.predict(EventStack([ArraySource(asked)]))
    assert decided.probabilities.tobytes() == np.ascontiguousarray(expected).tobytes()
