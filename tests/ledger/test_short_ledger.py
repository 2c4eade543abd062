"""Nothing is lost, doubled, misordered or shown to the wrong one, whatever is done to the gateway."""

from __future__ import annotations

import json

from benchmarks.ledger.report import report
from benchmarks.ledger.run import play
from benchmarks.ledger.scenario import SHORT


def test_the_ledger_agrees(tmp_path):
    run = play(SHORT, tmp_path)

    told = report(run)
    assert told["ok"], json.dumps(told, indent=2) + run.log[-2000:]
    # It happened at all: everything was written, shown, walked and hit.
    assert told["messages"] == SHORT.messages
    assert told["deliveries"]["shown"] == told["deliveries"]["expected"] > SHORT.messages
    assert told["webhooks"]["acknowledged"] > SHORT.messages / 4
    assert {blow["blow"] for blow in told["blows"]} == {"kill", "pause", "burst"}
    assert told["walks"]["whole"] > 0
    assert told["connections"]["opened"] > SHORT.subscribers
    assert told["gateway"]["tracebacks"] == 0
