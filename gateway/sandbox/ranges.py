"""Which part of a file a ``Range`` header asks for (RFC 9110, 14)."""

from __future__ import annotations

import re

from gateway.sandbox.answers import Refused

_ONE_PART = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def read_part(header: str | None, size: int) -> tuple[int, int] | None:
    """Give the first and the last byte that are asked for; None for the whole file.

    Several parts, other units and nonsense get the whole, as the standard allows.

    Raises:
        Refused: 416, the part begins behind the end.

    >>> [read_part(text, 10) for text in ("bytes=2-", "bytes=-3", "bytes=4-99", "lines=1-2")]
    [(2, 9), (7, 9), (4, 9), None]
    """
    found = _ONE_PART.fullmatch(header or "")
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        first, last = max(size - int(found[2]), 0), size - 1
    else:
        first, last = int(found[1]), int(found[2]) if found[2] else size - 1
        if last < first and found[2]:
            return None
    if first >= size:
        headers = (("content-range", f"bytes */{size}"),)
        raise Refused(416, "RANGE_NOT_SATISFIABLE", "CHAT", headers=headers)
    return first, min(last, size - 1)
