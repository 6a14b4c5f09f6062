"""Radial symmetry: the centre about which a frame is a function of the radius, and more.

A frame is taken as profile(r) x smooth factors x a step of each part of the detector, all
fitted at once with the centre by Gauss-Newton steps on cells of pixels. Weights are those
of counting noise and of an error of the model relative to the light, so that bright cells
do not rule; cells far off (shadows, beam stop, remaining spots) lose their weight. Factors
and steps have prior widths: what they could explain as well as a shift of the centre goes
into the uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.center.cells import Cells, PreparedFrame

Floats = NDArray[np.float64]

#: Prior standard deviations of the logarithms of the smooth factors, as in
#: `radial_loops.factors`: three pairs of harmonics, polarisation, polynomials, lobes.
FACTOR_WIDTHS = (
    *(0.01, 0.01, 0.008, 0.008, 0.004, 0.004),
    *(0.15, 0.15),
    *(0.06, 0.06, 0.1, 0.04, 0.04),
    *(0.1, 0.1, 0.05, 0.05),
)
#: Nodes along a side of a net of soft factors, for what the others do not describe, and the
#: prior standard deviation of the logarithm of each. Soft shadows are wider than its meshes.
NODES, NET_WIDTH = 9, 0.01
#: That of the step of a part of the detector.
REGION_WIDTH = 0.02
#: That of the second difference of the profile at neighbouring knots.
BEND_WIDTH = 0.7
#: Weak prior of the centre about the middle, in sides of the frame.
CENTRE_WIDTH = 0.5
#: Radius, in sides, below which knots are evenly spaced; they grow further apart beyond.
WARP = 0.15


@dataclass(frozen=True)
class Stage:
    """One stage of a fit: what counts as an error of the model, and as an outlier."""

    model_error: float
    cut: float
    iterations: int


#: Distance from the middle, in sides, at which the error of the model is doubled; it grows
#: with the fourth power. What stands about the detector shades its rim, and smooth factors
#: are least known there.
DOUBLED = 0.25
#: Distance from the centre, in sides, at which it is doubled too; it falls with the fourth
#: power. There are the beam stop, its arm and what light they scatter.
NEAR = 0.06
#: Distance from the middle, in sides, beyond which the profile moves with the centre.
FAR = 0.4
#: Sectors of the frame for the jackknife.
SECTORS = 8
#: Quantile of a ring's cells that the profile begins with: shadows only take light away.
LEVEL = 0.65

#: From forgiving to strict.
COARSE = (Stage(0.15, 6.0, 8), Stage(0.06, 4.5, 25))
STRICT = (Stage(0.03, 3.0, 30),)


@dataclass(frozen=True, eq=False)
class RadialFit:
    """A fitted frame.

    Attributes
    ----------
    center : ndarray, shape (2,)
        Row and column.
    theta : ndarray
        Centre, factors, net, steps, spline.
    radii : ndarray, shape (2,)
        Warped radius of the first knot and distance of knots.
    cost : float
        Robust cost with the prior's, of all cells.
    covariance : ndarray, shape (2, 2)
        Of the centre, if errors of cells were independent.
    jackknife : ndarray, shape (2, 2)
        The same from what it changes to leave out one of the sectors of the frame; it knows
        of errors that neighbours share.
    residuals : ndarray
        Standardised, of the cells.
    moved : float
        What is taken off radii in pixels before the profile is looked up.
    """

    center: Floats
    theta: Floats
    radii: Floats
    cost: float
    covariance: Floats
    jackknife: Floats
    residuals: Floats
    cells: Cells
    n_knots: int
    moved: float = 0.0

    @property
    def profile(self) -> Floats:
        """Coefficients of the spline."""
        return self.theta[-self.n_knots :]


def fit_radial(
    frame: PreparedFrame,
    cells: Cells,
    start: Floats | RadialFit,
    n_knots: int = 40,
    stages: tuple[Stage, ...] = COARSE,
    errors: bool = False,
) -> RadialFit:
    """Fit the model to cells, from a centre or from a fit to other cells.

    The jackknife's errors take time and are 0 unless asked for.
    """
    problem = _Problem(frame, cells, start, n_knots)
    for stage in stages:
        problem.improve(stage)
    return problem.result(stages[-1], SECTORS if errors else 1)


class _Problem:
    def __init__(
        self, frame: PreparedFrame, cells: Cells, start: Floats | RadialFit, n_knots: int
    ) -> None:
        from napari_xfelsort.core.center import radial_loops

        self.loops = radial_loops
        self.frame = frame
        self.cells = cells
        self.n_regions = frame.n_regions if frame.n_regions > 1 else 0
        self.cell_regions = cells.regions if self.n_regions else np.full(len(cells), -1, np.int32)
        self.head = radial_loops.CENTRE + radial_loops.N_FACTORS + NODES**2 + self.n_regions
        self.scales = np.array([frame.side, WARP * frame.side])
        center = start.center if isinstance(start, RadialFit) else np.asarray(start, np.float64)
        self.radii = self._knots(center, n_knots)
        middle = cells.table[:, 2:].mean(axis=0)
        away = float(np.hypot(*(center - middle)))
        self.anchor = np.array([*middle, away if away > FAR * frame.side else -1.0])
        self.theta = np.zeros(self.head + n_knots)
        if isinstance(start, RadialFit):
            self.theta[: self.head] = start.theta[: self.head]
            self.theta[self.head :] = self._resampled(start, n_knots)
        else:
            self.theta[:2] = center
            self.theta[self.head :] = self._first_profile(center, n_knots)
        self._set_prior(n_knots)

    def _knots(self, center: Floats, n_knots: int) -> Floats:
        """Knots for all radii that occur, and those if the centre moved by a tenth."""
        r = np.hypot(*(self.cells.table[:, 2:] - center).T)
        margin = 0.05 * self.frame.side
        low, high = max(0.0, r.min() - margin), r.max() + margin
        first, last = np.log1p(np.array([low, high]) / self.scales[1])
        return np.array([first, (last - first) / (n_knots - 3)])

    def _first_profile(self, center: Floats, n_knots: int) -> Floats:
        radii = np.array([self.radii[0] - self.radii[1], self.radii[1]])
        means = self.loops.ring_levels(
            self.cells.table, center, radii, self.scales[1], n_knots, LEVEL
        )
        known = np.isfinite(means) & (means > 0)
        if not known.any():
            return np.zeros(n_knots)
        floor = 1e-3 * float(np.median(means[known]))
        at = np.flatnonzero(known)
        return np.asarray(
            np.interp(np.arange(n_knots), at, np.log(np.maximum(means[known], floor)))
        )

    def _resampled(self, start: RadialFit, n_knots: int) -> Floats:
        old = start.theta[self.head :]
        # A coefficient is about the profile's value one knot further in.
        at_old = start.radii[0] + start.radii[1] * (np.arange(len(old)) - 1)
        at_new = self.radii[0] + self.radii[1] * (np.arange(n_knots) - 1)
        radius = self.scales[1] * np.expm1(at_new) - start.moved
        return np.asarray(np.interp(np.log1p(np.maximum(radius, 0) / self.scales[1]), at_old, old))

    def _set_prior(self, n_knots: int) -> None:
        n = len(self.theta)
        widths = np.concatenate(
            [
                np.full(2, CENTRE_WIDTH * self.frame.side),
                FACTOR_WIDTHS,
                np.full(NODES**2, NET_WIDTH),
                np.full(self.n_regions, REGION_WIDTH),
            ]
        )
        self.prior = np.zeros((n, n))
        self.prior[: self.head, : self.head] = np.diag(widths**-2.0)
        bend = np.diff(np.eye(n_knots), 2, axis=0) / BEND_WIDTH
        self.prior[self.head :, self.head :] = bend.T @ bend + 1e-6 * np.eye(n_knots)
        self.centre_of_prior = np.zeros(n)
        self.centre_of_prior[:2] = self.frame.middle
        self.centre_of_prior[self.head :] = np.median(self.theta[self.head :])

    def evaluate(
        self, theta: Floats, stage: Stage, sectors: int = 1
    ) -> tuple[Floats, Floats, Floats, Floats]:
        frame = self.frame
        noise = np.array(
            [
                *(frame.gain, frame.read, stage.model_error, stage.cut),
                *(DOUBLED * frame.side, NEAR * frame.side),
            ]
        )
        matrix, gradient, cost, residuals = self.loops.normal_equations(
            self.cells.table,
            self.cell_regions,
            theta,
            self.n_regions,
            self.radii,
            self.scales,
            frame.middle,
            noise,
            sectors,
            self.anchor,
            NODES,
        )
        return matrix, gradient, cost, residuals

    def penalised(self, theta: Floats, stage: Stage) -> tuple[Floats, Floats, float]:
        matrix, gradient, cost, _ = self.evaluate(theta, stage)
        off = theta - self.centre_of_prior
        pull = self.prior @ off
        total = float(cost[0]) + 0.5 * float(off @ pull)
        return matrix[0] + self.prior, gradient[0] - pull, total

    def improve(self, stage: Stage) -> None:
        """Levenberg-Marquardt steps."""
        limit = 0.1 * self.frame.side
        matrix, gradient, cost = self.penalised(self.theta, stage)
        damping = 1e-3
        for _ in range(stage.iterations):
            step = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), gradient)
            length = float(np.hypot(step[0], step[1]))
            if length > limit:
                step *= limit / length
            trial = self.theta + step
            new_matrix, new_gradient, new_cost = self.penalised(trial, stage)
            if new_cost <= cost:
                gain = cost - new_cost
                self.theta, matrix, gradient, cost = trial, new_matrix, new_gradient, new_cost
                damping = max(damping / 10, 1e-7)
                if length < 0.03 and gain < 1e-3 * (1 + cost):
                    break
            else:
                damping = min(damping * 10, 1e3)

    def result(self, stage: Stage, sectors: int = SECTORS) -> RadialFit:
        """The fit, with its errors."""
        matrices, gradients, cost, residuals = self.evaluate(self.theta, stage, sectors)
        off = self.theta - self.centre_of_prior
        pull = self.prior @ off
        total = float(cost.sum()) + 0.5 * float(off @ pull)
        matrix, gradient = matrices.sum(axis=0) + self.prior, gradients.sum(axis=0) - pull
        moves = np.array(
            [
                np.linalg.solve(matrix - matrices[k], gradient - gradients[k])[:2]
                for k in range(sectors)
            ]
        )
        moves -= moves.mean(axis=0)
        return RadialFit(
            self.theta[:2].copy(),
            self.theta,
            self.radii,
            total,
            np.linalg.inv(matrix)[:2, :2],
            moves.T @ moves * (sectors - 1) / sectors,
            residuals,
            self.cells,
            len(self.theta) - self.head,
            self._moved(),
        )

    def _moved(self) -> float:
        if self.anchor[2] < 0:
            return 0.0
        return float(np.hypot(*(self.anchor[:2] - self.theta[:2])) - self.anchor[2])
