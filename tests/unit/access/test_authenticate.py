"""Credentials: which are believed, and that every refusal looks the same."""

from __future__ import annotations

import pytest

from gateway.access.authenticate import Authenticator
from gateway.access.jwt import REFUSED
from gateway.access.keys import ApiKeys
from gateway.domain.access import EVERYBODY
from gateway.domain.errors import Unauthenticated
from tests.unit.access.issuer import OTHER_RSA, Issuer, token
from tests.unit.access.test_keys import make

KEYS = ApiKeys([make(key="k3y")])


async def who(authenticator: Authenticator, authorization: bytes | None, api_key: bytes | None) -> str:
    return (await authenticator.authenticate(authorization, api_key)).id


async def test_a_key_and_a_token_each_open_their_door():
    both = Authenticator(KEYS, Issuer().verifier)

    assert await who(both, None, b"k3y") == "key:billing"
    assert await who(both, b"Bearer " + token(), None) == "nurse-7"
    assert await who(both, b"bEARER   " + token() + b" ", None) == "nurse-7"


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [
        (None, None),
        (None, b""),
        (None, b"wrong"),
        (b"", None),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"Basic abc", None),
        (b"Bearer a b", None),
        (b"Bearer " + token(OTHER_RSA), None),
        (b"Bearer " + token(), b"k3y"),
        (b"", b"k3y"),
    ],
)
async def test_every_refusal_has_the_same_text(authorization: bytes | None, api_key: bytes | None):
    with pytest.raises(Unauthenticated) as caught:
        await who(Authenticator(KEYS, Issuer().verifier), authorization, api_key)

    assert caught.value.message == REFUSED


async def test_what_is_not_switched_on_opens_nothing():
    with pytest.raises(Unauthenticated):
        await who(Authenticator(KEYS), b"Bearer " + token(), None)
    with pytest.raises(Unauthenticated):
        await who(Authenticator(jwt=Issuer().verifier), None, b"k3y")


async def test_without_access_control_everybody_gets_in():
    authenticator = Authenticator(everybody=True)

    assert await authenticator.authenticate(None, None) is EVERYBODY
    assert await authenticator.authenticate(b"Bearer x", b"y") is EVERYBODY


def test_access_control_is_not_left_off_by_mistake():
    with pytest.raises(ValueError, match="chosen"):
        Authenticator()
    with pytest.raises(ValueError, match="chosen"):
        Authenticator(KEYS, everybody=True)
