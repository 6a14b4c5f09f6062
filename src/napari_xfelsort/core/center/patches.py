"""Patches of a frame that a fit misses all in one direction: soft shadows, parasitic light.

A stream of cold gas, a holder or scattering of slits changes the light by some per cent over
wide parts. No single cell is far enough off to lose its weight, but many side by side are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.center.cells import Cells, PreparedFrame
from napari_xfelsort.core.center.radial import RadialFit

#: Side of the windows, in cells, and mean residual in a window that is too much, in
#: standard deviations of a cell.
_WINDOW, _OFF = 5, 0.35
#: Residuals beyond this count as this.
_CUT = 3.0
#: Most that is left out, as a share of the frame; beyond, the model is what is wrong.
_MOST = 0.5


def missed(frame: PreparedFrame, fit: RadialFit) -> NDArray[np.bool_]:
    """Which places of the net of the fit's cells lie in such patches; 2-D."""
    from scipy.ndimage import uniform_filter

    cells = fit.cells
    shape = tuple(-(-n // cells.size) for n in frame.image.shape)
    residuals, seen = np.zeros(shape), np.zeros(shape)
    places = tuple(cells.places.T)
    residuals[places], seen[places] = np.clip(fit.residuals, -_CUT, _CUT), 1.0
    share = np.maximum(uniform_filter(seen, _WINDOW), 1 / _WINDOW**2)
    off = np.abs(uniform_filter(residuals, _WINDOW)) > _OFF * share
    return off if (off & (seen > 0)).sum() <= _MOST * seen.sum() else np.zeros(shape, bool)


def without(cells: Cells, left_out: NDArray[np.bool_], size: int) -> Cells:
    """Cells that do not lie in places of a net of cells of some size."""
    at = ((cells.places + 0.5) * (cells.size / size)).astype(np.int64)
    return cells.without(left_out[tuple(np.minimum(at, np.array(left_out.shape) - 1).T)])
