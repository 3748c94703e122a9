"""Records whose fields' docstrings are their meaning: at `/docs`, and on the page."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from webui.base.docstrings import attribute_docstrings


class Documented(BaseModel):
    """Each field's description is the string below it, as with pydantic's `use_attribute_docstrings`, in less time."""

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        told = attribute_docstrings(cls)
        for name, info in cls.model_fields.items():
            if info.description is None and name in told:
                info.description = told[name]

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        """With the descriptions, which came after the schema."""
        made = handler(schema)
        shown = handler.resolve_ref_schema(made).get("properties", {})
        for name, info in cls.model_fields.items():
            place = shown.get(info.alias or name)
            if place is not None and info.description:
                place.setdefault("description", info.description)
        return made
