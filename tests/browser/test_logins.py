"""Settings, Logins: a person logs in, sees where else, ends that, and leaves."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.browser.conftest import Enter
from tests.conftest import RunningServer

LOGIN = {"username": "anna", "password": "one"}


@pytest.mark.long
def test_a_person_sees_and_ends_logins_and_logs_out(enter: Enter, serving: Callable[..., RunningServer]) -> None:
    running = serving("--gradio-auth", "anna:one")
    visitor = enter(url=running.url, stranger=True, arrive=False, strict=False)
    page = visitor.page
    page.goto(visitor.url)
    for name, value in LOGIN.items():
        page.fill(f"#{name}", value)
    page.click("button")
    visitor.settled()
    with httpx.Client(base_url=running.url, timeout=60, headers={"user-agent": "telephone"}) as elsewhere:
        assert elsewhere.post("login", data=LOGIN).status_code == 303
        visitor.open("settings")
        page.click("#settings_logins-button")
        rows = visitor.see("#setting_logins tbody tr")
        assert rows.count() == 2
        assert "This browser" in rows.nth(0).inner_text()
        assert "telephone" in rows.nth(1).inner_text()
        rows.nth(1).get_by_text("End").click()
        rows.nth(1).get_by_text("Really log out?").click()
        visitor.until("() => document.querySelectorAll('#setting_logins tbody tr').length === 1")
        assert elsewhere.get("internal/ping").status_code == 401
    page.get_by_text("Log out", exact=True).click()
    visitor.see("#password")
    page.goto(visitor.url)
    visitor.see("#password")


@pytest.mark.long
def test_where_nobody_logs_in_there_is_nothing_to_end(enter: Enter) -> None:
    visitor = enter().open("settings")
    visitor.page.click("#settings_logins-button")
    assert visitor.see("#setting_logins .token-list p").inner_text() == "This server does not use logins."
