"""Answers to the events of subscriptions, made once for all who ask the same of the same event.

Many people follow one conversation with one front end's document. What they are shown of an event is a
function of the event alone, as long as nothing had to be awaited for it: a record that is read on the way
is read, checked and written down for each of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Generic, TypeVar, cast
from weakref import WeakValueDictionary

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    Node,
    OperationDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)
from graphql.execution import (
    Executor,
    execute_subscription_event,  # pyright: ignore[reportUnknownVariableType] - partly typed
)

from gateway.domain.connection import Edge
from gateway.domain.model import InstanceName

MAX_KEPT = 256
"""Answers kept; one is of use only while its event goes round."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Asked:
    """What a subscription asks of each event; one and the same for all who ask the same.

    ``values`` are the variables that it is shown by.
    """

    instance: InstanceName
    text: str
    operation_name: str | None
    values: str


class EventAnswers(Generic[T]):
    """The answers to the events that go round now."""

    def __init__(self, most: int = MAX_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[Asked, Edge], T] = OrderedDict()
        self._asked: WeakValueDictionary[tuple[Hashable, ...], Asked] = WeakValueDictionary()

    def asked(self, instance: InstanceName, text: str, operation_name: str | None, values: str) -> Asked:
        """Give what is asked; nothing is kept of it once nobody asks it any more."""
        key = (instance, text, operation_name, values)
        known = self._asked.get(key)
        if known is None:
            known = self._asked[key] = Asked(*key)
        return known

    def find(self, asked: Asked, event: Edge) -> T | None:
        """Give the answer that was kept."""
        return self._kept.get((asked, event))

    def keep(self, asked: Asked, event: Edge, answer: T) -> None:
        """Keep an answer for the others; the oldest makes room."""
        self._kept[asked, event] = answer
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)


async def show_event(executor: Executor[Any], payload: object) -> tuple[ExecutionResult, bool]:
    """Run the operation on an event, and tell whether its result is a function of the event alone."""
    for_event = cast("Executor[Any]", executor.build_per_event_executor(payload))  # pyright: ignore[reportUnknownMemberType] - partly typed
    result = execute_subscription_event(for_event)
    if isawaitable(result):
        return await result, False
    return result, not result.errors


def variables_shown(document: DocumentNode) -> frozenset[str]:
    """Name the variables on which it depends what is shown of an event.

    Those that stand in the arguments of the root field alone say which events come, not how they are shown.
    """
    names = _Names()
    for node in _below_root(document):
        visit(node, names)
    return frozenset(names.found)


def _below_root(document: DocumentNode) -> Iterator[Node]:
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode):
            yield definition
            continue
        for selection in definition.selection_set.selections:
            if isinstance(selection, FieldNode):
                yield from selection.directives or ()
                if selection.selection_set is not None:
                    yield selection.selection_set
            else:
                yield selection


class _Names(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def enter_variable(self, variable: VariableNode, *_: object) -> None:
        self.found.add(variable.name.value)
