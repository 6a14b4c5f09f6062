"""Training of networks of single hits: batches, schedule, what is kept for a stop."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.networks import device_of, torch_module
from napari_xfelsort.core.deep.spi_augmentation import SpiAugmenter, SpiChanges
from napari_xfelsort.core.deep.spi_kept import KeptStates, TrainingState
from napari_xfelsort.core.deep.spi_layout import PictureLayout, flips
from napari_xfelsort.core.deep.spi_model import networks_softmax, standardised
from napari_xfelsort.core.deep.spi_resnet import SpiNetwork, Tensors, new_spi_tensors
from napari_xfelsort.core.deep.spi_rings import SpiRings, n_ring_statistics
from napari_xfelsort.core.deep.spi_settings import EPOCH_STEPS, SpiNetworkSettings, SpiRecipe
from napari_xfelsort.core.errors import TrainingError

Floats = NDArray[np.float32]
#: Told epochs done and in all, of all networks; may raise to stop.
Progress = Callable[[int, int], None]

#: Share of the training events that are taken for background, the dimmest ones.
_DIMMEST = 0.1
#: Seconds after which what is trained so far is kept again.
_KEEP_SECONDS = 20.0
#: Steps that are timed for an estimate, after one that is not.
_TIMED_STEPS = 3


@dataclass(frozen=True, eq=False)
class SpiData:
    """What networks are trained on.

    Attributes
    ----------
    pictures : ndarray of float32, shape (events, rows, columns)
        Mean values.
    single : ndarray of bool, shape (events,)
        Which are to be chosen.
    part : ndarray of int, shape (events,)
        The part of each; network k is not shown part k.
    layout : PictureLayout
    photon : float
        What a photon counts.
    """

    pictures: Floats
    single: NDArray[np.bool_]
    part: NDArray[np.int64]
    layout: PictureLayout
    photon: float


@dataclass(frozen=True, eq=False)
class SpiTrained:
    """Trained networks.

    Attributes
    ----------
    tensors : dict of str to ndarray of float32, shape (networks, ...)
    out_of_part : ndarray, shape (events, 2)
        Probabilities of each event by the network that has not seen it.
    mean, sd : float
        Of what is seen.
    mirrors : str
    epochs : list of int
        Epochs of each network.
    """

    tensors: Tensors
    out_of_part: NDArray[np.float64]
    mean: float
    sd: float
    mirrors: str
    epochs: list[int]


class SpiTrainer:
    """Trains one network after another.

    Parameters
    ----------
    data : SpiData
        The training share.
    settings : SpiNetworkSettings
        How.
    seed : int
        Equal input and seed give equal networks on one device.
    folder : Path, optional
        Where what is trained so far is kept; by default in the user's cache.

    Attributes
    ----------
    recipe : SpiRecipe
        As the settings have it; without rings where the beam is not known and the settings
        do not ask for them.

    Raises
    ------
    RegionError
        If the settings ask for rings and the beam is not known.
    TrainingError
        If all pictures are the same everywhere.
    """

    def __init__(
        self,
        data: SpiData,
        settings: SpiNetworkSettings,
        seed: int = 0,
        folder: Path | None = None,
    ) -> None:
        self.data, self.settings, self.seed = data, settings, seed
        self.device = device_of(settings.device)
        layout = data.layout
        self.recipe: SpiRecipe = settings.recipe_for(self.device != "cpu")
        if settings.rings is None and layout.beam is None:
            self.recipe = replace(self.recipe, rings=False)
        self.low = low_precision(settings.precision, self.device)
        self.mirrors = layout.mirrors() if settings.mirrors == "auto" else settings.mirrors
        self.mean, self.sd = seen_moments(data.pictures, layout, self.recipe.root)
        self.rings: SpiRings | None = None
        if self.recipe.rings:
            self.rings = SpiRings(layout, data.photon, self.recipe.root, self.mean, self.sd)
        self.augmenter = self._augmenter()
        self.parts = np.unique(data.part).tolist()
        self._kept = KeptStates(self._key(), folder) if settings.resume else None

    def run(self, progress: Progress | None = None) -> SpiTrained:
        """Train all networks, or go on where an earlier run was stopped.

        Raises
        ------
        TrainingError
            If the loss becomes infinite.
        """
        told = progress or (lambda done, total: None)
        total = self.recipe.epochs * len(self.parts)
        found = np.full((len(self.data.part), 2), np.nan)
        trained: list[Tensors] = []
        epochs = []
        with one_speed(self.device):
            for number, part in enumerate(self.parts):

                def tell(done: int, before: int = number * self.recipe.epochs) -> None:
                    told(before + done, total)

                tensors, done = self._network(number, part, tell)
                network = self._made(tensors)
                held = np.flatnonzero(self.data.part == part)
                found[held] = self._softmax(network, held, flips(self.mirrors))
                trained.append(tensors)
                epochs.append(done)
        told(total, total)
        if self._kept is not None:
            self._kept.forget(len(self.parts))
        joined = {name: np.stack([own[name] for own in trained]) for name in trained[0]}
        return SpiTrained(joined, found, self.mean, self.sd, self.mirrors, epochs)

    def seconds(self) -> float:
        """How long training is going to take, measured on a few steps."""
        with one_speed(self.device):
            network = self._made(self._new(0))
            optimizer = self._optimizer(network)
            rows = np.arange(len(self.data.part))
            self._steps(network, optimizer, rows, np.random.default_rng(0), 1)
            begin = time.perf_counter()
            self._steps(network, optimizer, rows, np.random.default_rng(0), _TIMED_STEPS)
            a_step = (time.perf_counter() - begin) / _TIMED_STEPS
        return a_step * EPOCH_STEPS * self.recipe.epochs * len(self.parts)

    def _network(self, number: int, part: int, told: Callable[[int], None]) -> tuple[Tensors, int]:
        """Tensors of one network, and its epochs."""
        state = None if self._kept is None else self._kept.read(number)
        if state is not None and state.done:
            told(self.recipe.epochs)
            return state.best, state.epoch
        network = self._made(state.tensors if state else self._new(number))
        optimizer = self._optimizer(network)
        if state is not None:
            self._put_moments(network, optimizer, state)
        epoch = state.epoch if state else 0
        best, best_loss, since = (
            (state.best, state.best_loss, state.since) if state else ({}, np.inf, 0)
        )
        rows = np.flatnonzero(self.data.part != part)
        held = np.flatnonzero(self.data.part == part)
        kept_at = time.monotonic()
        patience = self.recipe.patience
        told(epoch)
        while epoch < self.recipe.epochs and not (patience and since >= patience):
            for group in optimizer.param_groups:
                group["lr"] = self.recipe.rate_at(epoch)
            random = np.random.default_rng((self.seed, number, epoch))
            loss = self._steps(network, optimizer, rows, random, EPOCH_STEPS)
            if not np.isfinite(loss):
                raise TrainingError(
                    "The loss is no number any more; train with a smaller rate than "
                    f"{self.recipe.rate:g}."
                )
            epoch += 1
            if patience:
                seen = self._held_loss(network, held)
                since += 1
                if seen < best_loss:
                    best, best_loss, since = network.arrays(), seen, 0
            if self._kept is not None and time.monotonic() - kept_at > _KEEP_SECONDS:
                moments = self._moments(network, optimizer)
                self._kept.write(
                    number, TrainingState(network.arrays(), best, moments, epoch, best_loss, since)
                )
                kept_at = time.monotonic()
            told(epoch)
        tensors = best or network.arrays()
        if self._kept is not None:
            self._kept.write(number, TrainingState({}, tensors, {}, epoch, best_loss, since, True))
        return tensors, epoch

    def _steps(
        self,
        network: SpiNetwork,
        optimizer: Any,
        rows: NDArray[np.intp],
        random: np.random.Generator,
        steps: int,
    ) -> float:
        """Some steps; their mean loss."""
        torch = torch_module()
        from torch.nn import functional

        weights = torch.tensor(self.recipe.weights, dtype=torch.float32, device=self.device)
        total = 0.0
        for _ in range(steps):
            drawn = draw(self.data.single, rows, self.recipe, random)
            values = self.augmenter.batch(self.data.pictures[drawn], random)
            batch = torch.from_numpy(values[:, np.newaxis]).to(self.device)
            beside = None
            if self.rings is not None:
                beside = torch.from_numpy(self.rings.of(values)).to(self.device)
            truth = torch.from_numpy(self.data.single[drawn].astype(np.int64)).to(self.device)
            with torch.autocast(self.device, torch.bfloat16, enabled=self.low):
                said = network.judgements(batch, beside, learning=True)
            # Each learns by itself: joined before, they lean on each other and fail together.
            loss = sum(functional.cross_entropy(each.float(), truth, weights) for each in said)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach())
        return total / steps

    def _held_loss(self, network: SpiNetwork, held: NDArray[np.intp]) -> float:
        """Loss on the part left out, both kinds counting as much as in training."""
        found = np.clip(self._softmax(network, held), 1e-12, 1)
        single = self.data.single[held]
        share = self.recipe.drawn_share
        weights = self.recipe.weights
        parts = [
            (weights[0] * (1 - share), -np.log(found[~single, 0])),
            (weights[1] * share, -np.log(found[single, 1])),
        ]
        return float(sum(weight * each.mean() for weight, each in parts if len(each)))

    def _softmax(
        self,
        network: SpiNetwork,
        rows: NDArray[np.intp],
        all_flips: tuple[tuple[int, ...], ...] = ((),),
    ) -> NDArray[np.float64]:
        layout, root = self.data.layout, self.recipe.root
        found = [np.empty((0, 2))]
        for k in range(0, len(rows), 64):
            part = self.data.pictures[rows[k : k + 64]]
            seen = standardised(part, layout, root, self.mean, self.sd)
            found.append(networks_softmax([network], seen, all_flips, self.rings))
        return np.concatenate(found)

    def _augmenter(self) -> SpiAugmenter:
        data, layout = self.data, self.data.layout
        photons = (layout.pixels / np.float32(data.photon)).astype(np.float32)
        n = max(1, int(_DIMMEST * len(data.pictures)))
        dimmest = np.argsort(data.pictures.mean(axis=(1, 2)), kind="stable")[:n]
        background = data.pictures[dimmest].mean(axis=0) * photons
        middle = ((layout.shape[0] - 1) / 2, (layout.shape[1] - 1) / 2)

        def see(pictures: Floats) -> Floats:
            return standardised(pictures, layout, self.recipe.root, self.mean, self.sd)

        return SpiAugmenter(
            SpiChanges().times(self.settings.strength),
            see,
            photons,
            background.astype(np.float64),
            layout.beam or middle,
            flips(self.mirrors),
        )

    def _new(self, number: int) -> Tensors:
        layout = self.data.layout
        beside = n_ring_statistics(layout) if self.recipe.rings else 0
        seed = (self.seed, number, 2**32)
        return new_spi_tensors(self.recipe.architecture, layout.shape, seed, beside)

    def _made(self, tensors: Tensors) -> SpiNetwork:
        shape = self.data.layout.shape
        return SpiNetwork(self.recipe.architecture, shape, tensors, self.device)

    def _optimizer(self, network: SpiNetwork) -> Any:
        return torch_module().optim.Adam(network.parameters(), lr=self.recipe.rate)

    def _moments(self, network: SpiNetwork, optimizer: Any) -> Tensors:
        found: Tensors = {}
        for name, tensor in network.tensors.items():
            state = optimizer.state.get(tensor)
            for key in ("exp_avg", "exp_avg_sq", "step") if state else ():
                found[f"{key}:{name}"] = np.array(state[key].cpu().numpy(), np.float32, order="C")
        return found

    def _put_moments(self, network: SpiNetwork, optimizer: Any, state: TrainingState) -> None:
        torch = torch_module()
        for name, tensor in network.tensors.items():
            if f"step:{name}" not in state.moments:
                continue
            own = optimizer.state[tensor]
            own["step"] = torch.from_numpy(state.moments[f"step:{name}"])
            for key in ("exp_avg", "exp_avg_sq"):
                values = torch.zeros_like(tensor)
                values.copy_(torch.from_numpy(state.moments[f"{key}:{name}"]))
                own[key] = values.detach()

    def _key(self) -> str:
        """Of all that training depends on."""
        data, digest = self.data, hashlib.sha256()
        what = {
            "recipe": self.recipe.to_dict(),
            "settings": self.settings.to_dict(),
            "seed": self.seed,
            "device": self.device,
            "low": self.low,
            "torch": str(torch_module().__version__),
            "photon": data.photon,
            "shape": list(data.layout.shape),
        }
        digest.update(json.dumps(what, sort_keys=True).encode())
        for array in (data.pictures, data.single, data.part, data.layout.pixels):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:32]


def draw(
    single: NDArray[np.bool_],
    rows: NDArray[np.intp],
    recipe: SpiRecipe,
    random: np.random.Generator,
) -> NDArray[np.intp]:
    """Rows of a batch, drawn with replacement; a share of them of single hits by chance."""
    wanted = random.random(recipe.batch) < recipe.drawn_share
    known = single[rows]
    ones, others = rows[known], rows[~known]
    return np.where(
        wanted,
        ones[random.integers(len(ones), size=recipe.batch)],
        others[random.integers(len(others), size=recipe.batch)],
    )


def low_precision(choice: str, device: str) -> bool:
    """Whether training multiplies numbers of the type bfloat16."""
    if choice != "auto":
        return choice == "bfloat16"
    torch = torch_module()
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported())
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in known)


def seen_moments(pictures: Floats, layout: PictureLayout, root: bool) -> tuple[float, float]:
    """Mean and standard deviation of what is seen in all cells with pixels.

    Raises
    ------
    TrainingError
        If all of it is the same.
    """
    total = square = 0.0
    n = 0
    for k in range(0, len(pictures), 256):
        seen = pictures[k : k + 256][:, layout.covered].astype(np.float64)
        if root:
            seen = np.sqrt(np.maximum(seen, 0))
        total, square, n = total + seen.sum(), square + (seen**2).sum(), n + seen.size
    mean = total / n
    sd = float(np.sqrt(max(square / n - mean * mean, 0)))
    if not sd > 0:
        raise TrainingError("All pictures are the same everywhere; there is nothing to learn.")
    return float(mean), sd


def one_speed(device: str) -> AbstractContextManager[Any]:
    """Same sums every time, also on a GPU."""
    if device == "cpu":
        return nullcontext()
    context: AbstractContextManager[Any] = torch_module().backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return context
