"""Welkin's host name: unknown, known late, forgotten, slow to be found, or with an address that is dead."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509

from gateway.app import build
from gateway.sandbox import Sandbox, SandboxConfig, create_sandbox
from gateway.sandbox.conversations import SHORT
from gateway.settings import parse
from tests.api.system import CLIENTS, MESSAGES, PATHS, SEND
from tests.contract.test_tls import certify
from tests.serving import serve

DEADLINE = 4.0
"""Longer than all pauses of a call that is repeated, by more than a busy machine stands still."""
SLACK = 1.5
"""Beyond the deadline, because machines that run tests are busy."""

RECOVERY_SECONDS = 5.0
LOOP = "gateway.app.lookups:new_event_loop"
NAME = "welkin.invalid"
"""No name server may ever know a name under ``invalid``."""

BY_NAME, BY_ADDRESS = "instances[0]", "instances[1]"
"""As `/readyz` calls the two."""

TOLD = "Welkin cannot be reached (get a token)."


@dataclass
class Place:
    """A gateway whose v1 instance goes by a name, and whose v2 instance is well."""

    url: str
    sandbox: Sandbox
    http: httpx2.AsyncClient

    async def ask(
        self, version: str, document: str = MESSAGES, **variables: Any
    ) -> tuple[dict[str, Any], float]:
        """Run an operation; gives the answer and the seconds."""
        url = f"{self.url}/{PATHS[version]}/graphql"
        began = time.monotonic()
        answer = await self.http.post(url, json={"query": document, "variables": variables})
        return answer.json(), time.monotonic() - began

    async def read(self, version: str) -> tuple[str, float]:
        """Read a page; gives the code of the error, or "ok", and the seconds."""
        answer, took = await self.ask(version, id=SHORT, first=2)
        if "errors" in answer:
            (error,) = answer["errors"]
            return error["extensions"]["code"], took
        assert len(answer["data"]["patient"]["messages"]["edges"]) == 2
        return "ok", took

    async def parts(self) -> dict[str, str]:
        """Ask the process how its parts are."""
        return (await self.http.get(f"{self.url}/readyz")).json()["parts"]

    async def until(self, code: str) -> float:
        """Read by the name until this comes; gives the seconds."""
        began = time.monotonic()
        while (await self.read("v1"))[0] != code:
            assert time.monotonic() < began + RECOVERY_SECONDS
            await asyncio.sleep(0.1)
        return time.monotonic() - began


class Names:
    """The machine's own resolver, and one more name: where it leads, and how long it takes to find."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ()
        self.seconds = 0.0
        self.asked = 0
        self._others: Callable[..., list[Any]] = socket.getaddrinfo

    def __call__(self, host: Any, *rest: Any, **named: Any) -> list[Any]:
        """Do what ``socket.getaddrinfo`` does."""
        if host not in {NAME, NAME.encode()}:
            return self._others(host, *rest, **named)
        self.asked += 1
        time.sleep(self.seconds)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [found for address in self.addresses for found in self._others(address, *rest, **named)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Stand in for a name server: no test can have a real one say what it wants."""
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    return names


@contextmanager
def welkins(folder: Path) -> Generator[tuple[Sandbox, str, str, str]]:
    """Run one sandbox twice: by TLS for the name, and without it; gives also the certificate's path."""
    authority, folders = certify("an authority of the tests"), [folder / "authority", folder / "welkin"]
    for each in folders:
        each.mkdir()
    ca_file, _ = authority.write(folders[0])
    shown = certify("Welkin", authority, hosts=(x509.DNSName(NAME),))
    certificate, key = shown.write(folders[1])
    app = create_sandbox(replace(SandboxConfig(), clients=CLIENTS))
    with serve(app) as url, serve(app, ssl_certfile=certificate, ssl_keyfile=key) as tls_url:
        port = httpx2.URL(tls_url).port
        yield app.state.sandbox, f"https://{NAME}:{port}", url, ca_file


@asynccontextmanager
async def place(folder: Path, *, other_by_name: bool = False, **server: Any) -> AsyncGenerator[Place]:
    """Run both instances; ``server`` goes to uvicorn. ``other_by_name``: v2 goes by a name of its own."""
    with welkins(folder) as (sandbox, by_name, by_address, ca_file):
        other = by_address.replace("127.0.0.1", "localhost") if other_by_name else by_address
        instances = [
            {
                "tenant": path.split("/")[0],
                "instance": path.split("/")[1],
                "api": api,
                "base_url": f"{base_url}/{api}",
                "client": f"SANDBOX{api.upper()}",
                "secret": "sandbox-secret",
                "webhook_key": "hook-key",
                "webhook_secret": "hook-secret",
                "timeout_seconds": DEADLINE,
                "ca_file": certificates,
            }
            for (api, path), base_url, certificates in zip(
                PATHS.items(), (by_name, other), (ca_file, ""), strict=True
            )
        ]
        settings = {"auth": {"mode": "none"}, "cache": {"ttl_seconds": 0}, "instances": instances}
        with serve(build(parse(settings, {})).web, **server) as url:
            limits = httpx2.Limits(max_connections=None)
            async with httpx2.AsyncClient(timeout=30, limits=limits) as http:
                yield Place(url, sandbox, http)


async def test_a_name_that_nobody_knows_is_an_instance_that_is_down_and_the_other_is_well(
    tmp_path: Path,
) -> None:
    """By the resolver of the machine."""
    async with place(tmp_path) as asked:
        failing = [asyncio.create_task(asked.read("v1")) for _ in range(30)]
        well = [await asked.read("v2") for _ in range(20)]
        failed = await asyncio.gather(*failing)
        sent, took = await asked.ask("v1", SEND, input={"patientId": SHORT, "body": "never left"})
        parts = await asked.parts()
        shown = await asked.http.get(f"{asked.url}/readyz")

    assert {code for code, _ in failed} == {"UPSTREAM_UNAVAILABLE"}
    assert max(seconds for _, seconds in failed) < DEADLINE + SLACK
    assert {code for code, _ in well} == {"ok"}
    assert max(seconds for _, seconds in well) < DEADLINE
    (error,) = sent["errors"]
    assert error["extensions"]["code"] == "UPSTREAM_UNAVAILABLE", "it is known that nothing was sent"
    assert took < DEADLINE + SLACK
    assert parts == {BY_NAME: TOLD, BY_ADDRESS: "ok"}
    assert shown.status_code == 503
    assert NAME not in shown.text


async def test_a_name_that_becomes_known_is_used_within_seconds_and_one_that_is_forgotten_is_told(
    tmp_path: Path, names: Names
) -> None:
    async with place(tmp_path, loop=LOOP) as asked:
        assert (await asked.read("v1"))[0] == "UPSTREAM_UNAVAILABLE"
        assert await asked.parts() == {BY_NAME: TOLD, BY_ADDRESS: "ok"}

        names.addresses = ("127.0.0.1",)
        await asked.until("ok")
        await asyncio.sleep(1)  # for which an answer of the parts is kept
        assert await asked.parts() == {BY_NAME: "ok", BY_ADDRESS: "ok"}
        assert names.asked > 0

        names.addresses = ()
        await asyncio.sleep(3.2)  # after which no idle connection is used any more
        code, took = await asked.read("v1")
        assert (code, took < DEADLINE + SLACK) == ("UPSTREAM_UNAVAILABLE", True)
        assert (await asked.read("v2"))[0] == "ok"

        names.addresses = ("127.0.0.1",)
        await asked.until("ok")


async def test_of_several_addresses_one_that_answers_is_enough(tmp_path: Path, names: Names) -> None:
    names.addresses = ("127.0.0.2", "127.0.0.1")
    async with place(tmp_path, loop=LOOP) as asked:
        with socket.socket() as dead, pytest.raises(ConnectionRefusedError):
            dead.connect(("127.0.0.2", httpx2.URL(asked.url).port))
        reads = [await asked.read("v1") for _ in range(5)]

    assert {code for code, _ in reads} == {"ok"}
    assert names.asked > 0


async def test_a_name_that_is_slow_to_be_found_costs_its_instance_the_deadline_and_the_other_nothing(
    tmp_path: Path, names: Names
) -> None:
    names.addresses, names.seconds = ("127.0.0.1",), DEADLINE + 1
    async with place(tmp_path, other_by_name=True, loop=LOOP) as asked:
        slow: list[asyncio.Task[tuple[str, float]]] = []
        well: list[tuple[str, float]] = []
        for _ in range(3):
            slow += [asyncio.create_task(asked.read("v1")) for _ in range(10)]
            well += [await asked.read("v2") for _ in range(3)]
            await asyncio.sleep(3.2)  # after which no idle connection is used any more: names are asked for
        failed = await asyncio.gather(*slow)

        names.seconds = 0
        await asked.until("ok")

    assert {code for code, _ in failed} <= {"UPSTREAM_TIMEOUT", "UPSTREAM_UNAVAILABLE"}
    assert max(seconds for _, seconds in failed) < DEADLINE + SLACK
    assert len(well) > 5
    assert {code for code, _ in well} == {"ok"}
    assert max(seconds for _, seconds in well) < DEADLINE
