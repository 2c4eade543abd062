"""The guard: what a caller may not see looks like what is not there, reaches nobody, and is written down."""

# ruff: noqa: ARG005 -- every door is knocked at alike

from __future__ import annotations

import asyncio

import pytest

from gateway.access.guard import GuardedInstance
from gateway.domain.access import Principal, Scope
from gateway.domain.connection import Filter, Window
from gateway.domain.errors import (
    BadInput,
    Forbidden,
    GatewayError,
    NotFound,
    Unauthenticated,
    UpstreamTimeout,
)
from gateway.domain.model import InstanceName
from tests.unit.access.guarded import ALL, MINE, NOBODYS, THEIRS, first_of, principal
from tests.unit.access.issuer import Clock
from tests.unit.access.service import CANARY, GH, edge


async def file_of(guard: GuardedInstance, file_id: str) -> object:
    async with guard.open_file(file_id, None) as stream:
        return stream


BY_PATIENT = {
    "read.messages": lambda guard, who: guard.messages(who, Window(), Filter()),
    "read.around": lambda guard, who: guard.around(who, "place", 1, 1),
    "search": lambda guard, who: guard.search("canary-query", who, Window()),
    "send": lambda guard, who: guard.send(who, "canary-body", None, "canary-key"),
    "subscribe": lambda guard, who: first_of(guard.follow(who, None)),
}
DOORS = BY_PATIENT | {
    "read.patient": lambda guard, who: guard.patient(who),
    "read.patients": lambda guard, who: guard.patients("canary-query", Window()),
    "read.portal": lambda guard, who: guard.portal_messages("canary-token", Window()),
    "subscribe (portal)": lambda guard, who: first_of(guard.follow_portal("canary-token", None)),
    "file": lambda guard, who: file_of(guard, "canary-file"),
}
NEEDS = dict.fromkeys(DOORS, Scope.READ) | {
    "search": Scope.SEARCH,
    "send": Scope.SEND,
    "file": Scope.FILES,
}


@pytest.mark.parametrize("door", BY_PATIENT)
async def test_anothers_patient_looks_like_one_that_is_not_there(make, door: str):
    setup = make(principal(patients=frozenset({MINE, NOBODYS})))

    errors: list[GatewayError] = []
    for who in (THEIRS, NOBODYS):
        with pytest.raises(NotFound) as caught:
            await BY_PATIENT[door](setup.guard, who)
        errors.append(caught.value)

    hidden, unknown = errors
    if door != "read.around":  # a place is authenticated: there is none for a patient that is not there
        assert (type(hidden), hidden.message) == (type(unknown), unknown.message)
    assert len(setup.service.calls) == 1
    assert (await setup.outcomes())[0] == (door, "denied", 0)


async def test_the_record_of_anothers_patient_is_none_like_one_that_is_not_there(make):
    setup = make(principal(patients=frozenset({MINE, NOBODYS})))

    assert await setup.guard.patient(THEIRS) is None
    assert await setup.guard.patient(NOBODYS) is None
    assert (await setup.guard.patient(MINE)).patient_id == MINE

    assert setup.service.calls == ["patient", "patient"]
    assert await setup.outcomes() == [
        ("read.patient", "denied", 0),
        ("read.patient", "NOT_FOUND", 0),
        ("read.patient", "ok", 1),
    ]


async def test_fifteen_aliases_of_ids_find_one(make):
    setup = make(principal())
    ids = [f"{CANARY}-p{number}" for number in range(15)]

    found = await asyncio.gather(*(setup.guard.patient(who) for who in ids))

    assert [record.patient_id for record in found if record is not None] == [MINE]
    assert setup.service.calls == ["patient"]


@pytest.mark.parametrize("door", DOORS)
async def test_each_door_needs_its_scope(make, door: str):
    setup = make(principal(scopes=ALL - {NEEDS[door]}, patients=None))

    with pytest.raises(Forbidden, match=NEEDS[door].value):
        await DOORS[door](setup.guard, MINE)

    assert setup.service.calls == []
    assert await setup.outcomes() == [(door.removesuffix(" (portal)"), "denied", 0)]


@pytest.mark.parametrize("door", [door for door in DOORS if not door.startswith("subscribe")])
async def test_the_one_scope_is_enough(make, door: str):
    setup = make(principal(scopes=frozenset({NEEDS[door]}), patients=None))

    await DOORS[door](setup.guard, MINE)

    assert [outcome for _, outcome, _ in await setup.outcomes()] == ["ok"]


@pytest.mark.parametrize("door", DOORS)
async def test_another_instance_looks_as_if_it_were_not_served(make, door: str):
    setup = make(principal(instances=frozenset({InstanceName("acme", "live")}), patients=None))

    with pytest.raises(NotFound, match="No such instance"):
        await DOORS[door](setup.guard, MINE)

    assert setup.service.calls == []


@pytest.mark.parametrize("door", DOORS)
async def test_no_door_opens_after_the_proof_has_ended(make, door: str):
    clock = Clock(100)
    setup = make(principal(patients=None, expires_at=100.0), clock)

    with pytest.raises(Unauthenticated, match="expired"):
        await DOORS[door](setup.guard, MINE)

    assert setup.service.calls == []


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (UpstreamTimeout("canary"), "UPSTREAM_TIMEOUT"),
        (BadInput("canary"), "BAD_USER_INPUT"),
        (ZeroDivisionError("canary"), "INTERNAL"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
async def test_an_error_is_written_down_once(make, door: str, error: BaseException, outcome: str):
    setup = make()
    setup.service.error = error

    with pytest.raises(type(error)):
        await DOORS[door](setup.guard, MINE)

    trail = await setup.outcomes()
    if door.startswith("subscribe"):
        ended = "ok" if outcome == "cancelled" else outcome  # a subscriber may leave
        assert trail == [("subscribe", "ok", 0), ("unsubscribe", ended, 0)]
    else:
        assert trail == [(door, outcome, 0)]


async def test_restricted_callers_may_not_look_across_all_patients(make):
    setup = make(principal())

    with pytest.raises(Forbidden, match="Name a patient"):
        await setup.guard.search("x", None, Window())
    with pytest.raises(Forbidden, match="list of patients"):
        await setup.guard.patients(None, Window())
    with pytest.raises(NotFound) as hidden:
        await file_of(setup.guard, "canary-file")

    everybody = make()
    with pytest.raises(NotFound) as unknown:
        await file_of(everybody.guard, "another")
    assert hidden.value.message == unknown.value.message
    assert setup.service.calls == []
    assert len((await everybody.guard.search("x", None, Window())).hits) == 1


async def test_a_chat_token_opens_only_a_conversation_of_the_callers(make):
    setup = make(principal(patients=frozenset({THEIRS})))
    setup.service.events.put_nowait(edge(MINE))

    with pytest.raises(NotFound):
        await setup.guard.portal_messages("canary-token", Window())
    with pytest.raises(NotFound):
        await first_of(setup.guard.follow_portal("canary-token", None))

    portal, *_ = await setup.trail()
    assert portal["patient"] == setup.audit.hashed("patient", GH, MINE)
    assert await setup.outcomes() == [
        ("read.portal", "denied", 0),
        ("subscribe", "ok", 0),
        ("event", "denied", 0),
        ("unsubscribe", "NOT_FOUND", 0),
    ]


async def test_a_file_is_closed_and_its_reader_may_fail(make):
    setup = make()

    with pytest.raises(ZeroDivisionError):
        async with setup.guard.open_file("canary-file", None):
            raise ZeroDivisionError

    assert setup.service.closed_files == 1
    assert await setup.outcomes() == [("file", "ok", 0)]


async def test_hints_and_facts_pass_through(make):
    setup = make(principal(patients=frozenset()))

    setup.guard.wake(MINE)
    setup.guard.record_changed(MINE)

    assert setup.service.calls == ["wake", "record_changed"]
    assert (setup.guard.name, setup.guard.api_version) == (GH, setup.service.api_version)
    assert setup.guard.capabilities == setup.service.capabilities
    assert await setup.trail() == []


@pytest.mark.parametrize("door", DOORS)
async def test_one_line_tells_who_did_what_where(make, door: str):
    setup = make(principal(patients=None))
    setup.service.events.put_nowait(edge(MINE))

    await DOORS[door](setup.guard, MINE)

    trail = await setup.trail()
    names = [line["action"] for line in trail]
    expected = [door] if not door.startswith("subscribe") else ["subscribe", "event", "unsubscribe"]
    assert names == expected
    assert [line["seq"] for line in trail] == list(range(1, len(expected) + 1))
    for line in trail:
        assert (line["who"], line["instance"], line["request_id"]) == ("nurse-7", "gh/sb-demo", "r-1")
        assert line["outcome"] == "ok"


async def test_a_patient_who_reads_their_own_is_not_named(make):
    setup = make(Principal(MINE, ALL, frozenset({MINE}), None))

    await setup.guard.messages(MINE, Window(), Filter())

    (line,) = await setup.trail()
    assert line["who"] == f"patient:{line['patient']}"


async def test_no_repr_and_no_denial_shows_a_patient(make):
    setup = make(principal())

    with pytest.raises(NotFound) as caught:
        await setup.guard.messages(THEIRS, Window(), Filter())

    assert CANARY not in repr(setup.guard) + str(caught.value) + repr(setup.audit)
