"""A cursor opens one conversation under one filter, and nothing else."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.connection import Filter
from gateway.domain.cursor import CursorKeys, Cursors
from gateway.domain.errors import InvalidCursor
from gateway.domain.model import Conversation, InstanceName
from gateway.domain.pages import Linked, Newest, Numbered
from gateway.domain.target import Position

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
GH = Conversation(InstanceName("gh", "sb-demo"), "p1")
KEYS = CursorKeys.from_secrets(["new", "old"])
POSITION = Position("IM01", EPOCH, (Newest(), Linked("eyJ0=")))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
hints = (
    st.just(Newest())
    | st.builds(Linked, texts)
    | st.builds(Numbered, st.integers(0, 10**6), st.integers(1, 1000), st.booleans())
)
times = st.integers(0, 10**12).map(lambda ms: EPOCH + timedelta(milliseconds=ms))
positions = st.builds(Position, texts, times, st.lists(hints, max_size=3).map(tuple), local=st.booleans())
filters = st.builds(Filter, st.none() | times, st.booleans())


@given(positions, filters)
def test_a_cursor_reads_back_as_the_place_it_was_made_for(position, chosen):
    cursors = Cursors(KEYS, GH)

    assert cursors.read(cursors.make(position, chosen), chosen) == position


@given(st.data())
def test_a_cursor_with_any_character_changed_is_refused(data):
    cursor = Cursors(KEYS, GH).make(POSITION, Filter())
    at = data.draw(st.integers(0, len(cursor) - 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. |"
    other = data.draw(st.sampled_from(alphabet).filter(lambda c: c != cursor[at]))

    with pytest.raises(InvalidCursor):
        Cursors(KEYS, GH).read(cursor[:at] + other + cursor[at + 1 :], Filter())


@given(st.data())
def test_a_cursor_cut_short_is_refused(data):
    cursor = Cursors(KEYS, GH).make(POSITION, Filter())

    with pytest.raises(InvalidCursor):
        Cursors(KEYS, GH).read(cursor[: data.draw(st.integers(0, len(cursor) - 1))], Filter())


@given(st.text(max_size=200))
def test_any_other_text_is_refused(text):
    with pytest.raises(InvalidCursor):
        Cursors(KEYS, GH).read(text, None)


@pytest.mark.parametrize(
    "other",
    [
        Conversation(InstanceName("gh", "sb-demo"), "p2"),
        Conversation(InstanceName("gh", "sb-demo2"), "p1"),
        Conversation(InstanceName("gh2", "sb-demo"), "p1"),
        Conversation(InstanceName("ghs", "b-demo"), "p1"),
    ],
)
def test_a_cursor_of_another_conversation_is_refused(other):
    cursor = Cursors(KEYS, other).make(POSITION, Filter())

    with pytest.raises(InvalidCursor):
        Cursors(KEYS, GH).read(cursor, Filter())


@pytest.mark.parametrize("other", [Filter(include_archived=True), Filter(since=EPOCH)])
def test_a_cursor_of_another_filter_is_refused_unless_any_will_do(other):
    cursor = Cursors(KEYS, GH).make(POSITION, other)

    with pytest.raises(InvalidCursor, match="includeArchived"):
        Cursors(KEYS, GH).read(cursor, Filter())
    assert Cursors(KEYS, GH).read(cursor, None) == POSITION


def test_a_cursor_made_with_an_older_key_is_still_read_and_one_of_a_removed_key_is_not():
    made_before = Cursors(CursorKeys.from_secrets(["old"]), GH).make(POSITION, Filter())

    assert Cursors(KEYS, GH).read(made_before, Filter()) == POSITION
    with pytest.raises(InvalidCursor):
        Cursors(CursorKeys.from_secrets(["new"]), GH).read(made_before, Filter())


def test_keys_do_not_show_and_an_empty_one_is_refused():
    assert repr(KEYS) == "CursorKeys(2 keys)"
    for empty in ((), (b"",)):
        with pytest.raises(ValueError, match="at least one key"):
            CursorKeys(empty)
