"""A picture's file dropped or pasted on a prompt fills the form, whatever its format."""

from __future__ import annotations

import base64

import pytest
from PIL import Image

from tests.browser.visitor import Visitor
from webui.catalog.image_files import Format, encode

TEXT = (
    "a red boat\nNegative prompt: rain\nSteps: 3, Sampler: Heun, CFG scale: 5.5, Seed: 123, Size: 64x72,"
    " Denoising strength: 0.5, Hires prompt: a larger boat, Hires upscale: 2, Hires upscaler: Latent"
)
DROP = """([content, type, kind]) => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    data.items.add(new File([bytes], "picture", { type }));
    const init = { bubbles: true, cancelable: true };
    const event = kind === "drop" ? new DragEvent(kind, { ...init, dataTransfer: data })
        : new ClipboardEvent(kind, { ...init, clipboardData: data });
    document.querySelector("#txt2img_prompt textarea").dispatchEvent(event);
}"""


@pytest.mark.parametrize(("kind", "way"), [pytest.param("jpg", "drop", marks=pytest.mark.long), ("webp", "paste")])
def test_it_fills_the_form(visitor: Visitor, kind: Format, way: str) -> None:
    content = base64.b64encode(encode(Image.new("RGB", (64, 72)), kind, TEXT).content).decode()
    assert not visitor.page.is_visible("#txt2img_hires_prompts")
    visitor.page.evaluate(DROP, [content, f"image/{kind}", way])
    visitor.until("() => modules.dom.field('txt2img_prompt').value === 'a red boat'")
    visitor.until("() => modules.dom.field('txt2img_seed').value === '123'")
    assert visitor.value("txt2img_negative_prompt") == "rain"
    visitor.until("() => !document.querySelector('#txt2img_hires_prompts').classList.contains('tucked')")
