"""What an operation costs: how many records it may ask for, counted before anything of it runs.

A connection multiplies what is selected below it by its page size. Fragments are counted once and
remembered, so the walk is linear in the document however often they are spread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)

from gateway.domain.connection import DEFAULT_PAGE, MAX_PAGE

CONNECTIONS: Mapping[str, Mapping[str, int]] = {
    # field --> the arguments that size its page, and what each means when left out
    "messages": {"first": 0, "last": 0},
    "patients": {"first": 0},
    "portalMessages": {"first": 0, "last": 0},
    "searchMessages": {"first": 0},
    "context": {"older": 5, "newer": 5},
}
"""A page for which no argument says anything has the default size."""

NODES = "nodes"
MAX_IDS = 100
"""What ``nodes(ids:)`` takes."""

PAGED = frozenset({"node", NODES})
"""Without arguments these are the entries of a connection, which were counted with it."""

READS = frozenset({"messageAdded", "node", "patient", "portalMessageAdded", "sendMessage"})
"""Fields of one record each."""

_Values: TypeAlias = Mapping[str, Any]


def cost_of(document: DocumentNode, operation_name: str | None, variables: _Values | None) -> int:
    """Count the records of one operation of a valid document.

    A variable that is no number where one belongs counts as the worst that is allowed.
    """
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode) and operation_name in {None, _name_of(node)}:
            return _Counter(document, _values_of(node, variables or {})).count(node.selection_set)
    return 0


def _name_of(node: OperationDefinitionNode) -> str | None:
    return None if node.name is None else node.name.value


def _values_of(operation: OperationDefinitionNode, given: _Values) -> _Values:
    """Give the variables that are known; a default counts where the request says nothing."""
    defaults = {
        each.variable.name.value: _literal(each.default_value)
        for each in operation.variable_definitions or ()
        if each.default_value is not None
    }
    return {**defaults, **given}


def _literal(node: ValueNode) -> object:
    if isinstance(node, IntValueNode):
        return int(node.value)
    if isinstance(node, ListValueNode):
        return list(node.values)
    return None if isinstance(node, NullValueNode) else ""


class _Counter:
    def __init__(self, document: DocumentNode, variables: _Values) -> None:
        self._variables = variables
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._counted: dict[str, int] = {}

    def count(self, selections: SelectionSetNode) -> int:
        return sum(self._one(node) for node in selections.selections)

    def _one(self, node: SelectionNode) -> int:
        if isinstance(node, FieldNode):
            return self._field(node)
        if isinstance(node, InlineFragmentNode):
            return self.count(node.selection_set)
        return self._fragment(node.name.value) if isinstance(node, FragmentSpreadNode) else 0

    def _field(self, node: FieldNode) -> int:
        name = node.name.value
        if name.startswith("__"):
            return 0
        inner = 0 if node.selection_set is None else self.count(node.selection_set)
        if name in CONNECTIONS:
            return self._page(node, CONNECTIONS[name]) * (1 + inner)
        if name in PAGED and not node.arguments:
            return inner
        if name == NODES:
            return self._length(node) * (1 + inner)
        return inner + (name in READS)

    def _fragment(self, name: str) -> int:
        if name not in self._counted:
            # Validation refuses a fragment that spreads itself; this only keeps the walk finite.
            self._counted[name] = 0
            if (fragment := self._fragments.get(name)) is not None:
                self._counted[name] = self.count(fragment.selection_set)
        return self._counted[name]

    def _page(self, node: FieldNode, defaults: Mapping[str, int]) -> int:
        asked = {argument.name.value: self._size(argument.value) for argument in node.arguments or ()}
        said = {name: size for name, size in asked.items() if name in defaults and size is not None}
        if any(defaults.values()):
            # Around a hit: what lies on either side of it, and the hit.
            return 1 + sum((dict(defaults) | said).values())
        return max(said.values(), default=DEFAULT_PAGE)

    def _size(self, node: ValueNode) -> int | None:
        """Give the size that is asked for; None where nothing is said, or nothing that will be served."""
        value = self._value(node)
        if value is None:
            return None
        if type(value) is not int:  # not isinstance: Python counts True as a number
            return MAX_PAGE
        # A size out of range is refused when the field is reached, and then nothing below it is read.
        return value if 0 <= value <= MAX_PAGE else None

    def _length(self, node: FieldNode) -> int:
        value = self._value(node.arguments[0].value) if node.arguments else None
        if isinstance(value, list):
            return len(cast("list[object]", value))
        # GraphQL takes a single value for a list of one.
        return 1 if isinstance(value, str) else MAX_IDS

    def _value(self, node: ValueNode) -> object:
        if isinstance(node, VariableNode):
            return self._variables.get(node.name.value)
        return _literal(node)
