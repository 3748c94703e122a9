"""The one way in which folders of models are looked through: file by file, each behind a fence.

A file that is broken is still listed, under its name, with its reason: who asks for it is told why it cannot be used,
and nobody else notices it. What a file's header tells is kept until the file changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from webui.base.fence import Problem, read_each
from webui.base.text import is_odd, named
from webui.catalog.checkup import check_model
from webui.catalog.files import Found, find_files
from webui.catalog.hashes import Hashes
from webui.catalog.problems import Problems

FEW = 100
"""Files that the database is asked for one by one; of more, everything is read at once."""


@dataclass(frozen=True)
class SearchFolder:
    """A folder, and what in it is wanted, as `find_files` takes it."""

    folder: Path
    endings: Collection[str]
    deep: bool = True
    whole: str = ""


class Folders:
    """Looks through folders, and tells what is broken in them. Any thread may call any method."""

    def __init__(
        self, hashes: Hashes, problems: Problems, brought: Callable[[str], Iterable[Path]] = lambda _kind: ()
    ) -> None:
        """`brought`: folders of a kind that lie in other programs' folders."""
        self._hashes = hashes
        self._problems = problems
        self.lists_hidden = True
        """Whether files below a folder whose name begins with a dot are found."""
        self.brought = brought

    def look(
        self,
        kind: str,
        places: Iterable[SearchFolder],
        check: Callable[[Path], None] = check_model,
        *,
        remembered_as: str = "",
        wanted: Callable[[Found], bool] = lambda _file: True,
    ) -> list[tuple[SearchFolder, Found]]:
        """What lies there, each file once, with `Found.fault` where it is broken. `kind` is what people call the
        folders. The problems of this look take the place of the last one's, of those `remembered_as` the same.

        check: raises what is wrong with a file.
        """
        problems: list[Problem] = []

        def tell(name: str, reason: str) -> None:
            problems.append(Problem(kind, named(name), reason, "Repair it, or remove it."))

        seen: dict[Path, tuple[SearchFolder, Found]] = {}
        own = list(places)
        # They are looked through like the first of our own.
        others = [replace(own[0], folder=folder, deep=True) for folder in self.brought(kind)] if own else []
        for place in [*own, *others]:
            for file in find_files(place.folder, place.endings, deep=place.deep, whole=place.whole, tell=tell):
                if wanted(file) and (self.lists_hidden or not _is_hidden(file)):
                    seen.setdefault(file.path, (place, file))
        files = [file for _, file in seen.values()]
        faults = self._faults(kind, files, check)
        problems += (Problem(kind, file.name, *fault) for file, fault in faults.items() if fault[0])
        problems += (
            Problem(
                kind,
                file.name,
                f"Its name is not valid UTF-8; it is listed as {file.name!r}.",
                "Rename it to list it under a readable name.",
            )
            for file in files
            if is_odd(file.path.name)
        )
        self._problems.found(remembered_as or kind, problems)
        return [(place, replace(file, fault=faults[file][0])) for place, file in seen.values()]

    def doubted(self, kind: str, faults: Mapping[str, str]) -> None:
        """These things of a kind, by name, were refused by an engine, which said why."""
        todo = "Download it again, or remove it."
        problems = (Problem(kind, name, why, todo) for name, why in faults.items())
        self._problems.found(f"{kind}: doubted", problems)

    def _kept(self, files: list[Found]) -> dict[tuple[str, tuple[int, int]], str]:
        """What is known already, by (`named` path, stamp)."""
        if len(files) > FEW:
            return self._hashes.all_cached("fault")
        asked = ((file, self._hashes.cached(file.path, file.stamp, "fault")) for file in files)
        return {(named(file.path), file.stamp): text for file, text in asked if text is not None}

    def _faults(self, kind: str, files: list[Found], check: Callable[[Path], None]) -> dict[Found, tuple[str, str]]:
        """File -> (what is wrong with it, what to do); ("", "") for a good one."""
        known = self._kept(files)
        fresh = [file for file in files if (named(file.path), file.stamp) not in known]
        fine, broken = read_each(kind, fresh, lambda file: str(file.path), lambda file: check(file.path))
        told = {named(file.path): ("", "") for file, _ in fine}
        for problem in broken:
            name = problem.name.replace("\\", "/").rsplit("/", 1)[-1]
            # Nobody but the machine's owner is to learn where folders lie.
            told[problem.name] = (problem.reason.replace(problem.name, name), problem.todo.replace(problem.name, name))
        self._hashes.remember("fault", {(file.path, file.stamp): json.dumps(told[named(file.path)]) for file in fresh})
        found: dict[Found, tuple[str, str]] = {}
        for file in files:
            kept = known.get((named(file.path), file.stamp))
            reason, todo = json.loads(kept) if kept is not None else told[named(file.path)]
            found[file] = (reason, todo)
        return found


def _is_hidden(file: Found) -> bool:
    return any(part.startswith(".") for part in file.name.split("/")[:-1])
