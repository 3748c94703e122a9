"""Tiled VAE: tiles cover the picture and take the statistics of the whole, and the VAE is left as it was.

A picture is compared with a recorded one in tests/golden/test_pictures.py.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.conftest import Engine
from webui.engine.families import ldm
from webui.features.tiled_vae.engine import tiled
from webui.features.tiled_vae.parameters import Params
from webui.features.tiled_vae.pieces import DECODER_EDGE, ENCODER_EDGE, spans
from webui.server.api.alwayson import features_in


@given(st.integers(1, 2000), st.integers(8, 512), st.sampled_from([DECODER_EDGE, ENCODER_EDGE]))
def test_tiles_cover_the_side_and_see_beyond_their_own_part(side: int, tile: int, edge: int) -> None:
    found = spans(side, tile, edge)
    assert found[0].own[0] == 0 and found[-1].own[1] == side
    assert all(one.own[1] == following.own[0] for one, following in pairwise(found))
    for span in found:
        assert 0 <= span.seen[0] <= span.own[0] < span.own[1] <= span.seen[1] <= side
        assert span.own[0] == 0 or span.own[0] - span.seen[0] == edge
        assert span.seen[1] - span.seen[0] <= max(tile, 1) + 2 * edge + edge


def test_a_program_of_the_extension_is_understood() -> None:
    (values,) = features_in({"tiled vae": {"args": [True, 64, 16, True, True, False, True]}}).values()
    made = Params.made(**values)
    assert (made.encoder_tile_size, made.decoder_tile_size) == (64, 16)
    assert (made.fast_decoder, made.fast_encoder, made.color_fix) == (True, False, True)


@pytest.fixture
def vae(engine: Engine) -> AutoencoderKL:
    with engine.models.lend(engine.ref, None) as lent:
        found = lent.model.parts["vae"]
    assert isinstance(found, AutoencoderKL)
    return found


def params(**values: Any) -> Params:
    return Params.made(**{"encoder_tile_size": 64, "decoder_tile_size": 16, **values})


@pytest.mark.long
def test_side_by_side_is_nearer_to_the_whole_than_an_estimate(vae: AutoencoderKL) -> None:
    apart: dict[bool, list[float]] = {}
    with torch.inference_mode():
        latents = torch.randn(1, 4, 48, 32, generator=torch.Generator().manual_seed(1))
        whole = vae.decode(latents, return_dict=False)[0]
        own = vae.encode(whole).latent_dist.mean
        for fast in (False, True):
            with tiled(vae, params(fast_decoder=fast, fast_encoder=fast)):
                ldm.set_tiling(vae, True)  # the memory plan's pieces give way
                made = vae.decode(latents, return_dict=False)[0]
                back = vae.encode(whole).latent_dist.mean
            ldm.set_tiling(vae, False)
            assert made.shape == whole.shape and back.shape == own.shape
            pairs = ((made, whole), (back, own))
            apart[fast] = [float((one - other).abs().mean() / other.std()) for one, other in pairs]
        assert torch.equal(vae.decode(latents, return_dict=False)[0], whole)
    assert all(0 < slow < fast < 1 for slow, fast in zip(apart[False], apart[True], strict=True))
    assert not {"forward", "tiled_decode"} & (vars(vae) | vars(vae.decoder) | vars(vae.encoder)).keys()


def test_a_picture_that_fits_a_tile_is_the_whole_s(vae: AutoencoderKL) -> None:
    latents = torch.randn(1, 4, 38, 20, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = vae.decode(latents, return_dict=False)[0]
        with tiled(vae, params()):
            assert torch.equal(vae.decode(latents, return_dict=False)[0], whole)
