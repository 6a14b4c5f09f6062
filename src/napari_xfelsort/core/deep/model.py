"""A trained network with all that is needed to apply it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xfelsort.core.deep.networks import Network, device_of, torch_module
from napari_xfelsort.core.deep.pictures import (
    in_batches,
    normalised,
    picture_of,
    pictures_of,
    reduced,
)
from napari_xfelsort.core.deep.settings import DeepSettings
from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.representations import polar_reach

_BATCH = 32


@dataclass(frozen=True, eq=False)
class DeepModel:
    """A network that tells anomalies.

    Attributes
    ----------
    class_names : tuple of str
        The anomalies, in the order of the columns of probabilities.
    settings : DeepSettings
        How it was trained; representation, picture size and network are needed to apply it.
    tensors : mapping of str to ndarray of float32
        Weights, and running means and variances.
    thresholds : ndarray, shape (classes,)
        Probability from which on an event has the class.
    metrics : dict
        `evaluate_labels` of the validation share, which has ended training and chosen
        thresholds and so is judged too well.
    provenance : dict
        What it was made from, for people.
    """

    class_names: tuple[str, ...]
    settings: DeepSettings
    tensors: Mapping[str, NDArray[np.float32]]
    thresholds: NDArray[np.float64]
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def predict(
        self,
        frames: Any,
        centers: ArrayLike | None = None,
        masks: Any = None,
        device: str = "auto",
    ) -> NDArray[np.float64]:
        """Probabilities (events, classes); NaN where an event has no picture.

        Parameters
        ----------
        frames : iterable of ndarray, shape (rows, columns), or EventStack
            Assembled frames; few are held at once.
        centers, masks
            As of `pictures_of`.
        device : str
            ``auto``, ``cpu`` or ``cuda``.

        Raises
        ------
        SettingsError
            If the network sees unrolled pictures and no centres are given.
        MissingDependencyError
            If PyTorch is not installed.
        """
        network = self._network(device)
        rows = [np.empty((0, len(self.class_names)))]
        for batch in in_batches(pictures_of(frames, self.settings, centers, masks), _BATCH):
            result = np.full((len(batch), len(self.class_names)), np.nan)
            known = [k for k, picture in enumerate(batch) if picture is not None]
            there = [picture for picture in batch if picture is not None]
            if there:
                small = reduced(np.stack(there), self.settings.size, self.settings.channels)
                result[known] = network_probabilities(network, small)
            rows.append(result)
        return np.concatenate(rows)

    def predict_pictures(
        self, pictures: NDArray[np.uint8], device: str = "auto"
    ) -> NDArray[np.float64]:
        """Probabilities of pictures (n, picture size, picture size), as of `picture_of`."""
        network = self._network(device)
        rows = [np.empty((0, len(self.class_names)))]
        for start in range(0, len(pictures), _BATCH):
            part = pictures[start : start + _BATCH]
            small = reduced(part, self.settings.size, self.settings.channels)
            rows.append(network_probabilities(network, small))
        return np.concatenate(rows)

    def choose(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which classes events have; none where the probability is not known."""
        with np.errstate(invalid="ignore"):
            return np.asarray(probabilities >= self.thresholds)

    def activation_map(
        self,
        frame: NDArray[Any],
        class_name: str,
        center: Sequence[float] | None = None,
        mask: NDArray[np.bool_] | None = None,
        device: str = "auto",
    ) -> NDArray[np.float32]:
        """Where the network sees an anomaly, as a map over the frame.

        The maps of features of the last block, weighted as the last layer weights them for the
        class (Zhou et al. 2016): what is above 0 speaks for it, below against. Its mean over
        the picture is the logit without the bias.

        Returns
        -------
        ndarray of float32, shape of the frame
            NaN where an unrolled picture does not reach.

        Raises
        ------
        ModelError
            If there is no such class, or no picture can be made of the frame.
        """
        if class_name not in self.class_names:
            raise ModelError(
                f"The model knows no {class_name!r}; it knows {', '.join(self.class_names)}."
            )
        picture = picture_of(frame, self.settings, center, mask)
        if picture is None:
            raise ModelError(
                "No picture can be made of this event: every pixel is masked, or the beam's "
                "centre is not known or not on the frame."
            )
        torch = torch_module()
        network = self._network(device)
        small = reduced(picture[np.newaxis], self.settings.size, self.settings.channels)
        with torch.inference_mode():
            maps = network.features(_tensor(network, small))[0].cpu().numpy()
        weights = self.tensors["fc.weight"][self.class_names.index(class_name)]
        heat = np.tensordot(weights, maps, axes=1)
        shape = (frame.shape[0], frame.shape[1])
        if center is None or not self.settings.unrolled:
            return _on_frame(heat, shape)
        return _rolled_up(heat, shape, (float(center[0]), float(center[1])), self.settings)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a model file (``.xfelmodel``).

        Raises
        ------
        OutputError
            If the file exists and is not to be overwritten, or cannot be written.
        MissingDependencyError
            If safetensors is not installed.
        """
        from napari_xfelsort.core.deep.model_file import save_deep_model

        save_deep_model(self, path, overwrite)

    def _network(self, device: str) -> Network:
        return Network(self.settings.architecture, self.tensors, device_of(device))


def network_probabilities(network: Network, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Probabilities of reduced pictures (n, channels, size, size), which fit a batch."""
    torch = torch_module()
    with torch.inference_mode():
        features = network.features(_tensor(network, pictures)).mean((2, 3))
        found = torch.sigmoid(network.logits(features).double())
    return np.asarray(found.cpu().numpy(), np.float64)


def ensemble_probabilities(parts: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Mean of the probabilities (events, classes) of several models.

    Models may be networks of different representations and those of `train_anomalies`; one
    that does not know an event (NaN) is left out for it.

    Raises
    ------
    ModelError
        If there is none, or they are not of the same events and classes.
    """
    matrices = [np.asarray(part, np.float64) for part in parts]
    if not matrices or matrices[0].ndim != 2 or len({m.shape for m in matrices}) > 1:
        raise ModelError("Models of an ensemble must judge the same events and classes.")
    stacked = np.stack(matrices)
    known = np.isfinite(stacked)
    total = np.where(known, stacked, 0).sum(axis=0)
    count = known.sum(axis=0)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _tensor(network: Network, pictures: NDArray[np.uint8]) -> Any:
    values = normalised(pictures.astype(np.float32) / np.float32(255))
    return torch_module().from_numpy(values).to(network.tensors["conv1.weight"].device)


def _on_frame(heat: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """A map of the whole frame at the frame's shape."""
    rows = (np.arange(shape[0]) + 0.5) * (heat.shape[0] / shape[0]) - 0.5
    columns = (np.arange(shape[1]) + 0.5) * (heat.shape[1] / shape[1]) - 0.5
    return _between(heat, np.broadcast_to(rows[:, np.newaxis], shape), columns, shape)


def _rolled_up(
    heat: NDArray[np.float32],
    shape: tuple[int, int],
    center: tuple[float, float],
    settings: DeepSettings,
) -> NDArray[np.float32]:
    """A map over angles and radii, laid around the centre."""
    far = polar_reach(shape, center, settings.representation.removeprefix("polar_"))
    y = np.arange(shape[0])[:, np.newaxis] - center[0]
    x = np.arange(shape[1])[np.newaxis] - center[1]
    radius = np.hypot(y, x)
    # One row before the first and one after the last, since angles go around.
    around = np.concatenate([heat[-1:], heat, heat[:1]])
    turn = np.arctan2(y, x) % (2 * np.pi) / (2 * np.pi)
    rows, columns = turn * len(heat) - 0.5 + 1, radius / far * heat.shape[1] - 0.5
    found = _between(around, rows, columns, shape)
    found[radius > far] = np.nan
    return found


def _between(
    heat: NDArray[np.float32],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    from scipy.ndimage import map_coordinates

    places = np.stack([np.broadcast_to(rows, shape), np.broadcast_to(columns, shape)])
    return np.asarray(map_coordinates(heat, places, order=1, mode="nearest"), np.float32)
