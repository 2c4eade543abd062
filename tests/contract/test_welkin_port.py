"""What every adapter owes the port, over a real socket, in every variation of its version.

Where the versions differ by nature, the difference stands in ``expectations`` and nowhere else.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta

import pytest

from gateway.domain.errors import NotFound, PageRefused, SendUnconfirmed, Unsupported
from gateway.domain.model import ApiVersion, Capability, Message, PatientRecord
from gateway.domain.pages import Linked, Newest, Numbered, Page, PageRef
from gateway.sandbox import Sandbox
from gateway.sandbox.records import StoredFile
from gateway.sandbox.store import CARE_TEAM
from tests.contract.expectations import history
from tests.contract.reading import Adapter, across_cuts, across_refusals, across_words, read
from tests.contract.welkin_variations import PATIENT, START, V1, Variation, add, talk

FILE = StoredFile("f-1", "scan.png", "image/png", 10)


async def walk(welkin: Adapter, *, archived: bool = False) -> list[Page]:
    """Read all pages from the newest to the oldest."""
    pages = [await read(welkin, archived=archived)]
    while (older := pages[-1].older) is not None:
        pages.append(await read(welkin, older, archived=archived))
        assert len(pages) < 60, "the walk ends"
    return pages


def texts(pages: list[Page]) -> list[Message]:
    return [message for page in pages for message in page.messages]


@pytest.mark.parametrize("count", [1, 5, 6, 33, 120])
@across_cuts
async def test_a_walk_shows_the_whole_history_once(
    welkin: Adapter, sandbox: Sandbox, variation: Variation, count: int
) -> None:
    talk(sandbox, count)

    assert texts(await walk(welkin)) == history(sandbox, variation.api)


@across_cuts
async def test_ties_neither_hide_nor_double_messages(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    talk(sandbox, 27, spacing=0.25)

    assert texts(await walk(welkin)) == history(sandbox, variation.api)


@across_cuts
async def test_a_conversation_within_one_second_is_read_whole(welkin: Adapter, sandbox: Sandbox) -> None:
    """Nothing tells the order here, so only completeness is owed."""
    talk(sandbox, 23, spacing=0)

    found = [message.external_id for message in texts(await walk(welkin))]

    assert len(found) == len(set(found)) == 23


@across_cuts
async def test_the_way_back_leads_to_the_newest_message(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    talk(sandbox, 33)
    page = (await walk(welkin))[-1]
    found = list(page.messages)
    for _ in range(60):
        if page.newer is None:
            break
        page = await read(welkin, page.newer)
        found = [*page.messages, *(message for message in found if message not in page.messages)]

    assert page.newer is None
    assert found == history(sandbox, variation.api)


@across_cuts
async def test_the_newest_page_has_the_newest_message_and_nothing_newer(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    talk(sandbox, 12)
    await read(welkin)
    add(sandbox, CARE_TEAM[0], "new", START + timedelta(days=1))

    page = await read(welkin)

    assert page.messages[0] == history(sandbox, variation.api)[0]
    assert page.newer is None


@across_cuts
async def test_new_messages_are_found_beyond_the_page_that_was_the_newest(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    talk(sandbox, 12)
    await read(welkin)
    for number in range(13):
        add(sandbox, CARE_TEAM[0], f"new {number}", START + timedelta(days=1, minutes=number))

    assert texts(await walk(welkin)) == history(sandbox, variation.api)


@across_cuts
async def test_a_page_is_found_again_by_its_reference(welkin: Adapter, sandbox: Sandbox) -> None:
    talk(sandbox, 33)
    for page in await walk(welkin):
        again = await read(welkin, page.ref)

        assert again.messages == page.messages
        assert again.ref == page.ref
        assert again.older == page.older or not again.messages


@across_cuts
async def test_an_empty_conversation_is_an_empty_page(welkin: Adapter, sandbox: Sandbox) -> None:
    page = await read(welkin)

    assert (page.messages, page.older, page.newer) == ((), None, None)


@across_cuts
async def test_archived_messages_come_only_where_they_are_asked_for(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    """A whole page of them, so that pages are empty where the server filters after cutting."""
    talk(sandbox, 30, archived=frozenset(range(8, 22)))

    assert texts(await walk(welkin)) == history(sandbox, variation.api, archived=False)
    assert texts(await walk(welkin, archived=True)) == history(sandbox, variation.api)


@across_words
async def test_attachments_and_read_times_come_as_far_as_the_version_tells_them(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    add(sandbox, CARE_TEAM[0], "", START, files=(FILE,), read_at=START + timedelta(minutes=1))

    page = await read(welkin)

    assert list(page.messages) == history(sandbox, variation.api)


@across_words
async def test_a_patients_record_is_read(welkin: Adapter, sandbox: Sandbox, variation: Variation) -> None:
    record = PatientRecord(
        PATIENT, "Joan", None, "Clarke", date(1980, 2, 29), "FEMALE", timezone="Europe/Paris"
    )

    found = await welkin.patient(PATIENT)

    assert found == (record if variation.api is ApiVersion.V1 else replace(record, timezone=None))


@across_refusals
async def test_a_patient_that_is_not_there_is_not_found(welkin: Adapter, sandbox: Sandbox) -> None:
    with pytest.raises(NotFound):
        await welkin.patient("nobody")
    with pytest.raises(NotFound):
        await welkin.list_messages("nobody", Newest(), include_archived=False)
    with pytest.raises(NotFound):
        await welkin.send_message("nobody", "hello", None)


@across_words
async def test_a_message_is_sent_once_and_listed_as_it_was_answered(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    talk(sandbox, 6)
    silent = variation.api is ApiVersion.V2 and sandbox.knobs.v2_send_answer in {
        "created_empty",
        "no_content",
    }
    body = " Is 5 mg <b>enough</b>? \U0001f914 "

    if silent:
        with pytest.raises(SendUnconfirmed):
            await welkin.send_message(PATIENT, body, None)
    else:
        sent = await welkin.send_message(PATIENT, body, None)
        listed = (await read(welkin)).messages[0]
        # v1 names the patient in this one answer (R)
        assert replace(sent, sender=replace(sent.sender, name=None)) == listed

    assert history(sandbox, variation.api)[0].body == body
    assert sandbox.requests.count(f"{variation.api.value}.send") == 1


@across_words
async def test_a_file_goes_with_a_message_where_the_version_can(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    sandbox.store.add_file(FILE)

    if variation.api is ApiVersion.V1:
        with pytest.raises(Unsupported):
            await welkin.send_message(PATIENT, "see", FILE.id)
        assert sandbox.requests.count() == 0
        return
    with suppress(SendUnconfirmed):  # two variations answer without a message
        await welkin.send_message(PATIENT, "see", FILE.id)
    stored = list(sandbox.store.history(PATIENT) or ())
    assert [(each.text, each.files) for each in stored] == [("see", (FILE,))]


async def test_a_reference_of_the_other_version_is_refused_unsent(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    foreign: PageRef = Numbered(1, 50) if variation.api is ApiVersion.V1 else Linked("abc")

    with pytest.raises(PageRefused):
        await read(welkin, foreign)

    assert sandbox.requests.count() == 0


CORRUPTED = (
    "eyJ0eXBlIjoiTE9DQUxfU0VBUkNIIiwicGFnZVNpemUiOjIsImJvcmRlckRhdGUi"
    "OiIyMDIxLTAzLTA1VDE2OjA5OjUyLjYNVoiLCJxdWVyeSI6ImhlbGxvIiwiYmVmb3JlIjpmYWxzZX0="
)
"""The documented token that lost a character on its way into the documentation (field notes, 3.5)."""


@across_cuts
async def test_a_page_that_welkin_does_not_know_any_more_is_refused(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    talk(sandbox, 12)
    lost: PageRef = Linked(CORRUPTED)
    if variation.api is ApiVersion.V2:
        asc = sandbox.knobs.v2_order == "asc"
        await read(welkin)
        lost = Numbered(0, variation.page_size, oldest_first=not asc)  # counted from the other end

    with pytest.raises(PageRefused):
        await read(welkin, lost)

    if variation.api is ApiVersion.V1:
        query = sandbox.requests.seen[-1].query
        assert CORRUPTED.replace("=", "%3D") in query
        assert "pageSize" not in query


async def test_every_page_of_v1_says_whether_archived_messages_are_wanted(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    talk(sandbox, 12)

    await walk(welkin, archived=True)

    lists = [seen.query for seen in sandbox.requests.seen if seen.operation == "list"]
    assert all(("includeArchived=true" in query) is (variation.api is ApiVersion.V1) for query in lists)
    assert not any("pageSize" in query and "pageToken" in query for query in lists)


@across_cuts
async def test_an_old_reference_of_another_size_still_leads_to_its_place(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    if variation.api is ApiVersion.V1:
        with pytest.raises(PageRefused):
            await read(welkin, Numbered(3, 2))
        return
    talk(sandbox, 33)
    asc = sandbox.knobs.v2_order == "asc"
    await read(welkin)
    honest = sandbox.knobs.v2_size_policy == "cap" and sandbox.knobs.v2_max_size >= 5

    page = await read(welkin, Numbered(3, 2, oldest_first=asc))

    ids = [message.external_id for message in history(sandbox, variation.api)]
    wanted = ids[-7] if asc else ids[6]
    assert not honest or wanted in [message.external_id for message in page.messages]


@pytest.mark.parametrize("variation", [Variation(V1)], indirect=True, ids=str)
async def test_what_is_not_served_says_so_before_anything_is_sent(welkin: Adapter, sandbox: Sandbox) -> None:
    with pytest.raises(Unsupported, match="one patient at a time"):
        await welkin.search_messages("dose", None, Newest())
    with pytest.raises(Unsupported, match="chat tokens"):
        await welkin.list_portal_messages("secret", Newest())
    with pytest.raises(Unsupported, match="files"):
        welkin.open_file("f-1")

    assert sandbox.requests.count() == 0


def test_the_capabilities_are_those_of_the_version(welkin: Adapter, variation: Variation) -> None:
    split = {
        ApiVersion.V1: {Capability.ARCHIVE_FILTER, Capability.SENDER_NAMES},
        ApiVersion.V2: set(Capability) - {Capability.ARCHIVE_FILTER, Capability.SENDER_NAMES},
    }

    assert welkin.api_version is variation.api
    assert welkin.capabilities == split[variation.api]
