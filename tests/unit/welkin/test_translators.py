"""Both versions' messages in our words: recorded shapes, every word of the tables, and any JSON at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import UpstreamBadResponse
from gateway.domain.model import Attachment, Message, Sender, SenderKind
from gateway.welkin.drafts import newest_first
from gateway.welkin.v1 import translate as v1
from gateway.welkin.v2 import translate as v2
from gateway.welkin.v2.habits import read_list as read_v2_list

RECORDINGS = Path(__file__).parents[2] / "recordings"
TEN = datetime(2030, 1, 1, 10, 0, 0, tzinfo=UTC)


def recording(name: str) -> Any:
    return json.loads((RECORDINGS / name).read_text())


def v1_page(*content: object, **meta: object) -> dict[str, object]:
    return {"meta": {"nextPageToken": None, "prevPageToken": None, **meta}, "content": list(content)}


def v1_item(number: int, second: int | None = 0, **more: object) -> dict[str, object]:
    time = {} if second is None else {"createdAt": f"2030-01-01T10:00:{second:02}.000Z"}
    return {"externalId": f"IM{number}", "message": "text", **time, **more}


def test_a_recorded_v1_page_is_translated_whole() -> None:
    listed = v1.read_list(recording("v1-list.json"), "91be")

    assert listed == v1.Listed(
        messages=(
            Message(
                external_id="IM0123456789abcdef0123456789abcde2",
                patient_id="91be",
                sender=Sender(SenderKind.CARE_TEAM, "6f0c", "Ada Byron"),
                body="Take it with food.",
                created_at=TEN.replace(minute=5),
            ),
            Message(
                external_id="IM0123456789abcdef0123456789abcde1",
                patient_id="91be",
                sender=Sender(SenderKind.PATIENT, "91be"),
                body="When do I take it? \U0001f914",
                created_at=TEN,
            ),
        ),
        older_token="eyJ0eXBlIjoiUFJPVklERVIiLCJ0d2lsaW9Ub2tlbiI6Ik9yZGVyPWRlc2MmUGFnZVNpemU9MiZQYWdlPTEmUGFnZVRva2VuPVBUMiJ9",
        newer_token=None,
        dropped=0,
    )


def test_a_recorded_answer_to_a_v1_send_names_the_patient() -> None:
    message = v1.read_message(recording("v1-send.json"), "91be")

    assert message is not None
    assert message.sender == Sender(SenderKind.PATIENT, "91be", "Joan Clarke")


def test_a_page_of_welkins_own_store_has_milliseconds_and_the_same_ids() -> None:
    listed = v1.read_list(recording("v1-list-local.json"), "91be")

    assert [(m.external_id[-2:], m.created_at) for m in listed.messages] == [
        ("e2", TEN.replace(minute=5, second=1, microsecond=106_000)),
        ("e1", TEN.replace(microsecond=451_000)),
    ]


def test_the_documented_v2_message_is_translated_whole() -> None:
    message = v2.read_message(recording("v2-message.json"), "p-1")

    assert message == Message(
        external_id="msg-1",
        patient_id="p-1",
        sender=Sender(SenderKind.PATIENT, "p-1"),
        body="text",
        created_at=TEN.replace(minute=5),
    )


@pytest.mark.parametrize(("word", "kind"), sorted(v1.SENDER_KINDS.items()))
def test_every_v1_client_type_has_a_kind(word: str, kind: SenderKind) -> None:
    for spelling in (word, word.lower(), f" {word.title()} "):
        draft = v1.read_draft(v1_item(1, sender={"clientType": spelling, "id": "u1"}), "p1")

        assert draft is not None
        assert draft.message.sender == Sender(kind, "u1")


@pytest.mark.parametrize(("word", "kind"), sorted(v2.SENDER_KINDS.items()))
@pytest.mark.parametrize("style", ["word", "type", "clientType"])
def test_every_v2_sender_has_a_kind_in_every_style(word: str, kind: SenderKind, style: str) -> None:
    sender: object = word.lower() if style == "word" else {style: word, "id": "u1", "name": "Ada"}
    extra = {"senderId": "u1", "senderName": "Ada"} if style == "word" else {}

    draft = v2.read_draft({"id": "m1", "sender": sender, **extra}, "p1")

    assert draft is not None
    assert draft.message.sender == Sender(kind, "p1" if kind is SenderKind.PATIENT else "u1", "Ada")


def test_the_tables_cover_every_kind_but_the_unknown() -> None:
    for table in (v1.SENDER_KINDS, v2.SENDER_KINDS):
        assert set(table.values()) == set(SenderKind) - {SenderKind.UNKNOWN}


@pytest.mark.parametrize("sender", [None, "", "ROBOT", 7, [], {}, {"clientType": None}, {"clientType": {}}])
def test_a_sender_that_nobody_knows_is_unknown(sender: object) -> None:
    for read, item in (
        (v1.read_draft, v1_item(1, sender=sender)),
        (v2.read_draft, {"id": "m1", "sender": sender}),
    ):
        draft = read(item, "p1")

        assert draft is not None
        assert draft.message.sender.kind is SenderKind.UNKNOWN


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({}, []),
        ({"attachments": None}, []),
        (
            {"attachments": [{"id": "f1", "fileName": "a.png"}, {"fileId": "f2"}, {"attachmentId": "f3"}]},
            ["f1", "f2", "f3"],
        ),
        ({"attachments": ["f1", None, {}, {"id": ""}]}, ["f1"]),
        ({"files": [{"id": "f1"}]}, ["f1"]),
        ({"attachment": {"id": "f1"}}, ["f1"]),
        ({"attachment": None}, []),
        ({"file": {"fileId": "f1"}}, ["f1"]),
        ({"attachmentId": "f1"}, ["f1"]),
        ({"fileId": 7}, ["7"]),
        ({"attachments": [{"id": "f1"}], "attachmentId": "f1"}, ["f1"]),
    ],
)
def test_attachments_are_read_in_every_form(fields: dict[str, object], ids: list[str]) -> None:
    draft = v2.read_draft({"id": "m1", **fields}, "p1")

    assert draft is not None
    assert draft.message.attachments == tuple(map(Attachment, ids))


@pytest.mark.parametrize(
    ("fields", "read_at"),
    [
        ({}, None),
        ({"readAt": None}, None),
        ({"readAt": "2030-01-01T10:00:00Z"}, TEN),
        ({"readAt": "later"}, None),
    ],
)
def test_read_at_is_a_time_or_nothing(fields: dict[str, object], read_at: datetime | None) -> None:
    draft = v2.read_draft({"id": "m1", **fields}, "p1")

    assert draft is not None
    assert draft.message.read_at == read_at


def test_both_versions_take_each_others_names() -> None:
    fields = {"sentAt": "2030-01-01T10:00:00Z", "createdAt": None}
    one = v1.read_draft({"id": "a", "body": "hi", **fields}, "p1")
    two = v2.read_draft({"externalId": "a", "message": "hi", "createdAt": "2030-01-01T10:00:00Z"}, "p1")

    assert one == two


@pytest.mark.parametrize(
    "text", [" two spaces  ", "e\u0301", "\u202eabc", "<b>", "\U0001f469\u200d\U0001f680", "a" * 65_536]
)
def test_texts_are_kept_as_they_are(text: str) -> None:
    one, two = v1.read_draft(v1_item(1, message=text), "p1"), v2.read_draft({"id": "m", "body": text}, "p1")

    assert one is not None
    assert two is not None
    assert one.message.body == two.message.body == text


def test_odd_items_are_dropped_and_counted() -> None:
    listed = v1.read_list(v1_page(None, 5, {}, {"externalId": ""}, v1_item(1), v1_item(1)), "p1")

    assert [m.external_id for m in listed.messages] == ["IM1"]
    assert listed.dropped == 5


def test_an_item_without_a_time_takes_its_older_neighbours() -> None:
    listed = v1.read_list(v1_page(v1_item(4, None), v1_item(3, 30), v1_item(2, None), v1_item(1, 10)), "p1")

    assert [(m.external_id, m.created_at.second) for m in listed.messages] == [
        ("IM4", 30),
        ("IM3", 30),
        ("IM2", 10),
        ("IM1", 10),
    ]


def test_an_undated_item_at_the_old_end_takes_its_newer_neighbours_time() -> None:
    listed = v1.read_list(v1_page(v1_item(2, 30), v1_item(1, None)), "p1")

    assert [(m.external_id, m.created_at.second) for m in listed.messages] == [("IM2", 30), ("IM1", 30)]


def test_ties_keep_the_upstreams_order() -> None:
    listed = v1.read_list(v1_page(v1_item(1, 5), v1_item(9, 5), v1_item(3, 7), v1_item(2, 5)), "p1")

    assert [m.external_id for m in listed.messages] == ["IM3", "IM1", "IM9", "IM2"]


@pytest.mark.parametrize("content", [[None], [{}], [v1_item(1, None)], [{"errorCode": "X"}]])
def test_a_page_of_nothing_but_oddities_is_a_bad_response(content: list[object]) -> None:
    with pytest.raises(UpstreamBadResponse):
        v1.read_list(v1_page(*content), "p1")
    with pytest.raises(UpstreamBadResponse):
        read_v2_list(content, "p1")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        [],
        "x",
        {"content": []},
        {"meta": {}},
        {"meta": {}, "content": {}},
        {"meta": [], "content": []},
        v1_page(nextPageToken=5),
    ],
)
def test_what_is_no_v1_page_is_a_bad_response(answer: object) -> None:
    with pytest.raises(UpstreamBadResponse):
        v1.read_list(answer, "p1")


def test_tokens_are_carried_byte_for_byte_even_a_corrupted_one() -> None:
    corrupted = "eyJ0eXBlIjoiTE9DQUxfU0VBUkNIIiwi" + "x" * 110 + "="
    listed = v1.read_list(v1_page(nextPageToken=corrupted, prevPageToken=" a+/= "), "p1")

    assert (listed.older_token, listed.newer_token) == (corrupted, " a+/= ")


words = st.sampled_from(
    [
        "externalId",
        "id",
        "message",
        "body",
        "createdAt",
        "sentAt",
        "sender",
        "clientType",
        "type",
        "readAt",
        "attachments",
        "files",
        "attachment",
        "fileId",
        "meta",
        "content",
        "nextPageToken",
        "data",
        "metaInfo",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("2030-01-01T10:00:00Z"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(), inner, max_size=6),
    max_leaves=20,
)


@given(values | values.map(lambda value: {"meta": {}, "content": [value, v1_item(1)]}))
def test_no_json_crashes_a_translator(value: object) -> None:
    for read in (
        v1.read_list,
        read_v2_list,
        v1.read_message,
        v2.read_message,
        v1.read_patient,
        v2.read_patient,
    ):
        try:
            read(value, "p1")
        except UpstreamBadResponse:
            continue


@given(st.lists(st.tuples(st.integers(0, 59) | st.none(), st.integers(0, 30))))
def test_a_page_comes_out_newest_first_with_every_id_once(entries: list[tuple[int | None, int]]) -> None:
    content = [v1_item(number, second) for second, number in entries]
    if not any("createdAt" in item for item in {str(i["externalId"]): i for i in reversed(content)}.values()):
        return

    messages = newest_first(read_v2_list(content, "p1").drafts)

    assert sorted(m.external_id for m in messages) == sorted({str(i["externalId"]) for i in content})
    assert [m.created_at for m in messages] == sorted((m.created_at for m in messages), reverse=True)
