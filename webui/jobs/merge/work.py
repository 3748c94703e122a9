"""Checkpoints merged tensor by tensor: no more than one tensor of each file is in memory at a time.

The formulas and rules are those of A1111's Checkpoint Merger.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from webui.base.errors import StorageError, UserError
from webui.base.files import replace as moved_over
from webui.base.files import settled
from webui.base.json_values import Json, as_object
from webui.engine.families.weights import WeightsFile, open_weights
from webui.engine.house import House
from webui.engine.watch import Watch
from webui.jobs.merge.request import ADD_DIFFERENCE, CONFIGS, ENDING, MergePlan, metadata_of, part_of
from webui.request.messages import Answered
from webui.request.plan import CheckpointRef

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
LEFT_AS_IT_IS = frozenset({"cond_stage_model.transformer.text_model.embeddings.position_ids"})
"""A1111: counts, not weights."""
VAE_PREFIX = "first_stage_model."
KINDS = {9: ".inpainting", 8: ".instruct-pix2pix"}
"""Input channels of A's first convolution where B has four -> what the name of the result ends with."""
SPARE_BYTES = 64 * 2**20
HASHED_AT_ONCE = 2**23
"""Bytes between two looks at the Interrupt button."""


def work(plan: MergePlan, house: House) -> Iterator[Answered]:
    """The name of the new file, when it is there."""
    yield Answered(house.watch.job_id, merged(plan, house.watch))


def merged(plan: MergePlan, watch: Watch) -> str:
    """Write the new checkpoint -> its file's name.

    Raises:
        Interrupted: the user stopped it; nothing is left behind.
        ModelError: a file is broken.
        UserError: the files do not fit together, or there is a checkpoint of that name.
        StorageError: there is no room, or the folder cannot be written to.
    """
    watch.begin_batch(0)
    watch.enter("merging", 0.0, 1.0)
    files = [open_weights(model.path) for model in plan.models]
    vae = open_weights(plan.vae.path) if plan.vae is not None else None
    recipe = _Recipe(plan, files, vae)
    folder = Path(plan.folder)
    target = folder / f"{plan.name}{recipe.ending}{ENDING}"
    _refuse_overwriting(target)
    part = part_of(folder, watch.job_id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(part, target.name, recipe, watch)
        _refuse_overwriting(target)
        moved_over(part, target)
        _copy_config(plan, target)
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}.", hint="Free some disk space, or check the folder."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return target.name


@dataclass
class _Recipe:
    """What the new file has: names, shapes, and how each tensor comes about."""

    plan: MergePlan
    files: list[WeightsFile]
    vae: WeightsFile | None

    def __post_init__(self) -> None:
        discard = self.plan.request.discard_weights
        self.names = [name for name in self.files[0].shapes if not discard or not re.search(discard, name)]
        self.widened = {self._channels(name) for name in self.names} - {0}

    @property
    def ending(self) -> str:
        """What the name of the file ends with, where A takes more than the four channels of B."""
        return "".join(KINDS[channels] for channels in sorted(self.widened, reverse=True))

    def tensor(self, name: str) -> Tensor:
        """The tensor of this name in the new file."""
        own = self.files[0].tensor(name)
        if self.vae is not None and name.startswith(VAE_PREFIX) and name.removeprefix(VAE_PREFIX) in self.vae.shapes:
            own = self.vae.tensor(name.removeprefix(VAE_PREFIX)).to(own.dtype)
        elif self._takes_part(name):
            own = self._mixed(name, own)
        if self.plan.request.save_as_half and own.dtype in (torch.float32, torch.float64):
            own = own.half()
        return own.contiguous()

    def _takes_part(self, name: str) -> bool:
        """A1111: only names with "model" in them, and only those that B has too."""
        return len(self.files) > 1 and "model" in name and name not in LEFT_AS_IT_IS and name in self.files[1].shapes

    def _mixed(self, name: str, own: Tensor) -> Tensor:
        if not own.is_floating_point():
            return own
        other = self.files[1].tensor(name).float()
        share = self.plan.request.multiplier
        if self.plan.request.interp_method == ADD_DIFFERENCE:
            third = self.files[2]
            # A1111: what C lacks counts as zero.
            other = other - (third.tensor(name).float() if name in third.shapes else torch.zeros_like(other))
        result = own.float()
        if self._channels(name):
            result = result.clone()
            part = result[:, :4]
            result[:, :4] = self._sum(part, other, share)
        else:
            result = self._sum(result, other, share)
        return result.to(own.dtype)

    def _sum(self, own: Tensor, other: Tensor, share: float) -> Tensor:
        if self.plan.request.interp_method == ADD_DIFFERENCE:
            return own + other * share
        return own * (1 - share) + other * share

    def _channels(self, name: str) -> int:
        """Input channels of A's where B has only the first four of them; 0 where the shapes agree.

        Raises:
            UserError: the shapes do not fit.
        """
        if not self._takes_part(name):
            return 0
        own, other = self.files[0].shapes[name], self.files[1].shapes[name]
        if len(self.files) > 2 and name in self.files[2].shapes and self.files[2].shapes[name] != other:
            raise self._misfit(name, "B", other, "C", self.files[2].shapes[name])
        if own == other:
            return 0
        if len(own) == len(other) == 4 and own[0] == other[0] and own[2:] == other[2:]:
            if own[1] in KINDS and other[1] == 4:
                return own[1]
            if own[1] == 4 and other[1] in KINDS:
                raise UserError(
                    f"{self.plan.models[1].title} is an inpainting or InstructPix2Pix model, and "
                    f"{self.plan.models[0].title} is not.",
                    hint="Use the inpainting or InstructPix2Pix model as A and the other one as B.",
                    field="primary_model_name",
                )
        raise self._misfit(name, "A", own, "B", other)

    def _misfit(self, name: str, one: str, shape: tuple[int, ...], two: str, other: tuple[int, ...]) -> UserError:
        return UserError(
            f"The models {one} and {two} are of different kinds: {name} is {list(shape)} in {one} and {list(other)}"
            f" in {two}.",
            hint="Only checkpoints of the same family can be merged.",
            field="secondary_model_name",
        )


def _write(path: Path, name: str, recipe: _Recipe, watch: Watch) -> None:
    """In the format of safetensors: the length of the header, the header, then tensor after tensor.

    name: what the file will be called.
    """
    header: dict[str, object] = {}
    if metadata := _metadata(recipe, watch):
        header["__metadata__"] = metadata
    offset = 0
    for key, dtype, shape in _outline(recipe, watch):
        length = math.prod(shape) * dtype.itemsize
        header[key] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [offset, offset + length]}
        offset += length
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if shutil.disk_usage(path.parent).free < offset + SPARE_BYTES:
        raise StorageError(
            f"There is not enough disk space for {name}: it needs {offset / 1e9:.1f} GB.",
            hint="Free some disk space, or save as float16.",
        )
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for number, key in enumerate(recipe.names, 1):
            watch.check()
            tensor = recipe.tensor(key)
            stream.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
            watch.step(number, len(recipe.names))
    settled(path)


def _outline(recipe: _Recipe, watch: Watch) -> Iterator[tuple[str, torch.dtype, tuple[int, ...]]]:
    """(name, dtype, shape) of every tensor; of a mapped file this reads next to nothing."""
    first = recipe.files[0]
    for name in recipe.names:
        watch.check()
        tensor = first.tensor(name)
        dtype = tensor.dtype
        if recipe.plan.request.save_as_half and dtype in (torch.float32, torch.float64):
            dtype = torch.float16
        if dtype not in DTYPES:
            raise first.error(f"{name} is of the kind {dtype}, which safetensors files cannot hold")
        shape = tuple(tensor.shape)
        if recipe.vae is not None and name.startswith(VAE_PREFIX):
            own = recipe.vae.shapes.get(name.removeprefix(VAE_PREFIX), shape)
            if tuple(own) != shape:
                raise UserError(
                    f"The VAE does not fit this checkpoint: {name} is {list(own)} instead of {list(shape)}.",
                    field="bake_in_vae",
                )
        yield name, dtype, shape


def _metadata(recipe: _Recipe, watch: Watch) -> dict[str, str]:
    """What the file says of itself: all values are texts."""
    request = recipe.plan.request
    if not request.save_metadata:
        return {}
    found: dict[str, object] = {"format": "pt"}
    if request.copy_metadata_fields:
        for file in recipe.files:
            found |= file.metadata
    found |= metadata_of(request)
    if request.add_merge_recipe:
        plan = replace(recipe.plan, models=tuple(_with_hash(model, watch) for model in recipe.plan.models))
        own = {**plan.recipe, "is_inpainting": 9 in recipe.widened, "is_instruct_pix2pix": 8 in recipe.widened}
        models: dict[str, object] = {}
        for ref, file in zip(plan.models, recipe.files, strict=True):
            models[ref.sha256] = {
                "name": ref.title.partition(" [")[0],
                "legacy_hash": _old_hash(Path(ref.path)),
                "sd_merge_recipe": _parsed(file.metadata.get("sd_merge_recipe", "")),
            }
            models |= as_object(_parsed(file.metadata.get("sd_merge_models", "")))
        found |= {"sd_merge_recipe": own, "sd_merge_models": models}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}


def _with_hash(model: CheckpointRef, watch: Watch) -> CheckpointRef:
    """The hash of a file that is new here is not known yet."""
    path, digest = Path(model.path), hashlib.sha256()
    if model.sha256 or not path.is_file():
        return model
    with path.open("rb") as stream:
        while block := stream.read(HASHED_AT_ONCE):
            watch.check()
            digest.update(block)
    return replace(model, sha256=digest.hexdigest())


def _parsed(text: str) -> Json:
    try:
        found: Json = json.loads(text) if text else None
    except ValueError:
        return None
    return found


def _old_hash(path: Path) -> str:
    """A1111's hash before it took sha256: of 64 KiB from the first MiB on, eight digits; "" of a folder."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        stream.seek(0x100000)
        return hashlib.sha256(stream.read(0x10000)).hexdigest()[:8]


def _copy_config(plan: MergePlan, target: Path) -> None:
    """The yaml file that says what kind of model it is goes along."""
    sources: dict[str, Callable[[], list[CheckpointRef]]] = {
        "A, B or C": lambda: list(plan.models),
        "B": lambda: list(plan.models[1:2]),
        "C": lambda: list(plan.models[2:3]),
        "Don't": list,
    }
    wanted = sources[CONFIGS[plan.request.config_source]]()
    config = next((model.config for model in wanted if model.config), "")
    if config:
        shutil.copyfile(config, target.with_suffix(".yaml"))


def _refuse_overwriting(target: Path) -> None:
    if target.exists():
        raise UserError(
            f"A checkpoint called {target.name} already exists.", hint="Enter another custom name.", field="custom_name"
        )
