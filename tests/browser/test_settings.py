"""The Settings tab shows today's values, and Apply changes what was changed there, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.browser.conftest import Enter
from tests.browser.visitor import Visitor
from tests.conftest import RunningServer

KEYS = ("jpeg_quality", "samples_format", "grid_format", "outdir_save", "sd_hypernetwork")


@pytest.fixture
def options(page_server: RunningServer) -> Iterator[httpx.Client]:
    """Another program that changes settings; they are put back."""
    with httpx.Client(base_url=f"{page_server.url}sdapi/v1/", timeout=120) as client:
        before = {key: client.get("options").json()[key] for key in KEYS}
        yield client
        client.post("options", json=before)


def apply(visitor: Visitor, said: str) -> None:
    visitor.page.click("#settings_submit")
    notice = "text => document.querySelector('#settings_result .notice')?.textContent.includes(text)"
    visitor.until(notice, said)


def test_two_pages_and_a_program_lose_nothing(enter: Enter, options: httpx.Client) -> None:
    options.post("options", json={"outdir_save": "by/program", "sd_hypernetwork": "gone"})
    first, second = enter(), enter()
    for page in (first, second):
        page.open("settings")
        page.page.click("#settings_save-button")
        field = "#setting_outdir_save :is(input, textarea)"
        page.until("([field, value]) => document.querySelector(field).value === value", [field, "by/program"])
    first.page.fill("#setting_jpeg_quality input[type=number]", "91")
    apply(first, "1 setting changed: jpeg_quality")
    options.post("options", json={"grid_format": "webp"})
    second.page.click("#setting_samples_format label:has-text('jpg')")
    apply(second, "1 setting changed: samples_format")
    apply(first, "No settings were changed")
    now = options.get("options").json()
    assert {key: now[key] for key in KEYS} == {
        "jpeg_quality": 91,
        "samples_format": "jpg",
        "grid_format": "webp",
        "outdir_save": "by/program",
        "sd_hypernetwork": "gone",
    }
    first.until("() => document.querySelector('#setting_samples_format input[value=jpg]').checked")
