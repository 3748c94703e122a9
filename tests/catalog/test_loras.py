"""LoRAs on disk: names, families, hashes."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from webui.base.paths import Paths
from webui.catalog.database import Database
from webui.catalog.hashes import BackgroundHashing, Hashes
from webui.catalog.loras import Loras
from webui.catalog.network_families import family_of_network, is_for
from webui.prompt.comments import strip_comments
from webui.prompt.networks import extract_networks, lora_weights


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "db.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def loras(tmp_path: Path, database: Database) -> Loras:
    return Loras(Paths(tmp_path, lora_dirs=(tmp_path / "more",)), Hashes(database))


def put(path: Path, metadata: dict[str, str] | None = None, *, width: int = 768, content: bytes = b"") -> Path:
    """A safetensors file with one layer of cross attention."""
    content = content or bytes(2 * width * 2)
    tensor = {"dtype": "F16", "shape": [2, width], "data_offsets": [0, len(content)]}
    header = json.dumps({"lora_unet_x_attn2_to_k.lora_down.weight": tensor, "__metadata__": metadata or {}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + content)
    return path


def test_a_prompt_may_call_it_by_stem_alias_or_path(tmp_path: Path, loras: Loras) -> None:
    path = put(tmp_path / "models/Lora/people/anna-v2.safetensors", {"ss_output_name": "anna"})
    for name in ("anna-v2", "anna", "people/anna-v2", "ANNA"):
        found = loras.ref(name)
        assert found is not None, name
        assert (found.path, found.name) == (str(path), name)
    assert loras.ref("nobody") is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["a=b", "x=1=y", "one, two", "a<b", "ratio 16:9", "a>b", "te=0.5", "style#2"])
def test_a_card_of_any_name_writes_a_tag_that_finds_it(tmp_path: Path, loras: Loras, name: str) -> None:
    put(tmp_path / f"models/Lora/{name}.safetensors")
    (lora,) = loras.scan()
    text, (tag,) = extract_networks(strip_comments(f"a <lora:{loras.mention(lora)}:0.5> cat"))
    assert text == "a  cat"
    assert loras.find(tag.name) == lora
    assert lora_weights(tag).unet == 0.5
    plain = name.replace(":", "").replace(",", "")  # as infotexts have it
    told = f"{plain}: {loras.hash_of(lora)[:12]}"
    prompt = f"<lora:{loras.mention(lora)}:1>"
    assert loras.called_here(prompt, told) == prompt


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_each_of_many_that_are_called_alike_has_a_tag_of_its_own(tmp_path: Path, loras: Loras) -> None:
    stems = ("a:b", "a>b", "a#b", "a_b", "A_B", "a%3Ab", "old/a:b", "old/a_b", "old/c", "c")
    names = [
        *(f"models/Lora/{stem}.safetensors" for stem in stems),
        "models/Lora/c.pt",
        "models/LyCORIS/c.pt",
        "more/c.pt",
    ]
    for name in names:
        put(tmp_path / name, {"ss_output_name": "a:b"})
    found = loras.scan()
    assert len(found) == len(names)
    for by_alias in (True, False):
        for lora in found:
            text, (tag,) = extract_networks(strip_comments(f"<lora:{loras.mention(lora, by_alias=by_alias)}:1>"))
            assert not text
            assert loras.find(tag.name) == lora, tag


def test_what_an_older_version_told_of_a_file_is_not_shown(tmp_path: Path, loras: Loras, database: Database) -> None:
    path = put(tmp_path / "models/Lora/large.safetensors", width=2048)
    told = json.dumps({"alias": "old", "family": "Flux", "hash": ""})
    Hashes(database).remember("summary", {(path, (path.stat().st_mtime_ns, path.stat().st_size)): told})
    assert [(lora.alias, lora.family) for lora in loras.scan()] == [("large", "SDXL")]
    (kept,) = Hashes(database).all_cached("summary").values()
    assert json.loads(kept)["family"] == "SDXL"


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_a_broken_one_is_still_a_file_that_the_engine_can_name(tmp_path: Path, loras: Loras, ending: str) -> None:
    path = tmp_path / f"models/Lora/broken.{ending}"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>")
    found = loras.ref("broken")
    assert found is not None
    assert found.path == str(path)


def test_a_safetensors_file_is_known_by_its_content(tmp_path: Path, loras: Loras) -> None:
    put(tmp_path / "models/Lora/named.ckpt", {"ss_output_name": "anna"})
    assert [(lora.alias, lora.family) for lora in loras.scan()] == [("anna", "SD1")]


def test_an_infotexts_hash_finds_the_file_whatever_it_is_called_here(tmp_path: Path, loras: Loras) -> None:
    put(tmp_path / "models/Lora/mine.safetensors", {"sshs_model_hash": "ab" * 32})
    read = put(tmp_path / "models/Lora/read.safetensors", content=b"1" * 3072)
    put(tmp_path / "models/Lora/their.safetensors", content=b"2" * 3072)
    prompt = "<lora:their:0.5> a <lora:other:1:te=0> <lora:third> (<b:1>)"
    digest = loras.hash_of(next(lora for lora in loras.scan() if lora.path == read))[:12]
    told = f"their: {'ab' * 6}, other: {digest}, third: 123456789abc"
    assert loras.called_here(prompt, told) == "<lora:mine:0.5> a <lora:read:1:te=0> <lora:third> (<b:1>)"
    assert loras.called_here(prompt, "") == prompt
    assert loras.called_here("<lora:mine:1>", f"mine: {'ab' * 6}") == "<lora:mine:1>"


def test_stems_win_over_aliases_and_a_shared_alias_is_not_written(tmp_path: Path, loras: Loras) -> None:
    for name in ("one", "two"):
        put(tmp_path / f"models/Lora/{name}.safetensors", {"ss_output_name": "two"})
    put(tmp_path / "more/three.safetensors", {"ss_output_name": "other"})
    found = {lora.stem: lora for lora in loras.scan()}
    assert loras.find("two") == found["two"]
    assert loras.mention(found["one"]) == "one"
    assert loras.mention(found["three"]) == "other"
    assert loras.mention(found["three"], by_alias=False) == "three"


def test_a_file_that_came_later_is_found(tmp_path: Path, loras: Loras) -> None:
    assert loras.scan() == ()
    put(tmp_path / "models/LyCORIS/new.safetensors")
    assert loras.find("new") is not None


def test_the_hash_is_the_trainers_or_that_of_the_tensors(tmp_path: Path, loras: Loras) -> None:
    put(tmp_path / "models/Lora/a.safetensors", {"sshs_model_hash": "f" * 64})
    put(tmp_path / "models/Lora/b.safetensors", {"ss_note": "one"})
    put(tmp_path / "models/Lora/c.safetensors", {"ss_note": "another note"})
    hashes = [ref.short_hash for name in "abc" if (ref := loras.ref(name))]
    assert hashes[0] == "f" * 12
    assert hashes[1] == hashes[2]
    assert len(hashes[1]) == 12


def test_headers_are_read_once(
    tmp_path: Path, loras: Loras, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        put(tmp_path / f"models/Lora/{number}.safetensors", width=2048)
    first = loras.scan()
    monkeypatch.setattr("webui.catalog.loras.read_header", lambda path: pytest.fail(f"{path} was read again"))
    again = Loras(Paths(tmp_path), Hashes(database)).scan()
    assert again == first
    assert {lora.family for lora in again} == {"SDXL"}


def test_a_broken_file_is_listed_and_has_no_family(tmp_path: Path, loras: Loras) -> None:
    (tmp_path / "models/Lora").mkdir(parents=True)
    (tmp_path / "models/Lora/odd.safetensors").write_bytes(b"nothing")
    assert [(lora.stem, lora.family) for lora in loras.scan()] == [("odd", "")]


@pytest.mark.parametrize(
    ("shapes", "metadata", "family"),
    [
        ({"lora_unet_down_blocks_0_attn2_to_k.lora_down.weight": (4, 768)}, {}, "SD1"),
        ({"unet.down_blocks.0.attn2.to_k.lora_A.weight": (4, 1024)}, {}, "SD2"),
        ({"lora_unet_input_blocks_4_1_attn2_to_k.hada_w1_b": (4, 2048)}, {}, "SDXL"),
        ({"lora_unet_x_attn2_to_k.lokr_w1": (2, 2), "lora_unet_x_attn2_to_k.lokr_w2": (320, 1024)}, {}, "SDXL"),
        ({"lora_unet_x_attn2_to_k.lokr_w1": (2, 2), "lora_unet_x_attn2_to_k.lokr_w2_b": (8, 384)}, {}, "SD1"),
        ({"lora_te2_text_model_x.lora_up.weight": (4, 4)}, {}, "SDXL"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": (4, 4)}, {}, "Flux"),
        ({"lora_unet_joint_blocks_0_x_block_attn_qkv.lora_up.weight": (4, 4)}, {}, "SD3"),
        ({"double_blocks.0.processor.qkv_lora1.down.weight": (2, 8)}, {}, "Flux"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 3072)}, {}, "Flux"),
        ({"lora_unet_double_blocks_18_img_mlp_2.lora_down.weight": (4, 12288)}, {}, "Flux"),
        (
            {"lora_unet_double_blocks_0_x.alpha": (), "lora_unet_single_blocks_37_linear1.lora_up.weight": (21504, 4)},
            {},
            "Flux",
        ),
        ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 6144)}, {}, "FLUX.2"),
        ({"diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight": (4, 4096)}, {}, "FLUX.2"),
        (
            {"lora_unet_double_blocks_0_x.alpha": (), "lora_unet_single_blocks_0_linear1.lora_up.weight": (27648, 4)},
            {},
            "FLUX.2",
        ),
        ({"transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj.lora_A.weight": (4, 3072)}, {}, "FLUX.2"),
        ({"transformer.double_blocks.0.img_attn_qkv.lora_A.weight": (4, 3072)}, {}, "HunyuanVideo"),
        (
            {
                "lora_unet_single_blocks_38_linear2.lora_down.weight": (4, 24576),
                "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 6144),
            },
            {},
            "FLUX.2",
        ),
        ({"lora_unet_double_blocks_19_img_attn_qkv.lora_down.weight": (4, 3072)}, {}, "HunyuanVideo"),
        ({"transformer.single_transformer_blocks.39.attn.to_q.lora_A.weight": (4, 3072)}, {}, "HunyuanVideo"),
        (
            {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 3072)},
            {"modelspec.architecture": "chroma/lora"},
            "Chroma",
        ),
        (
            {
                "diffusion_model.distilled_guidance_layer.in_proj.lora_A.weight": (4, 64),
                "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight": (4, 3072),
            },
            {},
            "Chroma",
        ),
        ({"lora_te2_encoder_block_0_layer_0_SelfAttention_k.lora_up.weight": (4, 4)}, {}, "Flux"),
        ({"lora_te2_encoder_block_0_layer_1_DenseReluDense_wo.lora_up.weight": (4, 4)}, {}, "Flux"),
        ({"text_encoder_2.encoder.block.0.layer.1.DenseReluDense.wo.lora_B.weight": (4, 4)}, {}, "Flux"),
        ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": (4, 4)}, {}, "SDXL"),
        ({"lora_te3_encoder_block_0_layer_0_SelfAttention_k.lora_up.weight": (4, 4)}, {}, ""),
        (
            {
                "lora_te2_text_model_x.lora_up.weight": (4, 4),
                "lora_transformer_transformer_blocks_0_attn_to_q.lora_up.weight": (4, 4),
            },
            {},
            "",
        ),
        ({}, {"ss_base_model_version": "sd_v1"}, "SD1"),
        ({}, {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "SDXL"),
        ({}, {"ss_v2": "True"}, "SD2"),
        ({"lora_unet_x.lora_up.weight": (4, 4)}, {}, ""),
    ],
)
def test_families(shapes: dict[str, tuple[int, ...]], metadata: dict[str, str], family: str) -> None:
    assert family_of_network(shapes, metadata) == family


def test_a_network_of_unknown_family_may_fit_any_model() -> None:
    assert is_for("", "SD1")
    assert is_for("SDXL", "SDXL refiner")
    assert is_for("Flux", "Flux")
    assert not is_for("SD1", "SDXL")
    assert not is_for("FLUX.2", "Flux")
    assert not is_for("Flux", "FLUX.2")


def test_hashes_come_in_the_background(tmp_path: Path, loras: Loras, database: Database) -> None:
    hashes = Hashes(database)
    known = put(tmp_path / "models/Lora/known.safetensors", {"sshs_model_hash": "ab" * 32})
    tensors = put(tmp_path / "models/Lora/a.safetensors")
    pickled, broken = tmp_path / "models/Lora/b.pt", tmp_path / "models/Lora/c.safetensors"
    pickled.write_bytes(b"pickled")
    broken.write_bytes(b"{}")
    hashing = BackgroundHashing(hashes, lambda path: None)
    loras.hash_in_background(hashing)
    assert hashing.wait(60)
    hashing.stop()
    assert hashes.cached(tensors, kind="contents") == hashlib.sha256(bytes(3072)).hexdigest()
    assert hashes.cached(pickled) == hashlib.sha256(b"pickled").hexdigest()
    assert hashes.cached(known, kind="contents") is None  # its trainer said it
    assert hashes.cached(broken, kind="contents") is None
