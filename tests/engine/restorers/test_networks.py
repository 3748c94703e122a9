"""The networks that restore faces do what the published ones do, and take files as these were published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import interpolate

from tests.engine.conftest import OPTIONS
from tests.engine.restorers import published
from webui.base.errors import ModelError
from webui.engine.memory import profile_of
from webui.engine.restorers.opened import FaceRestorer, opened

CPU = profile_of(OPTIONS)
KINDS: dict[str, Callable[[], published.Shapes]] = {
    "GFPGAN": published.gfpgan,
    "CodeFormer": published.codeformer,
    "RestoreFormer": published.restoreformer,
}
ANSWERS = json.loads((Path(__file__).parent / "answers.json").read_text("utf-8"))
"""What the authors' own networks made of `face` with the same weights, at 48 places (CodeFormer: this program's, whose
full-sized network was found equal to the authors')."""


def face(side: int) -> Tensor:
    stream = torch.Generator().manual_seed(5)
    return interpolate(torch.rand(1, 3, 8, 8, generator=stream) * 2 - 1, size=(side, side), mode="bilinear")


def made_by(restorer: FaceRestorer, weight: float = 0.5) -> Tensor:
    with torch.inference_mode():
        made: Tensor = restorer.network(face(restorer.side), weight)
    return made


def at_places(made: Tensor) -> list[float]:
    step = made.shape[-1] // 4
    return made[0, :, step // 2 :: step, step // 2 :: step].flatten().tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_networks_answers_are_met(kind: str, tmp_path: Path) -> None:
    torch.save({"params_ema": published.filled(KINDS[kind]())}, tmp_path / "face.pth")
    found = at_places(made_by(opened(tmp_path / "face.pth", CPU)))
    assert found == pytest.approx(ANSWERS[kind], abs=2e-3)


def test_codeformer_is_told_how_much_to_keep_to_the_picture(tmp_path: Path) -> None:
    save_file(published.filled(published.codeformer()), tmp_path / "face.safetensors")
    restorer = opened(tmp_path / "face.safetensors", CPU)
    assert restorer.weighed
    face_alone, half, picture = (made_by(restorer, weight) for weight in (0.0, 0.5, 1.0))
    assert 0 < (face_alone - half).abs().mean() < (face_alone - picture).abs().mean()


def test_restoreformer_comes_with_what_its_training_had_beside_it(tmp_path: Path) -> None:
    state = published.filled(published.restoreformer())
    torch.save({"params": state}, tmp_path / "plain.pth")
    trained = {f"vqvae.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": {**trained, "loss.logvar": torch.zeros(1)}}, tmp_path / "whole.ckpt")
    plain, whole = (opened(tmp_path / name, CPU) for name in ("plain.pth", "whole.ckpt"))
    assert plain.side == whole.side == 512
    assert all(torch.equal(a, b) for a, b in zip(plain.network.parameters(), whole.network.parameters(), strict=True))


def broken(kind: str, how: str) -> dict[str, Tensor]:
    state = published.filled(KINDS[kind]())
    name = sorted(name for name in state if name.endswith("conv1.weight"))[0]
    if how == "one tensor less":
        del state[name]
    elif how == "one of another shape":
        state[name] = torch.zeros(3, 5, 3, 3)
    elif how == "one with no sides":
        state[name] = torch.tensor(1.0)
    else:
        state = {name: torch.zeros(1) for name in state}
    return state


@pytest.mark.parametrize("how", ["one tensor less", "one of another shape", "one with no sides", "all of one number"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_all_of_a_network_is_refused_by_name(kind: str, how: str, tmp_path: Path) -> None:
    torch.save(broken(kind, how), tmp_path / "odd.pth")
    with pytest.raises(ModelError, match=r"odd\.pth is of no kind of face restorer") as caught:
        opened(tmp_path / "odd.pth", CPU)
    assert "GFPGAN 1.2 to 1.4, CodeFormer and RestoreFormer" in caught.value.hint


def test_a_file_that_speaks_of_huge_layers_takes_no_memory(tmp_path: Path) -> None:
    """The next layer would have as many channels in as out: 10^10 numbers."""
    state = published.filled(published.gfpgan())
    state["conv_body_first.weight"] = torch.zeros(100_000, 3, 1, 1)
    torch.save(state, tmp_path / "huge.pth")
    with pytest.raises(ModelError, match="no kind of face restorer"):
        opened(tmp_path / "huge.pth", CPU)


def test_gfpgan_s_first_version_is_named(tmp_path: Path) -> None:
    torch.save({"conv_body_down.0.conv2.0.kernel": torch.zeros(4, 4)}, tmp_path / "GFPGANv1.pth")
    with pytest.raises(ModelError) as caught:
        opened(tmp_path / "GFPGANv1.pth", CPU)
    assert "GFPGANv1.4.pth" in caught.value.hint
