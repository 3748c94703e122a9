"""What a form takes over of a finished picture that it goes on with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from webui.request.settings import Settings
from webui.server.ui.wiring import going_on


def taken(values: dict[str, object], **settings: object) -> dict[str, object]:
    app: Any = SimpleNamespace(settings=SimpleNamespace(current=Settings().with_options(settings)))
    made: Any = SimpleNamespace(width=320, height=256)
    return going_on(app, values, made)


def test_what_features_were_asked_for_goes_along() -> None:
    asked = {"Perturbed attention": {"scale": 3.0}, "FreeU": {"b1": 1.1}}
    found = taken({"steps": 9, "features": asked, "hr_scale": 2.0})
    assert (found["features"], found["steps"]) == (asked, 9)
    assert "hr_scale" not in found, "The second pass is txt2img's own."


def test_the_size_is_the_pictures_and_the_seed_goes_along_where_the_settings_say_so() -> None:
    assert (taken({"seed": 5})["width"], taken({"seed": 5})["seed"]) == (320, 5)
    assert "seed" not in taken({"seed": 5}, send_seed=False)
    assert "width" not in taken({}, send_size=False)
