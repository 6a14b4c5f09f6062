"""The one table of shortcuts, and how they are bound.

napari leaves the digits 8 9 0 and the letters G H J K N Q U W free (measured with napari
0.9); everything else it uses for some layer. Keys are bound on the layers of a run, where
they win over napari's own, and on the viewer for when another layer is selected.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_classes import ClassSet

if TYPE_CHECKING:
    from napari_xfelsort.widgets.run import Run
    from napari_xfelsort.widgets.runs import ViewerRuns

#: What napari leaves free on the viewer and on every kind of layer.
FREE = frozenset("890GHJKNQUW")
#: Milliseconds a key is held before it repeats, and least time between two repeats.
HOLD_DELAY, HOLD_STEP = 350, 15


#: Actions that are no labels; no class can be called like this.
CLEAR, REPEAT, UNDO, REDO, UNLABELLED = "/clear", "/repeat", "/undo", "/redo", "/unlabelled"


class Shortcut(NamedTuple):
    """A key and what it does.

    Attributes
    ----------
    key : str
        As napari writes it.
    action : str
        Name of the action, for the dock that carries it out.
    help : str
        What it does, for the user.
    repeats : bool
        Whether it goes on while the key is held.
    """

    key: str
    action: str
    help: str
    repeats: bool = False


BROWSE = (
    Shortcut("K", "next", "next event (hold to go on)", True),
    Shortcut("J", "previous", "previous event (hold to go on)", True),
    Shortcut("Right", "next", "next event", True),
    Shortcut("Left", "previous", "previous event", True),
    Shortcut("H", "random", "random event"),
)
LABEL = (
    Shortcut("G", "good", "label good, and advance"),
    Shortcut("W", "bad", "label bad, and advance"),
    Shortcut("0", "ignore", "label ignore (in no list), and advance"),
    Shortcut("8", REPEAT, "label as the event before was labelled, and advance"),
    Shortcut("Q", CLEAR, "take the label back"),
    Shortcut("U", UNDO, "undo the last label"),
    Shortcut("9", REDO, "redo what was undone"),
    Shortcut("N", UNLABELLED, "next event without a label"),
)
#: All shortcuts, for docks and documentation.
TABLE = (*BROWSE, *LABEL)
_DEFAULT_CLASSES = frozenset(ClassSet().names)
#: Keys that no class can have, and what they do.
RESERVED = {
    shortcut.key: shortcut.help
    for shortcut in TABLE
    if len(shortcut.key) == 1 and shortcut.action not in _DEFAULT_CLASSES
}


def label_shortcuts(classes: ClassSet) -> tuple[Shortcut, ...]:
    """The shortcuts that label, for these classes: `LABEL` for good and bad."""
    several = classes.multi_label
    mine = tuple(
        Shortcut(
            each.key,
            each.name,
            f"put {each.name} on or take it off" if several else f"label {each.name}, and advance",
        )
        for each in classes.classes
        if each.key
    )
    rest = (shortcut for shortcut in LABEL if shortcut.action not in _DEFAULT_CLASSES)
    if several:
        rest = (each._replace(help=each.help.replace(", and advance", "")) for each in rest)
    return (*mine, *rest)


def check_keys(classes: ClassSet) -> None:
    """Refuse keys that mean something else.

    Raises
    ------
    LabelError
        Names the class, its key and what the key does.
    """
    for each in classes.classes:
        if each.key in RESERVED:
            raise LabelError(
                f"The key {each.key} of the class {each.name!r} is taken "
                f"({RESERVED[each.key]}); give it another."
            )


def without_reserved(classes: ClassSet) -> ClassSet:
    """The classes, without the keys that mean something else."""
    return dataclasses.replace(
        classes,
        classes=tuple(
            dataclasses.replace(each, key="") if each.key in RESERVED else each
            for each in classes.classes
        ),
    )


def help_text(shortcuts: tuple[Shortcut, ...]) -> str:
    """The shortcuts as lines for a dock, keys of one action together."""
    keys: dict[str, list[str]] = {}
    helps: dict[str, str] = {}
    for shortcut in shortcuts:
        keys.setdefault(shortcut.action, []).append(shortcut.key)
        helps.setdefault(shortcut.action, shortcut.help)
    return "\n".join(f"{' or '.join(names)}: {helps[action]}" for action, names in keys.items())


class Bound(NamedTuple):
    """Where a key is bound to what, and what was bound there before."""

    owner: weakref.ref[Any]
    key: str
    function: Callable[[Any], Any]
    before: Any


class KeyBinder:
    """Binds shortcuts while it is open, and puts back what was bound before.

    Of several that bind one key the last one has it; they may be closed in any order.

    Parameters
    ----------
    runs : ViewerRuns
        Of the viewer.
    shortcuts : tuple of Shortcut
        From the table.
    carry_out : bound method
        Called with the action; held weakly.
    """

    #: Those that are open.
    _open: ClassVar[weakref.WeakSet[KeyBinder]] = weakref.WeakSet()

    def __init__(
        self, runs: ViewerRuns, shortcuts: tuple[Shortcut, ...], carry_out: Callable[[str], None]
    ) -> None:
        self._runs = runs
        self._shortcuts = shortcuts
        self._carry_out: Any = weakref.WeakMethod(carry_out)
        self._held: Shortcut | None = None
        self._focus: Any = None
        self._timer = QTimer()
        self._timer.timeout.connect(self._repeat)
        self._bound: list[Bound] = []
        self._open.add(self)
        runs.layers_changed.connect(self.bind)
        self.bind()

    def bind(self) -> None:
        """Bind the keys on the viewer and on every layer of a run, once each."""
        self._bound = [bound for bound in self._bound if bound.owner() is not None]
        done = {(id(bound.owner()), bound.key) for bound in self._bound}
        for owner, shortcut in self._places():
            if (id(owner), shortcut.key) not in done:
                function = self._function(shortcut)
                before = owner.bind_key(shortcut.key, function, overwrite=True)
                self._bound.append(Bound(weakref.ref(owner), shortcut.key, function, before))

    def close(self) -> None:
        """Take all bindings back; safe to repeat."""
        self.release()
        self._runs.layers_changed.disconnect(self.bind)
        self._open.discard(self)
        for bound in self._bound:
            owner = bound.owner()
            if owner is not None:
                self._unbind(owner, bound)
        self._bound.clear()

    def _unbind(self, owner: Any, bound: Bound) -> None:
        now = owner.bind_key(bound.key, None)
        if now is bound.function:
            now = bound.before
        else:  # bound anew meanwhile: whoever did so must not put this one back
            for binder in self._open:
                binder._forget(bound)
        if now is not None:
            owner.bind_key(bound.key, now)

    def _forget(self, gone: Bound) -> None:
        self._bound = [
            bound._replace(before=gone.before) if bound.before is gone.function else bound
            for bound in self._bound
        ]

    def _places(self) -> Iterator[tuple[Any, Shortcut]]:
        viewer = self._runs.viewer
        if viewer is None:
            return
        for shortcut in self._shortcuts:
            # Arrows move whatever slider was used last, unless a run is selected.
            # Keys of classes that napari uses for other layers are left to those.
            if shortcut.key in FREE:
                yield viewer, shortcut
            for layer in viewer.layers:
                if self._runs.of_layer(layer) is not None:
                    yield layer, shortcut

    def _function(self, shortcut: Shortcut) -> Callable[[Any], Any]:
        held = weakref.ref(self)

        def once(_: Any) -> None:
            binder = held()
            if binder is not None:
                binder.press(shortcut)

        def while_held(_: Any) -> Iterator[None]:
            once(_)
            yield
            binder = held()
            if binder is not None and binder._held == shortcut:
                binder.release()  # else another key went down meanwhile and is held

        return while_held if shortcut.repeats else once

    def press(self, shortcut: Shortcut) -> None:
        """A key went down: act, and begin to repeat if it does."""
        if shortcut.repeats and self._held == shortcut:
            return  # napari passes the repeats of arrow keys on
        self._act(shortcut)
        if shortcut.repeats:
            self._held = shortcut
            self._focus = QApplication.focusWidget()
            self._timer.start(HOLD_DELAY)

    def release(self) -> None:
        """The key went up: stop at once; nothing is queued."""
        self._held = self._focus = None
        self._timer.stop()

    def _repeat(self) -> None:
        if self._held is None or QApplication.focusWidget() is not self._focus:
            self.release()  # the key went up where nobody told us
            return
        self._timer.setInterval(HOLD_STEP)
        run: Run | None = self._runs.active
        if run is not None and run.is_drawn:
            self._act(self._held)

    def _act(self, shortcut: Shortcut) -> None:
        carry_out = self._carry_out()
        if carry_out is not None:
            carry_out(shortcut.action)
