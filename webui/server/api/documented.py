"""What answers and bodies have in common: each field's docstring is its meaning in the documentation."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict


class Documented(BaseModel):
    """Its fields' docstrings are shown at `/docs`."""

    model_config = ConfigDict(use_attribute_docstrings=True)


JobId = Annotated[str, Path(description="The job's id, as the answer to its submission told it.")]
PictureId = Annotated[str, Path(description="The picture's id, as its job or the history tells it.")]
