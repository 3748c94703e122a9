"""What stands in the forms of the page, so that nothing that was typed is lost with the page."""

from __future__ import annotations

import time

from webui.catalog.database import Database

LONGEST = 2**20
"""Characters of one form; a longer one is not kept."""
MOST_PAGES = 12
"""Of one person, the newest."""
KEPT = 30 * 24 * 3600.0
"""Seconds after which a form that nobody touched is forgotten."""


class Forms:
    """The forms by person, page and kind. `who` is a login or, without logins, a browser. Any thread may call any
    method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, who: str, page: str, kind: str, content: str) -> None:
        """Keep what stands in a form; too long a one leaves what was kept before.

        Raises:
            DatabaseError: it cannot be written.
        """
        if len(content) > LONGEST:
            return
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO forms (who, page, kind, content, kept) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (who, page, kind) DO UPDATE SET content = excluded.content, kept = excluded.kept",
                (who, page, kind, content, time.time()),
            )
            connection.execute(
                "DELETE FROM forms WHERE who = ? AND kind = ? AND page NOT IN"
                " (SELECT page FROM forms WHERE who = ? AND kind = ? ORDER BY kept DESC LIMIT ?)",
                (who, kind, who, kind, MOST_PAGES),
            )

    def last(self, who: str, page: str, kind: str) -> str:
        """What stood in the form of this page, or else in the one that this person touched last; "": nothing is kept.

        Raises:
            DatabaseError: it cannot be read.
        """
        rows = self._database.read(
            "SELECT content FROM forms WHERE who = ? AND kind = ? ORDER BY page = ? DESC, kept DESC LIMIT 1",
            who,
            kind,
            page,
        )
        return str(rows[0]["content"]) if rows else ""

    def sweep(self, before: float) -> int:
        """Forget the forms that nobody touched since (seconds since 1970) -> how many.

        Raises:
            DatabaseError: it cannot be written.
        """
        return self._database.write("DELETE FROM forms WHERE kept < ?", before)
