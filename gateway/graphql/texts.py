"""Which text a request means: sent with it, known by its hash, or one of those that alone may run."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from gateway.domain.errors import BadInput, Forbidden
from gateway.graphql.documents import MAX_CACHED_CHARACTERS, Refused
from gateway.graphql.errors import show_error

MAX_TEXTS = 500
"""Texts kept by hash, of up to 16,384 characters each: 8 MB at worst, where all are ASCII."""

NOT_PERSISTED = {
    "message": "PersistedQueryNotFound",
    "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
}
"""Clients look for this very message, and send the text with their next try."""


class Texts(Protocol):
    """Finds the text of a request."""

    def find(self, text: str | None, document_id: str | None, sha256: str | None, /) -> str:
        """Give the text that is to run.

        Raises:
            Refused: it is not known, may not run, or does not fit its hash.
        """
        ...

    def keep(self, text: str, sha256: str | None, /) -> None:
        """Take note that a text is valid and was sent under this hash."""
        ...


class PersistedTexts:
    """Apollo's automatic persisted queries: the text comes once, then its hash is enough."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        """Count the texts kept."""
        return len(self._kept)

    def find(self, text: str | None, document_id: str | None, sha256: str | None) -> str:
        """Give the text that was sent, or is kept under its hash."""
        if text is not None:
            _check_hash(text, sha256)
            return text
        if document_id is not None or sha256 is None:
            raise Refused([show_error(BadInput("documentId names no document that is known here."))])
        if sha256 not in self._kept:
            raise Refused([NOT_PERSISTED])
        self._kept.move_to_end(sha256)
        return self._kept[sha256]

    def keep(self, text: str, sha256: str | None) -> None:
        """Keep the text by its hash; the one that was not asked for longest leaves."""
        if sha256 is None or len(text) > MAX_CACHED_CHARACTERS:
            return
        self._kept[sha256] = text
        self._kept.move_to_end(sha256)
        if len(self._kept) > MAX_TEXTS:
            self._kept.popitem(last=False)


class TrustedTexts:
    """The documents that the operator chose; nothing else runs."""

    def __init__(self, trusted: Mapping[str, str]) -> None:
        self._named = dict(trusted)
        self._texts = frozenset(trusted.values())

    def find(self, text: str | None, document_id: str | None, sha256: str | None) -> str:
        """Give the document that is meant by id, by hash or by its exact text."""
        if text is not None:
            _check_hash(text, sha256)
            if text in self._texts:
                return text
        elif (found := self._named.get(document_id or sha256 or "")) is not None:
            return found
        raise Refused([show_error(Forbidden("Only the trusted documents of this gateway may run."))])

    def keep(self, _text: str, _sha256: str | None) -> None:
        """Keep nothing: all that may run is known from the start."""


def load_trusted(folder: Path) -> dict[str, str]:
    """Read the documents of a folder, each under its file's stem and under the SHA-256 of its text.

    Raises:
        ValueError: there is none, or one is not UTF-8; an empty folder would refuse everybody.
    """
    found: dict[str, str] = {}
    for file in sorted(folder.glob("*.graphql")):
        text = file.read_text("utf-8")
        found[file.stem] = found[_sha256_of(text)] = text
    if not found:
        raise ValueError("The folder of trusted documents holds no *.graphql files.")
    return found


def _check_hash(text: str, sha256: str | None) -> None:
    if sha256 is not None and _sha256_of(text) != sha256:
        raise Refused([show_error(BadInput("sha256Hash is not the hash of the query."))])


def _sha256_of(text: str) -> str:
    # JSON can carry half of a surrogate pair, which UTF-8 cannot; such a text parses nowhere.
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
