"""What the port owes to holders of a patient's chat token, where the version knows such tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.domain.errors import (
    GatewayError,
    PageRefused,
    Unauthenticated,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from gateway.domain.model import Message
from gateway.domain.pages import Linked, Newest, Page
from gateway.sandbox import FaultRule, Sandbox
from gateway.sandbox.store import CARE_TEAM
from gateway.welkin.v2.adapter import WelkinV2
from tests.contract.expectations import history
from tests.contract.welkin_variations import PATIENT, PORTALS, START, V2, Variation, add, talk

across_portals = pytest.mark.parametrize("variation", PORTALS, indirect=True, ids=str)
across_refusals = pytest.mark.parametrize(
    "variation",
    [Variation(V2, {"v2_portal_refusal": status}) for status in (401, 403, 404, 410)],
    indirect=True,
    ids=str,
)
REFUSED = "The chat token opens no conversation."


@pytest.fixture(params=[Variation(V2)], ids=str)
def variation(request: pytest.FixtureRequest) -> Variation:
    return request.param


async def walk(welkin: WelkinV2, token: str) -> list[Page]:
    """Read all pages from the newest to the oldest."""
    pages = [await welkin.list_portal_messages(token, Newest())]
    while (older := pages[-1].older) is not None:
        pages.append(await welkin.list_portal_messages(token, older))
        assert len(pages) < 60, "the walk ends"
    return pages


def texts(pages: list[Page]) -> list[Message]:
    return [message for page in pages for message in page.messages]


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 33, 120])
@across_portals
async def test_a_walk_by_chat_token_shows_the_whole_history_once(
    welkin: WelkinV2, sandbox: Sandbox, count: int
) -> None:
    talk(sandbox, count)
    token = sandbox.credentials.portal_token(PATIENT, 3600)

    assert texts(await walk(welkin, token)) == history(sandbox, V2)


@across_portals
async def test_what_arrives_later_is_on_the_newest_page(welkin: WelkinV2, sandbox: Sandbox) -> None:
    talk(sandbox, 12)
    token = sandbox.credentials.portal_token(PATIENT, 3600)
    await walk(welkin, token)
    add(sandbox, CARE_TEAM[0], "new", START + timedelta(days=1))

    pages = await walk(welkin, token)

    assert pages[0].messages[0].body == "new"
    assert pages[0].newer is None
    assert texts(pages) == history(sandbox, V2)


@across_portals
async def test_a_page_by_chat_token_is_found_again_by_its_reference(
    welkin: WelkinV2, sandbox: Sandbox
) -> None:
    talk(sandbox, 23)
    token = sandbox.credentials.portal_token(PATIENT, 3600)
    for page in await walk(welkin, token):
        again = await welkin.list_portal_messages(token, page.ref)

        assert again.messages == page.messages


@across_refusals
async def test_a_chat_token_that_opens_nothing_says_so(welkin: WelkinV2, sandbox: Sandbox) -> None:
    talk(sandbox, 3)
    expired = sandbox.credentials.portal_token(PATIENT, 1)
    sandbox.clock.advance(5)

    for token in (expired, "made-up", "a" * 5000):
        with pytest.raises(Unauthenticated) as caught:
            await welkin.list_portal_messages(token, Newest())
        assert caught.value.message == REFUSED


@pytest.mark.parametrize("token", ["", " ", "a b", "a\nb", "\ud83d", "x" * 10_000])
async def test_what_can_be_no_token_sends_nothing(welkin: WelkinV2, sandbox: Sandbox, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await welkin.list_portal_messages(token, Newest())

    assert sandbox.requests.count() == 0


async def test_the_gateways_own_expired_bearer_is_renewed(welkin: WelkinV2, sandbox: Sandbox) -> None:
    talk(sandbox, 3)
    token = sandbox.credentials.portal_token(PATIENT, 3600)
    await welkin.list_portal_messages(token, Newest())
    sandbox.credentials.expire_all()

    page = await welkin.list_portal_messages(token, Newest())

    assert len(page.messages) == 3


async def test_dead_chat_tokens_do_not_use_up_the_token_requests(welkin: WelkinV2, sandbox: Sandbox) -> None:
    """Welkin blocks a client that asks for too many; anyone can send a dead chat token."""
    for _ in range(30):
        with pytest.raises(Unauthenticated):
            await welkin.list_portal_messages("made-up", Newest())

    assert sandbox.requests.count("v2.token") == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("server_error", UpstreamUnavailable),
        ("rate_limited", UpstreamRateLimited),
        ("reset", UpstreamUnavailable),
    ],
)
async def test_a_failure_of_welkins_is_not_blamed_on_the_chat_token(
    welkin: WelkinV2, sandbox: Sandbox, fault: str, kind: type[GatewayError]
) -> None:
    sandbox.faults.add(FaultRule(fault, operation="portal", times=None))
    token = sandbox.credentials.portal_token(PATIENT, 3600)

    with pytest.raises(kind):
        await welkin.list_portal_messages(token, Newest())


async def test_a_page_named_by_the_other_version_is_refused(welkin: WelkinV2, sandbox: Sandbox) -> None:
    with pytest.raises(PageRefused):
        await welkin.list_portal_messages("made-up", Linked("abc"))

    assert sandbox.requests.count() == 0


@pytest.mark.parametrize("fault", [None, "null_item", "bad_request", "server_error", "html", "reset"])
async def test_a_chat_token_is_in_no_log_and_no_error(
    welkin: WelkinV2, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, fault: str | None
) -> None:
    caplog.set_level("DEBUG", logger="gateway")
    talk(sandbox, 3)
    if fault is not None:
        sandbox.faults.add(FaultRule(fault, operation="portal", times=None))
    said: list[str] = []

    for token in (sandbox.credentials.portal_token(PATIENT, 3600), "xanthic-canary"):
        secret = token[:12]
        try:
            await welkin.list_portal_messages(token, Newest())
        except GatewayError as error:
            said += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
        ours = [record.getMessage() for record in caplog.records if record.name.startswith("gateway")]
        assert not any(secret in text for text in (*said, *ours))
