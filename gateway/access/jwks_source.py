"""Where an identity provider's keys are read from: a URL or a file. Gives bytes, judges nothing."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import aclosing
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx2

MAX_BYTES = 256 * 1024
"""A set of keys is some kilobytes; large ones with certificate chains stay under 50."""

FETCH_SECONDS = 5.0

_LAST_RESORT = 2.0
"""After this many times its budget a fetch is cancelled after all: only headers that drip get there."""


class KeysUnreadable(Exception):
    """The keys could not be read; the text says why and carries nothing of what was read."""


class KeySource(Protocol):
    """A place that keys are read from."""

    async def read(self) -> bytes:
        """Read the set of keys as JSON.

        Raises:
            KeysUnreadable: it cannot be read.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class FileKeys:
    """Keys in a file, which may be replaced while the gateway runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> bytes:
        """Read the file; see ``KeySource.read``."""
        try:
            return await asyncio.to_thread(self._read)
        except OSError as error:
            raise KeysUnreadable("The file of keys cannot be read.") from error

    def _read(self) -> bytes:
        with self._path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise KeysUnreadable("The file of keys is too large.")
        return data

    async def aclose(self) -> None:
        """Hold nothing open."""


class UrlKeys:
    """Keys behind an https URL, or an http one on the loopback. Follows no redirect.

    Raises:
        ValueError: the URL is another one.
    """

    def __init__(self, url: str, *, seconds: float = FETCH_SECONDS) -> None:
        check_url(url)
        self._url = url
        self._seconds = seconds
        self._client = httpx2.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            # Read about once an hour: a connection kept open would be dead by then.
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=0),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            verify=ssl.create_default_context(),
            timeout=httpx2.Timeout(seconds),
            # Nothing compressed is asked for, which keeps bombs out.
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def read(self) -> bytes:
        """Fetch the keys, once; see ``KeySource.read``. Whoever calls must not cancel it."""
        try:
            async with asyncio.timeout(self._seconds * _LAST_RESORT):
                return await self._fetch()
        except (httpx2.TransportError, TimeoutError) as error:
            raise KeysUnreadable("The identity provider cannot be reached.") from error

    async def _fetch(self) -> bytes:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._seconds
        async with self._client.stream("GET", self._url) as response:
            if response.status_code != HTTPStatus.OK:
                raise KeysUnreadable("The identity provider did not answer with its keys.")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise KeysUnreadable("The identity provider's answer is compressed.")
            pieces = bytearray()
            async with aclosing(response.aiter_raw()) as raw:
                async for piece in raw:
                    pieces += piece
                    if len(pieces) > MAX_BYTES:
                        raise KeysUnreadable("The identity provider's answer is too large.")
                    if clock() > deadline:
                        raise KeysUnreadable("The identity provider's answer is too slow.")
        return bytes(pieces)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def check_url(url: str) -> None:
    """Refuse a URL that keys must not come from.

    Raises:
        ValueError: it is neither https nor on the loopback, or holds a password.
    """
    parts = urlsplit(url)
    loopback = parts.hostname is not None and _is_loopback(parts.hostname)
    if not parts.hostname or parts.scheme not in ({"https", "http"} if loopback else {"https"}):
        raise ValueError("jwks_url must be an https URL, or an http one on the loopback.")
    if parts.username is not None or parts.password is not None:
        raise ValueError("jwks_url must not hold a name or a password.")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
