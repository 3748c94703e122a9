"""Whatever a person can set has an effect, or says in words that it has none.

Every setting, flag and field of a request is read somewhere by the code that acts on it; what nobody reads must be
declared as being without effect, with a sentence that people get to see.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from webui import flags
from webui.request.fields import REQUESTS
from webui.request.jobs import request_classes
from webui.request.settings import Settings
from webui.server.api.alwayson import ALWAYS_ON
from webui.server.api.bodies import Envelope, Img2ImgBody, Txt2ImgBody
from webui.server.api.extras import ExtrasBody
from webui.server.api.unheard import EXTRAS_FIELDS, FIELDS, SCRIPTS, unheard, unheard_extras

PROGRAM = Path(flags.__file__).parent
FIELDS_FILE = ("request/fields.py",)
"""Here a field is read to say when another one stands in an infotext, which is no effect."""
REQUEST = ("request", "body", "asked", "wanted", "values", "known", "given")
"""What variables that hold a request are called."""


@cache
def accesses() -> dict[str, set[tuple[str, str]]]:
    """Attribute -> (what stands before its dot, the file) of all places where it is read.

    `chosen = settings.save; chosen.grid_save` reads it from `save`.
    """
    found: dict[str, set[tuple[str, str]]] = {}
    for path in PROGRAM.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        meant: dict[str, set[str]] = {}
        for node in nodes:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
                for target in node.targets:
                    meant.setdefault(getattr(target, "id", ""), set()).add(node.value.attr)
        for node in nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                owner = node.value
                name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                for each in {name, *meant.get(name, ())}:
                    found.setdefault(node.attr, set()).add((each, path.relative_to(PROGRAM).as_posix()))
    return found


@cache
def properties(declaration: str) -> dict[str, set[str]]:
    """Of the properties of the classes in a file: field -> those whose bodies read it."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse((PROGRAM / declaration).read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and getattr(inner.value, "id", "") in ("self", "cls"):
                    found.setdefault(inner.attr, set()).add(node.name)
    return found


def is_read(name: str, owners: Iterable[str], declarations: tuple[str, ...]) -> bool:
    """Whether code beside the declaration reads it, from something called like one of `owners`; or reads a property
    that is made of it."""
    own = set(owners)
    if any(owner in own and place not in declarations for owner, place in accesses().get(name, ())):
        return True
    through = {made for declaration in declarations for made in properties(declaration).get(name, ())} - {name}
    return any(is_read(made, own | {"self"}, declarations) for made in through)


def test_every_setting_is_read_or_says_that_it_has_no_effect() -> None:
    idle = Settings.without_effect()
    deaf = [
        name
        for section, name, param in Settings.walk()
        if name not in idle and not is_read(name, (section,), ("request/settings.py",))
    ]
    assert not deaf, f"nobody reads these settings; make them real, or declare `without_effect`: {deaf}"
    assert all(why.endswith(".") for why in idle.values())


def test_every_flag_is_read_or_says_that_it_has_no_effect() -> None:
    always_so = {name for name, (flag, _, _) in flags.declared().items() if flag.help.endswith("(always on)")}
    owners = ("flags", "chosen", "made")
    deaf = [name for name in flags.declared() if name not in always_so and not is_read(name, owners, ("flags.py",))]
    assert not deaf, f"nobody reads these flags; make them real, or move them to WITHOUT_EFFECT: {deaf}"


def test_a_flag_without_effect_is_named_at_the_start_with_the_reason() -> None:
    for ignored in flags.WITHOUT_EFFECT:
        for name in ignored.names:
            given = flags.read([name, *(["x"] if ignored.takes else [])])
            assert flags.unheard(given) == [f"Without effect: {name} ({ignored.why})."]
    assert flags.unheard(flags.read(["--port", "1"])) == []


def test_what_nobody_reads_is_found() -> None:
    assert not is_read("no_such_setting", ("render",), ("request/settings.py",))
    assert not is_read("tiling", ("save",), ("request/settings.py",)), "that of another section is no reader"


@pytest.mark.parametrize("kind", request_classes())
def test_every_field_of_a_request_is_read(kind: str) -> None:
    deaf = [name for name in request_classes()[kind].model_fields if not is_read(name, REQUEST, FIELDS_FILE)]
    assert not deaf, f"nobody reads these fields of {kind}: {deaf}"


@pytest.mark.parametrize("cls", [Envelope, Txt2ImgBody, Img2ImgBody, ExtrasBody])
def test_every_field_of_the_api_is_read_or_says_that_it_has_no_effect(cls: type[Any]) -> None:
    deaf = [
        name for name in cls.model_fields if name not in {**FIELDS, **EXTRAS_FIELDS} and not is_read(name, REQUEST, ())
    ]
    ours = {name for request in REQUESTS.values() for name in request.model_fields}
    assert not set(deaf) - ours, f"nobody reads these fields of {cls.__name__}; or declare them in `unheard`: {deaf}"
    for name in {*FIELDS, *EXTRAS_FIELDS} & set(cls.model_fields):
        assert "without effect" in str(cls.model_fields[name].description), name


def test_the_api_s_answer_names_what_had_no_effect() -> None:
    plain = Txt2ImgBody(do_not_save_samples=True, alwayson_scripts={"hypertile": {"args": []}, "Comments": {}})
    assert unheard(plain) == ()
    asking = Txt2ImgBody(
        do_not_save_grid=True,
        save_images=True,
        firstpass_image="x",
        override_settings={"face_restoration_model": "CodeFormer"},
        alwayson_scripts={"Hypertile": {"args": [True]}, "extra options": {"args": [1]}, "Refiner": {"args": [True]}},
    )
    said = " ".join(unheard(asking))
    for word in ("do_not_save_grid", "firstpass_image", "CodeFormer", "Hypertile", "extra", "Refiner"):
        assert (word in said) == (word != "CodeFormer")
    assert "firstpass_image" not in " ".join(unheard(asking.model_copy(update={"enable_hr": True})))
    assert "latent_mask" in " ".join(unheard(Img2ImgBody(latent_mask="x")))


def test_the_answer_about_extras_does_so_too() -> None:
    assert unheard_extras(ExtrasBody(upscaler_1="Nearest")) == ()
    assert "upscale_first" in " ".join(unheard_extras(ExtrasBody(upscale_first=True)))


def test_scripts_without_effect_are_named_and_no_others() -> None:
    assert set(SCRIPTS) <= set(ALWAYS_ON)
    assert {name for name, fields in ALWAYS_ON.items() if not fields} - set(SCRIPTS) == {"comments"}
