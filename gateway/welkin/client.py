"""Authorized calls to one instance: the token, the one refresh after a 401, and our errors for what fails.

Every call ends within ``timeout_seconds``, its token and its repetitions included, and not after the
deadline of the operation that it belongs to.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

import orjson

from gateway.domain import deadline
from gateway.domain.errors import BadInput, SendUnconfirmed, UpstreamBadResponse, UpstreamRateLimited
from gateway.welkin.attempts import Attempts, Stands
from gateway.welkin.breaker import BreakerState
from gateway.welkin.downloads import Downloads, Opened
from gateway.welkin.errors import Asked, error_for
from gateway.welkin.failures import CallFailed
from gateway.welkin.fields import decode
from gateway.welkin.paths import with_query
from gateway.welkin.tokens import OPERATION as ASKING_FOR_A_TOKEN
from gateway.welkin.tokens import Tokens
from gateway.welkin.transport import Answer, Call, Transport
from gateway.welkin.upstream import Credential, Upstream, UpstreamState

_LARGE = 256 * 1024
"""Bodies from here on are read in a thread, so that the event loop serves the others meanwhile."""

_BEARER_TRUSTED = 30.0
"""Seconds in which a 401 is blamed on the chat token in the request, after a new bearer did not help.

Otherwise everyone with a dead chat token could use up the token requests that Welkin allows. It holds for
the operation that was refused: another one may be the first to notice that the bearer has died since.
"""

_SECONDS_BETWEEN_RENEWALS = 60.0
"""While a token is held: asked for once a second, the health would use up what Welkin allows a credential."""

_PROBE_SECONDS = 2.0
"""How long whoever asks for the instance's health waits for an answer."""

T = TypeVar("T")
A = TypeVar("A", bound=Answer | Opened)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """How a version of Welkin wants to be asked for a token."""

    path: str
    body: bytes = field(repr=False)


class Client:
    """What both versions share on the way to Welkin."""

    def __init__(
        self,
        upstream: Upstream,
        token_request: TokenRequest,
        transport: Transport | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self._base = upstream.base_url.rstrip("/")
        self._timeout = upstream.timeout_seconds
        self._transport = transport or Transport(
            max_calls=upstream.max_calls, max_body_bytes=upstream.max_body_bytes, ca_file=upstream.ca_file
        )
        self._downloads = Downloads(
            max_calls=max(1, upstream.max_calls // 4),
            max_bytes=upstream.max_file_bytes,
            ca_file=upstream.ca_file,
        )
        self._tokens = tokens or Tokens()
        self._attempts = Attempts(
            upstream.timeout_seconds, max_retries=upstream.max_retries, first_pause=upstream.retry_seconds
        )
        self._next_renewal = -math.inf
        self._not_the_bearer_until: dict[str, float] = {}  # by operation, of which there are a few
        self._credential = Credential(self._base, upstream.tenant, upstream.client)
        token_url = upstream.token_url or self._base + token_request.path
        self._token_call = Call(ASKING_FOR_A_TOKEN, "POST", token_url, token_request.body)

    async def read(
        self,
        operation: str,
        path: str,
        query: Iterable[tuple[str, str]],
        translate: Callable[[object], T],
        *,
        asked: Asked = Asked.READ,
    ) -> T:
        """GET a resource and translate its JSON.

        Raises:
            GatewayError: what the status table says of the answer, or that there was none.
        """
        call = Call(operation, "GET", self._base + with_query(path, query))
        body = await self._read(call, asked)
        return await _translated(body, operation, translate)

    async def search(
        self,
        operation: str,
        path: str,
        fields: Mapping[str, object],
        translate: Callable[[object], T],
        *,
        may_be_empty: bool = True,
    ) -> T:
        """POST a question that changes nothing, and translate its JSON.

        ``may_be_empty``: no body at all is an empty list.

        Raises:
            GatewayError: as of a read.
        """
        call = Call(operation, "POST", self._base + path, _encoded(fields, "query"))
        body = await self._read(call, Asked.READ)
        if may_be_empty and not body.strip():
            body = b"[]"
        return await _translated(body, operation, translate)

    async def download(self, operation: str, path: str, headers: Mapping[str, str]) -> Opened:
        """GET a resource whose body is handed on while it arrives. Whoever gets it leaves its pipe.

        Raises:
            GatewayError: as of a read.
        """
        call = Call(operation, "GET", self._base + path, headers=headers)
        end = deadline.at(self._timeout)

        async def once(token: str, stands: Stands) -> Answer | Opened:
            return await self._downloads.open(
                call, bearer=token, deadline=end, idle_seconds=self._timeout, stands=stands
            )

        try:
            answer = await self._attempts.make(
                operation,
                lambda stands: self._authorized(operation, once, end, stands),
                deadline=end,
                subject=_subject(call),
            )
        except CallFailed as failed:
            raise failed.error from failed
        if isinstance(answer, Opened):
            return answer
        if _is_success(answer):
            raise UpstreamBadResponse(f"Welkin answered without the file ({operation}).")
        raise error_for(answer, operation, Asked.READ, time.time())

    async def send(self, operation: str, path: str, fields: Mapping[str, str]) -> Answer:
        """POST a message, at most once: repeated only where Welkin refused the token that came with it.

        Raises:
            SendUnconfirmed: bytes may have reached Welkin, and no answer says what became of them.
            GatewayError: the message was not sent.
        """
        body = _encoded(fields, "body")
        try:
            answer = await self._answer(Call(operation, "POST", self._base + path, body), sends=True)
        except CallFailed as failed:
            if failed.maybe_sent:
                raise SendUnconfirmed(
                    f"No answer says whether the message was sent ({operation})."
                ) from failed
            raise failed.error from failed
        if not _is_success(answer):
            raise error_for(answer, operation, Asked.SEND, time.time())
        return answer

    async def aclose(self) -> None:
        """Wait for the calls under way, then close the connections."""
        await self._downloads.aclose()
        await self._tokens.aclose()
        await self._transport.aclose()

    @property
    def state(self) -> UpstreamState:
        """How the calls fare."""
        return UpstreamState(
            breaker=self._attempts.breaker.state,
            in_flight=self._transport.in_flight + self._downloads.in_flight,
            waiting=self._transport.waiting + self._downloads.waiting,
            retries=self._attempts.retries,
            answered=self._attempts.answered,
        )

    async def probe(self) -> str | None:
        """Tell why the instance cannot be reached, in words that are safe to show; None: it can be.

        Where calls go through there is nothing to ask. Otherwise Welkin is asked for a token, as seldom as
        the breaker and the limit on token requests let it; success closes the breaker.
        """
        holds = self._tokens.holds(self._credential)
        if self._attempts.answered and holds and self._attempts.breaker.state is BreakerState.CLOSED:
            return None
        now = asyncio.get_running_loop().time()
        closed = self._attempts.breaker.state is BreakerState.CLOSED  # an open one sets the pace itself
        if holds and closed and now < self._next_renewal:
            return "The last call to Welkin failed."
        self._next_renewal = now + _SECONDS_BETWEEN_RENEWALS
        end = now + min(self._timeout, _PROBE_SECONDS)
        try:
            await self._attempts.once(ASKING_FOR_A_TOKEN, lambda _: self._renewed(end), end)
        except CallFailed as failed:
            held_back = failed.works is None and isinstance(failed.error, UpstreamRateLimited)
            if held_back and holds and self._attempts.answered is not False:
                return None  # no token may be asked for now, and none is needed
            return failed.error.message
        return None

    async def _read(self, call: Call, asked: Asked) -> bytes:
        try:
            answer = await self._answer(call)
        except CallFailed as failed:
            raise failed.error from failed
        if not _is_success(answer):
            raise error_for(answer, call.operation, asked, time.time())
        return answer.body

    async def _answer(self, call: Call, *, sends: bool = False) -> Answer:
        end = deadline.at(self._timeout)

        async def once(token: str, stands: Stands) -> Answer:
            return await self._transport.call(call, bearer=token, deadline=end, stands=stands)

        return await self._attempts.make(
            call.operation,
            lambda stands: self._authorized(call.operation, once, end, stands),
            deadline=end,
            sends=sends,
            subject=_subject(call),
        )

    async def _authorized(
        self, operation: str, once: Callable[[str, Stands], Awaitable[A]], end: float, stands: Stands
    ) -> A:
        token = await self._tokens.get(self._credential, self._fetch_token, end)
        answer = await once(token, stands)
        # A new bearer that did not help was not at fault: one place that refuses everybody must not
        # use up the token requests that all others need.
        now = asyncio.get_running_loop().time
        trusted_until = self._not_the_bearer_until.get(operation, -math.inf)
        if answer.status != HTTPStatus.UNAUTHORIZED or now() < trusted_until:
            return answer
        self._tokens.refused(self._credential, token)
        token = await self._tokens.get(self._credential, self._fetch_token, end)
        answer = await once(token, stands)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._not_the_bearer_until[operation] = now() + _BEARER_TRUSTED
        return answer

    async def _renewed(self, end: float) -> Answer:
        await self._tokens.renew(self._credential, self._fetch_token, end)
        return Answer(HTTPStatus.NO_CONTENT, b"")

    def _fetch_token(self) -> Awaitable[Answer]:
        end = asyncio.get_running_loop().time() + self._timeout
        return self._transport.call_for_token(self._token_call, deadline=end)


def _subject(call: Call) -> str:
    """Name what a call is about: its URL without the query, in which pages and chat tokens stand."""
    return call.url.partition("?")[0]


async def _translated(body: bytes, operation: str, translate: Callable[[object], T]) -> T:
    if len(body) < _LARGE:
        return translate(decode(body, operation))
    return await asyncio.to_thread(lambda: translate(decode(body, operation)))


def _encoded(fields: Mapping[str, object], name: str) -> bytes:
    try:
        return orjson.dumps(fields)
    except orjson.JSONEncodeError:
        raise BadInput(f"{name} must be Unicode text without lone surrogates.") from None


def _is_success(answer: Answer) -> bool:
    return HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
