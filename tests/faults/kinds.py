"""The kinds of fault that the matrix knows, each with the code that callers are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.sandbox.faults import FaultName

UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
BAD = "UPSTREAM_BAD_RESPONSE"
TIMEOUT = "UPSTREAM_TIMEOUT"
LIMITED = "UPSTREAM_RATE_LIMITED"


@dataclass(frozen=True)
class Kind:
    """A kind of fault; ``fault`` None: the connection is refused."""

    name: str
    fault: FaultName | None
    code: str
    args: dict[str, Any] | None = None
    file_args: dict[str, Any] | None = None

    @property
    def args_of_a_file(self) -> dict[str, Any] | None:
        """The arguments where a file is asked for: a slow one is no fault, and takes its time."""
        return self.file_args or self.args

    def __hash__(self) -> int:
        return hash(self.name)


KINDS = (
    Kind("refused", None, UNAVAILABLE),
    Kind("reset", "reset", UNAVAILABLE),
    Kind("reset mid-body", "reset_mid_body", UNAVAILABLE),
    Kind("closed mid-body", "cut", BAD),
    Kind("hang", "hang", TIMEOUT),
    Kind("drip", "drip", TIMEOUT, {"seconds": 0.1, "bytes": 1}, {"seconds": 0.1, "bytes": 60}),
    Kind("500", "server_error", UNAVAILABLE),
    Kind("503 with Retry-After", "unavailable", UNAVAILABLE, {"retry_after": 1}),
    Kind("429", "rate_limited", LIMITED, {"retry_after": 1}),
    Kind("401", "unauthorized", UNAVAILABLE),
    Kind("cut JSON", "truncated", BAD),
    Kind("HTML", "html", BAD),
    Kind("empty object", "body", BAD),
    Kind("204", "no_content", BAD),
    Kind("redirect", "redirect", BAD),
)
STORED = (
    Kind("stored, then 500", "stored_error", UNAVAILABLE),
    Kind("stored, then reset", "stored_reset", UNAVAILABLE),
    Kind("stored, then hang", "stored_hang", TIMEOUT),
)
"""Faults that hide from a sender that the message is there."""

BLOCKING = "429"
"""From the token endpoint, this says that no token is given for five minutes (D2)."""

OWN_BYTES = frozenset({"HTML", "empty object"})
"""What may be the very bytes of a file."""
