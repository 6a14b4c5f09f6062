"""Training of the network of the learned peak finder, on simulated frames."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.networks import torch_module
from napari_xfelsort.core.deep.peak_net import APART, PeakNet, tensor_shapes
from napari_xfelsort.core.deep.peak_samples import (
    FAINT,
    FINDABLE,
    Progress,
    Samples,
)
from napari_xfelsort.core.deep.peak_settings import PeakTrainingSettings
from napari_xfelsort.core.deep.schedule import cosine_share
from napari_xfelsort.core.errors import TrainingError
from napari_xfelsort.core.peaks.summits import parts_of_others

#: Fewest spots that a network can be trained on.
_FEWEST = 20


def train_on_samples(
    samples: Samples, settings: PeakTrainingSettings, steps: Progress | None = None
) -> PeakNet:
    """Train a network of peaks on places of simulated frames.

    The last runs are not trained on: the cut is chosen there, and the network judged.

    Parameters
    ----------
    samples : Samples
        As `simulated_samples` makes them with the same settings.
    settings : PeakTrainingSettings
        How the network learns.
    steps : callable, optional
        Told the steps done, and of all.

    Raises
    ------
    TrainingError
        If there are too few spots in the frames, or the training goes astray.
    MissingDependencyError
        If PyTorch is not installed.
    """
    own = settings.runs - max(1, round(settings.validation * settings.runs))
    trained, held = samples.part(samples.run < own), samples.part(samples.run >= own)
    for name, part in (("trained on", trained), ("kept for the choice of the cut", held)):
        spots = int((part.significance > FINDABLE).sum())
        if spots < _FEWEST:
            raise TrainingError(
                f"There are {spots} spots in the frames that are {name}; at least {_FEWEST} are "
                "needed. Simulate more events or larger crystals."
            )
    started = time.process_time()
    tensors = _fitted(trained, settings, steps)
    net = PeakNet(settings, tensors, 0.0)
    scores = net.scores(held.patches, held.facts)
    n_events = (settings.runs - own) * settings.events
    cut = _cut(held, scores, settings.false_peaks * n_events)
    provenance = {
        "trained_on": "simulated frames",
        "places": len(trained.significance),
        "spots": int((trained.significance > FINDABLE).sum()),
        "events": own * settings.events,
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    metrics = _metrics(held, scores, cut) | {"events": n_events}
    return PeakNet(settings, tensors, cut, metrics, provenance)


def targets(
    samples: Samples, faint_weight: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the network should say of each place, and how much the place counts.

    A spot that can be found counts fully, a fainter one less; what is unsure not at all.
    All other places are none, whatever they are: noise, hot pixels, streaks, rings, the
    outskirts of spots.
    """
    truth = (samples.significance > FAINT).astype(np.float32)
    weight = np.where(samples.significance > FINDABLE, 1.0, np.where(truth > 0, faint_weight, 1.0))
    weight[samples.unsure] = 0.0
    return truth, weight.astype(np.float32)


def network(tensors: Mapping[str, Any], patches: Any, facts: Any) -> Any:
    """Log-odds of places with PyTorch; patches (places, channels, rows, columns)."""
    torch = torch_module()
    images = patches
    for k, apart in enumerate(APART):
        weight, bias = tensors[f"conv{k}.weight"], tensors[f"conv{k}.bias"]
        images = torch.relu(torch.nn.functional.conv2d(images, weight, bias, dilation=apart))
    together = torch.cat([images[:, :, 0, 0], facts], dim=1)
    hidden = torch.relu(together @ tensors["hidden.weight"].T + tensors["hidden.bias"])
    return (hidden @ tensors["last.weight"].T + tensors["last.bias"])[:, 0]


def _first_tensors(settings: PeakTrainingSettings) -> dict[str, NDArray[np.float32]]:
    """Weights that have learned nothing (He et al. 2015)."""
    random = np.random.default_rng((settings.seed, 7))
    tensors = {}
    for name, shape in tensor_shapes(settings.channels).items():
        values = np.zeros(shape)
        if name.endswith("weight"):
            values = random.standard_normal(shape) * math.sqrt(2.0 / math.prod(shape[1:]))
        tensors[name] = values.astype(np.float32)
    return tensors


def _fitted(
    samples: Samples, settings: PeakTrainingSettings, steps: Progress | None
) -> dict[str, NDArray[np.float32]]:
    torch = torch_module()
    truth, weight = targets(samples, settings.faint_weight)
    used = np.flatnonzero(weight > 0)
    random = np.random.default_rng((settings.seed, 8))
    tensors = {
        name: torch.tensor(values, requires_grad=True)
        for name, values in _first_tensors(settings).items()
    }
    rate = settings.learning_rate
    optimiser = torch.optim.AdamW(tensors.values(), lr=rate, weight_decay=settings.weight_decay)
    batch = min(settings.batch, len(used))
    each = len(used) // batch
    told = _told(steps, settings.epochs * each)
    for epoch in range(settings.epochs):
        order = random.permutation(used)
        for k in range(each):
            share = cosine_share(epoch + k / each, (settings.epochs,))
            for group in optimiser.param_groups:
                group["lr"] = rate * share
            own = order[k * batch : (k + 1) * batch]
            patches = turned(samples.patches[own], int(random.integers(8)))
            scores = network(
                tensors, torch.from_numpy(patches), torch.from_numpy(samples.facts[own])
            )
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                scores, torch.from_numpy(truth[own]), torch.from_numpy(weight[own])
            )
            if not math.isfinite(loss.item()):
                raise TrainingError("The training went astray; choose a lower learning rate.")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            told(epoch * each + k + 1)
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}


def turned(patches: NDArray[np.float32], which: int) -> NDArray[np.float32]:
    """One of the eight turns and mirrors of patches, with their channels in front."""
    own = np.rot90(patches, which % 4, axes=(1, 2))
    own = own[:, :, ::-1] if which >= 4 else own
    return np.ascontiguousarray(own.transpose(0, 3, 1, 2))


def _told(steps: Progress | None, total: int) -> Callable[[int], None]:
    def tell(done: int) -> None:
        if steps is not None:
            steps(done, total)

    return tell


def _peaks(samples: Samples, scores: NDArray[np.float64], cut: float) -> NDArray[np.bool_]:
    """Which places are peaks: those above the cut that are not parts of others."""
    chosen = np.zeros(len(scores), bool)
    above = np.flatnonzero(scores >= cut)
    for event in np.unique(samples.event[above]):
        own = above[samples.event[above] == event]
        own = own[np.argsort(-samples.table[own, 2], kind="stable")]
        chosen[own[~parts_of_others(samples.table[own])]] = True
    return chosen


def _cut(samples: Samples, scores: NDArray[np.float64], most: float) -> float:
    """Least log-odds at which no more places are false than this in all; at least 0."""
    false = (samples.significance <= 0) & ~samples.unsure
    for cut in np.arange(0.0, 12.0, 0.1):
        if (_peaks(samples, scores, float(cut)) & false).sum() <= most:
            return round(float(cut), 1)
    return 12.0


def _metrics(samples: Samples, scores: NDArray[np.float64], cut: float) -> dict[str, Any]:
    """Of places: what share of the spots, and how many false peaks."""
    peaks = _peaks(samples, scores, cut)
    wanted = samples.significance > FINDABLE
    false = peaks & (samples.significance <= 0) & ~samples.unsure
    found = int((peaks & wanted).sum())
    return {
        "spots": int(wanted.sum()),
        "found": found,
        "recall": round(found / max(1, int(wanted.sum())), 4),
        "false_peaks": int(false.sum()),
        "precision": round(found / max(1, found + int(false.sum())), 4),
    }
