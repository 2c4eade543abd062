"""Windows on a conversation in Relay's shape."""

from __future__ import annotations

import strawberry

from gateway.domain import connection as domain
from gateway.domain.model import InstanceName
from gateway.graphql.message import Message, message_of


@strawberry.type(description="What lies on either side of a page")
class PageInfo:
    """Relay's four fields."""

    has_next_page: bool = strawberry.field(description="Whether there is something older than this page")
    has_previous_page: bool = strawberry.field(description="Whether there is something newer than this page")
    start_cursor: str | None = strawberry.field(
        description="Cursor of the page's newest message; null on an empty page"
    )
    end_cursor: str | None = strawberry.field(
        description="Cursor of the page's oldest message; null on an empty page"
    )


@strawberry.type(description="A message and the cursor that finds it again")
class MessageEdge:
    """One entry of a page."""

    cursor: str = strawberry.field(description="Opaque; good for `after` and `before` of the same list")
    node: Message = strawberry.field(description="The message")


@strawberry.type(description="Newest message first, whichever upstream version serves it")
class MessageConnection:
    """A page of messages."""

    edges: list[MessageEdge] = strawberry.field(description="The messages of this page with their cursors")
    nodes: list[Message] = strawberry.field(description="The messages of this page")
    page_info: PageInfo = strawberry.field(description="What lies on either side of this page")


def edge_of(instance: InstanceName, edge: domain.Edge) -> MessageEdge:
    """Dress a domain edge for the schema."""
    return MessageEdge(cursor=edge.cursor, node=message_of(instance, edge.message))


def connection_of(instance: InstanceName, connection: domain.Connection) -> MessageConnection:
    """Dress a domain connection for the schema."""
    edges = [edge_of(instance, edge) for edge in connection.edges]
    return MessageConnection(
        edges=edges, nodes=[edge.node for edge in edges], page_info=page_info_of(connection)
    )


def page_info_of(connection: domain.Connection) -> PageInfo:
    """Say what lies beside a page."""
    edges = connection.edges
    return PageInfo(
        has_next_page=connection.has_next_page,
        has_previous_page=connection.has_previous_page,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
