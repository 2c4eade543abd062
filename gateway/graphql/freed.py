"""An execution that is freed as soon as it is over.

graphql-core's executor holds two of its own methods for the resolvers, which makes it, and with it all that
an operation read and answered, a circle that only the garbage collector can free. Under load that is a
hundred objects for each operation, and collections of hundreds of milliseconds in which nobody is served.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any
from weakref import ref

from graphql import GraphQLResolveInfoHelpers
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext


class FreedExecution(StrawberryGraphQLCoreExecutionContext):
    """strawberry's execution, without the circle."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Begin; the helpers know the executor only while it lives, which is as long as it executes."""
        super().__init__(*arguments, **named)
        known = ref(self)

        def executor() -> FreedExecution:
            found = known()
            if found is None:
                raise RuntimeError("The operation is over.")
            return found

        def gather(values: Sequence[Awaitable[Any]]) -> Awaitable[list[Any]]:
            return executor().gather_async_work(values)

        def track(values: Sequence[Any]) -> None:
            executor().track_async_work(values)

        self.async_helpers = GraphQLResolveInfoHelpers(gather, track)
