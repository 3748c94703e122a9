"""Everything that people put into folders, looked at once: what of it is broken, and why."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from webui import entry_points, registry
from webui.base.fence import Problem, read_each
from webui.catalog.catalog import Catalog
from webui.catalog.checkup import INDEX, check_config, check_model, check_picture, check_table
from webui.catalog.files import Found
from webui.catalog.folders import Folders, SearchFolder
from webui.request.interrogators import DANBOORU, FOLDER
from webui.request.settings import Settings

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif")
BESIDE = (".json", ".yaml", *PICTURES)
"""Endings of what lies beside models."""
PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("text_encoder", (".safetensors", ".json")),
    ("depth", (".safetensors", ".json")),
    (FOLDER, (".safetensors", ".bin", ".json")),
    (DANBOORU.parent.name, (".pt",)),
    ("CLIP", (".safetensors",)),
    ("VAE-approx", (".safetensors", ".pt")),
)
"""Folders below `models` with parts that some checkpoints or tools need."""


def problems_in(catalog: Catalog) -> tuple[Problem, ...]:
    """What is broken, by folder and name; files that have not changed since the last look are not read again."""
    catalog.checkpoints.scan()
    catalog.vaes.scan()
    catalog.loras.scan()
    catalog.hypernetworks.scan()
    catalog.embeddings.scan()
    catalog.upscalers.files()
    catalog.taggers.files()
    catalog.styles.all()
    catalog.localizations.look()
    catalog.ui_defaults.look()
    catalog.unit_presets.look({entry.name: entry.params for entry in registry.carried() if entry.params.units})
    folders = Folders(catalog.hashes, catalog.problems)
    for name, endings in PARTS:
        folders.look(name, [SearchFolder(catalog.paths.models / name, endings)], _check_part)
    for kind, places in _with_models(catalog):
        beside = (SearchFolder(folder, BESIDE, whole=INDEX) for folder in places)
        folders.look(kind, beside, _check_beside, remembered_as=f"{kind}: beside", wanted=_is_single)
    catalog.problems.found(entry_points.KIND, registry.problems())
    catalog.problems.found("settings", _of_settings(catalog.paths.settings))
    aside = (path for file in (catalog.paths.settings, catalog.paths.ui_config) for path in _moved_aside(file))
    catalog.problems.found("moved aside", aside)
    return catalog.problems.all()


def _with_models(catalog: Catalog) -> Iterable[tuple[str, Iterable[Path]]]:
    """(what people call them, folders) of the models that have files beside them."""
    paths = catalog.paths
    yield "Stable-diffusion", (paths.checkpoints, *paths.checkpoint_dirs)
    yield "Lora", catalog.loras.folders
    yield "hypernetworks", (paths.hypernetworks,)
    yield "embeddings", paths.embeddings


def _is_single(file: Found) -> bool:
    return not file.path.is_dir()


def _check_part(path: Path) -> None:
    check_table(path) if path.suffix.lower() == ".json" else check_model(path)


def _check_beside(path: Path) -> None:
    checks = {".json": check_table, ".yaml": check_config}
    checks.get(path.suffix.lower(), check_picture)(path)


def _of_settings(path: Path) -> list[Problem]:
    """Settings in the file that do not fit; a file that is no table is moved aside elsewhere."""
    if not path.is_file():
        return []
    kind = path.name
    tables, problems = read_each(kind, [path], lambda file: file.name, lambda file: json.loads(file.read_bytes()))
    for _, table in tables:
        known = Settings.keys()
        items = [item for item in table.items() if item[0] in known and item[1] is not None]
        problems += read_each(kind, items, lambda item: item[0], _fit)[1]
    return problems


def _fit(item: tuple[str, object]) -> None:
    Settings().with_options(dict([item]))


def _moved_aside(path: Path) -> Iterable[Problem]:
    for other in sorted(path.parent.glob(f"{path.name}.broken-*")):
        said = f"It is a damaged {path.name}; the defaults are used instead."
        yield Problem(path.name, other.name, said, f"Repair it and rename it to {path.name}, or delete it.")
