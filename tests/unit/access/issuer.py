"""An identity provider for tests: keys, tokens, and a set of keys behind a real URL."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway.access.claims import JwtOptions
from gateway.access.jwks import Jwks
from gateway.access.jwks_source import KeysUnreadable
from gateway.access.jwt import JwtVerifier

ISSUER = "https://id.example.org/"
AUDIENCE = "welkin-gateway"
NOW = 1_900_000_000.0
ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})

RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"})
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "rsa-2"})
EC = ECKey.generate_key("P-256", {"kid": "ec-1"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed-1"})


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


class _Anything(jws.JWSRegistry):
    """Signs whatever an attacker might, without a word."""

    max_header_length = 20_000

    def get_alg(self, name: str):
        return self.algorithms[name]

    def check_header(self, header: Any) -> None:
        """Take every header."""


def sign(header: dict[str, Any], payload: bytes, key: Any) -> bytes:
    return jws.serialize_compact(header, payload, key, registry=_Anything()).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Give good claims with changes; a None takes one out."""
    good: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "nurse-7",
        "iat": NOW - 10,
        "exp": NOW + 600,
        "scope": "messages:read openid",
        "welkin_patients": ["p1"],
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def token(key: Any = RSA, algorithm: str = "RS256", header: dict[str, Any] | None = None, **changes: Any):
    full = {"alg": algorithm, "kid": key.kid, "typ": "JWT"} | (header or {})
    full = {name: value for name, value in full.items() if value is not None}
    return sign(full, json.dumps(claims(**changes)).encode(), key)


def forge_hs256(password: bytes, kid: str) -> bytes:
    """Sign with HMAC by hand: joserfc refuses to take a public key for a password."""
    parts = (json.dumps({"alg": "HS256", "kid": kid}).encode(), json.dumps(claims()).encode())
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.digest(password, signed, "sha256")
    return signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")


@dataclass
class Source:
    """A place for keys that counts, waits and fails as it is told."""

    body: bytes | None = field(default_factory=lambda: key_set(RSA, EC, ED))
    reads: int = 0
    gate: asyncio.Event | None = None

    async def read(self) -> bytes:
        self.reads += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.body is None:
            raise KeysUnreadable("down")
        return self.body

    async def aclose(self) -> None:
        pass


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Issuer:
    """A verifier with its source of keys, and one clock for both."""

    source: Source = field(default_factory=Source)
    clock: Clock = field(default_factory=Clock)
    options: JwtOptions = field(default_factory=lambda: JwtOptions(ISSUER, frozenset({AUDIENCE}), ALGORITHMS))

    def __post_init__(self) -> None:
        self.keys = Jwks(self.source, clock=self.clock)
        self.verifier = JwtVerifier(self.options, self.keys, clock=self.clock)

    async def verify(self, presented: bytes):
        return await self.verifier.verify(presented)
