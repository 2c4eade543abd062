"""Upstream tokens of both versions: issued, expired, revoked, and refused when asked for too often."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections import deque
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Any, Literal

import msgspec

from gateway.sandbox.clock import Clock
from gateway.sandbox.config import Client, SandboxConfig

Api = Literal["v1", "v2"]


class Verdict(Enum):
    """What became of a bearer token."""

    GOOD = "good"
    EXPIRED = "expired"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Issued:
    """A fresh token and when it expires, in seconds since 1970."""

    token: str
    expires: int


class Credentials:
    """The clients, their tokens and how often they asked. Tokens look like JWTs with an ``exp`` (D1)."""

    def __init__(self, config: SandboxConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._numbers = count(1)
        self.reset()

    def reset(self) -> None:
        """Forget who asked and what was revoked: tokens that have not expired are good again."""
        self._revoked: dict[Api, int] = {"v1": 0, "v2": 0}
        self._asked: dict[tuple[Api, str], deque[float]] = {}
        self._blocked_until: dict[tuple[Api, str], float] = {}

    def knows_tenant(self, tenant: str) -> bool:
        """Tell whether any v1 client belongs to the tenant."""
        return any(client.api == "v1" and client.tenant == tenant for client in self._config.clients)

    def find(self, api: Api, name: str, secret: str, tenant: str | None = None) -> Client | None:
        """Give the client with this name and secret; None where there is none."""
        for client in self._config.clients:
            same = client.api == api and client.name == name and (tenant is None or client.tenant == tenant)
            if same and hmac.compare_digest(client.secret.encode(), secret.encode()):
                return client
        return None

    def blocked_for(self, api: Api, name: str) -> float:
        """Count a token request, and give for how many seconds the client is blocked; 0 if it is not.

        More than 100 requests in 5 minutes block for 5 minutes (vendor's knowledge base, D2).
        """
        now = self._clock.now().timestamp()
        who = (api, name)
        left = self._blocked_until.get(who, 0.0) - now
        if left > 0:
            return left
        asked = self._asked.setdefault(who, deque())
        asked.append(now)
        while asked and asked[0] <= now - self._config.token_window_seconds:
            asked.popleft()
        if len(asked) <= self._config.token_limit:
            return 0.0
        asked.clear()
        self._blocked_until[who] = now + self._config.token_window_seconds
        return float(self._config.token_window_seconds)

    def issue(self, api: Api, name: str) -> Issued:
        """Make a token for a client."""
        now = int(self._clock.now().timestamp())
        expires = now + self._config.token_seconds
        claims = {
            "iss": f"https://sandbox.invalid/{api}",
            "token_use": "id",
            "custom:type": "API_CLIENT",
            "cognito:username": name,
            "iat": now,
            "exp": expires,
            "jti": next(self._numbers),
        }
        head = _part({"alg": "RS256", "typ": "JWT", "kid": "sandbox"})
        signed = f"{head}.{_part(claims)}"
        return Issued(f"{signed}.{self._sign(signed)}", expires)

    def expire_all(self, api: Api | None = None) -> None:
        """Let every token issued so far be expired, as after an hour."""
        newest = next(self._numbers)
        for each in self._revoked:
            if api in (None, each):
                self._revoked[each] = newest

    def judge(self, api: Api, authorization: str | None) -> Verdict:
        """Look at an ``Authorization`` header."""
        scheme, _, token = (authorization or "").partition(" ")
        claims = self._claims(token.strip()) if scheme.casefold() == "bearer" else None
        if claims is None or claims.get("iss") != f"https://sandbox.invalid/{api}":
            return Verdict.INVALID
        stale = claims["jti"] < self._revoked[api] or claims["exp"] <= self._clock.now().timestamp()
        return Verdict.EXPIRED if stale else Verdict.GOOD

    def portal_token(self, patient_id: str, seconds: float) -> str:
        """Make a secure patient chat token, which a portal opens one conversation with (D2)."""
        ends = self._clock.now_ms() + round(seconds * 1000)
        body = _part({"patient": patient_id, "ends": ends})
        return f"{body}.{self._sign('portal' + body)}"

    def portal_patient(self, token: str) -> str | None:
        """Give the patient whom a chat token belongs to; None for a bad or expired one."""
        body, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("portal" + body).encode()):
            return None
        fields = msgspec.json.decode(_unpart(body), type=dict[str, Any])
        return fields["patient"] if fields["ends"] > self._clock.now_ms() else None

    def _claims(self, token: str) -> dict[str, Any] | None:
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(signed).encode()):
            return None
        return msgspec.json.decode(_unpart(signed.partition(".")[2]), type=dict[str, Any])

    def _sign(self, text: str) -> str:
        digest = hmac.digest(self._key, text.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


def _unpart(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
