"""The whole gateway, put together from its settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from gateway.app import metrics
from gateway.app.entrance import Entrance, build_entrance
from gateway.app.garbage import Collector
from gateway.app.instances import Built, build_instance
from gateway.app.keeping import Keeping
from gateway.app.readiness import Part, Readiness
from gateway.domain.model import InstanceName
from gateway.graphql.limits import Limits
from gateway.graphql.texts import load_trusted
from gateway.services.instance import Instance
from gateway.settings import ConfigurationError, Settings
from gateway.web.app import create_web
from gateway.web.hosts import loopback_hosts
from gateway.web.options import WebOptions
from gateway.welkin.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Gateway:
    """The whole gateway as an ASGI app. Its lifespan closes what it opened."""

    web: FastAPI
    instances: Mapping[InstanceName, Instance]
    collector: Collector
    """To be run by the server; until then it leaves Python's own alone, but for the waking of crowds."""

    def drain(self) -> None:
        """End open streams: shutdown begins. Called on the event loop."""
        drain: asyncio.Event = self.web.state.drain
        drain.set()


def build(settings: Settings) -> Gateway:
    """Build the gateway from its settings. Nothing is asked of the network yet.

    Raises:
        ConfigurationError: a value cannot be used.
    """
    entrance = build_entrance(settings)
    keeping = Keeping(settings)
    tokens = Tokens(keeping.shelf())  # shared: two instances may use one API client
    collector = Collector()
    built = [
        build_instance(each, settings, keeping, tokens, collector.undisturbed) for each in settings.instances
    ]
    readiness = _readiness(built, keeping, entrance)
    web = _web(settings, built, entrance, readiness, _registry(built, keeping, entrance))
    instances = {each.instance.name: each.instance for each in built}

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncGenerator[None]:
        keeping.start(instances)
        yield
        web.state.drain.set()
        try:
            await readiness.aclose()
            await asyncio.gather(*(each.aclose() for each in built), return_exceptions=True)
        finally:
            await keeping.aclose()
            await entrance.aclose()

    web.router.lifespan_context = lifespan
    return Gateway(web, instances, collector)


def _web(
    settings: Settings,
    built: Sequence[Built],
    entrance: Entrance,
    readiness: Readiness,
    registry: CollectorRegistry,
) -> FastAPI:
    known = bool(settings.auth.modes)
    options = WebOptions(
        graphiql=settings.server.graphiql,
        introspection=settings.graphql.introspection,
        get_queries=settings.graphql.get_queries,
        cors_origins=settings.server.cors_origins,
        authenticate=entrance.authenticator.authenticate,
        admit=entrance.admit,
        refused=entrance.audit.refused,
        heard=entrance.audit.webhook,
        limits=Limits(**settings.graphql.limits.model_dump()),
        trusted_documents=_trusted(settings.graphql.trusted_documents),
        operations_per_minute=settings.graphql.operations_per_minute or None,
        max_operations=settings.server.max_operations,
        max_streams=settings.server.max_streams,
        # Without access control everybody is one caller.
        max_streams_per_caller=(settings.server.max_streams_per_caller or None) if known else None,
        max_files_per_caller=(settings.server.max_files_per_caller or None) if known else None,
        hosts=None if known else loopback_hosts(settings.server.host),
        metrics_token=_metrics_token(settings),
    )
    entries = {each.instance.name: each.entry for each in built}
    try:
        return create_web(entries, options, readiness, registry)
    except ValueError as error:  # a trusted document that cannot run
        raise ConfigurationError(f"graphql.trusted_documents: {error}") from error


def _metrics_token(settings: Settings) -> bytes | None:
    token = settings.telemetry.metrics_token
    return None if token is None else token.get_secret_value().encode() or None


def _registry(built: Sequence[Built], keeping: Keeping, entrance: Entrance) -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics.show_instances(registry, built)
    metrics.show_audit(registry, lambda: entrance.audit.failures)
    if entrance.keys_of_issuer is not None:
        metrics.show_keys(registry, entrance.keys_of_issuer)
    if keeping.redis is not None:
        metrics.show_store(registry, keeping.redis)
    return registry


def _readiness(built: Sequence[Built], keeping: Keeping, entrance: Entrance) -> Readiness:
    """Name the parts. Instances go by their place in the configuration: who asks may be an outsider."""
    parts = [Part(f"instances[{index}]", each.welkin.probe) for index, each in enumerate(built)]
    if (redis := keeping.redis) is not None:

        async def answers() -> str | None:
            return None if redis.healthy else "does not answer in time"

        parts.append(Part("store", answers))
    if (issuer := entrance.keys_of_issuer) is not None:

        async def keys() -> str | None:
            if not issuer.ready:
                await issuer.load()
            return None if issuer.ready else "its keys cannot be read"

        parts.append(Part("identity provider", keys))
    return Readiness(parts)


def _trusted(folder: str) -> Mapping[str, str] | None:
    """Read the only documents that run; None: any runs.

    Raises:
        ConfigurationError: the folder cannot be used.
    """
    if not folder:
        return None
    try:
        return load_trusted(Path(folder))
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"graphql.trusted_documents: {folder}: {error}") from error
