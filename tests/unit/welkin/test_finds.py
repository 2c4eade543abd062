"""Hits and records of lists, read from JSON: what is odd costs nothing but itself."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.errors import UpstreamBadResponse
from gateway.domain.pages import Numbered
from gateway.welkin.patients import Told, patient_page, read_patients
from gateway.welkin.v1.hits import read_hits
from gateway.welkin.v1.translate import read_patients as read_v1_patients
from gateway.welkin.v2.habits import read_finds, read_portal

TIME = "2030-01-01T10:00:00Z"


def v2_item(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": f"m{number}", "body": "text", "sentAt": TIME, "sender": "PATIENT", **fields}


def found(answer: object, patient_id: str | None = None) -> list[tuple[str, str]]:
    listed = read_finds(answer, patient_id)
    return [(draft.message.external_id, draft.message.patient_id) for draft in listed.drafts]


def test_a_message_of_nobody_or_of_another_patient_than_asked_for_is_left_out() -> None:
    odd: list[object] = [{"patientId": ""}, {"patientId": "../x"}, {"patientId": None}, {"patientId": 7}]
    items = [v2_item(0, patientId="p1"), *(v2_item(n + 1, **each) for n, each in enumerate(odd))]

    assert found(items) == [("m0", "p1"), ("m4", "7")]
    assert read_finds(items, None).dropped == 3
    assert found(items, "p9") == [("m1", "p9"), ("m2", "p9"), ("m3", "p9")]


def test_a_wrapped_message_takes_its_patient_from_either_level() -> None:
    items = [
        {"message": v2_item(1, patientId="p1"), "score": 1.0},
        {"message": v2_item(2), "patientId": "p2"},
        v2_item(3, message="a text in v1's word", patientId="p3"),
    ]

    assert found(items) == [("m1", "p1"), ("m2", "p2"), ("m3", "p3")]


def test_items_of_which_none_is_a_message_are_no_answer() -> None:
    with pytest.raises(UpstreamBadResponse):
        read_finds([v2_item(1)], None)


def test_a_portals_message_that_names_nobody_is_its_neighbours_patients() -> None:
    listed = read_portal([None, v2_item(1), v2_item(2, patientId="p1"), v2_item(3, patientId="")])

    owners = [(draft.message.external_id, draft.message.patient_id) for draft in listed.drafts]
    assert owners == [("m1", "p1"), ("m2", "p1"), ("m3", "p1")]


def hit(number: int, meta: object) -> dict[str, Any]:
    return {"message": {"externalId": f"IM{number}", "createdAt": TIME, "message": "text"}, "meta": meta}


def test_the_neighbours_of_a_hit_are_its_own_tokens_older_first() -> None:
    content = [
        hit(1, {"nextPageToken": "older", "prevPageToken": "newer"}),
        hit(2, {"nextPageToken": None, "prevPageToken": "newer"}),
        hit(3, {"nextPageToken": 7, "prevPageToken": "newer"}),
        hit(4, None),
    ]

    page = read_hits({"meta": {"nextPageToken": "a+/="}, "content": content}, "p1")

    assert page.listed.older_token == "a+/="
    assert page.beside == {"IM1": ("older", "newer"), "IM2": ("newer",), "IM3": ("newer",), "IM4": ()}


@pytest.mark.parametrize(
    ("told", "following"),
    [
        (Told(5), 3),
        (Told(4), None),
        (Told(0), None),
        (Told(0, last=False), None),
        (Told(5, last=True), None),
        (Told(2, last=False), 3),
        (Told(5, pages=3), None),
        (Told(5, pages=4), 3),
        (Told(5, total=15), None),
        (Told(5, total=16), 3),
    ],
)
def test_a_list_of_patients_goes_on_while_there_is_more(told: Told, following: int | None) -> None:
    page = patient_page(Numbered(2, 5), (), told)

    assert page.following == (None if following is None else Numbered(following, 5))


def test_records_that_are_none_are_left_out() -> None:
    items: list[object] = [None, {"id": "p1"}, {"firstName": "Ada"}, {"id": "../p"}, {"id": "p1"}, {"id": 5}]

    assert [record.patient_id for record in read_patients(items)] == ["p1", "5"]


@pytest.mark.parametrize("answer", [None, [], {}, {"content": None}, {"content": [None]}])
def test_what_is_no_page_of_records_is_no_answer(answer: object) -> None:
    with pytest.raises(UpstreamBadResponse):
        read_v1_patients(answer, Numbered(0, 5))
