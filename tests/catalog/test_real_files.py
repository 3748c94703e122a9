"""Pictures as other programs really write them say what they say: the files in `foreign/`, `expected.json` beside them.

"has": the text contains it; "lacks": it does not. What `expected.json` does not name is free.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from webui import registry
from webui.catalog.image_files import read_infotext
from webui.request import infotext
from webui.request.fields import Txt2Img

FOLDER = Path(__file__).parent / "foreign"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_file_says_what_it_says(name: str) -> None:
    wanted = EXPECTED[name]
    text, _ = read_infotext(FOLDER / name)
    parsed = infotext.read(text)
    complaints: list[str] = []
    fields = infotext.fields_of(parsed, Txt2Img, complaints.append)
    prompt, negative = fields["prompt"], fields["negative_prompt"]
    both = f"{prompt}\n{negative}"
    assert not complaints
    found = {
        "prompt": prompt,
        "negative": negative,
        "steps": fields.get("steps"),
        "cfg": fields.get("cfg_scale"),
        "seed": fields.get("seed"),
        "size": [fields.get("width"), fields.get("height")],
        "sampler": fields.get("sampler_name"),
        "model": parsed.labels.get("Model"),
        "model_hash": parsed.labels.get("Model hash"),
        "clip_skip": int(parsed.labels.get("Clip skip", 1)),
        "distilled_cfg": float(parsed.labels.get("Distilled CFG Scale", "0")),
    }
    assert {key: found[key] for key in found if key in wanted} == {key: wanted[key] for key in found if key in wanted}
    if "schedule" in wanted:
        assert parsed.labels["Schedule type"] == wanted["schedule"]
        own = registry.sampler(fields["sampler_name"]).schedule == wanted["schedule"]
        assert fields["scheduler"] == ("Automatic" if own else wanted["schedule"])
    assert wanted.get("prompt_has", "") in prompt
    assert all(part in prompt for part in wanted.get("prompt_has_too", []))
    assert not wanted.get("prompt_lacks") or wanted["prompt_lacks"] not in prompt
    assert wanted.get("negative_has", "") in negative
    assert wanted.get("prompt_or_negative_has", "") in both
    assert wanted.get("model_has", "") in parsed.labels.get("Model", "")
