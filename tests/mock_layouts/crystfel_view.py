"""Files that only a CrystFEL geometry explains: placeholders, axes, panel datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from mock_layouts.base import Frame, Mock, frame, frames, image_stack, layout, slab_geometry

SHAPE = (40, 50)


@layout("f4")
def path_placeholder(folder: Path) -> Mock:
    """``/data/%/image``: two events, though /data/c/other is larger."""
    path = folder / "placeholders.h5"
    with h5py.File(path, "w") as f:
        f["data/b/image"] = frame(1, SHAPE, "f4")
        f["data/a/image"] = frame(0, SHAPE, "f4")
        f["data/c/other"] = frames([9] * 3, (90, 90))
        f["data/scalars"] = 3.0
    geometry = slab_geometry(folder / "p.geom", SHAPE, data="/data/%/image", dims=("ss", "fs"))
    return Mock(
        [path],
        n_events=2,
        shapes=[SHAPE],
        dtype="f4",
        events=[0, 1],
        event_ids=["a//", "b//"],
        options={"geometry": geometry},
    )


@layout("f4")
def path_placeholder_static_mask(folder: Path) -> Mock:
    """Fewer placeholders in the mask than in the data: one mask for all events."""
    path = folder / "placeholders.h5"
    mask = np.zeros(SHAPE, "u2")
    mask[4] = 3
    mask[5] = 4
    with h5py.File(path, "w") as f:
        for event in range(12):
            f[f"ev_{event}/dataABCset"] = frame(event, SHAPE, "i4")
        f["common/mask"] = mask
    geometry = slab_geometry(
        folder / "p.geom",
        SHAPE,
        data="/%/dataABCset",
        dims=("ss", "fs"),
        lines=["mask = /common/mask", "mask_good = 0x00", "mask_bad = 0x03"],
    )
    order = sorted(range(12), key=str)
    return Mock(
        [path],
        n_events=12,
        shapes=[SHAPE],
        dtype="i4",
        events=order,
        event_ids=[f"ev_{e}//" for e in order],
        event_bad=[SHAPE[1]] * 12,
        options={"geometry": geometry},
    )


@layout("f5")
def path_and_dim_placeholders(folder: Path) -> Mock:
    """``/data/%/%/frames`` with an event axis: ids as ``run_1/a//0``."""
    path = folder / "both.h5"
    ids = []
    with h5py.File(path, "w") as f:
        event = 0
        for run in ("run_1", "run_2"):
            for part in "ab":
                image_stack(f, f"data/{run}/{part}/frames", range(event, event + 3), SHAPE, "u2")
                ids += [f"{run}/{part}//{i}" for i in range(3)]
                event += 3
        f["data/run_2/note"] = "no frames here"
    geometry = slab_geometry(folder / "p.geom", SHAPE, data="/data/%/%/frames")
    return Mock(
        [path],
        n_events=12,
        shapes=[SHAPE],
        dtype="u2",
        events=range(12),
        event_ids=ids,
        options={"geometry": geometry},
    )


@layout("f5")
def unequal_parts(folder: Path) -> Mock:
    """Groups with different numbers of events, one with none."""
    path = folder / "unequal.h5"
    sizes = {"a": 2, "b": 0, "c": 3}
    ids, event = [], 0
    with h5py.File(path, "w") as f:
        for name, n in sizes.items():
            image_stack(f, f"{name}/frames", range(event, event + n), SHAPE, "u2")
            ids += [f"{name}//{i}" for i in range(n)]
            event += n
    geometry = slab_geometry(folder / "p.geom", SHAPE, data="/%/frames")
    return Mock(
        [path],
        n_events=5,
        shapes=[SHAPE],
        dtype="u2",
        events=range(5),
        event_ids=ids,
        any_problems=True,
        options={"geometry": geometry},
    )


@layout("f5")
def two_event_axes(folder: Path) -> Mock:
    """Two ``%`` axes: ids as ``//1/2``."""
    path = folder / "axes.h5"
    with h5py.File(path, "w") as f:
        f["data/data"] = frames(range(6), SHAPE, "u2").reshape(2, 3, *SHAPE)
    geometry = slab_geometry(
        folder / "p.geom", SHAPE, data="/data/data", dims=("%", "%", "ss", "fs")
    )
    return Mock(
        [path],
        n_events=6,
        shapes=[SHAPE],
        dtype="u2",
        events=range(6),
        event_ids=[f"//{i}/{j}" for i in range(2) for j in range(3)],
        options={"geometry": geometry},
    )


@layout("f6")
def modules_on_an_axis(folder: Path) -> Mock:
    """(event, module, ss, fs) with the panel's ``dim1`` naming its module."""
    path = folder / "mod.h5"
    with h5py.File(path, "w") as f:
        image_stack(f, "data/run_1/image4Darray", range(3), (2, *SHAPE), "f4")
    geometry = panels_geometry(
        folder / "mod.geom",
        ["data = /data/run_1/image4Darray", "dim0 = %", "dim2 = ss", "dim3 = fs"],
        ["dim1 = 0", "dim1 = 1"],
    )
    return Mock(
        [path],
        n_events=3,
        shapes=[(2, *SHAPE)],
        dtype="f4",
        events=range(3),
        event_ids=["//0", "//1", "//2"],
        energies=8000.0,
        camera_lengths=0.08,
        assembled=lambda i: side_by_side(frame(i, (2, *SHAPE))),
        options={"geometry": geometry},
    )


@layout("f6")
def panel_datasets(folder: Path) -> Mock:
    """Each panel has a dataset of its own."""
    path = folder / "panels.h5"
    with h5py.File(path, "w") as f:
        values = frames(range(3), (2, *SHAPE), "f4")
        for m in range(2):
            f[f"data/module_{m}/frames"] = values[:, m]
    geometry = panels_geometry(
        folder / "panels.geom",
        ["dim0 = %", "dim1 = ss", "dim2 = fs"],
        [f"data = /data/module_{m}/frames" for m in range(2)],
    )
    return Mock(
        [path],
        n_events=3,
        dtype="f4",
        event_ids=["//0", "//1", "//2"],
        assembled=lambda i: side_by_side(frame(i, (2, *SHAPE))),
        may_decline=True,
        options={"geometry": geometry},
    )


@layout("f6")
def event_axis_last(folder: Path) -> Mock:
    """``dim2 = %``: the event axis is the last one."""
    path = folder / "last.h5"
    with h5py.File(path, "w") as f:
        f["data/data"] = np.moveaxis(frames(range(4), SHAPE, "u2"), 0, 2)
    geometry = slab_geometry(folder / "p.geom", SHAPE, data="/data/data", dims=("ss", "fs", "%"))
    return Mock(
        [path],
        n_events=4,
        shapes=[SHAPE],
        dtype="u2",
        events=range(4),
        event_ids=[f"//{i}" for i in range(4)],
        options={"geometry": geometry},
    )


def panels_geometry(path: Path, common: Sequence[str], lines: Sequence[str]) -> Path:
    """Geometry of two panels side by side, ten pixels apart, y up."""
    n_ss, n_fs = SHAPE
    text = ["photon_energy = 8.0 keV", "clen = 80 mm", "adu_per_photon = 1", "res = 13333.3"]
    text += common
    for m, line in enumerate(lines):
        text += [
            f"p{m}/{line}",
            f"p{m}/min_fs = 0",
            f"p{m}/max_fs = {n_fs - 1}",
            f"p{m}/min_ss = 0",
            f"p{m}/max_ss = {n_ss - 1}",
            f"p{m}/fs = +1.0x",
            f"p{m}/ss = -1.0y",
            f"p{m}/corner_x = {-55 + 60 * m}",
            f"p{m}/corner_y = 20",
        ]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def side_by_side(modules: Frame) -> Frame:
    """Picture that `panels_geometry` describes: row = ss, since ss points down."""
    gap = np.full((SHAPE[0], 10), np.nan, modules.dtype)
    return np.hstack([modules[0], gap, modules[1]])
