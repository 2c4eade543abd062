"""Look ahead: does the operation select one of these fields below the field that is being resolved?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)

from gateway.graphql.context import Info


def selects(info: Info, names: frozenset[str], types: frozenset[str]) -> bool:
    """Tell whether a field of that name is selected on one of those types.

    Each fragment is entered once, so the walk is linear in the document.
    """
    entered: set[str] = set()
    return any(
        name in names
        for node in info.field_nodes
        if node.selection_set is not None
        for name in _field_names(info, node.selection_set, types, entered)
    )


def _field_names(
    info: Info, selections: SelectionSetNode, types: frozenset[str], entered: set[str]
) -> Iterator[str]:
    for node in selections.selections:
        if not _included(node, info.variables):
            continue
        if isinstance(node, FieldNode):
            yield node.name.value
        elif (inner := _inside(info, node, types, entered)) is not None:
            yield from _field_names(info, inner, types, entered)


def _inside(
    info: Info, node: SelectionNode, types: frozenset[str], entered: set[str]
) -> SelectionSetNode | None:
    """Give the selections of a fragment that can apply and was not entered yet."""
    if isinstance(node, InlineFragmentNode):
        condition = node.type_condition
        return node.selection_set if condition is None or condition.name.value in types else None
    if not isinstance(node, FragmentSpreadNode) or node.name.value in entered:
        return None
    entered.add(node.name.value)
    fragment = info.fragments.get(node.name.value)
    if fragment is None or fragment.type_condition.name.value not in types:
        return None
    return fragment.selection_set


def _included(node: SelectionNode, variables: dict[str, Any]) -> bool:
    for directive in node.directives or ():
        if directive.name.value == "skip" and _condition(directive, variables):
            return False
        if directive.name.value == "include" and not _condition(directive, variables):
            return False
    return True


def _condition(directive: DirectiveNode, variables: dict[str, Any]) -> bool:
    for argument in directive.arguments or ():
        if argument.name.value == "if":
            value = argument.value
            if isinstance(value, VariableNode):
                return bool(variables.get(value.name.value))
            return isinstance(value, BooleanValueNode) and value.value
    return False
