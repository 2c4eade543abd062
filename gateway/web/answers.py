"""The one place where answers become bytes, and the shape of every HTTP error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from starlette.responses import Response

from gateway.graphql.answers import Answer

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"


class HttpProblem(Exception):
    """A request that ends with an HTTP error, said in the shape of a GraphQL error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "BAD_USER_INPUT",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep everything that the answer needs."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.extensions: dict[str, Any] = {"code": code}
        self.headers = dict(headers or {})


def encode(value: object) -> bytes:
    """Write JSON; what cannot be written (half of a surrogate pair) becomes an INTERNAL error."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return orjson.dumps(error_body("INTERNAL", "The answer cannot be written as JSON."))


_written: WeakKeyDictionary[Answer, orjson.Fragment] = WeakKeyDictionary()


def written(answer: Answer) -> orjson.Fragment:
    """Write an answer, once however many get it; to be put into a larger value."""
    fragment = _written.get(answer)
    if fragment is None:
        fragment = _written[answer] = orjson.Fragment(encode(answer.body))
    return fragment


def error_body(code: str, message: str) -> dict[str, Any]:
    """Give the body of an error without a place in a document."""
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


def problem_response(problem: HttpProblem) -> Response:
    """Answer with an HTTP error."""
    body = encode({"errors": [{"message": problem.message, "extensions": problem.extensions}]})
    return Response(body, problem.status, problem.headers, media_type=JSON)
