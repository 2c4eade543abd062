from __future__ import annotations

import pytest

from gateway.sandbox.conversations import LONG
from tests.unit.sandbox.conftest import fetch_bearer

SECRET = "sandbox-secret"
PATHS = {"v1": f"/patients/{LONG}/chat", "v2": f"/patients/{LONG}/chat/messages"}


@pytest.fixture(params=["v1", "v2"])
def api(request):
    return request.param


@pytest.fixture
def ask(served, api):
    bearer = served.v1_bearer if api == "v1" else served.v2_bearer
    send = served.v1 if api == "v1" else served.v2
    return lambda headers=bearer: send(PATHS[api], headers=headers)


def code(answer):
    return answer.status_code, answer.json()[0]["errorCode"]


def ask_for_token(served, api, secret=SECRET, client=None):
    if api == "v1":
        return served.http.post(f"/v1/gh/admin/api_clients/{client or 'SANDBOXV1'}", json={"secret": secret})
    return served.http.post("/v2/auth/token", json={"apiClient": client or "SANDBOXV2", "secret": secret})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer dummy"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Basic YTpi"},
    ],
)
def test_what_is_no_token_is_refused(ask, headers):
    assert code(ask(headers)) == (401, "NOT_VALID_JSON_WEB_TOKEN")


def test_a_forged_token_is_refused(served, api, ask):
    bearer = served.v1_bearer if api == "v1" else served.v2_bearer
    head, claims, _ = bearer["Authorization"].split(".")

    assert code(ask({"Authorization": f"{head}.{claims}.AAAA"})) == (401, "NOT_VALID_JSON_WEB_TOKEN")


def test_a_token_of_the_other_version_is_refused(served, api, ask):
    other = served.v2_bearer if api == "v1" else served.v1_bearer

    assert code(ask(other)) == (401, "NOT_VALID_JSON_WEB_TOKEN")


def test_a_token_expires_after_an_hour(served, ask):
    fresh = ask().status_code
    served.sandbox.clock.advance(3600)

    assert fresh == 200
    assert code(ask()) == (401, "TOKEN_EXPIRED")


def test_tokens_can_be_made_to_expire_and_new_ones_are_good(served, api, ask):
    served.http.post("/control/tokens/expire", json={}).raise_for_status()

    assert code(ask()) == (401, "TOKEN_EXPIRED")
    assert ask(fetch_bearer(served.http, api)).status_code == 200


def test_tokens_from_before_a_reset_are_good_and_expire_like_the_others(served, api, ask):
    served.sandbox.reset()
    kept = ask().status_code
    served.sandbox.credentials.expire_all(api)

    assert kept == 200
    assert code(ask()) == (401, "TOKEN_EXPIRED")


def test_a_wrong_secret_gets_no_token(served, api):
    assert ask_for_token(served, api, secret="guess").status_code == 401
    assert ask_for_token(served, api, client="NOBODY").status_code == 401


def test_more_than_a_hundred_tokens_in_five_minutes_block_for_five_minutes(served, api):
    served.sandbox.reset()

    first = [ask_for_token(served, api).status_code for _ in range(101)]
    blocked = ask_for_token(served, api).status_code
    served.sandbox.clock.advance(301)
    later = ask_for_token(served, api).status_code

    assert first == [200] * 100 + [429]
    assert (blocked, later) == (429, 200)


def test_a_hundred_tokens_over_a_longer_time_do_not_block(served, api):
    served.sandbox.reset()

    statuses = []
    for _ in range(4):
        statuses += [ask_for_token(served, api).status_code for _ in range(50)]
        served.sandbox.clock.advance(160)

    assert statuses == [200] * 200


def test_tokens_are_good_for_any_tenant_and_instance(served):
    answers = [
        served.http.get(f"/v1/{place}/patients/{LONG}/chat", headers=served.v1_bearer)
        for place in ("gh/sb-demo", "other/live")
    ]

    assert answers[0].json() == answers[1].json()
