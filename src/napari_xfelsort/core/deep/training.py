"""Training of networks: sizes one after the other, restarts, early stopping, thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xfelsort.core.anomalies.metrics import best_threshold, evaluate_labels
from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.anomalies.training import LEAST, validation_events
from napari_xfelsort.core.deep.augmentation import augmented
from napari_xfelsort.core.deep.model import DeepModel, network_probabilities
from napari_xfelsort.core.deep.networks import (
    PARTS,
    Network,
    device_of,
    is_parameter,
    part_of,
    torch_module,
)
from napari_xfelsort.core.deep.pictures import all_pictures, normalised, reduced
from napari_xfelsort.core.deep.schedule import (
    Phase,
    cosine_share,
    cycle_lengths,
    layer_shares,
    phases,
)
from napari_xfelsort.core.deep.settings import DeepSettings
from napari_xfelsort.core.deep.weights import first_tensors
from napari_xfelsort.core.errors import TrainingError

#: Positive events of a rare class count at most this many times as much.
_MOST_WEIGHT = 10.0
_LAST = len(PARTS) - 1
#: Asked before each step; true ends training with the best weights so far.
Stop = Callable[[], bool]


@dataclass(frozen=True)
class TrainingStep:
    """An epoch that is over.

    Attributes
    ----------
    epoch, epochs : int
        Epochs done, and in all if none stops early.
    phase : Phase
        Size and frozen layers.
    training_loss, validation_loss : float
        Mean binary cross-entropy.
    """

    epoch: int
    epochs: int
    phase: Phase
    training_loss: float
    validation_loss: float


#: Told each epoch; may raise to end training without a model.
Progress = Callable[[TrainingStep], None]


def train_deep(
    frames: Any,
    labels: ArrayLike,
    settings: DeepSettings | None = None,
    centers: ArrayLike | None = None,
    masks: Any = None,
    class_names: Sequence[str] = ANOMALIES,
    groups: ArrayLike | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> DeepModel:
    """Train a network on frames; events without a picture are left out.

    Parameters
    ----------
    frames, centers, masks
        As of `pictures_of`; one frame is read at a time, its picture is kept as bytes.
    labels : array_like of bool, shape (events, classes)
        Which anomalies each event has; several or none.
    settings, class_names, groups, progress, stop
        As of `train_on_pictures`.

    Raises
    ------
    TrainingError, SettingsError, MissingDependencyError
        As `train_on_pictures`, and where frames do not fit the labels.
    """
    chosen = settings or DeepSettings()
    torch_module()  # told before frames are read
    truth = np.asarray(labels).astype(bool)
    pictures, made = all_pictures(frames, len(truth), chosen, centers, masks)
    number = None if groups is None else np.asarray(groups)[made]
    if not made.all():
        pictures, truth = pictures[made], truth[made]
    return train_on_pictures(pictures, truth, chosen, class_names, number, progress, stop)


def train_on_pictures(
    pictures: NDArray[np.uint8],
    labels: ArrayLike,
    settings: DeepSettings,
    class_names: Sequence[str] = ANOMALIES,
    groups: ArrayLike | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> DeepModel:
    """Train a network on pictures.

    For each size, and frozen or not, training goes through all cycles of the learning rate and
    ends early where the loss on the validation share stays; the next goes on from the weights
    with the smallest loss. Thresholds make F1 on the validation share as large as can be.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (events, picture_size, picture_size)
        As of `picture_of`.
    labels : array_like of bool, shape (events, classes)
        Which anomalies each event has; several or none.
    settings : DeepSettings
        All that can be chosen.
    class_names : sequence of str
        Of the columns of labels.
    groups : array_like of int, shape (events,), optional
        File or run of each event, kept on one side; each event is one when omitted.
    progress : callable, optional
        Called with a `TrainingStep` after each epoch.
    stop : callable, optional
        Asked before each step; true ends training with the best weights so far.

    Raises
    ------
    TrainingError
        If shapes do not agree, a class has too few events, training was stopped before its
        first epoch, weights do not fit, or the loss is no number any more.
    MissingDependencyError
        If PyTorch is not installed, or has no CUDA and is asked for it.
    """
    device = device_of(settings.device)
    truth, number = _checked(pictures, labels, class_names, groups, settings)
    held = validation_events(truth, number, settings.validation_share, settings.seed)
    tensors, given, sentence = first_tensors(settings, len(class_names))
    with _repeatable(device):
        network = Network(settings.architecture, tensors, device)
        trainer = _Trainer(network, settings, truth, held, given, progress, stop)
        small = pictures
        for phase in phases(settings, given):
            if small.ndim != 4 or small.shape[-1] != phase.size:
                small = reduced(pictures, phase.size, settings.channels)
            if not trainer.run(small, phase):
                break
        if trainer.trained == 0:
            raise TrainingError("Training was stopped before its first epoch; there is no model.")
        seen = reduced(pictures[held], settings.size, settings.channels)
        scores = _scores(network, seen, settings.batch_size)
    thresholds = np.array(
        [best_threshold(truth[held, k], scores[:, k])[0] for k in range(len(class_names))]
    )
    return DeepModel(
        tuple(class_names),
        settings,
        network.arrays(),
        thresholds,
        evaluate_labels(truth[held], scores >= thresholds, class_names, scores),
        {
            "weights": sentence,
            "epochs": trainer.trained,
            "events": len(truth),
            "stopped": trainer.stopped,
            "torch": str(torch_module().__version__),
        },
    )


class _Trainer:
    """Goes through phases; keeps the weights with the smallest validation loss of each."""

    def __init__(
        self,
        network: Network,
        settings: DeepSettings,
        truth: NDArray[np.bool_],
        held: NDArray[np.bool_],
        given: bool,
        progress: Progress | None,
        stop: Stop | None,
    ) -> None:
        torch = torch_module()
        self.network, self.settings, self.progress = network, settings, progress
        self.stop = stop or (lambda: False)
        self.stopped, self.trained, self.passed = False, 0, 0
        self.learn, self.check = np.flatnonzero(~held), np.flatnonzero(held)
        self.random = np.random.default_rng((settings.seed, 1))
        self.generator = torch.Generator(device=self._device).manual_seed(settings.seed)
        self.truth = torch.tensor(truth, dtype=torch.float32, device=self._device)
        self.shares = layer_shares(settings, given)
        self.lengths = cycle_lengths(settings)
        self.epochs = sum(self.lengths) * len(phases(settings, given))
        weights = np.ones(truth.shape[1])
        if settings.class_weight == "balanced":
            there = truth[self.learn].sum(axis=0)
            weights = np.clip((len(self.learn) - there) / there, 1 / _MOST_WEIGHT, _MOST_WEIGHT)
        self.weights = torch.tensor(weights, dtype=torch.float32, device=self._device)

    @property
    def _device(self) -> Any:
        return self.network.tensors["conv1.weight"].device

    def run(self, pictures: NDArray[np.uint8], phase: Phase) -> bool:
        """One phase; false when training is to end."""
        optimizer = self._optimizer(phase)
        best, best_loss, since = self.network.arrays(), np.inf, 0
        for epoch in range(sum(self.lengths)):
            loss = self._epoch(pictures, phase, optimizer, epoch)
            if loss is None:
                self.stopped = True
                break
            seen = self._validation_loss(pictures)
            self.trained += 1
            since += 1
            if seen < best_loss:
                best, best_loss, since = self.network.arrays(), seen, 0
            if self.progress is not None:
                told = self.passed + epoch + 1
                self.progress(TrainingStep(told, self.epochs, phase, loss, seen))
            if since >= self.settings.patience:
                break
        self.passed += sum(self.lengths)
        self._restore(best)
        return not self.stopped

    def _optimizer(self, phase: Phase) -> Any:
        """Of what may learn in a phase; the rest is held fixed."""
        groups: list[dict[str, Any]] = [{"params": [], "share": s} for s in self.shares]
        for name, tensor in self.network.tensors.items():
            learns = is_parameter(name) and (not phase.frozen or part_of(name) == _LAST)
            tensor.requires_grad_(learns)
            if learns:
                groups[part_of(name)]["params"].append(tensor)
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        used = [group for group in groups if group["params"]]
        return torch_module().optim.AdamW(used, lr=rate, weight_decay=decay)

    def _epoch(
        self, pictures: NDArray[np.uint8], phase: Phase, optimizer: Any, epoch: int
    ) -> float | None:
        """Mean loss of an epoch; None when it was stopped."""
        torch = torch_module()
        order = self.random.permutation(self.learn)
        size = self.settings.batch_size
        # A batch of one has no variance.
        starts = [k for k in range(0, len(order), size) if len(order) - k > 1]
        total = 0.0
        for step, start in enumerate(starts):
            if self.stop():
                return None
            share = cosine_share(epoch + step / len(starts), self.lengths)
            for group in optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * share * group["share"]
            events = np.sort(order[start : start + size])
            values = normalised(augmented(pictures[events], self.settings, self.random))
            batch = torch.from_numpy(values).to(self._device)
            with torch.no_grad() if phase.frozen else nullcontext():
                maps = self.network.features(batch, learning=not phase.frozen)
            loss = self._loss(self._dropped(maps.mean((2, 3))), events)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach())
        if not np.isfinite(total):
            raise TrainingError(
                "The loss is no number any more; train with a smaller learning rate than "
                f"{self.settings.learning_rate:g}."
            )
        return total / len(starts)

    def _dropped(self, features: Any) -> Any:
        """Features of which a share is left out, by chance that the seed decides."""
        torch, share = torch_module(), self.settings.dropout
        if not share:
            return features
        chance = torch.rand(features.shape, generator=self.generator, device=features.device)
        return features * (chance >= share) / (1 - share)

    def _loss(self, features: Any, events: NDArray[np.intp]) -> Any:
        from torch.nn import functional

        return functional.binary_cross_entropy_with_logits(
            self.network.logits(features),
            self.truth[torch_module().from_numpy(events)],
            pos_weight=self.weights,
        )

    def _validation_loss(self, pictures: NDArray[np.uint8]) -> float:
        """With the weights of classes that training has."""
        found = _scores(self.network, pictures, self.settings.batch_size, self.check)
        truth = self.truth.cpu().numpy()[self.check]
        weights = self.weights.cpu().numpy()
        found = np.clip(found, 1e-12, 1 - 1e-12)
        each = -(weights * truth * np.log(found) + (1 - truth) * np.log(1 - found))
        return float(each.mean())

    def _restore(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        torch = torch_module()
        with torch.no_grad():
            for name, values in arrays.items():
                self.network.tensors[name].copy_(torch.from_numpy(values))


def _scores(
    network: Network,
    pictures: NDArray[np.uint8],
    batch: int,
    events: NDArray[np.intp] | None = None,
) -> NDArray[np.float64]:
    wanted = np.arange(len(pictures)) if events is None else events
    parts = [
        network_probabilities(network, pictures[wanted[start : start + batch]])
        for start in range(0, len(wanted), batch)
    ]
    return np.concatenate(parts)


def _repeatable(device: str) -> AbstractContextManager[Any]:
    """Same sums every time, also on a GPU."""
    if device == "cpu":
        return nullcontext()
    flags = torch_module().backends.cudnn.flags
    context: AbstractContextManager[Any] = flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return context


def _checked(
    pictures: NDArray[np.uint8],
    labels: ArrayLike,
    class_names: Sequence[str],
    groups: ArrayLike | None,
    settings: DeepSettings,
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    truth = np.asarray(labels).astype(bool)
    n, side = len(truth), settings.picture_size
    if truth.ndim != 2 or truth.shape[1] != len(class_names) or not len(class_names):
        raise TrainingError(
            f"Labels of shape {truth.shape} do not fit {len(class_names)} classes."
        )
    if pictures.shape != (n, side, side) or pictures.dtype != np.uint8:
        raise TrainingError(
            f"Pictures of shape {pictures.shape} and type {pictures.dtype} do not fit {n} "
            f"labelled events and the picture size {side}."
        )
    number = np.arange(n) if groups is None else np.asarray(groups, np.int64)
    if number.shape != (n,):
        raise TrainingError(f"Groups of shape {number.shape} do not fit {n} labelled events.")
    for name, count in zip(class_names, truth.sum(axis=0).tolist(), strict=True):
        if count < LEAST or n - count < LEAST:
            raise TrainingError(
                f"The class {name!r} has {count} of {n} labelled events; at least {LEAST} must "
                f"have it and {LEAST} must not."
            )
    return truth, number
