"""Arguments that several fields take, each described once."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import strawberry

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
