"""What many are shown of one event is made once, and nobody is shown what was made for another question."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from graphql import parse

from gateway.domain.connection import Edge
from gateway.domain.errors import NotFound
from gateway.domain.model import InstanceName, Message, PatientRecord, Sender, SenderKind
from gateway.graphql import following
from gateway.graphql.answers import Answer
from gateway.graphql.event_answers import Asked, EventAnswers, variables_shown
from gateway.graphql.execution import Executor, Request
from tests.api.fakes import FakeInstance

PLAIN = """
subscription ($id: ID!, $after: String) { messageAdded(patientId: $id, after: $after) { node { body } } }
"""
CHOSEN = """
subscription ($id: ID!, $c: Boolean!) {
  messageAdded(patientId: $id) { cursor @include(if: $c) node { body } }
}
"""
RECORD = "subscription ($id: ID!) { messageAdded(patientId: $id) { node { patient { firstName } } } }"
MESSAGE = Message(
    external_id="m1",
    patient_id="p-1",
    sender=Sender(SenderKind.CARE_TEAM, None, None),
    body="hello",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
EDGE = Edge("cursor-1", MESSAGE)


class Tail(FakeInstance):
    """Gives one event to everybody, and counts the records that are read."""

    event = EDGE
    read = 0

    async def follow(self, _patient_id: str, _after: str | None) -> AsyncGenerator[Edge]:  # type: ignore[override]
        yield self.event

    async def patient(self, patient_id: str) -> PatientRecord | None:
        self.read += 1
        return await super().patient(patient_id)


@pytest.fixture
def shown(monkeypatch) -> list[object]:
    """Note each event that is run through the schema."""
    runs: list[object] = []
    original = following.show_event

    async def counting(executor: Any, payload: object) -> Any:
        runs.append(payload)
        return await original(executor, payload)

    monkeypatch.setattr(following, "show_event", counting)
    return runs


async def follow(executor: Executor, service: FakeInstance, document: str, **variables: Any) -> list[Answer]:
    operation = executor.prepare(Request(document, variables), "r")
    return [answer async for answer in executor.follow(operation, service, "r")]


async def test_all_who_ask_the_same_of_an_event_get_one_answer(shown):
    executor, service = Executor(introspection=False), Tail()

    answers = [await follow(executor, service, PLAIN, id="p-1", after=f"c{n}") for n in range(5)]

    assert len(shown) == 1
    assert {id(answer) for (answer,) in answers} == {id(answers[0][0])}
    assert answers[0][0].body == {"data": {"messageAdded": {"node": {"body": "hello"}}}}
    assert answers[0][0].cursor == "cursor-1"


async def test_another_event_document_value_or_instance_is_shown_anew(shown):
    executor, service, other = Executor(introspection=False), Tail(), Tail(InstanceName("acme", "live"))
    changed = Tail()
    changed.event = replace(EDGE, message=replace(MESSAGE, body="edited"))

    with_cursor = await follow(executor, service, CHOSEN, id="p-1", c=True)
    without = await follow(executor, service, CHOSEN, id="p-1", c=False)
    await follow(executor, service, PLAIN, id="p-1")
    await follow(executor, other, PLAIN, id="p-1")
    (edited,) = await follow(executor, changed, PLAIN, id="p-1")

    assert len(shown) == 5
    assert "cursor" in with_cursor[0].body["data"]["messageAdded"]
    assert "cursor" not in without[0].body["data"]["messageAdded"]
    assert edited.body["data"]["messageAdded"]["node"]["body"] == "edited"


async def test_what_had_to_be_read_is_read_for_each(shown):
    executor, service = Executor(introspection=False), Tail()

    for _ in range(3):
        await follow(executor, service, RECORD, id="p-1")

    assert len(shown) == service.read == 3


async def test_the_error_that_ends_the_events_is_the_last_answer_and_told_in_our_words():
    class Missing(Tail):
        async def follow(self, _patient_id: str, _after: str | None) -> AsyncGenerator[Edge]:  # type: ignore[override]
            yield EDGE
            raise NotFound("canary")

    first, last = await follow(Executor(introspection=False), Missing(), PLAIN, id="p-1")

    assert not first.final
    assert last.final
    assert last.codes == ["NOT_FOUND"]
    assert "canary" not in str(last.body)


def test_only_the_values_that_change_what_is_shown_count():
    document = parse(
        "subscription ($a: ID!, $b: Boolean!, $c: Boolean!, $d: Boolean!) { messageAdded(patientId: $a) "
        "@skip(if: $d) { ...F node { id @skip(if: $b) } } } "
        "fragment F on MessageEdge { cursor @include(if: $c) }"
    )

    assert variables_shown(document) == {"b", "c", "d"}


def test_few_answers_are_kept():
    answers: EventAnswers[int] = EventAnswers(most=2)
    asked = Asked(InstanceName("a", "b"), "text", None, "")
    events = [replace(EDGE, cursor=f"c{n}") for n in range(3)]
    for number, event in enumerate(events):
        answers.keep(asked, event, number)

    assert [answers.find(asked, event) for event in events] == [None, 1, 2]


A_QUESTION = (InstanceName("a", "b"), "text", "Name", "[('x', True)]")


def test_who_asks_the_same_asks_one_thing():
    answers: EventAnswers[int] = EventAnswers()

    assert answers.asked(*A_QUESTION) is answers.asked(*A_QUESTION)


@pytest.mark.parametrize(
    ("place", "other"),
    [(0, InstanceName("a", "c")), (1, "another text"), (2, None), (3, "[('x', 1)]"), (3, "[('x', 'True')]")],
)
def test_who_asks_anything_else_gets_no_answer_of_theirs(place: int, other: object):
    answers: EventAnswers[int] = EventAnswers()
    one = answers.asked(*A_QUESTION)
    question: list[Any] = list(A_QUESTION)
    question[place] = other
    answers.keep(one, EDGE, 1)

    assert answers.asked(*question) is not one
    assert answers.find(answers.asked(*question), EDGE) is None
    assert answers.find(one, EDGE) == 1


def test_nothing_is_kept_of_what_nobody_asks_any_more():
    answers: EventAnswers[int] = EventAnswers()
    asked = answers.asked(*A_QUESTION)
    gone = weakref.ref(asked)
    del asked

    assert gone() is None
    assert not answers._asked
