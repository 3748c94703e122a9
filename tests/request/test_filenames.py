"""File names from patterns, A1111's tokens among them. (`golden/functions/filenames.json`, `sanitize.json`)"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.request.fields import Txt2Img
from webui.request.filenames import Naming, apply_pattern, file_name, folder_parts, sanitized
from webui.request.plan import CheckpointRef, Picture, Plan
from webui.request.settings import RenderSettings

GOLDEN = Path(__file__).parents[1] / "golden" / "functions"
CHECKPOINT = CheckpointRef(path="", title="m.safetensors", name="my model", sha256="0123456789abcdef")
NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def naming(request: Txt2Img, **more: Any) -> Naming:
    picture = Picture(request=request, render=RenderSettings(), seed=request.seed, subseed=0, position=0)
    plan = Plan(batches=((picture,),), checkpoint=CHECKPOINT)
    return Naming(picture=picture, plan=plan, now=NOW, started=NOW, plain_prompt=request.prompt, **more)


REFERENCE = Txt2Img(
    prompt="a red cat, (sunlight:1.2)/on: a*table?", seed=5, scheduler="Karras", cfg_scale=6.5, denoising_strength=0.5
)


@pytest.mark.parametrize("case", json.loads((GOLDEN / "filenames.json").read_text()), ids=lambda case: case["pattern"])
def test_tokens_are_a1111s(case: dict[str, str]) -> None:
    assert apply_pattern(case["pattern"], naming(REFERENCE)) == case["out"]


@pytest.mark.parametrize(
    "case", json.loads((GOLDEN / "sanitize.json").read_text()), ids=lambda case: repr(case["in"][:20])
)
def test_parts_are_cleaned_as_a1111_does(case: dict[str, str]) -> None:
    assert sanitized(case["in"]) == case["out"]
    assert sanitized(case["in"], spaces=True) == case["nospace"]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("[cfg]-[steps]-[width]x[height]", "6.5-20-512x512"),
        ("[sampler_scheduler]", "DPM++ 2M Karras"),
        ("[model_name] [model_hash]", "my model 0123456789"),
        ("[date] [datetime] [datetime<%H-%M>]", "2024-05-06 20240506070809 07-08"),
        ("[datetime<%H><Asia/Tokyo>]", "16"),
        ("[datetime<%H><No/Where>]", "07"),
        ("[prompt_words]", "a red cat sunlight 1 2 on a"),
        ("[prompt_hash<3>]", "00b"),
        ("[hasprompt<CAT|dog><table><moon|sun>]", "cattablesun"),
        ("[styles]", "None"),
        ("[clip_skip]", "1"),
        ("[SEED]", "5"),
        ("a-[batch_number]-b", "-b"),
        ("x[denoising]y", "y"),
        ("[basename]-[seed]", "img-5"),
        ("[unknown<with argument>] [", "[unknown<with argument>] ["),
        ("[[seed]]", "[5]"),
        ("", ""),
    ],
)
def test_patterns(pattern: str, name: str) -> None:
    assert apply_pattern(pattern, naming(REFERENCE)) == name


def test_every_parameter_is_a_token() -> None:
    for name in [*Txt2Img.params(), *RenderSettings.params()]:
        assert apply_pattern(f"[{name}]", naming(REFERENCE)) != f"[{name}]"


def test_batches_number_their_pictures() -> None:
    request = Txt2Img(seed=5, batch_size=2, n_iter=3)
    plan = naming(request).plan
    batches = tuple(
        tuple(Picture(request, RenderSettings(), seed=5 + p, subseed=0, position=p) for p in (2 * b, 2 * b + 1))
        for b in range(3)
    )
    last = replace(naming(request), plan=replace(plan, batches=batches), picture=batches[2][1])
    assert apply_pattern("[batch_number] [generation_number] [seed_first] [seed_last]", last) == "2 6 5 10"


@given(st.text(), st.text())
def test_no_prompt_leads_out_of_the_folder(prompt: str, pattern: str) -> None:
    told = naming(Txt2Img(prompt=prompt, seed=1))
    for part in folder_parts(f"{pattern}/[prompt]/[prompt_spaces]", told):
        assert part not in ("", ".", "..")
        assert not set(part) & set("/\\\0")
    name = file_name(apply_pattern("[prompt]", told), "png")
    assert not set(name) & set('/\\\0:*?"<>|')
    assert len(name.encode()) <= 255
    assert name not in ("", ".", "..")


def test_names_that_systems_refuse_are_changed() -> None:
    assert file_name("con", "png") == "_con.png"
    assert file_name("", "png") == "_.png"
    assert len(file_name("日" * 300, "png").encode()) <= 255
    assert folder_parts("a/../[none]/ /nul/b.", naming(REFERENCE)) == ("a", "_nul", "b")
