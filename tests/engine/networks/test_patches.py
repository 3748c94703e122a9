"""Networks on a model: put on, changed, taken off, refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from webui.base.errors import ModelError, UserError
from webui.engine.networks.patches import Patches, WantedNetwork
from webui.engine.networks.targets import Targets
from webui.request.plan import NetworkRef

WIDTH = 8


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.to_k = nn.Linear(WIDTH, WIDTH, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(WIDTH, WIDTH)])


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mid_block = nn.ModuleDict({"attn1": Attention()})
        self.conv_in = nn.Conv2d(4, WIDTH, 3)


class Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, WIDTH)


@dataclass
class Family:
    name: str = "SD1"


@dataclass
class Model:
    """As much of a model as networks need."""

    parts: dict[str, nn.Module]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    family: Family = field(default_factory=Family)

    def weights(self) -> dict[str, Tensor]:
        return {
            f"{part}.{name}": tensor.clone()
            for part, module in self.parts.items()
            for name, tensor in module.state_dict().items()
        }


@pytest.fixture
def model() -> Any:
    torch.manual_seed(1)
    parts = {"unet": Network(), "text": Text()}
    for module in parts.values():
        module.requires_grad_(False)
    return Model(parts)


Q, OUT, TEXT = "lora_unet_mid_block_attn1_to_q", "lora_unet_mid_block_attn1_to_out_0", "lora_te_text_model_fc1"


@pytest.fixture
def lora(tmp_path: Path) -> Callable[..., NetworkRef]:
    """Writes a LoRA file of rank 2 for these layers."""

    def write(name: str, *layers: str, width: int = WIDTH, metadata: dict[str, str] | None = None) -> NetworkRef:
        torch.manual_seed(len(name))
        tensors = {}
        for layer in layers:
            tensors[f"{layer}.lora_up.weight"] = torch.randn(width, 2)
            tensors[f"{layer}.lora_down.weight"] = torch.randn(2, width)
        path = tmp_path / f"{name}.safetensors"
        save_file(tensors, path, metadata)
        return NetworkRef(str(path), name)

    return write


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_taken_off_leaves_the_same_bits(model: Any, lora: Callable[..., NetworkRef]) -> None:
    model.parts["unet"].half()
    before, patches = model.weights(), Patches()
    first, second = WantedNetwork(lora("a", Q, OUT, TEXT), 0.7, 0.3), WantedNetwork(lora("bb", Q))
    for wanted in ([first], [first, second], [second], []):
        patches.apply_networks(model, wanted)
        assert same(model.weights(), before) == (not wanted)
    assert patches.nbytes == 0


def test_the_way_to_a_set_does_not_matter(model: Any, lora: Callable[..., NetworkRef]) -> None:
    patches, first, second = Patches(), lora("a", Q, OUT), lora("bb", Q, TEXT)
    wanted = [WantedNetwork(first, 0.5, 0.5), WantedNetwork(second, 1.0, 0.2)]
    patches.apply_networks(model, wanted)
    directly = model.weights()
    patches.apply_networks(model, [WantedNetwork(second, -1.0, -1.0)])
    patches.apply_networks(model, wanted)
    assert same(model.weights(), directly)


def test_the_same_set_touches_nothing_and_another_weight_only_its_own_layers(
    model: Any, lora: Callable[..., NetworkRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    merge = Patches._merge
    monkeypatch.setattr(
        Patches,
        "_merge",
        lambda self, model, home, layers: (computed.append(home[0][1]), merge(self, model, home, layers)),
    )
    patches, first, second = Patches(), lora("a", OUT), lora("bb", Q)
    patches.apply_networks(model, [WantedNetwork(first), WantedNetwork(second)])
    assert sorted(computed) == ["mid_block.attn1.to_out.0", "mid_block.attn1.to_q"]
    computed.clear()
    patches.apply_networks(model, [WantedNetwork(first), WantedNetwork(second)])
    assert not computed
    patches.apply_networks(model, [WantedNetwork(first), WantedNetwork(second, unet=0.5)])
    assert computed == ["mid_block.attn1.to_q"]


def test_text_and_unet_have_their_own_strengths(model: Any, lora: Callable[..., NetworkRef]) -> None:
    before, patches = model.weights(), Patches()
    patches.apply_networks(model, [WantedNetwork(lora("a", Q, TEXT), te=1.0, unet=0.0)])
    after = model.weights()
    assert torch.equal(after["unet.mid_block.attn1.to_q.weight"], before["unet.mid_block.attn1.to_q.weight"])
    assert not torch.equal(after["text.fc1.weight"], before["text.fc1.weight"])
    assert patches.fit[0].applied == patches.fit[0].total == 2


def test_what_fits_is_counted(model: Any, lora: Callable[..., NetworkRef]) -> None:
    patches = Patches()
    patches.apply_networks(model, [WantedNetwork(lora("a", Q, "lora_unet_unheard_of", "lora_te_text_model_fc9"))])
    assert (patches.fit[0].applied, patches.fit[0].total) == (1, 3)


def test_another_familys_is_refused_by_name_and_changes_nothing(model: Any, lora: Callable[..., NetworkRef]) -> None:
    before, patches = model.weights(), Patches()
    foreign = lora("painter", Q, metadata={"ss_base_model_version": "sdxl_base_v1-0"})
    with pytest.raises(UserError, match="painter was made for SDXL, but the checkpoint is SD1"):
        patches.apply_networks(model, [WantedNetwork(lora("a", Q)), WantedNetwork(foreign)])
    with pytest.raises(UserError, match="wide does not fit this SD1 checkpoint: none of its 2 layers"):
        patches.apply_networks(model, [WantedNetwork(lora("wide", Q, OUT, width=16))])
    assert same(model.weights(), before)
    patches.apply_networks(model, [WantedNetwork(foreign)], strict=False)
    assert same(model.weights(), before)


def test_a_failure_in_the_middle_leaves_the_checkpoint(
    model: Any, lora: Callable[..., NetworkRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, patches = model.weights(), Patches()
    patches.apply_networks(model, [WantedNetwork(lora("a", Q))])
    merge = Patches._merge

    def failing(self: Patches, model: Any, home: Any, layers: Any) -> None:
        if "to_out" in home[0][1]:
            raise MemoryError
        merge(self, model, home, layers)

    monkeypatch.setattr(Patches, "_merge", failing)
    with pytest.raises(MemoryError):
        patches.apply_networks(model, [WantedNetwork(lora("bb", Q, OUT))])
    assert same(model.weights(), before)
    assert patches.key == ()


def test_a_file_that_changed_is_read_again(model: Any, lora: Callable[..., NetworkRef]) -> None:
    patches = Patches()
    patches.apply_networks(model, [WantedNetwork(lora("a", Q))])
    first = model.weights()
    lora("a", Q, OUT)
    patches.apply_networks(model, [WantedNetwork(lora("a", Q, OUT))])
    assert not same(model.weights(), first)


def test_a_file_without_a_network_is_no_lora(model: Any, tmp_path: Path) -> None:
    save_file({"position_ids": torch.zeros(2)}, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match="odd"):
        Patches().apply_networks(model, [WantedNetwork(NetworkRef(str(tmp_path / "odd.safetensors"), "odd"))])


SPELLINGS = {
    "kohya": (Q, "lora_up.weight", "lora_down.weight"),
    "peft": ("unet.mid_block.attn1.to_q", "lora_B.weight", "lora_A.weight"),
    "raw peft": ("base_model.model.mid_block.attn1.to_q", "lora_B.default.weight", "lora_A.default.weight"),
    "old diffusers": ("unet.mid_block.attn1.processor.to_q", "lora.up.weight", "lora.down.weight"),
    "lycoris": ("lycoris_mid_block_attn1_to_q", "lora_up.weight", "lora_down.weight"),
    "text": ("text_encoder.text_model.fc1", "lora_linear_layer.up.weight", "lora_linear_layer.down.weight"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_programs_spelling_is_understood(model: Any, tmp_path: Path, spelling: str) -> None:
    layer, up, down = SPELLINGS[spelling]
    before = model.weights()
    left, right = torch.randn(WIDTH, 2), torch.randn(2, WIDTH)
    separator = "_" if spelling == "old diffusers" else "."
    save_file({f"{layer}{separator}{up}": left, f"{layer}{separator}{down}": right}, tmp_path / "x.safetensors")
    Patches().apply_networks(model, [WantedNetwork(NetworkRef(str(tmp_path / "x.safetensors"), "x"))])
    name = "text.fc1.weight" if spelling == "text" else "unet.mid_block.attn1.to_q.weight"
    assert torch.allclose(model.weights()[name] - before[name], left @ right, atol=1e-5)


def test_a_unets_layers_have_latent_diffusions_names_too() -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    targets = Targets.of({"unet": unet})
    for theirs, ours in {
        "input_blocks_1_0_in_layers_2": "down_blocks.0.resnets.0.conv1",
        "input_blocks_2_0_op": "down_blocks.0.downsamplers.0.conv",
        "input_blocks_3_1_transformer_blocks_0_ff_net_2": "down_blocks.1.attentions.0.transformer_blocks.0.ff.net.2",
        "middle_block_1_proj_in": "mid_block.attentions.0.proj_in",
        "middle_block_2_out_layers_3": "mid_block.resnets.1.conv2",
        "output_blocks_1_1_proj_out": "up_blocks.0.attentions.1.proj_out",
        "output_blocks_1_2_conv": "up_blocks.0.upsamplers.0.conv",
        "output_blocks_2_0_skip_connection": "up_blocks.1.resnets.0.conv_shortcut",
        "time_embed_0": "time_embedding.linear_1",
        "out_2": "conv_out",
    }.items():
        for prefix in ("lora_unet_", "diffusion_model_"):
            target = targets.find(prefix + theirs)
            assert target is not None, theirs
            assert target[0].module == ours


@pytest.fixture
def flux() -> Any:
    """A small transformer with a CLIP tower and T5."""
    from diffusers import FluxTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(2)
    network = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=4,
        num_attention_heads=2,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        axes_dims_rope=(0, 2, 2),
    )
    t5 = T5EncoderModel(T5Config(vocab_size=8, d_model=WIDTH, d_kv=4, d_ff=16, num_layers=1, num_heads=2))
    parts = {"transformer": network, "text": Text(), "text_3": t5}
    return Model({part: module.requires_grad_(False) for part, module in parts.items()}, family=Family("Flux"))


def low_rank(layer: str, outputs: int, inputs: int, up: str, down: str) -> tuple[dict[str, Tensor], Tensor]:
    """(tensors of the file, the change that they mean)"""
    left, right = torch.randn(outputs, 2), torch.randn(2, inputs)
    return {f"{layer}.{up}.weight": left, f"{layer}.{down}.weight": right}, left @ right


def test_a_flux_lora_by_xlabs_changes_the_layers_that_its_processors_stand_at(flux: Any, tmp_path: Path) -> None:
    double, single = "double_blocks.0.processor", "single_blocks.0.processor"
    meant = {
        f"{double}.qkv_lora1": ("transformer_blocks.0.attn", ("to_q", "to_k", "to_v"), 8),
        f"{double}.qkv_lora2": ("transformer_blocks.0.attn", ("add_q_proj", "add_k_proj", "add_v_proj"), 8),
        f"{double}.proj_lora1": ("transformer_blocks.0.attn", ("to_out.0",), 8),
        f"{double}.proj_lora2": ("transformer_blocks.0.attn", ("to_add_out",), 8),
        f"{single}.qkv_lora": ("single_transformer_blocks.0.attn", ("to_q", "to_k", "to_v"), 8),
        f"{single}.proj_lora": ("single_transformer_blocks.0", ("proj_out",), 40),
    }
    tensors: dict[str, Tensor] = {}
    expected = flux.weights()
    for layer, (place, names, inputs) in meant.items():
        own, change = low_rank(layer, 8 * len(names), inputs, "up", "down")
        tensors |= own
        for name, part in zip(names, change.split(8), strict=True):
            expected[f"transformer.{place}.{name}.weight"] += part
    save_file(tensors, tmp_path / "x.safetensors")
    patches = Patches()
    patches.apply_networks(flux, [WantedNetwork(NetworkRef(str(tmp_path / "x.safetensors"), "x"))])
    assert (patches.fit[0].applied, patches.fit[0].total) == (6, 6)
    for name, tensor in flux.weights().items():
        assert torch.allclose(tensor, expected[name], atol=1e-5), name


@pytest.mark.parametrize("prefix", ["lora_te2_", "text_encoder_2.", "lora_te3_"])
def test_the_second_text_encoder_of_flux_is_t5(flux: Any, tmp_path: Path, prefix: str) -> None:
    layer = "encoder.block.0.layer.0.SelfAttention.k"
    tensors, change = low_rank(prefix + layer.replace(".", "_"), WIDTH, WIDTH, "lora_up", "lora_down")
    save_file(tensors, tmp_path / "x.safetensors")
    before, patches = flux.weights(), Patches()
    patches.apply_networks(flux, [WantedNetwork(NetworkRef(str(tmp_path / "x.safetensors"), "x"), te=0.5, unet=0.0)])
    name = f"text_3.{layer}.weight"
    assert torch.allclose(flux.weights()[name] - before[name], 0.5 * change, atol=1e-5)


@pytest.mark.parametrize("layer", ["img_in", "transformer.x_embedder"])
def test_a_control_lora_is_no_plain_one(flux: Any, tmp_path: Path, layer: str) -> None:
    before = flux.weights()
    tensors, _ = low_rank(layer, 8, 8, "lora_B", "lora_A")
    tensors |= low_rank("double_blocks.0.img_attn.proj", 8, 8, "lora_B", "lora_A")[0]
    save_file(tensors, tmp_path / "canny.safetensors")
    with pytest.raises(UserError, match="canny is a control LoRA"):
        Patches().apply_networks(flux, [WantedNetwork(NetworkRef(str(tmp_path / "canny.safetensors"), "canny"))])
    assert same(flux.weights(), before)


def test_one_layer_of_the_file_may_be_several_of_the_model(flux: Any, tmp_path: Path) -> None:
    """Flux's original names: queries, keys and values are one layer there, and scale and shift the other way round."""
    model = flux
    fused, final = torch.randn(24, 8), torch.randn(16, 8)
    save_file(
        {
            "lora_unet_double_blocks_0_img_attn_qkv.diff": fused,
            "lora_unet_final_layer_adaLN_modulation_1.diff": final,
            "transformer.transformer_blocks.0.attn.to_k.lora_A.weight": torch.ones(1, 8),
            "transformer.transformer_blocks.0.attn.to_k.lora_B.weight": torch.ones(8, 1),
        },
        tmp_path / "flux.safetensors",
    )
    before, patches = model.weights(), Patches()
    patches.apply_networks(model, [WantedNetwork(NetworkRef(str(tmp_path / "flux.safetensors"), "flux"))])
    change = {name: tensor - before[name] for name, tensor in model.weights().items()}
    block = "transformer.transformer_blocks.0.attn"
    assert torch.allclose(change[f"{block}.to_q.weight"], fused[:8], atol=1e-5)
    assert torch.allclose(change[f"{block}.to_k.weight"], fused[8:16] + 1, atol=1e-5)
    assert torch.allclose(change[f"{block}.to_v.weight"], fused[16:], atol=1e-5)
    assert torch.allclose(change["transformer.norm_out.linear.weight"], torch.cat([final[8:], final[:8]]), atol=1e-5)
    patches.apply_networks(model, [])
    assert same(model.weights(), before)
