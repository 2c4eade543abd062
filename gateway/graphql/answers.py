"""What goes back to clients: the answer to an operation, or to one event of a live tail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import ExecutionResult, GraphQLError
from strawberry.types import ExecutionResult as StrawberryResult

from gateway.domain.errors import let_go
from gateway.graphql.errors import show_execution_error

JsonObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Answer:
    """What goes back to the client, or to all who get the same.

    ``began`` is false where nothing ran: the body then has no ``data``. ``final`` marks an error that
    ended a live tail. ``cursor`` is that of a live tail's event: where to go on after it.
    """

    body: JsonObject
    began: bool = True
    final: bool = False
    cursor: str | None = None

    @property
    def codes(self) -> Sequence[str]:
        """The codes of the errors inside."""
        errors = self.body.get("errors")
        return [error["extensions"]["code"] for error in errors] if errors else ()


def answer_of(result: ExecutionResult | StrawberryResult, request_id: str) -> Answer:
    """Show the result of an execution."""
    errors = result.errors or []
    if not errors:
        return Answer({"data": result.data})
    shown = [show_execution_error(error, request_id) for error in errors]
    let_go(*errors)
    if result.data is None and all(_is_outside(error) for error in errors):
        return Answer({"errors": shown}, began=False, final=True)
    return Answer({"data": result.data, "errors": shown})


def _is_outside(error: GraphQLError) -> bool:
    """Tell an error of the request or of the event source, which has no path, from one of a field."""
    return error.path is None
