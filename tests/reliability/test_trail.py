"""The audit trail tells of everybody who was shown, and when it cannot, that is not silent."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.reliability.product import MINE, PATHS, READ, SEND, SERVICE, Product, product


def lines_lost(running: Product) -> int:
    metrics = running.http.get(f"{running.url}/metrics").text
    found = re.search(r"^gateway_audit_lines_lost_total (\d+)", metrics, re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    ("strict", "sink"), [(True, "/dev/full"), (False, "/dev/full"), (True, "/nowhere/x")]
)
def test_a_trail_that_cannot_be_written_is_never_silent(tmp_path: Path, sink: str, *, strict: bool):
    """Strict: nothing is shown. Else: all is, and a metric tells what was lost."""
    with product(tmp_path, telemetry={"audit_file": sink, "audit_strict": strict}) as running:
        answers = [running.ask("v2", READ, id=MINE) for _ in range(3)]
        sent = running.ask("v2", SEND, id=MINE, body="x")
        file = running.http.get(f"{running.url}/{PATHS['v2']}/files/x", headers=SERVICE)
        ends = time.monotonic() + 20
        while lines_lost(running) < 4 and time.monotonic() < ends:  # a thread of its own counts them
            time.sleep(0.05)
        lost = lines_lost(running)
        posted = running.sandbox.requests.count("v2.send")

    assert lost >= 4
    if not strict:
        assert all(answer["data"]["patient"]["firstName"] for answer in answers)
        assert sent["data"]["sendMessage"]
        return
    for answer in [*answers, sent]:
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"OVERLOADED"}
        assert not (answer["data"] or {}).get("patient")
    assert posted == 0
    assert file.status_code in {404, 503}


def test_the_trail_tells_each_patient_of_a_list_and_of_a_search_across_all(running: Product):
    before = len(running.trail())
    listed = running.ask("v2", "{ patients(first: 5) { nodes { patientId } } }")["data"]["patients"]["nodes"]
    found = running.ask(
        "v2", '{ searchMessages(query: "a", first: 20) { nodes { patient { patientId } } } }'
    )["data"]["searchMessages"]["nodes"]
    for each in listed:
        running.ask("v2", READ, id=each["patientId"])
    everybody = {each["patientId"] for each in listed}
    hits = list(dict.fromkeys(node["patient"]["patientId"] for node in found))

    lines = running.trail()[before:]
    known = {line["patient"] for line in lines if line["action"] == "read.patient"}
    (list_line,) = [line for line in lines if line["action"] == "read.patients"]
    (search_line,) = [line for line in lines if line["action"] == "search"]
    assert len(everybody) == 5
    assert set(list_line["patients"]) == known
    assert (list_line["count"], len(list_line["patients"])) == (5, 5)
    assert len(search_line["patients"]) == len(hits)
    assert search_line["count"] == len(found) >= len(hits)
    assert search_line["patient"] is None
    text = json.dumps(lines)
    assert not any(each in text for each in (*everybody, *hits))
