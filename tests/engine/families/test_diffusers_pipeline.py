"""Folders of diffusers: run whole, seeds and sizes honoured, stopped within a step, and never code of their own."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.conftest import Engine, levels, most_apart, reference, sampling_steps
from tests.engine.families.pipelines import pixart, z_image
from webui.base.errors import Interrupted, ModelError, UserError
from webui.engine.batch import stepwise
from webui.engine.model_manager import ModelManager
from webui.engine.watch import Cancel
from webui.request.fields import Img2Img, Txt2Img
from webui.request.messages import Event, Preview, Progress

ASKED: dict[str, object] = {"prompt": "a cat", "steps": 2, "width": 64, "height": 48, "seed": 7, "cfg_scale": 3.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("pipelines")
    z_image(where / "zimage")
    pixart(where / "pixart")
    return where


@pytest.fixture
def running(models: ModelManager, folders: Path) -> Callable[[str], Engine]:
    return lambda name: Engine(models, reference(folders / name))


def drawn() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("name", ["zimage", "pixart"])
def test_pictures_have_their_size_and_their_own_seeds(name: str, running: Callable[[str], Engine]) -> None:
    engine = running(name)
    both = engine.run(Txt2Img(**ASKED, batch_size=2), watched=True)
    assert levels(both[0]).shape == (48, 64, 3)
    alone = engine.run(Txt2Img(**{**ASKED, "seed": 8}))
    assert most_apart(both[1], alone[0]) == 0
    assert most_apart(both[0], both[1]) > 0
    assert most_apart(alone[0], engine.run(Txt2Img(**{**ASKED, "seed": 8, "prompt": "a dog"}))[0]) > 0
    facts = dict(both[0].facts)
    assert facts["Sampler"] == {"zimage": "FlowMatchEulerDiscrete", "pixart": "DDIM"}[name]
    assert facts["Schedule type"] == ""
    assert max(sampling_steps(engine.events)) == 2
    assert any(isinstance(event, Preview) for event in engine.events)


def test_img2img_and_inpaint_where_diffusers_has_them(running: Callable[[str], Engine]) -> None:
    engine, picture = running("zimage"), drawn()
    mask = io.BytesIO()
    Image.fromarray(np.kron(np.eye(2, dtype=np.uint8)[::-1] * 255, np.ones((32, 32), np.uint8))).save(mask, "PNG")
    images = {"p" * 64: picture, "m" * 64: mask.getvalue()}
    asked = {**ASKED, "height": 64, "init_images": ("p" * 64,), "denoising_strength": 1.0}
    made = engine.run(Img2Img(**asked), images)[0]
    within = engine.run(Img2Img(**asked, mask="m" * 64, mask_blur_x=0, mask_blur_y=0), images)[0]
    given = np.asarray(Image.open(io.BytesIO(picture)), dtype=int)
    assert np.array_equal(levels(within)[:32, :32], given[:32, :32])
    assert not np.array_equal(levels(within)[:32, 32:], given[:32, 32:])
    assert most_apart(made, within) > 0
    with pytest.raises(UserError, match="PixArtSigma has no img2img"):
        running("pixart").run(Img2Img(**asked), images)


def test_what_is_not_honoured_is_said(running: Callable[[str], Engine]) -> None:
    asked = {**ASKED, "width": 70, "prompt": "a (red:1.2) cat<lora:x:1>", "enable_hr": True}
    made = running("zimage").run(Txt2Img(**asked))[0]
    assert (made.width, made.height) == (68, 48)
    said = " ".join(made.comments)
    for word in ("Hires. fix was not applied", "68x48", "plain text", "x."):
        assert word in said


def test_it_stops_within_a_step(running: Callable[[str], Engine]) -> None:
    cancel = Cancel()
    engine = running("zimage")

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "sampling" and event.step == 1:
            cancel.interrupt()

    with pytest.raises(Interrupted):
        engine.run(Txt2Img(**{**ASKED, "steps": 5}), cancel=cancel, on_event=stop)
    assert max(sampling_steps(engine.events)) == 1


def test_it_is_no_maker_that_is_asked_step_by_step(models: ModelManager, folders: Path, engine: Engine) -> None:
    with models.lend(reference(folders / "zimage"), None) as lent:
        assert lent.model.picture_maker is None
        assert lent.model.whole_maker is lent.model
        with pytest.raises(UserError, match="is run as a whole by diffusers"):
            stepwise(lent)
    with models.lend(engine.ref, None) as lent:
        assert lent.model.picture_maker is lent.model
        assert lent.model.whole_maker is None


def test_weights_in_memory_are_not_the_file(models: ModelManager, folders: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders / "pixart", tmp_path / "copy"))
    with models.lend(reference(folder), None) as loaded:
        before = [parameter.clone() for parameter in loaded.model.parts["transformer"].parameters()]
        for file in folder.rglob("*.safetensors"):
            with file.open("r+b") as stream:
                stream.write(b"\xff" * file.stat().st_size)
        after = loaded.model.parts["transformer"].parameters()
        assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    models.unload()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"_class_name": ["pipeline", "Mine"]}, "which diffusers .* does not have"),
        ({"_class_name": "Nothing"}, "needs the pipeline 'Nothing'"),
        ({"transformer": ["transformer_mine", "Mine"]}, "not a class of diffusers or transformers"),
        ({"text_encoder": ["os", "system"]}, "not a class of diffusers or transformers"),
        ({"extra": ["transformers", "T5EncoderModel"]}, "its extra is missing"),
    ],
)
def test_only_diffusers_own_code_is_run(
    change: dict[str, object], said: str, models: ModelManager, folders: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders / "pixart", tmp_path / "copy"))
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, **change}))
    with pytest.raises(ModelError, match=said):
        models.preload(reference(folder), None)


def test_pickles_and_broken_files_are_refused(models: ModelManager, folders: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders / "pixart", tmp_path / "copy"))
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="incomplete"):
        models.preload(reference(folder), None)
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelError, match="could run code"):
        models.preload(reference(folder), None)
    (folder / "model_index.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        models.preload(reference(folder), None)
