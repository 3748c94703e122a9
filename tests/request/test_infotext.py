"""Infotexts as A1111 itself wrote and understood them. (`golden/functions`; laws are in `laws/test_infotext.py`.)"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from webui.request import infotext
from webui.request.dialects import modern, todays_names
from webui.request.facts import facts_of
from webui.request.fields import SAME_SAMPLER, Img2Img, Txt2Img
from webui.request.foreign import told_infotext
from webui.request.plan import CheckpointRef, NetworkRef, UpscalerRef, resolve
from webui.request.settings import Settings

GOLDEN = Path(__file__).parents[1] / "golden" / "functions"
HASHES = {
    "tiny-sd1": "602406d05a",
    "tiny-sd1-inpainting": "a3e51e9ed4",
    "tiny-sd2v": "c35459ffc5",
    "tiny-sdxl": "355591de93",
}


def golden(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((GOLDEN / name).read_text("utf-8"))
    return cases


class Reference:
    """The models that the reference pictures were made with."""

    def __init__(self, model: str) -> None:
        self.model = model

    def checkpoint(self, name: str) -> CheckpointRef:
        name = name or self.model
        return CheckpointRef(path="", title=f"{name}.safetensors [{HASHES[name]}]", name=name, sha256=HASHES[name])

    def vae(self, name: str, checkpoint: CheckpointRef, *, overrides: bool = True) -> CheckpointRef | None:
        return None if name == "Automatic" else CheckpointRef(path="", title=name, name=name, sha256="7a09da340e")

    def network(self, kind: str, name: str) -> NetworkRef | None:
        return NetworkRef("", name) if name == "known" else None

    def picture_size(self, name: str) -> tuple[int, int]:
        return 64, 64

    def upscaler(self, name: str, field: str = "") -> UpscalerRef:
        return UpscalerRef(name)

    def styled(self, prompt: str, negative: str, styles: tuple[str, ...]) -> tuple[str, str]:
        return prompt, negative

    def picture(self, name: str) -> bytes:
        return b""


@pytest.mark.parametrize("case", golden("infotext_write.json"), ids=lambda case: case["infotext"].split("\n")[-1][:150])
def test_we_write_what_a1111_wrote_letter_for_letter(case: dict[str, Any]) -> None:
    request = {"txt2img": Txt2Img, "img2img": Img2Img}[case["kind"]](**case["request"])
    plan = resolve(request, Settings(), Reference(case["model"]), lambda: 7)
    picture = plan.batches[0][0]
    facts = facts_of(picture, plan, Settings().save, "v1.10.1")
    labels = infotext.labels_of(picture.request, picture.render, facts)
    assert infotext.write(picture.request.prompt, picture.request.negative_prompt, labels) == case["infotext"]


@pytest.mark.parametrize("case", golden("infotext_parse.json"), ids=lambda case: case["infotext"][:80])
def test_we_read_what_a1111_read(case: dict[str, Any]) -> None:
    read = infotext.read(case["infotext"])
    assert (read.prompt, read.negative) == (case["prompt"], case["negative"])
    assert dict(read.labels) == case["labels"]
    settings = infotext.settings_of(read, Settings())
    settings.pop("fp8_storage", None)  # A1111 writes it and does not read it back, though it changes the picture
    assert settings == case["settings"]


@pytest.mark.parametrize("case", golden("infotext_quote.json"), ids=lambda case: repr(case["in"]))
def test_quotes_are_a1111s_and_come_off(case: dict[str, Any]) -> None:
    assert infotext.unquoted(case["out"]) == case["back"]
    if case["in"] not in ("", '"q"'):  # A1111 loses these two
        assert infotext.quoted(case["in"]) == case["out"]


@pytest.mark.parametrize(
    "case", golden("sampler_scheduler_names.json"), ids=lambda c: f"{c['sampler']} {c['schedule']}"
)
def test_old_sampler_names_become_a_sampler_and_a_schedule(case: dict[str, Any]) -> None:
    labels = {"Sampler": case["sampler"], **({"Schedule type": case["schedule"]} if case["schedule"] else {})}
    found, complaints = todays_names(labels)
    assert [found["Sampler"], found.get("Schedule type", "Automatic")] == case["out"]
    assert not complaints


@pytest.mark.parametrize("case", golden("old_hires_dims.json"), ids=lambda case: str(case["in"]))
def test_the_first_pass_of_2022_had_this_size(case: dict[str, Any]) -> None:
    size = dict(zip(("Size-1", "Size-2"), map(str, case["in"]), strict=True))
    _, labels = modern("", {**size, "First pass size-1": "0", "First pass size-2": "0"})
    assert [int(labels["Size-1"]), int(labels["Size-2"])] == case["out"]
    assert [int(labels["Hires resize-1"]), int(labels["Hires resize-2"])] == case["in"]


def test_a_pasted_text_fills_the_form() -> None:
    text = (
        "a cat\nNegative prompt: dog\nSteps: 30, Sampler: DPM++ SDE Karras, CFG scale: 7, Seed: 7, Size: 640x384,"
        " Denoising strength: 0.5, Hires upscale: 2, Hires upscaler: Latent, Clip skip: 2"
    )
    read = infotext.read(text)
    fields = infotext.fields_of(read, Txt2Img)
    assert (
        fields
        | {
            "prompt": "a cat",
            "negative_prompt": "dog",
            "steps": 30,
            "sampler_name": "DPM++ SDE",
            "scheduler": "Automatic",
            "cfg_scale": 7.0,
            "seed": 7,
            "width": 640,
            "height": 384,
            "denoising_strength": 0.5,
            "enable_hr": True,
            "hr_scale": 2.0,
            "hr_upscaler": "Latent",
            "hr_sampler_name": SAME_SAMPLER,
        }
        == fields
    )
    assert infotext.settings_of(read, Settings()) == {"CLIP_stop_at_last_layers": 2}


def test_an_image_to_image_text_does_not_turn_hires_on() -> None:
    text = "a\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Denoising strength: 0.5"
    assert infotext.fields_of(infotext.read(text), Txt2Img)["enable_hr"] is False
    assert infotext.fields_of(infotext.read(text), Img2Img)["denoising_strength"] == 0.5


def test_a_text_without_labels_changes_the_prompts_alone() -> None:
    assert infotext.fields_of(infotext.read("a cat"), Txt2Img) == {"prompt": "a cat", "negative_prompt": ""}
    assert infotext.settings_of(infotext.read("a cat"), Settings().with_options({"clip_skip": 2})) == {}


def test_what_does_not_fit_is_reported_and_the_rest_is_read() -> None:
    complaints: list[str] = []
    text = "a\nSteps: lots, Sampler: Nonesuch, CFG scale: 7, Seed: 1"
    fields = infotext.fields_of(infotext.read(text), Txt2Img, complaints.append)
    assert "steps" not in fields
    assert "sampler_name" not in fields
    assert fields["seed"] == 1
    assert len(complaints) == 2
    assert "Sampling steps cannot be 'lots'" in complaints[1]


def test_what_a_missing_label_means_is_restored_too() -> None:
    here = Settings().with_options({"randn_source": "CPU", "CLIP_stop_at_last_layers": 3, "eta_ancestral": 0.5})
    read = infotext.read("a\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Clip skip: 3")
    assert infotext.settings_of(read, here) == {"randn_source": "GPU", "eta_ancestral": 1.0}


def test_what_pasting_shall_pass_over_stays_as_it_is() -> None:
    text = "a\nSteps: 30, Sampler: Euler, CFG scale: 7, Seed: 1, Clip skip: 3, Hires upscale: 2"
    here = Settings().with_options({"infotext_skip_pasting": ["Steps", "Clip skip", "Hires upscale", "RNG"]})
    read = infotext.pasted(text, here.ui)
    fields = infotext.fields_of(read, Txt2Img)
    assert not {"steps", "hr_scale"} & set(fields)
    assert (fields["seed"], fields["enable_hr"]) == (1, False)
    assert infotext.settings_of(read, here.with_options({"randn_source": "CPU"})) == {}
    assert {"Steps", "Clip skip", "Hires upscale", "RNG", "Model hash"} <= set(infotext.paste_labels())


@pytest.mark.parametrize("wanted", [True, False])
def test_what_old_versions_did_comes_along_only_where_that_is_wanted(wanted: bool) -> None:
    here = Settings().with_options({"auto_backcompat": wanted})
    read = infotext.pasted("[a:b:1]\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Version: v1.5.2", here.ui)
    assert infotext.settings_of(read, here).get("use_old_scheduling", False) is wanted


def test_the_checkpoint_comes_along_only_where_that_is_wanted() -> None:
    read = infotext.read("a\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Model hash: 602406d05a, Model: tiny")
    assert infotext.settings_of(read, Settings()) == {}
    wanted = Settings().with_options({"disable_weights_auto_swap": False})
    assert infotext.settings_of(read, wanted) == {"sd_model_checkpoint": "602406d05a"}
    there = wanted.with_options({"sd_model_checkpoint": "tiny.safetensors [602406d05a]"})
    assert infotext.settings_of(read, there) == {}


def test_our_own_version_is_not_taken_for_an_old_one_of_a1111() -> None:
    for version in ("Gesso 0.1.0", "gesso-0.1.0", "nonsense", ""):
        _, labels = modern("[a:b:1]", {"Version": version, "Sampler": "DDIM", "Refiner": "x"})
        assert set(labels) == {"Version", "Sampler", "Refiner"}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            "v1.5.2",
            {
                "Old prompt editing timelines",
                "Pad conds v0",
                "Downcast alphas_cumprod",
                "Refiner switch by sampling steps",
            },
        ),
        ("v1.6.1", {"Downcast alphas_cumprod", "Refiner switch by sampling steps"}),
        ("v1.7.0-224-gabcdef12", {"Downcast alphas_cumprod", "Refiner switch by sampling steps"}),
        ("v1.7.0-225-gabcdef12", {"Refiner switch by sampling steps"}),
        ("v1.8.0-RC", {"Refiner switch by sampling steps"}),
        ("v1.8.0", set()),
        ("v1.10.1", set()),
    ],
)
def test_habits_of_old_versions(version: str, expected: set[str]) -> None:
    given = {"Version": version, "Sampler": "DDIM", "Refiner": "x"}
    _, labels = modern("[a:b:1]", given)
    assert set(labels) - set(given) == expected


def test_the_loras_of_an_old_extension_become_tags() -> None:
    labels = {
        "AddNet Module 1": "LoRA",
        "AddNet Model 1": "fancy(0123abcd)",
        "AddNet Weight A 1": "0.7",
        "AddNet Module 2": "Other",
        "AddNet Model 2": "not this",
    }
    prompt, _ = modern("a cat", labels)
    assert prompt == "a cat\n<lora:fancy:0.7>"


def test_novelai_pictures_are_understood() -> None:
    comment = json.dumps({"steps": 28, "sampler": "k_euler_ancestral", "seed": 5, "scale": 11.0, "uc": "bad"})
    chunks = {"Software": "NovelAI", "Description": "a cat", "Comment": comment}
    fields = infotext.fields_of(infotext.read(told_infotext(chunks, 512, 768)), Txt2Img)
    assert fields["sampler_name"] == "Euler a"
    assert (fields["width"], fields["height"], fields["negative_prompt"]) == (512, 768, "bad")


@pytest.mark.parametrize("prompt", ["a cat", "a 🎈 cat\nSteps: none", "x\nNegative prompt of nothing", ""])
@pytest.mark.parametrize("negative", ["", "bad 🎈\nworse"])
@pytest.mark.parametrize("labels", [[], [("Steps", "20"), ("Hires prompt", "a, 🎈: b"), ("Seed", "7")]])
def test_marks_lie_where_browsers_count_and_say_what_reading_says(
    prompt: str, negative: str, labels: list[tuple[str, str]]
) -> None:
    text = infotext.write(prompt, negative, labels)
    units = text.encode("utf-16-le")
    found = [
        (units[2 * a : 2 * b].decode("utf-16-le"), units[2 * c : 2 * d].decode("utf-16-le"))
        for a, b, c, d in infotext.marks(text)
    ]
    expected = ([("Negative prompt:", negative)] if negative else []) + [
        (f"{label}:", infotext.quoted(value)) for label, value in labels
    ]
    assert found == expected
