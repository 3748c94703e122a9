"""The film strip: a sheet and an animation of each picture's way, and nothing of it where nobody asked."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.engine.conftest import Engine
from tests.engine.test_generate import from_picture, request
from webui.features.film import engine as film_engine
from webui.features.film.engine import Film


@pytest.fixture
def film(monkeypatch: pytest.MonkeyPatch) -> Film:
    """What the next batch is recorded on."""
    film = Film()
    monkeypatch.setattr(film_engine, "Film", lambda: film)
    return film


def labels(film: Film) -> list[str]:
    return [frame.label for frame in film.frames]


def test_each_picture_of_a_batch_shows_its_own_way_and_is_the_same_picture(engine: Engine) -> None:
    plain = engine.run(request(batch_size=2))
    shown = engine.run(request(batch_size=2, show_film=True))
    assert [picture.rgb for picture in plain] == [picture.rgb for picture in shown]
    assert [picture.extras for picture in plain] == [(), ()]
    for picture in shown:
        sheet, film = picture.extras
        assert (sheet.name, sheet.kind, film.name, film.kind) == ("film-strip", "png", "film", "webp")
        assert Image.open(io.BytesIO(sheet.content)).format == "PNG"
        assert getattr(Image.open(io.BytesIO(film.content)), "is_animated", False)
    assert shown[0].extras[1].content != shown[1].extras[1].content


@pytest.mark.parametrize(("sampler", "steps"), [("DPM++ SDE", 3), ("DDIM", 4), ("DDIM CFG++", 4)])
def test_samplers_of_two_calls_or_another_frame_show_each_step_once(
    engine: Engine, film: Film, sampler: str, steps: int
) -> None:
    """A1111's samplers of the timestep family make one step less than they are asked for."""
    engine.run(request(sampler_name=sampler, steps=steps, show_film=True))
    assert labels(film) == ["Start", "Step 1", "Step 2", "Step 3"]
    sigmas = [float(frame.sigma) for frame in film.frames[1:]]
    assert sigmas == sorted(sigmas, reverse=True)


def test_both_passes_are_shown(engine: Engine, film: Film) -> None:
    engine.run(request(enable_hr=True, hr_scale=2, steps=2, hr_second_pass_steps=2, show_film=True))
    assert labels(film) == ["Start", "Step 1", "Step 2", "Hires start", "Hires step 1", "Hires step 2"]


def test_a_given_picture_is_shown_as_it_was_noised(engine: Engine, film: Film) -> None:
    from_picture(engine, steps=4, denoising_strength=0.5, show_film=True)
    assert labels(film) == ["Start", "Step 1", "Step 2", "Step 3"]  # int(4 * 0.5) + 1
    assert float(film.frames[0].sigma) == float(film.frames[1].sigma) > 0
