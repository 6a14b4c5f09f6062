"""Pre-activation residual networks for single hits, as named tensors and arithmetic.

Of Assalauova et al. (2022): 16 filters that double up to 256, strided convolutions, batch
norm, leaky ReLU, mean over the last map, which is about 6 x 6. A network may be given numbers
beside the picture (statistics of rings): two layers that judge by them alone. The network says
the mean of the log odds of both. Nothing is imported before a network is run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.networks import is_parameter, torch_module
from napari_xfelsort.core.errors import ModelError

Tensors = dict[str, NDArray[np.float32]]

#: Stride of the first convolution, and filters of each block and whether it has fewer pixels.
_LAYOUT: dict[str, tuple[int, tuple[tuple[int, bool], ...]]] = {
    "paper": (
        1,
        (
            *((16, False), (32, True), (64, True), (64, False)),
            *((128, True), (128, False), (256, True), (256, True)),
        ),
    ),
    "early": (2, ((16, False), (32, True), (64, True), (128, True), (128, True))),
}
#: Pixels along the sides of the last map, about.
_LAST = 6
_FIRST = 16
#: Filters of the layers that see the numbers beside the picture.
_BESIDE = 64
#: Tensors of a norm.
NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
#: Slope of leaky ReLU below 0.
SLOPE = 0.01


class SpiBlock(NamedTuple):
    """A residual block: its name, channels in and out, and strides along rows and columns."""

    name: str
    before: int
    after: int
    stride: tuple[int, int]

    @property
    def shortcut(self) -> bool:
        """Whether what goes past the block must be brought to its shape."""
        return self.stride != (1, 1) or self.before != self.after


def first_stride(architecture: str, shape: tuple[int, int]) -> tuple[int, int]:
    """Strides of the first convolution."""
    stride = _known(architecture)[0]
    halvings = _halvings(shape)
    return (stride if halvings[0] else 1, stride if halvings[1] else 1)


def spi_blocks(architecture: str, shape: tuple[int, int]) -> Iterator[SpiBlock]:
    """The blocks for pictures of a shape; the last map is about 6 x 6, or larger.

    Raises
    ------
    ModelError
        If there is no such network.
    """
    left = [
        n - (stride > 1)
        for n, stride in zip(_halvings(shape), first_stride(architecture, shape), strict=True)
    ]
    before = _FIRST
    for number, (after, fewer) in enumerate(_known(architecture)[1]):
        stride = [1, 1]
        for axis in (0, 1):
            if fewer and left[axis] > 0:
                left[axis] -= 1
                stride[axis] = 2
        yield SpiBlock(f"block{number}", before, after, (stride[0], stride[1]))
        before = after


def spi_shapes(
    architecture: str, shape: tuple[int, int], beside: int = 0, classes: int = 2
) -> dict[str, Any]:
    """Shape of each tensor of a network, by its name; ``beside``: numbers beside the picture."""
    shapes: dict[str, tuple[int, ...]] = {"stem.weight": (_FIRST, 1, 3, 3)}
    last = _FIRST
    for block in spi_blocks(architecture, shape):
        shapes |= _norm(f"{block.name}.norm1", block.before)
        shapes[f"{block.name}.conv1.weight"] = (block.after, block.before, 3, 3)
        shapes |= _norm(f"{block.name}.norm2", block.after)
        shapes[f"{block.name}.conv2.weight"] = (block.after, block.after, 3, 3)
        if block.shortcut:
            shapes[f"{block.name}.short.weight"] = (block.after, block.before, 1, 1)
        last = block.after
    shapes |= _norm("norm", last)
    if beside:
        shapes |= _norm("beside.norm0", beside)
        for number, before in ((1, beside), (2, _BESIDE)):
            shapes |= {
                f"beside.linear{number}.weight": (_BESIDE, before),
                f"beside.linear{number}.bias": (_BESIDE,),
            } | _norm(f"beside.norm{number}", _BESIDE)
        shapes |= {"beside.last.weight": (classes, _BESIDE), "beside.last.bias": (classes,)}
    return shapes | {"last.weight": (classes, last), "last.bias": (classes,)}


def new_spi_tensors(
    architecture: str,
    shape: tuple[int, int],
    seed: tuple[int, ...],
    beside: int = 0,
    classes: int = 2,
) -> Tensors:
    """Tensors of a network that has learned nothing (He et al. 2015)."""
    random = np.random.default_rng(seed)
    tensors: Tensors = {}
    for name, size in spi_shapes(architecture, shape, beside, classes).items():
        if len(size) == 4 or (".linear" in name and len(size) == 2):
            spread = math.sqrt(2 / math.prod(size[1:]))
            values = random.standard_normal(size, np.float32) * np.float32(spread)
        elif name.endswith("last.weight"):
            bound = 1 / math.sqrt(size[1])
            values = random.uniform(-bound, bound, size).astype(np.float32)
        else:
            ones = "norm" in name and name.endswith(("weight", "running_var"))
            values = np.full(size, ones, np.float32)
        tensors[name] = np.ascontiguousarray(values, np.float32)
    return tensors


class SpiNetwork:
    """A network to run: tensors of PyTorch on a device.

    Parameters
    ----------
    architecture : str
        Which one.
    shape : tuple of int
        Of the pictures.
    tensors : mapping
        Arrays by name, as of `spi_shapes`; they are copied.
    device : str
        Of PyTorch.
    """

    def __init__(
        self,
        architecture: str,
        shape: tuple[int, int],
        tensors: Mapping[str, NDArray[np.float32]],
        device: str = "cpu",
    ) -> None:
        torch = torch_module()
        # Channels next to each other: faster without a GPU.
        self.layout = torch.channels_last
        self.blocks = tuple(spi_blocks(architecture, shape))
        self.first = first_stride(architecture, shape)
        self.tensors = {}
        for name, values in tensors.items():
            tensor = torch.tensor(values, dtype=torch.float32, device=device)
            if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=self.layout)
            self.tensors[name] = tensor

    def logits(self, pictures: Any, beside: Any = None) -> Any:
        """What the network says of pictures (n, 1, rows, columns); shape (n, classes).

        ``beside`` (n, numbers) is what is given beside them.
        """
        said = self.judgements(pictures, beside)
        return sum(said) / len(said)

    def judgements(self, pictures: Any, beside: Any = None, learning: bool = False) -> list[Any]:
        """What the network says by the pictures and, if so, by the numbers beside them.

        ``learning`` takes means and variances of these pictures, and keeps running ones.
        """
        from torch.nn import functional

        own = self.tensors
        x = pictures.contiguous(memory_format=self.layout)
        x = functional.conv2d(x, own["stem.weight"], None, self.first, 1)
        for block in self.blocks:
            x = self._block(x, block, learning)
        x = self._active(x, "norm", learning).mean((2, 3))
        said = [self._linear(x, "last")]
        if "beside.norm0.weight" in own:
            y = self._normed(beside, "beside.norm0", learning)
            for number in (1, 2):
                y = self._linear(y, f"beside.linear{number}")
                y = self._active(y, f"beside.norm{number}", learning)
            said.append(self._linear(y, "beside.last"))
        return said

    def logits_of(
        self, seen: NDArray[np.float32], beside: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """What the network says of pictures (n, rows, columns), with one thread."""
        torch = torch_module()
        before = torch.get_num_threads()
        torch.set_num_threads(1)  # sums in one order, and workers out of each other's way
        try:
            with torch.inference_mode():
                device = self.tensors["last.bias"].device
                pictures = torch.from_numpy(seen).to(device)[:, None]
                numbers = None if beside is None else torch.from_numpy(beside).to(device)
                return np.asarray(self.logits(pictures, numbers).cpu().numpy(), np.float32)
        finally:
            torch.set_num_threads(before)

    def parameters(self) -> list[Any]:
        """The tensors that learn, made to."""
        return [
            tensor.requires_grad_() for name, tensor in self.tensors.items() if is_parameter(name)
        ]

    def arrays(self) -> Tensors:
        """Copies of all tensors."""
        return {
            name: np.array(tensor.detach().cpu().numpy(), np.float32, order="C")
            for name, tensor in self.tensors.items()
        }

    def _block(self, x: Any, block: SpiBlock, learning: bool) -> Any:
        from torch.nn import functional

        own, name = self.tensors, block.name
        active = self._active(x, f"{name}.norm1", learning)
        y = functional.conv2d(active, own[f"{name}.conv1.weight"], None, block.stride, 1)
        y = self._active(y, f"{name}.norm2", learning)
        y = functional.conv2d(y, own[f"{name}.conv2.weight"], None, 1, 1)
        if block.shortcut:
            x = functional.conv2d(active, own[f"{name}.short.weight"], None, block.stride)
        return x + y

    def _linear(self, x: Any, name: str) -> Any:
        from torch.nn import functional

        return functional.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _active(self, x: Any, norm: str, learning: bool) -> Any:
        from torch.nn import functional

        return functional.leaky_relu(self._normed(x, norm, learning), SLOPE)

    def _normed(self, x: Any, norm: str, learning: bool) -> Any:
        from torch.nn import functional

        own = self.tensors
        return functional.batch_norm(
            x,
            own[f"{norm}.running_mean"],
            own[f"{norm}.running_var"],
            own[f"{norm}.weight"],
            own[f"{norm}.bias"],
            learning,
        )


def _known(architecture: str) -> tuple[int, tuple[tuple[int, bool], ...]]:
    if architecture not in _LAYOUT:
        raise ModelError(f"There is no network {architecture!r}; there are {', '.join(_LAYOUT)}.")
    return _LAYOUT[architecture]


def _halvings(shape: tuple[int, int]) -> tuple[int, int]:
    rows, columns = (max(0, round(math.log2(n / _LAST))) for n in shape)
    return rows, columns


def _norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (channels,) for part in NORM_PARTS}
