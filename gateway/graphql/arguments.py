"""Arguments that several fields take, each described and checked once."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

import strawberry

from gateway.domain.errors import BadInput

_TOKEN = re.compile(r"[!-~]{1,4096}")
"""What can stand in a header: printable ASCII without spaces, well above the size of any known token."""

First: TypeAlias = Annotated[
    int | None,
    strawberry.argument(description="How many, going to older messages; 0 to 200, 50 if neither is given"),
]
After: TypeAlias = Annotated[
    str | None, strawberry.argument(description="Only messages older than the one with this cursor")
]
Last: TypeAlias = Annotated[
    int | None, strawberry.argument(description="How many, going to newer messages; 0 to 200")
]
Before: TypeAlias = Annotated[
    str | None, strawberry.argument(description="Only messages newer than the one with this cursor")
]
PatientId: TypeAlias = Annotated[strawberry.ID, strawberry.argument(description="Welkin's id of the patient")]
Token: TypeAlias = Annotated[str, strawberry.argument(description="The secure patient chat token")]


def check_token(token: str) -> str:
    """Return a chat token if it may stand in a header.

    Raises:
        BadInput: it may not; the text never shows it.
    """
    if _TOKEN.fullmatch(token) is None:
        raise BadInput("token must be 1 to 4096 printable ASCII characters without spaces.")
    return token
