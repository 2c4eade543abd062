"""Run operations: from a request to answers, the same for every transport."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from graphql import DocumentNode, FieldNode, OperationType, get_operation_ast

from gateway.domain import deadline, staleness
from gateway.domain.errors import LimitExceeded
from gateway.graphql.answers import Answer, JsonObject, answer_of
from gateway.graphql.context import Context
from gateway.graphql.cost import cost_of
from gateway.graphql.documents import Documents, Refused
from gateway.graphql.errors import logger, show_error
from gateway.graphql.following import Follower
from gateway.graphql.limits import Limits, check_cost
from gateway.graphql.patient import show_patient
from gateway.graphql.ports import InstanceService
from gateway.graphql.schema import schema
from gateway.graphql.texts import PersistedTexts, Texts, TrustedTexts


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent, whatever it came by."""

    query: str | None
    variables: JsonObject | None = None
    operation_name: str | None = None
    document_id: str | None = None
    sha256: str | None = None
    """Names the document by its hash, with or without its text beside it."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A request whose document is valid and whose operation is known."""

    request: Request
    text: str
    document: DocumentNode
    kind: OperationType
    cost: int
    variables_shown: frozenset[str] = frozenset()

    @property
    def may_be_done_in_part(self) -> bool:
        """Whether it is a mutation of several fields: the first may be done though the second is refused."""
        asked = get_operation_ast(self.document, self.request.operation_name)
        if asked is None or self.kind is not OperationType.MUTATION:
            return False
        selections = asked.selection_set.selections
        return len(selections) > 1 or not all(isinstance(each, FieldNode) for each in selections)


class Executor:
    """The way from requests to answers; one per process, for all instances."""

    def __init__(
        self,
        *,
        introspection: bool,
        limits: Limits | None = None,
        show_cost: bool = False,
        trusted: Mapping[str, str] | None = None,
    ) -> None:
        self._schema = schema()
        self._limits = limits or Limits()
        self._show_cost = show_cost
        self._documents = Documents(self._schema.core, introspection=introspection, limits=self._limits)
        self._texts: Texts = PersistedTexts() if trusted is None else TrustedTexts(trusted)
        self._follower = Follower(self._schema.core, self._schema.report)
        for name, text in (trusted or {}).items():
            self._check_trusted(name, text)

    def prepare(self, request: Request, request_id: str) -> Operation:
        """Make sure that the request can run.

        Raises:
            Refused: it cannot; nothing of it ran.
        """
        try:
            return self._prepare(request)
        except Refused as refused:
            codes = ",".join(error["extensions"]["code"] for error in refused.errors)
            logger.info("refused code=%s request=%s", codes, request_id)
            raise

    def _prepare(self, request: Request) -> Operation:
        text = self._texts.find(request.query, request.document_id, request.sha256)
        prepared = self._documents.prepare(text)
        kind = prepared.kind_of(request.operation_name)
        cost = cost_of(prepared.document, request.operation_name, request.variables)
        try:
            check_cost(cost, self._limits)
        except LimitExceeded as error:
            raise Refused([show_error(error)]) from None
        self._texts.keep(text, request.sha256)
        return Operation(request, text, prepared.document, kind, cost, prepared.variables_shown)

    def _check_trusted(self, name: str, text: str) -> None:
        try:
            self._documents.prepare(text)
        except Refused as refused:
            code = refused.errors[0]["extensions"]["code"]
            raise ValueError(f"The trusted document {name} cannot run: {code}.") from None

    async def run(self, operation: Operation, service: InstanceService, request_id: str) -> Answer:
        """Run a query or a mutation to its end."""
        request = operation.request
        stale = staleness.watch()
        with deadline.operation():
            result = await self._schema.execute(
                operation.text,
                variable_values=request.variables,
                context_value=_context(operation, service, request_id),
                operation_name=request.operation_name,
            )
        answer = answer_of(result, request_id)
        extensions: JsonObject = {}
        if self._show_cost and answer.began:
            extensions["cost"] = operation.cost
        if stale.seconds is not None:
            extensions["stale"] = {"seconds": round(stale.seconds, 3)}
        if extensions:
            answer.body["extensions"] = extensions
        return answer

    def follow(
        self,
        operation: Operation,
        service: InstanceService,
        request_id: str,
        *,
        resume_after: str | None = None,
    ) -> AsyncGenerator[Answer]:
        """Run a subscription. An error that ends it comes as the last answer, marked ``final``.

        ``resume_after`` is a cursor that the transport carried; it counts before the document's ``after``.
        """
        context = _context(operation, service, request_id)
        context.resume_after = resume_after
        request = operation.request
        given = (request.variables or {}).items()
        values = sorted((name, value) for name, value in given if name in operation.variables_shown)
        asked = self._follower.asked(service.name, operation.text, request.operation_name, repr(values))
        return self._follower.follow(operation.document, request.variables, asked, context)


def _context(operation: Operation, service: InstanceService, request_id: str) -> Context:
    return Context(
        service=service, request_id=request_id, document=operation.document, show_patient=show_patient
    )
