"""The chat endpoints of v1: token, list, search, send, and what API clients may not do.

Plain lists come from the chat provider (whole seconds, no receiver), search and pages fetched with
its inner tokens from Welkin's own store (milliseconds, receiver): section 3.2 of the field notes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gateway.sandbox import v1_shapes
from gateway.sandbox.answers import (
    Answer,
    Call,
    Refused,
    bad_value,
    json_answer,
    read_count,
    read_flag,
    read_object,
    read_text,
)
from gateway.sandbox.bending import bend_items, bend_object, newest_shown, repeat_items
from gateway.sandbox.faults import Fault
from gateway.sandbox.history import History, Keep, keep_all, keep_current
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.live import Sandbox
from gateway.sandbox.records import Author, StoredMessage
from gateway.sandbox.tokens import (
    BadPageToken,
    FindToken,
    PageToken,
    ProviderToken,
    SearchToken,
    decode,
    encode,
)

LONGEST_TEXT = 32_768
"""Characters of a message (A: the provider's own limit is of this order; 2,771 is the longest recorded)."""

FAR_MS = 253_402_300_799_999
"""The last millisecond that a border can name: the newest hits are older than that."""

SEARCH_PARAMETERS = ("query", "pageSize", "contentPageSize", "includeArchived")


@dataclass(frozen=True, slots=True)
class TokenPage:
    """A page with the token that would ask for it again and those of its neighbours."""

    messages: tuple[StoredMessage, ...]
    size: int
    local: bool
    own: PageToken
    older: PageToken | None
    newer: PageToken | None


@dataclass(frozen=True, slots=True)
class View:
    """What a request sees of a conversation, and the fault that strikes it."""

    history: History
    newest: int
    keep: Keep
    knobs: Knobs
    fault: Fault | None


def issue_token(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``POST /{tenant}/admin/api_clients/{client}``: 200 with the token alone (R), or D1's 201."""
    tenant, name = call.path["tenant"], call.path["client"]
    sandbox.check_token_rate("v1", name, 429)
    secret = read_object(call.body).get("secret")
    if not isinstance(secret, str):
        raise bad_value("secret")
    if not sandbox.credentials.knows_tenant(tenant):
        raise Refused(404, "ORGANIZATION_NAME_NOT_FOUND", "COMMON", {"name": tenant})
    if sandbox.credentials.find("v1", name, secret, tenant) is None:
        raise Refused(sandbox.knobs.v1_wrong_secret_status, "API_CLIENT_CREDENTIALS_INVALID", "AUTH")
    token = sandbox.credentials.issue("v1", name).token
    if sandbox.knobs.v1_token_status == 200:  # noqa: PLR2004 -- the status that was recorded
        return json_answer({"token": token})
    return json_answer({"clientName": name, "token": token, "enabled": True}, 201)


def send_message(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``POST …/chat/inbound``: the message with the provider's time and the patient's name (R)."""
    history = find_history(sandbox, call)
    text = read_text(read_object(call.body), "message", LONGEST_TEXT)
    patient_id = history.patient_id
    stored = sandbox.record(patient_id, Author("patient", patient_id), text)
    written = v1_shapes.message(stored, local=False, full_name=sandbox.store.patients[patient_id].full_name)
    return json_answer(bend_object(call.fault, written), sandbox.knobs.v1_send_status)


def list_messages(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``GET …/chat``, newest first, by size or by token."""
    view = _view(sandbox, call, _archive_filter(sandbox, call))
    token = _page_token(sandbox, call, ("pageSize",))
    if token is None:
        size = _page_size(sandbox, call, "pageSize")
        page = _provider_page(view, ProviderToken(size, 0, view.newest))
    elif isinstance(token, ProviderToken) and token.position <= len(view.history):
        page = _provider_page(view, token)
    elif isinstance(token, FindToken):
        page = _find_page(view, token)
    else:
        raise _bad_token(sandbox)
    page = _bend_page(call.fault, page)
    items = [v1_shapes.message(stored, local=page.local) for stored in page.messages]
    return json_answer({"meta": _meta(sandbox, page), "content": bend_items(call.fault, items)})


def search_messages(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``GET …/chat/search``: hits newest first, each with tokens for its neighbourhood."""
    token = _page_token(sandbox, call, SEARCH_PARAMETERS)
    keep = _archive_filter(sandbox, call) if token is None else _default_filter(sandbox)
    view = _view(sandbox, call, keep)
    if token is None:
        size = _page_size(sandbox, call, "pageSize")
        inner = _page_size(sandbox, call, "contentPageSize", size)
        token = SearchToken(size, FAR_MS, read_text(call.query, "query", LONGEST_TEXT), before=True)
    elif isinstance(token, SearchToken):
        inner = token.size  # the token does not keep contentPageSize (D1 walkthrough)
    else:
        raise _bad_token(sandbox)
    page = _search_page(view, token)
    metas = [_hit_meta(stored, inner) for stored in page.messages]
    items = bend_items(call.fault, [v1_shapes.message(stored, local=True) for stored in page.messages])
    if None in items:
        metas.insert(items.index(None), {})
    content = [
        None if item is None else {"meta": meta, "message": item}
        for meta, item in zip(metas, items, strict=True)
    ]
    return json_answer({"meta": _meta(sandbox, page), "content": content})


def refuse(_sandbox: Sandbox, call: Call) -> Answer:
    """Answer archive, restore and the deletion of a patient: not for API clients (D1, R)."""
    details = {"clientType": "API_CLIENT", "organizationName": call.path["tenant"]}
    raise Refused(403, "ACCESS_FOR_API_CLIENT_RESTRICTED", "AUTH", details, dated=False)


def find_history(sandbox: Sandbox, call: Call) -> History:
    """Give the conversation that the path names.

    Raises:
        Refused: 404, there is no such patient (I, by analogy with the recorded codes).
    """
    history = sandbox.store.history(call.path["patient"])
    if history is None:
        raise Refused(404, "PATIENT_NOT_FOUND", "PATIENT", {"id": call.path["patient"]})
    return history


def _view(sandbox: Sandbox, call: Call, keep: Keep) -> View:
    history = find_history(sandbox, call)
    newest = newest_shown(call.fault, sandbox.store.shown(history.patient_id))
    return View(history, newest, keep, sandbox.knobs, call.fault)


def _archive_filter(sandbox: Sandbox, call: Call) -> Keep:
    default = sandbox.knobs.v1_include_archived
    return keep_all if read_flag(call.query, "includeArchived", default=default) else keep_current


def _default_filter(sandbox: Sandbox) -> Keep:
    return keep_all if sandbox.knobs.v1_include_archived else keep_current


def _page_size(sandbox: Sandbox, call: Call, name: str, default: int | None = None) -> int:
    knobs = sandbox.knobs
    usual = knobs.v1_default_size if default is None else default
    size = read_count(call.query, name, usual, 1)
    if size <= knobs.v1_max_size:
        return size
    if knobs.v1_size_policy == "reject":
        raise bad_value(name)
    return knobs.v1_max_size if knobs.v1_size_policy == "cap" else usual


def _page_token(sandbox: Sandbox, call: Call, exclusive: tuple[str, ...]) -> PageToken | None:
    text = call.query.get("pageToken")
    if text is None:
        return None
    beside = [name for name in exclusive if name in call.query]
    if beside and sandbox.knobs.v1_size_with_token == "reject":
        raise bad_value(beside[0])
    try:
        return decode(text)
    except BadPageToken as exc:
        raise _bad_token(sandbox) from exc


def _bad_token(sandbox: Sandbox) -> Refused:
    return Refused(sandbox.knobs.v1_bad_token_status, "INVALID_CHAT_TOKEN", "CHAT")


def _provider_page(view: View, at: ProviderToken) -> TokenPage:
    history, newest = view.history, view.newest
    after = view.knobs.v1_archive_filter == "after"
    page = history.provider_page(at.position, at.size, newest, view.keep, filter_after=after)
    newer_ones = (history.at(p) for p in range(min(at.position + at.size, newest), at.position, -1))
    before = [stored for stored in newer_ones if view.keep(stored)]
    older, newer = page.older, page.newer
    return TokenPage(
        messages=tuple(repeat_items(view.fault, page.messages, before)),
        size=at.size,
        local=False,
        own=at,
        older=None if older is None else ProviderToken(at.size, at.page + 1, older),
        newer=None if newer is None else ProviderToken(at.size, max(at.page - 1, 0), newer),
    )


def _find_page(view: View, at: FindToken) -> TokenPage:
    page = view.history.local_page(at.size, view.newest, view.keep, border_ms=at.border_ms, before=at.before)
    older = newer = None
    named = view.knobs.v1_local_ends == "token"
    if page.messages and (page.has_older or named):
        older = FindToken(at.size, page.messages[-1].local_ms, before=True)
    if page.messages and (page.has_newer or named):
        newer = FindToken(at.size, page.messages[0].local_ms, before=False)
    return TokenPage(page.messages, at.size, local=True, own=at, older=older, newer=newer)


def _search_page(view: View, at: SearchToken) -> TokenPage:
    needle = at.query.casefold()

    def matches(stored: StoredMessage) -> bool:
        return needle in stored.text.casefold() and view.keep(stored)

    page = view.history.local_page(at.size, view.newest, matches, border_ms=at.border_ms, before=at.before)
    older = newer = None
    if page.messages and page.has_older:
        older = replace(at, border_ms=page.messages[-1].local_ms, before=True)
    if page.messages and page.has_newer:
        newer = replace(at, border_ms=page.messages[0].local_ms, before=False)
    messages = tuple(repeat_items(view.fault, page.messages, ()))
    found = TokenPage(messages, at.size, local=True, own=at, older=older, newer=newer)
    return _bend_page(view.fault, found)


def _bend_page(fault: Fault | None, page: TokenPage) -> TokenPage:
    match fault.name if fault else None:
        case "empty_page":
            return replace(page, messages=(), older=page.own if page.messages else page.older)
        case "token_loop":
            return replace(page, older=page.own if page.messages else page.older)
        case "newer_loop":
            return replace(page, newer=page.own if page.messages else page.newer)
        case _:
            return page


def _meta(sandbox: Sandbox, page: TokenPage) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "nextPageToken": encode(page.older) if page.older else None,
        "prevPageToken": encode(page.newer) if page.newer else None,
        "pageSize": page.size,
        "found": True,
    }
    if page.messages:
        return meta
    found = sandbox.knobs.v1_found_when_empty
    if found == "missing":
        del meta["found"]
    else:
        meta["found"] = found == "true"
    return meta


def _hit_meta(stored: StoredMessage, size: int) -> dict[str, Any]:
    return {
        "nextPageToken": encode(FindToken(size, stored.local_ms, before=True)),
        "prevPageToken": encode(FindToken(size, stored.local_ms, before=False)),
    }
