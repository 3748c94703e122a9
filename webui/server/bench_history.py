"""`python -m webui bench history`: the first page and a search over 100,000 pictures, against 1,000."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from webui.base.paths import Paths
from webui.catalog.database import Database
from webui.catalog.history import History, Wanted
from webui.catalog.pictures import Pictures, SavedPicture, record

FEW, MANY = 1_000, 100_000
ROUNDS = 30
LIMIT = 3.0
RARE = "chrysanthemum"
"""A word of one picture in ten: there are as many as a page holds among the few, too."""
PAIR = "gilded lantern"
"""A phrase of every second picture, so that one model's fill a page."""
WORDS = ("red", "green", "blue", "apple", "cat", "castle", "lighthouse", "sea", "forest", "portrait", "oil", "night")

QUESTIONS: dict[str, Wanted] = {
    "first page": Wanted(),
    "search, common word": Wanted(text="castle"),
    "search, beginning of a rare word": Wanted(text="chrys"),
    "search, phrase and model": Wanted(text=f'"{PAIR}"', model="model 1"),
    "search, two words": Wanted(text="castle lighthouse"),
    "favourites": Wanted(favourite=True),
    "rated 5": Wanted(rating=5),
}


def main(_argv: Sequence[str]) -> int:
    """Print the medians -> 1 when one of them is more than 3 times as long with 100,000 pictures."""
    ratios = []
    few, many = times(FEW), times(MANY)
    for name in QUESTIONS:
        ratios.append(many[name] / few[name])
        _say(
            f"{name}: {few[name] * 1000:.2f} ms of {FEW:,}, {many[name] * 1000:.2f} ms of {MANY:,},"
            f" ratio {ratios[-1]:.2f}"
        )
    _say(f"history: worst ratio {max(ratios):.2f} (at most {LIMIT})")
    return int(max(ratios) > LIMIT)


def times(count: int, rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds (median) that each of the questions takes in a history of so many pictures."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(data=Path(folder))
        database = Database(paths.database)
        try:
            history = History(database, Pictures(database, paths))
            fill(database, count)
            return {
                name: median(_seconds(partial(history.page, wanted)) for _ in range(rounds))
                for name, wanted in QUESTIONS.items()
            }
        finally:
            database.close()


def fill(database: Database, count: int) -> None:
    """Record pictures that have no files, one in a hundred with a rare word."""
    chance = random.Random(1)
    with database.writing() as connection:
        for number in range(count):
            words = chance.choices(WORDS, k=12)
            prompt = " ".join([*words, PAIR] if number % 2 else words) + (f" {RARE}" if number % 10 == 0 else "")
            text = f"{prompt}\nNegative prompt: blurry\nSteps: 20, Sampler: Euler, CFG scale: 7.0, Seed: {number}"
            draft = SavedPicture(
                "txt2img", "", 0, "", text, 512, 512, number, f"model {number % 4}", "Euler", 1e9 + number
            )
            record(connection, replace(draft, id=f"{number:016x}", path=f"/p/{number}.png"))
        # Every tenth is a favourite and rated 5.
        connection.execute("UPDATE pictures SET favourite = 1 WHERE seed % 10 = 0")
        connection.execute("UPDATE pictures SET rating = 5 WHERE seed % 10 = 0")


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
