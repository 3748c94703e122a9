"""What a feature says of itself in both processes: its parameters, and what it needs and touches."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

from webui.request.params import Declared

if TYPE_CHECKING:
    from webui.request.fields import Img2Img, Txt2Img
    from webui.request.settings import RenderSettings

Touched = Literal["text", "network", "call", "guidance", "latents", "picture"]


class Need(NamedTuple):
    """What a feature needs of a model's family."""

    what: str
    """As the family's `supports` calls it."""
    called: str
    """The feature, as people know it."""
    field: str
    """The field of a request that asks for it."""


class FeatureParams(Declared):
    """The declared half of a feature; `parameters.py` in its folder has its class, called `Params`.

    The engine half is `Engine` in `engine.py`, a `webui.engine.feature.FeatureEngine`.
    """

    title: ClassVar[str] = ""
    """Its name in the registry, where requests carry its values under `features`; "": they have fields for them."""
    aliases: ClassVar[tuple[str, ...]] = ()
    """Titles of always-on scripts that are the same: [enabled, then the values in order of declaration]."""
    called: ClassVar[str] = ""
    """What people call it, where that is not its title."""
    field: ClassVar[str] = "features"
    """The field of a request that asks for it."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """What a model's family must be able to bear, as its `supports` calls it; refused in words where it cannot."""
    touches: ClassVar[frozenset[Touched]] = frozenset()
    """Where it acts. Calls of a network that nobody touches ("network") may be recorded and replayed."""
    after: ClassVar[tuple[str, ...]] = ()
    """Names of features that must stand before it in the registry, whose order is that of all hooks."""

    @classmethod
    def wanted(cls) -> tuple[Need, ...]:
        """What it needs, with the words to refuse it by."""
        return tuple(Need(what, cls.called or cls.title, cls.field) for what in sorted(cls.needs))

    @classmethod
    def of(cls, request: Txt2Img | Img2Img, render: RenderSettings) -> Self | None:
        """What a request and its settings ask of this feature; None: nothing, it is off."""
        values = request.features.get(cls.title)
        return None if values is None else cls.made(**values)

    def sized(self, width: int, height: int) -> tuple[int, int]:
        """The largest picture that passes work on, in pixels, where the request itself says (width, height)."""
        return width, height
