"""Welkin's second chat API behind the port.

Pages are numbered. Whether from the newest or the oldest message, how large they may be, and in what
envelope they come is not documented; ``habits`` learns it, ``numbering`` decides with it.
v2 knows no archiving, so ``include_archived`` changes nothing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import orjson

from gateway.domain.errors import (
    PageRefused,
    SendUnconfirmed,
    Unauthenticated,
    UpstreamBadResponse,
)
from gateway.domain.identity import check_upstream_id
from gateway.domain.model import ApiVersion, Capability, Message, PatientRecord
from gateway.domain.pages import Linked, Newest, Numbered, Page, PageRef, PatientPage
from gateway.domain.ports import FileStream
from gateway.welkin import files
from gateway.welkin.client import Client, TokenRequest
from gateway.welkin.errors import Asked
from gateway.welkin.fields import decode
from gateway.welkin.paths import PathTemplate
from gateway.welkin.tokens import Tokens
from gateway.welkin.transport import Transport
from gateway.welkin.upstream import Upstream, UpstreamState
from gateway.welkin.v2 import translate
from gateway.welkin.v2.habits import Habits, Listed, read_finds, read_list, read_portal
from gateway.welkin.v2.lists import NumberedList
from gateway.welkin.v2.portal import PortalLists

Order = Literal["auto", "newest_first", "oldest_first"]
_OLDEST_FIRST: dict[Order, bool | None] = {"auto": None, "newest_first": False, "oldest_first": True}

_MOST_PATIENTS = 100
"""Records on one page (D2)."""
_CHAT_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
"""What a patient's chat token may look like: nothing is documented, but it has to stand in a URL."""
_log = logging.getLogger(__name__)


class WelkinV2:
    """One instance that speaks v2. ``transport`` and ``tokens`` can be shared with other instances.

    ``prefix`` is what stands before ``/patients``: Welkin's pages on core concepts show ``/v1/{tenant}``.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        page_size: int = 100,
        order: Order = "auto",
        prefix: str = "/{tenant}/{instance}",
        transport: Transport | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self._place = {"tenant": upstream.tenant, "instance": upstream.instance}
        self._habits = Habits(size=page_size, oldest_first=_OLDEST_FIRST[order])
        self._patient = PathTemplate(prefix + "/patients/{patient_id}")
        self._search_habits = Habits(size=page_size, oldest_first=False)
        self._search = PathTemplate(prefix + "/chat/search")
        self._portal_lists = PortalLists(Habits(size=page_size, oldest_first=_OLDEST_FIRST[order]))
        self._portal = PathTemplate(prefix + "/chat/messages")
        self._file = PathTemplate(prefix + "/chat/files/{file_id}")
        self._max_file_bytes = upstream.max_file_bytes
        self._patients = PathTemplate(prefix + "/patients")
        self._messages = PathTemplate(prefix + "/patients/{patient_id}/chat/messages")
        credentials = {"secret": upstream.secret, "apiClient": upstream.client}
        token_request = TokenRequest("/auth/token", orjson.dumps(credentials))
        self._client = Client(upstream, token_request, transport, tokens)

    @property
    def api_version(self) -> ApiVersion:
        """The version spoken."""
        return ApiVersion.V2

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What v2 can do beyond what both can."""
        return frozenset(
            {
                Capability.ATTACHMENTS,
                Capability.PORTAL_TOKENS,
                Capability.READ_RECEIPTS,
                Capability.SEARCH_ALL_PATIENTS,
            }
        )

    @property
    def state(self) -> UpstreamState:
        """How the calls to this instance fare."""
        return self._client.state

    async def probe(self) -> str | None:
        """Tell why the instance cannot be reached, in words that are safe to show; None: it can be."""
        return await self._client.probe()

    async def list_messages(self, patient_id: str, at: PageRef, *, include_archived: bool) -> Page:  # noqa: ARG002 - the port's
        """Read one page of a conversation; see the port."""
        path = self._fill(self._messages, patient_id)

        async def load(at: Numbered) -> Listed:
            query = [("page", str(at.number)), ("size", str(at.size))]
            return await self._client.read(
                "list messages", path, query, lambda answer: read_list(answer, patient_id)
            )

        return await _page(NumberedList("list messages", self._habits, patient_id, load), at)

    async def send_message(self, patient_id: str, body: str, attachment_id: str | None) -> Message:
        """Send a message from the patient to the care team; see the port."""
        path = self._fill(self._messages, patient_id)
        fields = {"body": body} if attachment_id is None else {"body": body, "attachmentId": attachment_id}
        answer = await self._client.send("send message", path, fields)
        try:
            message = translate.read_message(decode(answer.body, "send message"), patient_id)
        except UpstreamBadResponse:
            message = None
        if message is None:
            raise SendUnconfirmed("Welkin took the message, but its answer does not show it (send message).")
        return message

    async def patient(self, patient_id: str) -> PatientRecord:
        """Read a patient's record; see the port."""
        path = self._fill(self._patient, patient_id)
        return await self._client.read(
            "read patient", path, (), lambda answer: translate.read_patient(answer, patient_id)
        )

    async def search_messages(self, query: str, patient_id: str | None, at: PageRef) -> Page:
        """Read one page of hits; see the port. Newest first is assumed of the server (A)."""
        if patient_id is not None:
            check_upstream_id(patient_id, "patientId")
        asked = {"query": query} if patient_id is None else {"query": query, "patientId": patient_id}
        path = self._search.fill(**self._place)

        async def load(at: Numbered) -> Listed:
            fields = {**asked, "page": at.number, "size": at.size}
            return await self._client.search(
                "search messages",
                path,
                fields,
                lambda answer: read_finds(answer, patient_id),
                may_be_empty=at.number == 0,  # no hits at all; a later page was linked to
            )

        return await _page(NumberedList("search messages", self._search_habits, "", load), at)

    async def list_portal_messages(self, token: str, at: PageRef) -> Page:
        """Read one page of the conversation that a chat token opens; see the port.

        The token is a secret that stands in the URL (D2), and nowhere else.
        """
        if _CHAT_TOKEN.fullmatch(token) is None:
            raise Unauthenticated("The chat token opens no conversation.")
        path = self._portal.fill(**self._place)

        async def load(at: Numbered) -> Listed:
            query = [("token", token), ("page", str(at.number)), ("size", str(at.size))]
            return await self._client.read(
                "list messages by chat token",
                path,
                query,
                read_portal,
                asked=Asked.BY_CHAT_TOKEN,
            )

        return await self._portal_lists.page(load, at)

    async def list_patients(self, search: str | None, at: Numbered) -> PatientPage:
        """Read one page of records; see the port, and ``translate.patient_filter`` for the search."""
        if at.oldest_first:
            raise PageRefused("The page is not one of the list of patients.")
        path = self._patients.fill(**self._place)
        size = min(at.size, _MOST_PATIENTS)
        query = [("page", str(at.number)), ("size", str(size))]
        query += [] if search is None else translate.patient_filter(search)
        page, dropped = await self._client.read(
            "list patients",
            path,
            query,
            lambda answer: translate.read_patients(answer, Numbered(at.number, size)),
        )
        if dropped:
            _log.warning("list patients: %d items were no records of their own", dropped)
        return page

    @asynccontextmanager
    async def open_file(self, file_id: str, *, byte_range: str | None = None) -> AsyncGenerator[FileStream]:
        """Open an attachment for reading; see the port."""
        path = self._file.fill(**self._place, file_id=file_id)
        wanted = files.range_header(byte_range)
        opened = await self._client.download(files.OPERATION, path, {"Accept": "*/*", **wanted})
        try:
            yield files.read_file(opened, max_bytes=self._max_file_bytes)
        finally:
            opened.pipe.leave()

    async def aclose(self) -> None:
        """Wait for the calls under way, then close the connections."""
        await self._client.aclose()

    def _fill(self, template: PathTemplate, patient_id: str) -> str:
        return template.fill(**self._place, patient_id=patient_id)


async def _page(messages: NumberedList, at: PageRef) -> Page:
    match at:
        case Newest():
            return await messages.newest()
        case Numbered():
            return await messages.page(at)
        case Linked():
            raise PageRefused("The page was named by another version of Welkin's API.")
