"""Cheap queries beside the dearest one that is allowed: they are answered while it runs."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.sandbox import SandboxConfig, create_sandbox
from gateway.sandbox.records import StoredPatient
from gateway.sandbox.store import CARE_TEAM
from tests.gateway_process import gateway_process, instance_of
from tests.serving import serve

PATIENTS, MESSAGES = 99, 100
"""What the dear query asks for; one patient more, and it would cost more than the limit."""

COST = PATIENTS * (1 + MESSAGES)
PATHS = {"v1": "gh/sb-demo", "v2": "acme-health/live"}
OF_ITS_TIME = 0.5
"""A cheap query may take so much of the dear one's time at most; with turns it takes far less."""

ONE_AFTER_ANOTHER = 10
DEAR = """query ($patients: Int!, $messages: Int!) {
  patients(first: $patients) { edges { cursor node { id firstName lastName messages(first: $messages) {
    edges { cursor node { id externalId body createdAt sender { kind name } attachments { id } } }
    pageInfo { hasNextPage endCursor }
  } } } }
}"""
CHEAP = '{ patient(patientId: "pt_0") { messages(first: 1) { nodes { body } } } }'


def run_welkin(told: Connection) -> None:
    """Serve a sandbox whose every patient has a long conversation, until told to stop."""
    app = create_sandbox(SandboxConfig(conversations=False))
    store = app.state.sandbox.store
    for number in range(PATIENTS + 1):
        store.add_patient(StoredPatient(f"pt_{number}", f"Ada {number}", "Example"))
        for message in range(MESSAGES + 1):
            at_ms = 1_700_000_000_000 + message * 1000
            store.add_message(f"pt_{number}", CARE_TEAM[0], f"text {message} " * 10, at_ms=at_ms)
    with serve(app) as url:
        told.send(url)
        told.recv()


@contextmanager
def welkin() -> Generator[str]:
    """Run it in a process of its own, so that nothing but the gateway keeps a query waiting."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=run_welkin, args=(there,))
    process.start()
    try:
        assert here.poll(60)
        yield here.recv()
    finally:
        here.send("stop")
        process.join(20)


@pytest.fixture(scope="module")
def welkin_url() -> Iterator[str]:
    with welkin() as url:
        yield url


@dataclass
class Caller:
    """Asks one instance, on connections that are kept."""

    http: httpx2.AsyncClient
    url: str

    async def ask(self, document: str, **variables: Any) -> httpx2.Response:
        """Run an operation."""
        return await self.http.post(self.url, json={"query": document, "variables": variables})

    async def dear(self) -> tuple[dict[str, Any], float]:
        """Ask for much; gives the answer and when it had come."""
        answer = await self.ask(DEAR, patients=PATIENTS, messages=MESSAGES)
        ended = time.monotonic()
        return answer.json(), ended

    async def cheap(self) -> float:
        """Ask for little; gives the seconds."""
        began = time.monotonic()
        answer = await self.ask(CHEAP)
        took = time.monotonic() - began
        assert answer.json() == {
            "data": {"patient": {"messages": {"nodes": [{"body": "text 100 " * 10}]}}},
            "extensions": {"cost": 2},
        }, answer.text
        return took


@pytest.fixture(params=list(PATHS))
async def caller(request: pytest.FixtureRequest, tmp_path: Path, welkin_url: str) -> AsyncIterator[Caller]:
    """Run a gateway that has read nothing yet but what the cheap queries read."""
    path = PATHS[request.param]
    secrets = {"secret": "sandbox-secret", "webhook_key": "hook-key", "webhook_secret": "hook-secret"}
    settings = {
        "auth": {"mode": "none"},
        "cache": {"ttl_seconds": 600},
        "instances": [instance_of(welkin_url, request.param, path, timeout_seconds=60, **secrets)],
    }
    with gateway_process(tmp_path, settings) as (url, _):
        async with httpx2.AsyncClient(timeout=60) as http:
            made = Caller(http, f"{url}/{path}/graphql")
            await made.cheap()
            yield made


async def cheap_beside_the_dear(caller: Caller) -> tuple[list[float], float]:
    """Ask for little again and again while much is under way.

    Gives the seconds of each that had its answer before the dear one had, and those of the dear one.
    """
    began = time.monotonic()
    dear = asyncio.create_task(caller.dear())
    await asyncio.sleep(0.05)
    assert not dear.done()
    took: list[float] = []
    while not dear.done():
        seconds = await caller.cheap()
        if not dear.done():
            took.append(seconds)
    answer, ended = await dear
    patients = answer["data"]["patients"]["edges"]
    assert answer["extensions"]["cost"] == COST
    assert [len(each["node"]["messages"]["edges"]) for each in patients] == [MESSAGES] * PATIENTS
    return took, ended - began


async def test_cheap_queries_are_answered_while_the_dearest_one_reads(caller: Caller) -> None:
    dearer = await caller.ask(DEAR, patients=PATIENTS + 1, messages=MESSAGES)
    assert dearer.json()["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"

    took, whole = await cheap_beside_the_dear(caller)

    assert len(took) >= ONE_AFTER_ANOTHER
    assert max(took) < OF_ITS_TIME * whole


async def test_cheap_queries_are_answered_while_the_dearest_one_has_all_it_needs_at_hand(
    caller: Caller,
) -> None:
    """It waits for nothing then, so that only turns keep it from having the process to itself."""
    await caller.dear()

    took, whole = await cheap_beside_the_dear(caller)

    assert len(took) >= ONE_AFTER_ANOTHER
    assert max(took) < OF_ITS_TIME * whole
