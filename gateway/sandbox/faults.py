"""Faults on demand: rules that are looked through in the order in which they were added.

A rule lets its first ``after`` matching requests pass, strikes the next ``times`` (for ever where
that is None) and is gone. At most one rule strikes a request.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

Operation = Literal["token", "list", "send", "search", "patient", "patients", "portal", "file", "any"]
ApiChoice = Literal["v1", "v2", "any"]
Value: TypeAlias = str | int | float

InsteadFault = Literal[
    "bad_gateway",
    "bad_request",
    "body",
    "forbidden",
    "gateway_timeout",
    "gone",
    "gzip_bomb",
    "hang",
    "html",
    "huge_body",
    "no_content",
    "not_found",
    "rate_limited",
    "redirect",
    "reset",
    "server_error",
    "unauthorized",
    "unavailable",
    "wrong_json",
]
"""Answered in place of the operation, which does not run."""

StoredFault = Literal["stored_error", "stored_hang", "stored_reset"]
"""The operation runs and its answer is lost: a message is sent although its sender is not told."""

WireFault = Literal["slow", "drip", "truncated", "cut", "reset_mid_body"]
"""The right answer, badly delivered."""

PageFault = Literal["empty_page", "token_loop", "newer_loop", "stale_list", "duplicate_items"]
"""A page of a list or a search that holds the wrong messages or leads to the wrong place."""

ItemFault = Literal["extra_fields", "missing_fields", "null_item", "item_without_id", "item_without_time"]
"""A right page with an odd item."""

FaultName: TypeAlias = InsteadFault | StoredFault | WireFault | PageFault | ItemFault

INSTEAD: frozenset[str] = frozenset(get_args(InsteadFault))
STORED: frozenset[str] = frozenset(get_args(StoredFault))
WIRE: frozenset[str] = frozenset(get_args(WireFault))
PAGE: frozenset[str] = frozenset(get_args(PageFault))
ITEM: frozenset[str] = frozenset(get_args(ItemFault))
ALL = INSTEAD | STORED | WIRE | PAGE | ITEM

ARGUMENTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "rate_limited": frozenset({"retry_after", "retry_date"}),
        "unavailable": frozenset({"retry_after", "retry_date"}),
        "body": frozenset({"text", "encoding", "status"}),
        "redirect": frozenset({"location", "status"}),
        "huge_body": frozenset({"bytes"}),
        "gzip_bomb": frozenset({"bytes"}),
        "hang": frozenset({"seconds"}),
        "stored_hang": frozenset({"seconds"}),
        "slow": frozenset({"seconds"}),
        "drip": frozenset({"seconds", "bytes"}),
        "stale_list": frozenset({"messages"}),
        "duplicate_items": frozenset({"items"}),
        "unauthorized": frozenset({"code"}),
    }
)
"""Which arguments a fault takes; the others take none."""

_TEXTS = frozenset({"location", "code", "text", "encoding"})
"""The arguments that are text; the others are numbers."""


class BadFault(ValueError):
    """A rule that cannot be; the text names the field."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What strikes one request."""

    name: FaultName
    args: Mapping[str, Value] = field(default_factory=dict[str, Value])

    def number(self, name: str, default: float) -> float:
        """Give a numeric argument."""
        return float(self.args.get(name, default))

    def text(self, name: str, default: str) -> str:
        """Give an argument as text."""
        return str(self.args.get(name, default))


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Which requests a fault strikes, and how often."""

    fault: FaultName
    operation: Operation = "any"
    api: ApiChoice = "any"
    after: int = 0
    times: int | None = 1
    args: Mapping[str, Value] = field(default_factory=dict[str, Value])
    patient_id: str | None = None
    """Only requests whose path names this patient; None: any request."""

    def check(self) -> None:
        """Refuse a rule that makes no sense.

        Raises:
            BadFault: an argument does not belong to the fault or is of the wrong kind, or a count is off.
        """
        if self.fault not in ALL:
            raise BadFault(f"fault: {self.fault} is none of the faults.")
        if self.after < 0:
            raise BadFault("after must not be negative.")
        if self.times is not None and self.times < 1:
            raise BadFault("times must be positive, or null for ever.")
        for name, value in self.args.items():
            if name not in ARGUMENTS.get(self.fault, frozenset()):
                raise BadFault(f"args: {self.fault} takes no {name}.")
            if isinstance(value, str) != (name in _TEXTS):
                raise BadFault(f"args: {name} is of the wrong type.")

    def matches(self, api: str, operation: str, patient_id: str | None) -> bool:
        """Tell whether the rule is about such a request."""
        about = self.api in ("any", api) and self.operation in ("any", operation)
        return about and self.patient_id in (None, patient_id)


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[FaultRule] = []
        self._lock = threading.Lock()

    def add(self, *rules: FaultRule) -> None:
        """Put rules behind those in force.

        Raises:
            BadFault: a rule makes no sense; none was added.
        """
        for rule in rules:
            rule.check()
        with self._lock:
            self._rules.extend(rules)

    def clear(self) -> None:
        """Let everything work again."""
        with self._lock:
            self._rules.clear()

    @property
    def rules(self) -> tuple[FaultRule, ...]:
        """The rules in force, with what is left of their counts."""
        return tuple(self._rules)

    def pick(self, api: str, operation: str, patient_id: str | None = None) -> Fault | None:
        """Count a request and give the fault that strikes it."""
        with self._lock:
            for index, rule in enumerate(self._rules):
                if not rule.matches(api, operation, patient_id):
                    continue
                if rule.after:
                    self._rules[index] = replace(rule, after=rule.after - 1)
                    continue
                self._use_up(index, rule)
                return Fault(rule.fault, rule.args)
        return None

    def _use_up(self, index: int, rule: FaultRule) -> None:
        if rule.times == 1:
            del self._rules[index]
        elif rule.times is not None:
            self._rules[index] = replace(rule, times=rule.times - 1)
