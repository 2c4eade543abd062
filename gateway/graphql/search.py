"""Hits of a search for messages, each with a door to the conversation around it."""

from __future__ import annotations

from typing import Annotated

import strawberry

from gateway.domain import connection as domain
from gateway.domain.connection import Window
from gateway.domain.errors import Unsupported
from gateway.domain.model import InstanceName
from gateway.graphql.connection import MessageConnection, PageInfo, page_info_of
from gateway.graphql.message import Message, message_of


@strawberry.type(description="A message that a search found")
class MessageSearchEdge:
    """One hit."""

    cursor: str = strawberry.field(description="Opaque; good for `after` of the same search")
    node: Message = strawberry.field(description="The message")

    @strawberry.field(
        description="The conversation around the hit: up to `newer` messages, the hit itself, "
        "up to `older` messages; newest first"
    )
    async def context(
        self,
        older: Annotated[
            int, strawberry.argument(description="How many messages older than the hit; 0 to 200")
        ] = 5,
        newer: Annotated[
            int, strawberry.argument(description="How many messages newer than the hit; 0 to 200")
        ] = 5,
    ) -> MessageConnection:
        """Check the sizes; no instance can find the place of a hit in its conversation yet."""
        Window(first=older).check()
        Window(first=newer).check()
        raise Unsupported("This instance cannot show the conversation around a hit.")


@strawberry.type(description="Hits of a search, newest message first")
class MessageSearchConnection:
    """A page of hits."""

    edges: list[MessageSearchEdge] = strawberry.field(description="The hits of this page with their cursors")
    nodes: list[Message] = strawberry.field(description="The messages that were found")
    page_info: PageInfo = strawberry.field(description="What lies on either side of this page")


def search_connection_of(instance: InstanceName, found: domain.Connection) -> MessageSearchConnection:
    """Dress what a search found for the schema."""
    edges = [
        MessageSearchEdge(cursor=edge.cursor, node=message_of(instance, edge.message)) for edge in found.edges
    ]
    return MessageSearchConnection(
        edges=edges, nodes=[edge.node for edge in edges], page_info=page_info_of(found)
    )
