"""URLs in the configuration: what may be called, and what is this machine."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit


def check_url(url: str) -> None:
    """Refuse a URL that cannot be called, or that would send secrets in the clear.

    Raises:
        ValueError: the text says what is wrong with it.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"[\s\\]", url):
        raise ValueError("must be an http or https URL with a host")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("must have a port between 0 and 65535, or none") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must have no user, query or fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must be https unless the host is this machine")


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine's own.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
