"""How values are written as bytes for Redis: msgpack by msgspec, read back by type, never pickled.

What does not fit the types is refused. The shape of the types stands before each value, so that a
gateway of another version, with other types, reads nothing wrong: it reads nothing.
"""

from __future__ import annotations

import hashlib
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from gateway.domain.model import Message, PatientRecord
from gateway.domain.pages import Linked, Newest, Numbered, Page, PageRef
from gateway.domain.ports import SendRecord

T = TypeVar("T")


class Codec(Protocol, Generic[T]):
    """Writes values of one kind as bytes, and reads them."""

    def encode(self, value: T) -> bytes:
        """Write a value.

        Raises:
            ValueError: it cannot be written.
        """
        ...

    def decode(self, data: bytes) -> T:
        """Read a value.

        Raises:
            ValueError: this is not one.
        """
        ...


class _Newest(msgspec.Struct, tag="n", array_like=True):
    pass


class _Linked(msgspec.Struct, tag="l", array_like=True):
    token: str
    local: bool


class _Numbered(msgspec.Struct, tag="p", array_like=True):
    number: int
    size: int
    oldest_first: bool


_Ref: TypeAlias = _Newest | _Linked | _Numbered


class _Page(msgspec.Struct, tag="page", array_like=True):
    ref: _Ref
    messages: tuple[Message, ...]
    older: _Ref | None
    newer: _Ref | None
    beside: dict[str, tuple[_Ref, ...]]


class _Record(msgspec.Struct, tag="record", array_like=True):
    record: PatientRecord


class _Send(msgspec.Struct, array_like=True):
    fingerprint: str
    message: Message | None
    known: tuple[str, ...] | None
    hints: tuple[_Ref, ...]


def _shape(*types: Any) -> bytes:
    schema = msgspec.json.encode(msgspec.json.schema_components(types), order="deterministic")
    return hashlib.blake2b(schema, digest_size=8).digest()


_READ = _shape(_Page, _Record)
_SEND = _shape(_Send)


class ReadCodec:
    """Pages of messages and patients' records."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[_Page | _Record] = msgspec.msgpack.Decoder(_Page | _Record)

    def encode(self, value: Page | PatientRecord) -> bytes:
        """Write a page or a record."""
        try:
            return _READ + self._encoder.encode(_written(value))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError("cannot be written") from error

    def decode(self, data: bytes) -> Page | PatientRecord:
        """Read a page or a record."""
        read = self._decoder.decode(_body(data, _READ))
        if isinstance(read, _Record):
            return read.record
        beside = {id_: tuple(map(_ref, refs)) for id_, refs in read.beside.items()}
        return Page(_ref(read.ref), read.messages, _ref_or_none(read.older), _ref_or_none(read.newer), beside)


class SendCodec:
    """What is known of a send, with the fingerprint of what was to be sent."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(_Send)

    def encode(self, value: tuple[str, SendRecord]) -> bytes:
        """Write a fingerprint and a record."""
        fingerprint, record = value
        hints = tuple(map(_written_ref, record.hints))
        try:
            return _SEND + self._encoder.encode(_Send(fingerprint, record.message, record.known, hints))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError("cannot be written") from error

    def decode(self, data: bytes) -> tuple[str, SendRecord]:
        """Read a fingerprint and a record."""
        read = self._decoder.decode(_body(data, _SEND))
        return read.fingerprint, SendRecord(read.message, read.known, tuple(map(_ref, read.hints)))


def _body(data: bytes, shape: bytes) -> bytes:
    if not data.startswith(shape):
        raise ValueError("of another shape")
    return data[len(shape) :]


def _written(value: Page | PatientRecord) -> _Page | _Record:
    if isinstance(value, PatientRecord):
        return _Record(value)
    beside = {id_: tuple(map(_written_ref, refs)) for id_, refs in value.beside.items()}
    older = None if value.older is None else _written_ref(value.older)
    newer = None if value.newer is None else _written_ref(value.newer)
    return _Page(_written_ref(value.ref), value.messages, older, newer, beside)


def _written_ref(ref: PageRef) -> _Ref:
    match ref:
        case Newest():
            return _Newest()
        case Linked(token, local):
            return _Linked(token, local)
        case Numbered(number, size, oldest_first):
            return _Numbered(number, size, oldest_first)


def _ref(written: _Ref) -> PageRef:
    match written:
        case _Newest():
            return Newest()
        case _Linked():
            return Linked(written.token, written.local)
        case _Numbered():
            return Numbered(written.number, written.size, written.oldest_first)


def _ref_or_none(written: _Ref | None) -> PageRef | None:
    return None if written is None else _ref(written)
