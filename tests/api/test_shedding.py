"""More work than the gateway takes on: refused at once, while what was begun is finished."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from gateway.domain.access import EVERYBODY, Principal
from gateway.domain.connection import Connection, Filter, Window
from gateway.domain.errors import GatewayError, LimitExceeded, Overloaded, UpstreamTimeout
from gateway.graphql.answers import Answer
from gateway.graphql.errors import show_error
from gateway.web.load import Load, answered_nothing_for_load
from gateway.web.options import WebOptions
from gateway.web.places import PlacesByCaller
from tests.api.asking import MESSAGES, RESPONSE_JSON, code_of, wait_until
from tests.api.dialing import dial, hear, subscribe, until
from tests.api.fakes import ACME, GH, KEY, PATIENT, SECRET, FakeInstance, web_of
from tests.serving import serve

CAPACITY = 4
BUSY_SECONDS = 0.02
READ = {"query": MESSAGES, "variables": {"id": PATIENT}}
STREAM = {"Accept": "text/event-stream"}


class Slow(FakeInstance):
    """Answers once the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.open = False

    async def messages(self, patient_id: str, window: Window, filter: Filter) -> Connection:  # noqa: A002
        self.held += 1
        while not self.open:  # noqa: ASYNC110 -- the test's thread opens it
            await asyncio.sleep(0.005)
        return await super().messages(patient_id, window, filter)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def client(slow: Slow) -> Iterator[httpx2.Client]:
    options = WebOptions(max_operations=CAPACITY, show_cost=False)
    with serve(web_of(slow, options=options)) as url, httpx2.Client(base_url=url, timeout=20) as client:
        try:
            yield client
        finally:
            slow.open = True


@contextlib.contextmanager
def full(client: httpx2.Client, slow: Slow) -> Iterator[list[httpx2.Response]]:
    """Take every place; gives the answers of those who hold them once the block has ended."""
    answers: list[httpx2.Response] = []
    with ThreadPoolExecutor(CAPACITY) as pool:
        waiting = [pool.submit(client.post, "/graphql", json=READ) for _ in range(CAPACITY)]
        wait_until(lambda: slow.held == CAPACITY)
        yield answers
        slow.open = True
        answers += [each.result() for each in waiting]


@pytest.mark.parametrize("accept", ["application/json", RESPONSE_JSON])
def test_what_is_too_much_is_refused_at_once_and_the_rest_is_answered(
    client: httpx2.Client, slow: Slow, accept: str
) -> None:
    with full(client, slow) as answered:
        began = time.monotonic()
        refused = [
            client.post("/graphql", json=READ, headers={"Accept": accept}) for _ in range(2 * CAPACITY)
        ]
        took = time.monotonic() - began

    assert {answer.status_code for answer in refused} == {503}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert {code_of(answer) for answer in refused} == {"OVERLOADED"}
    assert refused[0].json()["errors"][0]["extensions"]["retryAfter"] == 1.0
    assert took / len(refused) < 0.1
    assert [len(each.json()["data"]["patient"]["messages"]["nodes"]) for each in answered] == [2] * CAPACITY
    assert slow.held == CAPACITY


def test_it_is_refused_before_its_body_is_read(client: httpx2.Client, slow: Slow) -> None:
    head = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    with (
        full(client, slow),
        socket.create_connection((client.base_url.host, client.base_url.port), timeout=5) as connection,
    ):
        connection.sendall(head)

        assert connection.recv(4096).startswith(b"HTTP/1.1 503 ")


def test_an_instance_that_hangs_leaves_room_for_the_other(slow: Slow) -> None:
    options = WebOptions(max_operations=4 * CAPACITY, show_cost=False)
    app = web_of(slow, FakeInstance(ACME), options=options)
    with (
        serve(app) as url,
        httpx2.Client(base_url=url, timeout=20) as client,
        ThreadPoolExecutor(4 * CAPACITY) as pool,
    ):
        hung = [pool.submit(client.post, "/graphql", json=READ) for _ in range(4 * CAPACITY)]
        wait_until(lambda: sum(each.done() for each in hung) == 2)

        well = [client.post("/acme-health/live/graphql", json=READ) for _ in range(5)]

        slow.open = True
        codes = sorted(each.result().status_code for each in hung)

    assert [len(each.json()["data"]["patient"]["messages"]["nodes"]) for each in well] == [2] * 5
    assert codes == [200] * 14 + [503] * 2


def test_a_place_is_free_again_however_its_operation_ended(client: httpx2.Client, slow: Slow) -> None:
    with full(client, slow):
        pass
    slow.fail(UpstreamTimeout("Welkin did not answer."))
    for _ in range(2 * CAPACITY):
        assert client.post("/graphql", json=READ).status_code == 200
    slow.fail(RuntimeError("canary"))
    for _ in range(2 * CAPACITY):
        assert client.post("/graphql", json=READ).status_code == 200

    assert "gateway_operations_under_way 0.0" in client.get("/metrics").text


def test_a_place_is_free_again_when_its_caller_has_left(slow: Slow) -> None:
    load = Load(1)

    async def operate() -> None:
        with load.place(GH):
            await asyncio.Event().wait()

    async def leave() -> None:
        task = asyncio.create_task(operate())
        await asyncio.sleep(0)
        assert load.under_way == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    assert load.under_way == 0


def test_an_event_stream_tells_that_there_is_too_much_to_do(client: httpx2.Client, slow: Slow) -> None:
    with full(client, slow):
        answer = client.post("/graphql", json=READ, headers=STREAM)

    events = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    assert json.loads(events[0].removeprefix("data: "))["errors"][0]["extensions"]["code"] == "OVERLOADED"


def test_a_subscription_begins_whatever_there_is_to_do(client: httpx2.Client, slow: Slow) -> None:
    follow = {"query": f'subscription {{ messageAdded(patientId: "{PATIENT}") {{ cursor }} }}'}
    with full(client, slow), client.stream("POST", "/graphql", json=follow, headers=STREAM) as answer:
        assert answer.status_code == 200
        wait_until(lambda: slow.followers == 1)


def test_whoever_runs_the_gateway_and_welkin_are_heard_all_the_same(
    client: httpx2.Client, slow: Slow
) -> None:
    event = {"patientId": PATIENT, "tenantName": "gh", "instanceName": "sb-demo", "message": ""}
    with full(client, slow):
        hook = client.post(
            "/webhooks/chat", json=event, headers={"X-WEBHOOK-API-KEY": KEY, "X-WEBHOOK-API-SECRET": SECRET}
        )
        asked = [client.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")]

    assert (hook.status_code, asked) == (200, [200, 200, 200])


def test_an_answer_of_nothing_but_overload_is_a_503(client: httpx2.Client, slow: Slow) -> None:
    slow.open = True
    slow.fail(Overloaded("Too many calls to Welkin are under way.", 3.0))

    answer = client.post("/graphql", json=READ)

    assert (answer.status_code, answer.headers["retry-after"], code_of(answer)) == (503, "1", "OVERLOADED")


def test_a_part_that_was_answered_makes_it_a_200(client: httpx2.Client, slow: Slow) -> None:
    slow.open = True
    slow.fail(Overloaded("Too many calls to Welkin are under way."))
    query = MESSAGES.replace("{ patient", "{ __typename patient")

    assert client.post("/graphql", json={**READ, "query": query}).status_code == 200


@pytest.mark.parametrize(
    ("data", "errors", "told"),
    [
        ({"patient": None}, [Overloaded("x")], True),
        (None, [Overloaded("x"), Overloaded("x")], True),
        ({"patient": None}, [Overloaded("x"), UpstreamTimeout("x")], False),
        ({"a": None, "b": {"x": 1}}, [Overloaded("x")], False),
        ({"patient": None}, [], False),
    ],
)
def test_only_overload_alone_is_told_as_such(data: object, errors: list[GatewayError], *, told: bool) -> None:
    body = {"data": data, "errors": [show_error(error) for error in errors]}

    assert answered_nothing_for_load(Answer(body)) is told


def test_places_of_a_caller_are_theirs_alone() -> None:
    places = PlacesByCaller(1, "file transfers")

    with (
        places.place("a"),
        places.place("b"),
        pytest.raises(LimitExceeded, match="At most 1 file transfers"),
        places.place("a"),
    ):
        pass
    with places.place("a"):
        pass
    with pytest.raises(ValueError, match="At least one"):
        PlacesByCaller(0, "file transfers")
    with pytest.raises(ValueError, match="max_operations"):
        Load(0)


async def test_three_times_what_fits_is_shed_quickly_and_the_rest_goes_on() -> None:
    """The median of the refusals is measured: single ones wait for whatever else the machine does."""

    class Steady(FakeInstance):
        async def messages(self, patient_id: str, window: Window, filter: Filter) -> Connection:  # noqa: A002
            await asyncio.sleep(0.1)
            return await super().messages(patient_id, window, filter)

    answers: list[tuple[int, float]] = []

    async def call(caller: httpx2.AsyncClient, until: float) -> None:
        while (began := time.monotonic()) < until:
            answer = await caller.post("/graphql", json=READ)
            answers.append((answer.status_code, time.monotonic() - began))
            if answer.status_code == 503:
                await asyncio.sleep(0.05)

    options = WebOptions(max_operations=CAPACITY)
    with serve(web_of(Steady(), options=options)) as url:
        async with httpx2.AsyncClient(base_url=url, timeout=20) as caller:
            await asyncio.gather(*(call(caller, time.monotonic() + 1.5) for _ in range(3 * CAPACITY)))

    shed = sorted(took for status, took in answers if status == 503)
    served = [took for status, took in answers if status == 200]
    assert len(shed) + len(served) == len(answers)
    assert shed[len(shed) // 2] < 0.1
    assert len(served) > CAPACITY * 1.5 / 0.1 * 0.4


async def test_work_that_leaves_the_loop_no_time_is_shed_too() -> None:
    """No place is short here, only time: each operation holds the event loop up."""

    class Busy(FakeInstance):
        async def messages(self, patient_id: str, window: Window, filter: Filter) -> Connection:  # noqa: A002
            time.sleep(BUSY_SECONDS)  # noqa: ASYNC251 -- it is what is tested
            return await super().messages(patient_id, window, filter)

    answers: list[httpx2.Response] = []
    probes: list[float] = []
    end = time.monotonic() + 2.5

    async def call(caller: httpx2.AsyncClient) -> None:
        while time.monotonic() < end:
            answer = await caller.post("/graphql", json=READ)
            answers.append(answer)
            if answer.status_code == 503:
                await asyncio.sleep(0.1)

    async def probe(caller: httpx2.AsyncClient) -> None:
        while time.monotonic() < end:
            began = time.monotonic()
            assert (await caller.get("/healthz")).status_code == 200
            probes.append(time.monotonic() - began)
            await asyncio.sleep(0.02)

    limits = httpx2.Limits(max_connections=None)
    with serve(web_of(Busy())) as url:
        async with httpx2.AsyncClient(base_url=url, timeout=20, limits=limits) as caller:
            await asyncio.gather(probe(caller), *(call(caller) for _ in range(100)))
            afterwards = [await caller.post("/graphql", json=READ) for _ in range(3)]

    shed = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert {(code_of(answer), answer.headers["retry-after"]) for answer in shed} == {("OVERLOADED", "1")}
    assert len(answers) - len(shed) > 2.5 / BUSY_SECONDS * 0.4
    assert sorted(probes)[len(probes) // 2] < 0.2
    assert {answer.status_code for answer in afterwards} == {200}


async def test_a_query_on_a_websocket_is_told_so(slow: Slow) -> None:
    options = WebOptions(max_operations=1, show_cost=False)
    with serve(web_of(slow, options=options)) as url:
        async with dial(f"{url.replace('http', 'ws', 1)}/graphql") as socket:
            await subscribe(socket, "a", MESSAGES, id=PATIENT)
            await until(lambda: slow.held == 1)
            await subscribe(socket, "b", MESSAGES, id=PATIENT)
            refused = await hear(socket)
            slow.open = True
            answered = await hear(socket)

    assert (refused["id"], refused["type"]) == ("b", "error")
    assert refused["payload"][0]["extensions"] == {"code": "OVERLOADED", "retryAfter": 1.0}
    assert (answered["id"], answered["type"]) == ("a", "next")


def test_a_refusal_asks_nobody_who_calls_and_a_page_may_read_it(slow: Slow) -> None:
    asked: list[object] = []

    async def authenticate(*shown: object) -> Principal:
        asked.append(shown)
        return EVERYBODY

    page = "https://chat.example.org"
    options = WebOptions(max_operations=CAPACITY, authenticate=authenticate, cors_origins=(page,))
    with (
        serve(web_of(slow, options=options)) as url,
        httpx2.Client(base_url=url, timeout=20, headers={"Origin": page}) as client,
        full(client, slow),
    ):
        refused = client.post("/graphql", json=READ)

    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (503, page)
    assert len(asked) == CAPACITY


def test_it_is_shown_how_busy_the_process_is(client: httpx2.Client, slow: Slow) -> None:
    with full(client, slow):
        shown = client.get("/metrics").text

    figures = dict(line.rsplit(" ", 1) for line in shown.splitlines() if not line.startswith("#"))
    assert float(figures["gateway_operations_under_way"]) == CAPACITY
    assert float(figures["gateway_tasks"]) > CAPACITY
    assert 0 <= float(figures["gateway_loop_lag_seconds"]) < 20
