"""Control networks as they lie in memory: opened by what their tensors are called, lent as any other resident."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from diffusers import ControlNetModel, ControlNetUnionModel, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from webui.catalog.control_kinds import ControlKind, told
from webui.engine.control.adapters import ControlAdapter, adapter_names
from webui.engine.control.encoders import Renamed, controlnet_names, union_names
from webui.engine.control.face_prompts import FacePrompt, face_prompt_of, instant_prompt_of
from webui.engine.control.flow import FlowControl, flow_control_of
from webui.engine.control.flow_lora import FlowLora, flow_lora_of
from webui.engine.control.image_prompts import ImagePrompt, image_prompt_of
from webui.engine.control.lllite import LLLite, lllite_of
from webui.engine.control.photo_maker import PhotoMaker, photo_maker_of
from webui.engine.control.styles import StyleAdapter, style_adapter_of
from webui.engine.families import ldm
from webui.engine.families.family import Conditioning
from webui.engine.families.weights import WeightsFile, open_weights
from webui.engine.memory import Profile
from webui.engine.residents import ResidentKind

PREFIXES = ("control_model.",)
ZEROS = ("controlnet_down_blocks.", "controlnet_mid_block.", "controlnet_cond_embedding.")
"""What a ControlNet has beside the copy of its UNet's way down."""


ADAPTED: Mapping[int, int] = MappingProxyType({4: 8, 3: 16})
"""Levels of a UNet -> the factor of the T2I-Adapters for it: SD1, SDXL."""


class ControlEncoder:
    """A ControlNet of a UNet. What it makes of a hint is asked for once a pass, not in each call."""

    def __init__(self, network: ControlNetModel | ControlNetUnionModel, *, pools: bool) -> None:
        """pools: its outputs are averages over the picture (shuffle)."""
        self.network, self.pools = network, pools
        self.hint_encoder = network.controlnet_cond_embedding
        network.controlnet_cond_embedding = nn.Identity()

    @property
    def channels(self) -> int:
        """Of the latents that it sees."""
        return int(self.network.config.in_channels)

    @property
    def count(self) -> int:
        """Of its outputs."""
        return len(self.network.controlnet_down_blocks) + 1

    @property
    def nbytes(self) -> int:
        return ldm.parameter_bytes(self.network) + ldm.parameter_bytes(self.hint_encoder)

    def seen(self, hint: Tensor) -> tuple[Tensor]:
        """(1, 3, 8 h, 8 w) -> (1, width, h, w)."""
        encoded: Tensor = self.hint_encoder(hint.to(self.network.dtype))
        return (encoded,)

    def outputs(self, x: Tensor, t: Tensor, conditioning: Conditioning, seen: Tensor) -> tuple[Tensor, ...]:
        """What to add to each skip and, last, to the middle. x: (rows, `channels` or more, h, w), t: (rows,); seen: the
        hint, (1 or rows, width, h, w)."""
        dtype = self.network.dtype
        vector, numbers = conditioning.vector, self._numbers(conditioning.vector)
        told = None
        if vector is not None and numbers is not None:
            pooled = vector.shape[1] - numbers
            told = {"text_embeds": vector[:, :pooled].to(dtype), "time_ids": vector[:, pooled:]}
        x = x[:, : self.channels].to(dtype)
        downs, middle = self._asked(x, t, conditioning.tokens.to(dtype), seen.to(dtype), told)
        return (*downs, middle)

    def _asked(
        self, x: Tensor, t: Tensor, tokens: Tensor, seen: Tensor, told: Mapping[str, Tensor] | None
    ) -> tuple[Sequence[Tensor], Tensor]:
        downs, middle = self.network(x, t, tokens, seen, added_cond_kwargs=told, return_dict=False)
        return downs, middle

    def _numbers(self, vector: Tensor | None) -> int | None:
        """How many numbers the vector has behind the pooled text; None: the network is told nothing of the kind."""
        config = self.network.config
        if vector is None or config.addition_embed_type != "text_time":
            return None
        told, each = int(config.projection_class_embeddings_input_dim), int(config.addition_time_embed_dim)
        return round((told - vector.shape[1]) / (each - 1))


class UnionEncoder(ControlEncoder):
    """A ControlNet that understands maps of several kinds, and is told which kind it sees.

    ControlNet++ by xinsir, https://github.com/xinsir6/ControlNetPlus; here diffusers' `ControlNetUnionModel`.
    """

    which = 0
    """The kind of map, by its number in the network."""

    @property
    def kinds(self) -> int:
        """How many it understands."""
        return int(self.network.config.num_control_type)

    def of(self, which: int) -> UnionEncoder:
        """The same network, which sees maps of this kind."""
        found = copy(self)
        found.which = which
        return found

    def seen(self, hint: Tensor) -> tuple[Tensor]:
        """What shall be filled is black here."""
        return super().seen(hint.clamp(min=0))

    def _asked(
        self, x: Tensor, t: Tensor, tokens: Tensor, seen: Tensor, told: Mapping[str, Tensor] | None
    ) -> tuple[Sequence[Tensor], Tensor]:
        which = torch.zeros(len(x), self.kinds, device=x.device)
        which[:, self.which] = 1
        shown = seen.expand(len(x), -1, -1, -1)
        downs, middle = self.network(
            x, t, tokens, [shown], which, [self.which], added_cond_kwargs=told, return_dict=False
        )
        return downs, middle


@dataclass(eq=False)
class ControlPart:
    """The low-rank changes, or the differences, to a UNet's own way down, which make a ControlNet of it."""

    file: WeightsFile
    names: Renamed
    is_low_rank: bool
    pools: bool

    def on(self, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> ControlEncoder:
        """The ControlNet for a UNet of these weights, by the names of diffusers.

        Raises:
            ModelError: it is not made for this UNet.
        """
        with ldm.unfilled():
            network = ControlNetModel(**self.names.config)
        filled = {}
        for name, parameter in network.state_dict().items():
            own = self._own(name)
            base = None if name.startswith(ZEROS) else weights.get(name)
            if own is None and base is None:
                raise self.file.error(f"{name} is missing")
            if base is not None and (own is None or self._adds(name)):
                value = base.to(device, torch.float32)
                value = value if own is None else value + own.to(device, torch.float32).reshape(value.shape)
            else:
                assert own is not None
                value = own.to(device, torch.float32)
            if value.numel() != parameter.numel():
                raise self.file.error(f"it was made for another model ({name} has the shape {list(value.shape)})")
            filled[name] = value.reshape(parameter.shape).to(dtype)
        network.load_state_dict(filled, assign=True)
        network.requires_grad_(False).eval()
        return ControlEncoder(network, pools=self.pools)

    def _adds(self, name: str) -> bool:
        return not self.is_low_rank or f"{self._full(name)}.up" in self.file.shapes

    def _full(self, name: str) -> str:
        return self.names.names.get(name, "").removesuffix(".weight")

    def _own(self, name: str) -> Tensor | None:
        full = self.names.names.get(name)
        if full is None:
            return None
        stem = full.removesuffix(".weight")
        if self.is_low_rank and f"{stem}.up" in self.file.shapes:
            up, down = self.file.tensor(f"{stem}.up").float(), self.file.tensor(f"{stem}.down").float()
            return up.flatten(1) @ down.flatten(1)
        return self.file.tensor(full) if full in self.file.shapes else None


Prompted = ImagePrompt | FacePrompt | PhotoMaker
"""What takes pictures for a prompt."""
Control = ControlEncoder | ControlPart | ControlAdapter | LLLite | Prompted | StyleAdapter | FlowControl | FlowLora


def opened(path: Path, device: torch.device, dtype: torch.dtype) -> Control:
    """The network of a file.

    Raises:
        ModelError: it is none that is known here, or damaged.
    """
    file = open_weights(path)
    found = told(file.shapes)
    if found is None:
        raise file.error(
            "it is not a control network", "If it is a checkpoint or a LoRA, move it to the folder for those."
        )
    match found.kind:
        case ControlKind.CONTROLNET:
            return _encoder(file, device, dtype)
        case ControlKind.UNION:
            known = union_names(file)
            with ldm.unfilled():
                union = ControlNetUnionModel(**known.config)
            ldm.check_complete(union, known.names, file, "ControlNet Union")
            ldm.fill(union, known.names, file, device, dtype)
            return UnionEncoder(union, pools=False)
        case ControlKind.CONTROL_LORA:
            names = {name.removesuffix(".up") + ".weight" if name.endswith(".up") else name for name in file.shapes}
            return ControlPart(file, _low_rank_names(file, names), is_low_rank=True, pools=_pools(path))
        case ControlKind.ADAPTER | ControlKind.LIGHT_ADAPTER:
            own = adapter_names(file.shapes)
            with ldm.unfilled():
                adapter = ControlAdapter({name: file.shapes[full] for name, full in own.items()})
            ldm.check_complete(adapter, own, file, "T2I-Adapter")
            ldm.fill(adapter, own, file, device, dtype)
            return adapter
        case ControlKind.LLLITE:
            return lllite_of(file, device, dtype)
        case ControlKind.STYLE_ADAPTER:
            return style_adapter_of(file, device, dtype)
        case ControlKind.IP_ADAPTER:
            return image_prompt_of(file, device, dtype)
        case ControlKind.FACE_ID:
            return face_prompt_of(file, device, dtype)
        case ControlKind.INSTANT_ID:
            return instant_prompt_of(file, device, dtype)
        case ControlKind.FLOW:
            return flow_control_of(file, found.family, device, dtype)
        case ControlKind.FLOW_LORA:
            return flow_lora_of(file, device, dtype)
        case ControlKind.PHOTO_MAKER:
            return photo_maker_of(file, device, dtype)
        case ControlKind.PULID:
            raise file.error(
                "it is a network for PuLID, which follows a face in a way that this version does not know",
                "Use an IP-Adapter FaceID, InstantID, PhotoMaker, or ip-adapter-plus-face with an image encoder.",
            )
        case _:
            raise file.error(f"it is of the kind {found.kind.value}, which this version cannot open")


def _encoder(file: WeightsFile, device: torch.device, dtype: torch.dtype) -> Control:
    names = file.under(*PREFIXES) or {name: name for name in file.shapes}
    known = controlnet_names(file, names)
    if "difference" in names:
        return ControlPart(file, known, is_low_rank=False, pools=_pools(file.path))
    with ldm.unfilled():
        network = ControlNetModel(**known.config)
    ldm.check_complete(network, known.names, file, "ControlNet")
    ldm.fill(network, known.names, file, device, dtype)
    return ControlEncoder(network, pools=_pools(file.path))


def _low_rank_names(file: WeightsFile, names: set[str]) -> Renamed:
    """By the shapes that the whole tensors would have."""
    shapes = dict(file.shapes)
    for name in names:
        up = shapes.get(f"{name.removesuffix('.weight')}.up")
        if up is not None:
            down = shapes[f"{name.removesuffix('.weight')}.down"]
            shapes[name] = (up[0], *down[1:])
    whole = WeightsFile(file.path, shapes, file.metadata, file.tensor)
    return controlnet_names(whole, {name: name for name in names})


def _pools(path: Path) -> bool:
    return "shuffle" in path.stem.lower()


def like_its_unet(network: nn.Module, unet: UNet2DConditionModel) -> None:
    """How many heads each attention has, which no file tells, is taken from the UNet that it controls."""
    theirs = {name: layer for name, layer in unet.named_modules() if isinstance(layer, Attention)}
    for name, layer in network.named_modules():
        if isinstance(layer, Attention):
            like = theirs.get(name) or _of_level(theirs, name)
            if like is not None:
                layer.heads = like.heads


def _of_level(attentions: Mapping[str, Attention], name: str) -> Attention | None:
    level = name.split(".attentions.")[0]
    return next((layer for other, layer in attentions.items() if other.startswith(level)), None)


def fits(control: Control, unet: nn.Module) -> bool:
    """Whether a network can act on this UNet or transformer, by the widths of both; what its file is called says
    nothing. A part of a network is looked at where it is put together (`ControlPart.on`)."""
    if isinstance(control, FlowControl | FlowLora):
        return control.fits(unet)
    return isinstance(unet, UNet2DConditionModel) and _fits_unet(control, unet)


def _fits_unet(control: Control, unet: UNet2DConditionModel) -> bool:
    match control:
        case ControlEncoder():
            ours = [int(layer.weight.shape[0]) for layer in control.network.controlnet_down_blocks]
            text = control.network.config.cross_attention_dim
            alike = ours == list(_widths(unet)) and control.channels == unet.config.out_channels
            return alike and text in (1, unet.config.cross_attention_dim)
        case ControlAdapter():
            theirs = [int(width) for width in unet.config.block_out_channels]
            return control.widths == [*theirs, *theirs[-1:]][: len(control.widths)] and (
                control.factor == ADAPTED.get(len(theirs), control.factor)
            )
        case LLLite() | ImagePrompt() | FacePrompt() | PhotoMaker():
            return control.fits(unet)
        case StyleAdapter():
            return int(unet.config.cross_attention_dim) == control.proj.shape[1]
        case _:
            return True


def _widths(unet: UNet2DConditionModel) -> Sequence[int]:
    """Of all that skips from a UNet's encoder to its decoder."""
    widths = [int(unet.conv_in.weight.shape[0])]
    for block in unet.down_blocks:
        width = int(block.resnets[0].conv1.weight.shape[0])
        widths += [width] * (len(block.resnets) + (1 if block.downsamplers else 0))
    return widths


def _size(control: Control) -> int:
    match control:
        case ControlEncoder():
            return control.nbytes
        case ControlPart():
            return 0  # its tensors stay in the file
        case FlowLora():
            return control.nbytes
        case FlowControl():
            return ldm.parameter_bytes(control.network)
        case _:
            return ldm.parameter_bytes(control)


def _placed(path: Path, profile: Profile) -> Control:
    return opened(path, profile.device, profile.half if profile.device.type == "cuda" else torch.float32)


CONTROL: ResidentKind[Control] = ResidentKind("control network", open=_placed, size=_size)
