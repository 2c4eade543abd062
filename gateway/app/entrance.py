"""The entrance: who is believed, what they may do, and the trail that is kept of it."""

from __future__ import annotations

import hmac
import logging
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from gateway.access.audit import Audit
from gateway.access.authenticate import Authenticator
from gateway.access.claims import JwtOptions
from gateway.access.guard import GuardedInstance
from gateway.access.jwks import Jwks
from gateway.access.jwks_source import FileKeys, UrlKeys
from gateway.access.jwt import JwtVerifier
from gateway.access.keys import ApiKeys, configured_key
from gateway.domain.access import Principal
from gateway.domain.model import InstanceName
from gateway.graphql.ports import InstanceService
from gateway.settings import ConfigurationError, JwtSettings, Settings

logger = logging.getLogger("gateway.app.entrance")


@dataclass(frozen=True, slots=True)
class Entrance:
    """What every door asks."""

    authenticator: Authenticator
    audit: Audit
    keys_of_issuer: Jwks | None

    def admit(self, service: InstanceService, principal: Principal, request_id: str) -> InstanceService:
        """Give an instance as one principal may see it."""
        return GuardedInstance(service, principal, self.audit, request_id)

    async def aclose(self) -> None:
        """Write what is left of the trail, and let go of the issuer's connections."""
        await self.audit.aclose()
        if self.keys_of_issuer is not None:
            await self.keys_of_issuer.aclose()


def build_entrance(settings: Settings) -> Entrance:
    """Build the entrance.

    Raises:
        ConfigurationError: a value cannot be used; the text names it.
    """
    modes = settings.auth.modes
    try:
        keys = _keys(settings) if "api-key" in modes else None
        issuer = None if settings.auth.jwt is None else _issuer(settings.auth.jwt)
        jwt = None
        if settings.auth.jwt is not None and issuer is not None:
            jwt = JwtVerifier(_options(settings.auth.jwt), issuer)
        authenticator = Authenticator(keys, jwt, everybody=not modes)
        audit = _audit(settings)
    except (ValueError, OSError) as error:
        raise ConfigurationError(
            f"The configuration cannot be used:\n  auth or telemetry: {error}"
        ) from error
    return Entrance(authenticator, audit, issuer)


def _keys(settings: Settings) -> ApiKeys:
    return ApiKeys(
        [
            configured_key(
                key.id, key.sha256, scopes=key.scopes, patients=key.patients, instances=key.instances
            )
            for key in settings.auth.keys
        ]
    )


def _issuer(jwt: JwtSettings) -> Jwks:
    return Jwks(UrlKeys(jwt.jwks_url) if jwt.jwks_url else FileKeys(Path(jwt.jwks_file)))


def _options(jwt: JwtSettings) -> JwtOptions:
    audiences = (jwt.audience,) if isinstance(jwt.audience, str) else jwt.audience
    return JwtOptions(
        jwt.issuer,
        frozenset(audiences),
        algorithms=frozenset(jwt.algorithms),
        scopes_claim=jwt.scopes_claim,
        patients_claim=jwt.patients_claim,
        leeway_seconds=jwt.leeway_seconds,
        instances=frozenset(InstanceName(*name.split("/")) for name in jwt.instances) or None,
    )


def _audit(settings: Settings) -> Audit:
    """Build the trail. Without a key of its own, ids of each instance are hashed by that one's secret.

    So the order of the instances, or another one among them, changes no hash.
    """
    telemetry = settings.telemetry
    if telemetry.audit_key:
        key, keys = _audit_key(telemetry.audit_key), dict[InstanceName, bytes]()
    else:
        key = secrets.token_bytes()  # no line has an id of no instance
        keys = {
            InstanceName(each.tenant, each.instance): _audit_key(each.secret) for each in settings.instances
        }
        if telemetry.audit_file:
            logger.warning(
                "telemetry.audit_key is not set: hashes in the audit trail change with an instance's secret"
            )
    return Audit(telemetry.audit_file, key=key, keys=keys, strict=telemetry.audit_strict)


def _audit_key(secret: SecretStr) -> bytes:
    return hmac.digest(secret.get_secret_value().encode(), b"welkin-gateway audit key", "sha256")
