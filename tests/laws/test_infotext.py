"""What an infotext says is what was asked for, however hostile the text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from webui import registry
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.request import infotext
from webui.request.dialects import SPELLINGS
from webui.request.facts import facts_of
from webui.request.fields import SAME_SCHEDULE, Generation, Img2Img, Txt2Img
from webui.request.plan import UpscalerRef, resolve
from webui.request.settings import Settings

HOSTILE = st.text(
    st.one_of(
        st.sampled_from(' ,:"\\\n\r\t<>()[]{}=\x00\x1b\x85\u2028é日🎨x1'), st.characters(exclude_categories=["Cs"])
    )
)
NAMES = st.sampled_from(["m", "other"])
UNIT = st.floats(0, 1)
SEEDS = st.integers(0, 2**63 - 1)
SIDES = st.integers(8, 16384)


def as_a_prompt(text: str) -> str:
    """What the format can carry of it: no blanks at the ends of lines, no empty first lines, no second negative.

    Nor comments, which are taken out before it is written, and leave such blanks and lines behind.
    """
    lines = [line.strip() for line in text.replace("#", "").split("\n")]
    while lines and not lines[0]:
        del lines[0]
    return "\n".join(line for line in lines if not line.startswith(infotext.NEGATIVE))


PROMPTS = HOSTILE.map(as_a_prompt)


def schedules_for(sampler: str) -> st.SearchStrategy[str]:
    """All but the sampler's own, which is read as Automatic."""
    own = registry.sampler(sampler).schedule
    return st.sampled_from([entry.name for entry in registry.schedules() if entry.name != own])


@st.composite
def generations(draw: st.DrawFn) -> dict[str, Any]:
    sampler = draw(st.sampled_from([entry.name for entry in registry.samplers()]))
    values: dict[str, Any] = {
        "prompt": draw(PROMPTS),
        "negative_prompt": draw(PROMPTS),
        "steps": draw(st.integers(1, 10000)),
        "sampler_name": sampler,
        "scheduler": draw(schedules_for(sampler)),
        "cfg_scale": draw(st.floats(0, 1e6)),
        "seed": draw(SEEDS),
        "width": draw(SIDES),
        "height": draw(SIDES),
    }
    if draw(st.booleans()):
        values |= {"subseed": draw(SEEDS), "subseed_strength": draw(st.floats(0, 1, exclude_min=True))}
    if draw(st.booleans()):
        values |= {"seed_resize_from_w": draw(SIDES), "seed_resize_from_h": draw(SIDES)}
    if draw(st.booleans()):
        inside = st.floats(0, 1, exclude_min=True, exclude_max=True)
        values |= {"refiner_checkpoint": draw(NAMES), "refiner_switch_at": draw(inside)}
    return values


@st.composite
def txt2imgs(draw: st.DrawFn) -> Txt2Img:
    values = draw(generations())
    if draw(st.booleans()):
        values |= {
            "enable_hr": True,
            "denoising_strength": draw(UNIT),
            "hr_upscaler": draw(st.sampled_from([*registry.LATENT_UPSCALERS, *registry.PIXEL_UPSCALERS])),
            "hr_second_pass_steps": draw(st.integers(0, 10000)),
            "hr_prompt": draw(HOSTILE.filter(lambda text: text != values["prompt"])),
            "hr_negative_prompt": draw(HOSTILE.filter(lambda text: text != values["negative_prompt"])),
        }
        if draw(st.booleans()):
            values |= {"hr_resize_x": draw(SIDES), "hr_resize_y": draw(st.integers(0, 16384))}
        else:
            values["hr_scale"] = draw(st.floats(1, 16))
        if draw(st.booleans()):
            others = [entry.name for entry in registry.samplers() if entry.name != values["sampler_name"]]
            values["hr_sampler_name"] = draw(st.sampled_from(others))
            own = registry.sampler(values["hr_sampler_name"]).schedule
            fitting = schedules_for(values["hr_sampler_name"]).filter(
                lambda name: name not in (values["scheduler"], own, "Automatic")
            )
            values["hr_scheduler"] = draw(st.one_of(st.just(SAME_SCHEDULE), fitting))
        if draw(st.booleans()):
            values["hr_checkpoint_name"] = draw(NAMES)
    return Txt2Img(**values)


@st.composite
def img2imgs(draw: st.DrawFn) -> Img2Img:
    values = draw(generations())
    values |= {"init_images": ("a" * 64,), "denoising_strength": draw(UNIT)}
    if draw(st.booleans()):
        blur = draw(st.integers(0, 512))
        values |= {
            "mask": "b" * 64,
            "mask_blur_x": blur,
            "mask_blur_y": blur,
            "inpainting_mask_invert": draw(st.integers(0, 1)),
            "inpainting_fill": draw(st.integers(0, 3)),
        }
        if draw(st.booleans()):
            values |= {"inpaint_full_res": True, "inpaint_full_res_padding": draw(st.integers(0, 8192))}
    return Img2Img(**values)


REQUESTS: st.SearchStrategy[Generation] = st.one_of(txt2imgs(), img2imgs())
RENDER = st.fixed_dictionaries(
    {},
    optional={
        "CLIP_stop_at_last_layers": st.integers(1, 12),
        "randn_source": st.sampled_from(["GPU", "CPU", "NV"]),
        "tiling": st.booleans(),
        "eta_ancestral": UNIT,
        "eta_ddim": UNIT,
        "eta_noise_seed_delta": st.integers(-(2**31), 2**31),
        "s_churn": st.floats(0, 100),
        "sigma_max": st.floats(0, 100),
        "rho": st.floats(0, 10),
        "sd_noise_schedule": st.sampled_from(["Default", "Zero Terminal SNR"]),
        "img2img_extra_noise": UNIT,
        "initial_noise_multiplier": st.floats(0, 2),
        "emphasis": st.sampled_from(["None", "Ignore", "Original", "No norm"]),
        "always_discard_next_to_last_sigma": st.booleans(),
        "token_merging_ratio": st.floats(0, 0.9),
        "refiner_switch_by_sample_steps": st.booleans(),
        "uni_pc_lower_order_final": st.booleans(),
    },
)
QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    paths = Paths(data=tmp_path_factory.mktemp("data"))
    paths.checkpoints.mkdir(parents=True)
    for name in ("m", "other"):
        (paths.checkpoints / f"{name}.safetensors").write_bytes(name.encode())
    catalog = Catalog(paths)
    for checkpoint in catalog.checkpoints.scan():
        catalog.hashes.sha256(checkpoint.path)
    catalog.checkpoints.refresh()
    yield catalog
    catalog.close()


@QUICK
@given(REQUESTS)
def test_reading_gives_back_what_was_asked_for(request_: Generation) -> None:
    labels = infotext.labels_of(request_, Settings().render, {"Model": "m", "Version": "Gesso 1.0"})
    text = infotext.write(request_.prompt, request_.negative_prompt, labels)
    complaints: list[str] = []
    fields = infotext.fields_of(infotext.read(text), type(request_), complaints.append)
    # Pictures are not in the text: who pastes it brings his own.
    pictures = {
        name: getattr(request_, name) for name in ("init_images", "mask") if name in type(request_).model_fields
    }
    assert type(request_)(**{**fields, **pictures}) == request_
    assert not complaints


@QUICK
@given(REQUESTS, RENDER)
def test_the_picture_made_from_an_infotext_has_that_infotext(
    catalog: Catalog, request_: Generation, options: dict[str, Any]
) -> None:
    first = infotext_of(catalog, request_.changed(override_settings=options))
    read = infotext.read(first)
    pictures = {
        name: getattr(request_, name) for name in ("init_images", "mask") if name in type(request_).model_fields
    }
    again = type(request_)(
        **{**infotext.fields_of(read, type(request_)), **pictures},
        override_settings=infotext.settings_of(read, Settings()),
    )
    assert infotext_of(catalog, again) == first


def infotext_of(catalog: Catalog, request_: Generation) -> str:
    assert isinstance(request_, Txt2Img | Img2Img)
    plan = resolve(request_, Settings(), _WithoutPictures(catalog), lambda: 7)
    picture = plan.batches[0][0]
    facts = facts_of(picture, plan, Settings().save, "Gesso 1.0")
    labels = infotext.labels_of(picture.request, picture.render, facts)
    return infotext.write(picture.request.prompt, picture.request.negative_prompt, labels)


class _WithoutPictures:
    """The catalog, but whatever picture or upscaler a request names is there."""

    def __init__(self, catalog: Catalog) -> None:
        self.checkpoint = catalog.checkpoint
        self.vae = catalog.vae
        self.styled = catalog.styled
        self.network = catalog.network

    def upscaler(self, name: str, field: str = "") -> UpscalerRef:
        return UpscalerRef(name)

    def picture(self, name: str) -> bytes:
        return b""

    def picture_size(self, name: str) -> tuple[int, int]:
        return 64, 64


LABELS = st.from_regex(r"[A-Za-z][A-Za-z \-/]{0,20}[a-z]", fullmatch=True)
"""Those that are known are found in any letter case."""


@settings(QUICK, max_examples=50)
@given(st.dictionaries(LABELS.filter(lambda label: label.casefold() not in SPELLINGS), HOSTILE, min_size=3))
def test_any_label_carries_any_text(labels: dict[str, str]) -> None:
    text = infotext.write("", "", list(labels.items()))
    read = dict(infotext.read(text).labels)
    for label, value in labels.items():
        split = f"{read.get(f'{label}-1')}x{read.get(f'{label}-2')}"
        assert read.get(label, split) == value


@QUICK
@given(HOSTILE)
@example('"a"')
@example('"')
@example("")
@example(" a")
@example("\\")
def test_quotes_come_off_again(text: str) -> None:
    assert infotext.unquoted(infotext.quoted(text)) == text


@QUICK
@given(HOSTILE)
def test_reading_never_fails(text: str) -> None:
    for candidate in (text, f"{text}\nSteps: {text}, Sampler: {text}, Size: {text}, Seed: {text}, Version: {text}"):
        read = infotext.read(candidate)
        ignored: list[str] = []
        infotext.fields_of(read, Txt2Img, ignored.append)
        infotext.fields_of(read, Img2Img, ignored.append)
        infotext.settings_of(read, Settings(), ignored.append)


def test_a_text_of_a_hundred_thousand_letters_is_read_at_once() -> None:
    for hostile in ('a"' * 50_000, "a: " * 33_000, '"\\' * 50_000, "a" * 100_000, "Steps: " + '"' * 100_000):
        infotext.read(f"x\n{hostile}")
