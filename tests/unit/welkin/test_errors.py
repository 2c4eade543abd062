"""The one status table: every documented status, for reads, pages named by a token, and sends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import (
    BadInput,
    Forbidden,
    GatewayError,
    NotFound,
    PageRefused,
    SendUnconfirmed,
    Unauthenticated,
    UpstreamBadResponse,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.welkin.errors import BY_STATUS, Asked, error_codes, error_for
from gateway.welkin.transport import Answer

RECORDINGS = Path(__file__).parents[2] / "recordings"
CANARY = "canary-7f3a"


def kind(status: int, asked: Asked = Asked.READ, body: bytes = b"") -> type[GatewayError]:
    return type(error_for(Answer(status, body), "list messages", asked, now=0.0))


def coded(code: str) -> bytes:
    return json.dumps([{"errorCode": code, "message": CANARY, "details": {"id": CANARY}}]).encode()


@pytest.mark.parametrize(
    ("status", "read", "page", "send"),
    [
        (301, UpstreamBadResponse, UpstreamBadResponse, SendUnconfirmed),
        (302, UpstreamBadResponse, UpstreamBadResponse, SendUnconfirmed),
        (304, UpstreamBadResponse, UpstreamBadResponse, SendUnconfirmed),
        (307, UpstreamBadResponse, UpstreamBadResponse, UpstreamBadResponse),
        (308, UpstreamBadResponse, UpstreamBadResponse, UpstreamBadResponse),
        (400, BadInput, PageRefused, BadInput),
        (401, UpstreamUnavailable, UpstreamUnavailable, UpstreamUnavailable),
        (403, Forbidden, Forbidden, Forbidden),
        (404, NotFound, PageRefused, NotFound),
        (405, BadInput, BadInput, BadInput),
        (406, BadInput, BadInput, BadInput),
        (408, UpstreamTimeout, UpstreamTimeout, SendUnconfirmed),
        (409, BadInput, BadInput, BadInput),
        (410, NotFound, PageRefused, NotFound),
        (413, BadInput, BadInput, BadInput),
        (415, BadInput, BadInput, BadInput),
        (418, UpstreamBadResponse, UpstreamBadResponse, UpstreamBadResponse),
        (422, BadInput, BadInput, BadInput),
        (429, UpstreamRateLimited, UpstreamRateLimited, UpstreamRateLimited),
        (500, UpstreamUnavailable, UpstreamUnavailable, SendUnconfirmed),
        (502, UpstreamUnavailable, UpstreamUnavailable, SendUnconfirmed),
        (503, UpstreamUnavailable, UpstreamUnavailable, SendUnconfirmed),
        (504, UpstreamUnavailable, UpstreamUnavailable, SendUnconfirmed),
        (599, UpstreamUnavailable, UpstreamUnavailable, SendUnconfirmed),
    ],
)
def test_a_status_means_one_error(
    status: int, read: type[GatewayError], page: type[GatewayError], send: type[GatewayError]
) -> None:
    kinds = [kind(status, asked) for asked in (Asked.READ, Asked.PAGE_BY_TOKEN, Asked.SEND)]

    assert kinds == [read, page, send]


def test_every_status_that_welkin_documents_is_in_the_table() -> None:
    documented = {400, 401, 403, 404, 405, 406, 410, 429}  # D1; 500 goes by its class

    assert documented <= BY_STATUS.keys()


@pytest.mark.parametrize(
    ("status", "code", "asked", "expected"),
    [
        (400, "PATIENT_NOT_FOUND", Asked.READ, NotFound),
        (400, "PATIENT_NOT_FOUND", Asked.PAGE_BY_TOKEN, NotFound),
        (404, "PATIENT_NOT_FOUND", Asked.PAGE_BY_TOKEN, NotFound),
        (400, "INVALID_CHAT_TOKEN", Asked.PAGE_BY_TOKEN, PageRefused),
        (404, "CHAT_PAGE_NOT_FOUND", Asked.PAGE_BY_TOKEN, PageRefused),
        (400, "PATIENT_NOT_FOUND", Asked.SEND, NotFound),
        (404, "ORGANIZATION_NAME_NOT_FOUND", Asked.READ, UpstreamUnavailable),
        (500, "PATIENT_NOT_FOUND", Asked.READ, UpstreamUnavailable),
    ],
)
def test_a_code_can_change_what_a_status_means(
    status: int, code: str, asked: Asked, expected: type[GatewayError]
) -> None:
    assert kind(status, asked, coded(code)) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [("7", 7.0), ("Thu, 01 Jan 1970 00:01:00 GMT", 60.0), ("-1", None), ("x", None), (None, None)],
)
def test_a_rate_limit_carries_how_long_to_wait(header: str | None, expected: float | None) -> None:
    error = error_for(Answer(429, b"", header), "list messages", Asked.READ, now=0.0)

    assert isinstance(error, UpstreamRateLimited)
    assert error.retry_after == expected


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("v1-401-expired.json", ["TOKEN_EXPIRED"]),
        ("v1-401-invalid.json", ["NOT_VALID_JSON_WEB_TOKEN"]),
        ("v1-403.json", ["ACCESS_FOR_API_CLIENT_RESTRICTED"]),
        ("v1-404-record.json", ["SMS_NOT_FOUND"]),
        ("v1-404-tenant.json", ["ORGANIZATION_NAME_NOT_FOUND"]),
    ],
)
def test_recorded_error_bodies_give_their_codes(name: str, codes: list[str]) -> None:
    assert error_codes((RECORDINGS / name).read_bytes()) == codes


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        ({"errorCode": "A_CODE", "message": CANARY}, ["A_CODE"]),
        ({"errors": [{"status": 400, "code": "A_CODE", "title": CANARY, "extra": {}}]}, ["A_CODE"]),
        ({"error": "A_CODE", "message": CANARY}, ["A_CODE"]),
        ({"error": {"code": "A_CODE", "message": CANARY}}, ["A_CODE"]),
        ({"code": "A_CODE", "message": CANARY}, ["A_CODE"]),
        ({"timestamp": 1, "status": 404, "error": "Not Found", "path": CANARY}, []),
        ({"type": "about:blank", "title": CANARY, "status": 400}, []),
        ({"message": CANARY}, []),
        ([None, 5, [], {"errorCode": None}], []),
        ([], []),
        (None, []),
    ],
)
def test_codes_are_read_from_every_shape(body: object, codes: list[str]) -> None:
    assert error_codes(json.dumps(body).encode()) == codes


@given(st.binary() | st.text().map(str.encode))
def test_no_body_crashes_the_reader_of_codes(body: bytes) -> None:
    error_codes(body)


def test_a_huge_error_body_is_not_looked_through() -> None:
    entry = {"errorCode": "PATIENT_NOT_FOUND"}
    assert error_codes(json.dumps([entry] * 1_000).encode()) == ["PATIENT_NOT_FOUND"] * 1_000

    assert error_codes(json.dumps([entry] * 3_000).encode()) == []


@pytest.mark.parametrize("asked", list(Asked))
@pytest.mark.parametrize("status", [*BY_STATUS, 302, 418, 500])
def test_the_text_names_the_operation_and_nothing_that_welkin_said(status: int, asked: Asked) -> None:
    error = error_for(Answer(status, coded(f"X_{CANARY.upper()}")), "list messages", asked, now=0.0)

    assert "list messages" in error.message or isinstance(error, Unauthenticated)
    assert CANARY not in error.message.lower()
