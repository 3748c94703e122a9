"""For the length of a batch, the VAE's encoder and decoder work in tiles where a picture is large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from diffusers import AutoencoderKL
from torch import Tensor, nn

from webui.engine.feature import FeatureEngine
from webui.features.tiled_vae.parameters import Params
from webui.features.tiled_vae.pieces import (
    DECODER_EDGE,
    ENCODER_EDGE,
    Moments,
    decoding,
    encoding,
    estimated,
    in_tiles,
)


class Engine(FeatureEngine[Params]):
    def patch_vae(self, vae: nn.Module) -> AbstractContextManager[None]:
        return tiled(vae, self.params) if isinstance(vae, AutoencoderKL) else nullcontext()


@contextmanager
def tiled(vae: Any, params: Params) -> Iterator[None]:
    """Within the block the VAE works in tiles, and in these alone; afterwards it is as it was."""

    def whole_decode(z: Tensor, return_dict: bool = True) -> object:
        vae.use_tiling = False
        return vae._decode(z, return_dict=return_dict)

    def whole_encode(x: Tensor) -> object:
        vae.use_tiling = False
        return vae._encode(x)

    with ExitStack() as replaced:
        for owner, name, stand_in in (
            (vae, "tiled_decode", whole_decode),
            (vae, "_tiled_encode", whole_encode),
            (vae.encoder, "forward", _encoder(vae.encoder, params)),
            (vae.decoder, "forward", _decoder(vae.decoder, params)),
        ):
            replaced.enter_context(_replaced(owner, name, stand_in))
        yield


@contextmanager
def _replaced(owner: nn.Module, name: str, stand_in: object) -> Iterator[None]:
    """Within the block a method of this object is another one."""
    own = vars(owner).get(name)
    setattr(owner, name, stand_in)
    try:
        yield
    finally:
        delattr(owner, name)
        if own is not None:
            setattr(owner, name, own)


def _encoder(encoder: Any, params: Params) -> Callable[[Tensor], Tensor]:
    plain, tile = encoder.forward, params.encoder_tile_size
    factor = 2 ** (len(encoder.down_blocks) - 1)

    def forward(x: Tensor) -> Tensor:
        if max(x.shape[-2:]) <= tile + 2 * ENCODER_EDGE:
            whole: Tensor = plain(x)
            return whole
        walk_of = lambda part: encoding(encoder, part)  # noqa: E731
        known: list[Moments] = estimated(walk_of, x, tile) if params.fast_encoder else []
        if params.color_fix:
            known = known[: 2 * len(encoder.down_blocks[0].resnets)]
        is_whole = params.fast_encoder and not params.color_fix
        return in_tiles(walk_of, x, tile, ENCODER_EDGE, known, whole=is_whole, scaled=lambda n: n // factor)

    return forward


def _decoder(decoder: Any, params: Params) -> Callable[..., Tensor]:
    plain, tile = decoder.forward, params.decoder_tile_size
    factor = 2 ** (len(decoder.up_blocks) - 1)

    def forward(x: Tensor, latent_embeds: Tensor | None = None) -> Tensor:
        if max(x.shape[-2:]) <= tile + 2 * DECODER_EDGE:
            whole: Tensor = plain(x, latent_embeds)
            return whole
        walk_of = lambda part: decoding(decoder, part)  # noqa: E731
        known = estimated(walk_of, x, tile) if params.fast_decoder else []
        return in_tiles(walk_of, x, tile, DECODER_EDGE, known, whole=params.fast_decoder, scaled=lambda n: n * factor)

    return forward
