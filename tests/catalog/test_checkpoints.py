"""Checkpoints: what is found where, under which titles, and by which names it is found again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from webui.base.errors import NotFound
from webui.base.paths import Paths
from webui.catalog.checkpoints import Checkpoints
from webui.catalog.database import Database
from webui.catalog.hashes import Hashes

from .conftest import model


@pytest.fixture
def checkpoints(paths: Paths, database: Database) -> Iterator[Checkpoints]:
    checkpoints = Checkpoints(paths, Hashes(database))
    yield checkpoints
    checkpoints.close()


def hashed(checkpoints: Checkpoints) -> None:
    checkpoints.hash_in_background()
    assert checkpoints.hashing.wait(30)


def short(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:10]


def test_everything_is_found_in_the_order_in_which_people_count(paths: Paths, checkpoints: Checkpoints) -> None:
    for name in ("m10.safetensors", "M2.ckpt", "sub/deep/x.safetensors", "Upper.SAFETENSORS"):
        model(paths, name)
    for name in ("m.vae.safetensors", "notes.txt", "m2.yaml", "._m2.safetensors", "x.safetensors.part"):
        model(paths, name)
    (paths.models / "top.ckpt").write_bytes(b"top")
    (paths.models / "Lora").mkdir()
    (paths.models / "Lora" / "lora.safetensors").write_bytes(b"lora")
    names = [checkpoint.name for checkpoint in checkpoints.scan()]
    assert names == ["M2.ckpt", "m10.safetensors", "sub/deep/x.safetensors", "Upper.SAFETENSORS", "top.ckpt"]


def test_a_folder_of_diffusers_is_one_checkpoint(paths: Paths, database: Database) -> None:
    folder = paths.checkpoints / "tried" / "Small-2.1"
    for name, content in (
        ("model_index.json", "{}"),
        ("transformer/config.json", '{"sample_size": 64}'),
        ("transformer/diffusion_pytorch_model.safetensors", "weights"),
        ("vae/config.json", '{"block_out_channels": [1, 2, 3, 4]}'),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    shutil.copytree(folder, paths.models / "diffusers" / "Other")
    checkpoints = Checkpoints(paths, Hashes(database))
    found = {checkpoint.name: checkpoint for checkpoint in checkpoints.scan()}
    assert set(found) == {"tried/Small-2.1", "Other"}
    small = found["tried/Small-2.1"]
    assert (small.stem, small.native_size, small.ref.path) == ("Small-2.1", (512, 512), str(folder))
    checkpoints.hash_in_background()
    assert checkpoints.hashing.wait(60)
    lines = "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    )
    wanted = hashlib.sha256(lines.encode()).hexdigest()
    assert checkpoints.find("Small-2.1").title == f"tried/Small-2.1 [{wanted[:10]}]"
    checkpoints.close()
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").write_text("other weights")
    assert Checkpoints(paths, Hashes(database)).find("Small-2.1").sha256 == ""


def test_links_are_followed_and_circles_are_not(paths: Paths, checkpoints: Checkpoints, tmp_path: Path) -> None:
    model(paths, "sub/a.safetensors")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.safetensors").write_bytes(b"b")
    (paths.checkpoints / "linked").symlink_to(elsewhere)
    (paths.checkpoints / "sub" / "up").symlink_to(paths.checkpoints)
    (paths.checkpoints / "self").symlink_to(paths.checkpoints / "self")
    (paths.checkpoints / "c.safetensors").symlink_to(elsewhere / "b.safetensors")
    (paths.checkpoints / "dead.safetensors").symlink_to(tmp_path / "nowhere")
    names = [checkpoint.name for checkpoint in checkpoints.scan()]
    assert names == ["c.safetensors", "linked/b.safetensors", "sub/a.safetensors"]


def test_other_folders_count_and_names_stay_apart(paths: Paths, database: Database, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.safetensors").write_bytes(folder.encode())
    model(paths, "same.safetensors")
    more = replace(paths, checkpoint_dirs=(tmp_path / "one", tmp_path / "two", tmp_path / "missing", tmp_path / "one"))
    checkpoints = Checkpoints(more, Hashes(database))
    names = [checkpoint.name for checkpoint in checkpoints.scan()]
    assert names == ["same.safetensors", "one/same.safetensors", "two/same.safetensors"]
    assert checkpoints.find("two/same").path == tmp_path / "two" / "same.safetensors"


def test_titles_get_their_hash_when_it_is_known(paths: Paths, checkpoints: Checkpoints) -> None:
    model(paths, "sub/a.safetensors")
    assert checkpoints.titles() == ["sub/a.safetensors"]
    hashed(checkpoints)
    assert checkpoints.titles() == [f"sub/a.safetensors [{short('sub/a.safetensors')}]"]
    assert checkpoints.find("a").short_title == f"a [{short('sub/a.safetensors')}]"
    # The next start knows it at once.
    again = Checkpoints(paths, Hashes(Database(paths.database)))
    assert again.titles() == checkpoints.titles()


def test_every_name_that_people_have_for_it_finds_it(paths: Paths, checkpoints: Checkpoints) -> None:
    file = model(paths, "sub/Model v1.safetensors")
    model(paths, "another.ckpt")
    hashed(checkpoints)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    legacy = hashlib.sha256(b"").hexdigest()[:8]
    model_file = "sub/Model v1.safetensors"
    names = [
        f"{model_file} [{digest[:10]}]",
        model_file,
        "sub/Model v1",
        "sub_Model v1",
        "sub\\Model v1.safetensors",
        "Model v1.safetensors",
        "Model v1",
        f"Model v1 [{digest[:10]}]",
        f"sub_Model v1 [{digest[:10]}]",
        digest[:10],
        digest,
        str(file),
        "model V1",
        "odel v",
        "Model v1 [0123456789]",
        "Model v1.safetensors [45dee52b]",
    ]
    for name in names:
        assert checkpoints.find(name).path == file, name
    assert checkpoints.find(f"[{legacy}]").name == "another.ckpt", "the eight digits of old: both are short files"


def test_files_of_the_same_name_stay_apart(paths: Paths, checkpoints: Checkpoints) -> None:
    for name in ("a/x.safetensors", "x.safetensors", "b/x.safetensors", "b_x.ckpt", "x.ckpt"):
        model(paths, name, name.encode())
    hashed(checkpoints)
    known = {checkpoint.name: checkpoint for checkpoint in checkpoints.scan()}
    assert known["a/x.safetensors"].model_name == "a_x"
    for name, checkpoint in known.items():
        for called in (name, checkpoint.title, str(checkpoint.path), checkpoint.short_hash):
            assert checkpoints.find(called) == checkpoint, called
    assert checkpoints.find("x").name == "x.ckpt"
    assert checkpoints.find("b/x").name == "b/x.safetensors"


def test_a_checkpoint_with_a_vae_in_it_is_no_vae(paths: Paths, checkpoints: Checkpoints) -> None:
    for name in ("a.vae.baked.safetensors", "a.vae.pt", "b.VAE.safetensors", "fp16.vae.gguf"):
        model(paths, name)
    assert [checkpoint.name for checkpoint in checkpoints.scan()] == ["a.vae.baked.safetensors", "fp16.vae.gguf"]


def test_the_first_is_what_no_name_means(paths: Paths, checkpoints: Checkpoints) -> None:
    model(paths, "b.ckpt")
    model(paths, "a.ckpt")
    assert checkpoints.find("").name == "a.ckpt"


def test_the_shortest_title_wins_among_those_that_contain_the_text(paths: Paths, checkpoints: Checkpoints) -> None:
    for name in ("long-cat-name.ckpt", "cats.ckpt", "big/cats.ckpt"):
        model(paths, name)
    assert checkpoints.find("cat").name == "cats.ckpt"


def test_what_is_not_there_is_said_with_what_is_near(paths: Paths, checkpoints: Checkpoints) -> None:
    with pytest.raises(NotFound, match="no checkpoint yet") as caught:
        checkpoints.find("")
    assert str(paths.checkpoints) in caught.value.hint
    model(paths, "dreamy.safetensors")
    checkpoints.refresh()
    with pytest.raises(NotFound, match=r"Did you mean 'dreamy.safetensors'"):
        checkpoints.find("draemy.safetensors")


def test_files_come_and_go_with_a_refresh(paths: Paths, checkpoints: Checkpoints) -> None:
    first = model(paths, "a.ckpt")
    assert len(checkpoints.scan()) == 1
    model(paths, "b.ckpt")
    assert len(checkpoints.scan()) == 1
    assert [checkpoint.name for checkpoint in checkpoints.refresh()] == ["a.ckpt", "b.ckpt"]
    first.unlink()
    with pytest.raises(NotFound, match="is gone"):
        checkpoints.ref(checkpoints.find("a"))
    checkpoints.refresh()
    with pytest.raises(NotFound):
        checkpoints.find("a.ckpt")


def test_a_file_that_was_replaced_is_another_model(paths: Paths, checkpoints: Checkpoints) -> None:
    file = model(paths, "a.ckpt", b"old")
    hashed(checkpoints)
    before = checkpoints.ref(checkpoints.find("a"))
    file.write_bytes(b"newer")
    after = checkpoints.ref(checkpoints.find("a"))
    assert before.sha256 == hashlib.sha256(b"old").hexdigest()
    assert after.sha256 == ""
    assert after.stamp != before.stamp
    assert checkpoints.hashing.wait(30)
    assert checkpoints.ref(checkpoints.find("a")).sha256 == hashlib.sha256(b"newer").hexdigest()


def test_a_yaml_file_beside_it_goes_along(paths: Paths, checkpoints: Checkpoints) -> None:
    model(paths, "a.ckpt")
    assert checkpoints.ref(checkpoints.find("a")).config == ""
    yaml = model(paths, "a.yaml")
    assert checkpoints.ref(checkpoints.find("a")).config == str(yaml)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_left_out(paths: Paths, checkpoints: Checkpoints) -> None:
    model(paths, "a.ckpt")
    model(paths, "secret/b.ckpt").parent.chmod(0)
    assert [checkpoint.name for checkpoint in checkpoints.scan()] == ["a.ckpt"]
    (paths.checkpoints / "secret").chmod(0o755)


def test_a_thousand_files_are_listed_once_each(paths: Paths, checkpoints: Checkpoints) -> None:
    for number in range(1000):
        model(paths, f"{number % 30}/model {number}.safetensors", b"")
    assert len(checkpoints.scan()) == 1000
    assert checkpoints.find("model 999").name == "9/model 999.safetensors"


def test_prompts_to_begin_with_stand_beside_the_file_and_what_is_none_is_passed_over(
    paths: Paths, checkpoints: Checkpoints
) -> None:
    path = model(paths, "m.safetensors")
    beside = path.with_suffix(".json")
    assert checkpoints.find("m").examples == ()
    for said, wanted in (
        ({"examples": ["a red\n apple", "", 3, None, "a cat", "a cat", "x" * 201]}, ("a red apple", "a cat")),
        ({"examples": [f"{number} cats" for number in range(50)]}, tuple(f"{number} cats" for number in range(12))),
        ({"examples": {"a": 1}}, ()),
        (["a red apple"], ()),
    ):
        beside.write_text(json.dumps(said), "utf-8")
        assert checkpoints.find("m").examples == wanted
    beside.write_bytes(b"\xff{")
    assert checkpoints.find("m").examples == ()
    assert beside.read_bytes() == b"\xff{", "a table that cannot be read stays as it is"
