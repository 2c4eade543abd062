"""What every adapter makes of refusals, failures and odd items, in every variation of its version."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from gateway.domain.errors import (
    BadInput,
    Forbidden,
    GatewayError,
    NotFound,
    SendUnconfirmed,
    UpstreamBadResponse,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.domain.model import ApiVersion
from gateway.domain.pages import Newest
from gateway.sandbox import FaultRule, Sandbox
from gateway.sandbox.records import Author
from gateway.sandbox.store import CARE_TEAM
from tests.contract.expectations import REPEATED, history, tries
from tests.contract.reading import Adapter, across_refusals, across_words, read
from tests.contract.welkin_variations import PATIENT, START, Variation, add, talk, wait_until_idle


@pytest.mark.parametrize("body", ["", " ", "x" * 40_000])
@across_refusals
async def test_a_text_that_welkin_refuses_is_bad_input(welkin: Adapter, sandbox: Sandbox, body: str) -> None:
    with pytest.raises(BadInput):
        await welkin.send_message(PATIENT, body, None)


async def test_half_a_surrogate_pair_is_bad_input_and_not_sent(welkin: Adapter, sandbox: Sandbox) -> None:
    with pytest.raises(BadInput):
        await welkin.send_message(PATIENT, "\ud83d", None)

    assert sandbox.requests.count() == 0


@pytest.mark.parametrize(
    "hostile", ["", "..", "../admin", "a%2Fb", "a?x=1", "a#b", "//evil/x", "a\r\nb", "x" * 10_000]
)
async def test_an_id_that_could_leave_its_place_sends_nothing(
    welkin: Adapter, sandbox: Sandbox, hostile: str
) -> None:
    with pytest.raises(BadInput):
        await welkin.list_messages(hostile, Newest(), include_archived=False)
    with pytest.raises(BadInput):
        await welkin.send_message(hostile, "hello", None)
    with pytest.raises(BadInput):
        await welkin.patient(hostile)

    assert sandbox.requests.count() == 0


READ_FAULTS: dict[str, type[GatewayError]] = {
    "bad_gateway": UpstreamUnavailable,
    "bad_request": BadInput,
    "forbidden": Forbidden,
    "gateway_timeout": UpstreamUnavailable,
    "gone": NotFound,
    "gzip_bomb": UpstreamBadResponse,
    "html": UpstreamBadResponse,
    "huge_body": UpstreamBadResponse,
    "no_content": UpstreamBadResponse,
    "not_found": NotFound,
    "rate_limited": UpstreamRateLimited,
    "redirect": UpstreamBadResponse,
    "reset": UpstreamUnavailable,
    "reset_mid_body": UpstreamUnavailable,
    "server_error": UpstreamUnavailable,
    "truncated": UpstreamBadResponse,
    "unauthorized": UpstreamUnavailable,
    "unavailable": UpstreamUnavailable,
    "wrong_json": UpstreamBadResponse,
}
UNCLEAR = {
    "bad_gateway",
    "gateway_timeout",
    "gzip_bomb",
    "html",
    "huge_body",
    "no_content",
    "redirect",
    "reset",
} | {
    "reset_mid_body",
    "server_error",
    "truncated",
    "unavailable",
    "wrong_json",
}


@pytest.mark.parametrize("fault", sorted(READ_FAULTS))
@across_refusals
async def test_a_read_that_fails_says_why(
    welkin: Adapter, sandbox: Sandbox, variation: Variation, fault: str
) -> None:
    talk(sandbox, 3)
    sandbox.faults.add(FaultRule(fault, operation="list", times=None))

    with pytest.raises(GatewayError) as caught:
        await read(welkin)

    assert type(caught.value) is READ_FAULTS[fault]
    await asyncio.to_thread(wait_until_idle, sandbox)
    assert sandbox.requests.count(f"{variation.api.value}.list") == tries(fault)


@pytest.mark.parametrize("fault", sorted(REPEATED))
@pytest.mark.parametrize("times", [1, 3])
async def test_a_read_that_fails_for_a_moment_goes_unnoticed(
    welkin: Adapter, sandbox: Sandbox, variation: Variation, fault: str, times: int
) -> None:
    talk(sandbox, 3)
    await read(welkin)  # a token is there, and the habits of v2 are known
    sandbox.requests.clear()
    await read(welkin)
    undisturbed = sandbox.requests.count()
    sandbox.faults.add(FaultRule(fault, operation="list", times=times))

    page = await read(welkin)

    assert len(page.messages) == 3
    assert sandbox.requests.count() == 2 * undisturbed + times


@pytest.mark.parametrize("fault", ["server_error", "unavailable", "reset"])
async def test_a_token_request_that_fails_for_a_moment_goes_unnoticed(
    welkin: Adapter, sandbox: Sandbox, variation: Variation, fault: str
) -> None:
    sandbox.faults.add(FaultRule(fault, operation="token"))

    await welkin.send_message(PATIENT, "hello", None)

    assert len(sandbox.store.history(PATIENT) or ()) == 1
    assert sandbox.requests.count(f"{variation.api.value}.token") == 2


@pytest.mark.parametrize("fault", sorted(READ_FAULTS))
@across_refusals
async def test_a_send_that_fails_is_never_repeated(
    welkin: Adapter, sandbox: Sandbox, variation: Variation, fault: str
) -> None:
    sandbox.faults.add(FaultRule(fault, operation="send", times=None))

    with pytest.raises(GatewayError) as caught:
        await welkin.send_message(PATIENT, "hello", None)

    assert type(caught.value) is (SendUnconfirmed if fault in UNCLEAR else READ_FAULTS[fault])
    await asyncio.to_thread(wait_until_idle, sandbox)
    assert sandbox.requests.count(f"{variation.api.value}.send") == (2 if fault == "unauthorized" else 1)
    assert len(sandbox.store.history(PATIENT) or ()) <= 1


@pytest.mark.parametrize("fault", ["stored_error", "stored_reset", "stored_hang", "hang", "drip"])
async def test_a_send_without_a_clear_answer_is_unconfirmed(
    hurried: Adapter, sandbox: Sandbox, variation: Variation, fault: str
) -> None:
    silent = variation.api is ApiVersion.V2 and sandbox.knobs.v2_send_answer in {
        "created_empty",
        "no_content",
    }
    await hurried.patient(PATIENT)  # a token is there
    args = {"seconds": 0.2, "bytes": 1} if fault == "drip" else {}
    sandbox.faults.add(FaultRule(fault, operation="send", args=args, times=None))

    with pytest.raises(SendUnconfirmed):
        await hurried.send_message(PATIENT, "hello", None)

    assert len(sandbox.store.history(PATIENT) or ()) == (0 if fault == "hang" else 1) or silent


@pytest.mark.parametrize("fault", ["hang", "drip"])
async def test_a_read_without_an_end_stops_at_the_deadline(
    hurried: Adapter, sandbox: Sandbox, fault: str
) -> None:
    talk(sandbox, 3)
    args = {"seconds": 0.1, "bytes": 1} if fault == "drip" else {}
    sandbox.faults.add(FaultRule(fault, operation="list", args=args))

    with pytest.raises(UpstreamTimeout):
        await read(hurried)


@pytest.mark.parametrize("code", ["TOKEN_EXPIRED", "NOT_VALID_JSON_WEB_TOKEN"])
@across_words
async def test_one_refusal_of_a_token_goes_unnoticed_by_reads_and_sends(
    welkin: Adapter, sandbox: Sandbox, variation: Variation, code: str
) -> None:
    talk(sandbox, 3)
    sandbox.faults.add(FaultRule("unauthorized", operation="list", args={"code": code}))
    sandbox.faults.add(FaultRule("unauthorized", operation="send", args={"code": code}))

    await read(welkin)
    with suppress(SendUnconfirmed):  # two variations answer without a message
        await welkin.send_message(PATIENT, "hello", None)

    assert len(sandbox.store.history(PATIENT) or ()) == 4
    assert sandbox.requests.count(f"{variation.api.value}.token") == 3


@across_words
async def test_expired_tokens_are_renewed_once(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    await read(welkin)
    sandbox.credentials.expire_all()

    await read(welkin)
    await read(welkin)

    assert sandbox.requests.count(f"{variation.api.value}.token") == 2


async def test_callers_at_the_same_time_share_one_token_and_one_renewal(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    talk(sandbox, 3)
    await asyncio.gather(*(read(welkin) for _ in range(50)))
    assert sandbox.requests.count(f"{variation.api.value}.token") == 1
    sandbox.credentials.expire_all()

    await asyncio.gather(*(read(welkin) for _ in range(50)))

    assert sandbox.requests.count(f"{variation.api.value}.token") == 2


@pytest.mark.parametrize("fault", ["rate_limited", "forbidden"])
@across_refusals
async def test_a_block_of_the_token_endpoint_is_respected(
    welkin: Adapter, sandbox: Sandbox, variation: Variation, fault: str
) -> None:
    sandbox.faults.add(FaultRule(fault, operation="token"))

    for _ in range(3):
        with pytest.raises(UpstreamRateLimited) as caught:
            await read(welkin)
        assert caught.value.retry_after == pytest.approx(300, abs=5)

    assert sandbox.requests.count() == 1


@pytest.mark.parametrize(
    ("args", "seconds"),
    [
        ({}, None),
        ({"retry_after": 0}, 0),
        ({"retry_after": -5}, None),
        ({"retry_after": 3600}, 3600),
        ({"retry_date": 60}, 60),
    ],
)
@across_refusals
async def test_a_rate_limit_says_how_long(
    welkin: Adapter, sandbox: Sandbox, args: dict[str, int], seconds: float | None
) -> None:
    sandbox.faults.add(FaultRule("rate_limited", operation="list", times=None, args=args))

    with pytest.raises(UpstreamRateLimited) as caught:
        await read(welkin)

    assert caught.value.retry_after == (None if seconds is None else pytest.approx(seconds, abs=2))


@pytest.mark.parametrize(
    "fault", ["extra_fields", "missing_fields", "null_item", "duplicate_items", "item_without_time"]
)
@across_words
async def test_an_odd_item_costs_nothing_else(
    welkin: Adapter, sandbox: Sandbox, variation: Variation, fault: str
) -> None:
    talk(sandbox, 4)
    await read(welkin)
    sandbox.faults.add(FaultRule(fault, operation="list", times=None))

    page = await read(welkin)

    ids = [message.external_id for message in history(sandbox, variation.api)]
    assert [message.external_id for message in page.messages] == ids[: len(page.messages)]
    assert len(page.messages) >= min(3, variation.page_size)


@across_words
async def test_an_item_without_an_id_is_left_out(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    talk(sandbox, 3)
    await read(welkin)
    sandbox.faults.add(FaultRule("item_without_id", operation="list", times=None))

    page = await read(welkin)

    assert len(page.messages) == 2
    assert set(page.messages) < set(history(sandbox, variation.api))


@across_words
async def test_nothing_that_is_logged_names_anyone(
    welkin: Adapter, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="gateway")
    add(sandbox, Author("patient", PATIENT), "canary text", START)
    add(sandbox, CARE_TEAM[0], "canary text", START + timedelta(minutes=1))
    sandbox.faults.add(FaultRule("null_item", operation="list"))

    await read(welkin)
    with suppress(SendUnconfirmed):
        await welkin.send_message(PATIENT, "canary text", None)

    said = " ".join(
        record.getMessage() for record in caplog.records if record.name.startswith("gateway.welkin")
    )
    assert "list messages" in said
    assert not any(word in said for word in ("canary", PATIENT, "secret", "http", "token"))


async def test_a_server_that_takes_no_notice_of_page_numbers_is_not_asked_for_ever(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    talk(sandbox, 12)
    await read(welkin)
    sandbox.requests.clear()
    sandbox.faults.add(FaultRule("token_loop", operation="list", times=None))

    with suppress(UpstreamBadResponse):
        await read(welkin)

    assert sandbox.requests.count(f"{variation.api.value}.list") <= 3
