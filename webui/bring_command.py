"""`python -m webui bring`: models that lie in other programs' folders, used where they lie."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from webui.base.errors import NotFound
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.brought import Brought, BroughtFolders
from webui.catalog.installations import FoundInstallation, Installations, id_of
from webui.catalog.products import KINDS
from webui.flags import read

COMMAND = "python -m webui bring"


def main(argv: Sequence[str]) -> int:
    """Without a folder: say what was found. `FOLDER`: use its models; `--forget FOLDER`: do so no more.

    A running server sees it after a restart.
    """
    parser = argparse.ArgumentParser(
        usage=f"{COMMAND} [FOLDER] [--kind KIND | --forget] [flags of the UI]",
        description="Use models of other programs where they lie; without a folder, show what was found.",
    )
    parser.add_argument("--kind", choices=list(KINDS), default="", help="what is in it, where no names tell")
    parser.add_argument("--forget", action="store_true", help="use its models no more; the files stay")
    folder, more = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("", argv)
    chosen, rest = parser.parse_known_args(more)
    paths = read(rest).paths
    brought = BroughtFolders(paths)
    if not folder:
        _tell(paths, brought)
    elif chosen.forget:
        gone = brought.forget(_meant(brought, folder).id)
        _say(f"The models in {named(gone.root)} are not used any more.")
    else:
        taken = brought.take(Installations(paths).named(str(Path(folder).absolute()), chosen.kind))
        for kind, place in taken.folders:
            _say(f"{KINDS[kind]}: {named(place)}")
        _say("They are used from the next start on, where they lie.")
    return 0


def _meant(brought: BroughtFolders, text: str) -> Brought:
    folder = Path(text).expanduser().absolute()
    for one in brought.all():
        if one.root in (folder, folder.resolve()):
            return one
    raise NotFound(f"The models in {text} are not in use.", hint=f"{COMMAND} shows which are.")


def _tell(paths: Paths, brought: BroughtFolders) -> None:
    """A line for each: what is in use, what could be, what could not be read."""
    for one in brought.all():
        _say(f"in use: {one.product} at {named(one.root)} (to undo: {COMMAND} --forget {_quoted(one.root)})")
    found = Installations(paths)
    found.look_now()
    used = {one.id for one in brought.all()}
    for new in found.all():
        if id_of(new.installation) not in used:
            root = new.installation.root
            said = f"found: {new.installation.product} at {named(root)}: {models_of(new)}"
            _say(f"{said} (to use them: {COMMAND} {_quoted(root)})")
    for problem in found.problems:
        _say(f"not read: {problem}")


def models_of(found: FoundInstallation) -> str:
    """What is in it, in words."""
    words = [f"{KINDS[kind]}: {many}" for kind, many in found.count.by_kind.items()]
    return f"{', '.join(words)}{'' if found.count.complete else ', and more'}"


def _quoted(path: Path) -> str:
    text = named(path)
    return f'"{text}"' if " " in text else text


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
