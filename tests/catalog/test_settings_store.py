"""Settings on disk: A1111's file is understood, kept, and never broken by us."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from typing import Any

import pytest

from webui.base.errors import NotFound, StorageError, UserError
from webui.base.paths import Paths
from webui.catalog.settings_store import SettingsStore
from webui.request.settings import Settings


def on_disk(paths: Paths) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(paths.settings.read_text("utf-8"))
    return table


def test_a_change_is_saved_and_there_at_the_next_start(paths: Paths) -> None:
    store = SettingsStore(paths)
    assert store.current == Settings()
    changed = store.change({"CLIP_stop_at_last_layers": 2, "samples_format": "jpg"})
    assert changed is store.current
    assert on_disk(paths) == {"CLIP_stop_at_last_layers": 2, "samples_format": "jpg"}
    assert SettingsStore(paths).current == changed
    store.change({"samples_format": "png", "quicksettings_list": ["sd_vae"]})
    assert on_disk(paths) == {"CLIP_stop_at_last_layers": 2, "quicksettings_list": ["sd_vae"]}
    assert SettingsStore(paths).current == store.current


def test_an_a1111_file_is_understood_and_what_we_do_not_know_is_kept(paths: Paths) -> None:
    theirs = {
        "CLIP_stop_at_last_layers": 2,
        "training_image_repeats_per_epoch": 100,
        "disabled_extensions": ["x"],
        "upscaler_for_img2img": None,
        "sd_model_checkpoint": None,
        "samples_format": "jpg",
        "eta_ancestral": 1,
    }
    paths.settings.write_text(json.dumps(theirs), encoding="utf-8-sig")
    store = SettingsStore(paths)
    assert store.current == Settings().with_options({"clip_skip": 2, "samples_format": "jpg"})
    store.change({"samples_format": "webp"})
    saved = on_disk(paths)
    assert saved["training_image_repeats_per_epoch"] == 100
    assert saved["disabled_extensions"] == ["x"]
    assert saved["upscaler_for_img2img"] is None
    assert saved["samples_format"] == "webp"
    assert saved["CLIP_stop_at_last_layers"] == 2


def test_a_bad_value_is_passed_over_and_kept_until_it_is_set(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    paths.settings.write_text('{"CLIP_stop_at_last_layers": 99, "samples_format": "jpg", "n_rows": "many"}')
    with caplog.at_level(logging.WARNING):
        store = SettingsStore(paths)
    assert store.current == Settings().with_options({"samples_format": "jpg"})
    assert "Clip skip cannot be 99" in caplog.text
    store.change({"jpeg_quality": 90})
    assert on_disk(paths)["CLIP_stop_at_last_layers"] == 99
    store.change({"n_rows": 2, "clip_skip": 3})
    assert on_disk(paths) == {"CLIP_stop_at_last_layers": 3, "samples_format": "jpg", "n_rows": 2, "jpeg_quality": 90}


def test_options_of_older_versions_are_understood(paths: Paths) -> None:
    paths.settings.write_text('{"quicksettings": "sd_vae, CLIP_stop_at_last_layers", "sd_vae_as_default": true}')
    settings = SettingsStore(paths).current
    assert settings.ui.quicksettings_list == ("sd_vae", "CLIP_stop_at_last_layers")
    assert settings.render.sd_vae_overrides_per_model_preferences is False


@pytest.mark.parametrize("broken", ["{", "[1, 2]", "\xff\xfe nonsense", "null", '{"a": 1} trailing', "[" * 100_000])
def test_a_broken_file_is_moved_aside_and_the_defaults_hold(
    paths: Paths, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    paths.settings.write_bytes(broken.encode("latin-1"))
    with caplog.at_level(logging.ERROR):
        store = SettingsStore(paths)
    assert store.current == Settings()
    (aside,) = paths.data.glob("config.json.broken-*")
    assert aside.read_bytes() == broken.encode("latin-1")
    assert str(aside) in caplog.text
    store.change({"clip_skip": 2})
    assert on_disk(paths) == {"CLIP_stop_at_last_layers": 2}


def test_an_empty_file_is_no_broken_one(paths: Paths) -> None:
    paths.settings.write_text("\n")
    assert SettingsStore(paths).current == Settings()
    assert not list(paths.data.glob("*.broken-*"))


def test_what_is_refused_changes_nothing(paths: Paths) -> None:
    store = SettingsStore(paths)
    with pytest.raises(UserError):
        store.change({"samples_format": "jpg", "clip_skip": "many"})
    with pytest.raises(NotFound):
        store.change({"samples_format": "jpg", "nonesuch": 1})
    assert store.current == Settings()
    assert not paths.settings.exists()


def test_what_cannot_be_written_changes_nothing(paths: Paths) -> None:
    (paths.data / "file").write_bytes(b"")
    store = SettingsStore(replace(paths, settings_path=paths.data / "config.json"))
    told: list[Settings] = []
    store.subscribe(told.append)
    store.path = paths.data / "file" / "config.json"
    with pytest.raises(StorageError):
        store.change({"clip_skip": 2})
    assert store.current == Settings()
    assert told == []


def test_subscribers_are_told_of_changes_until_they_leave(paths: Paths) -> None:
    store = SettingsStore(paths)
    told: list[int] = []
    leave = store.subscribe(lambda settings: told.append(settings.render.clip_skip))
    store.change({"clip_skip": 2})
    store.change({"clip_skip": 2})
    leave()
    store.change({"clip_skip": 3})
    assert told == [2]


def test_changes_from_many_threads_all_hold(paths: Paths) -> None:
    store = SettingsStore(paths)
    keys = ["s_churn", "s_tmin", "s_tmax", "sigma_min", "sigma_max", "rho"]
    threads = [threading.Thread(target=store.change, args=({key: 3},)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(on_disk(paths)) == set(keys)
    assert SettingsStore(paths).current == store.current


def test_a_number_of_thousands_of_digits_costs_its_own_setting_alone(paths: Paths) -> None:
    paths.settings.parent.mkdir(parents=True, exist_ok=True)
    paths.settings.write_text('{"samples_format": "webp", "CLIP_stop_at_last_layers": ' + "9" * 4400 + "}")
    store = SettingsStore(paths)
    assert store.current.save.samples_format == "webp"
    assert store.current.render.clip_skip == 1
    assert not list(paths.settings.parent.glob("*.broken-*"))
