"""The whole road of a picture through the catalog: names resolved, picture kept, infotext that makes it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui import registry
from webui.base.errors import NotFound
from webui.base.paths import Paths
from webui.catalog import picture_files
from webui.catalog import pictures as pictures_module
from webui.catalog.catalog import Catalog
from webui.catalog.pictures import NotSaved
from webui.prompt.styles import Style
from webui.request import infotext
from webui.request.fields import REQUESTS, Img2Img, Txt2Img
from webui.request.messages import Pictured
from webui.request.params import Choice, Several
from webui.request.plan import Names, resolve
from webui.request.settings import Settings

from .conftest import model, png

RGB = bytes(16 * 8 * 3)


def pictured(job: str, position: int = 0, **facts: str) -> Pictured:
    return Pictured(job, position, 16, 8, RGB, tuple(facts.items()))


def test_every_list_that_a_control_asks_for_is_there(catalog: Catalog) -> None:
    classes = [*REQUESTS.values(), *Settings.sections().values()]
    sources = {
        p.source for cls in classes for p in cls.params().values() if isinstance(p, Choice | Several) and p.source
    }
    assert len(sources) >= 10
    for source in sources:
        assert isinstance(catalog.choices(source), list), source
    assert catalog.choices("checkpoints") == catalog.checkpoints.titles()
    assert catalog.choices("checkpoints_or_none")[0] == "None"
    assert len(catalog.choices("samplers")) == len(registry.samplers())
    with pytest.raises(NotFound):
        catalog.choices("nonesuch")


def test_a_picture_goes_from_a_name_to_a_file_and_back(catalog: Catalog, paths: Paths) -> None:
    names: Names = catalog
    catalog.styles.save(Style("Night", "at night"))
    request = Img2Img(
        prompt="a cat", styles=("Night",), seed=5, width=16, height=8, init_images=(catalog.uploads.put(png()),)
    )
    settings = Settings()
    plan = resolve(request, settings, names, lambda: 1)
    assert plan.images[request.init_images[0]] == png()
    job = catalog.jobs.submit("img2img", "me", request.model_dump_json(), seed=5, subseed=1)
    catalog.hash_in_background()
    assert catalog.checkpoints.hashing.wait(30)

    saved = catalog.job_pictures.keep(
        pictured(job.id, NGMS="2.5"), plan, settings, owner="me", version="Gesso 1.0", request=request, now=0.0
    )

    short = catalog.checkpoints.scan()[0].short_hash
    assert saved.infotext.startswith("a cat, at night\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras")
    assert f"Size: 16x8, Model hash: {short}, Model: m, Denoising strength: 0.75, NGMS: 2.5" in saved.infotext
    assert saved.infotext.endswith("Version: Gesso 1.0")
    assert (saved.kind, saved.model, saved.sampler, saved.seed, saved.owner) == ("img2img", "m", "DPM++ 2M", 5, "me")
    assert Path(saved.path).is_relative_to(paths.outputs / "img2img-images")
    assert [result.picture_id for result in catalog.jobs.results(job.id)] == [saved.id]
    assert (paths.data / "params.txt").read_text("utf-8") == saved.infotext
    fields = infotext.fields_of(infotext.read(saved.infotext), Img2Img)
    assert (fields["prompt"], fields["seed"], fields["width"]) == ("a cat, at night", 5, 16)


def test_names_of_files_know_what_was_typed(catalog: Catalog) -> None:
    catalog.styles.save(Style("Night", "at night"))
    request = Txt2Img(prompt="a cat", styles=("Night",), seed=5, width=16, height=8)
    settings = Settings().with_options({"samples_filename_pattern": "[styles]-[prompt_no_styles]-[prompt_spaces]"})
    plan = resolve(request, settings, catalog, lambda: 1)
    saved = catalog.job_pictures.keep(pictured("j"), plan, settings, owner="me", version="", request=request)
    assert Path(saved.path).name == "00000-Night-a cat-a cat, at night.png"


def test_a_picture_that_cannot_be_saved_is_a_result_all_the_same(catalog: Catalog, paths: Paths) -> None:
    request = Txt2Img(seed=5, width=16, height=8)
    plan = resolve(request, Settings(), catalog, lambda: 1)
    job = catalog.jobs.submit("txt2img", "me", "{}", seed=5, subseed=1)
    paths.outputs.write_bytes(b"a file where a folder should be")
    with pytest.raises(NotSaved) as caught:
        catalog.job_pictures.keep(pictured(job.id), plan, Settings(), owner="me", version="")
    (result,) = catalog.jobs.results(job.id)
    assert result.picture_id == caught.value.picture.id
    assert catalog.pictures.content(result.picture_id)


def test_a_vae_is_resolved_and_named(catalog: Catalog, paths: Paths) -> None:
    model(paths, "m.vae.pt")
    catalog.refresh()
    plan = resolve(Txt2Img(seed=1), Settings(), catalog, lambda: 1)
    assert plan.vae is not None
    assert catalog.checkpoints.hashing.wait(30)
    text = catalog.job_pictures.infotext(plan.batches[0][0], plan, Settings(), {}, "", "")
    assert f"VAE hash: {catalog.hashes.sha256(Path(plan.vae.path))[:10]}, VAE: m.vae.pt" in text


def test_a_cards_vae_goes_before_the_chosen_one_where_the_settings_say_so(catalog: Catalog, paths: Paths) -> None:
    for name in ("chosen.pt", "carded.pt"):
        (paths.vaes / name).parent.mkdir(exist_ok=True)
        (paths.vaes / name).write_bytes(b"x")
    (paths.checkpoints / "m.json").write_text('{"vae": "carded.pt"}')
    for overrides, title in ((True, "chosen.pt"), (False, "carded.pt")):
        options = {"sd_vae": "chosen.pt", "sd_vae_overrides_per_model_preferences": overrides}
        plan = resolve(Txt2Img(override_settings=options), Settings(), catalog, lambda: 1)
        assert plan.vae is not None
        assert plan.vae.title == title


def test_the_last_parameters_are_kept_unless_nobody_wants_them(paths: Paths) -> None:
    model(paths, "m.safetensors")
    for remembers in (False, True):
        catalog = Catalog(paths, remembers=remembers)
        plan = resolve(Txt2Img(prompt="a cat", width=16, height=8), Settings(), catalog, lambda: 1)
        job = catalog.jobs.submit("txt2img", "me", "{}", seed=5, subseed=1)
        catalog.job_pictures.keep(pictured(job.id), plan, Settings(), owner="me", version="v")
        assert (paths.data / "params.txt").exists() == remembers
        catalog.close()


def test_new_files_are_there_after_a_refresh(catalog: Catalog, paths: Paths) -> None:
    model(paths, "new.safetensors")
    catalog.refresh()
    assert catalog.checkpoint("new").name == "new"
    assert catalog.checkpoints.hashing.wait(30)
    assert catalog.checkpoint("new").sha256


def test_hidden_folders_are_looked_through_where_that_is_wanted(catalog: Catalog, paths: Paths) -> None:
    for folder in (".kept", "seen"):
        (paths.models / "Lora" / folder).mkdir(parents=True, exist_ok=True)
        (paths.models / "Lora" / folder / f"in{folder.strip('.')}.safetensors").write_bytes(b"")
    catalog.refresh()
    assert {"inkept", "inseen"} <= {*catalog.loras.names()}
    catalog.look_in_hidden(False)
    assert {"inkept", "inseen"} & {*catalog.loras.names()} == {"inseen"}
    catalog.look_in_hidden(True)
    assert "inkept" in catalog.loras.names()


def test_a_plan_has_no_picture_but_its_own(catalog: Catalog) -> None:
    plan = resolve(Txt2Img(seed=1), Settings(), catalog, lambda: 1)
    with pytest.raises(NotFound):
        catalog.job_pictures.keep(pictured("j", position=3), plan, Settings(), owner="me", version="")


@pytest.mark.parametrize("moment", ["before the row", "before the result", "before the file"])
def test_a_picture_is_there_once_whenever_the_program_was_killed(
    catalog: Catalog, paths: Paths, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    plan = resolve(Txt2Img(seed=5, subseed=9, width=16, height=8), Settings(), catalog, lambda: 1)
    job = catalog.jobs.submit("txt2img", "me", "{}", seed=5, subseed=9)
    with monkeypatch.context() as patched:
        where, name = {
            "before the row": (pictures_module, "record"),
            "before the result": (catalog.jobs, "add_result"),
            "before the file": (picture_files, "write_new"),
        }[moment]
        patched.setattr(where, name, kill)
        with pytest.raises(Killed):
            catalog.job_pictures.keep(pictured(job.id), plan, Settings(), owner="me", version="")

    again = Catalog(paths)
    files = list(paths.outputs.rglob("*.png"))
    assert again.job_pictures.recover() == len(files) == (0 if moment == "before the file" else 1)
    assert again.job_pictures.recover() == 0
    results = again.jobs.results(job.id)
    assert [(result.position, result.subseed) for result in results] == [(0, 9)] * len(files)
    assert [again.pictures.get(result.picture_id).path for result in results] == [str(path) for path in files]
    assert len(again.pictures.newest()) == len(files)
    again.close()
