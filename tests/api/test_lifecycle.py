"""The process as a supervisor sees it: how it starts, is told to stop, and bears what is taken from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.app import serving
from gateway.sandbox import FaultRule, Sandbox, create_sandbox
from gateway.sandbox.conversations import LONG
from tests.api.dialing import hear, say, subscribe
from tests.gateway_process import answers, gateway_process, instance_of
from tests.serving import serve

PATH = "/gh/sb-demo"
READ = {"query": f'{{ patient(patientId: "{LONG}") {{ messages(first: 1) {{ nodes {{ id }} }} }} }}'}
FOLLOW = f'subscription {{ messageAdded(patientId: "{LONG}") {{ cursor }} }}'
EVENT = {"patientId": LONG, "tenantName": "gh", "instanceName": "sb-demo", "message": "canary"}
HOOK = {"X-WEBHOOK-API-KEY": "hook-key", "X-WEBHOOK-API-SECRET": "hook-secret"}


@pytest.fixture
def welkin() -> Iterator[tuple[str, Sandbox]]:
    app: Starlette = create_sandbox()
    with serve(app) as url:
        yield url, app.state.sandbox


@contextlib.contextmanager
def gateway(
    tmp_path: Path, sandbox_url: str, auth: dict[str, Any] | None = None, **options: Any
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``gateway serve``; gives its URL once it answers."""
    more = {"webhook_key": "hook-key", "webhook_secret": "hook-secret", "timeout_seconds": 30}
    instance = instance_of(sandbox_url, "v1", PATH[1:], secret="sandbox-secret", **more)
    settings = {"auth": auth or {"mode": "none"}, "instances": [instance]}
    with gateway_process(tmp_path, settings, **options) as started:
        yield started


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def told(running: subprocess.Popen[str]) -> str:
    """Wait for the end; gives what was printed."""
    printed, _ = running.communicate(timeout=20)
    return printed or ""


@contextlib.asynccontextmanager
async def subscribers(url: str, count: int) -> AsyncIterator[list[ClientConnection]]:
    address = url.replace("http", "ws") + f"{PATH}/graphql"
    async with contextlib.AsyncExitStack() as stack:
        sockets: list[ClientConnection] = []
        for number in range(count):
            client = await stack.enter_async_context(connect(address, subprotocols=["graphql-transport-ws"]))
            await say(client, type="connection_init")
            assert (await hear(client))["type"] == "connection_ack"
            await subscribe(client, str(number), FOLLOW)
            sockets.append(client)
        yield sockets


async def code_at_end(client: ClientConnection) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.wait_for(client.recv(), 20)
    return client.close_code


async def keep_calling(client: httpx2.AsyncClient, url: str, seen: list[Any]) -> None:
    """Send webhooks on kept connections until nobody takes connections any more."""
    while True:
        try:
            answer = await client.post(f"{url}{PATH}/webhooks/chat", json=EVENT, headers=HOOK)
        except httpx2.ConnectError:
            return
        except httpx2.TransportError as error:
            seen.append(error)
            return
        seen.append(answer.status_code)


async def test_sigterm_under_load_loses_nothing_that_was_taken(
    tmp_path: Path, welkin: tuple[str, Sandbox]
) -> None:
    sandbox_url, sandbox = welkin
    with gateway(tmp_path, sandbox_url) as (url, running):
        async with httpx2.AsyncClient(timeout=30) as http, subscribers(url, 50) as sockets:
            seen: list[Any] = []
            hooks = [asyncio.create_task(keep_calling(http, url, seen)) for _ in range(3)]
            sandbox.requests.clear()
            sandbox.faults.add(FaultRule("slow", operation="list", times=None, args={"seconds": 3}))
            documents = [
                READ | {"query": READ["query"].replace("first: 1", f"first: {n}")} for n in range(1, 21)
            ]
            reads = [asyncio.create_task(http.post(f"{url}{PATH}/graphql", json=each)) for each in documents]
            async with asyncio.timeout(10):
                while sandbox.requests.count("v1.list") == 0:  # noqa: ASYNC110 -- counted in another thread
                    await asyncio.sleep(0.01)
            ends = [asyncio.create_task(code_at_end(each)) for each in sockets]
            await asyncio.sleep(0.3)

            began = time.monotonic()
            running.send_signal(signal.SIGTERM)
            async with asyncio.timeout(3):
                while (ready := await http.get(f"{url}/readyz")).status_code == 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            results = [await each for each in reads]
            codes = [await each for each in ends]
            await asyncio.gather(*hooks)
            printed = await asyncio.to_thread(told, running)
            took = time.monotonic() - began

    assert ready.json()["parts"] == {"server": "draining"}
    assert [answer.status_code for answer in results] == [200] * 20
    assert all(len(answer.json()["data"]["patient"]["messages"]["nodes"]) for answer in results)
    assert set(codes) <= {1001, 1012}
    assert set(seen) == {200}
    assert running.returncode == 0, printed
    assert took < 15
    assert "Traceback" not in printed
    assert "canary" not in printed


@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,)])
async def test_a_second_signal_or_an_interrupt_ends_it_within_seconds(
    tmp_path: Path, welkin: tuple[str, Sandbox], signals: tuple[signal.Signals, ...]
) -> None:
    sandbox_url, sandbox = welkin
    sandbox.faults.add(FaultRule("hang", operation="list", times=None, args={"seconds": 60}))
    with gateway(tmp_path, sandbox_url) as (url, running):
        async with httpx2.AsyncClient(timeout=30) as http, subscribers(url, 2) as sockets:
            read = asyncio.create_task(http.post(f"{url}{PATH}/graphql", json=READ))
            await asyncio.to_thread(wait_until, lambda: sandbox.requests.count("v1.list") > 0)
            ends = [asyncio.create_task(code_at_end(each)) for each in sockets]

            for number in signals:
                running.send_signal(number)
                await asyncio.sleep(0.3)
            began = time.monotonic()
            printed = await asyncio.to_thread(told, running)
            took = time.monotonic() - began

            await asyncio.gather(read, return_exceptions=True)
            assert set(await asyncio.gather(*ends)) <= {1001, 1012}

    assert took < 6
    assert running.returncode == 0, printed
    assert "Traceback" not in printed


def test_nobody_reading_what_is_printed_is_no_fault(tmp_path: Path, welkin: tuple[str, Sandbox]) -> None:
    reading, writing = os.pipe()
    with gateway(tmp_path, welkin[0], stdout=writing, stderr=writing) as (url, running):
        os.close(writing)
        os.close(reading)
        for _ in range(3):
            running.send_signal(signal.SIGHUP)  # makes it print
            assert answers(url)
        assert httpx2.post(f"{url}{PATH}/graphql", json=READ).json()["data"]["patient"]
        running.send_signal(signal.SIGTERM)

        assert running.wait(20) == 0


def test_dev_goes_on_when_nobody_reads_its_welcome() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    running = subprocess.Popen(
        [sys.executable, "-m", "gateway", "dev", "--port", "0"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    try:
        printed = ""
        assert running.stderr is not None
        for line in running.stderr:
            printed += line
            if printed.count("startup complete") == 2:
                break
        running.send_signal(signal.SIGTERM)
        printed += running.communicate(timeout=20)[1]
    finally:
        running.kill()

    assert running.returncode == 0
    assert "BrokenPipe" not in printed


async def test_requests_sent_in_a_row_are_all_answered_when_the_server_stops() -> None:
    """The last of them closes the connection, not the first."""
    bell = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await bell.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
            await send({"type": "http.response.body", "body": scope["path"][-1].encode()})

    listener = serving.listen("127.0.0.1", 0)
    config = serving.configure(app)
    config.lifespan = "off"
    server = serving.GatewayServer(config)
    running = asyncio.create_task(server.serve([listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.writelines(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(3))
    async with asyncio.timeout(5):
        while not server.server_state.tasks:  # noqa: ASYNC110 -- the server's own list
            await asyncio.sleep(0.01)

    server.should_exit = True
    await asyncio.sleep(0.3)
    bell.set()
    answer = await asyncio.wait_for(reader.read(), 10)
    await asyncio.wait_for(running, 10)
    writer.close()

    assert [part[-1:] for part in answer.split(b"HTTP/1.1 200 OK")[1:]] == [b"0", b"1", b"2"]
    assert answer.count(b"connection: close") == 1


def test_a_peer_that_vanished_is_noticed_by_the_connections_own_probes() -> None:
    with serving.listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            idle, between, times, unanswered = (
                accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            )
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1

    assert idle + between * times <= 45
    assert unanswered <= 45_000


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_hangup_is_ignored_and_a_lack_of_descriptors_passes(
    tmp_path: Path, welkin: tuple[str, Sandbox]
) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    with gateway(tmp_path, welkin[0], preexec_fn=few) as (url, running):
        port = httpx2.URL(url).port
        with contextlib.ExitStack() as stack:
            for _ in range(150):
                connection = stack.enter_context(socket.socket())
                connection.setblocking(False)
                connection.connect_ex(("127.0.0.1", port))
            time.sleep(0.5)
            before = cpu_seconds(running.pid)
            time.sleep(1.5)
            used = cpu_seconds(running.pid) - before

        wait_until(lambda: answers(url))
        running.send_signal(signal.SIGHUP)
        assert httpx2.post(f"{url}{PATH}/graphql", json=READ).json()["data"]["patient"]
        running.send_signal(signal.SIGTERM)
        printed = told(running)

    assert used < 0.75, "it is busy with nothing"
    assert running.returncode == 0
    assert len(printed) < 64 * 1024
    assert "SIGHUP is ignored" in printed
    assert all(json.loads(line) for line in printed.splitlines())


def test_an_identity_provider_that_is_down_makes_it_live_but_not_ready(
    tmp_path: Path, welkin: tuple[str, Sandbox]
) -> None:
    issuer = {
        "issuer": "https://id.example.org/",
        "audience": "a",
        "jwks_url": "http://127.0.0.1:9/jwks.json",
    }
    auth = {"mode": "jwt", "jwt": issuer}
    with gateway(tmp_path, welkin[0], auth) as (url, _):
        answer = httpx2.get(f"{url}/readyz", timeout=5)

    assert answer.status_code == 503
    assert "identity provider" in answer.json()["parts"]
    assert "127.0.0.1" not in answer.text
