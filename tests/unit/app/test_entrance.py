"""The key of the audit trail: hashes are the same from start to start, whatever else changes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from gateway.access.audit import Audit
from gateway.app.entrance import build_entrance
from gateway.domain.model import InstanceName
from gateway.settings import parse

NAMES = [InstanceName("gh", "sb-demo"), InstanceName("acme-health", "live"), InstanceName("a", "first")]


def audit(*names: InstanceName, change: str = "", **telemetry: Any) -> Audit:
    instances = [
        {
            "tenant": name.tenant,
            "instance": name.instance,
            "api": "v1",
            "base_url": "http://127.0.0.1:9",
            "client": "C",
            "secret": f"the secret of {name}{change}",
        }
        for name in names
    ]
    settings = {"auth": {"mode": "none"}, "telemetry": telemetry, "instances": instances}
    return build_entrance(parse(settings, {})).audit


def hashed(trail: Audit, *names: InstanceName) -> list[str]:
    return [trail.hashed(kind, name, "p1") for name in names for kind in ("patient", "file")]


@pytest.mark.parametrize("telemetry", [{}, {"audit_key": ""}, {"audit_key": "a key of its own"}], ids=str)
def test_the_order_of_instances_and_another_one_change_no_hash(telemetry: dict[str, Any]):
    one, other, new = NAMES
    before = hashed(audit(one, other, **telemetry), one, other)

    assert len(set(before)) == 4
    assert hashed(audit(one, other, **telemetry), one, other) == before
    assert hashed(audit(other, one, **telemetry), one, other) == before
    assert hashed(audit(new, other, one, **telemetry), one, other) == before


def test_a_new_secret_changes_the_hashes_unless_the_trail_has_a_key():
    name = NAMES[0]

    assert hashed(audit(name), name) != hashed(audit(name, change=" is new"), name)
    first, second = (audit(name, change=each, audit_key="a key of its own") for each in ("", " is new"))
    assert hashed(first, name) == hashed(second, name)
    assert hashed(audit(name, audit_key="another key"), name) != hashed(first, name)


@pytest.mark.parametrize(
    ("file", "key", "told"), [("audit.jsonl", None, 1), ("audit.jsonl", "a key", 0), ("", None, 0)]
)
def test_a_trail_without_a_key_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, key: str | None, told: int
):
    telemetry = ({"audit_file": str(tmp_path / file)} if file else {}) | ({"audit_key": key} if key else {})

    with caplog.at_level(logging.WARNING):
        audit(NAMES[0], **telemetry)

    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == told
    assert all("telemetry.audit_key" in line and "secret of" not in line for line in lines)
