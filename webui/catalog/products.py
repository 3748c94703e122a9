"""How folders of other programs are recognised, and where each of them keeps which models.

A1111, Forge, reForge, SD.Next, ComfyUI, InvokeAI and StabilityMatrix: names of folders and of entries in their
configuration, as their documentation gives them. What stands in those files is anybody's: each is small, is read item
by item, and one that is broken is named while the rest counts.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from webui.base.errors import UserError
from webui.base.fence import Problem, read_each
from webui.base.text import named

KINDS: Mapping[str, str] = {
    "Stable-diffusion": "checkpoints",
    "VAE": "VAEs",
    "Lora": "LoRAs",
    "embeddings": "embeddings",
    "hypernetworks": "hypernetworks",
    "ControlNet": "control networks",
    "upscale_models": "upscalers",
    "text_encoder": "text encoders",
    "Image encoders": "image encoders",
    "adetailer": "detectors",
    "Face restorers": "face restorers",
    "ControlNetPreprocessor": "preprocessors' files",
}
"""Kinds of folders, as `Folders.look` and the engine call them -> what people call what is in them."""
ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx", ".sft")
"""Of what is counted as a model's file."""
LARGEST = 2**20
"""Bytes of a configuration file; a longer one is none."""
MOST_FOLDERS = 400
"""Of one installation."""
MOST_NAMES = 2000
"""Entries of a folder that are looked at to recognise it."""
MOST_ROWS = 20_000
"""Of InvokeAI's table of models."""
LONGEST_QUERY = 2.0
"""Seconds for reading it."""
AS_FOLDERS = ("Stable-diffusion", "text_encoder", "Image encoders")
"""Kinds of models that may be folders, in diffusers' format."""

Places = Mapping[str, str]
"""A folder below the root, with forward slashes, in any letter case -> the kind of what is in it."""

_UPSCALERS = ("ESRGAN", "RealESRGAN", "SwinIR", "DAT", "HAT", "ScuNET", "BSRGAN", "upscale_models")
_A1111: Places = {
    "models/Stable-diffusion": "Stable-diffusion",
    "models/diffusers": "Stable-diffusion",
    "models/UNET": "Stable-diffusion",
    "models/VAE": "VAE",
    "models/Lora": "Lora",
    "models/LyCORIS": "Lora",
    "embeddings": "embeddings",
    "models/embeddings": "embeddings",
    "models/hypernetworks": "hypernetworks",
    "models/ControlNet": "ControlNet",
    "models/control/controlnet": "ControlNet",
    "extensions/sd-webui-controlnet/models": "ControlNet",
    **{f"models/{name}": "upscale_models" for name in _UPSCALERS},
    "models/text_encoder": "text_encoder",
    "models/Text-encoder": "text_encoder",
    "models/clip_vision": "Image encoders",
    "models/adetailer": "adetailer",
    "models/GFPGAN": "Face restorers",
    "models/Codeformer": "Face restorers",
    "models/ControlNetPreprocessor": "ControlNetPreprocessor",
    "extensions/sd-webui-controlnet/annotator/downloads": "ControlNetPreprocessor",
}
COMFY: Mapping[str, str] = {
    "checkpoints": "Stable-diffusion",
    "unet": "Stable-diffusion",
    "diffusion_models": "Stable-diffusion",
    "diffusers": "Stable-diffusion",
    "vae": "VAE",
    "loras": "Lora",
    "embeddings": "embeddings",
    "hypernetworks": "hypernetworks",
    "controlnet": "ControlNet",
    "t2i_adapter": "ControlNet",
    "ipadapter": "ControlNet",
    "upscale_models": "upscale_models",
    "clip": "text_encoder",
    "text_encoders": "text_encoder",
    "clip_vision": "Image encoders",
    "ultralytics": "adetailer",
    "ultralytics_bbox": "adetailer",
    "facerestore_models": "Face restorers",
}
"""What ComfyUI calls its kinds of folders -> ours."""
_MATRIX: Places = {
    "StableDiffusion": "Stable-diffusion",
    "DiffusionModels": "Stable-diffusion",
    "Unet": "Stable-diffusion",
    "Diffusers": "Stable-diffusion",
    "VAE": "VAE",
    "Lora": "Lora",
    "LyCORIS": "Lora",
    "Embeddings": "embeddings",
    "TextualInversion": "embeddings",
    "Hypernetwork": "hypernetworks",
    "ControlNet": "ControlNet",
    "T2IAdapter": "ControlNet",
    "IpAdapter": "ControlNet",
    **dict.fromkeys(("ESRGAN", "RealESRGAN", "SwinIR"), "upscale_models"),
    "TextEncoders": "text_encoder",
    "CLIP": "text_encoder",
    "ClipVision": "Image encoders",
    "InvokeClipVision": "Image encoders",
    "Ultralytics": "adetailer",
    **dict.fromkeys(("GFPGAN", "Codeformer"), "Face restorers"),
}
INVOKE: Mapping[str, str] = {
    "main": "Stable-diffusion",
    "vae": "VAE",
    "lora": "Lora",
    "embedding": "embeddings",
    "controlnet": "ControlNet",
    "control_lora": "ControlNet",
    "t2i_adapter": "ControlNet",
    "ip_adapter": "ControlNet",
    "spandrel_image_to_image": "upscale_models",
    "clip_embed": "text_encoder",
    "t5_encoder": "text_encoder",
    "clip_vision": "Image encoders",
}
"""What InvokeAI calls the types of its models -> ours."""
# A1111, SD.Next: what names a folder on their command lines (without the dashes) and in SD.Next's config.json.
NAMED: Mapping[str, str] = {
    "ckpt_dir": "Stable-diffusion",
    "diffusers_dir": "Stable-diffusion",
    "unet_dir": "Stable-diffusion",
    "vae_dir": "VAE",
    "lora_dir": "Lora",
    "lyco_dir": "Lora",
    "lyco_dir_backcompat": "Lora",
    "embeddings_dir": "embeddings",
    "hypernetwork_dir": "hypernetworks",
    "control_dir": "ControlNet",
    "controlnet_dir": "ControlNet",
    "te_dir": "text_encoder",
    "esrgan_models_path": "upscale_models",
    "realesrgan_models_path": "upscale_models",
    "swinir_models_path": "upscale_models",
    "gfpgan_models_path": "Face restorers",
    "codeformer_models_path": "Face restorers",
}


@dataclass(frozen=True)
class Installation:
    """A folder of another program, or of models, with the folders of models that belong to it."""

    product: str
    """What people call the program."""
    root: Path
    folders: tuple[tuple[str, Path], ...]
    """(kind of `KINDS`, folder that is there), each once."""
    problems: tuple[Problem, ...] = field(default=(), compare=False)
    """What of its configuration could not be read."""


@dataclass(frozen=True)
class Product:
    """A program whose folders are recognised."""

    name: str
    marks: tuple[str, ...]
    """What lies in its folder, in any letter case, one and all."""
    places: Places
    more: Callable[[Path], Iterable[NamedPlace]] = lambda _root: ()
    """Folders that its configuration names."""
    hints: tuple[str, ...] = ()
    """What its folder, or the address that it was cloned from, is called; (): anything."""


@dataclass(frozen=True)
class NamedPlace:
    """Something of a program's configuration, read behind the fence: `read` gives (kind, folder) of it."""

    name: str
    read: Callable[[], Iterable[tuple[str, Path]]]


# ------------------------------------------------------------------------------------------ their configuration


def text_of(path: Path) -> str:
    """A configuration file's text.

    Raises:
        UserError: it is too long, or no text.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise UserError(f"{path.name} is not a regular file.")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise UserError(f"{path.name} is longer than {LARGEST // 2**20} MiB, and was not read.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not a text in UTF-8.") from error


class _Plain(yaml.SafeLoader):
    """YAML without references: what refers to itself again and again grows without end when it is merged."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise UserError("References (*name) are not read in this file.")
        return super().compose_node(parent, index)


def yaml_table(path: Path) -> Mapping[object, object]:
    """The mapping in a YAML file.

    Raises:
        UserError: it is no YAML, or holds something else.
        OSError: it cannot be read.
    """
    try:
        content = yaml.load(text_of(path), _Plain)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = f": {str(error).splitlines()[0]}" if str(error) else ""
        raise UserError(f"{path.name} is not valid YAML{said}.") from error
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise UserError(f"{path.name} does not contain names and values.")
    return content


def json_table(path: Path) -> Mapping[str, object]:
    """The object in a JSON file. Raises UserError, OSError."""
    try:
        content = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path.name} is not valid JSON.") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path.name} does not contain names and values.")
    return content


def path_in(base: Path, text: object) -> Path:
    """A path as a configuration file writes it, relative to `base`.

    Raises:
        UserError: it is none, or lies on another machine: asking for it would tell that machine who asks.
    """
    if not isinstance(text, str) or not text.strip() or "\0" in text or len(text) > 4096:
        raise UserError("A folder is missing, or is not a path.")
    found = os.path.expandvars(text.strip())
    if is_remote(found):
        raise UserError(f"{found!r} is on another machine; only folders of this one are used.")
    return base / Path(found).expanduser()


def is_remote(text: str) -> bool:
    """Whether a path names another machine, as `\\\\server\\share` does."""
    return text.replace("\\", "/").startswith("//")


def _comfy_yaml(path: Path) -> Iterator[NamedPlace]:
    """ComfyUI's `extra_model_paths.yaml`: sections with a base path and, by kind, a folder a line."""
    if not path.is_file():
        return
    try:
        sections = yaml_table(path)
    except (UserError, OSError) as error:
        yield NamedPlace(path.name, partial(_failing, error))
        return
    for name, section in list(sections.items())[:MOST_FOLDERS]:
        yield NamedPlace(f"{path.name}: {str(name)[:60]}", partial(_comfy_section, path.parent, section))


def _failing(error: Exception) -> Iterable[tuple[str, Path]]:
    raise error


def _comfy_section(beside: Path, section: object) -> list[tuple[str, Path]]:
    if not isinstance(section, Mapping):
        raise UserError("It does not contain names and values.")
    base = path_in(beside, section["base_path"]) if section.get("base_path") else beside
    found = []
    for key, said in section.items():
        kind = COMFY.get(str(key).casefold())
        if kind is not None and isinstance(said, str):
            found += [(kind, path_in(base, line)) for line in said.splitlines()[:MOST_FOLDERS] if line.strip()]
    return found


def _of_comfy(root: Path) -> Iterator[NamedPlace]:
    for name in ("extra_model_paths.yaml", "extra_models_config.yaml"):
        yield from _comfy_yaml(root / name)


FLAG = re.compile(r"--([a-z][a-z0-9-]*)")
_LINE = re.compile(r"(?:(?:set|export)\s+)?COMMANDLINE_ARGS\s*=(.*)$", re.IGNORECASE)


def _of_a1111(root: Path) -> Iterator[NamedPlace]:
    """Folders on A1111's command line, and in SD.Next's settings."""
    for name in ("webui-user.sh", "webui-user.bat"):
        if (root / name).is_file():
            yield NamedPlace(name, partial(_on_command_line, root, root / name))
    if (root / "config.json").is_file():
        yield NamedPlace("config.json", partial(_in_settings, root))


def _on_command_line(root: Path, path: Path) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    for line in text_of(path).splitlines():
        told = _LINE.match(line.strip())
        if told is None:
            continue
        lexer = shlex.shlex(told[1].strip(), posix=True, punctuation_chars=False)
        lexer.whitespace_split, lexer.commenters = True, ""
        if path.suffix == ".bat":
            lexer.escape, lexer.quotes = "", '"'
        try:
            words = list(lexer)
            if len(words) == 1 and " " in words[0]:
                words = shlex.split(words[0], posix=path.suffix != ".bat")
        except ValueError as error:
            raise UserError(f"{path.name} has an opening quotation mark without a closing one.") from error
        found += _told_by(root, words)
    return found


def _told_by(root: Path, words: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        flag, equals, value = word.partition("=")
        name = FLAG.fullmatch(flag)
        given = (value if equals else following).strip("'\"")
        if name is None or not given or given.startswith("--"):
            continue
        key = name[1].replace("-", "_")
        if key in NAMED:
            yield NAMED[key], path_in(root, given)
        elif key in ("data_dir", "models_dir"):
            base = path_in(root, given)
            for place, kind in _A1111.items():
                if key == "data_dir":
                    yield kind, base / place
                elif place.startswith("models/"):
                    yield kind, base / place.removeprefix("models/")


def _in_settings(root: Path) -> list[tuple[str, Path]]:
    said = json_table(root / "config.json")
    given = ((kind, said.get(key)) for key, kind in NAMED.items())
    return [(kind, path_in(root, text)) for kind, text in given if isinstance(text, str) and text.strip()]


def _of_invoke(root: Path) -> Iterator[NamedPlace]:
    """InvokeAI's models: by folders of base and type, as in its older versions, and by its database."""
    said: dict[str, object] = {}

    def settings() -> list[tuple[str, Path]]:
        table = yaml_table(root / "invokeai.yaml")
        older = table.get("InvokeAI")  # Before version 4: sections of sections.
        parts = [table, *(older.values() if isinstance(older, Mapping) else ())]
        for part in parts:
            if isinstance(part, Mapping):
                said.update({str(key): value for key, value in part.items()})
        return []

    if (root / "invokeai.yaml").is_file():
        yield NamedPlace("invokeai.yaml", settings)
    yield NamedPlace("models", lambda: _invoke_folders(path_in(root, said.get("models_dir") or "models")))

    def in_database() -> list[tuple[str, Path]]:
        file = path_in(root, said.get("db_dir") or "databases") / "invokeai.db"
        models = path_in(root, said.get("models_dir") or "models")
        return list(_invoke_rows(file, models)) if file.is_file() else []

    yield NamedPlace("invokeai.db", in_database)


def _invoke_folders(models: Path) -> list[tuple[str, Path]]:
    found = []
    for base in _names(models):
        if (models / base).is_dir():
            found += [(INVOKE[name], models / base / name) for name in _names(models / base) if name in INVOKE]
    return found


def _invoke_rows(database: Path, models: Path) -> Iterator[tuple[str, Path]]:
    """The folder of each model in the table, or the model itself where that is a folder."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True, timeout=1)) as opened:
        opened.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST)
        end = time.monotonic() + LONGEST_QUERY
        opened.set_progress_handler(lambda: time.monotonic() > end, 10_000)  # A table may be a view without end.
        rows = opened.execute("SELECT config FROM models LIMIT ?", (MOST_ROWS,)).fetchall()
    for (text,) in rows:
        try:
            config = json.loads(text)
            kind = INVOKE[config["type"]]
            path = path_in(models, config["path"])
        except (ValueError, RecursionError, TypeError, KeyError, UserError):
            continue  # A model of a kind that is not used here, or a row that says nothing.
        if not path.is_dir():
            yield kind, path.parent
        elif kind in AS_FOLDERS:
            yield kind, path


# ------------------------------------------------------------------------------------------------- recognising

_WEBUI = ("webui.py", "modules")
PRODUCTS: tuple[Product, ...] = (
    Product("SD.Next", (*_WEBUI, "installer.py"), _A1111, _of_a1111),
    Product("reForge", (*_WEBUI, "modules_forge"), _A1111, _of_a1111, ("reforge",)),
    Product("Forge", (*_WEBUI, "modules_forge"), _A1111, _of_a1111),
    Product("A1111", _WEBUI, _A1111, _of_a1111),
    Product("ComfyUI", ("main.py", "comfy", "nodes.py"), {f"models/{n}": k for n, k in COMFY.items()}, _of_comfy),
    Product("ComfyUI", ("models", "custom_nodes"), {f"models/{n}": k for n, k in COMFY.items()}, _of_comfy),
    Product("ComfyUI", ("extra_models_config.yaml",), {}, _of_comfy),
    Product("InvokeAI", ("invokeai.yaml", "models"), {}, _of_invoke),
    Product("StabilityMatrix", ("Models", "settings.json"), {f"Models/{n}": k for n, k in _MATRIX.items()}),
    Product("StabilityMatrix", ("Models", "Packages"), {f"Models/{n}": k for n, k in _MATRIX.items()}),
)
"""The first whose marks are there counts."""
_LAYOUTS: tuple[Places, ...] = (
    _A1111,
    {place.removeprefix("models/"): kind for place, kind in _A1111.items() if place.startswith("models/")},
    {f"models/{name}": kind for name, kind in COMFY.items()},
    COMFY,
    _MATRIX,
)
"""Of folders that belong to no program: whichever gives most counts."""


def recognised(root: Path) -> Installation | None:
    """The program whose folder this is, with its models; None: it is nobody's, or has no models.

    Raises:
        OSError: the folder cannot be read.
    """
    names = {name.casefold() for name in _names(root)}
    for product in PRODUCTS:
        if all(mark.casefold() in names for mark in product.marks) and _is_called(root, product.hints):
            found, problems = _folders_of(root, product)
            return Installation(product.name, root, found, problems) if found or problems else None
    return None


def laid_out(root: Path) -> Installation | None:
    """A folder of models that belongs to no program, by the names of what is in it; None: no name is known.

    Raises:
        OSError: the folder cannot be read.
    """
    found = max(([*_placed(root, layout)] for layout in _LAYOUTS), key=len)
    return Installation("Folder", root, _distinct(found)) if found else None


def _folders_of(root: Path, product: Product) -> tuple[tuple[tuple[str, Path], ...], tuple[Problem, ...]]:
    read, problems = read_each(product.name, product.more(root), lambda one: one.name, lambda one: list(one.read()))
    more = [place for _, places in read for place in places]
    return _distinct([*_placed(root, product.places), *more]), tuple(problems)


def _is_called(root: Path, hints: Sequence[str]) -> bool:
    if not hints:
        return True
    said = root.name
    with suppress(OSError, UserError):
        said += text_of(root / ".git" / "config")
    return any(hint in said.casefold() for hint in hints)


def _placed(root: Path, places: Places) -> Iterator[tuple[str, Path]]:
    """Those that are there; on disks that tell letter cases apart, in any."""
    for place, kind in places.items():
        folder: Path | None = root
        for part in place.split("/"):
            folder = _below(folder, part) if folder is not None else None
        if folder is not None:
            yield kind, folder


def _below(folder: Path, name: str) -> Path | None:
    exact = folder / name
    if exact.is_dir():
        return exact
    same = next((other for other in _names(folder) if other.casefold() == name.casefold()), None)
    return folder / same if same is not None and (folder / same).is_dir() else None


def _names(folder: Path) -> list[str]:
    """What is in a folder, as far as it is looked at; [] where there is none.

    Raises:
        PermissionError: it may not be read.
    """
    found: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                found.append(entry.name)
                if len(found) >= MOST_NAMES:
                    break
    except (FileNotFoundError, NotADirectoryError):
        return []
    return found


def _distinct(found: Iterable[tuple[str, Path]]) -> tuple[tuple[str, Path], ...]:
    """Folders that are there, each once for a kind; one that lies in another is looked through with that one."""
    real: dict[tuple[str, Path], Path] = {}
    for kind, folder in found:
        try:
            place = folder.resolve()
            if place.is_dir() and place.parent != place:
                real.setdefault((kind, place), place)
        except (OSError, RuntimeError, ValueError):
            continue
        if len(real) >= MOST_FOLDERS:
            break
    outer = {key for key in real if not any((key[0], above) in real for above in key[1].parents)}
    return tuple(key for key in real if key in outer)


def shown_root(installation: Installation) -> str:
    """Where it lies, as text."""
    return named(installation.root)
