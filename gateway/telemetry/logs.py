"""Logs: one JSON object a line on standard error, from the gateway's own loggers and little else.

An allow-list, not a block-list: HTTP clients log URLs, caches log values, GraphQL libraries log
queries, servers log query strings and tracebacks, and each may hold text of a patient's message.
"""

from __future__ import annotations

import logging
import sys
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


class _OnlyOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "gateway" or record.name.startswith("gateway."):
            return True
        if record.name != _SERVER:
            return False
        if record.msg in _SERVER_SAYS:
            return True
        record.msg, record.args = "the HTTP server reports a problem", ()
        return record.levelno >= logging.WARNING


def configure(level: Level, *, for_people: bool = False) -> None:
    """Set up logging for the process. ``for_people`` writes plain lines in place of JSON."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
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
    handler.addFilter(_OnlyOurs())
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
