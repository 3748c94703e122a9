"""Tags of a prompt and what they do to a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.engine.conftest import SMALL, Engine, most_apart
from webui.base.errors import UserError
from webui.engine.dressing import with_added
from webui.prompt.networks import NetworkTag, extract_networks, lora_weights, multiplier
from webui.request.fields import Txt2Img
from webui.request.messages import Pictured
from webui.request.plan import NetworkRef

LAYER = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_v"


@pytest.fixture
def painted(engine: Engine, tmp_path: Path) -> Callable[[str], Pictured]:
    """A picture of a prompt, where <lora:strong> is known and has the hash abab...; 128 is the width of that layer."""
    path = tmp_path / "strong.safetensors"
    torch.manual_seed(4)
    save_file({f"{LAYER}.lora_up.weight": torch.randn(128, 4), f"{LAYER}.lora_down.weight": torch.randn(4, 128)}, path)
    foreign = tmp_path / "foreign.safetensors"
    save_file({f"{LAYER}.diff": torch.ones(128, 128)}, foreign, {"ss_base_model_version": "sdxl_base_v1-0"})
    refs = {name: NetworkRef(str(tmp_path / f"{name}.safetensors"), name, "ab" * 32) for name in ("strong", "foreign")}
    engine.networks = refs
    return lambda prompt: engine.run(Txt2Img.model_validate({**SMALL, "prompt": prompt}))[0]


def test_a_lora_changes_the_picture_and_is_gone_afterwards(painted: Callable[[str], Pictured]) -> None:
    plain, strong, after = painted("a cat"), painted("a cat <lora:strong:1>"), painted("a cat")
    assert most_apart(plain, strong) > 2
    assert plain.rgb == after.rgb
    assert dict(strong.facts)["Lora hashes"] == "strong: abababababab"
    assert "strong: applied 1 of 1 keys." in strong.comments
    assert "Lora hashes" not in dict(after.facts)


def test_the_hashes_of_both_passes_are_told(engine: Engine, tmp_path: Path) -> None:
    layer = {f"{LAYER}.lora_up.weight": torch.randn(128, 4), f"{LAYER}.lora_down.weight": torch.randn(4, 128)}
    for name in ("one", "two"):
        save_file(layer, tmp_path / f"{name}.safetensors")
    engine.networks = {
        name: NetworkRef(str(tmp_path / f"{name}.safetensors"), name, digit * 64)
        for name, digit in (("one", "a"), ("two", "b"))
    }
    body = {**SMALL, "prompt": "a cat <lora:one:1>", "enable_hr": True, "hr_prompt": "a cat <lora:two:1><lora:one:1>"}
    made = engine.run(Txt2Img.model_validate(body))[0]
    assert dict(made.facts)["Lora hashes"] == "one: aaaaaaaaaaaa, two: bbbbbbbbbbbb"


def test_a_weight_of_nothing_is_no_change(painted: Callable[[str], Pictured]) -> None:
    assert painted("a cat <lora:strong:1:0>").rgb == painted("a cat").rgb


def test_unknown_names_and_odd_weights_are_remarked(painted: Callable[[str], Pictured]) -> None:
    odd = painted("a cat <lora:nobody:1> <lora:strong:much> <hypernet:none> <thing:1>")
    assert odd.rgb == painted("a cat").rgb
    assert "Lora not found: nobody" in odd.comments
    assert "Hypernetwork not found: none" in odd.comments
    assert any("strong:much" in comment for comment in odd.comments)


BROKEN: dict[str, Callable[[Path], None]] = {
    "gone": lambda _path: None,
    "empty": lambda path: path.touch(),
    "cut": lambda path: path.write_bytes(b"\x00\x01\0\0\0\0\0\0{") and None,
    "a page": lambda path: path.write_bytes(b"<html>not found</html>") and None,
    "a pickle of code": lambda path: path.write_bytes(b"\x80\x02cos\nsystem\n.") and None,
    "not a supported kind of network": lambda path: save_file({"position_ids": torch.zeros(2)}, path),
    "NaN or infinite values": lambda path: save_file({f"{LAYER}.diff": torch.full((128, 128), torch.nan)}, path),
    "a core of another rank": lambda path: save_file(
        {
            f"{LAYER}.lora_up.weight": torch.ones(128, 2),
            f"{LAYER}.lora_mid.weight": torch.ones(3, 5, 1, 1),
            f"{LAYER}.lora_down.weight": torch.ones(4, 128),
        },
        path,
    ),
    "two alphas": lambda path: save_file(
        {
            f"{LAYER}.lora_up.weight": torch.ones(128, 2),
            f"{LAYER}.lora_down.weight": torch.ones(2, 128),
            f"{LAYER}.alpha": torch.ones(2),
        },
        path,
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_network_is_remarked_and_the_picture_made_without_it(
    engine: Engine, painted: Callable[[str], Pictured], tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "broken.safetensors"
    BROKEN[kind](path)
    engine.networks = {**engine.networks, **{name: NetworkRef(str(path), name) for name in ("broken", "bent")}}
    made = painted("a cat <lora:broken:1> <lora:strong:1> <hypernet:bent:1>")
    assert made.rgb == painted("a cat <lora:strong:1>").rgb
    for name in ("broken", "bent"):
        assert sum(comment.startswith(f"{name} was left out: ") for comment in made.comments) == 1
    assert "strong: applied 1 of 1 keys." in made.comments


def test_another_familys_ends_the_job_before_it_begins(painted: Callable[[str], Pictured]) -> None:
    with pytest.raises(UserError, match="foreign was made for SDXL"):
        painted("a cat <lora:foreign:1>")


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("<lora:x>", (1.0, 1.0, None)),
        ("<lora:x:0.5>", (0.5, 0.5, None)),
        ("<lora:x:0.5:0.25:4>", (0.5, 0.25, 4)),
        ("<lora:x:0.5:unet=0.1:dyn=2>", (0.5, 0.1, 2)),
        ("<lora:x:te=0.3>", (0.3, 0.3, None)),
    ],
)
def test_weights_of_a_tag(text: str, weights: tuple[float, float, int | None]) -> None:
    assert tuple(lora_weights(extract_networks(text)[1][0])) == weights


@pytest.mark.parametrize("text", ["<lora:x:a>", "<lora:x:nan>", "<lora:x:1:1:many>"])
def test_a_weight_that_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        lora_weights(extract_networks(text)[1][0])


def test_what_the_settings_add_gives_way_to_the_prompts_own_tag() -> None:
    own, added = NetworkTag("lora", ("x", "2"), ()), NetworkTag("lora", ("x", "1"), ())
    assert with_added([own], [added]) == (own,)
    assert with_added([], [added]) == (added,)
    assert multiplier(own) == 2.0
