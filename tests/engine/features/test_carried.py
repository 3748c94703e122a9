"""Features whose values requests carry by name: from the API and the infotext to the picture, and gone ones kept."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.engine.conftest import Engine, most_apart
from tests.engine.test_generate import CLOSE, GRADIENT, from_picture, png, request
from webui import registry
from webui.base.errors import UserError
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.request.fields import Img2Img, Txt2Img
from webui.request.infotext import Parsed, fields_of, labels_of, read, write
from webui.request.params import default_of
from webui.request.plan import wished
from webui.request.settings import RenderSettings, Settings
from webui.server.api.alwayson import features_in, left_out
from webui.server.api.bodies import Img2ImgBody, Txt2ImgBody, request_of

STRONG: dict[str, dict[str, Any]] = {
    "FreeU": {"b1": 1.6, "b2": 1.6, "s1": 0.2, "s2": 0.2},
    "Kohya HRFix": {"block_number": 1, "end_percent": 1.0},
    "CFG-Zero*": {"zero_init_steps": 2},
    "CFG rescale": {"share": 0.7},
    "Perturbed attention": {"scale": 3.0},
    "Adaptive projected guidance": {"threshold": 2.0},
    "Dynamic thresholding": {"mimic_scale": 2.0},
    "Self-attention guidance": {"scale": 3.0, "threshold": 0.5},
}
SIZE = {"width": 128, "height": 128, "steps": 2}
"""At 64 the middle block has one token, which sees itself alone anyway."""
every = pytest.mark.parametrize("name", STRONG)
ELSEWHERE = {
    "ControlNet": "tests/golden/test_pictures.py",
    "Film": "tests/engine/test_film.py",
    "Refiner": "tests/engine/test_partners.py",
    "Regional Prompter": "tests/engine/features/test_regional_prompter.py",
    "Soft inpainting": "tests/golden/test_pictures.py",
    "Tiled Diffusion": "tests/engine/features/test_tiled_diffusion.py",
    "ADetailer": "tests/engine/features/test_detailer.py",
    "Remove background": "tests/engine/features/test_remove_background.py",
    "Postprocessing": "tests/engine/features/test_postprocessing.py",
    "Tiled VAE": "tests/engine/features/test_tiled_vae.py",
}
"""Those that do not change any picture by themselves -> where they are tried."""


def test_all_of_them_are_tried_here_or_elsewhere() -> None:
    assert STRONG.keys() | ELSEWHERE.keys() == {entry.name for entry in registry.carried()}
    assert all(Path(file).is_file() for file in ELSEWHERE.values())
    assert all(entry.params.title == entry.name for entry in registry.carried())


@every
def test_it_changes_the_picture_and_leaves_the_network_as_it_was(engine: Engine, name: str) -> None:
    plain = engine.run(request(**SIZE))[0]
    hooks = _hooks(engine)
    changed = engine.run(request(**SIZE, features={name: STRONG[name]}))[0]
    assert most_apart(plain, changed) > CLOSE
    assert _hooks(engine) == hooks
    assert engine.run(request(**SIZE))[0].rgb == plain.rgb


def _hooks(engine: Engine) -> list[tuple[int, int]]:
    with engine.models.lend(engine.ref, None) as loaded:
        modules: list[nn.Module] = [each for part in loaded.model.parts.values() for each in part.modules()]
    return [(len(each._forward_hooks), len(each._forward_pre_hooks)) for each in modules]


@every
def test_a_picture_does_not_depend_on_its_neighbours(engine: Engine, name: str) -> None:
    wish = {**SIZE, "features": {name: STRONG[name]}}
    together = engine.run(request(**wish, batch_size=2))
    alone = engine.run(request(**wish, seed=8))[0]
    assert most_apart(together[1], alone) <= CLOSE


def test_they_act_together_in_both_passes_and_in_img2img(engine: Engine) -> None:
    engine.run(request(enable_hr=True, hr_scale=2, steps=2, features=STRONG))
    from_picture(engine, steps=4, denoising_strength=0.5, features=STRONG)


@every
@pytest.mark.parametrize("cls", [Txt2Img, Img2Img])
def test_the_infotext_tells_it_and_gives_it_back(cls: type[Txt2Img | Img2Img], name: str) -> None:
    asked = cls.made(prompt="a", features={name: STRONG[name]})
    text = write(asked.prompt, "", labels_of(asked, RenderSettings(), {}))
    assert cls.made(**{**asked.model_dump(), **fields_of(read(text), cls)}).features == asked.features
    assert fields_of(read(write("a", "", labels_of(cls.made(), RenderSettings(), {}))), cls)["features"] == {}


@every
def test_it_is_an_always_on_script_by_any_of_its_names(name: str) -> None:
    entry = registry.feature(name)
    assert entry is not None
    whole = entry.params.made(**STRONG[name]).model_dump()
    values = {own: value for own, value in whole.items() if own != entry.params.switch}
    for title in (name, *entry.params.aliases):
        assert left_out({title: {"args": [True, *values.values()]}}) == ()
        assert features_in({title: {"args": [True, *values.values()]}}) == {name: values}
        assert features_in({title: {"args": [{"enabled": True, **STRONG[name]}]}}) == {name: STRONG[name]}
        assert features_in({title: {"args": [False, *values.values()]}}) == {}
        assert features_in({title: {"args": []}}) == {}


def test_a_wrong_value_is_refused_by_its_name() -> None:
    with pytest.raises(UserError, match="FreeU"):
        Txt2Img.made(features={"freeu": {"b1": -1}})
    with pytest.raises(UserError, match="no parameter named 'b9'"):
        Txt2Img.made(features={"FreeU": {"b9": 1}})


def test_one_that_is_gone_is_kept_as_it_is_and_named(engine: Engine) -> None:
    gone: dict[str, Any] = {"Gone": {"anything": [1, {"deep": None}]}}
    asked = Txt2Img.made(features=gone)
    assert Txt2Img.model_validate_json(asked.model_dump_json(exclude_defaults=True)).features == gone
    plain, made = engine.run(request())[0], engine.run(request(features=gone))[0]
    assert made.rgb == plain.rgb
    assert any("'Gone'" in remark for remark in engine.plan(request(features=gone)).remarks)


def test_one_that_is_off_costs_the_request_nothing() -> None:
    assert "features" not in Txt2Img.made().model_dump(exclude_defaults=True)


def test_freeu_with_ones_is_the_identity() -> None:
    from webui.features.freeu.engine import amplified, filtered

    x = torch.randn(2, 8, 6, 10, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(amplified(x, 1.0), x)
    torch.testing.assert_close(filtered(x, 1.0), x)
    assert filtered(x + 5, 0.0).mean().abs() < 0.01  # the mean is the lowest frequency
    torch.testing.assert_close(amplified(x, 2.0)[:, 4:], x[:, 4:])


def test_cfg_zero_star_is_plain_guidance_where_both_predictions_have_one_direction() -> None:
    from webui.engine.denoisers import Prediction
    from webui.features.cfg_zero_star.engine import optimized

    x, u = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    told = Prediction(x, torch.ones(1), x - 3 * (x - u), u, x)
    torch.testing.assert_close(optimized(told, 7.0), told.conditional)  # s u = c: nothing is left to guide away from
    orthogonal = u - x
    c = torch.zeros_like(x)
    c[..., 0, 0], c[..., 0, 1] = -orthogonal[..., 0, 1], orthogonal[..., 0, 0]
    c[..., 1:, :] = 0
    told = Prediction(x, torch.ones(1), x - c, u, x)
    torch.testing.assert_close(optimized(told, 2.0), x - 2 * c)  # s = 0


def test_what_is_looked_at_is_blurred_and_nothing_else() -> None:
    from webui.features.self_attention_guidance.engine import blurred, mask_of

    mask = mask_of(torch.tensor([[2.0, 0.0, 0.0, 0.5]]), (8, 8), 1.0)
    assert mask[0, 0, :4, :4].all()
    assert mask.sum() == 16
    flat = torch.full((1, 3, 8, 8), 0.7)
    torch.testing.assert_close(blurred(flat, 2.0), flat)


FLAT: dict[str, Any] = {"cfg_rescale": 0.7, "pag_scale": 2.0, "apg": True, "apg_eta": 0.5, "mimic_scale": 3.0}


@pytest.mark.parametrize("cls", [Txt2Img, Img2Img])
def test_what_was_the_request_s_own_is_read_as_the_feature_s(cls: type[Txt2Img | Img2Img]) -> None:
    """Stored requests, presets, programs and forms say it so."""
    asked = cls.made(prompt="a", **FLAT)
    assert asked == cls.model_validate_json(cls.made(**FLAT, prompt="a").model_dump_json(exclude_defaults=True))
    assert asked.features["CFG rescale"] == {"share": 0.7}
    shown = cls.unfolded(asked.model_dump())
    assert {name: shown[name] for name in FLAT} == FLAT and shown["apg_momentum"] == -0.5
    assert cls.made(**shown) == asked
    assert cls.made(**{name: default_of(cls, name) for name in registry.flat_names(cls.kind)}) == cls.made()
    assert asked.changed(apg=False, pag_scale=0).features.keys() == {"CFG rescale", "Dynamic thresholding"}
    with pytest.raises(UserError, match=r"^CFG rescale cannot be 2") as refused:
        cls.made(cfg_rescale=2)
    assert refused.value.field == "cfg_rescale"


def test_the_api_takes_and_shows_what_was_its_own() -> None:
    body = Txt2ImgBody.model_validate({"cfg_rescale": "0.5", "apg": 1, "mimic_scale": -3})
    assert body.features.keys() == {"CFG rescale", "Adaptive projected guidance"}
    assert any("mimic_scale" in remark for remark in body.changed_values)
    shown = Txt2ImgBody.model_json_schema()["properties"]
    assert shown["cfg_rescale"]["default"] == 0.0 and shown["apg"]["type"] == "boolean"


def test_what_a_client_says_itself_goes_before_what_its_infotext_says(tmp_path: Path) -> None:
    said = {"prompt": "x", "cfg_rescale": 0.3, "features": {"FreeU": {"b1": 1.5}}, "pag_scale": 2.0}
    text = write("x", "", labels_of(Txt2Img.made(**said), RenderSettings(), {}))
    catalog = Catalog(Paths(tmp_path))
    try:
        body = Txt2ImgBody.model_validate({"infotext": text, "cfg_rescale": 0.5, "apg": True})
        made = request_of(body, frozenset({"infotext", "cfg_rescale", "apg"}), catalog, Settings())
    finally:
        catalog.close()
    assert {name: values.get("share", values.get("scale")) for name, values in made.features.items()} == {
        "CFG rescale": 0.5,
        "Adaptive projected guidance": None,
        "Perturbed attention": 2.0,
        "FreeU": None,
    }


@pytest.mark.parametrize("cls", [Txt2Img, Img2Img])
def test_one_that_is_for_other_kinds_alone_is_refused_and_offered_nowhere(cls: type[Txt2Img | Img2Img]) -> None:
    others = [entry for entry in registry.features() if not entry.is_for(cls.kind)]
    assert others
    for entry in others:
        assert not entry.params.flat.keys() & cls.offered().keys()
        assert entry not in registry.carried(cls.kind)
        assert features_in({entry.name: {"args": [True]}}, cls.kind) == {}
        if entry.params.title:
            with pytest.raises(UserError, match=f"{entry.name}: it is available in {entry.kinds[0]} only"):
                cls.made(features={entry.name: {}})


def test_a_pasted_infotext_leaves_alone_what_it_cannot_tell() -> None:
    text = write("a", "", labels_of(Img2Img.made(prompt="a", mask="m", soft_inpainting=True), RenderSettings(), {}))
    told = fields_of(read(text), Img2Img)
    assert told["soft_inpainting"] is True and told["pag_scale"] == 0.0
    assert "show_film" not in told
    passed_over = Parsed("a", "", read(text).labels, frozenset({"PAG scale", "Soft inpainting enabled"}))
    assert not {"soft_inpainting", "pag_scale"} & fields_of(passed_over, Img2Img).keys()


def test_values_of_soft_inpainting_by_place_hold_where_the_request_does_not_name_them(tmp_path: Path) -> None:
    scripts = {"soft inpainting": {"args": [True, 2, 0.25, 4, 0, 0.5, 2]}}
    given = {"init_images": ["x"], "alwayson_scripts": scripts}
    text = write("a", "", labels_of(Img2Img.made(prompt="a"), RenderSettings(), {}))
    given["infotext"] = text  # without soft inpainting, which goes behind the script
    body = Img2ImgBody.model_validate({**given, "init_images": [base64.b64encode(png(GRADIENT)).decode()]})
    catalog = Catalog(Paths(tmp_path))
    try:
        asked = request_of(body, frozenset(given), catalog, Settings())
        own = {**given, "soft_inpainting": True, "soft_preservation": 0.75}
        named = Img2ImgBody.model_validate({**own, "init_images": body.init_images})
        held = request_of(named, frozenset(own), catalog, Settings())
        off = Img2ImgBody.model_validate({**given, "soft_inpainting": False, "init_images": body.init_images})
        none = request_of(off, frozenset({*given, "soft_inpainting"}), catalog, Settings())
    finally:
        catalog.close()
    assert asked.features["Soft inpainting"]["schedule_bias"] == 2
    assert asked.features["Soft inpainting"]["preservation"] == 0.25
    assert held.features["Soft inpainting"]["preservation"] == 0.75
    assert none.features == {}


def test_when_the_refiner_takes_over_is_kept_while_it_is_off() -> None:
    off = Txt2Img.made(refiner_switch_at=0.5)
    assert wished(off, RenderSettings()) == wished(Txt2Img(), RenderSettings())
    assert Txt2Img.unfolded(off.model_dump())["refiner_switch_at"] == 0.5
    assert "Refiner" not in dict(labels_of(off, RenderSettings(), {}))
    on = off.changed(features=Txt2Img.made(refiner_checkpoint="a", refiner_switch_at=0.5).features)
    assert dict(labels_of(on, RenderSettings(), {}))["Refiner switch at"] == "0.5"


def test_a_script_called_refiner_is_passed_over_as_in_a1111() -> None:
    assert features_in({"Refiner": {"args": [True, "a.safetensors", 0.5]}}, "txt2img") == {}
