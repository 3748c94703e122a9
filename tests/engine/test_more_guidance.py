"""Guidance beyond A1111 on a real network, from the request to the picture."""

from __future__ import annotations

import pytest

from tests.engine.conftest import Engine, most_apart
from tests.engine.test_generate import CLOSE, request
from webui.request.fields import Txt2Img
from webui.request.infotext import fields_of, labels_of, read, write
from webui.request.settings import RenderSettings

WISHES: list[dict[str, object]] = [
    {"cfg_rescale": 0.7},
    {"pag_scale": 3.0},
    {"apg": True, "apg_threshold": 2.0},
    {"mimic_scale": 2.0},
]


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: next(iter(wish)))
def test_it_changes_the_picture_and_the_infotext_tells_it(engine: Engine, wish: dict[str, object]) -> None:
    size = {"width": 128, "height": 128}  # at 64 the middle block has one token, which sees itself alone anyway
    plain = engine.run(request(steps=2, **size))[0]
    asked = request(steps=2, **size, **wish)
    assert most_apart(plain, engine.run(asked)[0]) > CLOSE
    text = write(asked.prompt, "", labels_of(asked, RenderSettings(), {}))
    again = fields_of(read(text), Txt2Img)
    assert {name: again[name] for name in wish} == wish


def test_perturbed_attention_asks_once_more_a_step_and_leaves_the_network_as_it_was(engine: Engine) -> None:
    calls: list[int] = []
    with engine.models.lend(engine.ref, None) as loaded:
        unet = loaded.model.parts["unet"]
    hooks = [len(module._forward_hooks) for module in unet.modules()]
    handle = unet.register_forward_hook(lambda *_: calls.append(1))
    try:
        without = engine.run(request(steps=3, pag_scale=0.0))[0]
        assert len(calls) == 3
        engine.run(request(steps=3, pag_scale=3.0))
        assert len(calls) == 3 + 6
    finally:
        handle.remove()
    assert [len(module._forward_hooks) for module in unet.modules()] == hooks
    assert without.rgb == engine.run(request(steps=3))[0].rgb
