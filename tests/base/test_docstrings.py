"""The strings below attributes are found as pydantic finds them."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from pydantic import Field

from webui.base.docstrings import attribute_docstrings
from webui.request.documented import Documented
from webui.request.jobs import request_classes

SOURCE = '''
from pydantic import BaseModel, ConfigDict

class Base(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

class Soup(Base):
    """Of the class, not of an attribute."""

    salt: float = 1.0
    """How salty,
    in spoons."""
    plain: int = 0
    _other = "no annotation"
    """Of nothing that is a field."""
    after: int = 0

    """With an empty line between."""
    def stirred(self):
        """Of a method."""
    last: str = "ü"  # a remark
    # and one more
    "In a single quote; ü."

def made():
    class Soup(Base):
        salt: int = 2
        """Of the one within."""
    return Soup
'''


def loaded(path: Path, source: bytes) -> object:
    path.write_bytes(source)
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_they_are_those_that_pydantic_finds(tmp_path: Path, ends: str) -> None:
    name = f"soups_{len(ends)}"
    module = loaded(tmp_path / f"{name}.py", SOURCE.replace("\n", ends).encode())
    for cls in (module.Soup, module.made()):  # type: ignore[attr-defined]
        told = {name: info.description for name, info in cls.model_fields.items() if info.description}
        assert attribute_docstrings(cls) == told
        assert told
    del sys.modules[name]


def test_without_a_source_there_are_none(tmp_path: Path) -> None:
    module = loaded(tmp_path / "gone_soup.py", b"class Soup:\n    salt: int\n    'How salty.'\n")
    (tmp_path / "gone_soup.py").unlink()
    assert attribute_docstrings(module.Soup) == {}  # type: ignore[attr-defined]
    del sys.modules["gone_soup"]
    assert attribute_docstrings(type("Bare", (), {"__module__": "nowhere"})) == {}


class Plate(Documented):
    size: int = 1
    """Across, in centimetres."""
    told: int = Field(default=1, description="Its own words.")
    """Never seen."""
    inner: Bowl | None = None
    """What stands on it."""


class Bowl(Documented):
    depth: int = Field(default=2, alias="deep")
    """In centimetres."""


class Large(Plate):
    """What it has from `Plate` keeps its words, unless it says something else."""

    size: int = 30
    """From edge to edge."""


def test_records_and_their_schemas_carry_them() -> None:
    Plate.model_rebuild()
    schema = Large.model_json_schema()
    told = {name: shown.get("description") for name, shown in schema["properties"].items()}
    assert told == {"size": "From edge to edge.", "told": "Its own words.", "inner": "What stands on it."}
    assert schema["$defs"]["Bowl"]["properties"]["deep"]["description"] == "In centimetres."


def test_every_parameter_of_a_request_has_its_words() -> None:
    for cls in request_classes().values():
        assert all(info.description for name, info in cls.model_fields.items() if name in cls.params()), cls
