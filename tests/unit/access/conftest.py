"""What the tests of access control share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.access import EVERYBODY, Principal
from tests.unit.access.guarded import Setup


@pytest.fixture
def make(tmp_path: Path):
    """Make a guard for a caller; its trail is in a file of the test's own."""

    def _make(who: Principal = EVERYBODY, clock: Any = time.time) -> Setup:
        return Setup(tmp_path / "audit.jsonl", who, clock)

    return _make
