"""Authorized calls to one instance: the token, the one refresh after a 401, and our errors for what fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

import orjson

from gateway.domain.errors import BadInput, SendUnconfirmed
from gateway.welkin.errors import Asked, error_for
from gateway.welkin.fields import decode
from gateway.welkin.paths import with_query
from gateway.welkin.tokens import Tokens
from gateway.welkin.transport import Answer, Call, CallFailed, Transport
from gateway.welkin.upstream import Credential, Upstream

_LARGE = 256 * 1024
"""Bodies from here on are read in a thread, so that the event loop serves the others meanwhile."""

T = TypeVar("T")


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
            max_calls=upstream.max_calls, max_body_bytes=upstream.max_body_bytes
        )
        self._tokens = tokens or Tokens()
        self._credential = Credential(self._base, upstream.tenant, upstream.client)
        token_url = upstream.token_url or self._base + token_request.path
        self._token_call = Call("get a token", "POST", token_url, token_request.body)

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
        try:
            answer = await self._authorized(call)
        except CallFailed as failed:
            raise failed.error from failed
        if not _is_success(answer):
            raise error_for(answer, operation, asked, time.time())
        if len(answer.body) < _LARGE:
            return translate(decode(answer.body, operation))
        return await asyncio.to_thread(lambda: translate(decode(answer.body, operation)))

    async def send(self, operation: str, path: str, fields: dict[str, str]) -> Answer:
        """POST a message, at most once: repeated only where Welkin refused the token that came with it.

        Raises:
            SendUnconfirmed: bytes may have reached Welkin, and no answer says what became of them.
            GatewayError: the message was not sent.
        """
        try:
            body = orjson.dumps(fields)
        except orjson.JSONEncodeError as error:
            raise BadInput("body must be Unicode text without lone surrogates.") from error
        try:
            answer = await self._authorized(Call(operation, "POST", self._base + path, body))
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
        await self._tokens.aclose()
        await self._transport.aclose()

    async def _authorized(self, call: Call) -> Answer:
        deadline = asyncio.get_running_loop().time() + self._timeout
        token = await self._tokens.get(self._credential, self._fetch_token, deadline)
        answer = await self._transport.call(call, bearer=token, deadline=deadline)
        if answer.status != HTTPStatus.UNAUTHORIZED:
            return answer
        self._tokens.refused(self._credential, token)
        token = await self._tokens.get(self._credential, self._fetch_token, deadline)
        return await self._transport.call(call, bearer=token, deadline=deadline)

    def _fetch_token(self) -> Awaitable[Answer]:
        deadline = asyncio.get_running_loop().time() + self._timeout
        return self._transport.call(self._token_call, bearer=None, deadline=deadline)


def _is_success(answer: Answer) -> bool:
    return HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
