"""Hypernetworks: read as A1111 writes them, acting on keys and values alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention

from webui.base.errors import ModelError
from webui.engine.networks.hypernetworks import patched, read_hypernetwork

WIDTH = 8


def state(norm: bool = False) -> dict[str, torch.Tensor]:
    """Linear, (activation,) dropout or layer norm, linear: indices count what has no weights too."""
    found = {"linear.0.weight": torch.randn(16, WIDTH), "linear.0.bias": torch.randn(16)}
    if norm:
        found |= {"linear.2.weight": torch.rand(16), "linear.2.bias": torch.rand(16)}
    return found | {"linear.4.weight": torch.randn(WIDTH, 16), "linear.4.bias": torch.randn(WIDTH)}


def written(path: Path, **said: Any) -> Path:
    torch.manual_seed(3)
    norm = bool(said.get("is_layer_norm"))
    torch.save({WIDTH: [state(norm), state(norm)], "step": 7, "name": "n", **said}, path)
    return path


def test_it_adds_what_its_layers_make_of_the_context(tmp_path: Path) -> None:
    path = written(tmp_path / "n.pt", activation_func="relu", activate_output=False, is_layer_norm=True)
    keys = read_hypernetwork(path).modules[WIDTH][0]
    raw = torch.load(path, weights_only=True)[WIDTH][0]
    x = torch.randn(2, 5, WIDTH)
    functional = torch.nn.functional
    hidden = functional.relu(functional.linear(x, raw["linear.0.weight"], raw["linear.0.bias"]))
    hidden = functional.layer_norm(hidden, (16,), raw["linear.2.weight"], raw["linear.2.bias"])
    expected = x + 0.5 * functional.linear(hidden, raw["linear.4.weight"], raw["linear.4.bias"])
    assert torch.allclose(keys(x, 0.5), expected, atol=1e-5)


def test_attention_sees_it_within_the_block_alone(tmp_path: Path) -> None:
    network = read_hypernetwork(written(tmp_path / "n.pt", activation_func="linear"))
    attention = torch.nn.Sequential(Attention(query_dim=WIDTH, heads=2, dim_head=4))
    x = torch.randn(1, 5, WIDTH)
    before = attention(x)
    with patched(attention, [(network, 1.0)]):
        assert not torch.allclose(attention(x), before)
    assert torch.equal(attention(x), before)
    with patched(attention, [(network, 0.0)]):
        assert torch.allclose(attention(x), before, atol=1e-6)


def test_what_is_no_hypernetwork_is_said_so(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "odd.pt")
    with pytest.raises(ModelError, match=r"odd\.pt"):
        read_hypernetwork(tmp_path / "odd.pt")
    with pytest.raises(ModelError, match="sparkle"):
        read_hypernetwork(written(tmp_path / "n.pt", activation_func="sparkle"))
