"""IP-Adapters: a picture as a prompt, which a UNet attends to beside the text.

Ye et al. 2023, arXiv:2308.06721, section 3.2 (decoupled cross-attention). What an image encoder says of a picture
becomes a few tokens; in each cross-attention the same queries look at them through keys and values of their own, and
what they find is added to what they found in the text. Files are known by the names and shapes of their tensors, as
published, or as diffusers keeps them in a UNet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import ImageProjection, IPAdapterFullImageProjection, IPAdapterPlusImageProjection
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from webui.engine.control.vision import ImageEncoder, Tower, Vision
from webui.engine.families import ldm
from webui.engine.families.weights import Shapes, WeightsFile

HEAD_WIDTH = 64
"""Of the attention that gathers tokens from an encoder's patches."""
KEY = re.compile(r"ip_adapter\.(\d+)\.to_([kv])_ip\.weight")
OF_DIFFUSERS = re.compile(r"(?:unet\.)?(.+)\.attn2\.processor\.to_([kv])_ip\.0\.weight")
CHANGE_OF_DIFFUSERS = re.compile(
    r"(?:unet\.)?(.+)\.attn([12])\.(?:processor\.)?to_(q|k|v|out)(?:\.0)?[._]lora[._](down|up|A|B)(?:\.\w+)?\.weight"
)
"""A low-rank change to the UNet's own layers, as diffusers reads one from a file for faces, or keeps it there."""
PROJECTION = "encoder_hid_proj.image_projection_layers.0."
"""Where diffusers keeps what makes tokens of a picture."""
RESAMPLING = (
    (r"\blayers\.(\d+)\.0\.norm1\.", r"layers.\1.ln0."),
    (r"\blayers\.(\d+)\.0\.norm2\.", r"layers.\1.ln1."),
    (r"\blayers\.(\d+)\.0\.to_q\.", r"layers.\1.attn.to_q."),
    (r"\blayers\.(\d+)\.0\.to_out\.", r"layers.\1.attn.to_out.0."),
    (r"\blayers\.(\d+)\.1\.0\.", r"layers.\1.ff.0."),
    (r"\blayers\.(\d+)\.1\.1\.", r"layers.\1.ff.1.net.0.proj."),
    (r"\blayers\.(\d+)\.1\.3\.", r"layers.\1.ff.1.net.2."),
)
"""Names of what gathers tokens from patches in the published files -> in diffusers' modules."""
_PLUS = (
    *RESAMPLING,
    (r"^proj\.0\.", "ff.net.0.proj."),
    (r"^proj\.2\.", "ff.net.2."),
    (r"^proj\.3\.", "norm."),
    (r"^proj\.(weight|bias)$", r"image_embeds.\1"),
)
"""Names in the published files -> in diffusers' modules."""


@dataclass(frozen=True, eq=False)
class ImageTokens:
    """The tokens of one unit's pictures: (1, n, text width) each."""

    positive: Tensor
    negative: Tensor

    def of(self, positive: Tensor) -> Tensor:
        """(rows, n, text width). positive: (rows,), 1 where a row is the positive half's, else 0."""
        return torch.cat([self.negative, self.positive])[positive.to(self.negative.device)]


class BesideText(nn.Module):
    """A network of a file: what makes tokens of a picture, and keys and values for each cross-attention of a UNet."""

    def __init__(self, projection: nn.Module, pairs: Sequence[tuple[int, int]], tower: Tower) -> None:
        """pairs: (text width, width of the attention) of each cross-attention, in the order of diffusers."""
        super().__init__()
        self.projection, self.tower = projection, tower
        self.keys = nn.ModuleList(nn.Linear(text, width, bias=False) for text, width in pairs)
        self.values = nn.ModuleList(nn.Linear(text, width, bias=False) for text, width in pairs)

    def fits(self, unet: nn.Module) -> bool:
        """Whether the UNet has such cross-attentions."""
        layers = cross_attentions(unet)
        ours = [(layer.in_features, layer.out_features) for layer in self.keys if isinstance(layer, nn.Linear)]
        return ours == [(layer.to_k.in_features, layer.to_k.out_features) for layer in layers.values()]

    @contextmanager
    def beside(self, unet: nn.Module, pictured: ImageTokens, acting: Acting) -> Iterator[None]:
        """Within the block the UNet's cross-attentions look at the pictures, too, as `acting` says at each call."""
        layers, places = cross_attentions(unet), blocks(unet)
        with ExitStack() as hooks, torch.compiler.set_stance("force_eager"):
            for (name, layer), key, value in zip(layers.items(), self.keys, self.values, strict=True):
                shared = next((hook for hook in layer.to_q._forward_hooks.values() if isinstance(hook, _Queries)), None)
                if shared is None:
                    shared = _Queries(layer.heads)
                    hooks.callback(layer.to_q.register_forward_hook(shared).remove)
                    hooks.callback(layer.to_out[0].register_forward_pre_hook(shared.added).remove)
                both = torch.cat([pictured.negative, pictured.positive])
                own = _Unit(acting, places[name], key(both), value(both))
                shared.units.append(own)
                hooks.callback(shared.units.remove, own)
            yield


class ImagePrompt(BesideText):
    """A network that is told what an image encoder says."""

    @property
    def looks_inside(self) -> bool:
        """It takes what the encoder says of each patch, not of the whole."""
        return not isinstance(self.projection, ImageProjection)

    def told(self, encoder: ImageEncoder, visions: Sequence[Vision]) -> ImageTokens:
        """The tokens of some pictures together: their mean. The negative half is told of a picture without content."""
        if self.looks_inside:
            seen, unseen = [vision.inner for vision in visions], encoder.unseen().inner
        else:
            seen = [vision.embedded for vision in visions]
            unseen = torch.zeros_like(seen[0])
        like = next(self.projection.parameters())

        def tokens(given: Tensor) -> Tensor:
            found: Tensor = self.projection(given.to(like.device, like.dtype))
            return found

        return ImageTokens(torch.stack([tokens(each) for each in seen]).mean(dim=0), tokens(unseen))


class Acting:
    """How a unit acts in the call in work."""

    def __init__(self, weights: Callable[[int, int], float]) -> None:
        """weights: (rank of a block with attention, in the order of calls; how many there are) -> its weight."""
        self.weights = weights
        self.is_on = False
        self.positive = torch.empty(0, dtype=torch.long)
        """Which rows of the call are the positive half's: (rows,), 1 or 0."""
        self.region: Callable[[int], Tensor | None] = lambda _count: None
        """How many tokens a layer has -> how far the unit acts at each of them, (1 or rows, count, 1)."""
        self.is_bounded = False
        """There is such a region."""
        self.bends = True
        """What the file changes in the UNet itself acts, too."""


@dataclass(eq=False)
class _Unit:
    """What one unit adds in a layer."""

    acting: Acting
    place: tuple[int, int]
    keys: Tensor
    values: Tensor
    """(2, n, width) each: of the negative half, and of the positive."""

    def __call__(self, query: Tensor, heads: int) -> Tensor | None:
        """query: (rows, count, width) -> what is added to what it found in the text; None: nothing."""
        weight = self.acting.weights(*self.place) if self.acting.is_on else 0.0
        if weight == 0.0:
            return None
        rows = self.acting.positive.to(self.keys.device)
        parts = (query, self.keys[rows].to(query.dtype), self.values[rows].to(query.dtype))
        q, k, v = (part.reshape(*part.shape[:2], heads, -1).transpose(1, 2) for part in parts)
        found = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2) * weight
        region = self.acting.region(query.shape[1])
        return found if region is None else found * region.to(found)


@dataclass(eq=False)
class _Queries:
    """After a layer's queries, which are kept, and before its output, to which all units add what these find."""

    heads: int
    units: list[_Unit] = field(default_factory=list)
    kept: Tensor | None = None

    def __call__(self, _layer: nn.Module, _args: object, query: Tensor) -> None:
        self.kept = query

    def added(self, _layer: nn.Module, args: tuple[Tensor, ...]) -> object:
        query, self.kept = self.kept, None
        if query is None:
            return None
        found = [each for each in (unit(query, self.heads) for unit in self.units) if each is not None]
        return (args[0] + torch.stack(found).sum(dim=0), *args[1:]) if found else None


def cross_attentions(unet: nn.Module) -> dict[str, Attention]:
    """By their names, in the order in which the published files count them: encoder, decoder, middle."""
    found = {name: module for name, module in unet.named_modules() if name.endswith(".attn2")}
    return {name: module for name, module in found.items() if isinstance(module, Attention)}


def blocks(unet: nn.Module) -> dict[str, tuple[int, int]]:
    """Name of each cross-attention -> the rank of its block among those with attention, in the order of calls, and how
    many there are."""
    inside = {name: name.split(".transformer_blocks.")[0] for name in cross_attentions(unet)}
    order = ("down_blocks", "mid_block", "up_blocks")
    ranked = sorted(dict.fromkeys(inside.values()), key=lambda block: order.index(block.split(".")[0]))
    return {name: (ranked.index(block), len(ranked)) for name, block in inside.items()}


# ---------------------------------------------------------------- files


OF_FACES = (
    (r"^(?:proj|ff)\.net\.0\.proj\.", "proj.0."),
    (r"^(?:proj|ff)\.net\.2\.", "proj.2."),
    (r"^(layers|proj_in|proj_out|norm_out)\.", r"perceiver_resampler.\1."),
)
"""Names in diffusers' modules for faces -> in the published files."""


def image_prompt_of(file: WeightsFile, device: torch.device, dtype: torch.dtype) -> ImagePrompt:
    """
    Raises:
        ModelError: tensors are missing, or it is of a kind that nobody knows.
    """
    file = as_published(file)
    try:
        pairs, own = pair_names(file)
        view, names = projection_names(file)
        with ldm.unfilled():
            projection, tower = _projection(view, pairs[0][0])
            network = ImagePrompt(projection, pairs, tower)
    except (KeyError, IndexError, ValueError) as error:
        raise file.error(f"its IP-Adapter is not complete ({error})", "Download it again.") from error
    names |= own
    ldm.check_complete(network, names, view, "IP-Adapter")
    ldm.fill(network, names, view, device, dtype)
    return network


def pair_names(file: WeightsFile) -> tuple[list[tuple[int, int]], dict[str, str]]:
    """(text width, width of the attention) of each cross-attention, and parameters of keys and values -> in the file.

    Raises:
        KeyError, ValueError: the file has not both for each.
    """
    numbers = sorted({int(match[1]) for name in file.shapes if (match := KEY.fullmatch(name))})
    pairs, names = list[tuple[int, int]](), dict[str, str]()
    for place, number in enumerate(numbers):
        width, text = file.shapes[f"ip_adapter.{number}.to_k_ip.weight"]
        pairs.append((text, width))
        names[f"keys.{place}.weight"] = f"ip_adapter.{number}.to_k_ip.weight"
        names[f"values.{place}.weight"] = f"ip_adapter.{number}.to_v_ip.weight"
    return pairs, names


def _projection(file: WeightsFile, text: int) -> tuple[nn.Module, Tower]:
    """What makes tokens of a picture, by the names of diffusers; and the tower that it was trained with."""
    shapes = {name.removeprefix("projection."): shape for name, shape in file.shapes.items()}
    if "latents" in shapes:
        return IPAdapterPlusImageProjection(*gathering(shapes, text)), Tower(width=shapes["proj_in.weight"][1])
    if "ff.net.0.proj.weight" in shapes:
        width = shapes["ff.net.0.proj.weight"][1]
        return IPAdapterFullImageProjection(width, text), Tower(width=width)
    long, width = shapes["image_embeds.weight"]
    return ImageProjection(width, text, long // text), Tower(projection=width)


def gathering(shapes: Shapes, text: int) -> tuple[int, int, int, int, int, int, int, float]:
    """Arguments of diffusers' module for a projection that gathers tokens, by its names there.

    Raises:
        KeyError, ValueError: it is not complete.
    """
    _, queries, hidden = shapes["latents"]
    inner, width = shapes["layers.0.attn.to_q.weight"][0], shapes["proj_in.weight"][1]
    depth = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("layers."))
    ratio = shapes["layers.0.ff.1.net.0.proj.weight"][0] / hidden
    heads = max(inner // HEAD_WIDTH, 1)
    return width, text, hidden, depth, inner // heads, heads, queries, ratio


def projection_names(
    file: WeightsFile, patterns: Sequence[tuple[str, str]] = _PLUS
) -> tuple[WeightsFile, dict[str, str]]:
    """A view of the file in which keys and values lie apart, and parameters of the projection -> names in the view.

    patterns: of its names -> in the modules here.
    """
    shapes, sources = dict[str, tuple[int, ...]](), dict[str, Callable[[], Tensor]]()
    for name, shape in file.shapes.items():
        own = name.removeprefix("image_proj.")
        if own == name:
            shapes[name], sources[name] = shape, _reading(file, name)
            continue
        for pattern, new in patterns:
            own = re.sub(pattern, new, own)
        if match := re.fullmatch(r"(.*\b)layers\.(\d+)\.0\.to_kv\.weight", own):
            for rank, letter in enumerate("kv"):
                part = f"projection.{match[1]}layers.{match[2]}.attn.to_{letter}.weight"
                shapes[part], sources[part] = (shape[0] // 2, *shape[1:]), _half(file, name, rank)
        else:
            shapes[f"projection.{own}"], sources[f"projection.{own}"] = shape, _reading(file, name)
    view = replace(file, shapes=shapes, tensor=lambda name: sources[name]())
    return view, {name: name for name in shapes if name.startswith("projection.")}


def _reading(file: WeightsFile, name: str) -> Callable[[], Tensor]:
    return lambda: file.tensor(name)


def _half(file: WeightsFile, name: str, rank: int) -> Callable[[], Tensor]:
    return lambda: file.tensor(name).chunk(2)[rank]


def as_published(file: WeightsFile, projection: Sequence[tuple[str, str]] = ()) -> WeightsFile:
    """The names of published files, where those of diffusers stand.

    projection: patterns of the names in diffusers' module for what makes tokens -> in the published files.
    """
    if any(KEY.fullmatch(name) for name in file.shapes):
        return file
    layers = dict.fromkeys(match[1] for name in file.shapes if (match := OF_DIFFUSERS.fullmatch(name)))
    order = ("down_blocks", "up_blocks", "mid_block")
    ranked = sorted(layers, key=lambda layer: (order.index(layer.split(".")[0]), _numbers(layer)))
    full: dict[str, str] = {}
    for name in file.shapes:
        if match := OF_DIFFUSERS.fullmatch(name):
            full[f"ip_adapter.{2 * ranked.index(match[1]) + 1}.to_{match[2]}_ip.weight"] = name
        elif PROJECTION in name:
            own = name.split(PROJECTION, 1)[1]
            for pattern, new in projection:
                own = re.sub(pattern, new, own)
            full[f"image_proj.{own}"] = name
        elif (match := CHANGE_OF_DIFFUSERS.fullmatch(name)) and match[1] in layers:
            number = 2 * ranked.index(match[1]) + int(match[2]) - 1
            half = {"A": "down", "B": "up"}.get(match[4], match[4])
            full[f"ip_adapter.{number}.to_{match[3]}_lora.{half}.weight"] = name
    tensor = file.tensor
    return replace(
        file, shapes={name: file.shapes[old] for name, old in full.items()}, tensor=lambda name: tensor(full[name])
    )


def _numbers(layer: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", layer)))
