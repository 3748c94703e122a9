"""Files that diffusers knows and we do not walk ourselves (Z-Image, Chroma, Lumina 2 ...): the network alone.

The rest of the pipeline lies in a folder of diffusers beside it; the file takes the place of that folder's network.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace

import diffusers
import torch
from diffusers.loaders.single_file_utils import DIFFUSERS_DEFAULT_PIPELINE_PATHS, infer_diffusers_model_type

from webui.engine.families.components import Components
from webui.engine.families.diffusers_pipeline import DIFFUSERS, PipelineModel, first_line, load_pipeline, wide
from webui.engine.families.family import Family, Placement, Prepared
from webui.engine.families.pipeline_folder import pipeline_class
from webui.engine.families.weights import WeightsFile, open_weights
from webui.request import capabilities

PART = "transformer"
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "auraflow": "AuraFlow",
        "chroma": "Chroma",
        "flux-2-dev": "FLUX.2",
        "hidream": "HiDream",
        "krea2": "Krea 2",
        "lumina2": "Lumina 2",
        "qwen-image-2.1": "Qwen-Image",
        "sana": "Sana",
        "z-image-turbo": "Z-Image",
    }
)
"""diffusers' name for a kind of file -> what people call it."""


def kind_of(file: WeightsFile) -> str:
    """One of `KINDS`, or ""."""
    if file.path.is_dir():
        return ""
    names = {name: SimpleNamespace(shape=shape, ndim=len(shape)) for name, shape in file.shapes.items()}
    try:
        kind = str(infer_diffusers_model_type(names))
    except (KeyError, AttributeError, TypeError, IndexError):
        return ""
    return kind if kind in KINDS else ""


def detect(file: WeightsFile) -> bool:
    """diffusers' marks of a kind."""
    return bool(kind_of(file))


def prepare(file: WeightsFile, components: Components) -> Prepared:
    """Raises ModelError: the folder with the rest of the pipeline is not there, or is not complete."""
    kind = kind_of(file)
    repository: str = DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"]
    name = repository.rpartition("/")[2]
    found = components.pipeline(name)
    if found is None:
        raise file.error(
            f"it contains only the network of {KINDS[kind]}",
            f"Put the folder {name} (of {repository}: model_index.json, the text encoder, tokenizer, VAE, scheduler, "
            f"and {PART}/config.json) into models/diffusers.",
        )
    folder = open_weights(found)
    cls = pipeline_class(folder)
    network = getattr(diffusers, str(folder.config.get(PART, ["", ""])[1]), None)
    if network is None or not hasattr(network, "from_single_file"):
        raise file.error(f"the folder {name} has no {PART} that can be read from a file")

    def load(_vae: WeightsFile, placement: Placement) -> PipelineModel:
        try:
            part = network.from_single_file(
                str(file.path),
                config=str(found),
                subfolder=PART,
                local_files_only=True,
                dtype=wide(placement.dtype, placement.device),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "memory" in str(error).lower():
                raise
            raise file.error(f"diffusers says: {first_line(error)}", "Check that it is the right file.") from error
        return PipelineModel(load_pipeline(folder, cls, placement, **{PART: part}), DIFFUSERS, placement)

    return load


SINGLE_FILE = Family(capabilities.SINGLE_FILE, detect, prepare)
