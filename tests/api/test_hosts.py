"""Without access control only requests for this machine are served, by whatever name a page reaches it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.app import build
from gateway.settings import parse
from tests.serving import serve

QUERY = b'{"query": "{ __typename }"}'
NOTIFICATION = b'{"patientId": "p", "tenantName": "gh", "instanceName": "sb-demo", "message": "m"}'
HOOK = b"X-WEBHOOK-API-KEY: hook-key\r\nX-WEBHOOK-API-SECRET: hook-secret\r\n"
UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
)
JSON = b"Content-Type: application/json\r\n"
DOORS = {
    "graphql": (b"POST /graphql", JSON, QUERY, 200),
    "stream": (b"POST /gh/sb-demo/graphql", JSON + b"Accept: text/event-stream\r\n", QUERY, 200),
    "socket": (b"GET /gh/sb-demo/graphql", UPGRADE, b"", 101),
    "file": (b"GET /gh/sb-demo/files/x", b"", b"", 501),
    "webhook": (b"POST /gh/sb-demo/webhooks/chat", JSON + HOOK, NOTIFICATION, 200),
    "event": (b"POST /gh/sb-demo/webhooks/events", JSON + HOOK, b"{}", 200),
    "page": (b"GET /graphiql/graphiql.min.js", b"", b"", 200),
    "health": (b"GET /healthz", b"", b"", 200),
    "metrics": (b"GET /metrics", b"", b"", 200),
    "description": (b"GET /openapi.json", b"", b"", 200),
    "nowhere": (b"GET /nowhere", b"", b"", 404),
}
"""What is asked, and the status for whoever may."""

ORIGIN = "https://app.example.org"


def settings(auth: dict[str, Any], **server: Any) -> Any:
    instance = {
        "tenant": "gh",
        "instance": "sb-demo",
        "api": "v1",
        "base_url": "http://127.0.0.1:9",
        "client": "C",
        "secret": "s" * 16,
        "webhook_key": "hook-key",
        "webhook_secret": "hook-secret",
    }
    server = {"graphiql": True, "cors_origins": [ORIGIN]} | server
    return parse({"auth": auth, "server": server, "instances": [instance]}, {})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(build(settings({"mode": "none"}, host="127.0.0.3")).web) as url:
        yield url


def ask(url: str, door: str, *hosts: str, more: bytes = b"") -> tuple[int, bytes]:
    """Send the bytes of a request with these Host headers; gives the status and all that came back."""
    line, headers, body, _ = DOORS[door]
    named = b"".join(b"Host: %s\r\n" % host.encode() for host in hosts)
    sent = line + b" HTTP/1.1\r\n" + named + more + headers + b"Content-Length: %d\r\n" % len(body)
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall((sent if body else sent.rpartition(b"Content-Length")[0]) + b"\r\n" + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65_536)
        head, _, rest = answer.partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        while lengths and len(rest) < lengths[0]:
            rest += connection.recv(65_536)
    return int(answer.split(b" ", 2)[1]), head + b"\r\n\r\n" + rest


@pytest.mark.parametrize("door", DOORS)
def test_no_door_opens_under_another_name(url: str, door: str):
    port = urlsplit(url).port
    for host in (f"rebound.example.org:{port}", "rebound.example.org"):
        status, answer = ask(url, door, host, more=f"Origin: http://{host}\r\n".encode())

        head, _, body = answer.partition(b"\r\n\r\n")
        assert status == 421
        assert json.loads(body) == {
            "errors": [{"message": "This host is not served here.", "extensions": {"code": "BAD_USER_INPUT"}}]
        }
        assert b"content-type: application/json" in head.lower()
        assert b"access-control-allow-origin" not in head.lower()
        assert b"rebound" not in answer


@pytest.mark.parametrize("door", DOORS)
def test_every_door_opens_under_the_names_of_this_machine(url: str, door: str):
    expected = DOORS[door][3]
    port = urlsplit(url).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", "127.0.0.3", "LOCALHOST.:1"):
        assert ask(url, door, host)[0] == expected, host


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        ("",),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "rebound.example.org"),
        ("rebound.example.org", "127.0.0.1"),
        ("127.0.0.1.rebound.example.org",),
        ("localhost.rebound.example.org:8000",),
        ("rebound.example.org:127.0.0.1",),
        ("127.0.0.1@rebound.example.org",),
        ("rebound.example.org@127.0.0.1",),
        ("127.0.0.1, rebound.example.org",),
        ("localhost..",),
        ("127.0.0.2",),
        ("0.0.0.0",),  # noqa: S104
        ("[::ffff:127.0.0.1]",),
        ("::1",),
        ("0x7f000001",),
        ("localhost:80:80",),
        ("localho\u017ft",),
    ],
    ids=str,
)
@pytest.mark.parametrize("door", ["graphql", "socket"])
def test_a_host_that_is_missing_doubled_or_only_resembles_one_is_refused(url: str, door: str, hosts: Any):
    status, answer = ask(url, door, *hosts)

    assert status in {400, 421}  # 400: the server itself refuses some before the gateway sees them
    assert b"__typename" not in answer


def test_with_access_control_any_host_is_served():
    """A balancer's name, a pod's address: what is shown there is asked for with a proof."""
    key = {
        "id": "k",
        "sha256": "0" * 64,
        "scopes": ["search"],
        "patients": ["*"],
        "instances": ["gh/sb-demo"],
    }
    chosen = settings({"mode": "api-key", "keys": [key]}, host="0.0.0.0")  # noqa: S104
    with serve(build(chosen).web) as url:
        assert ask(url, "health", "10.0.0.7:8000")[0] == 200
        assert ask(url, "graphql", "gateway.example.org")[0] == 401
