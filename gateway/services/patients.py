"""The list of patients, page by page.

It has no times to go by, so a cursor is a patient's id and the page it was on. Where the list
moved meanwhile, the patient is looked for on the neighbouring pages.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from gateway.domain.connection import DEFAULT_PAGE, Filter, Patients, Window
from gateway.domain.cursor import CursorKeys, Cursors
from gateway.domain.deadline import left_of, within
from gateway.domain.errors import BadInput, InvalidCursor, PageRefused, UpstreamTimeout
from gateway.domain.model import Conversation, InstanceName, PatientRecord
from gateway.domain.pages import Numbered, PatientPage
from gateway.domain.ports import Welkin
from gateway.domain.target import Position
from gateway.services.walking import FOR_CALLS

_SIZE = 100
"""Patients in one upstream page: the most that v2 documents (D2)."""

_NEIGHBOURS = (0, 1, -1, 2, -2)
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_SEARCH = 200


class PatientList:
    """The list of patients of one instance. ``deadline`` in seconds, for all reads of one window."""

    def __init__(self, instance: InstanceName, welkin: Welkin, keys: CursorKeys, deadline: float) -> None:
        self._instance = instance
        self._welkin = welkin
        self._keys = keys
        self._deadline = deadline

    async def window(self, search: str | None, window: Window) -> Patients:
        """Cut a window out of the list.

        Raises:
            BadInput: ``search`` is blank or too long, or the window's count is out of range.
            InvalidCursor: the cursor was not made here for this search, or its patient has left the list.
            UpstreamError: Welkin did not do its part.
        """
        window.check()
        if search is not None and not (search.strip() and len(search) <= _MAX_SEARCH and "\0" not in search):
            raise BadInput(f"search must have 1 to {_MAX_SEARCH} characters and not be blank.")
        count = DEFAULT_PAGE if window.first is None else window.first
        cursors = Cursors(self._keys, Conversation(self._instance, ""), purpose=("patients", search or ""))
        after = None if window.after is None else cursors.read(window.after, Filter())
        try:
            seconds = left_of(self._deadline)
            with within(seconds * FOR_CALLS):
                async with asyncio.timeout(seconds):
                    found = await self._collect(search, after, count + 1)
        except TimeoutError as error:
            raise UpstreamTimeout("Welkin did not answer in time.") from error
        edges = tuple(
            (cursors.make(Position(record.patient_id, _NO_TIME, (page,)), Filter()), record)
            for page, record in found[:count]
        )
        return Patients(edges, has_next_page=len(found) > count, has_previous_page=after is not None)

    async def _collect(
        self, search: str | None, after: Position | None, wanted: int
    ) -> list[tuple[Numbered, PatientRecord]]:
        """Read on from a patient, or from the beginning, until there are enough; each patient once."""
        page, index = await self._start(search, after)
        found: dict[str, tuple[Numbered, PatientRecord]] = {}
        while True:
            known = len(found)
            for record in page.patients[index:]:
                found.setdefault(record.patient_id, (page.ref, record))
            repeats = bool(page.patients[index:]) and len(found) == known  # an upstream that does not page
            if len(found) >= wanted or page.following is None or repeats:
                return list(found.values())[:wanted]
            page, index = await self._welkin.list_patients(search, page.following), 0

    async def _start(self, search: str | None, after: Position | None) -> tuple[PatientPage, int]:
        if after is None:
            return await self._welkin.list_patients(search, Numbered(0, _SIZE)), 0
        hint = next((ref for ref in after.hints if isinstance(ref, Numbered)), Numbered(0, _SIZE))
        for step in _NEIGHBOURS:
            if hint.number + step < 0:
                continue
            try:
                page = await self._welkin.list_patients(search, Numbered(hint.number + step, hint.size))
            except PageRefused:
                continue
            ids = [record.patient_id for record in page.patients]
            if after.external_id in ids:
                return page, ids.index(after.external_id) + 1
        raise InvalidCursor("The patient of this cursor is not where it was in the list: begin anew.")
