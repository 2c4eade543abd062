"""Run subscriptions: from a stream of events to answers, each made once for all who get the same."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from inspect import isawaitable
from typing import Any, TypeAlias, cast

from graphql import DocumentNode, ExecutionResult, GraphQLError, GraphQLSchema
from graphql.execution import (
    Executor,
    create_source_event_stream,  # pyright: ignore[reportUnknownVariableType] - partly typed
)

from gateway.domain import staleness
from gateway.domain.errors import let_go
from gateway.graphql.answers import Answer, JsonObject, answer_of
from gateway.graphql.context import Context
from gateway.graphql.errors import show_execution_error
from gateway.graphql.event_answers import Asked, EventAnswers, show_event
from gateway.graphql.freed import FreedExecution

Report: TypeAlias = Callable[[list[GraphQLError], str], None]
"""Logs errors under a request id."""


class Follower:
    """Runs subscriptions over one schema."""

    def __init__(self, core: GraphQLSchema, report: Report) -> None:
        self._core = core
        self._report = report
        self._answers: EventAnswers[Answer] = EventAnswers()
        self.asked = self._answers.asked

    async def follow(
        self, document: DocumentNode, variables: JsonObject | None, asked: Asked, context: Context
    ) -> AsyncGenerator[Answer]:
        """Give the answers to the events; an error that ends them comes last, marked ``final``."""
        build = cast("Callable[..., list[GraphQLError] | Executor[Any]]", FreedExecution.build)  # pyright: ignore[reportUnknownMemberType] - partly typed
        executor = build(
            self._core,
            document,
            context_value=context,
            raw_variable_values=variables,
            operation_name=asked.operation_name,
        )
        if isinstance(executor, list):
            yield self._fail(executor, context)
            return
        source = create_source_event_stream(executor)
        events = await source if isawaitable(source) else source
        if isinstance(events, ExecutionResult):
            yield self._fail(events.errors or [], context)
            return
        async with aclosing(cast("AsyncGenerator[object]", events)) as payloads:
            try:
                async for payload in payloads:
                    event = context.event
                    answer = None if event is None else self._answers.find(asked, event)
                    if answer is None:
                        answer = await self._answer(executor, payload, asked, context)
                    yield answer
                    if answer.final:
                        return
            except Exception as error:  # noqa: BLE001 - whatever ended the events is told, in our words
                yield self._fail([_as_graphql_error(error)], context)

    async def _answer(
        self, executor: Executor[Any], payload: object, asked: Asked, context: Context
    ) -> Answer:
        event = context.event
        stale = staleness.watch()
        result, is_pure = await show_event(executor, payload)
        if result.errors:
            self._report(result.errors, context.request_id)
        cursor = None if event is None else event.cursor
        answer = replace(answer_of(result, context.request_id), cursor=cursor)
        if stale.seconds is not None:  # the patient's record, which may be shown with a message
            answer.body["extensions"] = {"stale": {"seconds": round(stale.seconds, 3)}}
        if is_pure and event is not None:
            self._answers.keep(asked, event, answer)
        return answer

    def _fail(self, errors: list[GraphQLError], context: Context) -> Answer:
        """Give the last answer of a subscription that ended, or never began."""
        self._report(errors, context.request_id)
        shown = [show_execution_error(error, context.request_id) for error in errors]
        let_go(*errors)
        return Answer({"errors": shown}, began=False, final=True)


def _as_graphql_error(error: Exception) -> GraphQLError:
    return error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)
