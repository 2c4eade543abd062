"""Sending a patient's message once, and finding out what became of it where the answer is lost.

A send has one deadline for everything, that of its operation if that is earlier. Its parts are the turn
(sends into one conversation go one after the other, so that what appears can be told apart), the look at
what is listed before, the post, and, where the post had no clear answer within its share, looks at what
is listed after. The post may go on meanwhile, until just before the deadline, and its answer counts
whenever it comes. Once the post has begun, every end but a clear refusal counts as unclear.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging

from gateway.domain.connection import Edge
from gateway.domain.deadline import at, left_of, within
from gateway.domain.errors import GatewayError, Overloaded, SendUnconfirmed
from gateway.domain.identity import check_upstream_id
from gateway.domain.model import Message
from gateway.domain.ports import Claim, Reads, SendRecord, Sends, Welkin
from gateway.services.conversations import Conversations
from gateway.services.live import Live
from gateway.services.sent_messages import SentMessages
from gateway.services.turns import Turns

_BASELINE_SHARE = 0.2
_POST_SHARE = 0.6
_LEAST_SHARE = 0.3
"""Of the time, for a post and a look at what became of it. With less a send does not begin."""

_LAST_SHARE = 0.02
"""Of the time, left when a post is given up, so that its caller hears of it in time."""

_LAST_LOOK_SHARE = 0.05
"""Of the time, for a look after a post that ended late. With less it is not worth a call."""

_LOOKS = (0.0, 0.5, 1.0, 2.0)
"""Pauses in seconds before looking for a message whose send had no clear answer."""

_log = logging.getLogger(__name__)


class Sending:
    """Sends of one instance. ``deadline`` in seconds, for all that the sends of one operation take."""

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
        self._sent_messages = SentMessages(reads)

    async def send(
        self, patient_id: str, body: str, attachment_id: str | None, idempotency_key: str | None
    ) -> Edge:
        """Send a message from the patient to the care team.

        Once begun, a send is brought to its end also if the caller goes away.

        Raises:
            BadInput: Welkin does not take this message, or the key was used for another one.
            Overloaded: too many sends into this conversation wait for their turn, or are unclear, or the
                operation has too little time left.
            SendUnconfirmed: nobody can tell whether the message was sent. It was not sent again.
            GatewayError: nothing was sent.
        """
        check_upstream_id(patient_id, "patientId")
        end = at(left_of(self._deadline))
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
            raise Overloaded(
                "Another send under this idempotencyKey is under way, or too little time was left to ask."
            ) from error
        try:
            earlier = claim.earlier
            if earlier is None:
                return await self._post(patient_id, body, attachment_id, claim, end)
            if earlier.message is None:  # still unclear: look again, never send again
                found = await self._find(patient_id, body, earlier, end, None)
                if found.message is not None:
                    await claim.note(found)
                return found
            return earlier
        finally:
            await claim.release()

    async def _post(
        self, patient_id: str, body: str, attachment_id: str | None, claim: Claim | None, end: float
    ) -> SendRecord:
        loop = asyncio.get_running_loop()
        left = end - loop.time()
        if left < self._deadline * _LEAST_SHARE:
            raise _no_time_left()
        before = await self._sent_messages.listed(patient_id, left * _BASELINE_SHARE)
        if end - loop.time() < self._deadline * _LEAST_SHARE:
            raise _no_time_left()
        if claim is not None:
            await claim.note(before)  # whatever happens from here on is unclear until it is known
        post = self._begin(patient_id, body, attachment_id, end)
        try:
            record = await self._outcome(patient_id, body, before, end, post)
        except GatewayError:  # a clear refusal
            self._reads.changed(patient_id)
            if claim is not None:
                await claim.note(None)
            raise
        if record.message is None:
            self._reads.changed(patient_id)  # it may have been stored after what was read since the wake
        elif claim is not None:
            await claim.note(record)
        return record

    def _begin(
        self, patient_id: str, body: str, attachment_id: str | None, end: float
    ) -> asyncio.Task[Message]:
        """Begin the post, which goes on in any case but not beyond the send's own deadline."""
        left = end - asyncio.get_running_loop().time()
        with within(left - self._deadline * _LAST_SHARE):
            post = asyncio.create_task(self._welkin.send_message(patient_id, body, attachment_id))
        self._posts.add(post)
        post.add_done_callback(self._posted)
        return post

    async def _outcome(
        self, patient_id: str, body: str, before: SendRecord, end: float, post: asyncio.Task[Message]
    ) -> SendRecord:
        """Wait for the answer to a post; look for the message where there is none in time.

        Raises:
            GatewayError: nothing was sent.
        """
        now = asyncio.get_running_loop().time()
        message = await _answer(post, now + (end - now) * _POST_SHARE)
        if message is not None:
            return self._sent(patient_id, before, message)
        _log.warning("a send had no clear answer; looking for it in the conversation")
        self._live.wake(patient_id)
        return await self._find(patient_id, body, before, end, post)

    def _posted(self, post: asyncio.Task[Message]) -> None:
        self._posts.discard(post)
        if not post.cancelled():
            post.exception()  # looked at, also where it comes too late

    def _sent(self, patient_id: str, before: SendRecord, message: Message) -> SendRecord:
        self._reads.sent(message)
        return self._known(patient_id, before, message)

    def _known(self, patient_id: str, before: SendRecord, message: Message) -> SendRecord:
        """Tell everyone of a message that is known by now to be the one sent."""
        self._sent_messages.remember(patient_id, message)
        self._live.wake(patient_id, sent=message.external_id)
        return SendRecord(message, hints=before.hints)

    async def _find(
        self, patient_id: str, body: str, before: SendRecord, end: float, post: asyncio.Task[Message] | None
    ) -> SendRecord:
        """Look for the message, the one new message of the patient with this text, and wait for the post.

        Raises:
            GatewayError: the post was refused after all.
        """
        loop = asyncio.get_running_loop()
        looked = post is None  # since the post ended
        for pause in _LOOKS if before.known is not None else ():
            until = loop.time() + pause
            if until >= end:
                break
            if post is not None and (message := await _answer(post, until)) is not None:
                return self._sent(patient_id, before, message)
            await asyncio.sleep(until - loop.time())
            looked = post is None or post.done()
            found = await self._sent_messages.look(patient_id, body, before, end)
            if len(found) == 1:
                return self._known(patient_id, before, found[0])
            if found:
                break
        if post is not None and (message := await _answer(post, end)) is not None:
            return self._sent(patient_id, before, message)
        if not looked and end - loop.time() >= self._deadline * _LAST_LOOK_SHARE:
            found = await self._sent_messages.look(patient_id, body, before, end)
            if len(found) == 1:
                return self._known(patient_id, before, found[0])
        return before


async def _answer(post: asyncio.Task[Message], until: float) -> Message | None:
    """Wait for the answer to a post, which goes on in any case; None: there is no clear one (yet).

    Raises:
        GatewayError: nothing was sent.
    """
    await asyncio.wait([post], timeout=max(0.0, until - asyncio.get_running_loop().time()))
    if not post.done() or post.cancelled() or isinstance(post.exception(), SendUnconfirmed):
        return None
    return post.result()


def _no_time_left() -> Overloaded:
    return Overloaded("Too little time was left for this send; nothing was sent.")
