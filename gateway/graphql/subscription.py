"""What can be followed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry

from gateway.domain.identity import check_upstream_id
from gateway.graphql.arguments import PatientId
from gateway.graphql.connection import MessageEdge, edge_of
from gateway.graphql.context import Info


@strawberry.type(description="Everything that can be followed")
class Subscription:
    """The root of live tails."""

    @strawberry.subscription(
        description="Every message newer than `after`, oldest first, each once. "
        "What was missed while the client was away is replayed first"
    )
    async def message_added(
        self,
        info: Info,
        patient_id: PatientId,
        after: Annotated[
            str | None,
            strawberry.argument(
                description="A cursor of the same conversation; "
                "left out: newer than the moment of subscribing"
            ),
        ] = None,
    ) -> AsyncGenerator[MessageEdge]:
        """Follow one conversation."""
        service = info.context.service
        tail = service.follow(check_upstream_id(patient_id, "patientId"), after)
        async with aclosing(tail):
            async for edge in tail:
                info.context.start_event()
                yield edge_of(service.name, edge)
