"""Cards: paged, searched, sorted, written about."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.catalog.test_loras import put
from webui.base.errors import NotFound, StorageError, UserError
from webui.base.paths import Paths
from webui.catalog.cards import Cards, CardWish
from webui.catalog.catalog import Catalog
from webui.prompt.comments import strip_comments
from webui.prompt.networks import extract_networks, multiplier


@pytest.fixture
def cards(tmp_path: Path) -> Iterator[Cards]:
    for number, folder in enumerate(("", "people/", "people/old/")):
        put(tmp_path / f"models/Lora/{folder}lora{number}.safetensors", {"ss_output_name": f"alias{number}"})
    put(tmp_path / "models/Lora/wide.safetensors", width=2048)
    (tmp_path / "models/Lora/lora0.json").write_text(
        json.dumps({"description": "Woodcut lines", "preferred weight": 0.5, "activation text": "woodcut", "own": [1]})
    )
    (tmp_path / "embeddings").mkdir()
    (tmp_path / "embeddings/word.pt").write_bytes(b"x")
    catalog = Catalog(Paths(tmp_path))
    yield Cards(catalog.checkpoints, catalog.loras, catalog.hypernetworks, catalog.embeddings)
    catalog.close()


def names(cards: Cards, **wish: object) -> list[str]:
    return [card["name"] for card in cards.show("loras", CardWish(**wish))["cards"]]  # type: ignore[arg-type]


def id_of(cards: Cards, name: str) -> str:
    found = cards.show("loras", CardWish())["cards"] + cards.show("embeddings", CardWish())["cards"]
    return str(next(card["id"] for card in found if card["name"] == name))


def test_search_folders_families_order_and_pages(cards: Cards) -> None:
    assert names(cards) == ["lora0", "lora1", "lora2", "wide"]
    assert names(cards, search="woodcut") == ["lora0"]
    assert names(cards, search="people lora2") == ["lora2"]
    assert names(cards, folder="people") == ["lora1", "lora2"]
    assert names(cards, family="SDXL") == ["wide"]
    cards.write(cards.find(id_of(cards, "lora2")), {"sd version": "SDXL"})
    assert names(cards, family="SDXL") == ["lora2", "wide"]  # what somebody said counts more than the file
    assert names(cards, sort="name", descending=True) == ["wide", "lora2", "lora1", "lora0"]
    assert names(cards, start=1, count=2) == ["lora1", "lora2"]
    found = cards.show("loras", CardWish())
    assert found["folders"] == ["people", "people/old"]
    assert found["families"] == ["SD1", "SDXL"]


def test_a_click_writes_alias_preferred_weight_and_activation_text(cards: Cards) -> None:
    first = cards.find(id_of(cards, "lora0"))
    assert cards.insertion(first, 1.0, by_alias=True)["prompt"] == "<lora:alias0:0.5> woodcut"
    assert cards.insertion(first, 1.0, by_alias=False)["prompt"] == "<lora:lora0:0.5> woodcut"
    assert cards.insertion(cards.find(id_of(cards, "lora1")), 0.8, by_alias=False)["prompt"] == "<lora:lora1:0.8>"
    assert cards.insertion(cards.find(id_of(cards, "word")), 1.0, by_alias=True)["prompt"] == "word"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["plain", "a=b", "ratio 16:9", "a>b", "style#2"])
def test_a_hypernetworks_card_writes_a_tag_that_finds_it(cards: Cards, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"models/hypernetworks/{name}.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    (shown,) = cards.show("hypernetworks", CardWish())["cards"]
    written = cards.insertion(cards.find(shown["id"]), 0.5, by_alias=True)["prompt"]
    _, (tag,) = extract_networks(strip_comments(written))
    found = cards._hypernetworks.ref(tag.name)
    assert found is not None and found.path == str(path)
    assert multiplier(tag) == 0.5


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_hypernetworks_that_are_called_alike_have_tags_of_their_own(cards: Cards, tmp_path: Path) -> None:
    for name in ("a:b", "a>b", "a_b", "A_B", "old/a:b", "old/a_b"):
        path = tmp_path / f"models/hypernetworks/{name}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    shown = cards.show("hypernetworks", CardWish())["cards"]
    assert len(shown) == 6
    for card in (cards.find(one["id"]) for one in shown):
        _, (tag,) = extract_networks(strip_comments(cards.insertion(card, 1.0, by_alias=True)["prompt"]))
        found = cards._hypernetworks.ref(tag.name)
        assert found is not None and found.path == str(card.path), tag


def test_what_is_written_stands_beside_the_file_with_what_was_there(cards: Cards, tmp_path: Path) -> None:
    card = cards.find(id_of(cards, "lora0"))
    cards.write(card, {"negative text": "photo"})
    said = json.loads((tmp_path / "models/Lora/lora0.json").read_text("utf-8"))
    assert said["own"] == [1]
    assert said["negative text"] == "photo"
    assert cards.insertion(cards.find(card.id), 1.0, by_alias=True)["negative"] == "(photo:1)"
    with pytest.raises(UserError):
        cards.write(card, {"path": "elsewhere"})


def test_a_picture_of_the_gallery_becomes_the_cards(cards: Cards) -> None:
    card = cards.find(id_of(cards, "lora1"))
    with pytest.raises(NotFound):
        cards.picture(card)
    buffer = io.BytesIO()
    Image.new("RGB", (640, 960), "red").save(buffer, "PNG")
    cards.set_picture(card, buffer.getvalue())
    assert cards.shown(cards.find(card.id))["picture"]
    with Image.open(io.BytesIO(cards.picture(cards.find(card.id)))) as small:
        assert max(small.size) == 320
    with pytest.raises(StorageError):
        cards.set_picture(card, b"<svg>")


def test_ids_are_all_that_reaches_a_file(cards: Cards) -> None:
    for wrong in ("", "../../etc/passwd", "0" * 16):
        with pytest.raises(NotFound):
            cards.find(wrong)


def test_details_say_what_the_trainer_wrote(cards: Cards) -> None:
    details = cards.details(cards.find(id_of(cards, "lora0")))
    assert details["metadata"]["ss_output_name"] == "alias0"
    assert details["said"] == {"description": "Woodcut lines", "preferred weight": 0.5, "activation text": "woodcut"}


def test_hidden_folders_and_hashes(cards: Cards, tmp_path: Path) -> None:
    secret = tmp_path / "models/Lora/.secret"
    secret.mkdir()
    put(secret / "quiet.safetensors", {"sshs_model_hash": "ab" * 32})
    cards.refresh("loras")
    assert "quiet" in names(cards) and "quiet" not in names(cards, hidden="When searched")
    assert "quiet" not in names(cards, hidden="When searched", search="qui")
    assert names(cards, hidden="When searched", search="quie") == ["quiet"]
    assert names(cards, hidden="Never", search="quiet") == []
    assert names(cards, hidden="When searched", folder=".secret") == ["quiet"]
    assert names(cards, search="abababab") == ["quiet"]
    assert cards.show("loras", CardWish())["folders"][0] == ".secret"
    assert ".secret" not in cards.show("loras", CardWish(hidden_folders=False))["folders"]


def test_unknown_base_models_fit_any_unless_nobody_wants_them(cards: Cards) -> None:
    cards.write(cards.find(id_of(cards, "lora1")), {"sd version": "Unknown"})
    assert names(cards, family="SDXL") == ["lora1", "wide"]
    assert names(cards, family="SDXL", hide_unknown=True) == ["wide"]
