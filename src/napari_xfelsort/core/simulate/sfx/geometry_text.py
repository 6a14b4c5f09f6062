"""CrystFEL geometry of a simulated run: the panels of any geometry, beam from the file."""

from __future__ import annotations

import math
from collections.abc import Iterator

from napari_xfelsort.core.geometry import BadRegion, Geometry, Panel

_HEAD = """\
; Simulated by napari-xfelsort on the panels of {source}.
photon_energy = /LCLS/photon_energy_eV eV
clen = /LCLS/detector_1/EncoderValue mm
adu_per_photon = {adu_per_photon:.9g}

; 0 in the mask is a good pixel.
mask0_data = /entry_1/data_1/mask
mask0_goodbits = 0x0000
mask0_badbits = 0xffff
"""


def run_geometry_text(geometry: Geometry, adu_per_photon: float, peaks: bool = False) -> str:
    """Geometry of files with frames of ``geometry.raw_shape`` in ``/entry_1/data_1/data``.

    Panels, bad regions and groups are those of ``geometry``.

    Parameters
    ----------
    peaks : bool
        Whether the file has stored peaks.
    """
    source = " ".join(geometry.source.split()).replace(";", ",")
    parts = [_HEAD.format(source=source, adu_per_photon=adu_per_photon)]
    if peaks:
        parts.append("peak_list = /entry_1/result_1\npeak_list_type = cxi\n")
    shift = [0.0 if s is None or s.value is None else s.value for s in geometry.detector_shift]
    for panel in geometry.panels.values():
        parts.append("".join(f"{line}\n" for line in _panel(panel, shift)))
    parts.append("".join(f"{line}\n" for r in geometry.bad_regions for line in _region(r)))
    for prefix, groups in (
        ("group", geometry.groups),
        ("rigid_group", geometry.rigid_groups),
        ("rigid_group_collection", geometry.rigid_group_collections),
    ):
        parts += [
            f"{prefix}_{name} = {','.join(members)}\n"
            for name, members in groups.items()
            if members and not (name == "all" and prefix == "group")
        ]
    return "\n".join(part for part in parts if part)


def _panel(panel: Panel, shift: list[float]) -> Iterator[str]:
    dims: list[str | int] = ["%"]
    dims += [panel.dataset] if panel.stacked else []
    dims += [dim for dim in panel.dims if dim != "%"]
    values: dict[str, object] = {
        "data": "/entry_1/data_1/data",
        **{f"dim{axis}": dim for axis, dim in enumerate(dims)},
        "min_fs": panel.min_fs,
        "max_fs": panel.max_fs,
        "min_ss": panel.min_ss,
        "max_ss": panel.max_ss,
        "corner_x": _number(panel.corner[0] + shift[0] * panel.res),
        "corner_y": _number(panel.corner[1] + shift[1] * panel.res),
        "fs": _vector(panel.fs),
        "ss": _vector(panel.ss),
        "res": _number(panel.res),
        "coffset": _number(panel.coffset),
    }
    if panel.mask_edge_pixels:
        values["mask_edge_pixels"] = panel.mask_edge_pixels
    if panel.no_index:
        values["no_index"] = 1
    for key, value in values.items():
        yield f"{panel.name}/{key} = {value}"


def _region(region: BadRegion) -> Iterator[str]:
    axes = ("x", "y") if region.in_laboratory else ("fs", "ss")
    if region.panel is not None:
        yield f"{region.name}/panel = {region.panel}"
    for axis, low, high in zip(axes, region.minimum, region.maximum, strict=True):
        for word, limit in (("min", low), ("max", high)):
            if math.isfinite(limit):
                yield f"{region.name}/{word}_{axis} = {_number(limit)}"


def _number(value: float) -> str:
    return f"{value:.12f}".rstrip("0").rstrip(".")


def _vector(vector: tuple[float, float, float]) -> str:
    # CrystFEL takes no exponents here.
    return " ".join(f"{part:+.12f}{axis}" for part, axis in zip(vector, "xyz", strict=True))
