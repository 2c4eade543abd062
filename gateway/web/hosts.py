"""Under which names the gateway may be asked, where nobody has to show who they are.

Theory. A gateway without access control listens on the loopback alone, and yet a browser on this machine
reaches it. A page of another origin may not read its answers; but the page's own host name can be made to
mean 127.0.0.1 (DNS rebinding), and then the gateway is of its origin. What gives such a page away is the
``Host`` that its browser sends, which no page can change: it is not a name of this machine.
"""

from __future__ import annotations

import re

from starlette.types import Scope

from gateway.web.answers import HttpProblem

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]@/\s]+)(:[0-9]{0,5})?", re.ASCII | re.IGNORECASE)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def loopback_hosts(listening: str) -> frozenset[str]:
    """Give the names of a gateway that listens on the loopback, at ``listening``, for ``WebOptions.hosts``.

    >>> sorted(loopback_hosts("127.0.0.2"))
    ['127.0.0.1', '127.0.0.2', '[::1]', 'localhost']
    """
    return frozenset(_in_header(name) for name in (*_LOOPBACK, listening))


def check_host(scope: Scope, hosts: frozenset[str] | None) -> None:
    """Refuse a request for another host than these, of whatever port; None: any host is served.

    Raises:
        HttpProblem: it names another (421), none, or two.
    """
    if hosts is None:
        return
    named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(named) != 1 or (_name_in(named[0]) or "") not in hosts:
        raise HttpProblem(421, "This host is not served here.")


def _name_in(value: str) -> str | None:
    """Give the name in a header's value, as ``_in_header`` writes it.

    >>> [_name_in(value) for value in ("LocalHost.:8000", "[::1]:80", "::1", "a@localhost", "")]
    ['localhost', '[::1]', None, None, None]
    """
    found = _HOST.fullmatch(value)
    return None if found is None else found[1].lower().removesuffix(".")


def _in_header(name: str) -> str:
    """Write a configured name or address as a ``Host`` header has it, without a port."""
    name = name.lower().removesuffix(".")
    return f"[{name}]" if ":" in name else name
