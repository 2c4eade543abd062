"""Webhook credentials are rotated without a moment in which Welkin's webhooks are refused."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from gateway.app import build
from gateway.settings import parse
from tests.serving import serve

INSTANCE = {
    "tenant": "gh",
    "instance": "sb-demo",
    "api": "v1",
    "base_url": "http://127.0.0.1:9",
    "client": "C",
    "secret": "s",
}
EVENT = {"patientId": "p-1", "tenantName": "gh", "instanceName": "sb-demo", "message": "hello"}
OLD, NEW = ("old-key", "old-secret"), ("new-key", "new-secret")


def statuses(instance: dict[str, Any], *pairs: tuple[str, str]) -> list[int]:
    """Give what a gateway with this configuration answers to webhooks with these credentials."""
    settings = {"auth": {"mode": "none"}, "instances": [INSTANCE | instance]}
    with serve(build(parse(settings, {})).web) as url, httpx2.Client(base_url=url) as client:
        return [
            client.post(
                "/gh/sb-demo/webhooks/chat",
                json=EVENT,
                headers={"X-WEBHOOK-API-KEY": key, "X-WEBHOOK-API-SECRET": secret},
            ).status_code
            for key, secret in pairs
        ]


def pair(credentials: tuple[str, str]) -> dict[str, str]:
    return dict(zip(("key", "secret"), credentials, strict=True))


def test_old_and_new_are_good_at_once_and_their_halves_do_not_mix():
    both = {"webhook_key": NEW[0], "webhook_secret": NEW[1], "webhook_pairs": [pair(OLD)]}

    assert statuses(both, OLD, NEW, (OLD[0], NEW[1]), (NEW[0], OLD[1])) == [200, 200, 401, 401]


def test_a_pair_that_was_taken_away_is_refused_after_the_restart():
    assert statuses({"webhook_pairs": [pair(NEW)]}, OLD, NEW) == [401, 200]


@pytest.mark.parametrize("credentials", [OLD, ("", "")])
def test_without_any_pair_no_webhook_is_believed(credentials):
    assert statuses({}, credentials) == [401]
