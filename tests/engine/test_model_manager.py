"""Which models are in memory: several, within bounds, and never the wrong one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine.conftest import OPTIONS, reference
from webui.base.errors import ModelError, OutOfMemory
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager


@pytest.fixture
def two(tmp_path: Path, tiny_checkpoint: Path) -> tuple[Path, Path]:
    paths = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    for path in paths:
        shutil.copy(tiny_checkpoint, path)
    return paths


def manager(limit: int = 2, budget: int = 2**40) -> ModelManager:
    return ModelManager(profile_of(OPTIONS), limit=limit, budget=budget)


def test_as_many_stay_as_the_limit_says_the_least_recently_used_go(
    two: tuple[Path, Path], tiny_checkpoint: Path
) -> None:
    models = manager(limit=2)
    for path in (*two, two[0], tiny_checkpoint):
        models.preload(reference(path), None)
    assert models.resident == (tiny_checkpoint.name, "one.safetensors")
    models.configure(1, 2**40)
    assert models.resident == (tiny_checkpoint.name,)
    models.unload()
    assert models.resident == ()


def test_a_resident_model_is_not_loaded_again(two: tuple[Path, Path]) -> None:
    loads: list[str] = []
    models = manager()
    models.announce = lambda title, _seconds: loads.append(title)
    for path in (*two, *two):
        models.preload(reference(path), None)
    assert [title for title in loads if title] == ["one.safetensors", "two.safetensors"]


def test_the_byte_budget_holds_one_model_alone(two: tuple[Path, Path]) -> None:
    models = manager(limit=5)
    with models.lend(reference(two[0]), None) as loaded:
        nbytes = loaded.model.nbytes
    models.configure(5, int(nbytes * 1.5))
    models.preload(reference(two[1]), None)
    assert models.resident == ("two.safetensors",)


def test_a_model_on_loan_stays_whatever_the_limit(two: tuple[Path, Path]) -> None:
    models = manager(limit=1)
    with models.lend(reference(two[0]), None), models.lend(reference(two[1]), None):
        assert set(models.resident) == {"one.safetensors", "two.safetensors"}
    models.configure(1, 2**40)
    assert models.resident == ("two.safetensors",)


def test_a_failure_leaves_the_loaded_model(two: tuple[Path, Path], tmp_path: Path) -> None:
    models = manager(limit=1)
    models.preload(reference(two[0]), None)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(two[1].read_bytes()[:100_000])
    with pytest.raises(ModelError, match="broken"):
        models.preload(reference(broken), None)
    with pytest.raises(ModelError, match="gone"):
        models.preload(reference(tmp_path / "gone.safetensors"), None)
    assert models.resident == ("one.safetensors",)


def test_a_file_that_changed_is_loaded_anew(two: tuple[Path, Path]) -> None:
    models = manager()
    models.preload(reference(two[0]), None)
    tensors = load_file(two[0])
    tensors["model.diffusion_model.out.2.bias"] += 1
    save_file(tensors, two[0])
    os.utime(two[0], ns=(1, 1))
    with models.lend(reference(two[0]), None) as loaded:
        ours = loaded.model.parts["unet"].conv_out.bias
        assert torch.allclose(ours, tensors["model.diffusion_model.out.2.bias"].float())
    assert models.resident == ("one.safetensors",)


def test_an_external_vae_shares_the_other_networks(two: tuple[Path, Path]) -> None:
    models = manager()
    tensors = {n.removeprefix("first_stage_model."): t for n, t in load_file(two[1]).items() if "first_stage" in n}
    tensors["decoder.conv_out.bias"] += 1
    save_file(tensors, two[1].with_name("own.vae.safetensors"))
    vae = reference(two[1].with_name("own.vae.safetensors"))
    with models.lend(reference(two[0]), None) as plain, models.lend(reference(two[0]), vae) as other:
        assert plain.model.parts["unet"] is other.model.parts["unet"]
        latents = torch.zeros(1, 4, 8, 8)
        with torch.inference_mode():
            difference = other.model.decode(latents) - plain.model.decode(latents)
        assert torch.allclose(difference, torch.ones_like(difference), atol=1e-2)  # the file is float16
    with models.lend(reference(two[0]), None) as again:
        assert again.model is plain.model


def test_a_model_that_cannot_fit_is_refused_before_it_is_read(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = manager()
    monkeypatch.setattr("webui.engine.residents.free_bytes", lambda _device: 1000)
    with pytest.raises(OutOfMemory, match="one needs"):
        models.preload(reference(two[0]), None)


@pytest.mark.long
def test_memory_stays_flat_over_twenty_swaps(two: tuple[Path, Path]) -> None:
    models = manager(limit=1)
    process = psutil.Process()
    sizes = []
    for swap in range(22):
        models.preload(reference(two[swap % 2]), None)
        sizes.append(process.memory_info().rss)
    with models.lend(reference(two[0]), None) as loaded:
        assert max(sizes[-4:]) - min(sizes[2:6]) < loaded.model.nbytes / 2
