"""What can be read."""

from __future__ import annotations

import asyncio
from typing import Annotated, cast

import strawberry

from gateway.domain.connection import Window
from gateway.domain.errors import LimitExceeded
from gateway.domain.identity import check_upstream_id, read_patient_node_id
from gateway.domain.model import Conversation
from gateway.graphql.arguments import After, Before, First, Last, PatientId, Token, check_token
from gateway.graphql.connection import MessageConnection, connection_of
from gateway.graphql.context import Info
from gateway.graphql.instance import Instance, instance_of
from gateway.graphql.patient import Node, Patient, PatientConnection, find_patient, patient_connection_of
from gateway.graphql.search import MessageSearchConnection, search_connection_of

MAX_NODES = 100
"""Ids in one `nodes`: each may cost a request to Welkin."""


@strawberry.type(description="Everything that can be read")
class Query:
    """The root of reads."""

    @strawberry.field(description="The patient with this global id; null where it names nothing here")
    async def node(
        self,
        info: Info,
        node_id: Annotated[strawberry.ID, strawberry.argument(name="id", description="A global id")],
    ) -> Node | None:
        """Find one node."""
        return await _find_node(info, node_id)

    @strawberry.field(description="As `node`, for up to 100 ids at once, in their order")
    async def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="Up to 100 global ids")],
    ) -> list[Node | None]:
        """Find several nodes."""
        if len(ids) > MAX_NODES:
            raise LimitExceeded(f"nodes takes at most {MAX_NODES} ids.")
        found = await asyncio.gather(*(_find_node(info, node_id) for node_id in ids), return_exceptions=True)
        # GraphQL shows an exception in a list as null in its place, with an error; the others stay.
        return cast("list[Node | None]", found)

    @strawberry.field(description="The instance that this endpoint serves")
    def instance(self, info: Info) -> Instance:
        """Describe the instance."""
        return instance_of(info.context.service)

    @strawberry.field(
        description="null where Welkin knows no such patient. "
        "Asks Welkin for the record only if a field of the record is selected"
    )
    async def patient(self, info: Info, patient_id: PatientId) -> Patient | None:
        """Find a patient by Welkin's id."""
        checked = check_upstream_id(patient_id, "patientId")
        return await find_patient(info, Conversation(info.context.service.name, checked))

    @strawberry.field(
        description="The patients of this instance, in Welkin's order. The list tells their records: "
        "no further request for them"
    )
    async def patients(
        self,
        info: Info,
        *,
        first: Annotated[
            int | None, strawberry.argument(description="How many; 0 to 200, 50 if left out")
        ] = None,
        after: Annotated[
            str | None, strawberry.argument(description="Only patients behind the one with this cursor")
        ] = None,
        search: Annotated[
            str | None,
            strawberry.argument(description="Only patients whose names or numbers contain this"),
        ] = None,
    ) -> PatientConnection:
        """Read a window of the list of patients."""
        window = Window(first=first, after=after)
        window.check()
        return patient_connection_of(info, await info.context.service.patients(search, window))

    @strawberry.field(description="Messages whose text contains the query, newest first")
    async def search_messages(
        self,
        info: Info,
        query: Annotated[str, strawberry.argument(description="Text to look for")],
        *,
        patient_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only this patient's conversation")
        ] = None,
        first: First = None,
        after: After = None,
    ) -> MessageSearchConnection:
        """Search the instance, or one conversation of it."""
        window = Window(first=first, after=after)
        window.check()
        checked = None if patient_id is None else check_upstream_id(patient_id, "patientId")
        service = info.context.service
        await info.context.turn()
        found = await service.search(query, checked, window)
        info.context.take(len(found.hits))
        return search_connection_of(service.name, found)

    @strawberry.field(
        description="The conversation that a secure patient chat token opens; v2 only. The patient's record "
        "stays closed: its fields are null"
    )
    async def portal_messages(
        self,
        info: Info,
        token: Token,
        *,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> MessageConnection:
        """Read the conversation behind a token."""
        window = Window(first=first, after=after, last=last, before=before)
        window.check()
        service = info.context.service
        await info.context.turn()
        found = await service.portal_messages(check_token(token), window)
        info.context.take(len(found.edges))
        return connection_of(service.name, found, through_token=True)


async def _find_node(info: Info, node_id: str) -> Patient | None:
    conversation = read_patient_node_id(node_id)
    if conversation is None or conversation.instance != info.context.service.name:
        return None
    return await find_patient(info, conversation)
