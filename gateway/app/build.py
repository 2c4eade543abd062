"""The whole gateway, put together from its settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Gauge

from gateway.app.entrance import Entrance, build_entrance
from gateway.app.readiness import Part, Readiness
from gateway.domain.cursor import CursorKeys
from gateway.domain.model import InstanceName
from gateway.graphql.limits import Limits
from gateway.graphql.texts import load_trusted
from gateway.services.instance import Instance
from gateway.settings import ConfigurationError, InstanceSettings, Settings
from gateway.store.memory import BoundedMemoryCache
from gateway.store.reads import SharedReads
from gateway.store.sealing import CursorSeal
from gateway.store.sends import MemorySends
from gateway.store.welkin_reads import WelkinReads, weigh
from gateway.web.app import create_web
from gateway.web.options import InstanceEntry, SignatureOptions, WebOptions
from gateway.welkin.tokens import Tokens
from gateway.welkin.upstream import Upstream
from gateway.welkin.v1.adapter import WelkinV1
from gateway.welkin.v2.adapter import WelkinV2


@dataclass(frozen=True, slots=True)
class Gateway:
    """The whole gateway as an ASGI app. Its lifespan closes what it opened."""

    web: FastAPI
    instances: Mapping[InstanceName, Instance]

    def drain(self) -> None:
        """End open streams: shutdown begins. Called on the event loop."""
        drain: asyncio.Event = self.web.state.drain
        drain.set()


@dataclass(frozen=True, slots=True)
class _Built:
    instance: Instance
    welkin: WelkinV1 | WelkinV2
    shared: SharedReads
    entry: InstanceEntry

    async def aclose(self) -> None:
        await self.instance.aclose()
        await self.shared.aclose()
        await self.welkin.aclose()


def build(settings: Settings) -> Gateway:
    """Build the gateway from its settings. Nothing is asked of the network yet.

    Raises:
        ConfigurationError: a value cannot be used.
    """
    entrance = build_entrance(settings)
    cache = BoundedMemoryCache(weigh=weigh)
    tokens = Tokens()  # shared: two instances may use one API client
    built = [_build_instance(each, settings, cache, tokens) for each in settings.instances]
    web = _web(settings, built, entrance)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncGenerator[None]:
        yield
        web.state.drain.set()
        try:
            await asyncio.gather(*(each.aclose() for each in built), return_exceptions=True)
        finally:
            await entrance.aclose()

    web.router.lifespan_context = lifespan
    return Gateway(web, {each.instance.name: each.instance for each in built})


def _web(settings: Settings, built: Sequence[_Built], entrance: Entrance) -> FastAPI:
    options = WebOptions(
        graphiql=settings.server.graphiql,
        introspection=settings.graphql.introspection,
        get_queries=settings.graphql.get_queries,
        cors_origins=settings.server.cors_origins,
        authenticate=entrance.authenticate,
        admit=entrance.admit,
        heard=entrance.audit.webhook,
        limits=Limits(**settings.graphql.limits.model_dump()),
        trusted_documents=_trusted(settings.graphql.trusted_documents),
        operations_per_minute=settings.graphql.operations_per_minute or None,
        max_operations=settings.server.max_operations,
        max_streams=settings.server.max_streams,
        max_streams_per_caller=settings.server.max_streams_per_caller or None,
        max_files_per_caller=settings.server.max_files_per_caller or None,
        metrics_token=_metrics_token(settings),
    )
    entries = {each.instance.name: each.entry for each in built}
    try:
        return create_web(entries, options, _readiness(entrance), _registry(built, entrance))
    except ValueError as error:  # a trusted document that cannot run
        raise ConfigurationError(f"graphql.trusted_documents: {error}") from error


def _metrics_token(settings: Settings) -> bytes | None:
    token = settings.telemetry.metrics_token
    return None if token is None else token.get_secret_value().encode() or None


def _registry(built: Sequence[_Built], entrance: Entrance) -> CollectorRegistry:
    registry = CollectorRegistry()
    listeners = Gauge(
        "gateway_listeners", "Listeners to conversations", ["tenant", "instance"], registry=registry
    )
    for each in built:
        name = each.instance.name
        listeners.labels(name.tenant, name.instance).set_function(lambda i=each.instance: i.listeners)
    lost = Gauge("gateway_audit_lines_lost", "Lines that the audit trail lost", registry=registry)
    lost.set_function(lambda: entrance.audit.failures)
    if (issuer := entrance.keys_of_issuer) is not None:
        unread = Gauge(
            "gateway_identity_provider_failures", "Failed reads of the provider's keys", registry=registry
        )
        unread.set_function(lambda: issuer.failures)
    return registry


def _readiness(entrance: Entrance) -> Readiness:
    parts: list[Part] = []
    if (issuer := entrance.keys_of_issuer) is not None:

        async def keys() -> str | None:
            if not issuer.ready:
                await issuer.load()
            return None if issuer.ready else "its keys cannot be read"

        parts.append(Part("identity provider", keys))
    return Readiness(parts)


def _build_instance(
    chosen: InstanceSettings, settings: Settings, cache: BoundedMemoryCache, tokens: Tokens
) -> _Built:
    name = InstanceName(chosen.tenant, chosen.instance)
    welkin = _build_welkin(chosen, tokens)
    shared = SharedReads(cache, settings.cache.ttl_seconds)
    # The derived key stays good for reading, so that cursor_keys can be set at any time.
    secrets = (*settings.server.cursor_keys, chosen.secret)
    instance = Instance(
        name,
        welkin,
        WelkinReads(welkin, shared),
        MemorySends(),
        cursor_keys=CursorKeys.from_secrets([secret.get_secret_value() for secret in secrets]),
        seal=CursorSeal(),
        deadline=chosen.timeout_seconds,
        reconcile_seconds=chosen.reconcile_seconds,
    )
    entry = InstanceEntry(instance, _webhook_credentials(chosen), event_signature=_signature(chosen))
    return _Built(instance, welkin, shared, entry)


def _webhook_credentials(chosen: InstanceSettings) -> tuple[tuple[bytes, bytes], ...]:
    pairs = [(each.key, each.secret) for each in chosen.webhook_pairs]
    if chosen.webhook_key is not None and chosen.webhook_secret is not None:
        pairs.insert(0, (chosen.webhook_key, chosen.webhook_secret))
    texts = [(key.get_secret_value(), secret.get_secret_value()) for key, secret in pairs]
    return tuple((key.encode(), secret.encode()) for key, secret in texts if key and secret)


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


def _signature(chosen: InstanceSettings) -> SignatureOptions | None:
    if chosen.events_secret is None or not chosen.events_secret.get_secret_value():
        return None
    return SignatureOptions(
        chosen.events_secret.get_secret_value().encode(),
        header=chosen.events_signature_header,
        timestamp_header=chosen.events_timestamp_header or None,
        tolerance_seconds=chosen.events_tolerance_seconds,
    )


def _build_welkin(chosen: InstanceSettings, tokens: Tokens) -> WelkinV1 | WelkinV2:
    upstream = Upstream(
        base_url=chosen.base_url,
        tenant=chosen.tenant,
        instance=chosen.instance,
        client=chosen.client,
        secret=chosen.secret.get_secret_value(),
        timeout_seconds=chosen.timeout_seconds,
        token_url=chosen.token_url,
        max_calls=chosen.max_calls,
    )
    if chosen.api == "v1":
        return WelkinV1(upstream, patients_segment=chosen.patients_segment, tokens=tokens)
    return WelkinV2(upstream, order=chosen.order, prefix=chosen.path_prefix, tokens=tokens)
