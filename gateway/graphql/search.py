"""Hits of a search for messages, each with a door to the conversation around it."""

from __future__ import annotations

from typing import Annotated

import strawberry

from gateway.domain import connection as domain
from gateway.domain.connection import MAX_PAGE
from gateway.domain.errors import BadInput
from gateway.domain.model import InstanceName
from gateway.graphql.connection import MessageConnection, PageInfo, connection_of, page_info_of
from gateway.graphql.context import Info
from gateway.graphql.message import Message, message_of


@strawberry.type(description="A message that a search found")
class MessageSearchEdge:
    """One hit."""

    place: strawberry.Private[str]
    cursor: str = strawberry.field(description="Opaque; good for `after` of the same search")
    node: Message = strawberry.field(description="The message")

    @strawberry.field(
        description="The conversation around the hit: up to `newer` messages, the hit itself, "
        "up to `older` messages; newest first. Its cursors are those of the patient's `messages`"
    )
    async def context(
        self,
        info: Info,
        older: Annotated[
            int, strawberry.argument(description="How many messages older than the hit; 0 to 200")
        ] = 5,
        newer: Annotated[
            int, strawberry.argument(description="How many messages newer than the hit; 0 to 200")
        ] = 5,
    ) -> MessageConnection:
        """Read the messages on both sides of the hit."""
        for name, count in (("older", older), ("newer", newer)):
            if not 0 <= count <= MAX_PAGE:
                raise BadInput(f"{name} must be between 0 and {MAX_PAGE}.")
        # Counted before the read: the hits of a page are read around at the same time.
        info.context.take(older + 1 + newer)
        await info.context.turn()
        conversation = self.node.conversation
        found = await info.context.service.around(conversation.patient_id, self.place, older, newer)
        return connection_of(conversation.instance, found)


@strawberry.type(description="Hits of a search, newest message first")
class MessageSearchConnection:
    """A page of hits."""

    edges: list[MessageSearchEdge] = strawberry.field(description="The hits of this page with their cursors")
    nodes: list[Message] = strawberry.field(description="The messages that were found")
    page_info: PageInfo = strawberry.field(description="What lies on either side of this page")


def search_connection_of(instance: InstanceName, found: domain.Hits) -> MessageSearchConnection:
    """Dress what a search found for the schema."""
    edges = [
        MessageSearchEdge(place=hit.place, cursor=hit.cursor, node=message_of(instance, hit.message))
        for hit in found.hits
    ]
    return MessageSearchConnection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=page_info_of(found, [edge.cursor for edge in edges]),
    )
