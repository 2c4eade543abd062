"""The running sandbox: everything that both versions, the control endpoints and tests work on."""

from __future__ import annotations

import dataclasses
import random
from datetime import datetime
from typing import Any

from gateway.sandbox import knobs as knob_rules
from gateway.sandbox.answers import Refused
from gateway.sandbox.clock import Clock, to_ms
from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.conversations import fill
from gateway.sandbox.credentials import Api, Credentials
from gateway.sandbox.faults import Faults
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.records import Author, AuthorKind, StoredFile, StoredMessage
from gateway.sandbox.requests_log import RequestLog
from gateway.sandbox.store import AUTOMATION, CARE_TEAM, Store
from gateway.sandbox.webhook import WebhookOptions, Webhooks

PLAIN_WEBHOOK = WebhookOptions()
"""One webhook, at once."""


class Sandbox:
    """One store with its knobs, faults, credentials, webhooks and log of requests."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.faults = Faults()
        self.requests = RequestLog()
        self.webhooks = Webhooks(config.webhooks)
        self.clock = Clock(config.clock)
        self.credentials = Credentials(config, self.clock)
        self._start()

    def _start(self) -> None:
        self.knobs: Knobs = self.config.knobs
        self.randomness = random.Random(self.config.seed)
        self.store = Store(self.config.seed, self.clock)
        if self.config.conversations:
            fill(self.store, self.config.seed)

    def reset(self) -> None:
        """Go back to how the sandbox was started. Tokens that were issued before stay good."""
        self.clock.reset()
        self.credentials.reset()
        self.faults.clear()
        self.requests.clear()
        self.webhooks.targets = self.config.webhooks
        self.webhooks.deliveries.clear()
        self._start()

    def turn(self, **changes: Any) -> Knobs:
        """Change some knobs by name and give all of them.

        Raises:
            UnknownKnob: a name or a value does not exist.
        """
        self.knobs = knob_rules.turn(self.knobs, changes)
        return self.knobs

    async def say(
        self,
        patient_id: str,
        text: str,
        *,
        by: AuthorKind = "care_team",
        at: datetime | None = None,
        archived: bool = False,
        files: tuple[StoredFile, ...] = (),
        webhook: WebhookOptions = PLAIN_WEBHOOK,
        wait: bool = False,
    ) -> StoredMessage:
        """Put a message into a conversation; one of the care team fires the webhook (D1).

        ``at`` is an aware datetime in place of now. With ``wait`` the webhook's receivers have
        answered when this returns.

        Raises:
            KeyError: there is no such patient.
        """
        author = author_of(by, patient_id)
        at_ms = None if at is None else to_ms(at)
        stored = self.record(
            patient_id, author, text, at_ms=at_ms, archived=archived, files=files, early=webhook.early
        )
        if by == "care_team":
            shown = dataclasses.replace(
                webhook, patient_url=webhook.patient_url and self.knobs.webhook_patient_url
            )
            await self.webhooks.fire(patient_id, text, shown, wait=wait)
        return stored

    def record(
        self,
        patient_id: str,
        author: Author,
        text: str,
        *,
        at_ms: int | None = None,
        archived: bool = False,
        files: tuple[StoredFile, ...] = (),
        early: float = 0.0,
    ) -> StoredMessage:
        """Store a message without a webhook; lists show it after the lag that the knobs set, or ``early``."""
        hidden = max(self.knobs.list_lag_seconds, early)
        return self.store.add_message(
            patient_id,
            author,
            text,
            at_ms=at_ms,
            hidden_ms=round(hidden * 1000),
            archived=archived,
            files=files,
        )

    def check_token_rate(self, api: Api, client: str, status: int) -> None:
        """Count a token request.

        Raises:
            Refused: the client asked too often and is blocked for 5 minutes (D2).
        """
        if self.credentials.blocked_for(api, client) > 0:
            raise Refused(status, "TOO_MANY_TOKEN_REQUESTS", "AUTH")


def author_of(kind: AuthorKind, patient_id: str) -> Author:
    """Give the one who writes as a kind: the patient, the first of the care team, or an automation."""
    match kind:
        case "patient":
            return Author("patient", patient_id)
        case "care_team":
            return CARE_TEAM[0]
        case "system":
            return AUTOMATION
