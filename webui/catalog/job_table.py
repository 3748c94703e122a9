"""Jobs as rows: what was asked for, by whom, how far it is, and what came of it. Survives any end of the program."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

from webui.base.errors import Busy, NotFound
from webui.base.text import named, path_named
from webui.catalog.database import Database

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class JobRow:
    """A job as it was when it was read."""

    id: str
    kind: str
    """ "txt2img", "img2img", ... """
    owner: str
    state: State
    position: int
    """Order in the queue: smaller is earlier; not a count."""
    request: str
    """JSON, as submitted but for the seeds."""
    settings: str
    """JSON: the settings that held at submission."""
    seed: int
    subseed: int
    """Fixed at submission, so that a job done again gives the same pictures."""
    pictures: int
    """How many were asked for."""
    attempts: int
    """How often it was begun."""
    created: float
    """Seconds since 1970, like the other times."""
    started: float | None
    finished: float | None
    code: str
    """Of a failed job: `WebuiError.code`, message, hint."""
    message: str
    hint: str
    model: str
    """Path of its checkpoint when it was submitted."""
    called: bool
    """An API call waits for its pictures."""
    comments: tuple[str, ...]
    answer: str
    """What came of a job without pictures."""


@dataclass(frozen=True)
class Result:
    """A finished picture of a job."""

    job_id: str
    position: int
    picture_id: str
    seed: int
    subseed: int
    infotext: str


_PICTURE_NAME = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_COLUMNS = ", ".join(column.name for column in fields(JobRow))
_FIRST = (
    "FROM jobs WHERE state = 'queued' AND position = ("
    " SELECT (SELECT MIN(position) FROM jobs WHERE state = 'queued' AND owner = turns.owner) AS first"
    " FROM turns WHERE first IS NOT NULL ORDER BY turn, first LIMIT 1)"
)
_RESULT_COLUMNS = ", ".join(column.name for column in fields(Result))


class JobTable:
    """The queue on disk. Every method is one transaction; any thread may call any of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(
        self,
        kind: str,
        owner: str,
        request: str,
        *,
        settings: str = "{}",
        seed: int,
        subseed: int,
        pictures: int = 1,
        model: str = "",
        called: bool = False,
        now: float | None = None,
    ) -> JobRow:
        """Put a job at the end of the queue."""
        job_id = secrets.token_hex(8)
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO jobs (id, kind, owner, state, position,"
                " request, settings, seed, subseed, pictures, model, called, created)"
                " SELECT ?, ?, ?, 'queued', COALESCE(MAX(position), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ? FROM jobs",
                (job_id, kind, owner, request, settings, seed, subseed, pictures, named(model), called, _now(now)),
            )
            # Who comes anew takes turns from now on; earlier turns are not made up for.
            connection.execute(
                "INSERT OR IGNORE INTO turns (owner, turn) SELECT ?, COALESCE(MAX(turn), 0) FROM turns", (owner,)
            )
            return _job(connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone())

    def claim(self, job_id: str = "", now: float | None = None) -> JobRow | None:
        """The next job, or the one named, now running. None: nothing waits, or the one named does not any more.

        Owners take turns, each owner's jobs in their order.
        """
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM turns WHERE NOT EXISTS"
                " (SELECT 1 FROM jobs WHERE jobs.state = 'queued' AND jobs.owner = turns.owner)"
            )
            chosen = "SELECT id, owner FROM jobs WHERE state = 'queued' AND id = ?", (job_id,)
            row = connection.execute(*chosen if job_id else (f"SELECT id, owner {_FIRST}",)).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', started = ?, attempts = attempts + 1 WHERE id = ?",
                (_now(now), row["id"]),
            )
            connection.execute(
                "UPDATE turns SET turn = (SELECT MAX(turn) + 1 FROM turns) WHERE owner = ?", (row["owner"],)
            )
            return _job(connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (row["id"],)).fetchone())

    def first_waiting(self) -> JobRow | None:
        """The job whose turn it is next."""
        rows = self._database.read(f"SELECT {_COLUMNS} {_FIRST}")
        return _job(rows[0]) if rows else None

    def finish(self, job_id: str, comments: Sequence[str] = (), answer: str = "", now: float | None = None) -> bool:
        """The running job is done -> whether it was running."""
        return self._end(job_id, "done", now, comments=json.dumps(list(comments)), answer=answer)

    def fail(self, job_id: str, code: str, message: str, hint: str = "", now: float | None = None) -> bool:
        """The job (running or waiting) has failed -> whether it was either."""
        return self._end(job_id, "failed", now, code=code, message=message, hint=hint)

    def cancel(self, job_id: str, now: float | None = None) -> bool:
        """The job (running or waiting) is given up -> whether it was either. Its finished pictures stay."""
        return self._end(job_id, "cancelled", now)

    def cancel_waiting(self, owner: str | None = None, now: float | None = None) -> int:
        """Give up all waiting jobs, of one owner or of all -> how many."""
        return self._database.write(
            "UPDATE jobs SET state = 'cancelled', finished = ? WHERE state = 'queued' AND (? IS NULL OR owner = ?)",
            _now(now),
            owner,
            owner,
        )

    def requeue(self, job_id: str) -> bool:
        """The running job waits again, at its old place: its engine died -> whether it was running."""
        with self._database.writing() as connection:
            return self._requeue(connection, "id = ?", (job_id,)) == 1

    def put_behind(self, job_id: str) -> bool:
        """The running job waits again, behind all others of its owner, who takes turns -> whether it was running.

        It has made progress, or it would not make way: its attempts are counted anew.
        """
        with self._database.writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO turns (owner, turn) SELECT owner, (SELECT COALESCE(MAX(turn), 0) FROM turns)"
                " FROM jobs WHERE id = ?",
                (job_id,),
            )
            return (
                connection.execute(
                    "UPDATE jobs SET state = 'queued', started = NULL, attempts = 0,"
                    " position = (SELECT MAX(position) + 1 FROM jobs) WHERE state = 'running' AND id = ?",
                    (job_id,),
                ).rowcount
                == 1
            )

    def others_wait(self, beside: Collection[str], *, owner: str | None = None) -> bool:
        """Whether a job of another kind than these waits, or any job of another owner than this one."""
        marks = ",".join("?" * len(beside))
        rows = self._database.read(
            f"SELECT 1 FROM jobs WHERE state = 'queued' AND (kind NOT IN ({marks}) OR owner != COALESCE(?, owner))"
            " LIMIT 1",
            *beside,
            owner,
        )
        return bool(rows)

    def drop_unheard(self, now: float | None = None) -> tuple[str, ...]:
        """At start: jobs of API calls of which nothing but the answer would be left, and whose callers went with the
        last run, are given up -> their ids."""
        rows = self.list(states=("queued", "running"), limit=1_000_000)
        unheard = [row for row in rows if row.called and not _leaves_something(row)]
        return tuple(row.id for row in unheard if self.cancel(row.id, now))

    def recover(
        self,
        *,
        resume: bool = True,
        most_attempts: int = 3,
        progressed: Iterable[str] = (),
        now: float | None = None,
    ) -> tuple[int, int]:
        """At start: what was running when the program ended waits again (`resume`), or has failed -> how many of each.

        A job that was begun `most_attempts` times without progress fails, since it may be what ends the program. A
        picture is progress; of these that have `progressed` more is known than the rows say.
        """
        with self._database.writing() as connection:
            connection.executemany(
                "UPDATE jobs SET attempts = 1 WHERE state = 'running' AND id = ?", [(job_id,) for job_id in progressed]
            )
            connection.execute(
                "UPDATE jobs SET attempts = 1 WHERE state = 'running' AND EXISTS (SELECT 1 FROM pictures"
                " WHERE pictures.job_id = jobs.id AND pictures.created >= jobs.started)"
            )
            failed = connection.execute(
                "UPDATE jobs SET state = 'failed', finished = ?, code = 'engine_crashed',"
                " message = 'The program stopped while it was working on this.', hint = 'Press Generate again.'"
                " WHERE state = 'running' AND (NOT ? OR attempts >= ?)",
                (_now(now), resume, most_attempts),
            ).rowcount
            return self._requeue(connection, "state = 'running'", ()), failed

    def reorder(self, job_ids: Sequence[str]) -> None:
        """Put waiting jobs into this order, among the places that they hold; the others keep theirs.

        Raises:
            Busy: one of them does not wait any more.
        """
        with self._database.writing() as connection:
            marks = ",".join("?" * len(job_ids))
            rows = connection.execute(
                f"SELECT position FROM jobs WHERE state = 'queued' AND id IN ({marks}) ORDER BY position",
                tuple(job_ids),
            ).fetchall()
            if len(rows) != len(job_ids):
                raise Busy("One of these jobs has started in the meantime.", hint="Reload the queue and try again.")
            for row, job_id in zip(rows, job_ids, strict=True):
                connection.execute("UPDATE jobs SET position = ? WHERE id = ?", (row["position"], job_id))

    def add_result(
        self, job_id: str, position: int, picture_id: str, seed: int, subseed: int = 0, infotext: str = ""
    ) -> bool:
        """Record a finished picture -> False when that one is recorded already (it stays), or the job is forgotten."""
        return (
            self._database.write(
                "INSERT OR IGNORE INTO results (job_id, position, picture_id, seed, subseed, infotext)"
                " SELECT id, ?, ?, ?, ?, ? FROM jobs WHERE id = ?",
                position,
                picture_id,
                seed,
                subseed,
                infotext,
                job_id,
            )
            == 1
        )

    def results(self, job_id: str) -> tuple[Result, ...]:
        """The finished pictures of a job, by position."""
        rows = self._database.read(f"SELECT {_RESULT_COLUMNS} FROM results WHERE job_id = ? ORDER BY position", job_id)
        return tuple(Result(*row) for row in rows)

    def get(self, job_id: str) -> JobRow:
        """
        Raises:
            NotFound: there is no such job.
        """
        rows = self._database.read(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", job_id)
        if not rows:
            raise NotFound(f"There is no job {job_id!r}.", hint="Old jobs are deleted after some time.")
        return _job(rows[0])

    def list(
        self,
        *,
        owner: str | None = None,
        states: Iterable[State] | None = None,
        limit: int = 100,
        after: int | None = None,
        newest_first: bool = False,
    ) -> tuple[JobRow, ...]:
        """Jobs in queue order (or the reverse), at most `limit` of them, beyond the position `after`."""
        conditions: list[str] = []
        values: list[object] = []
        if owner is not None:
            conditions.append("owner = ?")
            values.append(owner)
        if after is not None:
            conditions.append("position < ?" if newest_first else "position > ?")
            values.append(after)
        order = "DESC" if newest_first else "ASC"
        found: list[JobRow] = []
        # One question a state, since each can be answered from an index in order, and all together cannot.
        for state in (None,) if states is None else tuple(states):
            all_conditions = [*conditions, *(() if state is None else ("state = ?",))]
            where = f" WHERE {' AND '.join(all_conditions)}" if all_conditions else ""
            rows = self._database.read(
                f"SELECT {_COLUMNS} FROM jobs{where} ORDER BY position {order} LIMIT ?",
                *values,
                *(() if state is None else (state,)),
                limit,
            )
            found += map(_job, rows)
        return tuple(sorted(found, key=lambda job: job.position, reverse=newest_first)[:limit])

    def waiting(self, owner: str | None = None) -> int:
        """How many jobs wait, of one owner or of all."""
        if owner is None:
            return int(self._database.read("SELECT COUNT(*) FROM jobs WHERE state = 'queued'")[0][0])
        return int(self._database.read("SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND owner = ?", owner)[0][0])

    def pictures_needed(self) -> frozenset[str]:
        """Names of the uploaded pictures that any job refers to, also one that may be submitted again."""
        rows = self._database.read("SELECT request FROM jobs WHERE kind != 'txt2img' OR instr(request, '\"features\"')")
        return frozenset(name for row in rows for name in _PICTURE_NAME.findall(row[0]))

    def delete_old(self, before: float) -> int:
        """Forget jobs that ended before this time -> how many. Their pictures stay."""
        return self._database.write("DELETE FROM jobs WHERE finished IS NOT NULL AND finished < ?", before)

    def _end(self, job_id: str, state: State, now: float | None, **values: str) -> bool:
        endable = "('running')" if state == "done" else "('running', 'queued')"
        assigned = "".join(f", {column} = ?" for column in values)
        return (
            self._database.write(
                f"UPDATE jobs SET state = ?, finished = ?{assigned} WHERE id = ? AND state IN {endable}",
                state,
                _now(now),
                *values.values(),
                job_id,
            )
            == 1
        )

    @staticmethod
    def _requeue(connection: sqlite3.Connection, condition: str, values: tuple[str, ...]) -> int:
        connection.execute(
            "INSERT OR IGNORE INTO turns (owner, turn)"
            f" SELECT DISTINCT owner, 0 FROM jobs WHERE state = 'running' AND {condition}",
            values,
        )
        return connection.execute(
            f"UPDATE jobs SET state = 'queued', started = NULL WHERE state = 'running' AND {condition}", values
        ).rowcount


def _now(given: float | None) -> float:
    return time.time() if given is None else given


def _leaves_something(row: JobRow) -> bool:
    """Whether a call's pictures are kept beside its answer."""
    return row.kind != "interrogate" and json.loads(row.settings).get("samples_save", True) is not False


def _job(row: sqlite3.Row) -> JobRow:
    values = list(row)
    values[-3] = bool(values[-3])  # whether it is called for
    values[-2] = tuple(json.loads(values[-2]))  # the comments
    job = JobRow(*values)
    return replace(job, model=str(path_named(job.model))) if "%" in job.model else job
