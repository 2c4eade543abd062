"""Writes the messages upstream, and carries their webhooks to the gateway as badly as planned.

The webhooks are carried here and not by the sandbox, so that it is known which of them the gateway
took: what it answered 2xx, it has answered for. As with Welkin, none is sent again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import httpx2

from benchmarks.ledger.scenario import APIS, Api, PlannedMessage, messages
from benchmarks.ledger.stage import Stage
from benchmarks.processes import INSTANCES, WEBHOOK_HEADERS


class Writer:
    """Plays the planned messages."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._jobs = asyncio.TaskGroup()
        self._locks = {patient: asyncio.Lock() for patient in stage.patients}
        self.written = 0
        self.webhooks: Counter[str] = Counter()
        """By status, or by the error where the gateway did not answer."""

    async def write(self) -> None:
        """Write all messages, each at its time, and wait for the last webhook."""
        async with self._jobs:
            for planned in messages(self._stage.scenario):
                await self._stage.until(planned.at)
                self.webhooks["dropped"] += planned.dropped
                self.webhooks["doubled"] += planned.doubled
                self._jobs.create_task(self._write(planned))

    async def _write(self, planned: PlannedMessage) -> None:
        stage, patient = self._stage, self._stage.patients[planned.patient]
        body = {
            "patientId": patient,
            "text": f"Message {planned.number}",
            "from": planned.by,
            "webhook": {"send": False, "early": planned.hidden},
        }
        async with self._locks[patient]:
            stored = await stage.control("messages", body)
            for api in APIS:
                stage.truth.ids[api, patient].append(stored[f"{api}Id"])
            # A message waits in the lists for those before it.
            listed = stage.listed[patient]
            listed.append(max(listed[-1], time.monotonic() + planned.hidden))
        self.written += 1
        for webhook in planned.webhooks:
            position = stored["position"]
            self._jobs.create_task(self._carry(webhook.api, webhook.delay, patient, position, body["text"]))

    async def _carry(self, api: Api, delay: float, patient: str, position: int, text: str) -> None:
        await asyncio.sleep(delay)
        tenant, instance = INSTANCES[api].split("/")
        body = {"patientId": patient, "tenantName": tenant, "instanceName": instance, "message": text}
        url = f"{self._stage.gateway_url}/{INSTANCES[api]}/webhooks/chat"
        try:
            answer = await self._stage.client.post(url, json=body, headers=WEBHOOK_HEADERS)
        except httpx2.HTTPError as error:
            self.webhooks[type(error).__name__] += 1
            return
        self.webhooks[str(answer.status_code)] += 1
        if answer.is_success:
            self._stage.truth.acknowledged.setdefault((api, patient, position), time.monotonic())
