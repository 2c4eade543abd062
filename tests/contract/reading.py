"""The axes of the suite, and how its tests read a page."""

from __future__ import annotations

from typing import TypeAlias

import pytest

from gateway.domain.pages import Newest, Page, PageRef
from gateway.welkin.v1.adapter import WelkinV1
from gateway.welkin.v2.adapter import WelkinV2
from tests.contract.welkin_variations import CUT, PATIENT, REFUSING, WRITTEN

across_cuts = pytest.mark.parametrize("variation", CUT, indirect=True, ids=str)
across_words = pytest.mark.parametrize("variation", WRITTEN, indirect=True, ids=str)
across_refusals = pytest.mark.parametrize("variation", REFUSING, indirect=True, ids=str)
Adapter: TypeAlias = WelkinV1 | WelkinV2


async def read(welkin: Adapter, at: PageRef | None = None, *, archived: bool = False) -> Page:
    return await welkin.list_messages(PATIENT, at or Newest(), include_archived=archived)
