"""Bodies that take what programs really send: values are made to fit, and the answer says which."""

from __future__ import annotations

from typing import Self

from pydantic import ModelWrapValidatorHandler, PrivateAttr, model_validator

from webui.request.documented import Documented
from webui.request.fitting import fitted


class Forgiving(Documented):
    """A body whose values are made to fit before they are checked."""

    _changed: tuple[str, ...] = PrivateAttr(())

    @property
    def changed_values(self) -> tuple[str, ...]:
        """A sentence about each value that was taken for another one."""
        return self._changed

    @classmethod
    def completed(cls, values: dict[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
        """(values as they shall be checked, a sentence about each that is not as it was sent). Null means the default.

        A1111 refuses what lies beyond the limits; bodies whose fields are ours move it to the nearest value.
        """
        return fitted(cls, {name: value for name, value in values.items() if value is not None}, move=False)

    @model_validator(mode="wrap")
    @classmethod
    def _complete(cls, values: object, validated: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, dict):
            return validated(values)
        complete, changed = cls.completed(values)
        made = validated(complete)
        made._changed = changed
        return made
