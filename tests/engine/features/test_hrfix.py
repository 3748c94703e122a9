"""Kohya's HRFix: the network sees a smaller picture from one block on, and is left as it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import made_checkpoint
from tests.engine.conftest import Engine, reference
from tests.engine.test_generate import request as asked
from webui.engine.model_manager import ModelManager
from webui.engine.sampling.process import Diffusion, sd_alphas_cumprod
from webui.features.hrfix.engine import encoder_of, noise_range, resized, shrunk
from webui.features.hrfix.parameters import METHODS, Params

BLOCKS = {"tiny-sd1": 11, "tiny-sdxl": 5}
"""The last block of the encoder, as its authors number them."""


@pytest.fixture(params=BLOCKS)
def unet(request: pytest.FixtureRequest, models: ModelManager) -> Iterator[tuple[nn.Module, int]]:
    """A whole network and its last block."""
    path: Path = made_checkpoint(request.param, request)
    with torch.inference_mode(), models.lend(reference(path), None) as loaded:
        yield loaded.model.parts["unet"], BLOCKS[request.param]


def answer(unet: Any, height: int = 16, width: int = 24) -> Tensor:
    """What the network says to latents of this size."""
    drawn = torch.Generator().manual_seed(1)
    told: dict[str, Tensor] = {}
    if unet.config.addition_embed_type is not None:
        rest = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
        told = {"time_ids": torch.ones(1, 6), "text_embeds": torch.randn(1, rest, generator=drawn)}
    x = torch.randn(1, unet.config.in_channels, height, width, generator=drawn)
    tokens = torch.randn(1, 77, unet.config.cross_attention_dim, generator=drawn)
    found: Tensor = unet(x, torch.tensor([500.0]), tokens, added_cond_kwargs=told or None, return_dict=False)[0]
    return found


def hooks_of(network: nn.Module) -> list[tuple[int, int]]:
    return [(len(each._forward_hooks), len(each._forward_pre_hooks)) for each in network.modules()]


def test_the_encoder_is_counted_as_its_authors_do(unet: tuple[nn.Module, int]) -> None:
    network, last = unet
    assert len(encoder_of(network)) == last + 1


@pytest.mark.parametrize("after_skip", [True, False])
def test_every_block_can_be_the_one_and_nothing_is_left_behind(unet: tuple[nn.Module, int], after_skip: bool) -> None:
    network, last = unet
    hooks = hooks_of(network)
    for size in ((16, 24), (9, 13)):
        plain = answer(network, *size)
        for number in range(1, last + 1):
            params = Params(block_number=number, downscale_after_skip=after_skip)
            with shrunk(network, params, lambda: True):
                shown = answer(network, *size)
            assert shown.shape == plain.shape
            assert size != (16, 24) or not torch.equal(shown, plain), number
        assert torch.equal(answer(network, *size), plain)
        with pytest.raises(KeyError), shrunk(network, Params(), lambda: True):
            raise KeyError
        assert torch.equal(answer(network, *size), plain)
    assert hooks_of(network) == hooks


def test_factor_one_and_a_time_when_it_does_not_act_give_the_same_bits(unet: tuple[nn.Module, int]) -> None:
    network, _ = unet
    plain = answer(network)
    for params, acts in ((Params(downscale_factor=1), True), (Params(), False)):
        with shrunk(network, params, lambda acts=acts: acts):  # type: ignore[misc]
            assert torch.equal(answer(network), plain)


def test_what_comes_after_the_block_is_smaller_and_what_skips_is_not(unet: tuple[nn.Module, int]) -> None:
    network, last = unet
    downsampler = last // 3 + (last < 11)  # of the first stage
    assert "Downsample" in type(encoder_of(network)[downsampler][0]).__name__
    widths = {}
    for name, params in {
        "plain": Params(downscale_factor=1),
        "after": Params(block_number=downsampler),
        "before": Params(block_number=downsampler, downscale_after_skip=False),
    }.items():
        skipped: list[int] = []
        middle: list[int] = []
        with shrunk(network, params, lambda: True):
            handles = [
                network.get_submodule("down_blocks.0.downsamplers.0").register_forward_hook(_noting_output(skipped)),
                network.get_submodule("mid_block").register_forward_pre_hook(_noting(middle)),
            ]
            answer(network)
            for handle in handles:
                handle.remove()
        widths[name] = (skipped[0], middle[0])
    assert widths["after"] == (12, widths["before"][1])
    assert widths["before"][0] == 6
    assert widths["before"][1] < widths["plain"][1]


def _noting(widths: list[int]) -> Callable[..., None]:
    return lambda _module, args: widths.append(args[0].shape[-1])


def _noting_output(widths: list[int]) -> Callable[..., None]:
    return lambda _module, _args, output: widths.append(output.shape[-1])


@pytest.mark.parametrize("method", METHODS)
def test_each_way_of_resizing_keeps_what_is_even(method: str) -> None:
    even = torch.tensor([3.0, -1.0, 0.5]).reshape(1, 3, 1, 1).expand(2, 3, 6, 10)
    for size in ((3, 5), (12, 20), (7, 9)):
        torch.testing.assert_close(resized(even, size, method), even[:, :, :1, :1].expand(2, 3, *size))
    x = torch.randn(1, 3, 6, 10)
    assert resized(x, (6, 10), method) is x


def test_turning_keeps_the_length_of_what_has_one_length() -> None:
    x = torch.nn.functional.normalize(torch.randn(1, 8, 5, 5, generator=torch.Generator().manual_seed(2)), dim=1)
    turned = resized(x, (10, 10), "bislerp").norm(dim=1)
    torch.testing.assert_close(turned, torch.ones_like(turned), atol=1e-4, rtol=0)


def test_the_shares_are_those_of_the_timesteps() -> None:
    process = Diffusion(sd_alphas_cumprod())
    lowest, highest = noise_range(process, 0.0, 0.35)
    assert highest == float("inf")
    assert float(process.position(torch.tensor(lowest))) == pytest.approx(0.65 * 999, abs=0.01)
    assert noise_range(process, 0.5, 1.0)[0] == 0.0


def test_factor_one_gives_the_picture_without_it(engine: Engine) -> None:
    big = {"width": 128, "height": 128, "steps": 2}
    plain = engine.run(asked(**big))[0]
    same = engine.run(asked(**big, features={"Kohya HRFix": {"downscale_factor": 1}}))[0]
    assert same.rgb == plain.rgb


def test_a_block_that_is_not_there_is_said(engine: Engine) -> None:
    made = engine.run(asked(features={"Kohya HRFix": {"block_number": 30}}))[0]
    assert any(re.search(r"no block 30; its last one is 11", remark) for remark in made.comments)
