"""The texts of the page, each with its place: `python -m tests.words` writes them into `webui/locales/catalogue.json`.

They come from the page's components, which come from the declarations of parameters and settings; from the literals in
the page's modules; and from the sentences that the server says to people there. With the code of a language,
`python -m tests.words de`, it tells what its table lacks, has too much, or says with other placeholders.
"""

# ruff: noqa: T201 - it speaks to people

from __future__ import annotations

import ast
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.server.stand_in import StandIn
from webui import registry
from webui.app import App
from webui.catalog.localizations import CATALOGUE, FOLDER
from webui.flags import Flags
from webui.request.localization import OWN, PLACEHOLDER, RTL
from webui.server.ui.controls import NAMES
from webui.server.ui.language import LINES
from webui.server.ui.page import _facts, build

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "webui" / "server" / "ui" / "assets"
SPEAKING = ("server/ui", "server/jobs", "server/access.py", "request", "scripts", "jobs", "features")
"""Below `webui`: whose sentences people read on the page. Those about files and the API's are in English."""
SILENT = (
    "request/foreign_settings.py", "request/frozen.py", "request/documented.py", "server/jobs/servers.py",
    "server/ui/sheets.py", "server/ui/theme.py", "server/ui/door.py", "scripts/legend.py", "features/feature.py",
)  # fmt: skip
"""But for these, who speak to programs or to whoever installs one."""
IN_PIECES = ("request/capabilities.py", "request/whole.py")
"""Who put sentences together out of shorter texts."""
ERRORS = re.compile(r".*(Error|NotFound|Busy|NotTaken|Refused|done|Unavailable|remark)")
HIDDEN = ("button", "textbox")
"""Components that nobody sees where they are hidden: scripts press and read them."""
Found = Iterator[tuple[str, str]]
"""(text, place)."""


# --- components -------------------------------------------------------------------------------------------------------


class _Texts(HTMLParser):
    """The texts of a piece of markup, and of the attributes that people see."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.found += [text for name in ("title", "placeholder", "aria-label") if (text := told.get(name))]
        if pages := told.get("data-pages"):
            self.found += json.loads(pages).values()

    def handle_data(self, data: str) -> None:
        self.found.append(data)


async def _page() -> tuple[dict[str, Any], Mapping[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        app = App(Flags(data_dir=Path(folder)), StandIn())
        try:
            page = build(app)
            return dict(page.get_config_file()), _facts(app, page)  # type: ignore[attr-defined,arg-type]
        finally:
            app.close()


def of_components() -> Found:
    """Labels, explanations, buttons, what lists offer, in the order in which they stand on the page."""
    config, facts = asyncio.run(_page())
    parts = {one["id"]: one for one in config["components"]}
    for number, path in _laid_out(config["layout"], parts, ()):
        one = parts[number]
        place = " > ".join(path[:2])
        yield from _of_component(one, place)
        if text := facts["help"].get(one["props"].get("elem_id")):
            yield text, f"{place}: help"
    for text in facts["help"].values():
        yield text, "help"


def _laid_out(tree: Mapping[str, Any], parts: Mapping[int, Any], path: tuple[str, ...]) -> Iterator[tuple[int, Any]]:
    for branch in tree.get("children", ()):
        yield branch["id"], path
        one = parts[branch["id"]]
        is_tab = one["type"] == "tabitem"
        yield from _laid_out(branch, parts, (*path, one["props"]["label"]) if is_tab else path)


KINDS = {"tabitem": "tab", "accordion": "fold", "button": "button"}


def _of_component(one: Mapping[str, Any], place: str) -> Found:
    kind, props = one["type"], one["props"]
    if kind in HIDDEN and props.get("visible") in (False, "hidden"):
        return
    yield props.get("label") or "", f"{place}: {KINDS.get(kind, 'label')}"
    yield props.get("info") or "", f"{place}: help"
    yield props.get("placeholder") or "", f"{place}: placeholder"
    if kind == "button":
        yield props.get("value") or "", f"{place}: button"
    if kind == "html":
        yield from ((text, f"{place}: text") for text in _Texts(str(props.get("value") or "")).found)
    label = props.get("label") or ""
    for name, _ in props.get("choices") or ():
        if NAMES not in (props.get("elem_classes") or ()) or name in LINES:
            prefixed = re.fullmatch(r"\[(.+?)\] (.+)", name)
            for text in prefixed.groups() if prefixed else (name,):
                yield text, f"{place}: choice of {label}"


# --- modules ----------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`|\{|\}|[^"'`/{}]+|/""", re.DOTALL
)
"""A comment, a string, the beginning of a template, a brace, or what is between those."""
_EXPRESSION = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/")
_BEFORE_ONE = ("", *"=(,:;!&|?{}[>")
"""After these a stroke begins a regular expression; else it divides."""
_LOOKS = re.compile(
    r"(?!Arrow[UDLR]|Backspace|Escape$|Tab$|Notification$|Gesso$)([A-Z(][a-z]|[A-Z] [a-z/]|.*[a-z]{2} [a-z])"
)
"""How a text for people begins that is no selector and no key."""
_NO_TEXT = re.compile(
    r"[#\[\]=~<]|\.\w+ |^\.|:is|::|\bvar\(|^\w+_\{|\{\w*\}(px|%)|deg |^[a-z]+\(|^(gesso|width|point|status)\b"
    r"|^[\w.]+[/?]\{|^\w+(/\w+)+/|^\w+(\.\w+)*\.\{|^data:|^\(prefers|pose-person|Authorization|There (is|are) \w+ comm"
    r"|label\b.*(textarea|input)|^Use same$|is a \{selector\}|^\{left\}|^\w+ \{toFixed\}"
)
SMALL = {
    "history.js": ("or more",),
    "jobs.js": ("waiting", "running", "done", "failed", "cancelled", "{time} left", "{done} of {count}"),
    "queue.js": ("{count} waiting",),
    "cards.js": ("all", "broken", "path", "name", "date created", "date modified", "1 card"),
    "prompttext.js": ("{brackets} do not match ({difference})",),
}
"""Texts of modules that do not look like any: single small words, and what is put together."""


def literals(source: str) -> list[str]:
    """The strings of a module; of templates the texts, with each value's name in braces."""
    found: list[str] = []

    def template(at: int) -> tuple[int, str]:
        text = ""
        while source[at] != "`":
            if source.startswith("${", at):
                end = code(at + 2, inner=True)
                text += "{" + _name(source[at + 2 : end - 1]) + "}"
                at = end
            else:
                step = 2 if source[at] == "\\" else 1
                text += source[at : at + step]
                at += step
        return at + 1, text

    def code(at: int, *, inner: bool) -> int:
        depth = 0
        while at < len(source):
            token = _TOKEN.match(source, at)
            assert token is not None
            text, at = token[0], token.end()
            if text == "/" and source[: at - 1].rstrip()[-1:] in _BEFORE_ONE:
                expression = _EXPRESSION.match(source, at - 1)
                at = expression.end() if expression else at
            if text == "`":
                at, said = template(at)
                found.extend(_alternatives(said))
            elif text == "{":
                depth += 1
            elif text == "}":
                if inner and not depth:
                    return at
                depth -= 1
            elif text[0] in "\"'":
                found.append(text[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape"))
        return at

    code(0, inner=False)
    return found


def _alternatives(text: str) -> list[str]:
    choice = re.search(r"\{\|(.*?)\|(.*?)\}", text)
    if choice is None:
        return [text]
    return [each for said in choice.groups() for each in _alternatives(text.replace(choice[0], said, 1))]


def _name(expression: str) -> str:
    """What a value is called, by the last name in its expression; of a choice between two texts "|" and both."""
    if choice := re.fullmatch(r'[^"]* \? "([^"]*)" : "([^"]*)"', expression.strip()):
        return f"|{choice[1]}|{choice[2]}"
    plain = re.fullmatch(r"[\w.?()\[\]\s]*?(\w+)(\s*[+-]\s*1)?(\(\w*\))?", expression.strip())
    name = plain[1] if plain else ""
    return {"": "value", "at": "number", "index": "number", "length": "count"}.get(name, name)


def of_modules() -> Found:
    """What the page's modules say."""
    for path in sorted(ASSETS.rglob("*.js")):
        for text in (*literals(path.read_text("utf-8")), *SMALL.get(path.name, ())):
            bare = PLACEHOLDER.sub("", text)
            is_text = _LOOKS.match(text) and re.search(r"[A-Za-z]{3}", bare)
            is_put_together = text != bare and re.search(r"(^|\s)[a-z]{3,}", bare)
            if text in SMALL.get(path.name, ()) or ((is_text or is_put_together) and not _NO_TEXT.search(text)):
                yield text, path.name
    yield "Styles", "a list without a choice"
    yield "No setting has these words.", "Settings > search"


# --- sentences of the server ------------------------------------------------------------------------------------------


def of_the_server() -> Found:
    """What errors, hints and remarks of the page's handlers say."""
    for path in sorted((ROOT / "webui").rglob("*.py")):
        where = path.relative_to(ROOT / "webui").as_posix()
        if where.startswith(SPEAKING) and where not in SILENT:
            tree = ast.parse(path.read_text("utf-8"))
            yield from ((text, f"message: {where}") for text in _sentences(tree, pieces=where in IN_PIECES))


def _sentences(tree: ast.AST, *, pieces: bool) -> Iterator[str]:
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if ERRORS.fullmatch(called):
                for given in (*node.args, *(each.value for each in node.keywords if each.arg in ("hint", "info"))):
                    yield from _sentence(given)
        elif isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in told:
            # Also those that are given back: they end as sentences do. (What is in `told` is for people who read code.)
            yield from (text for text in _sentence(node) if pieces or _ENDS.fullmatch(text))


_ENDS = re.compile(r"[A-Z{].* .*[.!]", re.DOTALL)


def _sentence(node: ast.AST) -> Iterator[str]:
    for text in _texts(node):
        if " " in text and "%" not in text and re.search(r"[a-z]{2} |[a-z]{2}\.$", PLACEHOLDER.sub("", text)):
            yield text


def _texts(node: ast.AST) -> list[str]:
    """What an expression may say, with values as placeholders."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp():
            return [*_texts(node.body), *_texts(node.orelse)]
        case ast.JoinedStr():
            found = [""]
            for part in node.values:
                is_choice = isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.IfExp)
                said = _texts(part.value if is_choice else part) or ["{" + _value(part) + "}"]  # type: ignore[attr-defined]
                found = [f"{before}{more}" for before in found for more in said]
            return found
    return []


_CALLED = {"len": "count", "join": "list", "str": "value", "strip": "text", "sum": "count", "map": "list", "": "value"}


def _value(part: ast.AST) -> str:
    names = [node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in ast.walk(part)]
    name = next((name for name in names if name.isidentifier()), "").lower().strip("_")
    return _CALLED.get(name, name)


# --- all of it --------------------------------------------------------------------------------------------------------


def collected() -> dict[str, str]:
    """Text -> place, of the whole page."""
    kept = {entry.name for entry in registry.samplers()}
    found: dict[str, str] = {}
    for text, place in (*of_components(), *of_modules(), *of_the_server()):
        key = _key(text)
        has_letters = len(re.findall(r"[^\W\d_]", PLACEHOLDER.sub("", key))) > 1
        if has_letters and key not in kept and key not in found and not _SAME.fullmatch(key):
            found[key] = place
    return found


_SAME = re.compile(
    r"Gesso|[a-z]+\d|\w+_\w+|logSNR|png|jpe?g|webp|avif|(GP|CP)U|NV|CLIP|TAESD|SD\d|SDXL|InvokeAI|Doggettx|xformers|BLIP|"
    r"bicubic|bilinear|bislerp|nearest-exact|FreeU|GFPGAN|CodeFormer|ADetailer|ControlNet|DeepBooru|IP-Adapter|Instant-ID|"
    r"InstructP2P|MLSD|OpenPose|SparseCtrl|T2I-Adapter|MultiDiffusion|Flux|Canny|VAE|\[.*\]|600px.*|"
    r"(sd version|activation text|preferred weight|negative text)|(Ctrl|Alt|Shift)\+[A-Z↑←F].*[^.)]|A, B or C|Esc"
)
"""What is the same in all languages."""


def _key(text: str) -> str:
    """As the page looks it up: the name of what has a number, and each placeholder once."""
    text = " ".join(text.split()).removeprefix("· ")
    text = re.sub(r"^\{\w+\} (?=[A-Z])", "", text)  # What goes before is a sentence of its own.
    if re.fullmatch(r"[\w ]+: \{\w+\}", text) and not text.startswith(("Time", "Saved", "Made")):
        return ""  # Likewise what follows.
    text = re.sub(r"^(Unit|Region|Input) \d+$", r"\1 {number}", text)
    names: list[str] = []

    def distinct(found: re.Match[str]) -> str:
        names.append(found[1])
        times = names.count(found[1])
        return "{" + found[1] + (str(times) if times > 1 else "") + "}"

    return PLACEHOLDER.sub(distinct, text)


def faults(catalogue: Mapping[str, str], table: Mapping[str, object]) -> list[str]:
    """What is wrong with the table of a language, a line each."""
    words = {key: said for key, said in table.items() if key != RTL}
    wrong = [f"missing: {key!r} ({catalogue[key]})" for key in catalogue if not words.get(key)]
    wrong += [f"not in the catalogue: {key!r}" for key in words if key not in catalogue]
    for key, said in words.items():
        if not isinstance(said, str):
            wrong.append(f"no text: {key!r}")
        elif said and sorted(PLACEHOLDER.findall(key)) != sorted(PLACEHOLDER.findall(said)):
            wrong.append(f"other placeholders: {key!r}: {said!r}")
        elif said and sorted(re.findall(r"</?\w+>|`", key)) != sorted(re.findall(r"</?\w+>|`", said)):
            wrong.append(f"other markup: {key!r}: {said!r}")
        elif said != said.strip() or "\n" in said:
            wrong.append(f"spaces around, or a line break: {key!r}: {said!r}")
    order = [list(catalogue).index(key) for key in words if key in catalogue]
    if any(one > other for one, other in pairwise(order)):
        wrong.append("not in the order of the catalogue")
    return wrong


def written(table: Mapping[str, object]) -> str:
    """As the files have it: a line for each text."""
    return json.dumps(table, ensure_ascii=False, indent=0) + "\n"


def main(codes: list[str]) -> int:
    if not codes:
        CATALOGUE.write_text(written(collected()), "utf-8")
        print(f"{CATALOGUE}: {len(json.loads(CATALOGUE.read_text('utf-8')))} texts")
        return 0
    catalogue = json.loads(CATALOGUE.read_text("utf-8"))
    wrong = 0
    for code in codes:
        path = FOLDER / f"{code}.json"
        found = faults(catalogue, json.loads(path.read_text("utf-8"))) if path.is_file() else ["there is no table"]
        wrong += len(found)
        print(f"{OWN.get(code, code)}: {len(found)} faults", *found, sep="\n  ")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
