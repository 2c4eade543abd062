"""The sandbox does what the two OpenAPI files say: schemathesis makes up requests, right ones and wrong ones.

The files describe Welkin, so this keeps the sandbox and the description from drifting apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from gateway.sandbox import Sandbox, create_sandbox
from gateway.sandbox.conversations import FILE_PICTURE, FILES, LONG, PATIENTS
from gateway.sandbox.knobs import AttachmentStyle, Envelope, SenderStyle, TimeStyle
from tests.conformance.bounds import bounded
from tests.serving import serve

FOLDER = Path(__file__).parents[2] / "openapi"

SCHEMAS = {
    version: schemathesis.openapi.from_path(str(FOLDER / f"welkin-{version}.yaml"))
    for version in ("v1", "v2")
}

OPERATIONS = {
    f"{version} {operation.label}": (version, operation)
    for version, schema in SCHEMAS.items()
    for operation in (result.ok() for result in schema.get_all_operations())
}


@dataclass(frozen=True, slots=True)
class Running:
    sandbox: Sandbox
    url: str
    calls: requests.Session
    bearers: dict[str, str]

    def ask(self, version: str, case: Any) -> Any:
        headers = {"Authorization": self.bearers[version]}
        case.headers = {**(case.headers or {}), **headers}
        return case.call(base_url=f"{self.url}/{version}", session=self.calls)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    app = create_sandbox()
    with serve(app) as url, httpx2.Client(base_url=url) as http, requests.Session() as calls:
        credentials = app.state.sandbox.credentials
        bearers = {version: f"Bearer {credentials.issue(version, 'test').token}" for version in SCHEMAS}
        assert http.get("/control").status_code == 200
        yield Running(app.state.sandbox, url, calls, bearers)


def in_known_places(case: Any, data: st.DataObject) -> None:
    """Ask for what exists most of the time: made-up ids find nothing."""
    known = {
        "patient": [LONG, *(patient.id for patient in PATIENTS)],
        "file": [FILE_PICTURE.id],
        "tenant": ["gh"],
        "client": ["SANDBOXV1"],
    }
    for name in case.path_parameters or {}:
        if name in known and data.draw(st.integers(0, 4)):
            case.path_parameters[name] = data.draw(st.sampled_from(known[name]))


def without_made_up_references(case: Any, name: str) -> None:
    """Leave out what no schema can make up: page tokens, and ids of files that were uploaded."""
    query = {key: value for key, value in (case.query or {}).items() if key != "pageToken"}
    if name.endswith("/chat/search"):
        query.setdefault("query", "a")
    case.query = query
    if isinstance(case.body, dict) and "attachmentId" in case.body:
        case.body = {**case.body, "attachmentId": FILE_PICTURE.id}


@pytest.mark.parametrize("name", OPERATIONS)
def test_right_requests_get_what_is_documented(running, name):
    version, operation = OPERATIONS[name]

    @bounded(25)
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE), data=st.data())
    def check(case, data):
        in_known_places(case, data)
        without_made_up_references(case, name)
        answer = running.ask(version, case)

        assert answer.status_code < 500
        case.validate_response(answer)

    check()


KNOBS = [
    *({"v2_envelope": value} for value in get_args(Envelope)),
    *({"v2_envelope": "messages", "v2_envelope_key": key} for key in ("items", "results")),
    *({"v2_sender": value} for value in get_args(SenderStyle)),
    *({"v2_attachments": value} for value in get_args(AttachmentStyle)),
    *({"v2_times": value} for value in get_args(TimeStyle)),
    {"v2_read_at": "absent"},
]


@pytest.mark.parametrize("knobs", KNOBS, ids=str)
def test_every_guess_about_the_second_version_is_described(running, knobs):
    operation = OPERATIONS["v2 GET /{tenant}/{instance}/patients/{patient}/chat/messages"][1]
    path = f"{running.url}/v2/acme-health/live/patients/{FILES}/chat/messages"
    running.sandbox.turn(**knobs)

    answer = running.calls.get(path, headers={"Authorization": running.bearers["v2"]})

    running.sandbox.reset()
    assert answer.status_code == 200
    operation.validate_response(answer)


@pytest.mark.parametrize("name", OPERATIONS)
def test_wrong_requests_get_a_documented_refusal(running, name):
    """The bearer is always good here, so a case with nothing else wrong is not held to be accepted."""
    version, operation = OPERATIONS[name]

    @bounded(25)
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), data=st.data())
    def check(case, data):
        if data.draw(st.booleans()):
            in_known_places(case, data)
        answer = running.ask(version, case)

        assert answer.status_code < 500
        case.validate_response(answer, excluded_checks=[positive_data_acceptance])

    check()
