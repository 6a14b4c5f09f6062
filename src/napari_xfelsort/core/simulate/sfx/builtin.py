"""The detector that is simulated when no geometry is given."""

from __future__ import annotations

from functools import lru_cache

from napari_xfelsort.core.geometry import Geometry

#: Pixel of an EIGER2 in m; its modules (rows, columns) and the gaps between them.
PIXEL = 75e-6
_MODULE, _GAPS, _GRID = (512, 1028), (38, 12), (4, 2)


@lru_cache(maxsize=4)
def eiger_geometry(binning: int = 1) -> Geometry:
    """An EIGER2 4M of eight modules, 2162 x 2068 pixels of 75 micrometres.

    Parameters
    ----------
    binning : int
        Pixels joined along rows and columns; modules and gaps are cut to whole ones.
    """
    rows, columns = (m // binning for m in _MODULE)
    gap_s, gap_f = (max(1, g // binning) for g in _GAPS)
    tall = _GRID[0] * rows + (_GRID[0] - 1) * gap_s
    wide = _GRID[1] * columns + (_GRID[1] - 1) * gap_f
    lines = [
        "photon_energy = 9000 eV",
        "clen = 0.2 m",
        "adu_per_photon = 1",
        f"res = {1.0 / (PIXEL * binning):.9f}",
        "data = /entry_1/data_1/data",
        "dim0 = %",
        "dim1 = ss",
        "dim2 = fs",
    ]
    for number in range(_GRID[0] * _GRID[1]):
        row, column = divmod(number, _GRID[1])
        top, left = row * (rows + gap_s), column * (columns + gap_f)
        lines += [
            f"m{number}/min_fs = {left}",
            f"m{number}/max_fs = {left + columns - 1}",
            f"m{number}/min_ss = {top}",
            f"m{number}/max_ss = {top + rows - 1}",
            f"m{number}/corner_x = {left - 0.5 * wide}",
            f"m{number}/corner_y = {0.5 * tall - top}",
            f"m{number}/fs = +1.0x",
            f"m{number}/ss = -1.0y",
        ]
    name = "EIGER2 4M" if binning == 1 else f"EIGER2 4M binned {binning} x {binning}"
    return Geometry.from_crystfel_text("\n".join(lines) + "\n", name)
