"""The measures of speed: that they run, and compare like with like."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.engine.conftest import reference
from tests.packaged import have_detectors
from webui.engine import bench
from webui.engine.bench import Bench, speed, swap
from webui.engine.families.weights import open_weights
from webui.engine.model_manager import ModelManager
from webui.engine.prefetch import Prefetcher
from webui.engine.stand_ins import _written, sd15_shapes
from webui.engine.throughput import Measured, Speeds
from webui.engine.upscalers.esrgan import Compact
from webui.request.plan import CheckpointRef


@pytest.mark.filterwarnings("ignore:__array__")  # inside diffusers' scheduler
def test_speeds_are_of_the_same_work(models: ModelManager, tiny_checkpoint: Path) -> None:
    found = speed(models, reference(tiny_checkpoint), Measured(side=64, batch=1, steps=2))
    assert found.ours > 0
    assert found.stock > 0
    assert found.bare > 0


def test_a_swap_is_measured_against_reading_and_copying(models: ModelManager, tiny_checkpoint: Path) -> None:
    times = swap(Bench(models, reference(tiny_checkpoint)), reference(tiny_checkpoint), repeats=1)
    assert times.from_disk > 0
    assert times.reading > 0
    assert times.copying > 0
    models.configure(2, 2**32)


def test_a_unit_of_controlnet_is_measured_beside_its_network(
    models: ModelManager, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "SIZE", 32)
    measured = Bench(models, reference(tiny_checkpoint))
    assert bench.control(measured, tmp_path, repeats=1) > 1
    assert (tmp_path / "random.safetensors").is_file()


def test_what_is_painted_anew_is_measured_beside_its_networks(
    models: ModelManager, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_detectors()
    monkeypatch.setattr(bench, "SIZE", 32)
    assert bench.detail(Bench(models, reference(tiny_checkpoint)), repeats=1) > 1


def test_enlarging_is_measured_beside_its_network(models: ModelManager, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(Compact(3, 4, 2, 2).state_dict(), path)
    assert bench.upscale(models, path, side=32) > 1


def test_stand_ins_hold_finite_numbers(tmp_path: Path) -> None:
    file = open_weights(
        _written({"a.weight": (3, 5), "norm.weight": (4,), "norm.bias": (4,)}, tmp_path / "x.safetensors")
    )
    assert file.tensor("norm.weight").tolist() == [1, 1, 1, 1]
    assert torch.isfinite(file.tensor("a.weight")).all()


def test_a_stand_in_has_the_published_size() -> None:
    shapes = sd15_shapes()
    assert sum(math.prod(shape) for shape in shapes.values()) == 1_066_235_307
    assert shapes["model.diffusion_model.input_blocks.1.1.proj_in.weight"] == (320, 320, 1, 1)


def test_a_file_is_read_ahead_and_its_absence_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(bytes(1000))
    prefetcher = Prefetcher()
    prefetcher.begin(str(tmp_path / "model"))
    prefetcher.begin(str(tmp_path / "none"))
    prefetcher.wait()
    prefetcher.stop()


def test_a_processor_without_bfloat16_is_measured_in_32_bits_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs: list[tuple[torch.dtype, Measured]] = []

    def measured(models: ModelManager, _checkpoint: CheckpointRef, job: Measured) -> Speeds:
        jobs.append((models.profile.half, job))
        return Speeds(2.0, 1.0, 2.0)

    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setattr(bench, "speed", measured)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    bench.main(["cpu", "--checkpoint", str(tmp_path / "model.safetensors")])
    assert jobs == [(torch.float32, Measured(256, 1, 2))]
    assert "no bfloat16" in capsys.readouterr().out
