"""What the port owes to readers of attachments, where the version has any."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from gateway.domain.errors import (
    BadInput,
    Forbidden,
    GatewayError,
    NotFound,
    UpstreamBadResponse,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.sandbox import FaultRule, Sandbox
from gateway.sandbox.records import StoredFile
from gateway.welkin.v2.adapter import WelkinV2
from tests.contract.expectations import tries
from tests.contract.welkin_variations import V2, Variation, wait_until_idle

MIB = 1024 * 1024
LETTER = StoredFile("f-letter", "Brief f\u00fcr Joan.pdf", "application/pdf", 6, b"%PDF-1")
EMPTY = StoredFile("f-empty", "empty.txt", "text/plain", 0, b"")
LARGE = StoredFile("f-large", "recording.wav", "audio/wav", 64 * MIB)
MIDDLE = StoredFile("f-middle", "recording.wav", "audio/wav", MIB + 7)


@pytest.fixture(params=[Variation(V2)], ids=str)
def variation(request: pytest.FixtureRequest) -> Variation:
    return request.param


@pytest.fixture
def kept(sandbox: Sandbox) -> Sandbox:
    """Put the files into the store."""
    for file in (LETTER, EMPTY, LARGE, MIDDLE):
        sandbox.store.add_file(file)
    return sandbox


async def read(welkin: WelkinV2, file: StoredFile, byte_range: str | None = None) -> bytes:
    async with welkin.open_file(file.id, byte_range=byte_range) as stream:
        return b"".join([piece async for piece in stream])


@pytest.mark.parametrize("file", [LETTER, EMPTY, MIDDLE], ids=lambda file: file.id)
async def test_a_file_comes_byte_for_byte_with_what_is_told_of_it(
    welkin: WelkinV2, kept: Sandbox, file: StoredFile
) -> None:
    async with welkin.open_file(file.id) as stream:
        told = (stream.content_type, stream.file_name, stream.size, stream.content_range)
        found = b"".join([piece async for piece in stream])

    assert told == (file.content_type, file.name, file.size, None)
    assert stream.accepts_ranges
    assert found == b"".join(file.chunks())


@pytest.mark.parametrize(
    "variation",
    [Variation(V2, {"v2_disposition": False, "v2_ranges": False})],
    indirect=True,
    ids=str,
)
async def test_what_is_not_told_of_a_file_is_none(welkin: WelkinV2, kept: Sandbox) -> None:
    async with welkin.open_file(LETTER.id, byte_range="bytes=0-1") as stream:
        found = b"".join([piece async for piece in stream])

    assert (stream.file_name, stream.content_range, stream.accepts_ranges) == (None, None, False)
    assert found == LETTER.content


@pytest.mark.parametrize(
    "variation", [Variation(V2), Variation(V2, {"v2_accept_ranges": "true"})], indirect=True, ids=str
)
@pytest.mark.parametrize(
    ("byte_range", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=65530-65545", 65530, 65545),
        ("bytes=1048570-", 1048570, MIB + 6),
        ("bytes=-10", MIB - 3, MIB + 6),
        ("bytes=0-99999999", 0, MIB + 6),
    ],
)
async def test_a_part_of_a_file_is_that_part(
    welkin: WelkinV2, kept: Sandbox, byte_range: str, first: int, last: int
) -> None:
    async with welkin.open_file(MIDDLE.id, byte_range=byte_range) as stream:
        found = b"".join([piece async for piece in stream])

    assert stream.content_range == f"bytes {first}-{last}/{MIB + 7}"
    assert stream.size == last - first + 1
    assert stream.accepts_ranges
    assert found == b"".join(MIDDLE.chunks())[first : last + 1]


async def test_a_part_behind_the_end_is_bad_input(welkin: WelkinV2, kept: Sandbox) -> None:
    with pytest.raises(BadInput):
        await read(welkin, LETTER, "bytes=100-")


@pytest.mark.parametrize("odd", ["bytes=0-1,3-4", "lines=0-1", "bytes=", "bytes=a-b", "bytes=0-1\r\nX: y"])
async def test_an_odd_range_is_not_passed_on(welkin: WelkinV2, kept: Sandbox, odd: str) -> None:
    assert await read(welkin, LETTER, odd) == LETTER.content


async def test_a_file_that_is_not_there_is_not_found(welkin: WelkinV2, kept: Sandbox) -> None:
    with pytest.raises(NotFound):
        await read(welkin, StoredFile("f-none", "", "", 0))


@pytest.mark.parametrize("hostile", ["", "..", "../x", "a/b", "a%2Fb", "a?b=1", "a\r\nb"])
async def test_an_id_that_could_leave_its_place_sends_nothing(
    welkin: WelkinV2, kept: Sandbox, hostile: str
) -> None:
    with pytest.raises(BadInput):
        await read(welkin, StoredFile(hostile, "", "", 0))

    assert kept.requests.count() == 0


@pytest.mark.parametrize("fault", ["reset_mid_body", "truncated"])
@pytest.mark.parametrize("file", [MIDDLE, LARGE], ids=lambda file: file.id)
async def test_a_file_that_is_cut_midway_never_ends_cleanly(
    welkin: WelkinV2, kept: Sandbox, fault: str, file: StoredFile
) -> None:
    kept.faults.add(FaultRule(fault, operation="file"))

    with pytest.raises(UpstreamUnavailable):
        await read(welkin, file)


async def test_a_file_that_stalls_ends_with_an_error(hurried: WelkinV2, kept: Sandbox) -> None:
    kept.faults.add(FaultRule("drip", operation="file", args={"bytes": 100_000, "seconds": 1.5}))

    with pytest.raises(UpstreamUnavailable):
        await read(hurried, MIDDLE)


async def test_a_slow_file_may_take_longer_than_the_deadline(hurried: WelkinV2, kept: Sandbox) -> None:
    kept.faults.add(FaultRule("drip", operation="file", args={"bytes": 200_000, "seconds": 0.15}))

    assert len(await read(hurried, MIDDLE)) == MIDDLE.size


async def test_headers_that_do_not_come_time_out(hurried: WelkinV2, kept: Sandbox) -> None:
    await hurried.patient("91be0000-0000-4000-8000-000000000001")  # a token is there
    kept.faults.add(FaultRule("hang", operation="file", args={"seconds": 1}))

    with pytest.raises(UpstreamTimeout):
        await read(hurried, LETTER)


@pytest.mark.parametrize("fault", [None, "drip"])
async def test_leaving_early_closes_the_connection_to_welkin(
    welkin: WelkinV2, kept: Sandbox, fault: str | None
) -> None:
    if fault is not None:
        kept.faults.add(FaultRule("drip", operation="file", args={"bytes": 100, "seconds": 3}))

    async with welkin.open_file(LARGE.id if fault is None else MIDDLE.id) as stream:
        async for _ in stream:
            break

    async with asyncio.timeout(2):
        await asyncio.to_thread(wait_until_idle, kept)
    assert kept.requests.count("v2.file") == 1


async def test_a_reader_that_is_cancelled_leaves(welkin: WelkinV2, kept: Sandbox) -> None:
    started = asyncio.Event()

    async def forever() -> None:
        async with welkin.open_file(LARGE.id) as stream:
            async for _ in stream:
                started.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(forever())
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(2):
        await asyncio.to_thread(wait_until_idle, kept)


async def test_closing_the_adapter_ends_files_under_way(welkin: WelkinV2, kept: Sandbox) -> None:
    async with welkin.open_file(LARGE.id) as stream:
        pieces = aiter(stream)
        await anext(pieces)
        async with asyncio.timeout(2):
            await welkin.aclose()

        with pytest.raises(UpstreamUnavailable):
            async for _ in pieces:
                pass


async def test_a_large_file_takes_constant_memory(welkin: WelkinV2, kept: Sandbox) -> None:
    """The sandbox that makes it runs in this process too, so this counts both ends."""
    await read(welkin, MIDDLE)
    tracemalloc.start()
    try:
        size = 0
        async with welkin.open_file(LARGE.id) as stream:
            async for piece in stream:
                assert len(piece) <= 64 * 1024
                size += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert size == LARGE.size
    assert peak < 4 * MIB


async def test_many_files_at_once_do_not_keep_messages_waiting(welkin: WelkinV2, kept: Sandbox) -> None:
    async with asyncio.timeout(4):
        streams = [welkin.open_file(LARGE.id) for _ in range(16)]
        for stream in streams:
            await stream.__aenter__()

        await welkin.patient("91be0000-0000-4000-8000-000000000001")

        for stream in streams:
            await stream.__aexit__(None, None, None)


@pytest.mark.parametrize("code", ["TOKEN_EXPIRED", "NOT_VALID_JSON_WEB_TOKEN"])
async def test_an_expired_bearer_is_renewed_for_a_file(welkin: WelkinV2, kept: Sandbox, code: str) -> None:
    kept.faults.add(FaultRule("unauthorized", operation="file", args={"code": code}))

    assert await read(welkin, LETTER) == LETTER.content
    assert kept.requests.count("v2.token") == 2


FAULTS: dict[str, type[GatewayError]] = {
    "bad_gateway": UpstreamUnavailable,
    "bad_request": BadInput,
    "forbidden": Forbidden,
    "gone": NotFound,
    "no_content": UpstreamBadResponse,
    "not_found": NotFound,
    "rate_limited": UpstreamRateLimited,
    "redirect": UpstreamBadResponse,
    "gzip_bomb": UpstreamBadResponse,
    "reset": UpstreamUnavailable,
    "server_error": UpstreamUnavailable,
    "unauthorized": UpstreamUnavailable,
    "unavailable": UpstreamUnavailable,
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_a_file_that_cannot_be_read_says_why(welkin: WelkinV2, kept: Sandbox, fault: str) -> None:
    kept.faults.add(FaultRule(fault, operation="file", times=None))

    with pytest.raises(GatewayError) as caught:
        await read(welkin, LETTER)

    assert type(caught.value) is FAULTS[fault]
    await asyncio.to_thread(wait_until_idle, kept)
    assert kept.requests.count("v2.file") == tries(fault)
