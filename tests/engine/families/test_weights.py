"""Every file that is no checkpoint is refused with its name and the cause."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine.conftest import OPTIONS, reference
from webui.base.errors import ModelError, OutOfMemory
from webui.engine.families.components import Components
from webui.engine.families.family import family_of
from webui.engine.families.sd1 import SD1
from webui.engine.families.weights import open_weights
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager


def refused(path: Path) -> str:
    """The text with which the file is refused."""
    with pytest.raises(ModelError) as caught:
        family_of(open_weights(path)).prepare(open_weights(path), Components())
    assert path.name in caught.value.message
    return str(caught.value)


def test_a_whole_checkpoint_is_known_and_checked(tiny_checkpoint: Path) -> None:
    file = open_weights(tiny_checkpoint)
    assert family_of(file) is SD1
    SD1.prepare(file, Components())


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.safetensors"
    path.touch()
    assert "empty" in refused(path)


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.999])
def test_a_file_that_is_cut_off(tmp_path: Path, tiny_checkpoint: Path, share: float) -> None:
    path = tmp_path / "cut.safetensors"
    content = tiny_checkpoint.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "incomplete" in refused(path)


@pytest.mark.parametrize(
    "content", [b"hello, I am a picture", b"<html>" * 100, bytes(1000), b"\x08" + bytes(7) + b"{]}]{[{["]
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    assert "cannot be loaded" in refused(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("lora_unet_down_blocks_0.lora_down.weight", "lora_unet_down_blocks_0.lora_up.weight"), "LoRA"),
        (("encoder.conv_in.weight", "decoder.conv_in.weight"), "VAE"),
        (("double_blocks.0.img_attn.qkv.weight",), "Flux"),
        (("conditioner.embedders.0.transformer.text_model.final_layer_norm.weight",), "SDXL"),
        (("model.diffusion_model.input_blocks.0.0.weight",), "no text encoder"),
        (("something.weight",), "a supported Stable Diffusion model"),
    ],
)
def test_what_the_file_is_instead_is_said(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    path = tmp_path / "wrong.safetensors"
    save_file({name: torch.zeros(4, 4) for name in names}, path)
    assert said in refused(path)


def test_a_missing_tensor_is_named(tmp_path: Path, tiny_checkpoint: Path) -> None:
    tensors = load_file(tiny_checkpoint)
    del tensors["model.diffusion_model.output_blocks.3.0.in_layers.0.weight"]
    path = tmp_path / "hole.safetensors"
    save_file(tensors, path)
    assert "its UNet is not complete (up_blocks.1.resnets.0.norm1.weight is missing)" in refused(path)


def test_numbers_that_are_none_are_found(tmp_path: Path, tiny_checkpoint: Path, models: ModelManager) -> None:
    tensors = load_file(tiny_checkpoint)
    tensors["model.diffusion_model.out.2.weight"][0, 0, 0, 0] = torch.nan
    path = tmp_path / "nan.safetensors"
    save_file(tensors, path)
    with pytest.raises(ModelError, match=r"nan\.safetensors.*out\.2\.weight.*NaN"):
        models.preload(reference(path), None)


def test_a_checkpoint_without_vae_wants_one(tmp_path: Path, tiny_checkpoint: Path, models: ModelManager) -> None:
    tensors = {name: t for name, t in load_file(tiny_checkpoint).items() if not name.startswith("first_stage_model.")}
    path = tmp_path / "bare.safetensors"
    save_file(tensors, path)
    with pytest.raises(ModelError, match=r"no VAE in it.*SD VAE"):
        models.preload(reference(path), None)
    models.preload(reference(path), reference(tiny_checkpoint))


class Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (self.command,))


def test_a_pickle_that_wants_to_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.ckpt", tmp_path / "trace"
    torch.save({"state_dict": {"x": torch.zeros(1), "y": Hostile(f"touch {trace}")}}, path)
    text = refused(path)
    assert "refused" in text
    assert "safetensors" in text
    path.write_bytes(pickle.dumps(Hostile(f"touch {trace}"), protocol=2))
    refused(path)
    assert not trace.exists()


def test_a_plain_ckpt_opens_like_a_safetensors_file(tmp_path: Path, tiny_checkpoint: Path) -> None:
    path = tmp_path / "plain.ckpt"
    tensors = load_file(tiny_checkpoint)
    torch.save({"state_dict": tensors, "global_step": 1}, path)
    file = open_weights(path)
    assert family_of(file) is SD1
    assert file.shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.parametrize("ending", ["ckpt", "pt", "safetensors", "gguf"])
@pytest.mark.parametrize("written", ["safetensors", "pickle"])
def test_a_file_is_what_its_content_says_whatever_it_is_called(
    tmp_path: Path, tiny_checkpoint: Path, ending: str, written: str
) -> None:
    tensors, path = load_file(tiny_checkpoint), tmp_path / f"named.{ending}"
    if written == "safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors}, path)
    file = open_weights(path)
    assert family_of(file) is SD1
    name = "model.diffusion_model.out.2.weight"
    assert torch.equal(file.tensor(name), tensors[name])


def test_bytes_behind_the_last_tensor_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "longer.safetensors"
    tensors = {
        "half": torch.randn(3, 5).half(),
        "wide": torch.randn(2),
        "mask": torch.tensor([True, False, True]),
        "one": torch.tensor(7),
        "none": torch.zeros(0, 4),
        "small": torch.randn(4).to(torch.float8_e4m3fn),
    }
    save_file(tensors, path, {"who": "me"})
    path.write_bytes(path.read_bytes() + bytes(8))
    file = open_weights(path)
    assert file.metadata == {"who": "me"}
    for name, tensor in tensors.items():
        assert torch.equal(file.tensor(name).float(), tensor.float()), name
        assert file.shapes[name] == tuple(tensor.shape)


@pytest.mark.parametrize(
    "entry", [{"shape": [9]}, {"dtype": "F4"}, {"data_offsets": [-8, 16]}, {"data_offsets": [0, 9]}]
)
def test_nor_is_a_damaged_header_believed_then(tmp_path: Path, entry: dict[str, object]) -> None:
    path = tmp_path / "longer.safetensors"
    header = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **entry}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(40))
    assert "damaged" in refused(path)


def test_a_broken_yaml_is_named(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = tmp_path / "model.yaml"
    config.write_text("model: [", "utf-8")
    with pytest.raises(ModelError, match=r"model\.yaml"):
        open_weights(tiny_checkpoint, str(config))


def test_an_odd_yaml_changes_nothing(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = tmp_path / "model.yaml"
    config.write_text("- just\n- a list", "utf-8")
    SD1.prepare(open_weights(tiny_checkpoint, str(config)), Components())


def test_heads_that_do_not_divide_the_width_are_refused(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = tmp_path / "model.yaml"
    config.write_text("model: {params: {unet_config: {params: {num_heads: 7}}}}", "utf-8")
    with pytest.raises(ModelError, match="7 attention heads"):
        SD1.prepare(open_weights(tiny_checkpoint, str(config)), Components())


def test_the_mapped_file_may_be_overwritten_while_the_model_is_in_use(
    tmp_path: Path, tiny_checkpoint: Path, models: ModelManager
) -> None:
    path = tmp_path / "copy.safetensors"
    shutil.copy(tiny_checkpoint, path)
    with models.lend(reference(path), None) as loaded:
        before = loaded.model.parts["unet"].conv_in.weight.clone()
        path.write_bytes(b"")
        assert torch.equal(loaded.model.parts["unet"].conv_in.weight, before)


def test_out_of_memory_while_loading_leaves_what_was_loaded(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ModelManager(profile_of(OPTIONS), limit=2, budget=2**32)
    models.preload(reference(tiny_checkpoint), None)
    other = tmp_path / "other.safetensors"
    shutil.copy(tiny_checkpoint, other)

    def full(*_args: object, **_options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    with monkeypatch.context() as context:
        context.setattr("webui.engine.families.ldm.fill", full)
        with pytest.raises(OutOfMemory, match="other does not fit into the memory of cpu"):
            models.preload(reference(other), None)
    assert models.resident == (tiny_checkpoint.name,)
    models.preload(reference(other), None)
    assert set(models.resident) == {tiny_checkpoint.name, other.name}
