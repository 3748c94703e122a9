"""Merged checkpoints: what is in them, what they say of themselves, and what cannot be merged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from webui.base.errors import Interrupted, UserError, WebuiError
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.jobs.merge.request import Merge, resolve_merge
from webui.jobs.merge.work import merged
from webui.request.messages import Progress
from webui.request.plan import CheckpointRef

CONV = "model.diffusion_model.input_blocks.0.0.weight"
BIAS = "model.diffusion_model.input_blocks.0.0.bias"
VAE = "first_stage_model.decoder.conv_in.weight"
COUNTS = "cond_stage_model.transformer.text_model.embeddings.position_ids"
Write = Callable[..., None]


def weights(seed: int, channels: int = 4) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        CONV: torch.randn(8, channels, 3, 3, generator=draw),
        BIAS: torch.randn(8, generator=draw),
        VAE: torch.randn(4, 4, 1, 1, generator=draw),
        COUNTS: torch.arange(5) + seed,
        "betas": torch.full((3,), float(seed)),
    }


class Shelf:
    """A folder of checkpoints, as the catalog knows them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[float] = []
        self.hashed = True

    def put(self, name: str, tensors: dict[str, Tensor], **metadata: str) -> None:
        save_file(tensors, self.folder / f"{name}.safetensors", metadata)

    def checkpoint(self, name: str) -> CheckpointRef:
        config = self.folder / f"{name}.yaml"
        path = str(self.folder / f"{name}.safetensors")
        return CheckpointRef(
            path, f"{name}.safetensors [0]", name, f"{name}-sha" * self.hashed, str(config) if config.exists() else ""
        )

    def vae(self, name: str, _checkpoint: CheckpointRef) -> CheckpointRef:
        return self.checkpoint(name)

    def merge(self, *names: str, cancel: Cancel | None = None, **values: Any) -> Path:
        models = dict(zip(("primary_model_name", "secondary_model_name", "tertiary_model_name"), names, strict=False))
        plan = resolve_merge(Merge.made(**{**models, **values}), self, self.folder)

        def hear(event: object) -> None:
            if isinstance(event, Progress):
                self.told.append(event.fraction)

        watch = Watch("job", hear, cancel or Cancel(), Viewing(), Stopwatch(torch.device("cpu")), progress_period=0)
        return self.folder / merged(plan, watch)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    here = Shelf(tmp_path)
    for seed, name in enumerate("abc", 1):
        here.put(name, weights(seed), title=name)
    return here


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        names = list(file.keys())
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


def test_the_weighted_sum_goes_from_a_to_b(shelf: Shelf) -> None:
    a, b = weights(1), weights(2)
    for share, wanted in ((0.0, a), (1.0, b), (0.25, {name: a[name] * 0.75 + b[name] * 0.25 for name in a})):
        found, _ = read(shelf.merge("a", "b", multiplier=share, custom_name=f"at {share}"))
        assert found.keys() == a.keys()
        for name in (CONV, BIAS, VAE):
            torch.testing.assert_close(found[name], wanted[name])
        assert torch.equal(found[COUNTS], a[COUNTS]), "counts are no weights"
        assert torch.equal(found["betas"], a["betas"]), "a name without `model` stays A's"
    assert shelf.told == sorted(shelf.told[: len(shelf.told) // 3]) * 3
    assert shelf.told[-1] == 1.0


def test_the_difference_of_a_model_to_itself_is_nothing(shelf: Shelf) -> None:
    same, _ = read(shelf.merge("a", "b", "b", interp_method="Add difference", multiplier=1))
    other, _ = read(shelf.merge("a", "b", "c", interp_method="Add difference", multiplier=0.5))
    assert torch.equal(same[CONV], weights(1)[CONV])
    torch.testing.assert_close(other[CONV], weights(1)[CONV] + (weights(2)[CONV] - weights(3)[CONV]) * 0.5)


def test_a_name_says_what_is_in_the_file_and_none_is_overwritten(shelf: Shelf) -> None:
    assert shelf.merge("a", "b", multiplier=0.3).name == "0.7(a) + 0.3(b).safetensors"
    assert shelf.merge("a", "b", "c", interp_method="Add difference").name == "a + 0.3(b - c).safetensors"
    before = (shelf.folder / "a.safetensors").read_bytes()
    with pytest.raises(UserError, match="already"):
        shelf.merge("a", interp_method="No interpolation")
    assert (shelf.folder / "a.safetensors").read_bytes() == before


def test_half_a_baked_vae_and_discarded_names(shelf: Shelf) -> None:
    shelf.put("vae", {"decoder.conv_in.weight": torch.ones(4, 4, 1, 1)})
    (shelf.folder / "a.yaml").write_text("model: {}")
    path = shelf.merge(
        "a", interp_method="No interpolation", custom_name="half", save_as_half=True, bake_in_vae="vae",
        discard_weights="^betas|position_ids",
    )  # fmt: skip
    found, _ = read(path)
    assert {name: tensor.dtype for name, tensor in found.items()} == dict.fromkeys((CONV, BIAS, VAE), torch.float16)
    assert torch.equal(found[VAE], torch.ones(4, 4, 1, 1).half())
    assert path.with_suffix(".yaml").read_text() == "model: {}"


def test_the_file_says_how_it_was_made(shelf: Shelf) -> None:
    first = shelf.merge("a", "b", custom_name="first", metadata_json='{"title": "mine", "n": [1]}')
    _, told = read(first)
    recipe = json.loads(told["sd_merge_recipe"])
    assert (told["title"], told["n"], told["format"]) == ("mine", "[1]", "pt")
    assert (recipe["primary_model_hash"], recipe["tertiary_model_hash"]) == ("a-sha", None)
    assert (recipe["type"], recipe["interp_method"], recipe["multiplier"]) == ("webui", "Weighted sum", 0.3)
    _, again = read(shelf.merge("first", "c", custom_name="second"))
    models = json.loads(again["sd_merge_models"])
    assert set(models) == {"first-sha", "a-sha", "b-sha", "c-sha"}
    assert models["first-sha"]["sd_merge_recipe"] == recipe
    assert read(shelf.merge("a", "b", custom_name="dumb", save_metadata=False))[1] == {}
    shelf.hashed = False
    models = json.loads(read(shelf.merge("a", "b", custom_name="new"))[1]["sd_merge_models"])
    assert set(models) == {hashlib.sha256((shelf.folder / f"{x}.safetensors").read_bytes()).hexdigest() for x in "ab"}


def test_an_inpainting_model_keeps_its_own_channels(shelf: Shelf) -> None:
    shelf.put("inpaint", weights(4, channels=9))
    path = shelf.merge("inpaint", "b", multiplier=1, custom_name="both")
    assert path.name == "both.inpainting.safetensors"
    found, told = read(path)
    own = weights(4, channels=9)[CONV]
    torch.testing.assert_close(found[CONV][:, :4], weights(2)[CONV])
    assert torch.equal(found[CONV][:, 4:], own[:, 4:])
    assert json.loads(told["sd_merge_recipe"])["is_inpainting"] is True
    with pytest.raises(UserError, match="is an inpainting or InstructPix2Pix model") as caught:
        shelf.merge("b", "inpaint")
    assert "A" in caught.value.hint


@pytest.mark.parametrize(
    ("names", "values", "told"),
    [
        (("a",), {}, "needs a model B"),
        (("a", "b"), {"interp_method": "Add difference"}, "needs a model C"),
        (("a", "b"), {"discard_weights": "("}, "regular expression"),
        (("a", "b"), {"metadata_json": "{"}, "JSON"),
        (("a", "b"), {"metadata_json": "[]"}, "JSON object"),
        (("a", "b"), {"custom_name": "../../evil"}, "not a valid file name"),
        (("a", "b"), {"custom_name": ".hidden"}, "not a valid file name"),
        (("a", "other"), {}, "different kinds"),
        (("a", "cut"), {}, "cut.safetensors"),
    ],
)
def test_what_cannot_be_merged_is_said_and_leaves_nothing(
    shelf: Shelf, names: tuple[str, ...], values: dict[str, Any], told: str
) -> None:
    shelf.put("other", {**weights(5), BIAS: torch.zeros(3)})
    (shelf.folder / "cut.safetensors").write_bytes((shelf.folder / "a.safetensors").read_bytes()[:-9])
    before = sorted(path.name for path in shelf.folder.iterdir())
    with pytest.raises(WebuiError, match=told):
        shelf.merge(*names, **values)
    assert sorted(path.name for path in shelf.folder.iterdir()) == before


def test_an_interrupted_one_leaves_nothing(shelf: Shelf) -> None:
    cancel = Cancel()
    cancel.interrupt()
    before = sorted(path.name for path in shelf.folder.iterdir())
    with pytest.raises(Interrupted):
        shelf.merge("a", "b", cancel=cancel)
    assert sorted(path.name for path in shelf.folder.iterdir()) == before
