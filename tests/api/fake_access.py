"""Access control without keys or tokens: names that are known, and an instance that notes who came."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

from gateway.domain.access import Principal, Scope, check_patient, check_scope
from gateway.domain.connection import Connection, Edge, Filter, Window
from gateway.domain.errors import Unauthenticated
from gateway.graphql.ports import InstanceService
from gateway.web.options import WebOptions
from tests.api.fakes import GH, PATIENT

EVERY = frozenset(Scope)
NURSE = Principal("nurse", EVERY, patients=None, instances=frozenset({GH}))
"""Sees everybody of one instance."""

OTHER = Principal("other", EVERY, patients=frozenset({"somebody-else"}), instances=None)
"""Sees one patient, who is not the one with messages."""

READER = Principal("reader", frozenset({Scope.READ}), patients=frozenset({PATIENT}), instances=None)

REFUSED = "No valid credentials came with the request."


class Guarded:
    """An instance for one principal; what is not overridden passes through."""

    def __init__(self, service: InstanceService, principal: Principal) -> None:
        self._service = service
        self._principal = principal

    def __getattr__(self, name: str) -> object:
        return getattr(self._service, name)

    async def messages(self, patient_id: str, window: Window, chosen: Filter) -> Connection:
        check_patient(self._principal, patient_id)
        return await self._service.messages(patient_id, window, chosen)

    async def send(
        self, patient_id: str, body: str, attachment_id: str | None, idempotency_key: str | None
    ) -> Edge:
        check_scope(self._principal, Scope.SEND)
        return await self._service.send(patient_id, body, attachment_id, idempotency_key)

    async def follow(self, patient_id: str, after: str | None) -> AsyncGenerator[Edge]:
        check_patient(self._principal, patient_id)
        async for edge in self._service.follow(patient_id, after):
            yield edge


@dataclass
class FakeAccess:
    """Knows principals by ``Bearer <id>`` and by their id as a key; ``lifetime`` ends their proof."""

    lifetime: float | None = None
    asked: list[tuple[bytes | None, bytes | None]] = field(default_factory=list)
    admitted: list[tuple[str, str]] = field(default_factory=list)
    failure: Exception | None = None

    async def authenticate(self, authorization: bytes | None, api_key: bytes | None) -> Principal:
        self.asked.append((authorization, api_key))
        if self.failure is not None:
            raise self.failure
        shown = api_key if authorization is None else authorization.removeprefix(b"Bearer ")
        for principal in (NURSE, OTHER, READER):
            if shown == principal.id.encode() and None in {authorization, api_key}:
                end = None if self.lifetime is None else time.time() + self.lifetime
                return replace(principal, expires_at=end)
        raise Unauthenticated(REFUSED)

    def admit(self, service: InstanceService, principal: Principal, request_id: str) -> InstanceService:
        self.admitted.append((principal.id, request_id))
        return Guarded(service, principal)  # type: ignore[return-value] -- the rest by __getattr__

    def options(self, **others: object) -> WebOptions:
        given = {"show_cost": False, "get_queries": True, "graphiql": True, **others}
        return WebOptions(authenticate=self.authenticate, admit=self.admit, **given)
