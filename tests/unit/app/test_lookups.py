"""Lookups of host names: those of one name never wait for those of another."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from gateway.app import lookups
from gateway.app.lookups import MOST_AT_ONCE, Lookups, new_event_loop
from gateway.app.serving import configure

SILENT, KNOWN = "silent.invalid", "known.invalid"
ADDRESS = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]


class NameServer:
    """Knows one name, and for the other one it says nothing until it is told to."""

    def __init__(self) -> None:
        self.speaks = threading.Event()
        self.asked: list[Any] = []

    def __call__(self, host: Any, *_rest: Any) -> list[Any]:
        """Do what ``socket.getaddrinfo`` does."""
        self.asked.append(host)
        if host == SILENT:
            self.speaks.wait(20)
        elif host != KNOWN:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ADDRESS


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    yield server
    server.speaks.set()


async def ask(lookups: Lookups, host: str, times: int = 1) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(lookups.getaddrinfo(host, 80)) for _ in range(times)]
    await asyncio.sleep(0)
    return tasks


async def test_a_silent_name_holds_up_no_other(server: NameServer) -> None:
    lookups = Lookups(asyncio.get_running_loop())
    waiting = await ask(lookups, SILENT, 100)

    async with asyncio.timeout(10):
        assert [await lookups.getaddrinfo(KNOWN, 80) for _ in range(20)] == [ADDRESS] * 20

    assert not any(task.done() for task in waiting)
    server.speaks.set()
    assert await asyncio.gather(*waiting) == [ADDRESS] * 100
    assert server.asked.count(SILENT) == 1, "those who ask at once share a lookup"


async def test_a_lookup_that_takes_long_is_joined_no_more_but_there_is_a_bound(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "JOINED_SECONDS", 0.0)
    found = Lookups(asyncio.get_running_loop())

    waiting = await ask(found, SILENT, 3 * MOST_AT_ONCE)
    server.speaks.set()

    assert await asyncio.gather(*waiting) == [ADDRESS] * len(waiting)
    assert server.asked.count(SILENT) == MOST_AT_ONCE
    assert not found._under_way


async def test_who_leaves_does_not_stop_the_others(server: NameServer) -> None:
    found = Lookups(asyncio.get_running_loop())
    first, second = await ask(found, SILENT, 2)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    server.speaks.set()

    assert await second == ADDRESS


async def test_all_who_wait_are_told_of_a_name_that_nobody_knows(server: NameServer) -> None:
    found = Lookups(asyncio.get_running_loop())

    told = await asyncio.gather(*(await ask(found, "no.invalid", 3)), return_exceptions=True)

    assert [type(each) for each in told] == [socket.gaierror] * 3
    assert not found._under_way


async def test_a_name_that_cannot_be_written_is_an_error() -> None:
    with pytest.raises(UnicodeError):
        await Lookups(asyncio.get_running_loop()).getaddrinfo("a" * 70 + ".invalid", 80)


def test_the_gateway_is_served_on_such_a_loop() -> None:
    assert configure(None).get_loop_factory() is new_event_loop


def test_the_loop_looks_names_up_this_way_and_ends_while_one_is_under_way(server: NameServer) -> None:
    async def connect() -> None:
        waiting = asyncio.create_task(anyio.connect_tcp(SILENT, 80))
        with pytest.raises(OSError, match="Name or service not known"):
            await anyio.connect_tcp("no.invalid", 80)
        waiting.cancel()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(connect())
    server.speaks.set()

    assert set(server.asked) <= {SILENT, "no.invalid", SILENT.encode(), b"no.invalid"}
    assert len(server.asked) == 2
