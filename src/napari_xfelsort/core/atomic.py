"""Files that are either complete or not there at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_xfelsort.core.errors import OutputError


@contextmanager
def atomic_write(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Write a file under a temporary name and rename it when the block ends well.

    The temporary file lies in the same folder, is flushed to disk before it is renamed,
    and is removed when the block raises.

    Parameters
    ----------
    path : path
        The file to write; its folder must exist.
    overwrite : bool
        Replace a file that exists.

    Yields
    ------
    Path
        The temporary file, there and empty, to be written and closed inside the block.

    Raises
    ------
    OutputError
        If the file exists and must not be replaced, or cannot be written.
    """
    target = Path(path)
    _refuse_existing(target, overwrite)
    temporary = _new_temporary(target)
    try:
        yield temporary
        _flush(temporary)
        if overwrite:
            os.replace(temporary, target)
        else:
            _rename_new(temporary, target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    flush_folder(target.parent)


def write_text_atomic(path: str | os.PathLike[str], text: str, overwrite: bool = False) -> None:
    """Write UTF-8 text as `atomic_write` does, line ends as they stand in the text.

    Raises
    ------
    OutputError
        If the file exists and must not be replaced, or cannot be written.
    """
    with atomic_write(path, overwrite) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def make_folder(folder: Path, inner: str = "") -> None:
    """Make a folder to write into, and one in it, with all that they are in.

    Raises
    ------
    OutputError
        If it cannot be made; the text names the outer one.
    """
    try:
        (folder / inner).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made: {error}.") from error


def flush_folder(folder: Path) -> None:
    """Make a rename in this folder last; does nothing where folders cannot be flushed."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise OutputError(f"{target} is a folder; give a file name.")
    if not overwrite and os.path.lexists(target):
        raise OutputError(
            f"{target} exists already and is left as it is; choose another name or allow "
            "it to be overwritten."
        )


def _new_temporary(target: Path) -> Path:
    """A new empty file beside the target, with the rights that any new file has."""
    path = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}.") from error
    return path


def _rename_new(temporary: Path, target: Path) -> None:
    """Rename, unless somebody else made the target meanwhile."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        _refuse_existing(target, overwrite=False)
        raise
    except OSError:  # a file system without hard links
        _refuse_existing(target, overwrite=False)
        os.replace(temporary, target)


def _flush(path: Path) -> None:
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())
