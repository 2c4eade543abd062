"""Where credentials stand in a request: in two headers, or in a WebSocket's first message. Nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

from gateway.domain.errors import Unauthenticated

_AUTHORIZATION = "authorization"
_API_KEY = "x-api-key"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller shows, as it was sent."""

    authorization: bytes | None = field(default=None, repr=False)
    api_key: bytes | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        """Tell whether anything is shown at all."""
        return self.authorization is not None or self.api_key is not None


def credentials_of(scope: Scope) -> Credentials:
    """Read the headers.

    Raises:
        Unauthenticated: one of them was given twice, so that it is open which one counts.
    """
    return Credentials(_header(scope, _AUTHORIZATION), _header(scope, _API_KEY))


def credentials_in(payload: Mapping[str, Any]) -> Credentials:
    """Read the payload of `connection_init`; the case of its names does not matter.

    Raises:
        Unauthenticated: a value is no text, or is given twice.
    """
    return Credentials(_entry(payload, _AUTHORIZATION), _entry(payload, _API_KEY))


def _header(scope: Scope, name: str) -> bytes | None:
    wanted = name.encode()
    return _only([value for key, value in scope["headers"] if key == wanted])


def _entry(payload: Mapping[str, Any], name: str) -> bytes | None:
    found = [value for key, value in payload.items() if key.lower() == name and value is not None]
    if not all(isinstance(value, str) for value in found):
        raise _refusal()
    return _only([value.encode("utf-8", "replace") for value in found])


def _only(found: list[bytes]) -> bytes | None:
    if len(found) > 1:
        raise _refusal()
    return found[0] if found else None


def _refusal() -> Unauthenticated:
    return Unauthenticated("The credentials must be given once, as text.")
