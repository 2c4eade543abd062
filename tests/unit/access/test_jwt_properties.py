"""Tokens of any shape: refused with the one error, and odd claims open nothing that was not meant."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import Unauthenticated
from tests.unit.access.issuer import ISSUER, Issuer, token

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_HEADERS = ["alg", "kid", "crit", "b64", "jwk", "jku", "typ"]
_CLAIMS = ["sub", "scope", "welkin_patients", "nbf", "iat", "exp"]
_NAMES = st.sampled_from([*_HEADERS, *_CLAIMS, "iss", "aud"])
_OBJECTS = st.dictionaries(_NAMES, _JSON | st.sampled_from(["RS256", "ES256", "rsa-1", ISSUER]))


@given(header=_OBJECTS | _JSON, payload=_OBJECTS | _JSON, signature=st.binary(max_size=300))
def test_whatever_comes_is_refused_and_nothing_else(header: Any, payload: Any, signature: bytes):
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    presented = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)

    with pytest.raises(Unauthenticated):
        asyncio.run(Issuer().verify(presented))


@given(changes=st.dictionaries(st.sampled_from(_CLAIMS), _JSON))
def test_odd_claims_of_the_issuer_give_little_or_nothing(changes: dict[str, Any]):
    """Whatever the issuer signs, nobody sees all patients but by the one word for it."""
    try:
        principal = asyncio.run(Issuer().verify(token(**changes)))
    except Unauthenticated:
        return

    assert (principal.patients is None) == (changes.get("welkin_patients") == "*")
    assert principal.expires_at is not None
    assert principal.id


@given(presented=st.binary(max_size=200))
def test_bytes_that_are_no_token_are_refused(presented: bytes):
    with pytest.raises(Unauthenticated):
        asyncio.run(Issuer().verify(presented))
