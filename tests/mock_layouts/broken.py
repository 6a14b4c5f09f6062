"""Files that are wrong, hostile or merely odd."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mock_layouts.base import Frame, Mock, Shape, frame, frames, image_stack, layout, slab_geometry

SHAPE = (40, 50)
UNREADABLE = ["UnreadableFileError"]
NOTHING = ["NoEventsError"]


def write_cxi(path: Path, n: int = 4, dtype: str = "f4", **options: Any) -> Path:
    """Write the plainest CXI stack."""
    with h5py.File(path, "w") as f:
        image_stack(f, "entry_1/data_1/data", range(n), SHAPE, dtype, **options)
    return path


def cxi_mock(paths: list[Path], n: int = 4, **more: Any) -> Mock:
    """Expectation for `write_cxi`."""
    return Mock(
        paths,
        **{"n_events": n, "shapes": [SHAPE], "dtype": "f4", "events": range(n), **more},
    )


@layout("n01")
def truncated(folder: Path) -> Mock:
    """Cut at 60 %: HDF5 says so only when asked."""
    path = write_cxi(folder / "cut.cxi")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    return Mock([path], error=UNREADABLE, names=[path.name])


@layout("n01")
def truncated_among_good(folder: Path) -> Mock:
    """One bad file of three costs itself only."""
    paths = [write_cxi(folder / f"{name}.cxi") for name in "abc"]
    paths[1].write_bytes(paths[1].read_bytes()[:3000])
    return cxi_mock(paths, 8, events=[0, 1, 2, 3] * 2, problems=["b.cxi"])


@layout("n01")
def truncated_in_directory(folder: Path) -> Mock:
    """The same in a folder."""
    mock = truncated_among_good(folder)
    mock.paths = [folder]
    return mock


@layout("n01")
def corrupted_chunk(folder: Path) -> Mock:
    """A chunk whose bytes are rubbish: its event fails, the others read."""
    path = write_cxi(folder / "rot.cxi", chunks=True, compression="gzip")
    with h5py.File(path) as f:
        info = f["entry_1/data_1/data"].id.get_chunk_info(2)
    content = bytearray(path.read_bytes())
    content[info.byte_offset : info.byte_offset + info.size] = b"\xa5" * info.size
    path.write_bytes(bytes(content))
    return cxi_mock([path], events=None, shapes=None)


@layout("n02")
def zero_events(folder: Path) -> Mock:
    """A resizable stack that never got an event."""
    path = folder / "empty.cxi"
    with h5py.File(path, "w") as f:
        f.create_dataset(
            "entry_1/data_1/data", (0, *SHAPE), "f4", chunks=(1, *SHAPE), maxshape=(None, *SHAPE)
        )
        f["entry_1/data_1/mask"] = np.zeros(SHAPE)
        f["entry_1/data_1/powderHits"] = np.zeros(SHAPE)
    return Mock([path], error=NOTHING, names=[path.name])


@layout("n02")
def zero_events_among_good(folder: Path) -> Mock:
    """An empty file of a run is told, the others are used."""
    zero_events(folder)
    write_cxi(folder / "full.cxi")
    return cxi_mock([folder / "empty.cxi", folder / "full.cxi"], problems=["empty.cxi"])


@layout("n03")
def wrong_rank(folder: Path) -> Mock:
    """1-D data where frames belong."""
    path = folder / "oned.cxi"
    with h5py.File(path, "w") as f:
        f["entry_1/data_1/data"] = np.arange(1000.0)
    return Mock([path], error=NOTHING, names=[path.name])


@layout("n04")
def five_dimensions(folder: Path) -> Mock:
    """(event, 2, module, ss, fs) without axes: the first axis is the event's."""
    path = folder / "five.cxi"
    with h5py.File(path, "w") as f:
        image_stack(f, "entry_1/data_1/data", range(3), (2, 4, *SHAPE), "f4")
    return cxi_mock([path], 3, shapes=[(2, 4, *SHAPE)], may_decline=True, names=[path.name])


@layout("n05")
def no_images(folder: Path) -> Mock:
    """Scalars, strings, vectors and a table, but nothing like a frame."""
    path = folder / "slow.h5"
    table = np.zeros(50, [("time", "f8"), ("value", "i4")])
    with h5py.File(path, "w") as f:
        f["control/motor/position"] = np.linspace(0, 1, 200)
        f["control/comment"] = "aligning"
        f["control/shots"] = table
        f["control/pump/on"] = True
        f.create_group("entry/data")
    return Mock([path], error=NOTHING, names=[path.name])


@layout("n05")
def masks_only(folder: Path) -> Mock:
    """Only masks and flatfields: nothing to show as events."""
    path = folder / "calibration.h5"
    with h5py.File(path, "w") as f:
        f["data/pixel_mask"] = np.zeros(SHAPE, "u1")
        f["data/flatfield"] = np.ones(SHAPE)
        f["data/gain"] = np.ones((3, *SHAPE))
    return Mock([path], error=NOTHING, names=[path.name])


def nan_frame(i: int, shape: Shape) -> Frame:
    """NaN rows in event 0, infinities in 1, all NaN in 2."""
    values = frame(i, shape, "f4")
    if i == 0:
        values[:4] = np.nan
    elif i == 1:
        values[0, 0], values[0, 1] = np.inf, -np.inf
    elif i == 2:
        values[:] = np.nan
    return values


@layout("n06")
def nan_and_infinity(folder: Path) -> Mock:
    """Non-finite values are kept as stored."""
    path = folder / "nan.cxi"
    with h5py.File(path, "w") as f:
        f["entry_1/data_1/data"] = np.stack([nan_frame(i, SHAPE) for i in range(4)])
    return cxi_mock([path], expected=nan_frame)


@layout("n07")
def huge_event_count(folder: Path) -> Mock:
    """100 000 events of which HDF5 stores three."""
    path = folder / "huge.h5"
    stored = (0, 50_000, 99_999)
    with h5py.File(path, "w") as f:
        data = f.create_dataset(
            "entry/data/data", (100_000, 512, 512), "u2", chunks=(1, 512, 512), fillvalue=7
        )
        for e in stored:
            data[e] = frame(e, (512, 512), "u2")

    def expected(i: int, shape: Shape) -> Frame:
        return frame(i, shape, "u2") if i in stored else np.full(shape, 7, "u2")

    return Mock([path], n_events=100_000, shapes=[(512, 512)], dtype="u2", expected=expected)


@layout("n08")
def unicode_names(folder: Path) -> Mock:
    """Blanks, apostrophes and letters of many scripts in names and groups."""
    home = folder / "données été µ-βéam 测试"
    home.mkdir()
    path = write_cxi(home / "l'échantillon Ω.cxi", 3)
    with h5py.File(path, "a") as f:
        f["entry_1/sample_µ/name"] = "λ-lysozyme"
    return cxi_mock([path], 3, event_ids=["//0", "//1", "//2"])


@layout("n09")
def read_only(folder: Path) -> Mock:
    """Neither file nor folder may be written."""
    home = folder / "archive"
    home.mkdir()
    path = write_cxi(home / "run.cxi")
    path.chmod(0o444)
    home.chmod(0o555)
    return cxi_mock([path])


@layout("n11")
def unknown_filter(folder: Path) -> Mock:
    """Compressed by a filter that nobody has: its number is told."""
    path = folder / "filtered.h5"
    with h5py.File(path, "w") as f:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((1, *SHAPE))
        plan.set_filter(32999, h5py.h5z.FLAG_OPTIONAL, ())
        f.create_group("entry/data")
        space = h5py.h5s.create_simple((3, *SHAPE))
        data = h5py.h5d.create(f.id, b"entry/data/data", h5py.h5t.NATIVE_FLOAT, space, plan)
        for e in range(3):
            data.write_direct_chunk((e, 0, 0), frame(e, SHAPE, "f4").tobytes())
    return Mock([path], error=UNREADABLE, names=[path.name, "32999"])


@layout("n12")
def geometry_mismatch(folder: Path) -> Mock:
    """The geometry's panel lies outside the frames: both shapes and panel are told."""
    path = write_cxi(folder / "small.cxi", chunks=True)
    geometry = slab_geometry(
        folder / "wrong.geom", (60, 70), data="/entry_1/data_1/data", panel="q3a7"
    )
    return cxi_mock(
        [path], problems=["60", "70", "40", "50", "q3a7"], options={"geometry": geometry}
    )


@layout("n13")
def duplicates(folder: Path) -> Mock:
    """One dataset under four names, by hard, soft and external links."""
    path = folder / "names.h5"
    with h5py.File(path, "w") as f:
        image_stack(f, "alias/data/data", range(5), SHAPE, "f4")
        f["entry"] = f["alias"]
        f["frames"] = f["alias/data/data"]
        f["soft"] = h5py.SoftLink("/alias/data")
        f["external"] = h5py.ExternalLink(path.name, "/alias/data/data")
    return cxi_mock([path], 5)


@layout("n13")
def duplicate_files(folder: Path) -> Mock:
    """The same file twice in what the user gave is read once."""
    path = write_cxi(folder / "run.cxi")
    return cxi_mock([path, path])


@layout("n16")
def link_loops(folder: Path) -> Mock:
    """Soft links in circles, a group that holds itself, a file that links itself."""
    path = folder / "loops.h5"
    with h5py.File(path, "w") as f:
        f["a"] = h5py.SoftLink("/b")
        f["b"] = h5py.SoftLink("/a")
        f["self"] = h5py.SoftLink("/self")
        f["dangling"] = h5py.SoftLink("/nowhere/at/all")
        f["entry_1/data_1/loop"] = h5py.SoftLink("/a")
        image_stack(f, "odd/place/frames", range(3), SHAPE, "f4")
        f["odd/again"] = f["odd"]
        f["odd/place/up"] = f["/"]
        f["round"] = h5py.ExternalLink(path.name, "/round")
        f["abroad"] = h5py.ExternalLink("gone.h5", "/data")
    return cxi_mock([path], 3, any_problems=True)


@layout("n16")
def loop_at_known_path(folder: Path) -> Mock:
    """The usual path itself is a loop and there is nothing else."""
    path = folder / "loop.cxi"
    with h5py.File(path, "w") as f:
        f["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/data_1/other")
        f["entry_1/data_1/other"] = h5py.SoftLink("/entry_1/data_1/data")
    return Mock([path], error=[*NOTHING, *UNREADABLE], names=[path.name])


@layout("n17")
def five_thousand_objects(folder: Path) -> Mock:
    """5000 groups with slow data, and the frames among them."""
    path = folder / "many.h5"
    with h5py.File(path, "w", libver="latest") as f:
        for k in range(2500):
            f[f"devices/dev_{k:04d}/value"] = np.arange(4.0)
        image_stack(f, "devices/zz_camera/frames", range(3), SHAPE, "u2")
    return cxi_mock([path], 3, dtype="u2")


@layout("n17")
def five_thousand_groups(folder: Path) -> Mock:
    """5000 events, each a group of its own."""
    path = folder / "groups.h5"
    with h5py.File(path, "w", libver="latest") as f:
        for k in range(5000):
            f[f"tag-{100_000 + k}/data"] = np.full((8, 10), k, "i2")

    def expected(i: int, shape: Shape) -> Frame:
        return np.full(shape, i, "i2")

    return Mock(
        [path],
        n_events=5000,
        shapes=[(8, 10)],
        dtype="i2",
        expected=expected,
        event_ids=[f"tag-{100_000 + k}//" for k in range(5000)],
    )


@layout("n19")
def text_as_h5(folder: Path) -> Mock:
    """A text file with HDF5's suffix."""
    path = folder / "notes.h5"
    path.write_text("beam time 42: all went well\n")
    return Mock([path], error=UNREADABLE, names=[path.name])


@layout("n19")
def empty_file(folder: Path) -> Mock:
    """A file of no bytes."""
    path = folder / "nothing.h5"
    path.write_bytes(b"")
    return Mock([path], error=[*UNREADABLE, *NOTHING], names=[path.name])


@layout("n19")
def signature_only(folder: Path) -> Mock:
    """HDF5's first eight bytes and rubbish after them."""
    path = folder / "sham.cxi"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\x07" * 500)
    return Mock([path], error=UNREADABLE, names=[path.name])


@layout("n19")
def directory_named_h5(folder: Path) -> Mock:
    """An empty folder with a file's name."""
    path = folder / "run.h5"
    path.mkdir()
    return Mock([path], error=[*NOTHING, *UNREADABLE], names=[path.name])


@layout("n19")
def directory_named_h5_with_data(folder: Path) -> Mock:
    """The same with a run in it."""
    path = folder / "run.h5"
    path.mkdir()
    write_cxi(path / "r1.cxi")
    (path / "notes.txt").write_text("nothing of interest\n")
    return cxi_mock([path])


@layout("n19")
def absent(folder: Path) -> Mock:
    """No such file."""
    return Mock([folder / "gone.cxi"], error=UNREADABLE, names=["gone.cxi"])


@layout("n19")
def glob_without_match(folder: Path) -> Mock:
    """A pattern that meets nothing."""
    return Mock([folder / "run*.cxi"], error=[*UNREADABLE, *NOTHING], names=["run*.cxi"])


@layout("n19")
def named_pipe(folder: Path) -> Mock:
    """A pipe must be refused, not waited for."""
    path = folder / "pipe.h5"
    os.mkfifo(path)
    return Mock([path], error=[*UNREADABLE, *NOTHING], names=[path.name])


@layout("n20")
def giant_chunk(folder: Path) -> Mock:
    """Sixty events in one compressed chunk."""
    path = folder / "giant.h5"
    shape = (128, 128)
    with h5py.File(path, "w") as f:
        f.create_dataset(
            "entry/data/data",
            data=frames(range(60), shape, "u2"),
            chunks=(60, *shape),
            compression="gzip",
        )
    return Mock([path], n_events=60, shapes=[shape], dtype="u2", events=range(60))
