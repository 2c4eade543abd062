"""What a run is played on: the processes, the clients, the truth, and the end of it."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2

from benchmarks.ledger.records import Truth
from benchmarks.ledger.scenario import APIS, Api, Scenario
from benchmarks.processes import INSTANCES, Server

TTL_SECONDS = 3.0
"""How stale the gateway is configured to let a read be."""

CALL_SECONDS = 15.0
"""More than the gateway's own deadline, so that no call here has to be cut off."""

NEWEST = "query($id: ID!) { patient(patientId: $id) { messages(first: 1) { edges { cursor } } } }"


@dataclass(slots=True)
class Stage:
    """One run's surroundings."""

    scenario: Scenario
    gateway: Server
    gateway_url: str
    sandbox_url: str
    client: httpx2.AsyncClient
    truth: Truth = field(default_factory=Truth)
    patients: list[str] = field(default_factory=list)
    first_cursors: dict[tuple[Api, str], str] = field(default_factory=dict)
    """The cursor of the newest message there was before the run, and its position below."""
    first_positions: dict[str, int] = field(default_factory=dict)
    listed: dict[str, list[float]] = field(default_factory=dict)
    """By patient: from when on (monotonic) each message is in Welkin's lists."""
    began: float = 0.0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when everybody may stop."""
    news: str = ""
    """What goes wrong just now, for the progress bar."""

    @property
    def host(self) -> str:
        """The gateway's host and port."""
        return self.gateway_url.removeprefix("http://")

    async def control(self, path: str, body: Any) -> Any:
        """Tell the sandbox something."""
        # A connection of its own for each: what is written must be known to be written, once.
        url = f"{self.sandbox_url}/control/{path}"
        answer = await self.client.post(url, json=body, headers={"Connection": "close"})
        return answer.raise_for_status().json()

    async def ask(self, api: Api, query: str, **variables: Any) -> dict[str, Any]:
        """Ask the gateway.

        Raises:
            httpx2.HTTPError: no answer, or one that is none of GraphQL's.
        """
        url = f"{self.gateway_url}/{INSTANCES[api]}/graphql"
        answer = await self.client.post(url, json={"query": query, "variables": variables})
        try:
            return answer.json()
        except ValueError as error:
            raise httpx2.DecodingError(f"status {answer.status_code}") from error

    async def until(self, moment: float) -> None:
        """Wait for a time from the start of the run."""
        await asyncio.sleep(max(0.0, self.began + moment - time.monotonic()))

    def known(self, patient: str, before: float) -> int:
        """Count the messages that a read has to know which was asked for at a time (monotonic)."""
        return sum(moment <= before - TTL_SECONDS for moment in self.listed[patient])


async def furnish(stage: Stage) -> None:
    """Give every patient a history, many messages of it within one second, and note where it ends."""
    chance = random.Random(f"histories {stage.scenario.seed}")
    for _ in range(stage.scenario.patients):
        count = chance.randint(stage.scenario.history_least, stage.scenario.history_most)
        lines = [
            {"text": f"Earlier {n}", "offset": n // 5, "from": chance.choice(("patient", "care_team"))}
            for n in range(count)
        ]
        made = await stage.control("patients", {"messages": lines})
        patient = made["patientId"]
        stage.patients.append(patient)
        stage.first_positions[patient] = count
        stage.listed[patient] = [0.0] * count
        for api in APIS:
            stage.truth.ids[api, patient] = [each[f"{api}Id"] for each in made["messages"]]
            answer = await stage.ask(api, NEWEST, id=patient)
            stage.first_cursors[api, patient] = answer["data"]["patient"]["messages"]["edges"][0]["cursor"]
