"""What goes to Redis comes back equal or not at all."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.model import Attachment, Message, PatientRecord, Sender, SenderKind
from gateway.domain.pages import Linked, Newest, Numbered, Page
from gateway.domain.ports import SendRecord
from gateway.store.codec import ReadCodec, SendCodec
from gateway.store.keys import StoreKey, store_keys

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
REFS = st.one_of(
    st.builds(Newest),
    st.builds(Linked, TEXTS, st.booleans()),
    st.builds(Numbered, st.integers(0, 2**40), st.integers(1, 1000), st.booleans()),
)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants them bare
MESSAGES = st.builds(
    Message,
    TEXTS,
    TEXTS,
    st.builds(Sender, st.sampled_from(SenderKind), st.none() | TEXTS, st.none() | TEXTS),
    TEXTS,
    TIMES,
    st.none() | TIMES,
    st.lists(st.builds(Attachment, TEXTS), max_size=2).map(tuple),
)
PAGES = st.builds(
    Page,
    REFS,
    st.lists(MESSAGES, max_size=3).map(tuple),
    st.none() | REFS,
    st.none() | REFS,
    st.dictionaries(TEXTS, st.lists(REFS, max_size=2).map(tuple), max_size=2),
)
RECORDS = st.builds(PatientRecord, TEXTS, birth_date=st.none() | st.dates(date(1900, 1, 1)), email=TEXTS)
SENDS = st.builds(
    SendRecord,
    st.none() | MESSAGES,
    st.none() | st.lists(TEXTS, max_size=3).map(tuple),
    st.lists(REFS, max_size=2).map(tuple),
)
few = settings(max_examples=60)


@few
@given(st.one_of(PAGES, RECORDS))
def test_a_page_or_record_comes_back_as_it_was(value: Page | PatientRecord):
    codec = ReadCodec()

    assert codec.decode(codec.encode(value)) == value


@few
@given(TEXTS, SENDS)
def test_a_send_comes_back_as_it_was(fingerprint: str, record: SendRecord):
    codec = SendCodec()

    assert codec.decode(codec.encode((fingerprint, record))) == (fingerprint, record)


@few
@given(st.binary(max_size=80))
def test_bytes_of_somebody_else_are_refused(data: bytes):
    shape = ReadCodec().encode(PatientRecord("p"))[:8]
    for codec in (ReadCodec(), SendCodec()):
        for planted in (data, shape + data):
            with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with them
                codec.decode(planted)


def test_a_text_that_is_none_cannot_be_written():
    with pytest.raises(ValueError, match="cannot be written"):
        ReadCodec().encode(PatientRecord("p", first_name="\ud800"))


@few
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_only_the_same_key_opens_and_only_for_the_same_name(value: bytes, planted: bytes):
    one, other = store_keys(["one key of the list", "another key of the list"], "gw")
    name = one.name("copy", "a", "b")
    sealed = one.seal(name, value, b"shown")

    assert one.open(name, sealed, b"shown") == value
    for key, where, data, shown in (
        (other, name, sealed, b"shown"),
        (one, one.name("copy", "ab"), sealed, b"shown"),
        (one, name, sealed, b"other"),
        (one, name, sealed[:-1], b"shown"),
        (one, name, planted, b"shown"),
    ):
        with pytest.raises(ValueError, match="not sealed here"):
            key.open(where, data, shown)


def test_names_tell_parts_apart_and_differ_by_key():
    one, other = StoreKey("one key of the list", "gw"), StoreKey("another key of the list", "gw")

    names = {
        key.name("copy", *parts) for key in (one, other) for parts in (("ab", "c"), ("a", "bc"), ("abc",))
    }

    assert len(names) == 6
    assert all(name.startswith("gw:copy:") and len(name) == 48 for name in names)
