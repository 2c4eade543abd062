"""The schema, built once per process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, cached_property

import strawberry
from graphql import (
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    print_schema,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types.execution import ExecutionContext

from gateway.graphql.context import Context, Info
from gateway.graphql.errors import log_errors
from gateway.graphql.freed import FreedExecution
from gateway.graphql.mutation import Mutation
from gateway.graphql.patient import Patient
from gateway.graphql.query import Query
from gateway.graphql.scalars import scalar_map
from gateway.graphql.subscription import Subscription


class UsePrepared(SchemaExtension):
    """Hand over the document that was parsed and validated before, so that neither happens again."""

    def on_operation(self) -> Iterator[None]:
        """Fill in the document; an empty list of errors says that validation has run."""
        self.execution_context.graphql_document = self.execution_context.context.document
        self.execution_context.pre_execution_errors = []
        yield


class GatewaySchema(strawberry.Schema):
    """strawberry's schema with a log that holds no health data."""

    @cached_property
    def _field_names(self) -> frozenset[str]:
        kinds = self.core.type_map.values()
        return frozenset(
            name for kind in kinds if isinstance(kind, GraphQLObjectType) for name in kind.fields
        )

    @property
    def core(self) -> GraphQLSchema:
        """The library's own schema, for validation and for printing."""
        return self._schema

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Log errors; strawberry's own way writes the query and a traceback with values."""
        context = None if execution_context is None else execution_context.context
        self.report(errors, context.request_id if isinstance(context, Context) else "")

    def report(self, errors: list[GraphQLError], request_id: str) -> None:
        """Log errors, by codes and paths alone."""
        log_errors(errors, request_id, self._field_names)


@cache
def schema() -> GatewaySchema:
    """Build the schema on first use."""
    built = GatewaySchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Patient],
        extensions=[UsePrepared],
        execution_context_class=FreedExecution,
        config=StrawberryConfig(info_class=Info, scalar_map=scalar_map()),
    )
    _leave_null_unsaid(built.core)
    return built


def export_sdl() -> str:
    """Print the schema as it is served."""
    return print_schema(schema().core) + "\n"


def _leave_null_unsaid(core: GraphQLSchema) -> None:
    """Drop ``= null``, which strawberry adds for every ``None``: left out and null mean one thing."""
    for kind in core.type_map.values():
        if kind.name.startswith("__"):
            continue
        if isinstance(kind, GraphQLInputObjectType):
            slots = list(kind.fields.values())
        elif isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            slots = [argument for field in kind.fields.values() for argument in field.args.values()]
        else:
            slots = []
        for slot in slots:
            if slot.default_value is None:
                slot.default_value = Undefined
