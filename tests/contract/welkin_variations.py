"""Every version of Welkin in every variation that is recorded or thinkable, and conversations to read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, get_args

from gateway.domain.model import ApiVersion
from gateway.sandbox import Sandbox, knobs
from gateway.sandbox.history import MIN_SKEW_MS
from gateway.sandbox.records import Author, StoredFile, StoredMessage
from gateway.sandbox.store import AUTOMATION, CARE_TEAM
from gateway.welkin.upstream import Upstream
from gateway.welkin.v1.adapter import WelkinV1
from gateway.welkin.v2.adapter import Order, WelkinV2

PATIENT = "91be0000-0000-4000-8000-000000000001"
START = datetime(2030, 1, 1, 10, 0, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Variation:
    """A way in which Welkin may behave, and how the adapter is set up for it."""

    api: ApiVersion
    knobs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    page_size: int = 5
    order: Order = "auto"
    prefix: str = "/{tenant}/{instance}"

    def __str__(self) -> str:
        """Name the variation in a test's id."""
        turned = "-".join(f"{name}={value}" for name, value in self.knobs.items())
        return f"{self.api.value}-{turned or 'plain'}-{self.page_size}-{self.order}"


V1, V2 = ApiVersion.V1, ApiVersion.V2
BASIC = (
    Variation(V1),
    Variation(V2),
    Variation(V2, {"v2_envelope": "array", "v2_order": "asc"}),
)
"""For what no variation can change."""


def _cut() -> Iterator[Variation]:
    yield from BASIC
    yield Variation(V1, {"v1_archive_filter": "after"})
    yield Variation(V1, {"v1_include_archived": True})
    yield Variation(V1, {"v1_found_when_empty": "missing"})
    yield Variation(V1, {"v1_bad_token_status": 404})
    yield Variation(V1, {"v1_bad_token_status": 410})
    yield Variation(V1, {"v1_max_size": 3})
    yield Variation(V1, {"v1_size_policy": "ignore", "v1_max_size": 3, "v1_default_size": 4})
    for order in ("desc", "asc"):
        for envelope in get_args(knobs.Envelope):
            for totals in (True, False):
                yield Variation(V2, {"v2_envelope": envelope, "v2_order": order, "v2_totals": totals})
        for envelope in ("data_meta", "array", "messages"):
            turned = {"v2_envelope": envelope, "v2_order": order}
            yield Variation(V2, turned | {"v2_max_size": 3})
            yield Variation(V2, turned | {"v2_size_policy": "ignore", "v2_default_size": 4})
            yield Variation(V2, turned | {"v2_size_policy": "ignore", "v2_default_size": 7})
            yield Variation(V2, turned | {"v2_size_policy": "reject", "v2_max_size": 50}, page_size=100)
    yield Variation(V2, {"v2_order": "asc", "v2_envelope": "data"}, order="oldest_first")
    yield Variation(V2, {"v2_envelope": "data"}, order="newest_first")
    for key in ("items", "results"):
        yield Variation(V2, {"v2_envelope": "messages", "v2_envelope_key": key})


def _written() -> Iterator[Variation]:
    yield from BASIC
    yield Variation(V1, {"v1_header_era": "2022"})
    yield Variation(V1, {"v1_token_status": 201, "v1_send_status": 201})
    yield Variation(V1, {"v1_blanks": "empty"})
    yield Variation(V1, {"v1_blanks": "null"})
    yield Variation(V1, {"v1_timezone_space": True, "v1_blanks": "omit"})
    yield Variation(V2, {"v2_prefix": "v1"}, prefix="/v1/{tenant}/{instance}")
    yield Variation(V2, {"v2_read_at": "absent"})
    for name, values in (
        ("v2_sender", get_args(knobs.SenderStyle)),
        ("v2_attachments", get_args(knobs.AttachmentStyle)),
        ("v2_times", get_args(knobs.TimeStyle)),
        ("v2_send_answer", get_args(knobs.SendAnswer)),
        ("v2_token_answer", get_args(knobs.TokenAnswer)),
    ):
        for value in values:
            yield Variation(V2, {name: value})


def _searched() -> Iterator[Variation]:
    yield from _cut()
    for status in (200, 201):
        for envelope in get_args(knobs.Envelope):
            turned = {"v2_envelope": envelope, "v2_search_status": status, "v2_search_items": "wrapped"}
            yield Variation(V2, turned)


def _portals() -> Iterator[Variation]:
    for order in ("desc", "asc"):
        for envelope in get_args(knobs.Envelope):
            for paged in (True, False):
                turned = {"v2_order": order, "v2_envelope": envelope, "v2_portal_pages": paged}
                yield Variation(V2, turned)
        yield Variation(V2, {"v2_order": order, "v2_envelope": "array", "v2_max_size": 3})
        yield Variation(
            V2, {"v2_order": order, "v2_envelope": "data", "v2_portal_pages": False}, page_size=100
        )
    yield Variation(V2, {"v2_portal_bearer": False})


CUT = tuple(_cut())
"""How pages are cut, wrapped and counted."""
SEARCHED = tuple(_searched())
"""How hits come."""
PORTALS = tuple(_portals())
"""How a conversation comes that a chat token opens."""
WRITTEN = tuple(_written())
"""How messages, records and answers are written."""
REFUSING = (*BASIC, *(Variation(V2, {"v2_errors": shape}) for shape in get_args(knobs.ErrorShape)))
"""How refusals are written."""


def upstream(url: str, api: ApiVersion, *, timeout_seconds: float = 5.0) -> Upstream:
    """Give the sandbox's address and credentials for one version."""
    client = "SANDBOXV1" if api is ApiVersion.V1 else "SANDBOXV2"
    return Upstream(
        f"{url}/{api.value}", "gh", "sb-demo", client, "sandbox-secret", timeout_seconds, retry_seconds=0.001
    )


def connect(url: str, variation: Variation, *, timeout_seconds: float = 5.0) -> WelkinV1 | WelkinV2:
    """Make the adapter that a variation asks for."""
    place = upstream(url, variation.api, timeout_seconds=timeout_seconds)
    if variation.api is ApiVersion.V1:
        return WelkinV1(place, page_size=variation.page_size)
    return WelkinV2(place, page_size=variation.page_size, order=variation.order, prefix=variation.prefix)


def talk(
    sandbox: Sandbox, count: int, *, spacing: float = 60, archived: frozenset[int] = frozenset()
) -> None:
    """Put a conversation into the store, every third message by the patient, every tenth by an automation."""
    authors = (Author("patient", PATIENT), CARE_TEAM[0], CARE_TEAM[1])
    for number in range(count):
        add(
            sandbox,
            AUTOMATION if number % 10 == 9 else authors[number % 3],
            f"Message {number} \U0001f469\u200d\U0001f680 e\u0301 ",
            START + timedelta(seconds=int(number * spacing)),
            archived=number in archived,
        )


def add(
    sandbox: Sandbox,
    author: Author,
    text: str,
    at: datetime,
    *,
    archived: bool = False,
    files: tuple[StoredFile, ...] = (),
    read_at: datetime | None = None,
) -> StoredMessage:
    """Put one message into the store. The two clocks are kept apart evenly, so that order is order."""
    return sandbox.store.add_message(
        PATIENT,
        author,
        text,
        at_ms=round(at.timestamp() * 1000),
        skew_ms=MIN_SKEW_MS,
        archived=archived,
        files=files,
        read_ms=None if read_at is None else round(read_at.timestamp() * 1000),
    )


def wait_until_idle(sandbox: Sandbox) -> None:
    """Wait for the requests that the adapter has left, so that they are counted where they belong."""
    until = time.monotonic() + 5
    while sum(sandbox.requests._in_flight.values()) and time.monotonic() < until:
        time.sleep(0.002)
