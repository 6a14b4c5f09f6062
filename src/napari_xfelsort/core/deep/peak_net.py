"""The network of the learned peak finder, and its file. PyTorch is needed for training only.

Six convolutions of 3 x 3 pixels inside of a patch, two of them with every second pixel, end
in one pixel; beside what they see, six numbers that were measured there go through two
layers to the log-odds of a peak. Seen from far, it is a convolution of the whole frame,
whose map is computed where it is asked for.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.network_file import read_network_file, write_network_file
from napari_xfelsort.core.deep.peak_settings import PeakTrainingSettings
from napari_xfelsort.core.deep.weights import read_safetensors
from napari_xfelsort.core.errors import ModelError, SettingsError

#: Pixels between the taps of each convolution.
APART = (1, 1, 2, 2, 1, 1)
#: Numbers of a pixel, of a place, and of the layer before the last.
CHANNELS, FACTS, HIDDEN = 4, 6, 16

FORMAT, VERSION = "xfelpeaks", 1
_LIMITS = 1024**2, 64 * 1024**2
_DEFAULT = Path(__file__).with_name("simulated.xfelpeaks")
_DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


def tensor_shapes(channels: int) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor, by its name, as PyTorch has them: out, in, rows, columns."""
    shapes: dict[str, tuple[int, ...]] = {}
    before = CHANNELS
    for k in range(len(APART)):
        shapes[f"conv{k}.weight"] = (channels, before, 3, 3)
        shapes[f"conv{k}.bias"] = (channels,)
        before = channels
    shapes["hidden.weight"] = (HIDDEN, channels + FACTS)
    shapes["hidden.bias"] = (HIDDEN,)
    return shapes | {"last.weight": (1, HIDDEN), "last.bias": (1,)}


@dataclass(frozen=True, eq=False)
class PeakNet:
    """A network that tells peaks.

    Attributes
    ----------
    settings : PeakTrainingSettings
        How it was trained.
    tensors : mapping of str to ndarray of float32
        As `tensor_shapes`.
    cut : float
        Log-odds from which on a place is a peak.
    metrics : dict
        How good it is on frames that it was not trained on.
    provenance : dict
        What it was made from, for people.
    """

    settings: PeakTrainingSettings
    tensors: Mapping[str, NDArray[np.float32]]
    cut: float
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def scores(
        self, patches: NDArray[np.float32], facts: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Log-odds that places are peaks; the same on every machine but for rounding.

        Parameters
        ----------
        patches : ndarray of float32, shape (places, 17, 17, 4)
        facts : ndarray of float32, shape (places, 6)
        """
        from napari_xfelsort.core.peaks.patch_loops import convolve

        images = np.ascontiguousarray(patches, np.float32)
        for k, apart in enumerate(APART):
            weights = np.ascontiguousarray(self.tensors[f"conv{k}.weight"].transpose(2, 3, 1, 0))
            n, height, width, _ = images.shape
            result = np.empty(
                (n, height - 2 * apart, width - 2 * apart, weights.shape[3]), np.float32
            )
            convolve(images, weights, self.tensors[f"conv{k}.bias"], apart, result)
            images = result
        together = np.concatenate([images[:, 0, 0], facts], axis=1).astype(np.float64)
        hidden = together @ self.tensors["hidden.weight"].T + self.tensors["hidden.bias"]
        last = np.maximum(hidden, 0.0) @ self.tensors["last.weight"][0]
        return np.asarray(last + self.tensors["last.bias"][0], np.float64)

    @property
    def probability(self) -> float:
        """What `cut` is as a probability."""
        return 1.0 / (1.0 + math.exp(-self.cut))

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a model file (``.xfelpeaks`` by custom).

        Raises
        ------
        OutputError
            If the file exists and is not to be overwritten, or cannot be written.
        MissingDependencyError
            If safetensors is not installed.
        """
        description = {
            "format": FORMAT,
            "version": VERSION,
            "settings": self.settings.to_dict(),
            "cut": self.cut,
            "metrics": self.metrics,
            "provenance": self.provenance,
        }
        write_network_file(path, description, self.tensors, overwrite)


def load_peak_net(path: str | os.PathLike[str] = "") -> PeakNet:
    """Read a network of `PeakNet.save`; nothing in the file is run.

    Parameters
    ----------
    path : path, optional
        The file; that which comes with the program, trained on simulated frames, if omitted.

    Raises
    ------
    ModelError
        If it is no such file, or is damaged.
    MissingDependencyError
        If safetensors is not installed.
    """
    name = os.fspath(path) or os.fspath(_DEFAULT)
    description, weights = read_network_file(name, _LIMITS, "model of peaks")
    try:
        values = json.loads(description)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ModelError(f"{name} is no model of peaks of this program.")
        if values.get("version") != VERSION:
            raise ModelError(
                f"{name} has version {values.get('version')!r} of a model of peaks, and this "
                f"program reads version {VERSION}; use the version of the program that wrote "
                "it, or train again."
            )
        return _built(values, weights, name)
    except (*_DAMAGE, RecursionError, SettingsError) as error:
        raise ModelError(f"The description in {name} is damaged: {error}.") from error


def _built(values: Mapping[str, Any], weights: bytes, name: str) -> PeakNet:
    settings = PeakTrainingSettings.from_dict(values["settings"])
    cut = float(values["cut"])
    if not math.isfinite(cut):
        raise ValueError("the cut is not finite")
    if not isinstance(values["metrics"], dict) or not isinstance(values["provenance"], dict):
        raise ValueError("the metrics are damaged")
    try:
        tensors = read_safetensors(weights)
    except ValueError as error:
        raise ModelError(f"The weights in {name} cannot be read: {error}.") from error
    wanted = tensor_shapes(settings.channels)
    if {key: tensor.shape for key, tensor in tensors.items()} != wanted:
        raise ModelError(f"The weights in {name} are of another network.")
    for key, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ModelError(f"The weights {key} in {name} are not finite.")
    return PeakNet(settings, tensors, cut, values["metrics"], values["provenance"])
