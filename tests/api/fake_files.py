"""Attachments without a Welkin behind them: whole, broken off, without an end, and lying about their size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.domain.errors import BadInput, GatewayError


@dataclass
class FakeFile:
    """A file, and how it behaves. ``opened_now`` tells whether somebody reads it."""

    content: bytes = b"0123456789"
    content_type: str | None = "image/png"
    file_name: str | None = "rash.png"
    accepts_ranges: bool = True
    tells_size: bool = True
    size: int | None = None
    content_range: str | None = None
    failure: BaseException | None = None
    """Raised after the content, as if the upstream broke off."""
    refusal: GatewayError | None = None
    """Raised on opening."""
    endless: bool = False
    slow: bool = False
    """Never gives another byte after the content."""
    piece: int = 4
    given: int = 0
    openings: list[str | None] = field(default_factory=list)
    opened_now: int = 0

    @asynccontextmanager
    async def opened(self, byte_range: str | None) -> AsyncGenerator[_Opened]:
        if self.refusal is not None:
            raise self.refusal
        self.openings.append(byte_range)
        self.opened_now += 1
        try:
            yield _Opened(self, *self._cut(byte_range))
        finally:
            await asyncio.sleep(0)
            self.opened_now -= 1

    def _cut(self, byte_range: str | None) -> tuple[bytes, str | None]:
        if byte_range is None or not self.accepts_ranges:
            return self.content, self.content_range
        first, _, last = byte_range.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(self.content)), len(self.content) - 1)
        if start >= len(self.content):
            raise BadInput("The file has no such range.")
        told = self.content_range or f"bytes {start}-{end}/{len(self.content)}"
        return self.content[start : end + 1], told


class _Opened:
    def __init__(self, file: FakeFile, content: bytes, content_range: str | None) -> None:
        self._file = file
        self._content = content
        self.content_range = content_range
        self.content_type = file.content_type
        self.file_name = file.file_name
        self.accepts_ranges = file.accepts_ranges
        self.size = file.size if file.size is not None else len(content) if file.tells_size else None

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        file = self._file
        while True:
            for start in range(0, len(self._content), file.piece):
                piece = self._content[start : start + file.piece]
                file.given += len(piece)
                yield piece
            if not file.endless:
                break
        if file.slow:
            await asyncio.Event().wait()
        if file.failure is not None:
            raise file.failure
