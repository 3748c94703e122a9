"""Weights without what training programs put around them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from webui.base.errors import ModelError
from webui.engine.families.weights import format_of, load_pickle, open_weights

WRAPPED = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net")
"""What training programs put the weights under."""


def bare_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their names.

    Raises:
        ModelError: the file is broken, unsafe, or has none.
    """
    if format_of(path) != "pickle":
        weights = open_weights(path)
        return {name: weights.tensor(name) for name in weights.shapes}
    content = load_pickle(path)
    for key in WRAPPED:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = content.items() if isinstance(content, dict) else ()
    state = {name: value for name, value in tensors if isinstance(name, str) and isinstance(value, Tensor)}
    if not state:
        raise ModelError(f"{path.name} cannot be loaded: it does not contain any tensors.", hint="Download it again.")
    return {name.removeprefix("module.").removeprefix("netG."): tensor for name, tensor in state.items()}
