"""What the sandbox keeps: messages, authors, files and patients, in neither version's words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from gateway.sandbox.clock import from_ms

AuthorKind = Literal["patient", "care_team", "system"]

CHUNK = 64 * 1024
"""Bytes of a file that are handed out at a time."""


_DIGITS = b"0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote a message. ``name`` is shown for the care team only (v1 ``titleName``, R)."""

    kind: AuthorKind
    id: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that messages can carry. Without ``content`` it is ``size`` bytes of a fixed pattern."""

    id: str
    name: str
    content_type: str
    size: int
    content: bytes | None = None

    def chunks(self, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """Give the bytes from one to another piece by piece, so that a large file is never held whole."""
        end = self.size if last is None else last + 1
        for start in range(first, end, CHUNK):
            stop = min(start + CHUNK, end)
            yield self.content[start:stop] if self.content is not None else _pattern(start, stop)


def _pattern(start: int, stop: int) -> bytes:
    """Give a part of sixteen digits that repeat; each block of sixteen bytes is the same."""
    skipped = start % len(_DIGITS)
    return (_DIGITS * ((stop - start + skipped) // len(_DIGITS) + 1))[skipped : skipped + stop - start]


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message with both of Welkin's clocks.

    ``provider_ms`` is a whole second: what plain v1 lists and sends show. ``local_ms`` is later by
    0.40 to 1.20 s: what v1 search shows (recorded; section 3.2 of the field notes).
    ``position`` counts from 1 within the patient's conversation and never changes.
    """

    position: int
    patient_id: str
    author: Author
    text: str
    provider_ms: int
    local_ms: int
    visible_ms: int
    archived: bool = False
    files: tuple[StoredFile, ...] = ()
    read_ms: int | None = None

    @property
    def v1_id(self) -> str:
        """The id that v1 shows: ``IM`` and 32 hex digits (R)."""
        return "IM" + self._digest("v1")

    @property
    def v2_id(self) -> str:
        """The id that v2 shows; it cannot be derived from v1's."""
        return str(UUID(hex=self._digest("v2")))

    @property
    def provider_at(self) -> datetime:
        """The provider's time, a whole second."""
        return from_ms(self.provider_ms)

    @property
    def local_at(self) -> datetime:
        """Welkin's own time, in milliseconds."""
        return from_ms(self.local_ms)

    def _digest(self, api: str) -> str:
        name = f"{api}/{self.patient_id}/{self.position}"
        return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class StoredPatient:
    """A patient's record with what either version shows of it. Empty and missing are told apart."""

    id: str
    first_name: str
    last_name: str
    middle_name: str | None = None
    birth_date: str | None = None
    gender: str = "UNKNOWN"
    email: str | None = None
    phone: str | None = None
    timezone: str | None = None
    mrn: str | None = None
    external_id: str | None = None
    external_guid: str | None = None
    active: bool = True
    created_ms: int = 0

    @property
    def full_name(self) -> str:
        """First and last name, as v1's ``patientFullName`` (R)."""
        return f"{self.first_name} {self.last_name}"
