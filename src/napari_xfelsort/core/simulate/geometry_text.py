"""The CrystFEL geometry of a simulated detector, as text."""

from __future__ import annotations

from napari_xfelsort.core.simulate.layout import Detector, Panel, Vector

_HEAD = """\
; Simulated {name} detector of napari-xfelsort: {modules} modules, {panels} panels.
photon_energy = /LCLS/photon_energy_eV eV
clen = /LCLS/detector_1/EncoderValue mm
adu_per_eV = {adu_per_ev:.9g}
res = {res:.9g}

data = /entry_1/data_1/data
dim0 = %
dim1 = ss
dim2 = fs

; 0 in the mask is a good pixel.
mask0_data = /entry_1/data_1/mask
mask0_goodbits = 0x0000
mask0_badbits = 0xffff

peak_list = /entry_1/result_1
peak_list_type = cxi
"""


def geometry_text(detector: Detector, adu_per_ev: float) -> str:
    """Geometry file that CrystFEL (0.11 and later) reads.

    Photon energy and camera length are given by their paths in the data file; panels
    are grouped by module, quadrant and ``all``.
    """
    panels = detector.panels()
    head = _HEAD.format(
        name=detector.name,
        modules=detector.n_modules,
        panels=len(panels),
        adu_per_ev=adu_per_ev,
        res=1.0 / detector.pixel_size,
    )
    return "\n".join([head, *(panel_text(p) for p in panels), _groups(detector)])


def panel_text(panel: Panel) -> str:
    """The lines of one panel."""
    lines = {
        "min_fs": panel.min_fs,
        "max_fs": panel.max_fs,
        "min_ss": panel.min_ss,
        "max_ss": panel.max_ss,
        "corner_x": f"{panel.corner[0]:.6f}",
        "corner_y": f"{panel.corner[1]:.6f}",
        "fs": _vector_text(panel.fs),
        "ss": _vector_text(panel.ss),
        "coffset": f"{panel.coffset:.9f}",
    }
    return "".join(f"{panel.name}/{key} = {value}\n" for key, value in lines.items())


def _vector_text(vector: Vector) -> str:
    # CrystFEL takes no exponents here.
    return " ".join(f"{part:+.9f}{axis}" for part, axis in zip(vector, "xyz", strict=True))


def _groups(detector: Detector) -> str:
    per_quadrant = detector.modules[0] * detector.modules[1]
    lines = []
    for module in range(detector.n_modules):
        members = ",".join(f"p{module}a{asic}" for asic in range(4))
        lines.append(f"group_m{module} = {members}\n")
    for quadrant in range(4):
        first = quadrant * per_quadrant
        members = ",".join(f"m{first + k}" for k in range(per_quadrant))
        lines.append(f"group_q{quadrant} = {members}\n")
    lines.append("group_all = q0,q1,q2,q3\n")
    return "".join(lines)
