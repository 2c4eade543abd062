from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime

import httpx2
import pytest

from gateway.sandbox import FaultRule
from gateway.sandbox.conversations import EMPTY, LONG
from gateway.sandbox.faults import ALL, ARGUMENTS, BadFault, Faults
from tests.unit.sandbox.conftest import PATIENT


@pytest.fixture(params=["v1", "v2"])
def api(request):
    return request.param


@pytest.fixture
def read(served, api):
    """Read a page of the newest messages: the answer."""

    def ask(patient=LONG, **params):
        if api == "v1":
            return served.v1(f"/patients/{patient}/chat", params={"pageSize": 5, **params})
        return served.v2(f"/patients/{patient}/chat/messages", params={"size": 5, **params})

    return ask


def strike(served, fault, **rule):
    body = {"fault": fault, "operation": "list", **rule}
    served.http.post("/control/faults", json=body).raise_for_status()


def items(answer):
    return answer.json()["content" if "content" in answer.json() else "data"]


def identify(item):
    return item.get("externalId") or item["id"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("bad_request", 400),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("not_found", 404),
        ("gone", 410),
        ("rate_limited", 429),
        ("server_error", 500),
        ("bad_gateway", 502),
        ("unavailable", 503),
        ("gateway_timeout", 504),
        ("html", 200),
        ("wrong_json", 200),
        ("no_content", 204),
        ("redirect", 302),
    ],
)
def test_a_fault_answers_once_in_place_of_the_operation(served, read, fault, status):
    strike(served, fault)

    assert [read().status_code, read().status_code] == [status, 200]


def test_rules_wait_strike_and_are_gone_in_their_order(served, read):
    strike(served, "server_error", after=1, times=2)
    strike(served, "unavailable", times=1)

    assert [read().status_code for _ in range(5)] == [503, 500, 500, 200, 200]


def test_a_rule_without_an_end_strikes_until_it_is_removed(served, read):
    strike(served, "server_error", times=None)
    struck = [read().status_code for _ in range(4)]

    served.http.delete("/control/faults").raise_for_status()

    assert struck == [500] * 4
    assert read().status_code == 200


def test_a_rule_strikes_only_its_own_operation_and_version(served, api, read):
    other = "v2" if api == "v1" else "v1"
    strike(served, "server_error", api=other)
    strike(served, "server_error", operation="search", api=api)

    assert read().status_code == 200
    assert len(served.sandbox.faults.rules) == 2


@pytest.mark.parametrize(
    ("args", "check"),
    [
        ({}, lambda value: value is None),
        ({"retry_after": 7}, lambda value: value == "7"),
        (
            {"retry_date": 30},
            lambda value: 28 <= parsedate_to_datetime(value).timestamp() - time.time() <= 31,
        ),
    ],
)
@pytest.mark.parametrize("fault", ["rate_limited", "unavailable"])
def test_a_refusal_says_when_to_come_back_in_either_form_or_not_at_all(served, read, args, check, fault):
    strike(served, fault, args=args)

    assert check(read().headers.get("retry-after"))


def test_any_body_can_be_answered(served, read):
    strike(served, "body", args={"text": "[é", "encoding": "latin-1", "status": 201})

    answer = read()

    assert (answer.status_code, answer.content) == (201, b"[\xe9")


def test_a_rule_can_be_about_one_patient_alone(served, read):
    strike(served, "server_error", patientId=EMPTY, times=None)

    assert (read(LONG).status_code, read(EMPTY).status_code) == (200, 500)


@pytest.mark.parametrize("fault", ["reset", "reset_mid_body", "stored_reset", "cut"])
def test_an_answer_that_breaks_off_really_closes_the_connection(served, read, fault):
    strike(served, fault)

    with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
        read()
    assert read().status_code == 200


def test_a_truncated_answer_is_whole_http_and_broken_json(served, read):
    strike(served, "truncated")
    answer = read()

    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_a_slow_answer_is_right_and_late(served, read):
    plain = read().json()
    strike(served, "slow", args={"seconds": 0.3})

    started = time.monotonic()
    answer = read().json()

    assert time.monotonic() - started >= 0.3
    assert answer == plain


def test_a_dripping_answer_is_right_and_comes_in_pieces(served, read):
    plain = read().json()
    strike(served, "drip", args={"seconds": 0.01, "bytes": 200})

    assert read().json() == plain


def test_a_hanging_request_ends_when_the_client_gives_up(served, api, hang_up):
    strike(served, "hang")
    client = hang_up(served.url)
    path = f"/v1/a/b/patients/{LONG}/chat" if api == "v1" else f"/v2/a/b/patients/{LONG}/chat/messages"

    with pytest.raises(httpx2.ReadTimeout):
        client.get(path)
    deadline = time.monotonic() + 5
    while not served.sandbox.requests.count(f"{api}.list") and time.monotonic() < deadline:
        time.sleep(0.01)

    assert served.sandbox.requests.count(f"{api}.list") == 1


@pytest.mark.parametrize("fault", ["huge_body", "gzip_bomb"])
def test_a_huge_body_is_as_large_as_asked(served, read, fault):
    strike(served, fault, args={"bytes": 4_000_000})
    answer = read()

    assert len(answer.content) > 3_900_000
    assert len(answer.json()) == 1
    if fault == "gzip_bomb":
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.num_bytes_downloaded < 100_000


def test_a_redirect_names_another_host(served, read):
    strike(served, "redirect")

    assert read().headers["location"] == "http://elsewhere.invalid/"


def send(served, api, text="Only once"):
    if api == "v1":
        return served.v1(f"/patients/{EMPTY}/chat/inbound", "POST", json={"message": text})
    return served.v2(f"/patients/{EMPTY}/chat/messages", "POST", json={"body": text})


def test_a_stored_error_stores_the_message_and_says_500(served, api, read):
    strike(served, "stored_error", operation="send")

    assert send(served, api).status_code == 500
    assert len(items(read(EMPTY))) == 1


def test_a_plain_error_stores_nothing(served, api, read):
    strike(served, "server_error", operation="send")

    assert send(served, api).status_code == 500
    assert items(read(EMPTY)) == []


def test_a_stored_hang_stores_the_message_before_it_hangs(served, api, read):
    strike(served, "stored_hang", operation="send", args={"seconds": 0.05})

    assert send(served, api).status_code == 504
    assert len(items(read(EMPTY))) == 1


def test_extra_fields_stand_in_every_message(served, read):
    strike(served, "extra_fields")

    assert all("futureField" in item for item in items(read()))


def test_missing_fields_leave_what_a_message_needs(served, api, read):
    strike(served, "missing_fields")
    kept = {
        "v1": {"sender", "message", "externalId", "createdAt"},
        "v2": {"id", "sender", "body", "sentAt"},
    }

    assert all(set(item) == kept[api] for item in items(read()))


@pytest.mark.parametrize(
    ("fault", "names"),
    [("item_without_id", ["externalId", "id"]), ("item_without_time", ["createdAt", "sentAt"])],
)
def test_one_item_lacks_what_the_fault_takes_and_the_others_do_not(served, read, fault, names):
    strike(served, fault)
    found = items(read())

    assert [any(name in item for name in names) for item in found] == [False, True, True, True, True]


def test_a_null_stands_among_all_the_messages(served, read):
    plain = items(read())
    strike(served, "null_item")

    assert items(read()) == [plain[0], None, *plain[1:]]


def test_a_stale_list_lacks_the_newest_messages(served, read):
    plain = items(read())
    strike(served, "stale_list", args={"messages": 2})

    assert items(read())[:3] == plain[2:]


def test_items_are_repeated_across_pages(served, api, read):
    first = read()
    strike(served, "duplicate_items", args={"items": 2})
    params = {"pageToken": first.json()["meta"]["nextPageToken"]} if api == "v1" else {"page": 1}

    path = f"/patients/{LONG}/chat"
    second = served.v1(path, params=params) if api == "v1" else read(**params)

    assert [identify(item) for item in items(second)[:2]] == [identify(item) for item in items(first)[-2:]]
    assert len(items(second)) == 7


def test_an_empty_page_has_a_token_that_asks_for_it_again(served):
    served.bulk(7)
    plain = served.v1(f"/patients/{PATIENT}/chat", params={"pageSize": 5}).json()
    strike(served, "empty_page")
    empty = served.v1(f"/patients/{PATIENT}/chat", params={"pageSize": 5}).json()

    again = served.v1(f"/patients/{PATIENT}/chat", params={"pageToken": empty["meta"]["nextPageToken"]})

    assert empty["content"] == []
    assert again.json()["content"] == plain["content"]


def test_a_token_loop_never_ends(served):
    strike(served, "token_loop", times=None)
    page = served.v1(f"/patients/{LONG}/chat", params={"pageSize": 5}).json()
    token = page["meta"]["nextPageToken"]

    again = served.v1(f"/patients/{LONG}/chat", params={"pageToken": token}).json()

    assert (again["content"], again["meta"]["nextPageToken"]) == (page["content"], token)


def test_a_newer_loop_never_ends(served):
    strike(served, "newer_loop", times=None)
    page = served.v1(f"/patients/{LONG}/chat", params={"pageSize": 5}).json()
    token = page["meta"]["prevPageToken"]

    again = served.v1(f"/patients/{LONG}/chat", params={"pageToken": token}).json()

    assert (again["content"], again["meta"]["prevPageToken"]) == (page["content"], token)


def test_a_loop_in_v2_is_the_first_page_for_ever(served):
    strike(served, "token_loop", times=None)

    pages = [
        served.v2(f"/patients/{LONG}/chat/messages", params={"page": number}).json()["data"]
        for number in (0, 3)
    ]

    assert pages[0] == pages[1]


def test_a_null_hit_leaves_the_other_hits_with_their_own_tokens(served):
    params = {"query": "a", "pageSize": 3}
    plain = served.v1(f"/patients/{LONG}/chat/search", params=params).json()["content"]
    strike(served, "null_item", operation="search")

    bent = served.v1(f"/patients/{LONG}/chat/search", params=params).json()["content"]

    assert bent == [plain[0], None, *plain[1:]]


@pytest.mark.parametrize("fault", sorted(ALL))
def test_every_fault_is_survived_by_the_server(served, api, hang_up, fault):
    args = {"seconds": 0.01} if "seconds" in ARGUMENTS.get(fault, ()) else {}
    served.sandbox.faults.add(
        *(FaultRule(fault, operation, args=args) for operation in ("list", "search", "patient", "token"))
    )
    where = {
        "v1": [
            ("GET", f"/v1/a/b/patients/{LONG}/chat"),
            ("GET", f"/v1/a/b/patients/{LONG}/chat/search?query=a"),
        ],
        "v2": [("GET", f"/v2/a/b/patients/{LONG}/chat/messages"), ("GET", f"/v2/a/b/patients/{LONG}")],
    }
    bearer = served.v1_bearer if api == "v1" else served.v2_bearer

    for method, url in where[api]:
        try:
            with served.http.stream(method, url, headers=bearer) as answer:
                assert 200 <= answer.status_code < 600
        except httpx2.TransportError:
            continue

    served.sandbox.faults.clear()
    assert served.http.get(where[api][0][1], headers=bearer).status_code == 200


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (FaultRule("slow", after=-1), "after"),
        (FaultRule("slow", times=0), "times"),
        (FaultRule("slow", args={"bytes": 3}), "bytes"),
        (FaultRule("redirect", args={"location": 3}), "location"),
        (FaultRule("nothing"), "fault"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_its_field(rule, field):
    with pytest.raises(BadFault, match=field):
        Faults().add(rule)
