"""A network of TensorFlow Lite as an ONNX file, for OpenCV, which lacks some of the operators of the former.

The format: onnx.proto3 of github.com/onnx/onnx, a Protocol Buffer. TensorFlow Lite keeps channels last, and ONNX first:
weights are turned here, and tensors where a shape is asked for by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

import numpy as np

from webui.base.errors import ModelError
from webui.base.protobuf import number, part, text
from webui.catalog.tflite import Array, Network, Operator, read

IR, OPSET = 7, 13
FLOAT, INTEGER = 1, 7


class LiteOperator(IntEnum):
    """Operators and activations by their numbers in TensorFlow Lite's schema."""

    ADD = 0
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEPTH_TO_SPACE = 5
    DEQUANTIZE = 6
    RESHAPE = 22
    RESIZE_BILINEAR = 23
    PAD = 34
    DENSIFY = 124


RELU, RELU6 = 1, 3
LAST_FIRST, FIRST_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
"""Channels from last to first, and back."""


def converted(content: bytes) -> bytes:
    """An ONNX file of a network that has one input, a picture (1, 3, height, width), and any number of outputs.

    Raises:
        ModelError: it cannot be read, or has an operator that is not known here.
    """
    try:
        return _Writer(read(content)).file()
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError("The network's file is damaged.") from error


class _Writer:
    def __init__(self, network: Network) -> None:
        self._network = network
        self._constants = dict(network.constants)
        self._nodes: list[bytes] = []
        self._weights: dict[str, bytes] = {}
        self._shapes: set[int] = set()
        """Tensors that have their channels last still, since their shape was asked for."""

    def file(self) -> bytes:
        for operator in self._network.operators:
            self._write(operator)
        (given,) = self._network.inputs
        _, height, width, channels = self._network.shapes[given]
        outputs = b"".join(part(12, _value(f"t{each}", self._network.shapes[each])) for each in self._network.outputs)
        graph = b"".join(part(1, node) for node in self._nodes) + text(2, "network")
        graph += b"".join(part(5, weight) for weight in self._weights.values())
        graph += part(11, _value(f"t{given}", (1, channels, height, width))) + outputs
        return number(1, IR) + part(8, text(1, "") + number(2, OPSET)) + part(7, graph)

    def _write(self, operator: Operator) -> None:
        first, (out,) = operator.inputs[0], operator.outputs
        said = dict(enumerate(operator.options))
        match operator.code:
            case LiteOperator.DEQUANTIZE | LiteOperator.DENSIFY:  # of weights, which are read as they shall be
                self._constants[out] = self._constants[first]
            case LiteOperator.CONV_2D | LiteOperator.DEPTHWISE_CONV_2D:
                self._convolution(operator, is_deep=operator.code == LiteOperator.DEPTHWISE_CONV_2D)
            case LiteOperator.ADD:
                self._node("Add", (f"t{operator.inputs[0]}", f"t{operator.inputs[1]}"), out, said.get(0, 0))
            case LiteOperator.PAD:
                rows = self._constants[operator.inputs[1]][list(LAST_FIRST)]
                pads = self._constant(f"pads{out}", rows.T.reshape(-1))
                self._node("Pad", (f"t{first}", pads), out)
            case LiteOperator.DEPTH_TO_SPACE:
                options = [_integer("blocksize", said[0]), _string("mode", "DCR")]
                self._node("DepthToSpace", (f"t{first}",), out, attributes=options)
            case LiteOperator.RESIZE_BILINEAR:
                self._resize(first, out, is_centred=bool(said.get(3)))
            case LiteOperator.RESHAPE:
                self._node("Transpose", (f"t{first}",), f"last{out}", attributes=[_integers("perm", FIRST_LAST)])
                shape = self._constant(f"shape{out}", self._constants[operator.inputs[1]].reshape(-1))
                self._node("Reshape", (f"last{out}", shape), out)
                self._shapes.add(out)
            case LiteOperator.CONCATENATION:
                self._concatenate(operator, said.get(0, 0))
            case other:
                raise ModelError(f"The network's operator {other} is not supported.")

    def _convolution(self, operator: Operator, *, is_deep: bool) -> None:
        given, kernel, *bias = operator.inputs
        said = operator.options
        padding, across, down = said[0], said[1], said[2]
        activation = said[4 if is_deep else 3]
        weight = self._constants[kernel].transpose((3, 0, 1, 2) if is_deep else LAST_FIRST)
        names = [f"t{given}", self._constant(f"weight{kernel}", weight)]
        names += [self._constant(f"bias{each}", self._constants[each]) for each in bias if each >= 0]
        _, high, wide, _ = self._network.shapes[given]
        pads = [0, 0, 0, 0]
        if padding == 0:  # SAME
            tall, broad = weight.shape[2:]
            top, bottom = _same(high, tall, down)
            left, right = _same(wide, broad, across)
            pads = [top, left, bottom, right]
        options = [
            _integers("kernel_shape", weight.shape[2:]),
            _integers("strides", (down, across)),
            _integers("pads", pads),
            _integer("group", weight.shape[0] if is_deep else 1),
        ]
        self._node("Conv", names, operator.outputs[0], activation, options)

    def _resize(self, given: int, out: int, *, is_centred: bool) -> None:
        _, high, wide, channels = self._network.shapes[out]
        size = self._constant(f"size{out}", np.array([1, channels, high, wide], np.int64))
        mode = "half_pixel" if is_centred else "asymmetric"
        options = [_string("mode", "linear"), _string("coordinate_transformation_mode", mode)]
        self._node("Resize", (f"t{given}", "", "", size), out, attributes=options)

    def _concatenate(self, operator: Operator, axis: int) -> None:
        is_last = all(each in self._shapes for each in operator.inputs)
        if is_last:
            self._shapes.add(operator.outputs[0])
        place = axis if is_last else LAST_FIRST.index(axis % 4)
        names = [f"t{each}" for each in operator.inputs]
        self._node("Concat", names, operator.outputs[0], attributes=[_integer("axis", place)])

    def _constant(self, name: str, numbers: Array) -> str:
        kind = FLOAT if numbers.dtype == np.float32 else INTEGER
        dims = b"".join(number(1, side) for side in numbers.shape)
        content = np.ascontiguousarray(numbers).tobytes()
        self._weights[name] = dims + number(2, kind) + text(8, name) + part(9, content)
        return name

    def _node(
        self,
        kind: str,
        inputs: Iterable[str],
        out: int | str,
        activation: int = 0,
        attributes: Sequence[bytes] = (),
    ) -> None:
        name = out if isinstance(out, str) else f"t{out}"
        inner = f"{name}_before" if activation else name
        node = b"".join(text(1, each) for each in inputs) + text(2, inner) + text(3, f"{kind}_{name}")
        self._nodes.append(node + text(4, kind) + b"".join(part(5, each) for each in attributes))
        if activation == RELU:
            self._nodes.append(text(1, inner) + text(2, name) + text(4, "Relu"))
        elif activation == RELU6:
            limits = [self._constant(f"{name}_{end}", np.array(end, np.float32)) for end in (0, 6)]
            given = b"".join(text(1, each) for each in (inner, *limits))
            self._nodes.append(given + text(2, name) + text(4, "Clip"))
        elif activation:
            raise ModelError(f"The network's activation {activation} is not supported.")


def _same(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """What TensorFlow's padding SAME adds before and after."""
    more = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return more // 2, more - more // 2


def _integer(name: str, value: int) -> bytes:
    return text(1, name) + number(3, value) + number(20, 2)


def _integers(name: str, values: Iterable[int]) -> bytes:
    return text(1, name) + b"".join(number(8, value) for value in values) + number(20, 7)


def _string(name: str, value: str) -> bytes:
    return text(1, name) + text(4, value) + number(20, 3)


def _value(name: str, shape: Iterable[int]) -> bytes:
    """The type of an input or an output."""
    sides = b"".join(part(1, number(1, side)) for side in shape)
    return text(1, name) + part(2, part(1, number(1, FLOAT) + part(2, sides)))
