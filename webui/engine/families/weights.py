"""Files of weights: names and shapes without reading the tensors, tensors mapped one at a time."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import yaml
from safetensors import SafetensorError, safe_open
from torch import Tensor

from webui.base.errors import ModelError, WebuiError
from webui.base.json_values import Json, as_object
from webui.base.text import cleaned
from webui.catalog.files import find_files
from webui.catalog.headers import sizes_in
from webui.engine.families.gguf import read_gguf
from webui.engine.families.pickles import DAMAGE, Forbidden, mappable, read_pickle

Shapes = Mapping[str, tuple[int, ...]]

_LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors format itself."""

INDEX = "model_index.json"
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack")
LEFT_OUT = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
"""Parts of a pipeline that a picture does without. A1111: nothing looks at what was made."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}")


@dataclass(frozen=True)
class WeightsFile:
    """A checkpoint, VAE or network file, or a folder of diffusers, opened."""

    path: Path
    shapes: Shapes
    """Tensor name -> shape, in the order of the file."""
    metadata: Mapping[str, str]
    tensor: Callable[[str], Tensor] = field(repr=False)
    """name -> tensor on the CPU, mapped from the file where the format allows."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The yaml file beside it."""

    @cached_property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())

    def under(self, *prefixes: str) -> dict[str, str]:
        """Names below the first of the prefixes that any tensor has: without it -> with it."""
        for prefix in prefixes:
            found = {name[len(prefix) :]: name for name in self.shapes if name.startswith(prefix)}
            if found:
                return found
        return {}

    def error(self, cause: str, hint: str = "") -> ModelError:
        """A ModelError that names this file."""
        return ModelError(f"{self.path.name} cannot be loaded: {cause}.", hint=hint)


def open_weights(path: str | Path, config: str = "") -> WeightsFile:
    """Open `path`; its names and shapes are checked against the file's length, its tensors are not read yet.

    `config`: path of an LDM yaml file, or "".

    Raises:
        ModelError: missing, empty, cut off, of another format, or a pickle that wants to run code.
    """
    path = Path(path)
    with reading(path):
        file = _opened(path, config)

    def tensor(name: str) -> Tensor:
        with reading(path):
            return file.tensor(name)

    return replace(file, tensor=tensor)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever is wrong within a file becomes one kind of error, which names it: nobody knows all the ways.

    Raises:
        ModelError: it is damaged.
    """
    try:
        yield
    except (WebuiError, MemoryError):
        raise
    except OSError as error:
        raise broken(path, f"it cannot be read ({error.strerror or error})") from error
    except Exception as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise broken(path, f"it is damaged ({cause.removesuffix(': ')})", "Download it again.") from error


def _opened(path: Path, config: str) -> WeightsFile:
    if path.is_dir():
        return _folder(path)
    kind = format_of(path)
    settings = _yaml(Path(config)) if config else {}
    if kind == "gguf":
        return _gguf(path, settings)
    if kind == "pickle":
        return _pickled(path, settings)
    return _safetensors(path, settings)


def format_of(path: Path) -> Literal["safetensors", "pickle", "gguf"]:
    """By what the file begins with, since many are named wrongly; by its name where that says nothing.

    Raises:
        ModelError: it cannot be read, or is empty.
    """
    suffix = path.suffix.lower()
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if not start:
        raise broken(path, "the file is empty", "Download it again.")
    if start.startswith(b"GGUF"):
        return "gguf"
    if start[8:9] == b"{":
        return "safetensors"
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return "pickle"
    return "gguf" if suffix == ".gguf" else "pickle" if suffix in PICKLES else "safetensors"


def broken(path: Path, cause: str, hint: str = "") -> ModelError:
    """A ModelError that names a file or folder of weights."""
    return ModelError(f"{path.name} cannot be loaded: {cause}.", hint=hint)


def _yaml(path: Path) -> Mapping[str, object]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise broken(path, f"it is not valid YAML ({str(error).splitlines()[0]})") from error
    return content if isinstance(content, dict) else {}


def _safetensors(path: Path, settings: Mapping[str, object]) -> WeightsFile:
    size = path.stat().st_size
    with path.open("rb") as stream:
        header_size = int.from_bytes(stream.read(8), "little")
    if header_size < 2 or header_size > min(_LONGEST_HEADER, size - 8):
        cut_off = 8 < size < header_size + 8 < _LONGEST_HEADER
        raise broken(
            path, "the file is incomplete" if cut_off else "it is not a safetensors file", "Download it again."
        )
    with path.open("rb") as stream:
        stream.seek(8)
        text = stream.read(header_size)
    try:
        header: Json = cleaned(json.loads(text))
        said = header.pop("__metadata__", None) or {} if isinstance(header, dict) else None
        if not isinstance(header, dict) or not isinstance(said, dict):
            raise TypeError("it is not a table")
        entries = sorted((_Entry.read(name, value) for name, value in header.items()), key=lambda entry: entry.begin)
    except (ValueError, TypeError, RecursionError, ModelError) as error:
        raise broken(path, "its header is damaged", "Download it again.") from error
    metadata = {name: str(value) for name, value in said.items()}
    shapes = {entry.name: entry.shape for entry in entries}
    needed = max((entry.end for entry in entries), default=0)
    if 8 + header_size + needed > size:
        missing = 8 + header_size + needed - size
        raise broken(path, f"the file is incomplete: {missing:,} bytes are missing", "Download it again.")
    if 8 + header_size + needed < size:
        return WeightsFile(path, shapes, metadata, _read_past_the_end(path, entries, 8 + header_size), settings)
    try:
        with mappable(path) as name:
            opened = safe_open(name, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise broken(path, f"it is damaged ({error})", "Download it again.") from error
    return WeightsFile(path, shapes, metadata, opened.get_tensor, settings)


_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


class _Entry(NamedTuple):
    """What a header says of a tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """In bytes behind the header."""
    end: int

    @classmethod
    def read(cls, name: str, value: Json) -> _Entry:
        """Raises ModelError, ValueError: it says no such thing."""
        said = as_object(value)
        begin, end = sizes_in(said.get("data_offsets"), name)
        return cls(name, str(said.get("dtype")), sizes_in(said.get("shape"), name), begin, end)


def _read_past_the_end(path: Path, entries: Sequence[_Entry], start: int) -> Callable[[str], Tensor]:
    """Reads the tensors of a file with more bytes behind them, which the library refuses.

    Raises:
        ModelError: a tensor's place does not fit its shape.
    """
    for entry in entries:
        dtype = _DTYPES.get(entry.dtype)
        if dtype is None or entry.end - entry.begin != math.prod(entry.shape) * dtype.itemsize:
            raise broken(path, f"its header is damaged ({entry.name})", "Download it again.")
    by_name = {entry.name: entry for entry in entries}

    def tensor(name: str) -> Tensor:
        entry = by_name[name]
        with mappable(path) as opened:  # ends before what is behind
            whole = torch.from_file(opened, shared=False, size=start + entry.end, dtype=torch.uint8)
        return whole[start + entry.begin :].clone().view(_DTYPES[entry.dtype]).reshape(entry.shape)

    return tensor


def _gguf(path: Path, settings: Mapping[str, object]) -> WeightsFile:
    try:
        found = read_gguf(path)
    except ValueError as error:
        raise broken(
            path, str(error), "Download it again, or use one of the kinds F16, Q4_0 to Q8_0, Q2_K to Q6_K."
        ) from error
    return WeightsFile(path, found.shapes, found.metadata, found.tensor, settings)


def _pickled(path: Path, settings: Mapping[str, object]) -> WeightsFile:
    content = load_pickle(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    tensors = {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        tensors = dict(_within(state))
    if not tensors:
        raise broken(path, "it does not contain any tensors")
    return WeightsFile(path, {n: tuple(t.shape) for n, t in tensors.items()}, {}, tensors.__getitem__, settings)


def _within(state: Mapping[object, object]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file that has several tables of them, as those of IP-Adapters: "table.name"."""
    for table, content in state.items():
        for name, value in content.items() if isinstance(table, str) and isinstance(content, Mapping) else ():
            if isinstance(name, str) and isinstance(value, Tensor):
                yield f"{table}.{name}", value


def load_pickle(path: Path) -> object:
    """The content of a torch file, by the restricted unpickler: tensors and plain containers alone.

    Raises:
        ModelError: it is damaged, or wants to run code.
    """
    try:
        return read_pickle(path)
    except Forbidden as error:
        raise ModelError(
            f"{path.name} is refused: it holds Python objects, which could run code ({error}).",
            hint="Ask for the model as .safetensors, or convert it on a machine where you trust the file.",
        ) from error
    except EOFError as error:
        raise broken(path, "the file is incomplete", "Download it again.") from error
    except DAMAGE as error:
        cause = "" if isinstance(error, LookupError) else "".join(str(error).splitlines()[:1])[:200]
        said = f" ({cause})" if " " in cause else ""  # what the reader stumbled over tells nobody anything
        raise broken(path, f"it is damaged, or not a PyTorch file{said}", "Download it again.") from error


# ---------------------------------------------------------------- folders of diffusers


def _folder(path: Path) -> WeightsFile:
    """All tensors of the folder's parts as "part/name"; `config` is the content of its index.

    Raises:
        ModelError: there is no index, a file is broken, or there are weights that could run code.
    """
    try:
        index = json.loads((path / INDEX).read_text("utf-8"))
    except OSError as error:
        raise broken(path, f"{INDEX} cannot be read ({error.strerror or error})", "Copy the whole folder.") from error
    except (ValueError, RecursionError) as error:
        raise broken(path, f"its {INDEX} is not valid JSON", "Download it again.") from error
    if not isinstance(index, dict):
        raise broken(path, f"its {INDEX} is not a JSON object", "Download it again.")
    shapes: dict[str, tuple[int, ...]] = {}
    for part in parts_of(index):
        for file in weight_files(path, part):
            shapes |= {f"{part}/{name}": shape for name, shape in open_weights(file).shapes.items()}

    def unread(name: str) -> Tensor:
        raise broken(path, f"{name} is not read by itself")

    return WeightsFile(path, shapes, {}, unread, index)


def parts_of(index: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Part -> (library, class) of those that are loaded."""
    found: dict[str, tuple[str, str]] = {}
    for part, said in index.items():
        if part.startswith("_") or part in LEFT_OUT or not isinstance(said, list) or len(said) != 2 or not said[0]:
            continue
        found[part] = (str(said[0]), str(said[1]))
    return found


def variant_of(path: Path) -> str | None:
    """What the names of the weights have between name and ending ("fp16"), where there are none without it."""
    parts = (part for part in path.iterdir() if part.is_dir())
    endings = {_variant(found.path) for part in parts for found in find_files(part, (".safetensors",), deep=False)}
    return None if None in endings or not endings else sorted(ending for ending in endings if ending)[0]


def weight_files(folder: Path, part: str) -> list[Path]:
    """The safetensors files of a part that are loaded; none for parts without weights."""
    files = sorted(found.path for found in find_files(folder / part, (".safetensors",), deep=False))
    if not files and find_files(folder / part, PICKLES, deep=False):
        raise broken(
            folder,
            f"the weights of its {part} are not a .safetensors file, and could run code",
            "Download the .safetensors files of the model.",
        )
    variants = {_variant(file) for file in files}
    wanted = None if None in variants else min((variant for variant in variants if variant), default=None)
    return [file for file in files if _variant(file) == wanted]


def _variant(file: Path) -> str | None:
    name = _SHARD.sub("", file.name).removesuffix(".safetensors")
    return name.partition(".")[2] or None
