"""Made-up queries, each with its answer, computed from the sandbox's store without the gateway's code.

A part of a query is its text and a function from what it is asked of to what must be answered.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.sandbox import Sandbox
from gateway.sandbox.records import StoredMessage, StoredPatient

Answer = Callable[[Any], Any]
Fields = dict[str, Answer]
"""By what stands in the query: how it is answered."""

FLAGS = "pageInfo { hasNextPage hasPreviousPage }"
MOST_ALIASES = 1
"""Fields of one selection that may have another name: an operation may have 15 in all."""

KINDS = {"patient": "PATIENT", "care_team": "CARE_TEAM", "system": "SYSTEM"}
WORDS = ("reading", "hello", "the", "dose", "?", "zzz", "NUMBER", "e", "📎")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages of a conversation a list shows."""

    since_ms: int | None = None
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a list, newest first, with what lies on either side."""

    messages: Sequence[StoredMessage]
    older: bool
    newer: bool


@dataclass
class Model:
    """What one version of Welkin knows, and how the gateway shows it."""

    version: str
    sandbox: Sandbox
    cursors: dict[tuple[str, Filter | str], dict[int, str]] = field(default_factory=dict)
    """By conversation and filter, or patient and searched text: the cursors of positions."""
    ids: dict[str, str] = field(default_factory=dict)
    """By patient: the global id."""

    def listed(self, patient_id: str, chosen: Filter) -> list[StoredMessage]:
        """Give a conversation as a list shows it, newest first. v2 knows of no archive."""
        history = self.sandbox.store.history(patient_id) or ()
        return [
            message
            for message in reversed(list(history))
            if (chosen.archived or self.version == "v2" or not message.archived)
            and (chosen.since_ms is None or message.provider_ms > chosen.since_ms)
        ]

    def hits(self, patient_id: str, text: str) -> list[StoredMessage]:
        """Give what a search finds in a conversation, newest first."""
        return [m for m in self.listed(patient_id, Filter()) if text.casefold() in m.text.casefold()]

    def external_id(self, message: StoredMessage) -> str:
        """Give the id that Welkin shows."""
        return message.v1_id if self.version == "v1" else message.v2_id

    def sender_name(self, message: StoredMessage) -> str | None:
        """Give the name that is shown: the upstream's, or the record's where the patient wrote."""
        if message.author.kind == "patient":
            return self.sandbox.store.patients[message.patient_id].full_name
        return message.author.name if self.version == "v1" else None


@dataclass
class Maker:
    """Makes queries out of one source of randomness. ``shared`` leaves out what the versions tell apart."""

    model: Model
    random: random.Random
    shared: bool
    fragments: list[str] = field(default_factory=list)

    def query(self) -> tuple[str, dict[str, Any]]:
        """Make an operation of one to four root fields; gives its text and its data."""
        parts: list[str] = []
        data: dict[str, Any] = {}
        roots = [self._patient_root, self._patient_root, self._search_root, self._node_root, self._list_root]
        for number in range(self.random.randint(1, 4)):
            text, answer = self.random.choice(roots)()
            parts.append(f"f{number}: {text}")
            data[f"f{number}"] = answer
        return f"query Made {{ {' '.join(parts)} }} {' '.join(self.fragments)}", data

    def _patient_root(self) -> tuple[str, Any]:
        if self.random.random() < 0.05:
            return 'patient(patientId: "nobody") { firstName }', None
        patient = self._any_patient()
        text, answer = self._patient(patient)
        return f'patient(patientId: "{patient.id}") {text}', answer

    def _node_root(self) -> tuple[str, Any]:
        patient = self._any_patient()
        text, answer = self._patient(patient)
        return f'node(id: "{self.model.ids[patient.id]}") {{ ... on Patient {text} }}', answer

    def _list_root(self) -> tuple[str, Any]:
        patients = list(self.model.sandbox.store.patients.values())
        first = self.random.randint(0, len(patients) + 2)
        text, answer = self._select("Patient", self._record())
        page = {
            "nodes": [answer(each) for each in patients[:first]],
            "pageInfo": {"hasNextPage": first < len(patients), "hasPreviousPage": False},
        }
        return f"patients(first: {first}) {{ nodes {text} {FLAGS} }}", page

    def _search_root(self) -> tuple[str, Any]:
        patient, words = self._any_patient(), self.random.choice(WORDS)
        while self.shared and self._hides(patient.id):
            patient = self._any_patient()
        hits = self.model.hits(patient.id, words)
        first, start = self.random.randint(0, 6), 0
        arguments = f'query: "{words}", patientId: "{patient.id}", first: {first}'
        if hits and self.random.random() < 0.5:
            start = self.random.randint(1, len(hits))
            cursor = self.model.cursors[patient.id, words][hits[start - 1].position]
            arguments += f', after: "{cursor}"'
        shown = Slice(hits[start : start + first], start + first < len(hits), start > 0)
        text, answer = self._select("Message", self._message())
        older, newer = self.random.randint(0, 6), self.random.randint(0, 6)
        listed = self.model.listed(patient.id, Filter())

        def around(hit: StoredMessage) -> list[Any]:
            at = listed.index(hit)
            return [answer(each) for each in listed[max(at - newer, 0) : at + older + 1]]

        page = {
            "edges": [{"node": answer(hit), "context": {"nodes": around(hit)}} for hit in shown.messages],
            "pageInfo": {"hasNextPage": shown.older, "hasPreviousPage": shown.newer},
        }
        context = f"context(older: {older}, newer: {newer}) {{ nodes {text} }}"
        return f"searchMessages({arguments}) {{ edges {{ node {text} {context} }} {FLAGS} }}", page

    def _patient(self, patient: StoredPatient) -> tuple[str, Any]:
        """Select parts of one patient, windows on the conversation among them."""
        text, answer = self._select("Patient", self._record())
        value = answer(patient)
        for name in ("some", "others")[: self.random.randint(0, 2)]:
            window_text, value[name] = self._window(patient)
            text = f"{text[:-1]} {name}: {window_text} }}"
        return text, value

    def _window(self, patient: StoredPatient) -> tuple[str, Any]:
        chosen = self.random.choice(self.filters(patient.id))
        listed = self.model.listed(patient.id, chosen)
        arguments, shown = self._cut(listed, self.model.cursors[patient.id, chosen])
        if chosen.since_ms is not None:
            arguments.append(f'since: "{moment(chosen.since_ms)}"')
        if chosen.archived:
            arguments.append("includeArchived: true")
        text, answer = self._select("Message", self._message())
        page = {
            "nodes": [answer(each) for each in shown.messages],
            "pageInfo": {"hasNextPage": shown.older, "hasPreviousPage": shown.newer},
        }
        given = f"({', '.join(arguments)})" if arguments else ""
        return f"messages{given} {{ nodes {text} {FLAGS} }}", page

    def _cut(self, listed: list[StoredMessage], cursors: dict[int, str]) -> tuple[list[str], Slice]:
        """Choose the four arguments, and cut the list as the contract says."""
        ends = sorted(self.random.sample(range(len(listed)), min(2, len(listed))))
        after = ends[0] if ends and self.random.random() < 0.4 else None
        before = ends[-1] if len(ends) > 1 and self.random.random() < 0.4 else None
        first, last = self.random.choice(
            [(None, None), (0, None), (7, None), (60, None), (None, 7), (None, 60)]
        )
        arguments = [
            f"{name}: {count}" for name, count in (("first", first), ("last", last)) if count is not None
        ]
        for name, at in (("after", after), ("before", before)):
            if at is not None:
                arguments.append(f'{name}: "{cursors[listed[at].position]}"')
        start = 0 if after is None else after + 1
        end = len(listed) if before is None else before
        if last is not None or (before is not None and after is None and first is None):
            start = max(start, end - (50 if last is None else last))
        else:
            end = min(end, start + (50 if first is None else first))
        return arguments, Slice(listed[start:end], end < len(listed), start > 0)

    def filters(self, patient_id: str) -> list[Filter]:
        """Give the filters that are tried for a patient."""
        every = self.model.sandbox.store.history(patient_id) or ()
        times = [message.provider_ms for message in every]
        since = times[len(times) // 3] if times else 0
        found = [Filter(), Filter(since), Filter(archived=True), Filter(since, archived=True)]
        return [each for each in found if each.archived or not (self.shared and self._hides(patient_id))]

    def _hides(self, patient_id: str) -> bool:
        """Tell whether v1 hides messages of a conversation that v2 shows."""
        return any(message.archived for message in self.model.sandbox.store.history(patient_id) or ())

    def _record(self) -> Fields:
        fields: Fields = {
            "patientId": lambda p: p.id,
            "firstName": lambda p: p.first_name,
            "lastName": lambda p: p.last_name,
            "birthDate": lambda p: p.birth_date,
            "email": lambda p: p.email,
            "phone": lambda p: p.phone,
            "mrn": lambda p: p.mrn,
            "gender": lambda p: p.gender,
            "__typename": lambda _p: "Patient",
        }
        if not self.shared:
            fields["id"] = lambda p: self.model.ids[p.id]
        return fields

    def _message(self) -> Fields:
        model, store = self.model, self.model.sandbox.store
        fields: Fields = {
            "body": lambda m: m.text,
            "createdAt": lambda m: moment(m.provider_ms),
            "sender { kind }": lambda m: {"kind": KINDS[m.author.kind]},
            "patient { patientId mrn }": lambda m: {
                "patientId": m.patient_id,
                "mrn": store.patients[m.patient_id].mrn,
            },
            "__typename": lambda _m: "Message",
        }
        if not self.shared:
            fields["externalId"] = model.external_id
            fields["sender { kind name }"] = lambda m: {
                "kind": KINDS[m.author.kind],
                "name": model.sender_name(m),
            }
            del fields["sender { kind }"]
            tells = model.version == "v2"
            fields["readAt"] = lambda m: moment(m.read_ms) if tells and m.read_ms is not None else None
            fields["attachments { id }"] = lambda m: [{"id": f.id} for f in m.files] if tells else []
        return fields

    def _select(self, kind: str, fields: Fields) -> tuple[str, Answer]:
        """Select some of the fields, some of them under other names or in fragments."""
        texts = self.random.sample(sorted(fields), self.random.randint(1, len(fields)))
        answers: dict[str, Answer] = {}
        written: list[str] = []
        for number, text in enumerate(texts):
            alias = f"a{number}" if self.random.random() < 0.3 else None
            answers[alias or text.split()[0]] = fields[text]
            written.append(f"{alias}: {text}" if alias and number < MOST_ALIASES else text)
            if alias and number >= MOST_ALIASES:
                answers[text.split()[0]] = answers.pop(alias)
        at = self.random.randint(0, len(written))
        inside = " ".join(written[at:])
        match self.random.choice(["plain", "inline", "named"]) if inside else "plain":
            case "inline":
                written[at:] = [f"... on {kind} {{ {inside} }}"]
            case "named":
                name = f"Part{len(self.fragments)}"
                self.fragments.append(f"fragment {name} on {kind} {{ {inside} }}")
                written[at:] = [f"...{name}"]
            case _:
                pass
        return f"{{ {' '.join(written)} }}", lambda of: {name: get(of) for name, get in answers.items()}

    def _any_patient(self) -> StoredPatient:
        return self.random.choice(list(self.model.sandbox.store.patients.values()))


def moment(milliseconds: int) -> str:
    """Write a time as the gateway does."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
