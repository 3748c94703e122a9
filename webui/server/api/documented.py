"""What answers and bodies have in common: each field's docstring is its meaning in the documentation."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict


class Documented(BaseModel):
    """Its fields' docstrings are shown at `/docs`."""

    model_config = ConfigDict(use_attribute_docstrings=True)


JobId = Annotated[str, Path(description="The job's id, from the response to its submission.")]
PictureId = Annotated[str, Path(description="The picture's id, from its job or from the history.")]
