"""PhotoMaker: pictures of a person become part of the word that the prompt has for that person.

Li et al. 2023, arXiv:2312.04461 (TencentARC/PhotoMaker, Apache-2.0). The word is there once for each picture; what it
means is brought together with what an image encoder of the file's own says of the picture (section 3.2), by small
networks. Version 2 asks tokens that a network for recognising faces begins and the encoder's patches finish, two for
each picture. The file brings low-rank changes to the UNet's attentions along.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers import CLIPVisionModelWithProjection

from webui.engine.control.face_prompts import FaceProjection, FaceResampler, LayerChange
from webui.engine.control.image_prompts import RESAMPLING, projection_names
from webui.engine.control.vision import config_of, framed
from webui.engine.families import ldm
from webui.engine.families.weights import WeightsFile
from webui.engine.networks.adapter import split_name
from webui.engine.networks.targets import Targets
from webui.engine.preprocessors.picture import Bytes
from webui.request.preprocessors import FACE_WEIGHTS, WeightsOf

ENCODER, CHANGES, FACES = "id_encoder.", "lora_weights.", "id_encoder.qformer_perceiver."
HEAD_WIDTH = 128
"""Of the attention that gathers tokens from the patches, in version 2."""
_TOKENS = (("token_proj.", "proj."), ("token_norm.", "norm."))
"""What version 2 calls its first layers -> what they are called here."""


class MixingLayers(nn.Module):
    """Two layers behind a norm."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(given)
        self.fc1, self.fc2 = nn.Linear(given, made), nn.Linear(made, made)

    def forward(self, x: Tensor) -> Tensor:
        """(n, given) -> (n, made)."""
        found: Tensor = self.fc2(gelu(self.fc1(self.layernorm(x))))
        return found


class WordFusion(nn.Module):
    """A word and a picture become one meaning (equation 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp1, self.mlp2 = MixingLayers(2 * width, width), MixingLayers(width, width)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, words: Tensor, seen: Tensor) -> Tensor:
        """(n, width) each -> (n, width)."""
        mixed = words + self.mlp1(torch.cat([words, seen], dim=-1))
        found: Tensor = self.layer_norm(mixed + self.mlp2(mixed))
        return found


class PhotoMaker(nn.Module):
    """A file's networks."""

    def __init__(
        self,
        tower: CLIPVisionModelWithProjection,
        second: tuple[int, int],
        faces: FaceProjection | None,
        changes: Mapping[str, tuple[int, int, int, float]],
    ) -> None:
        """second: widths given and made of the second projection; changes: layer -> widths given, between and made,
        and by how much the change is multiplied."""
        super().__init__()
        self.tower, self.faces = tower, faces
        self.visual_projection_2 = nn.Linear(*second, bias=False)
        self.fuse_module = WordFusion(tower.config.projection_dim + second[1])
        self.changes = nn.ModuleDict({name: LayerChange(*widths[:3]) for name, widths in changes.items()})
        self.scales = {name: widths[3] for name, widths in changes.items()}

    @property
    def width(self) -> int:
        """Of the text, both towers of SDXL together."""
        return int(self.fuse_module.layer_norm.normalized_shape[0])

    @property
    def recognised_by(self) -> WeightsOf:
        """The file of the network for recognising faces with whose answers version 2 was trained."""
        return FACE_WEIGHTS

    @property
    def face_width(self) -> int:
        """What that says of a face; 0: it is not asked (version 1)."""
        return 0 if self.faces is None else self.faces.told

    @torch.inference_mode()
    def told(self, pictures: Sequence[Bytes], embedded: Sequence[Tensor]) -> Tensor:
        """(pictures, or twice as many, width): what stands for each use of the word. pictures: (h, w, 3) each;
        embedded: of the face in each, (1, face_width), in version 2 alone."""
        like = self.fuse_module.layer_norm.weight
        side = int(self.tower.config.image_size)
        pixels = torch.stack([framed(each, side) for each in pictures]).to(like.device, like.dtype)
        seen = self.tower.vision_model(pixel_values=pixels)
        if self.faces is None:
            pooled = seen.pooler_output
            return torch.cat([self.tower.visual_projection(pooled), self.visual_projection_2(pooled)], dim=-1)
        faces = torch.cat(list(embedded)).to(like.device, like.dtype)
        tokens: Tensor = self.faces(faces, seen.last_hidden_state)
        return tokens.flatten(0, 1)

    @torch.inference_mode()
    def fused(self, tokens: Tensor, places: Sequence[int], told: Tensor, weight: float) -> Tensor:
        """A text, (n, width), in which the word stands at these places, one for each of `told`. weight: 0: as it is,
        1: as published."""
        like = self.fuse_module.layer_norm.weight
        at = torch.tensor(list(places), device=tokens.device)
        words = tokens[at].to(like.device, like.dtype)
        found = self.fuse_module(words, told.to(like.device, like.dtype)).to(tokens)
        made = tokens.clone()
        made[at] = torch.lerp(tokens[at], found, weight)
        return made

    def fits(self, unet: nn.Module) -> bool:
        """Whether the UNet looks at such texts, and has the layers that the file changes."""
        config: Mapping[str, object] = getattr(unet, "config", {})
        return config.get("cross_attention_dim") == self.width and self._bent(unet) is not None

    def _bent(self, unet: nn.Module) -> list[tuple[nn.Linear, str]] | None:
        """(layer of the UNet, name of its change) of each; None: they do not fit."""
        targets, found = Targets.of({"unet": unet}), list[tuple[nn.Linear, str]]()
        for name, change in self.changes.items():
            target = targets.find(name)
            if target is None or len(target) != 1:
                return None
            layer = unet.get_submodule(target[0].module)
            assert isinstance(change, LayerChange)
            widths = change.down.in_features, change.up.out_features
            if not isinstance(layer, nn.Linear) or widths != (layer.in_features, layer.out_features):
                return None
            found.append((layer, name))
        return found

    @contextmanager
    def beside(self, unet: nn.Module, strength: Callable[[], float]) -> Iterator[None]:
        """Within the block the file's changes act in the UNet, as strongly as `strength` says at each call."""
        with ExitStack() as hooks, torch.compiler.set_stance("force_eager"):
            for layer, name in self._bent(unet) or ():
                own = _Adding(self.changes[name], self.scales[name], strength)
                # before all others, which keep what the layer says
                hooks.callback(layer.register_forward_hook(own, prepend=True).remove)
            yield


class _Adding:
    """What a layer says, and its change."""

    def __init__(self, change: nn.Module, scale: float, strength: Callable[[], float]) -> None:
        self.change, self.scale, self.strength = change, scale, strength

    def __call__(self, _layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if not (strength := self.strength()):
            return None
        more: Tensor = self.change(args[0])
        return output + (more * (strength * self.scale)).to(output)


# ---------------------------------------------------------------- files


def photo_maker_of(file: WeightsFile, device: torch.device, dtype: torch.dtype) -> PhotoMaker:
    """
    Raises:
        ModelError: tensors are missing, or do not fit one another.
    """
    try:
        view = _seen_as_clip(file)
        config = config_of(view)
        changes, names = _changes(file)
        with ldm.unfilled():
            made, given = view.shapes["visual_projection_2.weight"]
            faces, view, own = _faces(view)
            network = PhotoMaker(CLIPVisionModelWithProjection(config), (given, made), faces, changes)
    except (KeyError, IndexError, ValueError) as error:
        raise file.error(f"its PhotoMaker is not complete ({error})", "Download it again.") from error
    places = (config.image_size // config.patch_size) ** 2 + 1
    network.tower.vision_model.embeddings.position_ids = torch.arange(places)[None]
    names |= own
    for name in network.state_dict():
        names.setdefault(name, name.removeprefix("tower."))
    ldm.check_complete(network, names, view, "PhotoMaker")
    ldm.fill(network, names, view, device, dtype)
    return network.to(device)


def _seen_as_clip(file: WeightsFile) -> WeightsFile:
    """A view in which the encoder's tensors have the names of transformers, and the changes their own."""
    full = {name.removeprefix(ENCODER): name for name in file.shapes}
    shapes, tensor = {name: file.shapes[old] for name, old in full.items()}, file.tensor
    return replace(file, shapes=shapes, tensor=lambda name: tensor(full[name]))


def _faces(view: WeightsFile) -> tuple[FaceProjection | None, WeightsFile, dict[str, str]]:
    """What begins tokens of a face (version 2), a view of the file in which its keys and values lie apart, and its
    parameters -> names in the view.

    Raises:
        KeyError, ValueError: it is not complete.
    """
    at = FACES.removeprefix(ENCODER)
    if not any(name.startswith(at) for name in view.shapes):
        return None, view, {}
    full: dict[str, str] = {}
    for name in view.shapes:
        own = name.removeprefix(at)
        for old, new in _TOKENS:
            own = re.sub(rf"^{re.escape(old)}", new, own)
        full[own if own == name else f"image_proj.{own}"] = name
    tensor = view.tensor
    shapes = {name: view.shapes[old] for name, old in full.items()}
    view, names = projection_names(replace(view, shapes=shapes, tensor=lambda name: tensor(full[name])), RESAMPLING)
    shapes = {name.removeprefix("projection."): shape for name, shape in view.shapes.items()}
    (between, told), tokens, (text,) = shapes["proj.0.weight"], shapes["proj.2.weight"][0], shapes["norm.weight"]
    inside = "perceiver_resampler."
    width, seen = shapes[f"{inside}proj_in.weight"]
    inner = shapes[f"{inside}layers.0.attn.to_q.weight"][0]
    depth = 1 + max(int(name.split(".")[2]) for name in shapes if name.startswith(f"{inside}layers."))
    ratio = shapes[f"{inside}layers.0.ff.1.net.0.proj.weight"][0] / width
    if not text or tokens % text or width != text:
        raise ValueError(f"tokens of {text} and {width} numbers, {tokens} together")
    resampler = FaceResampler(seen, width, inner, depth, ratio, text, head_width=HEAD_WIDTH)
    made = FaceProjection((told, between, tokens), text, resampler, adds=True)
    return made, view, {name.replace("projection.", "faces.", 1): name for name in names.values()}


def _changes(file: WeightsFile) -> tuple[dict[str, tuple[int, int, int, float]], dict[str, str]]:
    """Widths of the changes, by the names of their layers, and their parameters -> names in the file.

    Raises:
        KeyError, ValueError: the file has but one half of one, or halves that do not fit.
    """
    halves: dict[str, dict[str, str]] = {}
    for name in file.shapes:
        if name.startswith(CHANGES) and (found := split_name(name.removeprefix(CHANGES))):
            halves.setdefault(found[0], {})[found[1]] = name
    widths, names = dict[str, tuple[int, int, int, float]](), dict[str, str]()
    for layer, parts in halves.items():
        own = re.sub(r"_to_out$", "_to_out_0", layer)
        (rank, given), (made, other) = file.shapes[parts["down"]], file.shapes[parts["up"]]
        if rank != other or not rank:
            raise ValueError(f"{layer} has the ranks {rank} and {other}")
        scale = float(file.tensor(parts["alpha"])) / rank if "alpha" in parts else 1.0
        widths[own] = (given, rank, made, scale)
        for half in ("down", "up"):
            names[f"changes.{own}.{half}.weight"] = parts[half]
    return widths, names
