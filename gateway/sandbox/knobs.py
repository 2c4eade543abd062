"""How the sandbox behaves where Welkin's documentation is silent or contradicts itself.

One frozen value, replaced whole. The defaults are the default assumptions of the field notes'
section 11; every other value is an alternative that a client of Welkin has to cope with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

Envelope = Literal[
    "data_meta", "data", "content_totals", "spring", "messages", "array", "data_content", "meta_content"
]
SizePolicy = Literal["cap", "reject", "ignore"]
SenderStyle = Literal["care_team", "user", "staff", "named", "object", "object_v1", "missing"]
AttachmentStyle = Literal[
    "attachments", "files", "attachment", "attachment_id", "file_id", "other_names", "absent"
]
ErrorShape = Literal[
    "list",
    "object",
    "errors",
    "error_message",
    "code_message",
    "spring",
    "problem",
    "message",
    "empty",
    "html",
]
SendAnswer = Literal["created", "ok", "accepted", "created_empty", "no_content"]
TimeStyle = Literal["seconds", "fraction", "nanos", "offset", "epoch_ms"]
TokenAnswer = Literal["expires_at", "created", "no_expiry", "garbled", "expires_in"]


@dataclass(frozen=True, slots=True)
class Knobs:
    """Every switch, by the version that it belongs to."""

    list_lag_seconds: float = 0.0
    """How long a message is stored before lists show it (I); read when the message is stored."""

    v1_token_status: Literal[200, 201] = 200
    """200 with the token alone (R), or 201 with the full body (D1)."""
    v1_wrong_secret_status: Literal[400, 401] = 401
    v1_header_era: Literal["2022", "2023"] = "2023"
    """``2022``: rotating load-balancer cookies; ``2023``: strict transport security, no cookies (R)."""
    v1_send_status: Literal[200, 201] = 200
    v1_default_size: int = 20
    v1_max_size: int = 100
    v1_size_policy: SizePolicy = "cap"
    v1_size_with_token: Literal["reject", "ignore"] = "reject"
    """``pageSize`` or, in search, any other parameter beside ``pageToken``."""
    v1_bad_token_status: Literal[400, 404, 410] = 400
    v1_archive_filter: Literal["before", "after"] = "before"
    """Whether archived messages are left out before or after the provider's page is cut."""
    v1_include_archived: bool = False
    """What a request that does not say ``includeArchived`` gets."""
    v1_found_when_empty: Literal["false", "true", "missing"] = "false"
    v1_local_ends: Literal["null", "token"] = "null"
    """``token``: pages of Welkin's own store name a neighbour even where there is none."""
    v1_timezone_space: bool = False
    """Write the patient's ``timezone`` key with a trailing space, as D1's samples do."""
    v1_blanks: Literal["mixed", "null", "empty", "omit"] = "mixed"
    """How a field without a value looks; ``mixed`` alternates null and "" between patients (R)."""

    webhook_patient_url: bool = True

    v2_prefix: Literal["none", "v1"] = "none"
    """``v1``: everything but the token endpoint stands below ``/v1`` (Core Concepts page, D2)."""
    v2_token_answer: TokenAnswer = "expires_at"
    v2_block_status: Literal[429, 403] = 429
    v2_errors: ErrorShape = "list"
    v2_envelope: Envelope = "data_meta"
    v2_envelope_key: Literal["messages", "items", "results"] = "messages"
    """The key of the ``messages`` envelope."""
    v2_totals: bool = True
    v2_order: Literal["desc", "asc"] = "desc"
    v2_since: Literal["exclusive", "inclusive", "ignored"] = "exclusive"
    v2_default_size: int = 50
    v2_max_size: int = 100
    v2_size_policy: SizePolicy = "cap"
    v2_sender: SenderStyle = "care_team"
    v2_attachments: AttachmentStyle = "attachments"
    v2_read_at: Literal["shown", "absent"] = "shown"
    v2_times: TimeStyle = "seconds"
    v2_send_answer: SendAnswer = "created"
    v2_search_items: Literal["plain", "wrapped"] = "plain"
    v2_search_status: Literal[200, 201] = 200
    v2_empty_query: Literal["reject", "all", "none"] = "reject"
    v2_portal_pages: bool = True
    """Whether the list by patient token honours page and size, or answers with everything."""
    v2_portal_bearer: bool = True
    v2_portal_refusal: Literal[401, 403, 404, 410] = 401
    v2_disposition: bool = True
    """Whether a file comes with its name in ``Content-Disposition``."""
    v2_ranges: bool = True
    """Whether a part of a file can be asked for."""
    v2_accept_ranges: Literal["bytes", "true"] = "bytes"
    """How a file says so; ``true`` was recorded (v1, R)."""


class UnknownKnob(ValueError):
    """A knob's name or value that does not exist; the text names the knob."""


def turn(knobs: Knobs, changes: Mapping[str, Any]) -> Knobs:
    """Give the knobs with some of them changed.

    Raises:
        UnknownKnob: a name or a value is not one of those above.

    >>> turn(Knobs(), {"v2_order": "asc"}).v2_order
    'asc'
    """
    names = {field.name for field in dataclasses.fields(Knobs)}
    for name in changes:
        if name not in names:
            raise UnknownKnob(f"{name} is not a knob.")
    try:
        return msgspec.convert(dataclasses.asdict(knobs) | dict(changes), Knobs)
    except msgspec.ValidationError as exc:
        raise UnknownKnob(str(exc)) from exc
