"""Bodies that are handed on while they arrive, from servers that break off, lie and compress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.domain.errors import UpstreamBadResponse, UpstreamUnavailable
from gateway.welkin.downloads import Downloads, Opened
from gateway.welkin.files import File, file_name, range_header, read_file
from gateway.welkin.pipe import Pipe
from gateway.welkin.transport import Answer, Call
from tests.unit.welkin.wire import Script, Wire, saying, speak

MAX = 100_000


@pytest.fixture
async def downloads() -> AsyncIterator[Downloads]:
    downloads = Downloads(max_calls=4, max_bytes=MAX)
    yield downloads
    await downloads.aclose()
    assert downloads.in_flight == 0


async def fetch(downloads: Downloads, wire: Wire, *, seconds: float = 2.0) -> Opened | Answer:
    deadline = asyncio.get_running_loop().time() + seconds
    call = Call("read file", "GET", wire.url + "/chat/files/f-1", headers={"Accept": "*/*"})
    return await downloads.open(call, bearer="canary", deadline=deadline, idle_seconds=seconds)


async def opened(downloads: Downloads, wire: Wire) -> File:
    found = await fetch(downloads, wire)
    assert isinstance(found, Opened)
    return read_file(found, max_bytes=MAX)


async def whole(file: File) -> bytes:
    return b"".join([piece async for piece in file])


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def then_closing(data: bytes) -> Script:
    async def script(writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return script


async def test_a_body_in_chunks_of_unsaid_length_is_read_to_its_end(downloads: Downloads) -> None:
    body = b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
    async with speak(saying(head("Transfer-Encoding: chunked") + body)) as wire:
        file = await opened(downloads, wire)

        assert file.size is None
        assert await whole(file) == b"hello!"


@pytest.mark.parametrize(
    "answer",
    [
        head("Content-Length: 10") + b"hello",
        head("Transfer-Encoding: chunked") + b"5\r\nhello\r\n",
        head("Transfer-Encoding: chunked") + b"5\r\nhel",
    ],
)
async def test_a_body_that_ends_too_early_is_an_error(downloads: Downloads, answer: bytes) -> None:
    async with speak(then_closing(answer)) as wire:
        file = await opened(downloads, wire)

        with pytest.raises(UpstreamUnavailable):
            await whole(file)


async def test_a_part_of_another_length_than_it_says_is_an_error(downloads: Downloads) -> None:
    headers = head("Transfer-Encoding: chunked", "Content-Range: bytes 0-9/20", status="206 Partial Content")
    async with speak(saying(headers + b"5\r\nhello\r\n0\r\n\r\n")) as wire:
        file = await opened(downloads, wire)

        with pytest.raises(UpstreamUnavailable):
            await whole(file)


async def test_a_body_beyond_the_cap_is_cut_off_with_an_error(downloads: Downloads) -> None:
    chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
    async with speak(saying(head("Transfer-Encoding: chunked") + chunk * 20)) as wire:
        file = await opened(downloads, wire)

        with pytest.raises(UpstreamBadResponse):
            await whole(file)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"content-length": str(MAX + 1)}),
        (200, {"content-encoding": "gzip"}),
        (206, {}),
        (206, {"content-range": "bytes 5-2/9"}),
        (206, {"content-range": "bytes 0-4/9", "content-length": "4"}),
        (206, {"content-range": "bytes */9"}),
    ],
)
def test_a_body_that_is_too_large_packed_or_without_a_place_is_refused(
    status: int, headers: dict[str, str]
) -> None:
    with pytest.raises(UpstreamBadResponse):
        read_file(Opened(status, headers, Pipe()), max_bytes=MAX)


def test_odd_headers_of_a_file_are_left_out() -> None:
    headers = {
        "content-type": "text/html\x00<b>",
        "content-length": "many",
        "content-disposition": "attachment; filename=",
        "accept-ranges": "none",
    }

    file = read_file(Opened(200, headers, Pipe()), max_bytes=MAX)

    assert (file.content_type, file.size, file.file_name, file.accepts_ranges) == (None, None, None, False)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=plain.txt", "plain.txt"),
        ('inline; FILENAME="a \\"b\\".txt"', 'a "b".txt'),
        ("attachment; filename*=ISO-8859-1'de'f%FCr.pdf", "f\u00fcr.pdf"),
        ("attachment; filename*=UTF-8''%2e%2e%2fetc%2fpasswd", "passwd"),
        ('attachment; filename="C:\\\\temp\\\\x.png"', "x.png"),
        ('attachment; filename="a\x00b\x1f.txt"', "ab.txt"),
        ("attachment; filename*=UTF-8''a%0D%0Ab.txt", "ab.txt"),
        ('attachment; filename=".."', None),
        ('attachment; filename="' + "x" * 1000, None),
        ('attachment; filename="' + "x" * 1000 + '"', "x" * 255),
    ],
)
def test_a_name_is_read_from_either_form_without_a_path(disposition: str, name: str | None) -> None:
    assert file_name(disposition) == name


@pytest.mark.parametrize("odd", [None, "", "bytes=1-2,3-4", "bytes=-", "bytes=1-2\n", "BYTES 1-2"])
def test_only_one_part_is_asked_for(odd: str | None) -> None:
    assert range_header(odd) == {}


async def test_leaving_closes_the_connection_of_a_server_that_says_nothing(downloads: Downloads) -> None:
    async with speak(saying(head("Content-Length: 1000") + b"hello")) as wire:
        file = await opened(downloads, wire)
        assert await anext(aiter(file)) == b"hello"

        file.pipe.leave()

        async with asyncio.timeout(1):
            while wire.open or downloads.in_flight:  # noqa: ASYNC110 - the other end tells nobody
                await asyncio.sleep(0.005)


async def test_a_caller_that_is_gone_before_the_headers_leaves_nothing_behind(downloads: Downloads) -> None:
    async def late(writer: asyncio.StreamWriter, _head: bytes) -> None:
        await asyncio.sleep(0.2)
        writer.write(head("Content-Length: 1000") + b"hello")

    async with speak(late) as wire:
        task = asyncio.create_task(fetch(downloads, wire))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async with asyncio.timeout(1):
            while downloads.in_flight:  # noqa: ASYNC110 - nobody waits for the pump any more
                await asyncio.sleep(0.005)


async def test_a_large_error_still_says_its_status(downloads: Downloads) -> None:
    body = b"<html>" + b"x" * 200_000
    answer = head(f"Content-Length: {len(body)}", status="404 Not Found") + body
    async with speak(saying(answer)) as wire:
        assert await fetch(downloads, wire) == Answer(404, b"")


async def test_the_connection_is_kept_for_the_next_file(downloads: Downloads) -> None:
    async with speak(saying(head("Content-Length: 5") + b"hello")) as wire:
        for _ in range(3):
            file = await opened(downloads, wire)
            assert await whole(file) == b"hello"
            file.pipe.leave()

        assert (len(wire.requests), wire.connections) == (3, 1)
