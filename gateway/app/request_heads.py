"""What a request's head may say, where two readers of it could disagree on whom it asks or where it ends.

The parser takes what follows a request to upgrade, or to connect, for another protocol's, so it leaves the
request's body unread. Whoever goes on with HTTP after that takes the body for the next request: a request
that hides in it would be run past every proxy before.
"""

from __future__ import annotations

from collections.abc import Sequence

Headers = Sequence[tuple[bytes, bytes]]
"""As they came, names in lower case."""

_OF_UPGRADES = frozenset({b"upgrade", b"http2-settings"})


def check_target(method: bytes, target: bytes, headers: Headers) -> None:
    """Look whom a request asks.

    Raises:
        ValueError: it asks for a connection to somebody, or its address names another host than its header.
    """
    if method == b"CONNECT":
        raise ValueError("Nobody is connected to anybody here.")
    scheme, is_absolute, rest = target.partition(b"://")
    if is_absolute and scheme.isalnum():
        authority = rest.partition(b"/")[0].partition(b"?")[0]
        if [authority.lower()] != [value.lower() for name, value in headers if name == b"host"]:
            raise ValueError("The address names another host than the header.")


def check_handshake(method: bytes, headers: Headers) -> None:
    """Look at a request to open a WebSocket.

    Raises:
        ValueError: it is not GET, or has a body.
    """
    has_body = any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
        for name, value in headers
    )
    if method != b"GET" or has_body:
        raise ValueError("A handshake is GET and has no body.")


def without_upgrade(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    r"""Write a head anew without its wish to speak another protocol.

    >>> without_upgrade(b"GET", b"/", "1.1", [(b"connection", b"Upgrade, close"), (b"upgrade", b"h2c")])
    b'GET / HTTP/1.1\r\nconnection: close\r\n\r\n'
    """
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    for name, value in headers:
        kept = _without_wish(value) if name == b"connection" else value
        if name not in _OF_UPGRADES and (kept or name != b"connection"):
            lines.append(b"%s: %s" % (name, kept))
    return b"\r\n".join([*lines, b"", b""])


def _without_wish(connection: bytes) -> bytes:
    tokens = [token.strip() for token in connection.split(b",")]
    return b", ".join(token for token in tokens if token.lower() not in _OF_UPGRADES)
