"""What is asked for: the parameters of the img2img tab."""

from __future__ import annotations

from webui.request.fields import Img2Img

Request = Img2Img
