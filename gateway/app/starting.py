"""What is tried out before the process serves, so that a mistake ends the start and not a patient's read."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from gateway.settings import ConfigurationError, Settings

_STANDARD_OUTPUT = "-"


def check_audit_file(settings: Settings) -> None:
    """Make sure that the audit trail can be written now.

    Raises:
        ConfigurationError: it cannot; the text says why.
    """
    sink = settings.telemetry.audit_file
    if sink in {"", _STANDARD_OUTPUT} or _is_pipe(sink):
        return
    try:
        os.close(os.open(sink, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigurationError(
            f"The configuration cannot be used:\n  telemetry.audit_file: {sink} cannot be written: "
            f"{error.strerror}"
        ) from error


def _is_pipe(sink: str) -> bool:
    """Tell a pipe, whose reader may come later."""
    with suppress(OSError):
        return stat.S_ISFIFO(Path(sink).stat().st_mode)
    return False
