"""What a client may say over `graphql-transport-ws`, checked before anything acts on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import orjson

from gateway.graphql.execution import Request
from gateway.web.answers import HttpProblem
from gateway.web.requests import request_from_json

MAX_ID = 256
"""Characters of an operation's id; a UUID takes 36."""


class Malformed(Exception):
    """The message is not one of the protocol's; the socket is closed with 4400."""


@dataclass(frozen=True, slots=True)
class Init:
    """The first message; its payload may carry credentials."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a pong."""


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a ping, or says that the client lives."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Starts an operation under an id of the client's."""

    id: str
    request: Request


@dataclass(frozen=True, slots=True)
class Complete:
    """Ends an operation."""

    id: str


ClientMessage: TypeAlias = Init | Ping | Pong | Subscribe | Complete


def read_message(text: str) -> ClientMessage:
    """Read one message.

    Raises:
        Malformed: it is not JSON, not an object, of an unknown type, or lacks what its type needs.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Malformed("Messages must be JSON.") from None
    if not isinstance(value, dict):
        raise Malformed("Messages must be objects.")
    message = cast("dict[str, Any]", value)
    match message.get("type"):
        case "connection_init":
            return Init(_payload_of(message))
        case "ping":
            _payload_of(message)
            return Ping()
        case "pong":
            _payload_of(message)
            return Pong()
        case "subscribe":
            return Subscribe(_id_of(message), _request_of(message))
        case "complete":
            return Complete(_id_of(message))
        case _:
            raise Malformed("The message's type is unknown.")


def _payload_of(message: dict[str, Any]) -> Mapping[str, Any]:
    payload = message.get("payload")
    if not isinstance(payload, dict | None):
        raise Malformed("The payload must be an object.")
    return cast("Mapping[str, Any]", payload or {})


def _id_of(message: dict[str, Any]) -> str:
    found = message.get("id")
    if not isinstance(found, str) or not 0 < len(found) <= MAX_ID:
        raise Malformed(f"The id must be a string of 1 to {MAX_ID} characters.")
    return found


def _request_of(message: dict[str, Any]) -> Request:
    try:
        return request_from_json(message.get("payload"))
    except HttpProblem as problem:
        raise Malformed(problem.message) from None
