"""Assembling one frame against memcpy, ``np.take`` and EXtra-geom.

    python benchmarks/bench_assemble.py [--runs N] [--geometries FOLDER]

For an ePix10k-2M, a JUNGFRAU-4M and an AGIPD-1M, float32 frames, buffers reused. All ways
take turns, so that the load of the machine meets all of them alike; the table gives the
minimum and the median in ms, and ratios of minima (of medians in brackets).

The geometries are made here; with ``--geometries`` real CrystFEL files of these detectors
are used instead where the folder has them.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_xfelsort import Geometry

Way = Callable[[], Any]

REAL = {
    "ePix10k-2M": "cheetah-gui__src__cheetah__resources__epix10k2M.geom",
    "JUNGFRAU-4M": "extra_geom_written__JUNGFRAU-4M_4d.geom",
    "AGIPD-1M": "EXtra-foam__karaboFAI__geometries__agipd_mar18_v11.geom",
}


# --- detectors --------------------------------------------------------------------------


def panel_lines(
    name: str,
    size: tuple[int, int],
    middle: tuple[float, float],
    turn: float,
    first: tuple[int, int],
    module: int | None = None,
) -> Iterator[str]:
    """One panel of (fs, ss) pixels about a point, turned against the clock by degrees."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    half = size[0] / 2, size[1] / 2
    values = {
        "min_fs": first[0],
        "max_fs": first[0] + size[0] - 1,
        "min_ss": first[1],
        "max_ss": first[1] + size[1] - 1,
        "fs": f"{c:+.9f}x {s:+.9f}y",
        "ss": f"{-s:+.9f}x {c:+.9f}y",
        "corner_x": middle[0] - half[0] * c + half[1] * s,
        "corner_y": middle[1] - half[0] * s - half[1] * c,
    }
    if module is not None:
        values["dim1"] = module
    for key, value in values.items():
        yield f"{name}/{key} = {value}"


def geometry_text(res: float, dims: tuple[str, ...], panels: Iterator[str]) -> str:
    """A CrystFEL file of some panels."""
    head = ["photon_energy = 9300", "clen = 0.1", "adu_per_eV = 0.001", f"res = {res}"]
    axes = [f"dim{axis} = {dim}" for axis, dim in enumerate(dims) if dim]
    return "\n".join([*head, *axes, *panels]) + "\n"


def epix10k_2m(tilt: float) -> str:
    """16 modules of 2 x 2 ASICs round the beam, four in each quadrant; frames of 5632 x 384."""

    def panels() -> Iterator[str]:
        for module in range(16):
            quadrant, place = divmod(module, 4)
            turn = 90.0 * quadrant
            c, s = round(math.cos(math.radians(turn))), round(math.sin(math.radians(turn)))
            x0, y0 = 30 + 192 + 410 * (place % 2), 30 + 176 + 380 * (place // 2)
            for asic in range(4):
                row, column = divmod(asic, 2)
                x = x0 + (column - 0.5) * 194 + 0.3 * module
                y = y0 + (row - 0.5) * 178
                yield from panel_lines(
                    f"p{module}a{asic}",
                    (192, 176),
                    (c * x - s * y, s * x + c * y),
                    turn + tilt * ((module % 5) - 2),
                    (192 * column, 352 * module + 176 * row),
                )

    return geometry_text(10000, ("%", "ss", "fs"), panels())


def jungfrau_4m(tilt: float) -> str:
    """8 modules of 8 ASICs in two columns; frames of 8 x 512 x 1024, half upside down."""

    def panels() -> Iterator[str]:
        for module in range(8):
            side = -1 if module < 4 else 1
            turn = 180.0 if side < 0 else 0.0
            for asic in range(8):
                row, column = divmod(asic, 4)
                x = (column - 1.5) * 258 * side + side * 545
                y = (row - 0.5) * 258 * side + (module % 4 - 1.5) * 545
                yield from panel_lines(
                    f"p{module}a{asic}",
                    (256, 256),
                    (x + 0.2 * module, y),
                    turn + tilt * ((module % 5) - 2),
                    (256 * column, 256 * row),
                    module,
                )

    return geometry_text(13333.3, ("%", "", "ss", "fs"), panels())


def agipd_1m(tilt: float) -> str:
    """16 modules of 8 ASICs, fs upward or downward; frames of 16 x 512 x 128."""

    def panels() -> Iterator[str]:
        for module in range(16):
            side = 1 if module < 8 else -1
            turn = -90.0 * side
            for asic in range(8):
                x = side * ((asic - 3.5) * 66 + 290)
                y = (3.5 - module % 8) * 157
                yield from panel_lines(
                    f"p{module}a{asic}",
                    (128, 64),
                    (x, y + 0.3 * module),
                    turn + tilt * ((module % 5) - 2),
                    (0, 64 * asic),
                    module,
                )

    return geometry_text(5000, ("%", "", "ss", "fs"), panels())


MADE = {"ePix10k-2M": epix10k_2m, "JUNGFRAU-4M": jungfrau_4m, "AGIPD-1M": agipd_1m}


def detectors(folder: Path | None) -> Iterator[tuple[str, Geometry]]:
    """Name and geometry of each detector."""
    for name, make in MADE.items():
        file = None if folder is None else folder / REAL[name]
        if file is not None and file.is_file():
            yield name, Geometry.from_crystfel(file)
        else:
            yield name, Geometry.from_crystfel_text(make(tilt=0.05), f"{name}, made here")


# --- ways to assemble -------------------------------------------------------------------


def numpy_take(geometry: Geometry, raw: np.ndarray) -> Way:
    """``np.take`` as it does best: int64 indices, one extra pixel for the gap."""
    numbers = np.arange(raw.size, dtype=np.int64).reshape(raw.shape)
    index = geometry.assemble(numbers, gap=raw.size, method="gather").ravel()
    source = np.append(raw.ravel(), np.float32(np.nan))
    out = np.empty(index.size, raw.dtype)
    return lambda: np.take(source, index, mode="clip", out=out)


def extra_geom(name: str) -> Way | None:
    """EXtra-geom's assembling of its own geometry of this detector, if it is installed."""
    if name == "ePix10k-2M" or importlib.util.find_spec("extra_geom") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from extra_geom import AGIPD_1MGeometry, JUNGFRAUGeometry

    if name == "AGIPD-1M":
        geometry = AGIPD_1MGeometry.from_quad_positions(
            [(-525, 625), (-550, -10), (520, -160), (542.5, 475)]
        )
        data = np.ones((16, 512, 128), np.float32)
    else:
        x, y = (100, 1100), (-50, 500, 1050, 1600)
        geometry = JUNGFRAUGeometry.from_module_positions([(a, b) for a in x for b in y])
        data = np.ones((8, 512, 1024), np.float32)
    out = geometry.output_array_for_position(dtype=np.float32)
    return lambda: geometry.position_modules(data, out=out)


def ways(name: str, geometry: Geometry) -> dict[str, Way]:
    """Each way to assemble a frame of a detector, ready to run."""
    raw = np.random.default_rng(0).random(geometry.raw_shape, np.float32)
    out = np.zeros(geometry.shape, np.float32)
    copy = np.zeros_like(out)
    found: dict[str, Way] = {
        "memcpy": lambda: np.copyto(copy, out),
        "np.take": numpy_take(geometry, raw),
        "gather": lambda: geometry.assemble(raw, out=out, method="gather"),
        "block": lambda: geometry.assemble(raw, out=out, method="block"),
    }
    reference = extra_geom(name)
    if reference is not None:
        found["extra_geom"] = reference
    return found


def measure(found: dict[str, Way], runs: int) -> dict[str, tuple[float, float]]:
    """Minimum and median in ms of each way, all taking turns."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for run in range(runs + 3):
        for name, way in found.items():
            start = time.perf_counter()
            way()
            if run >= 3:  # the first ones compile and touch memory
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: (min(t), float(np.median(t))) for name, t in times.items()}


def ratio(result: dict[str, tuple[float, float]], name: str, reference: str) -> str:
    """Ratio of minima, and of medians in brackets."""
    if name not in result:
        return "-"
    low, middle = (result[name][k] / result[reference][k] for k in (0, 1))
    return f"{low:.2f} ({middle:.2f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=60, help="frames a way (at least 30)")
    parser.add_argument("--geometries", type=Path, help="folder of real .geom files")
    given = parser.parse_args()
    runs = max(given.runs, 30)
    columns = ("memcpy", "np.take", "gather", "block", "extra_geom")
    print(f"One float32 frame, {runs} runs; ms: minimum (median)")
    print(f"{'detector':12} {'picture':>12} {'auto':>7} " + " ".join(f"{c:>15}" for c in columns))
    rows = []
    for name, geometry in detectors(given.geometries):
        shape = "x".join(map(str, geometry.shape))
        result = measure(ways(name, geometry), runs)
        rows.append((name, result))
        cells = [
            f"{result[c][0]:.2f} ({result[c][1]:.2f})" if c in result else "-" for c in columns
        ]
        print(f"{name:12} {shape:>12} {geometry.method:>7} " + " ".join(f"{c:>15}" for c in cells))
    print("\nRatios of minima (of medians)")
    for name, result in rows:
        print(
            f"{name:12} gather / np.take {ratio(result, 'gather', 'np.take')}   "
            f"block / memcpy {ratio(result, 'block', 'memcpy')}   "
            f"extra_geom / memcpy {ratio(result, 'extra_geom', 'memcpy')}"
        )
    print("Aims: gather / np.take at most 1.2, block / memcpy at most 3.")


if __name__ == "__main__":
    main()
