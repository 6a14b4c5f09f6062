"""Two models in the Sort dock: what core does with them is the oracle."""

from __future__ import annotations

import tomllib

import pytest
from sort_user import BLOCK, at_dock, frames, make_model, write_all, written

import napari_xfelsort as xs
from napari_xfelsort.core.cascade import Cascade
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

T, F = True, False


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A model and a quicker one."""
    folder = tmp_path_factory.mktemp("two")
    quick = make_model(folder / "quick.xfelmodel", "naive_bayes", 98, bin=2)
    return make_model(folder / "second.xfelmodel"), quick


@pytest.fixture
def person(viewer, qtbot, models, tmp_path):
    folder = tmp_path / "data"
    write_all(folder, {"0.cxi": [F, F, T, F, T], "1.cxi": [F] * 5 + [T] * 4})
    with at_dock(viewer, qtbot, folder, models[0], tmp_path / "out") as someone:
        yield someone


def test_a_first_model_sorts_as_it_does_without_a_dock(person, models, tmp_path):
    second, quick = map(xs.load_model, models)
    assert not person.dock.limits.isVisible()
    person.enter(first_model=models[1])
    assert person.dock.limits.isVisible()
    person.enter(precision="2")  # takes nothing by itself
    band = Cascade.of_models(quick, second, precision=2).band
    told = f"below {band.low:.3g}"
    person.wait(lambda: person.dock.card.is_current and told in person.text("model_card"))
    assert "Classes: bad, good" in person.text("model_card")
    person.press("sort")
    assert "14 events of 2 files sorted" in person.said
    assert "6 of them were decided by the second model." in person.said
    stack = xs.open_stack(tmp_path / "data")
    alone = tmp_path / "alone"
    xs.sort(stack, second, alone, workers=0, block_events=BLOCK, first=quick, precision=2)
    assert written(tmp_path / "out") == written(alone)
    run = tomllib.loads((tmp_path / "out" / "run.toml").read_text())
    assert run["first_model"]["digest"] == quick.digest
    # With one model again these are results of something else, which is asked about.
    person.enter(first_model="")
    assert not person.dock.limits.isVisible()
    person.wait(lambda: person.dock.card.is_current)
    assert "First model" not in person.text("model_card")


def test_models_that_do_not_go_together_are_told_before_anything_is_sorted(person, tmp_path):
    good = [True, False] * 30
    stack = EventStack([ArraySource(frames(good, 97), "a.cxi")])
    labels = ["hit" if each else "bad" for each in good]
    other = tmp_path / "other.xfelmodel"
    xs.train(stack, labels, model="naive_bayes", bin=2).save(other)
    person.enter(first_model=other)
    person.wait(lambda: "same two classes" in person.text("model_cautions"))
    person.press("sort")
    assert "same two classes" in person.said
    person.enter(first_model=tmp_path / "nothing.xfelmodel")
    person.wait(lambda: "nothing.xfelmodel" in person.text("model_cautions"))
    assert not (tmp_path / "out").exists()


def test_a_limit_that_is_none_is_told(person, models, tmp_path):
    person.enter(first_model=models[1], loss="some")
    assert "must be a number" in person.dock.limits.message.text()
    person.press("sort")
    assert "must be a number" in person.said
    person.enter(loss="2")
    person.press("sort")
    assert "loss is 2.0 but must be at most 0.99" in person.said
    assert not (tmp_path / "out").exists()
