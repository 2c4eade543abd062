"""The faults that change what a list holds, as pure functions on messages and on items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from gateway.sandbox.faults import Fault
from gateway.sandbox.records import StoredMessage

Item = dict[str, Any]

ESSENTIAL = frozenset({"externalId", "createdAt", "message", "sender", "id", "sentAt", "body"})
"""What a message keeps when its optional fields are missing."""

_IDS = ("externalId", "id")
_TIMES = ("createdAt", "sentAt")


def newest_shown(fault: Fault | None, shown: int) -> int:
    """Give the newest position that a list shows: a stale list does not show the last few."""
    if fault is None or fault.name != "stale_list":
        return shown
    return max(shown - int(fault.number("messages", 1)), 0)


def repeat_items(
    fault: Fault | None, page: Sequence[StoredMessage], before: Sequence[StoredMessage]
) -> list[StoredMessage]:
    """Repeat the last items of the page before this one; on a first page, its own last item."""
    messages = list(page)
    if fault is None or fault.name != "duplicate_items" or not messages:
        return messages
    count = max(int(fault.number("items", 1)), 1)
    return [*before[-count:], *messages] if before else [*messages, messages[-1]]


def bend_items(fault: Fault | None, items: list[Item]) -> list[Item | None]:
    """Make one item odd, or all of them where fields are added or left out."""
    bent: list[Item | None] = [bend_object(fault, item) for item in items]
    if fault is None or not bent:
        return bent
    first = items[0]
    match fault.name:
        case "null_item":
            bent.insert(1, None)
        case "item_without_id":
            bent[0] = {name: value for name, value in first.items() if name not in _IDS}
        case "item_without_time":
            bent[0] = {name: value for name, value in first.items() if name not in _TIMES}
        case _:
            pass
    return bent


def bend_object(fault: Fault | None, item: Item) -> Item:
    """Add fields that nobody knows, or leave out those that a message can do without."""
    match fault.name if fault else None:
        case "extra_fields":
            return item | {"futureField": {"nested": [1, None]}, "anotherField": 7}
        case "missing_fields":
            return {name: _thin(value) for name, value in item.items() if name in ESSENTIAL}
        case _:
            return item


def _thin(value: Any) -> Any:
    if isinstance(value, dict):
        parts = cast("Item", value)
        return {name: part for name, part in parts.items() if name in {"clientType", "type", "id"}}
    return value
