"""Pictures from the command line: `python -m webui txt2img "a red apple" --seed 1 --steps 20 -o apple.png`.

Every flag is the projection of a declared parameter; what is no parameter is a flag of the program (`--use-cpu all`).
"""

# ruff: noqa: T201 - the command line speaks to people

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from webui.base import log
from webui.base.errors import UserError
from webui.request.fields import REQUESTS
from webui.request.params import Choice, Image, Param, Several, Toggle, help_of, parsed
from webui.studio import Studio

POSITIONAL = ("prompt",)


def generate(kind: str, argv: Sequence[str]) -> int:
    """Make pictures of a kind ("txt2img", "img2img") and write them -> exit code.

    Raises:
        WebuiError: a value does not fit, or the pictures cannot be made.
    """
    log.set_up("WARNING")
    chosen, program_flags = picture_parser(kind).parse_known_args(list(argv))
    values = values_of(kind, chosen)
    given = [Path(name) for name in getattr(chosen, "image", [])]
    with Studio(program_flags) as studio:
        if kind == "txt2img":
            pictures = studio.txt2img(progress=_show_progress, **values)
        else:
            mask = Path(chosen.mask) if chosen.mask else None
            pictures = studio.img2img(given[0], mask=mask, progress=_show_progress, **values)
    output = chosen.output if chosen.output is not None else spare(Path(f"{kind}.png"))
    for picture, path in zip(pictures, targets(output, len(pictures)), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
        print(path)
    return 0


def picture_parser(kind: str) -> argparse.ArgumentParser:
    """Flags for every parameter of a kind of request, by its name and in A1111's spelling with underscores too."""
    parser = argparse.ArgumentParser(prog=f"python -m webui {kind}", allow_abbrev=False)
    declared = REQUESTS[kind]
    if kind == "img2img":
        parser.add_argument("image", nargs=1, help="the picture to start from")
    for name in POSITIONAL:
        parser.add_argument(name, nargs="?", default=None, help=declared.model_fields[name].description)
    parser.add_argument("-o", "--output", type=Path, default=None, metavar="FILE",
                        help="the file to write; several pictures are numbered; "
                        f"default: {kind}.png, or a numbered name if that exists")  # fmt: skip
    if kind == "img2img":
        parser.add_argument("--mask", help="a picture that is white where the picture may change")
    for name, param in declared.offered().items():
        if name in POSITIONAL or isinstance(param, Image):
            continue
        help_text = help_of(declared, name).replace("%", "%%")
        spellings = [f"--{name.replace('_', '-')}", *([f"--{name}"] if "_" in name else [])]
        if name == "override_settings":
            parser.add_argument(
                *spellings, action="append", metavar="KEY=VALUE", help="a setting for this picture only"
            )
        elif isinstance(param, Toggle):
            parser.add_argument(*spellings, action=argparse.BooleanOptionalAction, default=None, help=help_text)
        elif isinstance(param, Several):
            parser.add_argument(*spellings, nargs="+", help=help_text)
        else:
            parser.add_argument(*spellings, metavar=_metavar(param), help=help_text)
    return parser


def values_of(kind: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """What was said, as values of the fields.

    Raises:
        UserError: a text is no value of its parameter.
    """
    declared = REQUESTS[kind]
    values: dict[str, object] = {}
    for name, param in declared.offered().items():
        said = getattr(chosen, name, None)
        if said is None or isinstance(param, Image):
            continue
        if name == "override_settings":
            values[name] = dict(_pair(text) for text in said)
        elif isinstance(param, Choice) and param.by_index and said in param.choices:
            values[name] = parsed(declared, name, param.choices.index(said))
        else:
            values[name] = parsed(declared, name, tuple(said) if isinstance(said, list) else said)
    return values


def targets(output: Path, pictures: int) -> list[Path]:
    """A file name per picture: `apple.png`, or the first of `apple-1.png`, `apple-2.png` ... that are free."""
    if pictures == 1:
        return [output]
    free = (path for path in _numbered(output) if not path.exists())
    return [next(free) for _ in range(pictures)]


def spare(path: Path) -> Path:
    """This path, or the same with a number: where a file is nobody has asked to replace."""
    return next(candidate for candidate in chain([path], _numbered(path)) if not candidate.exists())


def _numbered(path: Path) -> Iterator[Path]:
    return (path.with_stem(f"{path.stem}-{number}") for number in count(1))


def _metavar(param: Param) -> str:
    return "TEXT" if isinstance(param, Choice) or not hasattr(param, "step") else "NUMBER"


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(
            f"{text!r} is not a setting.", hint="Write it as KEY=VALUE, such as CLIP_stop_at_last_layers=2."
        )
    return key.strip(), value.strip()


def _show_progress(fraction: float) -> None:
    if sys.stderr.isatty():
        print(f"\r{fraction:4.0%} ", end="" if fraction < 1 else "\n", file=sys.stderr, flush=True)
