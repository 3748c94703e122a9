"""Small .onnx files: one convolution, after which a sigmoid may stand."""

from __future__ import annotations

import numpy as np

from webui.base.protobuf import number, part, text


def graph(
    *,
    side: int = 32,
    channels: int = 3,
    sigmoid: bool = True,
    dims: tuple[int, ...] = (1, 3, 1, 1),
    external: bool = False,
    outputs: int = 1,
) -> bytes:
    """A file whose answer is how much redder than blue each pixel is. outputs: channels of the answer."""
    weight = np.tile(np.array([8, 0, -8], np.float32), outputs)
    shape = (outputs, *dims[1:]) if dims[0] == 1 else dims
    tensor = b"".join(number(1, each) for each in shape) + number(2, 1) + text(8, "w") + part(9, weight.tobytes())
    tensor += part(13, text(1, "location") + text(2, "../../secret.bin")) + number(14, 1) if external else b""
    made = "logits" if sigmoid else "mask"
    nodes = part(1, text(1, "picture") + text(1, "w") + text(2, made) + text(3, "conv") + text(4, "Conv"))
    if sigmoid:
        nodes += part(1, text(1, made) + text(2, "mask") + text(3, "end") + text(4, "Sigmoid"))
    inner = nodes + text(2, "graph") + part(5, tensor) + part(11, _value("picture", (1, channels, side, side)))
    inner += part(12, _value("mask", (1, outputs, side, side)))
    return number(1, 7) + part(8, text(1, "") + number(2, 13)) + part(7, inner)


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    sides = b"".join(part(1, number(1, side)) for side in shape)
    return text(1, name) + part(2, part(1, number(1, 1) + part(2, sides)))
