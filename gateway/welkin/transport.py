"""One HTTP call to Welkin: an answer within the deadline, or a failure that says whether bytes left.

Theory. httpx2's pool is never cancelled (encode/httpcore#1093: cancelled calls can wedge it for good), and
its timeouts alone do not end an answer that drips. So every call runs in a task of its own:

1. the caller waits for the task until the deadline, then leaves; so does a caller that is cancelled;
2. the task stops by itself: its timeouts are what was left when it began, and between two pieces of a
   body it looks at the clock and closes the stream;
3. a task that nobody waits for any more sends nothing that it has not begun to send;
4. a place is taken before the task begins, so a call that waited in vain was surely not sent, and one that
   is given up while it waits is gone from the line at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx2

from gateway.domain import pacing
from gateway.domain.errors import Internal
from gateway.welkin.body import BodyReader, BodyRefused
from gateway.welkin.failures import failed, kept_back, line_full, timed_out
from gateway.welkin.line import Line, LineFull

CONNECT_SHARE = 0.4
"""Of the time that is left, for connecting: an address that is dead leaves time for another try."""
_TOKEN_PLACES = 2
"""Connections beyond the places, for token requests: one at a time, and one that was given up."""
_IDLE_SECONDS = 3.0
"""An idle connection is used again for so long. Many servers close one after 5 s, and a message that is
posted at that very moment would be in doubt."""

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
    """The connections to one Welkin instance: ``max_calls`` places, and a line before them.

    ``ca_file``: see ``make_client``.
    """

    def __init__(
        self, *, max_calls: int = 64, max_body_bytes: int = 10_000_000, ca_file: str | None = None
    ) -> None:
        self._client = make_client(max_calls + _TOKEN_PLACES, ca_file)
        self._line = Line(max_calls)
        self._max_body_bytes = max_body_bytes
        self._tasks: set[asyncio.Task[Answer]] = set()

    @property
    def in_flight(self) -> int:
        """How many calls are under way, those included that nobody waits for any more."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        return self._line.waiting

    async def call(
        self, call: Call, *, bearer: str | None, deadline: float, stands: Callable[[], bool] = lambda: True
    ) -> Answer:
        """Make one call, once. ``deadline`` is a time of the running event loop.

        ``stands`` is asked when there is a place: False, and the call is not made after all.

        Raises:
            CallFailed: there is no complete answer.
        """
        await take_place(self._line, call, deadline, stands)
        return await self._make(call, bearer, deadline, self._line.leave)

    async def call_for_token(self, call: Call, *, deadline: float) -> Answer:
        """Make a call that does not stand in line: all who stand there may be waiting for it.

        Raises:
            CallFailed: there is no complete answer.
        """
        return await self._make(call, None, deadline, lambda: None)

    async def aclose(self) -> None:
        """Wait for the calls under way, then close the connections."""
        while self._tasks or self.waiting:
            await asyncio.wait(set(self._tasks) or {asyncio.create_task(asyncio.sleep(0))})
        await self._client.aclose()

    async def _make(
        self, call: Call, bearer: str | None, deadline: float, leave: Callable[[], None]
    ) -> Answer:
        """Make the call in a task of its own, which gives its place back when it ends."""
        progress = _Progress()
        task = asyncio.create_task(pacing.paced(self._run(call, bearer, deadline, progress)))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._forget(done, leave))
        try:
            await asyncio.wait({task}, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        finally:
            progress.abandoned = True
        if not task.done():
            raise timed_out(call.operation, maybe_sent=progress.sent)
        return task.result()

    def _forget(self, task: asyncio.Task[Answer], leave: Callable[[], None]) -> None:
        self._tasks.discard(task)
        leave()
        if not task.cancelled():
            task.exception()  # marks it as seen: the caller may be gone

    async def _run(self, call: Call, bearer: str | None, deadline: float, progress: _Progress) -> Answer:
        try:
            budget = deadline - asyncio.get_running_loop().time()
            if progress.abandoned or budget <= 0:
                raise timed_out(call.operation, maybe_sent=progress.sent)
            async with asyncio.timeout(budget * LAST_RESORT):
                extensions = {"trace": progress.trace} if call.method == "POST" else None
                timeout = httpx2.Timeout(budget, connect=budget * CONNECT_SHARE)
                request = build_request(self._client, call, bearer, timeout, extensions)
                return await self._exchange(request, deadline)
        except (httpx2.TransportError, BodyRefused, TimeoutError) as error:
            raise failed(call.operation, error, maybe_sent=progress.sent) from error

    async def _exchange(self, request: httpx2.Request, deadline: float) -> Answer:
        response = await self._client.send(request, stream=True)
        try:
            return await read_whole(response, self._max_body_bytes, deadline)
        finally:
            await response.aclose()


def make_client(max_calls: int, ca_file: str | None = None) -> httpx2.AsyncClient:
    """Make the connections to Welkin: they follow no redirect, keep no cookie, use no proxy.

    A certificate has to be signed by one in ``ca_file`` (PEM), or else by one that the system trusts.
    """
    return httpx2.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        limits=httpx2.Limits(
            max_connections=max_calls, max_keepalive_connections=max_calls, keepalive_expiry=_IDLE_SECONDS
        ),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # load-balancer stickiness only (R)
        verify=_trust(ca_file),
        headers={"Accept": "application/json", "User-Agent": "welkin-chat-gateway"},
    )


@cache
def _trust(ca_file: str | None) -> ssl.SSLContext:
    """Load certificates once for all instances: the system's take 20 ms each time."""
    return ssl.create_default_context(cafile=ca_file)


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


async def take_place(line: Line, call: Call, deadline: float, stands: Callable[[], bool]) -> None:
    """Wait for a place in line, and have it.

    Raises:
        CallFailed: there is none, or the call is not wanted any more.
    """
    try:
        await line.take(deadline)
    except LineFull as full:
        raise line_full(call.operation) from full
    except TimeoutError:
        raise timed_out(call.operation, maybe_sent=False, works=None) from None
    if not stands():
        line.leave()
        raise kept_back(call.operation)
