"""IP-Adapters that follow a face: what a network for recognising faces says of it becomes tokens beside the text.

IP-Adapter FaceID, FaceID plus and plus v2 (tencent-ailab, 2023, Apache-2.0; https://github.com/tencent-ailab/IP-Adapter,
ip_adapter_faceid.py): two layers make tokens of the 512 numbers; in plus, these tokens gather from the patches of the
aligned face what an image encoder saw there; in plus v2 the first tokens are added to what was gathered. Their files
bring low-rank changes to the UNet's own attentions, too, which act with them. InstantID (Wang et al. 2024,
arXiv:2401.07519, Apache-2.0): sixteen tokens gather from such numbers, of another network, as from a single patch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import IPAdapterPlusImageProjection, IPAdapterPlusImageProjectionBlock
from torch import Tensor, nn

from webui.engine.control.image_prompts import (
    HEAD_WIDTH,
    OF_FACES,
    RESAMPLING,
    Acting,
    BesideText,
    ImageTokens,
    as_published,
    blocks,
    gathering,
    pair_names,
    projection_names,
)
from webui.engine.control.vision import Tower
from webui.engine.families import ldm
from webui.engine.families.weights import WeightsFile
from webui.request.preprocessors import FACE_WEIGHTS, INSTANT_WEIGHTS, WeightsOf

LOW_RANK = re.compile(r"ip_adapter\.(\d+)\.to_(q|k|v|out)_lora\.(down|up)\.weight")
PORTRAIT = 16
"""Tokens of the networks for portraits, which were trained to see several pictures side by side."""
SECOND = "plusv2"
"""What the names of files contain, without strokes, whose first tokens are added in the end: no tensor tells."""
At = tuple[int, str]
"""The number of an attention, in the order in which published files count them; "q", "k", "v" or "out"."""


@dataclass(frozen=True, eq=False)
class FaceVision:
    """What is told of one face."""

    embedded: Tensor
    """By a network for recognising faces: (1, 512)."""
    inner: Tensor | None = None
    """What an image encoder's last layer but one says of the aligned face: (1, patches + 1, width)."""


class FaceResampler(nn.Module):
    """Tokens look at the patches of a face (`FacePerceiverResampler`)."""

    def __init__(
        self,
        seen: int,
        width: int,
        inner: int,
        depth: int,
        ratio: float,
        text: int,
        *,
        head_width: int = HEAD_WIDTH,
    ) -> None:
        """seen: width of the patches; inner: of the attentions, all heads together."""
        super().__init__()
        heads = max(inner // head_width, 1)
        self.proj_in = nn.Linear(seen, width)
        self.layers = nn.ModuleList(
            IPAdapterPlusImageProjectionBlock(width, inner // heads, heads, ratio) for _ in range(depth)
        )
        self.proj_out = nn.Linear(width, text)
        self.norm_out = nn.LayerNorm(text)

    def forward(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """(1, n, width), (1, patches, seen) -> (1, n, text)."""
        patches = self.proj_in(patches)
        for layer in self.layers:
            tokens = layer(patches, tokens, tokens)
        found: Tensor = self.norm_out(self.proj_out(tokens))
        return found


class FaceProjection(nn.Module):
    """Tokens of a face."""

    def __init__(self, widths: tuple[int, int, int], text: int, resampler: FaceResampler | None, *, adds: bool) -> None:
        """widths: of what is told, between the layers, and of all tokens; adds: the first tokens are added at last."""
        super().__init__()
        told, between, tokens = widths
        self.told, self.text, self.adds = told, text, adds
        self.proj = nn.Sequential(nn.Linear(told, between), nn.GELU(), nn.Linear(between, tokens))
        self.norm = nn.LayerNorm(text)
        self.perceiver_resampler = resampler

    def forward(self, embedded: Tensor, patches: Tensor | None) -> Tensor:
        """(1, told), and (1, patches, width) where there is a resampler -> (1, n, text)."""
        tokens: Tensor = self.norm(self.proj(embedded).reshape(len(embedded), -1, self.text))
        if self.perceiver_resampler is None:
            return tokens
        assert patches is not None
        gathered: Tensor = self.perceiver_resampler(tokens, patches)
        return tokens + gathered if self.adds else gathered


class FaceQueries(IPAdapterPlusImageProjection):
    """Tokens of a face (InstantID)."""

    @property
    def told(self) -> int:
        """Numbers of a face."""
        return int(self.proj_in.in_features)

    def forward(self, x: Tensor, _patches: Tensor | None = None) -> Tensor:
        """(1, told) -> (1, n, text)."""
        found: Tensor = super().forward(x[:, None])
        return found


class LayerChange(nn.Module):
    """What is added to what a layer makes of the same."""

    def __init__(self, given: int, rank: int, made: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(given, rank, bias=False), nn.Linear(rank, made, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, count, given) -> (rows, count, made)."""
        found: Tensor = self.up(self.down(x.to(self.down.weight.dtype)))
        return found


class FacePrompt(BesideText):
    """A network that is told what one for recognising faces says."""

    def __init__(
        self,
        projection: FaceProjection | FaceQueries,
        pairs: Sequence[tuple[int, int]],
        tower: Tower,
        changes: Mapping[At, tuple[int, int, int]],
    ) -> None:
        """changes: of the UNet's own layers: the widths given and between, and that made."""
        super().__init__(projection, pairs, tower)
        self.changes = nn.ModuleDict(
            {f"{number}_{part}": LayerChange(*widths) for (number, part), widths in changes.items()}
        )

    @property
    def faces(self) -> FaceProjection | FaceQueries:
        """What makes the tokens."""
        assert isinstance(self.projection, FaceProjection | FaceQueries)
        return self.projection

    @property
    def is_instant(self) -> bool:
        """It is InstantID's: told by another network, whose numbers it takes as they are, not of length 1."""
        return isinstance(self.faces, FaceQueries)

    @property
    def recognised_by(self) -> WeightsOf:
        """The file of the network for recognising faces with whose answers it was trained."""
        return INSTANT_WEIGHTS if self.is_instant else FACE_WEIGHTS

    @property
    def looks_inside(self) -> bool:
        """It takes what an image encoder says, too."""
        return isinstance(self.faces, FaceProjection) and self.faces.perceiver_resampler is not None

    @property
    def face_width(self) -> int:
        """Of what a network for recognising faces says."""
        return self.faces.told

    def told(self, faces: Sequence[FaceVision], unseen: Tensor | None = None) -> ImageTokens:
        """The tokens of some faces together: their mean; networks for portraits get them side by side.

        unseen: what the image encoder says where there is nothing; with zeros in the place of a face the negative half
        is told of it.
        """
        like = next(self.faces.parameters())

        def tokens(embedded: Tensor, inner: Tensor | None) -> Tensor:
            patches = None if inner is None else inner.to(like.device, like.dtype)
            found: Tensor = self.faces(embedded.to(like.device, like.dtype), patches)
            return found

        seen = [tokens(each.embedded, each.inner) for each in faces]
        nobody = tokens(torch.zeros_like(faces[0].embedded), unseen)
        if nobody.shape[1] >= PORTRAIT and not self.is_instant:
            return ImageTokens(torch.cat(seen, dim=1), nobody.repeat(1, len(seen), 1))
        return ImageTokens(torch.stack(seen).mean(dim=0), nobody)

    def fits(self, unet: nn.Module) -> bool:
        """Whether the UNet has such attentions."""
        return super().fits(unet) and self._bent(unet) is not None

    def _bent(self, unet: nn.Module) -> list[tuple[str, str, nn.Module, nn.Module]] | None:
        """(name of an attention, "q" ..., the layer of the UNet, its change) of each; None: they do not fit."""
        layers, found = list(attentions(unet).items()), list[tuple[str, str, nn.Module, nn.Module]]()
        for place, change in self.changes.items():
            number, part = place.split("_")
            if int(number) >= len(layers):
                return None
            name, attention = layers[int(number)]
            layer = attention.to_out[0] if part == "out" else attention.get_submodule(f"to_{part}")
            assert isinstance(change, LayerChange) and isinstance(layer, nn.Linear)
            if (change.down.in_features, change.up.out_features) != (layer.in_features, layer.out_features):
                return None
            found.append((name, part, layer, change))
        return found

    @contextmanager
    def beside(self, unet: nn.Module, pictured: ImageTokens, acting: Acting) -> Iterator[None]:
        """As every network of the kind; what it changes in the UNet acts at the same calls and in the same blocks."""
        places = blocks(unet)
        with ExitStack() as hooks:
            for name, part, layer, change in self._bent(unet) or ():
                inside, which = name.rsplit(".", 1)
                own = _Bending(change, acting, places[f"{inside}.attn2"], which == "attn2" and part in "kv")
                # before all others, which keep what the layer says
                hooks.callback(layer.register_forward_hook(own, prepend=True).remove)
            hooks.enter_context(super().beside(unet, pictured, acting))
            yield


@dataclass(eq=False)
class _Bending:
    """A change to what a layer says, while its unit acts. As published, its strength is not the unit's weight."""

    change: nn.Module
    acting: Acting
    place: tuple[int, int]
    is_of_text: bool

    def __call__(self, _layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        acting = self.acting
        if not acting.is_on or not acting.bends or acting.weights(*self.place) == 0.0:
            return None
        given = args[0]
        if not acting.is_bounded:
            more: Tensor = self.change(given)
            return output + more.to(output)
        # The text is the same everywhere, and what is cut into tiles has no place: both stay as they are.
        if self.is_of_text or len(given) != len(acting.positive):
            return None
        region = acting.region(given.shape[1])
        more = self.change(given)
        return output + (more if region is None else more * region.to(more)).to(output)


def attentions(unet: nn.Module) -> dict[str, Attention]:
    """By their names, in the order in which the published files count them: encoder, decoder, middle."""
    found = {name: module for name, module in unet.named_modules() if name.endswith((".attn1", ".attn2"))}
    return {name: module for name, module in found.items() if isinstance(module, Attention)}


# ---------------------------------------------------------------- files


def face_prompt_of(file: WeightsFile, device: torch.device, dtype: torch.dtype) -> FacePrompt:
    """
    Raises:
        ModelError: tensors are missing, or it is of a kind that nobody knows.
    """
    file = as_published(file, OF_FACES)
    try:
        pairs, own = pair_names(file)
        view, names = projection_names(file, RESAMPLING)
        changes, low = _changes(file)
        with ldm.unfilled():
            projection, tower = _projection(view, adds=SECOND in re.sub(r"[-_ .]", "", file.path.stem.lower()))
            network = FacePrompt(projection, pairs, tower, changes)
    except (KeyError, IndexError, ValueError) as error:
        raise file.error(f"its IP-Adapter FaceID is not complete ({error})", "Download it again.") from error
    names |= own | low
    ldm.check_complete(network, names, view, "IP-Adapter FaceID")
    ldm.fill(network, names, view, device, dtype)
    return network


def instant_prompt_of(file: WeightsFile, device: torch.device, dtype: torch.dtype) -> FacePrompt:
    """InstantID's.

    Raises:
        ModelError: tensors are missing.
    """
    file = as_published(file)
    try:
        pairs, own = pair_names(file)
        view, names = projection_names(file)
        shapes = {name.removeprefix("projection."): shape for name, shape in view.shapes.items()}
        with ldm.unfilled():
            network = FacePrompt(FaceQueries(*gathering(shapes, pairs[0][0])), pairs, Tower(), {})
    except (KeyError, IndexError, ValueError) as error:
        raise file.error(f"its InstantID is not complete ({error})", "Download it again.") from error
    names |= own
    ldm.check_complete(network, names, view, "InstantID")
    ldm.fill(network, names, view, device, dtype)
    return network


def _projection(file: WeightsFile, *, adds: bool) -> tuple[FaceProjection, Tower]:
    shapes = {name.removeprefix("projection."): shape for name, shape in file.shapes.items()}
    (between, told), tokens = shapes["proj.0.weight"], shapes["proj.2.weight"][0]
    (text,) = shapes["norm.weight"]
    if tokens % text:
        raise ValueError(f"{tokens} numbers are no tokens of {text}")
    at = "perceiver_resampler"
    if f"{at}.proj_in.weight" not in shapes:
        return FaceProjection((told, between, tokens), text, None, adds=False), Tower()
    width, seen = shapes[f"{at}.proj_in.weight"]
    inner = shapes[f"{at}.layers.0.attn.to_q.weight"][0]
    depth = 1 + max(int(name.split(".")[2]) for name in shapes if name.startswith(f"{at}.layers."))
    ratio = shapes[f"{at}.layers.0.ff.1.net.0.proj.weight"][0] / width
    made = shapes[f"{at}.proj_out.weight"][0]
    if width != text or made != text:
        raise ValueError(f"tokens of {text}, {width} and {made} numbers")
    resampler = FaceResampler(seen, width, inner, depth, ratio, made)
    return FaceProjection((told, between, tokens), text, resampler, adds=adds), Tower(width=seen)


def _changes(file: WeightsFile) -> tuple[dict[At, tuple[int, int, int]], dict[str, str]]:
    """Widths of the changes, and their parameters -> names in the file.

    Raises:
        KeyError, ValueError: the file has but one half of one, or halves that do not fit.
    """
    found, names = dict[At, tuple[int, int, int]](), dict[str, str]()
    for match in filter(None, map(LOW_RANK.fullmatch, file.shapes)):
        stem = f"ip_adapter.{match[1]}.to_{match[2]}_lora"
        (rank, given), (made, other) = file.shapes[f"{stem}.down.weight"], file.shapes[f"{stem}.up.weight"]
        if rank != other:
            raise ValueError(f"{stem} has the ranks {rank} and {other}")
        found[int(match[1]), match[2]] = (given, rank, made)
        for half in ("down", "up"):
            names[f"changes.{match[1]}_{match[2]}.{half}.weight"] = f"{stem}.{half}.weight"
    return found, names
