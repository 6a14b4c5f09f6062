"""What is exported is read again, by our reader and by plain h5py, as the events it came from."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from mock_layouts import LAYOUTS
from napari_xfelsort import export, open_stack
from napari_xfelsort.core.errors import NoEventsError, OutputError, SettingsError, XfelsortError
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from programs import program

DATA = "/entry_1/data_1/data"
SHAPE = (6, 10)


def chosen_of(stack: EventStack) -> list[int]:
    """Some events, not in their order."""
    n = len(stack)
    few = list(range(n)) if n < 3 else [1, 2, 0, *range(n - 1, 3, -2)]
    return few[:12]


def same(one: float, other: float) -> bool:
    return bool(np.isclose(one, other, rtol=1e-9, equal_nan=True))


def bad_of(stack: EventStack, i: int) -> np.ndarray:
    mask = stack.event_mask(i)
    return np.zeros(stack.raw_shape, bool) if mask is None else mask.bad


def check(stack: EventStack, path: Path) -> None:
    """The file holds the events of the stack, in their order."""
    found = open_stack(path)
    if not stack.problems:  # of sources of virtual sources that are gone, it tells again
        assert not found.problems
    assert len(found) == len(stack)
    assert found.raw_shape == stack.raw_shape
    with h5py.File(path) as file:
        plain = file[DATA]
        origins = file["/entry_1/origin_event"].asstr()[()].tolist()
        for i in range(len(stack)):
            try:
                wanted = stack.raw(i)
            except XfelsortError:  # a torn chunk is copied, or shown, as it is
                with pytest.raises(XfelsortError):
                    found.raw(i)
                continue
            np.testing.assert_array_equal(plain[i], wanted)
            np.testing.assert_array_equal(found.raw(i), wanted)
    assert origins == [str(stack.event_id(i)) for i in range(len(stack))]
    for i in range(len(stack)):
        assert same(found.photon_energy(i), stack.photon_energy(i))
        assert same(found.camera_length(i), stack.locate(i)[0].camera_length(stack.locate(i)[1]))
        np.testing.assert_array_equal(bad_of(found, i), bad_of(stack, i))
        mine, theirs = stack.peaks(i), found.peaks(i)
        if mine is not None:
            assert theirs is not None
            for a, b in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(a, b)
        if stack.identifier(i):
            assert found.identifier(i) == stack.identifier(i)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_layout_can_be_exported_and_read_again(name, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    mock = LAYOUTS[name](data)
    if mock.error or mock.may_decline:
        return  # it is there to be refused when it is opened
    stack = open_stack([str(path) for path in mock.paths], **mock.options)
    if stack.raw_shape and np.prod(stack.raw_shape) * len(stack) > 5e8:
        pytest.skip("only claims to be so large")
    stack = stack.subset(chosen_of(stack))
    stack.geometry = None  # its masks are not the file's
    try:
        export(stack, tmp_path / "copy.cxi", "copy")
    except XfelsortError:
        with pytest.raises(XfelsortError):  # only events that cannot be read are no copy
            [stack.raw(i) for i in range(len(stack))]
        return
    check(stack, tmp_path / "copy.cxi")
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    stored = [source.stored(index) for source, index in map(stack.locate, range(len(stack)))]
    # A virtual dataset shows pieces of datasets, of one type.
    if None not in stored and len({each.dtype for each in stored if each}) == 1:
        export(stack, tmp_path / "virtual.cxi", "virtual")
        check(stack, tmp_path / "virtual.cxi")
    else:
        with pytest.raises(OutputError, match="copy instead"):
            export(stack, tmp_path / "virtual.cxi", "virtual")
        assert not (tmp_path / "virtual.cxi").exists()
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def write(path: Path, n: int, first: int = 0, dtype: str = "i2", **options: object) -> np.ndarray:
    rng = np.random.default_rng(first)
    frames = rng.integers(0, 900, (n, *SHAPE)).astype(dtype)
    with h5py.File(path, "w") as file:
        file.create_dataset(DATA, data=frames, **options)
    return frames


@pytest.fixture
def two_files(tmp_path):
    a = write(tmp_path / "a.cxi", 300, 0, chunks=(1, *SHAPE), compression="gzip")
    b = write(tmp_path / "b.cxi", 9, 1, chunks=(1, *SHAPE), compression="gzip")
    return open_stack([tmp_path / "a.cxi", tmp_path / "b.cxi"]), np.concatenate([a, b])


def test_a_virtual_file_holds_no_pixels_and_moves_with_its_folder(two_files, tmp_path):
    stack, frames = two_files
    chosen = [*range(0, 300, 2), *range(301, 309), 5, 4]
    (tmp_path / "moving" / "deep").mkdir(parents=True)
    for name in ("a.cxi", "b.cxi"):
        shutil.copy(tmp_path / name, tmp_path / "moving")
    moving = open_stack([tmp_path / "moving" / name for name in ("a.cxi", "b.cxi")])
    made = export(moving.subset(chosen), tmp_path / "moving" / "deep" / "v.cxi")
    assert made.events == len(chosen)
    with h5py.File(made.path) as file:
        assert file[DATA].is_virtual
        names = {source.file_name for source in file[DATA].virtual_sources()}
    assert names == {"../a.cxi", "../b.cxi"}
    (tmp_path / "moving").rename(tmp_path / "moved")
    with h5py.File(tmp_path / "moved" / "deep" / "v.cxi") as file:
        np.testing.assert_array_equal(file[DATA][()], frames[chosen])
    whole = export(stack.subset(chosen), tmp_path / "absolute.cxi", absolute=True)
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(whole.path, tmp_path / "elsewhere" / "v.cxi")
    with h5py.File(moved) as file:
        np.testing.assert_array_equal(file[DATA][()], frames[chosen])


def test_a_lost_source_is_told_when_the_virtual_file_is_read(two_files, tmp_path):
    stack, _ = two_files
    export(stack.subset([0, 301]), tmp_path / "v.cxi")
    (tmp_path / "b.cxi").unlink()
    found = open_stack(tmp_path / "v.cxi")
    assert "b.cxi" in " ".join(map(str, found.problems))


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip", "shuffle": True},
        {"compression": "gzip", "fletcher32": True},
        dict(hdf5plugin.Bitshuffle(cname="lz4")),
        dict(hdf5plugin.Bitshuffle(cname="zstd")),
        dict(hdf5plugin.Zstd()),
        dict(hdf5plugin.LZ4()),
        dict(hdf5plugin.Blosc()),
        {},
    ],
)
@pytest.mark.parametrize("chunk", [(1, 6, 10), (1, 4, 5)])
def test_chunks_are_copied_as_they_are_packed(tmp_path, options, chunk):
    frames = write(tmp_path / "a.cxi", 8, chunks=chunk, **options)
    stack = open_stack(tmp_path / "a.cxi").subset([5, 1, 6])
    made = export(stack, tmp_path / "c.cxi", "copy")
    assert made.unpacked == 0
    with h5py.File(tmp_path / "a.cxi") as old, h5py.File(made.path) as new:
        np.testing.assert_array_equal(new[DATA][()], frames[[5, 1, 6]])
        assert new[DATA].chunks == chunk
        packed = new[DATA].id.read_direct_chunk((2, 0, 0))
        assert packed == old[DATA].id.read_direct_chunk((6, 0, 0))


@pytest.mark.parametrize("name", ["none", "gzip", "bitshuffle-lz4", "bitshuffle-zstd", "zstd"])
def test_frames_can_be_packed_otherwise(two_files, tmp_path, name):
    stack, frames = two_files
    made = export(stack.subset([3, 300]), tmp_path / "c.cxi", "copy", compression=name)
    assert made.unpacked == 2
    with h5py.File(made.path) as file:
        np.testing.assert_array_equal(file[DATA][()], frames[[3, 300]])
        assert file[DATA].chunks == (1, *SHAPE)


def test_files_packed_differently_are_one_copy(tmp_path):
    a = write(tmp_path / "a.cxi", 4, 0, chunks=(1, *SHAPE), compression="gzip")
    b = write(tmp_path / "b.cxi", 4, 1, chunks=(2, *SHAPE), compression="gzip")
    c = write(tmp_path / "c.cxi", 4, 2)
    stack = open_stack([tmp_path / f"{name}.cxi" for name in "abc"])
    made = export(stack, tmp_path / "all.cxi", "copy")
    assert made.unpacked == 8
    assert "8 of 12 frames" in made.notes[0]
    with h5py.File(made.path) as file:
        np.testing.assert_array_equal(file[DATA][()], np.concatenate([a, b, c]))


def test_frames_that_were_never_written_are_copied_as_they_read(tmp_path):
    with h5py.File(tmp_path / "a.cxi", "w") as file:
        data = file.create_dataset(DATA, (5, *SHAPE), "i4", chunks=(1, *SHAPE), fillvalue=-7)
        data[1] = 3
    made = export(open_stack(tmp_path / "a.cxi"), tmp_path / "c.cxi", "copy")
    with h5py.File(made.path) as file:
        assert file[DATA][:, 0, 0].tolist() == [-7, 3, -7, -7, -7]


def test_what_a_virtual_file_cannot_show_is_refused_with_a_sentence(tmp_path):
    write(tmp_path / "a.cxi", 3, dtype="i2")
    write(tmp_path / "b.cxi", 3, dtype="f4")
    mixed = open_stack([tmp_path / "a.cxi", tmp_path / "b.cxi"])
    with pytest.raises(OutputError, match="int16 and float32"):
        export(mixed, tmp_path / "v.cxi")
    memory = EventStack([ArraySource(np.zeros((2, 3, 4)), "simulated")])
    with pytest.raises(OutputError, match="Write a copy instead"):
        export(memory, tmp_path / "v.cxi")
    assert not (tmp_path / "v.cxi").exists()
    export(mixed, tmp_path / "c.cxi", "copy")
    check(mixed, tmp_path / "c.cxi")


@pytest.mark.parametrize("kind", ["virtual", "copy", "list", "csv"])
def test_nothing_is_replaced_unless_told_and_the_events_never(two_files, tmp_path, kind):
    stack, _ = two_files
    target = tmp_path / "out.cxi"
    target.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        export(stack.subset([1]), target, kind)
    assert target.read_text() == "mine"
    export(stack.subset([1]), target, kind, overwrite=True)
    assert target.read_bytes() != b"mine"
    before = (tmp_path / "a.cxi").read_bytes()
    with pytest.raises(OutputError, match="the events themselves"):
        export(stack.subset([1]), tmp_path / "a.cxi", kind, overwrite=True)
    assert (tmp_path / "a.cxi").read_bytes() == before
    with pytest.raises(OutputError, match="does not exist"):
        export(stack.subset([1]), tmp_path / "no" / "out.cxi", kind)


def test_wrong_settings_and_no_events_are_refused(two_files, tmp_path):
    stack, _ = two_files
    with pytest.raises(SettingsError, match="kind"):
        export(stack, tmp_path / "o", "pictures")
    with pytest.raises(SettingsError, match="compression"):
        export(stack, tmp_path / "o", "copy", compression="rar")
    with pytest.raises(NoEventsError):
        export(stack.subset([]), tmp_path / "o")


def test_an_event_that_cannot_be_read_leaves_no_file(tmp_path):
    write(tmp_path / "a.cxi", 4, chunks=(2, *SHAPE), compression="gzip")
    with h5py.File(tmp_path / "a.cxi") as file:
        offset = file[DATA].id.get_chunk_info(1).byte_offset
    with (tmp_path / "a.cxi").open("r+b") as raw:
        raw.seek(offset)
        raw.write(b"\xff" * 8)
    with pytest.raises(XfelsortError, match=r"//2"):
        export(open_stack(tmp_path / "a.cxi"), tmp_path / "c.cxi", "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["a.cxi"]


def test_lists_and_tables_name_the_events(two_files, tmp_path):
    stack, _ = two_files
    chosen = stack.subset([7, 300, 2])
    ids = [chosen.event_id(i) for i in range(3)]
    export(chosen, tmp_path / "x.lst", "list")
    assert [entry.event for entry in read_list(tmp_path / "x.lst")] == ids
    export(chosen, tmp_path / "x.csv", "csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert [(row["file"], row["event"]) for row in rows] == [(e.file, e.event) for e in ids]


SCRIPT = """
import sys
from napari_xfelsort import export, open_stack
print("begun", flush=True)
def told(done, total):
    print(done, flush=True)
    if done == 300:
        sys.stdin.read()  # until it is killed
export(open_stack(sys.argv[1]), sys.argv[2], "copy", compression="gzip", progress=told)
"""


def test_killed_half_way_it_leaves_no_file_of_that_name(tmp_path):
    write(tmp_path / "a.cxi", 3000)
    arguments = [sys.executable, "-c", SCRIPT, tmp_path / "a.cxi", tmp_path / "c.cxi"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with program(*arguments, **pipes) as process:
        assert "300\n" in process.stdout
    assert not (tmp_path / "c.cxi").exists()
    assert export(open_stack(tmp_path / "a.cxi"), tmp_path / "c.cxi", "copy").events == 3000
