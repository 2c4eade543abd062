"""Sending from outside: once, whatever happens to the answer."""

from __future__ import annotations

import pytest

from gateway.sandbox import FaultRule
from gateway.sandbox.conversations import FILE_UPLOADED, SHORT
from tests.api.system import SEND, system


@pytest.fixture
def running():
    with system(instance={"timeout_seconds": 2}) as each:
        yield each


@pytest.fixture(params=["v1", "v2"])
def version(request) -> str:
    return request.param


def stored(running, text: str) -> int:
    """Count how often a text is in the conversation."""
    return sum(message.text == text for message in running.sandbox.store.history(SHORT))


def sends(running, version: str) -> int:
    """Count the sends that Welkin has seen."""
    return running.sandbox.requests.count(f"{version}.send")


def test_a_sent_message_is_returned_listed_and_behind_its_cursor_is_the_rest(running, version):
    before = running.messages(version, SHORT, first=3)["edges"]

    edge = running.query(version, SEND, input={"patientId": SHORT, "body": "A question 🙂"})["sendMessage"][
        "messageEdge"
    ]

    assert edge["node"]["sender"] == {"kind": "PATIENT"}
    newest = running.messages(version, SHORT, first=1)["edges"][0]
    assert newest["node"]["externalId"] == edge["node"]["externalId"]
    behind = running.messages(version, SHORT, first=3, after=edge["cursor"])["edges"]
    assert [e["node"] for e in behind] == [e["node"] for e in before]


@pytest.mark.parametrize("fault", ["stored_error", "stored_reset", "stored_hang"])
def test_a_send_that_was_stored_but_not_answered_is_found_and_not_repeated(running, version, fault):
    running.sandbox.faults.add(FaultRule(fault, operation="send", api=version))

    edge = running.query(version, SEND, input={"patientId": SHORT, "body": "once"})["sendMessage"][
        "messageEdge"
    ]

    assert edge["node"]["body"] == "once"
    assert (stored(running, "once"), sends(running, version)) == (1, 1)


@pytest.mark.parametrize("fault", ["server_error", "reset", "html"])
def test_a_send_of_which_nothing_is_known_is_unconfirmed_and_not_repeated(running, version, fault):
    running.sandbox.faults.add(FaultRule(fault, operation="send", api=version))

    code = running.code(version, SEND, input={"patientId": SHORT, "body": "lost?"})

    assert code == "SEND_UNCONFIRMED"
    assert (stored(running, "lost?"), sends(running, version)) == (0, 1)


def test_a_mutation_that_was_done_in_part_is_not_asked_to_come_again(version):
    """The last send comes behind slow ones, and has too little time left to begin."""
    three = """mutation ($a: SendMessageInput!, $b: SendMessageInput!, $c: SendMessageInput!) {
      a: sendMessage(input: $a) { messageEdge { node { body } } }
      b: sendMessage(input: $b) { messageEdge { node { body } } }
      c: sendMessage(input: $c) { messageEdge { node { body } } } }"""
    inputs = {name: {"patientId": SHORT, "body": f"part {name}"} for name in "abc"}
    with system(instance={"timeout_seconds": 4}) as running:
        rule = FaultRule("slow", operation="send", api=version, times=None, args={"seconds": 1.6})
        running.sandbox.faults.add(rule)

        answer = running.post(version, three, **inputs)

    assert [stored(running, f"part {name}") for name in "abc"] == [1, 1, 0]
    assert [error["path"] for error in answer["errors"]] == [["c"]]
    assert answer["errors"][0]["extensions"]["code"] == "OVERLOADED"


def test_an_expired_token_is_renewed_and_the_refused_send_repeated_once(running, version):
    running.messages(version, SHORT, first=1)
    running.sandbox.credentials.expire_all()

    running.query(version, SEND, input={"patientId": SHORT, "body": "after expiry"})

    assert stored(running, "after expiry") == 1


def test_one_idempotency_key_sends_once_and_returns_the_message_every_time(running, version):
    message = {"patientId": SHORT, "body": "once", "idempotencyKey": "k1"}

    first = running.query(version, SEND, input=message)
    again = running.query(version, SEND, input=message)

    assert first == again
    assert stored(running, "once") == 1
    assert running.code(version, SEND, input=message | {"body": "other"}) == "BAD_USER_INPUT"


@pytest.mark.parametrize("body", ["", "  \n", "a\0b", "x" * 65_537])
def test_a_body_that_cannot_be_sent_is_refused_before_anything_is_sent(running, version, body):
    assert running.code(version, SEND, input={"patientId": SHORT, "body": body}) == "BAD_USER_INPUT"
    assert running.sandbox.requests.count(f"{version}.send") == 0


@pytest.mark.parametrize(
    "body", ["  leading", "مرحبا", "👩‍👩‍👧", "é vs é", "<b>&amp;</b>", "\u2028line", "x" * 3_000]
)
def test_texts_go_through_unchanged(running, version, body):
    edge = running.query(version, SEND, input={"patientId": SHORT, "body": body})["sendMessage"][
        "messageEdge"
    ]

    assert edge["node"]["body"] == body
    assert stored(running, body) == 1
    assert running.messages(version, SHORT, first=1)["edges"][0]["node"]["body"] == body


def test_an_attachment_goes_with_v2_and_is_refused_on_v1_before_anything_is_sent(running):
    message = {"patientId": SHORT, "body": "look", "attachmentId": FILE_UPLOADED.id}

    assert running.code("v1", SEND, input=message) == "UNSUPPORTED_BY_UPSTREAM"
    assert running.sandbox.requests.count("v1.send") == 0
    assert running.query("v2", SEND, input=message)["sendMessage"]["messageEdge"]["node"]["body"] == "look"
