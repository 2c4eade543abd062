"""Read a GraphQL request out of a JSON value or a query string, by the GraphQL-over-HTTP specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from gateway.graphql.execution import JsonObject, Request
from gateway.web.answers import HttpProblem
from gateway.web.bodies import read_json


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
    query = values.get("query")
    if not isinstance(query, str) or not query:
        raise HttpProblem(400, "query must be a string that is not empty.")
    operation_name = values.get("operationName")
    if not isinstance(operation_name, str | None):
        raise HttpProblem(400, "operationName must be a string or null.")
    _object(values, "extensions")
    # An empty name is what some clients send for none.
    return Request(query, _object(values, "variables"), operation_name or None)


def _object(values: Mapping[str, Any], name: str) -> JsonObject | None:
    value = values.get(name)
    if not isinstance(value, dict | None):
        raise HttpProblem(400, f"{name} must be an object or null.")
    return cast("JsonObject | None", value)
