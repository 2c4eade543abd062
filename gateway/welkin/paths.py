"""Ids into URLs, safely: a path is filled from a template, then held against the template again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from gateway.domain.errors import BadInput, Internal
from gateway.domain.identity import check_upstream_id

_FIELD = re.compile(r"\{([a-z_]+)\}")
_ID = "[A-Za-z0-9][A-Za-z0-9_-]{0,127}"


class PathTemplate:
    """A path with named places for ids, such as ``/{tenant}/{instance}/patients/{patient_id}``.

    >>> PathTemplate("/{tenant}/patients/{patient_id}").fill(tenant="gh", patient_id="pt_1")
    '/gh/patients/pt_1'
    """

    def __init__(self, text: str) -> None:
        """Prepare the check that every filled path must pass.

        Raises:
            ValueError: the template itself has a segment that is neither plain nor one whole place.
        """
        self._text = text
        self._names = _FIELD.findall(text)
        segments = text.split("/")
        if segments[0] or not all(_FIELD.fullmatch(s) or re.fullmatch(_ID, s) for s in segments[1:]):
            raise ValueError(f"Not a path template: {text!r}")
        self._shape = re.compile("/".join(_ID if _FIELD.fullmatch(s) else re.escape(s) for s in segments))

    def fill(self, **ids: str) -> str:
        """Put the ids in.

        Raises:
            BadInput: an id cannot stand in a path segment.
        """
        checked = {name: check_upstream_id(ids[name], _what(name)) for name in self._names}
        path = self._text.format(**checked)
        if self._shape.fullmatch(path) is None:
            raise Internal("A path does not fit its template.")
        return path


def is_upstream_id(value: str) -> bool:
    """Tell whether an id that Welkin names could be asked for."""
    try:
        check_upstream_id(value, "id")
    except BadInput:
        return False
    return True


def with_query(path: str, query: Iterable[tuple[str, str]]) -> str:
    """Add the query, every byte of a value that is not unreserved percent-encoded.

    Raises:
        BadInput: a value is no Unicode text.

    >>> with_query("/chat", [("pageToken", "a+/="), ("includeArchived", "false")])
    '/chat?pageToken=a%2B%2F%3D&includeArchived=false'
    """
    try:
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
    except UnicodeEncodeError:
        raise BadInput("The request must be Unicode text without lone surrogates.") from None
    return f"{path}?{text}" if text else path


def _what(name: str) -> str:
    """Give the caller's word for a place: ``patient_id`` is ``patientId``."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
