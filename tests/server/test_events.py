"""The stream: who sees what, what a slow reader gets, and how a reader that comes back catches up."""

from __future__ import annotations

import asyncio

from webui.server.jobs.events import REMEMBERED, Hub


def hub() -> tuple[Hub, list[bool]]:
    watched: list[bool] = []
    made = Hub(lambda viewer: {"type": "state", "viewer": viewer}, lambda: watched.append(made.watched))
    return made, watched


def test_a_new_reader_begins_with_the_whole_state() -> None:
    async def story() -> None:
        made, watched = hub()
        reader = made.subscribe("anna")
        first = await reader.next_message()
        assert (first["type"], first["viewer"]) == ("state", "anna")
        made.publish("engine", {"type": "engine"})
        second = await reader.next_message()
        assert second["seq"] == first["seq"] + 1
        made.unsubscribe(reader)
        assert watched == [True, False]

    asyncio.run(story())


def test_a_reader_that_comes_back_gets_what_it_missed_and_only_what_still_holds() -> None:
    async def story() -> None:
        made, _ = hub()
        reader = made.subscribe("anna")
        seen = (await reader.next_message())["seq"]
        made.unsubscribe(reader)
        for number in range(5):
            made.publish("job/1", {"type": "job", "number": number})
        made.publish("job/2", {"type": "job", "number": 9})
        back = made.subscribe("anna", seen)
        assert [(await back.next_message())["number"] for _ in range(2)] == [4, 9]

    asyncio.run(story())


def test_a_reader_of_an_earlier_run_or_of_long_ago_begins_anew() -> None:
    async def story() -> None:
        made, _ = hub()
        start = (await made.subscribe("anna").next_message())["seq"]
        for number in range(REMEMBERED + 1):
            made.publish(f"job/{number}", {"type": "job"})
        for since in (0, start - 100_000, start, start + 10 * REMEMBERED):
            assert (await made.subscribe("anna", since).next_message())["type"] == "state"

    asyncio.run(story())


def test_others_see_that_there_is_a_job_and_nothing_of_it() -> None:
    async def story() -> None:
        made, _ = hub()
        anna, bert = made.subscribe("anna"), made.subscribe("bert")
        await anna.next_message(), await bert.next_message()
        made.publish("preview", {"type": "preview"}, owner="anna")
        made.publish("job/1", {"prompt": "secret"}, owner="anna", others={"prompt": None})
        assert (await anna.next_message())["type"] == "preview"
        assert (await anna.next_message())["prompt"] == "secret"
        assert (await bert.next_message())["prompt"] is None

    asyncio.run(story())


def test_nothing_piles_up_for_a_slow_reader() -> None:
    async def story() -> None:
        made, _ = hub()
        reader = made.subscribe("anna")
        await reader.next_message()
        for number in range(10_000):
            made.publish("job/1", {"type": "job", "number": number})
            made.publish("preview", {"type": "preview", "number": number})
        await asyncio.sleep(0)
        got = [await reader.next_message() for _ in range(2)]
        assert [message["number"] for message in got] == [9_999, 9_999]

    asyncio.run(story())
