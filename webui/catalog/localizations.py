"""The page's languages on disk: our own tables, and people's files as A1111 has them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from webui.base.errors import UserError
from webui.base.fence import Problem, read_each
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.problems import Problems
from webui.request.localization import AUTOMATIC, NONE, OWN, RTL, Localization, code_of

KIND = "localizations"
FOLDER = Path(__file__).resolve().parents[1] / "locales"
"""Our own tables, CODE.json, and `catalogue.json`: every text of the page, and where it stands."""
CATALOGUE = FOLDER / "catalogue.json"
LARGEST = 8 * 2**20
"""Bytes of a file: A1111's largest have 400,000."""
LONGEST = 10_000
"""Letters of a text."""
MOST_NAMED = 20
"""So many faults of a file are named."""


@dataclass(frozen=True)
class _Read:
    stamp: tuple[int, int]
    words: Mapping[str, str]
    rtl: bool
    problems: tuple[Problem, ...]


class Localizations:
    """By name. Files are read again when they have changed. Any thread may call any method."""

    def __init__(self, paths: Paths, problems: Problems, own: Path = FOLDER) -> None:
        self._paths = paths
        self._problems = problems
        self._own = own
        self._known: dict[Path, _Read] = {}
        self._lock = threading.Lock()

    def languages(self) -> dict[str, str]:
        """Those of `OWN` that there are tables of, ours or people's: code -> name."""
        theirs = self._files()
        return {code: name for code, name in OWN.items() if code in theirs or (self._own / f"{code}.json").is_file()}

    def names(self) -> list[str]:
        """What the setting can be."""
        theirs = [name for name in self._files() if name not in OWN]
        return [AUTOMATIC, NONE, *dict.fromkeys((*self.languages().values(), *theirs))]

    def find(self, wish: str) -> Localization | None:
        """The table of this name or code; None: there is none, or it cannot be used, and the page is in English.

        A file with the code of one of ours as its name takes the place of those texts of ours that it has.
        """
        ours = self.languages()
        code = wish if wish in ours else next((code for code, name in ours.items() if name == wish), "")
        files = self._files()
        theirs = self._read(files[code or wish]) if (code or wish) in files else None
        own = self._read(self._own / f"{code}.json") if code else None
        read = [table for table in (own, theirs) if table is not None]
        if not read:
            return None
        words = {english: said for table in read for english, said in table.words.items()}
        return Localization(ours.get(code, wish), code or code_of(wish), words, any(table.rtl for table in read))

    def look(self) -> None:
        """Read all of people's files, and tell what is wrong with them."""
        for path in self._files().values():
            self._read(path)

    def _files(self) -> dict[str, Path]:
        """People's files by their names without the ending; of two of one name the one in their own folder."""
        found: dict[str, Path] = {}
        for folder in self._folders():
            try:
                files = sorted(folder.glob("*.json"))
            except OSError:
                continue
            for path in files:
                found.setdefault(named(path.stem), path)
        return found

    def _folders(self) -> Iterator[Path]:
        yield self._paths.localizations
        # Most of A1111's come as extensions.
        try:
            yield from sorted((self._paths.data / "extensions").glob("*/localizations"))
        except OSError:
            return

    def _read(self, path: Path) -> _Read | None:
        """What a file says; None: it cannot be used. Its problems are told."""
        with self._lock:
            try:
                about = path.stat()
                stamp = (about.st_mtime_ns, about.st_size)
            except OSError:
                self._known.pop(path, None)
                self._tell()
                return None
            known = self._known.get(path)
            if known is None or known.stamp != stamp:
                read, wrong = read_each(KIND, [path], lambda file: file.name, _table)
                known = read[0][1] if read else _Read(stamp, {}, False, tuple(wrong))
                self._known[path] = known = replace(known, stamp=stamp)
                self._tell()
            return known if known.words or not known.problems else None

    def _tell(self) -> None:
        self._problems.found(KIND, [problem for read in self._known.values() for problem in read.problems])


def _table(path: Path) -> _Read:
    """Raises UserError: it is no table."""
    if path.stat().st_size > LARGEST:
        raise UserError("It is too large for a localization.", hint="Remove it.")
    try:
        told = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"It is not valid JSON ({named(str(error))}).", hint="Repair it, or remove it.") from error
    if not isinstance(told, dict):
        raise UserError("It is not a JSON object of English texts and translations.", hint="Repair it, or remove it.")
    texts = [item for item in told.items() if item[0] != RTL]
    fit, wrong = read_each(KIND, texts, lambda item: f"{path.name}: {item[0][:80]}", _text)
    words = {english.strip(): said for (english, _), said in fit if said and english.strip()}
    return _Read((0, 0), words, told.get(RTL) is True, tuple(wrong[:MOST_NAMED]))


def _text(item: tuple[str, object]) -> str:
    """Raises UserError: a translation is no text."""
    _, said = item
    if not isinstance(said, str):
        raise UserError("Its translation is not a text.", hint="Put it in quotation marks.")
    if len(said) > LONGEST:
        raise UserError(f"Its translation has more than {LONGEST:,} characters.", hint="Shorten it.")
    return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
