"""The gateway's errors in HTTP's words, for doors whose answers are no GraphQL."""

from __future__ import annotations

import math

from gateway.domain.errors import (
    BadInput,
    Forbidden,
    GatewayError,
    Internal,
    InvalidCursor,
    LimitExceeded,
    NotFound,
    Overloaded,
    RefetchRequired,
    SendUnconfirmed,
    Unauthenticated,
    Unsupported,
    UpstreamBadResponse,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.graphql.errors import retry_after_of, show_error
from gateway.web.answers import HttpProblem

STATUS: dict[type[GatewayError], int] = {
    # ours --> HTTP
    BadInput: 400,
    InvalidCursor: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    LimitExceeded: 429,
    RefetchRequired: 410,
    Internal: 500,
    Unsupported: 501,  # not 404: no file of this instance will ever be found
    UpstreamBadResponse: 502,
    SendUnconfirmed: 502,
    UpstreamRateLimited: 503,
    UpstreamUnavailable: 503,
    Overloaded: 503,
    UpstreamTimeout: 504,
}

RETRY_SECONDS = 5
"""When to come again where nobody said so: a node of Welkin's restarts within seconds."""

_UNKNOWN_CALLER = 401
_COME_AGAIN = frozenset({429, 503, 504})


def problem_of(error: GatewayError) -> HttpProblem:
    """Give the HTTP error that says what went wrong; the nearest kind in the tree decides.

    >>> problem_of(UpstreamRateLimited("Slow down.", 1.2)).headers
    {'Retry-After': '2'}
    """
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    headers: dict[str, str] = {}
    if status == _UNKNOWN_CALLER:
        headers["WWW-Authenticate"] = "Bearer"
    if status in _COME_AGAIN:
        told = retry_after_of(error)
        headers["Retry-After"] = str(RETRY_SECONDS if told is None else max(1, math.ceil(told)))
    problem = HttpProblem(status, error.message, code=error.code, headers=headers)
    problem.extensions |= show_error(error)["extensions"]
    return problem
