"""Windows on a list in Relay's shape."""

from __future__ import annotations

from collections.abc import Sequence

import strawberry

from gateway.domain import connection as domain
from gateway.domain.model import InstanceName
from gateway.graphql.message import Message, message_of


@strawberry.type(description="What lies on either side of a page")
class PageInfo:
    """Relay's four fields."""

    has_next_page: bool = strawberry.field(
        description="Whether more follows this page: something older, in a list of messages"
    )
    has_previous_page: bool = strawberry.field(
        description="Whether there is more before this page: something newer, in a list of messages"
    )
    start_cursor: str | None = strawberry.field(
        description="Cursor of the page's first entry, its newest message; null on an empty page"
    )
    end_cursor: str | None = strawberry.field(
        description="Cursor of the page's last entry, its oldest message; null on an empty page"
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


def edge_of(instance: InstanceName, edge: domain.Edge, *, through_token: bool = False) -> MessageEdge:
    """Dress a domain edge for the schema; see ``message_of`` for the token."""
    return MessageEdge(
        cursor=edge.cursor, node=message_of(instance, edge.message, through_token=through_token)
    )


def connection_of(
    instance: InstanceName, connection: domain.Connection, *, through_token: bool = False
) -> MessageConnection:
    """Dress a domain connection for the schema; see ``message_of`` for the token."""
    edges = [edge_of(instance, edge, through_token=through_token) for edge in connection.edges]
    return MessageConnection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=page_info_of(connection, [edge.cursor for edge in edges]),
    )


def page_info_of(page: domain.Connection | domain.Hits | domain.Patients, cursors: Sequence[str]) -> PageInfo:
    """Say what lies beside a page whose entries have these cursors."""
    return PageInfo(
        has_next_page=page.has_next_page,
        has_previous_page=page.has_previous_page,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )
