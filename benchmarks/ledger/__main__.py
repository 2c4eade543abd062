"""The ledger, as a command: plays a scenario, prints a report of JSON, exits with 1 where anything is wrong.

python -m benchmarks.ledger --messages 10000 --patients 100 --subscribers 300 --seed 1 [--short]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.ledger.report import progress, report
from benchmarks.ledger.run import play
from benchmarks.ledger.scenario import SHORT, Scenario


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the form that runs on every change")
    parser.add_argument("--report", type=Path, help="a file for the report, too")
    parser.add_argument("--log", type=Path, help="a file for what the gateway logged")
    for field in dataclasses.fields(Scenario):
        kind = type(field.default)
        parser.add_argument(f"--{field.name}", type=kind, help=f"{field.default} unless --short")
    wish = vars(parser.parse_args())
    given = {f.name: wish[f.name] for f in dataclasses.fields(Scenario) if wish[f.name] is not None}
    scenario = dataclasses.replace(SHORT if wish["short"] else Scenario(), **given)
    with tempfile.TemporaryDirectory() as folder, progress(scenario) as tell:
        run = play(scenario, Path(folder), tell)
    told = report(run)
    text = json.dumps(told, indent=2)
    print(text)
    if wish["report"] is not None:
        wish["report"].write_text(text + "\n", encoding="utf-8")
    if wish["log"] is not None:
        wish["log"].write_text(run.log, encoding="utf-8")
    return 0 if told["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
