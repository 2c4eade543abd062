"""The chat webhook: a message of the care team makes Welkin post five fields to the configured URL (D1).

No id, no time, no sender, no signature. Nothing is sent again after a failure: a retry policy is
not documented for this webhook.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import httpx2

from gateway.sandbox.config import WebhookTarget

TIMEOUT_SECONDS = 10.0
"""How long a receiver may take to answer (A)."""


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """How the webhook of one message behaves.

    ``early`` sends it that many seconds before lists show the message, ``delay`` that many seconds
    late; ``duplicate`` is how many more times it comes.
    """

    send: bool = True
    drop: bool = False
    duplicate: int = 0
    delay: float = 0.0
    early: float = 0.0
    patient_url: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one post: the receiver's status, or None where it could not be reached."""

    url: str
    status: int | None


class Webhooks:
    """Sends webhooks on the server's own event loop, so that no caller has to wait for them."""

    def __init__(self, targets: tuple[WebhookTarget, ...]) -> None:
        self.targets = targets
        self.deliveries: list[Delivery] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._context: ssl.SSLContext | None = None

    def start(self) -> None:
        """Take the running loop for the deliveries to come."""
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Drop what has not been delivered yet."""
        self._loop = None
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def fire(self, patient_id: str, text: str, options: WebhookOptions, *, wait: bool) -> None:
        """Send the webhook of a message to every target; ``wait`` for the receivers' answers if asked."""
        if not options.send or options.drop:
            return
        jobs = [
            self._deliver(target, _body(target, patient_id, text, patient_url=options.patient_url), options)
            for target in self.targets
        ]
        waiting = [self._start(job) for job in jobs]
        if wait:
            await asyncio.gather(*(asyncio.wrap_future(future) for future in waiting))

    def _start(self, job: Coroutine[Any, Any, None]) -> Future[None]:
        done: Future[None] = Future()
        loop = self._loop or asyncio.get_running_loop()

        def begin() -> None:
            task = loop.create_task(job)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _task: done.set_result(None))

        loop.call_soon_threadsafe(begin)
        return done

    async def _deliver(self, target: WebhookTarget, body: dict[str, str], options: WebhookOptions) -> None:
        await asyncio.sleep(options.delay)
        headers = {"X-WEBHOOK-API-KEY": target.key, "X-WEBHOOK-API-SECRET": target.secret}
        self._context = self._context or ssl.create_default_context()
        async with httpx2.AsyncClient(
            verify=self._context, timeout=TIMEOUT_SECONDS, trust_env=False
        ) as client:
            for _ in range(1 + options.duplicate):
                try:
                    status = (await client.post(target.url, json=body, headers=headers)).status_code
                except httpx2.HTTPError:
                    status = None
                self.deliveries.append(Delivery(target.url, status))


def _body(target: WebhookTarget, patient_id: str, text: str, *, patient_url: bool) -> dict[str, str]:
    place = f"{target.tenant}/{target.instance}/patients/{patient_id}"
    fields = {
        "patientId": patient_id,
        "patientUrl": f"https://sandbox.invalid/{place}",
        "tenantName": target.tenant,
        "instanceName": target.instance,
        "message": text,
    }
    if not patient_url:
        del fields["patientUrl"]
    return fields
