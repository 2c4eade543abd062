"""The audit trail: one JSON line for everything that was done with patients' data, or refused.

A line tells who, what, where, when and with what outcome. It never holds a text, a name, a token, what was
searched for, or an id of a patient or file in clear: these stand as a keyed hash, the same for the same
id, which whoever has the key can compute to look a patient up.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from gateway.access.audit_writer import AuditWriter, Line
from gateway.domain.access import Principal
from gateway.domain.errors import Overloaded
from gateway.domain.model import InstanceName

OK = "ok"
DENIED = "denied"
CANCELLED = "cancelled"

NOBODY = "nobody"
"""Who: a caller that proved nothing."""

GATEWAY = "gateway"
"""Who: the gateway itself, which tells of lines that were lost."""

WELKIN = "welkin"
"""Who: the sender of webhooks."""

REFUSALS_PER_SECOND = 50
"""Lines a second about who was not believed; a flood of wrong credentials must not fill the disk."""

_MIN_KEY_BYTES = 16
_HASH_DIGITS = 32
_MAX_REQUEST_ID = 128


class Action(Enum):
    """What was done."""

    MESSAGES = "read.messages"
    AROUND = "read.around"
    PATIENT = "read.patient"
    PATIENTS = "read.patients"
    PORTAL = "read.portal"
    SEARCH = "search"
    SEND = "send"
    FILE = "file"
    SUBSCRIBE = "subscribe"
    EVENT = "event"
    UNSUBSCRIBE = "unsubscribe"
    WEBHOOK = "webhook"
    LOGIN = "login"
    LOST = "audit.lost"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was done. ``count`` is how many messages (or records) were shown."""

    who: str
    action: Action
    outcome: str
    instance: InstanceName | None = None
    patient_id: str | None = field(default=None, repr=False)
    file_id: str | None = field(default=None, repr=False)
    request_id: str | None = None
    count: int = 0
    shown: tuple[str, ...] = field(default=(), repr=False)
    """The patients of whom something was shown, where no one patient was asked for."""


class Audit:
    """The trail of one process. ``sink`` is a path, "-" for standard output, or "" for no trail at all.

    ``strict``: what cannot be written down is not shown. Otherwise it is shown, and ``failures`` grows.
    ``key`` hashes ids, except for the instances that have a key of their own in ``keys``.
    ``clock`` gives Unix seconds; times in the trail never go back even where it does.

    Raises:
        ValueError: a key is too short to protect ids, which can be guessed.
    """

    def __init__(
        self,
        sink: str,
        *,
        key: bytes,
        keys: Mapping[InstanceName, bytes] | None = None,
        strict: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = dict(keys or {})
        if min(map(len, (key, *self._keys.values()))) < _MIN_KEY_BYTES:
            raise ValueError(f"The audit key must have at least {_MIN_KEY_BYTES} bytes.")
        self._key = key
        self._strict = strict
        self._clock = clock
        self._now = 0.0
        self._run = secrets.token_hex(8)
        self._refusals = _Refusals()
        self._writer = AuditWriter(sink, self._missing) if sink else None

    @property
    def is_kept(self) -> bool:
        """Whether anything is written down at all."""
        return self._writer is not None

    @property
    def failures(self) -> int:
        """How many lines were lost so far."""
        return 0 if self._writer is None else self._writer.failures

    @property
    def failing(self) -> bool:
        """Whether lines are being lost now."""
        return self._writer is not None and self._writer.failing

    def check(self) -> None:
        """Refuse to begin what cannot be taken back, where it may not be written down afterwards.

        Raises:
            Overloaded: the trail is strict, and its sink fails.
        """
        if self._strict and self.failing:
            raise _unwritable()

    async def record(self, entry: Entry) -> None:
        """Write down what is about to be shown.

        Raises:
            Overloaded: the trail is strict, and the line could not be written.
        """
        if self._writer is None:
            return
        if not self._strict:
            self.note(entry)
        elif not await self._writer.write(self._render(entry)):
            raise _unwritable()

    def note(self, entry: Entry) -> None:
        """Write down what shows nobody anything. Returns at once and never fails; a loss is counted."""
        if self._writer is not None:
            self._writer.put(self._render(entry))

    def webhook(self, instance: InstanceName, patient_id: str | None, outcome: str) -> None:
        """Write down a webhook; ``outcome`` is "ok", "denied" or an error code."""
        entry = Entry(WELKIN, Action.WEBHOOK, outcome, instance, patient_id)
        if outcome == OK:
            self.note(entry)
        else:
            self._note_refusal(entry)

    def refused(self, instance: InstanceName | None, request_id: str) -> None:
        """Write down a caller who had no valid credentials."""
        self._note_refusal(Entry(NOBODY, Action.LOGIN, DENIED, instance, request_id=request_id))

    def _note_refusal(self, entry: Entry) -> None:
        """Write down what anybody can cause. In a flood, ``count`` tells how many went before unwritten."""
        unwritten = self._refusals.take(time.monotonic())
        if unwritten is not None:
            self.note(replace(entry, count=unwritten))

    async def aclose(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            await self._writer.aclose()

    def hashed(self, kind: str, instance: InstanceName | None, value: str) -> str:
        """Give the keyed hash that stands for an id; ``kind`` is "patient" or "file"."""
        text = json.dumps([kind, str(instance or ""), value])
        key = self._key if instance is None else self._keys.get(instance, self._key)
        return hmac.digest(key, text.encode(), "sha256").hex()[:_HASH_DIGITS]

    def name_of(self, principal: Principal, instance: InstanceName) -> str:
        """Give the id of a caller; that of a patient who reads what is their own is hashed."""
        if principal.patients is not None and principal.id in principal.patients:
            return f"patient:{self.hashed('patient', instance, principal.id)}"
        return principal.id

    def _render(self, entry: Entry) -> Line:
        self._now = max(self._now, self._clock())
        now, fields = self._now, self._fields(entry)
        return Line(now, lambda number: _line(number, self._run, now, fields))

    def _fields(self, entry: Entry) -> dict[str, Any]:
        patient = entry.patient_id and self.hashed("patient", entry.instance, entry.patient_id)
        fields: dict[str, Any] = {
            "who": entry.who,
            "action": entry.action.value,
            "instance": None if entry.instance is None else str(entry.instance),
            "patient": patient or None,
            "outcome": entry.outcome,
            "request_id": entry.request_id and entry.request_id[:_MAX_REQUEST_ID],
            "count": entry.count,
        }
        if entry.file_id is not None:
            fields["file"] = self.hashed("file", entry.instance, entry.file_id)
        if entry.shown:
            shown = dict.fromkeys(entry.shown)  # each once, in the order in which they were shown
            fields["patients"] = [self.hashed("patient", entry.instance, each) for each in shown]
        return fields

    def _missing(self, number: int, lost: int, now: float) -> bytes:
        entry = Entry(GATEWAY, Action.LOST, Overloaded.code, count=lost)
        return _line(number, self._run, now, self._fields(entry))


class _Refusals:
    """How many lines about refusals are written: so many in each second."""

    def __init__(self) -> None:
        self._second = 0
        self._written = 0
        self._unwritten = 0

    def take(self, now: float) -> int | None:
        """Give how many were left out since the last line; None where one more is left out."""
        if int(now) != self._second:
            self._second, self._written = int(now), 0
        if self._written >= REFUSALS_PER_SECOND:
            self._unwritten += 1
            return None
        self._written += 1
        unwritten, self._unwritten = self._unwritten, 0
        return unwritten


def _line(number: int, run: str, now: float, fields: dict[str, Any]) -> bytes:
    # ASCII only: control characters, line separators and lone surrogates are escaped.
    values = {"seq": number, "run": run, "time": _instant(now)} | fields
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _instant(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _unwritable() -> Overloaded:
    return Overloaded("The audit trail cannot be written.")
