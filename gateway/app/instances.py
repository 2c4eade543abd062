"""One instance, put together from its settings."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.app.keeping import Keeping
from gateway.domain.cursor import CursorKeys
from gateway.domain.model import InstanceName
from gateway.services.bell import Undisturbed
from gateway.services.instance import Instance
from gateway.settings import InstanceSettings, Settings
from gateway.store.reads import SharedReads
from gateway.store.sealing import CursorSeal
from gateway.store.welkin_reads import WelkinReads
from gateway.web.options import InstanceEntry, SignatureOptions
from gateway.welkin.tokens import Tokens
from gateway.welkin.upstream import Upstream
from gateway.welkin.v1.adapter import WelkinV1
from gateway.welkin.v2.adapter import WelkinV2


@dataclass(frozen=True, slots=True)
class Built:
    """An instance, and the parts of it that others look at."""

    instance: Instance
    welkin: WelkinV1 | WelkinV2
    shared: SharedReads
    entry: InstanceEntry

    async def aclose(self) -> None:
        """Bring everything of it to its end."""
        await self.instance.aclose()
        await self.shared.aclose()
        await self.welkin.aclose()


def build_instance(
    chosen: InstanceSettings, settings: Settings, keeping: Keeping, tokens: Tokens, undisturbed: Undisturbed
) -> Built:
    """Build an instance. Nothing is asked of the network yet."""
    name = InstanceName(chosen.tenant, chosen.instance)
    welkin = _build_welkin(chosen, tokens)
    shared = keeping.reads(chosen)
    # The derived key stays good for reading, so that cursor_keys can be set at any time.
    secrets = (*settings.server.cursor_keys, chosen.secret)
    instance = Instance(
        name,
        welkin,
        WelkinReads(welkin, shared),
        keeping.sends(chosen),
        cursor_keys=CursorKeys.from_secrets([secret.get_secret_value() for secret in secrets]),
        seal=CursorSeal(),
        deadline=chosen.timeout_seconds,
        reconcile_seconds=chosen.reconcile_seconds,
        wakes=keeping.wakes,
        undisturbed=undisturbed,
    )
    entry = InstanceEntry(instance, _webhook_credentials(chosen), event_signature=_signature(chosen))
    return Built(instance, welkin, shared, entry)


def _webhook_credentials(chosen: InstanceSettings) -> tuple[tuple[bytes, bytes], ...]:
    pairs = [(each.key, each.secret) for each in chosen.webhook_pairs]
    if chosen.webhook_key is not None and chosen.webhook_secret is not None:
        pairs.insert(0, (chosen.webhook_key, chosen.webhook_secret))
    texts = [(key.get_secret_value(), secret.get_secret_value()) for key, secret in pairs]
    return tuple((key.encode(), secret.encode()) for key, secret in texts if key and secret)


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
        ca_file=chosen.ca_file or None,
        max_calls=chosen.max_calls,
    )
    if chosen.api == "v1":
        return WelkinV1(upstream, patients_segment=chosen.patients_segment, tokens=tokens)
    return WelkinV2(upstream, order=chosen.order, prefix=chosen.path_prefix, tokens=tokens)
