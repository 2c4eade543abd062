"""A fake Welkin, and a client of it that is closed afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from gateway.welkin.v1.adapter import WelkinV1
from tests.resilience.fake_welkin import FakeWelkin, running


@pytest.fixture
async def fake() -> AsyncIterator[FakeWelkin]:
    async with running() as fake:
        yield fake


@pytest.fixture
async def connect(fake: FakeWelkin) -> AsyncIterator[Callable[..., WelkinV1]]:
    """Make clients of the fake; each is closed at the end, and has nothing left under way."""
    made: list[WelkinV1] = []

    def make(**settings: object) -> WelkinV1:
        made.append(fake.adapter(**settings))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()
        assert (each.state.in_flight, each.state.waiting) == (0, 0)
