"""Sending a patient's message once, and finding out what became of it where the answer is lost.

A send has one deadline for everything. Its parts are the turn (sends into one conversation go one
after the other, so that what appears can be told apart), the look at what is listed before, the
post, and, where the post had no clear answer within its share, looks at what is listed after.
Once the post has begun, every end but a clear refusal counts as unclear.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict, deque

from gateway.domain import paging
from gateway.domain.connection import Edge
from gateway.domain.errors import GatewayError, Overloaded, SendUnconfirmed, let_go
from gateway.domain.identity import check_upstream_id
from gateway.domain.model import Message, SenderKind
from gateway.domain.paging import Bounds
from gateway.domain.ports import Claim, Reads, SendRecord, Sends, Welkin
from gateway.services.conversations import Conversations
from gateway.services.live import Live
from gateway.services.turns import Turns
from gateway.services.walking import drive

_BASELINE = 200
_BASELINE_SHARE = 0.2
_POST_SHARE = 0.6
_LEAST_SHARE = 0.3
"""Of the time, for a post and a look at what became of it. With less a send does not begin."""

_LOOKS = (0.0, 0.5, 1.0, 2.0)
"""Pauses in seconds before looking for a message whose send had no clear answer."""

_OURS = 50
_CONVERSATIONS = 10_000
_log = logging.getLogger(__name__)


class Sending:
    """Sends of one instance. ``deadline`` in seconds, for all that one send takes."""

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
        self._turns = Turns()
        self._tasks: set[asyncio.Task[SendRecord]] = set()
        self._posts: set[asyncio.Task[Message]] = set()
        self._ours: OrderedDict[str, deque[str]] = OrderedDict()

    async def send(
        self, patient_id: str, body: str, attachment_id: str | None, idempotency_key: str | None
    ) -> Edge:
        """Send a message from the patient to the care team.

        Once begun, a send is brought to its end also if the caller goes away.

        Raises:
            BadInput: Welkin does not take this message, or the key was used for another one.
            Overloaded: too many sends into this conversation wait for their turn.
            SendUnconfirmed: nobody can tell whether the message was sent. It was not sent again.
            GatewayError: nothing was sent.
        """
        check_upstream_id(patient_id, "patientId")
        end = asyncio.get_running_loop().time() + self._deadline
        try:
            async with asyncio.timeout_at(end):
                await self._turns.take(patient_id)
        except TimeoutError as error:
            raise Overloaded("Too many sends into this conversation wait for their turn.") from error
        task = asyncio.create_task(self._send(patient_id, body, attachment_id, idempotency_key, end))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(patient_id, done))
        record = await asyncio.shield(task)
        if record.message is None:
            raise SendUnconfirmed(
                "Welkin gave no clear answer to the send, and the conversation does not show the message "
                "(yet). It was not sent again: read the conversation before you do."
            )
        return self._conversations.edge_of_newest(record.message, record.hints)

    async def aclose(self) -> None:
        """Wait for the sends that are under way; each ends within its deadline."""
        await asyncio.gather(*self._tasks, *self._posts, return_exceptions=True)

    def _done(self, patient_id: str, task: asyncio.Task[SendRecord]) -> None:
        self._tasks.discard(task)
        self._turns.give_back(patient_id)
        if not task.cancelled():
            task.exception()  # looked at, also where the caller has gone

    async def _send(
        self, patient_id: str, body: str, attachment_id: str | None, key: str | None, end: float
    ) -> SendRecord:
        if key is None:
            return await self._post(patient_id, body, attachment_id, None, end)
        fingerprint = hashlib.sha256(repr((patient_id, body, attachment_id)).encode()).hexdigest()
        try:
            async with asyncio.timeout_at(end):
                claim = await self._sends.claim(f"{patient_id}/{key}", fingerprint)
        except TimeoutError as error:
            raise Overloaded("Another send under this idempotencyKey is under way.") from error
        try:
            earlier = claim.earlier
            if earlier is None:
                return await self._post(patient_id, body, attachment_id, claim, end)
            if earlier.message is None:  # still unclear: look again, never send again
                found = await self._find(patient_id, body, earlier, end, None)
                await claim.note(found)
                return found
            return earlier
        finally:
            await claim.release()

    async def _post(
        self, patient_id: str, body: str, attachment_id: str | None, claim: Claim | None, end: float
    ) -> SendRecord:
        loop = asyncio.get_running_loop()
        if end - loop.time() < self._deadline * _LEAST_SHARE:
            raise _no_time_left()
        before = await self._listed(patient_id, end)
        if end - loop.time() < self._deadline * _LEAST_SHARE:
            raise _no_time_left()
        if claim is not None:
            await claim.note(before)  # whatever happens from here on is unclear until it is known
        post = asyncio.create_task(self._welkin.send_message(patient_id, body, attachment_id))
        self._posts.add(post)
        post.add_done_callback(self._posted)
        try:
            record = self._sent(patient_id, before, await self._answer(post, end))
        except SendUnconfirmed:
            _log.warning("a send had no clear answer; looking for it in the conversation")
            self._live.wake(patient_id)
            record = await self._find(patient_id, body, before, end, post)
        except GatewayError:
            self._reads.changed(patient_id)
            if claim is not None:
                await claim.note(None)
            raise
        if claim is not None:
            await claim.note(record)
        return record

    async def _answer(self, post: asyncio.Task[Message], end: float) -> Message:
        """Wait for the answer to a post, which goes on in any case."""
        left = end - asyncio.get_running_loop().time()
        await asyncio.wait([post], timeout=min(self._deadline, left) * _POST_SHARE)
        if not post.done():
            raise SendUnconfirmed("Welkin did not answer in time.")
        return post.result()

    def _posted(self, post: asyncio.Task[Message]) -> None:
        self._posts.discard(post)
        if not post.cancelled():
            post.exception()  # looked at, also where it comes too late

    def _sent(self, patient_id: str, before: SendRecord, message: Message) -> SendRecord:
        self._reads.sent(message)
        self._remember(patient_id, message)
        self._live.wake(patient_id, sent=message.external_id)
        return SendRecord(message, hints=before.hints)

    def _remember(self, patient_id: str, message: Message) -> None:
        """Keep the ids of our own sends: one send's message is never taken for another's."""
        ours = self._ours.setdefault(patient_id, deque(maxlen=_OURS))
        self._ours.move_to_end(patient_id)
        if message.external_id not in ours:
            ours.append(message.external_id)
        if len(self._ours) > _CONVERSATIONS:
            self._ours.popitem(last=False)

    async def _listed(self, patient_id: str, end: float) -> SendRecord:
        """Give what is listed before a send, as the record of a send that is unclear still."""
        source = self._reads.conversation(patient_id)
        try:
            walk = paging.older(_BASELINE, Bounds(), not_before=source.now())
            left = end - asyncio.get_running_loop().time()
            cut = await drive(walk, source, min(self._deadline, left) * _BASELINE_SHARE)
        except GatewayError as error:
            let_go(error)
            return SendRecord(None)
        hints = cut.placed[0].hints if cut.placed else ()
        return SendRecord(None, tuple(placed.message.external_id for placed in cut.placed), hints)

    async def _find(
        self, patient_id: str, body: str, before: SendRecord, end: float, post: asyncio.Task[Message] | None
    ) -> SendRecord:
        """Look for the message until the deadline: the one new message of the patient with this text."""
        loop = asyncio.get_running_loop()
        source = self._reads.conversation(patient_id)
        for pause in _LOOKS:
            if loop.time() + pause >= end:
                break
            await asyncio.sleep(pause)
            if post is not None and post.done() and not post.cancelled() and post.exception() is None:
                return self._sent(patient_id, before, post.result())  # the answer came late
            if before.known is None:
                continue
            try:
                walk = paging.older(_BASELINE, Bounds(), not_before=source.now())
                cut = await drive(walk, source, max(0.0, end - loop.time()))
            except GatewayError as error:
                let_go(error)
                continue
            found = self._candidates(patient_id, body, before.known, cut)
            if found:
                if len(found) > 1:
                    return before
                self._remember(patient_id, found[0])
                return SendRecord(found[0], hints=before.hints)
        return before

    def _candidates(
        self, patient_id: str, body: str, known: tuple[str, ...], cut: paging.Cut
    ) -> list[Message]:
        """Give the messages that can be the one sent: newer than all that was listed before it."""
        taken = set(self._ours.get(patient_id, ()))
        found: list[Message] = []
        for placed in cut.placed:
            message = placed.message
            if message.external_id in known:
                break
            ours = message.sender.kind is SenderKind.PATIENT and message.body.strip() == body.strip()
            if ours and message.external_id not in taken:
                found.append(message)
        return found


def _no_time_left() -> Overloaded:
    return Overloaded("The turn of this send came too late; nothing was sent.")
