"""Cursors: made, authenticated, read again.

A cursor is URL-safe base64 (unpadded) of ``mac || payload``. The payload says, behind a format
number, for which filter it was made and where its message is: time in milliseconds, the hints
(see ``target.Position``), the message's id. It holds nothing of a message's text, and no secret.

The MAC is HMAC-SHA256, cut to 128 bits, over the scope and the payload. The scope (tenant, instance,
patient) is not in the cursor: a cursor of another conversation fails like a forged one. The first
key makes cursors, all keys are tried on reading, so keys can be rotated.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from gateway.domain.connection import Filter
from gateway.domain.errors import InvalidCursor
from gateway.domain.model import Conversation
from gateway.domain.pages import Linked, Newest, Numbered, PageRef
from gateway.domain.target import Position

_FORMAT = "1"
_MAC_BYTES = 16
_MAX_LENGTH = 4096
"""Longer strings are refused unread. Welkin's own page tokens are under 200 characters (recorded)."""

_MAX_HINT = 1024
"""A longer hint is left out: the cursor then finds its place by time, and stays readable."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class CursorKeys:
    """The keys of an instance's cursors, newest first; never shown by ``repr``."""

    keys: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Refuse an empty key ring."""
        if not self.keys or not all(self.keys):
            raise ValueError("Cursors need at least one key, and no key may be empty.")

    def __repr__(self) -> str:
        return f"CursorKeys({len(self.keys)} keys)"

    @classmethod
    def from_secrets(cls, secrets: Sequence[str]) -> CursorKeys:
        """Derive keys from secrets, so that a secret used elsewhere never signs anything itself."""
        return cls(tuple(hmac.digest(s.encode(), b"welkin-gateway cursor key", "sha256") for s in secrets))


class Seal(Protocol):
    """Encrypts what a cursor says; equal in, equal out."""

    def close(self, key: bytes, text: bytes) -> bytes:
        """Encrypt under a cursor key."""
        ...

    def open(self, key: bytes, sealed: bytes) -> bytes:
        """Decrypt.

        Raises:
            ValueError: it was not sealed under this key.
        """
        ...


class Cursors:
    """Makes and reads the cursors of one conversation.

    ``edition`` names the version of the upstream (no "|" in it): message ids do not carry over, so
    a cursor of another edition is read as ``foreign``. ``purpose`` tells cursors of other lists
    apart, such as the hits of a search. Those hold Welkin's page tokens, and the tokens hold the
    text that was searched for: ``seal`` encrypts it.
    """

    def __init__(
        self,
        keys: CursorKeys,
        conversation: Conversation,
        *,
        edition: str = "",
        purpose: tuple[str, ...] = (),
        seal: Seal | None = None,
    ) -> None:
        self._keys = keys.keys
        self._edition = edition
        self._seal = seal
        instance = conversation.instance
        parts = (instance.tenant, instance.instance, conversation.patient_id, *purpose)
        self._scope = "".join(f"{len(part)}:{part}" for part in parts).encode()

    def make(self, position: Position, chosen: Filter) -> str:
        """Give the cursor of a message, good under the same filter."""
        milliseconds = (position.time - _EPOCH) // _MILLISECOND
        hints = "".join(hint for hint in map(_write_hint, position.hints) if len(hint) < _MAX_HINT)
        clock = "l" if position.local else ""
        head = f"{_FORMAT}{_write_filter(chosen)}|{self._edition}|{clock}{milliseconds}"
        text = f"{head}|{hints}|{position.external_id}"
        payload = text.encode()
        if self._seal is not None:
            payload = self._seal.close(self._keys[0], payload)
        return base64.urlsafe_b64encode(self._mac(self._keys[0], payload) + payload).rstrip(b"=").decode()

    def read(self, cursor: str, chosen: Filter | None) -> Position:
        """Give the place that a cursor names. ``chosen`` None takes a cursor of any filter.

        Raises:
            InvalidCursor: it was forged, cut, or made for another conversation or filter.
        """
        key, payload = self._authenticate(cursor)
        try:
            if self._seal is not None:
                payload = self._seal.open(key, payload)
            head, edition, milliseconds, rest = payload.decode().split("|", 3)
            hints, external_id = _read_hints(rest)
            time = _EPOCH + int(milliseconds.removeprefix("l")) * _MILLISECOND
            foreign, local = edition != self._edition, milliseconds.startswith("l")
            position = Position(external_id, time, hints, foreign=foreign, local=local)
        except (ValueError, OverflowError) as error:  # a format that this version does not know
            raise InvalidCursor("The cursor has a form that this gateway does not read.") from error
        if head[:1] != _FORMAT:
            raise InvalidCursor("The cursor has a form that this gateway does not read.")
        if chosen is not None and head[1:] != _write_filter(chosen):
            raise InvalidCursor(
                "The cursor was made with other arguments: keep since and includeArchived as they were."
            )
        return position

    def _authenticate(self, cursor: str) -> tuple[bytes, bytes]:
        refused = InvalidCursor("The cursor is not one that this gateway made for this conversation.")
        if len(cursor) > _MAX_LENGTH:
            raise refused
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeError) as error:
            raise refused from error
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        signers = [key for key in self._keys if hmac.compare_digest(mac, self._mac(key, payload))]
        if not signers:
            raise refused
        if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != cursor:  # one place, one cursor
            raise refused
        return signers[0], payload

    def _mac(self, key: bytes, payload: bytes) -> bytes:
        return hmac.digest(key, self._scope + b"\0" + payload, "sha256")[:_MAC_BYTES]


def _write_filter(chosen: Filter) -> str:
    since = "" if chosen.since is None else str((chosen.since - _EPOCH) // _MILLISECOND)
    return f"{'a' if chosen.include_archived else ''}{since}"


def _write_hint(ref: PageRef) -> str:
    match ref:
        case Newest():
            return "n;"
        case Linked(token, local):
            return f"{'l' if local else 't'}{len(token)}:{token};"
        case Numbered(number, size, oldest_first):
            return f"{'o' if oldest_first else 'p'}{number}:{size};"


def _read_hints(text: str) -> tuple[tuple[PageRef, ...], str]:
    """Read hints up to the bar that ends them; give them and what follows the bar.

    Raises:
        ValueError: the text is no list of hints.
    """
    hints: list[PageRef] = []
    while not text.startswith("|"):
        kind, rest = text[:1], text[1:]
        if kind == "n":
            hints.append(Newest())
        elif kind in {"t", "l"}:
            length, rest = rest.split(":", 1)
            hints.append(Linked(rest[: int(length)], kind == "l"))
            rest = rest[int(length) :]
        elif kind in {"o", "p"}:
            number, rest = rest.split(":", 1)
            size, rest = rest.split(";", 1)
            hints.append(Numbered(int(number), int(size), kind == "o"))
            rest = ";" + rest
        else:
            raise ValueError(kind)
        if not rest.startswith(";"):
            raise ValueError(kind)
        text = rest[1:]
    return tuple(hints), text[1:]
