"""The one store behind both versions: patients, their conversations, and files."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from uuid import UUID

from gateway.sandbox.clock import Clock
from gateway.sandbox.history import MAX_SKEW_MS, MIN_SKEW_MS, Draft, History
from gateway.sandbox.records import Author, StoredFile, StoredMessage, StoredPatient

CARE_TEAM = (
    Author("care_team", "6f0c2b9e-3d5a-4c1e-9a77-0d4b8f1e2a01", "Ada Quill"),
    Author("care_team", "6f0c2b9e-3d5a-4c1e-9a77-0d4b8f1e2a02", "Bela Moor"),
    Author("care_team", "6f0c2b9e-3d5a-4c1e-9a77-0d4b8f1e2a03", "Cleo Ferris"),
)
"""The invented nurses and coaches who answer patients."""

AUTOMATION = Author("system", "6f0c2b9e-3d5a-4c1e-9a77-0d4b8f1e2aff", "Reminder")
"""Automations can post chat messages too (N)."""


class Store:
    """Patients with one conversation each. Safe to write from a test's thread while the server reads."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self.patients: dict[str, StoredPatient] = {}
        self.files: dict[str, StoredFile] = {}
        self._histories: dict[str, History] = {}
        self._random = random.Random(seed)
        self._clock = clock
        self._lock = threading.RLock()

    def new_id(self) -> str:
        """Give a fresh UUID out of the seed."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def add_patient(self, patient: StoredPatient) -> History:
        """Add a patient, or replace the record of a known one, and give the conversation."""
        with self._lock:
            self.patients[patient.id] = patient
            return self._histories.setdefault(patient.id, History(patient.id))

    def add_file(self, file: StoredFile) -> StoredFile:
        """Keep a file that messages can carry."""
        self.files[file.id] = file
        return file

    def history(self, patient_id: str) -> History | None:
        """Give a patient's conversation; None where there is no such patient."""
        return self._histories.get(patient_id)

    def shown(self, patient_id: str) -> int:
        """Count the messages of a patient that lists show at this moment."""
        return self._histories[patient_id].shown(self._clock.now_ms())

    def add_message(
        self,
        patient_id: str,
        author: Author,
        text: str,
        *,
        at_ms: int | None = None,
        hidden_ms: int = 0,
        archived: bool = False,
        files: tuple[StoredFile, ...] = (),
        read_ms: int | None = None,
        skew_ms: int | None = None,
    ) -> StoredMessage:
        """Store a message; lists show it ``hidden_ms`` from now.

        Without a time it is sent now, but not before the newest message there is.

        Raises:
            KeyError: there is no such patient.
        """
        now_ms = self._clock.now_ms()
        with self._lock:
            history = self._histories[patient_id]
            moment = max(now_ms, history.newest_ms) if at_ms is None else at_ms
            draft = Draft(
                author=author,
                text=text,
                provider_ms=moment - moment % 1000,
                skew_ms=self._random.randint(MIN_SKEW_MS, MAX_SKEW_MS) if skew_ms is None else skew_ms,
                visible_ms=now_ms + hidden_ms,
                archived=archived,
                files=files,
                read_ms=read_ms,
            )
            return history.add(draft)

    def find_patient(self, matches: Callable[[StoredPatient], bool]) -> StoredPatient | None:
        """Give the first patient that matches."""
        return next((patient for patient in self.patients.values() if matches(patient)), None)

    def search(self, text: str, patient_id: str | None) -> list[StoredMessage]:
        """Find messages by a part of their text, in either case of letters (R), newest first."""
        needle = text.casefold()
        ids = list(self._histories) if patient_id is None else [patient_id]
        hits = [
            message for each in ids for message in self._visible(each) if needle in message.text.casefold()
        ]
        hits.sort(key=lambda message: (message.provider_ms, message.local_ms, message.position), reverse=True)
        return hits

    def _visible(self, patient_id: str) -> Iterator[StoredMessage]:
        history = self._histories.get(patient_id)
        if history is not None:
            for position in range(1, history.shown(self._clock.now_ms()) + 1):
                yield history.at(position)
