"""Many WebSocket subscribers in a process of their own, so that their cost is not the gateway's."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from benchmarks.processes import many_descriptors
from benchmarks.wire import Live, WebSocket, dial

FOLLOW = (
    "subscription($id: ID!) { messageAdded(patientId: $id) "
    "{ cursor node { id externalId createdAt body sender { kind } } } }"
)
AT_ONCE = 200
"""Handshakes under way at the same time."""

RETRY_SECONDS = 1.0
CLOSED = "closed by us"
ANSWER_SECONDS = 120


class Crowd:
    """The parent's side: what the process with the subscribers is told and asked."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def open(self, host: str, path: str, patients: list[str], count: int) -> float:
        """Open so many subscriptions, spread over the patients; give the seconds that it took."""
        return self._ask("open", host, path, patients, count)

    def hears(self, text: str, count: int, seconds: float) -> tuple[int, float]:
        """Wait until so many have heard a text; give how many did, and when (monotonic) the last did."""
        return self._ask("hears", text, count, seconds)

    def close(self) -> dict[str, int]:
        """Close all; give how many subscriptions had ended by themselves before, by reason."""
        return self._ask("close")

    def _ask(self, *command: Any) -> Any:
        self._pipe.send(command)
        if not self._pipe.poll(ANSWER_SECONDS):
            raise TimeoutError(f"The subscribers do not answer: {command[0]}")
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def crowd() -> Generator[Crowd]:
    """Run the process with the subscribers."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_main, args=(there,), daemon=True)
    process.start()
    try:
        yield Crowd(here)
    finally:
        process.kill()
        process.join()


class _Subscribers:
    """The process's side. A subscription that is refused is asked for again, as clients do."""

    def __init__(self) -> None:
        self._live: set[Live] = set()
        self._refused: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: dict[str, tuple[int, float]] = {}
        self._awaited: tuple[str, int, asyncio.Event] | None = None
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def open(self, host: str, path: str, patients: list[str], count: int) -> float:
        """Open so many subscriptions; give the seconds until the last handshake."""
        began = time.monotonic()
        await asyncio.gather(*(self._open(host, path, patients[n % len(patients)]) for n in range(count)))
        return time.monotonic() - began

    async def hears(self, text: str, count: int, seconds: float) -> tuple[int, float]:
        """Wait until so many have heard a text; give how many did, and when the last did."""
        enough = asyncio.Event()
        self._awaited = (text, count, enough)
        if self._heard.get(text, (0, 0.0))[0] < count:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await enough.wait()
        return self._heard.get(text, (0, 0.0))

    async def close(self) -> dict[str, int]:
        """Close all; give how many subscriptions had ended by themselves, by reason."""
        live, self._live = self._live, set()
        for each in live:
            each.end(CLOSED)
        refused = dict(self._refused)
        self._refused.clear()
        self._heard.clear()
        return refused

    async def _open(self, host: str, path: str, patient: str) -> None:
        operation = {"query": FOLLOW, "variables": {"id": patient}}
        opened = asyncio.Event()
        mine: list[Live] = []

        def ended(why: str) -> None:
            opened.set()
            if why == CLOSED:
                return
            self._refused[why] += 1
            self._live.difference_update(mine)
            task = asyncio.create_task(self._again(host, path, patient))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        async with self._turn:
            live = await dial(
                host, lambda: WebSocket(host, path, operation, self._hear, ended, subscribed=opened.set)
            )
            mine.append(live)
            self._live.add(live)
            await opened.wait()

    async def _again(self, host: str, path: str, patient: str) -> None:
        await asyncio.sleep(RETRY_SECONDS)
        await self._open(host, path, patient)

    def _hear(self, answer: dict[str, Any]) -> None:
        text = answer["data"]["messageAdded"]["node"]["body"]
        count = self._heard.get(text, (0, 0.0))[0] + 1
        self._heard[text] = (count, time.monotonic())
        if self._awaited is not None and self._awaited[0] == text and count == self._awaited[1]:
            self._awaited[2].set()


def _main(pipe: Connection) -> None:
    many_descriptors()
    uvloop.run(_obey(pipe))


async def _obey(pipe: Connection) -> None:
    subscribers = _Subscribers()
    while True:
        name, *arguments = await asyncio.to_thread(pipe.recv)
        try:
            answer = await getattr(subscribers, name)(*arguments)
        except Exception as error:  # noqa: BLE001 -- the parent raises it
            answer = error
        pipe.send(answer)
