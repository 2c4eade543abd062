"""The axis of the port's suite: every version of Welkin, in every variation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.sandbox import Sandbox, SandboxConfig, create_sandbox
from gateway.sandbox.records import StoredPatient
from gateway.welkin.v1.adapter import WelkinV1
from gateway.welkin.v2.adapter import WelkinV2
from tests.contract.welkin_variations import BASIC, PATIENT, Variation, connect, wait_until_idle
from tests.serving import serve


@pytest.fixture(params=BASIC, ids=str)
def variation(request: pytest.FixtureRequest) -> Variation:
    return request.param


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[str, Sandbox]]:
    app = create_sandbox(SandboxConfig(conversations=False))
    with serve(app) as url:
        yield url, app.state.sandbox


@pytest.fixture
def sandbox(served: tuple[str, Sandbox], variation: Variation) -> Iterator[Sandbox]:
    _, sandbox = served
    sandbox.reset()
    sandbox.turn(**variation.knobs)
    sandbox.store.add_patient(
        StoredPatient(
            PATIENT, "Joan", "Clarke", birth_date="1980-02-29", gender="FEMALE", timezone="Europe/Paris"
        )
    )
    yield sandbox
    wait_until_idle(sandbox)
    assert sandbox.requests.undocumented == ()


@pytest.fixture
async def welkin(
    served: tuple[str, Sandbox], sandbox: Sandbox, variation: Variation
) -> AsyncIterator[WelkinV1 | WelkinV2]:
    adapter = connect(served[0], variation)
    yield adapter
    await adapter.aclose()


@pytest.fixture
async def hurried(
    served: tuple[str, Sandbox], sandbox: Sandbox, variation: Variation
) -> AsyncIterator[WelkinV1 | WelkinV2]:
    adapter = connect(served[0], variation, timeout_seconds=0.4)
    yield adapter
    await adapter.aclose()
