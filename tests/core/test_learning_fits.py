"""New classifiers, calibration, folds, and searches against scikit-learn's own."""

from __future__ import annotations

import os

import numpy as np
import pytest
from learning_cases import blobs, labelled_run
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import napari_xfelsort as xs
from napari_xfelsort.core.errors import SettingsError, TrainingError
from napari_xfelsort.core.estimators import class_scores, fit, make_estimator
from napari_xfelsort.core.learning.boosting import BoostedTrees
from napari_xfelsort.core.learning.calibration import Calibration, fit_calibration
from napari_xfelsort.core.learning.folds import make_folds
from napari_xfelsort.core.learning.grids import candidates
from napari_xfelsort.core.learning.shares import fit_share
from napari_xfelsort.core.learning.tuning import Share, out_of_fold, search_parameters
from napari_xfelsort.core.train_settings import ALGORITHMS, TrainSettings

# -- classifiers


@pytest.mark.parametrize("classes", [2, 3])
def test_boosted_trees_are_those_of_scikit_learn(classes):
    matrix, numbers = blobs(classes=classes)
    options = {"max_iter": 12, "max_leaf_nodes": 7, "class_weight": "balanced", "random_state": 0}
    ours = BoostedTrees(**options).fit(matrix, numbers)
    theirs = HistGradientBoostingClassifier(early_stopping=False, **options).fit(matrix, numbers)
    fresh = np.random.default_rng(5).normal(size=(300, 6), scale=3).astype(np.float32)
    fresh[::7, 2] = np.nan
    assert np.array_equal(ours.decision_function(fresh), theirs.decision_function(fresh))
    assert ours.predict_proba(fresh) == pytest.approx(theirs.predict_proba(fresh), rel=1e-12)
    assert np.array_equal(ours.predict(fresh), theirs.predict(fresh))
    assert ours.decision_function(fresh[:0]).shape == ((0,) if classes == 2 else (0, 3))


def test_boosting_of_many_features_has_coarser_histograms(monkeypatch):
    asked = []

    class Seen(HistGradientBoostingClassifier):
        def fit(self, X, y):
            asked.append(self.max_bins)
            return super().fit(X, y)

    monkeypatch.setattr("sklearn.ensemble.HistGradientBoostingClassifier", Seen)
    for n_features in (6, 10_000):
        matrix, numbers = blobs(40, n_features)
        BoostedTrees(max_iter=1).fit(matrix, numbers)
    assert asked == [255, 50]


def test_blocks_of_any_size_give_the_same_sums(monkeypatch):
    matrix, numbers = blobs()
    trees = BoostedTrees(max_iter=5, random_state=0).fit(matrix, numbers)
    whole = trees.decision_function(matrix)
    monkeypatch.setattr("napari_xfelsort.core.learning.boosting._AT_ONCE", 35)
    assert np.array_equal(trees.decision_function(matrix), whole)


def test_a_linear_svm_is_scaled_weighted_and_has_probabilities():
    stack, labels = labelled_run()
    model = xs.train(stack, labels, model="linear_svm", C=0.1)
    assert model.calibration.method == "sigmoid"
    matrix, numbers = blobs()
    matrix[:, 0] *= 1000
    settings = TrainSettings(model="linear_svm", C=0.1, seed=3)
    ours = make_estimator(settings, numbers)
    fit(ours, matrix, numbers)
    svm = LinearSVC(C=0.1, class_weight="balanced", random_state=3, max_iter=5000)
    theirs = make_pipeline(StandardScaler(), svm).fit(matrix, numbers)
    assert np.array_equal(class_scores(ours, matrix)[:, 0], theirs.decision_function(matrix))


@pytest.mark.parametrize(("weight", "priors"), [("balanced", [0.5, 0.5]), ("none", None)])
def test_naive_bayes_gives_rare_classes_even_priors(weight, priors):
    matrix, numbers = blobs()
    numbers = (np.arange(120) % 6 == 0).astype(int)
    settings = TrainSettings(model="naive_bayes", class_weight=weight, var_smoothing=1e-4)
    ours = make_estimator(settings, numbers)
    fit(ours, matrix, numbers)
    theirs = make_pipeline(StandardScaler(), GaussianNB(priors=priors, var_smoothing=1e-4))
    expected = theirs.fit(matrix, numbers).predict_proba(matrix)
    assert ours.predict_proba(matrix) == pytest.approx(expected)
    assert ours.steps[-1][1].class_prior_ == pytest.approx(priors or [5 / 6, 1 / 6])


@pytest.mark.parametrize("model", ALGORITHMS)
def test_components_are_scaled_first_kept_in_the_file_and_decide_the_same(tmp_path, model):
    stack, labels = labelled_run(2)
    made = xs.train(stack, labels, model=model, components=4, n_estimators=5)
    path = tmp_path / "m.xfelmodel"
    made.save(path)
    again = xs.load_model(path)
    assert again.digest == made.digest
    first, second = made.predict(stack), again.predict(stack)
    assert first.probabilities.tobytes() == second.probabilities.tobytes()
    estimator = getattr(made.estimator, "before", None) or made.estimator
    assert [type(step) for _, step in estimator.steps[:2]] == [StandardScaler, PCA]
    assert "as 4 principal components" in made.report_text()


def test_too_many_components_or_neighbours_are_refused():
    stack, labels = labelled_run(1, 20)
    with pytest.raises(TrainingError, match="components is 40 but there are only 14 events"):
        xs.train(stack, labels, components=40)
    small, labels = labelled_run(2, 80, shape=(2, 2))
    with pytest.raises(TrainingError, match="only 4 features"):
        xs.train(small, labels, components=5, model="naive_bayes")
    with pytest.raises(TrainingError, match="only 4 features"):
        xs.train(small, labels, components=5, model="gradient_boosting")


# -- calibration


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("model", ["linear_svm", "naive_bayes", "logistic_regression"])
def test_calibration_is_that_of_scikit_learn(model, method, classes):
    matrix, numbers = blobs(classes=classes, apart=0.7)
    folds, _ = make_folds(numbers, None, 5, seed=0)
    settings = TrainSettings(model=model, calibration=method)
    share = Share(matrix, numbers, folds)
    found = out_of_fold(settings, share, {}, lambda n: None)
    calibration = fit_calibration(method, found.scores, numbers)
    estimator = make_estimator(settings, numbers)
    theirs = CalibratedClassifierCV(
        estimator, method=method, cv=PredefinedSplit(folds), ensemble=False
    ).fit(matrix, numbers)
    fit(estimator, matrix, numbers)
    ours = calibration.apply(class_scores(estimator, matrix))
    expected = theirs.predict_proba(matrix)
    # Their sigmoid is found to a tolerance of 1e-4 or so.
    assert ours == pytest.approx(expected, abs=2e-3 if method == "sigmoid" else 1e-6)
    again = Calibration.from_dict(calibration.to_dict(), classes)
    assert again == calibration


def test_calibration_mends_probabilities():
    """Naive Bayes is far too sure of correlated features."""
    rng = np.random.default_rng(0)
    stack, labels = labelled_run(6, 60, step=0)
    for source, part in zip(stack.sources, np.split(np.array(labels), 6), strict=True):
        source._frames += rng.normal(0, 20, (60, 1, 1)) - 15 * (part == "bad")[:, None, None]
    raw, mended = (
        xs.train(stack, labels, model="naive_bayes", calibration=method)
        for method in ("none", "isotonic")
    )
    assert mended.metrics["brier"] < 0.75 * raw.metrics["brier"]
    assert mended.predict(stack).probabilities.sum(axis=1) == pytest.approx(np.ones(360))


@pytest.mark.parametrize(
    "values",
    [
        {"method": "none", "maps": [[[1], [1]]]},
        {"method": "sigmoid", "maps": [[[1, 2], [1, 2]]]},
        {"method": "sigmoid", "maps": []},
        {"method": "sigmoid", "maps": [[[1], [float("nan")]]]},
        {"method": "isotonic", "maps": [[[1, 0], [0, 1]]]},
        {"method": "isotonic", "maps": [[[0, 1], [0, 7]]]},
        {"method": "isotonic", "maps": [[[0, 1], [0]]]},
        {"method": "isotonic", "maps": [["01", "01"]]},
        {"method": ["sigmoid"], "maps": [[[1], [1]]]},
        {"maps": 3},
    ],
)
def test_calibrations_from_strangers_are_checked(values):
    with pytest.raises((ValueError, KeyError, TypeError)):
        Calibration.from_dict(values, 2)


# -- folds and searches


def test_groups_stay_together_in_the_parts_or_it_is_said():
    numbers = np.tile([0, 1], 60)
    groups = np.repeat(np.arange(12), 10)
    folds, notes = make_folds(numbers, groups, 5, seed=0)
    assert notes == []
    assert sorted(np.unique(folds)) == [0, 1, 2, 3, 4]
    for group in range(12):
        assert len(np.unique(folds[groups == group])) == 1
    assert len(np.unique(make_folds(numbers, np.repeat([5, 9], 60), 5, 0)[0])) == 2
    folds, (note,) = make_folds(np.repeat([0, 1], 60), np.repeat([5, 9], 60), 5, 0)
    assert "cannot be divided" in note
    assert all(len(np.unique(numbers[folds != fold])) == 2 for fold in range(5))


def test_the_grid_of_padt_is_there_but_is_not_what_happens_unasked():
    """1080 fits of random forests were its default."""
    assert len(candidates("padt", "random_forest")) == 216
    assert TrainSettings().search == "none"
    assert TrainSettings().planned_fits == 1
    with pytest.raises(SettingsError, match=r"216 sets of parameters on 5 parts: 1080 fits"):
        TrainSettings(search="padt")
    assert TrainSettings(search="padt", search_limit=1080).planned_fits == 1081
    assert TrainSettings(search="padt", model="logistic_regression").search_fits == 60


@pytest.mark.parametrize("cores", [1, 2])
def test_a_search_runs_on_few_cores(monkeypatch, cores):
    """Cores less two were asked for, which are none on a computer of two."""
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    stack, labels = labelled_run(2, 20)
    settings = {"n_estimators": 3, "folds": 2, "search": "small", "split": "event"}
    for model in ("random_forest", "gradient_boosting"):
        made = xs.train(stack, labels, model=model, **settings)
        assert made.metrics["search"]["fits"] == 8
        assert made.metrics["search"]["best_score"] > 0.5


def test_the_grids_of_reflex():
    assert [c["C"] for c in candidates("reflex", "linear_svm")] == [1, 5, 10]
    neighbours = [c["n_neighbors"] for c in candidates("reflex", "k_nearest_neighbours")]
    assert neighbours == [5, 7, 10, 15, 20, 30, 50]
    with pytest.raises(SettingsError, match="no grid for decision tree"):
        TrainSettings(model="decision_tree", search="reflex")
    for model in ALGORITHMS:
        assert TrainSettings(model=model, search="small").search_fits <= 40


@pytest.mark.parametrize(
    ("search", "model"),
    [
        ("small", "logistic_regression"),
        ("padt", "logistic_regression"),
        ("padt", "k_nearest_neighbours"),
        ("small", "decision_tree"),
    ],
)
def test_a_search_finds_what_grid_search_finds(search, model):
    matrix, numbers = blobs(160, apart=0.5)
    groups = np.repeat(np.arange(16), 10)
    folds, _ = make_folds(numbers, groups, 4, seed=0)
    settings = TrainSettings(model=model, search=search, folds=4, search_score="accuracy")
    ticks = []
    found = search_parameters(settings, Share(matrix, numbers, folds), ticks.append)
    grid = candidates(search, model)
    made = [make_estimator(settings, numbers, candidate) for candidate in grid]
    theirs = GridSearchCV(
        make_pipeline(LogisticRegression()),  # its steps are what is searched
        [{"steps": [getattr(one, "steps", [("tree", one)])]} for one in made],
        cv=PredefinedSplit(folds),
        scoring="accuracy",
    ).fit(matrix, numbers)
    assert found["best_score"] == pytest.approx(theirs.best_score_)
    ours = sorted(row["score"] for row in found["table"])
    assert ours == pytest.approx(sorted(theirs.cv_results_["mean_test_score"]))
    assert found["best"] == grid[theirs.best_index_]
    assert sum(ticks) == found["fits"] == 4 * len(grid)


def test_parameters_that_cannot_be_fitted_are_said_and_the_others_tried():
    stack, labels = labelled_run(2, 26)
    model = xs.train(
        stack, labels, model="k_nearest_neighbours", search="reflex", split="event", n_neighbors=1
    )
    table = model.metrics["search"]["table"]
    assert any(row["score"] is None and "n_neighbors is 50" in row["note"] for row in table)
    best = model.provenance["parameters"]["n_neighbors"]
    assert best == table[0]["parameters"]["n_neighbors"]
    assert model.estimator.steps[-1][1].n_neighbors == best
    assert "Search reflex" in model.report_text()


@pytest.mark.parametrize("stop_at", [1, 3, 7])
def test_progress_of_fits_is_whole_and_may_stop(stop_at):
    stack, labels = labelled_run(5)
    told = []
    settings = {"model": "naive_bayes", "search": "small", "threshold": "max_f1", "folds": 3}
    xs.train(stack, labels, fit_progress=lambda *p: told.append(p), **settings)
    total = 3 * 4 + 3 + 1
    assert told == [(k, total) for k in range(total + 1)]
    assert TrainSettings(**settings).planned_fits == total

    class StopError(Exception):
        pass

    def stop(done, of):
        if done == stop_at:
            raise StopError

    with pytest.raises(StopError):
        xs.train(stack, labels, fit_progress=stop, **settings)


def test_out_of_fold_predictions_are_those_of_cross_val_predict():
    from sklearn.model_selection import cross_val_predict

    matrix, numbers = blobs()
    folds = np.empty(120, int)
    for k, (_, part) in enumerate(StratifiedKFold(5).split(matrix, numbers)):
        folds[part] = k
    settings = TrainSettings(model="naive_bayes")
    ours = out_of_fold(settings, Share(matrix, numbers, folds), {}, lambda n: None)
    theirs = cross_val_predict(
        make_estimator(settings, numbers), matrix, numbers, cv=5, method="predict_proba"
    )
    assert ours.probabilities == pytest.approx(theirs)
    assert ours.scores[:, 0] == pytest.approx(theirs[:, 1])


# -- the test share


EVERYTHING = {
    "search": "small",
    "calibration": "isotonic",
    "threshold": "max_f1",
    "components": 5,
    "unsure_margin": 0.2,
    "n_estimators": 5,
    "folds": 3,
}


@pytest.mark.parametrize(
    ("model", "split"),
    [
        *((model, "file") for model in ALGORITHMS),
        ("linear_svm", "event"),
        ("random_forest", "run"),
    ],
)
def test_nothing_of_the_test_share_has_a_part_in_the_model(model, split):
    """Other pixels and other labels there leave classifier, calibration and threshold alone."""
    stack, labels = labelled_run(5, 24, step=5)
    made = xs.train(stack, labels, model=model, split=split, **EVERYTHING)
    tested = set(made.metrics["tested"]["events"])
    assert len(tested) == made.metrics["n"]
    spoilt, where = [], np.array([str(stack.event_id(i)) in tested for i in range(len(stack))])
    rng = np.random.default_rng(1)
    for source, mine in zip(stack.sources, np.split(where, 5), strict=True):
        frames = source._frames.copy()
        frames[mine] = rng.normal(500, 100, frames[mine].shape)
        spoilt.append(type(source)(frames, source.path))
    other = xs.train(xs.EventStack(spoilt), labels, model=model, split=split, **EVERYTHING)
    assert set(other.metrics["tested"]["events"]) == tested
    assert other.digest == made.digest
    assert other.metrics["search"] == made.metrics["search"]
    assert other.metrics["out_of_fold"] == made.metrics["out_of_fold"]
    assert other.metrics["brier"] != made.metrics["brier"]


def test_labels_of_the_test_share_have_no_part_in_the_model():
    stack, labels = labelled_run(5, 24, step=5)
    made = xs.train(stack, labels, split="file", **EVERYTHING)
    tested = set(made.metrics["tested"]["events"])
    where = np.flatnonzero([str(stack.event_id(i)) in tested for i in range(len(stack))])
    swapped = list(labels)  # as many of each class, so that the files are divided the same
    for i, j in zip(where, np.random.default_rng(0).permutation(where), strict=True):
        swapped[i] = labels[j]
    assert swapped != labels
    other = xs.train(stack, swapped, split="file", **EVERYTHING)
    assert set(other.metrics["tested"]["events"]) == tested
    assert other.digest == made.digest
    assert other.metrics["accuracy"] < made.metrics["accuracy"]


def test_the_share_is_all_that_fitting_is_given():
    """`fit_share` makes everything, and has no argument that could hold the test share."""
    matrix, numbers = blobs(90)
    settings = TrainSettings(model="logistic_regression", threshold="max_f1")
    fitted = fit_share(settings, matrix, numbers, None, ("bad", "good"), "good")
    assert 0 < fitted.rule.threshold < 1
    assert fitted.out_of_fold["n"] == 90
