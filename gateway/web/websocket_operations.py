"""The operations that run on one WebSocket, each a task of its own, from `subscribe` to the last word.

An id is free as soon as its operation has ended for the client; the task may live on for its clean-up,
and then says nothing more under the id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import OperationType

from gateway.domain.errors import GatewayError, LimitExceeded
from gateway.graphql.answers import Answer
from gateway.graphql.documents import Refused
from gateway.graphql.errors import ErrorBody, show_error, show_fault
from gateway.graphql.execution import Executor, Operation
from gateway.graphql.ports import InstanceService
from gateway.web.admission import Visitor
from gateway.web.answers import written
from gateway.web.load import Load
from gateway.web.metrics import Metrics
from gateway.web.websocket_messages import Subscribe

Say: TypeAlias = Callable[[dict[str, Any]], Awaitable[bool]]
"""Sends one message to the client; tells whether the socket took it, and never raises."""


@dataclass(frozen=True, slots=True)
class Runner:
    """What runs operations."""

    executor: Executor
    metrics: Metrics
    limit: int
    load: Load


async def _say_nothing(_message: dict[str, Any]) -> bool:
    return False


class Operations:
    """Who runs under which id; ``end`` leaves nothing behind."""

    def __init__(self, runner: Runner, say: Say, request_id: str) -> None:
        self._runner = runner
        self._say = say
        self._request_id = request_id
        self._started = 0
        self._running: dict[str, asyncio.Task[None]] = {}
        self._following: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._finishing = False

    def __contains__(self, operation_id: str) -> bool:
        """Tell whether an id is taken."""
        return operation_id in self._running

    async def start(self, message: Subscribe, visitor: Visitor) -> None:
        """Start an operation, unless too many run already, or were run lately."""
        limit = self._runner.limit
        if len(self._running) >= limit:
            error = LimitExceeded(f"One socket may run at most {limit} operations at once.")
            await self._say_errors(message.id, [show_error(error)])
            return
        try:
            visitor.count_operation()
        except LimitExceeded as error:
            await self._say_errors(message.id, [show_error(error)])
            return
        self._started += 1
        request_id = f"{self._request_id}-{self._started}"
        task = asyncio.create_task(self._operate(message, visitor, request_id))
        self._running[message.id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, operation_id: str) -> None:
        """End an operation at the client's word: its id is free at once, nothing more is said under it."""
        task = self._running.pop(operation_id, None)
        if task is not None:
            task.cancel()

    async def finish(self, seconds: float) -> None:
        """End the subscriptions, and let the queries and mutations under way say their last word."""
        self._finishing = True
        for task in self._following:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=seconds)

    async def end(self) -> None:
        """Cancel everything and wait for its clean-up."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._say = _say_nothing  # the socket, which holds this, is freed without the collector

    async def _operate(self, message: Subscribe, visitor: Visitor, request_id: str) -> None:
        try:
            service = visitor.service(request_id)
            operation = self._runner.executor.prepare(message.request, request_id)
            await self._run(message.id, operation, service, request_id)
        except GatewayError as error:
            await self._finish(message.id, errors=[show_error(error)])
        except Refused as refused:
            await self._finish(message.id, errors=refused.errors)
        except Exception as error:  # noqa: BLE001 -- the operation's edge: the others on the socket go on
            await self._finish(message.id, errors=[show_fault(error, request_id)])

    async def _run(
        self, operation_id: str, operation: Operation, service: InstanceService, request_id: str
    ) -> None:
        runner = self._runner
        runner.metrics.operation(operation.kind.value, "ws")
        if operation.kind is OperationType.SUBSCRIPTION:
            await self._follow(operation_id, operation, service, request_id)
            return

        async def run() -> Answer:
            with runner.load.place(service.name):
                return await runner.executor.run(operation, service, request_id)

        runner.load.check()
        answer = await runner.load.turns.paced(run())
        await self._deliver(operation_id, answer)
        if not answer.final:
            await self._finish(operation_id)

    async def _follow(
        self, operation_id: str, operation: Operation, service: InstanceService, request_id: str
    ) -> None:
        task = asyncio.current_task()
        if task is None or self._finishing:
            return
        runner = self._runner
        runner.metrics.subscribers("ws", 1)
        self._following.add(task)
        try:
            async with aclosing(runner.executor.follow(operation, service, request_id)) as answers:
                async for answer in answers:
                    taken = await self._deliver(operation_id, answer)
                    if answer.final or not taken:
                        return
            await self._finish(operation_id)
        finally:
            self._following.discard(task)
            del task  # which holds how it was cancelled, and that this frame
            runner.metrics.subscribers("ws", -1)

    async def _deliver(self, operation_id: str, answer: Answer) -> bool:
        if answer.final:
            await self._finish(operation_id, errors=answer.body["errors"])
            return True
        self._runner.metrics.errors(answer.codes)
        return await self._say({"id": operation_id, "type": "next", "payload": written(answer)})

    async def _finish(self, operation_id: str, errors: list[ErrorBody] | None = None) -> None:
        """Say the last word on an operation; the id is free before the client can read it."""
        if self._running.get(operation_id) is not asyncio.current_task():
            return  # forgotten: the client may have given the id to another by now
        del self._running[operation_id]
        if errors is None:
            await self._say({"id": operation_id, "type": "complete"})
        else:
            await self._say_errors(operation_id, errors)

    async def _say_errors(self, operation_id: str, errors: list[ErrorBody]) -> None:
        self._runner.metrics.errors(error["extensions"]["code"] for error in errors)
        await self._say({"id": operation_id, "type": "error", "payload": errors})
