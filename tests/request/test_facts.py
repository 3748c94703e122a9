"""A setting is in the infotext where it had an effect, and only there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from webui.request.facts import PLACES, facts_of
from webui.request.fields import Generation, Img2Img, Txt2Img
from webui.request.plan import CheckpointRef, Picture, Plan, wished
from webui.request.settings import RenderSettings, SaveSettings, Settings

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = CheckpointRef(path="", title="m.safetensors", name="m: a, b", sha256="0123456789abcdef")


def facts(request: Generation, save: SaveSettings | None = None, **options: Any) -> dict[str, str]:
    assert isinstance(request, Txt2Img | Img2Img)
    render = Settings().with_options(options).render
    picture = Picture(request, render, seed=1, subseed=1, position=0, wishes=wished(request, render))
    plan = Plan(batches=((picture,),), checkpoint=CHECKPOINT, partners=(CHECKPOINT,))
    return facts_of(picture, plan, save or Settings().save, "Gesso 1.0", "me")


def with_sampler(name: str, **values: Any) -> Txt2Img:
    return Txt2Img(sampler_name=name, **values)


@pytest.mark.parametrize(
    ("option", "value", "label", "where", "where_not"),
    [
        ("eta_noise_seed_delta", 31337, "ENSD", with_sampler("Euler a"), with_sampler("Euler")),
        ("eta_ancestral", 0.5, "Eta", with_sampler("Euler a"), with_sampler("DDIM")),
        ("eta_ddim", 0.5, "Eta DDIM", with_sampler("DDIM"), with_sampler("Euler a")),
        ("s_churn", 5, "Sigma churn", with_sampler("Heun"), with_sampler("LMS")),
        ("rho", 3, "Schedule rho", with_sampler("LMS", scheduler="Karras"), with_sampler("LMS")),
        ("rho", 3, "Schedule rho", with_sampler("DPM++ 2M"), with_sampler("DDIM", scheduler="Karras")),
        ("sigma_min", 0.1, "Schedule min sigma", with_sampler("DPM++ 2M"), with_sampler("Euler")),
        (
            "always_discard_next_to_last_sigma",
            True,
            "Discard penultimate sigma",
            with_sampler("Euler"),
            with_sampler("DPM2"),
        ),
        (
            "always_discard_next_to_last_sigma",
            True,
            "Discard penultimate sigma",
            with_sampler("DDIM"),
            with_sampler("DPM2 a"),
        ),
        ("sgm_noise_multiplier", True, "SGM noise multiplier", with_sampler("Euler"), Img2Img(sampler_name="Euler")),
        ("uni_pc_order", 2, "UniPC order", with_sampler("UniPC"), with_sampler("PLMS")),
        ("initial_noise_multiplier", 0.9, "Noise multiplier", Img2Img(), Txt2Img()),
        ("img2img_extra_noise", 0.1, "Extra noise", Txt2Img(enable_hr=True), Txt2Img()),
        ("token_merging_ratio_img2img", 0.5, "Token merging ratio", Img2Img(), Txt2Img()),
        ("token_merging_ratio_hr", 0.5, "Token merging ratio hr", Txt2Img(enable_hr=True), Txt2Img()),
        (
            "refiner_switch_by_sample_steps",
            True,
            "Refiner switch by sampling steps",
            Txt2Img(refiner_checkpoint="x"),
            Txt2Img(),
        ),
        ("emphasis", "None", "Emphasis", Txt2Img(prompt="(a:1.2)"), Txt2Img(prompt="a")),
        ("use_old_scheduling", True, "Old prompt editing timelines", Txt2Img(prompt="[a:b:1]"), Txt2Img(prompt="(a)")),
    ],
)
def test_a_setting_is_told_where_it_acts(
    option: str, value: Any, label: str, where: Generation, where_not: Generation
) -> None:
    told = str(Settings().with_options({option: value}).options()[option])
    assert facts(where, **{option: value})[label] == told
    assert label not in facts(where_not, **{option: value})
    assert label not in facts(where)


def test_ensd_needs_noise_to_act_on() -> None:
    assert "ENSD" not in facts(with_sampler("Euler a"), eta_noise_seed_delta=31337, eta_ancestral=0)


def test_automatic_is_told_by_the_name_of_what_it_meant() -> None:
    assert facts(with_sampler("DPM++ 2M"))["Schedule type"] == "Karras"
    assert facts(with_sampler("Euler"))["Schedule type"] == "Automatic"
    both = facts(with_sampler("DPM++ 2M", enable_hr=True, hr_sampler_name="Euler"))
    assert (both["Schedule type"], both["Hires schedule type"]) == ("Karras", "Automatic")
    assert "Hires schedule type" not in facts(with_sampler("DPM++ 2M", enable_hr=True))


def test_the_beta_schedule_always_tells_its_shape() -> None:
    found = facts(with_sampler("Euler", scheduler="Beta"), beta_dist_alpha=0.9)
    assert (found["Beta schedule alpha"], found["Beta schedule beta"]) == ("0.9", "0.6")


def test_the_user_decides_what_is_told_of_the_model() -> None:
    all_of_it = facts(Txt2Img())
    assert (all_of_it["Model hash"], all_of_it["Model"], all_of_it["Version"]) == ("0123456789", "m a b", "Gesso 1.0")
    assert "User" not in all_of_it
    off = dict.fromkeys(("add_model_name_to_info", "add_model_hash_to_info", "add_version_to_infotext"), False)
    save = Settings().with_options({**off, "add_user_name_to_info": True}).save
    assert {"Model hash", "Model", "Version"}.isdisjoint(facts(Txt2Img(), save))
    assert facts(Txt2Img(), save)["User"] == "me"


def test_a_fact_is_told_by_the_plan_or_by_the_engine_and_not_by_both() -> None:
    """What follows from the plan is decided in facts.py and in the declarations of requests; the engine notes what it
    alone knows. A pipeline that runs a model as a whole has its own sampler, whatever the plan says."""
    whole = ROOT / "webui" / "engine" / "whole.py"
    rooms = [path for room in ("engine", "features", "jobs") for path in (ROOT / "webui" / room).rglob("*.py")]
    noted = {label for path in rooms if path != whole for label in first_arguments(path, "note")}
    assert {"NGMS", "Conditional mask weight", "TI hashes"} <= noted
    settings, facts_file = RenderSettings.params(), ROOT / "webui" / "request" / "facts.py"
    said = {node.value for node in ast.walk(ast.parse(facts_file.read_text("utf-8"))) if isinstance(node, ast.Constant)}
    planned = {str(value) for value in said} | {settings[name].label for name in settings.keys() & said}
    declared = [*Txt2Img.params().values(), *Img2Img.params().values(), *settings.values()]
    planned |= {param.label for param in declared if param.label and not param.by_fact}
    assert not noted & (planned - PLACES.keys()), noted & (planned - PLACES.keys())


def first_arguments(path: Path, function: str) -> Iterator[str]:
    """The texts that a module's calls of a function or method begin with."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called == function:
            yield str(node.args[0].value)


def test_hires_fix_names_a_schedule_of_its_own_alone() -> None:
    same = facts(with_sampler("DPM++ 2M", enable_hr=True, hr_sampler_name="DPM++ SDE"))
    assert "Hires schedule type" not in same
