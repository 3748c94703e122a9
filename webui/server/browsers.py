"""Which browser somebody uses, in words, so that people know their logins again in a list."""

from __future__ import annotations

LONGEST = 60
BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Vivaldi", "Vivaldi"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
"""Words of a User-Agent -> the browser. Most name others beside themselves, so the order matters."""
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def told(agent: str) -> str:
    """A User-Agent header in words: "Firefox on Windows". What is unknown is told by its own first word."""
    browser = next((name for word, name in BROWSERS if word in agent), "")
    system = next((name for word, name in SYSTEMS if word in agent), "")
    if browser:
        return f"{browser} on {system}" if system else browser
    first = "".join(letter for letter in agent.partition(" ")[0] if letter.isprintable())
    return first[:LONGEST] or "Unknown"
