"""Files are complete or not there at all."""

from __future__ import annotations

import os
import stat

import pytest

from napari_xfelsort.core.atomic import atomic_write, write_text_atomic
from napari_xfelsort.core.errors import OutputError


def test_text_is_written_as_it_stands(tmp_path):
    path = tmp_path / "a.txt"
    write_text_atomic(path, "é\r\nb\n")
    assert path.read_bytes() == b"\xc3\xa9\r\nb\n"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_new_files_have_the_usual_rights(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text_atomic(tmp_path / "ours", "")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "ours")}
    assert len(modes) == 1


def test_nothing_stays_when_writing_stops(tmp_path):
    path = tmp_path / "a.txt"

    def stopped(error, overwrite=False):
        with atomic_write(path, overwrite) as temporary:
            temporary.write_text("half")
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            stopped(error)
        assert os.listdir(tmp_path) == []
    path.write_text("old")
    with pytest.raises(ValueError):
        stopped(ValueError, overwrite=True)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_old_file_is_there_until_the_new_one_is(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path, overwrite=True) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
    assert path.read_text() == "new"


def test_files_are_not_overwritten_silently(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OutputError, match=r"a\.txt exists already"):
        write_text_atomic(path, "new")
    other = tmp_path / "b.txt"

    def overtaken():
        with atomic_write(other) as temporary:
            temporary.write_text("mine")
            other.write_text("somebody else's")  # meanwhile

    with pytest.raises(OutputError, match="exists already"):
        overtaken()
    assert path.read_text() == "old"
    assert other.read_text() == "somebody else's"
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt"]
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        write_text_atomic(tmp_path / "dangling", "x")


def test_file_systems_without_hard_links(tmp_path, monkeypatch):
    def no_links(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    write_text_atomic(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x"


def test_what_cannot_be_written_is_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        write_text_atomic(tmp_path / "no" / "a.txt", "x")
    with pytest.raises(OutputError, match="is a folder"):
        write_text_atomic(tmp_path, "x")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"a\.txt cannot be written: No space left"):
        write_text_atomic(tmp_path / "a.txt", "x")
    assert os.listdir(tmp_path) == []
