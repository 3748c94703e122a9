"""What a folder of diffusers with `model_index.json` may ask for: classes of diffusers and transformers themselves.

Code that lies in it is never run.
"""

from __future__ import annotations

import diffusers
import transformers

from webui.engine.families.weights import WeightsFile, parts_of


def pipeline_class(file: WeightsFile) -> type[diffusers.DiffusionPipeline]:
    """The pipeline that the folder names, after a look at all that it names.

    Raises:
        ModelError: it wants code that is not diffusers' or transformers' own, or a part is missing.
    """
    named = file.config.get("_class_name")
    cls = getattr(diffusers, named, None) if isinstance(named, str) else None
    if not (isinstance(cls, type) and issubclass(cls, diffusers.DiffusionPipeline)):
        raise file.error(
            f"it needs the pipeline {named!r}, which diffusers {diffusers.__version__} does not have",
            "Code that comes with a model is never run. A newer version may support it.",
        )
    for part, (library, name) in parts_of(file.config).items():
        if not _is_known(library, name):
            raise file.error(
                f"its {part} is a {name} of {library!r}, which is not a class of diffusers or transformers",
                "Code that comes with a model is never run.",
            )
        if not (file.path / part).is_dir():
            raise file.error(f"its {part} is missing", f"Copy the folder {part} of the download into {file.path.name}.")
    return cls


def _is_known(library: str, name: str) -> bool:
    if library in ("diffusers", "transformers"):
        return isinstance(getattr(diffusers if library == "diffusers" else transformers, name, None), type)
    return library.isidentifier() and hasattr(getattr(diffusers.pipelines, library, None), name)
