"""What may stand in the log, and that nothing else does."""

from __future__ import annotations

import json
import logging
import os
import sys

import pytest

from gateway.telemetry import logs


@pytest.fixture
def written(capsys):
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    root.handlers[:], root.level = before


def raise_canary() -> None:
    raise ValueError("canary of an exception")


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_what_others_log_is_not_written(written, level):
    logs.configure(level)

    for name in (
        "httpx2",
        "httpcore2.http11",
        "aiocache",
        "strawberry.execution",
        "uvicorn.access",
        "redis",
        "",
    ):
        logging.getLogger(name).error("canary %s", "canary")
    logging.getLogger("uvicorn.error").info(
        '%s - "WebSocket %s" [accepted]', "1.2.3.4", "/graphql?token=canary"
    )
    logging.getLogger("uvicorn.error").debug("canary")

    assert written() == []


def test_the_servers_own_problems_are_told_without_its_words(written):
    logs.configure("INFO")

    logging.getLogger("uvicorn.error").error("Traceback: canary %s", "canary")
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)

    first, second = written()
    assert (first["event"], first["level"]) == ("the HTTP server reports a problem", "error")
    assert second["event"] == "Started server process [7]"


def test_a_flood_of_the_servers_problems_is_a_few_lines_with_a_count():
    now = [1_000.0]
    kept = logs.OnlyOurs(lambda: now[0])

    def report() -> str | None:
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, "canary %s", ("canary",), None)
        return record.getMessage() if kept.filter(record) else None

    first = [report() for _ in range(500)]
    now[0] += 59.9
    assert report() is None
    now[0] += 0.2
    later = [report() for _ in range(logs.PROBLEMS_PER_MINUTE + 1)]

    assert first == ["the HTTP server reports a problem"] * 10 + [None] * 490
    assert later[:2] == [
        "the HTTP server reports a problem; untold before it: 491",
        "the HTTP server reports a problem",
    ]
    assert later[-1] is None


def test_the_gateways_own_lines_are_never_left_out(written):
    logs.configure("INFO")

    for _ in range(100):
        logging.getLogger("gateway.app.serving").warning("stopping")

    assert len(written()) == 100


def test_an_exception_is_told_by_its_class_alone(written):
    logs.configure("INFO")

    try:
        raise_canary()
    except ValueError:
        logging.getLogger("gateway.somewhere").exception("a fault")

    (line,) = written()
    assert (line["event"], line["exception"], line["logger"]) == (
        "a fault",
        "ValueError",
        "gateway.somewhere",
    )
    assert "canary" not in json.dumps(line)


def test_forged_lines_stay_one_record(written):
    logs.configure("INFO")

    logging.getLogger("gateway").warning('one\n{"event": "forged"}')

    assert len(written()) == 1


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_people_at_a_terminal_get_colours_unless_they_want_none(written, monkeypatch, no_color, coloured):
    monkeypatch.setenv("NO_COLOR", no_color)
    screen, end = os.openpty()
    with os.fdopen(end, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        logs.configure("INFO", for_people=True)
        logging.getLogger("gateway").info("a line")
        shown = os.read(screen, 4096)
    os.close(screen)

    assert (b"\x1b[" in shown) is coloured
    assert b"a line" in shown


def test_lines_for_people_in_a_file_are_plain(written, monkeypatch, tmp_path):
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr(sys, "stderr", log)
        logs.configure("INFO", for_people=True)
        logging.getLogger("gateway").info("a line")

    text = (tmp_path / "log").read_text()
    assert "a line" in text
    assert "\x1b" not in text
