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


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one operation may ask for, after fragments are expanded."""

    depth: int = 10
    """Fields inside each other; a message of a patient's message of a patient takes 10."""
    aliases: int = 15
    """Fields under another name: each can be a read upstream."""
    directives: int = 50
    tokens: int = 1_000
    """Of the whole document, checked inside the parser. GraphiQL's introspection takes about 250."""
    characters: int = 128 * 1024
    """Of the whole document: the parser takes up to a third of a microsecond for each, so 1 MB would hold the
    server for a third of a second. The longest message fits, and may be longer as a variable."""
    root_fields: int = 20
    cost: int = 10_000
    """Records, as ``cost.py`` counts them: 50 full pages, as many messages as one answer may show."""


class TooManyOperations(LimitExceeded):
    """A principal ran more operations than one may."""

    def __init__(self, message: str, retry_after: float) -> None:
        """Keep how long to wait, in seconds."""
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Size:
    """How deep a selection goes, and how much it holds."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    fields: int = 0
    """On the outermost level alone."""

    def beside(self, other: Size) -> Size:
        """Measure two selections that stand next to each other."""
        return Size(
            max(self.depth, other.depth),
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.fields + other.fields,
        )


def check_limits(document: DocumentNode, limits: Limits) -> None:
    """Refuse a document that is larger than any honest one.

    Raises:
        LimitExceeded: an operation is too deep, or has too many root fields, aliases or directives.
    """
    ruler = _Ruler(document)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            size = ruler.measure(definition.selection_set)
            for what, count, limit in (
                ("levels of fields", size.depth, limits.depth),
                ("root fields", size.fields, limits.root_fields),
                ("aliases", size.aliases, limits.aliases),
                ("directives", size.directives, limits.directives),
            ):
                _check(what, count, limit)


def check_length(text: str, limits: Limits) -> None:
    """Refuse a document that is too long to be parsed.

    Raises:
        LimitExceeded: it is.
    """
    if len(text) > limits.characters:
        raise LimitExceeded(
            f"A document may have at most {limits.characters} characters; long values belong in variables."
        )


def check_cost(cost: int, limits: Limits) -> None:
    """Refuse an operation that could read too much.

    Raises:
        LimitExceeded: it costs more than one may.
    """
    if cost > limits.cost:
        raise LimitExceeded(f"An operation may cost at most {limits.cost} records; this one costs {cost}.")


def _check(what: str, count: int, limit: int) -> None:
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
        return Size(inner.depth + 1, inner.aliases + (node.alias is not None), inner.directives, 1)

    def _fragment(self, name: str) -> Size:
        if name not in self._measured:
            # A fragment that spreads itself adds nothing here; validation refuses it.
            self._measured[name] = Size()
            if (fragment := self._fragments.get(name)) is not None:
                self._measured[name] = self.measure(fragment.selection_set)
        return self._measured[name]
