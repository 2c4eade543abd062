"""Sending a patient's message once, and finding out what became of it where the answer is lost."""

from __future__ import annotations

import asyncio
import hashlib
import logging

from gateway.domain import paging
from gateway.domain.connection import Edge
from gateway.domain.errors import GatewayError, SendUnconfirmed
from gateway.domain.identity import check_upstream_id
from gateway.domain.model import Message, SenderKind
from gateway.domain.paging import Bounds
from gateway.domain.ports import Claim, Reads, SendRecord, Sends, Welkin
from gateway.services.conversations import Conversations
from gateway.services.live import Live
from gateway.services.walking import drive

_BASELINE = 200
_LOOKS = (0.0, 0.5, 1.0, 2.0)
"""Pauses in seconds before looking for a message whose send had no clear answer."""

_log = logging.getLogger(__name__)


class Sending:
    """Sends of one instance.

    Sends into one conversation go one after the other, so that what appears can be told apart.
    """

    def __init__(
        self,
        welkin: Welkin,
        reads: Reads,
        sends: Sends,
        conversations: Conversations,
        live: Live,
        *,
        deadline: float,
    ) -> None:
        self._welkin = welkin
        self._reads = reads
        self._sends = sends
        self._conversations = conversations
        self._live = live
        self._deadline = deadline
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    async def send(
        self, patient_id: str, body: str, attachment_id: str | None, idempotency_key: str | None
    ) -> Edge:
        """Send a message from the patient to the care team.

        Once begun, a send is brought to its end also if the caller goes away.

        Raises:
            BadInput: Welkin does not take this message, or the key was used for another one.
            SendUnconfirmed: nobody can tell whether the message was sent. It was not sent again.
            GatewayError: nothing was sent.
        """
        check_upstream_id(patient_id, "patientId")
        task = asyncio.create_task(self._send(patient_id, body, attachment_id, idempotency_key))
        message = await asyncio.shield(task)
        return self._conversations.edge_of_newest(message)

    async def _send(self, patient_id: str, body: str, attachment_id: str | None, key: str | None) -> Message:
        if key is None:
            return await self._send_once(patient_id, body, attachment_id, None)
        fingerprint = hashlib.sha256(repr((patient_id, body, attachment_id)).encode()).hexdigest()
        claim = await self._sends.claim(f"{patient_id}/{key}", fingerprint)
        return await self._send_once(patient_id, body, attachment_id, claim)

    async def _send_once(
        self, patient_id: str, body: str, attachment_id: str | None, claim: Claim | None
    ) -> Message:
        earlier = None if claim is None else claim.earlier
        try:
            record = await self._bring_about(patient_id, body, attachment_id, earlier)
        except BaseException:
            if claim is not None:
                await claim.release()
            raise
        if claim is not None:
            await claim.settle(record)
        if record.message is None:
            raise SendUnconfirmed(
                "Welkin gave no clear answer to the send, and the conversation does not show the message "
                "(yet). It was not sent again: read the conversation before you do."
            )
        return record.message

    async def _bring_about(
        self, patient_id: str, body: str, attachment_id: str | None, earlier: SendRecord | None
    ) -> SendRecord:
        if earlier is None:
            return await self._post(patient_id, body, attachment_id)
        if earlier.message is None:  # still unclear: look again, never send again
            found = await self._find(patient_id, body, earlier.known_before)
            return SendRecord(found, earlier.known_before)
        return earlier

    async def _post(self, patient_id: str, body: str, attachment_id: str | None) -> SendRecord:
        async with self._turn(patient_id):
            known = await self._listed(patient_id)
            try:
                message = await self._welkin.send_message(patient_id, body, attachment_id)
            except SendUnconfirmed:
                _log.warning("a send had no clear answer; looking for it in the conversation")
                self._live.wake(patient_id)
                return SendRecord(await self._find(patient_id, body, known), known)
            except GatewayError:
                self._reads.changed(patient_id)
                raise
            self._reads.sent(message)
            self._live.wake(patient_id, sent=message.external_id)
            return SendRecord(message)

    def _turn(self, patient_id: str) -> _Turn:
        return _Turn(self._turns, patient_id)

    async def _listed(self, patient_id: str) -> frozenset[str] | None:
        """Give the ids of the newest messages before a send; None if they cannot be read now."""
        try:
            source = self._reads.conversation(patient_id)
            walk = paging.older(_BASELINE, Bounds(), not_before=source.now())
            cut = await drive(walk, source, self._deadline / 2)
        except GatewayError:
            return None
        return frozenset(placed.message.external_id for placed in cut.placed)

    async def _find(self, patient_id: str, body: str, known: frozenset[str] | None) -> Message | None:
        """Look for the message: the one and only new one from the patient with this text."""
        if known is None:
            return None
        source = self._reads.conversation(patient_id)
        for pause in _LOOKS:
            await asyncio.sleep(pause)
            try:
                walk = paging.older(_BASELINE, Bounds(), not_before=source.now())
                cut = await drive(walk, source, self._deadline)
            except GatewayError:
                continue
            found = [
                placed.message
                for placed in cut.placed
                if placed.message.external_id not in known
                and placed.message.sender.kind is SenderKind.PATIENT
                and placed.message.body.strip() == body.strip()
            ]
            if found:
                return found[0] if len(found) == 1 else None
        return None


class _Turn:
    """The right to send into a conversation; forgotten when nobody waits for it."""

    def __init__(self, turns: dict[str, tuple[asyncio.Lock, int]], patient_id: str) -> None:
        self._turns = turns
        self._patient_id = patient_id

    async def __aenter__(self) -> None:
        lock, waiting = self._turns.get(self._patient_id, (asyncio.Lock(), 0))
        self._turns[self._patient_id] = (lock, waiting + 1)
        await lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        lock, waiting = self._turns.pop(self._patient_id)
        lock.release()
        if waiting > 1:
            self._turns[self._patient_id] = (lock, waiting - 1)
