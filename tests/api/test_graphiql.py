"""GraphiQL in a real browser, under its strict policy, without a request to any other host."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.async_api import Page, async_playwright

from tests.api.fake_access import FakeAccess
from tests.api.fakes import FakeInstance, web_of
from tests.serving import serve

CHROMIUM = shutil.which("chromium")
"""Playwright's own where the machine has none."""

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@dataclass
class Watched:
    """A page, what it complained of, and whom it talked to."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@pytest.fixture
def base_url(fake: FakeInstance) -> Iterator[str]:
    with serve(web_of(fake)) as base_url:
        yield base_url


@pytest.fixture
async def browser() -> AsyncGenerator[Watched]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        watched = Watched(await chromium.new_page())
        watched.page.on("console", lambda message: watched.complaints.append(message.text))
        watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        watched.page.on("request", lambda request: watched.hosts.add(urlsplit(request.url).netloc))
        yield watched
        await chromium.close()


async def test_the_page_runs_a_query_and_follows_a_subscription(
    browser: Watched, base_url: str, fake: FakeInstance
) -> None:
    page = browser.page
    await page.goto(f"{base_url}/gh/sb-demo/graphql")

    await page.click(".graphiql-execute-button")
    await page.wait_for_selector(".result-window >> text=message 2")
    assert await page.locator(".graphiql-tab").first.inner_text() == "NewestMessages"

    await page.locator(".graphiql-tab", has_text="FollowMessages").click()
    await page.wait_for_selector(".graphiql-query-editor >> text=messageAdded")
    # GraphiQL reads the operation's name out of the editor with a delay of its own.
    await page.wait_for_timeout(1000)
    async with page.expect_websocket() as opened:
        await page.click(".graphiql-execute-button")
    socket = await opened.value
    assert urlsplit(socket.url).path == "/gh/sb-demo/graphql"
    while fake.followers == 0:
        await page.wait_for_timeout(20)
    fake.receive("fresh from the care team")
    await page.wait_for_selector(".result-window >> text=fresh from the care team")

    assert browser.complaints == []
    assert browser.hosts - {""} == {urlsplit(base_url).netloc}


async def test_the_headers_editor_proves_who_is_calling(browser: Watched, fake: FakeInstance) -> None:
    """By POST as headers; for a subscription in the socket's first message, in lower case."""
    access, page = FakeAccess(), browser.page
    with serve(web_of(fake, options=access.options())) as base_url:
        await page.goto(f"{base_url}/graphql")
        await page.locator(".graphiql-tab", has_text="FollowMessages").click()
        await page.wait_for_selector(".graphiql-query-editor >> text=messageAdded")
        await page.get_by_role("button", name="Headers", exact=True).click()
        await page.locator(".graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror").click()
        await page.keyboard.insert_text('{"X-API-Key": "reader"}')
        # GraphiQL reads its editors with a delay of its own.
        await page.wait_for_timeout(1500)
        await page.click(".graphiql-execute-button")
        async with asyncio.timeout(10):
            while fake.followers == 0:
                await page.wait_for_timeout(20)
        fake.receive("fresh from the care team")
        await page.wait_for_selector(".result-window >> text=fresh from the care team")

    assert (None, b"reader") in access.asked
    assert {name for name, _ in access.admitted} == {"reader"}


def test_the_page_has_a_strict_policy_and_no_inline_script(base_url: str) -> None:
    answer = httpx2.get(
        f"{base_url}/graphql", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    )

    policy = answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert "<script>" not in answer.text


def test_static_files_alone_may_be_kept(base_url: str) -> None:
    script = httpx2.get(f"{base_url}/graphiql/graphiql.min.js")
    examples = httpx2.get(f"{base_url}/graphiql/operations.json")

    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cache-control"] == "public, max-age=86400"
    assert examples.headers["cache-control"] == "no-store"
    assert "query NewestMessages" in examples.json()[0]


@pytest.mark.parametrize(
    "name", ["nope.js", "..%2f..%2fapp.py", "..%2foptions.py", ".", "operations.json%00"]
)
def test_no_other_file_can_be_reached(base_url: str, name: str) -> None:
    assert httpx2.get(f"{base_url}/graphiql/{name}").status_code == 404


def test_a_get_that_carries_a_query_runs_it_even_in_a_browser(base_url: str) -> None:
    answer = httpx2.get(
        f"{base_url}/graphql", params={"query": "{ __typename }"}, headers={"Accept": "text/html,*/*;q=0.8"}
    )

    assert answer.json() == {"data": {"__typename": "Query"}}
