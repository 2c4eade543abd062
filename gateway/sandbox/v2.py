"""The chat endpoints of v2, exactly as documented, with what is not documented on knobs (section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from gateway.sandbox import v2_shapes
from gateway.sandbox.answers import (
    MAX_DIGITS,
    Answer,
    Call,
    Refused,
    bad_value,
    json_answer,
    read_count,
    read_object,
    read_text,
)
from gateway.sandbox.bending import bend_items, bend_object, newest_shown, repeat_items
from gateway.sandbox.clock import to_ms
from gateway.sandbox.history import History
from gateway.sandbox.live import Sandbox
from gateway.sandbox.ranges import read_part
from gateway.sandbox.records import Author, StoredFile, StoredMessage
from gateway.sandbox.v2_envelopes import Numbers, wrap

LONGEST_TEXT = 32_768
"""Characters of a message (A: as in v1)."""


def issue_token(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``POST /auth/token``: 200 with the token and when it expires (D2)."""
    fields = read_object(call.body)
    name, secret = fields.get("apiClient"), fields.get("secret")
    if not isinstance(name, str) or not isinstance(secret, str):
        raise bad_value("secret" if isinstance(name, str) else "apiClient")
    sandbox.check_token_rate("v2", name, sandbox.knobs.v2_block_status)
    if sandbox.credentials.find("v2", name, secret) is None:
        raise Refused(401, "API_CLIENT_CREDENTIALS_INVALID", "AUTH")
    issued = sandbox.credentials.issue("v2", name)
    expires_at = f"{datetime.fromtimestamp(issued.expires, UTC):%Y-%m-%dT%H:%M:%SZ}"
    match sandbox.knobs.v2_token_answer:
        case "expires_at":
            return json_answer({"token": issued.token, "expiresAt": expires_at})
        case "created":
            return json_answer({"token": issued.token, "expiresAt": expires_at}, 201)
        case "no_expiry":
            return json_answer({"token": issued.token})
        case "garbled":
            return json_answer({"token": issued.token, "expiresAt": "in an hour"})
        case "expires_in":
            return json_answer({"token": issued.token, "expiresIn": sandbox.config.token_seconds})


def send_message(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``POST …/chat/messages``: 201 and the message (D2)."""
    history = find_history(sandbox, call.path["patient"])
    fields = read_object(call.body)
    text = read_text(fields, "body", LONGEST_TEXT)
    files = _attached(sandbox, fields.get("attachmentId"))
    stored = sandbox.record(history.patient_id, Author("patient", history.patient_id), text, files=files)
    written = bend_object(call.fault, v2_shapes.message(stored, sandbox.knobs))
    match sandbox.knobs.v2_send_answer:
        case "created":
            return json_answer(written, 201)
        case "ok":
            return json_answer(written, 200)
        case "accepted":
            return json_answer(written, 202)
        case "created_empty":
            return Answer(201, content_type=None)
        case "no_content":
            return Answer(204, content_type=None)


def list_messages(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``GET …/chat/messages``: pages counted from 0, so that they shift as messages arrive."""
    return _list(sandbox, call, find_history(sandbox, call.path["patient"]))


def list_by_portal_token(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``GET …/chat/messages?token=``: the conversation that a patient's chat token opens (D2)."""
    token = call.query.get("token")
    if not token:
        raise bad_value("token")
    patient_id = sandbox.credentials.portal_patient(token)
    if patient_id is None or sandbox.store.history(patient_id) is None:
        raise Refused(sandbox.knobs.v2_portal_refusal, "CHAT_TOKEN_INVALID", "CHAT")
    history = find_history(sandbox, patient_id)
    if sandbox.knobs.v2_portal_pages:
        return _list(sandbox, call, history)
    shown = sandbox.store.shown(patient_id)
    numbers = Numbers(0, max(shown, 1), shown)
    return _page(sandbox, call, _slice(sandbox, history, 0, shown, numbers), [], numbers)


def search_messages(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``POST …/chat/search``: one patient's messages or everyone's, newest first (A)."""
    fields = read_object(call.body)
    query, patient_id = fields.get("query", ""), fields.get("patientId")
    if not isinstance(query, str) or not isinstance(patient_id, str | None):
        raise bad_value("patientId" if isinstance(query, str) else "query")
    if not query.strip() and sandbox.knobs.v2_empty_query == "reject":
        raise bad_value("query")
    hits = sandbox.store.search(query, patient_id)
    if not query.strip() and sandbox.knobs.v2_empty_query == "none":
        hits = []
    numbers = Numbers(_number(call, fields), _size(sandbox, fields), len(hits))
    start = numbers.page * numbers.size
    page, before = hits[start : start + numbers.size], hits[max(start - numbers.size, 0) : start]
    return _page(sandbox, call, page, before, numbers, search=True)


def read_file(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``GET …/chat/files/{fileId}`` with the bytes; the name is optional (D2 on SMS and calls, R).

    Parts of a file are documented nowhere; a recorded download says that there are (R).
    """
    file = sandbox.store.files.get(call.path["file"])
    if file is None:
        raise Refused(404, "FILE_NOT_FOUND", "CHAT", {"id": call.path["file"]})
    headers = [("content-disposition", _disposition(file.name))] if sandbox.knobs.v2_disposition else []
    if not sandbox.knobs.v2_ranges:
        headers.append(("content-length", str(file.size)))
        return Answer(200, b"", file.content_type, tuple(headers), file.chunks())
    headers.append(("accept-ranges", sandbox.knobs.v2_accept_ranges))
    part = read_part(call.headers.get("range"), file.size)
    if part is None:
        headers.append(("content-length", str(file.size)))
        return Answer(200, b"", file.content_type, tuple(headers), file.chunks())
    first, last = part
    headers += [
        ("content-length", str(last - first + 1)),
        ("content-range", f"bytes {first}-{last}/{file.size}"),
    ]
    return Answer(206, b"", file.content_type, tuple(headers), file.chunks(first, last))


def find_history(sandbox: Sandbox, patient_id: str) -> History:
    """Give a patient's conversation.

    Raises:
        Refused: 404, there is no such patient (A).
    """
    history = sandbox.store.history(patient_id)
    if history is None:
        raise Refused(404, "PATIENT_NOT_FOUND", "PATIENT", {"id": patient_id})
    return history


def _list(sandbox: Sandbox, call: Call, history: History) -> Answer:
    shown = newest_shown(call.fault, sandbox.store.shown(history.patient_id))
    number, size = _number(call, call.query), _size(sandbox, call.query)
    since = call.query.get("since")
    if since is None or sandbox.knobs.v2_since == "ignored":
        first = 0
    else:
        since_ms, inclusive = _read_time(since), sandbox.knobs.v2_since == "inclusive"
        if not history.in_order:
            return _list_unordered(sandbox, call, history, since_ms)
        style = sandbox.knobs.v2_times
        first = history.first_since(
            since_ms, shown, lambda stored: v2_shapes.sent_ms(stored, style), inclusive=inclusive
        )
    numbers = Numbers(number, size, shown - first)
    page = _slice(sandbox, history, first, shown, numbers)
    before = (
        _slice(sandbox, history, first, shown, Numbers(number - 1, size, numbers.total)) if number else []
    )
    return _page(sandbox, call, page, before, numbers)


def _list_unordered(sandbox: Sandbox, call: Call, history: History, since_ms: int) -> Answer:
    """List what is newer than a time in a conversation whose times go back: by looking at every message."""
    inclusive = sandbox.knobs.v2_since == "inclusive"
    shown = newest_shown(call.fault, sandbox.store.shown(history.patient_id))
    least = since_ms if inclusive else since_ms + 1
    every = (history.at(position) for position in range(1, shown + 1))
    kept = [stored for stored in every if v2_shapes.sent_ms(stored, sandbox.knobs.v2_times) >= least]
    if sandbox.knobs.v2_order == "desc":
        kept.reverse()
    numbers = Numbers(_number(call, call.query), _size(sandbox, call.query), len(kept))
    start = numbers.page * numbers.size
    return _page(sandbox, call, kept[start : start + numbers.size], [], numbers)


def _slice(
    sandbox: Sandbox, history: History, first: int, shown: int, numbers: Numbers
) -> list[StoredMessage]:
    """Cut a page out of the messages behind the ``first`` ones, in the order that the knob names."""
    start = numbers.page * numbers.size
    if sandbox.knobs.v2_order == "asc":
        positions = range(first + start + 1, min(first + start + numbers.size, shown) + 1)
    else:
        positions = range(shown - start, max(shown - start - numbers.size, first), -1)
    return [history.at(position) for position in positions]


def _page(
    sandbox: Sandbox,
    call: Call,
    page: Sequence[StoredMessage],
    before: Sequence[StoredMessage],
    numbers: Numbers,
    *,
    search: bool = False,
) -> Answer:
    shown = [] if call.fault and call.fault.name == "empty_page" else repeat_items(call.fault, page, before)
    items: list[Any] = [
        *bend_items(call.fault, [v2_shapes.message(stored, sandbox.knobs) for stored in shown])
    ]
    if search and sandbox.knobs.v2_search_items == "wrapped":
        items = [item and {"message": item, "score": 1.0} for item in items]
    status = sandbox.knobs.v2_search_status if search else 200
    return json_answer(wrap(items, numbers, sandbox.knobs), status)


def _number(call: Call, fields: Any) -> int:
    """Read the number of the page; a server that loops gives page 0 for ever."""
    number = read_count(fields, "page", 0, 0)
    return 0 if call.fault and call.fault.name == "token_loop" else number


def _size(sandbox: Sandbox, fields: Any) -> int:
    knobs = sandbox.knobs
    size = read_count(fields, "size", knobs.v2_default_size, 1)
    if knobs.v2_size_policy == "ignore":
        return knobs.v2_default_size
    if size > knobs.v2_max_size and knobs.v2_size_policy == "reject":
        raise bad_value("size")
    return min(size, knobs.v2_max_size)


def _attached(sandbox: Sandbox, file_id: Any) -> tuple[StoredFile, ...]:
    if file_id is None:
        return ()
    file = sandbox.store.files.get(file_id) if isinstance(file_id, str) else None
    if file is None:
        raise bad_value("attachmentId")
    return (file,)


def _read_time(text: str) -> int:
    if text.isdigit() and len(text) > MAX_DIGITS:
        return int(text[:16])
    try:
        moment = datetime.fromisoformat(text)
        return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as exc:
        raise bad_value("since") from exc


def _disposition(name: str) -> str:
    plain = name.encode("ascii", "replace").decode().replace('"', "'")
    extended = "" if name.isascii() else f"; filename*=UTF-8''{quote(name)}"
    return f'attachment; filename="{plain}"{extended}'
