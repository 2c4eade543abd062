"""What the resolvers do beside fetching: one read per patient, bounds, and clean-up."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from gateway.domain.errors import BadInput, GatewayError, LimitExceeded, UpstreamTimeout
from gateway.domain.identity import patient_node_id
from gateway.domain.model import Conversation
from gateway.graphql.answers import Answer
from gateway.graphql.context import Records
from gateway.graphql.execution import Executor, Request
from gateway.graphql.limits import Limits
from gateway.graphql.mutation import MAX_BODY_BYTES, check_body, check_key
from tests.api.fakes import PATIENT, FakeInstance


@pytest.fixture
def fake() -> FakeInstance:
    return FakeInstance()


@pytest.fixture
def executor() -> Executor:
    return Executor(introspection=True)


async def run(executor: Executor, fake: FakeInstance, query: str, **variables: object) -> Answer:
    operation = executor.prepare(Request(query, variables), "r-1")
    return await executor.run(operation, fake, "r-1")


async def test_concurrent_readers_share_one_read(fake: FakeInstance) -> None:
    records = Records(fake)

    found = await asyncio.gather(*(records.get(PATIENT) for _ in range(20)))

    assert {record and record.first_name for record in found} == {"Ada"}
    assert fake.calls == ["patient"]


async def test_a_failed_read_fails_everyone_and_is_not_repeated(fake: FakeInstance) -> None:
    fake.fail(UpstreamTimeout("Welkin did not answer in time."))
    records = Records(fake)

    found = await asyncio.gather(*(records.get(PATIENT) for _ in range(5)), return_exceptions=True)

    assert {type(outcome) for outcome in found} == {UpstreamTimeout}
    assert fake.calls == ["patient"]


async def test_a_cancelled_reader_does_not_take_the_others_with_it(fake: FakeInstance) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    class Slow(FakeInstance):
        async def patient(self, patient_id: str):
            started.set()
            await release.wait()
            return await super().patient(patient_id)

    slow = Slow()
    records = Records(slow)
    first, second = (asyncio.create_task(records.get(PATIENT)) for _ in range(2))
    await started.wait()

    first.cancel()
    release.set()

    record = await second
    assert record is not None
    assert record.first_name == "Ada"


async def test_each_event_of_a_subscription_reads_the_record_anew(
    executor: Executor, fake: FakeInstance
) -> None:
    query = """subscription($id: ID!) {
        messageAdded(patientId: $id, after: "cursor:IM0000") { node { patient { firstName } } }
    }"""
    operation = executor.prepare(Request(query, {"id": PATIENT}), "r-1")

    async with aclosing(executor.follow(operation, fake, "r-1")) as answers:
        for _ in range(2):
            answer = await anext(answers)
            assert answer.body == {"data": {"messageAdded": {"node": {"patient": {"firstName": "Ada"}}}}}

    assert fake.calls == ["follow", "patient", "patient"]
    assert fake.followers == 0


async def test_an_unfinished_event_source_is_closed_with_its_reader(
    executor: Executor, fake: FakeInstance
) -> None:
    operation = executor.prepare(
        Request("subscription($id: ID!) { messageAdded(patientId: $id) { cursor } }", {"id": PATIENT}), "r-1"
    )
    answers = executor.follow(operation, fake, "r-1")
    waiting = asyncio.ensure_future(anext(answers))
    while fake.followers == 0:  # noqa: ASYNC110 -- the fake has no event for this
        await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.wait({waiting})
    await answers.aclose()

    assert fake.followers == 0


@pytest.mark.parametrize(
    ("selection", "reads"),
    [
        ("id patientId __typename", 0),
        ("messages { nodes { id } }", 0),
        ("name: id", 0),
        ("firstName", 1),
        ("firstName: id", 0),
        ("patientId: mrn", 1),
        ("firstName @skip(if: true)", 0),
        ("firstName @skip(if: false)", 1),
        ("firstName @include(if: false)", 0),
        ("firstName @include(if: $yes)", 1),
        ("firstName @skip(if: $yes)", 0),
        ("... @skip(if: $yes) { firstName }", 0),
        ("... { firstName }", 1),
        ("... on Node { id }", 0),
        ("... on Patient { ... on Patient { email } }", 1),
        ("...Record", 1),
        ("...Record @include(if: false)", 0),
    ],
)
async def test_the_look_ahead_sees_through_everything(
    executor: Executor, fake: FakeInstance, selection: str, reads: int
) -> None:
    query = (
        'query($yes: Boolean = true) { patient(patientId: "PATIENT") { ...Both id } } '
        "fragment Both on Patient { SELECTION id @include(if: $yes) ...Record @include(if: false) } "
        "fragment Record on Patient { phone }"
    )

    answer = await run(executor, fake, query.replace("PATIENT", PATIENT).replace("SELECTION", selection))

    assert "errors" not in answer.body or selection == "patientId: mrn", answer
    assert fake.calls.count("patient") == reads


async def test_an_answer_has_a_bounded_number_of_messages() -> None:
    executor = Executor(introspection=True, limits=Limits(cost=1_000_000))
    fake = FakeInstance(messages=200)
    inner = "messages(first: 200) { nodes { id } }"
    query = '{ patient(patientId: "PATIENT") { messages(first: 200) { nodes { patient { INNER } } } } }'

    answer = await run(executor, fake, query.replace("PATIENT", PATIENT).replace("INNER", inner))

    assert set(answer.codes) == {LimitExceeded.code}


async def test_one_node_that_fails_leaves_the_others(executor: Executor, fake: FakeInstance) -> None:
    class Picky(FakeInstance):
        async def patient(self, patient_id: str):
            if patient_id == "bad":
                raise UpstreamTimeout("Welkin did not answer in time.")
            return await super().patient(patient_id)

    ids = [patient_node_id(Conversation(fake.name, name)) for name in (PATIENT, "bad")]
    answer = await run(
        executor,
        Picky(),
        "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Patient { firstName } } }",
        ids=ids,
    )

    assert answer.body["data"] == {"nodes": [{"firstName": "Ada"}, None]}
    assert [(error["path"], error["extensions"]["code"]) for error in answer.body["errors"]] == [
        (["nodes", 1], "UPSTREAM_TIMEOUT")
    ]


def test_a_text_is_checked_to_the_byte() -> None:
    check_body("x" * MAX_BODY_BYTES, has_attachment=False)
    check_body("\u200f\u05e9\u05dc\u05d5\u05dd \U0001f469\u200d\U0001f680", has_attachment=False)
    check_body("", has_attachment=True)
    for wrong in ("", " \t\n", "x" * (MAX_BODY_BYTES + 1), "a\0", "half \ud83d"):
        with pytest.raises(BadInput) as refused:
            check_body(wrong, has_attachment=False)
        assert "half" not in refused.value.message or "pair" in refused.value.message


def test_a_key_is_printable_and_short() -> None:
    check_key(None)
    check_key("order 17/\u00e9")
    for wrong in ("", "k" * 256, "a\nb", "a\0b", "half \ud83d"):
        with pytest.raises(BadInput):
            check_key(wrong)


def test_every_error_of_the_domain_has_a_code() -> None:
    def below(kind: type[GatewayError]) -> set[type[GatewayError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    assert {kind.code for kind in below(GatewayError)} <= {
        "BAD_USER_INPUT", "INVALID_CURSOR", "UNAUTHENTICATED", "FORBIDDEN", "NOT_FOUND",
        "UNSUPPORTED_BY_UPSTREAM", "LIMIT_EXCEEDED", "UPSTREAM_RATE_LIMITED", "UPSTREAM_TIMEOUT",
        "UPSTREAM_UNAVAILABLE", "UPSTREAM_BAD_RESPONSE", "SEND_UNCONFIRMED", "OVERLOADED", "INTERNAL",
        "REFETCH_REQUIRED",
    }  # fmt: skip
