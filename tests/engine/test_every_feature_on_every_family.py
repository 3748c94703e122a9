"""Every feature on every family of models: it works, or it is refused in words. A new feature is tried by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.engine.conftest import OPTIONS, Engine, Names, levels, reference
from tests.engine.detectors.published import save, tensors
from tests.engine.families.pipelines import z_image
from tests.engine.families.published import small, written
from tests.engine.families.sixteen import sixteen
from tests.engine.families.test_flows import SMALL_FLUX, SMALL_SD3, furnished
from tests.engine.families.test_single_file import alone
from tests.engine.test_generate import GRADIENT, png
from webui import registry
from webui.base.errors import UserError
from webui.catalog.model_families import family_of_checkpoint
from webui.engine.families.components import Components
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.request import capabilities
from webui.request.capabilities import Capability, known, of_family
from webui.request.fields import Img2Img, Txt2Img
from webui.request.model_ref import ModelRef
from webui.request.plan import CheckpointRef, NetworkRef, Plan, resolve
from webui.request.settings import Settings

FAMILIES = {
    "SD1": "SD 1.5",
    "SD1 of 16 channels": "",
    "SD1 inpainting": "SD 1.5 inpainting",
    "InstructPix2Pix": "InstructPix2Pix",
    "SD2": "SD 2.1",
    "SDXL": "SDXL",
    "SDXL refiner": "SDXL refiner",
    "SD3": "",
    "Flux": "",
    "Diffusers": "",
    "Diffusers file": "",
}
"""Name -> the published build that a small one is made of."""
IS_OF = {"SD1 of 16 channels": "SD1", "SD1 inpainting": "SD1", "InstructPix2Pix": "SD1"}
ON: dict[str, dict[str, Any]] = {
    "LoRA": {"prompt": "a red cat <lora:ink:1>"},
    "Hypernetworks": {"prompt": "a red cat <hypernet:bend:1>"},
    "Token merging": {"override_settings": {"token_merging_ratio": 0.5}},
    "Hypertile": {"override_settings": {"hypertile_enable_unet": True, "hypertile_max_tile_unet": 16}},
    "Upcast attention": {"override_settings": {"upcast_attn": True}},
    "Postprocessing": {"features": {"Postprocessing": {"upscaler_1": "Lanczos", "upscaling_resize": 1.5}}},
    "Tiling": {"override_settings": {"tiling": True}},
    "Refiner": {"refiner_checkpoint": "itself", "refiner_switch_at": 0.5},
    "ControlNet": {"features": {"ControlNet": [{"module": "reference_only", "image": "given"}]}},
    "ADetailer": {"features": {"ADetailer": [{"ad_model": "face", "ad_confidence": 0.5, "ad_mask_k": 1}]}},
    "Hires. fix": {"enable_hr": True, "hr_scale": 1.5},
    "Face restoration": {"override_settings": {"face_restoration": True}},
    "Soft inpainting": {"soft_inpainting": True, "mask": "mask"},
    "Colour correction": {"override_settings": {"img2img_color_correction": True}},
    "Inpainting": {"mask": "mask"},
    "Enlarging": {"override_settings": {"upscaler_for_img2img": "Nearest"}, "width": 128, "height": 128},
    "Film": {"show_film": True},
    "Noise recovery": {"script": "img2img alternative test", "script_values": {"st": 2}, "resize_mode": 0},
}
"""How a feature is switched on, where requests do not carry it by its name."""
SIXTEEN = "sixteen.safetensors"
PICTURES = {"given": png(GRADIENT), "mask": png(GRADIENT.point(lambda level: 255 if level > 128 else 0))}


@dataclass
class Known(Names):
    """One checkpoint whose family is known as a catalog knows it."""

    others: dict[str, CheckpointRef] = field(default_factory=dict)

    def checkpoint(self, name: str) -> CheckpointRef:
        return self.others.get(name, self.ref)

    def detector(self, name: str) -> ModelRef:
        return ModelRef(self.networks[name].path, name)


class Planning(Engine):
    def plan(self, request: Txt2Img | Img2Img, images: object = None) -> Plan:
        return resolve(request, Settings(), Known(self.ref, PICTURES, self.networks), lambda: 1)


@pytest.fixture(scope="module", params=FAMILIES)
def tried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planning]:
    """An engine that knows a small model of the family, with a LoRA and a hypernetwork that fit nobody well, and a
    detector that finds something anywhere."""
    folder = tmp_path_factory.mktemp("family")
    path = made(request.param, folder)
    parts = {f"lora_unet_{end}": torch.ones(4, 4) for end in ("x.lora_up.weight", "x.lora_down.weight")}
    save_file(parts, folder / "ink.safetensors")
    pair = [{"linear.0.weight": torch.eye(64), "linear.0.bias": torch.zeros(64)}] * 2
    torch.save({64: pair}, folder / "bend.pt")
    networks = {
        "ink": NetworkRef(str(folder / "ink.safetensors"), "ink"),
        "bend": NetworkRef(str(folder / "bend.pt"), "bend"),
        "face": NetworkRef(str(save(folder / "face.pt", tensors(seed=3))), "face"),
    }
    components = furnished(folder) if request.param in ("SD3", "Flux") else Components(folder)
    models = ModelManager(profile_of(OPTIONS), budget=2**32, components=components)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Planning(models, reference(path), networks=networks)
    torch.set_num_threads(threads)
    models.unload()


def made(family: str, folder: Path) -> Path:
    """A small model of the family."""
    match family:
        case "SD1 of 16 channels":
            return sixteen(folder / SIXTEEN)
        case "SD3":
            return written(SMALL_SD3, folder / "sd3.safetensors")
        case "Flux":
            return written(SMALL_FLUX, folder / "flux.safetensors")
        case "Diffusers":
            return z_image(folder / "zimage")
        case "Diffusers file":
            beside = z_image(folder / "diffusers" / "Z-Image-Turbo")
            return alone(beside, folder / "alone.safetensors")
    return small(FAMILIES[family], folder / "small.safetensors")


def requests(feature: str) -> Iterator[Txt2Img | Img2Img]:
    """Those that switch the feature on, of each kind that can."""
    wish = ON.get(feature, {"features": {feature: {}}})
    base = {"prompt": "a red cat", "width": 64, "height": 64, "steps": 1, "sampler_name": "Euler", "cfg_scale": 3.0}
    for cls, more in ((Txt2Img, {}), (Img2Img, {"init_images": ("given",), "denoising_strength": 1.0})):
        asked = {**base, **more, **wish}
        if asked.keys() <= cls.model_fields.keys() | cls.offered().keys():
            yield cls.made(**asked)


def test_all_families_are_tried() -> None:
    assert {IS_OF.get(name, name) for name in FAMILIES} == {record.family for record in known()}


@pytest.mark.parametrize("feature", [entry.name for entry in registry.features()])
def test_it_works_or_is_refused_in_words(feature: str, tried: Planning) -> None:
    params = next(entry.params for entry in registry.features() if entry.name == feature)
    family = family_of_checkpoint(Path(tried.ref.path), whole=Path(tried.ref.path).is_dir())
    is_on = False
    for request in requests(feature):
        render = Settings().with_options(request.override_settings).render
        is_on = is_on or params.of(request, render) is not None
        said = outcome(tried, replace(tried.ref, family=family), request)
        if said:
            assert said == outcome(tried, tried.ref, request), "the engine says the same where it alone knows"
        record = of_family(family)
        if record is not None and not record.is_whole and not params.needs <= record.bears:
            assert said.startswith(record.title), said
        elif said:
            assert said.endswith("."), said
    assert is_on, f"Say in ON how {feature} is switched on."


def outcome(engine: Planning, ref: CheckpointRef, request: Txt2Img | Img2Img) -> str:
    """What is said where it is refused; "" where pictures come of it."""
    engine.ref = ref
    try:
        pictures = engine.run(request)
    except UserError as error:
        return error.message
    finally:
        engine.ref = replace(ref, family="")
    assert pictures
    assert all(levels(picture).shape[2] == 3 for picture in pictures)
    return ""


def test_the_record_says_what_the_model_is(tried: Planning) -> None:
    with tried.models.lend(tried.ref, None) as lent:
        record, maker = lent.model.family.capabilities, lent.model.picture_maker
        assert record in known()
        assert record.is_whole == (maker is None)
        usual = 16 if tried.ref.title == SIXTEEN else record.channels
        assert usual == (maker.latent.channels if maker else 0)


# ---------------------------------------------------------------- resolve


def plan(family: str, request: Txt2Img, **others: str) -> Plan:
    def ref(name: str) -> CheckpointRef:
        return CheckpointRef(f"/nowhere/{name}.safetensors", name, name, family=name)

    names = Known(ref(family), others={field: ref(other) for field, other in others.items()})
    return resolve(request, Settings(), names, lambda: 1)


def test_a_plan_is_refused_before_any_file_is_opened() -> None:
    both = Txt2Img.made(
        features={"Perturbed attention": {}}, override_settings={"token_merging_ratio": 0.5, "tiling": True}
    )
    with pytest.raises(UserError) as error:
        plan("Flux", both)
    assert error.value.message == (
        "FLUX.1 has no UNet: set Token merging to 0, switch Tiling off and set Perturbed attention to 0."
    )
    assert "SD1, SD2, SDXL" in error.value.hint
    assert plan("SD1", both).count == 1
    assert plan("", both).count == 1  # the engine will know


def test_a_partner_must_be_able_to_go_on() -> None:
    refined = Txt2Img.made(refiner_checkpoint="second", refiner_switch_at=0.5)
    with pytest.raises(UserError, match=r"FLUX\.1 works on latents of 16 channels, SD1 on 4") as error:
        plan("SD1", refined, second="Flux")
    assert error.value.field == "refiner_checkpoint"
    with pytest.raises(UserError, match="is run as a whole by diffusers: it cannot be the refiner"):
        plan("SDXL", refined, second="Diffusers")
    assert plan("SDXL", refined, second="SDXL refiner").partners
    assert plan("Diffusers", refined, second="SD1").partners  # it passes over it
    again = Txt2Img.made(enable_hr=True, hr_checkpoint_name="second", hr_upscaler="Latent")
    with pytest.raises(UserError, match="it cannot be the checkpoint of hires fix here"):
        plan("SD1", again, second="SD3")
    assert plan("SD1", again.changed(hr_upscaler="Lanczos"), second="SD3").hires_checkpoint is not None


def test_a_partner_of_unknown_family_is_refused_by_the_engine_in_the_same_words(tmp_path: Path) -> None:
    first, second = made("SD1", tmp_path), made("Diffusers", tmp_path)
    models = ModelManager(profile_of(OPTIONS), budget=2**32, components=Components(tmp_path))

    class Two(Engine):
        def plan(self, request: Txt2Img | Img2Img, images: object = None) -> Plan:
            names = Known(self.ref, others={"second": reference(second)})
            return resolve(request, Settings(), names, lambda: 1)

    refined = Txt2Img.made(width=64, height=64, steps=2, refiner_checkpoint="second", refiner_switch_at=0.1)
    with pytest.raises(UserError, match="is run as a whole by diffusers: it cannot be the refiner"):
        Two(models, reference(first)).run(refined)


def test_each_family_is_known_by_its_file(tmp_path: Path) -> None:
    for name in FAMILIES:
        path = made(name, tmp_path / name.replace(" ", "-")) if name != "Diffusers file" else None
        if path is not None:
            assert family_of_checkpoint(path, whole=path.is_dir()) == IS_OF.get(name, name)
    assert family_of_checkpoint(tmp_path / "gone.safetensors") == ""
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 100)
    assert family_of_checkpoint(tmp_path / "broken.safetensors") == ""


def test_all_that_a_capability_names_is_asked_for_somewhere() -> None:
    assert set(capabilities.CALLED) == set(Capability)
    for what in Capability:
        borne = [what in record.bears for record in known()]
        assert any(borne) and not all(borne), f"{what}: it tells no family from another"
