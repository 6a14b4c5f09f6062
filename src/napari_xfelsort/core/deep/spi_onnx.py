"""Networks of single hits in ONNX Runtime, where it is installed: the fastest on a processor.

The graph is put together here from tensors that were checked; none is ever read from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.spi_resnet import NORM_PARTS, SLOPE, first_stride, spi_blocks

Floats = NDArray[np.float32]

#: Of the operators and of the file, so that versions of some years ago understand them.
_OPERATORS, _FILE = 17, 8


def has_onnx() -> bool:
    """Whether onnx and ONNX Runtime are installed."""
    return all(find_spec(name) is not None for name in ("onnx", "onnxruntime"))


class OnnxNetwork:
    """A network to run on a processor, with one thread.

    Parameters
    ----------
    architecture : str
        Which one.
    shape : tuple of int
        Of the pictures.
    tensors : mapping
        Arrays by name, as of `spi_shapes`.
    """

    def __init__(
        self, architecture: str, shape: tuple[int, int], tensors: Mapping[str, Floats]
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        graph = _graph(architecture, shape, tensors)
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

    def logits_of(self, seen: Floats, beside: Floats | None = None) -> Floats:
        """What the network says of pictures (n, rows, columns); shape (n, classes)."""
        given = {"pictures": seen[:, np.newaxis]}
        if beside is not None:
            given["beside"] = beside
        found = self._session.run(None, given)[0]
        return np.asarray(found, np.float32)


def _graph(architecture: str, shape: tuple[int, int], tensors: Mapping[str, Floats]) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        out = f"value{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def convolved(x: str, name: str, stride: tuple[int, int], pad: int) -> str:
        return add("Conv", x, f"{name}.weight", strides=list(stride), pads=[pad] * 4)

    def normed(x: str, norm: str) -> str:
        parts = [f"{norm}.{part}" for part in NORM_PARTS]
        return add("BatchNormalization", x, *parts, epsilon=1e-5)

    def active(x: str, norm: str) -> str:
        return add("LeakyRelu", normed(x, norm), alpha=SLOPE)

    def linear(x: str, name: str) -> str:
        return add("Gemm", x, f"{name}.weight", f"{name}.bias", transB=1)

    x = convolved("pictures", "stem", first_stride(architecture, shape), 1)
    for block in spi_blocks(architecture, shape):
        name = block.name
        before = active(x, f"{name}.norm1")
        inside = active(convolved(before, f"{name}.conv1", block.stride, 1), f"{name}.norm2")
        inside = convolved(inside, f"{name}.conv2", (1, 1), 1)
        past = convolved(before, f"{name}.short", block.stride, 0) if block.shortcut else x
        x = add("Add", inside, past)
    x = add("Flatten", add("GlobalAveragePool", active(x, "norm")))
    x = linear(x, "last")
    inputs = [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", 1, *shape])]
    if "beside.norm0.weight" in tensors:
        numbers = len(tensors["beside.norm0.weight"])
        inputs.append(helper.make_tensor_value_info("beside", TensorProto.FLOAT, ["n", numbers]))
        y = normed("beside", "beside.norm0")
        for number in (1, 2):
            y = active(linear(y, f"beside.linear{number}"), f"beside.norm{number}")
        x = add("Mean", x, linear(y, "beside.last"))
    graph = helper.make_graph(
        nodes,
        "network",
        inputs,
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    operators = [helper.make_opsetid("", _OPERATORS)]
    made = helper.make_model(graph, opset_imports=operators, ir_version=_FILE)
    return bytes(made.SerializeToString())
