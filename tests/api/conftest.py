"""What most tests of the doors start from: a fake instance, and a client or an address before it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from fastapi import FastAPI

from tests.api.dialing import OPTIONS
from tests.api.fakes import ACME, FakeInstance, web_of
from tests.serving import serve


@pytest.fixture
def fake() -> FakeInstance:
    return FakeInstance()


@pytest.fixture
def client(fake: FakeInstance) -> Iterator[httpx2.Client]:
    other = FakeInstance(ACME, messages=0)
    with serve(web_of(fake, other)) as base_url, httpx2.Client(base_url=base_url) as client:
        yield client


@pytest.fixture
def app(fake: FakeInstance) -> FastAPI:
    return web_of(fake, options=OPTIONS)


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with serve(app) as base_url:
        yield base_url.replace("http", "ws") + "/gh/sb-demo/graphql"
