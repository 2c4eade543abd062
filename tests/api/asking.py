"""What the tests of the GraphQL door say, and how they read what comes back."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import httpx2

from tests.api.fakes import PATIENT

MESSAGES = "query Q($id: ID!) { patient(patientId: $id) { messages(first: 2) { nodes { body createdAt } } } }"
SEND = (
    "mutation($input: SendMessageInput!) "
    "{ sendMessage(input: $input) { messageEdge { node { externalId body attachments { id url } } } } }"
)

RESPONSE_JSON = "application/graphql-response+json"


def ask(client: httpx2.Client, query: str, path: str = "/graphql", /, **variables: object) -> dict:
    """Run an operation that must get an answer; the word PATIENT in it stands for the patient's id."""
    text = query.replace("PATIENT", PATIENT)
    answer = client.post(path, json={"query": text, "variables": variables})
    assert answer.status_code == 200, answer.text
    return answer.json()


def code_of(answer: httpx2.Response) -> str:
    assert answer.headers["content-type"].partition(";")[0] in {"application/json", RESPONSE_JSON}
    return answer.json()["errors"][0]["extensions"]["code"]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what becomes true in the server's thread."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def raw_request(client: httpx2.Client, *lines: str) -> socket.socket:
    """Send a request as it is written, since clients tidy up what they send."""
    connection = socket.create_connection((client.base_url.host, client.base_url.port), timeout=10)
    connection.sendall("\r\n".join([*lines, "Host: x", "", ""]).encode("latin-1"))
    return connection


def read_all(connection: socket.socket) -> bytes:
    received = b""
    with connection:
        while piece := connection.recv(65_536):
            received += piece
    return received
