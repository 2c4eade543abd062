"""Read a GraphQL request out of a JSON value or a query string, by the GraphQL-over-HTTP specification."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from gateway.graphql.execution import JsonObject, Request
from gateway.web.answers import HttpProblem
from gateway.web.bodies import read_json

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def request_from_json(value: object) -> Request:
    """Read the parameters of a POST or of a WebSocket's `subscribe`.

    Raises:
        HttpProblem: it is a batch, or not an object with parameters of the right types.
    """
    if isinstance(value, list):
        raise HttpProblem(400, "Batches are not supported: send one operation per request.")
    if not isinstance(value, dict):
        raise HttpProblem(400, "The request must be a JSON object.")
    return _request_of(cast("Mapping[str, Any]", value))


def request_from_params(params: Mapping[str, str]) -> Request:
    """Read the parameters of a GET.

    Raises:
        HttpProblem: one is missing or of the wrong type.
    """
    values: dict[str, Any] = dict(params)
    for name in ("variables", "extensions"):
        if name in values:
            values[name] = read_json(values[name], name) if values[name] else None
    return _request_of(values)


def _request_of(values: Mapping[str, Any]) -> Request:
    query, document_id = _text(values, "query"), _text(values, "documentId")
    sha256 = _hash_of(_object(values, "extensions") or {})
    if query is None and document_id is None and sha256 is None:
        raise HttpProblem(400, "query must be a string that is not empty.")
    operation_name = values.get("operationName")
    if not isinstance(operation_name, str | None):
        raise HttpProblem(400, "operationName must be a string or null.")
    # An empty name is what some clients send for none.
    return Request(query, _object(values, "variables"), operation_name or None, document_id, sha256)


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise HttpProblem(400, f"{name} must be a string that is not empty.")
    return value


def _hash_of(extensions: JsonObject) -> str | None:
    """Read the hash as Apollo's protocol for persisted queries has it."""
    persisted = _object(extensions, "persistedQuery")
    if persisted is None:
        return None
    found = persisted.get("sha256Hash")
    if persisted.get("version") != 1 or not isinstance(found, str) or not _SHA256.fullmatch(found):
        raise HttpProblem(400, "persistedQuery must hold version 1 and a sha256Hash in hex.")
    return found


def _object(values: Mapping[str, Any], name: str) -> JsonObject | None:
    value = values.get(name)
    if not isinstance(value, dict | None):
        raise HttpProblem(400, f"{name} must be an object or null.")
    return cast("JsonObject | None", value)
