"""Run operations: from a request to answers, the same for every transport."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import DocumentNode, GraphQLError, OperationType
from strawberry.types import ExecutionResult

from gateway.graphql.context import Context
from gateway.graphql.documents import Documents, Refused
from gateway.graphql.errors import logger, show_execution_error
from gateway.graphql.patient import show_patient
from gateway.graphql.ports import InstanceService
from gateway.graphql.schema import schema

JsonObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent, whatever it came by."""

    query: str
    variables: JsonObject | None = None
    operation_name: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """A request whose document is valid and whose operation is known."""

    request: Request
    document: DocumentNode
    kind: OperationType


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the client.

    ``began`` is false where nothing ran: the body then has no ``data``. ``final`` marks an error that
    ended a live tail.
    """

    body: JsonObject
    began: bool = True
    final: bool = False

    @property
    def codes(self) -> list[str]:
        """The codes of the errors inside."""
        return [error["extensions"]["code"] for error in self.body.get("errors", ())]


class Executor:
    """The way from requests to answers; one per process, for all instances."""

    def __init__(self, *, introspection: bool) -> None:
        self._schema = schema()
        self._documents = Documents(self._schema.core, introspection=introspection)

    def prepare(self, request: Request, request_id: str) -> Operation:
        """Make sure that the request can run.

        Raises:
            Refused: it cannot; nothing of it ran.
        """
        try:
            prepared = self._documents.prepare(request.query)
            return Operation(request, prepared.document, prepared.kind_of(request.operation_name))
        except Refused as refused:
            codes = ",".join(error["extensions"]["code"] for error in refused.errors)
            logger.info("refused code=%s request=%s", codes, request_id)
            raise

    async def run(self, operation: Operation, service: InstanceService, request_id: str) -> Answer:
        """Run a query or a mutation to its end."""
        request = operation.request
        result = await self._schema.execute(
            request.query,
            variable_values=request.variables,
            context_value=_context(operation, service, request_id),
            operation_name=request.operation_name,
        )
        return _answer_of(result, request_id)

    async def follow(
        self, operation: Operation, service: InstanceService, request_id: str
    ) -> AsyncGenerator[Answer]:
        """Run a subscription. An error that ends it comes as the last answer, marked ``final``."""
        request = operation.request
        results = await self._schema.subscribe(
            request.query,
            variable_values=request.variables,
            context_value=_context(operation, service, request_id),
            operation_name=request.operation_name,
        )
        async with aclosing(results):
            async for result in results:
                answer = _answer_of(result, request_id)
                yield answer
                if answer.final:
                    return


def _context(operation: Operation, service: InstanceService, request_id: str) -> Context:
    return Context(
        service=service, request_id=request_id, document=operation.document, show_patient=show_patient
    )


def _answer_of(result: ExecutionResult, request_id: str) -> Answer:
    errors = result.errors or []
    if not errors:
        return Answer({"data": result.data})
    shown = [show_execution_error(error, request_id) for error in errors]
    if result.data is None and all(_is_outside(error) for error in errors):
        return Answer({"errors": shown}, began=False, final=True)
    return Answer({"data": result.data, "errors": shown})


def _is_outside(error: GraphQLError) -> bool:
    """Tell an error of the request or of the event source, which has no path, from one of a field."""
    return error.path is None
