"""Answers made up from Welkin's OpenAPI documents, served to the adapters over a real socket.

Whatever comes, nothing but an error of ours comes out; and what fits the document is read.
"""

from __future__ import annotations

import asyncio
import copy
import json
import string
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.errors import GatewayError, SendUnconfirmed
from gateway.domain.model import Message, PatientRecord
from gateway.domain.pages import Linked, Newest, Numbered, Page, PageRef
from gateway.welkin.upstream import Upstream
from gateway.welkin.v1.adapter import WelkinV1
from gateway.welkin.v2.adapter import WelkinV2
from tests.conformance.made_up import made_up
from tests.serving import serve

Adapter: TypeAlias = WelkinV1 | WelkinV2
ROOT = Path(__file__).parents[2]
TIMES = {"enum": ["2030-01-01T10:00:00.000Z", "2030-01-01T10:00:01.451Z", "2030-01-02T00:00:00.000Z"]}
IDS = {"type": "string", "pattern": "^[A-Za-z0-9-]{1,40}$"}
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 302, 400, 403, 404, 410, 422, 429, 500, 503])


def document(version: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "openapi" / f"welkin-{version}.yaml").read_text())


def tightened(version: str) -> dict[str, Any]:
    """Leave out what no reader can make sense of: a 99th month, an empty id, a hit in a list."""
    made = copy.deepcopy(document(version))
    schemas = made["components"]["schemas"]
    times, ids = {"v1": ("createdAt", "externalId"), "v2": ("sentAt", "id")}[version]
    schemas["Message"]["properties"] |= {times: TIMES, ids: IDS}
    if version == "v2":
        schemas["Items"]["items"] = {"$ref": "#/components/schemas/Message"}
    return made


def answers(made: dict[str, Any], name: str) -> st.SearchStrategy[Any]:
    return made_up({"$ref": f"#/components/schemas/{name}"}, made)


@pytest.mark.parametrize("name", ["list", "Message", "Patient", "Error"])
def test_what_is_made_up_fits_the_document(version: str, name: str) -> None:
    made, schema = document(version), page_name(version) if name == "list" else name
    validator = jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": made["components"]}
    )

    @settings(max_examples=30)
    @given(answers(made, schema))
    def check(answer: Any) -> None:
        validator.validate(answer)

    check()


@dataclass
class Upstreams:
    """A server with one answer to everything but tokens and later pages, and adapters in front of it."""

    status: int = 200
    body: bytes = b""
    url: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as an ASGI app."""
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        token = scope["path"].endswith(("/auth/token", "/CLIENT"))
        status, body = (200, b'{"token":"t"}') if token else (self.status, self.body)
        pages = [part for part in scope["query_string"].split(b"&") if part.startswith(b"page=")]
        if pages and pages != [b"page=0"]:
            status, body = 200, b"[]"
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"" if status == 204 else body})

    def adapter(self, version: str) -> Adapter:
        """Make an adapter that has learned nothing yet."""
        upstream = Upstream(self.url, "gh", "sb-demo", "CLIENT", "secret")
        return WelkinV1(upstream) if version == "v1" else WelkinV2(upstream)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Upstreams]:
    app = Upstreams()
    with serve(app) as url:
        app.url = url
        yield app


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def welkin(upstreams: Upstreams, runner: asyncio.Runner, version: str) -> Iterator[Adapter]:
    async def make() -> Adapter:
        return upstreams.adapter(version)

    adapter = runner.run(make())
    yield adapter
    runner.run(adapter.aclose())


async def error_of(call: Awaitable[object]) -> GatewayError | None:
    try:
        await call
    except GatewayError as error:
        return error
    return None


async def whole_file(welkin: Adapter) -> None:
    async with welkin.open_file("f-1") as stream:
        async for _ in stream:
            pass


def page_name(version: str) -> str:
    return "MessagePage" if version == "v1" else "MessageList"


def test_a_list_that_fits_is_a_page(
    upstreams: Upstreams, runner: asyncio.Runner, welkin: Adapter, version: str
) -> None:
    @settings(max_examples=60)
    @given(answers(tightened(version), page_name(version)))
    def check(answer: Any) -> None:
        upstreams.status, upstreams.body = 200, json.dumps(answer).encode()

        page = runner.run(welkin.list_messages("p1", Newest(), include_archived=False))

        assert isinstance(page, Page)
        times = [message.created_at for message in page.messages]
        assert times == sorted(times, reverse=True)

    check()


def test_a_page_of_hits_that_fits_is_a_page(
    upstreams: Upstreams, runner: asyncio.Runner, welkin: Adapter, version: str
) -> None:
    @settings(max_examples=60)
    @given(answers(tightened(version), "HitPage" if version == "v1" else "MessageList"))
    def check(answer: Any) -> None:
        upstreams.status, upstreams.body = 200, json.dumps(answer).encode()

        page = runner.run(welkin.search_messages("dose", "p1", Newest()))

        assert set(page.beside) <= {message.external_id for message in page.messages}

    check()


def test_a_record_that_fits_is_read(
    upstreams: Upstreams, runner: asyncio.Runner, welkin: Adapter, version: str
) -> None:
    @settings(max_examples=40)
    @given(answers(tightened(version), "Patient"))
    def check(answer: Any) -> None:
        upstreams.status, upstreams.body = 200, json.dumps(answer).encode()

        assert isinstance(runner.run(welkin.patient("p1")), PatientRecord)

    check()


def test_an_answer_to_a_send_that_fits_is_the_message(
    upstreams: Upstreams, runner: asyncio.Runner, welkin: Adapter, version: str
) -> None:
    @settings(max_examples=40)
    @given(answers(tightened(version), "Message"))
    def check(answer: Any) -> None:
        upstreams.status, upstreams.body = 201, json.dumps(answer).encode()

        assert isinstance(runner.run(welkin.send_message("p1", "hello", None)), Message)

    check()


def test_nothing_but_errors_of_ours_comes_out(
    upstreams: Upstreams, runner: asyncio.Runner, welkin: Adapter, version: str
) -> None:
    made = document(version)
    names = [page_name(version), "Message", "Patient", "Error"]
    bodies = st.one_of(
        *(answers(made, name).map(json.dumps).map(str.encode) for name in names),
        st.binary(max_size=200),
        st.text(string.printable, max_size=200).map(str.encode),
    )
    refs: st.SearchStrategy[PageRef] = st.one_of(
        st.just(Newest()),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=50).map(Linked),
        st.builds(Numbered, st.integers(0, 10**6), st.integers(1, 200), st.booleans()),
    )

    @settings(max_examples=80)
    @given(status=STATUSES, body=bodies, ref=refs)
    def check(status: int, body: bytes, ref: PageRef) -> None:
        upstreams.status, upstreams.body = status, body
        for call in (
            lambda: welkin.list_messages("p1", ref, include_archived=True),
            lambda: welkin.patient("p1"),
            lambda: welkin.send_message("p1", "hello", None),
            lambda: welkin.search_messages("dose", "p1", ref),
            lambda: welkin.list_portal_messages("token", ref),
            lambda: welkin.list_patients("Lake", Numbered(0, 50)),
            lambda: whole_file(welkin),
        ):
            error = runner.run(error_of(call()))
            assert not isinstance(error, SendUnconfirmed) or status not in range(400, 500)

    check()
