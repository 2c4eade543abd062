"""Which instance an address means."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from gateway.domain.model import InstanceName
from gateway.web.answers import HttpProblem
from gateway.web.options import InstanceEntry


class Instances:
    """The instances by name; an address without a name means the first."""

    def __init__(self, entries: Mapping[InstanceName, InstanceEntry]) -> None:
        if not entries:
            raise ValueError("At least one instance is needed.")
        self._entries = dict(entries)
        self._first = next(iter(self._entries.values()))

    def find(self, scope: Scope) -> InstanceEntry:
        """Find the instance that a request's path names.

        Raises:
            HttpProblem: there is none of that name.
        """
        entry = self._look(scope)
        if entry is None:
            raise HttpProblem(404, "No such instance is served here.", code="NOT_FOUND")
        return entry

    def knows(self, scope: Scope) -> bool:
        """Tell whether a request's path names an instance."""
        return self._look(scope) is not None

    def stand_in(self, scope: Scope) -> tuple[InstanceEntry, bool]:
        """Find the instance that a path names, or another to do the same work with; tells which it is.

        For doors that must not show which instances there are.
        """
        entry = self._look(scope)
        return (self._first, False) if entry is None else (entry, True)

    @property
    def signature_headers(self) -> frozenset[str]:
        """The headers that a signature may stand in, over all instances."""
        entries = self._entries.values()
        return frozenset(each.event_signature.header for each in entries if each.event_signature is not None)

    def _look(self, scope: Scope) -> InstanceEntry | None:
        params = scope.get("path_params", {})
        if "tenant" not in params:
            return self._first
        return self._entries.get(InstanceName(params["tenant"], params["instance"]))
