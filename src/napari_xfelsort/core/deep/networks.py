"""Residual networks (He et al. 2016) as named tensors and the arithmetic between them.

Names and shapes of the tensors are those of torchvision's state dictionaries, so that weights
stored by it can be used. Nothing is imported before a network is run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.settings import ARCHITECTURES
from napari_xfelsort.core.errors import MissingDependencyError, ModelError

#: Blocks in each of the four layers, and whether they are bottlenecks.
_LAYOUT = dict(
    zip(
        ARCHITECTURES,
        (((2, 2, 2, 2), False), ((3, 4, 6, 3), False), ((3, 4, 6, 3), True)),
        strict=True,
    )
)
_WIDTHS = (64, 128, 256, 512)
#: Parts of a network that may learn at different rates, by the start of names.
PARTS = (("conv1", "bn1", "layer1"), ("layer2", "layer3"), ("layer4",), ("fc",))
_RUNNING = ("running_mean", "running_var")


class Block(NamedTuple):
    """A residual block: its name, channels that come in, are inside and go out, and stride."""

    name: str
    before: int
    inside: int
    after: int
    stride: int
    bottleneck: bool

    @property
    def convolutions(self) -> list[tuple[int, int, int, int]]:
        """Channels in and out, side of the kernel, and stride of each convolution."""
        if self.bottleneck:
            return [
                (self.before, self.inside, 1, 1),
                (self.inside, self.inside, 3, self.stride),
                (self.inside, self.after, 1, 1),
            ]
        return [(self.before, self.inside, 3, self.stride), (self.inside, self.after, 3, 1)]

    @property
    def shortcut(self) -> bool:
        """Whether what goes past the block must be brought to its shape."""
        return self.stride > 1 or self.before != self.after


def blocks(architecture: str) -> Iterator[Block]:
    """The blocks in order.

    Raises
    ------
    ModelError
        If there is no such network.
    """
    if architecture not in _LAYOUT:
        raise ModelError(f"There is no network {architecture!r}; there are {', '.join(_LAYOUT)}.")
    counts, bottleneck = _LAYOUT[architecture]
    before = _WIDTHS[0]
    for layer, (count, width) in enumerate(zip(counts, _WIDTHS, strict=True), 1):
        after = width * 4 if bottleneck else width
        for k in range(count):
            stride = 2 if layer > 1 and k == 0 else 1
            yield Block(f"layer{layer}.{k}", before, width, after, stride, bottleneck)
            before = after


def tensor_shapes(architecture: str, channels: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of a network, by its name.

    Raises
    ------
    ModelError
        If there is no such network.
    """
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (_WIDTHS[0], channels, 7, 7)}
    shapes |= _norm_shapes("bn1", _WIDTHS[0])
    last = 0
    for block in blocks(architecture):
        for k, (before, after, side, _) in enumerate(block.convolutions, 1):
            shapes[f"{block.name}.conv{k}.weight"] = (after, before, side, side)
            shapes |= _norm_shapes(f"{block.name}.bn{k}", after)
        if block.shortcut:
            shapes[f"{block.name}.downsample.0.weight"] = (block.after, block.before, 1, 1)
            shapes |= _norm_shapes(f"{block.name}.downsample.1", block.after)
        last = block.after
    return shapes | {"fc.weight": (classes, last), "fc.bias": (classes,)}


def is_parameter(name: str) -> bool:
    """Whether a tensor is learned, and no running mean or variance."""
    return not name.endswith(_RUNNING)


def part_of(name: str) -> int:
    """Which of `PARTS` a tensor belongs to."""
    return next(k for k, starts in enumerate(PARTS) if name.partition(".")[0] in starts)


def new_tensors(
    architecture: str, channels: int, classes: int, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Tensors of a network that has learned nothing (He et al. 2015)."""
    random = np.random.default_rng(seed)
    tensors = {}
    for name, shape in tensor_shapes(architecture, channels, classes).items():
        if len(shape) == 4:
            spread = math.sqrt(2 / (shape[0] * shape[2] * shape[3]))
            values = random.standard_normal(shape, np.float32) * np.float32(spread)
        elif name.startswith("fc"):
            bound = 1 / math.sqrt(shape[-1] if len(shape) > 1 else classes)
            values = random.uniform(-bound, bound, shape) if len(shape) > 1 else np.zeros(shape)
        else:
            values = np.full(shape, name.endswith(("weight", "running_var")), np.float32)
        tensors[name] = np.ascontiguousarray(values, np.float32)
    return tensors


class Network:
    """A network to run: tensors of PyTorch on a device.

    Parameters
    ----------
    architecture : str
        Which one.
    tensors : mapping
        Arrays by name, as of `tensor_shapes`; they are copied.
    device : str
        Of PyTorch.
    """

    def __init__(
        self, architecture: str, tensors: Mapping[str, NDArray[np.float32]], device: str = "cpu"
    ) -> None:
        torch = torch_module()
        self.blocks = tuple(blocks(architecture))
        self.tensors = {
            name: torch.tensor(values, dtype=torch.float32, device=device)
            for name, values in tensors.items()
        }
        for name, tensor in self.tensors.items():
            if tensor.ndim == 4:  # channels next to each other: a quarter faster without a GPU
                self.tensors[name] = tensor.contiguous(memory_format=torch.channels_last)

    def features(self, pictures: Any, learning: bool = False) -> Any:
        """Maps of features of the last block, (n, features, rows, columns).

        ``learning`` takes means and variances of these pictures, and keeps running ones.
        """
        from torch.nn import functional

        x = pictures.contiguous(memory_format=torch_module().channels_last)
        x = self._convolved(x, "conv1", "bn1", 7, 2, learning)
        x = functional.max_pool2d(functional.relu(x), 3, 2, 1)
        for block in self.blocks:
            x = self._block(x, block, learning)
        return x

    def logits(self, features: Any) -> Any:
        """What the last layer says of maps of features averaged over places, (n, features)."""
        from torch.nn import functional

        return functional.linear(features, self.tensors["fc.weight"], self.tensors["fc.bias"])

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all tensors."""
        return {
            name: np.array(tensor.detach().cpu().numpy(), np.float32, order="C")
            for name, tensor in self.tensors.items()
        }

    def _block(self, x: Any, block: Block, learning: bool) -> Any:
        from torch.nn import functional

        past, last = x, len(block.convolutions)
        for k, (_, _, side, stride) in enumerate(block.convolutions, 1):
            x = self._convolved(
                x, f"{block.name}.conv{k}", f"{block.name}.bn{k}", side, stride, learning
            )
            if k < last:
                x = functional.relu(x)
        if block.shortcut:
            short = f"{block.name}.downsample"
            past = self._convolved(past, f"{short}.0", f"{short}.1", 1, block.stride, learning)
        return functional.relu(x + past)

    def _convolved(
        self, x: Any, convolution: str, norm: str, side: int, stride: int, learning: bool
    ) -> Any:
        from torch.nn import functional

        own = self.tensors
        x = functional.conv2d(x, own[f"{convolution}.weight"], None, stride, side // 2)
        return functional.batch_norm(
            x,
            own[f"{norm}.running_mean"],
            own[f"{norm}.running_var"],
            own[f"{norm}.weight"],
            own[f"{norm}.bias"],
            learning,
        )


def torch_module() -> Any:
    """PyTorch.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError(
            "Networks need PyTorch, which is not installed: pip install 'napari-xfelsort[deep]'."
        ) from error
    return torch


def what_is_missing() -> str:
    """Why no network can be trained here, a sentence; empty where one can. Imports nothing."""
    lacking = [name for name in ("torch", "safetensors") if find_spec(name) is None]
    if not lacking:
        return ""
    them = " and ".join({"torch": "PyTorch"}.get(name, name) for name in lacking)
    are = "are" if len(lacking) > 1 else "is"
    return f"Networks need {them}, which {are} not installed: pip install 'napari-xfelsort[deep]'."


def device_of(choice: str) -> str:
    """The device of PyTorch for ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    MissingDependencyError
        If PyTorch is not installed, or is asked for CUDA and has none.
    """
    has_cuda = bool(torch_module().cuda.is_available())
    if choice == "cuda" and not has_cuda:
        raise MissingDependencyError(
            "PyTorch finds no CUDA device on this computer; choose the device auto or cpu."
        )
    return "cuda" if choice != "cpu" and has_cuda else "cpu"


def _norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", *_RUNNING)}
