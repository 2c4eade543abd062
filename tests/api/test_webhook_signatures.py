"""The signature of a webhook in every usual writing, and nothing but it."""

from __future__ import annotations

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.options import SignatureOptions
from gateway.web.signatures import signature_matches

BODY = b'{"eventType":"chat"}'
NOW = 1_700_000_000.0
PLAIN = SignatureOptions(b"secret")
STAMPED = SignatureOptions(b"secret", timestamp_header="X-Time", tolerance_seconds=300)


def digest(body: bytes = BODY, secret: bytes = b"secret") -> bytes:
    return hmac.digest(secret, body, "sha256")


def matches(*headers: tuple[bytes, bytes], options: SignatureOptions = PLAIN, body: bytes = BODY) -> bool:
    return signature_matches(headers, body, options, NOW)


@pytest.mark.parametrize(
    "written",
    [
        digest().hex().encode(),
        digest().hex().upper().encode(),
        b"sha256=" + digest().hex().encode(),
        b"SHA256=" + digest().hex().encode(),
        base64.b64encode(digest()),
        base64.b64encode(digest()).rstrip(b"="),
        base64.urlsafe_b64encode(digest()),
        base64.urlsafe_b64encode(digest()).rstrip(b"="),
        b"sha256=" + base64.b64encode(digest()),
    ],
)
def test_every_usual_writing_is_read(written: bytes) -> None:
    assert matches((b"x-welkin-signature", written))


@given(st.binary(max_size=64), st.binary(min_size=1, max_size=64))
def test_every_digest_is_read_in_every_alphabet(body: bytes, secret: bytes) -> None:
    options = SignatureOptions(secret)
    for write in (bytes.hex, base64.b64encode, base64.urlsafe_b64encode):
        written = write(digest(body, secret))
        value = written.encode() if isinstance(written, str) else written
        assert matches((b"X-Welkin-Signature", value), options=options, body=body)


@given(st.binary(max_size=100))
def test_nothing_else_is_taken_and_nothing_crashes(value: bytes) -> None:
    assert not matches((b"x-welkin-signature", value))


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"x-welkin-signature", digest(secret=b"other").hex().encode()),),
        ((b"x-welkin-signature", digest(b"other").hex().encode()),),
        ((b"x-welkin-signature", digest().hex().encode()[:-2]),),
        ((b"x-welkin-signature", digest().hex().encode()),) * 2,
        ((b"x-other", digest().hex().encode()),),
        ((b"x-welkin-signature", b"md5=" + digest().hex().encode()),),
    ],
)
def test_what_is_not_the_signature_is_refused(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    assert not matches(*headers)


@pytest.mark.parametrize(
    ("stamp", "good"),
    [
        (b"1700000000", True),
        (b"1700000300", True),
        (b"1699999700", True),
        (b"1700000000123", True),
        (b"1700000301", False),
        (b"1699999699", False),
        (b"1600000000000", False),
        (b"", False),
        (b"-1700000000", False),
        (b"1700000000.0", False),
        (b"2023-11-14T22:13:20Z", False),
        (b"9" * 14, False),
    ],
)
def test_a_time_is_signed_with_the_body_and_must_be_near(stamp: bytes, good: bool) -> None:  # noqa: FBT001 -- a table's column
    signature = digest(stamp + b"." + BODY).hex().encode()

    assert matches((b"x-welkin-signature", signature), (b"x-time", stamp), options=STAMPED) is good


def test_a_time_that_is_not_signed_or_came_twice_is_none() -> None:
    stamp = (b"x-time", b"1700000000")
    good = (b"x-welkin-signature", digest(b"1700000000." + BODY).hex().encode())

    assert not matches((b"x-welkin-signature", digest().hex().encode()), stamp, options=STAMPED)
    assert not matches(good, stamp, stamp, options=STAMPED)
    assert not matches(good, options=STAMPED)
