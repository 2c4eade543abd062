"""Files of the sandbox: parts of them, and large ones that are never held."""

from __future__ import annotations

import time
import tracemalloc

import httpx2
import pytest

from gateway.sandbox import FaultRule
from gateway.sandbox.conversations import FILE_LARGE, FILE_LETTER, LONG
from gateway.sandbox.records import StoredFile


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-3", 206, slice(0, 4)),
        ("bytes=-4", 206, slice(-4, None)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=5-9999", 206, slice(5, None)),
        ("bytes=5-2", 200, slice(None)),
        ("bytes=0-1,3-4", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
    ],
)
def test_a_part_of_a_file_can_be_asked_for(served, wanted, status, part):
    answer = served.v2(f"/chat/files/{FILE_LETTER.id}", headers={**served.v2_bearer, "Range": wanted})

    assert answer.status_code == status
    assert answer.content == FILE_LETTER.content[part]
    assert answer.headers["accept-ranges"] == "bytes"
    assert ("content-range" in answer.headers) == (status == 206)


def test_a_part_behind_the_end_is_a_416_that_tells_the_size(served):
    headers = {**served.v2_bearer, "Range": "bytes=9999-"}

    answer = served.v2(f"/chat/files/{FILE_LETTER.id}", headers=headers)

    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{FILE_LETTER.size}")


def test_parts_can_be_switched_off(served):
    served.sandbox.turn(v2_ranges=False)

    answer = served.v2(f"/chat/files/{FILE_LETTER.id}", headers={**served.v2_bearer, "Range": "bytes=0-3"})

    assert (answer.status_code, answer.content) == (200, FILE_LETTER.content)
    assert "accept-ranges" not in answer.headers


@pytest.mark.parametrize(("first", "last"), [(0, 99), (1, 1), (17, 65_600), (65_535, 65_536)])
def test_parts_of_made_up_bytes_are_those_of_the_whole(first, last):
    whole = b"".join(FILE_LARGE.chunks())

    assert b"".join(FILE_LARGE.chunks(first, last)) == whole[first : last + 1]


def test_a_large_file_is_made_while_it_is_sent(served):
    size = 32 * 1024 * 1024
    file_id = served.http.post("/control/files", json={"size": size}).json()["fileId"]
    url = f"/v2/acme-health/live/chat/files/{file_id}"
    tracemalloc.start()
    try:
        with served.http.stream("GET", url, headers=served.v2_bearer) as answer:
            received = sum(len(piece) for piece in answer.iter_raw())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert received == size
    assert peak < 4 * 1024 * 1024


def test_a_file_whose_reader_has_gone_is_made_no_further(served):
    made = 0

    class Endless(StoredFile):
        def chunks(self, first=0, last=None):
            nonlocal made
            for piece in super().chunks(first, last):
                made += len(piece)
                yield piece

    served.sandbox.store.add_file(Endless("endless", "a.bin", "application/octet-stream", 10**10))
    url = "/v2/acme-health/live/chat/files/endless"

    with served.http.stream("GET", url, headers=served.v2_bearer) as answer:
        next(answer.iter_raw())

    until = time.monotonic() + 5
    while served.sandbox.requests.count("v2.file") == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert served.sandbox.requests.count("v2.file") == 1
    assert made < 10**9


def test_patients_of_v1_are_found_by_a_part_of_a_name_or_a_number(served):
    by_name = served.v1("/patients", params={"query": "wInt"}).json()["content"]
    by_number = served.v1("/patients", params={"query": "MRN-1001"}).json()["content"]

    assert [record["id"] for record in by_name] == [record["id"] for record in by_number] == [LONG]


@pytest.mark.parametrize("fault", ["reset_mid_body", "truncated"])
def test_a_file_can_break_off(served, fault):
    served.sandbox.faults.add(FaultRule(fault, operation="file"))

    with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
        served.v2(f"/chat/files/{FILE_LARGE.id}")
