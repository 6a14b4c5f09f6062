"""Trained networks of single hits as a classifier of features: plain arrays, safe to store."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.networks import device_of, torch_module
from napari_xfelsort.core.deep.spi_layout import LEAST, MOST, PictureLayout, flips
from napari_xfelsort.core.deep.spi_onnx import OnnxNetwork, has_onnx
from napari_xfelsort.core.deep.spi_resnet import SpiNetwork, Tensors, spi_shapes
from napari_xfelsort.core.deep.spi_rings import SpiRings, n_ring_statistics
from napari_xfelsort.core.deep.spi_settings import ARCHITECTURES, MIRRORS
from napari_xfelsort.core.errors import MissingDependencyError

Floats = NDArray[np.float32]

_BATCH = 64
#: Cells from the picture beyond which no beam is.
_FARTHEST = 1e6
#: Networks made of tensors, of models in use.
_made: weakref.WeakKeyDictionary[SpiNetworks, list[SpiNetwork | OnnxNetwork]] = (
    weakref.WeakKeyDictionary()
)


class SpiNetworks:
    """Networks that tell single hits from pictures of pixels; their mean decides.

    Parameters
    ----------
    architecture : str
        Of `spi_resnet`.
    layout : PictureLayout
        The picture.
    root : bool
        Whether square roots are seen.
    mean, sd : float
        Of what is seen in the training share.
    mirrors : str
        Predictions are averaged over these mirrors.
    tensors : dict of str to ndarray of float32, shape (networks, ...)
        Of all networks.
    positive : int
        Number of the class that networks call single hits.
    rings : bool
        Whether the statistics of rings are given beside the picture.
    photon : float
        What a photon counts.

    Attributes
    ----------
    classes_ : ndarray of int64
        0 and 1.
    n_features_in_ : int
    """

    def __init__(
        self,
        architecture: str,
        layout: PictureLayout,
        root: bool,
        mean: float,
        sd: float,
        mirrors: str,
        tensors: Tensors,
        positive: int = 1,
        rings: bool = False,
        photon: float = 1.0,
    ) -> None:
        self.architecture, self.root = architecture, root
        self.rings, self.photon = bool(rings), float(photon)
        self.shape = [int(n) for n in layout.shape]
        self.cell, self.pixels = layout.cell, layout.pixels
        self.beam = None if layout.beam is None else [float(at) for at in layout.beam]
        self.side = int(layout.side)
        self.mean, self.sd, self.mirrors = float(mean), float(sd), mirrors
        self.tensors, self.positive = tensors, int(positive)
        self.classes_ = np.arange(2, dtype=np.int64)
        self.n_features_in_ = len(layout.cell)

    @property
    def layout(self) -> PictureLayout:
        """The picture."""
        beam = None if self.beam is None else (self.beam[0], self.beam[1])
        shape = (self.shape[0], self.shape[1])
        return PictureLayout(shape, self.cell, self.pixels, beam, self.side)

    @property
    def n_networks(self) -> int:
        """How many networks decide."""
        return len(self.tensors["last.bias"])

    def predict_proba(self, matrix: Floats) -> NDArray[np.float64]:
        """Probability of each class, shape (events, 2): softmax, mean of networks and mirrors.

        Raises
        ------
        MissingDependencyError
            If neither PyTorch nor ONNX Runtime is installed.
        """
        networks = _made.get(self)
        if networks is None:
            networks = _made[self] = list(self.networks())
        layout, all_flips = self.layout, flips(self.mirrors)
        rings = None
        if self.rings:
            rings = SpiRings(layout, self.photon, self.root, self.mean, self.sd)
        result = np.zeros((len(matrix), 2))
        for k in range(0, len(matrix), _BATCH):
            seen = standardised(
                layout.pictures(matrix[k : k + _BATCH]), layout, self.root, self.mean, self.sd
            )
            result[k : k + _BATCH] = networks_softmax(networks, seen, all_flips, rings)
        return result if self.positive else result[:, ::-1]

    def networks(self) -> Iterator[SpiNetwork | OnnxNetwork]:
        """The networks, to be run: on a GPU, else by ONNX Runtime where it is, or PyTorch."""
        device = device_of("auto") if has_torch() else "cpu"
        for k in range(self.n_networks):
            own = {name: values[k] for name, values in self.tensors.items()}
            shape = (self.shape[0], self.shape[1])
            if device == "cpu" and has_onnx():
                yield OnnxNetwork(self.architecture, shape, own)
            else:
                yield SpiNetwork(self.architecture, shape, own, device)

    def predict(self, matrix: Floats) -> NDArray[np.int64]:
        """The most likely class."""
        chosen: NDArray[np.int64] = self.predict_proba(matrix).argmax(axis=1).astype(np.int64)
        return chosen


def check_runtime(estimator: Any) -> None:
    """Raise MissingDependencyError if a classifier is of networks and nothing can run them."""
    if isinstance(estimator, SpiNetworks) and not has_onnx():
        torch_module()


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    try:
        torch_module()
    except MissingDependencyError:
        return False
    return True


def standardised(
    pictures: Floats, layout: PictureLayout, root: bool, mean: float, sd: float
) -> Floats:
    """What a network sees of pictures of mean values; 0 where there is no pixel."""
    seen = np.sqrt(np.maximum(pictures, 0)) if root else pictures
    seen = (seen - np.float32(mean)) / np.float32(sd)
    seen[:, ~layout.covered] = 0
    return np.asarray(seen, np.float32)


def networks_softmax(
    networks: Sequence[SpiNetwork | OnnxNetwork],
    seen: Floats,
    all_flips: tuple[tuple[int, ...], ...] = ((),),
    rings: SpiRings | None = None,
) -> NDArray[np.float64]:
    """Probabilities (n, 2) of pictures (n, rows, columns) as seen; mean of networks and flips."""
    result = np.zeros((len(seen), 2))
    for axes in all_flips:
        pictures = np.ascontiguousarray(np.flip(seen, axes)) if axes else seen
        beside = None if rings is None else rings.of(pictures)
        for network in networks:
            logits = network.logits_of(pictures, beside).astype(np.float64)
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            result += odds / odds.sum(axis=1, keepdims=True)
    return result / (len(all_flips) * len(networks))


def check_networks(model: SpiNetworks, n_features: int, n_classes: int) -> None:
    """Raise ValueError unless networks from a file of a stranger are put together as ours."""
    if (
        n_classes != 2
        or model.positive not in (0, 1)
        or model.architecture not in ARCHITECTURES
        or model.mirrors not in MIRRORS
    ):
        raise ValueError("it is no network of this program")
    shape, cell, pixels = tuple(model.shape), model.cell, model.pixels
    if len(shape) != 2 or not all(isinstance(n, int) and LEAST <= n <= MOST for n in shape):
        raise ValueError("its pictures have a size that cannot be")
    if cell.dtype != np.int32 or cell.shape != (n_features,) or model.n_features_in_ != n_features:
        raise ValueError("it is for other features")
    if cell.min() < 0 or cell.max() >= shape[0] * shape[1]:
        raise ValueError("a feature is outside of the picture")
    if pixels.dtype != np.float32 or pixels.shape != shape or not np.isfinite(pixels).all():
        raise ValueError("its pictures are damaged")
    if not np.isfinite([model.mean, model.sd]).all() or not model.sd > 0:
        raise ValueError("it cannot be standardised")
    wanted = spi_shapes(model.architecture, (shape[0], shape[1]), _checked_beside(model))
    if set(model.tensors) != set(wanted):
        raise ValueError("its tensors are those of another network")
    n = model.n_networks
    for name, size in wanted.items():
        values = model.tensors[name]
        if values.dtype != np.float32 or values.shape != (n, *size) or n < 1:
            raise ValueError(f"the tensor {name} is of another network")
        if not np.isfinite(values).all():
            raise ValueError(f"the tensor {name} is not finite")


def _checked_beside(model: SpiNetworks) -> int:
    """Numbers beside the picture; ValueError where they cannot be made."""
    if not (np.isfinite(model.photon) and model.photon > 0):
        raise ValueError("its photons count nothing")
    if not model.rings:
        return 0
    beam = np.array(model.beam if isinstance(model.beam, list) else [], np.float64)
    if beam.shape != (2,) or not (np.abs(beam) < _FARTHEST).all():
        raise ValueError("it does not say where the rings are")
    if not model.layout.covered.any():
        raise ValueError("its pictures have no pixels")
    return n_ring_statistics(model.layout)
