"""A second checkpoint that sees another number of channels than the first: each is given what it sees itself.

What a checkpoint sees beside the latents (5 channels of an inpainting one, 4 of InstructPix2Pix) is its own: where it
answers from the first step on, the picture is the one that it makes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine.conftest import OPTIONS, Engine, levels, reference
from tests.engine.families.published import small
from tests.engine.test_every_feature_on_every_family import PICTURES, Known
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.request.fields import Generation, Img2Img, Txt2Img
from webui.request.plan import CheckpointRef, Plan, resolve
from webui.request.settings import Settings

BUILDS = {"plain": "SD 1.5", "inpainting": "SD 1.5 inpainting", "editing": "InstructPix2Pix"}
"""Checkpoints that see the latents alone, a mask and the picture without it, and the picture."""
BASE: dict[str, Any] = {
    "prompt": "a red cat",
    "width": 64,
    "height": 64,
    "steps": 2,
    "sampler_name": "Euler",
    "scheduler": "Karras",
    "cfg_scale": 3.0,
    "override_settings": {"sigma_max": 5.0},
}
"""The walk begins so low that a refiner is due at once."""
FROM_TEXT = Txt2Img.made(**BASE)
FROM_PICTURE = Img2Img.made(**BASE, init_images=("given",), denoising_strength=1.0)
REQUESTS: dict[str, Generation] = {
    "txt2img": FROM_TEXT,
    "img2img": FROM_PICTURE.changed(inpainting_fill=2),
    "inpainting": FROM_PICTURE.changed(
        mask="mask", override_settings={**BASE["override_settings"], "inpainting_mask_weight": 0.5}
    ),
}
AT_ONCE: Mapping[str, Any] = {"refiner_checkpoint": "second", "refiner_switch_at": 0.01}


class Pair(Engine):
    """An engine with two checkpoints."""

    second: CheckpointRef
    known: dict[tuple[str, str], np.ndarray]
    """What each makes alone, by its path and the request."""

    def plan(self, request: Generation, images: Mapping[str, bytes] | None = None) -> Plan:
        return resolve(request, Settings(), Known(self.ref, PICTURES, {}, {"second": self.second}), lambda: 1)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Pair]]:
    """Of one small checkpoint of each build, all with the same VAE."""
    folder = tmp_path_factory.mktemp("partners")
    paths = {name: small(build, folder / f"{name}.safetensors") for name, build in BUILDS.items()}
    shared = {key: value for key, value in load_file(paths["plain"]).items() if key.startswith("first_stage_model.")}
    for path in paths.values():
        save_file({**load_file(path), **shared}, path)
    manager = ModelManager(profile_of(OPTIONS), budget=2**32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found: dict[tuple[str, str], Pair] = {}
    known: dict[tuple[str, str], np.ndarray] = {}
    for one, other in permutations(BUILDS, 2):
        found[one, other] = Pair(manager, reference(paths[one]))
        found[one, other].second, found[one, other].known = reference(paths[other]), known
    yield found
    torch.set_num_threads(threads)
    manager.unload()


@pytest.fixture(params=list(permutations(BUILDS, 2)), ids="+".join)
def pair(request: pytest.FixtureRequest, pairs: dict[tuple[str, str], Pair]) -> Pair:
    return pairs[request.param]


def picture(pair: Pair, request: Generation) -> np.ndarray:
    (made,) = pair.run(request)
    return levels(made)


def alone(pair: Pair, ref: CheckpointRef, request: Generation) -> np.ndarray:
    key = (ref.path, repr(request))
    if key not in pair.known:
        engine = Pair(pair.models, ref)
        engine.second = ref
        pair.known[key] = picture(engine, request)
    return pair.known[key]


@pytest.mark.parametrize("case", REQUESTS)
def test_one_that_takes_over_at_once_makes_the_picture_that_it_makes_alone(pair: Pair, case: str) -> None:
    request = REQUESTS[case]
    wanted = alone(pair, pair.second, request)
    assert np.array_equal(picture(pair, request.changed(**AT_ONCE)), wanted)
    assert not np.array_equal(alone(pair, pair.ref, request), wanted), "the first by itself makes another"


@pytest.mark.long
def test_hires_fix_goes_on_with_the_other_or_with_a_refiner(pair: Pair) -> None:
    hires = FROM_TEXT.changed(enable_hr=True, hr_scale=1.5, denoising_strength=0.6)
    other = picture(pair, hires.changed(hr_checkpoint_name="second", hr_upscaler="Lanczos"))
    refined = picture(pair, hires.changed(**AT_ONCE))
    assert other.shape == refined.shape == (96, 96, 3)
    assert not np.array_equal(other, refined)
