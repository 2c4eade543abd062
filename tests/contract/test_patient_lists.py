"""What every adapter owes the port in lists of patients."""

from __future__ import annotations

from typing import TypeAlias

import pytest

from gateway.domain.errors import (
    BadInput,
    GatewayError,
    PageRefused,
    UpstreamBadResponse,
    UpstreamUnavailable,
)
from gateway.domain.model import ApiVersion, PatientRecord
from gateway.domain.pages import Numbered, PatientPage
from gateway.sandbox import FaultRule, Sandbox
from gateway.sandbox.records import StoredPatient
from gateway.welkin.v1.adapter import WelkinV1
from gateway.welkin.v2.adapter import WelkinV2
from tests.contract.welkin_variations import PATIENT, Variation

Adapter: TypeAlias = WelkinV1 | WelkinV2


def register(sandbox: Sandbox, count: int) -> list[str]:
    """Put patients into the store and give the ids of all."""
    for number in range(count):
        last_name = ("Lake", "Moor", "Field")[number % 3]
        sandbox.store.add_patient(StoredPatient(f"p-{number}", "Ada", last_name, mrn=f"MRN-{number}"))
    return [PATIENT, *(f"p-{number}" for number in range(count))]


async def walk(welkin: Adapter, search: str | None = None, size: int = 5) -> list[PatientPage]:
    pages = [await welkin.list_patients(search, Numbered(0, size))]
    while (following := pages[-1].following) is not None:
        pages.append(await welkin.list_patients(search, following))
        assert len(pages) < 60, "the walk ends"
    return pages


def ids(pages: list[PatientPage]) -> list[str]:
    return [record.patient_id for page in pages for record in page.patients]


@pytest.mark.parametrize("count", [0, 3, 4, 5, 17, 250])
@pytest.mark.parametrize("size", [5, 100])
async def test_a_walk_shows_every_patient_once(
    welkin: Adapter, sandbox: Sandbox, count: int, size: int
) -> None:
    everyone = register(sandbox, count)

    assert ids(await walk(welkin, size=size)) == everyone


async def test_a_record_of_the_list_is_the_one_that_is_read_alone(welkin: Adapter, sandbox: Sandbox) -> None:
    page = await welkin.list_patients(None, Numbered(0, 100))

    assert page == PatientPage(Numbered(0, 100), (await welkin.patient(PATIENT),), None)
    assert isinstance(page.patients[0], PatientRecord)


@pytest.mark.parametrize("search", ["Clarke", "Joan Clarke"])
async def test_a_name_is_looked_for(welkin: Adapter, sandbox: Sandbox, search: str) -> None:
    register(sandbox, 9)

    assert ids(await walk(welkin, search)) == [PATIENT]


async def test_a_record_number_is_looked_for(welkin: Adapter, sandbox: Sandbox) -> None:
    register(sandbox, 9)

    assert ids(await walk(welkin, "MRN-7")) == ["p-7"]


async def test_pages_of_a_search_go_on_with_it(welkin: Adapter, sandbox: Sandbox) -> None:
    everyone = register(sandbox, 40)

    found = ids(await walk(welkin, "Moor"))

    wanted = [each for each in everyone[1:] if int(each[2:]) % 3 == 1]
    assert found == wanted


async def test_nobody_found_is_an_empty_page(welkin: Adapter, sandbox: Sandbox) -> None:
    assert await walk(welkin, "Nobody") == [PatientPage(Numbered(0, 5), (), None)]


@pytest.mark.parametrize("fault", ["null_item", "item_without_id"])
async def test_an_odd_record_costs_nothing_else(
    welkin: Adapter, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    register(sandbox, 3)
    sandbox.faults.add(FaultRule(fault, operation="patients"))

    page = await welkin.list_patients(None, Numbered(0, 5))

    assert len(page.patients) == (4 if fault == "null_item" else 3)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("gateway.welkin")] == [
        "list patients: 1 items were no records of their own"
    ]


async def test_a_reference_that_is_none_of_this_list_is_refused_unsent(
    welkin: Adapter, sandbox: Sandbox
) -> None:
    with pytest.raises(PageRefused):
        await welkin.list_patients(None, Numbered(0, 5, oldest_first=True))

    assert sandbox.requests.count() == 0


FAULTS: dict[str, type[GatewayError]] = {
    "bad_request": BadInput,
    "html": UpstreamBadResponse,
    "no_content": UpstreamBadResponse,
    "server_error": UpstreamUnavailable,
    "wrong_json": UpstreamBadResponse,
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_a_list_that_fails_says_why(welkin: Adapter, sandbox: Sandbox, fault: str) -> None:
    sandbox.faults.add(FaultRule(fault, operation="patients", times=None))

    with pytest.raises(GatewayError) as caught:
        await welkin.list_patients("Clarke", Numbered(0, 5))

    assert type(caught.value) is FAULTS[fault]
    assert "Clarke" not in str(caught.value)


async def test_v2_is_never_asked_for_more_than_it_allows(
    welkin: Adapter, sandbox: Sandbox, variation: Variation
) -> None:
    await welkin.list_patients(None, Numbered(0, 500))

    size = 100 if variation.api is ApiVersion.V2 else 500
    assert sandbox.requests.seen[-1].query == f"page=0&size={size}"
