"""What the paths of several routes have in common."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

JobId = Annotated[str, Path(description="The job's id, from the response to its submission.")]
PictureId = Annotated[str, Path(description="The picture's id, from its job or from the history.")]
