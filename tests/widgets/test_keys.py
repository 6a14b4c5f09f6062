"""Shortcuts: bound where they win, put back in whatever order, held and let go."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.utils.key_bindings import KeymapHandler

from napari_xfelsort.widgets import keys
from napari_xfelsort.widgets.keys import BROWSE, LABEL, TABLE, KeyBinder, help_text
from napari_xfelsort.widgets.runs import runs_of

#: Keys that napari 0.9 leaves free on the viewer and on every kind of layer.
FREE = set("890GHJKNQUW")


class Listener:
    """Carries out actions by noting them."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def hear(self, action: str) -> None:
        self.heard.append(action)


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def press(viewer):
    """Presses a key as napari's canvas does: the active layer's keys come first."""

    def do(key: str, owner=None) -> bool:
        handler = KeymapHandler()
        active = viewer.layers.selection.active if owner is None else owner
        handler.keymap_providers = [p for p in (active, viewer) if p is not None]
        return handler.press_key(key)

    return do


def bound(owner) -> set[str]:
    return {str(key) for key in owner.keymap}


def test_table_uses_only_keys_that_napari_leaves_free():
    letters = [shortcut.key for shortcut in TABLE if len(shortcut.key) == 1]
    assert len(set(letters)) == len(letters)
    assert set(letters) <= FREE


def test_help_names_every_key_once():
    lines = help_text(TABLE).splitlines()
    assert lines[0] == "K or Right: next event (hold to go on)"
    assert len(lines) == len({shortcut.action for shortcut in TABLE})
    assert help_text(LABEL).startswith("G: label good")


def test_keys_act_whichever_layer_is_selected(viewer, run, listener, press):
    binder = KeyBinder(runs_of(viewer), LABEL, listener.hear)
    others = [viewer.add_labels(np.zeros((4, 4), int)), viewer.add_shapes(None), None]
    for layer in [*others, run.layer, *run.companions.layers()]:
        viewer.layers.selection.active = layer
        for shortcut in LABEL:
            press(shortcut.key)
        assert listener.heard == [shortcut.action for shortcut in LABEL]
        listener.heard.clear()
    binder.close()


def test_layers_that_come_later_are_bound_too(viewer, run, open_run, simulated_second, listener):
    binder = KeyBinder(runs_of(viewer), LABEL, listener.hear)
    second = open_run(simulated_second.data)
    assert {"G", "W", "0", "Q", "N"} <= bound(second.layer)
    binder.close()
    assert not {"G", "W", "0", "Q", "N"} & (bound(second.layer) | bound(viewer))


def test_what_was_bound_before_comes_back(viewer, run, listener, press):
    mine = []
    viewer.bind_key("G", lambda _: mine.append("mine"))
    binder = KeyBinder(runs_of(viewer), LABEL, listener.hear)
    press("G")
    binder.close()
    binder.close()
    press("G")
    assert (mine, listener.heard) == (["mine"], ["good"])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0), (0, 2, 1)])
def test_several_are_closed_in_any_order(viewer, run, press, order):
    mine = []
    viewer.bind_key("G", lambda _: mine.append("mine"))
    viewer.layers.selection.active = None
    listeners = [Listener() for _ in range(3)]
    binders = [KeyBinder(runs_of(viewer), LABEL, one.hear) for one in listeners]
    open_ones = [0, 1, 2]
    for number in order:
        press("G")
        assert listeners[open_ones[-1]].heard.pop() == "good"  # the last that is open
        binders[number].close()
        open_ones.remove(number)
    press("G")
    assert mine == ["mine"]
    assert not any(one.heard for one in listeners)
    assert not {"W", "0"} & (bound(viewer) | bound(run.layer))


def test_a_binder_holds_nobody(viewer, run, press):
    listener = Listener()
    binder = KeyBinder(runs_of(viewer), LABEL, listener.hear)
    gone, gone_binder = weakref.ref(listener), weakref.ref(binder)
    del listener
    gc.collect()
    assert gone() is None
    press("G")  # nobody is there to hear it
    binder.close()
    del binder
    gc.collect()
    assert gone_binder() is None


def test_a_held_key_goes_on_and_stops(viewer, run, listener, qtbot, monkeypatch):
    monkeypatch.setattr(keys, "HOLD_DELAY", 5)
    monkeypatch.setattr(keys, "HOLD_STEP", 1)
    binder = KeyBinder(runs_of(viewer), BROWSE, listener.hear)
    handler = KeymapHandler()
    handler.keymap_providers = [run.layer, viewer]
    handler.press_key("K")
    assert listener.heard == ["next"]
    qtbot.waitUntil(lambda: len(listener.heard) > 4)
    handler.release_key("K")
    count = len(listener.heard)
    qtbot.wait(30)
    assert listener.heard == ["next"] * count
    binder.close()


def test_of_two_keys_the_last_goes_on(viewer, run, listener, qtbot, monkeypatch):
    monkeypatch.setattr(keys, "HOLD_DELAY", 5)
    monkeypatch.setattr(keys, "HOLD_STEP", 1)
    binder = KeyBinder(runs_of(viewer), BROWSE, listener.hear)
    handler = KeymapHandler()
    handler.keymap_providers = [run.layer, viewer]
    handler.press_key("J")
    handler.press_key("K")
    handler.release_key("J")
    listener.heard.clear()
    qtbot.waitUntil(lambda: len(listener.heard) > 2)
    assert set(listener.heard) == {"next"}
    binder.close()
    listener.heard.clear()
    qtbot.wait(30)
    assert listener.heard == []


def test_a_label_key_does_not_repeat(viewer, run, listener, qtbot, monkeypatch):
    monkeypatch.setattr(keys, "HOLD_DELAY", 1)
    monkeypatch.setattr(keys, "HOLD_STEP", 1)
    binder = KeyBinder(runs_of(viewer), LABEL, listener.hear)
    handler = KeymapHandler()
    handler.keymap_providers = [run.layer, viewer]
    handler.press_key("G")
    qtbot.wait(30)
    assert listener.heard == ["good"]
    binder.close()
