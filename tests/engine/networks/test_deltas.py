"""Each kind of network file against its formula, written out with loops or with another library's words."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from webui.engine.networks.deltas import fits, kind_of, weight_change


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def changed(tensors: dict[str, Tensor], weight: Tensor, rank: int | None = None) -> Tensor:
    kind = kind_of(tensors)
    assert kind is not None
    assert fits(kind, tensors, weight.shape)
    return weight_change(kind, tensors, weight, rank)


CUBE = numbers(16, 2, 2, 2)
LINEAR, CONV = numbers(12, 8), numbers(12, 8, 3, 3)


def test_lora_is_up_times_down_by_alpha_over_rank() -> None:
    up, down = numbers(12, 4), numbers(4, 8)
    found = changed({"up": up, "down": down, "alpha": torch.tensor(2.0)}, LINEAR)
    assert torch.allclose(found, up @ down * 0.5)
    shorter = changed({"up": up, "down": down}, LINEAR, rank=1)
    assert torch.allclose(shorter, torch.outer(up[:, 0], down[0]))


def test_lora_of_a_convolution_is_two_convolutions_in_a_row() -> None:
    up, down = numbers(12, 4, 1, 1), numbers(4, 8, 3, 3)
    x = numbers(1, 8, 6, 6)
    found = changed({"up": up, "down": down}, CONV)
    two = torch.nn.functional.conv2d(torch.nn.functional.conv2d(x, down), up)
    assert torch.allclose(torch.nn.functional.conv2d(x, found), two, atol=1e-4)


def test_lora_with_a_core_is_three_convolutions_in_a_row() -> None:
    up, mid, down = numbers(12, 4, 1, 1), numbers(4, 5, 3, 3), numbers(5, 8, 1, 1)
    x = numbers(1, 8, 6, 6)
    found = changed({"up": up, "mid": mid, "down": down}, CONV)
    conv = torch.nn.functional.conv2d
    assert torch.allclose(conv(x, found), conv(conv(conv(x, down), mid), up), atol=1e-3)


def test_loha_is_the_product_of_two_loras_element_by_element() -> None:
    t = {"hada_w1_a": numbers(12, 2), "hada_w1_b": numbers(2, 8), "hada_w2_a": numbers(12, 2, seed=1)}
    t["hada_w2_b"] = numbers(2, 8, seed=1)
    expected = (t["hada_w1_a"] @ t["hada_w1_b"]) * (t["hada_w2_a"] @ t["hada_w2_b"])
    assert torch.allclose(changed(t, LINEAR), expected)


def test_loha_with_cores_for_a_convolution() -> None:
    t = {f"hada_w{n}_{side}": numbers(2, width, seed=n) for n in (1, 2) for side, width in (("a", 12), ("b", 8))}
    t |= {f"hada_t{n}": numbers(2, 2, 3, 3, seed=n) for n in (1, 2)}
    sides = [torch.einsum("pqkl,po,qi->oikl", t[f"hada_t{n}"], t[f"hada_w{n}_a"], t[f"hada_w{n}_b"]) for n in (1, 2)]
    assert torch.allclose(changed(t, CONV), sides[0] * sides[1], atol=1e-4)


@pytest.mark.parametrize("weight", [LINEAR, CONV], ids=["linear", "convolution"])
def test_lokr_puts_a_scaled_copy_of_one_matrix_for_each_number_of_the_other(weight: Tensor) -> None:
    first, second = numbers(3, 2), numbers(4, 4, *weight.shape[2:])
    found = changed({"lokr_w1": first, "lokr_w2": second}, weight)
    for row in range(3):
        for column in range(2):
            block = found[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]
            assert torch.allclose(block, first[row, column] * second)


def test_lokr_of_parts() -> None:
    a, b, second = numbers(3, 2), numbers(2, 2), numbers(4, 4)
    t = {"lokr_w1_a": a, "lokr_w1_b": b, "lokr_w2": second, "alpha": torch.tensor(1.0)}
    assert torch.allclose(changed(t, LINEAR), torch.kron(a @ b, second) / 2)


def test_ia3_scales_outputs_or_inputs() -> None:
    rows, columns = numbers(12), numbers(8)
    by_output = changed({"weight": rows, "on_input": torch.tensor(False)}, CONV)
    by_input = changed({"weight": columns, "on_input": torch.tensor(True)}, CONV)
    assert torch.allclose(by_output[5], CONV[5] * rows[5])
    assert torch.allclose(by_input[:, 5], CONV[:, 5] * columns[5])


@pytest.mark.parametrize("old", [True, False])
def test_glora_changes_the_weights_own_inputs_too(old: bool) -> None:
    down_in, up_in, down, up = numbers(2, 8), numbers(8, 2), numbers(2, 8, seed=1), numbers(12, 2)
    expected = LINEAR @ up_in @ down_in + up @ down
    if old:
        t = {"a1": down_in, "a2": up_in, "b1": down, "b2": up}
    else:
        t = {"a2": down_in, "a1": up_in, "b2": down, "b1": up}
    assert torch.allclose(changed(t, LINEAR), expected, atol=1e-5)


@pytest.mark.parametrize("old", [True, False])
def test_glora_of_a_square_layer_is_told_by_its_low_rank(old: bool) -> None:
    weight = numbers(8, 8)
    down_in, up_in, down, up = numbers(2, 8), numbers(8, 2), numbers(2, 8, seed=1), numbers(8, 2, seed=1)
    names = ("a1", "a2", "b1", "b2") if old else ("a2", "a1", "b2", "b1")
    t = {**dict(zip(names, (down_in, up_in, down, up), strict=True)), "alpha": torch.tensor(1.0)}
    assert torch.allclose(changed(t, weight), (weight @ up_in @ down_in + up @ down) / 2, atol=1e-5)


def test_glora_of_a_convolution_mixes_its_inputs_before_it() -> None:
    a_down, a_up, b_down, b_up = numbers(2, 8, 1, 1), numbers(8, 2, 1, 1), numbers(2, 8, 3, 3), numbers(12, 2, 1, 1)
    t = {"a2": a_down, "a1": a_up, "b2": b_down, "b1": b_up, "alpha": torch.tensor(1.0)}
    x, conv = numbers(1, 8, 6, 6), torch.nn.functional.conv2d
    expected = conv(conv(conv(x, a_down), a_up), CONV) + conv(conv(x, b_down), b_up)
    assert torch.allclose(conv(x, changed(t, CONV)), expected / 2, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [(4, 4, 4), (3, 4, 4, 4)], ids=["OFT", "BOFT"])
def test_oft_turns_the_outputs_and_keeps_their_lengths_and_angles(shape: tuple[int, ...]) -> None:
    weight = numbers(16, 8)
    turned = weight + changed({"oft_blocks": numbers(*shape)}, weight)
    assert not torch.allclose(turned, weight, atol=0.1)
    assert torch.allclose(turned.T @ turned, weight.T @ weight, atol=1e-3)


def test_oft_blocks_of_zeros_change_nothing() -> None:
    assert torch.allclose(changed({"oft_blocks": torch.zeros(2, 4, 4, 4)}, CUBE), torch.zeros(16, 2, 2, 2), atol=1e-6)


def test_full_differences_and_norms_are_the_change() -> None:
    assert torch.equal(changed({"diff": LINEAR}, LINEAR), LINEAR)
    assert torch.equal(changed({"w_norm": numbers(12)}, numbers(12)), numbers(12))


@pytest.mark.parametrize(("axis", "shape"), [(0, (12, 1)), (1, (1, 8))], ids=["outputs", "inputs"])
def test_dora_gives_each_output_or_input_the_length_that_was_learnt(axis: int, shape: tuple[int, int]) -> None:
    magnitude = numbers(*shape).abs()
    merged = LINEAR + changed({"up": numbers(12, 4), "down": numbers(4, 8), "dora": magnitude}, LINEAR)
    lengths = merged.norm(dim=1 - axis)
    assert torch.allclose(lengths, magnitude.flatten(), rtol=1e-4)


def test_an_inpainting_unets_first_layer_takes_the_change_of_a_plain_one() -> None:
    wide, diff = numbers(6, 9, 3, 3), numbers(6, 4, 3, 3)
    found = changed({"diff": diff}, wide)
    assert torch.equal(found[:, :4], diff)
    assert not found[:, 4:].any()


def test_what_does_not_fit_is_seen_by_its_shapes() -> None:
    t = {"up": numbers(10, 4), "down": numbers(4, 8)}
    kind = kind_of(t)
    assert kind is not None
    assert not fits(kind, t, LINEAR.shape)
    assert kind_of({"alpha": torch.tensor(1.0)}) is None
