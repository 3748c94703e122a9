"""Paint put together with the picture below it."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from webui.base.errors import UserError
from webui.catalog.image_files import size_of
from webui.server.ui.sketch import painted, sketched, sketched_to_inpaint


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


RED = png(Image.new("RGB", (8, 6), "red"))


def left_half(colour: str, size: tuple[int, int] = (8, 6)) -> bytes:
    layer = Image.new("RGBA", size)
    layer.paste(colour, (0, 0, size[0] // 2, size[1]))
    return png(layer)


@pytest.mark.parametrize("size", [(8, 6), (16, 12)])
def test_paint_covers_the_picture_where_it_is_whatever_size_it_comes_in(size: tuple[int, int]) -> None:
    made = opened(sketched(RED, left_half("blue", size)))
    assert made.size == size_of(RED)
    assert made.getpixel((0, 0)) == (0, 0, 255)
    assert made.getpixel((7, 5)) == (255, 0, 0)


def test_the_mask_is_where_paint_is_and_as_strong_as_the_paint_is_opaque() -> None:
    picture, mask = sketched_to_inpaint(RED, left_half("blue"), (0, 0), 50)
    assert opened(mask).getpixel((0, 0)) == 128
    assert opened(mask).getpixel((7, 0)) == 0
    red, _, blue = opened(picture).convert("RGB").getpixel((0, 0))  # type: ignore[misc]
    assert abs(red - 127) <= 1
    assert abs(blue - 128) <= 1
    assert opened(picture).getpixel((7, 0)) == (255, 0, 0)


@pytest.mark.parametrize("text", ["", "data:text/html;base64,AAAA", "data:image/png;base64,%%%"])
def test_what_is_no_png_is_refused_in_words(text: str) -> None:
    with pytest.raises(UserError, match="could not be read"):
        painted(text)
