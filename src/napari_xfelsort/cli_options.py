"""Command-line options made from a task's settings, so that each is declared once."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from napari_xfelsort.core.settings import Settings

S = TypeVar("S", bound=Settings)

#: Options that say how files are opened, the same for every command.
GeometryOption = Annotated[
    Path | None, typer.Option("--geometry", "-g", help="CrystFEL geometry.")
]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", "-d", help="Path of the frames in the files.")
]
MaskOption = Annotated[
    Path | None,
    typer.Option("--mask", help="Mask file (HDF5, /entry_1/data_1/mask, 0 = good) to add."),
]


class ManyValuesCommand(TyperCommand):
    """A command whose options named in `many` take every value up to the next option.

    ``--from-lists good.lst bad.lst`` is the same as giving the option twice.
    """

    many = ("--from-lists",)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each of its values."""
        spread: list[str] = []
        option = ""
        for n, arg in enumerate(args):
            if arg == "--":
                spread += args[n:]
                break
            if arg.startswith("-") and arg != "-":
                option = arg if arg in self.many else ""
            elif option and spread[-1] != option:
                spread.append(option)
            spread.append(arg)
        return super().parse_args(ctx, spread)


def settings_options(
    kind: type[Settings],
    parameter: str = "settings",
    leave_out: Iterable[str] = (),
    panel: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replace a command's ``settings`` parameter by one option for each setting.

    Every option has the setting's help, unit, range and default. ``--settings FILE``
    is added: a TOML file with any of the settings; options given beside it win.

    Parameters
    ----------
    kind : type
        The settings' dataclass.
    parameter : str
        The command's parameter that takes them.
    leave_out : iterable of str
        Settings that get no option because the command has one of its own.
    panel : str, optional
        Heading of the options in the help, of settings beside the main ones; there is no
        ``--settings FILE`` for these.
    """
    fields = [f for f in dataclasses.fields(kind) if f.name not in set(leave_out)]
    hints = typing.get_type_hints(kind)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            base = kwargs.pop("settings_file") if panel is None else None
            given = {f.name: _plain(kwargs.pop(f.name), hints[f.name]) for f in fields}
            given = {name: value for name, value in given.items() if value is not None}
            kwargs[parameter] = merged(kind, base, given)
            return command(*args, **kwargs)

        own = inspect.signature(command)
        own_hints = typing.get_type_hints(command, include_extras=True)
        kept = [
            p.replace(annotation=own_hints[p.name], kind=p.KEYWORD_ONLY)
            for p in own.parameters.values()
            if p.name != parameter
        ]
        added = [_option(f, hints[f.name], panel) for f in fields]
        added += [_settings_file()] * (panel is None)
        run.__name__ = command.__name__
        run.__doc__ = command.__doc__
        run.__module__ = command.__module__
        run.__signature__ = own.replace(  # type: ignore[attr-defined]
            parameters=[*kept, *added], return_annotation=own.empty
        )
        run.__annotations__ = {p.name: p.annotation for p in (*kept, *added)}
        return run

    return decorate


def merged(kind: type[S], file: Path | None, given: dict[str, Any]) -> S:
    """Settings from a TOML file, if there is one, with given values put over them.

    Raises
    ------
    SettingsError
        If the file cannot be used, or a value is out of range.
    """
    if file is None:
        return kind.from_dict(given)
    return dataclasses.replace(kind.from_toml(file), **given)


def _settings_file() -> inspect.Parameter:
    option = typer.Option(
        "--settings", metavar="FILE", help="TOML file with settings; options win over it."
    )
    return inspect.Parameter(
        "settings_file",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Path | None, option],
    )


def _option(field: dataclasses.Field[Any], hint: Any, panel: str | None) -> inspect.Parameter:
    rules = field.metadata
    kind = _value_type(hint)
    extra: dict[str, Any] = {}
    if rules.get("choices"):
        kind = _choices(field.name, rules["choices"])
    elif kind in (int, float):
        extra = {"min": rules.get("minimum"), "max": rules.get("maximum")}
    flag = field.name.replace("_", "-")
    name = f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}"
    shown = _shown(field.default)
    option = typer.Option(
        name,
        help=_help(rules.get("help", ""), rules.get("unit", "")),
        show_default=shown if shown else False,
        rich_help_panel=panel,
        **extra,
    )
    many = typing.get_origin(hint) is tuple
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[(list[kind] if many else kind) | None, option],  # type: ignore[valid-type]
    )


def _choices(name: str, choices: Iterable[str]) -> Any:
    # Typer takes choices as an enumeration.
    return enum.Enum(name, {choice: choice for choice in choices}, type=str)


def _value_type(hint: Any) -> Any:
    """The type of one value: of ``X | None`` and ``tuple[X, ...]`` it is ``X``."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(t for t in typing.get_args(hint) if t is not type(None))
    if typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
    if hint not in (int, float, str, bool):
        raise TypeError(f"no option can be made for settings of type {hint}")
    return hint


def _plain(value: Any, hint: Any) -> Any:
    """The value as the settings want it: no enumeration, a tuple for a list."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return tuple(_plain(v, hint) for v in value) or None
    return value


def _help(text: str, unit: str) -> str:
    sentence = text[:1].upper() + text[1:].rstrip(".")
    return f"{sentence} ({unit})." if unit else f"{sentence}."


def _shown(default: Any) -> str:
    if default is None or default is dataclasses.MISSING or default == ():
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, float):
        return f"{default:.6g}"
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)
