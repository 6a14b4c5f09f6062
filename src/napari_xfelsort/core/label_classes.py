"""The classes that events are labelled with: names, colours and keys, kept with the labels."""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from napari_xfelsort.core.atomic import write_text_atomic
from napari_xfelsort.core.errors import LabelError, OutputError
from napari_xfelsort.core.label_journal import check_class_name, join_classes, split_label

#: File of the classes in a label folder.
FILE_NAME = "classes.toml"
#: A key each, that a hand finds without looking.
MAX_CLASSES = 10
#: Colours of new classes: those of Okabe and Ito, which the colour-blind tell apart, and two more.
COLOURS = (
    *("#009e73", "#d55e00", "#0072b2", "#e69f00", "#cc79a7"),
    *("#56b4e9", "#f0e442", "#999999", "#7f3fbf", "#8c564b"),
)
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_KEY = re.compile(r"[A-Z0-9]")
#: Keys of new classes, in the order they are tried.
_KEYS = "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0"


@dataclasses.dataclass(frozen=True)
class LabelClass:
    """One class.

    Attributes
    ----------
    name : str
        Becomes part of a list's file name.
    colour : str
        As ``#rrggbb``.
    key : str
        One letter A-Z or digit, or empty for none.

    Raises
    ------
    LabelError
        If one of them is not.
    """

    name: str
    colour: str
    key: str = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not isinstance(getattr(self, field.name), str):
                raise LabelError(f"The {field.name} of a class must be text.")
        check_class_name(self.name)
        object.__setattr__(self, "colour", self.colour.lower())
        object.__setattr__(self, "key", self.key.upper())
        if not _COLOUR.fullmatch(self.colour):
            raise LabelError(
                f"The colour {self.colour!r} of the class {self.name!r} must be written as "
                "#rrggbb, for example #009e73."
            )
        if self.key and not _KEY.fullmatch(self.key):
            raise LabelError(
                f"The key {self.key!r} of the class {self.name!r} must be one letter from A to Z "
                "or one digit."
            )


@dataclasses.dataclass(frozen=True)
class ClassSet:
    """The classes of a label folder; good and bad by default.

    *Ignore* and *undecided* are no classes.

    Attributes
    ----------
    classes : tuple of LabelClass
        1 to 10, of different names and keys.
    multi_label : bool
        Whether an event may have several of them.

    Raises
    ------
    LabelError
        If there are too few or too many, or two have one name or key.
    """

    classes: tuple[LabelClass, ...] = (
        LabelClass("good", COLOURS[0], "G"),
        LabelClass("bad", COLOURS[1], "W"),
    )
    multi_label: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise LabelError(
                f"There must be 1 to {MAX_CLASSES} classes; there are {len(self.classes)}."
            )
        names: dict[str, str] = {}
        keys: dict[str, str] = {}
        for each in self.classes:
            other = names.setdefault(each.name.casefold(), each.name)
            if other != each.name:
                raise LabelError(
                    f"The classes {other!r} and {each.name!r} differ only by capitals; give one "
                    "of them another name."
                )
            if each.key and keys.setdefault(each.key, each.name) != each.name:
                raise LabelError(
                    f"The classes {keys[each.key]!r} and {each.name!r} both have the key "
                    f"{each.key}; give one of them another."
                )
        if len(names) < len(self.classes):
            raise LabelError("Two classes have the same name; give one of them another.")

    @classmethod
    def of_names(
        cls, names: Iterable[str], multi_label: bool = False, taken_keys: Iterable[str] = ()
    ) -> ClassSet:
        """Classes of these names with colours and keys of their own.

        Parameters
        ----------
        names : iterable of str
            Each once.
        multi_label : bool
            Whether an event may have several.
        taken_keys : iterable of str
            Keys that mean something else already.

        Raises
        ------
        LabelError
            If the names cannot be those of a set.
        """
        names = tuple(names)
        known = {each.name: each for each in cls().classes}
        made: list[LabelClass] = []
        for name in names:
            wished = known[name].key if name in known else ""
            others = [known[other].key for other in names if other in known and other != name]
            keys = {*map(str.upper, taken_keys), *others, *(each.key for each in made)}
            key = wished if wished and wished not in keys else _free_key(keys)
            colour = known[name].colour if name in known else _free_colour(made, names)
            made.append(LabelClass(name, colour, key))
        return cls(tuple(made), multi_label)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in their order."""
        return tuple(each.name for each in self.classes)

    def __getitem__(self, name: str) -> LabelClass:
        """The class of a name; KeyError when it is not of this set."""
        for each in self.classes:
            if each.name == name:
                return each
        raise KeyError(name)

    def with_class(
        self, name: str, colour: str = "", key: str | None = None, taken_keys: Iterable[str] = ()
    ) -> ClassSet:
        """The set with one class more; colour and key are found for it unless given.

        Raises
        ------
        LabelError
            If there are ten already, or the class does not fit the others.
        """
        keys = {*map(str.upper, taken_keys), *(each.key for each in self.classes)}
        new = LabelClass(
            name,
            colour or _free_colour(self.classes, ()),
            _free_key(keys) if key is None else key,
        )
        return dataclasses.replace(self, classes=(*self.classes, new))

    def with_used(self, names: Iterable[str], taken_keys: Iterable[str] = ()) -> ClassSet:
        """The set with classes that a folder's labels have besides, while there is room.

        See `LabelStore.classes_used`. A name that differs from another only by capitals is
        left out.
        """
        found = self
        for name in names:
            folded = {known.casefold() for known in found.names}
            if len(found.classes) < MAX_CLASSES and name.casefold() not in folded:
                found = found.with_class(name, taken_keys=taken_keys)
        return found

    def toggled(self, label: str | None, name: str) -> str:
        """What an event is labelled after a class was chosen for it.

        The class itself; with `multi_label` the class is added to those the event has, or
        taken away where it has it, and the result is empty when none is left.

        Raises
        ------
        LabelError
            If the class is not of this set.
        """
        if name not in self.names:
            raise LabelError(f"There is no class {name!r}; there are {', '.join(self.names)}.")
        if not self.multi_label:
            return name
        has = set(split_label(label or "")) ^ {name}
        return join_classes(has) if has else ""

    def colours_of(self, label: str | None) -> tuple[str, ...]:
        """Colours of the classes of a label, in the order of the set; unknown ones grey."""
        has = split_label(label or "")
        known = tuple(each.colour for each in self.classes if each.name in has)
        return known or ("#808080",) * bool(has)

    # -- on disk

    def to_dict(self) -> dict[str, Any]:
        """The set for TOML or JSON."""
        return {
            "multi_label": self.multi_label,
            "class": [dataclasses.asdict(each) for each in self.classes],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassSet:
        """The set from `to_dict`.

        Raises
        ------
        LabelError
            If the values do not make a set.
        """
        unknown = sorted(set(values) - {"multi_label", "class"})
        tables = values.get("class", [])
        if unknown:
            raise LabelError(f"{unknown[0]!r} is nothing that classes have.")
        multi_label = values.get("multi_label", False)
        if not isinstance(multi_label, bool):
            raise LabelError("multi_label must be true or false.")
        if not isinstance(tables, list) or not all(isinstance(each, Mapping) for each in tables):
            raise LabelError("The classes must be tables: [[class]] with name, colour and key.")
        for each in tables:
            wrong = sorted(set(each) - {"name", "colour", "key"}) or sorted(
                {"name", "colour"} - set(each)
            )
            if wrong:
                raise LabelError(f"A class has name, colour and key; look at {wrong[0]!r}.")
        return cls(tuple(LabelClass(**each) for each in tables), multi_label)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Keep the set in a label folder, as a whole or not at all.

        Raises
        ------
        LabelError
            If it cannot be written.
        """
        path = Path(folder) / FILE_NAME
        try:
            write_text_atomic(path, tomlkit.dumps(self.to_dict()), overwrite=True)
        except OutputError as error:
            raise LabelError(str(error)) from error
        return path

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ClassSet:
        """The set that a label folder keeps; the default where it keeps none.

        Raises
        ------
        LabelError
            If the folder's ``classes.toml`` cannot be used.
        """
        path = Path(folder) / FILE_NAME
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise LabelError(f"{path} cannot be read: {error}.") from error
        try:
            return cls.from_dict(values)
        except LabelError as error:
            raise LabelError(f"In {path}: {error}") from error


def _free_key(taken: set[str]) -> str:
    return next((key for key in _KEYS if key not in taken), "")


def _free_colour(classes: Iterable[LabelClass], coming: Iterable[str]) -> str:
    """A colour that no class has, and none of the default classes yet to come will have."""
    taken = {each.colour for each in classes}
    taken |= {each.colour for each in ClassSet().classes if each.name in coming}
    return next((colour for colour in COLOURS if colour not in taken), COLOURS[-1])
