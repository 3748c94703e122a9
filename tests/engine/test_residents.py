"""One list and one budget for all that lies in memory: laws over real small models of every kind."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from torch import nn

from tests.engine.conftest import OPTIONS, reference
from webui.base.errors import ModelError, OutOfMemory
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.engine.residents import Residents
from webui.engine.small_vae import KINDS
from webui.engine.upscaler_shelf import UPSCALER
from webui.engine.upscalers.esrgan import Compact
from webui.request.model_ref import ModelRef

ROOM = 2**40


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Three upscalers and a small VAE."""
    torch.manual_seed(0)
    found = {}
    for name in ("one", "two", "three"):
        torch.save(Compact(3, 64, 1, 2).state_dict(), tmp_path / f"{name}.pth")
        found[name] = tmp_path / f"{name}.pth"
    encoder: nn.Module = AutoencoderTiny().encoder
    tensors = {name.removeprefix("layers."): tensor for name, tensor in encoder.state_dict().items()}
    torch.save(tensors, tmp_path / "taesd_encoder.pth")
    return {**found, "small": tmp_path / "taesd_encoder.pth"}


def ref(path: Path, sha256: str = "") -> ModelRef:
    return ModelRef(str(path), path.stem, sha256)


def manager(limit: int = 2, budget: int = ROOM) -> ModelManager:
    return ModelManager(profile_of(OPTIONS), limit=limit, budget=budget)


def opened(residents: Residents, path: Path, *, small: bool = False) -> int:
    """Lend it for a moment -> its bytes."""
    with ExitStack() as loans:
        loans.enter_context(residents.lend(KINDS["encoder"] if small else UPSCALER, ref(path)))
        return next(use.nbytes for use in residents.uses if use.model == path.stem)


def titles(residents: Residents) -> list[str]:
    return list(dict.fromkeys(use.model for use in residents.uses))


def test_the_least_recently_used_goes_first_whatever_its_kind(tiny_checkpoint: Path, files: dict[str, Path]) -> None:
    models = manager()
    residents = models.residents
    opened(residents, files["one"])
    models.preload(reference(tiny_checkpoint), None)
    opened(residents, files["small"], small=True)
    opened(residents, files["one"])
    assert titles(residents) == ["one", "taesd_encoder", tiny_checkpoint.name]
    models.configure(2, residents.nbytes - 1)
    assert titles(residents) == ["one", "taesd_encoder"], "the checkpoint was used first"
    models.configure(2, residents.nbytes - 1)
    assert titles(residents) == ["one"]


def test_a_new_one_makes_its_room_out_of_the_others(tiny_checkpoint: Path, files: dict[str, Path]) -> None:
    models = manager()
    residents = models.residents
    for name in ("one", "two"):
        opened(residents, files[name])
    models.preload(reference(tiny_checkpoint), None)
    residents.budget = residents.nbytes + 10_000  # what a file is larger than its weights
    opened(residents, files["three"])
    assert titles(residents) == ["three", tiny_checkpoint.name, "two"]
    assert residents.is_within_budget()


def test_what_is_lent_stays_whatever_is_wanted(tiny_checkpoint: Path, files: dict[str, Path]) -> None:
    models = manager()
    residents = models.residents
    with residents.lend(UPSCALER, ref(files["one"])) as upscaler, models.lend(reference(tiny_checkpoint), None):
        opened(residents, files["two"])
        models.unload()
        assert titles(residents) == [tiny_checkpoint.name, "one"]
        models.configure(1, 1)
        with residents.lend(UPSCALER, ref(files["one"])) as again:
            assert again is upscaler
    models.unload()
    assert (titles(residents), residents.nbytes, models.resident) == ([], 0, ())


def test_the_limit_of_checkpoints_counts_no_other_kind(tiny_checkpoint: Path, files: dict[str, Path]) -> None:
    models = manager(limit=1)
    for name in ("one", "two", "three"):
        opened(models.residents, files[name])
    models.preload(reference(tiny_checkpoint), None)
    assert len(titles(models.residents)) == 4


def test_one_content_is_one_model_and_a_file_that_changed_is_another(files: dict[str, Path], tmp_path: Path) -> None:
    residents = Residents(profile_of(OPTIONS), ROOM)
    copy = Path(shutil.copy(files["one"], tmp_path / "copy.pth"))
    with residents.lend(UPSCALER, ref(files["one"], "a" * 64)) as first:
        pass
    with residents.lend(UPSCALER, ref(copy, "a" * 64)) as same, residents.lend(UPSCALER, ref(copy)) as unknown:
        assert same is first
        assert unknown is not first
    files["one"].unlink()
    with residents.lend(UPSCALER, ref(files["one"], "a" * 64)) as kept:
        assert kept is first, "its path was a hint"
    with residents.lend(UPSCALER, ref(files["two"])) as before:
        pass
    os.utime(files["two"], ns=(1, 1))
    with residents.lend(UPSCALER, ref(files["two"])) as after:
        assert after is not before
    stale = ModelRef(str(files["two"]), "two", "b" * 64, stamp=(2, 2))
    with residents.lend(UPSCALER, stale) as now:
        assert now is after, "a hash of another day's content is none of this file"


def test_what_cannot_be_opened_leaves_the_others(files: dict[str, Path], tmp_path: Path) -> None:
    residents = Residents(profile_of(OPTIONS), ROOM)
    opened(residents, files["one"])
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    for name in ("broken.pth", "gone.pth"):
        with pytest.raises(ModelError, match=name), residents.lend(UPSCALER, ref(tmp_path / name)):
            pass
    assert titles(residents) == ["one"]


def test_a_lack_of_memory_puts_the_others_away_and_is_said_in_words(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    residents = Residents(profile_of(OPTIONS), ROOM)
    opened(residents, files["one"])
    tried: list[str] = []

    def refused(path: Path, profile: object) -> nn.Module:
        tried.append(path.stem)
        if len(titles(residents)) or len(tried) < 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return nn.Identity()

    kind = type(KINDS["encoder"])("tried", open=refused, size=lambda _opened: 5)
    with residents.lend(kind, ref(files["two"])):
        assert tried == ["two", "two"]
        assert titles(residents) == ["two"]
    monkeypatch.setattr("webui.engine.residents.free_bytes", lambda _device: 10)
    with pytest.raises(OutOfMemory, match="three needs"), residents.lend(UPSCALER, ref(files["three"])):
        pass


def test_one_that_was_opened_before_its_hash_was_known_is_not_opened_again(files: dict[str, Path]) -> None:
    residents = manager().residents
    with residents.lend(UPSCALER, ref(files["one"])) as first:
        pass
    with residents.lend(UPSCALER, ref(files["one"], "a" * 64)) as again:
        assert again is first
    with residents.lend(UPSCALER, ref(files["two"], "b" * 64)) as other:
        pass
    with residents.lend(UPSCALER, ref(files["three"], "b" * 64)) as of_the_same_content:
        assert of_the_same_content is other
