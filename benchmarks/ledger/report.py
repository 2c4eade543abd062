"""What a run says of itself: a progress bar while it goes on, a report of JSON at its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.ledger.run import Run, Standing
from benchmarks.ledger.scenario import Scenario

SHOWN_DEFECTS = 100
LINE_SECONDS = 15.0


@contextmanager
def progress(scenario: Scenario) -> Generator[Callable[[Standing], None]]:
    """Show a bar on the error output while the block runs; a line now and then where that is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console).tell
        return
    columns = (
        TextColumn("messages"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events {task.fields[shown]:,}  {task.fields[news]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=scenario.messages, shown=0, news="")

        def tell(standing: Standing) -> None:
            bar.update(task, completed=standing.written, shown=standing.shown, news=standing.news)

        yield tell


class _Lines:
    """Tells how far a run is, for a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0

    def tell(self, standing: Standing) -> None:
        """Print a line, if the last one is old."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            self._console.print(f"messages {standing.written:,}  events {standing.shown:,}  {standing.news}")


def report(run: Run) -> dict[str, Any]:
    """Put a run into JSON: its plan, what happened, what was found."""
    lines = [follower.line for follower in run.followers]
    walks = [walk for walker in run.walkers for walk in walker.walks]
    ends = Counter(end for line in lines for end in line.ends)
    findings = run.findings
    return {
        "ok": not findings.defects,
        "defects": findings.counts,
        "scenario": asdict(run.stage.scenario),
        "seconds": round(run.seconds, 1),
        "settled_seconds": round(run.settled, 2),
        "messages": run.writer.written,
        "webhooks": dict(run.writer.webhooks) | {"acknowledged": len(run.stage.truth.acknowledged)},
        "deliveries": {"expected": findings.expected, "shown": findings.shown},
        "delay_seconds": delays(run),
        "connections": {"opened": sum(ends.values()), "ended": dict(ends.most_common())},
        "blows": run.chaos.struck,
        "walks": {
            "begun": len(walks),
            "whole": sum(walk.whole for walk in walks),
            "pages": sum(len(walk.pages) for walk in walks),
            "messages": sum(len(page.ids) for walk in walks for page in walk.pages),
        },
        "gateway": {
            "mib": round(run.memory_kib / 1024, 1),
            "log_lines": run.log.count("\n"),
            "tracebacks": run.log.count("Traceback"),
        },
        "first_defects": [asdict(defect) for defect in findings.defects[:SHOWN_DEFECTS]],
    }


def delays(run: Run) -> dict[str, float]:
    """Give how long after it was listed a message was shown: reconnects, kills and pauses included."""
    places = run.stage.truth.positions()
    found = sorted(
        max(0.0, moment - run.stage.listed[patient][position - 1])
        for follower in run.followers
        for moment, each in follower.line.events
        for patient, position in [places.get((follower.line.api, each), ("", 0))]
        if position
    )
    if not found:
        return {}
    return {
        name: round(found[min(len(found) - 1, int(len(found) * share))], 3)
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    }
