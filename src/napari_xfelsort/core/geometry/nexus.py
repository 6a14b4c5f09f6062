"""Geometry of NeXus NXmx files.

NXmx describes detectors in McStas' laboratory: z along the beam and away from the source, y
up, x completing a right-handed system. This is CrystFEL's laboratory too, so that positions
are taken over as they are. The origin of a detector module is the corner of its first
pixel, and ``beam_center_x`` and ``_y`` count from the frame's corner, as DECTRIS writes and
dxtbx reads them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError, UnreadableFileError
from napari_xfelsort.core.geometry.finish import check_layout
from napari_xfelsort.core.geometry.header import HeaderValue, photon_energy_of_wavelength
from napari_xfelsort.core.geometry.nexus_chain import (
    LENGTHS,
    chain,
    combined,
    direction,
    member,
    number,
    offset_of,
    quantity,
    text_attribute,
    unit_scale,
)
from napari_xfelsort.core.geometry.panel import Description, Dim, Panel, Vector
from napari_xfelsort.core.geometry.simple import describe_single_panel

_ENERGIES = {"ev": 1.0, "kev": 1e3, "j": 1 / 1.602176634e-19}
_MAX_MODULES = 4096

Shape = tuple[int, int]


def read_nexus(path: str | os.PathLike[str]) -> Description:
    """Geometry of the first detector of an NXmx file that has one.

    From its modules (``NXdetector_module``), else from pixel size, beam centre and distance;
    then nothing says how the frame is turned, and it is taken as stored.

    Raises
    ------
    UnreadableFileError
        If the file is not HDF5.
    GeometryError
        If it does not say where its pixels are.
    """
    name = os.fspath(path)
    try:
        file = h5py.File(name, "r")
    except OSError as error:
        raise UnreadableFileError(f"{name} cannot be read as HDF5: {error}.") from error
    with file:
        try:
            return _describe(file, name)
        except GeometryError as error:
            raise GeometryError(f"{name}: {error}") from error


def _describe(file: Any, name: str) -> Description:
    entries = list(_members(file, "NXentry", "entry"))
    for entry in entries:
        for instrument in _members(entry, "NXinstrument", "instrument"):
            for detector in _members(instrument, "NXdetector", "detector"):
                energy = _photon_energy(entry, instrument)
                shape = _frame_shape(entry, detector)
                modules = list(_members(detector, "NXdetector_module", "module"))
                if modules:
                    return _from_modules(detector, modules, shape, energy, name)
                if shape is not None and member(detector, "x_pixel_size") is not None:
                    return _from_pixel_size(detector, shape, energy, name)
    raise GeometryError(
        "it has no NXmx detector with modules, or with pixel size and frames. "
        "Give a geometry file instead."
    )


def _members(group: Any, nx_class: str, prefix: str) -> Iterator[Any]:
    """Groups in a group that have a NeXus class, or none and a name that begins so."""
    for key in group:
        item = member(group, key)
        if isinstance(item, h5py.Group):
            found = text_attribute(item, "NX_class")
            if found == nx_class or (not found and key.startswith(prefix)):
                yield item


def _photon_energy(entry: Any, instrument: Any) -> float:
    for group in (instrument, member(entry, "sample")):
        beam = member(group, "beam")
        wavelength = _only(member(beam, "incident_wavelength"), LENGTHS, "angstrom")
        if wavelength > 0:
            return photon_energy_of_wavelength(wavelength)
        energy = _only(member(beam, "incident_energy"), _ENERGIES, "eV")
        if energy > 0:
            return energy
    return math.nan


def _only(dataset: Any, units: dict[str, float], default: str) -> float:
    """A value that is the same for all events; NaN if there is none."""
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1:
        return math.nan
    value = quantity(dataset, units, default)
    return math.nan if value is None else value


def _frame_shape(entry: Any, detector: Any) -> Shape | None:
    """Rows and columns of a frame, as far as the file says."""
    specific = member(detector, "detectorSpecific")
    counts = [number(member(specific, f"{axis}_pixels_in_detector")) for axis in "yx"]
    if counts[0] and counts[1]:
        return int(counts[0]), int(counts[1])
    data = member(entry, "data")
    candidates = [member(detector, "pixel_mask"), member(data, "data"), member(detector, "data")]
    if isinstance(data, h5py.Group):
        candidates += [member(data, key) for key in sorted(data)[:8] if key.startswith("data_")]
    for dataset in candidates:
        if isinstance(dataset, h5py.Dataset) and dataset.ndim >= 2:
            return int(dataset.shape[-2]), int(dataset.shape[-1])
    return None


# --- modules ----------------------------------------------------------------------------


def _from_modules(
    detector: Any, modules: list[Any], shape: Shape | None, energy: float, name: str
) -> Description:
    if len(modules) > _MAX_MODULES:
        raise GeometryError(f"it has {len(modules)} modules, more than {_MAX_MODULES}.")
    panels = {}
    for module in modules:
        panel = _panel(detector, module, shape if len(modules) == 1 else None)
        panels[panel.name] = panel
    first = next(iter(panels.values()))
    length = first.coffset
    if length == 0.0:
        length = _distance(detector)
    clen = None if math.isnan(length) else HeaderValue(length)
    if first.coffset != 0.0:
        panels = {k: replace(p, coffset=p.coffset - length) for k, p in panels.items()}
    panels = check_layout(panels, {}, lambda _, what: GeometryError(f"{what}."))
    return Description(
        panels=panels,
        source=name,
        photon_energy=_known_energy(energy),
        clen=clen,
        warnings=() if clen is not None else (f"{name} does not give the detector's distance.",),
    )


def _known_energy(energy: float) -> HeaderValue | None:
    return None if math.isnan(energy) else HeaderValue(energy, quantity="photon_energy")


def _panel(detector: Any, module: Any, shape: Shape | None) -> Panel:
    fast, slow = (_direction_dataset(module, axis) for axis in ("fast", "slow"))
    transformations = _chain_of(detector, fast)
    matrix = combined(transformations)
    origin = matrix @ np.append(offset_of(fast), 1.0)
    shift = member(module, "module_offset")
    if isinstance(shift, h5py.Dataset) and shift.name not in [t.name for t in transformations]:
        origin = combined([shift, *_chain_of(detector, shift)])[:, 3]
    steps = [
        combined(_chain_of(detector, dataset))[:3, :3] @ direction(dataset) * _pitch(dataset)
        for dataset in (fast, slow)
    ]
    start, size, dims = _hyperslab(module, shape)
    res = 1 / float(np.linalg.norm(steps[0]))
    fs, ss = _vector(steps[0] * res), _vector(steps[1] * res)
    if abs(fs[0] * ss[1] - fs[1] * ss[0]) < 1e-6:
        raise GeometryError(f"{module.name} is seen edge-on from the sample.")
    key = module.name.rpartition("/")[2]
    return Panel(
        name=f"m_{key}" if key.startswith(("bad", "group", "rigid_group")) else key,
        min_ss=start[0],
        max_ss=start[0] + size[0] - 1,
        min_fs=start[1],
        max_fs=start[1] + size[1] - 1,
        fs=fs,
        ss=ss,
        corner=(float(origin[0] * res), float(origin[1] * res)),
        res=res,
        coffset=float(origin[2]),
        data="/entry/data/data",
        dims=dims,
    )


def _direction_dataset(module: Any, axis: str) -> Any:
    dataset = member(module, f"{axis}_pixel_direction")
    if not isinstance(dataset, h5py.Dataset):
        raise GeometryError(f"{module.name} has no {axis}_pixel_direction.")
    return dataset


def _chain_of(detector: Any, dataset: Any) -> list[Any]:
    path = text_attribute(dataset, "depends_on")
    if path:
        return chain(dataset, path)
    own = member(detector, "depends_on")
    text = own[()] if isinstance(own, h5py.Dataset) and own.size == 1 else b""
    if isinstance(text, np.ndarray):
        text = text.ravel()[0]
    return chain(detector, text.decode() if isinstance(text, bytes) else str(text))


def _pitch(dataset: Any) -> float:
    pitch = quantity(dataset, LENGTHS, "m")
    if pitch is None or not 0 < abs(pitch) < 1:
        raise GeometryError(f"{dataset.name} does not give the size of a pixel.")
    return pitch


def _vector(values: NDArray[np.float64]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])


def _hyperslab(module: Any, shape: Shape | None) -> tuple[Shape, Shape, tuple[Dim, ...]]:
    """First pixel and size (ss, fs) of a module in the data, and the axes of the data."""
    found = []
    for key in ("data_origin", "data_size"):
        dataset = member(module, key)
        if not isinstance(dataset, h5py.Dataset) or dataset.size not in (2, 3):
            raise GeometryError(f"{module.name} has no {key} of 2 or 3 numbers.")
        found.append([int(n) for n in np.ravel(dataset[()])])
    origin, size = found
    if len(origin) != len(size) or min(origin) < 0 or min(size) < 1:
        raise GeometryError(f"{module.name} lies at {origin} and has the size {size}.")
    dims: tuple[Dim, ...] = ("%", "ss", "fs")
    if len(size) == 3:
        if size[0] != 1:
            raise GeometryError(f"{module.name} stands for {size[0]} modules at once.")
        dims = ("%", origin[0], "ss", "fs")
    start, extent = (origin[-2], origin[-1]), (size[-2], size[-1])
    if shape is not None and extent != shape and extent[::-1] == shape:
        # DECTRIS writes the numbers of one module in the order fast, slow.
        start, extent = start[::-1], extent[::-1]
    return start, extent, dims


# --- without modules --------------------------------------------------------------------


def _from_pixel_size(detector: Any, shape: Shape, energy: float, name: str) -> Description:
    sizes = [quantity(member(detector, f"{axis}_pixel_size"), LENGTHS, "m") for axis in "yx"]
    if not sizes[0] or not sizes[1]:
        raise GeometryError(f"{detector.name} has no pixel size along y and x.")
    centre = [
        _pixels(member(detector, f"beam_center_{axis}"), size)
        for axis, size in zip("yx", sizes, strict=True)
    ]
    known = not any(map(math.isnan, centre)) and any(centre)
    return describe_single_panel(
        shape,
        (sizes[0], sizes[1]),
        (centre[0] - 0.5, centre[1] - 0.5) if known else None,
        _distance(detector),
        energy,
        name,
    )


def _pixels(dataset: Any, size: float | None) -> float:
    """Distance from the frame's corner in pixels, NaN when unknown."""
    value = number(dataset)
    if value is None:
        return math.nan
    units = text_attribute(dataset, "units", "pixel")
    if units.lower().startswith("p") or not units or not size:
        return value
    return value * unit_scale(units, LENGTHS, dataset.name) / size


def _distance(detector: Any) -> float:
    for key in ("detector_distance", "distance"):
        value = quantity(member(detector, key), LENGTHS, "m")
        if value:
            return value
    length = float(combined(_chain_of(detector, detector))[2, 3])
    return length if length else math.nan
