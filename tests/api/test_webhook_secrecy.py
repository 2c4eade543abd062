"""What a webhook's answer tells an outsider: nothing, not even which instances there are."""

from __future__ import annotations

import hmac
import inspect
import socket
from collections.abc import Iterator

import httpx2
import pytest

from gateway.domain.model import InstanceName
from gateway.web import signatures, webhook_check
from gateway.web.app import create_web
from gateway.web.options import InstanceEntry, SignatureOptions, WebOptions
from tests.api.asking import raw_request, read_all
from tests.api.fakes import ACME, KEY, PATIENT, SECRET, FakeInstance, ready
from tests.serving import serve

RIGHT = {"X-WEBHOOK-API-KEY": KEY, "X-WEBHOOK-API-SECRET": SECRET}
OTHERS = {"X-WEBHOOK-API-KEY": b"acme-key", "X-WEBHOOK-API-SECRET": b"acme-secret"}
WRONG = {"X-WEBHOOK-API-KEY": b"wrong", "X-WEBHOOK-API-SECRET": b"wrong"}
SIGNED = {"X-Welkin-Signature": "00" * 32}
EVENT = {
    "patientId": PATIENT,
    "tenantName": "gh",
    "instanceName": "sb-demo",
    "message": "",
    "eventEntity": "CHAT",
}
KNOWN = ("/gh/sb-demo", "/acme-health/live")
UNKNOWN = ("/gh/live", "/no/body", "/gh/sb-demo2", "/GH/sb-demo", "/gh/%00", "/a/" + "x" * 5000)
DOORS = ("/webhooks/chat", "/webhooks/events")


class Heard:
    def __init__(self) -> None:
        self.told: list[tuple[InstanceName, str | None, str]] = []

    def __call__(self, instance: InstanceName, patient: str | None, outcome: str) -> None:
        self.told.append((instance, patient, outcome))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def client(fake: FakeInstance, heard: Heard) -> Iterator[httpx2.Client]:
    """Serve one instance with a signature and one without."""
    acme = FakeInstance(ACME)
    entries = {
        fake.name: InstanceEntry(fake, ((KEY, SECRET),)),
        ACME: InstanceEntry(acme, ((b"acme-key", b"acme-secret"),), SignatureOptions(b"signing")),
    }
    web = create_web(entries, WebOptions(heard=heard), ready)
    with serve(web) as url, httpx2.Client(base_url=url) as client:
        yield client


def shown(answer: httpx2.Response) -> tuple[int, bytes, dict[str, str]]:
    """Give all of an answer that does not change with every request."""
    changing = {"x-request-id", "date"}
    return answer.status_code, answer.content, {k: v for k, v in answer.headers.items() if k not in changing}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("headers", [{}, WRONG, SIGNED, {"X-WEBHOOK-API-KEY": KEY}])
def test_an_address_that_is_unknown_looks_like_wrong_credentials(
    client: httpx2.Client, door: str, headers: dict
) -> None:
    answers = [
        shown(client.post(f"{path}{door}", json=EVENT, headers=headers)) for path in (*KNOWN, *UNKNOWN)
    ]

    assert answers[0][0] == 401
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("door", DOORS)
def test_another_instances_credentials_are_wrong_ones(
    client: httpx2.Client, fake: FakeInstance, door: str
) -> None:
    refused = [
        client.post(f"/gh/sb-demo{door}", json=EVENT, headers=OTHERS),
        client.post(f"/no/body{door}", json=EVENT, headers=RIGHT),
        client.post(f"/no/body{door}", json=EVENT, headers=OTHERS),
        client.post(f"/acme-health/live{door}", json=EVENT, headers=RIGHT),
    ]

    assert {shown(answer)[:2] for answer in refused} == {shown(client.post(f"{KNOWN[0]}{door}"))[:2]}
    assert fake.woken == []


@pytest.mark.parametrize("body", [b"x" * 70_000, b"", b"{"])
@pytest.mark.parametrize("headers", [SIGNED, WRONG])
def test_no_body_brings_the_difference_to_light(client: httpx2.Client, body: bytes, headers: dict) -> None:
    answers = {
        shown(client.post(f"{path}/webhooks/events", content=body, headers=headers))[:2]
        for path in (*KNOWN, *UNKNOWN)
    }

    assert len(answers) == 1


def test_a_name_from_outside_is_written_down_nowhere(client: httpx2.Client, heard: Heard) -> None:
    for door in DOORS:
        client.post(f"/canary-tenant/canary-instance{door}", json=EVENT, headers=RIGHT)
        client.post(f"/gh/sb-demo{door}", json=EVENT, headers=WRONG)

    assert heard.told == [(InstanceName("gh", "sb-demo"), None, "denied")] * 2
    assert "canary" not in client.get("/metrics").text


@pytest.mark.parametrize(
    "lines",
    [
        ("X-Webhook-Api-Key:  key-1", "X-Webhook-Api-Secret: secret-1x"),
        ("X-Webhook-Api-Key: key -1", "X-Webhook-Api-Secret: secret-1"),
        ("X-Webhook-Api-Key: key-1\x0b", "X-Webhook-Api-Secret: secret-1"),
        ("X-Webhook-Api-Key: key-1", "X-Webhook-Api-Secret: secret-1", "X-Webhook-Api-Secret: secret-1"),
        ("X-Webhook-Api-Key: key-1, key-1", "X-Webhook-Api-Secret: secret-1"),
        ("X_Webhook_Api_Key: key-1", "X_Webhook_Api_Secret: secret-1"),
    ],
)
def test_credentials_written_oddly_open_nothing(
    client: httpx2.Client, fake: FakeInstance, lines: tuple[str, ...]
) -> None:
    request = ("POST /gh/sb-demo/webhooks/chat HTTP/1.1", *lines, "Content-Length: 2", "Connection: close")

    answer = read_all(raw_request(client, *request))

    assert answer.split(b" ")[1] in {b"400", b"401"}
    assert fake.woken == []


@pytest.mark.parametrize(
    "content", [b"\0", b'{"patientId": "\0"}', b"[" * 65_000, b'"\xff"', b"\xef\xbb\xbf{}"]
)
@pytest.mark.parametrize("door", DOORS)
def test_odd_bytes_are_a_bad_request(client: httpx2.Client, door: str, content: bytes) -> None:
    assert client.post(f"/gh/sb-demo{door}", content=content, headers=RIGHT).status_code == 400


@pytest.mark.parametrize("door", DOORS)
def test_a_body_that_stops_coming_is_given_up(fake: FakeInstance, door: str) -> None:
    entries = {fake.name: InstanceEntry(fake, ((KEY, SECRET),))}
    with serve(create_web(entries, WebOptions(body_seconds=0.2), ready)) as url:
        parts = httpx2.URL(url)
        with socket.create_connection((parts.host, parts.port), timeout=10) as connection:
            lines = [f"POST {door} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"]
            lines += [f"{name}: {value.decode()}" for name, value in RIGHT.items()]
            connection.sendall("\r\n".join([*lines, "", "2\r\n{}\r\n"]).encode())

            assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_every_half_of_every_pair_is_compared_whatever_the_others_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be seen from outside is counted inside: time tells nothing if the work is the same."""
    compared: list[tuple[bytes, bytes]] = []
    genuine = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return genuine(a, b)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    pairs = [(b"k1", b"s1"), (b"k2", b"s2"), (b"k3", b"s3")]
    for key, secret in ((b"k1", b"s1"), (b"k1", b"x"), (b"x", b"s3"), (b"", b"")):
        compared.clear()
        webhook_check.credentials_match([(webhook_check.KEY, key), (webhook_check.SECRET, secret)], pairs)
        assert compared == [each for k, s in pairs for each in ((key, k), (secret, s))]


@pytest.mark.parametrize("module", [webhook_check, signatures])
def test_secrets_are_compared_by_nothing_else(module: object) -> None:
    source = inspect.getsource(module)  # type: ignore[arg-type] -- they are modules

    assert "compare_digest(" in source
    assert not any(sign in source for sign in ("secret ==", "== secret", "key ==", "== known", "== expected"))
