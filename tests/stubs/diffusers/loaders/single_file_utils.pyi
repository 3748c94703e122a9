from collections.abc import Mapping
from typing import Any, TypeVar

V = TypeVar("V")

DIFFUSERS_DEFAULT_PIPELINE_PATHS: Mapping[str, Mapping[str, str]]

def infer_diffusers_model_type(checkpoint: Mapping[str, Any]) -> str: ...
def convert_ldm_unet_checkpoint(
    checkpoint: Mapping[str, V], config: Mapping[str, Any], extract_ema: bool = False
) -> dict[str, V]: ...
def convert_controlnet_checkpoint(
    checkpoint: Mapping[str, V], config: Mapping[str, Any], **options: Any
) -> dict[str, V]: ...
