"""Times, fields, envelopes and records: every form that is known, and nothing that crashes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import UpstreamBadResponse
from gateway.domain.model import PatientRecord
from gateway.welkin.fields import decode
from gateway.welkin.instants import read_date, read_instant, read_retry_after
from gateway.welkin.patients import GENDERS, read_patient
from gateway.welkin.v2.envelopes import ITEMS, LAST, MORE, PAGES, SIZE, TOTAL, Envelope, open_envelope

MOMENT = datetime(2030, 1, 1, 10, 5, 0, tzinfo=UTC)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "value",
    [
        "2030-01-01T10:05:00Z",
        "2030-01-01T10:05:00.0Z",
        "2030-01-01T10:05:00.000Z",
        "2030-01-01T10:05:00.000000000Z",
        "2030-01-01T12:05:00+02:00",
        "2030-01-01T02:35:00-07:30",
        "2030-01-01T10:05:00",
        " 2030-01-01T10:05:00Z ",
        1893492300,
        1893492300.0,
        1893492300000,
        "1893492300000",
        "1893492300",
    ],
)
def test_every_form_of_a_time_is_the_same_instant(value: object) -> None:
    assert read_instant(value) == MOMENT


@pytest.mark.parametrize("digits", range(1, 10))
def test_decimals_are_cut_to_milliseconds(digits: int) -> None:
    fraction = "987654321"[:digits]

    when = read_instant(f"2030-01-01T10:05:00.{fraction}Z")

    assert when == MOMENT.replace(microsecond=int(fraction.ljust(3, "0")[:3]) * 1000)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "soon",
        "2030-01-01",
        "2030-13-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        -5,
        0,
        1e30,
        float("nan"),
        float("inf"),
        [],
        {},
        "12",
        "9" * 40,
        "٢٠٣٠-01-01T10:05:00Z",
    ],
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert read_instant(value) is None


@given(json_values)
def test_no_value_crashes_the_reader_of_times(value: object) -> None:
    when = read_instant(value)

    assert when is None or (when.tzinfo is UTC and when.microsecond % 1000 == 0)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("Tue, 01 Jan 2030 10:06:00 GMT", 60.0),
        ("Tue, 01 Jan 2030 10:00:00 GMT", 0.0),
        ("-5", None),
        ("1.5e9999", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, expected: float | None) -> None:
    assert read_retry_after(header, MOMENT.timestamp()) == expected


@given(st.text())
def test_no_retry_after_crashes_its_reader(header: str) -> None:
    seconds = read_retry_after(header, 0.0)

    assert seconds is None or seconds >= 0


def test_dates_are_the_first_ten_characters() -> None:
    assert read_date("1980-02-29T00:00:00.000Z") == date(1980, 2, 29)
    assert [read_date(value) for value in ("", "1981-02-29", None, 7)] == [None] * 4


def test_half_an_emoji_does_not_hide_a_page() -> None:
    assert decode(b'{"content":["cut \\ud83d","whole \\ud83d\\ude00"]}', "list") == {
        "content": ["cut \ufffd", "whole \U0001f600"]
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"a":1',
        b"{} trailing",
        b"\xef\xbb\xbf{}",
        '{"ä":1}'.encode("latin-1"),
        b"NaN",
        b'{"a":NaN,"b":"\\ud83d"}',
        b"[" * 100000,
        b'"\\ud83d' + b"[" * 100000,
    ],
)
def test_what_is_not_json_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(UpstreamBadResponse):
        decode(body, "list")


ONE = [{"id": "m1"}]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"data": ONE, "metaInfo": {"page": 0, "pageSize": 20, "totalElements": 8}}, (20, 8, None, None)),
        ({"data": ONE}, (None, None, None, None)),
        ({"content": ONE, "totalElements": 1, "totalPages": 1, "page": 0, "size": 20}, (20, 1, 1, None)),
        ({"content": ONE, "pageable": {"pageSize": 20}, "last": True, "totalPages": 1}, (20, None, 1, True)),
        ({"content": ONE, "page": {"size": 20, "number": 0, "totalElements": 1}}, (20, 1, None, None)),
        ({"name": "x", "data": {"content": ONE, "totalElements": 3}}, (None, 3, None, None)),
        ({"meta": {"pageSize": 20, "found": True}, "content": ONE}, (20, None, None, None)),
        ({"messages": ONE, "hasMore": False}, (None, None, None, True)),
        ({"items": ONE, "total": 5}, (None, 5, None, None)),
        ({"results": ONE}, (None, None, None, None)),
        (ONE, (None, None, None, None)),
    ],
)
def test_every_envelope_is_opened(answer: object, expected: tuple[Any, ...]) -> None:
    assert open_envelope(answer) == Envelope(ONE, *expected)


@pytest.mark.parametrize("name", ITEMS)
def test_items_are_found_under_each_of_their_names(name: str) -> None:
    assert open_envelope({name: ONE}).items == ONE


@pytest.mark.parametrize(
    ("names", "field"), [(SIZE, "size"), (TOTAL, "total"), (PAGES, "pages"), (LAST, "last"), (MORE, "last")]
)
def test_each_name_of_a_total_is_read(names: tuple[str, ...], field: str) -> None:
    for name in names:
        value: object = field != "last" and 7
        expected = (name in MORE) if field == "last" else 7

        assert getattr(open_envelope({"data": [], "metaInfo": {name: value}}), field) == expected


@pytest.mark.parametrize(
    "answer", [None, {}, 5, "x", {"data": None}, {"data": {}}, {"content": {"id": "m1"}}]
)
def test_no_list_is_a_bad_response(answer: object) -> None:
    with pytest.raises(UpstreamBadResponse):
        open_envelope(answer)


@given(json_values)
def test_no_answer_crashes_the_envelope_or_the_record(value: object) -> None:
    for read in (open_envelope, lambda answer: read_patient(answer, "p1")):
        try:
            read(value)
        except UpstreamBadResponse:
            continue


def test_a_record_is_stripped_of_its_oddities() -> None:
    answer = orjson.loads(
        b'{"id":"p1","firstName":"Ada","middleName":"","lastName":null,"birthDate":"1980-02-29T00:00:00.000Z",'
        b'"gender":"female","email":" ","phone":"+15550100","timezone ":"Europe/Paris","mrn":7,"extra":[1]}'
    )

    assert read_patient(answer, "p1") == PatientRecord(
        patient_id="p1",
        first_name="Ada",
        birth_date=date(1980, 2, 29),
        gender="FEMALE",
        phone="+15550100",
        timezone="Europe/Paris",
    )


@pytest.mark.parametrize(
    ("word", "expected"), [(g, g) for g in sorted(GENDERS)] + [("nb", "UNKNOWN"), ("", None)]
)
def test_genders_are_a_closed_list(word: str, expected: str | None) -> None:
    assert read_patient({"id": "p1", "gender": word}, "p1").gender == expected


@pytest.mark.parametrize("answer", [None, [], {}, [{"errorCode": "X"}], {"message": "no"}, "p1"])
def test_what_is_no_record_is_a_bad_response(answer: object) -> None:
    with pytest.raises(UpstreamBadResponse):
        read_patient(answer, "p1")
