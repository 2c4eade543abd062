"""Every error that a caller can see, each with the code that the contract fixes.

The tree is split by who has to act::

    GatewayError
    +-- CallerError               change the request
    |   +-- BadInput              BAD_USER_INPUT
    |   +-- InvalidCursor         INVALID_CURSOR
    |   |   +-- PageRefused       (inside only: an upstream no longer knows a page token)
    |   +-- Unauthenticated       UNAUTHENTICATED
    |   +-- Forbidden             FORBIDDEN
    |   +-- NotFound              NOT_FOUND
    |   +-- Unsupported           UNSUPPORTED_BY_UPSTREAM
    |   +-- LimitExceeded         LIMIT_EXCEEDED
    |   +-- RefetchRequired       REFETCH_REQUIRED
    +-- UpstreamError             wait, or look at Welkin
    |   +-- UpstreamRateLimited   UPSTREAM_RATE_LIMITED, with retry_after in seconds
    |   +-- UpstreamTimeout       UPSTREAM_TIMEOUT
    |   +-- UpstreamUnavailable   UPSTREAM_UNAVAILABLE
    |   +-- UpstreamBadResponse   UPSTREAM_BAD_RESPONSE
    |   +-- SendUnconfirmed       SEND_UNCONFIRMED
    +-- Overloaded                OVERLOADED, with retry_after in seconds
    +-- Internal                  INTERNAL

Messages say what was expected and never carry text of a message, a name, a token, a secret,
an upstream's own words or a URL with a query string.
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """An error with a code of the contract and a text that is safe to show."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str) -> None:
        """Keep the text that people see."""
        super().__init__(message)
        self.message = message


class CallerError(GatewayError):
    """The request cannot be served as it is."""


class BadInput(CallerError):
    """A value in the request is outside of what is allowed."""

    code = "BAD_USER_INPUT"


class InvalidCursor(CallerError):
    """A cursor was forged, cut, or made for another conversation or filter."""

    code = "INVALID_CURSOR"


class PageRefused(InvalidCursor):
    """The upstream does not accept a page reference any more; the walk finds another way."""


class Unauthenticated(CallerError):
    """No valid credentials came with the request."""

    code = "UNAUTHENTICATED"


class Forbidden(CallerError):
    """The credentials do not allow this."""

    code = "FORBIDDEN"


class NotFound(CallerError):
    """What was asked for does not exist."""

    code = "NOT_FOUND"


class Unsupported(CallerError):
    """The upstream version behind the instance cannot do this."""

    code = "UNSUPPORTED_BY_UPSTREAM"


class LimitExceeded(CallerError):
    """The request asks for more than one request may."""

    code = "LIMIT_EXCEEDED"


class RefetchRequired(CallerError):
    """Too much was missed to be replayed: read the conversation anew, and follow from there."""

    code = "REFETCH_REQUIRED"


class UpstreamError(GatewayError):
    """Welkin did not do its part."""

    code = "UPSTREAM_UNAVAILABLE"


class UpstreamRateLimited(UpstreamError):
    """Welkin asks the gateway to slow down."""

    code = "UPSTREAM_RATE_LIMITED"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Keep how long to wait, in seconds, where it is known."""
        super().__init__(message)
        self.retry_after = retry_after


class UpstreamTimeout(UpstreamError):
    """Welkin did not answer within the deadline."""

    code = "UPSTREAM_TIMEOUT"


class UpstreamUnavailable(UpstreamError):
    """Welkin could not be reached, answered with a server error, or refused the gateway's credentials."""

    code = "UPSTREAM_UNAVAILABLE"


class UpstreamBadResponse(UpstreamError):
    """Welkin answered with something that is not the documented kind of answer."""

    code = "UPSTREAM_BAD_RESPONSE"


class SendUnconfirmed(UpstreamError):
    """It is not known whether a message was sent; it was not sent again."""

    code = "SEND_UNCONFIRMED"


class Overloaded(GatewayError):
    """The gateway has more work than it takes on; nothing of what was asked was begun."""

    code = "OVERLOADED"

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        """Keep how long to wait, in seconds."""
        super().__init__(message)
        self.retry_after = retry_after


class Internal(GatewayError):
    """A fault of the gateway itself."""

    code = "INTERNAL"


def let_go(*errors: BaseException) -> None:
    """Forget where errors came from, once all has been said of them.

    What an error passed through holds it in turn: a task that ended with it, a frame that raised it, an
    error that it stands for. Such a circle holds all that was read for an operation, until the garbage
    collector comes by.
    """
    left, seen = list(errors), set[int]()
    while left:
        error = left.pop()
        if id(error) not in seen:
            seen.add(id(error))
            inner = (error.__cause__, error.__context__, getattr(error, "original_error", None))
            left.extend(each for each in inner if isinstance(each, BaseException))
            error.__traceback__ = error.__cause__ = error.__context__ = None
