"""When what is trained, and how fast: sizes, frozen layers, learning rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_xfelsort.core.deep.settings import DeepSettings

#: Learning rates of the three parts of the body and of the last layer, as shares.
LAYER_SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)


@dataclass(frozen=True)
class Phase:
    """A part of a training.

    Attributes
    ----------
    size : int
        Side of the pictures.
    frozen : bool
        Whether only the last layer learns.
    """

    size: int
    frozen: bool

    def __str__(self) -> str:
        return f"{self.size} px, {'last layer' if self.frozen else 'all layers'}"


def phases(settings: DeepSettings, given: bool) -> tuple[Phase, ...]:
    """All phases in order; ``given`` says whether training starts from given weights."""
    frozen = _when(settings.freeze, given)
    return tuple(
        Phase(size, part)
        for size in settings.sizes
        for part in ((True, False) if frozen else (False,))
    )


def cycle_lengths(settings: DeepSettings) -> tuple[int, ...]:
    """Epochs of each cycle of a phase: every one is ``cycle_mult`` times the one before."""
    return tuple(settings.cycle_length * settings.cycle_mult**k for k in range(settings.cycles))


def share_done(settings: DeepSettings, epoch: int, epochs: int) -> float:
    """About which share of its time a training has taken after some of its epochs.

    Every size has as many of them, and an epoch takes the longer the more pixels pictures have.
    """
    each = max(1, epochs // len(settings.sizes))
    times = [float(size) ** 2 for size in settings.sizes for _ in range(each)]
    return min(1.0, sum(times[:epoch]) / sum(times))


def cosine_share(epoch: float, lengths: tuple[int, ...]) -> float:
    """Share of the largest learning rate after ``epoch`` epochs (a fraction of one counts).

    Half a cosine from 1 to 0 in each cycle, then again from 1 (Loshchilov & Hutter 2017).
    0 after the last.
    """
    for length in lengths:
        if epoch < length:
            return 0.5 * (1 + math.cos(math.pi * epoch / length))
        epoch -= length
    return 0.0


def layer_shares(settings: DeepSettings, given: bool) -> tuple[float, ...]:
    """Share of the learning rate that each part of the network gets."""
    return LAYER_SHARES if _when(settings.layer_rates, given) else (1.0,) * len(LAYER_SHARES)


def _when(choice: str, given: bool) -> bool:
    return given if choice == "auto" else choice == "always"
