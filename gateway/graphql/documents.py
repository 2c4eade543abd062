"""Documents, parsed and validated once: the one place where text becomes something that can run."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    parse,
    specified_rules,
    validate,
)

from gateway.domain.errors import BadInput, LimitExceeded
from gateway.graphql.errors import ErrorBody, show_error, show_syntax_error, show_validation_error
from gateway.graphql.event_answers import variables_shown
from gateway.graphql.limits import Limits, check_length, check_limits

MAX_CACHED = 500
"""Documents kept. Clients send a few dozen."""

MAX_CACHED_CHARACTERS = 16_384
"""Longer documents carry their values inline, will not come again, and are not kept."""

MAX_ERRORS = 5
"""Problems shown of one document, so that a small document cannot ask for a large answer."""

Rules: TypeAlias = tuple[type[ASTValidationRule], ...]


class Refused(Exception):
    """A request was refused before anything of it ran."""

    def __init__(self, errors: list[ErrorBody]) -> None:
        """Keep what the client is shown."""
        super().__init__("refused")
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that is valid, and its operations by name (None: the nameless one)."""

    document: DocumentNode
    operations: dict[str | None, OperationType]
    variables_shown: frozenset[str] = frozenset()
    """Of a subscription: see ``event_answers``."""

    def kind_of(self, operation_name: str | None) -> OperationType:
        """Tell what kind of operation a request asks for.

        Raises:
            Refused: the name is unknown, or left out where there is a choice.
        """
        if operation_name is not None:
            if operation_name not in self.operations:
                raise Refused([show_error(BadInput("operationName names no operation of the document."))])
            return self.operations[operation_name]
        if len(self.operations) != 1:
            raise Refused(
                [show_error(BadInput("operationName is needed where a document has several operations."))]
            )
        return next(iter(self.operations.values()))


class Documents:
    """A bounded cache of valid documents, the least recently used leaving first.

    Documents that are refused are not kept: their errors are cheap to find again and may be many.
    """

    def __init__(self, schema: GraphQLSchema, *, introspection: bool, limits: Limits | None = None) -> None:
        self._schema = schema
        self._limits = limits or Limits()
        self._introspection = introspection
        self._rules: Rules = (
            specified_rules if introspection else (*specified_rules, NoSchemaIntrospectionCustomRule)
        )
        self._cache: OrderedDict[str, Prepared] = OrderedDict()

    def __len__(self) -> int:
        """Count the documents kept."""
        return len(self._cache)

    def prepare(self, text: str) -> Prepared:
        """Parse and validate a document, or find it among those that were.

        Raises:
            Refused: it does not parse, does not fit the schema, or is too large.
        """
        if (known := self._cache.get(text)) is not None:
            self._cache.move_to_end(text)
            return known
        document = self._read(text)
        operations = _operations_of(document)
        follows = OperationType.SUBSCRIPTION in operations.values()
        shown = variables_shown(document) if follows else frozenset[str]()
        prepared = Prepared(document, operations, shown)
        if len(text) <= MAX_CACHED_CHARACTERS:
            self._keep(text, prepared)
        return prepared

    def _keep(self, text: str, prepared: Prepared) -> None:
        self._cache[text] = prepared
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)

    def _read(self, text: str) -> DocumentNode:
        try:
            check_length(text, self._limits)
            document = parse(text, max_tokens=self._limits.tokens)
            check_limits(document, self._limits)
            errors = self._validate(document)
        except GraphQLSyntaxError as error:
            raise Refused([show_syntax_error(error)]) from None
        except LimitExceeded as error:
            raise Refused([show_error(error)]) from None
        except RecursionError:
            raise Refused([show_error(LimitExceeded("The document is nested too deeply."))]) from None
        if errors:
            raise Refused([show_validation_error(error) for error in errors])
        return document

    def _validate(self, document: DocumentNode) -> list[GraphQLError]:
        return validate(
            self._schema,
            document,
            self._rules,
            max_errors=MAX_ERRORS,
            # Suggestions spell out the schema to those who may not ask for it.
            hide_suggestions=not self._introspection,
        )


def _operations_of(document: DocumentNode) -> dict[str | None, OperationType]:
    return {
        None if node.name is None else node.name.value: node.operation
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
    }
