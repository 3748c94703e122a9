"""Makes an installation in which something of everything is broken: at least one in every kind of folder and file.

`python -m tests.broken_things FOLDER` does it by hand.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

ODD = b"caf\xe9"
"""The beginning of a file name that is no UTF-8."""


def safetensors(header: Any = None, *, data: bytes = bytes(8), length: int | None = None) -> bytes:
    """A file with this header; a good one with a small tensor by default."""
    if header is None:
        header = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _tensor(key: str, numbers: int) -> bytes:
    """The pickled call that makes a tensor of a storage."""
    kind = _global("torch", "FloatStorage")
    place = b"X\x01\0\0\0" + key.encode() + b"X\x03\0\0\0cpu"
    storage = b"(X\x07\0\0\0storage" + kind + place + b"K" + bytes([numbers])
    rest = b"K\0K" + bytes([numbers]) + b"\x85K\x01\x85\x89" + _global("collections", "OrderedDict") + b")R"
    return _global("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + b"tQ" + rest + b"tR"


def _table(key: str = "0") -> bytes:
    """{"string_to_param": {"*": tensor}}, pickled."""
    inner = b"}X\x01\0\0\0*" + _tensor(key, 2) + b"s"
    return b"\x80\x02}X\x0f\0\0\0string_to_param" + inner + b"s."


def zipped(program: bytes | None = None) -> bytes:
    """As torch.save writes since its version 1.6."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", _table() if program is None else program)
        archive.writestr("archive/data/0", bytes(8))
    return buffer.getvalue()


def legacy() -> bytes:
    """As torch.save wrote before its version 1.6."""
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    return b"".join(parts) + _table() + pickle.dumps(["0"], 2) + struct.pack("<q", 2) + bytes(8)


def gguf() -> bytes:
    name = b"a"
    tensor = struct.pack("<Q", len(name)) + name + struct.pack("<IQIQ", 1, 2, 0, 0)
    start = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + tensor
    return start + bytes(-len(start) % 32) + bytes(8)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((32, 32), 90).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(buffer, "JPEG")
    return buffer.getvalue()


def headers() -> Iterator[tuple[str, bytes]]:
    """Safetensors files that are none, by what is wrong."""
    good = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    yield "empty", b""
    yield "four-bytes", b"junk"
    yield "half-a-length", safetensors()[:5]
    yield "cut-in-the-header", safetensors()[:20]
    yield "cut-in-the-tensor", safetensors()[:-3]
    yield "endless-header", safetensors(length=2**60)
    yield "no-json", safetensors(b"{not json at all}")
    yield "not-utf8", safetensors(b'{"\xff\xfe": 1}')
    yield "a-list", safetensors([1, 2])
    yield "deep", safetensors(b"[" * 50_000)
    yield "shape-null", safetensors({"a": {**good, "shape": None}})
    yield "shape-negative", safetensors({"a": {**good, "shape": [-2]}})
    yield "shape-words", safetensors({"a": {**good, "shape": ["two"]}})
    yield "no-offsets", safetensors({"a": {"dtype": "F32", "shape": [2]}})
    yield "offsets-turned", safetensors({"a": {**good, "data_offsets": [8, 0]}})
    yield "offsets-huge", safetensors({"a": {**good, "shape": [2**40], "data_offsets": [0, 2**42]}})
    yield "entry-null", safetensors({"a": None})
    yield "dtype-number", safetensors({"a": {**good, "dtype": 5}})
    yield "metadata-list", safetensors({"a": good, "__metadata__": [1]})
    yield "metadata-numbers", safetensors({"a": good, "__metadata__": {"x": 1}})
    yield "a-web-page", b"<!doctype html><html><body>Log in to download</body></html>"


def pickles() -> Iterator[tuple[str, bytes]]:
    """Pickled model files that are none."""
    yield "empty", b""
    yield "junk", b"\x80\x02X"
    yield "zip-cut", zipped()[:-30]
    yield "zip-of-another-program", zipped(b"")[:0] + _other_zip()
    yield "zip-pickle-cut", zipped(_table()[:-9])
    yield "zip-code", zipped(b"\x80\x02" + _global("os", "system") + b"X\x02\0\0\0id\x85R.")
    yield "legacy-cut-in-a-number", legacy()[:7]
    yield "legacy-cut-in-the-content", legacy()[:120]
    yield "legacy-cut-in-the-storage", legacy()[:-4]
    yield "legacy-of-something-else", pickle.dumps({"a": 1}, 2)


def _other_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("read.me", "nothing")
    return buffer.getvalue()


class Breaking:
    """Writes broken things into an installation, and remembers which."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.made: list[tuple[str, str]] = []
        """(kind, name) as they shall be told."""

    def put(self, kind: str, folder: str, name: str, content: bytes, told: str = "") -> None:
        path = self.data / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.made.append((kind, told or name))

    def odd(self, kind: str, folder: str, ending: str, content: bytes) -> None:
        """A good thing with a name that is no UTF-8, where names are bytes."""
        if sys.platform == "linux":
            self.put(kind, folder, os.fsdecode(ODD + ending.encode()), content, f"caf%E9{ending}")

    def dangling(self, kind: str, folder: str, name: str) -> None:
        (self.data / folder).mkdir(parents=True, exist_ok=True)
        (self.data / folder / name).symlink_to(self.data / "nowhere" / name)
        self.made.append((kind, name))


def break_everything(data: Path) -> list[tuple[str, str]]:
    """-> (kind, name) of each broken thing, as it shall be told. `data` may hold good things already."""
    breaking = Breaking(data)
    models = ("Stable-diffusion", "VAE", "Lora")
    for number, (name, content) in enumerate(headers()):
        # Each everywhere once among the three, and the first of the list of checkpoints in any case.
        kind = models[number % 3]
        breaking.put(kind, f"models/{kind}", f"!{name}.safetensors", content)
    for number, (name, content) in enumerate(pickles()):
        kind, ending = (("hypernetworks", ".pt"), ("embeddings", ".pt"), ("ESRGAN", ".pth"))[number % 3]
        folder = "embeddings" if kind == "embeddings" else f"models/{kind}"
        breaking.put(kind, folder, f"{name}{ending}", content)
    _in_each_folder(breaking)
    _beside_models(breaking)
    _pipelines(breaking)
    _tables(breaking)
    _outputs(breaking)
    return breaking.made


def _in_each_folder(breaking: Breaking) -> None:
    for kind, folder, ending in (
        ("Stable-diffusion", "models/Stable-diffusion", ".safetensors"),
        ("VAE", "models/VAE", ".safetensors"),
        ("Lora", "models/Lora", ".safetensors"),
        ("embeddings", "embeddings", ".safetensors"),
    ):
        breaking.odd(kind, folder, ending, safetensors())
    breaking.odd("hypernetworks", "models/hypernetworks", ".pt", zipped())
    breaking.odd("RealESRGAN", "models/RealESRGAN", ".pth", zipped())
    for kind, folder in (("Lora", "models/Lora"), ("embeddings", "embeddings")):
        breaking.dangling(kind, folder, "gone.safetensors")
    breaking.put("Stable-diffusion", "models/Stable-diffusion", "cut.gguf", gguf()[:-20])
    breaking.put("Stable-diffusion", "models/Stable-diffusion", "old.ckpt", legacy()[:-6])
    breaking.put("SwinIR", "models/SwinIR", "cut.safetensors", safetensors()[:-1])
    breaking.put("text_encoder", "models/text_encoder", "t5.safetensors", safetensors()[:-1])
    breaking.put("depth", "models/depth", "net/config.json", b"{", "net/config.json")
    breaking.put("BLIP", "models/BLIP", "config.json", b"[]")
    breaking.put("torch_deepdanbooru", "models/torch_deepdanbooru", "model-resnet_custom_v3.pt", legacy()[:99])


def _beside_models(breaking: Breaking) -> None:
    for kind, folder in (("Lora", "models/Lora"), ("Stable-diffusion", "models/Stable-diffusion")):
        breaking.put(kind, folder, "card-cut.json", b'{"description": "a')
        breaking.put(kind, folder, "card-list.json", b"[1, 2]")
        breaking.put(kind, folder, "card-latin.json", '{"notes": "é"}'.encode("latin-1"))
        breaking.put(kind, folder, "shown.preview.png", png()[:-40])
        breaking.put(kind, folder, "shown.jpg", jpeg()[:-200])
    breaking.put("Stable-diffusion", "models/Stable-diffusion", "broken.yaml", b"model: [1, 2\n  x: {")
    breaking.put("embeddings", "embeddings", "junk.png", b"no picture")


def _pipelines(breaking: Breaking) -> None:
    folder = "models/diffusers"
    breaking.put("Stable-diffusion", folder, "no-table/model_index.json", b"[]", "no-table")
    breaking.put("Stable-diffusion", folder, "no-json/model_index.json", b"{", "no-json")
    whole = json.dumps({"_class_name": "FluxPipeline", "vae": ["diffusers", "AutoencoderKL"]}).encode()
    breaking.put("Stable-diffusion", folder, "cut/vae/model.safetensors", safetensors()[:-1], "cut")
    (breaking.data / folder / "cut" / "model_index.json").write_bytes(whole)
    breaking.put("Stable-diffusion", folder, "config/vae/config.json", b"{", "config")
    (breaking.data / folder / "config" / "model_index.json").write_bytes(whole)


def _tables(breaking: Breaking) -> None:
    styles = b'name;prompt;negative_prompt\nNight;at night;\nCaf\xe9;"in a caf\xe9\nDay;by day;\n'
    breaking.put("styles", ".", "styles.csv", styles)
    breaking.put(
        "ui-config.json",
        ".",
        "ui-config.json",
        b'{"txt2img/Sampling steps/minimum": 90, "txt2img/Sampling steps/maximum": 80, "txt2img/Width/maximum": 1e400,'
        b' "txt2img/Sampling method/value": "Nonesuch", "customscript/x.py/txt2img/Seed/value": 5}',
        "txt2img/Sampling method/value",
    )
    breaking.made += [("ui-config.json", f"txt2img/{line}/maximum") for line in ("Sampling steps", "Width")]
    presets = {"": {"ControlNet": {"heavy": [{"weight": 50}], "fine": [{"weight": 1}]}, "ADetailer": 7}}
    content = json.dumps(presets).encode()
    breaking.put("unit-presets.json", "config", "unit-presets.json", content, "ControlNet, heavy")
    settings = {"CLIP_stop_at_last_layers": "many", "samples_format": "bmp", "theirs \ud800": 1}
    breaking.put("config.json", ".", "config.json", json.dumps(settings).encode(), "samples_format")
    breaking.made.append(("config.json", "CLIP_stop_at_last_layers"))


def _outputs(breaking: Breaking) -> None:
    folder = "outputs/txt2img-images"
    for name, content in (("cut.png", png()[:30]), ("empty.png", b""), ("page.jpg", b"<html>"), ("cut.webp", b"RIFF")):
        breaking.put("outputs", folder, name, content, f"txt2img-images/{name}")


if __name__ == "__main__":
    for one in break_everything(Path(sys.argv[1])):
        print(*one)  # noqa: T201
