"""Where tokens and blocks outlive this process, and are shared with its neighbours.

What lies there was written by another process, perhaps of another version, on another machine with
another clock: whatever cannot be read, or lies too far in the future, is as if it were not there.
Times on the shelf are seconds since the epoch; those handed out are on the clock of ``Tokens``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import orjson

from gateway.domain.ports import Shelf
from gateway.welkin.fields import Record, items, record, text
from gateway.welkin.lifetimes import LONGEST, Token, is_sendable
from gateway.welkin.token_slot import LONGEST_BLOCK, LONGEST_PAUSE
from gateway.welkin.upstream import Credential

FRESH_SECONDS = 10.0
"""A token that a neighbour asked for so recently says as much of Welkin as one that is asked for now."""
_COUNTED_SECONDS = 300.0
_MOST_COUNTED = 100

Clock = Callable[[], float]


class TokenShelf:
    """Tokens and blocks by credential. Without a shelf it holds nothing."""

    def __init__(self, shelf: Shelf | None, clock: Clock, wall: Clock) -> None:
        self._shelf = shelf
        self._clock = clock
        self._wall = wall
        self._seen: dict[Credential, list[float]] = {}

    async def token(self, credential: Credential) -> Token | None:
        """Give a token that is good still."""
        return self._token(await self._look(credential))

    async def fresh_token(self, credential: Credential) -> Token | None:
        """Give a token that is good still, and was asked for a moment ago."""
        fields = await self._look(credential)
        asked_at = self._asked_at(credential)
        if not asked_at or abs(self._wall() - asked_at[-1]) > FRESH_SECONDS:
            return None
        return self._token(fields)

    def count(self, credential: Credential) -> int:
        """Tell how many tokens all processes had in the last five minutes, as of the last look.

        Those that were asked for at the same moment count as one: nobody counts them in turn.
        """
        return len(self._asked_at(credential))

    async def blocked_until(self, credential: Credential) -> float | None:
        """Give until when no token may be asked for, if that is not over."""
        return await self._until("block", credential, LONGEST_BLOCK)

    async def paused_until(self, credential: Credential) -> float | None:
        """Give until when nobody should ask again after a neighbour asked in vain, if that is not over."""
        return await self._until("pause", credential, LONGEST_PAUSE)

    async def keep_token(self, credential: Credential, token: Token) -> None:
        """Keep a token until its end."""
        there = token.shifted(self._wall() - self._clock())
        asked_at = self._asked_at(credential)
        fields: dict[str, object] = {
            "token": there.value,
            "refresh_at": there.refresh_at,
            "expires_at": there.expires_at,
            "asked_at": [*asked_at, self._wall()][-_MOST_COUNTED:],
        }
        await self._write("token", credential, fields, token.expires_at - self._clock())

    async def keep_block(self, credential: Credential, until: float) -> None:
        """Keep a block until its end."""
        await self._keep_until("block", credential, until)

    async def keep_pause(self, credential: Credential, until: float) -> None:
        """Keep a pause until its end."""
        await self._keep_until("pause", credential, until)

    async def _look(self, credential: Credential) -> Record:
        fields = await self._read("token", credential)
        times = map(_number, items(fields.get("asked_at")) or [])
        self._seen[credential] = [each for each in times if each is not None]
        return fields

    def _asked_at(self, credential: Credential) -> list[float]:
        seen = self._seen.get(credential, [])
        return [each for each in seen if abs(self._wall() - each) < _COUNTED_SECONDS]

    def _token(self, fields: Record) -> Token | None:
        value = text(fields.get("token"))
        expires_at, refresh_at = _number(fields.get("expires_at")), _number(fields.get("refresh_at"))
        if value is None or not is_sendable(value) or expires_at is None or refresh_at is None:
            return None
        if not 0 < expires_at - self._wall() <= LONGEST or refresh_at > expires_at:
            return None
        return Token(value, refresh_at, expires_at).shifted(self._clock() - self._wall())

    async def _until(self, what: str, credential: Credential, longest: float) -> float | None:
        until = _number((await self._read(what, credential)).get("until"))
        left = 0.0 if until is None else until - self._wall()
        return self._clock() + left if 0 < left <= longest else None

    async def _keep_until(self, what: str, credential: Credential, until: float) -> None:
        left = until - self._clock()
        await self._write(what, credential, {"until": self._wall() + left}, left)

    async def _read(self, what: str, credential: Credential) -> Record:
        kept = None if self._shelf is None else await self._shelf.get(_name(what, credential))
        try:
            fields = None if kept is None else record(orjson.loads(kept))
        except orjson.JSONDecodeError:
            fields = None
        return {} if fields is None else fields

    async def _write(
        self, what: str, credential: Credential, fields: Mapping[str, object], seconds: float
    ) -> None:
        if self._shelf is not None and seconds > 0:
            await self._shelf.put(_name(what, credential), orjson.dumps(fields), seconds)


def _name(what: str, credential: Credential) -> str:
    """Name a credential's entry; who reads the names learns neither tenant nor client."""
    whole = repr((credential.base_url, credential.tenant, credential.client))
    return f"{what}/{hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()}"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
