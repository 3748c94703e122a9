"""Requests that A1111 v1.10.1 was asked, made again: the same pictures, and the same infotext."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import made_checkpoint, made_controls
from tests.tensors import drawn, write_tensors
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.engine.conditioning import TextCache
from webui.engine.control.networks import ControlEncoder
from webui.engine.generate import Tools, pictures
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.request.engine_options import EngineOptions
from webui.request.fields import Img2Img, Txt2Img
from webui.request.plan import resolve
from webui.request.settings import Settings
from webui.server.api.bodies import Img2ImgBody, Txt2ImgBody, forgiven, request_of

FOLDER = Path(__file__).resolve().parent
CASES: list[dict[str, Any]] = json.loads((FOLDER / "cases" / "cases.json").read_text())
CHECKPOINTS = ("tiny-sd1-inpainting", "tiny-sd2v", "tiny-sd1")
EXACT, BY_ENCODER = (2, 0.1), (12, 0.6)
"""(most levels in any channel, on average). A1111's VAE encoder draws with what the picture before has left: where it
takes part, A1111 may differ from itself by a few levels."""
PAIR = re.compile(r'\s*(\w[\w \-/+]*):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


@dataclass
class Studio:
    """An installation with the recorded checkpoints, and an engine that has no process of its own."""

    catalog: Catalog
    models: ModelManager
    cache: TextCache = field(default_factory=TextCache)
    shelf: EmbeddingShelf = field(default_factory=EmbeddingShelf)

    def answer(self, case: dict[str, Any]) -> list[tuple[Image.Image, str]]:
        """The pictures, and their infotexts; those that come with one have none."""
        sent = json.loads(re.sub(r'"@file:([^"]*)"', lambda found: json.dumps(_base64(found[1])), json.dumps(case)))
        cls = Img2ImgBody if case["endpoint"] == "img2img" else Txt2ImgBody
        name = next(name for name in CHECKPOINTS if case["group"].endswith(name) or name == CHECKPOINTS[-1])
        settings = Settings().with_options({"sd_model_checkpoint": name})
        body, _ = forgiven(cls.model_validate(sent["request"]), self.catalog, "")
        request = request_of(body, frozenset(sent["request"]), self.catalog, settings)
        assert isinstance(request, Txt2Img | Img2Img)
        plan = resolve(request, settings, self.catalog, lambda: 1)
        settings = settings.with_options(request.override_settings, strict=False)
        watch = Watch("job", lambda _: None, Cancel(), Viewing(), Stopwatch(torch.device("cpu")), len(plan.batches))
        found = []
        with torch.inference_mode():
            for made in pictures(
                plan, Tools(self.models, self.cache, self.shelf, watch, residents=self.models.residents)
            ):
                picture = next(p for batch in plan.batches for p in batch if p.position == made.position)
                result = Image.frombytes("RGB", (made.width, made.height), made.rgb)
                text = self.catalog.job_pictures.infotext(picture, plan, settings, dict(made.facts), "", "")
                found.append((result, text))
                found += [(Image.open(io.BytesIO(extra.content)), "") for extra in made.extras]
        return found


def _base64(name: str) -> str:
    return base64.b64encode((FOLDER / "pictures" / name).read_bytes()).decode()


@pytest.fixture(scope="module")
def studio(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    data = tmp_path_factory.mktemp("recorded")
    folder = data / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    for name in CHECKPOINTS:
        made = made_checkpoint(name, request)
        for file in (made, made.with_suffix(".yaml")):
            (folder / file.name).symlink_to(file)
    (data / "models" / "ControlNet").symlink_to(made_controls(request))
    (data / "styles.csv").write_bytes((FOLDER / "cases" / "styles.csv").read_bytes())
    catalog = Catalog(Paths(data=data))
    catalog.hash_in_background()
    assert catalog.checkpoints.hashing.wait(300)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Studio(catalog, ModelManager(profile_of(EngineOptions(device="cpu", no_half=True)), limit=3, budget=2**32))
    torch.set_num_threads(threads)
    catalog.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['group']}.{case['name']}")
def test_the_same_picture_and_infotext(studio: Studio, case: dict[str, Any]) -> None:
    answer = studio.answer(case)
    assert len(answer) == len(case["images"])
    most, mean = BY_ENCODER if _encodes(case) else EXACT
    for (made, infotext), recorded in zip(answer, case["images"], strict=True):
        with Image.open(FOLDER / "cases" / recorded["file"]) as image:
            theirs = np.asarray(image.convert("RGB"), np.int16)
        ours = np.asarray(made.convert("RGB"), np.int16)
        assert ours.shape == theirs.shape
        apart = np.abs(ours - theirs)
        assert np.percentile(apart, 99.9) <= most
        assert apart.mean() <= mean
        if recorded["parameters"]:
            head, pairs = _read(recorded["parameters"])
            our_head, our_pairs = _read(infotext)
            assert our_head == head
            assert {key: our_pairs.get(key) for key in pairs} == pairs


def test_a_hint_is_encoded_once_a_pass(studio: Studio) -> None:
    """The network is asked in each call; what it makes of the hint stays the same."""
    case = next(case for case in CASES if case["name"] == "hires.low")
    studio.answer(case)
    asked = {"hint": 0, "network": 0}

    def counting(name: str) -> Callable[..., None]:
        def count(*_: object) -> None:
            asked[name] += 1

        return count

    with ExitStack() as hooks:
        for resident in studio.models.residents:
            thing = getattr(resident, "thing", None)
            if isinstance(thing, ControlEncoder):
                for name, part in (("hint", thing.hint_encoder), ("network", thing.network)):
                    hooks.callback(part.register_forward_hook(counting(name)).remove)
        studio.answer(case)
    assert asked == {"hint": 1, "network": case["request"]["steps"]}


LONG_PROMPT = ", ".join(f"detail number {number} of it" for number in range(20))
"""More than 75 tokens."""


@pytest.mark.parametrize("tile", [(16, 24), (24, 16)])
def test_a_unit_acts_within_tiles_of_any_size_and_with_a_long_prompt(studio: Studio, tile: tuple[int, int]) -> None:
    """As users of the extensions wanted it: control is the same network's, wherever it looks."""
    case = next(case for case in CASES if case["name"] == "mix.control.canny")
    scripts = json.loads(json.dumps(case["request"]["alwayson_scripts"]))
    scripts["Tiled Diffusion"]["args"][6:8] = tile

    def made(**values: Any) -> np.ndarray[Any, Any]:
        request = {**case["request"], "prompt": f"a red cat, {LONG_PROMPT}", "steps": 2, **values}
        picture, _ = studio.answer({**case, "request": request})[0]
        return np.asarray(picture.convert("RGB"), np.int16)

    controlled = made(alwayson_scripts=scripts)
    plain = made(alwayson_scripts={"Tiled Diffusion": scripts["Tiled Diffusion"]})
    assert np.abs(controlled - plain).mean() > 1


def test_a_low_rank_network_is_the_same_whatever_was_made_before(studio: Studio) -> None:
    """It takes the UNet's weights, which a LoRA of the request before may still have changed."""
    case = next(case for case in CASES if case["name"] == "mode.lora.control")
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_ff_net_2"
    shapes = {f"{layer}.lora_up.weight": (32, 4), f"{layer}.lora_down.weight": (4, 128)}
    write_tensors(studio.catalog.paths.loras / "strong.safetensors", drawn(shapes, spread=2.0))
    studio.catalog.loras.refresh()
    plain = {**case, "request": {**case["request"], "steps": 3}}
    prompt = f"{case['request']['prompt']} <lora:strong:1>"
    dressed = {**plain, "request": {**plain["request"], "prompt": prompt}}
    found = [np.asarray(studio.answer(each)[0][0], np.int16) for each in (plain, dressed, dressed, plain)]
    assert np.array_equal(found[0], found[3]) and np.array_equal(found[1], found[2])
    assert np.abs(found[0] - found[1]).max() > 20


def _encodes(case: dict[str, Any]) -> bool:
    """Whether the VAE's encoder takes part."""
    upscaler = str(case["request"].get("hr_upscaler") or "Latent")
    return case["endpoint"] == "img2img" or (bool(case["request"].get("enable_hr")) and "Latent" not in upscaler)


def _read(infotext: str) -> tuple[str, dict[str, str | float]]:
    """The prompts, and what the last line says; numbers as such, since A1111 writes 7 and 7.0."""
    *head, last = infotext.strip().split("\n")
    pairs: dict[str, str | float] = {}
    for key, value in PAIR.findall(last):
        if key != "Version":
            pairs[key] = float(value) if re.fullmatch(r"-?\d+(\.\d+)?", value) else value
    return "\n".join(head), pairs
