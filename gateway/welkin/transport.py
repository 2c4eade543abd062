"""One HTTP call to Welkin: an answer within the deadline, or a failure that says whether bytes left.

Theory. httpx2's pool is never cancelled (encode/httpcore#1093: cancelled calls can wedge it for good), and
its timeouts alone do not end an answer that drips. So every call runs in a task of its own:

1. the caller waits for the task until the deadline, then leaves; so does a caller that is cancelled;
2. the task stops by itself: its timeouts are what was left when it began, and between two pieces of a
   body it looks at the clock and closes the stream;
3. a task that nobody waits for any more sends nothing that it has not begun to send;
4. a place in line is taken before the pool is entered, so a call that waited in vain was surely not sent.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx2

from gateway.domain.errors import (
    Internal,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.welkin.body import BodyReader, BodyRefused

# httpx2 --> ours. The most specific class that is listed decides.
FAILURES: dict[type[httpx2.TransportError], tuple[type[UpstreamError], str]] = {
    httpx2.TimeoutException: (UpstreamTimeout, "Welkin did not answer in time"),
    httpx2.NetworkError: (UpstreamUnavailable, "The connection to Welkin broke"),
    httpx2.ConnectError: (UpstreamUnavailable, "Welkin cannot be reached"),
    httpx2.ProxyError: (UpstreamUnavailable, "Welkin cannot be reached"),
    httpx2.UnsupportedProtocol: (UpstreamUnavailable, "Welkin's base URL is neither http nor https"),
    httpx2.ProtocolError: (UpstreamBadResponse, "Welkin's answer is not HTTP"),
    httpx2.SSEError: (UpstreamBadResponse, "Welkin's answer is not HTTP"),
}
LAST_RESORT = 2.0
"""After this many times its budget a task is cancelled after all: only headers that drip get there."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request; the URL is built by ``paths`` and may hold ids and tokens, so no ``repr`` shows it."""

    operation: str
    method: str
    url: str = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, with the little of its headers that anyone reads."""

    status: int
    body: bytes = field(repr=False)
    retry_after: str | None = None


class CallFailed(Exception):
    """There is no answer. Stays inside this package: callers turn it into ``error`` or SendUnconfirmed."""

    def __init__(self, error: UpstreamError, *, maybe_sent: bool) -> None:
        """Keep the error for a read, and whether bytes of the request may have reached Welkin."""
        super().__init__(error.message)
        self.error = error
        self.maybe_sent = maybe_sent


@dataclass(slots=True)
class _Progress:
    """What caller and task tell each other."""

    abandoned: bool = False
    sent: bool = False

    async def trace(self, event: str, _info: object) -> None:
        """Stop an abandoned call at the last moment, and note that bytes leave from here on."""
        if event.endswith("send_request_headers.started"):
            if self.abandoned:
                raise httpx2.ConnectTimeout("abandoned")
            self.sent = True


class Transport:
    """The connections to one Welkin instance."""

    def __init__(self, *, max_calls: int = 64, max_body_bytes: int = 10_000_000) -> None:
        self._client = make_client(max_calls)
        self._places = asyncio.Semaphore(max_calls)
        self._max_body_bytes = max_body_bytes
        self._tasks: set[asyncio.Task[Answer]] = set()

    @property
    def in_flight(self) -> int:
        """How many calls are under way, those included that nobody waits for any more."""
        return len(self._tasks)

    async def call(self, call: Call, *, bearer: str | None, deadline: float) -> Answer:
        """Make one call, once. ``deadline`` is a time of the running event loop.

        Raises:
            CallFailed: there is no complete answer.
        """
        progress = _Progress()
        task = asyncio.create_task(self._run(call, bearer, deadline, progress))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        try:
            await asyncio.wait({task}, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        finally:
            progress.abandoned = True
        if not task.done():
            raise timed_out(call, maybe_sent=progress.sent)
        return task.result()

    async def aclose(self) -> None:
        """Wait for the calls under way, then close the connections."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        await self._client.aclose()

    def _forget(self, task: asyncio.Task[Answer]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: the caller may be gone

    async def _run(self, call: Call, bearer: str | None, deadline: float, progress: _Progress) -> Answer:
        try:
            async with asyncio.timeout_at(deadline):
                await self._places.acquire()
        except TimeoutError:
            raise timed_out(call, maybe_sent=progress.sent) from None
        try:
            budget = deadline - asyncio.get_running_loop().time()
            if progress.abandoned or budget <= 0:
                raise timed_out(call, maybe_sent=progress.sent)
            async with asyncio.timeout(budget * LAST_RESORT):
                extensions = {"trace": progress.trace} if call.method == "POST" else None
                request = build_request(self._client, call, bearer, httpx2.Timeout(budget), extensions)
                return await self._exchange(request, deadline)
        except (httpx2.TransportError, BodyRefused, TimeoutError) as error:
            raise CallFailed(failure(call, error), maybe_sent=progress.sent) from error
        finally:
            self._places.release()

    async def _exchange(self, request: httpx2.Request, deadline: float) -> Answer:
        response = await self._client.send(request, stream=True)
        try:
            return await read_whole(response, self._max_body_bytes, deadline)
        finally:
            await response.aclose()


def make_client(max_calls: int) -> httpx2.AsyncClient:
    """Make the connections to Welkin: they follow no redirect, keep no cookie, read no environment."""
    return httpx2.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        limits=httpx2.Limits(max_connections=max_calls, max_keepalive_connections=max_calls),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # load-balancer stickiness only (R)
        verify=ssl.create_default_context(),
        headers={"Accept": "application/json", "User-Agent": "welkin-chat-gateway"},
    )


def build_request(
    client: httpx2.AsyncClient,
    call: Call,
    bearer: str | None,
    timeout: httpx2.Timeout,
    extensions: dict[str, Any] | None = None,
) -> httpx2.Request:
    """Build the request of a call, and make sure that its URL is what ``paths`` made."""
    # Welkin compresses only if asked to, and pages are small: asking for plain bytes keeps bombs out.
    headers = {**call.headers, "Accept-Encoding": "identity"}
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    request = client.build_request(
        call.method, call.url, headers=headers, content=call.body, timeout=timeout, extensions=extensions
    )
    asked = urlsplit(call.url)
    if request.url.raw_path.decode() != asked.path + (f"?{asked.query}" if asked.query else ""):
        raise Internal("A URL changed on its way to the wire.")
    return request


async def read_whole(response: httpx2.Response, max_bytes: int, deadline: float) -> Answer:
    """Read what is left of a response into memory.

    Raises:
        BodyRefused: it is too large, or compressed in a way that was not asked for.
        httpx2.TransportError: it breaks off, or drips beyond the deadline.
    """
    now = asyncio.get_running_loop().time
    body = BodyReader(response.headers.get("content-encoding"), max_bytes)
    async with aclosing(response.aiter_raw()) as pieces:
        async for piece in pieces:
            body.feed(piece)
            if now() > deadline:
                raise httpx2.ReadTimeout("drips")
    return Answer(response.status_code, body.finish(), response.headers.get("retry-after"))


def timed_out(call: Call, *, maybe_sent: bool) -> CallFailed:
    """Give the failure of a call whose deadline has passed."""
    error = UpstreamTimeout(f"Welkin did not answer in time ({call.operation}).")
    return CallFailed(error, maybe_sent=maybe_sent)


def failure(call: Call, error: Exception) -> UpstreamError:
    """Give the error of ours; its text names the operation and nothing of the request."""
    if isinstance(error, BodyRefused):
        return UpstreamBadResponse(f"{error} ({call.operation}).")
    if isinstance(error, TimeoutError):
        error = httpx2.ReadTimeout("last resort")
    if isinstance(error, httpx2.RemoteProtocolError) and not _malformed(error):
        error = httpx2.ReadError("closed without an answer")
    kind, words = next(FAILURES[base] for base in type(error).__mro__ if base in FAILURES)
    return kind(f"{words} ({call.operation}).")


def _malformed(error: httpx2.RemoteProtocolError) -> bool:
    """Tell bytes that are not HTTP from a connection that just closed.

    The first is the HTTP parser's error, kept as the context of the pool's; the pool erases causes.
    """
    return error.__cause__ is not None and error.__cause__.__context__ is not None
