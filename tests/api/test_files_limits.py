"""Transfers that last: each ends with its caller's proof, at some pace, and leaves room for the others."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx2
import pytest

from gateway.app.http_protocol import PatientHttp
from gateway.app.patience import Patience
from tests.api.asking import code_of, wait_until
from tests.api.fake_access import FakeAccess
from tests.api.fake_files import FakeFile
from tests.api.fakes import FakeInstance, web_of
from tests.serving import serve

PATH = "/gh/sb-demo/files/f-1"
NURSE = {"Authorization": "Bearer nurse"}


class Hasty(PatientHttp):
    patience = Patience(stall_seconds=0.6)


@pytest.fixture
def file() -> FakeFile:
    """Give a file without an end."""
    return FakeFile(b"x" * 65_536, endless=True, tells_size=False, piece=65_536)


@pytest.fixture
def access() -> FakeAccess:
    return FakeAccess()


@pytest.fixture
def client(file: FakeFile, access: FakeAccess) -> Iterator[httpx2.Client]:
    fake = FakeInstance()
    fake.files["f-1"] = file
    options = access.options(max_files_per_caller=2)
    with (
        serve(web_of(fake, options=options), http=Hasty) as url,
        httpx2.Client(base_url=url, headers=NURSE) as client,
    ):
        yield client


@contextlib.contextmanager
def asking(client: httpx2.Client, caller: str = "nurse") -> Iterator[socket.socket]:
    """Ask for the file with a small window, so that little of it hides in buffers."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        connection.settimeout(10)
        connection.connect((client.base_url.host, client.base_url.port))
        connection.sendall(
            f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {caller}\r\n\r\n".encode()
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 200 ")
        yield connection


def test_a_transfer_ends_with_the_token_and_looks_broken(
    client: httpx2.Client, access: FakeAccess, file: FakeFile
) -> None:
    access.lifetime = 1.0
    arrived = [time.monotonic()]

    def read(answer: httpx2.Response) -> None:
        arrived.extend(time.monotonic() for _ in answer.iter_raw())

    with client.stream("GET", PATH) as answer, pytest.raises(httpx2.TransportError):
        read(answer)

    assert 0.5 < arrived[-1] - arrived[0] < 1.0 + 1.0
    wait_until(lambda: file.opened_now == 0)
    access.lifetime = None
    wait_until(lambda: 'gateway_files_total{outcome="expired"} 1.0' in client.get("/metrics").text)


def test_what_a_slow_reader_has_not_got_by_then_is_lost(client: httpx2.Client, access: FakeAccess) -> None:
    """The kernel would go on delivering for long: the connection is reset, and its buffers with it."""
    access.lifetime = 0.5
    with asking(client) as connection:
        time.sleep(1.0)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                received += len(piece)
            pytest.fail("the connection ended as if all were well")

    assert received < 256 * 1024


def test_a_transfer_whose_upstream_is_silent_ends_with_the_token(
    client: httpx2.Client, access: FakeAccess, file: FakeFile
) -> None:
    access.lifetime = 0.5
    file.endless, file.slow, file.size = False, True, 1_000_000

    with pytest.raises(httpx2.TransportError):
        client.get(PATH)

    wait_until(lambda: file.opened_now == 0)


def test_a_caller_holds_so_many_transfers_and_no_more(client: httpx2.Client, file: FakeFile) -> None:
    with asking(client), asking(client):
        refused = client.get(PATH)
        with asking(client, "reader"):
            pass
    wait_until(lambda: file.opened_now == 0)
    with asking(client):
        pass

    assert (refused.status_code, code_of(refused)) == (429, "LIMIT_EXCEEDED")
    assert int(refused.headers["retry-after"]) > 0
    assert "2 file transfers" in refused.text


def test_readers_that_stall_give_their_places_back(client: httpx2.Client, file: FakeFile) -> None:
    with asking(client), asking(client):
        wait_until(lambda: file.opened_now == 2)
        wait_until(lambda: file.opened_now == 0)

        with asking(client):
            pass


def test_a_reader_that_drips_gives_its_place_back(client: httpx2.Client, file: FakeFile) -> None:
    with asking(client) as connection:
        deadline = time.monotonic() + 10
        with contextlib.suppress(ConnectionError):
            while file.opened_now:
                assert time.monotonic() < deadline
                connection.recv(16)
                time.sleep(0.05)
        wait_until(lambda: file.opened_now == 0)


def test_whoever_reads_slowly_but_steadily_is_left_alone(client: httpx2.Client, file: FakeFile) -> None:
    file.endless, file.content, file.tells_size = False, b"x" * 1_000_000, True
    received = 0
    with asking(client) as connection:
        while received < 900_000:
            received += len(connection.recv(16_384))
            time.sleep(0.01)

    assert received >= 900_000


def test_a_server_without_the_extension_closes_short_all_the_same(access: FakeAccess, file: FakeFile) -> None:
    fake = FakeInstance()
    fake.files["f-1"] = file
    access.lifetime = 0.5
    with (
        serve(web_of(fake, options=replace(access.options()))) as url,
        pytest.raises(httpx2.TransportError),
    ):
        httpx2.get(f"{url}{PATH}", headers=NURSE)
