"""The mask of a picture's subject, beside the device: for whoever is about to paint one."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from webui.catalog.image_files import pixels_of
from webui.engine.detectors.subject import subject_mask
from webui.engine.residents import Residents
from webui.request.cutting import SubjectMask
from webui.request.messages import AsidePicture, AsideResult


def aside(plan: SubjectMask, residents: Residents) -> AsideResult:
    """White where the subject is, as large as the picture.

    Raises:
        UserError: the file is no picture; ModelError: the network was not fetched, or cannot be opened.
    """
    picture = np.array(pixels_of(plan.picture).convert("RGB"))
    mask = Image.fromarray(subject_mask(plan.cutting.network, residents, picture))
    buffer = io.BytesIO()
    mask.save(buffer, "WEBP", lossless=True, method=2)
    remarks = (plan.cutting.remark,) if plan.cutting.remark else ()
    return AsideResult((AsidePicture(mask.width, mask.height, buffer.getvalue()),), remarks)
