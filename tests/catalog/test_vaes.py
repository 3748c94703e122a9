"""Which VAE belongs to which checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from webui.base.errors import NotFound
from webui.base.paths import Paths
from webui.catalog.database import Database
from webui.catalog.hashes import Hashes
from webui.catalog.vaes import Vaes
from webui.request.plan import CheckpointRef

from .conftest import model


@pytest.fixture
def vaes(paths: Paths, database: Database) -> Vaes:
    paths.vaes.mkdir(parents=True)
    for name in ("kl.safetensors", "old.pt", "notes.txt"):
        (paths.vaes / name).write_bytes(b"x")
    model(paths, "dream.safetensors")
    model(paths, "dream.vae.pt")
    model(paths, "deep/other-fix.vae.safetensors")
    return Vaes(paths, Hashes(database))


def checkpoint(paths: Paths, stem: str) -> CheckpointRef:
    return CheckpointRef(path=str(paths.checkpoints / f"{stem}.safetensors"), title=stem, name=stem)


def test_the_list(vaes: Vaes) -> None:
    found = ["dream.vae.pt", "kl.safetensors", "old.pt", "other-fix.vae.safetensors"]
    assert vaes.names() == ["Automatic", "None", *found]


def test_automatic_takes_the_one_named_like_the_checkpoint(paths: Paths, vaes: Vaes) -> None:
    def name(stem: str) -> str:
        found = vaes.resolve("Automatic", checkpoint(paths, stem))
        return found.title if found else ""

    assert name("dream") == "dream.vae.pt"
    assert name("other") == "other-fix.vae.safetensors"
    assert name("dre") == ""
    assert name("dreamer") == ""


def test_a_chosen_one_wins_and_none_means_the_checkpoints_own(paths: Paths, vaes: Vaes) -> None:
    dream = checkpoint(paths, "dream")
    assert vaes.resolve("None", dream) is None
    for said in ("kl.safetensors", "KL.safetensors", "kl"):
        found = vaes.resolve(said, dream)
        assert found is not None
        assert (found.title, Path(found.path)) == ("kl.safetensors", paths.vaes / "kl.safetensors")
    preferred = vaes.resolve("kl.safetensors", dream, overrides=False)
    assert preferred is not None
    assert preferred.title == "dream.vae.pt"
    with pytest.raises(NotFound, match=r"Did you mean 'kl.safetensors'"):
        vaes.resolve("kl.safetensor", dream)


def test_a_card_names_a_vae(paths: Paths, vaes: Vaes) -> None:
    card = paths.checkpoints / "dream.json"
    card.write_text(json.dumps({"vae": "old.pt"}))
    found = vaes.resolve("Automatic", checkpoint(paths, "dream"))
    assert found is not None
    assert found.title == "old.pt"
    for broken in ("{", "[]", '{"vae": 3}', '{"vae": "../../etc/passwd"}'):
        card.write_text(broken)
        found = vaes.resolve("Automatic", checkpoint(paths, "dream"))
        assert found is not None
        assert found.title == "dream.vae.pt"


def test_a_card_goes_before_the_setting_where_that_does_not_override_it(paths: Paths, vaes: Vaes) -> None:
    card, dream = paths.checkpoints / "dream.json", checkpoint(paths, "dream")

    def found(setting: str, said: str, *, overrides: bool) -> str:
        card.write_text(json.dumps({"vae": said}))
        vae = vaes.resolve(setting, dream, overrides=overrides)
        return vae.title if vae is not None else "None"

    assert found("kl.safetensors", "old.pt", overrides=True) == "kl.safetensors"
    assert found("kl.safetensors", "old.pt", overrides=False) == "old.pt"
    assert found("None", "old.pt", overrides=True) == "None"
    assert found("None", "old.pt", overrides=False) == "old.pt"
    assert found("Automatic", "None", overrides=True) == "None"
    assert found("kl.safetensors", "None", overrides=False) == "None"
    assert found("kl.safetensors", "Automatic", overrides=False) == "dream.vae.pt"
    card.unlink()
    assert (vae := vaes.resolve("kl.safetensors", checkpoint(paths, "x"), overrides=False))
    assert vae.title == "kl.safetensors"


def test_more_folders_and_a_refresh(paths: Paths, database: Database, tmp_path: Path) -> None:
    more = tmp_path / "more"
    vaes = Vaes(replace(paths, vae_dirs=(more,)), Hashes(database))
    assert vaes.names() == ["Automatic", "None"]
    more.mkdir()
    (more / "new.ckpt").write_bytes(b"x")
    vaes.refresh()
    assert vaes.names() == ["Automatic", "None", "new.ckpt"]
    (more / "new.ckpt").unlink()
    with pytest.raises(NotFound, match="is gone"):
        vaes.resolve("new.ckpt", checkpoint(paths, "x"))
