from __future__ import annotations

import base64
import json
from datetime import datetime

import pytest

from gateway.sandbox.conversations import ARCHIVED, CLOCKS, EMPTY, LONG, SHORT
from tests.unit.sandbox.conftest import PATIENT
from tests.unit.sandbox.test_tokens import CORRUPTED


def walk(served, path, key="nextPageToken", **params):
    """Follow a page's tokens to the end and give all pages."""
    kept = {name: value for name, value in params.items() if name == "includeArchived"}
    pages = [served.v1(path, params=params).raise_for_status().json()]
    while token := pages[-1]["meta"][key]:
        answer = served.v1(path, params={"pageToken": token, **kept})
        pages.append(answer.raise_for_status().json())
    return pages


def ids(pages):
    return [item["externalId"] for page in pages for item in page["content"]]


def test_a_token_is_the_whole_answer_and_looks_like_a_jwt(served):
    answer = served.http.post("/v1/gh/admin/api_clients/SANDBOXV1", json={"secret": "sandbox-secret"})

    assert (answer.status_code, list(answer.json())) == (200, ["token"])
    claims = answer.json()["token"].split(".")[1]
    fields = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert fields["exp"] - fields["iat"] == 3600


def test_an_unknown_tenant_is_named_in_a_404(served):
    answer = served.http.post("/v1/nobody/admin/api_clients/SANDBOXV1", json={"secret": "sandbox-secret"})

    assert answer.status_code == 404
    assert answer.json()[0]["errorCode"] == "ORGANIZATION_NAME_NOT_FOUND"
    assert answer.json()[0]["details"] == {"name": "nobody"}


def test_a_list_is_newest_first_in_whole_seconds_without_receivers(served):
    page = served.v1(f"/patients/{LONG}/chat").json()

    times = [item["createdAt"] for item in page["content"]]
    assert len(times) == page["meta"]["pageSize"] == 20
    assert times == sorted(times, reverse=True)
    assert all(time.endswith(".000Z") for time in times)
    assert all("receiver" not in item for item in page["content"])


def test_both_spellings_of_the_path_give_the_same(served):
    plural, singular = (served.v1(f"/{word}/{LONG}/chat").json() for word in ("patients", "patient"))

    assert plural == singular


@pytest.mark.parametrize("size", [1, 7, 50, 100])
def test_tokens_lead_through_the_whole_conversation_once(served, size):
    served.bulk(60)

    pages = walk(served, f"/patients/{PATIENT}/chat", pageSize=size)

    assert len(ids(pages)) == len(set(ids(pages))) == 60
    assert pages[0]["meta"]["prevPageToken"] is None
    assert pages[-1]["meta"]["nextPageToken"] is None


def test_pages_fetched_by_token_do_not_shift_when_messages_arrive(served):
    served.bulk(9)
    first = served.v1(f"/patients/{PATIENT}/chat", params={"pageSize": 3}).json()
    token = first["meta"]["nextPageToken"]
    before = served.v1(f"/patients/{PATIENT}/chat", params={"pageToken": token}).json()

    served.bulk(5)

    after = served.v1(f"/patients/{PATIENT}/chat", params={"pageToken": token}).json()
    assert after["content"] == before["content"]


def test_the_previous_token_leads_back_page_by_page(served):
    served.bulk(10)
    forward = walk(served, f"/patients/{PATIENT}/chat", pageSize=3)

    back = [forward[-1]]
    while token := back[-1]["meta"]["prevPageToken"]:
        back.append(served.v1(f"/patients/{PATIENT}/chat", params={"pageToken": token}).json())

    assert [ids([page]) for page in back] == [ids([page]) for page in reversed(forward)]


def test_an_empty_conversation_has_no_neighbours(served):
    page = served.v1(f"/patients/{EMPTY}/chat").json()

    assert page == {
        "meta": {"nextPageToken": None, "prevPageToken": None, "pageSize": 20, "found": False},
        "content": [],
    }


@pytest.mark.parametrize("archived", [None, "false", "False", "true", "True"])
def test_archived_messages_show_only_when_asked_for(served, archived):
    params = {} if archived is None else {"includeArchived": archived}

    pages = walk(served, f"/patients/{ARCHIVED}/chat", pageSize=10, **params)

    assert len(ids(pages)) == (60 if archived in {"true", "True"} else 26)


def test_a_filter_behind_the_provider_gives_short_and_empty_pages(served):
    served.sandbox.turn(v1_archive_filter="after")

    pages = walk(served, f"/patients/{ARCHIVED}/chat", pageSize=10)

    assert [len(page["content"]) for page in pages] == [9, 8, 9, 0, 0, 0]
    assert len(set(ids(pages))) == 26


@pytest.mark.parametrize(
    "params",
    [
        {"pageSize": "0"},
        {"pageSize": "-1"},
        {"pageSize": "ten"},
        {"includeArchived": "perhaps"},
        {"pageToken": CORRUPTED},
        {"pageToken": ""},
        {"pageToken": "bm90IGpzb24="},
    ],
)
def test_a_bad_parameter_is_a_400_in_a_list(served, params):
    answer = served.v1(f"/patients/{LONG}/chat", params=params)

    assert answer.status_code == 400
    assert isinstance(answer.json()[0]["errorCode"], str)


def test_size_and_token_exclude_each_other_unless_the_knob_says_otherwise(served):
    token = served.v1(f"/patients/{LONG}/chat").json()["meta"]["nextPageToken"]
    both = {"pageToken": token, "pageSize": 5}

    refused = served.v1(f"/patients/{LONG}/chat", params=both)
    served.sandbox.turn(v1_size_with_token="ignore")
    ignored = served.v1(f"/patients/{LONG}/chat", params=both)

    assert refused.status_code == 400
    assert len(ignored.json()["content"]) == 20


def test_a_token_beyond_the_newest_message_is_refused(served):
    token = served.v1(f"/patients/{LONG}/chat").json()["meta"]["nextPageToken"]

    assert served.v1(f"/patients/{SHORT}/chat", params={"pageToken": token}).status_code == 400


def test_list_and_search_show_one_message_with_two_times(served):
    listed = served.v1(f"/patients/{CLOCKS}/chat").json()["content"]
    found = served.v1(f"/patients/{CLOCKS}/chat/search", params={"query": "TEST"}).json()["content"]

    assert [hit["message"]["externalId"] for hit in found] == [item["externalId"] for item in listed]
    apart = [
        (
            datetime.fromisoformat(hit["message"]["createdAt"]) - datetime.fromisoformat(item["createdAt"])
        ).total_seconds()
        for hit, item in zip(found, listed, strict=True)
    ]
    assert apart == [0.999, 1.0, 1.2, 0.4, 1.106, 0.796, 0.451]
    kinds = {hit["message"]["sender"]["clientType"]: "receiver" in hit["message"] for hit in found}
    assert kinds == {"USER": True, "PATIENT": False}


def test_inner_tokens_of_a_hit_lead_to_its_neighbours_and_never_to_itself(served):
    served.bulk(9)
    hit = served.v1(f"/patients/{PATIENT}/chat/search", params={"query": "message 5", "contentPageSize": 2})
    meta, message = hit.json()["content"][0]["meta"], hit.json()["content"][0]["message"]

    older, newer = (
        served.v1(f"/patients/{PATIENT}/chat", params={"pageToken": meta[key]}).json()
        for key in ("nextPageToken", "prevPageToken")
    )

    assert message["message"] == "Message 5"
    assert [item["message"] for item in older["content"]] == ["Message 4", "Message 3"]
    assert [item["message"] for item in newer["content"]] == ["Message 7", "Message 6"]


def test_hits_page_by_outer_tokens_and_inner_sizes_change_behind_the_first_page(served):
    """The search token does not keep ``contentPageSize``: D1's second page shows the outer size inside."""
    served.bulk(5)
    params = {"query": "message", "pageSize": 2, "contentPageSize": 1}
    pages = [served.v1(f"/patients/{PATIENT}/chat/search", params=params).json()]
    while token := pages[-1]["meta"]["nextPageToken"]:
        pages.append(served.v1(f"/patients/{PATIENT}/chat/search", params={"pageToken": token}).json())

    texts = [hit["message"]["message"] for page in pages for hit in page["content"]]
    inner = [
        json.loads(base64.b64decode(page["content"][0]["meta"]["nextPageToken"]))["pageSize"]
        for page in pages
    ]

    assert texts == [f"Message {n}" for n in range(5, 0, -1)]
    assert inner == [1, 2, 2]


@pytest.mark.parametrize("params", [{}, {"query": " "}, {"query": "a", "contentPageSize": 0}])
def test_a_bad_search_is_a_400(served, params):
    assert served.v1(f"/patients/{LONG}/chat/search", params=params).status_code == 400


def test_a_search_token_goes_alone_and_only_to_search(served):
    first = served.v1(f"/patients/{LONG}/chat/search", params={"query": "a", "pageSize": 1}).json()
    token = first["meta"]["nextPageToken"]

    beside = served.v1(f"/patients/{LONG}/chat/search", params={"pageToken": token, "query": "a"})
    in_list = served.v1(f"/patients/{LONG}/chat", params={"pageToken": token})

    assert (beside.status_code, in_list.status_code) == (400, 400)


def test_a_send_is_answered_with_the_patients_name_and_listed(served):
    answer = served.v1(f"/patients/{LONG}/chat/inbound", "POST", json={"message": "Hello 👋"})

    newest = served.v1(f"/patients/{LONG}/chat", params={"pageSize": 1}).json()["content"][0]
    sent = answer.json()
    assert answer.status_code == 200
    assert sent["sender"]["patientFullName"] == "Nora Winter"
    assert sent | {"sender": newest["sender"]} == newest


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"message":" "}', b'{"message":5}', b'{"message":"\xff"}']
)
def test_a_bad_send_is_a_400(served, content):
    assert served.v1(f"/patients/{LONG}/chat/inbound", "POST", content=content).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/chat/archive"), ("POST", "/chat/restore"), ("DELETE", "")]
)
def test_what_api_clients_may_not_do_is_a_403_without_a_date(served, method, path):
    answer = served.v1(f"/patients/{LONG}{path}", method)

    assert answer.status_code == 403
    assert answer.json()[0]["errorCode"] == "ACCESS_FOR_API_CLIENT_RESTRICTED"
    assert "date" not in answer.json()[0]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("ID", LONG),
        ("EID", "ext-1001"),
        ("EGUID", "0b0e7f3c-1f0e-4a58-9d3c-2f6f0d9f1001"),
        ("MRN", "MRN-1001"),
    ],
)
def test_a_patient_is_found_by_any_of_the_ids(served, kind, wanted):
    answer = served.v1(f"/patients/{wanted}", params={"type": kind}).json()

    assert (answer["id"], answer["birthDate"]) == (LONG, "1984-03-09T00:00:00.000Z")


def test_missing_values_are_null_in_one_record_and_empty_in_another(served):
    records = served.v1("/patients").json()["content"]

    assert {record["middleName"] for record in records} >= {None, ""}


def test_the_timezone_key_can_have_a_space(served):
    served.sandbox.turn(v1_timezone_space=True)

    assert served.v1(f"/patients/{LONG}").json()["timezone "] == "America/New_York"


def test_an_unknown_patient_is_a_404(served):
    answers = [served.v1(f"/patients/nobody{path}") for path in ("", "/chat", "/chat/search?query=a")]

    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_the_headers_are_those_of_the_recordings(served):
    new = served.v1(f"/patients/{LONG}/chat")
    served.sandbox.turn(v1_header_era="2022")
    old = [served.v1(f"/patients/{LONG}/chat").headers.get_list("set-cookie") for _ in range(2)]

    assert new.headers["cache-control"] == "no-cache, no-store, max-age=0, must-revalidate"
    assert new.headers["content-type"] == "application/json"
    assert new.headers["transfer-encoding"] == "chunked"
    assert "set-cookie" not in new.headers
    assert [cookie.partition("=")[0] for cookie in old[0]] == ["AWSALB", "AWSALBCORS"]
    assert old[0] != old[1]


@pytest.mark.parametrize(("policy", "size"), [("cap", 100), ("ignore", 20)])
def test_a_size_over_the_maximum_is_cut_or_ignored(served, policy, size):
    served.sandbox.turn(v1_size_policy=policy)
    huge = {"pageSize": 5000, "contentPageSize": 5000, "query": "a"}

    page = served.v1(f"/patients/{LONG}/chat", params={"pageSize": 5000}).json()
    hit = served.v1(f"/patients/{LONG}/chat/search", params=huge).json()["content"][0]
    around = served.v1(f"/patients/{LONG}/chat", params={"pageToken": hit["meta"]["nextPageToken"]})

    assert len(page["content"]) == page["meta"]["pageSize"] == size
    assert around.json()["meta"]["pageSize"] == size


def test_a_size_over_the_maximum_can_be_refused(served):
    served.sandbox.turn(v1_size_policy="reject")

    assert served.v1(f"/patients/{LONG}/chat", params={"pageSize": 101}).status_code == 400
