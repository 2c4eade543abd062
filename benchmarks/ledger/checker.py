"""The checker: does what subscribers were shown agree with what is true?

For each subscriber and each message of its patient, everything from its start to the end of the run
has to be there (a "set-full" check), once, in the upstream's order; and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.ledger.records import Line, Truth, Walk
from benchmarks.ledger.walk_checker import check_walk

Kind = Literal["lost", "doubled", "misordered", "foreign", "acknowledged_lost", "walk"]
KINDS: tuple[Kind, ...] = ("lost", "doubled", "misordered", "foreign", "acknowledged_lost", "walk")


@dataclass(frozen=True, slots=True)
class Defect:
    """Something that must not be."""

    kind: Kind
    where: str
    patient: str
    position: int | None
    what: str = ""


@dataclass(slots=True)
class Findings:
    """All defects, and how much was looked at."""

    defects: list[Defect] = field(default_factory=list)
    expected: int = 0
    """Messages that subscribers had to be shown."""
    shown: int = 0
    """Events that they were shown."""

    @property
    def counts(self) -> dict[str, int]:
        """Defects by kind; every kind is named."""
        found = Counter(defect.kind for defect in self.defects)
        return {kind: found[kind] for kind in KINDS}


def check(truth: Truth, lines: Iterable[Line], walks: Iterable[Walk] = ()) -> Findings:
    """Compare what was shown with what is true."""
    findings = Findings()
    places = truth.positions()
    for line in lines:
        _check_line(truth, places, line, findings)
    for walk in walks:
        for what, position in check_walk(truth.ids[walk.api, walk.patient], walk):
            findings.defects.append(Defect("walk", walk.name, walk.patient, position, what))
    return findings


def _check_line(truth: Truth, places: dict, line: Line, findings: Findings) -> None:
    shown: list[int] = []
    for _, each in line.events:
        patient, position = places.get((line.api, each), (None, None))
        if patient != line.patient or position is None:
            findings.defects.append(Defect("foreign", line.name, line.patient, None, f"of {patient}"))
            continue
        shown.append(position)
    findings.shown += len(line.events)
    # One that began at "now" begins with whatever it was shown first.
    start = line.start if line.start is not None else (shown[0] - 1 if shown else None)
    seen: set[int] = set()
    furthest = start or 0
    for position in shown:
        if position in seen:
            findings.defects.append(Defect("doubled", line.name, line.patient, position))
        elif position <= furthest:
            findings.defects.append(Defect("misordered", line.name, line.patient, position))
        seen.add(position)
        furthest = max(furthest, position)
    if start is None:
        return
    expected = range(start + 1, len(truth.ids[line.api, line.patient]) + 1)
    findings.expected += len(expected)
    for position in expected:
        if position not in seen:
            told = (line.api, line.patient, position) in truth.acknowledged
            findings.defects.append(Defect("lost", line.name, line.patient, position))
            if told:
                findings.defects.append(Defect("acknowledged_lost", line.name, line.patient, position))
