"""Tokens: what is refused, whose a good one is, and that the header of none leads anywhere."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from joserfc.jws import JWSRegistry

from gateway.access.claims import ASYMMETRIC, JwtOptions
from gateway.access.jwt import KEPT_TOKENS, REFUSED
from gateway.domain.access import Principal, Scope
from gateway.domain.errors import Unauthenticated
from tests.unit.access.issuer import (
    EC,
    ED,
    ISSUER,
    NOW,
    OTHER_RSA,
    RSA,
    Issuer,
    claims,
    forge_hs256,
    key_set,
    token,
)


def flip(presented: bytes, part: int) -> bytes:
    parts = presented.split(b".")
    middle = len(parts[part]) // 2
    changed = b"A" if parts[part][middle : middle + 1] != b"A" else b"B"
    parts[part] = parts[part][:middle] + changed + parts[part][middle + 1 :]
    return b".".join(parts)


def unsigned(algorithm: str) -> bytes:
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm}).encode()).rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=")
    return header + b"." + body + b"."


def raw(header: bytes, payload: bytes = b"{}") -> bytes:
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload, b"x"))


CLAIMS_AT = {
    "empty": b"",
    "no token": b"abc",
    "four parts": token() + b".x",
    "not base64": b"!!!.???.***",
    "not utf-8": raw(b"\xff\xfe"),
    "a list": raw(b"[]"),
    "a number": raw(b"5"),
    "deep": raw(b"[" * 3_000),
    "deep payload": raw(b'{"alg":"RS256"}', b"[" * 3_000),
    "a huge number": raw(b'{"alg":' + b"9" * 5_000 + b"}"),
    "no alg": raw(b"{}"),
    "alg of another type": raw(b'{"alg":["RS256"]}'),
    "not ascii": token() + "é".encode(),
    "larger than 8 KiB": token(filler="x" * 9_000),
    "expired": token(exp=NOW - 11),
    "nbf in the future": token(nbf=NOW + 11),
    "iat in the future": token(iat=NOW + 11),
    "another issuer": token(iss="https://evil.example.org/"),
    "issuer of another type": token(iss=[ISSUER]),
    "no issuer": token(iss=None),
    "another audience": token(aud="another"),
    "audience of another type": token(aud={"welkin-gateway": 1}),
    "no audience": token(aud=None),
    "no exp": token(exp=None),
    "exp is text": token(exp="1900000600"),
    "exp is true": token(exp=True),
    "exp is not a number": token(exp=float("nan")),
    "exp is endless": token(exp=float("inf")),
    "no sub": token(sub=None),
    "sub of another type": token(sub=7),
    "sub is blank": token(sub=""),
    "sub of a service": token(sub="key:billing"),
    "sub of everybody": token(sub="everybody"),
    "a bit of the header flipped": flip(token(), 0),
    "a bit of the claims flipped": flip(token(), 1),
    "a bit of the signature flipped": flip(token(), 2),
    "another's signature": token(OTHER_RSA, header={"kid": "rsa-1"}),
    "algorithm not allowed": token(RSA, "RS512"),
    "critical extension": token(header={"crit": ["b64"], "b64": False}),
    "no kid among several RSA keys": token(OTHER_RSA, header={"kid": None}),
}


@pytest.mark.parametrize("name", CLAIMS_AT)
async def test_a_bad_token_is_refused_with_the_one_text(name: str):
    with pytest.raises(Unauthenticated) as caught:
        await Issuer().verify(CLAIMS_AT[name])

    assert caught.value.message == REFUSED
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS256", "hs256", "RS1"])
async def test_an_unsigned_token_is_refused_and_no_key_is_read(algorithm: str):
    issuer = Issuer()

    with pytest.raises(Unauthenticated):
        await issuer.verify(unsigned(algorithm))

    assert issuer.source.reads == 0


@pytest.mark.parametrize(
    "shared",
    [
        RSA.as_pem(private=False),
        RSA.as_der(private=False),
        json.dumps(RSA.as_dict(private=False)).encode(),
        base64.urlsafe_b64decode(str(RSA.as_dict(private=False)["n"]) + "=="),
    ],
)
async def test_the_public_key_is_no_password(shared: bytes):
    """HS256 with the public key, in each form that a library might use it."""
    issuer = Issuer()

    with pytest.raises(Unauthenticated):
        await issuer.verify(forge_hs256(shared, "rsa-1"))

    assert issuer.source.reads == 0


@pytest.mark.parametrize(
    "kid",
    ["../../dev/null", "x' OR '1'='1", "https://evil.example.org/k", "", "\x00", "k" * 257, 5, ["rsa-1"]],
)
async def test_an_odd_kid_leads_nowhere(kid: Any):
    issuer = Issuer()
    await issuer.keys.load()

    with pytest.raises(Unauthenticated):
        await issuer.verify(token(OTHER_RSA, header={"kid": kid}))

    assert issuer.source.reads == 1


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": OTHER_RSA.as_dict(private=False)},
        {"jku": "https://evil.example.org/jwks"},
        {"x5u": "https://evil.example.org/chain"},
        {"x5c": ["MIIB"]},
    ],
)
@pytest.mark.parametrize("kid", ["rsa-1", "rsa-2", None])
async def test_keys_in_a_header_are_never_used(header: dict[str, Any], kid: str | None):
    issuer = Issuer()
    await issuer.keys.load()

    with pytest.raises(Unauthenticated):
        await issuer.verify(token(OTHER_RSA, header=header | {"kid": kid}))
    by_the_real_key = await issuer.verify(token(header=header | {"kid": "rsa-1"}))

    assert by_the_real_key.id == "nurse-7"
    assert issuer.source.reads == 1


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "ES256"), (EC, "RS256"), (ED, "ES256"), (RSA, "EdDSA")])
async def test_a_key_of_another_kind_is_refused(key: Any, algorithm: str):
    signer = {"ES256": EC, "RS256": RSA, "EdDSA": ED}[algorithm]

    with pytest.raises(Unauthenticated):
        await Issuer().verify(token(signer, algorithm, {"kid": key.kid}))


async def test_a_key_for_one_algorithm_verifies_no_other():
    issuer = Issuer()
    shown = RSA.as_dict(private=False) | {"alg": "RS256"}
    issuer.source.body = json.dumps({"keys": [shown]}).encode()

    assert (await issuer.verify(token())).id == "nurse-7"
    with pytest.raises(Unauthenticated):
        await issuer.verify(token(RSA, "PS256"))


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")])
async def test_each_kind_of_key_verifies_its_own(key: Any, algorithm: str):
    principal = await Issuer().verify(token(key, algorithm))

    assert principal == Principal(
        "nurse-7", frozenset({Scope.READ}), frozenset({"p1"}), None, expires_at=NOW + 600
    )


@pytest.mark.parametrize(
    ("changes", "scopes", "patients"),
    [
        ({"scope": ["search", "nonsense", 5]}, {Scope.SEARCH}, {"p1"}),
        ({"scope": "messages:send  files"}, {Scope.SEND, Scope.FILES}, {"p1"}),
        ({"scope": None}, set(), {"p1"}),
        ({"scope": {"search": True}}, set(), {"p1"}),
        ({"welkin_patients": "*"}, {Scope.READ}, None),
        ({"welkin_patients": "p9"}, {Scope.READ}, {"p9"}),
        ({"welkin_patients": ["p1", "p2", 3]}, {Scope.READ}, {"p1", "p2"}),
        ({"welkin_patients": ["*"]}, {Scope.READ}, set()),
        ({"welkin_patients": None}, {Scope.READ}, set()),
        ({"welkin_patients": {"p1": 1}}, {Scope.READ}, set()),
        ({"aud": ["x", "welkin-gateway"]}, {Scope.READ}, {"p1"}),
    ],
)
async def test_claims_tell_what_the_caller_may(
    changes: dict[str, Any], scopes: set[Scope], patients: set[str]
):
    principal = await Issuer().verify(token(**changes))

    assert (principal.scopes, principal.patients) == (scopes, patients)


async def test_times_are_honoured_with_leeway():
    issuer = Issuer()

    assert await issuer.verify(token(exp=NOW - 9))
    assert await issuer.verify(token(nbf=NOW + 9, iat=NOW + 9))


async def test_a_token_without_kid_is_verified_where_one_key_fits():
    assert (await Issuer().verify(token(header={"kid": None}))).id == "nurse-7"


async def test_a_good_token_is_remembered_until_it_expires():
    issuer = Issuer()
    presented = token()
    first, second, third = [await issuer.verify(presented) for _ in range(3)]

    assert first == second
    assert third is second
    issuer.clock.now = NOW + 610
    with pytest.raises(Unauthenticated):
        await issuer.verify(presented)
    assert not issuer.verifier._known


async def test_only_so_many_tokens_are_remembered():
    issuer = Issuer()
    await issuer.verify(token())
    some = next(iter(issuer.verifier._known.values()))
    issuer.verifier._known.update({str(number).encode(): some for number in range(KEPT_TOKENS)})

    await issuer.verify(token(sub="another"))

    assert len(issuer.verifier._known) <= KEPT_TOKENS + 1


async def test_what_a_withdrawn_key_signed_is_refused_within_the_hour():
    issuer = Issuer()
    presented = token(exp=NOW + 90_000)
    await issuer.verify(presented)
    issuer.source.body = key_set(OTHER_RSA)

    issuer.clock.now = NOW + 3_601

    with pytest.raises(Unauthenticated):
        await issuer.verify(presented)


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithms": frozenset({"HS256"})},
        {"algorithms": frozenset({"RS256", "none"})},
        {"algorithms": frozenset()},
        {"audiences": frozenset()},
        {"audiences": frozenset({""})},
        {"issuer": ""},
        {"leeway_seconds": -1},
        {"leeway_seconds": 3_600},
    ],
)
def test_options_under_which_anyone_gets_in_are_refused(changes: dict[str, Any]):
    good: dict[str, Any] = {"issuer": ISSUER, "audiences": frozenset({"a"})}

    with pytest.raises(ValueError, match="must"):
        JwtOptions(**(good | changes))


def test_every_algorithm_that_may_be_allowed_is_known_to_the_library():
    assert set(JWSRegistry.algorithms) >= ASYMMETRIC
    assert all(JWSRegistry.algorithms[name].key_type != "oct" for name in ASYMMETRIC)


async def test_no_error_and_no_repr_shows_a_token():
    issuer = Issuer()
    canary = token(OTHER_RSA, header={"kid": "canary-kid"}, sub="canary-sub")

    with pytest.raises(Unauthenticated) as caught:
        await issuer.verify(canary)

    shown = repr(caught.value) + str(caught.value) + repr(caught.value.__cause__) + repr(issuer.verifier)
    assert "canary" not in shown
    assert canary.decode() not in shown
