"""The training pictures: Fluent 3D emoji with alpha, their names, and the scenes composed of them.

A *scene* is a caption with the recipe of its picture; `Emoji.paint` makes the picture. Data: the npm packages
`@lobehub/fluent-emoji-3d` (MIT; pictures by Microsoft), `unicode-emoji-json` (MIT) and `emojibase-data` (MIT).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from webui.base.errors import StorageError, UserError
from webui.engine.training.usual import USUAL

PACKAGES = ("@lobehub/fluent-emoji-3d@1.1.0", "unicode-emoji-json@0.9.0", "emojibase-data@17.0.0")

Colour = tuple[int, int, int]
COLOURS: dict[str, Colour] = {
    "red": (226, 48, 52),
    "orange": (248, 140, 36),
    "yellow": (252, 214, 52),
    "green": (64, 176, 84),
    "blue": (46, 124, 232),
    "purple": (138, 76, 200),
    "pink": (250, 150, 190),
    "black": (24, 24, 28),
    "gray": (150, 152, 158),
    "brown": (134, 84, 50),
    "turquoise": (64, 200, 196),
}
"""The background colours that the model knows by name, beside white."""
WHITE: Colour = (255, 255, 255)
HUES = {"red": 357, "orange": 28, "yellow": 50, "green": 125, "turquoise": 178, "blue": 215, "purple": 275, "pink": 328}
"""Hue of a recoloured object in degrees."""
COLOUR_WORD = re.compile(r"\b(red|orange|yellow|green|blue|purple|pink|black|white|brown|gray|turquoise)\b")
POPULAR = {"Smileys & Emotion": 1.6, "Animals & Nature": 1.6, "Food & Drink": 1.6, "Flags": 0.7}
"""Sampling weight of a group; 1 where it is not named."""
USUAL_SHARE = 0.5
"""Of the lessons: what people type first."""


@dataclass(frozen=True)
class ScenePart:
    """One emoji in a scene: which, where its middle lies, its size (1 fills the picture), its new hue in degrees."""

    emoji: int
    x: float = 0.5
    y: float = 0.5
    scale: float = 1.0
    hue: float | None = None


@dataclass(frozen=True)
class Scene:
    caption: str
    parts: tuple[ScenePart, ...]
    background: Colour = WHITE


@dataclass(frozen=True)
class Emoji:
    """All base emoji. pixels: (n, size, size, 4) uint8, colour not multiplied by alpha."""

    names: tuple[str, ...]
    keywords: tuple[tuple[str, ...], ...]
    groups: tuple[str, ...]
    pixels: NDArray[np.uint8]
    hues: tuple[float | None, ...]
    """Hue in degrees of the emoji whose colour is one clear hue; else None."""

    @cached_property
    def words(self) -> tuple[tuple[str, ...], ...]:
        """What people call each emoji beside its name, where it is one of the usual nouns: "car" for an automobile."""
        meant: dict[str, list[str]] = {}
        for word, name in USUAL.items():
            meant.setdefault(name, []).append(word)
        return tuple(tuple(meant.get(name, ())) for name in self.names)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """How often each emoji comes, (n,), the sum is 1: the usual nouns in half of all lessons."""
        all_alike = np.array([POPULAR.get(group, 1.0) for group in self.groups])
        usual = np.array([float(len(words) > 0) for words in self.words])
        share = USUAL_SHARE if usual.any() else 0.0
        shares: NDArray[np.float64] = (1 - share) * all_alike / all_alike.sum() + share * usual / max(usual.sum(), 1)
        return shares

    def paint(self, scene: Scene) -> NDArray[np.uint8]:
        """The picture of a scene: (size, size, 3) uint8."""
        size = self.pixels.shape[1]
        canvas = Image.new("RGB", (size, size), scene.background)
        for part in scene.parts:
            pixels = self.pixels[part.emoji]
            if part.hue is not None:
                pixels = rotated(pixels, part.hue - (self.hues[part.emoji] or 0.0))
            picture = Image.fromarray(pixels)
            side = round(size * part.scale)
            if side != size:
                picture = picture.convert("RGBa").resize((side, side), Image.Resampling.LANCZOS).convert("RGBA")
            canvas.paste(picture, (round(part.x * size - side / 2), round(part.y * size - side / 2)), picture)
        return np.asarray(canvas)


def article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def rotated(pixels: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """The picture (h, w, 4) with its hues turned; saturation, brightness and alpha stay."""
    hsv = np.array(Image.fromarray(pixels[..., :3]).convert("HSV"))
    hsv[..., 0] += np.uint8(round(degrees / 360 * 256) % 256)  # wraps around, as hues do
    return np.dstack([np.asarray(Image.fromarray(hsv, "HSV").convert("RGB")), pixels[..., 3]])


def dominant_hue(pixels: NDArray[np.uint8]) -> float | None:
    """The hue in degrees shared by most of the object, or None when it is pale or of several colours."""
    hsv = np.array(Image.fromarray(pixels[..., :3]).convert("HSV")).astype(float)
    solid = pixels[..., 3] > 128
    vivid = solid & (hsv[..., 1] > 90) & (hsv[..., 2] > 60)
    if vivid.sum() < 0.5 * solid.sum():
        return None
    angles = hsv[..., 0][vivid] / 256 * 2 * np.pi
    middle = np.angle(np.exp(1j * angles).mean())
    near = np.abs(np.angle(np.exp(1j * (angles - middle)))) < np.radians(25)
    return float(np.degrees(middle) % 360) if near.mean() > 0.75 else None


# ---- scenes ----------------------------------------------------------------------------------------------------------


FRAMES = (
    "a picture of {}", "a photo of {}", "an icon of {}", "a 3d emoji of {}", "an emoji of {}", "{}, 3d render",
    "a drawing of {}", "an image of {}", "a cute {0}", "a beautiful {0}", "a nice {0}", "{}, high quality",
    "an illustration of {}", "a cartoon of {}", "a 3d render of {}", "{0} emoji", "{0} icon", "3d {0}", "one {0}",
    "a single {0}", "a shiny {0}", "a funny {0}", "a lovely {0}", "a pretty {0}", "a cool {0}", "my {0}", "draw {}",
    "show me {}", "{}, cute", "{}, detailed, best quality", "{}, emoji", "{} in the style of a 3d emoji",
    "a picture of the {0}", "{} please",
)  # fmt: skip
"""Ways to ask; "{0}" stands where no article fits."""
GROUNDS = (
    "{} on {a} background", "{} on {a} background", "{} on {a} background", "{} with {a} background",
    "{}, {colour} background", "{} on {colour}", "{} in front of {a} background", "{} against {a} background",
)  # fmt: skip
"""Ways to ask for a ground."""
SIZES = (
    ("small", 0.45), ("small", 0.45), ("tiny", 0.45), ("little", 0.45),
    ("large", 1.3), ("big", 1.3), ("huge", 1.3),
)  # fmt: skip
SIDE_BY_SIDE = (
    "{a} and {b}", "{a} and {b}", "{a} and {b}", "{a} and {b}", "{a} with {b}", "{a}, {b}", "{a} next to {b}",
    "{a} beside {b}", "{a} to the left of {b}", "{b} to the right of {a}", "{a} on the left and {b} on the right",
    "{a} on the left, {b} on the right",
)  # fmt: skip
"""Ways to ask for two things; the first stands on the left, but for "right of"."""
UPON_EACH_OTHER = ("{a} above {b}", "{b} below {a}", "{a} over {b}", "{b} under {a}")
COUNTS = {
    "two": ((0.25, 0.5), (0.75, 0.5)),
    "three": ((0.25, 0.27), (0.75, 0.27), (0.5, 0.74)),
    "four": ((0.25, 0.27), (0.75, 0.27), (0.25, 0.74), (0.75, 0.74)),
}
"""Where the middles of several of a kind lie."""


def plural(name: str) -> str:
    if name.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") and name[-2:-1] not in "aeiou" else f"{name}s"


def named(emoji: Emoji, index: int, rng: np.random.Generator) -> str:
    """What a person might call one emoji: a usual word where there is one, else its name. Never a colour alone."""
    words = [word for word in emoji.words[index] if not COLOUR_WORD.fullmatch(word)]
    return str(rng.choice(words)) if words and rng.random() < 0.6 else emoji.names[index]


def phrase(emoji: Emoji, index: int, rng: np.random.Generator) -> str:
    """How a person might ask for one emoji: by its name or a usual word, now and then by a keyword, in many frames."""
    name, words, keywords = emoji.names[index], emoji.words[index], emoji.keywords[index]
    if words and rng.random() < 0.6:
        name = str(rng.choice(words))
    elif keywords and rng.random() < 0.1:
        name = str(rng.choice(keywords))
    kind = rng.random()
    if kind < 0.50:
        asked = article(name)
    elif kind < 0.66:
        asked = name
    elif kind < 0.71:
        asked = f"the {name}"
    elif kind < 0.75:
        asked = plural(name)
    else:
        frame = str(rng.choice(FRAMES))
        asked = frame.format(name if "{0}" in frame else article(name))
    if rng.random() < 0.05:
        asked = grounded(asked, "white", rng)
    return asked[0].upper() + asked[1:] if rng.random() < 0.1 else asked


def grounded(asked: str, colour: str, rng: np.random.Generator) -> str:
    """The caption with its ground."""
    return str(rng.choice(GROUNDS)).format(asked, a=article(colour), colour=colour)


def plain_scene(emoji: Emoji, index: int, rng: np.random.Generator) -> Scene:
    return Scene(phrase(emoji, index, rng), (ScenePart(index),))


def on_background(scene: Scene, rng: np.random.Generator) -> Scene:
    colour = str(rng.choice(list(COLOURS)))
    return replace(scene, caption=grounded(scene.caption, colour, rng), background=COLOURS[colour])


def recoloured_scene(emoji: Emoji, index: int, rng: np.random.Generator, *, sized: bool = False) -> Scene | None:
    """The emoji in another colour, or None when it has no clear hue."""
    hue = emoji.hues[index]
    if hue is None:
        return None
    colour = str(rng.choice(list(HUES)))
    name = named(emoji, index, rng)
    name = COLOUR_WORD.sub(colour, name) if COLOUR_WORD.search(name) else f"{colour} {name}"
    if name in emoji.names:
        return None  # "a green apple" has a picture of its own
    size, scale = _size(rng) if sized else ("", 1.0)
    return Scene(article(f"{size} {name}".strip()), (ScenePart(index, scale=scale, hue=HUES[colour]),))


def sized_scene(emoji: Emoji, index: int, rng: np.random.Generator) -> Scene:
    word, scale = _size(rng)
    return Scene(article(f"{word} {named(emoji, index, rng)}"), (ScenePart(index, scale=scale),))


def _size(rng: np.random.Generator) -> tuple[str, float]:
    return SIZES[int(rng.integers(len(SIZES)))]


def pair_scene(emoji: Emoji, first: int, second: int, rng: np.random.Generator) -> Scene:
    """Two things, one left and one right, or one above the other."""
    a, b = (article(named(emoji, index, rng)) for index in (first, second))
    if rng.random() < 0.15:
        caption = str(rng.choice(UPON_EACH_OTHER)).format(a=a, b=b)
        return Scene(caption, (ScenePart(first, y=0.25, scale=0.5), ScenePart(second, y=0.75, scale=0.5)))
    caption = str(rng.choice(SIDE_BY_SIDE)).format(a=a, b=b)
    return Scene(caption, (ScenePart(first, x=0.25, scale=0.5), ScenePart(second, x=0.75, scale=0.5)))


def several_scene(emoji: Emoji, index: int, rng: np.random.Generator) -> Scene:
    """Two to four of a kind."""
    count = str(rng.choice(list(COUNTS)))
    parts = tuple(ScenePart(index, x=x, y=y, scale=0.48) for x, y in COUNTS[count])
    return Scene(f"{count} {plural(named(emoji, index, rng))}", parts)


def scenes(emoji: Emoji, rng: np.random.Generator) -> Iterator[Scene]:
    """Composed scenes without end: grounds, colours, sizes, pairs, several of a kind (plain ones are added by the
    caller)."""
    weights = emoji.weights
    clear = np.array([hue is not None for hue in emoji.hues])
    objects = np.isin(emoji.groups, ["Smileys & Emotion", "Animals & Nature", "Food & Drink", "Objects", "Activities"])
    pair_weights = weights * np.where(objects, 1.0, 0.15)
    pair_weights /= pair_weights.sum()
    hue_weights = weights * clear / (weights * clear).sum()

    def drawn(by: NDArray[np.float64]) -> int:
        return int(rng.choice(len(by), p=by))

    while True:
        kind = rng.random()
        if kind < 0.42:
            scene: Scene | None = on_background(plain_scene(emoji, drawn(weights), rng), rng)
        elif kind < 0.60:
            scene = recoloured_scene(emoji, drawn(hue_weights), rng, sized=rng.random() < 0.15)
        elif kind < 0.72:
            scene = sized_scene(emoji, drawn(weights), rng)
        elif kind < 0.93:
            first, second = rng.choice(len(weights), size=2, p=pair_weights)
            scene = pair_scene(emoji, int(first), int(second), rng)
        else:
            scene = several_scene(emoji, drawn(pair_weights), rng)
        if scene is None:
            continue
        composed = scene.background == WHITE and kind >= 0.42
        yield on_background(scene, rng) if composed and rng.random() < 0.25 else scene


# ---- files -----------------------------------------------------------------------------------------------------------


def downloaded(cache: Path) -> Path:
    """The folder in `cache` with the npm packages' content, fetched with `npm pack` when it is not there yet.

    Raises:
        UserError: npm is missing or cannot fetch a package.
    """
    root = cache / "packages"
    for package in PACKAGES:
        folder = root / package.lstrip("@").replace("/", "-").replace("@", "-")
        if folder.is_dir():
            continue
        npm = shutil.which("npm")
        if npm is None:
            raise UserError(
                "npm is not installed; it fetches the training pictures.",
                hint=f"Install Node.js, or unpack {package} from the npm registry into {folder}.",
            )
        root.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([npm, "pack", "--silent", package], cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"npm cannot fetch {package}: {reason}", hint="Check the network connection.")
        archive = root / done.stdout.strip().splitlines()[-1]
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        archive.unlink()
    return root


def load_emoji(cache: Path, size: int) -> Emoji:
    """All base emoji (without skin tones) at `size` pixels, from the packages in `cache`."""
    root = downloaded(cache)
    described: dict[str, dict[str, Any]] = json.loads(
        (root / "unicode-emoji-json-0.9.0/package/data-by-emoji.json").read_text("utf-8")
    )
    base: list[dict[str, Any]] = json.loads((root / "emojibase-data-17.0.0/package/en/data.json").read_text("utf-8"))
    tags = {plain_code(entry["hexcode"]): tuple(entry.get("tags", ())) for entry in base}
    assets = root / "lobehub-fluent-emoji-3d-1.1.0/package/assets"
    files = {plain_code(path.stem): path for path in assets.glob("*.webp")}
    if not files:
        raise StorageError(f"There are no pictures in {root}.", hint="Delete this folder and run the command again.")
    names, keywords, groups, pixels = [], [], [], []
    for character, entry in described.items():
        code = plain_code("-".join(f"{ord(letter):04x}" for letter in character))
        if code not in files:
            continue
        names.append(str(entry["name"]).replace("“", "").replace("”", "").replace("’", "'"))
        keywords.append(tuple(tag for tag in tags.get(code, ()) if tag.isascii()))
        groups.append(str(entry["group"]))
        picture = Image.open(files[code]).convert("RGBA").convert("RGBa")
        resized = picture.resize((size, size), Image.Resampling.LANCZOS).convert("RGBA")
        pixels.append(np.asarray(resized))
    stacked = np.stack(pixels)
    return Emoji(tuple(names), tuple(keywords), tuple(groups), stacked, tuple(dominant_hue(p) for p in stacked))


def plain_code(code: str) -> str:
    """A code point sequence without variation selectors and end marks, which the packages use differently."""
    return "-".join(part for part in code.lower().replace("_", "-").split("-") if part not in ("fe0f", "e007f"))
