"""Finding a message whose send had no clear answer: what is listed before it, and what is new after it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from gateway.domain import paging
from gateway.domain.errors import GatewayError, let_go
from gateway.domain.model import Message, SenderKind
from gateway.domain.paging import Bounds
from gateway.domain.ports import Reads, SendRecord
from gateway.services.walking import drive

_BASELINE = 200
_OURS = 50
_CONVERSATIONS = 10_000


class SentMessages:
    """Looks into the conversations of one instance, and knows which messages its own sends became."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._ours: OrderedDict[str, deque[str]] = OrderedDict()

    def remember(self, patient_id: str, message: Message) -> None:
        """Keep the ids of our own sends: one send's message is never taken for another's."""
        ours = self._ours.setdefault(patient_id, deque(maxlen=_OURS))
        self._ours.move_to_end(patient_id)
        if message.external_id not in ours:
            ours.append(message.external_id)
        if len(self._ours) > _CONVERSATIONS:
            self._ours.popitem(last=False)

    async def listed(self, patient_id: str, seconds: float) -> SendRecord:
        """Give what is listed before a send, as the record of a send that is unclear still."""
        try:
            cut = await self._read(patient_id, seconds)
        except GatewayError as error:
            let_go(error)
            return SendRecord(None)
        hints = cut.placed[0].hints if cut.placed else ()
        return SendRecord(None, tuple(placed.message.external_id for placed in cut.placed), hints)

    async def look(self, patient_id: str, body: str, before: SendRecord, end: float) -> list[Message]:
        """Give the messages that can be the one sent: newer than all that was listed before it."""
        if before.known is None:
            return []
        try:
            cut = await self._read(patient_id, max(0.0, end - asyncio.get_running_loop().time()))
        except GatewayError as error:
            let_go(error)
            return []
        taken = set(self._ours.get(patient_id, ()))
        found: list[Message] = []
        for placed in cut.placed:
            message = placed.message
            if message.external_id in before.known:
                break
            ours = message.sender.kind is SenderKind.PATIENT and message.body.strip() == body.strip()
            if ours and message.external_id not in taken:
                found.append(message)
        return found

    async def _read(self, patient_id: str, seconds: float) -> paging.Cut:
        source = self._reads.conversation(patient_id)
        return await drive(paging.older(_BASELINE, Bounds(), not_before=source.now()), source, seconds)
