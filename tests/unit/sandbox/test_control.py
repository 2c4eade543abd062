from __future__ import annotations

import time

import pytest

from gateway.sandbox.conversations import ARCHIVED, EMPTY, LONG
from tests.unit.sandbox.conftest import PATIENT


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/messages", {"text": "x"}, "patientId"),
        ("/messages", {"patientId": "nobody", "text": "x"}, "patientId"),
        ("/messages", {"patientId": LONG, "text": 3}, "text"),
        ("/messages", {"patientId": LONG, "text": "x", "from": "ghost"}, "from"),
        ("/messages", {"patientId": LONG, "text": "x", "at": "soon"}, "at"),
        ("/messages", {"patientId": LONG, "text": "x", "at": "2030-01-01T00:00:00"}, "at"),
        ("/messages", {"patientId": LONG, "text": "x", "extra": 1}, "extra"),
        ("/messages", {"patientId": LONG, "text": "x", "webhook": {"delay": -1}}, "delay"),
        ("/messages", {"patientId": LONG, "text": "x", "fileIds": ["none"]}, "fileIds"),
        ("/bulk", {"patientId": LONG}, "count"),
        ("/bulk", {"patientId": LONG, "count": 1, "offsets": [1]}, "count"),
        ("/bulk", {"patientId": LONG, "count": 10**9}, "count"),
        ("/patients", {"patientId": LONG}, "patientId"),
        ("/patients", {"birthDate": "yesterday"}, "birthDate"),
        ("/archive", {"patientId": EMPTY, "positions": [1]}, "positions"),
        ("/archive", {"patientId": EMPTY, "positions": [0]}, "positions"),
        ("/faults", {"fault": "nonsense"}, "fault"),
        ("/faults", {"fault": "slow", "operation": "dance"}, "operation"),
        ("/faults", {"fault": "slow", "times": 0}, "times"),
        ("/faults", {"fault": "slow", "args": {"colour": 1}}, "colour"),
        ("/faults", [{"fault": "slow"}, {"fault": "slow", "after": -1}], "after"),
        ("/webhooks", {"targets": [{"url": "ftp://x"}]}, "url"),
        ("/tokens/expire", {"api": "v3"}, "api"),
        ("/portal-tokens", {"patientId": "nobody"}, "patientId"),
        ("/clock", {"advance": -1}, "advance"),
        ("/files", {"size": -1}, "size"),
    ],
)
def test_wrong_input_is_refused_by_the_name_of_its_field(served, path, body, named):
    answer = served.http.post(f"/control{path}", json=body)

    assert answer.status_code == 422
    assert named in answer.json()["error"]


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"patientId":"\xff"}'])
def test_what_is_no_json_is_a_400(served, content):
    assert served.http.post("/control/messages", content=content).status_code == 400


@pytest.mark.parametrize(
    "change", [{"v3_order": "asc"}, {"v2_order": "sideways"}, {"v2_totals": "yes"}, {"v1_max_size": "10"}]
)
def test_a_wrong_knob_is_refused_by_its_name_and_nothing_changes(served, change):
    before = served.http.get("/control/knobs").json()

    answer = served.http.patch("/control/knobs", json={"v2_since": "ignored", **change})

    assert answer.status_code == 422
    assert next(iter(change)) in answer.json()["error"]
    assert served.http.get("/control/knobs").json() == before


def test_a_refused_list_of_rules_adds_none(served):
    served.http.post("/control/faults", json=[{"fault": "slow"}, {"fault": "html", "args": {"a": 1}}])

    assert served.http.get("/control/faults").json() == {"faults": []}


def test_a_new_patient_has_the_history_that_was_asked_for(served):
    file_id = served.http.post("/control/files", json={"text": "hi"}).json()["fileId"]
    body = {
        "patientId": "pt-fresh",
        "firstName": "Mia",
        "start": "2030-01-01T00:00:00Z",
        "messages": [
            {"text": "one"},
            {"text": "two", "from": "care_team", "offset": 60, "read": True},
            {"text": "three", "offset": 61, "archived": True, "fileIds": [file_id]},
        ],
    }
    made = served.http.post("/control/patients", json=body).raise_for_status().json()

    items = served.v2("/patients/pt-fresh/chat/messages").json()["data"]
    listed = served.v1("/patients/pt-fresh/chat").json()["content"]

    assert [item["id"] for item in items] == [each["v2Id"] for each in reversed(made["messages"])]
    assert [item["readAt"] is None for item in items] == [True, False, True]
    assert [item["sentAt"][14:19] for item in items] == ["01:01", "01:00", "00:00"]
    assert items[0]["attachments"][0]["id"] == file_id
    assert [item["message"] for item in listed] == ["two", "one"]
    assert served.v2(f"/chat/files/{file_id}").content == b"hi"


def test_many_messages_come_fast_and_pages_stay_cheap(served):
    """100,000 messages: a page at the far end costs what the first one does."""
    served.bulk(100_000)
    path = f"/patients/{PATIENT}/chat/messages"

    started = time.monotonic()
    for number in range(20):
        served.v2(path, params={"page": 1999 - number}).raise_for_status()
        served.v2(path, params={"since": "2020-01-01T00:00:00Z", "page": number}).raise_for_status()
        served.v1(f"/patients/{PATIENT}/chat").raise_for_status()

    assert time.monotonic() - started < 3


def test_offsets_place_messages_in_time(served):
    served.bulk(0)
    body = {"patientId": PATIENT, "offsets": [0, 0, 7], "start": "2030-01-01T00:00:00Z", "ids": True}

    made = served.http.post("/control/bulk", json=body).json()

    assert made["count"] == made["total"] == 3
    assert [each["providerAt"][17:19] for each in made["messages"]] == ["00", "00", "07"]


def test_messages_added_without_a_time_never_go_back_in_time(served):
    served.bulk(5, start="2099-01-01T00:00:00Z")
    served.bulk(5)
    served.http.post("/control/messages", json={"patientId": PATIENT, "text": "now"}).raise_for_status()

    times = [message.provider_ms for message in served.sandbox.store.history(PATIENT)]

    assert times == sorted(times)


def test_archiving_takes_messages_out_of_the_list_and_brings_them_back(served):
    served.bulk(3)
    path = f"/patients/{PATIENT}/chat"

    served.http.post("/control/archive", json={"patientId": PATIENT, "positions": [2]}).raise_for_status()
    archived = [item["message"] for item in served.v1(path).json()["content"]]
    back = {"patientId": PATIENT, "positions": [2], "archived": False}
    served.http.post("/control/archive", json=back).raise_for_status()

    assert archived == ["Message 3", "Message 1"]
    assert len(served.v1(path).json()["content"]) == 3


def test_a_lag_hides_new_messages_from_every_list_until_it_is_over(served):
    served.bulk(1)
    served.http.patch("/control/knobs", json={"list_lag_seconds": 5}).raise_for_status()
    served.v1(f"/patients/{PATIENT}/chat/inbound", "POST", json={"message": "late"}).raise_for_status()

    def count():
        listed = served.v1(f"/patients/{PATIENT}/chat").json()["content"]
        found = served.v2("/chat/search", "POST", json={"query": "late", "patientId": PATIENT}).json()["data"]
        return len(listed), len(found)

    before = count()
    served.http.post("/control/clock", json={"advance": 5}).raise_for_status()

    assert (before, count()) == ((1, 0), (2, 1))


def test_requests_are_counted_and_undocumented_paths_are_told(served):
    served.v1(f"/patients/{LONG}/chat", params={"pageSize": 1, "includeArchived": "true"})
    served.v1(f"/patients/{LONG}/chat/search", params={"query": "my illness"})
    served.v2("/chat/messages", params={"token": "hush"})
    served.v1(f"/patients/{LONG}/chats")
    served.v1("/patients/..%2F..%2Fadmin/chat")
    served.v1(f"/patients/{LONG}/chat", "PUT")

    log = served.http.get("/control/requests").json()

    assert log["counts"] == {"v1.list": 1, "v1.search": 1, "v2.portal": 1, "v1.undocumented": 3}
    assert log["undocumented"] == [
        f"GET /v1/gh/sb-demo/patients/{LONG}/chats",
        "GET /v1/gh/sb-demo/patients/..%2F..%2Fadmin/chat",
        f"PUT /v1/gh/sb-demo/patients/{LONG}/chat",
    ]
    assert [seen["query"] for seen in log["seen"][:3]] == [
        "pageSize=1&includeArchived=true",
        "query=*",
        "token=*",
    ]
    assert [seen["status"] for seen in log["seen"]] == [200, 200, 401, 404, 404, 405]


def test_requests_can_be_forgotten(served):
    served.v1(f"/patients/{LONG}/chat")
    served.http.delete("/control/requests").raise_for_status()

    assert served.http.get("/control/requests").json()["counts"] == {}


def test_a_reset_brings_everything_back(served):
    before = served.http.get("/control").json()
    served.bulk(3)
    served.http.post("/control/archive", json={"patientId": ARCHIVED, "positions": [60]}).raise_for_status()
    served.http.patch("/control/knobs", json={"v2_order": "asc"}).raise_for_status()
    served.http.post("/control/faults", json={"fault": "html"}).raise_for_status()

    served.http.post("/control/reset").raise_for_status()

    after = served.http.get("/control").json()
    assert {**after, "now": None} == {**before, "now": None}
    assert not served.sandbox.store.history(ARCHIVED).at(60).archived
