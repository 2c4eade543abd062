"""Made-up patients and conversations, the same for the same seed. Nobody in here exists."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from gateway.sandbox.clock import to_ms
from gateway.sandbox.records import Author, StoredFile, StoredPatient
from gateway.sandbox.store import AUTOMATION, CARE_TEAM, Store
from gateway.sandbox.texts import ANSWERS, CLOSINGS, QUESTIONS

START_MS = to_ms(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
"""When the first of the conversations begins."""

MINUTE_MS = 60_000

LONG = "7272b601-bb09-4abf-87c0-ade48ddfaea0"
"""About 400 messages over months: the patient of the examples."""
TIES = "7272b601-bb09-4abf-87c0-ade48ddfaea1"
"""Many messages in one second, and the same text twice, seconds apart (R)."""
ARCHIVED = "7272b601-bb09-4abf-87c0-ade48ddfaea2"
"""60 messages, of which the older half and some single ones are archived."""
FILES = "pt_7272b601-bb09-4abf-87c0-ade48ddfaea3"
"""Messages with attachments; an id as v2's patient pages show it (D2)."""
EMPTY = "7272b601-bb09-4abf-87c0-ade48ddfaea4"
"""No message at all."""
SHORT = "a1b2c3d4"
"""Three messages; a short id as in v2's chat page (D2)."""
CLOCKS = "7272b601-bb09-4abf-87c0-ade48ddfaea6"
"""Messages whose two times lie in different seconds (R: 1.106 s apart)."""

PATIENTS = (
    StoredPatient(
        LONG,
        "Nora",
        "Winter",
        birth_date="1984-03-09",
        gender="FEMALE",
        email="nora.winter@example.org",
        phone="+12025550111",
        timezone="America/New_York",
        mrn="MRN-1001",
        external_id="ext-1001",
        external_guid="0b0e7f3c-1f0e-4a58-9d3c-2f6f0d9f1001",
        created_ms=START_MS,
    ),
    StoredPatient(
        TIES,
        "Theo",
        "Lake",
        middle_name="Q.",
        birth_date="1959-12-31",
        gender="MALE",
        phone="+12025550112",
        timezone="America/Chicago",
        mrn="MRN-1002",
        external_id="ext-1002",
        created_ms=START_MS,
    ),
    StoredPatient(
        ARCHIVED,
        "Ilse",
        "Brandt",
        birth_date="1971-06-15",
        gender="FEMALE",
        email="ilse@example.org",
        mrn="MRN-1003",
        created_ms=START_MS,
    ),
    StoredPatient(
        FILES,
        "Omar",
        "Field",
        birth_date="1990-01-01",
        gender="OTHER",
        email="omar@example.org",
        phone="+12025550114",
        timezone="Europe/Berlin",
        mrn="MRN-1004",
        created_ms=START_MS,
    ),
    StoredPatient(EMPTY, "Vera", "Stone", mrn="MRN-1005", active=False, created_ms=START_MS),
    StoredPatient(SHORT, "Zoë", "O'Neil-Čapek", birth_date="2001-02-28", mrn="MRN-1006", created_ms=START_MS),
    StoredPatient(
        CLOCKS,
        "Kai",
        "Hollow",
        birth_date="1966-07-07",
        timezone="Asia/Tokyo",
        mrn="MRN-1007",
        created_ms=START_MS,
    ),
)

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cf500f0003860180347d6b610000000049454e44ae426082"
)
"""The smallest picture."""

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

FILE_PICTURE = StoredFile("0f11e500-0000-4000-8000-000000000001", "rash.png", "image/png", len(PNG), PNG)
FILE_LETTER = StoredFile(
    "0f11e500-0000-4000-8000-000000000002", "Brief für Omar.pdf", "application/pdf", len(PDF), PDF
)
FILE_LARGE = StoredFile("0f11e500-0000-4000-8000-000000000003", "recording.wav", "audio/wav", 3_000_000)
FILE_UPLOADED = StoredFile(
    "0f11e500-0000-4000-8000-000000000004", "diary.txt", "text/plain", 12, b"two walks :)"
)
"""Uploaded and not sent yet: the ``attachmentId`` for a send."""


def fill(store: Store, seed: int) -> None:
    """Put the patients and their conversations into an empty store."""
    for patient in PATIENTS:
        store.add_patient(patient)
    for file in (FILE_PICTURE, FILE_LETTER, FILE_LARGE, FILE_UPLOADED):
        store.add_file(file)
    randomness = random.Random(seed)
    _talk(store, LONG, 400, randomness)
    _talk_in_ties(store)
    _talk_and_archive(store, randomness)
    _talk_with_files(store)
    _talk_briefly(store)
    _talk_across_seconds(store)


def _talk(store: Store, patient_id: str, count: int, randomness: random.Random) -> None:
    """Let a patient and the care team take turns, with pauses of seconds, hours and days."""
    moment = START_MS
    for number in range(count):
        pause = randomness.choice((4, 20, 45, 90, 600, 3600, 7200, 86_400)) * 1000
        moment += pause + randomness.randrange(60) * 1000
        if number % 53 == 52:  # noqa: PLR2004 -- now and then, a reminder
            store.add_message(patient_id, AUTOMATION, "Time for your weekly check-in.", at_ms=moment)
        elif number % 2:
            text = f"{randomness.choice(ANSWERS)} {randomness.choice(CLOSINGS)}"
            nurse = CARE_TEAM[number // 20 % len(CARE_TEAM)]
            read_ms = moment + 5 * MINUTE_MS if number < count - 3 else None
            store.add_message(patient_id, nurse, text, at_ms=moment, read_ms=read_ms)
        else:
            text = randomness.choice(QUESTIONS)
            store.add_message(patient_id, _me(patient_id), text, at_ms=moment, read_ms=moment + MINUTE_MS)


def _talk_in_ties(store: Store) -> None:
    for number in range(30):
        author = CARE_TEAM[1] if number % 3 == 0 else _me(TIES)
        store.add_message(TIES, author, f"Reading {number + 1}: 12{number % 10} over 80", at_ms=START_MS)
    for second in (3, 5, 9):
        store.add_message(TIES, _me(TIES), "Hello?", at_ms=START_MS + second * 1000)


def _talk_and_archive(store: Store, randomness: random.Random) -> None:
    _talk(store, ARCHIVED, 60, randomness)
    history = store.history(ARCHIVED)
    if history is not None:
        for position in (*range(1, 31), 40, 41, 42, 57):
            history.archive(position, archived=True)


def _talk_with_files(store: Store) -> None:
    me, nurse = _me(FILES), CARE_TEAM[2]
    lines = (
        (me, "Could you look at this?", (FILE_PICTURE,)),
        (nurse, "Thank you, that helps. Here is the letter for your doctor.", (FILE_LETTER,)),
        (me, "📎", (FILE_PICTURE, FILE_LARGE)),
        (nurse, "Got both 👍🏽", ()),
    )
    for number, (author, text, files) in enumerate(lines):
        moment = START_MS + number * 10 * MINUTE_MS
        store.add_message(FILES, author, text, at_ms=moment, files=files)


def _talk_briefly(store: Store) -> None:
    lines = (
        (_me(SHORT), "I have a question about my dose."),
        (CARE_TEAM[0], "Of course: what would you like to know? 💊"),
        (_me(SHORT), "Is it fine to take it with “grapefruit” juice?\nMy sister says no… 🤷‍♀️"),
    )
    for number, (author, text) in enumerate(lines):
        store.add_message(SHORT, author, text, at_ms=START_MS + number * 45_000)


def _talk_across_seconds(store: Store) -> None:
    for number, skew_ms in enumerate((451, 796, 1106, 400, 1200, 1000, 999)):
        author = CARE_TEAM[1] if number % 2 else _me(CLOCKS)
        moment = START_MS + number * 7000
        store.add_message(
            CLOCKS, author, f"A new test message, number {number + 1}", at_ms=moment, skew_ms=skew_ms
        )


def _me(patient_id: str) -> Author:
    return Author("patient", patient_id)
