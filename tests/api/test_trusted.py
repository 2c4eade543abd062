"""With a folder of trusted documents, nothing else runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx2
import pytest

from gateway.app import build
from gateway.sandbox import create_sandbox
from gateway.sandbox.conversations import LONG
from gateway.settings import ConfigurationError, parse
from tests.serving import serve

FOLDER = Path(__file__).resolve().parents[2] / "schema" / "operations"
INSTANCE = {
    "tenant": "gh",
    "instance": "sb-demo",
    "api": "v1",
    "base_url": "http://127.0.0.1:1/v1",
    "client": "SANDBOXV1",
    "secret": "sandbox-secret",
}


def settings(folder: str, url: str = "http://127.0.0.1:1/v1", **graphql: object):
    instance = INSTANCE | {"base_url": url}
    given = {"trusted_documents": folder, **graphql}
    return parse({"auth": {"mode": "none"}, "instances": [instance], "graphql": given}, {})


def test_the_example_operations_run_and_others_do_not():
    text = (FOLDER / "newest_messages.graphql").read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    persisted = {"persistedQuery": {"version": 1, "sha256Hash": digest}}
    app = create_sandbox()
    with (
        serve(app) as sandbox,
        serve(build(settings(str(FOLDER), f"{sandbox}/v1")).web) as url,
        httpx2.Client(base_url=url) as client,
    ):
        for body in ({"query": text}, {"extensions": persisted}):
            answer = client.post("/graphql", json=body | {"variables": {"patientId": LONG}}).json()
            assert answer["data"]["patient"]["messages"]["nodes"]
        before = app.state.sandbox.requests.count("v1.list")
        refused = client.post("/graphql", json={"query": text + " "}).json()

    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert app.state.sandbox.requests.count("v1.list") == before


@pytest.mark.parametrize("content", [None, "query {"])
def test_a_folder_that_cannot_be_trusted_stops_the_start(tmp_path, content):
    if content is not None:
        (tmp_path / "broken.graphql").write_text(content)

    with pytest.raises(ConfigurationError, match=r"graphql\.trusted_documents"):
        build(settings(str(tmp_path)))


def test_limits_and_rates_come_from_the_configuration():
    chosen = settings("", limits={"aliases": 1}, operations_per_minute=2)
    with serve(build(chosen).web) as url, httpx2.Client(base_url=url) as client:
        too_many = client.post("/graphql", json={"query": "{ a: __typename b: __typename }"}).json()
        client.post("/graphql", json={"query": "{ __typename }"})
        third = client.post("/graphql", json={"query": "{ __typename }"})

    assert too_many["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert third.status_code == 429
