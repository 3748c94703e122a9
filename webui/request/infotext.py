"""Infotext: the lines under a picture from which it can be made again, in A1111's published format.

    <prompt, may have several lines>
    Negative prompt: <only where there is one; may have several lines>
    Steps: 20, Sampler: Euler a, Size: 512x768, ...

This module knows the format and no parameter by name; what is written is said by the declarations (`Param.label`,
`when`, `by_fact`, `absent`, `place`, `codec`) and by the facts that others hand in.

The format itself cannot carry everything: blanks at the ends of a prompt's lines and empty lines at the ends of the
prompts are lost, and a prompt line that begins with "Negative prompt:" is taken for one.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, islice

from webui import registry
from webui.base.errors import UserError
from webui.base.text import clean
from webui.features.feature import MOST_UNITS, FeatureParams
from webui.request.dialects import modern, todays_names
from webui.request.facts import LAST_PLACE, PLACES
from webui.request.fields import REQUESTS, Generation
from webui.request.params import MISSING, Declared, Param, by_name, parsed, units_in
from webui.request.settings import RenderSettings, Settings, UiSettings
from webui.request.templates import NEGATIVE_TEMPLATE, TEMPLATE

log = logging.getLogger(__name__)

NEGATIVE = "Negative prompt:"
FEWEST_LABELS = 3
"""A last line with fewer labels than this belongs to the prompt."""
LONGEST_LABEL = 101
_LABEL_ENDS = re.compile(r"[\w \-/]{2}:")
_LABEL_BACKWARDS = re.compile(r"[\w \-/]*+")
_TEXT = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_LEAF = rf'\{{(?:[^{{}}"]++|{_TEXT})*+\}}'
_BRANCH = rf'\{{(?:[^{{}}"]++|{_TEXT}|{_LEAF})*+\}}'
_OBJECT = re.compile(rf'(?=\{{")\{{(?:[^{{}}"]++|{_TEXT}|{_BRANCH})*+\}}')
"""A JSON object three deep, as extensions of A1111 write one as it is."""
_VALUE = re.compile(rf"\s*+(?:({_TEXT})(?:,|\Z)|((?:{_OBJECT.pattern})(?=,|\Z)|[^,]*+),?)")
_ONE_LINE = re.compile(r" Steps: \d{1,5}, [A-Z]")
_PAIR = re.compile(r"(\d+)x(\d+)")


Mark = tuple[int, int, int, int]
"""Where a label begins and ends, with its colon, and where its value does; in UTF-16 units, as browsers count."""


@dataclass(frozen=True)
class Parsed:
    """What an infotext says: both prompts, and label -> text in the order of the text."""

    prompt: str
    negative: str
    labels: Mapping[str, str]
    skipped: frozenset[str] = frozenset()
    """Labels that are passed over: neither what they say nor what their absence means counts."""


# --- writing ------------------------------------------------------------------------------------------------------


def write(prompt: str, negative: str, labels: Iterable[tuple[str, str]]) -> str:
    """The infotext of two prompts and some labelled values; `X-1`, `X-2` become `X: 1x2`."""
    line = ", ".join(f"{label}: {quoted(value)}" for label, value in _paired(labels))
    return "\n".join(
        part
        for part in (prompt if prompt.strip() else "", f"{NEGATIVE} {negative}" if negative.strip() else "", line)
        if part
    )


def joined(text: str, more: str) -> str:
    """An infotext with more labels at the end of its last line, or below it where that is none of labels."""
    if not text or not more:
        return text or more
    return f"{text}, {more}" if read(text).labels else f"{text}\n{more}"


def labels_of(request: Generation, render: RenderSettings, facts: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the infotext of a picture says, in order: declared values that matter, and facts.

    A fact stands for the declared value of the same label; "" leaves the label out.
    """
    found: dict[str, tuple[int, str]] = {}
    for declared in (request, render, *_features_in(request)):
        for name, param, place in _labelled(type(declared)):
            text = facts.get(param.label)
            if text is None and _is_written(param, request, getattr(declared, name)):
                text = spelt(param, getattr(declared, name))
            if text is not None:
                found.setdefault(param.label, (place, text))
    for label, text in _unit_labels(request):
        found.setdefault(label, (PLACES.get(label, LAST_PLACE), facts.get(label, text)))
    for label, text in facts.items():
        found.setdefault(label, (PLACES.get(label, LAST_PLACE), text))
    ordered = sorted(found.items(), key=lambda item: item[1][0])
    return [(label, text) for label, (_, text) in ordered if text or label not in facts]


def _features_in(request: Generation) -> Iterator[Declared]:
    """The values of the features without units that a request carries and that are known."""
    for entry in registry.carried(request.kind):
        if entry.name in request.features and not entry.params.units:
            yield entry.params.made(**by_name(request.features[entry.name]))


def _unit_labels(request: Generation) -> Iterator[tuple[str, str]]:
    """(label, text) of the units of features: all of a unit under one label, or one label for each parameter."""
    for entry in registry.carried(request.kind):
        units = units_in(request.features.get(entry.name)) if entry.params.units else ()
        for unit, values in enumerate(units):
            if values is None:
                continue
            made = entry.params.made(**values)
            written = [
                (param.label, spelt(param, getattr(made, name)))
                for name, param, _ in _labelled(entry.params)
                if _is_written(param, request, getattr(made, name)) and made.tells(name)
            ]
            together = [pair for pair in written if not entry.params.label_of(pair[0], unit)]
            yield from ((own, text) for label, text in written if (own := entry.params.label_of(label, unit)))
            if together:
                yield f"{entry.name} {unit}", write("", "", together)


def _flat_values(
    cls: type[Generation], labels: Mapping[str, str], skipped: frozenset[str], report: Callable[[str], None]
) -> dict[str, object]:
    """What labels, and missing ones, say of the parameters of features that a request has names of its own for."""
    found: dict[str, object] = {}
    for name, (entry, own) in registry.flat_names(cls.kind).items():
        param = entry.params.params()[own]
        if not param.label or param.label in skipped:
            continue
        for value in _value_of(entry.params, own, param, labels, report).values():
            found[name] = value
    return found


def _features_of(
    kind: str, labels: Mapping[str, str], skipped: frozenset[str], report: Callable[[str], None]
) -> dict[str, object]:
    """The other features that labels name, with the values of the labels, and of those that are missing."""
    found: dict[str, object] = {}
    for entry in registry.carried(kind):
        if entry.params.flat:
            continue
        if entry.params.units:
            own = entry.params.labels_in(labels)
            units = [_unit_of(entry.params, f"{entry.name} {unit}", unit, own, report) for unit in range(MOST_UNITS)]
            last = max((unit for unit, values in enumerate(units) if values is not None), default=None)
            if last is not None:
                found[entry.name] = units[: last + 1]
            continue
        declared = [(name, param) for name, param, _ in _labelled(entry.params) if param.label not in skipped]
        told = entry.params.labels_in(labels)
        if not any(param.label in told for _, param in declared):
            continue
        values: dict[str, object] = {}
        for name, param in declared:
            values.update(_value_of(entry.params, name, param, told, report))
        found[entry.name] = values
    return found


def _unit_of(
    cls: type[FeatureParams], together: str, unit: int, labels: Mapping[str, str], report: Callable[[str], None]
) -> dict[str, object] | None:
    """The values of a unit that labels tell of; None: they do not."""
    inner = _labels_in(labels[together]) if together in labels else {}
    told = {
        param.label: labels[own] for _, param, _ in _labelled(cls) if (own := cls.label_of(param.label, unit)) in labels
    }
    if together not in labels and not told:
        return None
    values: dict[str, object] = {}
    for name, param, _ in _labelled(cls):
        values.update(_value_of(cls, name, param, {**inner, **told}, report))
    return values


def spelt(param: Param, value: object) -> str:
    """A value as the infotext has it: `7.0`, `True`, `512`."""
    return param.codec.write(value) if param.codec is not None else str(value)


def quoted(text: str) -> str:
    """The text, as a JSON string where it would otherwise be read as something else."""
    plain = text and text == text.strip() and text.isprintable() and not any(mark in text for mark in ',:"')
    # A1111: a backslash or any other letter needs no quotes.
    is_object = text.isprintable() and _OBJECT.fullmatch(text) is not None
    return text if plain or is_object else json.dumps(text, ensure_ascii=False)


def unquoted(text: str) -> str:
    """What `quoted` was given; text that only looks like a JSON string stays as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return clean(str(value))


def _is_written(param: Param, request: Generation, value: object) -> bool:
    if param.by_fact:
        return False
    if param.when is not None:
        return param.when(request)
    return param.absent is MISSING or bool(value != param.absent)


def _labelled(cls: type[Declared]) -> Iterator[tuple[str, Param, int]]:
    """(field, Param, place) of what an infotext may carry; a field without a place stands beside the one before."""
    place = 0
    for name, param in cls.params().items():
        if param.label:
            place = param.place if param.place is not None else place
            yield name, param, place


def _paired(labels: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    given = dict(labels)
    for label, value in given.items():
        stem, number = label[:-2], label[-2:]
        if number == "-1" and f"{stem}-2" in given:
            yield stem, f"{value}x{given[f'{stem}-2']}"
        elif number != "-2" or f"{stem}-1" not in given:
            yield label, value


# --- reading ------------------------------------------------------------------------------------------------------


def pasted(text: str, ui: UiSettings) -> Parsed:
    """What an infotext says to a form, as the settings want it read."""
    found = read(text, habits=ui.auto_backcompat)
    if ui.paste_templates:
        prompt, negative = found.labels.get(TEMPLATE, found.prompt), found.labels.get(NEGATIVE_TEMPLATE, found.negative)
        found = replace(found, prompt=prompt, negative=negative)
    skipped = frozenset(ui.infotext_skip_pasting)
    return replace(found, labels={k: v for k, v in found.labels.items() if k not in skipped}, skipped=skipped)


def paste_labels() -> list[str]:
    """The labels that a form or its settings may take from an infotext, in order."""
    carried = [entry.params for entry in registry.carried() if not entry.params.units]
    declared: tuple[type[Declared], ...] = (*REQUESTS.values(), RenderSettings, *carried)
    found = dict.fromkeys(param.label for cls in declared for _, param, _ in _labelled(cls))
    return [*found, "Model", "Model hash"]


def read(text: str, *, habits: bool = True) -> Parsed:
    """What an infotext says, old spellings put into today's. Never fails: text without labels is a prompt.

    habits: whether the version that wrote it says what it did differently, too.
    """
    text, templates = _templates(clean(text).strip())
    *lines, last = _on_lines(text).split("\n")
    if not _has_labels(last):
        lines.append(last)
        last = ""
    prompt: list[str] = []
    negative: list[str] = []
    part = prompt
    for line in lines:
        line = line.strip()
        if line.startswith(NEGATIVE):
            part = negative
            line = line[len(NEGATIVE) :].strip()
        if line or part:  # A1111: empty lines before the text are dropped
            part.append(line)
    whole, labels = modern("\n".join(prompt), {**_labels_in(last), **templates}, habits=habits)
    return Parsed(whole, "\n".join(negative), labels)


def _templates(text: str) -> tuple[str, dict[str, str]]:
    """The infotext without the lines that sd-dynamic-prompts writes behind all labels, and what these say."""
    if TEMPLATE not in text:
        return text, {}
    lines = text.split("\n")
    starts = (f"{TEMPLATE}:", f"{NEGATIVE_TEMPLATE}:")
    begin = next((at for at in range(1, len(lines)) if lines[at].startswith(starts) and _has_labels(lines[at - 1])), 0)
    if not begin:
        return text, {}
    found: dict[str, list[str]] = {}
    for line in lines[begin:]:
        label = next((start for start in starts if line.startswith(start)), "")
        if label:
            found[label.rstrip(":")] = [line.removeprefix(label).strip()]
        else:
            found[next(reversed(found))].append(line)
    return "\n".join(lines[:begin]), {label: "\n".join(told).strip() for label, told in found.items()}


def _has_labels(line: str) -> bool:
    return len(list(islice(_labelled_values(line), FEWEST_LABELS))) == FEWEST_LABELS


@lru_cache(maxsize=1024)
def marks(text: str) -> tuple[Mark, ...]:
    """Where the labels of an infotext are, for whoever shows it and shall not read it: the negative prompt's first."""
    begin = text.rfind("\n") + 1
    line = text[begin:]
    found = [(begin + label, begin + colon + 1, *_span(begin, value)) for label, colon, value in _labels(line)]
    if len(found) < FEWEST_LABELS:
        begin, found = len(text), []
    negative = 0 if text.startswith(NEGATIVE) else text.find(f"\n{NEGATIVE}", 0, begin) + 1
    if text.startswith(NEGATIVE, negative):
        end = negative + len(NEGATIVE)
        found.insert(0, (negative, end, min(end + 1, begin), max(begin - 1 if begin < len(text) else begin, end)))
    if text.isascii():
        return tuple(found)
    units = [0, *accumulate(2 if letter > "\uffff" else 1 for letter in text)]  # as browsers count
    return tuple((units[a], units[b], units[c], units[d]) for a, b, c, d in found)


def _span(begin: int, value: re.Match[str]) -> tuple[int, int]:
    start, end = value.span(1 if value[1] else 2)
    return begin + start, begin + end


def _on_lines(text: str) -> str:
    """An infotext that has lost its line ends, as websites copy it: "a fox Negative prompt: blurry Steps: 20, ..."."""
    begin = text.rfind("\n") + 1
    steps = text.rfind(" Steps: ", begin)
    if not text[begin : max(steps, begin)].strip() or not _ONE_LINE.match(text, steps):
        return text
    label = next(_labelled_values(text[begin : begin + LONGEST_LABEL + 1]), None)
    behind_prompt = ("Negative prompt", " Steps")
    if label is not None and text.startswith(label[0], begin) and not label[0].endswith(behind_prompt):
        return text  # a line of labels that does not begin with the steps
    before, line = text[:steps], text[steps + 1 :]
    last = before[begin:].replace(f" {NEGATIVE}", f"\n{NEGATIVE}", 1)
    return f"{before[:begin]}{last}\n{line}"


def fields_of(
    parsed_text: Parsed, cls: type[Generation], report: Callable[[str], None] = log.warning
) -> dict[str, object]:
    """Field -> value of what the infotext says of a request of this class, and of what missing labels mean.

    A value that does not fit is left out, and `report`ed in a sentence. A text without labels says only the prompts.
    """
    values: dict[str, object] = {"prompt": parsed_text.prompt, "negative_prompt": parsed_text.negative}
    if not parsed_text.labels:
        return values
    labels, complaints = todays_names(parsed_text.labels)
    for complaint in complaints:
        report(complaint)
    switches: dict[str, bool] = {}
    for name, param, _ in _labelled(cls):
        if param.label in parsed_text.skipped:
            continue
        if param.switch in cls.model_fields:
            switches[param.switch] = switches.get(param.switch, False) or param.label in labels
        values.update(_value_of(cls, name, param, labels, report))
    values |= _flat_values(cls, labels, parsed_text.skipped, report)
    return {**values, **switches, "features": _features_of(cls.kind, labels, parsed_text.skipped, report)}


def settings_of(
    parsed_text: Parsed, settings: Settings, report: Callable[[str], None] = log.warning
) -> dict[str, object]:
    """A1111 key -> value of the settings that must differ from the current ones to make this picture again.

    What a missing label means counts too: a picture without "Clip skip" was made with 1. The checkpoint comes along
    only where the settings want it.
    """
    if not parsed_text.labels:
        return {}
    found: dict[str, object] = {}
    for name, param, _ in _labelled(RenderSettings):
        if param.label in parsed_text.skipped:
            continue
        for value in _value_of(RenderSettings, name, param, parsed_text.labels, report).values():
            if value != getattr(settings.render, name):
                found[param.alias or name] = value
    if not settings.ui.disable_weights_auto_swap:
        checkpoint = parsed_text.labels.get("Model hash") or parsed_text.labels.get("Model")
        if checkpoint and f"[{checkpoint}]" not in settings.render.sd_model_checkpoint:
            found["sd_model_checkpoint"] = checkpoint
    return found


def _value_of(
    cls: type[Declared], name: str, param: Param, labels: Mapping[str, str], report: Callable[[str], None]
) -> dict[str, object]:
    """{name: value} of a field, or {} where the labels say nothing, or nothing sensible, of it."""
    text = labels.get(param.label)
    if text is None and f"{param.label}-1" in labels and f"{param.label}-2" in labels:
        text = f"{labels[f'{param.label}-1']}x{labels[f'{param.label}-2']}"  # a text that only looks like a size
    if text is None:
        return {} if param.absent is MISSING else {name: param.absent}
    try:
        return {name: parsed(cls, name, text)}
    except UserError as error:
        report(error.message)
        return {}


def _labelled_values(line: str) -> Iterator[tuple[str, str]]:
    """(label, value as it stands) of "label: value, label: "a, value", ..."."""
    return ((line[begin:colon], value[1] or value[2] or "") for begin, colon, value in _labels(line))


def _labels(line: str) -> Iterator[tuple[int, int, re.Match[str]]]:
    """(where a label begins, where its colon is, its value), in one pass.

    A1111 has a regular expression for it, which takes minutes for a long text without a colon. It looks for a label of
    2 to 101 letters before a colon, as long as may be.
    """
    at, end = 0, _LABEL_ENDS.search(line)
    while end is not None:
        colon = end.end() - 1
        run = _LABEL_BACKWARDS.match(line[max(at, colon - LONGEST_LABEL) : colon][::-1])
        label = run[0][::-1].lstrip(" -/") if run else ""
        at_value = _VALUE.match(line, colon + 1) if len(label) > 1 else None
        if at_value is not None:
            yield colon - len(label), colon, at_value
            at = at_value.end()
        end = _LABEL_ENDS.search(line, at if at_value is not None else colon + 1)


def _labels_in(line: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for label, text in _labelled_values(line):
        if not text:
            continue
        text = unquoted(text)
        pair = _PAIR.fullmatch(text)
        if pair:
            labels[f"{label}-1"], labels[f"{label}-2"] = pair.groups()
        else:
            labels[label] = text
    return labels
