"""Who may come in: every door for clients asks here first, before it reads anything else of a request.

A caller is known first, then let into the instance. So who is nobody learns of no instance, and an
instance that is closed to a principal looks as one that is not served at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from gateway.domain.access import Principal, check_instance
from gateway.domain.errors import GatewayError, Unauthenticated
from gateway.graphql.ports import InstanceService
from gateway.web.credentials import Credentials, credentials_in, credentials_of
from gateway.web.envelope import request_id_of
from gateway.web.expiry import Expiry
from gateway.web.instances import Instances
from gateway.web.options import WebOptions
from gateway.web.problems import problem_of
from gateway.web.rates import Rates

NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Visitor:
    """A principal inside of an instance."""

    principal: Principal
    options: WebOptions
    _service: InstanceService
    _rates: Rates

    @property
    def expiry(self) -> Expiry:
        """The end of the proof."""
        return Expiry(self.principal.expires_at, self.options.now)

    def service(self, request_id: str) -> InstanceService:
        """Give what one operation of this principal may use.

        Raises:
            GatewayError: the principal is refused.
        """
        return self.options.admit(self._service, self.principal, request_id)

    def count_operation(self) -> None:
        """Count one operation of this principal.

        Raises:
            TooManyOperations: there were too many.
        """
        self._rates.take(self.principal.id)


@dataclass(frozen=True, slots=True)
class Admission:
    """Lets callers into instances."""

    instances: Instances
    options: WebOptions
    rates: Rates

    async def enter(self, scope: Scope) -> Visitor:
        """Let in whoever sent the headers.

        Raises:
            HttpProblem: 401 for nobody we know, 404 for no instance of theirs.
        """
        try:
            return await self._enter(scope, lambda: credentials_of(scope))
        except GatewayError as error:
            raise problem_of(error) from None

    async def check_handshake(self, scope: Scope) -> None:
        """Refuse what the headers of an upgrade already tell.

        A browser cannot send any, so without them the first message decides, whether there is such an
        instance or not.

        Raises:
            HttpProblem: the caller is known, and there is no instance of theirs.
        """
        if self.instances.knows(scope) and not _shows_header(scope):
            return
        try:
            await self._find(scope, credentials_of(scope))
        except GatewayError as error:
            problem = problem_of(error)
            if problem.status == NOT_FOUND:
                raise problem from None

    async def enter_by_message(self, scope: Scope, payload: Mapping[str, Any]) -> Visitor:
        """Let in whoever sent the first message of a WebSocket, or else the headers of its upgrade.

        Raises:
            GatewayError: they are nobody we know, or cannot be told now.
            HttpProblem: there is no instance of theirs.
        """
        return await self._enter(scope, lambda: credentials_in(payload) or credentials_of(scope))

    async def _enter(self, scope: Scope, shown: Callable[[], Credentials]) -> Visitor:
        """Let somebody in, or tell of their being refused."""
        try:
            return await self._find(scope, shown())
        except Unauthenticated:
            known = self.instances.knows(scope)  # a name from outside is written down nowhere
            instance = self.instances.find(scope).service.name if known else None
            self.options.refused(instance, request_id_of(scope))
            raise

    async def _find(self, scope: Scope, shown: Credentials) -> Visitor:
        principal = await self.options.authenticate(shown.authorization, shown.api_key)
        service = self.instances.find(scope).service
        check_instance(principal, service.name)
        return Visitor(principal, self.options, service, self.rates)


def _shows_header(scope: Scope) -> bool:
    return any(name in {b"authorization", b"x-api-key"} for name, _ in scope["headers"])
