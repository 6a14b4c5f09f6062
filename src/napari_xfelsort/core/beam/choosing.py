"""Which of some photon energies and camera lengths it is, by the scattering curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from napari_xfelsort.core.beam.classes import BeamChoice, BeamClass, BeamClassifier
from napari_xfelsort.core.beam.fitting import Fit
from napari_xfelsort.core.beam.likelihood import profile
from napari_xfelsort.core.errors import SettingsError


def checked_classes(
    classes: Sequence[tuple[float, float]] | BeamClassifier | None,
) -> tuple[BeamClass, ...] | BeamClassifier:
    """Classes as they are used; none when there are none.

    Raises
    ------
    SettingsError
        If an energy or length is not possible, or there is one class only.
    """
    if classes is None:
        return ()
    if isinstance(classes, BeamClassifier):
        return classes
    pairs = tuple(sorted({BeamClass(float(energy), float(length)) for energy, length in classes}))
    for each in pairs:
        if not all(0 < value < math.inf for value in each):
            raise SettingsError(f"A class of {each} is not possible.")
    if len(pairs) == 1:
        raise SettingsError(f"There must be two classes at least, not only {pairs[0]}.")
    return pairs


def choose_class(fit: Fit, classes: tuple[BeamClass, ...]) -> BeamChoice:
    """The likeliest class, from the cells that go with the best fit.

    Parameters
    ----------
    fit : Fit
        Of one frame, or of several together.
    classes : tuple of BeamClass
        At least one.
    """
    quality = np.zeros(len(classes))
    for part in fit.parts:
        for k, each in enumerate(classes):
            pair = np.array([each.energy]), np.array([each.length])
            own = profile(part.cells, *pair, fit.table, fit.polarisation)[0]
            quality[k] += own[0] / max(1.0, part.misfit)
    weights = np.exp(quality - quality.max())
    return BeamChoice(classes, weights / weights.sum())
