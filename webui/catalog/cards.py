"""Cards: what people see of a model file before they use it. Paged, searched and sorted here; known by ids, not paths.

What people write about a file lies beside it, in `<name>.json` and `<name>.preview.png`, as A1111 keeps it.
"""

from __future__ import annotations

import hashlib
import io
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from PIL import Image, UnidentifiedImageError

from webui.base.errors import NotFound, StorageError, UserError
from webui.base.files import write_atomically
from webui.base.json_values import Json, JsonObject
from webui.base.text import named
from webui.catalog.checkpoints import Checkpoints
from webui.catalog.embeddings import Embeddings
from webui.catalog.files import Found, find_files, natural_key
from webui.catalog.headers import read_metadata
from webui.catalog.hypernetworks import Hypernetworks
from webui.catalog.image_files import FORMATS, decoding
from webui.catalog.json_file import read_table, write_table
from webui.catalog.loras import Lora, Loras
from webui.catalog.said import read_said

log = logging.getLogger(__name__)

Page = Literal["embeddings", "hypernetworks", "checkpoints", "loras"]
PAGES: Mapping[Page, str] = {
    "embeddings": "Textual Inversion",
    "hypernetworks": "Hypernetworks",
    "checkpoints": "Checkpoints",
    "loras": "Lora",
}
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif")
SIDE = 320
"""Longer side of a card's picture in pixels."""
MOST = 200
"""Cards that one answer holds."""
TAGS = 24
"""Of the most frequent words of a training set that are shown."""
SORTS = ("path", "name", "date created", "date modified")
SEARCHED = 4
"""Letters from which something is searched for in hidden folders, too."""
UNKNOWN = "Unknown"
"""A1111: what its editor calls the base model of a file that tells none."""
EDITABLE = ("description", "notes", "activation text", "negative text", "preferred weight", "sd version", "vae")
"""What people may write about a file. A1111: these keys."""


@dataclass(frozen=True)
class Card:
    """A model file."""

    page: Page
    path: Path
    name: str
    """Relative to the folder of its kind, with forward slashes."""
    stamp: tuple[int, int]
    family: str = ""
    """Which base model it is for: what somebody said, else what stands in the file, else ""."""
    lora: Lora | None = None
    fault: str = ""
    """What is wrong with the file, where it is broken."""
    sha256: str = ""
    """Of the file, or of a LoRA's tensors, where it is known by now."""

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.page}\0{named(self.path)}".encode()).hexdigest()[:16]

    @property
    def stem(self) -> str:
        return named(self.path.stem)

    @property
    def folder(self) -> str:
        """Where it lies, "" at the top."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class CardWish:
    """Which cards somebody wants to see."""

    search: str = ""
    folder: str = ""
    family: str = ""
    sort: str = "path"
    """"path", "name", "date created" or "date modified"."""
    descending: bool = False
    start: int = 0
    count: int = 60
    hide_unknown: bool = False
    """Of a family: without those that tell none."""
    hidden: str = "Always"
    """When cards in folders of a name with a dot are shown: "Always", "When searched", "Never"."""
    hidden_folders: bool = True
    """Whether these folders are listed."""

    @property
    def shows_hidden(self) -> bool:
        """Whether such cards are shown now. A1111: four letters are a search."""
        return self.hidden == "Always" or (self.hidden == "When searched" and len(self.search) >= SEARCHED)


class _Listing:
    """The cards of a page, and what a list of them is made of: worked out once, for there may be ten thousand."""

    def __init__(self, cards: Mapping[str, Card]) -> None:
        """cards: by id."""
        self.cards = cards
        self.folders = _folders(cards.values())
        self.families = sorted({card.family for card in cards.values()} - {"", UNKNOWN})
        self.texts: dict[Path, str] = {}
        """What is searched in, of cards that were searched so far."""
        self._orders: dict[tuple[str, bool], list[Card]] = {}

    def ordered(self, sort: str, *, descending: bool) -> list[Card]:
        known = self._orders.get((sort, descending))
        if known is None:
            known = sorted(self.cards.values(), key=_order(sort), reverse=descending)
            self._orders[sort, descending] = known
        return known


class Cards:
    """The cards of all pages."""

    def __init__(
        self, checkpoints: Checkpoints, loras: Loras, hypernetworks: Hypernetworks, embeddings: Embeddings
    ) -> None:
        self._embeddings = embeddings
        self._checkpoints, self._loras, self._hypernetworks = checkpoints, loras, hypernetworks
        self._lock = threading.Lock()
        self._pages: dict[Page, _Listing] = {}
        self._beside: dict[Page, dict[str, Found]] = {}
        self._said: dict[tuple[Path, tuple[int, int]], JsonObject] = {}

    def refresh(self, page: Page) -> None:
        """Refresh the list."""
        refresh: Mapping[Page, Callable[[], object]] = {
            "checkpoints": self._checkpoints.refresh,
            "loras": self._loras.refresh,
        }
        if page in refresh:
            refresh[page]()
        with self._lock:
            self._pages.pop(page, None)

    def find(self, card_id: str) -> Card:
        """The card with this id. Raises NotFound."""
        for page in PAGES:
            if found := self._cards(page).get(card_id):
                return found
        raise NotFound("This card no longer exists.", hint="Press the refresh button.")

    def called(self, page: Page, name: str) -> Card | None:
        """The card of this name: the file's, with its folder or without, or a LoRA's own."""
        for card in self._cards(page).values():
            if name in (card.stem, card.name, card.lora.alias if card.lora else card.stem):
                return card
        return None

    def pictured_by(self, path: str) -> Card | None:
        """The card whose picture is the file of this path."""
        everywhere = (card for page in PAGES for card in self._cards(page).values())
        return next((card for card in everywhere if (file := self._picture(card)) and str(file.path) == path), None)

    def show(self, page: Page, wish: CardWish) -> dict[str, object]:
        """The cards that are wanted, and among how many: {"total", "folders", "families", "cards": [...]}."""
        listing = self._listing(page)
        words = wish.search.casefold().split()
        cards = listing.ordered(wish.sort if wish.sort in SORTS else SORTS[0], descending=wish.descending)
        fitting = [card for card in cards if _fits(card, wish)]
        if words:
            fitting = [card for card in fitting if all(word in self._text(listing, card) for word in words)]
        start = max(wish.start, 0)
        shown = fitting[start : start + min(max(wish.count, 1), MOST)]
        return {
            "total": len(fitting),
            "folders": [name for name in listing.folders if wish.hidden_folders or not _is_hidden(name)],
            "families": listing.families,
            "cards": [self.shown(card) for card in shown],
        }

    def shown(self, card: Card) -> dict[str, object]:
        """What a card tells."""
        said, picture = self.said(card), self._picture(card)
        return {
            "id": card.id,
            "name": card.stem,
            "path": card.name,
            "folder": card.folder,
            "family": card.family,
            "description": self._description(card, said),
            "picture": str(picture.stamp[0]) if picture else "",
            "fault": card.fault,
        }

    def said(self, card: Card) -> JsonObject:
        """What people wrote about the file; {} when nothing can be read."""
        file = self._companion(card, ".json")
        if file is None:
            return {}
        key = (file.path, file.stamp)
        if key not in self._said:
            self._said[key] = read_said(file.path)
        return self._said[key]

    def write(self, card: Card, values: Mapping[str, object]) -> None:
        """Keep what somebody wrote about the file; what else stands there stays.

        Raises:
            UserError: a value is none of those that people write.
            StorageError: the file cannot be written.
        """
        for key, value in values.items():
            if key not in EDITABLE or not isinstance(value, str | int | float):
                raise UserError(f"{key!r} cannot be stored for a model.")
        path = card.path.with_suffix(".json")
        write_table(path, {**read_table(path), **values})
        with self._lock:
            self._pages.pop(card.page, None)

    def details(self, card: Card) -> dict[str, object]:
        """Everything that is known of the file, for the editor and the table of metadata."""
        metadata = read_metadata(card.path)
        said = self.said(card)
        return {
            **self.shown(card),
            "file": named(card.path.name),
            "bytes": card.stamp[1],
            "modified": card.stamp[0] / 1e9,
            "sha256": card.sha256,
            "said": {key: said[key] for key in EDITABLE if key in said},
            "metadata": {key: value for key, value in sorted(metadata.items()) if key != "ss_tag_frequency"},
            "tags": _frequent(metadata.get("ss_tag_frequency")),
        }

    def picture(self, card: Card) -> bytes:
        """The card's picture as WebP, small. Raises NotFound."""
        file = self._picture(card)
        if file is None:
            raise NotFound(f"{card.stem} has no preview picture.")
        try:
            with Image.open(file.path, formats=FORMATS) as image, decoding(image):
                image.draft("RGB", (SIDE, SIDE))
                small = image.convert("RGBA" if "A" in image.getbands() else "RGB")
                small.thumbnail((SIDE, SIDE))
                buffer = io.BytesIO()
                small.save(buffer, "WEBP", quality=80)
        except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise NotFound(f"The preview picture of {card.stem} cannot be read.") from error
        return buffer.getvalue()

    def set_picture(self, card: Card, content: bytes) -> None:
        """Make this encoded picture the card's, its infotext included. Raises StorageError."""
        kinds = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg", b"RIFF": ".webp"}
        ending = next((kind for start, kind in kinds.items() if content.startswith(start)), None)
        if ending is None:
            raise StorageError("A picture of this format cannot be used as a model's preview.")
        for other in PICTURES:
            if other != ending:
                card.path.with_suffix(f".preview{other}").unlink(missing_ok=True)
        write_atomically(card.path.with_suffix(f".preview{ending}"), content)
        with self._lock:
            self._pages.pop(card.page, None)

    def insertion(self, card: Card, multiplier: float, *, by_alias: bool) -> dict[str, str]:
        """What a click writes: {"prompt", "negative", "checkpoint"}; for a checkpoint its title, to choose it."""
        said = self.said(card)
        if card.page == "checkpoints":
            return {"prompt": "", "negative": "", "checkpoint": self._checkpoints.find(str(card.path)).title}
        if card.page == "embeddings":
            return {"prompt": card.stem, "negative": "", "checkpoint": ""}
        weight = said.get("preferred weight")
        weight = weight if isinstance(weight, int | float) and weight else multiplier
        if card.lora is not None:
            kind, name = "lora", self._loras.mention(card.lora, by_alias=by_alias)
        else:
            kind, name = "hypernet", self._hypernetworks.mention(card.path)
        activation, negative = (str(said.get(key) or "") for key in ("activation text", "negative text"))
        return {
            "prompt": f"<{kind}:{name}:{weight:g}>" + (f" {activation}" if activation else ""),
            "negative": f"({negative}:1)" if negative else "",
            "checkpoint": "",
        }

    # ------------------------------------------------------------

    def _cards(self, page: Page) -> Mapping[str, Card]:
        return self._listing(page).cards

    def _listing(self, page: Page) -> _Listing:
        with self._lock:
            if page not in self._pages:
                cards = list(self._found(page))
                self._beside[page] = _companions({card.path.parent for card in cards})
                told = (replace(card, family=self._family(card)) for card in cards)
                self._pages[page] = _Listing({card.id: card for card in told})
            return self._pages[page]

    def _found(self, page: Page) -> Iterable[Card]:
        if page == "loras":
            known = self._loras.known_hashes()
            for lora in self._loras.scan():
                digest = known.get(lora.path, "")
                yield Card(page, lora.path, lora.name, lora.stamp, lora.family, lora, lora.fault, digest)
            return
        if page == "checkpoints":
            for checkpoint in self._checkpoints.scan():
                yield Card(
                    page,
                    checkpoint.path,
                    checkpoint.name,
                    checkpoint.stamp,
                    fault=checkpoint.fault,
                    sha256=checkpoint.sha256,
                )
            return
        found = self._hypernetworks.scan() if page == "hypernetworks" else self._embeddings.scan()
        for file in found:
            yield Card(page, file.path, file.name, file.stamp, fault=file.fault)

    def _family(self, card: Card) -> str:
        return str(self.said(card).get("sd version") or "") or card.family

    def _companion(self, card: Card, ending: str) -> Found | None:
        return self._beside.get(card.page, {}).get(str(card.path).removesuffix(card.path.suffix) + ending)

    def _picture(self, card: Card) -> Found | None:
        endings = (*(f".preview{kind}" for kind in PICTURES), *PICTURES)
        return next((file for ending in endings if (file := self._companion(card, ending))), None)

    def _description(self, card: Card, said: Mapping[str, Json]) -> str:
        if text := said.get("description"):
            return str(text)
        for ending in (".txt", ".description.txt"):
            if file := self._companion(card, ending):
                try:
                    return file.path.read_text("utf-8", "replace")[:2000]
                except OSError as error:
                    log.debug("%s: %s", file.path, error)
        return ""

    def _text(self, listing: _Listing, card: Card) -> str:
        """What is searched in."""
        text = listing.texts.get(card.path)
        if text is None:
            text = f"{card.name} {self._description(card, self.said(card))} {card.sha256}".casefold()
            listing.texts[card.path] = text
        return text


def _fits(card: Card, wish: CardWish) -> bool:
    """Whether a card is one of those that are wanted, whatever is searched for."""
    folder = card.folder
    if wish.folder and folder != wish.folder and not folder.startswith(f"{wish.folder}/"):
        return False
    if "." in folder and _is_hidden(folder) and not (wish.shows_hidden or _is_hidden(wish.folder)):
        return False
    # A1111: a file of unknown family may fit any.
    unknown = ("", UNKNOWN) if not wish.hide_unknown else ()
    return not wish.family or card.family in (*unknown, wish.family)


def _companions(folders: Collection[Path]) -> dict[str, Found]:
    """What lies beside models: path as text -> file."""
    endings = (".json", ".txt", *PICTURES)
    return {str(file.path): file for folder in folders for file in find_files(folder, endings, deep=False)}


def _folders(cards: Iterable[Card]) -> list[str]:
    """All folders with cards somewhere below them, in natural order."""
    found: set[str] = set()
    for folder in {card.folder for card in cards}:
        parts = folder.split("/")
        found.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return sorted(found - {""}, key=natural_key)


def _is_hidden(folder: str) -> bool:
    return any(part.startswith(".") for part in folder.split("/"))


def _order(sort: str) -> Callable[[Card], tuple[list[str | int], str] | tuple[int, int] | int]:
    if sort == "name":
        return lambda card: natural_key(card.stem)
    if sort == "date modified":
        return lambda card: card.stamp
    if sort == "date created":
        return _created
    return lambda card: natural_key(card.name)


def _created(card: Card) -> int:
    try:
        return card.path.stat().st_ctime_ns
    except OSError:
        return 0  # gone since the last look


def _frequent(frequency: Json) -> list[dict[str, str | int]]:
    """The words of a LoRA's training set that occur most."""
    counts: dict[str, int] = {}
    for words in frequency.values() if isinstance(frequency, dict) else ():
        for word, count in words.items() if isinstance(words, dict) else ():
            if isinstance(count, int):
                counts[str(word).strip()] = counts.get(str(word).strip(), 0) + count
    most = sorted(counts.items(), key=lambda item: -item[1])[:TAGS]
    return [{"tag": tag, "count": count} for tag, count in most]
