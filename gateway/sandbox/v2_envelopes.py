"""What v2 wraps a list in. The chat page shows none, its sister pages show three different ones (D2).

======================  ==========================================================
``data_meta``           ``{"data": […], "metaInfo": {…}}``: Calls (D2)
``data``                ``{"data": […]}``: SMS, Email (D2)
``content_totals``      ``{"content": […], "totalElements": …}``: Unrecognised SMS (D2)
``spring``              a whole Spring page (v1, R)
``messages``            ``{"messages": […]}``, ``items`` or ``results`` (A)
``array``               a bare array (A)
``data_content``        ``{"data": {"content": […]}}``: v1's document summaries (R)
``meta_content``        ``{"meta": …, "content": […]}``: v1's chat (R)
======================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.sandbox.knobs import Envelope, Knobs
from gateway.sandbox.v1_shapes import spring_page


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which page it is, of what size, out of how many items."""

    page: int
    size: int
    total: int

    @property
    def pages(self) -> int:
        """The count of pages."""
        return -(-self.total // self.size)


def wrap(items: Sequence[Any], numbers: Numbers, knobs: Knobs) -> Any:
    """Put items into the envelope that the knob names, with totals if that knob says so."""
    content = list(items)
    total, numbered = _total(numbers, knobs), {"page": numbers.page, "size": numbers.size}
    meta = {"page": numbers.page, "pageSize": numbers.size} | total
    pages = {"totalPages": numbers.pages} if knobs.v2_totals else {}
    wrapped: dict[Envelope, Any] = {
        "data_meta": {"data": content, "metaInfo": meta},
        "data": {"data": content},
        "content_totals": {"content": content} | total | pages | numbered,
        "spring": _spring(content, numbers, knobs),
        "messages": {knobs.v2_envelope_key: content} | total,
        "array": content,
        "data_content": {"data": {"content": content} | numbered | total},
        "meta_content": {"meta": meta, "content": content},
    }
    return wrapped[knobs.v2_envelope]


def _total(numbers: Numbers, knobs: Knobs) -> dict[str, int]:
    return {"totalElements": numbers.total} if knobs.v2_totals else {}


def _spring(content: list[Any], numbers: Numbers, knobs: Knobs) -> dict[str, Any]:
    page = spring_page(content, numbers.page, numbers.size, numbers.total)
    hidden = frozenset[str]() if knobs.v2_totals else {"totalElements", "totalPages"}
    return {name: value for name, value in page.items() if name not in hidden}
