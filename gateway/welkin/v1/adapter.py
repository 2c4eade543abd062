"""Welkin's first chat API (the one documented as V8) behind the port.

Pages are linked: tokens lead to older and newer ones and are carried byte for byte, never read.
``pageSize`` and ``pageToken`` exclude each other; the size is frozen in the token (D1, R).
``includeArchived`` is not in the token, so it goes with every page (D1).
"""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager
from typing import Literal, NoReturn

import orjson

from gateway.domain.errors import PageRefused, SendUnconfirmed, Unsupported, UpstreamBadResponse
from gateway.domain.model import ApiVersion, Capability, Message, PatientRecord
from gateway.domain.pages import Linked, Newest, Numbered, Page, PageRef, PatientPage
from gateway.domain.ports import FileStream
from gateway.welkin.client import Client, TokenRequest
from gateway.welkin.errors import Asked
from gateway.welkin.fields import decode
from gateway.welkin.paths import PathTemplate
from gateway.welkin.tokens import Tokens
from gateway.welkin.transport import Transport
from gateway.welkin.upstream import Upstream, UpstreamState
from gateway.welkin.v1 import translate
from gateway.welkin.v1.hits import read_hits

_log = logging.getLogger(__name__)


class WelkinV1:
    """One instance that speaks v1. ``transport`` and ``tokens`` can be shared with other instances."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        page_size: int = 100,
        patients_segment: Literal["patients", "patient"] = "patients",
        transport: Transport | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self._place = {"tenant": upstream.tenant, "instance": upstream.instance}
        self._page_size = page_size
        # D1's chat pages write /patient/, everything recorded has /patients/.
        self._patient = PathTemplate(f"/{{tenant}}/{{instance}}/{patients_segment}/{{patient_id}}")
        self._patients = PathTemplate("/{tenant}/{instance}/patients")
        self._chat = PathTemplate(f"/{{tenant}}/{{instance}}/{patients_segment}/{{patient_id}}/chat")
        self._inbound = PathTemplate(
            f"/{{tenant}}/{{instance}}/{patients_segment}/{{patient_id}}/chat/inbound"
        )
        self._search = PathTemplate(f"/{{tenant}}/{{instance}}/{patients_segment}/{{patient_id}}/chat/search")
        token_path = PathTemplate("/{tenant}/admin/api_clients/{client}")
        token_request = TokenRequest(
            path=token_path.fill(tenant=upstream.tenant, client=upstream.client),
            body=orjson.dumps({"secret": upstream.secret}),
        )
        self._client = Client(upstream, token_request, transport, tokens)

    @property
    def api_version(self) -> ApiVersion:
        """The version spoken."""
        return ApiVersion.V1

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What v1 can do beyond what both can."""
        return frozenset({Capability.ARCHIVE_FILTER, Capability.SENDER_NAMES})

    @property
    def state(self) -> UpstreamState:
        """How the calls to this instance fare."""
        return self._client.state

    async def probe(self) -> str | None:
        """Tell why the instance cannot be reached, in words that are safe to show; None: it can be."""
        return await self._client.probe()

    async def list_messages(self, patient_id: str, at: PageRef, *, include_archived: bool) -> Page:
        """Read one page of a conversation; see the port."""
        path = self._chat.fill(**self._place, patient_id=patient_id)
        archived = ("includeArchived", "true" if include_archived else "false")
        match at:
            case Newest():
                query, asked = [("pageSize", str(self._page_size)), archived], Asked.READ
            case Linked(token):
                query, asked = [("pageToken", token), archived], Asked.PAGE_BY_TOKEN
            case Numbered():
                raise PageRefused("The page was counted on another version of Welkin's API.")
        listed = await self._client.read(
            "list messages", path, query, lambda answer: translate.read_list(answer, patient_id), asked=asked
        )
        if listed.dropped:
            _log.warning("list messages: %d items were no messages of their own", listed.dropped)
        local = isinstance(at, Linked) and at.local  # Welkin's own store links to itself alone (D1, R)
        older, newer = _link(listed.older_token, local=local), _link(listed.newer_token, local=local)
        return Page(at, listed.messages, older, newer)

    async def send_message(self, patient_id: str, body: str, attachment_id: str | None) -> Message:
        """Send a message from the patient to the care team; see the port."""
        if attachment_id is not None:
            raise Unsupported("Welkin's v1 API cannot send attachments.")
        path = self._inbound.fill(**self._place, patient_id=patient_id)
        answer = await self._client.send("send message", path, {"message": body})
        try:
            message = translate.read_message(decode(answer.body, "send message"), patient_id)
        except UpstreamBadResponse:
            message = None
        if message is None:
            raise SendUnconfirmed("Welkin took the message, but its answer does not show it (send message).")
        return message

    async def patient(self, patient_id: str) -> PatientRecord:
        """Read a patient's record; see the port."""
        path = self._patient.fill(**self._place, patient_id=patient_id)
        return await self._client.read(
            "read patient", path, (), lambda answer: translate.read_patient(answer, patient_id)
        )

    async def search_messages(self, query: str, patient_id: str | None, at: PageRef) -> Page:
        """Read one page of hits; see the port.

        A page token excludes every other parameter, the query too (D1).
        """
        if patient_id is None:
            raise Unsupported("Welkin's v1 API searches one patient at a time: name a patientId.")
        path = self._search.fill(**self._place, patient_id=patient_id)
        size = str(self._page_size)
        match at:
            case Newest():
                wanted, asked = [("query", query), ("pageSize", size), ("contentPageSize", size)], Asked.READ
            case Linked(token):
                wanted, asked = [("pageToken", token)], Asked.PAGE_BY_TOKEN
            case Numbered():
                raise PageRefused("The page was counted on another version of Welkin's API.")
        found = await self._client.read(
            "search messages", path, wanted, lambda answer: read_hits(answer, patient_id), asked=asked
        )
        if found.listed.dropped:
            _log.warning("search messages: %d items were no hits of their own", found.listed.dropped)
        return Page(
            at,
            found.listed.messages,
            _link(found.listed.older_token),
            _link(found.listed.newer_token),
            {name: tuple(Linked(token, local=True) for token in found.beside[name]) for name in found.beside},
        )

    async def list_patients(self, search: str | None, at: Numbered) -> PatientPage:
        """Read one page of records; see the port. What ``query`` looks at is not documented (D1)."""
        if at.oldest_first:
            raise PageRefused("The page is not one of the list of patients.")
        path = self._patients.fill(**self._place)
        query = [("page", str(at.number)), ("size", str(at.size))]
        if search is not None:
            query.append(("query", search))
        page, dropped = await self._client.read(
            "list patients", path, query, lambda answer: translate.read_patients(answer, at)
        )
        if dropped:
            _log.warning("list patients: %d items were no records of their own", dropped)
        return page

    async def list_portal_messages(self, token: str, at: PageRef) -> NoReturn:  # noqa: ARG002 - the port's signature
        """Refuse: v1 has no patient chat tokens."""
        raise Unsupported("Welkin's v1 API has no patient chat tokens.")

    def open_file(
        self,
        file_id: str,  # noqa: ARG002 - the port's
        *,
        byte_range: str | None = None,  # noqa: ARG002 - the port's
    ) -> AbstractAsyncContextManager[FileStream]:
        """Refuse: v1 has no public way to read files."""
        raise Unsupported("Welkin's v1 API has no files in chats.")

    async def aclose(self) -> None:
        """Wait for the calls under way, then close the connections."""
        await self._client.aclose()


def _link(token: str | None, *, local: bool = False) -> Linked | None:
    return Linked(token, local) if token is not None else None
