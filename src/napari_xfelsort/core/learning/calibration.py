"""Probabilities that mean what they say: of events with 0.8, four in five are so.

Scores of events that the model had not seen are mapped to probabilities by Platt's
sigmoid (J. Platt, Advances in Large Margin Classifiers, 1999; with his correction of the
targets) or by isotonic regression (Zadrozny & Elkan, KDD 2002), for several classes each
against the rest and then divided by their sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

METHODS = ("none", "sigmoid", "isotonic")


@dataclass(frozen=True)
class Calibration:
    """Maps scores of a classifier to probabilities.

    Attributes
    ----------
    method : str
        ``sigmoid`` or ``isotonic``.
    maps : tuple of (x, y)
        One for each score. Isotonic: straight lines between the points (x, y), level
        outside. Sigmoid: 1 / (1 + exp(x[0] s + y[0])).
    """

    method: str
    maps: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]

    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities.

        Parameters
        ----------
        scores : ndarray, shape (events, 1) for two classes, else (events, classes)
            From `estimators.class_scores`.

        Returns
        -------
        ndarray of float64, shape (events, classes)
        """
        mapped = np.stack(
            [self._one(scores[:, k], x, y) for k, (x, y) in enumerate(self.maps)], axis=1
        )
        if mapped.shape[1] == 1:
            return np.concatenate([1 - mapped, mapped], axis=1)
        total = mapped.sum(axis=1, keepdims=True)
        even = np.full_like(mapped, 1 / mapped.shape[1])
        return np.asarray(np.divide(mapped, total, out=even, where=total > 0), np.float64)

    def _one(
        self, scores: NDArray[np.float64], x: tuple[float, ...], y: tuple[float, ...]
    ) -> NDArray[np.float64]:
        if self.method == "isotonic":
            return np.asarray(np.interp(scores, x, y), np.float64)
        from scipy.special import expit

        return np.asarray(expit(-(x[0] * scores + y[0])), np.float64)

    def to_dict(self) -> dict[str, Any]:
        """For the model file."""
        return {"method": self.method, "maps": [[list(x), list(y)] for x, y in self.maps]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], n_classes: int) -> Calibration:
        """From a model file.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is no calibration for so many classes.
        """
        maps = tuple((_numbers(x), _numbers(y)) for x, y in values["maps"])
        method = values["method"]
        if method not in METHODS[1:] or len(maps) != (1 if n_classes == 2 else n_classes):
            raise ValueError("a calibration for other classes")
        for x, y in maps:
            if len(x) != len(y) or not x or (method == "sigmoid" and len(x) != 1):
                raise ValueError("a calibration of another size than it says")
            if method == "isotonic" and not (
                _rising(x) and _rising(y) and y[0] >= 0 and y[-1] <= 1
            ):
                raise ValueError("a calibration that is no probability")
        return cls(method, maps)


def fit_calibration(
    method: str, scores: NDArray[np.float64], classes: NDArray[np.int64]
) -> Calibration:
    """Calibration from scores of events that the classifier had not seen.

    Parameters
    ----------
    method : str
        ``sigmoid`` or ``isotonic``.
    scores : ndarray, shape (events, 1) for two classes, else (events, classes)
    classes : ndarray of int, shape (events,)
        Their labels.
    """
    fit = _sigmoid if method == "sigmoid" else _isotonic
    numbers = [1] if scores.shape[1] == 1 else range(scores.shape[1])
    columns = [fit(scores[:, k], classes == n) for k, n in enumerate(numbers)]
    return Calibration(method, tuple(columns))


def _sigmoid(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    from sklearn.linear_model import LogisticRegression

    n_positive = int(positive.sum())
    high = (n_positive + 1) / (n_positive + 2)
    low = 1 / (len(positive) - n_positive + 2)
    target = np.where(positive, high, low)
    scale = float(np.abs(scores).max()) or 1.0
    # A target t is an event that is positive with weight t and negative with 1 - t.
    doubled = np.concatenate([scores, scores])[:, np.newaxis] / scale
    answers = np.repeat([1, 0], len(scores))
    regression = LogisticRegression(C=np.inf, tol=1e-9, max_iter=10_000)
    regression.fit(doubled, answers, sample_weight=np.concatenate([target, 1 - target]))
    return (-float(regression.coef_[0, 0]) / scale,), (-float(regression.intercept_[0]),)


def _isotonic(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(out_of_bounds="clip").fit(scores, positive.astype(float))
    y = np.clip(fitted.y_thresholds_, 0, 1)
    return tuple(map(float, fitted.X_thresholds_)), tuple(map(float, y))


def _numbers(values: Any) -> tuple[float, ...]:
    numbers = tuple(float(v) for v in values)
    if isinstance(values, str) or not all(map(math.isfinite, numbers)):
        raise ValueError("a calibration without numbers")
    return numbers


def _rising(values: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in pairwise(values))
