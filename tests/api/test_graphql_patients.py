"""The list of patients, and the names of patients who write."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from gateway.domain.errors import UpstreamTimeout
from gateway.domain.model import PatientRecord, Sender, SenderKind
from tests.api.asking import SEND, ask
from tests.api.dialing import dial, hear, subscribe, until
from tests.api.fakes import PATIENT, FakeInstance, web_of
from tests.serving import serve

LIST = """query($first: Int, $after: String, $search: String) {
  patients(first: $first, after: $after, search: $search) {
    edges { cursor node { id patientId } } nodes { firstName lastName }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
NAMES = '{ patient(patientId: "PATIENT") { messages(first: 50) { nodes { sender { kind name } } } } }'
BY_PATIENT = Sender(SenderKind.PATIENT, PATIENT)


@pytest.fixture
def fake() -> FakeInstance:
    fake = FakeInstance(messages=1)
    for number in range(3):
        fake.records[f"p{number}"] = PatientRecord(f"p{number}", first_name=f"Ann {number}", last_name="Lee")
    return fake


@pytest.fixture
def base_url(fake: FakeInstance) -> Iterator[str]:
    with serve(web_of(fake)) as base_url:
        yield base_url


@pytest.fixture
def client(base_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=base_url) as client:
        yield client


def test_patients_come_page_by_page_with_their_records(client: httpx2.Client, fake: FakeInstance) -> None:
    first = ask(client, LIST, first=3)["data"]["patients"]
    cursor = first["pageInfo"]["endCursor"]
    second = ask(client, LIST, first=3, after=cursor)["data"]["patients"]

    assert [node["firstName"] for node in first["nodes"] + second["nodes"]] == [
        "Ada",
        "Ann 0",
        "Ann 1",
        "Ann 2",
    ]
    assert [edge["node"]["patientId"] for edge in second["edges"]] == ["p2"]
    assert second["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": True,
        "startCursor": "cursor:p2",
        "endCursor": "cursor:p2",
    }
    assert fake.calls == ["patients", "patients"]


def test_patients_are_searched(client: httpx2.Client) -> None:
    found = ask(client, LIST, search="Ann 1")["data"]["patients"]

    assert found["nodes"] == [{"firstName": "Ann 1", "lastName": "Lee"}]


def test_an_empty_list_has_no_cursors(client: httpx2.Client) -> None:
    assert ask(client, LIST, search="nobody")["data"]["patients"] == {
        "edges": [],
        "nodes": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
    }


def test_their_conversations_are_read_below_them_and_their_records_not_again(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    fake.receive("mine", sender=BY_PATIENT)

    answer = ask(
        client,
        '{ patients(search: "Ada") { nodes { messages { nodes { '
        "body sender { name } patient { mrn } } } } } }",
    )

    assert answer["data"]["patients"]["nodes"][0]["messages"]["nodes"] == [
        {"body": "mine", "sender": {"name": "Ada Byron"}, "patient": {"mrn": None}},
        {"body": "message 0", "sender": {"name": "Grace Hopper"}, "patient": {"mrn": None}},
    ]
    assert fake.calls == ["patients", "messages"]


@pytest.mark.parametrize("first", [-1, 201])
def test_a_wrong_count_reaches_nothing(client: httpx2.Client, fake: FakeInstance, first: int) -> None:
    answer = ask(client, LIST, first=first)

    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert fake.calls == []


def test_a_forged_cursor_is_refused(client: httpx2.Client) -> None:
    answer = ask(client, LIST, after="cursor:forged")

    assert answer["errors"][0]["extensions"]["code"] == "INVALID_CURSOR"


def test_a_page_of_messages_costs_one_record_for_its_names(client: httpx2.Client, fake: FakeInstance) -> None:
    for _ in range(60):
        fake.receive("mine", sender=BY_PATIENT)

    nodes = ask(client, NAMES)["data"]["patient"]["messages"]["nodes"]

    assert nodes == [{"sender": {"kind": "PATIENT", "name": "Ada Byron"}}] * 50
    assert fake.calls == ["messages", "patient"]


def test_no_record_is_read_where_no_name_is_missing_or_none_is_asked_for(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    ask(client, NAMES)
    fake.receive("mine", sender=BY_PATIENT)
    ask(client, NAMES.replace("kind name", "kind id"))
    ask(client, NAMES.replace("name", "name @skip(if: true)"))

    assert "patient" not in fake.calls


@pytest.mark.parametrize(
    "sender",
    [
        Sender(SenderKind.CARE_TEAM, "u1"),
        Sender(SenderKind.SYSTEM),
        Sender(SenderKind.UNKNOWN, PATIENT),
        Sender(SenderKind.PATIENT, "somebody-else"),
    ],
)
def test_only_the_patient_of_the_conversation_gets_the_patients_name(
    client: httpx2.Client, fake: FakeInstance, sender: Sender
) -> None:
    fake.receive("not mine", sender=sender)

    nodes = ask(client, NAMES)["data"]["patient"]["messages"]["nodes"]

    assert nodes[0]["sender"] == {"kind": sender.kind.name, "name": None}
    assert "patient" not in fake.calls


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (None, None),
        (PatientRecord(PATIENT), None),
        (PatientRecord(PATIENT, first_name="Ada"), "Ada"),
        (PatientRecord(PATIENT, last_name="Byron"), "Byron"),
    ],
)
def test_a_name_is_what_the_record_has_of_it(
    client: httpx2.Client, fake: FakeInstance, record: PatientRecord | None, name: str | None
) -> None:
    fake.receive("mine", sender=Sender(SenderKind.PATIENT))
    fake.records = {} if record is None else {PATIENT: record}

    answer = ask(client, NAMES)

    assert "errors" not in answer
    assert answer["data"]["patient"]["messages"]["nodes"][0]["sender"]["name"] == name


def test_a_record_that_cannot_be_read_costs_the_names_alone(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    async def fail(_patient_id: str) -> None:
        fake.calls.append("patient")
        raise UpstreamTimeout("Welkin did not answer in time.")

    fake.patient = fail
    for _ in range(5):
        fake.receive("mine", sender=BY_PATIENT)

    answer = ask(client, NAMES)

    assert "errors" not in answer
    assert answer["data"]["patient"]["messages"]["nodes"][0]["sender"]["name"] is None
    assert fake.calls == ["messages", "patient"]


def test_a_sent_message_shows_who_wrote_it(client: httpx2.Client) -> None:
    answer = ask(
        client,
        SEND.replace("externalId", "sender { kind name }"),
        input={"patientId": PATIENT, "body": "Hello"},
    )

    node = answer["data"]["sendMessage"]["messageEdge"]["node"]
    assert node["sender"] == {"kind": "PATIENT", "name": "Ada Byron"}


async def test_every_event_names_its_writer_as_the_record_is_then(base_url: str, fake: FakeInstance) -> None:
    query = "subscription($id: ID!) { messageAdded(patientId: $id) { node { sender { name } } } }"
    async with dial(f"{base_url}/graphql".replace("http", "ws", 1)) as socket:
        await subscribe(socket, "1", query, id=PATIENT)
        await until(lambda: fake.followers == 1)
        fake.receive("mine", sender=BY_PATIENT)
        before = await hear(socket)
        fake.records[PATIENT] = PatientRecord(PATIENT, first_name="Ada", last_name="Lovelace")
        fake.receive("mine", sender=BY_PATIENT)
        after = await hear(socket)

    names = [frame["payload"]["data"]["messageAdded"]["node"]["sender"]["name"] for frame in (before, after)]
    assert names == ["Ada Byron", "Ada Lovelace"]
