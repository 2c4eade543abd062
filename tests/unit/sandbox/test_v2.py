from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from gateway.sandbox.conversations import (
    FILE_LARGE,
    FILE_LETTER,
    FILE_UPLOADED,
    FILES,
    LONG,
    PATIENTS,
    TIES,
)
from gateway.sandbox.knobs import AttachmentStyle, Envelope, ErrorShape, SenderStyle, TimeStyle
from tests.unit.sandbox.conftest import PATIENT

CONTENTS = {
    "data_meta": lambda body: body["data"],
    "data": lambda body: body["data"],
    "content_totals": lambda body: body["content"],
    "spring": lambda body: body["content"],
    "messages": lambda body: body["messages"],
    "array": lambda body: body,
    "data_content": lambda body: body["data"]["content"],
    "meta_content": lambda body: body["content"],
}


def bodies(answer):
    return [item["body"] for item in answer.raise_for_status().json()["data"]]


def test_the_token_says_when_it_expires(served):
    answer = served.http.post(
        "/v2/auth/token", json={"apiClient": "SANDBOXV2", "secret": "sandbox-secret"}
    ).json()

    left = datetime.fromisoformat(answer["expiresAt"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


@pytest.mark.parametrize("style", ["expires_at", "created", "no_expiry", "garbled", "expires_in"])
def test_every_style_of_token_lets_in(served, style):
    served.sandbox.turn(v2_token_answer=style)
    answer = served.http.post("/v2/auth/token", json={"apiClient": "SANDBOXV2", "secret": "sandbox-secret"})
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}

    assert answer.status_code == (201 if style == "created" else 200)
    assert served.v2(f"/patients/{LONG}/chat/messages", headers=bearer).status_code == 200


def test_pages_are_counted_from_the_newest_and_shift_when_messages_arrive(served):
    served.bulk(5)
    path = f"/patients/{PATIENT}/chat/messages"

    before = bodies(served.v2(path, params={"page": 1, "size": 2}))
    served.bulk(1)
    after = bodies(served.v2(path, params={"page": 1, "size": 2}))

    assert (before, after) == (["Message 3", "Message 2"], ["Message 4", "Message 3"])


def test_pages_counted_from_the_oldest_stay_put(served):
    served.sandbox.turn(v2_order="asc")
    served.bulk(5)
    path = f"/patients/{PATIENT}/chat/messages"

    before = bodies(served.v2(path, params={"page": 1, "size": 2}))
    served.bulk(1)

    assert before == bodies(served.v2(path, params={"page": 1, "size": 2})) == ["Message 3", "Message 4"]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_numbered_pages_hold_everything_once(served, order, size):
    served.sandbox.turn(v2_order=order)
    served.bulk(20)

    pages = [
        bodies(served.v2(f"/patients/{PATIENT}/chat/messages", params={"page": number, "size": size}))
        for number in range(20 // size + 2)
    ]

    assert sorted(body for page in pages for body in page) == sorted(f"Message {n}" for n in range(1, 21))
    assert pages[-1] == []


@pytest.mark.parametrize("envelope", get_args(Envelope))
@pytest.mark.parametrize("totals", [True, False])
def test_every_envelope_holds_the_same_messages(served, envelope, totals):
    plain = served.v2(f"/patients/{LONG}/chat/messages", params={"size": 3}).json()["data"]
    served.sandbox.turn(v2_envelope=envelope, v2_totals=totals)

    body = served.v2(f"/patients/{LONG}/chat/messages", params={"size": 3}).json()

    assert CONTENTS[envelope](body) == plain
    assert ("totalElements" in str(body)) == (totals and envelope not in {"data", "array"})


def test_every_envelope_has_its_test():
    assert set(CONTENTS) == set(get_args(Envelope))


@pytest.mark.parametrize("key", ["messages", "items", "results"])
def test_the_key_of_the_messages_envelope_is_a_knob(served, key):
    served.sandbox.turn(v2_envelope="messages", v2_envelope_key=key)

    assert len(served.v2(f"/patients/{LONG}/chat/messages").json()[key]) == 50


@pytest.mark.parametrize(("policy", "count"), [("cap", 100), ("ignore", 50)])
def test_a_size_over_the_maximum_is_cut_or_ignored(served, policy, count):
    served.sandbox.turn(v2_size_policy=policy)

    assert len(bodies(served.v2(f"/patients/{LONG}/chat/messages", params={"size": 500}))) == count


def test_a_size_over_the_maximum_can_be_refused(served):
    served.sandbox.turn(v2_size_policy="reject", v2_max_size=50)

    answers = [
        served.v2(f"/patients/{LONG}/chat/messages", params={"size": size}).status_code for size in (50, 51)
    ]

    assert answers == [200, 400]


@pytest.mark.parametrize(
    ("since", "expected"),
    [("exclusive", ["Message 3"]), ("inclusive", ["Message 3", "Message 2"]), ("ignored", None)],
)
def test_since_leaves_newer_messages(served, since, expected):
    served.sandbox.turn(v2_since=since)
    served.bulk(3, start="2030-01-01T00:00:00Z", spacing=1)

    found = bodies(served.v2(f"/patients/{PATIENT}/chat/messages", params={"since": "2030-01-01T00:00:01Z"}))

    assert found == (expected or ["Message 3", "Message 2", "Message 1"])


def test_since_works_where_times_went_back(served):
    served.bulk(2, start="2030-01-01T00:00:05Z")
    served.bulk(2, start="2030-01-01T00:00:00Z")

    found = served.v2(f"/patients/{PATIENT}/chat/messages", params={"since": "2030-01-01T00:00:04Z"})

    assert bodies(found) == ["Message 2", "Message 1"]


@pytest.mark.parametrize("style", get_args(TimeStyle))
def test_every_style_of_time_names_the_same_second_in_the_order_of_the_list(served, style):
    path = f"/patients/{TIES}/chat/messages"
    plain = [item["sentAt"] for item in served.v2(path).json()["data"]]
    served.sandbox.turn(v2_times=style)

    found = [read_time(item["sentAt"]) for item in served.v2(path).json()["data"]]

    assert [time.replace(microsecond=0) for time in found] == [read_time(time) for time in plain]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("style", ["fraction", "epoch_ms"])
def test_since_is_as_fine_as_the_times_that_are_shown(served, style):
    served.sandbox.turn(v2_times=style)
    path = f"/patients/{TIES}/chat/messages"
    items = served.v2(path).json()["data"]

    newer = served.v2(path, params={"since": items[10]["sentAt"]}).json()["data"]

    assert newer == items[:10]


def read_time(value):
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC)
    return datetime.fromisoformat(value).astimezone(UTC)


@pytest.mark.parametrize("style", get_args(SenderStyle))
def test_every_style_of_sender_is_served(served, style):
    served.sandbox.turn(v2_sender=style)

    found = {str(item.get("sender")) for item in served.v2(f"/patients/{LONG}/chat/messages").json()["data"]}

    assert len(found) == 1 if style == "missing" else len(found) >= 2


@pytest.mark.parametrize("style", get_args(AttachmentStyle))
def test_every_style_of_attachment_carries_the_files_id(served, style):
    served.sandbox.turn(v2_attachments=style)

    items = served.v2(f"/patients/{FILES}/chat/messages").json()["data"]

    letter = next(item for item in items if item["body"].startswith("Thank you"))
    assert (FILE_LETTER.id in str(letter)) == (style != "absent")


@pytest.mark.parametrize("shape", get_args(ErrorShape))
def test_every_shape_of_error_keeps_its_status(served, shape):
    served.sandbox.turn(v2_errors=shape)

    answers = [
        served.v2("/patients/nobody/chat/messages"),
        served.v2(f"/patients/{LONG}/chat/messages", headers={}),
        served.v2("/nowhere/at/all"),
        served.v2(f"/patients/{LONG}/chat/messages", "PUT"),
    ]

    assert [answer.status_code for answer in answers] == [404, 401, 404, 405]


@pytest.mark.parametrize(
    ("style", "status"),
    [("created", 201), ("ok", 200), ("accepted", 202), ("created_empty", 201), ("no_content", 204)],
)
def test_a_send_is_stored_however_it_is_answered(served, style, status):
    served.sandbox.turn(v2_send_answer=style)

    answer = served.v2(f"/patients/{LONG}/chat/messages", "POST", json={"body": "Hi"})

    newest = served.v2(f"/patients/{LONG}/chat/messages", params={"size": 1}).json()["data"][0]
    assert answer.status_code == status
    assert newest["body"] == "Hi"
    if answer.content:
        assert answer.json() == newest


def test_a_send_carries_a_file_that_was_uploaded(served):
    path = f"/patients/{LONG}/chat/messages"

    sent = served.v2(path, "POST", json={"body": "See", "attachmentId": FILE_UPLOADED.id})
    refused = served.v2(path, "POST", json={"body": "See", "attachmentId": "nothing"})

    assert sent.json()["attachments"][0]["fileName"] == "diary.txt"
    assert refused.status_code == 400


@pytest.mark.parametrize(
    "params",
    [{"page": -1}, {"page": "x"}, {"size": 0}, {"since": "yesterday"}, {"since": ""}, {"size": "9" * 30}],
)
def test_a_bad_parameter_is_a_400(served, params):
    assert served.v2(f"/patients/{LONG}/chat/messages", params=params).status_code == 400


def test_search_finds_in_all_conversations_or_in_one(served):
    everywhere = served.v2("/chat/search", "POST", json={"query": "THANK", "size": 100}).json()["data"]
    one = served.v2("/chat/search", "POST", json={"query": "thank", "patientId": FILES}).json()["data"]

    assert len({item["patientId"] for item in everywhere}) > 1
    assert [item["patientId"] for item in one] == [FILES]
    assert [item["sentAt"] for item in everywhere] == sorted(
        (item["sentAt"] for item in everywhere), reverse=True
    )


@pytest.mark.parametrize(("policy", "status"), [("reject", 400), ("all", 200), ("none", 200)])
def test_an_empty_search_is_a_knob(served, policy, status):
    served.sandbox.turn(v2_empty_query=policy)

    answer = served.v2("/chat/search", "POST", json={"query": "", "patientId": FILES})

    assert answer.status_code == status
    if status == 200:
        assert len(answer.json()["data"]) == (4 if policy == "all" else 0)


def test_a_portal_token_opens_one_conversation_until_it_expires(served):
    token = served.http.post("/control/portal-tokens", json={"patientId": FILES, "seconds": 60}).json()[
        "token"
    ]
    opened = served.v2("/chat/messages", params={"token": token})
    served.sandbox.clock.advance(61)

    closed = served.v2("/chat/messages", params={"token": token})

    assert {item["patientId"] for item in opened.json()["data"]} == {FILES}
    assert closed.status_code == 401


@pytest.mark.parametrize("token", ["x", "a.b", "ü.ü", "..."])
def test_a_made_up_portal_token_is_refused_as_the_knob_says(served, token):
    served.sandbox.turn(v2_portal_refusal=410)

    assert served.v2("/chat/messages", params={"token": token}).status_code == 410


def test_a_file_comes_with_its_bytes_type_and_name(served):
    answer = served.v2(f"/chat/files/{FILE_LETTER.id}")
    served.sandbox.turn(v2_disposition=False)
    plain = served.v2(f"/chat/files/{FILE_LARGE.id}")

    assert answer.content == FILE_LETTER.content
    assert answer.headers["content-type"] == "application/pdf"
    assert "filename*=UTF-8''Brief%20f%C3%BCr%20Omar.pdf" in answer.headers["content-disposition"]
    assert len(plain.content) == int(plain.headers["content-length"]) == 3_000_000
    assert "content-disposition" not in plain.headers
    assert served.v2("/chat/files/none").status_code == 404


def test_patients_come_in_pages_and_by_their_names(served):
    page = served.v2("/patients", params={"size": 2, "page": 1}).json()
    inactive = served.v2("/patients", params={"status": "INACTIVE"}).json()["content"]
    one = served.v2(f"/patients/{LONG}").json()

    assert (len(page["content"]), page["totalElements"]) == (2, len(PATIENTS))
    assert [record["lastName"] for record in inactive] == ["Stone"]
    assert (one["birthDate"], one["createdAt"]) == ("1984-03-09", "2026-01-05T08:00:00Z")


def test_the_prefix_of_the_core_concepts_page_is_a_knob(served):
    path = f"/patients/{LONG}/chat/messages"
    prefixed = f"/v2/v1/acme-health/live{path}"

    before = served.http.get(prefixed, headers=served.v2_bearer).status_code
    served.sandbox.turn(v2_prefix="v1")

    assert before == 404
    assert served.http.get(prefixed, headers=served.v2_bearer).status_code == 200
    assert served.v2(path).status_code == 404
    assert served.http.post("/v2/auth/token", json={}).status_code == 400


def test_both_versions_show_the_same_conversation(served):
    old = served.v1(f"/patients/{LONG}/chat", params={"pageSize": 50}).json()["content"]
    new = served.v2(f"/patients/{LONG}/chat/messages", params={"size": 50}).json()["data"]

    assert [item["message"] for item in old] == [item["body"] for item in new]
    assert [item["createdAt"][:19] for item in old] == [item["sentAt"][:19] for item in new]
    assert not {item["externalId"] for item in old} & {item["id"] for item in new}
