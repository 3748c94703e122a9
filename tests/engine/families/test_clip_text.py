"""The text's road: chunks, emphasis, clip skip, embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.engine.conftest import reference
from webui.engine.families.family import Model, TextOptions
from webui.engine.model_manager import ModelManager
from webui.engine.networks.embeddings import Embedding

PLAIN = TextOptions()


@pytest.fixture
def model(models: ModelManager, tiny_checkpoint: Path) -> Iterator[Model]:
    with torch.inference_mode(), models.lend(reference(tiny_checkpoint), None) as loaded:
        yield loaded.model


def tokens(model: Model, text: str, options: TextOptions = PLAIN) -> Tensor:
    return model.encode_prompts([text], options, {})[0].tokens


def test_a_chunk_is_77_tokens_and_there_are_as_many_as_the_text_needs(model: Model) -> None:
    assert tokens(model, "").shape == (77, 128)
    assert tokens(model, "a cat").shape == (77, 128)
    assert tokens(model, "a cat BREAK a dog").shape == (154, 128)
    assert tokens(model, "cat " * 160).shape == (231, 128)


def test_chunks_do_not_see_each_other(model: Model) -> None:
    joined = tokens(model, "a cat BREAK a dog")
    assert torch.allclose(joined[:77], tokens(model, "a cat"), atol=1e-5)
    assert torch.allclose(joined[77:], tokens(model, "a dog"), atol=1e-5)


def test_texts_encoded_together_have_the_length_of_the_longest(model: Model) -> None:
    short, long = model.encode_prompts(["a cat", "a cat BREAK a dog"], PLAIN, {})
    assert short.tokens.shape == long.tokens.shape
    assert torch.allclose(short.tokens[77:], tokens(model, ""), atol=1e-5)


def test_emphasis_original_keeps_the_mean(model: Model) -> None:
    weighted, plain = tokens(model, "a (cat:1.5)"), tokens(model, "a cat")
    assert not torch.allclose(weighted, plain, atol=1e-2)
    assert float(weighted.mean()) == pytest.approx(float(plain.mean()), abs=1e-6)


def test_emphasis_no_norm_multiplies_the_weighted_tokens_alone(model: Model) -> None:
    weighted = tokens(model, "a (cat:1.5)", TextOptions(emphasis="No norm"))
    plain = tokens(model, "a cat")
    assert torch.allclose(weighted[2], plain[2] * 1.5, atol=1e-5)
    assert torch.allclose(weighted[:2], plain[:2], atol=1e-6)


def test_emphasis_ignore_drops_the_weights_and_none_reads_brackets_as_text(model: Model) -> None:
    plain = tokens(model, "a cat")
    assert torch.allclose(tokens(model, "a (cat:1.5)", TextOptions(emphasis="Ignore")), plain, atol=1e-6)
    literal = tokens(model, "a (cat:1.5)", TextOptions(emphasis="None"))
    assert not torch.allclose(literal, plain, atol=1e-2)


@pytest.mark.parametrize("skip", [1, 2, 6, 12])
def test_clip_skip_leaves_out_layers_and_never_the_last_norm(model: Model, skip: int) -> None:
    skipped = tokens(model, "a cat", TextOptions(clip_skip=skip))
    assert skipped.shape == (77, 128)
    norm = model.parts["text"].final_layer_norm
    assert torch.allclose(((skipped - norm.bias) / norm.weight).mean(dim=1), torch.zeros(77), atol=1e-4)
    assert (skip == 1) == torch.allclose(skipped, tokens(model, "a cat"), atol=1e-3)


def test_an_embedding_stands_in_the_place_of_its_name(model: Model) -> None:
    """The vectors of two ordinary words under one name give what the words themselves give."""
    table = model.parts["text"].embeddings.token_embedding.weight
    red, cat = 736, 2368  # "red", "cat"
    embedding = Embedding("zyxw", {"clip": table[[red, cat]].clone()}, "0" * 64)
    found = model.encode_prompts(["a zyxw, sitting"], PLAIN, {"zyxw": embedding})[0]
    assert found.embeddings == ("zyxw",)
    assert torch.allclose(found.tokens, tokens(model, "a red cat, sitting"), atol=1e-5)


def test_an_embedding_of_another_width_is_no_word(model: Model) -> None:
    embedding = Embedding("zyxw", {"clip": torch.ones(1, 768)}, "0" * 64)
    found = model.encode_prompts(["a zyxw"], PLAIN, {"zyxw": embedding})[0]
    assert found.embeddings == ()
    assert torch.allclose(found.tokens, tokens(model, "a zyxw"), atol=1e-6)
