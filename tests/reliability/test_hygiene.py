"""Health data stays inside of ``data``: not in headers, labels, lines, files or errors, nor read in vain."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect

from gateway.sandbox import Client, FaultRule, SandboxConfig, create_sandbox
from tests.redis_server import redis_server
from tests.reliability.product import MINE, PATHS, SERVICE, Product, product
from tests.serving import serve

CANARY = "canary-7f3e"
READ = (
    "query ($id: ID!) { patient(patientId: $id) { firstName messages { nodes { body sender { name } } } } }"
)
BODIES = (
    "query ($id: ID!, $c: String) "
    "{ patient(patientId: $id) { messages(first: 200, after: $c) { nodes { body } } } }"
)
SEND = (
    "mutation ($id: ID!, $body: String!) { sendMessage(input: {patientId: $id, body: $body}) "
    "{ messageEdge { node { body } } } }"
)


@pytest.fixture(params=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


def new_patient(running: Product, *texts: str, **fields: str) -> str:
    """Make a patient whose messages nobody has read yet."""
    patient_id = f"pt_{time.monotonic_ns()}"
    messages = [{"text": text, "from": "patient"} for text in texts]
    made = {"patientId": patient_id, "firstName": "Ada", "messages": messages} | fields
    running.http.post(f"{running.sandbox_url}/control/patients", json=made).raise_for_status()
    return patient_id


DOORS = {
    "data": ("POST", "graphql", {"json": {"query": READ, "variables": {"id": MINE}}}, SERVICE),
    "stream": ("POST", "graphql", {"json": {"query": "{ __typename }"}}, {"Accept": "text/event-stream"}),
    "refused document": ("POST", "graphql", {"json": {"query": "{ nope }"}}, {}),
    "refused body": ("POST", "graphql", {"content": b"{"}, {"Content-Type": "application/json"}),
    "no proof": ("POST", "graphql", {"json": {}}, {"X-API-Key": "wrong"}),
    "method": ("PUT", "graphql", {}, {}),
    "webhook": ("POST", "webhooks/chat", {"json": {}}, {}),
    "file": ("GET", "files/nothing", {}, {}),
    "nowhere": ("GET", "nowhere", {}, {}),
    "preflight": ("OPTIONS", "graphql", {}, {"Origin": "https://x", "Access-Control-Request-Method": "POST"}),
}


@pytest.mark.parametrize("door", DOORS)
def test_no_answer_may_be_kept_on_the_way(running: Product, door: str):
    method, path, content, headers = DOORS[door]
    url = f"{running.url}/{PATHS['v2']}/{path}"

    answer = running.http.request(method, url, headers=SERVICE | headers, **content)

    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert {"etag", "last-modified", "set-cookie", "x-powered-by", "via"}.isdisjoint(answer.headers)
    assert not re.search(r"\d", answer.headers.get("server", ""))


def test_an_upstream_that_echoes_what_was_written_is_not_quoted(running: Product, version: str):
    """Welkin's errors may hold a name or a text; only the code and a text of the gateway's go on."""
    echo = json.dumps(
        [{"errorCode": "EC_1", "message": f"patient {CANARY} {MINE}", "details": {"a": CANARY}}]
    )
    patient_id = new_patient(running, CANARY)
    for status in (400, 403, 404, 422, 500):
        for operation, query in (("list", BODIES), ("patient", READ), ("send", SEND)):
            if status == 500 and operation != "send":
                continue  # reads are tried again after a while, which tells nothing new here
            running.sandbox.faults.clear()
            args = {"status": status, "text": echo}
            running.sandbox.faults.add(FaultRule("body", operation=operation, times=3, args=args))

            answer = running.ask(version, query, id=patient_id, body=CANARY)

            assert CANARY not in json.dumps(answer.get("errors", []))
            assert "EC_1" not in json.dumps(answer)
    assert CANARY not in (running.folder / "audit.jsonl").read_text()


def test_a_field_that_welkin_adds_is_out_of_reach(running: Product, version: str):
    patient_id = new_patient(running, "a", "b")
    for operation in ("list", "patient", "search"):
        running.sandbox.faults.clear()
        running.sandbox.faults.add(FaultRule("extra_fields", operation=operation, times=None))
        answer = running.ask(version, READ, id=patient_id)

        assert "errors" not in answer
        assert set(answer["data"]["patient"]) == {"firstName", "messages"}
        assert [set(node) for node in answer["data"]["patient"]["messages"]["nodes"]] == [
            {"body", "sender"},
            {"body", "sender"},
        ]
    for name in ("ssn", "payload", "extra", "__dict__", "conversation", "throughToken"):
        refused = running.post(version, {"query": f'{{ patient(patientId: "x") {{ {name} }} }}'}).json()
        assert refused["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


WANTS = {
    "{ __typename }": {},
    "{ instance { name apiVersion capabilities } }": {},
    "query ($id: ID!) { patient(patientId: $id) { id patientId __typename } }": {},
    "query ($id: ID!) { patient(patientId: $id) { firstName @include(if: false) id } }": {},
    "query ($id: ID!) { patient(patientId: $id) { ... on Patient @skip(if: true) { email } id } }": {},
    "query ($id: ID!) { patient(patientId: $id) { firstName lastName email } }": {"patient": 1},
    "query ($id: ID!) { a: patient(patientId: $id) { firstName } b: patient(patientId: $id) { email } }": {
        "patient": 1
    },
    "query ($id: ID!) { patient(patientId: $id) { messages(first: 2) { nodes { id } } } }": {"list": 1},
    "query ($id: ID!) { patient(patientId: $id) { messages(first: 2) { nodes { patient { id } } } } }": {
        "list": 1
    },
}


@pytest.mark.parametrize("query", WANTS, ids=range(len(WANTS)))
def test_welkin_is_asked_for_what_is_selected_and_no_more(running: Product, version: str, query: str):
    patient_id = new_patient(running, "a", "b", "c")
    running.ask(
        version, "query ($id: ID!) { patient(patientId: $id) { email } }", id=MINE
    )  # an upstream token
    running.sandbox.requests.clear()

    answer = running.ask(version, query, id=patient_id)

    counts = running.sandbox.requests.counts
    assert "errors" not in answer
    assert {name.partition(".")[2]: count for name, count in counts.items()} == WANTS[query]


NASTY_TEXTS = [
    *(
        "  blanks  ",
        "\ttab\t",
        "line\nline",
        "line\r\nline",
        "a\u2028b\u2029c",
        "e\u0301",
        "\u00e9",
        "\u1e9b\u0323",
    ),
    *("👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "\u202egnp.exe\u202c", "مرحبا", "שלום", "\ufeffbom", "\u200b\u200d\u2060"),
    *(
        "<script>alert(1)</script>",
        "&lt;&amp;",
        "'; DROP TABLE x; --",
        '{"a": [1]}',
        "[]",
        "null",
        "true",
        "0",
    ),
    *(
        "\\",
        '"',
        "\\u0000",
        "\\n",
        "%00%0a",
        "${x}",
        "{{x}}",
        "`x`",
        "$(x)",
        "../../etc",
        "a" * 5_000,
        "é" * 4_000,
    ),
    *(
        "\u0001\u0002",
        "\u007f",
        "x\u0085y",
        "x\u00a0y",
        "\u00ad",
        "\ue000",
        "\ufffd",
        "\U0010fffd",
        "\ufdd0",
        "\uffff",
    ),
    *(
        "-",
        "--",
        "#",
        "/*",
        "*/",
        "data: x\n\ndata: y",
        "event: next",
        "id: 1",
        ":\n\n",
        "__typename",
        "+/=",
        "1e400",
    ),
    *(chr(point) for point in range(0x4E00, 0x4E00 + 20)),
    *(chr(point) for point in range(0x1F600, 0x1F600 + 20)),
    *(f"{chr(0x61)}{chr(mark)}" for mark in range(0x300, 0x300 + 40)),
    *(f"{chr(0x5D0 + n)}{n}{chr(0x41 + n)}" for n in range(20)),
    *(chr(0x1F1E6 + n) + chr(0x1F1E6 + 25 - n) for n in range(20)),
    *(f"{n} {chr(0x2000 + n)}end" for n in range(30)),
]


def test_texts_arrive_as_they_were_written(running: Product, version: str):
    """Two hundred (fewer on v1): by list, by search, from the cache, by subscription, and as answered."""
    texts = NASTY_TEXTS[:200] if version == "v2" else NASTY_TEXTS[:70]
    patient_id = new_patient(running)
    url = f"{running.url}/{PATHS[version]}/graphql".replace("http", "ws", 1)
    with connect(url, subprotocols=["graphql-transport-ws"], max_size=2**20) as socket:  # type: ignore[list-item]
        socket.send(json.dumps({"type": "connection_init", "payload": {"x-api-key": SERVICE["X-API-Key"]}}))
        socket.recv()
        query = f'subscription {{ messageAdded(patientId: "{patient_id}") {{ node {{ body }} }} }}'
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        time.sleep(0.3)
        sent = []
        for text in texts:
            answer = running.ask(version, SEND, id=patient_id, body=text)
            assert "errors" not in answer, repr(text)
            sent.append(answer["data"]["sendMessage"]["messageEdge"]["node"]["body"])
        followed = []
        while len(followed) < len(texts):
            message = json.loads(socket.recv(timeout=20))
            if message["type"] == "next":
                followed.append(message["payload"]["data"]["messageAdded"]["node"]["body"])

    listed = [
        [
            node["body"]
            for node in running.ask(version, BODIES, id=patient_id)["data"]["patient"]["messages"]["nodes"]
        ]
        for _ in range(2)
    ]
    found = running.ask(
        version,
        'query ($id: ID) { searchMessages(query: "a", patientId: $id, first: 200) { nodes { body } } }',
        id=patient_id,
    )["data"]["searchMessages"]["nodes"]

    assert sent == followed == texts
    assert listed == [texts[::-1]] * 2
    assert {node["body"] for node in found} <= set(texts)
    assert found


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_texts_come_out_of_the_cache_as_they_were_written(tmp_path: Path, store: str):
    """A copy is what the second reader gets: Welkin is asked for nothing."""
    texts = NASTY_TEXTS[:200]

    def read(running: Product, version: str, patient_id: str) -> list[str]:
        found = running.ask(version, BODIES, id=patient_id)["data"]["patient"]
        return [node["body"] for node in found["messages"]["nodes"]]

    with ExitStack() as stack:
        shared = {}
        if store == "redis":
            shared = {"url": stack.enter_context(redis_server()).url, "encryption_keys": ["k" * 16]}
        running = stack.enter_context(product(tmp_path, cache={"ttl_seconds": 3600}, store=shared))
        for version in PATHS:
            patient_id = new_patient(running, *texts)
            assert read(running, version, patient_id) == texts[::-1]
            asked = 0
            while running.calls() > asked < 50:  # until one is a copy: the store may still be starting
                asked = running.calls()
                again = read(running, version, patient_id)

            assert again == texts[::-1]
            assert running.calls() == asked > 0
            running.sandbox.requests.clear()


def series(running: Product) -> set[str]:
    lines = running.http.get(f"{running.url}/metrics").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def test_many_patients_names_and_words_make_no_more_series(running: Product):
    def ask(number: int) -> None:
        names = {"operationName": f"Op{number}", "query": f"query Op{number} {{ a{number}: __typename }}"}
        running.post("v2", names)
        running.ask("v2", READ, id=f"{CANARY}-{number}")
        running.ask("v2", BODIES, id=MINE, c=f"{CANARY}-{number}")
        running.http.get(f"{running.url}/{CANARY}-{number}/x/graphql")
        running.http.get(f"{running.url}/{PATHS['v2']}/files/{CANARY}-{number}", headers=SERVICE)
        running.http.request(f"M{number}", f"{running.url}/graphql", headers=SERVICE)

    ask(0)
    series(running)  # which is counted too
    before = series(running)
    for number in range(1, 100):
        ask(number)

    assert series(running) == before
    assert CANARY not in str(before)


FORGED = 'x\r\n{"event": "forged", "level": "error"}\u2028\x1b[31m\u0085{"seq": 1}'


class Process:
    """A gateway in a process of its own, with a folder for everything that it could leave behind."""

    def __init__(self, folder: Path, sandbox_url: str, port: int, **telemetry: object) -> None:
        self.url, self.folder, self.output = f"http://127.0.0.1:{port}", folder, folder / "output.txt"
        text = f'[server]\nport = {port}\n[auth]\nmode = "none"\n[telemetry]\nlog_level = "DEBUG"\n'
        text += "".join(f"{name} = {json.dumps(value)}\n" for name, value in telemetry.items())
        for api, path in PATHS.items():
            tenant, instance = path.split("/")
            text += f'[[instances]]\ntenant = "{tenant}"\ninstance = "{instance}"\napi = "{api}"\n'
            text += (
                f'base_url = "{sandbox_url}/{api}"\nclient = "SANDBOX{api.upper()}"\nsecret = "{SECRET}"\n'
            )
        (folder / "gateway.toml").write_text(text)
        self.temp = folder / "temp"
        self.temp.mkdir()
        with self.output.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "gateway", "serve", "--config", "gateway.toml"],
                stdout=sink,
                stderr=sink,
                cwd=folder,
                env=os.environ | {"TMPDIR": str(self.temp), "PYTHONPATH": str(Path(__file__).parents[2])},
            )
        for _ in range(300):
            try:
                httpx2.get(f"{self.url}/healthz")
            except httpx2.ConnectError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError(self.output.read_text())

    def ask(self, query: str, **variables: object) -> httpx2.Response:
        body = {"query": query, "variables": variables}
        return httpx2.post(f"{self.url}/{PATHS['v2']}/graphql", json=body, timeout=20)


SECRET = f"{CANARY}-secret"


@dataclass
class Wreck:
    """What is left of a gateway that was written to in every place, and then crashed."""

    words: list[str]
    """What it had shown of a patient."""
    output: bytes
    trail: bytes
    others: list[str]
    """Names of further files."""


@pytest.fixture(scope="module")
def wreck(tmp_path_factory: pytest.TempPathFactory, unused_tcp_port_factory):
    folder = tmp_path_factory.mktemp("wreck")
    clients = (Client("v1", "SANDBOXV1", SECRET, tenant="gh"), Client("v2", "SANDBOXV2", SECRET))
    with serve(create_sandbox(SandboxConfig(clients=clients))) as sandbox_url:
        run = Process(folder, sandbox_url, unused_tcp_port_factory(), audit_file="audit.jsonl")
        try:
            patient = run.ask(READ, id=MINE).json()["data"]["patient"]
            write_everywhere(run)
            time.sleep(0.5)  # for the trail's writer
            run.process.send_signal(signal.SIGABRT)
            run.process.wait(timeout=20)
        finally:
            run.process.kill()
            run.process.wait()
    texts = [node["body"] for node in patient["messages"]["nodes"] if len(node["body"]) > 8]
    known = {"output.txt", "audit.jsonl", "gateway.toml"}
    others = [path.name for path in folder.rglob("*") if path.is_file() and path.name not in known]
    return Wreck(
        [patient["firstName"], *texts],
        run.output.read_bytes(),
        (folder / "audit.jsonl").read_bytes(),
        others,
    )


def write_everywhere(run: Process) -> None:
    """Put a forged line into every place that a caller can write to."""
    plain = FORGED.encode("ascii", "ignore").replace(b"\r\n", b"").replace(b"\x1b", b"").decode()
    headers = {
        "User-Agent": plain,
        "X-Request-Id": plain,
        "Cookie": CANARY,
        "Authorization": f"Bearer {CANARY}",
    }
    run.ask(READ, id=FORGED)
    run.ask(READ, id=f"{CANARY}/../x")
    run.ask(BODIES, id=MINE, c=FORGED)
    run.ask(SEND, id=MINE, body=FORGED)
    run.ask("query ($q: String!) { searchMessages(query: $q) { nodes { body } } }", q=FORGED)
    run.ask(f'{{ p_{MINE.replace("-", "_")}: patient(patientId: "a b") {{ id }} }}')
    httpx2.get(f"{run.url}/{PATHS['v2']}/files/{CANARY}?token={CANARY}", headers=headers)
    body = {"query": "query A { __typename }", "operationName": FORGED}
    httpx2.post(f"{run.url}/graphql", json=body, headers=headers)
    httpx2.post(f"{run.url}/webhooks/chat", json={"patientId": FORGED})
    address = f"{run.url}/graphql".replace("http", "ws", 1)
    with connect(address, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        socket.send(json.dumps({"type": "connection_init", "payload": {FORGED: FORGED}}))
        payload = {"query": f"# {FORGED}\n{{ a }}"}
        socket.send(json.dumps({"id": FORGED, "type": "subscribe", "payload": payload}))
        for _ in range(2):
            socket.recv(timeout=5)


def test_a_process_that_crashes_leaves_nothing_of_a_patient_behind(wreck: Wreck):
    """Even with Python's own report of a crash: frames have names and lines, and no values."""
    assert b"Fatal Python error: Aborted" in wreck.output
    assert wreck.others == []
    for word in [CANARY, MINE, *wreck.words]:
        assert word.encode() not in wreck.output + wreck.trail, word


def test_nothing_that_is_sent_forges_a_line(wreck: Wreck):
    """One line an event, all of them JSON of the gateway's own."""
    log, _, report = wreck.output.partition(b"Fatal Python error")
    events = [json.loads(line) for line in log.splitlines()]
    lines = [json.loads(line) for line in wreck.trail.split(b"\n") if line]

    assert report
    assert all(event["logger"].startswith(("gateway", "uvicorn.error")) for event in events)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert b"forged" not in wreck.output + wreck.trail


def test_an_alias_is_not_written_down(wreck: Wreck):
    """It is a word of the client's, and clients like to make it of a patient's id."""
    assert MINE.replace("-", "_").encode() not in wreck.output
    assert b"code=BAD_USER_INPUT path=* " in wreck.output


def lines_lost(running: Product) -> int:
    metrics = running.http.get(f"{running.url}/metrics").text
    found = re.search(r"^gateway_audit_lines_lost_total (\d+)", metrics, re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    ("strict", "sink"), [(True, "/dev/full"), (False, "/dev/full"), (True, "/nowhere/x")]
)
def test_a_trail_that_cannot_be_written_is_never_silent(tmp_path: Path, sink: str, *, strict: bool):
    """Strict: nothing is shown. Else: all is, and a metric tells what was lost."""
    with product(tmp_path, telemetry={"audit_file": sink, "audit_strict": strict}) as running:
        answers = [running.ask("v2", READ, id=MINE) for _ in range(3)]
        sent = running.ask("v2", SEND, id=MINE, body="x")
        file = running.http.get(f"{running.url}/{PATHS['v2']}/files/x", headers=SERVICE)
        ends = time.monotonic() + 20
        while lines_lost(running) < 4 and time.monotonic() < ends:  # a thread of its own counts them
            time.sleep(0.05)
        lost = lines_lost(running)
        posted = running.sandbox.requests.count("v2.send")

    assert lost >= 4
    if not strict:
        assert all(answer["data"]["patient"]["firstName"] for answer in answers)
        assert sent["data"]["sendMessage"]
        return
    for answer in [*answers, sent]:
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"OVERLOADED"}
        assert not (answer["data"] or {}).get("patient")
    assert posted == 0
    assert file.status_code in {404, 503}


def test_the_trail_tells_each_patient_of_a_list_and_of_a_search_across_all(running: Product):
    before = len(running.trail())
    listed = running.ask("v2", "{ patients(first: 5) { nodes { patientId } } }")["data"]["patients"]["nodes"]
    found = running.ask(
        "v2", '{ searchMessages(query: "a", first: 20) { nodes { patient { patientId } } } }'
    )["data"]["searchMessages"]["nodes"]
    for each in listed:
        running.ask("v2", READ, id=each["patientId"])
    everybody = {each["patientId"] for each in listed}
    hits = list(dict.fromkeys(node["patient"]["patientId"] for node in found))

    lines = running.trail()[before:]
    known = {line["patient"] for line in lines if line["action"] == "read.patient"}
    (list_line,) = [line for line in lines if line["action"] == "read.patients"]
    (search_line,) = [line for line in lines if line["action"] == "search"]
    assert len(everybody) == 5
    assert set(list_line["patients"]) == known
    assert (list_line["count"], len(list_line["patients"])) == (5, 5)
    assert len(search_line["patients"]) == len(hits)
    assert search_line["count"] == len(found) >= len(hits)
    assert search_line["patient"] is None
    text = json.dumps(lines)
    assert not any(each in text for each in (*everybody, *hits))


def test_no_file_of_the_gateway_compares_a_secret_with_an_equals_sign():
    """Words that name a secret are compared in constant time, on bytes."""
    secret = re.compile(r"(secret|signature|digest|mac|password|webhook_key|credential)s?$")
    folder = Path(__file__).parents[2] / "gateway"
    found = []
    for file in [*folder.glob("web/*.py"), *folder.glob("access/*.py"), *folder.glob("domain/*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                sides = [node.left, *node.comparators]
                words = [side.id for side in sides if isinstance(side, ast.Name)]
                words += [side.attr for side in sides if isinstance(side, ast.Attribute)]
                found += [f"{file.name}:{node.lineno}" for word in words if secret.search(word)]
    assert found == []
