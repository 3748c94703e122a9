"""What is asked for: the parameters of the txt2img tab."""

from __future__ import annotations

from webui.request.fields import Txt2Img

Request = Txt2Img
