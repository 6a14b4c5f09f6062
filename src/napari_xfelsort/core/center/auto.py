"""`find_center`: the methods, and the one that combines them and says how sure it is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xfelsort.core.center import calibration
from napari_xfelsort.core.center.beam_stop import beam_stop_shadow
from napari_xfelsort.core.center.cells import Places, PreparedFrame, check_frame, prepare
from napari_xfelsort.core.center.radial import COARSE, STRICT, fit_radial
from napari_xfelsort.core.center.reflex import reflex_center
from napari_xfelsort.core.center.result import CenterResult
from napari_xfelsort.core.center.search import KNOTS, Search, search
from napari_xfelsort.core.center.starts import radial_starts
from napari_xfelsort.core.center.symmetry import symmetric_points
from napari_xfelsort.core.errors import SettingsError

Floats = NDArray[np.float64]

#: What `find_center` knows; `auto` is the one to use.
METHODS = ("auto", "radial", "symmetry", "beam_stop", "reflex")

_TOO_LITTLE = "Too few good pixels show anything."


def find_center(
    image: ArrayLike,
    mask: ArrayLike | None = None,
    method: str = "auto",
    places: Places | None = None,
) -> CenterResult:
    """Where the beam meets the detector.

    Parameters
    ----------
    image : array_like, shape (y, x)
        An assembled frame of whole or floating-point numbers. NaN, infinite and (of whole
        numbers) negative and largest values do not count.
    mask : array_like, shape (y, x), optional
        True (or not 0) where a pixel is bad. Beam stop, shadows and hot pixels need not be
        in it.
    method : str
        ``auto``: all that helps, with an uncertainty, None where it does not know;
        ``radial``: radial symmetry from the point where a map of it is best, without the
        other methods and without a doubt; ``symmetry``: point symmetry alone;
        ``beam_stop``: the shadow of the beam stop; ``reflex``: Czyzewski et al. (2021).
    places : pair of ndarray, shape (y, x), optional
        True rows and columns of the pixels, if they are not where the picture shows them
        (for ``auto`` and ``radial``).

    Returns
    -------
    CenterResult
        With ``y`` and ``x`` None and a ``reason`` where there is no answer.

    Raises
    ------
    SettingsError
        If the image is no picture of numbers, the mask does not fit it, or the method is
        unknown.
    """
    if method not in METHODS:
        raise SettingsError(
            f"The method {method!r} is not known; the methods are {', '.join(METHODS)}."
        )
    if method == "reflex":
        return _reflex(image, mask)
    frame = prepare(image, mask, places)
    if not frame.usable or not frame.lit:
        return CenterResult.unknown(method, _TOO_LITTLE)
    return _FINDERS[method](frame)


def _reflex(image: ArrayLike, mask: ArrayLike | None) -> CenterResult:
    clean, good = check_frame(image, mask)
    center = reflex_center(clean, good)
    if center is None:
        return CenterResult.unknown("reflex", "The frame has no contrast.")
    return CenterResult(float(center[0]), float(center[1]), None, "reflex")


def _symmetry(frame: PreparedFrame) -> CenterResult:
    points = symmetric_points(frame)
    if not points:
        return CenterResult.unknown("symmetry", "The frame is like itself about no point.")
    (y, x), correlation = points[0]
    return CenterResult(float(y), float(x), None, "symmetry", details={"correlation": correlation})


def _beam_stop(frame: PreparedFrame) -> CenterResult:
    found = beam_stop_shadow(frame)
    if found is None:
        return CenterResult.unknown("beam_stop", "There is no shadow that a beam stop may cast.")
    (y, x), radius = found
    return CenterResult(float(y), float(x), radius, "beam_stop", details={"radius": radius})


def _radial(frame: PreparedFrame) -> CenterResult:
    starts = radial_starts(frame) or [frame.middle]
    levels = frame.levels[:3]
    fits = [fit_radial(frame, levels[0], starts[0], KNOTS[0], COARSE)]
    for n, (cells, knots) in enumerate(zip(levels, KNOTS, strict=False)):
        fits.append(fit_radial(frame, cells, fits[-1], knots, STRICT, n == len(levels) - 1))
    y, x = map(float, fits[-1].center)
    return CenterResult(y, x, calibration.uncertainty(fits[-1], fits[-2], frame.side), "radial")


def _auto(frame: PreparedFrame) -> CenterResult:
    found = search(frame)
    uncertainty = calibration.uncertainty(found.best, found.halfway, frame.side)
    details = _details(found)
    if not math.isfinite(uncertainty):
        return CenterResult.unknown("auto", "No centre explains the frame.", **details)
    y, x = map(float, found.best.center)
    doubt = calibration.doubt(found, uncertainty, frame.image.shape)
    if doubt:
        details |= {"best_y": y, "best_x": x, "uncertainty": uncertainty}
        return CenterResult.unknown("auto", doubt, **details)
    return CenterResult(y, x, uncertainty, "auto", details=details)


def _details(found: Search) -> dict[str, float]:
    best = found.best
    details = {
        "cost": best.cost / len(best.cells),
        "jackknife": math.sqrt(float(np.trace(best.jackknife))),
        "shadow": found.shadow,
    }
    if found.rival is not None:
        details["rival_y"], details["rival_x"] = map(float, found.rival.center)
        details["lead"] = calibration.lead(found)
    if found.symmetric:
        (details["symmetric_y"], details["symmetric_x"]), details["correlation"] = (
            map(float, found.symmetric[0][0]),
            found.symmetric[0][1],
        )
    return details


_FINDERS = {
    "auto": _auto,
    "radial": _radial,
    "symmetry": _symmetry,
    "beam_stop": _beam_stop,
}
