"""The body of an answer in memory, never larger than a cap, whatever it was compressed from.

A compressed body is inflated in steps that are bounded by what is left of the cap: 306 kB of gzip that
would become 300 MiB (measured) cost the cap and no more. Only gzip is taken, should a server compress
although it was not asked to.
"""

from __future__ import annotations

import zlib

_GZIP = 16 + zlib.MAX_WBITS
_LIMIT_PASSED = "Welkin's answer is larger than the gateway takes"


class BodyRefused(Exception):
    """The body is too large, or in an encoding that was not asked for. The text is safe to show."""


class BodyReader:
    """Collects the pieces of one body.

    >>> reader = BodyReader(None, 10)
    >>> reader.feed(b"abc")
    >>> reader.finish()
    b'abc'
    """

    def __init__(self, encoding: str | None, limit: int) -> None:
        """Prepare for the value of Content-Encoding.

        Raises:
            BodyRefused: the encoding is not one that is read.
        """
        name = (encoding or "identity").strip().lower()
        if name not in {"identity", "gzip"}:
            raise BodyRefused("Welkin's answer is compressed in a way that was not asked for")
        self._inflater = zlib.decompressobj(_GZIP) if name == "gzip" else None
        self._limit = limit
        self._size = 0
        self._pieces: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        """Take the next piece as it came from the wire.

        Raises:
            BodyRefused: the body is over the limit, or is no gzip.
        """
        piece = self._inflated(piece)
        self._size += len(piece)
        if self._size > self._limit:
            raise BodyRefused(_LIMIT_PASSED)
        self._pieces.append(piece)

    def finish(self) -> bytes:
        """Give the whole body.

        Raises:
            BodyRefused: a compressed body ended too early.
        """
        if self._inflater is not None and not self._inflater.eof and self._size:
            raise BodyRefused("Welkin's answer ends too early")
        return b"".join(self._pieces)

    def _inflated(self, piece: bytes) -> bytes:
        if self._inflater is None:
            return piece
        try:
            return self._inflater.decompress(piece, self._limit - self._size + 1)
        except zlib.error as error:
            raise BodyRefused("Welkin's answer is not the gzip that it says it is") from error
