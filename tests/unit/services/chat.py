"""A conversation to send into, behind a fake Welkin."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway.domain.errors import SendUnconfirmed
from gateway.domain.model import Message, Sender, SenderKind
from tests.unit.paging.upstreams import LinkedUpstream, message
from tests.unit.services.fakes import FakeWelkin


class Chat:
    """A conversation into which sends go as the test says: answered, stored, or both, or neither."""

    def __init__(self) -> None:
        self.upstream = LinkedUpstream(100)
        self.upstream.arrive(0)
        self.welkin = FakeWelkin(self.upstream, on_send=self.take)
        self.stores = True
        self.answers = True
        self.failure: Exception = SendUnconfirmed("no answer")
        self.lag = 0.0

    def take(self, body: str) -> Message:
        sent = replace(
            message(len(self.upstream.history), 10, prefix="s"), sender=Sender(SenderKind.PATIENT), body=body
        )
        if self.stores:
            asyncio.get_running_loop().call_later(self.lag, self.upstream.history.append, sent)
        if not self.answers:
            raise self.failure
        return sent

    @property
    def sent(self) -> list[str]:
        return [m.external_id for m in self.upstream.history if m.external_id.startswith("s")]
