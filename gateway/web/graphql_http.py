"""The GraphQL door for HTTP: POST, GET, GraphiQL's page and server-sent events at one address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from graphql import OperationType
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.errors import GatewayError, Overloaded
from gateway.graphql.answers import Answer
from gateway.graphql.documents import Refused
from gateway.graphql.errors import show_error
from gateway.graphql.execution import Executor, Operation, Request
from gateway.graphql.ports import InstanceService
from gateway.web.admission import Admission, Visitor
from gateway.web.answers import GRAPHQL_JSON, JSON, HttpProblem, encode
from gateway.web.bodies import is_json, read_body, read_json
from gateway.web.envelope import request_id_of
from gateway.web.load import RETRY, Load, answered_nothing_for_load
from gateway.web.metrics import Metrics
from gateway.web.negotiation import pick_json, prefers_stream, takes_stream, wants_page
from gateway.web.options import WebOptions
from gateway.web.problems import problem_of
from gateway.web.requests import request_from_json, request_from_params
from gateway.web.sse import EventStream
from gateway.web.streams import Streams


@dataclass(frozen=True, slots=True)
class GraphQLDoor:
    """An ASGI app, so that every method arrives here and gets an answer in JSON."""

    executor: Executor
    admission: Admission
    options: WebOptions
    page: Response | None
    drain: asyncio.Event
    metrics: Metrics
    streams: Streams
    load: Load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = HttpRequest(scope, receive)
        if self.page is not None and _asks_for_page(request):
            # The page holds nothing and is the same at every address, so nobody has to prove anything.
            await self.page(scope, receive, send)
            return
        visitor = await self.admission.enter(scope)
        try:
            visitor.count_operation()
            service = visitor.service(request_id_of(scope))
        except GatewayError as error:
            raise problem_of(error) from None
        asked = await self._read(request)
        response = await self._respond(request, asked, service, visitor)
        await response(scope, receive, send)

    async def _read(self, request: HttpRequest) -> Request:
        if request.method == "GET" and self.options.get_queries:
            return request_from_params(request.query_params)
        if request.method != "POST":
            allow = "GET, POST" if self.options.get_queries else "POST"
            raise HttpProblem(405, f"GraphQL is served by {allow}.", headers={"Allow": allow})
        if not is_json(request.headers.get("content-type", "")):
            raise HttpProblem(415, f"The Content-Type must be {JSON}.")
        body = await read_body(request, self.options.max_body_bytes, self.options.body_seconds)
        return request_from_json(read_json(body, "The body"))

    async def _respond(
        self, request: HttpRequest, asked: Request, service: InstanceService, visitor: Visitor
    ) -> ASGIApp:
        accept = request.headers.get("accept")
        request_id = request_id_of(request.scope)
        media_type = pick_json(accept)
        if media_type is None and not takes_stream(accept):
            raise HttpProblem(406, f"Answers are {JSON}, {GRAPHQL_JSON} or text/event-stream.")
        try:
            operation = self.executor.prepare(asked, request_id)
        except Refused as refused:
            answer = Answer({"errors": refused.errors}, began=False, final=True)
            if prefers_stream(accept):
                return self._stream(_one(answer), visitor)
            return self._json(answer, media_type)
        _check_method(request.method, operation.kind)
        if operation.kind is OperationType.SUBSCRIPTION:
            if not takes_stream(accept):
                raise HttpProblem(406, "A subscription needs Accept: text/event-stream, or a WebSocket.")
            # Whoever comes back knows the last id; the document may hold an older cursor, or none.
            last_id = request.headers.get("last-event-id") or None
            return self._stream(self._follow(operation, service, request_id, last_id), visitor, live=True)
        if prefers_stream(accept):
            return self._stream(self._run_as_stream(operation, service, request_id), visitor)
        answer = await self._run(operation, service, request_id, "http")
        return self._json(answer, media_type, may_hide=operation.may_be_done_in_part)

    async def _run(
        self, operation: Operation, service: InstanceService, request_id: str, transport: str
    ) -> Answer:
        async def run() -> Answer:
            with self.load.place(service.name):
                self.metrics.operation(operation.kind.value, transport)
                return await self.executor.run(operation, service, request_id)

        try:
            if transport == "http":
                return await run()  # it was let in, and takes turns, since it came
            self.load.check()
            return await self.load.turns.paced(run())
        except Overloaded as error:
            return Answer({"errors": [show_error(error)]}, began=False, final=True)

    async def _run_as_stream(
        self, operation: Operation, service: InstanceService, request_id: str
    ) -> AsyncGenerator[Answer]:
        answer = await self._run(operation, service, request_id, "sse")
        self.metrics.errors(answer.codes)
        yield answer

    async def _follow(
        self, operation: Operation, service: InstanceService, request_id: str, last_id: str | None
    ) -> AsyncGenerator[Answer]:
        self.metrics.operation(operation.kind.value, "sse")
        self.metrics.subscribers("sse", 1)
        try:
            tail = self.executor.follow(operation, service, request_id, resume_after=last_id)
            async with aclosing(tail) as answers:
                async for answer in answers:
                    self.metrics.errors(answer.codes)
                    yield answer
        finally:
            self.metrics.subscribers("sse", -1)

    def _stream(
        self, answers: AsyncGenerator[Answer], visitor: Visitor, *, live: bool = False
    ) -> EventStream:
        return EventStream(
            answers,
            drain=self.drain if live else None,
            caller=visitor.principal.id,
            streams=self.streams,
            options=self.options,
            expiry=visitor.expiry,
            metrics=self.metrics,
        )

    def _json(self, answer: Answer, media_type: str | None, *, may_hide: bool = False) -> Response:
        """Answer at once. ``may_hide``: an answer that began may not show all that was done."""
        kind = media_type or JSON
        self.metrics.errors(answer.codes)
        headers = {"Content-Type": f"{kind}; charset=utf-8"}
        if answered_nothing_for_load(answer) and not (may_hide and answer.began):
            return Response(encode(answer.body), 503, headers | RETRY)
        return Response(encode(answer.body), _status_of(answer, kind), headers)


async def _one(answer: Answer) -> AsyncGenerator[Answer]:
    yield answer


def _status_of(answer: Answer, media_type: str) -> int:
    """Give the status, which tells of GraphQL errors only with the newer of the two types."""
    if answer.began or media_type == JSON:
        return 200
    return 500 if "INTERNAL" in answer.codes else 400


def _check_method(method: str, kind: OperationType) -> None:
    if method == "GET" and kind is OperationType.MUTATION:
        raise HttpProblem(405, "Mutations are served by POST alone.", headers={"Allow": "POST"})


_NAMES_DOCUMENT = frozenset({"query", "documentId", "extensions"})


def _asks_for_page(request: HttpRequest) -> bool:
    return (
        request.method == "GET"
        and _NAMES_DOCUMENT.isdisjoint(request.query_params)
        and wants_page(request.headers.get("accept"))
    )
