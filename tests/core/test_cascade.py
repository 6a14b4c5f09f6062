"""Cascades of two models: the band, who is asked, and what is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from learning_cases import labelled_run, quick_and_slow
from scipy.stats import binom

from napari_xfelsort.core.cascade import Band, Cascade, find_band
from napari_xfelsort.core.decisions import Decisions
from napari_xfelsort.core.errors import ModelError, SettingsError


def test_the_band_loses_no_more_than_it_may_and_says_how_sure_that_is():
    generator = np.random.default_rng(1)
    positive = np.arange(1000) < 100
    p = np.where(positive, generator.beta(5, 2, 1000), generator.beta(1, 8, 1000))
    band = find_band(p, positive, loss=0.03, precision=0.98)
    assert (p[positive] < band.low).sum() == 3
    assert band.lost == pytest.approx(0.03)
    # Clopper and Pearson: with so large a loss, three or fewer of 100 happen once in twenty.
    assert binom.cdf(3, 100, band.lost_at_most) == pytest.approx(0.05)
    taken = p >= band.high
    assert positive[taken].mean() >= 0.98
    lower = np.sort(p[p < band.high])[::-1]
    assert all(positive[p >= t].mean() < 0.98 for t in lower[:50])
    assert band.asked == pytest.approx(((p >= band.low) & (p < band.high)).mean())
    assert band.positives == 100
    assert find_band(p, positive, loss=0).low <= p[positive].min()


def test_bands_at_the_ends():
    p, positive = np.array([0.1, 0.2, 0.8, 0.9, np.nan]), np.array([0, 0, 1, 1, 1], bool)
    clean = find_band(p, positive)
    assert clean.low == clean.high or clean.asked == 0
    assert 0.2 < clean.low <= 0.8
    everything = find_band(p, positive, precision=1.1)
    assert everything.high > 1
    equal = find_band(np.full(4, 0.5), np.array([0, 1, 0, 1], bool))
    assert equal.low <= 0.5 < equal.high
    assert equal.lost == 0
    with pytest.raises(SettingsError, match="positive"):
        find_band(p, np.zeros(5, bool))
    with pytest.raises(SettingsError, match="loss"):
        find_band(p, positive, loss=1)


@pytest.fixture(scope="module")
def models():
    return quick_and_slow()


class Asked:
    """A model that remembers what it was asked."""

    def __init__(self, model):
        self.model, self.events = model, []
        self.class_names, self.positive = model.class_names[::-1], model.positive

    def predict(self, stack, progress=None):
        self.events += [str(stack.event_id(i)) for i in range(len(stack))]
        found = self.model.predict(stack, progress)
        return Decisions(
            found.event_ids,
            self.class_names,
            found.chosen,
            found.probabilities[:, ::-1],
            ["odd"] * len(stack),
        )


def test_the_second_model_is_asked_what_the_first_leaves_open_and_nothing_else(models):
    quick, slow = models
    stack, _ = labelled_run(n=60, step=4, seed=7)
    second = Asked(slow)
    band = Band(0.2, 0.7, 0, 0, 0, 1)
    found = Cascade(quick, second, band).predict(stack)
    one, two = quick.predict(stack), slow.predict(stack)
    column = quick.class_names.index("good")
    share = one.probabilities[:, column]
    open_ = (share >= 0.2) & (share < 0.7)
    assert 0 < open_.sum() < len(stack)
    assert np.array_equal(found.asked, open_)
    assert second.events == [str(stack.event_id(int(i))) for i in np.flatnonzero(open_)]
    wanted = np.where(share >= 0.7, "good", "bad")
    wanted[open_] = two.chosen[open_]
    assert found.decisions.chosen.tolist() == wanted.tolist()
    wanted = np.where(open_[:, np.newaxis], two.probabilities, one.probabilities)
    assert found.decisions.probabilities == pytest.approx(wanted, abs=1e-5)
    told = np.where(open_, "second model; odd", "first model").tolist()
    assert found.decisions.flags == told


def test_a_cascade_of_a_models_own_test_share(models):
    quick, slow = models
    made = Cascade.of_models(quick, slow, loss=0.02, precision=0.95)
    assert made.band.lost <= 0.02
    assert made.band.lost < made.band.lost_at_most < 0.2
    stack, labels = labelled_run(n=60, step=4, seed=8)
    found = made.predict(stack)
    truth = np.array(labels)
    together = (found.decisions.chosen == truth).mean()
    alone = (np.asarray(quick.predict(stack).chosen) == truth).mean()
    assert together > alone - 0.02
    nobody = Cascade(quick, Asked(slow), Band(0.5, 0.5, 0, 0, 0, 1)).predict(stack)
    assert not nobody.asked.any()


def test_models_that_do_not_go_together_are_refused(models):
    quick, slow = models
    other = replace(slow, class_names=("good", "blank"))
    with pytest.raises(ModelError, match="same two classes"):
        Cascade(quick, other, Band(0.1, 0.9, 0, 0, 0, 1))
    with pytest.raises(ModelError, match="'good' and the second for 'bad'"):
        Cascade(quick, replace(slow, positive="bad"), Band(0.1, 0.9, 0, 0, 0, 1))
    with pytest.raises(ModelError, match="band"):
        Cascade(quick, slow, Band(0.9, 0.1, 0, 0, 0, 1))
    with pytest.raises(ModelError, match="tested with"):
        Cascade.of_models(replace(quick, metrics={}), slow)
