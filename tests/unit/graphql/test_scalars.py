"""Instants and dates: one way out, every honest way in, and no guessing."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import BadInput, Internal
from gateway.graphql.scalars import read_date, read_instant, write_date, write_instant

INSTANT = datetime(2021, 3, 5, 16, 9, 52, 655000, tzinfo=UTC)
milliseconds = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(  # noqa: DTZ001 -- made aware next
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)


@pytest.mark.parametrize(
    "text",
    [
        "2021-03-05T16:09:52.655Z",
        "2021-03-05t16:09:52.655z",
        "2021-03-05 16:09:52.655Z",
        "2021-03-05T16:09:52.655000000Z",
        "2021-03-05T16:09:52.655+00:00",
        "2021-03-05T17:39:52.655+01:30",
        "2021-03-04T21:09:52.655-19:00",
    ],
)
def test_any_offset_names_the_same_instant(text: str) -> None:
    assert read_instant(text) == INSTANT
    assert read_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2021-03-05",
        "2021-03-05T16:09:52",
        "2021-03-05T16:09:52.655",
        "2021-03-05T16:09Z",
        "20210305T160952Z",
        "2021-W09-5T16:09:52Z",
        "2021-13-05T16:09:52Z",
        "2021-02-29T16:09:52Z",
        "2021-03-05T24:09:52Z",
        "2021-03-05T16:09:60Z",
        "2021-03-05T16:09:52+25:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2021-03-05T16:09:52.655Z\n",
        " 2021-03-05T16:09:52.655Z",
        "\u0662021-03-05T16:09:52.655Z",
        1614960592,
        1.5,
        True,
        None,
        ["2021-03-05T16:09:52.655Z"],
    ],
)
def test_what_is_no_instant_is_refused_without_being_shown(value: object) -> None:
    with pytest.raises(BadInput) as refused:
        read_instant(value)

    assert refused.value.message in {
        "A DateTime must be RFC 3339 with an offset, like 2021-03-05T16:09:52.655Z.",
        "A DateTime must name an instant that exists.",
    }


@given(milliseconds)
def test_an_instant_survives_the_round_trip(instant: datetime) -> None:
    assert read_instant(write_instant(instant)) == instant


@given(st.text())
def test_no_text_makes_the_reader_crash(text: str) -> None:
    with suppress(BadInput):
        read_instant(text)


def test_instants_leave_in_utc_with_milliseconds() -> None:
    east = timezone(timedelta(hours=2))

    assert write_instant(datetime(2021, 3, 5, 18, 9, 52, tzinfo=east)) == "2021-03-05T16:09:52.000Z"


def test_an_instant_without_an_offset_is_a_fault_of_ours() -> None:
    with pytest.raises(Internal):
        write_instant(datetime(2021, 3, 5))  # noqa: DTZ001 -- the case


def test_dates_have_one_form() -> None:
    assert read_date("1980-02-29") == date(1980, 2, 29)
    assert write_date(date(1980, 2, 29)) == "1980-02-29"
    for wrong in ("1981-02-29", "19800229", "1980-2-9", "1980-02-29T00:00:00Z", "1980-W09-5", 5, None):
        with pytest.raises(BadInput):
            read_date(wrong)
