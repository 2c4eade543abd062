"""Whether a webhook's signature is that of its body. No I/O.

Welkin documents neither the header nor the encoding of its signature, so every usual one is read.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable

from gateway.web.options import SignatureOptions
from gateway.web.webhook_check import only_header

_PREFIX = b"sha256="
_HEX = re.compile(rb"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{43}=?")
_UNIX = re.compile(rb"[0-9]{1,14}")

_MILLISECONDS_FROM = 100_000_000_000
"""A Unix time this large counts milliseconds: as seconds it would lie in the year 5138."""


def signature_matches(
    headers: Iterable[tuple[bytes, bytes]], body: bytes, options: SignatureOptions, now: float
) -> bool:
    """Tell whether a body was signed with the secret, lately where the time is signed too.

    ``now`` is Unix time in seconds. The digests are compared as bytes in constant time, whatever
    else is wrong. A header that came twice counts as missing.
    """
    received = list(headers)
    signature, signed = only_header(received, options.header.lower().encode())
    timely = True
    if options.timestamp_header is not None:
        stamp, stamped = only_header(received, options.timestamp_header.lower().encode())
        body = stamp + b"." + body
        timely = stamped and _is_near(stamp, now, options.tolerance_seconds)
    expected = hmac.digest(options.secret, body, "sha256")
    return hmac.compare_digest(_decode(signature), expected) & signed & timely


def _decode(signature: bytes) -> bytes:
    """Give the digest behind a signature; nothing where it is none."""
    text = signature.strip()
    if text[: len(_PREFIX)].lower() == _PREFIX:
        text = text[len(_PREFIX) :]
    if _HEX.fullmatch(text):
        return binascii.unhexlify(text)
    if _BASE64.fullmatch(text):
        return base64.b64decode(text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/")) + b"=")
    return b""


def _is_near(stamp: bytes, now: float, tolerance: float) -> bool:
    if _UNIX.fullmatch(stamp) is None:
        return False
    told = int(stamp)
    seconds = told / 1000 if told >= _MILLISECONDS_FROM else told
    return abs(now - seconds) <= tolerance
