"""The vocabulary in which every parameter and setting is declared, once.

A parameter is a field of a frozen pydantic model whose annotation carries a `Param`:

    steps: Annotated[int, Slider(label="Steps", ui="Sampling steps", min=1, max=150, ge=1)] = 20
    \"\"\"How many times the picture is denoised.\"\"\"

Everything else is derived from that line: the control, the API field, the infotext label, the saved default, the
X/Y/Z axis, the file-name pattern, the command-line flag, the documentation. The docstring under it is its help text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple, Self, TypeVar

from annotated_types import Ge, GroupedMetadata, Le, MaxLen
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, model_validator
from pydantic import ValidationError as PydanticError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from webui.base.errors import UserError
from webui.base.text import cleaned
from webui.request.documented import Documented


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True)
class Codec:
    """For the few values whose spelling in the infotext is not their own: how to write and read them."""

    write: Callable[[Any], str]
    read: Callable[[str], object]


def none() -> str:
    """For `Param.without_effect`: it does what it says."""
    return ""


def always(_request: object) -> bool:
    """For `Param.when`: the infotext carries it whatever it is."""
    return True


@dataclass(frozen=True)
class DependsOn:
    """A parameter counts with some values of another one of its record, and has no effect with all others."""

    name: str
    """Of the other parameter."""
    among: tuple[object, ...] = ()
    """The values with which it counts; (): all but those `besides`."""
    besides: tuple[object, ...] = ()
    """The values with which it does not."""

    def holds(self, value: object) -> bool:
        """Whether it counts with this value of the other parameter."""
        return (not self.among or value in self.among) and value not in self.besides


@dataclass(frozen=True, kw_only=True)
class Param(GroupedMetadata):
    """What is to know of a parameter besides its name, type, default and help text.

    `min`, `max` and `step` of the subclasses are the control's suggestion; `ge` and `le` are the law.
    """

    label: str = ""
    """The infotext label ("" = never written), and the control's unless `ui` is given."""
    ui: str = ""
    """The control's label."""
    when: Callable[[Any], bool] | None = None
    """Whether the infotext of this request carries it. None: unless the value is `absent`."""
    by_fact: bool = False
    """Written not by itself but as a fact, by the code that knows whether it had an effect."""
    absent: object = MISSING
    """What a missing label means on reading."""
    switch: str = ""
    """The Toggle that this field's presence in an infotext turns on."""
    place: int | None = None
    """Rank among all labels of an infotext (its order is a published format); None: beside the field before."""
    codec: Codec | None = None
    api_default: object = MISSING
    """The default of the HTTP API where A1111's differs from the form's."""
    alias: str = ""
    """A1111's name of a setting where ours reads better."""
    kinds: tuple[str, ...] = ()
    """The kinds of jobs in whose form a feature's parameter stands; (): in all."""
    depends: tuple[DependsOn, ...] = ()
    """When it counts: all of these must hold. Forms hide its control otherwise, and carry its value all the same."""
    axis: bool = True
    """Whether a grid script offers it as an axis."""
    cost: float = 0.0
    """How slow a change of the value is (a model switch: 1), so that grids change it least often."""
    ge: float | None = None
    le: float | None = None
    firm: bool = False
    """What lies outside its limits has no meaning: A1111's API refuses it, too, and does not move it to the limit."""
    restart: bool = False
    """A setting that takes effect at the next start."""
    without_effect: Callable[[], str] = none
    """Why it is taken, and does nothing now, in a sentence for people; "": it does what it says."""

    def __iter__(self) -> Iterator[object]:
        if self.ge is not None:
            yield Ge(self.ge)
        if self.le is not None:
            yield Le(self.le)

    @property
    def title(self) -> str:
        """What a person sees beside the control."""
        return self.ui or self.label


@dataclass(frozen=True, kw_only=True)
class Slider(Param):
    min: float = 0
    max: float = 1
    step: float = 1


@dataclass(frozen=True, kw_only=True)
class Number(Param):
    pass


@dataclass(frozen=True, kw_only=True)
class Choice(Param):
    """One of some strings: a fixed tuple, or the name of a list that changes at run time ("checkpoints", "vaes")."""

    choices: tuple[str, ...] = ()
    source: str = ""
    radio: bool = False
    by_index: bool = False
    """The API sends the position in `choices`, not the text."""

    def __iter__(self) -> Iterator[object]:
        yield from super().__iter__()
        if self.choices and not self.by_index:
            yield AfterValidator(self._checked)

    def _checked(self, value: str) -> str:
        if value not in self.choices:
            raise PydanticCustomError(
                "choice", "the choices are {choices}", {"choices": ", ".join(map(repr, self.choices))}
            )
        return value


@dataclass(frozen=True, kw_only=True)
class Several(Param):
    """Any number of strings out of a list."""

    choices: tuple[str, ...] = ()
    source: str = ""
    checks: bool = False
    """All of them are seen at once, each with a box to check."""


@dataclass(frozen=True, kw_only=True)
class Toggle(Param):
    pass


@dataclass(frozen=True, kw_only=True)
class Text(Param):
    lines: int = 1
    placeholder: str = ""
    longest: int = 100_000
    """Letters: no more are looked at by what reads the text."""
    folder: bool = False
    """It is a folder of the machine: who is no admin has no say in it, not even for one's own job."""

    def __iter__(self) -> Iterator[object]:
        yield from super().__iter__()
        yield MaxLen(self.longest)


@dataclass(frozen=True, kw_only=True)
class Colour(Param):
    pass


@dataclass(frozen=True, kw_only=True)
class Image(Param):
    """A picture: the value is the name under which the catalog keeps its bytes (`PictureStore`)."""

    many: bool = False
    """It is several pictures: the value is a tuple of such names."""


class Home(NamedTuple):
    """Where a parameter of a form is declared."""

    owner: type[Declared]
    name: str
    """There."""
    default: object = MISSING
    """Of the form, where it is not the owner's."""


class Declared(Documented):
    """A frozen record whose fields are declared with `Param`. Validation errors become `UserError`s by `made`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=False)

    @model_validator(mode="before")
    @classmethod
    def _clean(cls, given: object) -> object:
        """Halves of letters come from browsers, programs and command lines, and can be written nowhere."""
        return cleaned(given)

    @classmethod
    def params(cls) -> Mapping[str, Param]:
        """Field name -> its Param, in declaration order; fields without one are left out."""
        return _params(cls)

    @classmethod
    def offered(cls) -> Mapping[str, Param]:
        """What a form has: the parameters, and those of other records that have names of their own here."""
        return cls.params()

    @classmethod
    def home(cls, name: str) -> Home:
        """Where one of `offered` is declared."""
        return Home(cls, name)

    @classmethod
    def unfolded(cls, values: Mapping[str, object]) -> Mapping[str, object]:
        """All values of a record by the names of `offered`."""
        return values

    @classmethod
    def made(cls, **values: object) -> Self:
        """Like the constructor, but bad values raise a UserError that names the field as people know it.

        Raises:
            UserError: with `field` set to the name of the first offending field.
        """
        try:
            return cls(**values)
        except PydanticError as error:
            raise user_error(cls, error) from error

    def changed(self, **values: object) -> Self:
        """A copy with these values instead, validated.

        Raises:
            UserError: as `made`.
        """
        current = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).made(**{**current, **values})

    def unreadable(self, error: UserError) -> str:
        """What stands in the place of a picture that is none; "": nothing.

        Raises:
            UserError: `error`, where it matters.
        """
        raise error


D = TypeVar("D", bound=Declared)


@cache
def _params(cls: type[Declared]) -> Mapping[str, Param]:
    """Looked up once: the page asks each class some hundred times while it is built."""
    return {name: param for name, info in cls.model_fields.items() if (param := param_of(info)) is not None}


def param_of(info: FieldInfo) -> Param | None:
    """The Param in a field's annotation."""
    return next((item for item in info.metadata if isinstance(item, Param)), None)


def default_of(cls: type[Declared], name: str) -> object:
    """The value that a field has when nothing is said."""
    home = cls.home(name)
    if home.default is not MISSING:
        return home.default
    return home.owner.model_fields[home.name].get_default(call_default_factory=True)


def help_of(cls: type[Declared], name: str) -> str:
    """What a parameter does, as people read it: its docstring in one line; "" without one."""
    return " ".join((field_of(cls, name).description or "").split())


def field_of(cls: type[Declared], name: str) -> FieldInfo:
    """The declaration of one of `offered`."""
    home = cls.home(name)
    return home.owner.model_fields[home.name]


def schema_of(cls: type[Declared], name: str) -> dict[str, object]:
    """One of `offered` as JSON schema has it."""
    adapter: TypeAdapter[object] = TypeAdapter(_annotated(field_of(cls, name)))
    return {
        **adapter.json_schema(),
        "title": cls.offered()[name].title,
        "description": help_of(cls, name) or None,
        "default": default_of(cls, name),
    }


def by_name(value: object) -> Mapping[str, object]:
    """Values by their names; none, where it is something else."""
    return value if isinstance(value, Mapping) else {}


def units_in(value: object) -> Sequence[Mapping[str, object] | None]:
    """The values of each unit of a feature by their names; None: it is off."""
    listed = value if isinstance(value, list | tuple) else ()
    return [unit if isinstance(unit, Mapping) else None for unit in listed]


def pictures_in(value: object) -> Iterator[str]:
    """The names of all pictures in a declared record, at any depth."""
    if isinstance(value, Declared):
        params = value.params()
        for name in type(value).model_fields:
            inner = getattr(value, name)
            if isinstance(params.get(name), Image):
                yield from (each for each in (inner if isinstance(inner, tuple) else (inner,)) if each)
            else:
                yield from pictures_in(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from pictures_in(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from pictures_in(inner)


def with_pictures(value: D, keep: Callable[[str, str], str]) -> D:
    """The record with every picture in it, at any depth, put through `keep(picture, field)`, which says its name."""
    changes: dict[str, object] = {}
    for name, param in value.params().items():
        inner = getattr(value, name)
        if not isinstance(param, Image):
            continue
        if isinstance(inner, tuple):
            changes[name] = tuple(keep(each, name) for each in inner)
        elif inner:
            changes[name] = keep(inner, name)
    for name in type(value).model_fields:
        inner = getattr(value, name)
        if isinstance(inner, Declared):
            changes[name] = with_pictures(inner, keep)
        elif isinstance(inner, tuple) and any(isinstance(each, Declared) for each in inner):
            changes[name] = tuple(with_pictures(each, keep) if isinstance(each, Declared) else each for each in inner)
    return value.changed(**changes) if changes else value


def parsed(cls: type[Declared], name: str, text: object) -> object:
    """`text` as a value of the field `name`, by the field's own type and limits.

    Raises:
        UserError: it is no such value.
    """
    info = field_of(cls, name)
    param = param_of(info)
    try:
        if param is not None and param.codec is not None and isinstance(text, str):
            text = param.codec.read(text)
        text = cleaned(text)
        adapter: TypeAdapter[object] = TypeAdapter(_annotated(info), config=ConfigDict(allow_inf_nan=False))
        return adapter.validate_python(text)
    except (PydanticError, ValueError) as error:
        title = param.title if param else name
        reason = error.errors()[0]["msg"] if isinstance(error, PydanticError) else str(error)
        raise UserError(f"{title or name} cannot be {shortened(text)}: {reason}.", field=name) from error


def _annotated(info: FieldInfo) -> Any:
    from typing import Annotated

    annotation: Any = info.annotation
    for item in info.metadata:
        annotation = Annotated[annotation, item]
    return annotation


def same_choice(value: str, options: Iterable[str]) -> str:
    """The option that a value means: itself, the same in other letters, a checkpoint with or without its hash; "" is
    none."""
    options = list(options)
    if value in options:
        return value
    folded = value.casefold()
    plain = [(option, option.casefold()) for option in options]
    same = next((option for option, other in plain if other == folded), "")
    bare = _without_hash(folded)
    return same or next((option for option, other in plain if _without_hash(other).rsplit("/", 1)[-1] == bare), "")


def _without_hash(title: str) -> str:
    name = title[: title.rfind("[")].rstrip() if title.endswith("]") and "[" in title else title
    return name.removesuffix(".safetensors").removesuffix(".ckpt")


def user_error(cls: type[BaseModel], error: PydanticError) -> UserError:
    """The first complaint of pydantic in words of the form: label, value, what is allowed."""
    first = error.errors(include_url=False, include_context=False)[0]
    location = [str(part) for part in first["loc"]]
    name = location[0] if location else ""
    info = cls.model_fields.get(name)
    param = param_of(info) if info else None
    title = (param.title if param else "") or name or "The request"
    if first["type"] == "extra_forbidden":
        return UserError(f"There is no parameter named {name!r}.", field=name)
    where = f" (at {'.'.join(location[1:])})" if len(location) > 1 else ""
    return UserError(f"{title} cannot be {shortened(first.get('input'))}{where}: {_sentence(first['msg'])}", field=name)


def _sentence(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".") + "."


def shortened(value: object) -> str:
    """The value as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
