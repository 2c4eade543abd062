"""What every adapter owes the port in searches, in every variation of its version."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

import pytest

from gateway.domain.errors import (
    BadInput,
    GatewayError,
    NotFound,
    PageRefused,
    Unsupported,
    UpstreamBadResponse,
    UpstreamUnavailable,
)
from gateway.domain.model import ApiVersion, Message
from gateway.domain.pages import Linked, Newest, Numbered, Page, PageRef
from gateway.sandbox import FaultRule, Sandbox
from gateway.sandbox.records import Author, StoredMessage, StoredPatient
from gateway.sandbox.store import CARE_TEAM
from gateway.welkin.v1.adapter import WelkinV1
from gateway.welkin.v2.adapter import WelkinV2
from tests.contract.expectations import expected, tries
from tests.contract.welkin_variations import PATIENT, SEARCHED, START, V1, V2, Variation, add

Adapter: TypeAlias = WelkinV1 | WelkinV2
OTHER = "91be0000-0000-4000-8000-000000000002"
across_searches = pytest.mark.parametrize("variation", SEARCHED, indirect=True, ids=str)
only_v1 = pytest.mark.parametrize("variation", [Variation(V1, page_size=3)], indirect=True, ids=str)
only_v2 = pytest.mark.parametrize(
    "variation", [Variation(V2), Variation(V2, {"v2_search_items": "wrapped"})], indirect=True, ids=str
)


def mention(sandbox: Sandbox, count: int, every: int = 3) -> list[StoredMessage]:
    """Put a conversation into the store and give those of its messages that have the word, newest first."""
    stored = [
        add(
            sandbox,
            CARE_TEAM[0] if number % 2 else Author("patient", PATIENT),
            f"My Dose? {number}" if number % every == 0 else f"Something else {number}",
            START + timedelta(minutes=number),
        )
        for number in range(count)
    ]
    return [each for each in reversed(stored) if "Dose" in each.text]


def hit(stored: StoredMessage, sandbox: Sandbox, api: ApiVersion) -> Message:
    """Say how a hit has to look: v1 shows it by Welkin's own clock (R)."""
    message = expected(stored, sandbox, api)
    return replace(message, created_at=stored.local_at) if api is ApiVersion.V1 else message


async def walk(
    welkin: Adapter, query: str = "dose", patient_id: str | None = PATIENT, at: PageRef | None = None
) -> list[Page]:
    """Read all pages of hits, from the newest on."""
    pages = [await welkin.search_messages(query, patient_id, at or Newest())]
    while (older := pages[-1].older) is not None:
        pages.append(await welkin.search_messages(query, patient_id, older))
        assert len(pages) < 60, "the walk ends"
    return pages


def texts(pages: list[Page]) -> list[Message]:
    return [message for page in pages for message in page.messages]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 60])
@across_searches
async def test_a_search_shows_every_hit_once_newest_first(
    welkin: Adapter, sandbox: Sandbox, variation: Variation, count: int
) -> None:
    hits = mention(sandbox, count)

    found = texts(await walk(welkin))

    assert found == [hit(each, sandbox, variation.api) for each in hits]


@across_searches
async def test_the_way_back_through_the_hits_ends_at_the_newest(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    hits = mention(sandbox, 60)
    page = (await walk(welkin))[-1]
    seen = list(page.messages)
    while page.newer is not None:
        page = await welkin.search_messages("dose", PATIENT, page.newer)
        seen = [*page.messages, *(message for message in seen if message not in page.messages)]

    assert seen == [hit(each, sandbox, variation.api) for each in hits]


async def test_nothing_found_is_an_empty_page(welkin: Adapter, sandbox: Sandbox) -> None:
    mention(sandbox, 9)

    page = await welkin.search_messages("nowhere", PATIENT, Newest())

    assert (page.messages, page.older, page.newer) == ((), None, None)


async def test_arrivals_between_two_pages_hide_no_hit(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    hits = mention(sandbox, 60)
    first = await welkin.search_messages("dose", PATIENT, Newest())
    for number in range(7):
        add(sandbox, CARE_TEAM[1], "a dose of news", START + timedelta(days=1, minutes=number))
    assert first.older is not None

    rest = await walk(welkin, at=first.older)

    behind = [message for message in texts(rest) if message.body != "a dose of news"]
    wanted = [hit(each, sandbox, variation.api) for each in hits]
    assert list(dict.fromkeys([*first.messages, *behind])) == wanted


@only_v1
async def test_the_tokens_of_a_hit_lead_to_its_neighbours_in_order(welkin: Adapter, sandbox: Sandbox) -> None:
    hits = mention(sandbox, 40)
    conversation = [each.v1_id for each in reversed(list(sandbox.store.history(PATIENT) or ()))]

    for page in await walk(welkin):
        assert set(page.beside) == {message.external_id for message in page.messages}
        for message in page.messages:
            place = conversation.index(message.external_id)
            older = newer = ()
            for ref in page.beside[message.external_id]:
                assert isinstance(ref, Linked)
                assert ref.local
                beside = await welkin.list_messages(PATIENT, ref, include_archived=False)
                ids = [each.external_id for each in beside.messages]
                assert message.external_id not in ids
                older = ids if ids and conversation.index(ids[0]) > place else older
                newer = ids if ids and conversation.index(ids[0]) < place else newer
            assert [*newer, message.external_id, *older] == conversation[max(place - 3, 0) : place + 4]
    assert len(hits) == 14


@only_v1
async def test_pages_reached_from_a_hit_stay_marked_by_their_clock(welkin: Adapter, sandbox: Sandbox) -> None:
    mention(sandbox, 40)
    page = await welkin.search_messages("dose", PATIENT, Newest())
    at: PageRef | None = page.beside[page.messages[1].external_id][0]
    seen: list[str] = []
    while at is not None:
        listed = await welkin.list_messages(PATIENT, at, include_archived=False)
        refs = [ref for ref in (listed.ref, listed.older, listed.newer) if ref is not None]
        assert all(isinstance(ref, Linked) and ref.local for ref in refs)
        seen += [message.external_id for message in listed.messages]
        at = listed.older

    conversation = [each.v1_id for each in reversed(list(sandbox.store.history(PATIENT) or ()))]
    assert seen == conversation[conversation.index(page.messages[1].external_id) + 1 :]
    plain = await welkin.list_messages(PATIENT, Newest(), include_archived=False)
    assert plain.older == Linked(plain.older.token if isinstance(plain.older, Linked) else "", local=False)


@only_v1
async def test_a_page_token_of_a_search_goes_alone(welkin: Adapter, sandbox: Sandbox) -> None:
    mention(sandbox, 40)

    await walk(welkin)

    queries = [seen.query for seen in sandbox.requests.seen if seen.operation == "search"]
    assert queries[0] == "query=*&pageSize=3&contentPageSize=3"
    assert len(queries) == 5
    assert all(query.startswith("pageToken=") and "&" not in query for query in queries[1:])


@only_v1
async def test_a_search_without_a_patient_is_refused_unsent(welkin: Adapter, sandbox: Sandbox) -> None:
    with pytest.raises(Unsupported):
        await welkin.search_messages("dose", None, Newest())

    assert sandbox.requests.count() == 0


@only_v1
async def test_a_dead_token_of_a_search_is_refused(welkin: Adapter, sandbox: Sandbox) -> None:
    with pytest.raises(PageRefused):
        await welkin.search_messages("dose", PATIENT, Linked("no token"))


@only_v2
async def test_a_search_across_patients_names_each_hits_own(welkin: Adapter, sandbox: Sandbox) -> None:
    mine = mention(sandbox, 9)
    sandbox.store.add_patient(StoredPatient(OTHER, "Alan", "Turing"))
    theirs = [
        sandbox.store.add_message(OTHER, CARE_TEAM[0], f"dose {n}", at_ms=2_000_000_000_000 + n * 1000)
        for n in range(9)
    ]

    found = texts(await walk(welkin, patient_id=None))

    wanted = [(each.v2_id, each.patient_id) for each in (*theirs[::-1], *mine)]
    assert [(message.external_id, message.patient_id) for message in found] == wanted


@only_v2
async def test_no_body_at_all_is_no_hits(welkin: Adapter, sandbox: Sandbox) -> None:
    mention(sandbox, 9)
    sandbox.faults.add(FaultRule("no_content", operation="search"))

    page = await welkin.search_messages("dose", PATIENT, Newest())

    assert (page.messages, page.older, page.newer) == ((), None, None)


async def test_a_reference_of_the_other_version_is_refused_unsent(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    foreign: PageRef = Numbered(1, 50) if variation.api is ApiVersion.V1 else Linked("abc")

    with pytest.raises(PageRefused):
        await welkin.search_messages("dose", PATIENT, foreign)

    assert sandbox.requests.count() == 0


@pytest.mark.parametrize("hostile", ["", "..", "a/b", "a?b=1", "x" * 500])
async def test_an_id_that_is_none_is_refused_unsent(welkin: Adapter, sandbox: Sandbox, hostile: str) -> None:
    with pytest.raises(BadInput):
        await welkin.search_messages("dose", hostile, Newest())

    assert sandbox.requests.count() == 0


async def test_an_expired_bearer_is_renewed_for_a_search(welkin: Adapter, sandbox: Sandbox) -> None:
    mention(sandbox, 9)
    await welkin.search_messages("dose", PATIENT, Newest())
    sandbox.credentials.expire_all()

    page = await welkin.search_messages("dose", PATIENT, Newest())

    assert len(page.messages) == 3


FAULTS: dict[str, type[GatewayError]] = {
    "bad_request": BadInput,
    "html": UpstreamBadResponse,
    "not_found": NotFound,
    "reset": UpstreamUnavailable,
    "reset_mid_body": UpstreamUnavailable,
    "server_error": UpstreamUnavailable,
    "truncated": UpstreamBadResponse,
    "unauthorized": UpstreamUnavailable,
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_a_search_that_fails_fails_like_a_read(
    welkin: Adapter, sandbox: Sandbox, variation: Variation, fault: str
) -> None:
    mention(sandbox, 9)
    sandbox.faults.add(FaultRule(fault, operation="search", times=None))

    with pytest.raises(GatewayError) as caught:
        await welkin.search_messages("dose", PATIENT, Newest())

    assert type(caught.value) is FAULTS[fault]
    assert sandbox.requests.count(f"{variation.api.value}.search") == tries(fault)


@pytest.mark.parametrize("fault", ["null_item", "extra_fields", "missing_fields", "item_without_id"])
async def test_an_odd_hit_costs_nothing_else(welkin: Adapter, sandbox: Sandbox, fault: str) -> None:
    mention(sandbox, 9)
    sandbox.faults.add(FaultRule(fault, operation="search", times=None))

    page = await welkin.search_messages("dose", PATIENT, Newest())

    assert len(page.messages) == (2 if fault == "item_without_id" else 3)


@pytest.mark.parametrize("fault", [None, "null_item", "bad_request", "server_error", "html"])
async def test_the_words_searched_for_are_in_no_log_and_no_error(
    welkin: Adapter, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, fault: str | None
) -> None:
    caplog.set_level("DEBUG", logger="gateway")
    add(sandbox, CARE_TEAM[0], "xanthic canary", START)
    add(sandbox, CARE_TEAM[0], "xanthic canary", START + timedelta(minutes=1))
    if fault is not None:
        sandbox.faults.add(FaultRule(fault, operation="search", times=None))

    said: list[str] = []
    for query in ("xanthic", "xanthic\ud83d"):
        with suppress(GatewayError):
            try:
                await welkin.search_messages(query, PATIENT, Newest())
            except GatewayError as error:
                said += [str(error), repr(error), repr(error.__cause__)]
                raise

    ours = [record.getMessage() for record in caplog.records if record.name.startswith("gateway")]
    assert not any("xanthic" in text or PATIENT in text for text in (*said, *ours))
