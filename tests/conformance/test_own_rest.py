"""The gateway's own REST part does what its OpenAPI says: schemathesis makes up right and wrong requests."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    positive_data_acceptance,
    unsupported_method,
)

from gateway.app import build
from gateway.sandbox.conversations import FILE_PICTURE, SHORT
from gateway.settings import parse
from tests.conformance.bounds import bounded
from tests.reliability.product import PATHS, SERVICE, Product, product
from tests.serving import serve

HOOK = {"X-WEBHOOK-API-KEY": "hook-key", "X-WEBHOOK-API-SECRET": "hook-secret"}
TENANT, INSTANCE = PATHS["v2"].split("/")


def described() -> dict[str, Any]:
    """Give the description as a gateway serves it."""
    one = {
        "tenant": TENANT,
        "instance": INSTANCE,
        "api": "v2",
        "base_url": "http://127.0.0.1:9",
        "client": "c",
        "secret": "s" * 16,
    }
    settings = parse({"auth": {"mode": "none"}, "instances": [one]}, {})
    with serve(build(settings).web) as url:
        return httpx2.get(f"{url}/openapi.json").json()


SCHEMA = schemathesis.openapi.from_dict(described())
OPERATIONS = {result.ok().label: result.ok() for result in SCHEMA.get_all_operations()}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("rest"), first="v2") as made:
        yield made


@pytest.fixture(scope="module")
def calls() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def in_known_places(case: Any) -> None:
    """Ask for what exists, as somebody who may."""
    known = {"tenant": TENANT, "instance": INSTANCE, "fileId": FILE_PICTURE.id}
    for name in case.path_parameters or {}:
        case.path_parameters[name] = known[name]
    if isinstance(case.body, dict) and "tenantName" in case.body:
        named = {"tenantName": TENANT, "instanceName": INSTANCE, "patientId": SHORT}
        case.body = case.body | {name: value for name, value in named.items() if name in case.body}


def ask(running: Product, calls: requests.Session, case: Any, *, proof: bool) -> Any:
    headers = {name: value for name, value in (case.headers or {}).items() if value.isprintable()}
    case.headers = headers | (SERVICE | HOOK if proof else {})
    return case.call(base_url=running.url, session=calls, timeout=20)


@pytest.mark.parametrize("name", OPERATIONS)
def test_right_requests_get_what_is_documented(running, calls, name: str):
    @bounded(15)
    @given(case=OPERATIONS[name].as_strategy(generation_mode=GenerationMode.POSITIVE), known=st.booleans())
    def check(case: Any, *, known: bool) -> None:
        if known:
            in_known_places(case)
        answer = ask(running, calls, case, proof=True)

        assert answer.status_code < 500
        # The credentials are always right here; most made-up places, and ranges of bytes, hold nothing.
        empty = not known or answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        excluded = [ignored_auth, positive_data_acceptance] if empty else [ignored_auth]
        case.validate_response(answer, excluded_checks=excluded)

    check()


@pytest.mark.parametrize("name", [name for name in OPERATIONS if "/files/" in name or "/webhooks/" in name])
def test_wrong_requests_get_a_documented_refusal(running, calls, name: str):
    @bounded(15)
    @given(case=OPERATIONS[name].as_strategy(generation_mode=GenerationMode.NEGATIVE), proof=st.booleans())
    def check(case: Any, *, proof: bool) -> None:
        answer = ask(running, calls, case, proof=proof)

        assert answer.status_code < 500
        assert answer.headers["cache-control"] == ["no-store"]
        if answer.status_code >= 400 and case.method != "HEAD":
            assert answer.json()["errors"][0]["extensions"]["code"]
        excluded = [ignored_auth, positive_data_acceptance, unsupported_method]
        case.validate_response(answer, excluded_checks=excluded)

    check()
