"""Texts that are hard to keep as they are arrive with the same bytes, whichever way they go."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.redis_server import redis_server
from tests.reliability.product import BODIES, PATHS, SEND, SERVICE, Product, product

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
    patient_id = running.new_patient()
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
            patient_id = running.new_patient(*texts)
            assert read(running, version, patient_id) == texts[::-1]
            asked = 0
            while running.calls() > asked < 50:  # until one is a copy: the store may still be starting
                asked = running.calls()
                again = read(running, version, patient_id)

            assert again == texts[::-1]
            assert running.calls() == asked > 0
            running.sandbox.requests.clear()
