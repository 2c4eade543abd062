"""What becomes of a call that has no answer: an error of ours, and what may be done about it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx2

from gateway.domain.errors import (
    GatewayError,
    Overloaded,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.welkin.body import BodyRefused

# httpx2 --> ours. The most specific class that is listed decides.
FAILURES: dict[type[httpx2.TransportError], tuple[type[UpstreamError], str]] = {
    httpx2.TimeoutException: (UpstreamTimeout, "Welkin did not answer in time"),
    httpx2.NetworkError: (UpstreamUnavailable, "The connection to Welkin broke"),
    httpx2.ConnectError: (UpstreamUnavailable, "Welkin cannot be reached"),
    httpx2.ProxyError: (UpstreamUnavailable, "Welkin cannot be reached"),
    httpx2.UnsupportedProtocol: (UpstreamUnavailable, "Welkin's base URL is neither http nor https"),
    httpx2.ProtocolError: (UpstreamBadResponse, "Welkin's answer is not HTTP"),
    httpx2.SSEError: (UpstreamBadResponse, "Welkin's answer is not HTTP"),
}
PASSING = (httpx2.NetworkError, httpx2.ConnectTimeout, httpx2.ProxyError)
"""What may be better a moment later. An answer that did not come in time has used the time up."""


class CallFailed(Exception):
    """There is no answer. Stays inside this package: callers turn it into ``error`` or SendUnconfirmed.

    ``maybe_sent``: bytes of the request may have reached Welkin. ``again_in``: after so many seconds the
    same call may do better; None: it will not. ``works``: whether Welkin is there and answers, as far as
    this tells; None: it tells nothing, since the gateway kept the call back itself.
    """

    def __init__(
        self,
        error: GatewayError,
        *,
        maybe_sent: bool,
        again_in: float | None = None,
        works: bool | None = False,
    ) -> None:
        """Keep the error for a read, and what the caller needs to know of how it came about."""
        super().__init__(error.message)
        self.error = error
        self.maybe_sent = maybe_sent
        self.again_in = again_in
        self.works = works


def timed_out(operation: str, *, maybe_sent: bool, works: bool | None = False) -> CallFailed:
    """Give the failure of a call whose deadline has passed."""
    error = UpstreamTimeout(f"Welkin did not answer in time ({operation}).")
    return CallFailed(error, maybe_sent=maybe_sent, works=works)


def line_full(operation: str) -> CallFailed:
    """Give the failure of a call that found no end of the line to stand at."""
    error = Overloaded(f"Too many calls wait for this instance of Welkin ({operation}).")
    return CallFailed(error, maybe_sent=False, works=None)


def throttled(operation: str, seconds: float) -> CallFailed:
    """Give the failure of a call that is not made, since Welkin asked for a pause."""
    error = UpstreamRateLimited(f"Welkin asks the gateway to slow down ({operation}).", seconds)
    return CallFailed(error, maybe_sent=False, works=None)


def kept_back(operation: str) -> CallFailed:
    """Give the failure of a call that is not made, since those before it failed."""
    error = UpstreamUnavailable(f"Welkin has failed again and again, so it is left alone ({operation}).")
    return CallFailed(error, maybe_sent=False, works=None)


def failed(operation: str, error: Exception, *, maybe_sent: bool) -> CallFailed:
    """Give the failure for what the HTTP client raised."""
    if isinstance(error, httpx2.RemoteProtocolError) and not _malformed(error):
        error = httpx2.ReadError("closed without an answer")
    ours = failure(operation, error)
    return CallFailed(
        ours,
        maybe_sent=maybe_sent,
        again_in=0.0 if isinstance(error, PASSING) and not _distrusted(error) else None,
        works=isinstance(ours, UpstreamBadResponse),
    )


def failure(operation: str, error: Exception) -> UpstreamError:
    """Give the error of ours; its text names the operation and nothing of the request."""
    if isinstance(error, BodyRefused):
        return UpstreamBadResponse(f"{error} ({operation}).")
    if isinstance(error, TimeoutError):
        error = httpx2.ReadTimeout("last resort")
    if _distrusted(error):
        return UpstreamUnavailable(f"Welkin's certificate cannot be trusted ({operation}).")
    kind, words = next(FAILURES[base] for base in type(error).__mro__ if base in FAILURES)
    return kind(f"{words} ({operation}).")


def _malformed(error: httpx2.RemoteProtocolError) -> bool:
    """Tell bytes that are not HTTP from a connection that just closed.

    The first is the HTTP parser's error, kept as the context of the pool's; the pool erases causes.
    """
    return error.__cause__ is not None and error.__cause__.__context__ is not None


def _distrusted(error: Exception) -> bool:
    """Tell whether a certificate was refused: it will be the next time too."""
    return any(isinstance(each, ssl.SSLCertVerificationError) for each in _behind(error))


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
