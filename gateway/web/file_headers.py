"""Headers around an attachment that are safe whatever the upstream says about it. No I/O.

A file comes from a patient's device by way of Welkin. It is always offered as a download, under a
name without tricks, as one of few types that no browser runs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from gateway.domain.errors import UpstreamBadResponse
from gateway.domain.ports import FileStream

OCTETS = "application/octet-stream"

TYPES: Mapping[str, tuple[str, str]] = {
    # upstream's --> ours, extension
    "image/png": ("image/png", ".png"),
    "image/jpeg": ("image/jpeg", ".jpg"),
    "image/jpg": ("image/jpeg", ".jpg"),
    "image/gif": ("image/gif", ".gif"),
    "image/webp": ("image/webp", ".webp"),
    "application/pdf": ("application/pdf", ".pdf"),
    "audio/mpeg": ("audio/mpeg", ".mp3"),
    "audio/mp3": ("audio/mpeg", ".mp3"),
    "audio/ogg": ("audio/ogg", ".ogg"),
    "audio/wav": ("audio/wav", ".wav"),
    "audio/wave": ("audio/wav", ".wav"),
    "audio/x-wav": ("audio/wav", ".wav"),
    "audio/mp4": ("audio/mp4", ".m4a"),
    "audio/x-m4a": ("audio/mp4", ".m4a"),
    "video/mp4": ("video/mp4", ".mp4"),
}
"""The media of chats. All else, text too, is handed out as bytes: HTML and SVG can carry scripts."""

MAX_NAME = 150
"""Characters of a name; most file systems take 255 bytes."""

_MOST_EXTENSION = 10
_UNSAFE = re.compile(r"""[/\\:*?"'`<>|;%]""")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control characters, marks that turn the direction of text (``gpj.exe``), halves of surrogate pairs."""

_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{0,15})", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileHead:
    """What is said before the bytes. ``length`` is how many follow, where it is known."""

    status: int
    headers: dict[str, str]
    length: int | None


def read_range(values: list[str]) -> str | None:
    """Give the one range of bytes that is asked for; None for none, several, or another form.

    >>> read_range(["bytes=0-99"]), read_range(["bytes=5-"])
    ('bytes=0-99', 'bytes=5-')
    >>> read_range(["bytes=0-1,5-6"]), read_range(["bytes=9-1"]), read_range(["bytes=0-1"] * 2)
    (None, None, None)
    """
    match = _RANGE.fullmatch(values[0].strip()) if len(values) == 1 else None
    if match is None:
        return None
    first, last = match.groups()
    return None if last and int(first) > int(last) else match.group()


def head_of(file_id: str, file: FileStream, byte_range: str | None) -> FileHead:
    """Say what can be said safely about an opened file.

    Raises:
        UpstreamBadResponse: it is a part that nobody asked for, or a part of an impossible size.
    """
    kind, extension = TYPES.get(_bare(file.content_type), (OCTETS, ""))
    length = file.size
    headers = {
        "Content-Type": kind,
        "Content-Disposition": disposition(file.file_name, f"file-{file_id}{extension}"),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Accept-Ranges": "bytes" if file.accepts_ranges else "none",
    }
    if file.content_range is not None:
        length = _check_part(file.content_range, length, byte_range)
        headers["Content-Range"] = file.content_range
    if length is not None:
        headers["Content-Length"] = str(length)
    return FileHead(200 if file.content_range is None else 206, headers, length)


def disposition(name: str | None, fallback: str) -> str:
    r"""Offer a download under the file's name, or what is left of it, or the fallback.

    >>> disposition("../r\u00f6ntgen.png", "file-1.png")
    'attachment; filename="_r_ntgen.png"; filename*=UTF-8\'\'_r%C3%B6ntgen.png'
    """
    safe = safe_name(name or "")
    if not _tells(safe):
        safe = fallback
    plain = "".join(character if character.isascii() else "_" for character in safe)
    if not _tells(plain):
        plain = fallback
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"


def safe_name(name: str) -> str:
    """Leave of a name what no browser, shell or file system takes for more than a name; may be empty."""
    visible = "".join(each for each in name if unicodedata.category(each) not in _INVISIBLE)
    shown = _UNSAFE.sub("_", unicodedata.normalize("NFC", visible)).strip(". ")
    if len(shown) <= MAX_NAME:
        return shown
    stem, dot, extension = shown.rpartition(".")
    if not dot or len(extension) > _MOST_EXTENSION:
        return shown[:MAX_NAME].strip(". ")
    return stem[: MAX_NAME - len(extension) - 1] + dot + extension


def _tells(name: str) -> bool:
    return any(character.isalnum() for character in name.rpartition(".")[0] or name)


def _bare(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _check_part(content_range: str, size: int | None, asked: str | None) -> int:
    told, wanted = _CONTENT_RANGE.fullmatch(content_range), _RANGE.fullmatch(asked or "")
    if told is None or wanted is None:
        raise UpstreamBadResponse("Welkin answered with a part of the file that was not asked for.")
    first, last = int(told[1]), int(told[2])
    within = first == int(wanted[1]) and first <= last <= int(wanted[2] or last)
    length = last - first + 1
    if not within or size not in {None, length}:
        raise UpstreamBadResponse("Welkin answered with another part of the file than was asked for.")
    return length
