"""Settings of a task, declared once and used by the CLI, the docks, TOML and provenance.

A task declares a frozen dataclass that derives from `Settings`, each field made
with `setting`. Values are checked when the object is made.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import tomlkit

from napari_xfelsort.core.errors import SettingsError


def setting(
    default: Any,
    help: str,  # the word users know
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Iterable[str] | None = None,
) -> Any:
    """Declare one setting: default, one-line help, unit and valid range."""
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "unit": unit,
            "minimum": minimum,
            "maximum": maximum,
            "choices": tuple(choices) if choices is not None else None,
        },
    )


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of all settings: validation, dictionaries and TOML."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name), field.metadata)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from a dictionary; lists, which files have, become tuples.

        Raises
        ------
        SettingsError
            If a name is unknown or a value out of range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise SettingsError(
                f"Unknown setting {unknown[0]!r}; the settings are {', '.join(sorted(known))}."
            )
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """All values, with tuples as lists."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def to_toml(self) -> str:
        """The settings as TOML text, each with its help as a comment; unset ones left out."""
        document = tomlkit.document()
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            unit = field.metadata.get("unit", "")
            comment = field.metadata.get("help", "") + (f" [{unit}]" if unit else "")
            item = tomlkit.item(list(value) if isinstance(value, tuple) else value)
            if comment:
                item.comment(comment)
            document.add(field.name, item)
        return str(tomlkit.dumps(document))

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Self:
        """Settings from a TOML file.

        Raises
        ------
        SettingsError
            If the file is not TOML, names an unknown setting or a bad value.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"The settings file {path} cannot be read: {error}.") from error
        try:
            return cls.from_dict(values)
        except SettingsError as error:
            raise SettingsError(f"In {path}: {error}") from error


def _check(name: str, value: Any, rules: Mapping[str, Any]) -> None:
    if isinstance(value, tuple):
        for each in value:
            _check(name, each, rules)
        return
    choices = rules.get("choices")
    if choices is not None and value is not None and value not in choices:
        raise SettingsError(f"{name} is {value!r} but must be one of {', '.join(choices)}.")
    if value is None or isinstance(value, (str, bool)) or not isinstance(value, (int, float)):
        return
    low, high = rules.get("minimum"), rules.get("maximum")
    unit = f" {rules['unit']}" if rules.get("unit") else ""
    if low is not None and not value >= low:
        raise SettingsError(f"{name} is {value}{unit} but must be at least {low}{unit}.")
    if high is not None and not value <= high:
        raise SettingsError(f"{name} is {value}{unit} but must be at most {high}{unit}.")
