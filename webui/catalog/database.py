"""The program's SQLite file: one connection a thread, write-ahead log, one writer at a time, numbered migrations."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webui.base.errors import DatabaseError, StorageError

log = logging.getLogger(__name__)

BUSY_SECONDS = 30.0
"""So long another program may hold the file: a backup takes twenty."""
CHECKED_BYTES = 64 * 2**20
"""A file up to this size is checked wholly at each start; a larger one only when the last run did not end well."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE hashes (
        path TEXT NOT NULL, kind TEXT NOT NULL, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (path, kind)
    ) WITHOUT ROWID;

    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL, position INTEGER NOT NULL,
        request TEXT NOT NULL, settings TEXT NOT NULL, seed INTEGER NOT NULL, subseed INTEGER NOT NULL,
        pictures INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL, started REAL, finished REAL,
        code TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '',
        comments TEXT NOT NULL DEFAULT '[]'
    );
    CREATE INDEX jobs_in_order ON jobs (state, position);
    CREATE INDEX jobs_by_owner ON jobs (state, owner, position);
    CREATE INDEX jobs_of_owner ON jobs (owner, position);
    CREATE INDEX jobs_by_position ON jobs (position);
    CREATE INDEX jobs_by_end ON jobs (finished) WHERE finished IS NOT NULL;
    CREATE TABLE turns (owner TEXT PRIMARY KEY, turn INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX turns_in_order ON turns (turn);
    CREATE TABLE results (
        job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, position INTEGER NOT NULL,
        picture_id TEXT NOT NULL, seed INTEGER NOT NULL, subseed INTEGER NOT NULL, infotext TEXT NOT NULL,
        PRIMARY KEY (job_id, position)
    );

    CREATE TABLE pictures (
        id TEXT PRIMARY KEY, path TEXT NOT NULL, kind TEXT NOT NULL, job_id TEXT NOT NULL, position INTEGER NOT NULL,
        owner TEXT NOT NULL, infotext TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
        seed INTEGER NOT NULL, model TEXT NOT NULL, sampler TEXT NOT NULL, created REAL NOT NULL
    );
    CREATE INDEX pictures_newest ON pictures (created);
    CREATE INDEX pictures_of_owner ON pictures (owner, created);
    CREATE INDEX pictures_by_path ON pictures (path);
    """,
    """
    ALTER TABLE jobs ADD COLUMN model TEXT NOT NULL DEFAULT '';
    CREATE TABLE tokens (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL UNIQUE, scopes TEXT NOT NULL,
        created REAL NOT NULL, used REAL
    );
    CREATE INDEX tokens_of_owner ON tokens (owner, created);
    """,
    """
    CREATE TABLE history (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, path TEXT NOT NULL, kind TEXT NOT NULL,
        job_id TEXT NOT NULL, position INTEGER NOT NULL, owner TEXT NOT NULL, infotext TEXT NOT NULL,
        width INTEGER NOT NULL, height INTEGER NOT NULL, seed INTEGER NOT NULL, model TEXT NOT NULL,
        sampler TEXT NOT NULL, created REAL NOT NULL, parent TEXT NOT NULL DEFAULT '', digest TEXT NOT NULL DEFAULT '',
        prompt TEXT NOT NULL DEFAULT '', rating INTEGER NOT NULL DEFAULT 0, favourite INTEGER NOT NULL DEFAULT 0,
        tags TEXT NOT NULL DEFAULT ''
    );
    INSERT INTO history (
        number, id, path, kind, job_id, position, owner, infotext, width, height, seed, model, sampler, created, prompt
    )
    SELECT
        CAST(created * 1000000 AS INTEGER) * 1000 + row_number() OVER (ORDER BY created) % 1000, id, path, kind,
        job_id, position, owner, infotext, width, height, seed, model, sampler, created,
        CASE
            WHEN infotext LIKE 'Negative prompt:%' OR infotext LIKE 'Steps: %' THEN ''
            WHEN instr(infotext, char(10) || 'Negative prompt:')
                THEN substr(infotext, 1, instr(infotext, char(10) || 'Negative prompt:') - 1)
            WHEN instr(infotext, char(10) || 'Steps: ')
                THEN substr(infotext, 1, instr(infotext, char(10) || 'Steps: ') - 1)
            ELSE infotext
        END
    FROM pictures;
    DROP TABLE pictures;
    ALTER TABLE history RENAME TO pictures;
    CREATE INDEX pictures_of_owner ON pictures (owner);
    CREATE INDEX pictures_by_path ON pictures (path);
    CREATE INDEX pictures_by_model ON pictures (model);
    CREATE INDEX pictures_by_sampler ON pictures (sampler);
    CREATE INDEX pictures_by_rating ON pictures (rating) WHERE rating > 0;
    CREATE INDEX pictures_favourite ON pictures (favourite) WHERE favourite = 1;
    CREATE INDEX pictures_by_digest ON pictures (digest) WHERE digest != '';
    CREATE INDEX pictures_by_parent ON pictures (parent) WHERE parent != '';
    CREATE VIRTUAL TABLE picture_words USING fts5 (
        prompt, tags, content = 'pictures', content_rowid = 'number', prefix = '2 3 4',
        tokenize = 'unicode61 remove_diacritics 2'
    );
    INSERT INTO picture_words (picture_words) VALUES ('rebuild');
    CREATE TRIGGER picture_comes AFTER INSERT ON pictures BEGIN
        INSERT INTO picture_words (rowid, prompt, tags) VALUES (new.number, new.prompt, new.tags);
    END;
    CREATE TRIGGER picture_goes AFTER DELETE ON pictures BEGIN
        INSERT INTO picture_words (picture_words, rowid, prompt, tags)
            VALUES ('delete', old.number, old.prompt, old.tags);
    END;
    CREATE TRIGGER picture_changes AFTER UPDATE OF prompt, tags ON pictures BEGIN
        INSERT INTO picture_words (picture_words, rowid, prompt, tags)
            VALUES ('delete', old.number, old.prompt, old.tags);
        INSERT INTO picture_words (rowid, prompt, tags) VALUES (new.number, new.prompt, new.tags);
    END;
    """,
    """
    CREATE TABLE words (begin TEXT NOT NULL, word TEXT NOT NULL, PRIMARY KEY (begin, word)) WITHOUT ROWID;
    CREATE VIRTUAL TABLE all_words USING fts5vocab ('picture_words', 'row');
    INSERT INTO words SELECT term, term FROM all_words WHERE length(term) > 4;
    DROP TABLE all_words;
    """,
    """
    CREATE TABLE underway (
        id TEXT PRIMARY KEY, path TEXT NOT NULL, digest TEXT NOT NULL, subseed INTEGER NOT NULL, picture TEXT NOT NULL
    );
    """,
    "ALTER TABLE jobs ADD COLUMN answer TEXT NOT NULL DEFAULT ''",
    """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, digest TEXT NOT NULL UNIQUE, proof TEXT NOT NULL,
        created REAL NOT NULL, seen REAL NOT NULL, expires REAL NOT NULL, address TEXT NOT NULL, browser TEXT NOT NULL
    );
    CREATE INDEX sessions_of_owner ON sessions (owner, seen);
    """,
    "ALTER TABLE jobs ADD COLUMN called INTEGER NOT NULL DEFAULT 0",
    """
    CREATE TABLE forms (
        who TEXT NOT NULL, page TEXT NOT NULL, kind TEXT NOT NULL, content TEXT NOT NULL, kept REAL NOT NULL,
        PRIMARY KEY (who, page, kind)
    ) WITHOUT ROWID;
    CREATE INDEX forms_newest ON forms (who, kind, kept);
    """,
    """
    ALTER TABLE pictures ADD COLUMN bytes INTEGER NOT NULL DEFAULT -1;
    CREATE INDEX pictures_outline ON pictures (number, model, sampler, kind, width, height, rating);
    CREATE TABLE looks (number INTEGER PRIMARY KEY, look BLOB NOT NULL);
    CREATE TRIGGER look_goes AFTER DELETE ON pictures BEGIN
        DELETE FROM looks WHERE number = old.number;
    END;
    CREATE TABLE albums (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL);
    CREATE UNIQUE INDEX albums_by_name ON albums (owner, name);
    CREATE TABLE album_pictures (
        album INTEGER NOT NULL REFERENCES albums (id) ON DELETE CASCADE, picture TEXT NOT NULL, added REAL NOT NULL,
        PRIMARY KEY (album, picture)
    ) WITHOUT ROWID;
    CREATE INDEX albums_of_picture ON album_pictures (picture);
    CREATE TABLE trash (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, since REAL NOT NULL, path TEXT NOT NULL, picture TEXT NOT NULL
    );
    CREATE INDEX trash_of_owner ON trash (owner, since);
    """,
)
"""What to run to get from version N to N + 1. Never change a line that was released: add one."""


class Database:
    """An open database. Safe to use from any thread; close it at the end.

    A file that is broken is moved aside, under a name that says so, and a new one was created.

    Raises:
        StorageError: the file cannot be opened, or a newer version of the program wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._writer = threading.RLock()
        self._connections: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._generation = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"The folder {path.parent} cannot be created: {error.strerror or error}.") from error
        unclean = _unclean(path)
        try:
            self._open(check=unclean)
        except sqlite3.DatabaseError as error:
            self.close()
            if not _says_broken(error):
                raise _storage_error(path, error) from error
            _move_aside(path, error)
            try:
                self._open(check=False)
            except sqlite3.DatabaseError as again:
                raise _storage_error(path, again) from again

    def read(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a query.

        Raises:
            DatabaseError: the file is broken or locked.
        """
        try:
            return self._connection().execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise _storage_error(self.path, error) from error

    def write(self, sql: str, *values: object) -> int:
        """Run one statement in a transaction of its own (or in the enclosing one) -> number of rows changed.

        Raises:
            DatabaseError: the disk is full, the file broken or locked.
        """
        with self.writing() as connection:
            return connection.execute(sql, values).rowcount

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block is kept, or, when it raises, nothing. One at a time; nested ones join.

        Raises:
            DatabaseError: as `write`.
        """
        with self._writer:
            connection = self._connection()
            if connection.in_transaction:
                yield connection
                return
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                finally:
                    _roll_back(connection)
            except sqlite3.DatabaseError as error:
                raise _storage_error(self.path, error) from error

    def close(self) -> None:
        """Close the connections of all threads; using the database again opens new ones."""
        with self._guard:
            self._generation += 1
            while self._connections:
                self._connections.pop().close()

    def _connection(self) -> sqlite3.Connection:
        kept: tuple[int, sqlite3.Connection] | None = getattr(self._local, "kept", None)
        if kept is not None and kept[0] == self._generation:
            return kept[1]
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.row_factory = sqlite3.Row
        try:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                # A write-ahead log wants memory that processes share; network drives have none. The old journal does.
                log.debug("%s has no write-ahead log: %s", self.path, error)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.DatabaseError:
            connection.close()
            raise
        with self._guard:
            self._connections.append(connection)
            self._local.kept = (self._generation, connection)
        return connection

    def _open(self, *, check: bool) -> None:
        connection = self._connection()
        if check:
            complaints = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
            if complaints != ["ok"]:
                raise sqlite3.DatabaseError("malformed: " + "; ".join(complaints)[:300])
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            self.close()
            raise StorageError(
                f"{self.path} was written by a newer version of this program"
                f" (schema {version}; this one knows {len(MIGRATIONS)}).",
                hint="Update the program, or start it with another --data-dir.",
            )
        for number in range(version, len(MIGRATIONS)):
            # executescript commits what is open, so the script brings its own transaction.
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{MIGRATIONS[number]};\nPRAGMA user_version = {number + 1};\nCOMMIT;"
            )


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo what is open; after a COMMIT that is nothing."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _unclean(path: Path) -> bool:
    """Whether the file should be looked through before it is trusted."""
    try:
        if not path.stat().st_size:
            return False
        journal = path.with_name(path.name + "-wal")
        return path.stat().st_size <= CHECKED_BYTES or (journal.exists() and journal.stat().st_size > 0)
    except OSError:
        return False


def _says_broken(error: sqlite3.DatabaseError) -> bool:
    text = str(error)
    return "not a database" in text or "malformed" in text or "unsupported file format" in text


def _move_aside(path: Path, error: Exception) -> None:
    aside = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        for ending in ("", "-wal", "-shm"):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.replace(aside.with_name(aside.name + ending))
    except OSError as failure:
        raise StorageError(
            f"{path} is broken ({error}), and it cannot be moved aside: {failure.strerror or failure}.",
            hint="Move or delete it by hand.",
        ) from failure
    log.error("The database %s is broken (%s). It was moved to %s, and a new one was created.", path, error, aside)


def _storage_error(path: Path, error: sqlite3.DatabaseError) -> DatabaseError:
    text = str(error)
    if "locked" in text or "busy" in text:
        hint = (
            "Another program, such as a backup, has locked it, or this one is running twice with the same data folder."
        )
    elif "full" in text:
        hint = "Free some space on its disk."
    elif "readonly" in text or "unable to open" in text:
        hint = "Check the permissions of the file and of its folder."
    elif _says_broken(error):
        hint = "Start the program again: it then moves the broken file aside and creates a new one."
    else:
        hint = ""
    return DatabaseError(f"The database {path} cannot be used: {text}.", hint=hint)
