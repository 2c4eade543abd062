"""Attachments: handed out whole or visibly broken, under safe headers, and never held on to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from gateway.domain import errors
from gateway.domain.errors import GatewayError, UpstreamRateLimited, UpstreamUnavailable
from gateway.web.options import WebOptions
from gateway.web.problems import STATUS, problem_of
from tests.api.asking import code_of, raw_request, read_all, wait_until
from tests.api.fake_files import FakeFile
from tests.api.fakes import ACME, FakeInstance, web_of
from tests.serving import serve

PATH = "/gh/sb-demo/files/f-1"


@pytest.fixture
def file() -> FakeFile:
    return FakeFile()


@pytest.fixture
def fake(file: FakeFile) -> FakeInstance:
    fake = FakeInstance()
    fake.files["f-1"] = file
    return fake


@pytest.fixture
def client(fake: FakeInstance) -> Iterator[httpx2.Client]:
    app = web_of(fake, FakeInstance(ACME), options=WebOptions(cors_origins=("https://app.example",)))
    with serve(app) as base_url, httpx2.Client(base_url=base_url) as client:
        yield client


@pytest.mark.parametrize("path", [PATH, "/files/f-1"])
def test_a_file_comes_whole_as_a_download(client: httpx2.Client, file: FakeFile, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.content) == (200, b"0123456789")
    shown = {
        name: answer.headers.get(name)
        for name in (
            "content-type",
            "content-length",
            "content-disposition",
            "content-security-policy",
            "x-content-type-options",
            "cache-control",
            "accept-ranges",
            "content-range",
        )
    }
    assert shown == {
        "content-type": "image/png",
        "content-length": "10",
        "content-disposition": "attachment; filename=\"rash.png\"; filename*=UTF-8''rash.png",
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "accept-ranges": "bytes",
        "content-range": None,
    }
    assert "etag" not in answer.headers
    assert len(answer.headers["x-request-id"]) == 32
    wait_until(lambda: file.opened_now == 0)


def test_a_file_of_unknown_size_is_whole_too(client: httpx2.Client, file: FakeFile) -> None:
    file.tells_size = False

    answer = client.get(PATH)

    assert answer.content == b"0123456789"
    assert "content-length" not in answer.headers


def test_an_empty_file_is_a_file(client: httpx2.Client, file: FakeFile) -> None:
    file.content = b""

    answer = client.get(PATH)

    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


def test_head_gives_the_headers_and_reads_nothing(client: httpx2.Client, file: FakeFile) -> None:
    file.endless = True

    answer = client.head(PATH, headers={"Range": "bytes=0-1"})

    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "10")
    assert (file.openings, file.given, file.opened_now) == ([None], 0, 0)


def test_head_of_a_file_of_unknown_size_makes_none_up(client: httpx2.Client, file: FakeFile) -> None:
    file.tells_size = False

    assert "content-length" not in client.head(PATH).headers


@pytest.mark.parametrize(
    ("asked", "content", "told"),
    [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=8-", b"89", "bytes 8-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ],
)
def test_one_range_is_passed_on(
    client: httpx2.Client, file: FakeFile, asked: str, content: bytes, told: str
) -> None:
    answer = client.get(PATH, headers={"Range": asked})

    assert (answer.status_code, answer.content) == (206, content)
    assert answer.headers["content-range"] == told
    assert answer.headers["content-length"] == str(len(content))
    assert file.openings == [asked]


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-1,4-5"},
        {"Range": "bytes=-3"},
        {"Range": "bytes=5-2"},
        {"Range": "items=0-1"},
        {"Range": "bytes=0-1\u00b2".encode("latin-1")},
        {"Range": "bytes=" + "9" * 40 + "-"},
        {"Range": "nonsense"},
        {"Range": "bytes=0-1", "If-Range": '"v1"'},
        [("Range", "bytes=0-1"), ("Range", "bytes=0-1")],
    ],
)
def test_ranges_of_other_forms_are_ignored(client: httpx2.Client, file: FakeFile, headers: Any) -> None:
    answer = client.get(PATH, headers=headers)

    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert file.openings == [None]


def test_a_range_outside_of_the_file_is_refused(client: httpx2.Client) -> None:
    answer = client.get(PATH, headers={"Range": "bytes=10-"})

    assert (answer.status_code, code_of(answer)) == (416, "BAD_USER_INPUT")


def test_an_upstream_without_ranges_gives_the_whole(client: httpx2.Client, file: FakeFile) -> None:
    file.accepts_ranges = False

    answer = client.get(PATH, headers={"Range": "bytes=2-4"})

    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["accept-ranges"] == "none"


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("bytes 0-9/10", None),
        ("bytes 3-4/10", "bytes=2-4"),
        ("bytes 2-9/10", "bytes=2-4"),
        ("bytes 2-3/10", "bytes=2-4"),
        ("bytes 4-2/10", "bytes=2-4"),
        ("bytes 2-4/10\r\nX-Evil: 1", "bytes=2-4"),
        ("nonsense", "bytes=2-4"),
    ],
)
def test_another_part_than_asked_for_is_not_passed_off_as_it(
    client: httpx2.Client, file: FakeFile, told: str, asked: str | None
) -> None:
    file.content_range = told

    answer = client.get(PATH, headers={"Range": asked} if asked else {})

    assert (answer.status_code, code_of(answer)) == (502, "UPSTREAM_BAD_RESPONSE")
    wait_until(lambda: file.opened_now == 0)


@pytest.mark.parametrize("size", [None, 100])
def test_a_file_that_breaks_off_looks_broken(
    client: httpx2.Client, file: FakeFile, size: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    file.failure, file.tells_size, file.size = UpstreamUnavailable("Welkin broke off."), False, size

    with caplog.at_level(logging.INFO), pytest.raises(httpx2.RemoteProtocolError):
        client.get(PATH)

    wait_until(lambda: file.opened_now == 0)
    wait_until(lambda: 'gateway_files_total{outcome="broken"} 1.0' in client.get("/metrics").text)
    assert "file code=UPSTREAM_UNAVAILABLE outcome=broken" in caplog.text
    assert "rash" not in caplog.text


@pytest.mark.parametrize("size", [5, 11])
def test_a_file_of_another_size_than_told_looks_broken(
    client: httpx2.Client, file: FakeFile, size: int
) -> None:
    file.size = size

    with raw_request(client, f"GET {PATH} HTTP/1.1") as connection:
        head, _, body = read_all(connection).partition(b"\r\n\r\n")

    assert f"content-length: {size}".encode() in head.lower()
    assert len(body) < size
    wait_until(lambda: file.opened_now == 0)


def test_a_fault_on_the_way_looks_broken_and_is_masked(
    client: httpx2.Client, file: FakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    file.failure, file.tells_size = RuntimeError("canary"), False

    with caplog.at_level(logging.DEBUG), pytest.raises(httpx2.RemoteProtocolError):
        client.get(PATH)

    wait_until(lambda: file.opened_now == 0)
    assert "class=RuntimeError" in caplog.text
    assert "canary" not in caplog.text


def test_a_file_without_an_end_flows_and_ends_with_its_client(client: httpx2.Client, file: FakeFile) -> None:
    file.endless, file.tells_size, file.content, file.piece = True, False, b"x" * 65_536, 65_536

    with client.stream("GET", PATH) as answer:
        pieces = answer.iter_raw()
        assert sum(len(next(pieces)) for _ in range(50)) > 50_000

    wait_until(lambda: file.opened_now == 0)
    wait_until(lambda: 'gateway_files_total{outcome="left"} 1.0' in client.get("/metrics").text)


def test_a_reader_that_stalls_holds_the_upstream_back(client: httpx2.Client, file: FakeFile) -> None:
    """Nothing piles up in the gateway: what is not taken is not read."""
    file.endless, file.tells_size, file.content, file.piece = True, False, b"x" * 65_536, 65_536

    with raw_request(client, f"GET {PATH} HTTP/1.1") as connection:
        connection.recv(1024)
        wait_until(lambda: file.given > 0)
        taken = -1
        while taken != file.given:
            taken = file.given
            threading.Event().wait(0.2)
        assert taken < 32 * 1024 * 1024

    wait_until(lambda: file.opened_now == 0)


def test_whoever_leaves_while_the_upstream_is_silent_is_noticed_at_once(
    client: httpx2.Client, file: FakeFile
) -> None:
    file.slow = True
    file.size = 100

    with raw_request(client, f"GET {PATH} HTTP/1.1") as connection:
        connection.recv(1024)
        wait_until(lambda: file.opened_now == 1)

    wait_until(lambda: file.opened_now == 0)


def test_a_query_string_does_not_matter(client: httpx2.Client) -> None:
    assert client.get(f"{PATH}?x=%2e%2e/y").status_code == 200


def test_other_instances_and_methods_are_refused(client: httpx2.Client, fake: FakeInstance) -> None:
    assert client.get("/no/body/files/f-1").status_code == 404
    assert client.post(PATH).status_code == 405
    assert code_of(client.get("/acme-health/live/files/f-1")) == "NOT_FOUND"
    assert fake.calls == []


@pytest.mark.parametrize("kind", sorted(STATUS, key=lambda kind: kind.__name__))
def test_an_error_before_the_first_byte_has_its_status_and_code(
    client: httpx2.Client, file: FakeFile, kind: type[GatewayError]
) -> None:
    file.refusal = kind("Said safely.")

    answer = client.get(PATH)

    assert answer.status_code == STATUS[kind]
    (error,) = answer.json()["errors"]
    assert (error["message"], error["extensions"]["code"]) == ("Said safely.", kind.code)
    assert ("retry-after" in answer.headers) == (answer.status_code in {429, 503, 504})
    assert "content-disposition" not in answer.headers
    assert 'gateway_files_total{outcome="refused"} 1.0' in client.get("/metrics").text


def test_a_refusal_before_opening_is_shown_alike(client: httpx2.Client, fake: FakeInstance) -> None:
    fake.fail(errors.Forbidden("Not for you."))

    assert (client.get(PATH).status_code, client.head(PATH).status_code) == (403, 403)


def test_every_error_has_a_status() -> None:
    leaves = {kind for kind in vars(errors).values() if isinstance(kind, type) and not kind.__subclasses__()}

    assert {kind for kind in leaves if issubclass(kind, GatewayError)} - set(STATUS) == {errors.PageRefused}
    assert problem_of(errors.PageRefused("x")).status == 400
    assert problem_of(UpstreamRateLimited("x", 2.1)).headers == {"Retry-After": "3"}
    assert problem_of(UpstreamRateLimited("x", 0)).headers == {"Retry-After": "1"}


def test_pages_of_other_origins_may_read_what_a_player_needs(client: httpx2.Client) -> None:
    answer = client.get(PATH, headers={"Origin": "https://app.example"})

    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "Content-Range" in answer.headers["access-control-expose-headers"]
