"""What img2img begins with is enlarged by an upscaler, where the result is larger."""

from __future__ import annotations

from PIL import Image

from webui.engine.batch import Services
from webui.engine.feature import FeatureEngine
from webui.engine.upscalers.resize import enlarged
from webui.features.enlarging.parameters import Params


class Engine(FeatureEngine[Params]):
    def given(self, picture: Image.Image, services: Services) -> Image.Image:
        """At least as large as the pass; what is too much is fitted afterwards, with a remark where it cannot be."""
        factor = self.params.factor(picture.size)
        if factor <= 1:
            return picture
        if self.params.lacking:
            services.watch.remark(f"The picture was enlarged by Lanczos: {self.params.lacking}")
            return picture
        return enlarged(picture, factor, self.params.upscaler, services.enlargers)
