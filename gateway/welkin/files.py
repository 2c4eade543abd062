"""Files on their way through: what the headers of one say, and its bytes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote

from gateway.domain.errors import UpstreamBadResponse, UpstreamUnavailable
from gateway.welkin.downloads import Opened, too_large
from gateway.welkin.pipe import Pipe

OPERATION = "read file"
_RANGE = re.compile(r"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})")
"""One part; a list of parts would come back in a form of its own (RFC 9110, 14)."""
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/(?:[0-9]{1,18}|\*)")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}(?:\s*;[\x20-\x7e]{0,200})?", re.ASCII)
_EXTENDED_NAME = re.compile(r"(?:^|;)\s*filename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^;\s]+)", re.IGNORECASE)
_PLAIN_NAME = re.compile(r'(?:^|;)\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]+))', re.IGNORECASE)
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class File:
    """A file as the port hands it out; nothing of it is kept."""

    content_type: str | None
    file_name: str | None
    size: int | None
    content_range: str | None
    accepts_ranges: bool
    pipe: Pipe

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the bytes in order; as many as were announced, or an error.

        Raises:
            UpstreamUnavailable: the upstream broke off before the end.
            UpstreamBadResponse: there are more bytes than a file may have.
        """
        count = 0
        async for piece in self.pipe:
            count += len(piece)
            yield piece
        if self.size is not None and count != self.size:
            raise UpstreamUnavailable(f"Welkin broke off before the end ({OPERATION}).")


def range_header(byte_range: str | None) -> dict[str, str]:
    """Give the header that asks for a part; what asks for anything but one part asks for the whole.

    >>> range_header("bytes=0-99"), range_header("bytes=0-1,5-9"), range_header("bytes=-")
    ({'Range': 'bytes=0-99'}, {}, {})
    """
    if byte_range is None or _RANGE.fullmatch(byte_range) is None:
        return {}
    return {"Range": byte_range}


def read_file(opened: Opened, *, max_bytes: int) -> File:
    """Read the headers of a file; what is odd in them is left out.

    Raises:
        UpstreamBadResponse: it is too large, compressed, or a part that nobody can place.
    """
    headers = opened.headers
    if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise UpstreamBadResponse(f"Welkin's answer is compressed, which was not asked for ({OPERATION}).")
    length = headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None  # noqa: PLR2004
    content_range = None
    if opened.status == HTTPStatus.PARTIAL_CONTENT:
        content_range = headers.get("content-range", "")
        size = _size_of_part(content_range, size)
    if size is not None and size > max_bytes:
        raise too_large(OPERATION)
    content_type = headers.get("content-type", "")
    return File(
        content_type=content_type if _MEDIA_TYPE.fullmatch(content_type) else None,
        file_name=file_name(headers.get("content-disposition", "")),
        size=size,
        content_range=content_range,
        accepts_ranges=_accepts_ranges(headers),
        pipe=opened.pipe,
    )


def file_name(disposition: str) -> str | None:
    r"""Give the name in a Content-Disposition, without any path; the one that is not plain ASCII is better.

    >>> file_name('attachment; filename="a.png"; filename*=UTF-8\'\'%C3%A4.png')
    'ä.png'
    >>> file_name('attachment; filename="../etc/a b.txt"'), file_name("inline")
    ('a b.txt', None)
    """
    name = ""
    if (extended := _EXTENDED_NAME.search(disposition)) is not None:
        name = unquote(extended[2], encoding=extended[1], errors="replace")
    elif (plain := _PLAIN_NAME.search(disposition)) is not None:
        name = re.sub(r"\\(.)", r"\1", plain[1]) if plain[1] is not None else plain[2]
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(character for character in name if character.isprintable()).strip()
    return name[:_LONGEST_NAME] if name.strip(".") else None


def _accepts_ranges(headers: Mapping[str, str]) -> bool:
    """Tell whether parts are given; one recorded server says ``true`` for ``bytes`` (R)."""
    return headers.get("accept-ranges", "").strip().lower() in {"bytes", "true"}


def _size_of_part(content_range: str, announced: int | None) -> int:
    part = _CONTENT_RANGE.fullmatch(content_range)
    size = 0 if part is None else int(part[2]) - int(part[1]) + 1
    if size < 1 or announced not in {None, size}:
        raise UpstreamBadResponse(f"Welkin's part of a file does not say where it belongs ({OPERATION}).")
    return size
