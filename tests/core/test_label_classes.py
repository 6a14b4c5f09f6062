"""Sets of classes, and events that have several classes."""

from __future__ import annotations

import csv
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_classes import COLOURS, ClassSet, LabelClass
from napari_xfelsort.core.label_journal import join_classes, split_label
from napari_xfelsort.core.label_tally import LabelTally
from napari_xfelsort.core.labels import LabelStore

NAMES = st.lists(st.sampled_from(["ice", "shadow", "salt ring", "a+b", "Streuung"]), max_size=4)


def event(i: int) -> EventId:
    return EventId("run.cxi", f"//{i}")


def test_good_and_bad_unless_told_otherwise(tmp_path):
    classes = ClassSet.load(tmp_path)
    assert [(c.name, c.key) for c in classes.classes] == [("good", "G"), ("bad", "W")]
    assert not classes.multi_label
    assert list(tmp_path.iterdir()) == []


def test_resumed_on_reopening(tmp_path):
    made = ClassSet(
        (LabelClass("Eis", "#00FF00", "e"), LabelClass('odd "(1)'.replace('"', ""), "#123456")),
        multi_label=True,
    )
    path = made.save(tmp_path)
    assert tomllib.loads(path.read_text()) == {
        "multi_label": True,
        "class": [
            {"name": "Eis", "colour": "#00ff00", "key": "E"},
            {"name": "odd (1)", "colour": "#123456", "key": ""},
        ],
    }
    assert ClassSet.load(tmp_path) == made
    ClassSet().save(tmp_path)
    assert ClassSet.load(tmp_path) == ClassSet()
    assert [p.name for p in tmp_path.iterdir()] == ["classes.toml"]  # nothing temporary


def test_ten_classes_have_colours_and_keys_of_their_own():
    classes = ClassSet.of_names(["bad", *(f"c{k}" for k in range(8)), "good"], taken_keys="12q")
    assert classes["good"].key == "G"
    assert classes["bad"].key == "W"
    assert {c.key for c in classes.classes}.isdisjoint("12Q")
    assert len({c.key for c in classes.classes}) == 10
    assert {c.colour for c in classes.classes} == set(COLOURS)
    with pytest.raises(LabelError, match="1 to 10 classes; there are 11"):
        classes.with_class("more")


def test_classes_of_old_journals_are_added(tmp_path):
    store = LabelStore(tmp_path, "anna")
    for k, label in enumerate(("good", "halo", "ignore", "Good", "a+b")):
        store.set(event(k), label)
    classes = ClassSet().with_used(store.classes_used)
    assert classes.names == ("good", "bad", "a+b", "halo")  # "Good" differs only by capitals
    many = ClassSet().with_used(f"c{k}" for k in range(20))
    assert len(many.classes) == 10


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("class = 3", "tables"),
        ("multi_label = true", "there are 0"),
        ("[[class]]\nname = 'ignore'\ncolour = '#000000'", "meaning of its own"),
        ("[[class]]\nname = 'undecided'\ncolour = '#000000'", "meaning of its own"),
        ("[[class]]\nname = 'a|b'\ncolour = '#000000'", "cannot name a class"),
        ("[[class]]\nname = 'a'\ncolour = 'red'", "#rrggbb"),
        ("[[class]]\nname = 'a'\ncolour = '#000000'\nkey = 'F1'", "one letter"),
        ("[[class]]\nname = 'a'\ncolour = '#000000'\nkey = 7", "must be text"),
        ("[[class]]\nname = 'a'", "'colour'"),
        ("[[class]]\nname = 'a'\ncolour = '#000000'\ncolor = 'x'", "'color'"),
        ("colours = 1", "'colours'"),
        ("multi_label = 1", "true or false"),
        ("[[class", "cannot be read"),
        ("\udcff", "cannot be read"),
    ],
)
def test_a_spoilt_file_is_refused_by_name(tmp_path, text, why):
    path = tmp_path / "classes.toml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(LabelError, match=why) as caught:
        ClassSet.load(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("names", "keys", "why"),
    [(("a", "A"), "12", "capitals"), (("a", "a"), "12", "same name"), (("a", "b"), "xX", "key X")],
)
def test_names_and_keys_differ(names, keys, why):
    with pytest.raises(LabelError, match=why):
        ClassSet(tuple(LabelClass(n, "#000000", k) for n, k in zip(names, keys, strict=True)))


def test_cannot_be_written(tmp_path):
    with pytest.raises(LabelError, match="cannot be written"):
        ClassSet().save(tmp_path / "absent")


def test_choosing_a_class_with_and_without_several():
    one = ClassSet()
    assert one.toggled("bad", "good") == "good"
    several = ClassSet.of_names(["ring", "ice"], multi_label=True)
    assert several.toggled(None, "ring") == "ring"
    assert several.toggled("ring", "ice") == "ice|ring"
    assert several.toggled("ice|ring", "ring") == "ice"
    assert several.toggled("ice", "ice") == ""
    assert several.toggled("ignore", "ice") == "ice"
    assert several.colours_of("ice|ring") == tuple(c.colour for c in several.classes)
    assert several.colours_of("ignore") == several.colours_of(None) == ()
    assert several.colours_of("halo") == ("#808080",)
    with pytest.raises(LabelError, match="there are ring, ice"):
        several.toggled(None, "good")


# -- several classes in the journal


@given(NAMES.filter(bool))
def test_joined_classes_are_a_set(names):
    label = join_classes(names)
    assert label == join_classes(reversed(names))
    assert split_label(label) == tuple(sorted(set(names)))


@pytest.mark.parametrize("label", ["good|", "|", "good|ignore", "good||bad", "a|undecided"])
def test_half_a_label_is_none(tmp_path, label):
    store = LabelStore(tmp_path, "anna")
    with pytest.raises(LabelError):
        store.set(event(0), label)
    with pytest.raises(LabelError):
        join_classes([])
    line = f"2026-01-02T03:04:05.000006Z,run.cxi,//0,{label},hand,\n"
    (tmp_path / "labels-bert.csv").write_text(line)
    assert LabelStore(tmp_path, "anna").labels() == {}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), NAMES), max_size=20))
def test_lists_of_several_classes(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("labels")
    store = LabelStore(folder, "anna")
    has: dict[int, set[str]] = {}
    for i, names in steps:
        store.set(event(i), "|".join(names)) if names else store.clear(event(i))
        has[i] = set(names)
    for known in (store, LabelStore(folder, "bert")):
        used = {name for _, names in steps for name in names}
        assert set(known.classes_used) == used
        assert known.counts() == {
            name: n for name in sorted(used) if (n := sum(name in h for h in has.values()))
        }
        lists = known.export_lists(folder, overwrite=True)
        assert {name: path.read_text().splitlines() for name, path in lists.items()} == {
            name: [f"run.cxi //{i}" for i in sorted(has) if name in has[i]] for name in used
        }


def test_a_tally_counts_each_class_and_each_event_once():
    tally = LabelTally(["ice|salt", "ice", None, "ignore"])
    assert (tally.n_labelled, tally.counts) == (3, {"ice": 2, "ignore": 1, "salt": 1})
    tally.set(0, "salt")
    tally.set(2, "ice|salt|shadow")
    assert (tally.n_labelled, tally.counts) == (4, {"ice": 2, "ignore": 1, "salt": 2, "shadow": 1})
    tally.set(2, None)
    tally.set(3, None)
    assert (tally.n_labelled, tally.counts) == (2, {"ice": 1, "salt": 1})


def test_an_old_journal_means_what_it_meant(tmp_path):
    """A plus was allowed in a name, and still is one class."""
    text = "2026-01-02T03:04:05.000006Z,run.cxi,//0,ice+salt,hand,\n"
    (tmp_path / "labels-bert.csv").write_text("time,file,event,label,source,note\n" + text)
    store = LabelStore(tmp_path, "anna")
    assert store.counts() == {"ice+salt": 1}
    assert store.classes == store.classes_used == ("ice+salt",)
    store.set(event(1), "salt|ice")
    with (tmp_path / "labels-anna.csv").open(newline="") as lines:
        assert next(csv.DictReader(lines))["label"] == "ice|salt"
