"""Settings, API tokens: made, shown once, listed, taken back."""

from __future__ import annotations

import httpx

from tests.browser.visitor import Visitor


def test_a_token_is_made_shown_once_and_taken_back(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("settings")
    page.click("#settings_tokens-button")
    assert "You have no tokens" in visitor.see("#setting_tokens .token-list p").inner_text()
    page.fill("#setting_tokens input[aria-label='Name of the token']", "my phone")
    page.uncheck("#setting_tokens input[value=generate]")
    page.click("#setting_tokens button[type=submit]")
    secret = visitor.see("#setting_tokens input[aria-label='The new token']").input_value()
    row = visitor.see("#setting_tokens .token-list tbody tr")
    assert row.inner_text().startswith("my phone\tread\t")
    assert "never" in row.inner_text()

    shown = {"authorization": f"Bearer {secret}"}
    assert httpx.get(f"{visitor.url}internal/jobs", headers=shown, timeout=60).status_code == 200
    assert httpx.post(f"{visitor.url}internal/jobs/cancel", headers=shown, timeout=60).status_code == 403

    visitor.reload().open("settings")
    page.click("#settings_tokens-button")
    assert "never" not in visitor.see("#setting_tokens .token-list tbody tr").inner_text(), "it was used"
    assert page.locator("#setting_tokens input[aria-label='The new token']").count() == 0
    page.click("#setting_tokens .token-list button")
    page.click("#setting_tokens .token-list button:text('Really revoke?')")
    visitor.see("#setting_tokens .token-list p")
    assert httpx.get(f"{visitor.url}internal/jobs", headers=shown, timeout=60).status_code == 401
