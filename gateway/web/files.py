"""The door for attachments: a file passes through piece by piece, and nothing of it is kept.

A transfer that breaks off must look broken. So an answer that cannot be finished is left without
its end, and the server then closes the connection short of what was announced. One whose caller's proof
ends is dropped at once, with all that the connection still holds of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass, field
from enum import Enum

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.domain.errors import BadInput, GatewayError, Unauthenticated
from gateway.domain.identity import check_upstream_id
from gateway.domain.ports import FileStream
from gateway.graphql.errors import logger
from gateway.graphql.ports import InstanceService
from gateway.web.admission import Admission, Visitor
from gateway.web.answers import HttpProblem, problem_response
from gateway.web.envelope import request_id_of
from gateway.web.expiry import Expiry
from gateway.web.file_headers import FileHead, head_of, read_range
from gateway.web.metrics import Metrics
from gateway.web.places import PlacesByCaller
from gateway.web.problems import problem_of
from gateway.web.waiting import settle, until_gone

SEND_SECONDS = 120.0
"""How long a piece may take to go out. The gateway's own server lets a reader go long before, by its pace;
under another server this keeps the few places upstream from being held for ever."""

CUT = "gateway.cut"
"""The server's extension that drops a connection, with what the client has not received yet."""


class Outcome(Enum):
    """What became of a transfer."""

    WHOLE = "whole"
    BROKEN = "broken"
    EXPIRED = "expired"
    LEFT = "left"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class FilesDoor:
    """Hands out the files of every instance."""

    admission: Admission
    metrics: Metrics
    send_seconds: float = SEND_SECONDS
    places: PlacesByCaller = field(init=False)

    def __post_init__(self) -> None:
        """Count the transfers of each caller."""
        limit = self.admission.options.max_files_per_caller
        object.__setattr__(self, "places", PlacesByCaller(limit, "file transfers"))

    async def give(self, request: Request) -> Response:
        """Check what can be checked without Welkin; the rest happens while answering.

        Raises:
            HttpProblem: the caller may not, there is no such instance, or the id cannot be one.
        """
        visitor = await self.admission.enter(request.scope)
        try:
            service = visitor.service(request_id_of(request.scope))
        except GatewayError as error:
            raise problem_of(error) from None
        file_id = _file_id_of(request.scope)
        byte_range = None
        # Without validators in our answers, a condition on a range can never hold.
        if request.method == "GET" and "if-range" not in request.headers:
            byte_range = read_range(request.headers.getlist("range"))
        return FileResponse(self, visitor, service, file_id, byte_range)


class FileResponse(Response):
    """Opens the file when it is time to answer, and closes it when the answer ends, however it ends."""

    def __init__(
        self,
        door: FilesDoor,
        visitor: Visitor,
        service: InstanceService,
        file_id: str,
        byte_range: str | None,
    ) -> None:
        """Keep what the answer needs; nothing is opened yet."""
        super().__init__()
        self._door = door
        self._visitor = visitor
        self._service = service
        self._file_id = file_id
        self._range = byte_range

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the file, or with an error where not a byte of it was sent."""
        outcome = Outcome.REFUSED
        place = ExitStack()
        try:
            place.enter_context(self._door.places.place(self._visitor.principal.id))
            async with self._open() as file:
                if self._visitor.expiry.passed:
                    raise Unauthenticated("The credentials are no longer valid.")
                head = head_of(self._file_id, file, self._range)
                outcome = Outcome.BROKEN  # until it is known to be whole
                if scope["method"] != "HEAD":
                    transfer = _Transfer(file, head, send, self._visitor.expiry, self._door.send_seconds)
                    outcome = await transfer.run(receive)
                    if outcome in _CUT_OFF:
                        _cut(scope)
                    return
            await send(_start_of(head))
            await send({"type": "http.response.body", "body": b""})
            outcome = Outcome.WHOLE
        except GatewayError as error:
            logger.info("file code=%s outcome=%s request=%s", error.code, outcome.value, request_id_of(scope))
            if outcome is Outcome.REFUSED:
                await problem_response(self._problem_of(error))(scope, receive, send)
        finally:
            place.close()
            self._door.metrics.file(outcome.value)

    def _open(self) -> AbstractAsyncContextManager[FileStream]:
        return self._service.open_file(self._file_id, self._range)

    def _problem_of(self, error: GatewayError) -> HttpProblem:
        if isinstance(error, BadInput) and self._range is not None:
            # The id was checked before, so it is the range that cannot be served.
            return HttpProblem(416, "The file has no such range of bytes.", code=error.code)
        return problem_of(error)


@dataclass(slots=True)
class _Transfer:
    """One file on its way to one client."""

    file: FileStream
    head: FileHead
    send: Send
    expiry: Expiry
    send_seconds: float
    sent: int = 0

    async def run(self, receive: Receive) -> Outcome:
        """Pass the pieces on until the file ends, breaks off, or the client leaves.

        Raises:
            GatewayError: the upstream broke off.
        """
        await self.send(_start_of(self.head))
        leaving = asyncio.create_task(until_gone(receive))
        expiring = asyncio.create_task(self.expiry.wait())
        pieces = aiter(self.file)
        passing = asyncio.create_task(self._pass_on(pieces, leaving))
        try:
            await asyncio.wait({passing, expiring}, return_when=asyncio.FIRST_COMPLETED)
            return passing.result() if passing.done() else Outcome.EXPIRED
        except TimeoutError:
            return Outcome.LEFT
        finally:
            await settle([passing, leaving, expiring])
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def _pass_on(self, pieces: AsyncIterator[bytes], leaving: asyncio.Task[None]) -> Outcome:
        length = self.head.length
        while (piece := await _next(pieces, leaving)) is not None:
            self.sent += len(piece)
            if length is not None and self.sent > length:
                return Outcome.BROKEN
            if piece:
                await self._write(piece, more=True)
        if leaving.done():
            return Outcome.LEFT
        if length is not None and self.sent != length:
            return Outcome.BROKEN
        await self._write(b"", more=False)
        return Outcome.WHOLE

    async def _write(self, piece: bytes, *, more: bool) -> None:
        async with asyncio.timeout(self.send_seconds):
            await self.send({"type": "http.response.body", "body": piece, "more_body": more})


_CUT_OFF = frozenset({Outcome.EXPIRED, Outcome.LEFT})


def _cut(scope: Scope) -> None:
    """Drop what the connection still holds of a file, where the server can."""
    cut = scope.get("extensions", {}).get(CUT)
    if cut is not None:
        cut()


async def _next(pieces: AsyncIterator[bytes], leaving: asyncio.Task[None]) -> bytes | None:
    """Give the next piece; None at the end, or once the client has left."""
    upcoming = asyncio.create_task(_piece(pieces))
    try:
        await asyncio.wait({upcoming, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return None if leaving.done() else upcoming.result()
    finally:
        await settle([upcoming])


def _start_of(head: FileHead) -> Message:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in head.headers.items()]
    return {"type": "http.response.start", "status": head.status, "headers": raw}


async def _piece(pieces: AsyncIterator[bytes]) -> bytes | None:
    return await anext(pieces, None)


def _file_id_of(scope: Scope) -> str:
    """Give the file's id out of the path.

    Raises:
        HttpProblem: it cannot be one, or was written with escapes, which no id needs.
    """
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if b"%" in raw.rpartition(b"/files/")[2]:
        raise HttpProblem(400, "fileId must be written without percent signs.")
    try:
        return check_upstream_id(scope["path_params"]["fileId"], "fileId")
    except BadInput as error:
        raise problem_of(error) from None
