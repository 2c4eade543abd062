from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.tokens import (
    BadPageToken,
    FindToken,
    ProviderToken,
    SearchToken,
    decode,
    encode,
)

BORDER_MS = 1893553445678

VECTORS = {
    "eyJ0eXBlIjoiUFJPVklERVIiLCJ0d2lsaW9Ub2tlbiI6Ik9yZGVyPWRlc2MmUGFnZVNpemU9MiZQYWdlPTEm"
    "UGFnZVRva2VuPVBUMiJ9": ProviderToken(2, 1, 2),
    "eyJ0eXBlIjoiTE9DQUxfU0VBUkNIIiwicGFnZVNpemUiOjIsImJvcmRlckRhdGUiOiIyMDMwLTAxLTAyVDAz"
    "OjA0OjA1LjY3OFoiLCJxdWVyeSI6ImRvc2UiLCJiZWZvcmUiOnRydWV9": (
        SearchToken(2, BORDER_MS, "dose", before=True)
    ),
    "eyJ0eXBlIjoiTE9DQUxfRklORCIsInBhZ2VTaXplIjo1LCJib3JkZXJEYXRlIjoiMjAzMC0wMS0wMlQwMzow"
    "NDowNS42NzhaIiwiYmVmb3JlIjpmYWxzZX0=": FindToken(5, BORDER_MS, before=False),
}

CORRUPTED = (
    "eyJ0eXBlIjoiTE9DQUxfU0VBUkNIIiwicGFnZVNpemUiOjIsImJvcmRlckRhdGUiOiIyMDIxLTAzLTA1VDE2OjA5OjUyLjY"
    "NVoiLCJxdWVyeSI6ImhlbGxvIiwiYmVmb3JlIjpmYWxzZX0="
)
"""The documented sample that lost one character on its way into the docs."""

sizes = st.integers(1, 1000)
borders = st.integers(0, 4_000_000_000_000)


@pytest.mark.parametrize("text", VECTORS)
def test_the_known_tokens_are_read(text):
    assert decode(text) == VECTORS[text]


@pytest.mark.parametrize("text", VECTORS)
def test_the_known_tokens_are_written_byte_for_byte(text):
    assert encode(VECTORS[text]) == text


def test_the_published_token_names_position_ten():
    """D1's list sample: the newest message of eleven, the next page starts at the tenth."""
    published = (
        "eyJ0eXBlIjoiUFJPVklERVIiLCJ0d2lsaW9Ub2tlbiI6Ik9yZGVyPWRlc2MmUGFnZVNpemU9MSZQYWdlPTEm"
        "UGFnZVRva2VuPVBUMTAifQ=="
    )

    assert decode(published) == ProviderToken(1, 1, 10)


def test_the_corrupted_sample_is_refused():
    assert len(CORRUPTED) == 143

    with pytest.raises(BadPageToken):
        decode(CORRUPTED)


def test_one_inserted_character_repairs_the_corrupted_sample():
    repaired = CORRUPTED.replace("OjUyLjYNVo", "OjUyLjY1NVo")

    assert decode(repaired) == SearchToken(2, 1614960592655, "hello", before=False)


@given(
    st.one_of(
        st.builds(ProviderToken, sizes, st.integers(0, 10**6), st.integers(0, 10**6)),
        st.builds(SearchToken, sizes, borders, st.text(), st.booleans()),
        st.builds(FindToken, sizes, borders, st.booleans()),
    )
)
def test_what_was_written_is_read_again(token):
    assert decode(encode(token)) == token


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.b64encode(raw).decode())))
def test_anything_else_is_refused_and_never_crashes(text):
    with pytest.raises(BadPageToken):
        decode(text)


@pytest.mark.parametrize(
    "plain",
    [
        '{"type":"PROVIDER","twilioToken":"Order=asc&PageSize=2&Page=1&PageToken=PT2"}',
        '{"type":"PROVIDER","twilioToken":"Order=desc&PageSize=0&Page=1&PageToken=PT2"}',
        '{"type":"PROVIDER","twilioToken":"Order=desc&PageSize=2&Page=1&PageToken=PT2","more":1}',
        '{"type":"LOCAL_FIND","pageSize":true,"borderDate":"2030-01-02T03:04:05.678Z","before":true}',
        '{"type":"LOCAL_FIND","pageSize":5,"borderDate":"2030-13-02T03:04:05.678Z","before":true}',
        '{"type":"LOCAL_FIND","pageSize":5,"borderDate":"2030-01-02","before":true}',
        '{"type":"OTHER"}',
        "[]",
    ],
)
def test_a_near_miss_is_refused(plain):
    with pytest.raises(BadPageToken):
        decode(base64.b64encode(plain.encode()).decode())
