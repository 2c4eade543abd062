"""Welkin's second chat API behind the port.

Pages are numbered. Whether from the newest or the oldest message, how large they may be, and in what
envelope they come is not documented; ``habits`` learns it, ``numbering`` decides with it.
v2 knows no archiving, so ``include_archived`` changes nothing.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Literal, NoReturn

import orjson

from gateway.domain.errors import PageRefused, SendUnconfirmed, Unsupported, UpstreamBadResponse
from gateway.domain.model import ApiVersion, Capability, Message, PatientRecord
from gateway.domain.pages import Linked, Newest, Numbered, Page, PageRef
from gateway.domain.ports import FileStream
from gateway.welkin.client import Client, TokenRequest
from gateway.welkin.fields import decode
from gateway.welkin.paths import PathTemplate
from gateway.welkin.tokens import Tokens
from gateway.welkin.transport import Transport
from gateway.welkin.upstream import Upstream
from gateway.welkin.v2 import translate
from gateway.welkin.v2.conversation import Conversation
from gateway.welkin.v2.habits import Habits

Order = Literal["auto", "newest_first", "oldest_first"]
_OLDEST_FIRST: dict[Order, bool | None] = {"auto": None, "newest_first": False, "oldest_first": True}


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

    async def list_messages(self, patient_id: str, at: PageRef, *, include_archived: bool) -> Page:  # noqa: ARG002 - the port's
        """Read one page of a conversation; see the port."""
        conversation = Conversation(
            self._client, self._habits, patient_id, self._fill(self._messages, patient_id)
        )
        match at:
            case Newest():
                return await conversation.newest()
            case Numbered():
                return await conversation.page(at)
            case Linked():
                raise PageRefused("The page was named by another version of Welkin's API.")

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

    async def search_messages(self, query: str, patient_id: str | None, at: PageRef) -> NoReturn:  # noqa: ARG002 - the port's
        """Refuse: a search is not served."""
        raise Unsupported("Search is not served by this gateway yet.")

    async def list_portal_messages(self, token: str, at: PageRef) -> NoReturn:  # noqa: ARG002 - the port's
        """Refuse: patient chat tokens are not served."""
        raise Unsupported("Patient chat tokens are not served by this gateway yet.")

    def open_file(self, file_id: str) -> AbstractAsyncContextManager[FileStream]:  # noqa: ARG002 - the port's
        """Refuse: files are not served."""
        raise Unsupported("Files in chats are not served by this gateway yet.")

    async def aclose(self) -> None:
        """Wait for the calls under way, then close the connections."""
        await self._client.aclose()

    def _fill(self, template: PathTemplate, patient_id: str) -> str:
        return template.fill(**self._place, patient_id=patient_id)
