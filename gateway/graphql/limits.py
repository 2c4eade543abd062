"""How large a document may be, measured in one pass that is linear in the document.

Fragments are measured once and remembered: expanding them at every spread would let a document of
a kilobyte hold the server for half a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

from gateway.domain.errors import LimitExceeded

MAX_TOKENS = 1_000
"""Checked inside the parser. GraphiQL's introspection takes about 250."""

MAX_DEPTH = 10
"""Fields inside each other; a message of a patient's message of a patient takes 10."""

MAX_ALIASES = 15
"""Fields under another name, after fragments are expanded: each can be a read upstream."""

MAX_DIRECTIVES = 50
"""Directives, after fragments are expanded."""


@dataclass(frozen=True, slots=True)
class Size:
    """How deep a selection goes, and how much it holds."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0

    def beside(self, other: Size) -> Size:
        """Measure two selections that stand next to each other."""
        return Size(
            max(self.depth, other.depth),
            self.aliases + other.aliases,
            self.directives + other.directives,
        )


def check_limits(document: DocumentNode) -> None:
    """Refuse a document that is larger than any honest one.

    Raises:
        LimitExceeded: an operation is too deep, or has too many aliases or directives.
    """
    ruler = _Ruler(document)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            _check(ruler.measure(definition.selection_set))


def _check(size: Size) -> None:
    for what, count, limit in (
        ("levels of fields", size.depth, MAX_DEPTH),
        ("aliases", size.aliases, MAX_ALIASES),
        ("directives", size.directives, MAX_DIRECTIVES),
    ):
        if count > limit:
            raise LimitExceeded(f"An operation may have at most {limit} {what}.")


class _Ruler:
    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._measured: dict[str, Size] = {}

    def measure(self, selections: SelectionSetNode) -> Size:
        size = Size()
        for node in selections.selections:
            size = size.beside(self._one(node)).beside(Size(directives=len(node.directives or ())))
        return size

    def _one(self, node: SelectionNode) -> Size:
        if isinstance(node, FieldNode):
            return self._field(node)
        if isinstance(node, InlineFragmentNode):
            return self.measure(node.selection_set)
        return self._fragment(node.name.value) if isinstance(node, FragmentSpreadNode) else Size()

    def _field(self, node: FieldNode) -> Size:
        # Introspection is deep by nature, reads nothing upstream, and has a rule of its own in graphql-core.
        hidden = node.name.value.startswith("__")
        inner = Size() if node.selection_set is None or hidden else self.measure(node.selection_set)
        return Size(inner.depth + 1, inner.aliases + (node.alias is not None), inner.directives)

    def _fragment(self, name: str) -> Size:
        if name not in self._measured:
            # A fragment that spreads itself adds nothing here; validation refuses it.
            self._measured[name] = Size()
            if (fragment := self._fragments.get(name)) is not None:
                self._measured[name] = self.measure(fragment.selection_set)
        return self._measured[name]
