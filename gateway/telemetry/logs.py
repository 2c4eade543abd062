"""Logs: one JSON object a line on standard error, from the gateway's own loggers and little else.

An allow-list, not a block-list: HTTP clients log URLs, caches log values, GraphQL libraries log
queries, servers log query strings and tracebacks, and each may hold text of a patient's message.
What the server reports anybody can cause, by requests that are none: so it is told a few times a minute.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Literal

import structlog

_SERVER = "uvicorn.error"
_SERVER_SAYS = frozenset(
    {
        "Started server process [%d]",
        "Finished server process [%d]",
        "Waiting for application startup.",
        "Application startup complete.",
        "Shutting down",
        "Waiting for connections to close. (CTRL+C to force quit)",
        "Waiting for background tasks to complete. (CTRL+C to force quit)",
        "Waiting for application shutdown.",
        "Application shutdown complete.",
    }
)
"""What uvicorn may say in its own words; whatever else it reports is told by its level alone."""

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


PROBLEMS_PER_MINUTE = 10
"""Lines about what the server reports; the next line tells how many were left out."""

_MINUTE = 60.0


class OnlyOurs(logging.Filter):
    """Lets through what may stand in the log. ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._began = -_MINUTE
        self._told = 0
        self._untold = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record may be written; the server's words are taken out of it."""
        if record.name == "gateway" or record.name.startswith("gateway."):
            return True
        if record.name != _SERVER:
            return False
        if record.msg in _SERVER_SAYS:
            return True
        return record.levelno >= logging.WARNING and self._tell(record)

    def _tell(self, record: logging.LogRecord) -> bool:
        """Take the server's words away, and all of the line where there were many of late."""
        record.msg, record.args = "the HTTP server reports a problem", ()
        with self._lock:
            now = self._clock()
            if now - self._began >= _MINUTE:
                self._began, self._told = now, 0
            if self._told >= PROBLEMS_PER_MINUTE:
                self._untold += 1
                return False
            self._told += 1
            untold, self._untold = self._untold, 0
        if untold:
            record.msg, record.args = "the HTTP server reports a problem; untold before it: %d", (untold,)
        return True


def configure(level: Level, *, for_people: bool = False) -> None:
    """Set up logging for the process.

    ``for_people`` writes lines to read in place of JSON: coloured on a terminal, unless ``NO_COLOR`` is set
    (https://no-color.org), and plain in a file.
    """
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=coloured, exception_formatter=structlog.dev.plain_traceback)
        if for_people
        else structlog.processors.JSONRenderer()
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_traceback, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(OnlyOurs())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for quiet in ("uvicorn", _SERVER):
        logging.getLogger(quiet).setLevel(logging.NOTSET)  # whatever an earlier server of the process set
    for noisy in ("httpx2", "httpcore2", "aiocache", "strawberry", "asyncio", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def _without_traceback(
    _logger: object, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Keep an exception's class, drop its text and frames: both may show values."""
    error = event.pop("exc_info", None)
    if isinstance(error, tuple) and error and isinstance(error[0], type):
        event["exception"] = error[0].__name__
    return event
