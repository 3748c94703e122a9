"""What the page's scripts go by of the settings, from the moment on at which they are changed."""

from __future__ import annotations

from webui.request.settings import Settings


def live_settings(settings: Settings) -> dict[str, object]:
    """By the names of `assets/facts.js`."""
    return {**settings.ui.live, **settings.save.live, "canvas": settings.canvas.live, "cards": settings.cards.live}
