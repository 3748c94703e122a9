"""Models of other programs are found in the usual places, and used where they lie."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from webui.base.errors import NotFound, UserError
from webui.base.paths import Paths
from webui.bring_command import main as bring
from webui.catalog import installations
from webui.catalog.brought import BroughtFolders, folders_in
from webui.catalog.catalog import Catalog
from webui.catalog.installations import BoundedLook, Installations, counted
from webui.catalog.problems import Problems
from webui.catalog.products import MOST_FOLDERS, Installation, recognised
from webui.catalog.settings_store import SettingsStore
from webui.catalog.taken_settings import take_settings


def tree(root: Path, *files: str) -> Path:
    """Empty files; what ends with a slash is a folder."""
    for name in files:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return root


A1111 = (
    "webui.py", "modules/", "models/Stable-diffusion/a.safetensors", "models/Lora/l.safetensors", "embeddings/e.pt",
)  # fmt: skip
COMFY = ("main.py", "nodes.py", "comfy/", "models/checkpoints/c.safetensors", "models/loras/x/l.safetensors")


def told(found: Installation | None) -> set[tuple[str, str]]:
    assert found is not None
    assert not found.problems, found.problems
    return {(kind, folder.name) for kind, folder in found.folders}


@pytest.mark.parametrize(
    ("files", "name", "kinds"),
    [
        (A1111, "A1111", {"Stable-diffusion", "Lora", "embeddings"}),
        ((*A1111, "modules_forge/"), "Forge", {"Stable-diffusion", "Lora", "embeddings"}),
        ((*A1111, "installer.py", "models/UNET/", "models/Text-encoder/"), "SD.Next",
         {"Stable-diffusion", "Lora", "embeddings", "text_encoder"}),
        (COMFY, "ComfyUI", {"Stable-diffusion", "Lora"}),
        (("custom_nodes/", "models/VAE/"), "ComfyUI", {"VAE"}),
        (("invokeai.yaml", "models/sdxl/main/m.safetensors", "models/any/clip_vision/"), "InvokeAI",
         {"Stable-diffusion", "Image encoders"}),
        (("settings.json", "Models/StableDiffusion/", "Models/Lora/", "Models/ESRGAN/"), "StabilityMatrix",
         {"Stable-diffusion", "Lora", "upscale_models"}),
    ],
)  # fmt: skip
def test_each_program_is_recognised(tmp_path: Path, files: tuple[str, ...], name: str, kinds: set[str]) -> None:
    found = recognised(tree(tmp_path, *files))
    assert {kind for kind, _ in told(found)} == kinds
    assert found is not None
    assert found.product == name


def test_a_folder_that_only_looks_alike_is_nobodys(tmp_path: Path) -> None:
    assert recognised(tree(tmp_path / "a", "webui.py", "models/Stable-diffusion/")) is None
    assert recognised(tree(tmp_path / "b", *A1111[:2])) is None
    assert recognised(tmp_path / "none") is None


def test_reforge_is_told_by_where_it_was_cloned_from(tmp_path: Path) -> None:
    root = tree(tmp_path, *A1111, "modules_forge/", ".git/")
    (root / ".git/config").write_text('[remote "origin"]\n\turl = https://example.org/stable-diffusion-webui-reForge\n')
    found = recognised(root)
    assert found is not None
    assert found.product == "reForge"


def test_comfys_yaml_names_more_folders_and_a_broken_section_is_named(tmp_path: Path) -> None:
    other = tree(tmp_path / "other disk", "models/Stable-diffusion/", "loras one/", "loras two/")
    root = tree(tmp_path / "ComfyUI", *COMFY)
    yaml = f"a:\n  base_path: {other}\n  checkpoints: models/Stable-diffusion\n"
    yaml += "  loras: |\n    loras one\n    loras two\n"
    (root / "extra_model_paths.yaml").write_text(yaml + "b: 7\nc:\n  vae: //server/share\n")
    found = recognised(root)
    assert found is not None
    names = {folder.name for _, folder in found.folders}
    assert names == {"checkpoints", "loras", "Stable-diffusion", "loras one", "loras two"}
    assert [problem.name for problem in found.problems] == ["extra_model_paths.yaml: b", "extra_model_paths.yaml: c"]


BOMB = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [{', '.join([f'*{chr(97 + n)}'] * 9)}]}}\n" for n in range(9)
)


@pytest.mark.parametrize("content", [BOMB, "[" * 5000, "a: [", "\x00", "- 1", "x" * (2**20 + 1), b"\xff\xfe\x00\x01"])
def test_a_hostile_yaml_is_named_and_the_rest_is_found(tmp_path: Path, content: str | bytes) -> None:
    root = tree(tmp_path, *COMFY)
    (root / "extra_model_paths.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    begun = time.monotonic()
    found = recognised(root)
    assert time.monotonic() - begun < 2
    assert found is not None
    assert [problem.name for problem in found.problems] == ["extra_model_paths.yaml"]
    assert {kind for kind, _ in found.folders} == {"Stable-diffusion", "Lora"}


def test_folders_of_the_command_line_and_of_sdnexts_settings(tmp_path: Path) -> None:
    disk = tree(tmp_path / "my disk", "big/", "vae/", "more/models/Lora/")
    root = tree(tmp_path / "webui", *A1111)
    (root / "webui-user.sh").write_text(
        '#export COMMANDLINE_ARGS="--ckpt-dir /no"\n'
        f"export COMMANDLINE_ARGS=\"--xformers --ckpt-dir '{disk}/big' --data-dir='../my disk/more'\"\n"
    )
    (root / "config.json").write_text(json.dumps({"vae_dir": str(disk / "vae"), "lora_dir": 7}))
    found = recognised(root)
    assert {"big", "vae"} <= {name for _, name in told(found)}
    (root / "config.json").write_text("{")
    (root / "webui-user.bat").write_text('set COMMANDLINE_ARGS="--ckpt-dir\n')
    broken = recognised(root)
    assert broken is not None
    assert {problem.name for problem in broken.problems} == {"config.json", "webui-user.bat"}


def invoke(root: Path, *configs: object, table: str = "CREATE TABLE models (id TEXT, config TEXT)") -> Path:
    tree(root, "invokeai.yaml", "models/", "databases/")
    with sqlite3.connect(root / "databases/invokeai.db") as database:
        database.execute(table)
        if "TABLE" in table:
            database.executemany("INSERT INTO models VALUES ('', ?)", [(json.dumps(one),) for one in configs])
    database.close()
    return root


def test_invokeais_database_says_where_models_lie(tmp_path: Path) -> None:
    elsewhere = tree(tmp_path / "elsewhere", "big.safetensors", "pipeline/model_index.json")
    root = invoke(
        tmp_path / "invokeai",
        {"type": "main", "path": str(elsewhere / "big.safetensors")},
        {"type": "main", "path": "0f/"},
        {"type": "lora", "path": "1a/l.safetensors"},
        {"type": "sorcery", "path": "x"}, {"type": ["main"]}, 7, {"type": "vae", "path": "\0"},
    )  # fmt: skip
    tree(root, "models/0f/model_index.json", "models/1a/l.safetensors")
    found = recognised(root)
    assert told(found) == {("Stable-diffusion", "elsewhere"), ("Stable-diffusion", "0f"), ("Lora", "1a")}


def test_a_database_that_never_ends_is_named(tmp_path: Path) -> None:
    numbers = "WITH RECURSIVE c(config) AS (SELECT 1 UNION ALL SELECT config + 1 FROM c)"
    endless = f"CREATE VIEW models AS {numbers} SELECT max(config) AS config FROM c"
    root = tree(invoke(tmp_path, table=endless), "models/sd-1/lora/l.safetensors")
    found = recognised(root)
    assert found is not None
    assert [problem.name for problem in found.problems] == ["invokeai.db"]
    assert found.folders


def finder(tmp_path: Path, *places: Path) -> Installations:
    return Installations(Paths(data=tmp_path / "data"), lambda: places)


def test_the_usual_places_are_looked_at_and_their_folders(tmp_path: Path) -> None:
    home = tmp_path / "home"
    tree(home / "stable-diffusion-webui", *A1111)
    tree(home / "pinokio/api/comfy.git/app", *COMFY)
    tree(home / "photos/2020/stable-diffusion-webui", *A1111)
    tree(home / "StabilityMatrix", "settings.json", "Models/StableDiffusion/s.ckpt", "Packages/ComfyUI/main.py")
    found = Installations(
        Paths(data=tmp_path / "data"), lambda: installations.usual_places(Paths(data=home / "data"), home)
    )
    found.look_now()
    mine = {one.installation.product: one for one in found.all() if one.installation.root.is_relative_to(tmp_path)}
    assert set(mine) == {"A1111", "ComfyUI", "StabilityMatrix"}
    assert mine["A1111"].count.by_kind == {"Stable-diffusion": 1, "Lora": 1, "embeddings": 1}
    assert found.state == "done"
    assert found.get(mine["A1111"].id) == mine["A1111"]


def test_loops_of_links_and_closed_folders_end_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path / "webui", *A1111)
    (root / "models/Lora/again").symlink_to(root, target_is_directory=True)
    (root / "models/VAE").symlink_to(root / "models/VAE")
    (tmp_path / "stable-loop").symlink_to(tmp_path, target_is_directory=True)
    closed = tree(tmp_path / "comfy closed", *COMFY)
    closed.chmod(0)
    try:
        found = finder(tmp_path, tmp_path)
        found.look_now()
        assert [one.installation.product for one in found.all() if one.installation.root != closed] == ["A1111"]
        if os.geteuid():
            assert [problem.name for problem in found.problems] == [str(closed)]
    finally:
        closed.chmod(0o700)


def test_many_files_are_counted_so_far_and_a_look_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "webui", *A1111)
    for number in range(300):
        (root / f"models/Lora/{number}.safetensors").touch()
    found = recognised(root)
    assert found is not None
    count = counted(found, most=200)
    assert not count.complete
    assert 0 < sum(count.by_kind.values()) <= 200
    clock = iter(range(10_000))
    look = BoundedLook(lambda _folder: False, now=lambda: float(next(clock) * 4))
    look.through([tmp_path])
    assert not look.complete
    monkeypatch.setattr(installations, "MOST", 3)
    few = BoundedLook(lambda _folder: False)
    few.through(tree(tmp_path / "many", *(f"{n}/" for n in range(9))).iterdir())
    assert not few.complete


def test_no_installation_brings_more_folders_than_are_looked_through(tmp_path: Path) -> None:
    root = tree(tmp_path, *COMFY, *(f"l/{n}/" for n in range(MOST_FOLDERS + 50)))
    lines = "".join(f"    l/{n}\n" for n in range(MOST_FOLDERS + 50))
    (root / "extra_model_paths.yaml").write_text(f"a:\n  loras: |\n{lines}")
    found = recognised(root)
    assert found is not None
    assert len(found.folders) <= MOST_FOLDERS


# ------------------------------------------------------------------------------------------------ taking over


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "data").mkdir()
    return Paths(data=tmp_path / "data")


def test_what_is_taken_over_is_listed_at_once_and_after_a_restart_until_it_is_given_back(
    tmp_path: Path, paths: Paths, tiny_checkpoint: Path
) -> None:
    root = tree(tmp_path / "webui", *A1111)
    (root / "models/Stable-diffusion/theirs.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    found = recognised(root)
    assert found is not None
    catalog = Catalog(paths)
    try:
        one = catalog.brought.take(found)
        catalog.refresh()
        assert any(title.startswith("theirs") for title in catalog.checkpoints.titles())
        assert "l" in catalog.loras.names()
        assert [file.stem for file in catalog.embeddings.scan()] == ["e"]
        assert not (paths.models / "Stable-diffusion").exists()
    finally:
        catalog.close()
    assert folders_in(paths.brought, "Lora") == (root / "models/Lora",)
    again = Catalog(paths)
    try:
        assert again.brought.all() == (one,)
        assert "l" in again.loras.names()
        again.brought.forget(one.id)
        again.refresh()
        assert not [title for title in again.checkpoints.titles() if title.startswith("theirs")]
        assert (root / "models/Stable-diffusion/theirs.safetensors").is_file()
        with pytest.raises(NotFound):
            again.brought.forget(one.id)
    finally:
        again.close()


def test_a_pipeline_that_is_a_folder_of_its_own_is_one_checkpoint(tmp_path: Path, paths: Paths) -> None:
    root = tree(tmp_path / "0f", "model_index.json", "unet/config.json")
    (root / "model_index.json").write_text("{}")
    catalog = Catalog(paths)
    try:
        catalog.brought.take(Installation("InvokeAI", tmp_path, (("Stable-diffusion", root),)))
        assert [title.split(" ")[0] for title in catalog.checkpoints.titles()] == ["0f"]
    finally:
        catalog.close()


@pytest.mark.parametrize("where", ["/", "data", "data/models", "data/models/Lora", "data/config", "~"])
def test_what_is_ours_or_everything_is_not_taken_over(tmp_path: Path, paths: Paths, where: str) -> None:
    folder = Path(where).expanduser() if where in "/~" else tree(tmp_path, f"{where}/") / where
    brought = BroughtFolders(paths)
    with pytest.raises(UserError):
        brought.take(Installation("Folder", folder, (("Lora", folder),)))
    assert not paths.brought.exists()


BROKEN: Iterable[object] = (7, {}, {"program": "x", "folder": "/x", "models": {"Lora": ["relative"]}},
          {"program": "x", "folder": "/x", "models": {"Spells": ["/x"]}},
          {"program": "x", "folder": "/x", "models": {"Lora": ["//server/share"]}})  # fmt: skip


def test_broken_entries_of_the_file_are_named_and_the_others_hold(paths: Paths) -> None:
    good = {"program": "A1111", "folder": "/w", "models": {"Lora": ["/w/loras"], "VAE": 3}}
    paths.brought.parent.mkdir(parents=True)
    paths.brought.write_text(json.dumps({"installations": [*BROKEN, good]}))
    problems = Problems()
    brought = BroughtFolders(paths, problems)
    assert brought.folders("Lora") == folders_in(paths.brought, "Lora") == (Path("/w/loras"),)
    assert [problem.name for problem in problems.all()] == [f"entry {n}" for n in range(1, 6)]
    paths.brought.write_text("[" * 100_000)
    assert folders_in(paths.brought, "Lora") == ()
    assert BroughtFolders(paths, problems).all() == ()
    assert list(paths.brought.parent.glob("folders.json.broken-*"))


def test_a_folder_that_somebody_types(tmp_path: Path) -> None:
    found = finder(tmp_path)
    program = tree(tmp_path / "comfy", *COMFY)
    models = tree(tmp_path / "models", "Lora/a.pt", "ESRGAN/")
    plain = tree(tmp_path / "plain", "a.safetensors")
    assert found.named(str(program)).product == "ComfyUI"
    assert {kind for kind, _ in found.named(f' "{models}" ').folders} == {"Lora", "upscale_models"}
    assert found.named(str(plain), "VAE").folders == (("VAE", plain),)
    for text, kind in ((str(plain), ""), (str(tmp_path / "none"), "VAE"), ("relative", ""), ("//server/share", "VAE"),
                       ("\\\\server\\share", "VAE"), ("/a\0b", "VAE"), (str(plain), "spells"), ("/" + "x" * 5000, ""),
                       (str(tmp_path / "data"), "VAE"), ("", "VAE")):  # fmt: skip
        with pytest.raises(UserError):
            found.named(text, kind)


def test_the_command_line_takes_over_and_gives_back(
    tmp_path: Path, paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "my webui", *A1111)
    monkeypatch.setattr(installations, "usual_places", lambda _paths: (tmp_path,))
    flags = ("--data-dir", str(paths.data))
    assert bring(flags) == 0
    said = capsys.readouterr().out
    assert f"found: A1111 at {root}: checkpoints: 1, LoRAs: 1, embeddings: 1" in said
    assert f'(to use them: python -m webui bring "{root}")' in said
    bring((str(root), *flags))
    assert f"LoRAs: {root / 'models/Lora'}" in capsys.readouterr().out
    bring(flags)
    assert capsys.readouterr().out.startswith(f"in use: A1111 at {root}")
    bring((str(root), *flags, "--forget"))
    assert BroughtFolders(paths).all() == ()
    with pytest.raises(NotFound):
        bring((str(root), "--forget", *flags))


def test_settings_defaults_and_styles_are_taken_over_and_what_is_not_is_named(tmp_path: Path, paths: Paths) -> None:
    root = tree(tmp_path / "webui", *A1111)
    (root / "config.json").write_text(json.dumps({
        "CLIP_stop_at_last_layers": 2, "samples_format": "webp", "outdir_samples": "/elsewhere", "eta_ddim": "many",
        "sd_model_checkpoint": "gone.safetensors", "some_extension": 1, "api_forbid_local_requests": False,
    }))  # fmt: skip
    (root / "ui-config.json").write_text(
        json.dumps({"txt2img/Sampling steps/value": 33, "txt2img/CFG Scale/value": "x"})
    )
    (root / "styles.csv").write_text("name,prompt,negative_prompt\nmine,a,b\ntheirs,c,d\n")
    paths.styles[0].write_text("name,prompt,negative_prompt\nmine,kept,kept\n")
    catalog, store = Catalog(paths), SettingsStore(paths)
    try:
        came = {one.file: one for one in take_settings(root, catalog, store)}
        assert set(came["config.json"].taken) == {"CLIP_stop_at_last_layers", "samples_format"}
        left = " ".join(came["config.json"].left)
        assert all(
            name in left for name in ("outdir_samples", "eta_ddim", "sd_model_checkpoint", "api_forbid", "1 sett")
        )
        assert store.current.save.samples_format == "webp"
        assert came["ui-config.json"].taken == ("txt2img: steps",)
        assert "CFG Scale" in came["ui-config.json"].left[0]
        assert catalog.ui_defaults.values("txt2img")["steps"] == 33
        assert came["styles.csv"].taken == ("theirs",)
        assert catalog.styles.all()["mine"].prompt == "kept"
        (root / "config.json").write_text("{")
        (root / "ui-config.json").write_text("[]")
        broken = {one.file: one for one in take_settings(root, catalog, store)}
        assert broken["config.json"].left[0].startswith("config.json is not valid JSON")
        assert broken["ui-config.json"].left
        assert not list(root.glob("*.broken-*"))
        assert broken["styles.csv"].taken == ()
    finally:
        catalog.close()
