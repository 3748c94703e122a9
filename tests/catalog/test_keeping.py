"""Albums, likeness, and files without words."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tests.catalog.test_history import known
from tests.catalog.test_pictures import draft, naming, saving
from webui.base.errors import NotFound, UserError
from webui.base.paths import Paths
from webui.catalog.albums import Albums
from webui.catalog.database import Database
from webui.catalog.image_files import encode, read_infotext
from webui.catalog.looks import LENGTH, Likeness, distances, look_of
from webui.catalog.pictures import Pictures, SavedPicture
from webui.catalog.stealth import hidden_text
from webui.catalog.stripping import without_words

TEXT = "a secret\nSteps: 20, Sampler: Euler, Seed: 5"


def painting(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Soft spots, other ones for each seed."""
    grid = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)


def keep(pictures: Pictures, image: Image.Image, seed: int, **values: object) -> SavedPicture:
    one = replace(draft(seed=seed, created=float(seed)), width=image.width, height=image.height, **values)  # type: ignore[arg-type]
    return pictures.save(image.tobytes(), one, naming(seed), saving())


def test_albums_hold_pictures_and_delete_none(database: Database) -> None:
    albums = Albums(database)
    cat, dog = known(database, "cat", 1.0, owner="anna"), known(database, "dog", 2.0, owner="bert")
    prints = albums.create("anna", "  For   print ")
    assert albums.add("anna", prints, [cat, dog, "nothing"], viewer="anna") == 1
    assert albums.add("anna", prints, [cat]) == 0
    (album,) = albums.all("anna")
    assert (album.name, album.count, album.cover) == ("For print", 1, cat)
    assert albums.all("bert") == ()
    with pytest.raises(UserError, match="already"):
        albums.create("anna", "For print")
    other = albums.create("anna", "Other")
    with pytest.raises(UserError, match="already"):
        albums.rename("anna", other, "For print")
    albums.rename("anna", other, "another")
    assert [one.name for one in albums.all("anna")] == ["another", "For print"]
    with pytest.raises(UserError, match="needs a name"):
        albums.create("anna", " ")
    for act in (lambda: albums.add("bert", prints, [dog]), lambda: albums.delete("bert", prints)):
        with pytest.raises(NotFound):
            act()
    assert albums.remove("anna", prints, [cat, dog]) == 1
    albums.add("anna", prints, [cat])
    albums.delete("anna", prints)
    assert [one.name for one in albums.all("anna")] == ["another"]
    assert len(database.read("SELECT 1 FROM pictures")) == 2


def test_the_same_picture_smaller_brighter_and_saved_again_is_nearer_than_any_other() -> None:
    one = painting(1, (512, 384))
    buffer = io.BytesIO()
    one.save(buffer, "JPEG", quality=40)
    alike = [one.resize((100, 75)), ImageEnhance.Brightness(one).enhance(1.1), Image.open(buffer)]
    others = [painting(seed) for seed in range(2, 40)]
    looks = np.stack([np.frombuffer(look_of(image), np.uint8) for image in (one, *alike, *others)])
    apart = distances(looks, look_of(one))
    assert looks.shape[1] == LENGTH
    assert apart[0] == 0
    assert apart[1:4].max() < 0.15 < apart[4:].min()
    assert apart.max() <= 1


def test_pictures_like_one_are_found_among_ones_own(database: Database, paths: Paths) -> None:
    pictures = Pictures(database, paths)
    looks = Likeness(database, pictures)
    one = painting(1)
    first = keep(pictures, one, 1, owner="anna")
    near = keep(pictures, ImageEnhance.Color(one).enhance(0.8), 2, owner="anna")
    far = keep(pictures, painting(9), 3, owner="anna")
    keep(pictures, one, 4, owner="bert")
    broken = keep(pictures, painting(5), 5, owner="anna")
    Path(broken.path).write_bytes(b"\x89PNG\r\n\x1a\n no")
    assert len(looks.like(first.id)) == 1, "the others have not been looked at"
    looks.look_at_all()
    looks.wait(20)
    assert (looks.known().known, looks.known().total) == (5, 5)
    numbers = {row["number"]: row["id"] for row in database.read("SELECT number, id FROM pictures")}
    found = [numbers[alike.number] for alike in looks.like(first.id, owner="anna")]
    assert found == [first.id, near.id, far.id]
    with pytest.raises(NotFound):
        looks.like(first.id, owner="bert")
    with pytest.raises(UserError):
        looks.like(broken.id)
    pictures.forget(near.id)
    assert looks.known().known == 4
    looks.stop()


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "avif"])
def test_a_file_without_words_has_the_same_pixels(kind: str) -> None:
    content = encode(painting(3), kind, TEXT, quality=80).content  # type: ignore[arg-type]
    assert read_infotext(content)[0] == TEXT
    bare = without_words(content)
    assert read_infotext(bare)[0] == ""
    assert b"secret" not in bare
    assert "secret".encode("utf-16-be") not in bare
    before, after = (np.asarray(Image.open(io.BytesIO(each)).convert("RGB"), int) for each in (content, bare))
    assert np.abs(before - after).max() <= (12 if kind == "avif" else 0)


def test_what_is_hidden_in_the_alpha_channel_goes_too() -> None:
    image = painting(4).convert("RGBA")
    bits = "".join(f"{byte:08b}" for byte in b"stealth_pnginfo")
    bits += f"{len(TEXT.encode()) * 8:032b}" + "".join(f"{byte:08b}" for byte in TEXT.encode())
    for at, bit in enumerate(bits):
        image.putpixel((at // image.height, at % image.height), (*image.getpixel((0, 0))[:3], 254 | int(bit)))  # type: ignore[index]
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    with Image.open(io.BytesIO(buffer.getvalue())) as written:
        assert hidden_text(written) == TEXT
    with Image.open(io.BytesIO(without_words(buffer.getvalue()))) as bare:
        assert hidden_text(bare) == ""
        assert np.array_equal(np.asarray(bare)[..., :3], np.asarray(image)[..., :3])


def test_a_picture_that_exif_turns_is_turned() -> None:
    image, buffer = painting(5), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(buffer, "JPEG", exif=exif, quality=95)
    with Image.open(io.BytesIO(without_words(buffer.getvalue()))) as bare:
        assert bare.size == (image.height, image.width)
        assert not bare.getexif()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"GIF89a" + b"\0" * 20]
)
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(UserError):
        without_words(content)
