"""Logs: one JSON object a line on standard error, from the gateway's own loggers only.

An allow-list, not a block-list: HTTP clients log URLs, caches log values, GraphQL libraries log
queries, and each may hold text of a patient's message. What is not ours is not written.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

_ALLOWED = ("gateway", "uvicorn.error")

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class _OnlyOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        ours = any(record.name == name or record.name.startswith(f"{name}.") for name in _ALLOWED)
        # uvicorn tells its comings and goings at INFO and puts request lines into lower levels.
        return ours and (record.name.startswith("gateway") or record.levelno >= logging.INFO)


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
