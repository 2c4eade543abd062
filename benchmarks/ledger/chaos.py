"""What goes wrong: the gateway is killed and started again, is paused, and Welkin fails for a while."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from benchmarks.ledger.scenario import PlannedBlow, blows
from benchmarks.ledger.stage import Stage

FAILURES: tuple[dict[str, Any], ...] = (
    {"fault": "server_error"},
    {"fault": "bad_gateway"},
    {"fault": "unavailable"},
    {"fault": "gateway_timeout"},
    {"fault": "reset"},
    {"fault": "truncated"},
    {"fault": "rate_limited", "args": {"retry_after": 1}},
    {"fault": "slow", "args": {"seconds": 0.7}},
)


class Chaos:
    """Plays the planned blows."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._chance = random.Random(f"failures {stage.scenario.seed}")
        self.struck: list[dict[str, Any]] = []
        """What was done, when, and for how long the gateway was away."""

    async def strike(self) -> None:
        """Strike each blow at its time; the gateway runs again when this returns."""
        for planned in blows(self._stage.scenario):
            await self._stage.until(planned.at)
            self._stage.news = planned.blow
            began = time.monotonic()
            how = await getattr(self, f"_{planned.blow}")(planned)
            self._stage.news = ""
            self.struck.append(
                {
                    "blow": planned.blow,
                    "at": round(began - self._stage.began, 2),
                    "seconds": round(time.monotonic() - began, 2),
                    **how,
                }
            )

    async def _kill(self, _planned: PlannedBlow) -> dict[str, Any]:
        gateway = self._stage.gateway
        await asyncio.to_thread(gateway.kill)
        await asyncio.to_thread(gateway.start)
        return {}

    async def _pause(self, planned: PlannedBlow) -> dict[str, Any]:
        self._stage.gateway.pause()
        try:
            await asyncio.sleep(planned.seconds)
        finally:
            self._stage.gateway.go_on()
        return {}

    async def _burst(self, planned: PlannedBlow) -> dict[str, Any]:
        rule = self._chance.choice(FAILURES) | {"times": None}
        await self._stage.control("faults", rule)
        try:
            await asyncio.sleep(planned.seconds)
        finally:
            await self._clear()
        return {"fault": rule["fault"]}

    async def _clear(self) -> None:
        url = f"{self._stage.sandbox_url}/control/faults"
        (await self._stage.client.delete(url)).raise_for_status()
