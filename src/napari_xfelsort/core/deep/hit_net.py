"""Hits by a small network on reduced frames, after Everett & Kurth (2024).

Two convolutions of 10 x 10 and 3 x 3 pixels with group norm, largest values of the maps, one
layer; class weights, Adam, and a learning rate that falls where the loss does not. It sees
whole frames, reduced to the largest count of each block, and is here to be compared with
finders of peaks; on few frames and faint spots it is worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.networks import torch_module
from napari_xfelsort.core.errors import TrainingError
from napari_xfelsort.core.settings import Settings, setting

#: Sides of the two kernels, and groups of channels that are normalised together.
_KERNELS, _GROUPS = (10, 3), 2


@dataclass(frozen=True)
class HitNetSettings(Settings):
    """How a network of hits is made and trained."""

    block: int = setting(8, "side of the blocks of pixels", unit="pixels", minimum=1, maximum=64)
    channels: int = setting(8, "channels of the first convolution", minimum=2, maximum=256)
    epochs: int = setting(15, "times that all frames are seen", minimum=1, maximum=10000)
    batch: int = setting(16, "frames of a step", minimum=1, maximum=10000)
    learning_rate: float = setting(2e-3, "first learning rate", minimum=1e-6, maximum=1.0)
    patience: int = setting(
        2, "epochs without a lower loss before the learning rate falls", minimum=0
    )
    validation: float = setting(
        0.2, "share of the frames that the loss is watched on", minimum=0.05, maximum=0.9
    )
    seed: int = setting(0, "seed of all that is drawn", minimum=0)


@dataclass(frozen=True, eq=False)
class HitNet:
    """A network that tells hits from blanks.

    Attributes
    ----------
    settings : HitNetSettings
        How it was trained.
    tensors : mapping of str to ndarray of float32
        Its weights.
    """

    settings: HitNetSettings
    tensors: Mapping[str, NDArray[np.float32]]

    def probabilities(self, pictures: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of being a hit, of pictures (n, rows, columns) as of `blocks_of`."""
        torch = torch_module()
        tensors = {name: torch.from_numpy(values) for name, values in self.tensors.items()}
        found = [np.empty(0)]
        with torch.inference_mode():
            for start in range(0, len(pictures), self.settings.batch):
                part = torch.from_numpy(pictures[start : start + self.settings.batch])
                found.append(torch.sigmoid(_network(tensors, part).double()).numpy())
        return np.concatenate(found)


def blocks_of(
    frame: NDArray[Any], bad: NDArray[np.bool_] | None, block: int
) -> NDArray[np.float32]:
    """A frame as the logarithm of one plus the largest good count of each block.

    Parameters
    ----------
    frame : ndarray, shape (rows, columns)
        In photons.
    bad : ndarray of bool, same shape, optional
        Pixels that must not be used; NaN are not used either.
    block : int
        Side of the blocks; what is left at the end of rows and columns is not used.
    """
    rows, columns = (n // block * block for n in frame.shape)
    values = frame[:rows, :columns].astype(np.float32)
    if bad is not None:
        values[bad[:rows, :columns]] = 0.0
    values = np.nan_to_num(values, nan=0.0)
    cut = values.reshape(rows // block, block, columns // block, block)
    return np.asarray(np.log1p(np.maximum(cut.max(axis=(1, 3)), 0.0)), np.float32)


def train_hit_net(
    pictures: NDArray[np.float32],
    hits: NDArray[np.bool_],
    settings: HitNetSettings,
    progress: Callable[[int, int], None] | None = None,
) -> HitNet:
    """Train a network of hits.

    Parameters
    ----------
    pictures : ndarray of float32, shape (n, rows, columns)
        As of `blocks_of`.
    hits : ndarray of bool, shape (n,)
        Which are hits.
    settings : HitNetSettings
        How it learns.
    progress : callable, optional
        Told the epochs done, and of all.

    Raises
    ------
    TrainingError
        If there are not two hits and two blanks, or pictures are too small.
    MissingDependencyError
        If PyTorch is not installed.
    """
    if min(hits.sum(), (~hits).sum()) < 2:
        raise TrainingError("Hits and blanks are needed, two of each at least.")
    if min(pictures.shape[1:]) < 2 * sum(_KERNELS):
        raise TrainingError(
            f"Pictures of {pictures.shape[1]} x {pictures.shape[2]} pixels are too small; join "
            "fewer pixels."
        )
    torch = torch_module()
    random = np.random.default_rng((settings.seed, 21))
    order = random.permutation(len(hits))
    held = order[: max(1, round(settings.validation * len(hits)))]
    used = order[len(held) :]
    tensors = {
        name: torch.tensor(values, requires_grad=True)
        for name, values in _first_tensors(settings.channels, random).items()
    }
    optimiser = torch.optim.Adam(tensors.values(), lr=settings.learning_rate)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, patience=settings.patience)
    weight = torch.tensor(float((~hits).sum() / hits.sum()))
    truth = torch.from_numpy(hits.astype(np.float32))
    best, kept = math.inf, _arrays(tensors)

    def loss_of(own: NDArray[np.int64]) -> Any:
        scores = _network(tensors, torch.from_numpy(pictures[own]))
        return torch.nn.functional.binary_cross_entropy_with_logits(
            scores, truth[torch.from_numpy(own)], pos_weight=weight
        )

    for epoch in range(settings.epochs):
        shuffled = random.permutation(used)
        for start in range(0, len(shuffled), settings.batch):
            loss = loss_of(shuffled[start : start + settings.batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.inference_mode():
            losses = [
                loss_of(held[k : k + settings.batch]).item() * len(held[k : k + settings.batch])
                for k in range(0, len(held), settings.batch)
            ]
        mean = sum(losses) / len(held)
        plateau.step(mean)
        if mean < best:
            best, kept = mean, _arrays(tensors)
        if progress is not None:
            progress(epoch + 1, settings.epochs)
    return HitNet(settings, kept)


def _first_tensors(channels: int, random: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    tensors = {}
    before = 1
    for k, side in enumerate(_KERNELS):
        after = channels * (k + 1)
        spread = math.sqrt(2.0 / (before * side * side))
        tensors[f"conv{k}.weight"] = spread * random.standard_normal((after, before, side, side))
        tensors[f"conv{k}.bias"] = np.zeros(after)
        tensors[f"norm{k}.weight"], tensors[f"norm{k}.bias"] = np.ones(after), np.zeros(after)
        before = after
    tensors["last.weight"] = random.standard_normal((1, 2 * before)) / math.sqrt(2 * before)
    tensors["last.bias"] = np.zeros(1)
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def _network(tensors: Mapping[str, Any], pictures: Any) -> Any:
    """Log-odds of pictures (n, rows, columns)."""
    torch = torch_module()
    function = torch.nn.functional
    maps = pictures[:, None]
    for k in range(len(_KERNELS)):
        stride = 2 if k == 0 else 1
        maps = function.conv2d(
            maps, tensors[f"conv{k}.weight"], tensors[f"conv{k}.bias"], stride=stride
        )
        maps = function.group_norm(
            maps, _GROUPS, tensors[f"norm{k}.weight"], tensors[f"norm{k}.bias"]
        )
        maps = function.max_pool2d(torch.relu(maps), 2)
    together = torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], dim=1)
    return (together @ tensors["last.weight"].T + tensors["last.bias"])[:, 0]


def _arrays(tensors: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}
