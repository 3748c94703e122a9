"""Names under which somebody might try to get at files that are not theirs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

SECRET = "nobody-shall-read-this"


def hostile_names(secret: Path) -> list[str]:
    """Thirty ways to name a file that nobody shall read, as they stand in a URL's path."""
    absolute = str(secret)
    relative = "../" * 12 + absolute.lstrip("/")
    plain = [
        absolute,
        f"/{absolute}",
        f"//{absolute}",
        relative,
        relative.replace("/", "\\"),
        f"./{relative}",
        f"x/../{relative}",
        relative.replace("../", "..././"),
        relative.replace("../", "....//"),
        relative.replace("..", ".. "),
        f"{absolute}/",
        f"{absolute}/.",
        f"{absolute}\0.png",
        f"\0{absolute}",
        f"{absolute}\n",
        f"{absolute}?x=1",
        f"{absolute}#x",
        f"~{absolute}",
        f"$HOME/{relative}",
        f"file://{absolute}",
        f"file:{absolute}",
        f"\\\\localhost\\c$\\{secret.name}",
        f"\\\\?\\{absolute}",
        f"C:\\{secret.name}",
        f"/proc/self/root{absolute}",
        f"/proc/self/cwd/{relative}",
        relative.replace("/", "\u2215"),
        relative.replace(".", "\uff0e"),
    ]
    encoded = [quote(name, safe="") for name in plain]
    twice = [quote(quote(name, safe=""), safe="") for name in (absolute, relative)]
    overlong = [relative.replace("..", "%c0%ae%c0%ae").replace("/", "%c0%af")]
    return [*encoded, *twice, *overlong]
