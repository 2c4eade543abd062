"""The list of patients ends, also where the upstream's pages do not."""

from __future__ import annotations

import pytest

from gateway.domain.connection import Window
from gateway.domain.errors import InvalidCursor
from gateway.domain.model import PatientRecord
from gateway.domain.pages import Numbered, PatientPage
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve


class Clinic(FakeWelkin):
    """Lists patients in pages of two; or, if it does not page, all of them whatever is asked."""

    patients: tuple[str, ...] = ()
    pages: bool = True

    async def list_patients(self, search: str | None, at: Numbered) -> PatientPage:
        del search
        self.lists += 1
        names = self.patients[2 * at.number : 2 * at.number + 2] if self.pages else self.patients
        following = Numbered(at.number + 1, at.size) if names else None
        return PatientPage(at, tuple(map(PatientRecord, names)), following)


def clinic(*patients: str, pages: bool = True) -> Clinic:
    each = Clinic(LinkedUpstream(10))
    each.patients, each.pages = patients, pages
    return each


def names(found) -> list[str]:
    return [record.patient_id for _, record in found.edges]


def test_pages_follow_each_other_by_cursor_also_when_the_list_moved():
    async def scenario() -> None:
        welkin = clinic("a", "b", "c", "d", "e")
        instance = serve(welkin)
        first = await instance.patients(None, Window(first=2))
        welkin.patients = ("new", *welkin.patients)

        second = await instance.patients(None, Window(first=5, after=first.edges[-1][0]))

        assert (names(first), first.has_next_page) == (["a", "b"], True)
        assert (names(second), second.has_next_page) == (["c", "d", "e"], False)
        assert (first.has_previous_page, second.has_previous_page) == (False, True)

    run(scenario)


def test_an_upstream_that_does_not_page_costs_two_reads():
    async def scenario() -> None:
        welkin = clinic("a", "b", "c", pages=False)

        found = await serve(welkin).patients(None, Window(first=200))

        assert (names(found), found.has_next_page, welkin.lists) == (["a", "b", "c"], False, 2)

    run(scenario)


def test_a_patient_who_left_the_list_makes_the_cursor_invalid():
    async def scenario() -> None:
        welkin = clinic("a", "b", "c")
        instance = serve(welkin)
        first = await instance.patients(None, Window(first=1))
        welkin.patients = ("b", "c")

        with pytest.raises(InvalidCursor):
            await instance.patients(None, Window(first=1, after=first.edges[0][0]))

    run(scenario)
