"""A plan follows from its seed, and is as bad as it was asked to be."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.ledger import scenario
from benchmarks.ledger.scenario import SHORT, Scenario

PLANS = [scenario.messages, scenario.blows, scenario.subscribers]


@pytest.mark.parametrize("plan", PLANS)
def test_a_seed_gives_one_plan(plan):
    assert plan(SHORT) == plan(SHORT)
    assert plan(SHORT) != plan(replace(SHORT, seed=2))


def test_webhooks_are_dropped_doubled_and_shuffled_as_asked():
    planned = scenario.messages(Scenario())
    team = [each for each in planned if each.by == "care_team"]
    arrivals = [each.at + webhook.delay for each in team for webhook in each.webhooks]

    assert len(planned) == 10_000
    assert sum(each.dropped for each in team) / (2 * len(team)) == pytest.approx(0.05, abs=0.01)
    assert sum(each.doubled for each in team) / (2 * len(team)) == pytest.approx(0.095, abs=0.01)
    assert arrivals != sorted(arrivals)
    assert all(not each.webhooks for each in planned if each.by == "patient")


def test_every_blow_falls_while_messages_are_written():
    planned = scenario.blows(SHORT)

    assert Counter(each.blow for each in planned) == {"kill": 1, "pause": 1, "burst": 1}
    assert all(0 < each.at < SHORT.seconds for each in planned)


def test_subscribers_cover_every_patient_version_and_transport():
    planned = scenario.subscribers(Scenario())

    assert {each.patient for each in planned} == set(range(100))
    assert Counter(each.api for each in planned) == {"v1": 150, "v2": 150}
    assert {each.transport for each in planned} == {"ws", "sse"}
