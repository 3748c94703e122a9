"""Checkpoints merged into a new one: the parameters of the Checkpoint Merger tab, and the plan of such a job.

Names and labels are A1111's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Protocol

from webui.base.errors import UserError
from webui.request.jobs import JobRequest, UndividedPlan
from webui.request.params import Choice, Slider, Text, Toggle
from webui.request.plan import CheckpointRef

NOTHING, WEIGHTED_SUM, ADD_DIFFERENCE = METHODS = ("No interpolation", "Weighted sum", "Add difference")
FORMULAS = {NOTHING: "A", WEIGHTED_SUM: "A (1 - M) + B M", ADD_DIFFERENCE: "A + (B - C) M"}
CONFIGS = ("A, B or C", "B", "C", "Don't")
NONE = ("", "None", "Automatic")
"""Names in the lists that mean nothing."""
ENDING = ".safetensors"
PART = ".merge-{}.part"
"""The file of a job that is not complete yet; the id of the job stands in it."""
_PLAIN_NAME = re.compile(r"[^\\/:*?\"<>|\x00-\x1f]{1,150}")


class Merge(JobRequest):
    """A new checkpoint made from one, two or three others."""

    kind: ClassVar[str] = "merge"

    primary_model_name: Annotated[str, Choice(ui="Primary model (A)", source="checkpoints")] = ""
    """The base of the merge: its tensor names and shapes are kept."""
    secondary_model_name: Annotated[str, Choice(ui="Secondary model (B)", source="checkpoints_or_none")] = ""
    """The model that is mixed in."""
    tertiary_model_name: Annotated[str, Choice(ui="Tertiary model (C)", source="checkpoints_or_none")] = ""
    """For Add difference: the model that is subtracted from B."""
    custom_name: Annotated[str, Text(ui="Custom Name (Optional)")] = ""
    """The name of the new file, without its extension. Empty: a name that describes the merge."""
    multiplier: Annotated[float, Slider(ui="Multiplier (M)", min=0, max=1, step=0.05, ge=-10, le=10)] = 0.3
    """The share of the other model: 0 gives A."""
    interp_method: Annotated[str, Choice(ui="Interpolation Method", choices=METHODS, radio=True)] = WEIGHTED_SUM
    """A alone, A (1 - M) + B M, or A + (B - C) M."""
    save_as_half: Annotated[bool, Toggle(ui="Save as float16")] = False
    """Halves the file size."""
    config_source: Annotated[int, Choice(ui="Copy config from", choices=CONFIGS, radio=True, by_index=True)] = 0
    """The model whose yaml file is copied next to the new one, if it has one."""
    bake_in_vae: Annotated[str, Choice(ui="Bake in VAE", source="vaes")] = "None"
    """A VAE file that replaces the VAE of A."""
    discard_weights: Annotated[str, Text(ui="Discard weights with matching name")] = ""
    """A regular expression: tensors whose names match it are discarded."""
    save_metadata: Annotated[bool, Toggle(ui="Save metadata")] = True
    """Writes metadata into the file."""
    add_merge_recipe: Annotated[bool, Toggle(ui="Add merge recipe metadata")] = True
    """Records in the metadata which models were merged, and how."""
    copy_metadata_fields: Annotated[bool, Toggle(ui="Copy metadata from merged models")] = True
    """Copies the metadata of the merged files."""
    metadata_json: Annotated[str, Text(ui="Metadata in JSON format", lines=2, longest=1_000_000)] = "{}"
    """Additional metadata as a JSON object: {"title": "..."}."""

    @property
    def title(self) -> str:
        names = (self.primary_model_name, self.secondary_model_name, self.tertiary_model_name)
        used = names[: 1 + METHODS.index(self.interp_method)]
        return f"Merge: {self.custom_name or ' + '.join(name for name in used if name)}"


@dataclass(frozen=True, kw_only=True)
class MergePlan(UndividedPlan):
    """Everything that the new file's bytes depend on."""

    kind: ClassVar[str] = "merge"

    request: Merge
    models: tuple[CheckpointRef, ...]
    """A; A and B; A, B and C."""
    folder: str
    """Where the new file goes."""
    vae: CheckpointRef | None = None

    @property
    def name(self) -> str:
        """The new file's name without ending."""
        # A1111: the name says what is in the file.
        if self.request.custom_name.strip():
            return self.request.custom_name.strip()
        share = round(self.request.multiplier, 2)
        names = [model.name for model in self.models]
        if len(names) == 1:
            return names[0]
        if len(names) == 2:
            return f"{round(1 - self.request.multiplier, 2)}({names[0]}) + {share}({names[1]})"
        return f"{names[0]} + {share}({names[1]} - {names[2]})"

    @property
    def recipe(self) -> dict[str, object]:
        """A1111's `sd_merge_recipe`, but for what only the weights tell."""
        hashes: list[str | None] = [*(model.sha256 for model in self.models), None, None]
        request = self.request
        return {
            "type": "webui",
            "primary_model_hash": hashes[0],
            "secondary_model_hash": hashes[1],
            "tertiary_model_hash": hashes[2],
            "interp_method": request.interp_method,
            "multiplier": request.multiplier,
            "save_as_half": request.save_as_half,
            "custom_name": request.custom_name,
            "config_source": request.config_source,
            "bake_in_vae": request.bake_in_vae,
            "discard_weights": request.discard_weights,
        }


def part_of(folder: str | Path, job_id: str) -> Path:
    """Where a job writes until the new file is complete."""
    return Path(folder) / PART.format(job_id)


class MergeNames(Protocol):
    """What such a plan asks of the catalog."""

    def checkpoint(self, name: str) -> CheckpointRef:
        """The checkpoint of this title, name, stem or hash. Raises NotFound."""
        ...

    def vae(self, name: str, checkpoint: CheckpointRef, *, overrides: bool = True) -> CheckpointRef | None:
        """The VAE file of this name. Raises NotFound."""
        ...


def resolve_merge(request: Merge, names: MergeNames, folder: Path) -> MergePlan:
    """Find the files that the request names. The new one goes into `folder`.

    Raises:
        NotFound: there is no such checkpoint or VAE.
        UserError: a model is missing, or a name, expression or metadata are none.
    """
    wanted = METHODS.index(request.interp_method) + 1
    given = (request.primary_model_name, request.secondary_model_name, request.tertiary_model_name)[:wanted]
    fields = ("primary_model_name", "secondary_model_name", "tertiary_model_name")
    for letter, field, name in zip("ABC", fields, given, strict=False):
        if name in NONE:
            raise UserError(f"{request.interp_method} needs a model {letter}.", hint="Select one.", field=field)
    try:
        re.compile(request.discard_weights)
    except re.error as error:
        raise UserError(
            f"{request.discard_weights!r} is not a valid regular expression: {error}.", field="discard_weights"
        ) from error
    metadata_of(request)
    models = tuple(names.checkpoint(name) for name in given)
    vae = names.vae(request.bake_in_vae, models[0]) if request.bake_in_vae not in NONE else None
    plan = MergePlan(request=request, models=models, folder=str(folder), vae=vae)
    if not _PLAIN_NAME.fullmatch(plan.name) or plan.name.startswith("."):
        raise UserError(
            f"{plan.name!r} is not a valid file name.",
            hint="Enter a custom name without slashes or other characters that file systems do not allow.",
            field="custom_name",
        )
    return plan


def metadata_of(request: Merge) -> dict[str, object]:
    """What the person wants the file to say.

    Raises:
        UserError: it is no JSON object.
    """
    try:
        found = json.loads(request.metadata_json or "{}")
    except ValueError as error:
        raise UserError(f"The metadata is not valid JSON: {error}.", field="metadata_json") from error
    if not isinstance(found, dict):
        raise UserError("The metadata must be a JSON object.", hint='Write {"title": "..."}.', field="metadata_json")
    return found


Request = Merge
