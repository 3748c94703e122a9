"""Requests whose prompts are templates: each picture has the text that its seed makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from webui import registry
from webui.prompt.filling import Look, filled
from webui.request.fields import Generation
from webui.request.params import by_name, units_in

G = TypeVar("G", bound=Generation)

TEMPLATE, NEGATIVE_TEMPLATE = "Template", "Negative Template"
LABELS: Mapping[str, str] = {"prompt": TEMPLATE, "negative_prompt": NEGATIVE_TEMPLATE}
"""What infotexts call the templates of these fields, as sd-dynamic-prompts does."""


def filled_in(request: G, look: Look, seed: int, remark: Callable[[str], None]) -> G:
    """The request with the texts of this seed, its templates beside them; the same request, where it has none.

    Raises:
        UserError: a text becomes too long.
    """

    def made(template: object, part: str) -> str:
        text, remarks = filled(str(template), look, seed, part)
        for sentence in remarks:
            remark(sentence)
        return text

    texts = {name: made(getattr(request, name), part) for name, part in request.texts.items()}
    changed: dict[str, object] = {name: text for name, text in texts.items() if text != getattr(request, name)}
    features = dict(_features(request, made))
    if features:
        changed["features"] = {**request.features, **features}
    if not changed:
        return request
    templates = {name: getattr(request, name) for name in changed if name in LABELS}
    return request.changed(**changed, templates={**templates, **request.templates})


def _features(request: Generation, made: Callable[[object, str], str]) -> Iterator[tuple[str, object]]:
    """(name, values) of the features whose own prompts change."""
    for name, values in request.features.items():
        entry = registry.feature(name)
        prompts = entry.params.prompts if entry is not None else {}
        if not prompts:
            continue

        def with_texts(given: object, prompts: Mapping[str, str] = prompts) -> object:
            if given is None:
                return None
            unit = by_name(given)
            return {**unit, **{own: made(unit[own], part) for own, part in prompts.items() if own in unit}}

        assert entry is not None
        new = [with_texts(unit) for unit in units_in(values)] if entry.params.units else with_texts(values)
        if new != values:
            yield name, new


def facts_of_templates(request: Generation) -> dict[str, str]:
    """Label -> template, of those that the texts were made of."""
    return {label: request.templates[name] for name, label in LABELS.items() if request.templates.get(name)}
