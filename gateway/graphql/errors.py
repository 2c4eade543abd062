"""Turn errors into what clients may see, and into log lines that hold no health data.

An error of our own keeps its text and gets its code. A refused value is described by its place, never
by itself. Anything else is masked: the client gets a request id, the log a line with the same id and the
kind and place of the fault, without its text.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Container, Sequence
from typing import Any, TypeAlias

from graphql import (
    GraphQLError,
    GraphQLSyntaxError,
    Node,
    ObjectFieldNode,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    print_ast,
)

from gateway.domain.errors import (
    BadInput,
    GatewayError,
    LimitExceeded,
    NotFound,
    Overloaded,
    UpstreamRateLimited,
)
from gateway.graphql.limits import TooManyOperations

logger = logging.getLogger("gateway.graphql")

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"

ErrorBody: TypeAlias = dict[str, Any]
"""An entry of ``errors`` in an answer, ready to be written."""

_NOT_FOUND = "There is no such patient here, or no such message of theirs."

_SPEECH = re.compile(
    r"\b(Name|Int|Float|String|BlockString|Comment|sequence:|character:|0:) ['\"].*", re.DOTALL
)
"""Where a syntax error quotes the document, which may hold text of a message."""

_ABORTED = "Validation aborted."
"""What the library says where checking a document would cost too much."""

_MOST_CHARACTERS = 500
"""Of what is said about a document: it names what the document names, at whatever length."""

_LONG_QUOTE = re.compile(r"(['\"]).{4,}\1", re.DOTALL)
"""Longer than any punctuation of the language: a quotation that was not foreseen."""


def own_error(error: BaseException | None) -> GatewayError | None:
    """Find the gateway's error inside of what the GraphQL library made of it."""
    while isinstance(error, GraphQLError):
        error = error.original_error
    return error if isinstance(error, GatewayError) else None


def show_error(error: GatewayError) -> ErrorBody:
    """Show an error of our own without a place in a document."""
    extensions: dict[str, Any] = {"code": error.code}
    retry_after = retry_after_of(error)
    if retry_after is not None:
        extensions["retryAfter"] = retry_after
    return {"message": error.message, "extensions": extensions}


def retry_after_of(error: GatewayError) -> float | None:
    """Give how long to wait before asking again, in seconds, where the error says it."""
    if isinstance(error, UpstreamRateLimited | TooManyOperations | Overloaded):
        return error.retry_after
    return None


def show_execution_error(error: GraphQLError, request_id: str) -> ErrorBody:
    """Show what went wrong while an operation ran."""
    known = own_error(error) or _argument_error(error)
    if isinstance(known, NotFound):
        # Whoever says it, in whatever words: what is not there and what is not theirs look the same.
        known = NotFound(_NOT_FOUND)
    return _place(_masked(request_id) if known is None else show_error(known), error)


def show_fault(error: Exception, request_id: str) -> ErrorBody:
    """Log a fault of the gateway that was met outside of any field, and show it masked."""
    _log_fault(error, "", request_id)
    return _masked(request_id)


def show_syntax_error(error: GraphQLSyntaxError) -> ErrorBody:
    """Show what does not parse; the words of the document stay out of it."""
    message = error.message
    if "tokens. Parsing aborted" in message:
        return show_error(LimitExceeded("The document has too many tokens."))
    if "nested too deeply" in message:
        return show_error(LimitExceeded("The document is nested too deeply."))
    message = _SPEECH.sub(r"\1", message).rstrip(":.") + "."
    if _LONG_QUOTE.search(message):
        message = "Syntax Error."
    return _place({"message": message, "extensions": {"code": PARSE_FAILED}}, error)


def show_validation_error(error: GraphQLError) -> ErrorBody:
    """Show what does not fit the schema; values are described by their place alone."""
    known = own_error(error)
    if known is not None:
        return _place(show_error(known), error)
    if "32-bit" in error.message:
        return _place(show_error(BadInput("Int must fit into 32 bits.")), error)
    message = error.message
    if message == _ABORTED:
        return show_error(
            LimitExceeded("The document is nested too deeply, or too many of its fields overlap.")
        )
    if error.nodes and _holds_value(error.nodes[0]):
        message = "A value does not have the type that is expected in its place."
    if len(message) > _MOST_CHARACTERS:
        message = message[:_MOST_CHARACTERS] + "…"
    return _place({"message": message, "extensions": {"code": VALIDATION_FAILED}}, error)


def log_errors(errors: Sequence[GraphQLError], request_id: str, names: Container[str] | None = None) -> None:
    """Write one line per error: code, path, request id, kind and place. Never the text.

    ``names`` are the words that a path may show; others are aliases, which clients like to make of
    patients' ids, and stand as "*".
    """
    for error in errors:
        known = own_error(error) or _argument_error(error)
        path = ".".join(_step(key, names) for key in error.path or ())
        if known is not None:
            logger.info("error code=%s path=%s request=%s", known.code, path, request_id)
        else:
            _log_fault(error.original_error or error, path, request_id)


def _step(key: str | int, names: Container[str] | None) -> str:
    return str(key) if names is None or isinstance(key, int) or key in names else "*"


def _argument_error(error: GraphQLError) -> GatewayError | None:
    """Name a variable or an argument that the library refused before any resolver ran."""
    if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
        return None
    if error.path is None and error.nodes and isinstance(error.nodes[0], VariableDefinitionNode):
        node = error.nodes[0]
        return BadInput(f"Variable ${node.variable.name.value} must be of type {print_ast(node.type)}.")
    if error.message.startswith(("Variable ", "Argument ")):
        return BadInput("An argument does not have the type that is expected in its place.")
    return None


def _masked(request_id: str) -> ErrorBody:
    return {
        "message": "An internal error occurred. The request id finds it in the log.",
        "extensions": {"code": "INTERNAL", "requestId": request_id},
    }


def _log_fault(error: Exception, path: str, request_id: str) -> None:
    kind = type(error).__qualname__
    logger.error(
        "error code=INTERNAL path=%s request=%s class=%s at=%s", path, request_id, kind, _origin(error)
    )


def _holds_value(node: Node) -> bool:
    return isinstance(node, ValueNode | ObjectFieldNode) and not isinstance(node, VariableNode)


def _origin(error: BaseException) -> str:
    """Say where an error was raised: file and line hold no values."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "unknown"


def _place(body: ErrorBody, error: GraphQLError) -> ErrorBody:
    if error.locations:
        body["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    if error.path is not None:
        body["path"] = list(error.path)
    return body
