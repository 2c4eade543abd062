"""Ways around access control, tried at every door: forged proofs, others' ids, others' cursors, origins."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from contextlib import suppress

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.access.audit import REFUSALS_PER_SECOND
from tests.api.dialing import close_code
from tests.reliability.product import ISSUER, MINE, ORIGIN, PATHS, SERVICE, THEIRS, Product

PING = {"query": "{ __typename }"}
READ = (
    "query ($id: ID!, $c: String) "
    "{ patient(patientId: $id) { messages(first: 1, after: $c) { edges { cursor } } } }"
)
NODE_ID = "query ($id: ID!) { patient(patientId: $id) { id } }"


def encode(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def claims(**changes: object) -> dict[str, object]:
    good = {"iss": ISSUER, "aud": "welkin-gateway", "sub": "eve", "exp": int(time.time()) + 600}
    return good | {"scope": "messages:read", "welkin_patients": "*"} | changes


def by_hmac(key: bytes, header: dict[str, object]) -> str:
    signed = encode({"alg": "HS256"} | header) + b"." + encode(claims())
    mac = base64.urlsafe_b64encode(hmac.digest(key, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + mac).decode()


def forgeries(running: Product) -> dict[str, str]:
    public = RSAKey.import_key(running.signing.as_dict(private=False))
    mine = RSAKey.generate_key(2048, {"kid": "k1"})
    good = running.token()
    head, body, mac = good.split(".")
    made = {
        f"alg {alg!r}": f"{encode({'alg': alg}).decode()}.{encode(claims()).decode()}."
        for alg in ("none", "None", "NONE", "nOnE", "", None, 0, ["RS256"])
    }
    made |= {
        "pem as a password": by_hmac(public.as_pem(private=False), {"kid": "k1"}),
        "der as a password": by_hmac(public.as_der(private=False), {"kid": "k1"}),
        "jwk as a password": by_hmac(json.dumps(public.as_dict(private=False)).encode(), {"kid": "k1"}),
        "modulus as a password": by_hmac(public.as_dict(private=False)["n"].encode(), {"kid": "k1"}),
        "nothing as a password": by_hmac(b"", {"kid": "../../../../dev/null"}),
        "kid of a path": by_hmac(b"", {"kid": "/etc/passwd"}),
        "kid of sql": by_hmac(b"x", {"kid": "' UNION SELECT 'x' --"}),
        "kid of a url": by_hmac(b"x", {"kid": "http://127.0.0.1:9/key"}),
        "own key inside": by_hmac(b"x" * 32, {"jwk": OctKey.import_key(b"x" * 32).as_dict()}),
        "body of another": f"{head}.{encode(claims()).decode()}.{mac}",
        "cut": f"{head}.{body}.{mac[:-4]}",
        "padded": f"{good}==",
        "without a signature": f"{head}.{body}.",
        "with a part more": f"{good}.{mac}",
        "twice": f"{good} {good}",
        "too long": running.token(filler="x" * 8_192),
    }
    for name, header in {
        "key of their own": {},
        "key beside": {"jwk": mine.as_dict(private=False)},
        "url of keys": {"jku": running.sandbox_url + "/keys"},
        "url of a certificate": {"x5u": running.sandbox_url + "/cert"},
    }.items():
        made[name] = jwt.encode({"alg": "RS256", "kid": "k1"} | header, claims(), mine)
    return made


async def test_no_forged_proof_opens_any_door_and_nobody_is_asked(running: Product):
    heard = len(running.heard)
    for name, token in forgeries(running).items():
        headers = {"Authorization": f"Bearer {token}"}
        answers = [
            running.post("v2", PING, headers),
            running.post("v2", PING, {**headers, "Accept": "text/event-stream"}),
            running.http.get(f"{running.url}/{PATHS['v2']}/files/x", headers=headers),
        ]

        for answer in answers:
            assert answer.status_code == 401, name
            assert answer.json()["errors"] == [
                {"message": "Valid credentials are needed.", "extensions": {"code": "UNAUTHENTICATED"}}
            ]
            assert answer.headers["www-authenticate"] == "Bearer"
    for token in ("nonsense", by_hmac(b"x", {})):
        async with dialled(running) as socket:
            await socket.send(
                json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
            )
            assert await close_code(socket) == 4403
    assert len(running.heard) == heard


def dialled(running: Product, path: str = PATHS["v2"], **options: object):
    url = f"{running.url}/{path}/graphql".replace("http", "ws", 1)
    return connect(url, subprotocols=["graphql-transport-ws"], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "patients",
    [["*"], [["*"]], [[MINE]], {"*": True}, True, 1, None, "", " *", "*,*", f"{MINE},{THEIRS}", [None, "*"]],
    ids=str,
)
def test_only_the_bare_star_opens_every_conversation(running: Product, patients: object):
    answer = running.ask("v2", READ, running.person(welkin_patients=patients), id=THEIRS)

    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert running.calls() == 0


ODD_WRITINGS = [
    THEIRS.upper(),
    f"{THEIRS} ",
    f"\u200b{THEIRS}",
    THEIRS.replace("a", "\u0430"),
    THEIRS.replace("7", "\uff17"),
    f"{MINE}/../{THEIRS}",
    f"{MINE}\0{THEIRS}",
    f"{MINE},{THEIRS}",
]


def test_another_writing_of_an_id_is_another_id(running: Product):
    headers = running.person(welkin_patients=[MINE, *ODD_WRITINGS])
    for written in [THEIRS, *ODD_WRITINGS]:
        answer = running.ask("v2", READ, headers, id=written)
        assert answer["data"] == {"patient": None}, written


def test_many_guesses_in_one_request_find_what_is_theirs_alone(running: Product):
    ids = [MINE, THEIRS, *(f"{THEIRS[:-2]}{number:02d}" for number in range(13))]
    aliases = " ".join(f'a{n}: patient(patientId: "{each}") {{ firstName }}' for n, each in enumerate(ids))
    nodes = [
        running.ask("v2", NODE_ID, SERVICE, id=each)["data"]["patient"]["id"] for each in dict.fromkeys(ids)
    ]

    found = running.ask("v2", f"{{ {aliases} }}", running.person())["data"]
    by_node = running.ask(
        "v2",
        "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Patient { firstName } } }",
        running.person(),
        ids=nodes,
    )["data"]["nodes"]

    assert [name for name, each in found.items() if each] == ["a0"]
    assert by_node[0]["firstName"]
    assert set(map(str, by_node[1:])) == {"None"}
    denied = [line for line in running.trail()[-40:] if line["outcome"] == "denied"]
    assert len(denied) >= 14


def test_a_cursor_is_good_in_its_own_place_alone(running: Product):
    def cursor(version: str, patient_id: str) -> str:
        found = running.ask(version, READ, SERVICE, id=patient_id)["data"]["patient"]
        return found["messages"]["edges"][0]["cursor"]

    mine, theirs = cursor("v2", MINE), cursor("v2", THEIRS)
    other_tenant = cursor("v1", MINE)
    searched = running.ask(
        "v2",
        'query ($id: ID!) { searchMessages(query: "a", patientId: $id, first: 1) { edges { cursor } } }',
        SERVICE,
        id=MINE,
    )["data"]["searchMessages"]["edges"][0]["cursor"]
    listed = running.ask("v2", "{ patients(first: 1) { edges { cursor } } }", SERVICE)["data"]["patients"]
    running.sandbox.requests.clear()

    for wrong in (theirs, other_tenant, searched, listed["edges"][0]["cursor"], mine[:-1], mine + "A"):
        (error,) = running.ask("v2", READ, SERVICE, id=MINE, c=wrong)["errors"]
        assert error["extensions"]["code"] == "INVALID_CURSOR"
    raw = base64.urlsafe_b64decode(mine + "=" * (-len(mine) % 4))
    answers = set()
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1
        forged = base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()
        answers.add(json.dumps(running.ask("v2", READ, SERVICE, id=MINE, c=forged)))
    assert len(answers) == 1  # whichever byte is wrong, the answer is the same
    assert running.calls() == 0


def test_a_text_that_another_caller_left_runs_with_ones_own_rights(running: Product):
    """Persisted by a service that sees all, asked for by its hash as somebody who does not."""
    text = "{ patients(first: 2) { nodes { firstName } } }"
    hashed = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(text.encode()).hexdigest()}}
    other = "{ instance { name } }"

    kept = running.post("v2", {"query": text, "extensions": hashed}).json()
    poison = running.post("v2", {"query": other, "extensions": hashed}).json()
    again = running.post("v2", {"extensions": hashed}).json()
    as_person = running.post("v2", {"extensions": hashed}, running.person()).json()

    assert kept == again
    assert "data" not in poison
    assert as_person["data"] is None
    assert as_person["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_a_proof_in_an_address_opens_nothing(running: Product):
    token = running.token()
    query = f"token={token}&access_token={token}&authorization=Bearer%20{token}&x-api-key=key-of-a-service"

    answer = running.http.post(f"{running.url}/{PATHS['v2']}/graphql?{query}", json=PING)
    url = f"{running.url}/{PATHS['v2']}/graphql?{query}".replace("http", "ws", 1)
    async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        await socket.send('{"type": "connection_init"}')
        code = await close_code(socket)

    assert (answer.status_code, code) == (401, 4403)


ORIGINS = [
    "https://app.example.org.evil",
    "https://evil-app.example.org",
    "https://app.example.org:8443",
    "http://app.example.org",
    "https://app.example.org@evil",
    "https://APP.example.org.",
    "null",
    "*",
    "",
    "file://",
    f"{ORIGIN} https://evil",
]


@pytest.mark.parametrize("origin", ORIGINS, ids=repr)
async def test_a_page_of_another_origin_is_told_nothing(running: Product, origin: str):
    preflight = running.http.options(
        f"{running.url}/graphql",
        headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
    )
    answer = running.http.post(f"{running.url}/graphql", json=PING, headers={**SERVICE, "Origin": origin})

    for each in (preflight, answer):
        assert "access-control-allow-origin" not in each.headers
        assert "access-control-allow-credentials" not in each.headers
    if origin:  # the client library sends no empty one
        with pytest.raises(InvalidStatus) as refused:
            await dialled(running, additional_headers={"Origin": origin})
        assert refused.value.response.status_code == 403


async def test_the_page_that_is_configured_may_ask(running: Product):
    answer = running.http.post(f"{running.url}/graphql", json=PING, headers={**SERVICE, "Origin": ORIGIN})

    assert answer.headers["access-control-allow-origin"] == ORIGIN
    async with dialled(running, additional_headers={"Origin": ORIGIN}) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"x-api-key": "wrong"}}))
        assert await close_code(socket) == 4403


async def test_a_stream_ends_with_the_token_and_not_with_the_leeway(running: Product):
    """Ten seconds of leeway let a late token in; they are no gift to a stream that is open."""
    expires = int(time.time()) + 2
    payload = {"authorization": f"Bearer {running.token(exp=expires)}"}
    async with dialled(running) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        await socket.recv()
        query = f'subscription {{ messageAdded(patientId: "{MINE}") {{ cursor }} }}'
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        frames = []
        with suppress(ConnectionClosed):
            async with asyncio.timeout(15):
                while True:
                    frames.append(json.loads(await socket.recv()))
        ended = time.time()

    assert socket.close_code == 4403
    assert "next" not in {frame["type"] for frame in frames}
    assert expires <= ended < expires + 5
    late = running.post("v2", PING, running.person(exp=int(time.time()) - 5))
    assert late.json()["data"]


async def test_who_is_not_believed_is_written_down_with_place_and_request(running: Product):
    """The place as it is configured: a name from outside stands nowhere."""
    wrong = {"X-API-Key": "wrong"}
    before = len(running.trail())
    answers = [
        running.post("v2", PING, wrong),
        running.post("v1", PING, wrong),
        running.http.post(f"{running.url}/graphql", json=PING, headers=wrong),
        running.http.get(f"{running.url}/{PATHS['v2']}/files/x", headers=wrong),
        running.http.post(f"{running.url}/canary/{MINE}/graphql", json=PING, headers=wrong),
        running.http.get(f"{running.url}/{PATHS['v1']}/files/x", headers=[*wrong.items(), *SERVICE.items()]),
    ]
    async with dialled(running, additional_headers=wrong) as socket:
        await socket.send('{"type": "connection_init"}')
        assert await close_code(socket) == 4403
    await asyncio.to_thread(wait_for_lines, running, before + 7)
    lines = running.trail()[before:]

    assert [answer.status_code for answer in answers] == [401] * 6
    assert {(line["who"], line["action"], line["outcome"]) for line in lines} == {
        ("nobody", "login", "denied")
    }
    assert [line["instance"] for line in lines] == [
        PATHS["v2"],
        PATHS["v1"],
        PATHS["v1"],  # the first instance is meant where an address names none
        PATHS["v2"],
        None,
        PATHS["v1"],
        PATHS["v2"],
    ]
    asked = [line["request_id"] for line in lines]
    assert asked[:6] == [answer.headers["x-request-id"] for answer in answers]
    assert re.fullmatch("[0-9a-f]{32}", asked[6])
    assert "canary" not in json.dumps(lines)
    assert MINE not in json.dumps(lines)


def wait_for_lines(running: Product, count: int) -> None:
    """Wait for the thread that writes the trail; an upgrade that is refused is one line, not two."""
    ends = time.monotonic() + 10
    while len(running.trail()) < count and time.monotonic() < ends:
        time.sleep(0.02)
    time.sleep(0.1)


async def test_a_flood_of_wrong_proofs_costs_welkin_nothing_and_the_disk_little(running: Product):
    """Tokens, keys and webhooks within a second. The trail tells how many lines were left out of it."""
    await asyncio.sleep(1 - time.monotonic() % 1)  # what was refused before does not count
    before, heard, began = len(running.trail()), len(running.heard), time.monotonic()
    for number in range(300):
        wrong = {"X-API-Key": f"wrong-{number}"} if number % 2 else {"Authorization": f"Bearer a.b.{number}"}
        assert running.post("v2", PING, wrong).status_code == 401
        hook = {"X-WEBHOOK-API-KEY": "hook-key", "X-WEBHOOK-API-SECRET": f"{number}"}
        refused = running.http.post(f"{running.url}/{PATHS['v1']}/webhooks/chat", json={}, headers=hook)
        assert refused.status_code == 401
    assert running.post("v2", PING).json()["data"]
    seconds = int(time.monotonic() - began) + 2
    await asyncio.sleep(1 - time.monotonic() % 1)
    running.post("v2", PING, {"X-API-Key": "last"})
    await asyncio.sleep(0.2)
    lines = running.trail()[before:]

    assert len(running.heard) == heard
    assert len(lines) <= seconds * REFUSALS_PER_SECOND + 1
    assert {line["outcome"] for line in lines} == {"denied"}
    assert len(lines) + sum(line["count"] for line in lines) >= 300
    assert any(line["count"] for line in lines)
