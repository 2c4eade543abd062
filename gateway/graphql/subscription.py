"""What can be followed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import lru_cache
from typing import Annotated, TypeAlias

import strawberry

from gateway.domain.identity import check_upstream_id
from gateway.graphql.arguments import PatientId, Token, check_token
from gateway.graphql.connection import MessageEdge, edge_of
from gateway.graphql.context import Info
from gateway.graphql.event_answers import MAX_KEPT

After: TypeAlias = Annotated[
    str | None,
    strawberry.argument(
        description="A cursor of the same conversation; left out: newer than the moment of subscribing. "
        "Over event streams a `Last-Event-ID` header counts before it"
    ),
]


_dressed = lru_cache(MAX_KEPT)(edge_of)
"""Dressed once for all who get it; nothing changes what was dressed."""


@strawberry.type(description="Everything that can be followed")
class Subscription:
    """The root of live tails."""

    @strawberry.subscription(
        description="Every message newer than `after`, oldest first, each once. "
        "What was missed while the client was away is replayed first; after 10,000 messages without "
        "having caught up, `REFETCH_REQUIRED` tells to read the conversation anew"
    )
    async def message_added(
        self,
        info: Info,
        patient_id: PatientId,
        after: After = None,
    ) -> AsyncGenerator[MessageEdge]:
        """Follow one conversation."""
        context, service = info.context, info.context.service
        after = context.resume_after or after
        instance = service.name
        tail = service.follow(check_upstream_id(patient_id, "patientId"), after)
        async with aclosing(tail):
            async for edge in tail:
                context.start_event(edge)
                yield _dressed(instance, edge, through_token=False)

    @strawberry.subscription(
        description="As `messageAdded`, for the conversation that a secure patient chat token opens; "
        "v2 only. The patient's record stays closed: its fields are null"
    )
    async def portal_message_added(
        self, info: Info, token: Token, after: After = None
    ) -> AsyncGenerator[MessageEdge]:
        """Follow the conversation behind a token."""
        context, service = info.context, info.context.service
        after = context.resume_after or after
        instance = service.name
        tail = service.follow_portal(check_token(token), after)
        async with aclosing(tail):
            async for edge in tail:
                context.start_event(edge)
                yield _dressed(instance, edge, through_token=True)
